//! A consumer that receives through a wait set.

use super::{Receives, Stop};
use ringshm::{Key, Peer, WaitSet, Waitable};
use std::time::{Duration, Instant};

/// A set with one consumer in it.
pub(crate) struct InSet<C> {
    set: WaitSet,
    key: Key<C>,
}

impl<C: Receives + Waitable + 'static> InSet<C> {
    pub(crate) fn new(consumer: C) -> Self {
        let mut set = WaitSet::new();
        let key = set.add(consumer);
        Self { set, key }
    }
}

impl<C: Receives + Waitable + 'static> Receives for InSet<C> {
    fn try_recv(&mut self) -> Result<u64, Stop> {
        self.set[self.key].try_recv()
    }

    fn recv(&mut self) -> Result<u64, Stop> {
        loop {
            assert!(self.set.wait().expect("no helpers are needed").contains(self.key));
            match self.set[self.key].try_recv() {
                Err(Stop::NotReady) => {}
                outcome => return outcome,
            }
        }
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<u64, Stop> {
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if self.set.wait_timeout(left).expect("no helpers are needed").is_empty() {
                return Err(Stop::Timeout);
            }
            match self.set[self.key].try_recv() {
                Err(Stop::NotReady) => {}
                outcome => return outcome,
            }
        }
    }

    fn recv_held(&mut self, before_release: &mut dyn FnMut(u64)) -> Result<(), Stop> {
        assert!(self.set.wait().expect("no helpers are needed").contains(self.key));
        self.set[self.key].recv_held(before_release)
    }

    fn received(&self) -> u64 {
        self.set[self.key].received()
    }

    fn peer(&self) -> Peer {
        self.set[self.key].peer()
    }

    fn detach(mut self: Box<Self>) {
        let consumer = self.set.remove(self.key).expect("it is in the set");
        Box::new(consumer).detach();
    }
}
