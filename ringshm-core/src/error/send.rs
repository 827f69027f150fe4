//! What can go wrong while sending.

use super::{CLOSED, Fault, Stall};
use core::fmt;
use std::error::Error;

/// Why [`try_send`](crate::Producer::try_send) and its like sent nothing. The message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// No room until the consumer releases something.
    Full(T),
    /// No room, because a live participant of an MPMC ring does not move on.
    Stalled(T, Stall),
    /// The consumer has closed the ring, or died.
    Disconnected(T),
    /// The record can never fit.
    TooLarge {
        /// Its length, in bytes.
        len: usize,
        /// The longest that this ring takes.
        max: usize,
    },
    /// This mechanism cannot carry such a message, of any length: what [`Capabilities`](crate::Capabilities) say it lacks.
    Unsupported {
        /// What it lacks, and what to do.
        reason: &'static str,
    },
    /// The channel is unusable.
    Fault(T, Fault),
}

/// Why [`send`](crate::Producer::send) and its like gave up. The message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<T> {
    /// The consumer has closed the ring, or died.
    Disconnected(T),
    /// The record can never fit.
    TooLarge {
        /// Its length, in bytes.
        len: usize,
        /// The longest that this ring takes.
        max: usize,
    },
    /// This mechanism cannot carry such a message, of any length: what [`Capabilities`](crate::Capabilities) say it lacks.
    Unsupported {
        /// What it lacks, and what to do.
        reason: &'static str,
    },
    /// The channel is unusable.
    Fault(T, Fault),
}

/// Why [`send_timeout`](crate::Producer::send_timeout) gave up. The message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// The ring stayed full for all that time.
    Timeout(T),
    /// The deadline has passed while a live participant of an MPMC ring did not move on.
    Stalled(T, Stall),
    /// The consumer has closed the ring, or died.
    Disconnected(T),
    /// The record can never fit.
    TooLarge {
        /// Its length, in bytes.
        len: usize,
        /// The longest that this ring takes.
        max: usize,
    },
    /// This mechanism cannot carry such a message, of any length: what [`Capabilities`](crate::Capabilities) say it lacks.
    Unsupported {
        /// What it lacks, and what to do.
        reason: &'static str,
    },
    /// The channel is unusable.
    Fault(T, Fault),
}

impl TrySendError<()> {
    /// The same for a call that waits, unless waiting helps.
    pub(crate) fn lasting(self) -> Option<SendError<()>> {
        match self {
            Self::Full(()) | Self::Stalled((), _) => None,
            Self::Disconnected(()) => Some(SendError::Disconnected(())),
            Self::TooLarge { len, max } => Some(SendError::TooLarge { len, max }),
            Self::Unsupported { reason } => Some(SendError::Unsupported { reason }),
            Self::Fault((), fault) => Some(SendError::Fault((), fault)),
        }
    }
}

/// Why sending a slice, or an iterator, stopped before its end: as many messages as `sent` are published, the others are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendSliceError<T = ()> {
    /// How many messages were sent.
    pub sent: usize,
    /// Why the next one was not. It is in it if it came from an iterator.
    pub cause: SendError<T>,
}

fn too_large(f: &mut fmt::Formatter<'_>, len: usize, max: usize) -> fmt::Result {
    let ring = 2 * (len.max(max) + 8);
    write!(
        f,
        "a message of {len} bytes is too large, this channel takes at most {max}: cut it up, or open the channel for longer ones (a ring with at least {ring} bytes)"
    )
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled(_, stall) => stall.fmt(f),
            Self::Full(_) => f.write_str("the ring is full: try again later, or use send to wait"),
            Self::Disconnected(_) => f.write_str(CLOSED),
            Self::TooLarge { len, max } => too_large(f, *len, *max),
            Self::Unsupported { reason } => f.write_str(reason),
            Self::Fault(_, fault) => fault.fmt(f),
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected(_) => f.write_str(CLOSED),
            Self::TooLarge { len, max } => too_large(f, *len, *max),
            Self::Unsupported { reason } => f.write_str(reason),
            Self::Fault(_, fault) => fault.fmt(f),
        }
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(_) => {
                f.write_str("the ring stayed full until the deadline: try again, or find out why the consumer is slow")
            }
            Self::Stalled(_, stall) => stall.fmt(f),
            Self::Disconnected(_) => f.write_str(CLOSED),
            Self::TooLarge { len, max } => too_large(f, *len, *max),
            Self::Unsupported { reason } => f.write_str(reason),
            Self::Fault(_, fault) => fault.fmt(f),
        }
    }
}

impl<T> fmt::Display for SendSliceError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sent {} messages, then: {}", self.sent, self.cause)
    }
}

// `Debug` without the message, as in std: so `?` and `unwrap` work whatever the message is.
impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Stalled(_, stall) => write!(f, "Stalled(.., {stall:?})"),
            Self::Disconnected(_) => f.write_str("Disconnected(..)"),
            Self::TooLarge { len, max } => write!(f, "TooLarge {{ len: {len}, max: {max} }}"),
            Self::Unsupported { reason } => write!(f, "Unsupported {{ reason: {reason:?} }}"),
            Self::Fault(_, fault) => write!(f, "Fault(.., {fault:?})"),
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected(_) => f.write_str("Disconnected(..)"),
            Self::TooLarge { len, max } => write!(f, "TooLarge {{ len: {len}, max: {max} }}"),
            Self::Unsupported { reason } => write!(f, "Unsupported {{ reason: {reason:?} }}"),
            Self::Fault(_, fault) => write!(f, "Fault(.., {fault:?})"),
        }
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(_) => f.write_str("Timeout(..)"),
            Self::Stalled(_, stall) => write!(f, "Stalled(.., {stall:?})"),
            Self::Disconnected(_) => f.write_str("Disconnected(..)"),
            Self::TooLarge { len, max } => write!(f, "TooLarge {{ len: {len}, max: {max} }}"),
            Self::Unsupported { reason } => write!(f, "Unsupported {{ reason: {reason:?} }}"),
            Self::Fault(_, fault) => write!(f, "Fault(.., {fault:?})"),
        }
    }
}

impl<T> Error for TrySendError<T> {}
impl<T> Error for SendError<T> {}
impl<T> Error for SendTimeoutError<T> {}
impl<T: fmt::Debug> Error for SendSliceError<T> {}

impl<T> TrySendError<T> {
    /// The same for a call that waits, unless waiting may help.
    #[must_use]
    pub fn into_lasting(self) -> Option<SendTimeoutError<T>> {
        match self {
            Self::Full(_) | Self::Stalled(..) => None,
            Self::Disconnected(message) => Some(SendTimeoutError::Disconnected(message)),
            Self::TooLarge { len, max } => Some(SendTimeoutError::TooLarge { len, max }),
            Self::Unsupported { reason } => Some(SendTimeoutError::Unsupported { reason }),
            Self::Fault(message, fault) => Some(SendTimeoutError::Fault(message, fault)),
        }
    }
}

/// Of a wait that had no deadline, and so cannot have timed out.
impl<T> From<SendTimeoutError<T>> for SendError<T> {
    fn from(error: SendTimeoutError<T>) -> Self {
        match error {
            SendTimeoutError::Timeout(message)
            | SendTimeoutError::Stalled(message, _)
            | SendTimeoutError::Disconnected(message) => Self::Disconnected(message),
            SendTimeoutError::TooLarge { len, max } => Self::TooLarge { len, max },
            SendTimeoutError::Unsupported { reason } => Self::Unsupported { reason },
            SendTimeoutError::Fault(message, fault) => Self::Fault(message, fault),
        }
    }
}
