//! What can go wrong, one enum per operation, each with a sentence that says what to do next.

use core::fmt;
use std::error::Error;
use std::path::PathBuf;

/// The ring can no longer be used through this handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another process wrote something impossible into the shared memory.
    Corrupt {
        /// The field that could not be true.
        field: &'static str,
    },
    /// The handle was inherited through `fork`. Only the process that opened it may use it.
    Forked,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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

const CLOSED: &str = "the other side has left the ring: open it again, or choose at opening to wait for a successor";

/// Why [`try_send`](crate::Producer::try_send) and its like sent nothing. The message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// No room until the consumer releases something.
    Full(T),
    /// The consumer has closed the ring, or died.
    Disconnected(T),
    /// The record can never fit.
    TooLarge {
        /// Its length, in bytes.
        len: usize,
        /// The longest that this ring takes.
        max: usize,
    },
    /// The ring is unusable.
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
    /// The ring is unusable.
    Fault(T, Fault),
}

/// Why [`send_timeout`](crate::Producer::send_timeout) gave up. The message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// The ring stayed full for all that time.
    Timeout(T),
    /// The consumer has closed the ring, or died.
    Disconnected(T),
    /// The record can never fit.
    TooLarge {
        /// Its length, in bytes.
        len: usize,
        /// The longest that this ring takes.
        max: usize,
    },
    /// The ring is unusable.
    Fault(T, Fault),
}

/// Why sending a slice stopped before its end: the messages before `sent` are published, the others are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendSliceError {
    /// How many messages of the slice were sent.
    pub sent: usize,
    /// Why the next one was not.
    pub cause: SendError<()>,
}

/// Why [`try_recv`](crate::Consumer::try_recv) and its like have nothing to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// Nothing has been published since.
    Empty,
    /// The producer has closed the ring, or died, and everything it sent has been received.
    Disconnected,
    /// The ring is unusable.
    Fault(Fault),
}

/// Why [`recv`](crate::Consumer::recv) and its like gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The producer has closed the ring, or died, and everything it sent has been received.
    Disconnected,
    /// The ring is unusable.
    Fault(Fault),
}

/// Why [`recv_timeout`](crate::Consumer::recv_timeout) gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// Nothing came for all that time.
    Timeout,
    /// The producer has closed the ring, or died, and everything it sent has been received.
    Disconnected,
    /// The ring is unusable.
    Fault(Fault),
}

fn too_large(f: &mut fmt::Formatter<'_>, len: usize, max: usize) -> fmt::Result {
    write!(f, "a record of {len} bytes is too large, this ring takes at most {max}: open it with at least {} bytes", {
        2 * (len.max(max) + 8)
    })
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the ring is full: try again later, or use send to wait"),
            Self::Disconnected(_) => f.write_str(CLOSED),
            Self::TooLarge { len, max } => too_large(f, *len, *max),
            Self::Fault(_, fault) => fault.fmt(f),
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected(_) => f.write_str(CLOSED),
            Self::TooLarge { len, max } => too_large(f, *len, *max),
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
            Self::Disconnected(_) => f.write_str(CLOSED),
            Self::TooLarge { len, max } => too_large(f, *len, *max),
            Self::Fault(_, fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for SendSliceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sent {} messages, then: {}", self.sent, self.cause)
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the ring is empty: try again later, or use recv to wait"),
            Self::Disconnected => f.write_str(CLOSED),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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
            Self::Disconnected(_) => f.write_str("Disconnected(..)"),
            Self::TooLarge { len, max } => write!(f, "TooLarge {{ len: {len}, max: {max} }}"),
            Self::Fault(_, fault) => write!(f, "Fault(.., {fault:?})"),
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected(_) => f.write_str("Disconnected(..)"),
            Self::TooLarge { len, max } => write!(f, "TooLarge {{ len: {len}, max: {max} }}"),
            Self::Fault(_, fault) => write!(f, "Fault(.., {fault:?})"),
        }
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(_) => f.write_str("Timeout(..)"),
            Self::Disconnected(_) => f.write_str("Disconnected(..)"),
            Self::TooLarge { len, max } => write!(f, "TooLarge {{ len: {len}, max: {max} }}"),
            Self::Fault(_, fault) => write!(f, "Fault(.., {fault:?})"),
        }
    }
}

impl<T> Error for TrySendError<T> {}
impl<T> Error for SendError<T> {}
impl<T> Error for SendTimeoutError<T> {}
impl Error for SendSliceError {}
impl Error for TryRecvError {}
impl Error for RecvError {}
impl Error for RecvTimeoutError {}

