//! Broadcast rings against a list: the stream that was sent, and where in it each reader is.
//!
//! One thread plays everybody, so everything is determined: what arrives, who is told that it missed how many, and when a lossless reader
//! makes the producer wait.

#![cfg(not(loom))]

use proptest::prelude::*;
use ringshm_core::Behaviour;
use ringshm_core::broadcast::{Broadcast, OnSlowReader, Readable, Receiver, RecordReceiver, Seat, Start, reader_in};
use ringshm_core::error::{TryRecvError, TrySendError};
use ringshm_core::memory::Memory;
use ringshm_core::message::{Message, Wishes, consumer_in, producer_in};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// First positions: the beginning, and shortly before a counter of 32 or 64 bits would wrap. All are multiples of 8.
const ORIGINS: [u64; 6] = [0, 8, (1 << 32) - 8, (1 << 32) - 56, u64::MAX - 7, u64::MAX - 1031];

/// A message of a ring, made of its number and a length.
trait Numbered: Readable<Producer: Sends, Consumer: Receives, Reader: Receives> {
    /// Units that a message of this length takes.
    fn units(len: usize) -> u64;
}

trait Sends {
    fn try_send(&mut self, number: u64, len: usize) -> Result<(), TrySendError<()>>;
    fn try_send_batch(&mut self, first: u64, count: usize, len: usize) -> Result<usize, TrySendError<()>>;
    fn sent(&self) -> u64;
    fn max_len(&self) -> usize;
    fn detach(self);
}

trait Receives {
    /// Receives what must be the message `number`, and checks all of it. Returns how many came.
    fn try_recv(&mut self, number: u64, batch: usize) -> Result<u64, TryRecvError>;
    fn position(&self) -> u64;
}

fn pattern(number: u64, len: usize) -> Vec<u8> {
    let length = (len as u64 ^ number << 8).to_le_bytes();
    length.into_iter().chain((8..).map(|at| (number.wrapping_mul(31) + at) as u8)).take(len).collect()
}

impl<const N: usize> Numbered for Broadcast<[u8; N]> {
    fn units(_len: usize) -> u64 {
        1
    }
}

impl Numbered for Broadcast<[u8]> {
    fn units(len: usize) -> u64 {
        8 + len.next_multiple_of(8) as u64
    }
}

impl<const N: usize> Sends for ringshm_core::broadcast::Producer<[u8; N]> {
    fn try_send(&mut self, number: u64, _len: usize) -> Result<(), TrySendError<()>> {
        let message = pattern(number, N).try_into().expect("of that length");
        self.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => TrySendError::Full(()),
            error => panic!("{error:?}"),
        })
    }

    fn try_send_batch(&mut self, first: u64, count: usize, _len: usize) -> Result<usize, TrySendError<()>> {
        let messages: Vec<[u8; N]> =
            (0..count as u64).map(|n| pattern(first + n, N).try_into().expect("of that length")).collect();
        self.try_send_slice(&messages)
    }

    fn sent(&self) -> u64 {
        self.sent()
    }

    fn max_len(&self) -> usize {
        N
    }

    fn detach(self) {
        self.detach();
    }
}

impl<const N: usize, S: Seat> Receives for Receiver<[u8; N], S> {
    fn try_recv(&mut self, number: u64, batch: usize) -> Result<u64, TryRecvError> {
        if batch == 1 {
            let message = self.try_recv()?;
            assert_eq!(message[..], pattern(number, N));
            return Ok(1);
        }
        let mut messages = vec![[0; N]; batch];
        let count = self.try_recv_slice(&mut messages)?;
        for (number, message) in (number..).zip(&messages[..count]) {
            assert_eq!(message[..], pattern(number, N));
        }
        Ok(count as u64)
    }

    fn position(&self) -> u64 {
        self.position()
    }
}

impl Sends for ringshm_core::broadcast::RecordProducer {
    fn try_send(&mut self, number: u64, len: usize) -> Result<(), TrySendError<()>> {
        self.try_send(&pattern(number, len))
    }

    fn try_send_batch(&mut self, first: u64, count: usize, len: usize) -> Result<usize, TrySendError<()>> {
        let messages: Vec<_> = (0..count as u64).map(|n| pattern(first + n, len)).collect();
        self.try_send_slice(&messages)
    }

    fn sent(&self) -> u64 {
        self.sent()
    }

    fn max_len(&self) -> usize {
        self.max_message()
    }

    fn detach(self) {
        self.detach();
    }
}

