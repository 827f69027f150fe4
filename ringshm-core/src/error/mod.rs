//! What can go wrong, one enum per operation, each with a sentence that says what to do next.

mod open;
mod recv;
mod send;

pub use open::OpenError;
pub use recv::{RecvError, RecvTimeoutError, TryRecvError};
pub use send::{SendError, SendSliceError, SendTimeoutError, TrySendError};

use core::fmt;
use core::time::Duration;
use std::error::Error;

/// The channel can no longer be used through this handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another process wrote something impossible into the shared memory.
    Corrupt {
        /// The field that could not be true.
        field: &'static str,
    },
    /// The handle was inherited through `fork`. Only the process that opened it may use it.
    Forked,
    /// Somebody removed the kernel's object, such as a System V queue or segment, while it was in use. Of a ring, it is noticed by who waits for another
    /// participant, and asks whether that is alive.
    Removed,
    /// The kernel refused what a mechanism other than shared memory needs.
    Os {
        /// The step.
        step: &'static str,
        /// The number of its error, as in `errno`.
        errno: i32,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed => {
                f.write_str("somebody removed this channel's object from the system: let both sides open it anew")
            }
            Self::Os { step, errno } => write!(f, "{step} failed: {}", std::io::Error::from_raw_os_error(*errno)),
            Self::Corrupt { field } => write!(
                f,
                "the ring's shared memory is corrupt ({field}): another process broke the protocol; drop this handle, remove the ring and let both sides open it anew"
            ),
            Self::Forked => f.write_str(
                "this handle was inherited through fork and belongs to the parent process: open the ring again in the child",
            ),
        }
    }
}

impl Error for Fault {}

/// A live participant that holds the ring up: it was stopped, or runs too seldom, between claiming a place in the ring and letting it
/// go. It is never taken for dead, so only it can go on; see whether process `pid` is stopped, or slow with a message that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The index of its lane, as `ringshm info` shows it.
    pub lane: usize,
    /// Its process number, as it knows itself.
    pub pid: u32,
    /// How long this handle has seen it hold that place.
    pub waited: Duration,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lane, pid, waited } = self;
        write!(
            f,
            "process {pid} (lane {lane}) has held the ring up for {waited:?} and is alive: try again, or find out whether it is stopped"
        )
    }
}

impl Error for Stall {}

/// Something that came through a transport and is no message: garbage from a stranger, a peer of another user, half a message of
/// somebody who died. It was thrown away, and so was the connection that it came through, if there is one; the channel itself goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What is wrong with it.
    pub reason: &'static str,
    /// The process that it came from, if the mechanism tells, as the kernel sees it from here.
    pub pid: Option<u32>,
    /// The user whose process that was, if the mechanism tells.
    pub uid: Option<u32>,
}

impl Rejection {
    /// Of somebody whom the mechanism does not name.
    #[must_use]
    pub const fn new(reason: &'static str) -> Self {
        Self { reason, pid: None, uid: None }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something was thrown away that ")?;
        match (self.pid, self.uid) {
            (Some(pid), Some(uid)) => write!(f, "process {pid} of user {uid} sent")?,
            (Some(pid), None) => write!(f, "process {pid} sent")?,
            (None, Some(uid)) => write!(f, "a process of user {uid} sent")?,
            (None, None) => f.write_str("somebody sent")?,
        }
        write!(f, ": {}; go on with the next message", self.reason)
    }
}

impl Error for Rejection {}

const CLOSED: &str = "the other side has left the ring: open it again, or choose at opening to wait for a successor";

/// Why a ring side cannot go on right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Full, or empty: it may change.
    NotReady,
    /// Somebody alive does not move on: it may change.
    Stalled(Stall),
    /// The other side is gone.
    Disconnected,
    /// The ring is unusable.
    Fault(Fault),
}

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    TimedOut,
    Stalled(Stall),
    Disconnected,
    Fault(Fault),
}

impl From<Fault> for Blocked {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Blocked {
    pub(crate) fn into_try_send<T>(self, message: T) -> TrySendError<T> {
        match self {
            Self::NotReady => TrySendError::Full(message),
            Self::Stalled(stall) => TrySendError::Stalled(message, stall),
            Self::Disconnected => TrySendError::Disconnected(message),
            Self::Fault(fault) => TrySendError::Fault(message, fault),
        }
    }
}

impl From<Blocked> for TryRecvError {
    fn from(blocked: Blocked) -> Self {
        match blocked {
            Blocked::NotReady => Self::Empty,
            Blocked::Stalled(stall) => Self::Stalled(stall),
            Blocked::Disconnected => Self::Disconnected,
            Blocked::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl Stop {
    pub(crate) fn into_send_timeout<T>(self, message: T) -> SendTimeoutError<T> {
        match self {
            Self::TimedOut => SendTimeoutError::Timeout(message),
            Self::Stalled(stall) => SendTimeoutError::Stalled(message, stall),
            Self::Disconnected => SendTimeoutError::Disconnected(message),
            Self::Fault(fault) => SendTimeoutError::Fault(message, fault),
        }
    }

    /// For a wait without a deadline.
    pub(crate) fn into_send<T>(self, message: T) -> SendError<T> {
        match self {
            Self::TimedOut | Self::Stalled(_) | Self::Disconnected => SendError::Disconnected(message),
            Self::Fault(fault) => SendError::Fault(message, fault),
        }
    }
}

impl From<Stop> for RecvTimeoutError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::TimedOut => Self::Timeout,
            Stop::Stalled(stall) => Self::Stalled(stall),
            Stop::Disconnected => Self::Disconnected,
            Stop::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// For a wait without a deadline.
impl From<Stop> for RecvError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::TimedOut | Stop::Stalled(_) | Stop::Disconnected => Self::Disconnected,
            Stop::Fault(fault) => Self::Fault(fault),
        }
    }
}
