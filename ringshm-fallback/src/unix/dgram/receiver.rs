//! Receiving datagrams under a name.

use super::capabilities;
use crate::datagrams::Incoming;
use crate::unix::place::Bound;
use ringshm_core::error::{RecvTimeoutError, TryRecvError};
use ringshm_core::{Awaited, Batch, Capabilities, Channel, Deadline, Interest, Receiver};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The receiving side of a Unix datagram socket: made by [`Dgram::receiver`](super::Dgram::receiver). Dropping it gives the name back.
pub struct DgramReceiver {
    /// Goes before the socket: as long as that is open, nobody else takes the name.
    _bound: Bound,
    socket: OwnedFd,
    incoming: Incoming,
    longest: usize,
}

impl DgramReceiver {
    pub(super) fn new(bound: Bound, socket: OwnedFd, incoming: Incoming, longest: usize) -> Self {
        Self { _bound: bound, socket, incoming, longest }
    }
}

impl Channel for DgramReceiver {
    fn capabilities(&self) -> Capabilities {
        capabilities(self.longest, self.incoming.is_framed())
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.socket.as_fd(), Interest::Readable)
    }

    fn has_more(&mut self) -> bool {
        self.incoming.has_more()
    }

    fn detach(self: Box<Self>) {}
}

impl Receiver for DgramReceiver {
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        self.incoming.try_recv(self.socket.as_fd(), into)
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.incoming.recv_by(self.socket.as_fd(), into, deadline)
    }

    fn recv_batch_by(&mut self, batch: &mut Batch, most: usize, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.incoming.recv_batch_by(self.socket.as_fd(), batch, most, deadline)
    }

    /// Of the sender of the last message.
    fn position(&self) -> Option<u64> {
        self.incoming.position()
    }
}

impl AsFd for DgramReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl core::fmt::Debug for DgramReceiver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DgramReceiver").field("socket", &self.socket).finish_non_exhaustive()
    }
}
