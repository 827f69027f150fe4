//! ringshm's MPMC ring: its blocking calls, its `try_` calls in spin loops, and its slices.

use super::pausing::{Patient, Pausing, until, until_sent};
use crate::channel::{Across, Among, Ends, Link, Receiver, Sender};
use crate::message::{Inspect, Message, Word};
use crate::plan::{Outcome, Plan};
use crate::stage::{self, Stage};
use anyhow::Result;
use core::marker::PhantomData;
use core::time::Duration;
use ringshm::mpmc::{Consumer, Mpmc, Producer};
use ringshm::{Builder, TryRecvError, TrySendError, Wait};
use std::os::fd::OwnedFd;

/// MPMC rings, used in the style `S`.
pub(super) struct Mpmcs<S>(PhantomData<S>);

/// How messages are sent and received.
pub(super) trait Style: Send {
    fn send<M: Message>(to: &mut Producer<M>, message: M);
    fn send_slice<M: Message>(to: &mut Producer<M>, messages: &[M]);
    fn recv<M: Message>(from: &mut Consumer<M>) -> M;
    fn recv_slice<M: Message>(from: &mut Consumer<M>, into: &mut [M]) -> usize;
}

/// `send` and `recv`, which wait by themselves.
pub(super) struct Blocking;

/// `try_send` with many pauses when full, and `try_recv` as told when empty.
pub(super) struct Trying<P>(PhantomData<P>);

/// At most so many messages are received together.
const BATCH: usize = 64;

impl Style for Blocking {
    #[inline(always)]
    fn send<M: Message>(to: &mut Producer<M>, message: M) {
        to.send(message).expect("a consumer lives");
    }

    #[inline]
    fn send_slice<M: Message>(to: &mut Producer<M>, messages: &[M]) {
        to.send_slice(messages).expect("a consumer lives");
    }

    #[inline(always)]
    fn recv<M: Message>(from: &mut Consumer<M>) -> M {
        from.recv().expect("a producer lives")
    }

    #[inline]
    fn recv_slice<M: Message>(from: &mut Consumer<M>, into: &mut [M]) -> usize {
        from.recv_slice(into).expect("a producer lives")
    }
}

impl<P: Pausing> Style for Trying<P> {
    #[inline(always)]
    fn send<M: Message>(to: &mut Producer<M>, message: M) {
        until_sent::<Patient, M>(message, |message| match to.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(same) | TrySendError::Stalled(same, _)) => Err(same),
            Err(other) => panic!("a consumer lives: {other}"),
        });
    }

    #[inline]
    fn send_slice<M: Message>(to: &mut Producer<M>, messages: &[M]) {
        let mut sent = 0;
        while sent < messages.len() {
            sent += until::<Patient, _>(|| match to.try_send_slice(&messages[sent..]) {
                Ok(more) => Some(more),
                Err(TrySendError::Full(()) | TrySendError::Stalled(..)) => None,
                Err(other) => panic!("a consumer lives: {other}"),
            });
        }
    }

    #[inline(always)]
    fn recv<M: Message>(from: &mut Consumer<M>) -> M {
        until::<P, M>(|| match from.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Empty | TryRecvError::Stalled(_)) => None,
            Err(other) => panic!("a producer lives: {other}"),
        })
    }

    #[inline]
    fn recv_slice<M: Message>(from: &mut Consumer<M>, into: &mut [M]) -> usize {
        until::<P, _>(|| match from.try_recv_slice(into) {
            Ok(received) => Some(received),
            Err(TryRecvError::Empty | TryRecvError::Stalled(_)) => None,
            Err(other) => panic!("a producer lives: {other}"),
        })
    }
}

/// An end, and room for a batch.
struct End<S, E, M>(E, Vec<M>, PhantomData<S>);

impl<S: Style, M: Message> Sender<M> for End<S, Producer<M>, M> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        S::send(&mut self.0, message);
    }

    #[inline]
    fn send_batch(&mut self, first: u64, count: usize) {
        self.1.clear();
        self.1.extend((first..first + count as u64).map(M::numbered));
        S::send_slice(&mut self.0, &self.1);
    }
}

impl<S: Style, M: Message> Receiver<M> for End<S, Consumer<M>, M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        S::recv(&mut self.0)
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut impl Inspect) {
        let received = S::recv_slice(&mut self.0, &mut self.1);
        self.1[..received].iter().for_each(|message| check.see(message));
    }
}

fn sending<S, M: Message>(end: Producer<M>) -> End<S, Producer<M>, M> {
    End(end, Vec::new(), PhantomData)
}

fn receiving<S, M: Message>(end: Consumer<M>) -> End<S, Consumer<M>, M> {
    End(end, vec![M::default(); BATCH], PhantomData)
}

/// In a crowd, who waits lets others work, as the rivals do.
fn ring<M: Message>(plan: &Plan) -> Builder<Mpmc<M>> {
    let wait = if plan.crew.is_crowd() { Wait::SpinThenYield(Duration::from_micros(1)) } else { Wait::Spin };
    ringshm::mpmc::<M>("bench").wait(wait)
}

impl<S: Style> Among for Mpmcs<S> {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        let ring = ring::<M>(plan).capacity(plan.capacity as u64).heap()?;
        let to = (0..plan.crew.producers).map(|_| Ok(sending::<S, M>(ring.producer()?))).collect::<Result<_>>()?;
        let from = (0..plan.crew.consumers).map(|_| Ok(receiving::<S, M>(ring.consumer()?))).collect::<Result<_>>()?;
        Ok((to, from))
    }
}

impl<S: Style> Across for Mpmcs<S> {
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(vec![ring::<M>(plan).capacity(plan.capacity as u64).memfd()?])
    }

    fn sender<M: Message>(plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        Ok(sending::<S, M>(ring::<M>(plan).producer_of(&link.files[0])?))
    }

    fn receiver<M: Message>(plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        Ok(receiving::<S, M>(ring::<M>(plan).consumer_of(&link.files[0])?))
    }
}

/// The end of a survivor: both roles.
struct Survivor(Producer<Word>, Consumer<Word>);

impl Sender<Word> for Survivor {
    fn send(&mut self, message: Word) {
        self.0.send(message).expect("a consumer lives");
    }

    fn send_batch(&mut self, _first: u64, _count: usize) {
        unreachable!("messages are sent one by one");
    }
}

impl Receiver<Word> for Survivor {
    fn recv(&mut self) -> Word {
        self.1.recv().expect("a producer lives")
    }

    fn recv_batch(&mut self, _check: &mut impl Inspect) {
        unreachable!("messages are received one by one");
    }
}

/// Consumers are killed while they hold a message by `recv_ref`.
pub(super) fn recovery(stage: &Stage) -> Result<Option<Outcome>> {
    let ring = || ring::<Word>(&stage.plan);
    let hold = |link: &Link, die: &dyn Fn()| {
        let mut consumer = ring().consumer_of(&link.files[0])?;
        let _held = consumer.recv_ref()?;
        die();
        Ok(())
    };
    let survivor = |link: &Link| {
        let file = &link.files[0];
        Ok(Survivor(ring().producer_of(file)?, ring().consumer_of(file)?))
    };
    stage::recovery(stage, hold, survivor)
}
