//! What can go wrong with a set of semaphores, one enum per operation, each with a sentence that says what to do next.

use super::{MOST, Op};
use core::fmt;
use std::io;

/// Which set: for messages, and to tell other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetId {
    /// The key that leads to it; 0 if none does, or it was attached to by its id.
    pub key: i32,
    /// The kernel's number for it.
    pub id: i32,
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            0 => write!(f, "the semaphore set {}", self.id),
            key => write!(f, "the semaphore set {} (key {key:#x})", self.id),
        }
    }
}

/// Why a set could not be made, opened or removed by its key.
#[derive(Debug)]
pub enum OpenError {
    /// There is no set like that.
    NotFound {
        /// The key, or the id, it was looked for by.
        set: SetId,
    },
    /// There is one already.
    Exists {
        /// Its key.
        key: i32,
    },
    /// It was made, and for a second nobody has operated on it: its maker is stopped, was killed while making it, or never operates on it.
    Unfinished {
        /// The set.
        set: SetId,
    },
    /// There is one with another number of semaphores.
    Mismatch {
        /// The set.
        set: SetId,
        /// How many it has.
        found: usize,
        /// How many were expected.
        expected: usize,
    },
    /// The key is 0, which stands for sets without one.
    InvalidKey,
    /// A semaphore cannot begin that high.
    TooHigh {
        /// The key.
        key: i32,
        /// The count.
        count: u16,
    },
    /// The kernel makes no sets of that length: an empty one, or too long a one.
    TooLarge {
        /// The key.
        key: i32,
    },
    /// The set's rights forbid it.
    Permission {
        /// The key.
        key: i32,
    },
    /// The kernel keeps no more sets, or no more semaphores.
    NoSpace {
        /// The key.
        key: i32,
    },
    /// The kernel refused a step.
    Os {
        /// The key.
        key: i32,
        /// The step.
        step: &'static str,
        /// Its error.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn from_io(source: io::Error, key: i32, step: &'static str) -> Self {
        match source.raw_os_error() {
            // EINVAL: the id stands for nothing any more.
            Some(libc::ENOENT | libc::EIDRM | libc::EINVAL) => Self::NotFound { set: SetId { key, id: -1 } },
            Some(libc::EEXIST) => Self::Exists { key },
            Some(libc::EACCES | libc::EPERM) => Self::Permission { key },
            Some(libc::ENOSPC | libc::ENOMEM) => Self::NoSpace { key },
            _ => Self::Os { key, step, source },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { set: SetId { key: 0, id } } => {
                write!(f, "there is no semaphore set {id}: its maker has removed it, or it is in another IPC namespace")
            }
            Self::NotFound { set } => write!(
                f,
                "there is no semaphore set with the key {:#x}: start the program that makes it, or make it here",
                set.key
            ),
            Self::Exists { key } => {
                write!(f, "there already is a semaphore set with the key {key:#x}: open it, or remove it first (ipcrm)")
            }
            Self::Unfinished { set } => write!(
                f,
                "{set} was made and never used, so that nobody knows whether it has its counts: its maker is stopped, was killed, or does not say; remove it and make it anew, or attach to it by its id"
            ),
            Self::Mismatch { set, found, expected } => write!(
                f,
                "{set} has {found} semaphores and {expected} were expected: choose another key, or remove it and make it anew"
            ),
            Self::InvalidKey => {
                f.write_str("0 is no key, it stands for sets without one: choose another number, or make a private set")
            }
            Self::TooHigh { key, count } => write!(
                f,
                "a semaphore of the set with the key {key:#x} cannot begin at {count}: the highest count is {MOST}; begin lower"
            ),
            Self::TooLarge { key } => write!(
                f,
                "the semaphore set with the key {key:#x} cannot have that many semaphores: ask for 1 at least, and no more than the first number of /proc/sys/kernel/sem"
            ),
            Self::Permission { key } => write!(
                f,
                "the semaphore set with the key {key:#x} may not be used by this user: have it made with rights to read and write, or run as its owner"
            ),
            Self::NoSpace { key } => write!(
                f,
                "there is no room for the semaphore set with the key {key:#x}: remove sets that nobody uses (ipcs -s, ipcrm), or raise /proc/sys/kernel/sem"
            ),
            Self::Os { key, step, source } => {
                write!(f, "the semaphore set with the key {key:#x}: {step} failed: {source}")
            }
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Os { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why nothing was done with a set.
#[derive(Debug)]
pub enum OpError {
    /// Somebody has removed the set, perhaps while this waited.
    Removed {
        /// The set.
        set: SetId,
    },
    /// The set has no semaphore of that number.
    NoSuchIndex {
        /// The set.
        set: SetId,
        /// The number.
        index: u16,
        /// How many it has.
        len: usize,
    },
    /// A count, or what would have to be undone, would leave its range; or a step counts by 0, or by too much.
    OutOfRange {
        /// The set.
        set: SetId,
    },
    /// More steps than the kernel takes at once.
    TooMany {
        /// The set.
        set: SetId,
        /// How many.
        steps: usize,
    },
    /// The set's rights forbid it.
    Permission {
        /// The set.
        set: SetId,
    },
    /// The kernel has no memory to note what to undo.
    NoSpace {
        /// The set.
        set: SetId,
    },
    /// The kernel refused it.
    Os {
        /// The set.
        set: SetId,
        /// Its error.
        source: io::Error,
    },
}

impl OpError {
    pub(super) fn from_io(source: io::Error, set: SetId, ops: &[Op]) -> Self {
        match source.raw_os_error() {
            // EINVAL: there is no such set any more.
            Some(libc::EIDRM | libc::EINVAL) => Self::Removed { set },
            Some(libc::ERANGE) => Self::OutOfRange { set },
            Some(libc::E2BIG) => Self::TooMany { set, steps: ops.len() },
            Some(libc::EACCES | libc::EPERM) => Self::Permission { set },
            Some(libc::ENOSPC | libc::ENOMEM) => Self::NoSpace { set },
            _ => Self::Os { set, source },
        }
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed { set } => {
                write!(f, "{set} has been removed: nothing can come from it; open or make it anew")
            }
            Self::NoSuchIndex { set, index, len } => {
                write!(f, "{set} has no semaphore {index}: it has {len}, counted from 0; use one of these")
            }
            Self::OutOfRange { set } => write!(
                f,
                "{set}: a semaphore counts from 0 to {MOST}, and a step by 1 to {MOST}; count by less, or find out who posts without end"
            ),
            Self::TooMany { set, steps } => write!(
                f,
                "{set}: {steps} steps are more than the kernel takes at once: take fewer, or raise the third number of /proc/sys/kernel/sem"
            ),
            Self::Permission { set } => write!(
                f,
                "{set} may not be changed by this user: have it made with rights to read and write, or run as its owner"
            ),
            Self::NoSpace { set } => {
                write!(
                    f,
                    "{set}: the kernel has no memory left to note what to undo: take the step without, or end processes"
                )
            }
            Self::Os { set, source } => write!(f, "{set}: the kernel refused the operation: {source}"),
        }
    }
}

impl core::error::Error for OpError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Os { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why nothing was done at once.
#[derive(Debug)]
pub enum TryOpError {
    /// Some count is not what the steps need. Try again later, or wait.
    WouldBlock,
    /// It cannot be done at all.
    Op(OpError),
}

impl fmt::Display for TryOpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => {
                f.write_str("some semaphore of the set does not allow it now: try again later, or wait")
            }
            Self::Op(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TryOpError {}

/// Why nothing was done in time.
#[derive(Debug)]
pub enum OpTimeoutError {
    /// Some count was not what the steps need, all the time.
    TimedOut,
    /// It cannot be done at all.
    Op(OpError),
}

impl fmt::Display for OpTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str(
                "some semaphore of the set did not allow it within the time given: wait longer, or find out who holds it",
            ),
            Self::Op(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OpTimeoutError {}
