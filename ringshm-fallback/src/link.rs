//! What framed records are sent into and received from: a descriptor that carries bytes. How its mechanism waits, and how it finds out
//! that the other side is gone, is its own business.

use crate::wait::{Wake, refused, until_ready};
use ringshm_core::error::{
    RecvError, RecvTimeoutError, Rejection, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use ringshm_core::{Deadline, Fault, Interest};
use rustix::io::Errno;
use std::io::IoSlice;
use std::os::fd::AsFd;

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// Until then.
    Until(Deadline),
}

impl Patience {
    /// As long as it takes.
    pub(crate) const ENDLESS: Self = Self::Until(Deadline::NEVER);
}

/// Why not a single byte was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Nothing is there, or there is no room, and patience is at its end.
    NotReady,
    /// The other side is gone.
    Disconnected,
    /// The kernel refused.
    Fault(Fault),
}

/// Where bytes come from.
pub(crate) trait Source {
    /// Reads at least one byte; none at the end.
    fn read(&mut self, into: &mut [u8], patience: Patience) -> Result<usize, Halt>;

    /// Whether the rest of a message, of which `part` has come, will never come, although the stream has not ended. Asked when nothing has come
    /// for a while.
    fn has_lost(&mut self, _part: &[u8]) -> bool {
        false
    }
}

/// Where bytes go to.
pub(crate) trait Sink {
    /// Writes at least one byte of `parts`, one behind the other, in one system call if that needs no waiting. What it says of the other side is
    /// for good: as long as somebody may come, there is only no room.
    fn write(&mut self, parts: &[IoSlice<'_>], patience: Patience) -> Result<usize, Halt>;
}

/// Calls `attempt`, which never sleeps, until it has something other to say than that it would have to; sleeps in between as long as patience lasts.
pub(crate) fn patiently<T>(
    fd: impl AsFd,
    interest: Interest,
    patience: Patience,
    step: &'static str,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Halt> {
    loop {
        match (attempt(), patience) {
            (Ok(done), _) => return Ok(done),
            (Err(Errno::AGAIN), Patience::None) => return Err(Halt::NotReady),
            (Err(Errno::AGAIN), Patience::Until(deadline)) => match until_ready(&fd, interest, deadline) {
                Ok(Wake::Ready) => {}
                Ok(Wake::TimedOut) => return Err(Halt::NotReady),
                Err(fault) => return Err(Halt::Fault(fault)),
            },
            (Err(errno), _) => halted(errno, step)?,
        }
    }
}

/// What an error says, other than that the call would have to sleep. Nothing: it is to be called again.
pub(crate) fn halted(errno: Errno, step: &'static str) -> Result<(), Halt> {
    match errno {
        Errno::INTR => Ok(()),
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => Err(Halt::Disconnected),
        errno => Err(Halt::Fault(refused(step)(errno))),
    }
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    Halted(Halt),
    TooLarge { len: usize, max: usize },
    Unsupported { reason: &'static str },
}

impl From<Halt> for Unsent {
    fn from(halt: Halt) -> Self {
        Self::Halted(halt)
    }
}

impl From<Unsent> for TrySendError<()> {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Halted(Halt::NotReady) => Self::Full(()),
            Unsent::Halted(Halt::Disconnected) => Self::Disconnected(()),
            Unsent::Halted(Halt::Fault(fault)) => Self::Fault((), fault),
            Unsent::TooLarge { len, max } => Self::TooLarge { len, max },
            Unsent::Unsupported { reason } => Self::Unsupported { reason },
        }
    }
}

impl From<Unsent> for SendTimeoutError<()> {
    fn from(unsent: Unsent) -> Self {
        TrySendError::from(unsent).into_lasting().unwrap_or(Self::Timeout(()))
    }
}

/// Of a call without a deadline.
impl From<Unsent> for SendError<()> {
    fn from(unsent: Unsent) -> Self {
        SendTimeoutError::from(unsent).into()
    }
}

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreceived {
    Halted(Halt),
    Lagged(u64),
    Rejected(Rejection),
}

impl From<Halt> for Unreceived {
    fn from(halt: Halt) -> Self {
        Self::Halted(halt)
    }
}

impl From<Unreceived> for TryRecvError {
    fn from(unreceived: Unreceived) -> Self {
        match unreceived {
            Unreceived::Halted(Halt::NotReady) => Self::Empty,
            Unreceived::Halted(Halt::Disconnected) => Self::Disconnected,
            Unreceived::Halted(Halt::Fault(fault)) => Self::Fault(fault),
            Unreceived::Lagged(count) => Self::Lagged(count),
            Unreceived::Rejected(rejection) => Self::Rejected(rejection),
        }
    }
}

impl From<Unreceived> for RecvTimeoutError {
    fn from(unreceived: Unreceived) -> Self {
        TryRecvError::from(unreceived).into_lasting().unwrap_or(Self::Timeout)
    }
}

/// Of a call without a deadline.
impl From<Unreceived> for RecvError {
    fn from(unreceived: Unreceived) -> Self {
        RecvTimeoutError::from(unreceived).into()
    }
}
