//! The broadcast ring and the register of the newest value: each edge, and death at every step.
#![cfg(loom)]

use loom::thread;
use loom_tests::{PARKING, SPINNING, die_at_every_step, explore, explore_unfenced, explore_with, live_for};
use ringshm_core::broadcast::{Broadcast, Consumer, OnSlowReader, Reader, RecordReader, Start, reader_in};
use ringshm_core::error::{RecvTimeoutError, TryRecvError};
use ringshm_core::latest::Latest;
use ringshm_core::memory::Memory;
use ringshm_core::message::{Message, Wishes, consumer_in, producer_in};
use ringshm_core::{Behaviour, OnDeath, Peer, Role};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

/// Two words, so that a message can be torn.
type Pair = [u64; 2];

fn pair(number: u64) -> Pair {
    [number, number]
}

fn ring<M: Message + ?Sized>(capacity: u64) -> Arc<Memory> {
    let wishes = Wishes { capacity: Some(capacity), consumers: 2, ..Wishes::default() };
    Memory::on_heap(M::geometry(&wishes).expect("a small ring"))
}

fn starting(mut behaviour: Behaviour, start: Start) -> Behaviour {
    behaviour.start = start;
    behaviour
}

/// The lane of the only producer.
const FEED: usize = 0;

/// Receives until the producer is gone, and says how many were received and how many missed. Each message is checked.
fn follow(mut next: impl FnMut() -> Result<Pair, TryRecvError>) -> (u64, u64) {
    let (mut received, mut missed) = (0, 0);
    loop {
        match next() {
            Ok(message) => {
                assert_eq!(message, pair(received + missed + 1), "torn, or out of order");
                received += 1;
            }
            Err(TryRecvError::Lagged(count)) => missed += count,
            Err(TryRecvError::Empty) => thread::yield_now(),
            Err(end) => {
                assert_eq!(end, TryRecvError::Disconnected);
                return (received, missed);
            }
        }
    }
}

/// Sends `count` messages through a ring of `capacity` slots from a thread of its own, to a lossy reader.
fn overtake(capacity: u64, count: u64) {
    let ring = ring::<Broadcast<Pair>>(capacity);
    let mut producer = producer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
    let mut reader = reader_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
    let sender = thread::spawn(move || {
        for number in 1..=count {
            producer.try_send(pair(number)).unwrap();
        }
    });
    let (received, missed) = follow(|| reader.try_recv());
    assert_eq!(received + missed, count);
    sender.join().unwrap();
}

#[test]
fn publish_carries_the_words_to_a_reader() {
    explore_unfenced(|| overtake(2, 1));
}

#[test]
fn a_reader_that_is_overtaken_finds_out() {
    explore_unfenced(|| overtake(1, 2));
}

#[test]
fn close_is_seen_after_everything_that_was_sent_to_a_reader() {
    explore_unfenced(|| overtake(4, 2));
}

#[test]
fn a_lossy_reader_that_joins_is_told_the_truth() {
    explore_unfenced(|| {
        let ring = ring::<Broadcast<Pair>>(1);
        let mut producer = producer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || {
            for number in 1..=2 {
                producer.try_send(pair(number)).unwrap();
            }
            ManuallyDrop::new(producer)
        });
        let mut reader = reader_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let number = reader.position() + 1;
        match reader.try_recv() {
            Ok(message) => assert_eq!(message, pair(number)),
            Err(end) => assert!(matches!(end, TryRecvError::Empty | TryRecvError::Lagged(_)), "{end:?}"),
        }
        let _producer = sender.join().unwrap();
    });
}

#[test]
fn a_lossless_reader_holds_the_producer_up() {
    explore_unfenced(|| {
        let ring = ring::<Broadcast<Pair>>(1);
        let mut producer = producer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || {
            for number in 1..=2 {
                producer.send(pair(number)).unwrap();
            }
        });
        assert_eq!(follow(|| consumer.try_recv()), (2, 0));
        sender.join().unwrap();
    });
}

