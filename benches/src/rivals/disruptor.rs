//! disruptor-rs: `publish` and `batch_publish` in place, which spin by themselves, or `try_publish` with pauses; and its event pollers, which
//! see all that there is at once, polled without or with many pauses.

use super::pausing as pauses;
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

/// How both sides wait.
pub(super) trait Style: Send {
    /// The consumer's pauses between two looks.
    type Polling: pauses::Pausing;

    fn publish<M: Message>(to: &mut impl Producer<M>, message: M);
    fn publish_batch<M: Message>(to: &mut impl Producer<M>, first: u64, count: usize);
}

/// As the library does: the producer looks again at once.
pub(super) struct Spinning;

/// With pauses of the producer.
pub(super) struct Pausing;

/// With pauses of both.
pub(super) struct Resting;

fn fill<'a, M: Message>(events: impl Iterator<Item = &'a mut M>, first: u64) {
    for (event, number) in events.zip(first..) {
        *event = M::numbered(number);
    }
}

impl Style for Spinning {
    type Polling = Eager;

    #[inline(always)]
    fn publish<M: Message>(to: &mut impl Producer<M>, message: M) {
        to.publish(|event| *event = message);
    }

    #[inline(always)]
    fn publish_batch<M: Message>(to: &mut impl Producer<M>, first: u64, count: usize) {
        to.batch_publish(count, |events| fill(events, first));
    }
}

/// A style in which the producer pauses.
macro_rules! pausing {
    ($style:ty, $polling:ty) => {
        impl Style for $style {
            type Polling = $polling;

            #[inline(always)]
            fn publish<M: Message>(to: &mut impl Producer<M>, message: M) {
                until::<Patient, _>(|| to.try_publish(|event| *event = message).ok());
            }

            #[inline(always)]
            fn publish_batch<M: Message>(to: &mut impl Producer<M>, first: u64, count: usize) {
                until::<Patient, _>(|| to.try_batch_publish(count, |events| fill(events, first)).ok());
            }
        }
    };
}

pausing!(Pausing, Eager);
pausing!(Resting, Patient);

/// The producer's type says whether there is one consumer.
enum To<M, S> {
    One(SingleProducer<M, SingleConsumerBarrier>),
    Many(SingleProducer<M, MultiConsumerBarrier>, PhantomData<S>),
}

struct From<M, S>(EventPoller<M, SingleProducerBarrier>, PhantomData<S>);

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

impl<M: Message, S: Style> Receiver<M> for From<M, S> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        until::<S::Polling, _>(|| {
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
        until::<S::Polling, _>(|| {
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
        Ok((To::<M, S>::One(builder.build()), From(from, PhantomData::<S>)))
    }
}

impl<S: Style> Among for Disruptor<S> {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        let builder = build_single_producer(plan.capacity, M::default, BusySpin);
        let (first, builder) = builder.new_event_poller();
        let mut from = vec![From(first, PhantomData::<S>)];
        if plan.crew.consumers == 1 {
            return Ok((vec![To::<M, S>::One(builder.build())], from));
        }
        let (second, mut builder) = builder.new_event_poller();
        from.push(From(second, PhantomData));
        while from.len() < plan.crew.consumers {
            let next;
            (next, builder) = builder.new_event_poller();
            from.push(From(next, PhantomData));
        }
        Ok((vec![To::Many(builder.build(), PhantomData)], from))
    }
}
