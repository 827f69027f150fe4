//! What can go wrong, one enum per operation, each with a sentence that says what to do next.

mod open;

pub use open::OpenError;

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

const CLOSED: &str = "the other side has left the ring: open it again, or choose at opening to wait for a successor";

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
impl Error for TryRecvError {}
impl Error for RecvError {}
impl Error for RecvTimeoutError {}

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
