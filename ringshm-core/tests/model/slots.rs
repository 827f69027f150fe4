//! Rings of fixed-size messages against a queue.

use crate::seats::{Seat, Seats};
use crate::watch::Watch;
use crate::{GROUNDS, Ground, ORIGINS, Ring};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::Config;
use ringshm_core::error::{OpenError, RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use ringshm_core::{Consumer, Payload, Producer};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

/// A payload type of some size.
trait Sample: Payload + PartialEq + Debug {
    fn numbered(number: u64) -> Self;
}

impl Sample for u8 {
    fn numbered(number: u64) -> Self {
        number as u8
    }
}

impl Sample for u64 {
    fn numbered(number: u64) -> Self {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Sample for [u64; 3] {
    fn numbered(number: u64) -> Self {
        [number, !number, number << 32]
    }
}

impl Sample for [u64; 4] {
    fn numbered(number: u64) -> Self {
        [number, !number, number << 32, number >> 32]
    }
}

impl Sample for [u64; 8] {
    fn numbered(number: u64) -> Self {
        core::array::from_fn(|at| number.rotate_left(at as u32 * 8))
    }
}

#[derive(Clone, Debug)]
enum Op {
    Send,
    SendTimeout,
    SendSlice(usize),
    SendIter(usize),
    /// Commits it, or not.
    Loan(bool),
    Recv,
    RecvTimeout,
    RecvRef(End),
    /// Takes so many.
    Drain(usize, End),
    Iter(usize),
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
    let end = || prop_oneof![4 => Just(End::Drop), 2 => Just(End::Keep), 1 => Just(End::Forget)];
    let seat = || prop_oneof![2 => Just(Seat::Detached), 1 => Just(Seat::Closed)];
    prop_oneof![
        6 => Just(Op::Send),
        1 => Just(Op::SendTimeout),
        4 => (0..12_usize).prop_map(Op::SendSlice),
        4 => (0..12_usize).prop_map(Op::SendIter),
        3 => any::<bool>().prop_map(Op::Loan),
        6 => Just(Op::Recv),
        1 => Just(Op::RecvTimeout),
        4 => end().prop_map(Op::RecvRef),
        3 => (0..10_usize, end()).prop_map(|(count, end)| Op::Drain(count, end)),
        1 => (0..10_usize).prop_map(Op::Iter),
        1 => seat().prop_map(Op::LeaveProducer),
        1 => seat().prop_map(Op::LeaveConsumer),
        4 => Just(Op::Rejoin),
    ]
}

struct Play<T: Sample> {
    ring: Ring,
    seats: Seats,
    producer: Option<Producer<T>>,
    consumer: Option<Consumer<T>>,
    capacity: usize,
    /// What was sent and not released.
    queue: VecDeque<T>,
    /// Of these, so many are handed out.
    handed_out: usize,
    sent: u64,
    received: u64,
}

impl<T: Sample> Play<T> {
    fn new(ground: Ground, capacity: u64, origin: u64) -> Self {
        let ring = Ring::new::<T>(ground, capacity, origin);
        let producer = ring.producer::<T>().ok();
        let consumer = ring.consumer::<T>().ok();
        let seats = Seats::taken();
        let capacity = capacity as usize;
        Self { ring, seats, producer, consumer, capacity, queue: VecDeque::new(), handed_out: 0, sent: 0, received: 0 }
    }

    fn room(&self) -> usize {
        self.capacity - self.queue.len()
    }

    fn verdict(&self) -> Result<(), TrySendError<()>> {
        if self.seats.consumer == Seat::Closed {
            Err(TrySendError::Disconnected(()))
        } else if self.room() == 0 {
            Err(TrySendError::Full(()))
        } else {
            Ok(())
        }
    }

    fn nothing(&self) -> Option<TryRecvError> {
        let error = if self.seats.producer == Seat::Closed { TryRecvError::Disconnected } else { TryRecvError::Empty };
        (self.handed_out == self.queue.len()).then_some(error)
    }

    fn sent(&mut self, message: T) {
        self.queue.push_back(message);
        self.sent += 1;
    }

    fn release(&mut self) {
        self.queue.drain(..self.handed_out);
        self.received += self.handed_out as u64;
        self.handed_out = 0;
    }

    fn end(&mut self, end: End) {
        match end {
            End::Drop => self.release(),
            End::Keep => self.handed_out = 0,
            End::Forget => {}
        }
    }

    fn expect_next(&mut self, message: Option<T>) {
        assert_eq!(message.as_ref(), self.queue.get(self.handed_out));
        self.handed_out += usize::from(message.is_some());
    }

    fn send(&mut self, op: &Op) {
        let Some(mut producer) = self.producer.take() else { return };
        let verdict = self.verdict();
        let message = T::numbered(self.sent);
        match op {
            Op::Send => {
                let expected = verdict.map_err(|error| match error {
                    TrySendError::Full(()) => TrySendError::Full(message),
                    _ => TrySendError::Disconnected(message),
                });
                assert_eq!(producer.try_send(message), expected);
                verdict.is_ok().then(|| self.sent(message));
            }
            Op::SendTimeout => {
                let expected = verdict.map_err(|error| match error {
                    TrySendError::Full(()) => SendTimeoutError::Timeout(message),
                    _ => SendTimeoutError::Disconnected(message),
                });
                assert_eq!(producer.send_timeout(message, Duration::ZERO), expected);
                verdict.is_ok().then(|| self.sent(message));
            }
            Op::SendSlice(count) => {
                let messages: Vec<T> = (0..*count as u64).map(|at| T::numbered(self.sent + at)).collect();
                let fitting = messages.len().min(self.room());
                if verdict.is_ok() && fitting == messages.len() && count % 2 == 1 {
                    assert_eq!(producer.send_slice(&messages), Ok(()));
                } else {
                    let expected = if messages.is_empty() { Ok(0) } else { verdict.map(|()| fitting) };
                    assert_eq!(producer.try_send_slice(&messages), expected);
                }
                if verdict.is_ok() {
                    messages[..fitting].iter().for_each(|message| self.sent(*message));
                }
            }
            Op::SendIter(count) => {
                let mut messages = (0..*count as u64).map(|at| T::numbered(self.sent + at));
                let fitting = self.room().min(*count);
                if verdict.is_ok() && fitting == *count && count % 2 == 1 {
                    assert_eq!(producer.send_iter(messages), Ok(*count));
                } else {
                    let sent = producer.try_send_iter(&mut messages);
                    assert_eq!(sent, verdict.map(|()| fitting));
                    assert_eq!(messages.count(), count - sent.unwrap_or(0), "nothing is taken that is not sent");
                }
                if verdict.is_ok() {
                    (0..fitting).for_each(|_| self.sent(T::numbered(self.sent)));
                }
            }
            Op::Loan(commits) => {
                let loan = producer.try_loan();
                assert_eq!(loan.as_ref().map(|_| ()).map_err(|error| *error), verdict);
                if let Ok(mut loan) = loan {
                    *loan = message;
                    assert_eq!(*loan, message);
                    if *commits {
                        loan.commit();
                        self.sent(message);
                    }
                }
            }
            _ => {}
        }
        self.producer = Some(producer);
    }

    fn recv(&mut self, op: &Op) {
        let Some(mut consumer) = self.consumer.take() else { return };
        let nothing = self.nothing();
        match op {
            Op::Recv | Op::RecvTimeout => {
                let outcome = match op {
                    Op::Recv => consumer.try_recv(),
                    _ => consumer.recv_timeout(Duration::ZERO).map_err(|error| match error {
                        RecvTimeoutError::Timeout => TryRecvError::Empty,
                        RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
                        RecvTimeoutError::Fault(fault) => TryRecvError::Fault(fault),
                        other => unreachable!("no SPSC ring does that: {other:?}"),
                    }),
                };
                assert_eq!(outcome.err(), nothing);
                self.expect_next(outcome.ok());
                outcome.is_ok().then(|| self.release());
            }
            Op::RecvRef(end) => match consumer.try_recv_ref() {
                Err(error) => assert_eq!(Some(error), nothing),
                Ok(message) => {
                    self.expect_next(Some(*message));
                    match end {
                        End::Drop => drop(message),
                        End::Keep => message.keep(),
                        End::Forget => core::mem::forget(message),
                    }
                    self.end(*end);
                }
            },
            Op::Drain(count, end) => match consumer.try_drain() {
                Err(error) => assert_eq!(Some(error), nothing),
                Ok(mut drain) => {
                    let before = self.handed_out;
                    assert_eq!((nothing, drain.len()), (None, self.queue.len() - self.handed_out));
                    for _ in 0..*count {
                        self.expect_next(drain.next());
                        assert_eq!(drain.len(), self.queue.len() - self.handed_out);
                    }
                    match end {
                        End::Drop => drop(drain),
                        End::Keep => drain.keep(),
                        End::Forget => {
                            core::mem::forget(drain);
                            self.handed_out = before;
                        }
                    }
                    self.end(*end);
                }
            },
            Op::Iter(count) if count % 2 == 1 => {
                let ready = self.queue.len() - self.handed_out;
                for message in consumer.iter().take(ready.min(*count)) {
                    self.expect_next(Some(message));
                }
                // One that took nothing releases what was handed out and forgotten before, as one that did.
                self.release();
            }
            Op::Iter(count) => {
                for message in consumer.try_iter().take(*count) {
                    self.expect_next(Some(message));
                    self.release();
                }
            }
            _ => {}
        }
        self.consumer = Some(consumer);
    }

    fn leave_and_join(&mut self, op: &Op) {
        let is_empty = self.queue.is_empty();
        match op {
            Op::LeaveProducer(seat) => {
                let Some(producer) = self.producer.take() else { return };
                if *seat == Seat::Closed {
                    drop(producer)
                } else {
                    producer.detach()
                }
                self.seats.producer = *seat;
                self.seats.left(is_empty, self.ring.retires());
            }
            Op::LeaveConsumer(seat) => {
                let Some(consumer) = self.consumer.take() else { return };
                if *seat == Seat::Closed {
                    drop(consumer)
                } else {
                    consumer.detach()
                }
                self.handed_out = 0;
                self.seats.consumer = *seat;
                self.seats.left(is_empty, self.ring.retires());
            }
            Op::Rejoin if self.seats.is_retired => {
                let refused = self.ring.producer::<T>().err();
                assert!(matches!(refused, Some(OpenError::NotFound { .. })), "{refused:?}");
            }
            Op::Rejoin => {
                if self.producer.is_none() {
                    self.producer = Some(self.ring.producer::<T>().expect("a free role"));
                    self.seats.producer = Seat::Live;
                }
                if self.consumer.is_none() {
                    self.consumer = Some(self.ring.consumer::<T>().expect("a free role"));
                    self.seats.consumer = Seat::Live;
                }
                let taken = self.ring.producer::<T>().err();
                assert!(matches!(taken, Some(OpenError::RoleTaken { role: "producer", .. })), "{taken:?}");
            }
            _ => {}
        }
    }

    fn check(&self) {
        assert_eq!(self.ring.is_named(), self.ring.retires() && !self.seats.is_retired);
        let len = self.queue.len();
        assert!(len <= self.capacity);
        if let Some(producer) = &self.producer {
            assert_eq!((producer.sent(), producer.len(), producer.is_empty()), (self.sent, len, len == 0));
            assert_eq!((producer.capacity(), producer.peer()), (self.capacity, self.seats.consumer.as_peer()));
        }
        if let Some(consumer) = &self.consumer {
            assert_eq!((consumer.received(), consumer.len(), consumer.is_empty()), (self.received, len, len == 0));
            assert_eq!((consumer.capacity(), consumer.peer()), (self.capacity, self.seats.producer.as_peer()));
        }
    }

    fn run(mut self, ops: &[Op]) {
        for op in ops {
            self.send(op);
            self.recv(op);
            self.leave_and_join(op);
            self.check();
        }
    }
}

proptest::proptest! {
    #![proptest_config(Config { cases: 500, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_slot_ring_behaves_like_its_model(
        ground in prop::sample::select(GROUNDS.to_vec()),
        capacity in prop::sample::select(vec![1, 2, 4, 8]),
        near in prop::sample::select(ORIGINS.to_vec()),
        start in any::<u8>(),
        ops in prop::collection::vec(op(), 1..100),
    ) {
        let _watch = Watch::over("a slot ring");
        // Slots may begin anywhere.
        let origin = near.wrapping_sub(u64::from(start));
        Play::<u8>::new(ground, capacity, origin).run(&ops);
        Play::<u64>::new(ground, capacity, origin).run(&ops);
        Play::<[u64; 3]>::new(ground, capacity, origin).run(&ops);
        Play::<[u64; 4]>::new(ground, capacity, origin).run(&ops);
        Play::<[u64; 8]>::new(ground, capacity, origin).run(&ops);
    }
}

/// Never full when not full: every capacity takes exactly as many messages, at every place of the ring.
fn fill_and_empty<T: Sample>(ground: Ground, capacity: u64, origin: u64) {
    let ring = Ring::new::<T>(ground, capacity, origin);
    let mut producer = ring.producer::<T>().expect("a vacant role");
    let mut consumer = ring.consumer::<T>().expect("a vacant role");
    let mut sent = 0;
    let mut received = 0;
    for taken in (1..=capacity).chain(1..=capacity) {
        while sent - received < capacity {
            assert_eq!(
                producer.try_send(T::numbered(sent)),
                Ok(()),
                "full when not full: {sent} sent, {received} received"
            );
            sent += 1;
        }
        assert_eq!(producer.try_send(T::numbered(0)), Err(TrySendError::Full(T::numbered(0))));
        for _ in 0..taken {
            assert_eq!(consumer.try_recv(), Ok(T::numbered(received)), "empty when not empty");
            received += 1;
        }
    }
    assert!(consumer.try_iter().eq((received..sent).map(T::numbered)));
    assert_eq!(consumer.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn every_capacity_is_used_to_the_last_slot() {
    for ground in GROUNDS {
        for capacity in [1, 2, 4, 8, 16, 32, 64] {
            for origin in ORIGINS {
                fill_and_empty::<u8>(ground, capacity, origin);
                fill_and_empty::<u64>(ground, capacity, origin.wrapping_add(3));
                fill_and_empty::<[u64; 3]>(ground, capacity, origin.wrapping_add(5));
                fill_and_empty::<[u64; 8]>(ground, capacity, origin);
            }
        }
    }
}