impl<S: Seat> Receives for RecordReceiver<S> {
    fn try_recv(&mut self, number: u64, batch: usize) -> Result<u64, TryRecvError> {
        let mut record = vec![7; 3];
        for received in 0..batch as u64 {
            match self.try_recv(&mut record) {
                Ok(len) => assert_eq!(record, pattern(number + received, len)),
                Err(_) if received > 0 => return Ok(received),
                Err(error) => return Err(error),
            }
        }
        Ok(batch as u64)
    }

    fn position(&self) -> u64 {
        self.position()
    }
}

/// A reader, and what it must see.
struct Expected {
    reader: Box<dyn Receives>,
    is_lossless: bool,
    /// The next message.
    next: u64,
    /// How many it must be told of first.
    missing: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Send { len: usize },
    SendBatch { count: usize, len: usize },
    Receive { who: usize, batch: usize },
    Join { is_lossless: bool, start: Start },
    Leave { who: usize },
    Succeed,
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![Just(Start::Oldest), Just(Start::Newest), (0..200_u64).prop_map(Start::At)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..200_usize).prop_map(|len| Step::Send { len }),
        2 => (0..20_usize, 0..40_usize).prop_map(|(count, len)| Step::SendBatch { count, len }),
        8 => (0..4_usize, 1..6_usize).prop_map(|(who, batch)| Step::Receive { who, batch }),
        2 => (any::<bool>(), start()).prop_map(|(is_lossless, start)| Step::Join { is_lossless, start }),
        1 => (0..4_usize).prop_map(|who| Step::Leave { who }),
        1 => Just(Step::Succeed),
    ]
}

fn starting(start: Start) -> Behaviour {
    let mut behaviour = Behaviour::default();
    behaviour.start = start;
    behaviour
}

fn join<M: Numbered + ?Sized>(memory: &Arc<Memory>, is_lossless: bool, start: Start) -> Box<dyn Receives>
where
    M::Consumer: 'static,
    M::Reader: 'static,
{
    if is_lossless {
        Box::new(consumer_in::<M>(memory, starting(start)).expect("a free lane"))
    } else {
        Box::new(reader_in::<M>(memory, starting(start)).expect("a whole ring"))
    }
}

fn follow<M: Numbered + ?Sized>(capacity: u64, origin: u64, steps: &[Step])
where
    M::Consumer: 'static,
    M::Reader: 'static,
{
    let wishes = Wishes { capacity: Some(capacity), consumers: 4, origin, ..Wishes::default() };
    let memory = Memory::on_heap(M::geometry(&wishes).expect("a small ring"));
    let mut producer = producer_in::<M>(&memory, Behaviour::default()).expect("nobody is there");
    let mut readers: Vec<Expected> = Vec::new();
    let (mut sent, mut units) = (0, 0);
    for step in steps {
        match *step {
            Step::Send { len } => match producer.try_send(sent, len.min(producer.max_len())) {
                Ok(()) => {
                    sent += 1;
                    units += M::units(len);
                }
                Err(TrySendError::Full(())) => must_be_held_up(&readers, sent),
                Err(error) => panic!("{error}"),
            },
            Step::SendBatch { count, len } => match producer.try_send_batch(sent, count, len.min(producer.max_len())) {
                Ok(done) => {
                    sent += done as u64;
                    units += done as u64 * M::units(len);
                    if done < count {
                        must_be_held_up(&readers, sent);
                    }
                }
                Err(TrySendError::Full(())) => must_be_held_up(&readers, sent),
                Err(error) => panic!("{error}"),
            },
            Step::Receive { who, batch } => {
                if let Some(expected) = readers.get_mut(who) {
                    receive(expected, batch, sent);
                }
            }
            Step::Join { is_lossless, start } if readers.len() < 4 => {
                let reader = join::<M>(&memory, is_lossless, start);
                let next = reader.position();
                assert!(next <= sent);
                let missing = match start {
                    Start::At(number) => next.saturating_sub(number),
                    Start::Oldest | Start::Newest => 0,
                };
                match start {
                    Start::Newest => assert_eq!(next, sent),
                    Start::At(number) if missing == 0 => assert_eq!(next, number.min(sent)),
                    // As long as the ring has not come round, everything is there.
                    Start::Oldest | Start::At(_) if units < capacity / 2 => assert_eq!(next, 0),
                    _ => {}
                }
                readers.push(Expected { reader, is_lossless, next, missing });
            }
            Step::Join { .. } => {}
            Step::Leave { who } => {
                if who < readers.len() {
                    readers.swap_remove(who);
                }
            }
            Step::Succeed => {
                producer.detach();
                producer = producer_in::<M>(&memory, Behaviour::default()).expect("the role is free");
            }
        }
        assert_eq!(producer.sent(), sent);
    }
    drop(producer);
    for expected in &mut readers {
        while expected.next < sent || expected.missing > 0 {
            receive(expected, 1, sent);
        }
        assert_eq!(expected.reader.try_recv(sent, 1), Err(TryRecvError::Disconnected));
    }
}

