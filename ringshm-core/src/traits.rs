//! One face for every channel that carries bytes: the rings, and the kernel's own mechanisms in `ringshm-fallback`.
//!
//! A program that is to run over whatever its user names holds a `Box<dyn Sender>` or a `Box<dyn Receiver>`. One that knows its ring uses
//! that ring's own handle, which can do more and costs no dynamic call.

mod batch;
mod rings;

pub use batch::Batch;
#[doc(hidden)]
pub use rings::OfRing;

use crate::capabilities::Capabilities;
use crate::error::{
    RecvError, RecvTimeoutError, SendError, SendSliceError, SendTimeoutError, TryRecvError, TrySendError,
};
use crate::waitable::Waitable;
use core::time::Duration;
use ringshm_sync::time::Deadline;
use std::os::fd::BorrowedFd;

/// What a descriptor is waited for. An error of it, or the end of what it is connected to, is reported whatever is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something can be read, or accepted.
    Readable,
    /// Something can be written.
    Writable,
    /// One of the two.
    Either,
}

/// What somebody who waits for several channels sleeps on for one.
pub enum Awaited<'a> {
    /// A ring: it has a bell.
    Bell(&'a dyn Waitable),
    /// A descriptor of the kernel's.
    Descriptor(BorrowedFd<'a>, Interest),
    /// Nothing: this mechanism can only be asked, again and again.
    Nothing,
}

/// What both sides of a channel have in common.
pub trait Channel: Send {
    /// What the mechanism can do. Does not change while the handle lives; of an `auto` channel it holds whatever carries it.
    fn capabilities(&self) -> Capabilities;

    /// What to sleep on for it, together with others. It is of the same kind as long as the handle lives, and the same descriptor.
    fn awaited(&self) -> Awaited<'_>;

    /// Whether there is more than what is [awaited](Self::awaited) shows. Of a ring: as [`Waitable::is_ready`]. Of a descriptor: whether a call
    /// would have something to do although the descriptor is not ready, because a message came together with an earlier one and waits in
    /// this process.
    fn has_more(&mut self) -> bool {
        false
    }

    /// By what an `auto` channel is carried at the moment, and why not by something better, for people. `None`: it has not found its other side;
    /// or there is nothing to choose.
    fn carried_by(&self) -> Option<&str> {
        None
    }

    /// Leaves without telling the other side that this is the end: it waits for a successor, where the mechanism lets it.
    fn detach(self: Box<Self>);
}

/// The sending side of a channel of bytes. Dropping it ends the channel for its receivers, where the mechanism tells them.
pub trait Sender: Channel {
    /// Sends a message if there is room. Never waits.
    ///
    /// # Errors
    /// [`TrySendError`].
    fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>>;

    /// Sends a message, and waits for room until `deadline`.
    ///
    /// # Errors
    /// [`SendTimeoutError`].
    fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>>;

    /// Sends a message, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendError`].
    fn send(&mut self, message: &[u8]) -> Result<(), SendError<()>> {
        Ok(self.send_by(message, Deadline::NEVER)?)
    }

    /// Sends a message, and waits for room for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`SendTimeoutError`].
    fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), SendTimeoutError<()>> {
        self.send_by(message, Deadline::after(timeout))
    }

    /// Sends all messages, in as few steps as the mechanism allows, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendSliceError`], with the number of messages that were sent.
    fn send_slice(&mut self, messages: &[&[u8]]) -> Result<(), SendSliceError> {
        for (sent, message) in messages.iter().enumerate() {
            self.send(message).map_err(|cause| SendSliceError { sent, cause })?;
        }
        Ok(())
    }
}

/// The receiving side of a channel of bytes.
pub trait Receiver: Channel {
    /// Receives a message if there is one, replacing what `into` held, and returns its length. Never waits.
    ///
    /// # Errors
    /// [`TryRecvError`]; then `into` may hold anything.
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError>;

    /// As [`try_recv`](Self::try_recv), and waits for a message until `deadline`.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError>;

    /// As [`try_recv`](Self::try_recv), and waits for a message as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    fn recv(&mut self, into: &mut Vec<u8>) -> Result<usize, RecvError> {
        Ok(self.recv_by(into, Deadline::NEVER)?)
    }

    /// As [`try_recv`](Self::try_recv), and waits for a message for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    fn recv_timeout(&mut self, into: &mut Vec<u8>, timeout: Duration) -> Result<usize, RecvTimeoutError> {
        self.recv_by(into, Deadline::after(timeout))
    }

    /// Receives what is there, up to `most` messages, in as few steps as the mechanism allows, and adds it to `batch`; waits until `deadline`
    /// for the first one. Returns how many, at least one.
    ///
    /// # Errors
    /// [`RecvTimeoutError`] if it could receive none. What went wrong after the first is said by the next call with the same batch.
    fn recv_batch_by(&mut self, batch: &mut Batch, most: usize, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        batch.resume()?;
        let mut message = batch.take_scratch();
        let mut received = self.recv_by(&mut message, deadline).map_err(Some);
        let mut count = 0;
        while received.is_ok() {
            batch.push(&message);
            count += 1;
            received =
                if count < most { self.try_recv(&mut message).map_err(TryRecvError::into_lasting) } else { Err(None) };
        }
        batch.put_scratch(message);
        batch.after(count, received.err().flatten())
    }

    /// The number of the next message in its sender's stream, counted from 0 by the sender: what it sent before this receiver came, and what
    /// got lost, included. `None` if the mechanism does not number messages, or before the first one came.
    fn position(&self) -> Option<u64>;
}

impl<C: Channel + ?Sized> Channel for Box<C> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn awaited(&self) -> Awaited<'_> {
        (**self).awaited()
    }

    fn has_more(&mut self) -> bool {
        (**self).has_more()
    }

    fn carried_by(&self) -> Option<&str> {
        (**self).carried_by()
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl<C: Sender + ?Sized> Sender for Box<C> {
    fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        (**self).try_send(message)
    }

    fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        (**self).send_by(message, deadline)
    }

    fn send(&mut self, message: &[u8]) -> Result<(), SendError<()>> {
        (**self).send(message)
    }

    fn send_slice(&mut self, messages: &[&[u8]]) -> Result<(), SendSliceError> {
        (**self).send_slice(messages)
    }
}

impl<C: Receiver + ?Sized> Receiver for Box<C> {
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        (**self).try_recv(into)
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        (**self).recv_by(into, deadline)
    }

    fn recv(&mut self, into: &mut Vec<u8>) -> Result<usize, RecvError> {
        (**self).recv(into)
    }

    fn recv_batch_by(&mut self, batch: &mut Batch, most: usize, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        (**self).recv_batch_by(batch, most, deadline)
    }

    fn position(&self) -> Option<u64> {
        (**self).position()
    }
}
