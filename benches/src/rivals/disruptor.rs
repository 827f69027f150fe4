//! disruptor-rs: `publish` and `batch_publish` in place, which spin by themselves, and its event poller.

use super::pausing::{Eager, until};
use crate::channel::{Receiver, Sender, Within};
use crate::message::{Check, Message};
use crate::plan::Plan;
use anyhow::Result;
use disruptor::{
    BusySpin, EventPoller, Producer as _, SingleConsumerBarrier, SingleProducer, SingleProducerBarrier,
    build_single_producer,
};

/// disruptor-rs.
pub(super) struct Disruptor;

struct To<M>(SingleProducer<M, SingleConsumerBarrier>);
struct From<M>(EventPoller<M, SingleProducerBarrier>);

impl<M: Message> Sender<M> for To<M> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        self.0.publish(|event| *event = message);
    }

    #[inline]
    fn send_batch(&mut self, first: u64, count: usize) {
        self.0.batch_publish(count, |events| {
            for (event, number) in events.zip(first..) {
                *event = M::numbered(number);
            }
        });
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
    fn recv_batch(&mut self, check: &mut Check) {
        until::<Eager, _>(|| {
            let mut events = self.0.poll().ok()?;
            for message in &mut events {
                check.see(message);
            }
            Some(())
        });
    }
}

impl Within for Disruptor {
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)> {
        let builder = build_single_producer(plan.capacity, M::default, BusySpin);
        let (from, builder) = builder.new_event_poller();
        Ok((To(builder.build()), From(from)))
    }
}
