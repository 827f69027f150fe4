//! The handles of a pipe's two ends.

use super::{REST, ReadEnd, WriteEnd};
use crate::inlet::{Inlet, receives_through_inlet};
use crate::link::Patience;
use crate::outlet::{Outlet, sends_through_outlet};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Interest};
use std::os::fd::{AsFd, BorrowedFd};

/// The sending end of a pipe: made by [`Pipe`](super::Pipe).
///
/// A message of which the pipe took a part before patience ended counts as sent; its rest goes before the next message, or when the handle is
/// dropped, which waits up to a second for room. That happens only to messages of more than 4,096 bytes, framing included, that were sent with
/// `try_send` or a deadline.
#[derive(Debug)]
pub struct PipeSender {
    pub(super) end: WriteEnd,
    pub(super) outlet: Outlet,
    pub(super) can: Capabilities,
}

/// The receiving end of a pipe: made by [`Pipe`](super::Pipe).
#[derive(Debug)]
pub struct PipeReceiver {
    pub(super) end: ReadEnd,
    pub(super) inlet: Inlet,
    pub(super) can: Capabilities,
}

impl Drop for PipeSender {
    fn drop(&mut self) {
        // A receiver that does not read, or is gone, is told of half a message.
        let _ = self.outlet.flush(Patience::Until(Deadline::after(REST)), &mut self.end);
    }
}

impl Channel for PipeSender {
    fn capabilities(&self) -> Capabilities {
        self.can
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.end.as_fd(), Interest::Writable)
    }

    fn detach(self: Box<Self>) {}
}

impl Channel for PipeReceiver {
    fn capabilities(&self) -> Capabilities {
        self.can
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.end.as_fd(), Interest::Readable)
    }

    fn has_more(&mut self) -> bool {
        self.inlet.has_more()
    }

    fn detach(self: Box<Self>) {}
}

sends_through_outlet!(PipeSender, end);
receives_through_inlet!(PipeReceiver, end);

impl AsFd for PipeSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl AsFd for PipeReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}
