//! bus: `try_broadcast` and `try_recv`, polled. Its waiting calls park, and were slower.

use super::pausing::{Eager, Patient, until, until_sent};
use crate::channel::{Among, Ends, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use bus::{Bus, BusReader};

/// bus.
pub(super) struct Buses;

impl<M: Message> Sender<M> for Bus<M> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        until_sent::<Patient, M>(message, |message| self.try_broadcast(message));
    }

    fn send_batch(&mut self, first: u64, count: usize) {
        (first..first + count as u64).for_each(|number| self.send(M::numbered(number)));
    }
}

impl<M: Message> Receiver<M> for BusReader<M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        until::<Eager, _>(|| self.try_recv().ok())
    }

    fn recv_batch(&mut self, check: &mut impl Inspect) {
        check.see(&Receiver::<M>::recv(self));
    }
}

impl Among for Buses {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        let mut bus = Bus::<M>::new(plan.capacity);
        let from = (0..plan.crew.consumers).map(|_| bus.add_rx()).collect();
        Ok((vec![bus], from))
    }
}