fn must_be_held_up(readers: &[Expected], sent: u64) {
    assert!(readers.iter().any(|reader| reader.is_lossless && reader.next < sent), "nobody holds the producer up");
}

fn receive(expected: &mut Expected, batch: usize, sent: u64) {
    match expected.reader.try_recv(expected.next, batch) {
        Ok(count) => {
            assert_eq!(expected.missing, 0, "messages were missed, and it was not said");
            expected.next += count;
            assert!(expected.next <= sent);
        }
        Err(TryRecvError::Lagged(count)) if expected.missing > 0 => {
            assert_eq!(count, expected.missing);
            expected.missing = 0;
        }
        Err(TryRecvError::Lagged(count)) => {
            assert!(!expected.is_lossless && count > 0);
            expected.next += count;
            assert!(expected.next <= sent);
        }
        Err(TryRecvError::Empty) => assert_eq!(expected.next, sent),
        Err(error) => panic!("{error}"),
    }
    assert_eq!(expected.reader.position(), expected.next);
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn slots_are_the_stream_from_where_each_reader_began(
        power in 0..5_u32,
        origin in prop::sample::select(&ORIGINS[..]),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        follow::<Broadcast<[u8; 8]>>(1 << power, origin, &steps);
        follow::<Broadcast<[u8; 13]>>(1 << power, origin, &steps);
        follow::<Broadcast<[u8; 3]>>(1 << power, origin, &steps);
        follow::<Broadcast<[u8; 64]>>(1 << power, origin, &steps);
    }

    #[test]
    fn records_are_the_stream_from_where_each_reader_began(
        power in 5..13_u32,
        origin in prop::sample::select(&ORIGINS[..]),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        follow::<Broadcast<[u8]>>(1 << power, origin, &steps);
    }
}

fn ring<M: Message + ?Sized>(capacity: u64) -> Arc<Memory> {
    let wishes = Wishes { capacity: Some(capacity), ..Wishes::default() };
    Memory::on_heap(M::geometry(&wishes).expect("a small ring"))
}

#[test]
fn a_ring_without_readers_is_sent_into_for_ever() {
    let memory = ring::<Broadcast<u64>>(4);
    let mut producer = producer_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("nobody is there");
    for message in 0..1000 {
        producer.try_send(message).expect("nobody holds it up");
    }
    let reader = reader_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("a whole ring");
    assert!((996..=997).contains(&reader.position()), "{}", reader.position());
    drop(producer);
    let mut reader = reader_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("a whole ring");
    assert_eq!(reader.try_iter().map(Result::unwrap).collect::<Vec<_>>(), [996, 997, 998, 999]);
}

#[test]
fn a_lossless_reader_holds_the_producer_up_until_it_receives_or_leaves() {
    let memory = ring::<Broadcast<u64>>(4);
    let mut producer = producer_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("nobody is there");
    let mut consumer = consumer_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("a free lane");
    assert_eq!(producer.try_send_slice(&[0, 1, 2, 3, 4, 5]), Ok(4));
    assert_eq!(producer.lag(), 4);
    assert_eq!(
        producer.send_timeout(4, Duration::ZERO).map_err(|error| format!("{error:?}")),
        Err("Timeout(..)".into())
    );
    assert_eq!(consumer.recv(), Ok(0));
    assert_eq!(producer.try_send_slice(&[4, 5]), Ok(1));
    drop(consumer);
    assert_eq!(producer.try_send_slice(&[5; 100]), Ok(100));
}

/// A record of a batch, which has readers look at the ring when it is asked for: in the middle of the batch.
struct Glance<'a, L>(&'a [u8], &'a L);

impl<L: Fn()> AsRef<[u8]> for Glance<'_, L> {
    fn as_ref(&self) -> &[u8] {
        (self.1)();
        self.0
    }
}