/// Why a ring could not be opened, created, inspected or removed.
#[derive(Debug)]
pub enum OpenError {
    /// There is no ring of that name.
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is one already.
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The ring carries something else than this program expects.
    LayoutMismatch {
        /// What this program asked for.
        expected: String,
        /// What the ring is.
        found: String,
    },
    /// The shared-memory file system cannot hold the ring.
    NoSpace {
        /// Bytes that the ring takes.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The object belongs to somebody else, or its rights forbid opening it.
    Permission {
        /// The object.
        path: PathBuf,
        /// What exactly forbids it.
        reason: String,
    },
    /// Another live process already has this role.
    RoleTaken {
        /// `producer` or `consumer`.
        role: &'static str,
        /// The process that has it, as it knows itself (in its own PID namespace).
        pid: u32,
    },
    /// The ring was made by another version of ringshm.
    Version {
        /// The layout version of this program.
        expected: u32,
        /// That of the ring.
        found: u32,
    },
    /// The object is no ring, or a damaged one.
    Corrupt {
        /// The first field that could not be true.
        field: &'static str,
    },
    /// The name is none.
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An option has an impossible value.
    InvalidOption {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process has been joining or leaving the ring for longer than that can take: it is stopped.
    Busy {
        /// The object.
        path: PathBuf,
    },
    /// Live processes still use the ring.
    InUse {
        /// One of them, as it knows itself.
        pid: u32,
    },
    /// The kernel refused a step.
    Os {
        /// The step.
        step: &'static str,
        /// Its error.
        source: std::io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { path } => {
                write!(f, "there is no ring at {}: start its other side, or let this one create it", path.display())
            }
            Self::Exists { path } => {
                write!(f, "there already is a ring at {}: open it, or remove it first", path.display())
            }
            Self::LayoutMismatch { expected, found } => write!(
                f,
                "the ring carries {found}, this program expects {expected}: use the same type and options on both sides, or remove the ring"
            ),
            Self::NoSpace { needed, free } => write!(
                f,
                "the ring needs {needed} bytes of shared memory and {free} are free: ask for a smaller capacity, remove rings that nobody uses, or enlarge the file system (mount -o remount,size=... /dev/shm; docker run --shm-size=...)"
            ),
            Self::Permission { path, reason } => write!(
                f,
                "{} may not be opened: {reason}; run both sides as the same user, or choose another name",
                path.display()
            ),
            Self::RoleTaken { role, pid } => {
                write!(f, "the ring already has a live {role}, process {pid}: stop it first, or choose another name")
            }
            Self::Version { expected, found } => write!(
                f,
                "the ring has layout version {found}, this program speaks version {expected}: use the same ringshm version on both sides, then remove the ring"
            ),
            Self::Corrupt { field } => {
                write!(f, "this is no usable ring ({field}): remove it and let both sides open it anew")
            }
            Self::InvalidName { name, reason } => write!(f, "{name:?} is no name for a ring: {reason}"),
            Self::InvalidOption { option, reason } => write!(f, "the option {option} cannot be used: {reason}"),
            Self::Busy { path } => write!(
                f,
                "another process is in the middle of joining or leaving {} and does not go on: it is stopped (SIGSTOP, debugger); let it run or kill it, then try again",
                path.display()
            ),
            Self::InUse { pid } => write!(
                f,
                "a live process, {pid}, uses the ring: stop it first, or remove the name by force (the processes keep the memory until they end)"
            ),
            Self::Os { step, source } => write!(f, "{step} failed: {source}"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Os { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why a ring side cannot go on right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Full, or empty: it may change.
    NotReady,
    /// The other side is gone.
    Disconnected,
    /// The ring is unusable.
    Fault(Fault),
}

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    TimedOut,
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
            Self::Disconnected => TrySendError::Disconnected(message),
            Self::Fault(fault) => TrySendError::Fault(message, fault),
        }
    }
}

impl From<Blocked> for TryRecvError {
    fn from(blocked: Blocked) -> Self {
        match blocked {
            Blocked::NotReady => Self::Empty,
            Blocked::Disconnected => Self::Disconnected,
            Blocked::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl Stop {
    pub(crate) fn into_send_timeout<T>(self, message: T) -> SendTimeoutError<T> {
        match self {
            Self::TimedOut => SendTimeoutError::Timeout(message),
            Self::Disconnected => SendTimeoutError::Disconnected(message),
            Self::Fault(fault) => SendTimeoutError::Fault(message, fault),
        }
    }

    /// For a wait without a deadline.
    pub(crate) fn into_send<T>(self, message: T) -> SendError<T> {
        match self {
            Self::TimedOut | Self::Disconnected => SendError::Disconnected(message),
            Self::Fault(fault) => SendError::Fault(message, fault),
        }
    }
}

impl From<Stop> for RecvTimeoutError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::TimedOut => Self::Timeout,
            Stop::Disconnected => Self::Disconnected,
            Stop::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// For a wait without a deadline.
impl From<Stop> for RecvError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::TimedOut | Stop::Disconnected => Self::Disconnected,
            Stop::Fault(fault) => Self::Fault(fault),
        }
    }
}