#[test]
fn a_lossless_reader_that_joins_loses_nothing_from_there_on() {
    explore_unfenced(|| {
        let ring = ring::<Broadcast<Pair>>(1);
        let mut producer = producer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || {
            for number in 1..=3 {
                if producer.try_send(pair(number)).is_err() {
                    break;
                }
            }
            // It dies, or goes on later: the reader must not wait for the end.
            ManuallyDrop::new(producer)
        });
        let mut consumer = consumer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let begin = consumer.position();
        receives_in_order(&mut consumer, begin);
        let _producer = sender.join().unwrap();
        receives_in_order(&mut consumer, begin);
    });
}

/// Receives what is there, which must be the stream from `begin` on.
fn receives_in_order(consumer: &mut Consumer<Pair>, begin: u64) {
    assert!(consumer.position() >= begin);
    loop {
        let number = consumer.position() + 1;
        match consumer.try_recv() {
            Ok(message) => assert_eq!(message, pair(number), "overwritten, or torn"),
            Err(end) => break assert_eq!(end, TryRecvError::Empty),
        }
    }
}

#[test]
fn an_evicted_reader_finds_out_before_it_hands_out_what_was_overwritten() {
    explore_unfenced(|| {
        let ring = ring::<Broadcast<Pair>>(1);
        let mut evicting = SPINNING;
        evicting.on_slow_reader = OnSlowReader::Evict { after: Duration::ZERO };
        let mut producer = producer_in::<Broadcast<Pair>>(&ring, evicting).unwrap();
        let mut consumer = consumer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || {
            for number in 1..=2 {
                producer.try_send(pair(number)).unwrap();
            }
            ManuallyDrop::new(producer)
        });
        match consumer.try_recv() {
            Ok(message) => assert_eq!(message, pair(1), "overwritten, or torn"),
            Err(end) => assert!(matches!(end, TryRecvError::Empty | TryRecvError::Evicted), "{end:?}"),
        }
        let _producer = sender.join().unwrap();
    });
}

