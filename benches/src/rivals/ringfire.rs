//! ringfire: its broadcast ring with one reader or several, and `LosslessBackpressure`, which holds the producer back instead of losing messages. The
//! consumer polls, as its `BusySpin` does; the producer spins, yields, and then sleeps when the ring is full, which cannot be
//! chosen.
//!
//! Only readers that are registered hold the producer back, so it waits for the first of them before it meets all others. Its MPMC ring is not
//! here: it drops messages when consumers are slow, which cannot be chosen.
//!
//! Its file has the channel's name:
//! the producer removes it, and who started the run removes what a killed one leaves.

use super::pausing::{Pausing, until};
use crate::channel::{Across, Link, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::{Context as _, Result};
use core::marker::PhantomData;
use ringfire::{FlowControl, RingConsumer, RingProducer, RingProducerBuilder};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// ringfire.
pub(super) struct Ringfire<P>(PhantomData<P>);

/// The ring, and room for a batch, which it takes and gives as a slice.
struct To<M: Message>(RingProducer<M>, Vec<M>);
struct From<P, M: Message>(RingConsumer<M>, Vec<M>, PhantomData<P>);

/// As many messages as its own benchmarks receive together.
const BATCH: usize = 32;

fn path(link: &Link) -> PathBuf {
    Path::new("/dev/shm").join(&link.name)
}

/// Tries for as long as the other side may need to start.
fn patiently<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if let done @ Some(_) = attempt() {
            return done;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

impl<M: Message> Sender<M> for To<M> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        self.0.push(&message);
    }

    #[inline]
    fn send_batch(&mut self, first: u64, count: usize) {
        self.1.clear();
        self.1.extend((first..first + count as u64).map(M::numbered));
        self.0.push_batch(&self.1);
    }
}

impl<P: Pausing, M: Message> Receiver<M> for From<P, M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        until::<P, _>(|| self.0.try_recv())
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut impl Inspect) {
        let received = until::<P, _>(|| Some(self.0.recv_batch(&mut self.1)).filter(|received| *received > 0));
        self.1[..received].iter().for_each(|message| check.see(message));
    }
}

impl<P: Pausing> Across for Ringfire<P> {
    fn link<M: Message>(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    fn sender<M: Message>(plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        let ring: RingProducer<M> = RingProducerBuilder::new(plan.capacity.next_power_of_two() as u64)
            .max_readers(plan.crew.consumers)
            .flow_control(FlowControl::LosslessBackpressure)
            .build(path(link))?;
        let readers = ring.registry().context("a lossless ring has a registry")?;
        patiently(|| readers.min_cursor()).context("the reader did not come")?;
        Ok(To(ring, Vec::new()))
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        let path = path(link);
        // It fails until the producer has made the ring.
        let ring = patiently(|| RingConsumer::<M>::attach(&path).ok()).context("the producer did not come")?;
        Ok(From(ring, vec![M::default(); BATCH], PhantomData::<P>))
    }
}
