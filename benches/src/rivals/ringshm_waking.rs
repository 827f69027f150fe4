//! ringshm where the consumer sleeps for each message in another way than on a futex of its own: on a semaphore, or in a wait set.

use crate::channel::{Across, Link, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use ringshm::{Builder, Consumer, Key, Producer, Wait, WaitSet, Wakeup};
use std::os::fd::OwnedFd;

/// Rings whose sides sleep on semaphores.
pub(super) struct Semaphores;

/// Rings whose consumer waits for 64 of them.
pub(super) struct Sets;

pub(super) fn ring<M: Message>(plan: &Plan) -> Builder<M> {
    ringshm::spsc::<M>("bench").capacity(plan.capacity as u64)
}

/// One message at a time.
pub(super) struct To<M: Message>(Producer<M>);

impl<M: Message> To<M> {
    pub(super) fn join(link: &Link) -> Result<Self> {
        Ok(Self(ringshm::spsc::<M>("").wait(Wait::Spin).producer_of(&link.files[0])?))
    }
}

impl<M: Message> Sender<M> for To<M> {
    fn send(&mut self, message: M) {
        self.0.send(message).expect("the consumer lives");
    }

    fn send_batch(&mut self, _first: u64, _count: usize) {
        unreachable!("every message is waited for");
    }
}

struct Parked<M: Message>(Consumer<M>);

impl<M: Message> Receiver<M> for Parked<M> {
    fn recv(&mut self) -> M {
        self.0.recv().expect("the producer lives")
    }

    fn recv_batch(&mut self, _check: &mut impl Inspect) {
        unreachable!("every message is waited for");
    }
}

impl Across for Semaphores {
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(vec![ring::<M>(plan).wake_by(Wakeup::Semaphore).memfd()?])
    }

    fn sender<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        To::<M>::join(link)
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        Ok(Parked(ringshm::spsc::<M>("").wait(Wait::Park).consumer_of(&link.files[0])?))
    }
}

/// A set, and in it the ring in which something comes.
struct InSet<M: Message> {
    set: WaitSet,
    key: Key<Consumer<M>>,
    /// Of the others, in which nothing comes.
    _silent: Vec<Producer<M>>,
}

impl<M: Message> Receiver<M> for InSet<M> {
    fn recv(&mut self) -> M {
        loop {
            if self.set.wait().expect("no helpers are needed").contains(self.key) {
                return self.set[self.key].try_recv().expect("nobody else receives");
            }
        }
    }

    fn recv_batch(&mut self, _check: &mut impl Inspect) {
        unreachable!("every message is waited for");
    }
}

/// Rings in the set beside the one that is measured.
const OTHERS: usize = 63;

impl Across for Sets {
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(vec![ring::<M>(plan).memfd()?])
    }

    fn sender<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        To::<M>::join(link)
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        let (mut set, mut silent) = (WaitSet::new(), Vec::new());
        for _ in 0..OTHERS {
            // In files of their own, as between processes.
            let file = ringshm::spsc::<M>("silent").capacity(8).memfd()?;
            silent.push(ringshm::spsc::<M>("").producer_of(&file)?);
            set.add(ringshm::spsc::<M>("").consumer_of(&file)?);
        }
        let key = set.add(ringshm::spsc::<M>("").consumer_of(&link.files[0])?);
        Ok(InSet { set, key, _silent: silent })
    }
}