#[test]
fn a_successor_in_the_lane_of_an_evicted_reader_is_not_evicted() {
    explore_unfenced(|| {
        let ring = ring::<Broadcast<Pair>>(1);
        let mut evicting = SPINNING;
        evicting.on_slow_reader = OnSlowReader::Evict { after: Duration::ZERO };
        let mut producer = producer_in::<Broadcast<Pair>>(&ring, evicting).unwrap();
        let first = consumer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        producer.try_send(pair(1)).unwrap();
        let leaver = thread::spawn(move || drop(first));
        // Either the first is evicted, or it has left.
        producer.try_send(pair(2)).unwrap();
        leaver.join().unwrap();
        let mut second = consumer_in::<Broadcast<Pair>>(&ring, starting(SPINNING, Start::Newest)).unwrap();
        assert_eq!(second.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn sleeping_readers_and_a_sleeping_producer_are_woken() {
    explore_with(2, || {
        let ring = ring::<Broadcast<Pair>>(1);
        let mut producer = producer_in::<Broadcast<Pair>>(&ring, PARKING).unwrap();
        let mut consumer = consumer_in::<Broadcast<Pair>>(&ring, PARKING).unwrap();
        let sender = thread::spawn(move || {
            for number in 1..=2 {
                producer.send(pair(number)).unwrap();
            }
        });
        for number in 1..=2 {
            assert_eq!(consumer.recv(), Ok(pair(number)));
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_sleeping_lossy_reader_is_woken() {
    explore_with(2, || {
        let ring = ring::<Broadcast<Pair>>(2);
        let mut producer = producer_in::<Broadcast<Pair>>(&ring, PARKING).unwrap();
        let mut reader = reader_in::<Broadcast<Pair>>(&ring, PARKING).unwrap();
        let sender = thread::spawn(move || producer.send(pair(1)).unwrap());
        assert_eq!(reader.recv(), Ok(pair(1)));
        assert!(reader.recv().is_err());
        sender.join().unwrap();
    });
}

/// The record with that number: its own number, twice.
fn record(number: u64) -> [u8; 8] {
    [number as u8; 8]
}

/// A ring of four sections in which that many records of two sections each were sent.
fn sent_records(count: u64) -> (Arc<Memory>, ringshm_core::broadcast::RecordProducer) {
    let ring = ring::<Broadcast<[u8]>>(32);
    let mut producer = producer_in::<Broadcast<[u8]>>(&ring, SPINNING).unwrap();
    for number in 0..count {
        producer.try_send(&record(number)).unwrap();
    }
    (ring, producer)
}

#[test]
fn a_milestone_is_published_with_its_record() {
    explore_unfenced(|| {
        let (ring, mut producer) = sent_records(2);
        let sender = thread::spawn(move || {
            producer.try_send(&record(2)).unwrap();
            producer
        });
        let behaviour = starting(SPINNING, Start::At(2));
        let mut reader = reader_in::<Broadcast<[u8]>>(&ring, behaviour).unwrap();
        receives_what_it_says(&mut reader);
        let mut producer = sender.join().unwrap();
        producer.try_send(&record(3)).unwrap();
        receives_what_it_says(&mut reader);
    });
}

#[test]
fn a_milestone_that_is_overwritten_meanwhile_is_not_believed() {
    explore_unfenced(|| {
        let (ring, mut producer) = sent_records(4);
        let sender = thread::spawn(move || {
            producer.try_send(&record(4)).unwrap();
            ManuallyDrop::new(producer)
        });
        receives_what_it_says(&mut reader_in::<Broadcast<[u8]>>(&ring, SPINNING).unwrap());
        let _producer = sender.join().unwrap();
    });
}

/// What it receives is what its count says.
fn receives_what_it_says(reader: &mut RecordReader) {
    let mut bytes = Vec::new();
    loop {
        let number = reader.position();
        match reader.try_recv(&mut bytes) {
            Ok(_) => assert_eq!(bytes, record(number)),
            Err(TryRecvError::Lagged(count)) => assert_eq!(reader.position(), number + count),
            Err(end) => break assert_eq!(end, TryRecvError::Empty),
        }
    }
}

#[test]
fn a_lossless_reader_of_records_begins_at_a_record_and_loses_nothing() {
    explore_unfenced(|| {
        let (ring, mut producer) = sent_records(3);
        let sender = thread::spawn(move || {
            // Over the second record, unless the reader begins there.
            let _sent_or_full = producer.try_send(&record(3));
            ManuallyDrop::new(producer)
        });
        let mut consumer = consumer_in::<Broadcast<[u8]>>(&ring, SPINNING).unwrap();
        let mut bytes = Vec::new();
        loop {
            let number = consumer.position();
            match consumer.try_recv(&mut bytes) {
                Ok(_) => assert_eq!(bytes, record(number)),
                Err(end) => break assert_eq!(end, TryRecvError::Empty),
            }
        }
        let _producer = sender.join().unwrap();
    });
}

/// What the kernel does when the owner of a lane is gone; and time goes by, so that parks run out.
fn bury(ring: &Memory, lane: usize) {
    ring.drop_lock_of_killed(lane);
    ring.lobby().readers.expire();
    ring.lane(FEED).presence.bell.expire();
}

/// A producer that sends two messages and dies after `steps` accesses, or detaches. What it returns: how many calls returned, and whether
/// it died.
fn doomed_producer(ring: &Arc<Memory>, steps: usize) -> thread::JoinHandle<(u64, bool)> {
    let mut producer = ManuallyDrop::new(producer_in::<Broadcast<Pair>>(ring, SPINNING).unwrap());
    let ring = Arc::clone(ring);
    thread::spawn(move || {
        let mut returned = 0;
        let died = live_for(steps, || {
            for number in 1..=2 {
                producer.send(pair(number)).unwrap();
                returned = number;
            }
        })
        .is_none();
        if died {
            bury(&ring, FEED);
        } else {
            drop(ManuallyDrop::into_inner(producer));
        }
        (returned, died)
    })
}

#[test]
fn a_producer_killed_at_any_step_leaves_a_lossless_reader_a_whole_stream() {
    die_at_every_step(|steps| {
        let ring = ring::<Broadcast<Pair>>(1);
        let mut consumer = consumer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let producer = doomed_producer(&ring, steps);
        let (received, missed) = follow(|| consumer.try_recv());
        let (returned, died) = producer.join().unwrap();
        assert_eq!(missed, 0);
        assert!(received == returned || (died && received == returned + 1), "{received} of {returned} received");
        if died {
            // The successor goes on there, and the reader with it.
            let mut successor = producer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
            assert_eq!(successor.sent(), received);
            successor.try_send(pair(received + 1)).unwrap();
            assert_eq!(consumer.try_recv(), Ok(pair(received + 1)));
        }
        died
    });
}

#[test]
fn a_producer_killed_at_any_step_shows_a_lossy_reader_nothing_torn() {
    die_at_every_step(|steps| {
        let ring = ring::<Broadcast<Pair>>(1);
        let mut reader: Reader<Pair> = reader_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let producer = doomed_producer(&ring, steps);
        let (received, missed) = follow(|| reader.try_recv());
        let (returned, died) = producer.join().unwrap();
        let sent = received + missed;
        assert!(sent == returned || (died && sent == returned + 1), "{sent} of {returned}");
        if died {
            let mut successor = producer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
            assert_eq!(successor.sent(), sent);
            successor.try_send(pair(sent + 1)).unwrap();
            assert_eq!(reader.try_recv(), Ok(pair(sent + 1)));
        }
        died
    });
}

#[test]
fn what_a_killed_producer_spoiled_is_shown_to_nobody_by_a_successor_that_sends_nothing() {
    die_at_every_step(|steps| {
        let ring = ring::<Broadcast<Pair>>(1);
        let producer = doomed_producer(&ring, steps);
        let (_, died) = producer.join().unwrap();
        if died {
            drop(producer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap());
        }
        let mut reader = reader_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let number = reader.position() + 1;
        match reader.try_recv() {
            Ok(message) => assert_eq!(message, pair(number), "torn"),
            Err(end) => assert_eq!(end, TryRecvError::Disconnected),
        }
        died
    });
}

#[test]
fn a_lossless_reader_killed_at_any_step_holds_nobody_up() {
    die_at_every_step(|steps| {
        let ring = ring::<Broadcast<Pair>>(1);
        let mut producer = producer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let mut lane = None;
                let died = live_for(steps, || {
                    let joined = consumer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
                    let mut consumer = ManuallyDrop::new(joined);
                    lane = Some(consumer.lane());
                    let begin = consumer.position();
                    receives_in_order(&mut consumer, begin);
                    drop(ManuallyDrop::into_inner(consumer));
                })
                .is_none();
                // Its lane is the first: nobody else joins.
                if died {
                    bury(&ring, FEED + 1);
                }
                died
            }
        });
        for number in 1..=2 {
            producer.send(pair(number)).unwrap();
        }
        let died = doomed.join().unwrap();
        producer.send(pair(3)).unwrap();
        died
    });
}

#[test]
fn a_dead_producer_is_found_after_everything_it_sent_to_readers() {
    explore_unfenced(|| {
        let ring = ring::<Broadcast<Pair>>(2);
        let mut reader = reader_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap();
        let mut producer = ManuallyDrop::new(producer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap());
        let dying = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                producer.try_send(pair(1)).unwrap();
                bury(&ring, FEED);
            }
        });
        assert_eq!(follow(|| reader.try_recv()), (1, 0));
        dying.join().unwrap();
    });
}

#[test]
fn a_register_never_shows_half_a_value() {
    explore_with(2, || {
        loom_unfenced(|| {
            let ring = ring::<Latest<Pair>>(1);
            let mut writer = producer_in::<Latest<Pair>>(&ring, SPINNING).unwrap();
            let mut reader = reader_in::<Latest<Pair>>(&ring, SPINNING).unwrap();
            writer.write(pair(1)).unwrap();
            let thread = thread::spawn(move || {
                for number in 2..=5 {
                    writer.write(pair(number)).unwrap();
                }
                ManuallyDrop::new(writer)
            });
            let mut last = 0;
            for _ in 0..2 {
                let value = reader.read().expect("one was written before");
                assert!(value == pair(value[0]) && (last.max(1)..=5).contains(&value[0]), "{value:?} after {last}");
                last = value[0];
            }
            let _writer = thread.join().unwrap();
            assert_eq!(reader.read(), Some(pair(5)));
        });
    });
}

fn loom_unfenced(model: impl FnOnce()) {
    ringshm_sync::barrier::set_membarrier(false);
    model();
    ringshm_sync::barrier::set_membarrier(true);
}

#[test]
fn a_register_that_is_closed_has_its_last_value() {
    explore_unfenced(|| {
        let ring = ring::<Latest<Pair>>(1);
        let mut writer = producer_in::<Latest<Pair>>(&ring, SPINNING).unwrap();
        // It looks at everything at once, instead of pausing first.
        let mut reader = reader_in::<Latest<Pair>>(&ring, PARKING).unwrap();
        let thread = thread::spawn(move || writer.write(pair(1)).unwrap());
        let mut seen = None;
        loop {
            match reader.wait_for_change(Duration::ZERO) {
                Ok(()) => seen = reader.read(),
                Err(RecvTimeoutError::Timeout) => thread::yield_now(),
                Err(end) => break assert_eq!(end, RecvTimeoutError::Disconnected),
            }
        }
        assert_eq!(seen, Some(pair(1)));
        thread.join().unwrap();
    });
}

#[test]
fn a_sleeping_reader_of_a_register_is_woken() {
    explore_with(2, || {
        let ring = ring::<Latest<Pair>>(1);
        let mut writer = producer_in::<Latest<Pair>>(&ring, PARKING).unwrap();
        let mut reader = reader_in::<Latest<Pair>>(&ring, PARKING).unwrap();
        let thread = thread::spawn(move || writer.write(pair(1)).unwrap());
        assert_eq!(reader.next_change(), Some(pair(1)));
        assert_eq!(reader.next_change(), None);
        thread.join().unwrap();
    });
}

#[test]
fn a_writer_killed_at_any_step_leaves_its_last_whole_value() {
    die_at_every_step(|steps| {
        let ring = ring::<Latest<Pair>>(1);
        let mut reader = reader_in::<Latest<Pair>>(&ring, SPINNING).unwrap();
        let mut writer = ManuallyDrop::new(producer_in::<Latest<Pair>>(&ring, SPINNING).unwrap());
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let mut returned = 0;
                let died = live_for(steps, || {
                    for number in 1..=2 {
                        writer.write(pair(number)).unwrap();
                        returned = number;
                    }
                })
                .is_none();
                bury(&ring, FEED);
                (returned, died)
            }
        });
        let early = reader.read();
        assert!(early.is_none_or(|value| value == pair(value[0])), "{early:?}");
        let (returned, died) = doomed.join().unwrap();
        let last = reader.read().map_or(0, |value| value[0]);
        assert!(last == returned || (died && last == returned + 1), "{last} after {returned}");
        let mut successor = producer_in::<Latest<Pair>>(&ring, SPINNING).unwrap();
        assert_eq!(successor.written(), last);
        successor.write(pair(last + 1)).unwrap();
        assert_eq!(reader.read(), Some(pair(last + 1)));
        died
    });
}

#[test]
fn an_owner_that_joins_is_never_found_dead() {
    explore_unfenced(|| {
        let ring = ring::<Broadcast<Pair>>(1);
        let joiner = thread::spawn({
            let ring = Arc::clone(&ring);
            move || ManuallyDrop::new(consumer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap())
        });
        let seen = ring.peer_state(ring.lanes_of(Role::Consumer).start);
        assert!(!matches!(seen, Peer::Dead { .. }), "{seen:?}");
        let _consumer = joiner.join().unwrap();
    });
}

#[test]
fn a_reader_that_awaits_a_successor_is_not_told_of_a_death() {
    explore(|| {
        let ring = ring::<Broadcast<Pair>>(2);
        let awaiting = Behaviour::new(ringshm_core::wait::Wait::Spin, OnDeath::AwaitSuccessor);
        let mut consumer = consumer_in::<Broadcast<Pair>>(&ring, awaiting).unwrap();
        let _killed = ManuallyDrop::new(producer_in::<Broadcast<Pair>>(&ring, SPINNING).unwrap());
        bury(&ring, ring.lanes_of(Role::Producer).start);
        assert_eq!(consumer.try_recv(), Err(TryRecvError::Empty));
    });
}
