//! What can go wrong with a primitive, one enum per operation.

use crate::error::Fault;
use core::fmt;
use ringshm_sync::robust::NotLocked;
use std::error::Error;

const OWNER_DIED: &str = "the lock is held, but one who held it before died with the value in its hands: look at the value, put it right, and call mark_consistent";
const WOULD_BLOCK: &str = "somebody alive has the lock: try again later, or wait for it";
const TIMED_OUT: &str =
    "somebody alive had the lock until the deadline: try again, or find out with ringshm info who holds it";
const HELD_BY_CALLER: &str =
    "this handle has the lock already, because its guard was forgotten: drop the handle and open it again";

/// Why a lock was not given, or was given with a doubt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LockError<G> {
    /// The lock is held, and this is its guard. But a holder died, or panicked, perhaps in the middle of a change, and nobody has called
    /// `mark_consistent` since.
    OwnerDied(G),
    /// This handle has it already: its guard was forgotten.
    HeldByCaller,
    /// The handle is unusable.
    Fault(Fault),
}

/// Why a call that does not wait did not get a lock, or got it with a doubt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TryLockError<G> {
    /// As [`LockError::OwnerDied`].
    OwnerDied(G),
    /// Somebody has it, who lives, as far as the kernel was asked in the last millisecond.
    WouldBlock,
    /// As [`LockError::HeldByCaller`].
    HeldByCaller,
    /// The handle is unusable.
    Fault(Fault),
}

/// Why a lock was not given before a deadline, or was given with a doubt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LockTimeoutError<G> {
    /// As [`LockError::OwnerDied`].
    OwnerDied(G),
    /// Somebody alive, be it stopped, had it all that time.
    Timeout,
    /// As [`LockError::HeldByCaller`].
    HeldByCaller,
    /// The handle is unusable.
    Fault(Fault),
}

/// Why parties did not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierError {
    /// A party was killed or has left for good before it came, or another one has given up waiting. All who were there are told. It goes on being
    /// broken until somebody takes the missing party's place.
    Broken,
    /// The handle is unusable.
    Fault(Fault),
}

/// Why parties did not meet before a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierTimeoutError {
    /// As [`BarrierError::Broken`].
    Broken,
    /// Not all have come. The others who were there are told that this meeting is broken.
    Timeout,
    /// The handle is unusable.
    Fault(Fault),
}

/// Why something was not done before a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnceTimeoutError {
    /// Somebody alive was doing it all that time.
    Timeout,
    /// The handle is unusable.
    Fault(Fault),
}

impl<G> LockError<G> {
    /// The guard, if there is one: for who does not mind the doubt.
    pub fn into_guard(self) -> Option<G> {
        match self {
            Self::OwnerDied(guard) => Some(guard),
            Self::HeldByCaller | Self::Fault(_) => None,
        }
    }

    pub(super) fn map<H>(self, change: impl FnOnce(G) -> H) -> LockError<H> {
        match self {
            Self::OwnerDied(guard) => LockError::OwnerDied(change(guard)),
            Self::HeldByCaller => LockError::HeldByCaller,
            Self::Fault(fault) => LockError::Fault(fault),
        }
    }
}

impl<G> TryLockError<G> {
    /// As [`LockError::into_guard`].
    pub fn into_guard(self) -> Option<G> {
        match self {
            Self::OwnerDied(guard) => Some(guard),
            Self::WouldBlock | Self::HeldByCaller | Self::Fault(_) => None,
        }
    }
}

impl<G> LockTimeoutError<G> {
    /// As [`LockError::into_guard`].
    pub fn into_guard(self) -> Option<G> {
        match self {
            Self::OwnerDied(guard) => Some(guard),
            Self::Timeout | Self::HeldByCaller | Self::Fault(_) => None,
        }
    }
}

/// Why there is no guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NotLocked(NotLocked),
    Fault(Fault),
}

impl From<NotLocked> for Refused {
    fn from(not: NotLocked) -> Self {
        Self::NotLocked(not)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Of a wait without a deadline, which ends with the lock, or for one of the other reasons.
impl<G> From<Refused> for LockError<G> {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotLocked(NotLocked::Held | NotLocked::HeldByCaller) => Self::HeldByCaller,
            Refused::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl<G> From<Refused> for TryLockError<G> {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotLocked(NotLocked::Held) => Self::WouldBlock,
            Refused::NotLocked(NotLocked::HeldByCaller) => Self::HeldByCaller,
            Refused::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl<G> From<Refused> for LockTimeoutError<G> {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotLocked(NotLocked::Held) => Self::Timeout,
            Refused::NotLocked(NotLocked::HeldByCaller) => Self::HeldByCaller,
            Refused::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => f.write_str(OWNER_DIED),
            Self::HeldByCaller => f.write_str(HELD_BY_CALLER),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl<G> fmt::Display for TryLockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => f.write_str(OWNER_DIED),
            Self::WouldBlock => f.write_str(WOULD_BLOCK),
            Self::HeldByCaller => f.write_str(HELD_BY_CALLER),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl<G> fmt::Display for LockTimeoutError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => f.write_str(OWNER_DIED),
            Self::Timeout => f.write_str(TIMED_OUT),
            Self::HeldByCaller => f.write_str(HELD_BY_CALLER),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

const BROKEN: &str = "the barrier is broken: a party died, left or gave up waiting; let a successor take its place (ringshm info shows which), then meet again";

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken => f.write_str(BROKEN),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for BarrierTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken => f.write_str(BROKEN),
            Self::Timeout => f.write_str(
                "not all parties came until the deadline, and the others are told so: find out who is missing (ringshm info), then meet again",
            ),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for OnceTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str(
                "somebody alive was still doing it at the deadline: try again, or find out with ringshm info who it is",
            ),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

// `Debug` without the guard, as in std: so `?` and `unwrap` work whatever the value is.
impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => f.write_str("OwnerDied(..)"),
            Self::HeldByCaller => f.write_str("HeldByCaller"),
            Self::Fault(fault) => write!(f, "Fault({fault:?})"),
        }
    }
}

impl<G> fmt::Debug for TryLockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => f.write_str("OwnerDied(..)"),
            Self::WouldBlock => f.write_str("WouldBlock"),
            Self::HeldByCaller => f.write_str("HeldByCaller"),
            Self::Fault(fault) => write!(f, "Fault({fault:?})"),
        }
    }
}

impl<G> fmt::Debug for LockTimeoutError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => f.write_str("OwnerDied(..)"),
            Self::Timeout => f.write_str("Timeout"),
            Self::HeldByCaller => f.write_str("HeldByCaller"),
            Self::Fault(fault) => write!(f, "Fault({fault:?})"),
        }
    }
}

impl<G> Error for LockError<G> {}
impl<G> Error for TryLockError<G> {}
impl<G> Error for LockTimeoutError<G> {}
impl Error for BarrierError {}
impl Error for BarrierTimeoutError {}
impl Error for OnceTimeoutError {}
