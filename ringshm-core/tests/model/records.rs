//! The record ring against a queue.

use crate::seats::{Seat, Seats};
use crate::watch::Watch;
use crate::{GROUNDS, ORIGINS, Ring};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::Config;
use ringshm_core::error::{OpenError, RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use ringshm_core::{RecordConsumer, RecordProducer};
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Op {
    Send(usize),
    SendTimeout(usize),
    SendSlice(Vec<usize>),
    /// Lends so many bytes, and commits so many of them; `None`: drops the loan.
    Loan(usize, Option<usize>),
    Recv,
    RecvTimeout,
    RecvRef(End),
    /// Takes so many.
    Drain(usize, End),
    Iter,
    LeaveProducer(Seat),
    LeaveConsumer(Seat),
    Rejoin,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Drop,
    Keep,
    /// Never runs its destructor: what was handed out stays handed out.
    Forget,
}

fn op() -> impl Strategy<Value = Op> {
    let len = || prop_oneof![3 => 0..20_usize, 2 => 0..140_usize];
    let end = || prop_oneof![4 => Just(End::Drop), 2 => Just(End::Keep), 1 => Just(End::Forget)];
    let seat = || prop_oneof![2 => Just(Seat::Detached), 1 => Just(Seat::Closed)];
    prop_oneof![
        8 => len().prop_map(Op::Send),
        1 => len().prop_map(Op::SendTimeout),
        3 => prop::collection::vec(len(), 0..6).prop_map(Op::SendSlice),
        4 => (len(), prop::option::weighted(0.8, len())).prop_map(|(len, first)| Op::Loan(len, first)),
        6 => Just(Op::Recv),
        1 => Just(Op::RecvTimeout),
        4 => end().prop_map(Op::RecvRef),
        3 => (0..6_usize, end()).prop_map(|(count, end)| Op::Drain(count, end)),
        1 => Just(Op::Iter),
        1 => seat().prop_map(Op::LeaveProducer),
        1 => seat().prop_map(Op::LeaveConsumer),
        4 => Just(Op::Rejoin),
    ]
}

/// The bytes that a record takes: 8 for its header, and its length rounded up to a multiple of 8.
pub(crate) fn span(len: usize) -> u64 {
    8 + (len as u64).next_multiple_of(8)
}

/// What a ring holds and how much room that takes.
///
/// A record lies in one piece. If its span does not fit before the wrap, padding takes what is left there, and the record
/// begins behind it. It is sent if padding and span fit between the tail and the last released byte. The padding in
/// front of a record is released with it.
#[derive(Debug)]
pub(crate) struct Model {
    capacity: u64,
    origin: u64,
    /// From the origin.
    tail: u64,
    /// From the origin: behind the last record that was released.
    released: u64,
    /// Records that were not released, each with the position behind it.
    pub(crate) queue: VecDeque<(Vec<u8>, u64)>,
    /// Of these, so many are handed out.
    handed_out: usize,
    sent: u64,
    received: u64,
}

impl Model {
    pub(crate) fn new(capacity: u64, origin: u64) -> Self {
        Self { capacity, origin, tail: 0, released: 0, queue: VecDeque::new(), handed_out: 0, sent: 0, received: 0 }
    }

    pub(crate) fn max(&self) -> usize {
        (self.capacity / 2 - 8) as usize
    }

    fn padding(&self, len: usize) -> u64 {
        let to_wrap = self.capacity - self.origin.wrapping_add(self.tail) % self.capacity;
        if span(len) > to_wrap { to_wrap } else { 0 }
    }

    pub(crate) fn fits(&self, len: usize) -> bool {
        self.tail + self.padding(len) + span(len) - self.released <= self.capacity
    }

    /// Sends a record for which `claimed` bytes were claimed.
    pub(crate) fn send(&mut self, claimed: usize, record: Vec<u8>) {
        self.tail += self.padding(claimed) + span(record.len());
        self.queue.push_back((record, self.tail));
        self.sent += 1;
    }

    fn next(&self) -> Option<&[u8]> {
        self.queue.get(self.handed_out).map(|(record, _)| record.as_slice())
    }

    fn release(&mut self) {
        for (_, end) in self.queue.drain(..self.handed_out) {
            self.released = end;
            self.received += 1;
        }
        self.handed_out = 0;
    }

    fn end(&mut self, end: End) {
        match end {
            End::Drop => self.release(),
            End::Keep => self.handed_out = 0,
            End::Forget => {}
        }
    }

    pub(crate) fn recv(&mut self) -> Option<Vec<u8>> {
        let record = self.next()?.to_vec();
        self.handed_out += 1;
        self.release();
        Some(record)
    }
}

struct Play {
    ring: Ring,
    seats: Seats,
    producer: Option<RecordProducer>,
    consumer: Option<RecordConsumer>,
    model: Model,
    /// Numbers the records, so that no two are alike.
    stamp: u8,
}

impl Play {
    fn record(&mut self, len: usize) -> Vec<u8> {
        self.stamp = self.stamp.wrapping_add(1);
        (0..len).map(|at| (at as u8).wrapping_mul(31) ^ self.stamp).collect()
    }

    /// What sending a record of that length must come to.
    fn verdict(&self, len: usize) -> Result<(), TrySendError<()>> {
        if len > self.model.max() {
            Err(TrySendError::TooLarge { len, max: self.model.max() })
        } else if self.seats.consumer == Seat::Closed {
            Err(TrySendError::Disconnected(()))
        } else if !self.model.fits(len) {
            Err(TrySendError::Full(()))
        } else {
            Ok(())
        }
    }

    /// Why nothing can be received, if so.
    fn nothing(&self) -> Option<TryRecvError> {
        if self.model.next().is_some() {
            None
        } else if self.seats.producer == Seat::Closed {
            Some(TryRecvError::Disconnected)
        } else {
            Some(TryRecvError::Empty)
        }
    }

    fn send(&mut self, op: &Op) {
        let Some(mut producer) = self.producer.take() else { return };
        match op {
            Op::Send(len) => {
                let record = self.record(*len);
                let verdict = self.verdict(*len);
                assert_eq!(producer.try_send(&record), verdict);
                if verdict.is_ok() {
                    self.model.send(*len, record);
                }
            }
            Op::SendTimeout(len) => {
                let record = self.record(*len);
                let timed_out = |error: TrySendError<()>| error.into_lasting().unwrap_or(SendTimeoutError::Timeout(()));
                let verdict = self.verdict(*len).map_err(timed_out);
                assert_eq!(producer.send_timeout(&record, Duration::ZERO), verdict);
                if verdict.is_ok() {
                    self.model.send(*len, record);
                }
            }
            Op::SendSlice(lens) => {
                let records: Vec<Vec<u8>> = lens.iter().map(|len| self.record(*len)).collect();
                let mut verdict = Ok(0);
                for (sent, record) in records.iter().enumerate() {
                    if let Err(cause) = self.verdict(record.len()) {
                        verdict = if sent == 0 { Err(cause) } else { verdict };
                        break;
                    }
                    self.model.send(record.len(), record.clone());
                    verdict = Ok(sent + 1);
                }
                let fits_all = verdict == Ok(records.len());
                if fits_all && records.len() % 2 == 1 {
                    assert_eq!(producer.send_slice(&records), Ok(()));
                } else {
                    assert_eq!(producer.try_send_slice(&records), verdict);
                }
            }
            Op::Loan(len, first) => {
                let verdict = self.verdict(*len);
                let loan = producer.try_loan(*len);
                assert_eq!(loan.as_ref().map(|_| ()).map_err(|error| *error), verdict);
                if let Ok(mut loan) = loan {
                    let record = self.record(*len);
                    assert_eq!(loan.len(), *len);
                    loan.copy_from_slice(&record);
                    assert_eq!(*loan, record);
                    match first {
                        Some(first) if first == len => loan.commit(),
                        Some(first) => loan.commit_first(*first),
                        None => drop(loan),
                    }
                    if let Some(first) = first {
                        self.model.send(*len, record[..*first.min(len)].to_vec());
                    }
                }
            }
            _ => {}
        }
        self.producer = Some(producer);
    }

    fn recv(&mut self, op: &Op) {
        let nothing = self.nothing();
        let Some(consumer) = self.consumer.as_mut() else { return };
        let mut into = vec![0xee; 3];
        match op {
            Op::Recv | Op::RecvTimeout => {
                let outcome = match op {
                    Op::Recv => consumer.try_recv(&mut into),
                    _ => consumer.recv_timeout(&mut into, Duration::ZERO).map_err(|error| match error {
                        RecvTimeoutError::Timeout => TryRecvError::Empty,
                        RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
                        RecvTimeoutError::Fault(fault) => TryRecvError::Fault(fault),
                        other => unreachable!("no SPSC ring does that: {other:?}"),
                    }),
                };
                match nothing {
                    Some(error) => assert_eq!((outcome, into), (Err(error), vec![0xee; 3])),
                    None => {
                        assert_eq!(outcome, Ok(into.len()));
                        assert_eq!(Some(into), self.model.recv());
                    }
                }
            }
            Op::RecvRef(end) => match consumer.try_recv_ref() {
                Err(error) => assert_eq!(Some(error), nothing),
                Ok(record) => {
                    assert_eq!(Some(&*record), self.model.next());
                    self.model.handed_out += 1;
                    match end {
                        End::Drop => drop(record),
                        End::Keep => record.keep(),
                        End::Forget => core::mem::forget(record),
                    }
                    self.model.end(*end);
                }
            },
            Op::Drain(count, end) => match consumer.try_drain() {
                Err(error) => assert_eq!(Some(error), nothing),
                Ok(mut drain) => {
                    for taken in 0..*count {
                        let Some(next) = self.model.next() else {
                            assert_eq!(drain.next(), Ok(None));
                            break;
                        };
                        assert_eq!(drain.next(), Ok(Some(next)));
                        self.model.handed_out += 1;
                        assert_eq!(drain.taken(), taken as u64 + 1);
                    }
                    match end {
                        End::Drop => drop(drain),
                        End::Keep => drain.keep(),
                        End::Forget => core::mem::forget(drain),
                    }
                    self.model.end(*end);
                }
            },
            Op::Iter => {
                for record in consumer.try_iter() {
                    assert_eq!(Some(record), self.model.recv());
                }
                assert_eq!(self.model.next(), None);
            }
            _ => {}
        }
    }

    fn leave_and_join(&mut self, op: &Op) {
        let is_empty = || self.model.queue.is_empty();
        match op {
            Op::LeaveProducer(seat) => {
                let Some(producer) = self.producer.take() else { return };
                if *seat == Seat::Closed {
                    drop(producer)
                } else {
                    producer.detach()
                }
                self.seats.producer = *seat;
                self.seats.left(is_empty(), self.ring.retires());
            }
            Op::LeaveConsumer(seat) => {
                let Some(consumer) = self.consumer.take() else { return };
                if *seat == Seat::Closed {
                    drop(consumer)
                } else {
                    consumer.detach()
                }
                // What was handed out and not released is handed out again.
                self.model.handed_out = 0;
                self.seats.consumer = *seat;
                self.seats.left(is_empty(), self.ring.retires());
            }
            Op::Rejoin => {
                for is_producer in [true, false] {
                    if self.seats.is_retired {
                        let refused = self.ring.consumer::<[u8]>().err();
                        assert!(matches!(refused, Some(OpenError::NotFound { .. })), "{refused:?}");
                    } else if is_producer && self.producer.is_none() {
                        self.producer = Some(self.ring.producer::<[u8]>().expect("a free role"));
                        self.seats.producer = Seat::Live;
                    } else if !is_producer && self.consumer.is_none() {
                        self.consumer = Some(self.ring.consumer::<[u8]>().expect("a free role"));
                        self.seats.consumer = Seat::Live;
                    }
                }
            }
            _ => {}
        }
    }

    fn check(&self) {
        assert_eq!(self.ring.is_named(), self.ring.retires() && !self.seats.is_retired);
        let Model { queue, sent, received, capacity, .. } = &self.model;
        if let Some(producer) = &self.producer {
            assert_eq!((producer.sent(), producer.len(), producer.is_empty()), (*sent, queue.len(), queue.is_empty()));
            assert_eq!((producer.capacity() as u64, producer.max_message()), (*capacity, self.model.max()));
            assert_eq!(producer.peer(), self.seats.consumer.as_peer());
        }
        if let Some(consumer) = &self.consumer {
            assert_eq!(consumer.received(), *received, "released, not handed out");
            assert_eq!((consumer.len(), consumer.is_empty()), (queue.len(), queue.is_empty()));
            assert_eq!((consumer.capacity() as u64, consumer.max_message()), (*capacity, self.model.max()));
            assert_eq!(consumer.peer(), self.seats.producer.as_peer());
        }
    }
}

proptest::proptest! {
    #![proptest_config(Config { cases: 800, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_record_ring_behaves_like_its_model(
        ground in prop::sample::select(GROUNDS.to_vec()),
        log in 5..9_u32,
        near in prop::sample::select(ORIGINS.to_vec()),
        start in any::<u8>(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let _watch = Watch::over("a record ring");
        let (capacity, origin) = (1 << log, near.wrapping_sub(u64::from(start) * 8));
        let ring = Ring::new::<[u8]>(ground, capacity, origin);
        let producer = ring.producer::<[u8]>().ok();
        let consumer = ring.consumer::<[u8]>().ok();
        let model = Model::new(capacity, origin);
        let mut play = Play { ring, seats: Seats::taken(), producer, consumer, model, stamp: 0 };
        for op in &ops {
            play.send(op);
            play.recv(op);
            play.leave_and_join(op);
            play.check();
        }
    }
}
