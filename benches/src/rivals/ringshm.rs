//! ringshm itself: its blocking calls, its `try_` calls in spin loops, and its iterator.

use super::pausing::{Pausing, until, until_sent};
use crate::channel::{
    Across, Link, Receiver, RecordReceiver, RecordSender, RecordsAcross, RecordsWithin, Sender, Within,
};
use crate::message::{Inspect, Message};
use crate::plan::{Plan, Test, Waiting};
use crate::records::RecordCheck;
use crate::setting::Setting;
use anyhow::Result;
use core::marker::PhantomData;
use ringshm::{Builder, Consumer, Producer, RecordConsumer, RecordProducer, TryRecvError, TrySendError, Wait};
use std::os::fd::OwnedFd;

/// Rings, used in the style `S`.
pub(super) struct Rings<S>(PhantomData<S>);

/// How single messages are sent and received.
pub(super) trait Style: Send {
    fn send<M: Message>(to: &mut Producer<M>, message: M);
    fn recv<M: Message>(from: &mut Consumer<M>) -> M;

    #[inline(always)]
    fn recv_batch<M: Message>(from: &mut Consumer<M>, check: &mut impl Inspect) {
        for message in from.drain().expect("the producer lives") {
            check.see(&message);
        }
    }
}

/// `send` and `recv`.
pub(super) struct Blocking;

/// `try_send` and `try_recv`, over and over, with pauses between.
pub(super) struct Trying<P>(PhantomData<P>);

/// `send` and `iter`.
pub(super) struct Iter;

/// Messages that are taken from an iterator before another one is made, and the clock looked at.
const LOOP: usize = 1024;

impl Style for Blocking {
    #[inline(always)]
    fn send<M: Message>(to: &mut Producer<M>, message: M) {
        to.send(message).expect("the consumer lives");
    }

    #[inline(always)]
    fn recv<M: Message>(from: &mut Consumer<M>) -> M {
        from.recv().expect("the producer lives")
    }
}

impl<P: Pausing> Style for Trying<P> {
    #[inline(always)]
    fn send<M: Message>(to: &mut Producer<M>, message: M) {
        until_sent::<P, M>(message, |message| match to.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(same)) => Err(same),
            Err(other) => panic!("the consumer lives: {other}"),
        });
    }

    #[inline(always)]
    fn recv<M: Message>(from: &mut Consumer<M>) -> M {
        until::<P, M>(|| match from.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Empty) => None,
            Err(other) => panic!("the producer lives: {other}"),
        })
    }
}

impl Style for Iter {
    #[inline(always)]
    fn send<M: Message>(to: &mut Producer<M>, message: M) {
        to.send(message).expect("the consumer lives");
    }

    #[inline(always)]
    fn recv<M: Message>(from: &mut Consumer<M>) -> M {
        from.iter().next().expect("the producer lives")
    }

    #[inline(always)]
    fn recv_batch<M: Message>(from: &mut Consumer<M>, check: &mut impl Inspect) {
        for message in from.iter().take(LOOP) {
            check.see(&message);
            if check.has_ended() {
                break;
            }
        }
    }
}

struct End<S, E>(E, PhantomData<S>);

impl<S, E> End<S, E> {
    fn new(end: E) -> Self {
        Self(end, PhantomData)
    }
}

impl<S: Style, M: Message> Sender<M> for End<S, Producer<M>> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        S::send(&mut self.0, message);
    }

    #[inline]
    fn send_batch(&mut self, first: u64, count: usize) {
        self.0.send_iter((first..first + count as u64).map(M::numbered)).expect("the consumer lives");
    }
}

impl<S: Style, M: Message> Receiver<M> for End<S, Consumer<M>> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        S::recv(&mut self.0)
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut impl Inspect) {
        S::recv_batch(&mut self.0, check);
    }
}

impl RecordSender for RecordProducer {
    #[inline(always)]
    fn send(&mut self, record: &[u8]) {
        RecordProducer::send(self, record).expect("the consumer lives");
    }

    #[inline]
    fn send_batch(&mut self, records: &[&[u8]]) {
        self.send_slice(records).expect("the consumer lives");
    }
}

