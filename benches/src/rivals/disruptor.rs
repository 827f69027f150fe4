//! disruptor-rs: `publish` and `batch_publish` in place, which spin by themselves, or `try_publish` with pauses; and its event pollers, which
//! see all that there is at once.

use super::pausing::{Eager, Patient, until};
use crate::channel::{Among, Ends, Receiver, Sender, Within};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use core::marker::PhantomData;
use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, Producer, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier, build_single_producer,
};

/// disruptor-rs, used in the style `S`.
pub(super) struct Disruptor<S>(PhantomData<S>);

/// How the producer waits for a free slot.
pub(super) trait Style: Send {
    fn publish<M: Message>(to: &mut impl Producer<M>, message: M);
    fn publish_batch<M: Message>(to: &mut impl Producer<M>, first: u64, count: usize);
}

/// As the library does: it looks again at once.
pub(super) struct Spinning;

/// With pauses.
pub(super) struct Pausing;

fn fill<'a, M: Message>(events: impl Iterator<Item = &'a mut M>, first: u64) {
    for (event, number) in events.zip(first..) {
        *event = M::numbered(number);
    }
}

impl Style for Spinning {
    #[inline(always)]
    fn publish<M: Message>(to: &mut impl Producer<M>, message: M) {
        to.publish(|event| *event = message);
    }

    #[inline(always)]
    fn publish_batch<M: Message>(to: &mut impl Producer<M>, first: u64, count: usize) {
        to.batch_publish(count, |events| fill(events, first));
    }
}

impl Style for Pausing {
    #[inline(always)]
    fn publish<M: Message>(to: &mut impl Producer<M>, message: M) {
        until::<Patient, _>(|| to.try_publish(|event| *event = message).ok());
    }

    #[inline(always)]
    fn publish_batch<M: Message>(to: &mut impl Producer<M>, first: u64, count: usize) {
        until::<Patient, _>(|| to.try_batch_publish(count, |events| fill(events, first)).ok());
    }
}

/// The producer's type says whether there is one consumer.
enum To<M, S> {
    One(SingleProducer<M, SingleConsumerBarrier>),
    Many(SingleProducer<M, MultiConsumerBarrier>, PhantomData<S>),
}

struct From<M>(EventPoller<M, SingleProducerBarrier>);

impl<M: Message, S: Style> Sender<M> for To<M, S> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        match self {
            Self::One(to) => S::publish(to, message),
            Self::Many(to, _) => S::publish(to, message),
        }
    }

    #[inline]
    fn send_batch(&mut self, first: u64, count: usize) {
        match self {
            Self::One(to) => S::publish_batch(to, first, count),
            Self::Many(to, _) => S::publish_batch(to, first, count),
        }
    }
}

impl<M: Message> Receiver<M> for From<M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        until::<Eager, _>(|| {
            let mut events = self.0.take(1).ok()?;
            (&mut events).next().copied()
        })
    }

    #[inline]
    fn recv_some(&mut self, check: &mut impl Inspect) {
        self.recv_batch(check);
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut impl Inspect) {
        until::<Eager, _>(|| {
            let mut events = self.0.poll().ok()?;
            for message in &mut events {
                check.see(message);
            }
            Some(())
        });
    }
}

impl<S: Style> Within for Disruptor<S> {
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)> {
        let builder = build_single_producer(plan.capacity, M::default, BusySpin);
        let (from, builder) = builder.new_event_poller();
        Ok((To::<M, S>::One(builder.build()), From(from)))
    }
}

impl<S: Style> Among for Disruptor<S> {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        let builder = build_single_producer(plan.capacity, M::default, BusySpin);
        let (first, builder) = builder.new_event_poller();
        let mut from = vec![From(first)];
        if plan.crew.consumers == 1 {
            return Ok((vec![To::<M, S>::One(builder.build())], from));
        }
        let (second, mut builder) = builder.new_event_poller();
        from.push(From(second));
        while from.len() < plan.crew.consumers {
            let next;
            (next, builder) = builder.new_event_poller();
            from.push(From(next));
        }
        Ok((vec![To::Many(builder.build(), PhantomData)], from))
    }
}