#[test]
fn a_batch_of_records_that_is_longer_than_the_ring_confuses_nobody() {
    for origin in ORIGINS {
        let wishes = Wishes { capacity: Some(128), origin, ..Wishes::default() };
        let memory = Memory::on_heap(Broadcast::<[u8]>::geometry(&wishes).expect("a small ring"));
        let mut producer = producer_in::<Broadcast<[u8]>>(&memory, Behaviour::default()).expect("nobody is there");
        let come = || reader_in::<Broadcast<[u8]>>(&memory, Behaviour::default()).expect("a sound ring");
        let reader = std::cell::RefCell::new(come());
        let received = std::cell::Cell::new(0);
        let read = |count: usize| {
            for _ in 0..count {
                match reader.borrow_mut().try_recv(&mut Vec::new()) {
                    Ok(_) => received.set(received.get() + 1),
                    Err(TryRecvError::Lagged(missed)) => received.set(received.get() + missed),
                    Err(TryRecvError::Empty) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
        };
        let glance = || {
            drop(come());
            read(1);
        };
        let batch = [(); 30].map(|()| Glance(&[5; 40], &glance));
        assert_eq!(producer.try_send_slice(&batch), Ok(30));
        read(usize::MAX);
        assert_eq!((received.get(), producer.sent()), (30, 30));
    }
}

#[test]
fn a_slow_reader_is_evicted_if_that_is_the_policy_and_only_that_one() {
    let memory = ring::<Broadcast<u64>>(4);
    let policy = OnSlowReader::Evict { after: Duration::ZERO };
    let mut behaviour = Behaviour::default();
    behaviour.on_slow_reader = policy;
    let mut producer = producer_in::<Broadcast<u64>>(&memory, behaviour).expect("nobody is there");
    let evictions = Arc::new(Mutex::new(Vec::new()));
    producer.on_eviction({
        let evictions = Arc::clone(&evictions);
        move |eviction| evictions.lock().expect("not poisoned").push((eviction.lane, eviction.lag))
    });
    let mut slow = consumer_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("a free lane");
    let mut quick = consumer_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("a free lane");
    for message in 0..10 {
        producer.try_send(message).expect("the slow one is evicted");
        assert_eq!(quick.try_recv(), Ok(message));
    }
    assert_eq!(slow.try_recv(), Err(TryRecvError::Evicted));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Evicted));
    assert_eq!(*evictions.lock().expect("not poisoned"), [(slow.lane(), 4)]);
    assert!(memory.is_evicted(slow.lane()) && !memory.is_evicted(quick.lane()));
    // Its lane is as good as any for the next.
    drop(slow);
    let mut next = consumer_in::<Broadcast<u64>>(&memory, starting(Start::Newest)).expect("a free lane");
    producer.try_send(10).expect("there is room");
    assert_eq!((next.try_recv(), quick.try_recv()), (Ok(10), Ok(10)));
}

#[test]
fn a_batch_that_was_overtaken_is_thrown_away_as_a_whole() {
    let memory = ring::<Broadcast<u64>>(8);
    let mut producer = producer_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("nobody is there");
    let mut reader = reader_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("a whole ring");
    producer.try_send_slice(&[0, 1, 2, 3]).expect("nobody holds it up");
    assert_eq!(reader.try_recv(), Ok(0));
    producer.try_send_slice(&[4, 5, 6, 7, 8, 9]).expect("nobody holds it up");
    let mut batch = [0; 8];
    // Known since the last look: 1, 2 and 3. Of these, 1 was overwritten.
    assert_eq!(reader.try_recv_slice(&mut batch), Err(TryRecvError::Lagged(5)));
    assert_eq!(reader.try_recv_slice(&mut batch), Ok(4));
    assert_eq!(batch[..4], [6, 7, 8, 9]);
}

#[test]
fn an_iterator_says_what_was_missed_and_ends_with_the_producer() {
    let memory = ring::<Broadcast<u64>>(8);
    let mut producer = producer_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("nobody is there");
    let mut reader = reader_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("a whole ring");
    let mut consumer = consumer_in::<Broadcast<u64>>(&memory, starting(Start::Newest)).expect("a free lane");
    for message in 0..20 {
        producer.send(message).expect("the consumer keeps up");
        assert_eq!(consumer.iter().next(), Some(Ok(message)));
    }
    drop(producer);
    let seen: Vec<_> = reader.iter().collect();
    assert_eq!(seen[0], Err(ringshm_core::error::RecvError::Lagged(16)));
    assert_eq!(seen[1..].iter().map(|message| message.unwrap()).collect::<Vec<_>>(), [16, 17, 18, 19]);
    assert_eq!(consumer.iter().next(), None);
}
