//! ringshm's broadcast ring: lossless consumers that receive one by one, in slices, or from an iterator; and readers that may lose messages.

use crate::channel::{Across, Among, Ends, Link, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::{Plan, Test};
use anyhow::Result;
use core::marker::PhantomData;
use core::time::Duration;
use ringshm::broadcast::{Broadcast, Consumer, Producer, Reader};
use ringshm::{Builder, RecvError, Wait};
use std::os::fd::OwnedFd;

/// Broadcast rings, whose consumers receive messages that were sent one by one in the style `S`.
pub(super) struct Broadcasts<S>(PhantomData<S>);

/// How a consumer receives what was sent one by one.
pub(super) trait Style: Send {
    fn recv_some<M: Message>(from: &mut Consumer<M>, room: &mut [M], check: &mut impl Inspect);
}

/// One by one.
pub(super) struct Single;

/// All that there is, copied into a slice.
pub(super) struct Slices;

/// From an iterator.
pub(super) struct Iter;

/// At most so many messages are received together.
const BATCH: usize = 256;

/// Messages that are taken from an iterator before another one is made.
const LOOP: usize = 256;

impl Style for Single {
    #[inline(always)]
    fn recv_some<M: Message>(from: &mut Consumer<M>, _room: &mut [M], check: &mut impl Inspect) {
        check.see(&from.recv().expect("the producer lives"));
    }
}

impl Style for Slices {
    #[inline(always)]
    fn recv_some<M: Message>(from: &mut Consumer<M>, room: &mut [M], check: &mut impl Inspect) {
        let received = from.recv_slice(room).expect("the producer lives");
        room[..received].iter().for_each(|message| check.see(message));
    }
}

impl Style for Iter {
    #[inline(always)]
    fn recv_some<M: Message>(from: &mut Consumer<M>, _room: &mut [M], check: &mut impl Inspect) {
        for message in from.iter().take(LOOP) {
            check.see(&message.expect("the producer lives"));
            if check.has_ended() {
                break;
            }
        }
    }
}

/// An end, and room for a batch.
struct End<S, E, M>(E, Vec<M>, PhantomData<S>);

impl<S, M: Message> Sender<M> for End<S, Producer<M>, M> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        self.0.send(message).expect("the consumers live");
    }

    #[inline]
    fn send_batch(&mut self, first: u64, count: usize) {
        self.1.clear();
        self.1.extend((first..first + count as u64).map(M::numbered));
        self.0.send_slice(&self.1).expect("the consumers live");
    }
}

impl<S: Style, M: Message> Receiver<M> for End<S, Consumer<M>, M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        self.0.recv().expect("the producer lives")
    }

    #[inline(always)]
    fn recv_some(&mut self, check: &mut impl Inspect) {
        S::recv_some(&mut self.0, &mut self.1, check);
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut impl Inspect) {
        Slices::recv_some(&mut self.0, &mut self.1, check);
    }
}

/// Any of the two kinds of readers of a process.
enum Some<S, M: Message> {
    Lossless(End<S, Consumer<M>, M>),
    Lossy(Reader<M>),
}

impl<S: Style, M: Message> Receiver<M> for Some<S, M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        match self {
            Self::Lossless(end) => end.recv(),
            Self::Lossy(reader) => loop {
                match reader.recv() {
                    Ok(message) => return message,
                    Err(RecvError::Lagged(_)) => {}
                    Err(other) => panic!("the producer lives: {other}"),
                }
            },
        }
    }

    #[inline(always)]
    fn recv_some(&mut self, check: &mut impl Inspect) {
        match self {
            Self::Lossless(end) => end.recv_some(check),
            Self::Lossy(_) => check.see(&self.recv()),
        }
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut impl Inspect) {
        match self {
            Self::Lossless(end) => end.recv_batch(check),
            Self::Lossy(_) => check.see(&self.recv()),
        }
    }
}

fn receiving<S, M: Message>(end: Consumer<M>) -> End<S, Consumer<M>, M> {
    End(end, vec![M::default(); BATCH], PhantomData)
}

/// In a crowd, who waits lets others work, as the rivals do.
fn ring<M: Message>(plan: &Plan) -> Builder<Broadcast<M>> {
    let wait = if plan.crew.is_crowd() { Wait::SpinThenYield(Duration::ZERO) } else { Wait::Spin };
    ringshm::broadcast::<M>("bench").wait(wait)
}

impl<S: Style> Among for Broadcasts<S> {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        let ring = ring::<M>(plan).capacity(plan.capacity as u64).heap()?;
        let from = (0..plan.crew.consumers).map(|_| Ok(receiving::<S, M>(ring.consumer()?))).collect::<Result<_>>()?;
        Ok((vec![End(ring.producer()?, Vec::new(), PhantomData::<S>)], from))
    }
}

impl<S: Style> Across for Broadcasts<S> {
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(vec![ring::<M>(plan).capacity(plan.capacity as u64).memfd()?])
    }

    fn sender<M: Message>(plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        Ok(End(ring::<M>(plan).producer_of(&link.files[0])?, Vec::new(), PhantomData::<S>))
    }

    fn receiver<M: Message>(plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        let (ring, file) = (ring::<M>(plan), &link.files[0]);
        Ok(match plan.test {
            Test::Lossy => Some::<S, M>::Lossy(ring.reader_of(file)?),
            _ => Some::Lossless(receiving(ring.consumer_of(file)?)),
        })
    }
}
