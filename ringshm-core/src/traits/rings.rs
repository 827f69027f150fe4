//! The handles of rings of bytes, as senders and receivers.

use super::{Awaited, Batch, Channel, Receiver, Sender};
use crate::broadcast::{self, Lossless, Lossy, Seat};
use crate::capabilities::{Capabilities, Longest, Loss, Order, Parties};
use crate::error::{
    RecvError, RecvTimeoutError, SendError, SendSliceError, SendTimeoutError, TryRecvError, TrySendError,
};
use crate::memory::Memory;
use crate::mpmc::{ByteConsumer, ByteProducer};
use crate::waitable::{Waitable, sealed::Sealed};
use crate::{RecordConsumer, RecordProducer};
use ringshm_sync::time::Deadline;
use ringshm_sync::watch::AnyBell;
use std::sync::Arc;

/// A ring, whose sides are told of each other's death and leaving.
fn ring(mechanism: &'static str, longest: Longest, senders: Parties, receivers: Parties, loss: Loss) -> Capabilities {
    Capabilities {
        mechanism,
        longest,
        shortest: 0,
        forbidden: None,
        keeps_boundaries: true,
        order: Order::Sent,
        senders,
        receivers,
        priorities: 1,
        loss,
        numbers: senders == Parties::One,
        tells_receiver: true,
        tells_sender: receivers != Parties::All,
        crosses_hosts: false,
        can_be_awaited: true,
    }
}

fn half_of_capacity(bytes: usize) -> Longest {
    Longest { bytes, because: "a record takes half a ring at most: make the ring with a larger capacity" }
}

macro_rules! channel {
    ([$($generics:tt)*] $handle:ty, $self:ident => $capabilities:expr) => {
        impl<$($generics)*> Channel for $handle {
            fn capabilities(&$self) -> Capabilities {
                $capabilities
            }

            fn awaited(&self) -> Awaited<'_> {
                Awaited::Bell(self)
            }

            fn has_more(&mut self) -> bool {
                self.is_ready()
            }

            fn detach(self: Box<Self>) {
                (*self).detach();
            }
        }
    };
}

channel!([] RecordProducer, self => spsc(self.max_message()));
channel!([] RecordConsumer, self => spsc(self.max_message()));
channel!([] ByteProducer, self => mpmc(self.max_message()));
channel!([] ByteConsumer, self => mpmc(self.max_message()));
channel!([] broadcast::RecordProducer, self => broadcast(self.max_message(), Loss::Never));
channel!([] broadcast::RecordReceiver<Lossless>, self => broadcast(self.max_message(), Loss::Never));

impl Channel for broadcast::RecordReceiver<Lossy> {
    fn capabilities(&self) -> Capabilities {
        broadcast(self.max_message(), Loss::AnyTime)
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Bell(self)
    }

    fn has_more(&mut self) -> bool {
        self.is_ready()
    }

    fn detach(self: Box<Self>) {}
}

fn spsc(longest: usize) -> Capabilities {
    ring("spsc ring", half_of_capacity(longest), Parties::One, Parties::One, Loss::Never)
}

fn mpmc(bytes: usize) -> Capabilities {
    let because = "each place in the ring has room for so many: make the ring with a larger max_message";
    ring("mpmc ring", Longest { bytes, because }, Parties::Many, Parties::Many, Loss::Never)
}

fn broadcast(longest: usize, loss: Loss) -> Capabilities {
    ring("broadcast ring", half_of_capacity(longest), Parties::One, Parties::All, loss)
}

macro_rules! sender {
    ($handle:ty) => {
        impl Sender for $handle {
            fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
                self.try_send(message)
            }

            fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
                self.send_by(message, deadline)
            }

            fn send(&mut self, message: &[u8]) -> Result<(), SendError<()>> {
                self.send(message)
            }

            fn send_slice(&mut self, messages: &[&[u8]]) -> Result<(), SendSliceError> {
                self.send_slice(messages)
            }
        }
    };
}

sender!(RecordProducer);
sender!(ByteProducer);
sender!(broadcast::RecordProducer);

impl Receiver for RecordConsumer {
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        self.try_recv(into)
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.recv_by(into, deadline)
    }

    fn recv(&mut self, into: &mut Vec<u8>) -> Result<usize, RecvError> {
        self.recv(into)
    }

    fn recv_batch_by(&mut self, batch: &mut Batch, most: usize, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        batch.resume()?;
        let mut drain = self.drain_by(deadline)?;
        let mut count = 0;
        while count < most {
            match drain.next() {
                Ok(Some(record)) => batch.push(record),
                Ok(None) => break,
                Err(fault) if count == 0 => return Err(RecvTimeoutError::Fault(fault)),
                // It is found again by the next call.
                Err(_) => break,
            }
            count += 1;
        }
        Ok(count)
    }

    fn position(&self) -> Option<u64> {
        Some(self.received())
    }
}

impl Receiver for ByteConsumer {
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        self.try_recv(into).map(|()| into.len())
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.recv_by(into, deadline).map(|()| into.len())
    }

    fn recv(&mut self, into: &mut Vec<u8>) -> Result<usize, RecvError> {
        self.recv(into).map(|()| into.len())
    }

    fn recv_batch_by(&mut self, batch: &mut Batch, most: usize, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        batch.resume()?;
        self.recv_batch_by(batch, most, deadline)
    }

    fn position(&self) -> Option<u64> {
        None
    }
}

impl<S: Seat + Send> Receiver for broadcast::RecordReceiver<S>
where
    Self: Channel,
{
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        self.try_recv(into)
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.recv_by(into, deadline)
    }

    fn recv(&mut self, into: &mut Vec<u8>) -> Result<usize, RecvError> {
        self.recv(into)
    }

    fn recv_batch_by(&mut self, batch: &mut Batch, most: usize, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        batch.resume()?;
        self.recv_batch_by(batch, most, deadline)
    }

    fn position(&self) -> Option<u64> {
        Some(self.position())
    }
}

/// A channel that is a ring, as something to wait for: whoever holds it need not know which ring.
#[doc(hidden)]
#[derive(Debug)]
pub struct OfRing<C>(C);

impl<C: Channel> OfRing<C> {
    /// `Err`: it is no ring.
    pub fn new(channel: C) -> Result<Self, C> {
        if matches!(channel.awaited(), Awaited::Bell(_)) { Ok(Self(channel)) } else { Err(channel) }
    }

    fn ring(&self) -> &dyn Waitable {
        match self.0.awaited() {
            Awaited::Bell(ring) => ring,
            Awaited::Descriptor(..) | Awaited::Nothing => unreachable!("a channel stays what it is"),
        }
    }
}

impl<C> OfRing<C> {
    pub fn get(&self) -> &C {
        &self.0
    }

    pub fn get_mut(&mut self) -> &mut C {
        &mut self.0
    }

    pub fn into_inner(self) -> C {
        self.0
    }
}

impl<C: Channel> Sealed for OfRing<C> {}

impl<C: Channel> Waitable for OfRing<C> {
    fn is_ready(&mut self) -> bool {
        self.0.has_more()
    }

    fn bell(&self) -> AnyBell<'_> {
        self.ring().bell()
    }

    fn memory(&self) -> &Arc<Memory> {
        self.ring().memory()
    }
}