impl RecordReceiver for End<Vec<u8>, (RecordConsumer, Vec<u8>)> {
    #[inline(always)]
    fn recv(&mut self, check: &mut RecordCheck) {
        self.0.0.recv(&mut self.0.1).expect("the producer lives");
        check.see(&self.0.1);
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut RecordCheck) {
        let mut records = self.0.0.drain().expect("the producer lives");
        while let Some(record) = records.next().expect("the ring is sound") {
            check.see(record);
        }
    }
}

fn messages<M: Message>(plan: &Plan) -> Builder<M> {
    setting(plan).of(ringshm::spsc::<M>("bench").capacity(plan.capacity as u64))
}

/// A role of a ring of messages that is there.
fn role<M: Message>(plan: &Plan, wait: Wait) -> Builder<M> {
    setting(plan).of(ringshm::spsc::<M>("")).wait(wait)
}

/// What is asked of the machine: nothing, unless that is the question.
fn setting(plan: &Plan) -> Setting {
    match plan.test {
        Test::Tail { setting, .. } => setting,
        _ => Setting::default(),
    }
}

fn records(plan: &Plan) -> Builder<[u8]> {
    // A record may take at most half of its ring, and the longest one of the feed has 28 KB.
    let bytes = plan.cargo.bytes(plan.capacity).max(1 << 16);
    ringshm::spsc::<[u8]>("bench").capacity(bytes as u64)
}

/// How the consumer waits; a producer always spins, so that it does not become the bottleneck.
fn wait(plan: &Plan) -> Wait {
    match plan.wait {
        Waiting::Spin => Wait::Spin,
        Waiting::Park => Wait::Park,
        Waiting::SpinThenPark => Wait::default(),
    }
}

impl<S: Style> Within for Rings<S> {
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)> {
        let (to, from) = messages::<M>(plan).wait(wait(plan)).threads()?;
        Ok((End::<S, _>::new(to), End::<S, _>::new(from)))
    }
}

impl<S> RecordsWithin for Rings<S> {
    fn pair(plan: &Plan) -> Result<(impl RecordSender + Send, impl RecordReceiver + Send)> {
        let (to, from) = records(plan).wait(wait(plan)).threads()?;
        Ok((to, End::new((from, Vec::new()))))
    }
}

impl<S: Style> Across for Rings<S> {
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(vec![messages::<M>(plan).memfd()?])
    }

    fn sender<M: Message>(plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        Ok(End::<S, _>::new(role::<M>(plan, Wait::Spin).producer_of(&link.files[0])?))
    }

    fn receiver<M: Message>(plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        Ok(End::<S, _>::new(role::<M>(plan, wait(plan)).consumer_of(&link.files[0])?))
    }
}

impl<S> RecordsAcross for Rings<S> {
    fn link(plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(vec![records(plan).memfd()?])
    }

    fn sender(_plan: &Plan, link: &Link) -> Result<impl RecordSender> {
        Ok(ringshm::spsc::<[u8]>("").wait(Wait::Spin).producer_of(&link.files[0])?)
    }

    fn receiver(plan: &Plan, link: &Link) -> Result<impl RecordReceiver> {
        let from = ringshm::spsc::<[u8]>("").wait(wait(plan)).consumer_of(&link.files[0])?;
        Ok(End::new((from, Vec::new())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Line;
    use crate::plan::{Cargo, Crew};
    use ringshm::Resident as _;

    #[test]
    fn both_sides_ask_for_what_the_plan_says() {
        let plan = |setting| Plan {
            rival: "ringshm".to_owned(),
            test: Test::Tail { rate: 1.0, setting },
            cargo: Cargo::Messages(64),
            crew: Crew::PAIR,
            capacity: 1 << 14,
            wait: Waiting::Spin,
            seconds: 1.0,
            directory: None,
        };
        for prefault in [false, true] {
            let plan = plan(Setting { prefault, ..Setting::default() });
            let ring = messages::<Line>(&plan).memfd().expect("room for a mebibyte");
            let producer = role::<Line>(&plan, Wait::Spin).producer_of(&ring).expect("nobody has the role");
            let consumer = role::<Line>(&plan, wait(&plan)).consumer_of(&ring).expect("nobody has the role");
            for pages in [producer.pages(), consumer.pages()] {
                let pages = pages.expect("a /proc");
                assert_eq!(pages.entered == pages.bytes, prefault, "{pages:?}");
            }
        }
    }
}
