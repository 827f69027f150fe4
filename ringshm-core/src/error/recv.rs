//! What can go wrong while receiving.

use super::{CLOSED, Fault, Rejection, Stall};
use core::fmt;
use std::error::Error;

const EVICTED: &str =
    "this reader was too slow and the producer evicted it: join again, from the newest message or as a lossy reader";

fn lagged(f: &mut fmt::Formatter<'_>, count: u64) -> fmt::Result {
    write!(
        f,
        "{count} messages were overwritten before this reader came to them: go on with the next, read faster, or join losslessly"
    )
}

fn too_many_held(f: &mut fmt::Formatter<'_>, most: u32) -> fmt::Result {
    write!(
        f,
        "this consumer already holds {most} frames, as many as it may: let one of them go, or choose at opening to hold more"
    )
}

/// Why [`try_recv`](crate::Consumer::try_recv) and its like have nothing to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// Nothing has been published since.
    Empty,
    /// The next message of an MPMC ring is not there, because the live producer that claimed its place does not move on.
    Stalled(Stall),
    /// So many messages were overwritten before this lossy reader of a broadcast ring came to them. It goes on with the next.
    Lagged(u64),
    /// This lossless reader of a broadcast ring was too slow, and its producer's policy is not to wait for it any longer.
    Evicted,
    /// This consumer of frames holds as many as it may at once, so many. It gets another one when it has let one of them go.
    TooManyHeld {
        /// How many that is.
        most: u32,
    },
    /// The producer has closed the ring, or died, and everything it sent has been received.
    Disconnected,
    /// Something that is no message came through a transport, and was thrown away. It goes on with the next.
    Rejected(Rejection),
    /// The channel is unusable.
    Fault(Fault),
}

/// Why [`recv`](crate::Consumer::recv) and its like gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// So many messages were overwritten before this lossy reader of a broadcast ring came to them. It goes on with the next.
    Lagged(u64),
    /// This lossless reader of a broadcast ring was too slow, and its producer's policy is not to wait for it any longer.
    Evicted,
    /// This consumer of frames holds as many as it may at once, so many. It gets another one when it has let one of them go.
    TooManyHeld {
        /// How many that is.
        most: u32,
    },
    /// The producer has closed the ring, or died, and everything it sent has been received.
    Disconnected,
    /// Something that is no message came through a transport, and was thrown away. It goes on with the next.
    Rejected(Rejection),
    /// The channel is unusable.
    Fault(Fault),
}

/// Why [`recv_timeout`](crate::Consumer::recv_timeout) gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// Nothing came for all that time.
    Timeout,
    /// The deadline has passed while a live producer of an MPMC ring did not move on.
    Stalled(Stall),
    /// So many messages were overwritten before this lossy reader of a broadcast ring came to them. It goes on with the next.
    Lagged(u64),
    /// This lossless reader of a broadcast ring was too slow, and its producer's policy is not to wait for it any longer.
    Evicted,
    /// This consumer of frames holds as many as it may at once, so many. It gets another one when it has let one of them go.
    TooManyHeld {
        /// How many that is.
        most: u32,
    },
    /// The producer has closed the ring, or died, and everything it sent has been received.
    Disconnected,
    /// Something that is no message came through a transport, and was thrown away. It goes on with the next.
    Rejected(Rejection),
    /// The channel is unusable.
    Fault(Fault),
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled(stall) => stall.fmt(f),
            Self::Lagged(count) => lagged(f, *count),
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Evicted => f.write_str(EVICTED),
            Self::TooManyHeld { most } => too_many_held(f, *most),
            Self::Empty => f.write_str("the ring is empty: try again later, or use recv to wait"),
            Self::Disconnected => f.write_str(CLOSED),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged(count) => lagged(f, *count),
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Evicted => f.write_str(EVICTED),
            Self::TooManyHeld { most } => too_many_held(f, *most),
            Self::Disconnected => f.write_str(CLOSED),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => {
                f.write_str("nothing came until the deadline: try again, or find out whether the producer runs")
            }
            Self::Stalled(stall) => stall.fmt(f),
            Self::Lagged(count) => lagged(f, *count),
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Evicted => f.write_str(EVICTED),
            Self::TooManyHeld { most } => too_many_held(f, *most),
            Self::Disconnected => f.write_str(CLOSED),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl Error for TryRecvError {}
impl Error for RecvError {}
impl Error for RecvTimeoutError {}

impl TryRecvError {
    /// The same for a call that waits, unless waiting may help.
    #[must_use]
    pub fn into_lasting(self) -> Option<RecvTimeoutError> {
        match self {
            Self::Empty | Self::Stalled(_) => None,
            Self::Lagged(count) => Some(RecvTimeoutError::Lagged(count)),
            Self::Evicted => Some(RecvTimeoutError::Evicted),
            Self::TooManyHeld { most } => Some(RecvTimeoutError::TooManyHeld { most }),
            Self::Disconnected => Some(RecvTimeoutError::Disconnected),
            Self::Rejected(rejection) => Some(RecvTimeoutError::Rejected(rejection)),
            Self::Fault(fault) => Some(RecvTimeoutError::Fault(fault)),
        }
    }
}

/// Of a wait that had no deadline, and so cannot have timed out.
impl From<RecvTimeoutError> for RecvError {
    fn from(error: RecvTimeoutError) -> Self {
        match error {
            RecvTimeoutError::Timeout | RecvTimeoutError::Stalled(_) | RecvTimeoutError::Disconnected => {
                Self::Disconnected
            }
            RecvTimeoutError::Lagged(count) => Self::Lagged(count),
            RecvTimeoutError::Evicted => Self::Evicted,
            RecvTimeoutError::TooManyHeld { most } => Self::TooManyHeld { most },
            RecvTimeoutError::Rejected(rejection) => Self::Rejected(rejection),
            RecvTimeoutError::Fault(fault) => Self::Fault(fault),
        }
    }
}
