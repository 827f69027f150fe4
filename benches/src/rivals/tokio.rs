//! tokio's broadcast channel, polled. Its sender overwrites what slow receivers have not seen, so it asks how much that is whenever it has
//! used up what it knows to be free: then nothing is lost.

use super::pausing::{Eager, Patient, until};
use crate::channel::{Among, Ends, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use tokio::sync::broadcast::{self, error::TryRecvError};

/// tokio's broadcast channel.
pub(super) struct Tokio;

struct To<M> {
    sender: broadcast::Sender<M>,
    capacity: usize,
    /// Slots that are free as far as this side knows.
    free: usize,
}

struct From<M>(broadcast::Receiver<M>);

impl<M: Message> Sender<M> for To<M> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        if self.free == 0 {
            self.free = until::<Patient, _>(|| Some(self.capacity - self.sender.len()).filter(|free| *free > 0));
        }
        self.free -= 1;
        self.sender.send(message).expect("a receiver lives");
    }

    fn send_batch(&mut self, first: u64, count: usize) {
        (first..first + count as u64).for_each(|number| self.send(M::numbered(number)));
    }
}

impl<M: Message> Receiver<M> for From<M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        until::<Eager, _>(|| match self.0.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Empty) => None,
            Err(other) => panic!("nothing is lost, and the sender lives: {other}"),
        })
    }

    fn recv_batch(&mut self, check: &mut impl Inspect) {
        check.see(&self.recv());
    }
}

impl Among for Tokio {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        let (sender, first) = broadcast::channel::<M>(plan.capacity);
        let mut from = vec![From(first)];
        from.extend((1..plan.crew.consumers).map(|_| From(sender.subscribe())));
        Ok((vec![To { sender, capacity: plan.capacity, free: plan.capacity }], from))
    }
}
