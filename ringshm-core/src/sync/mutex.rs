//! A value that one participant at a time has to itself.

use super::error::{LockError, LockTimeoutError, Refused, TryLockError};
use super::protected::{Change, Protected};
use super::{Participant, Primitive};
use crate::layout::Kind;
use crate::message::Joined;
use crate::slots::Payload;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use ringshm_sync::robust::{Data, RawMutex};
use ringshm_sync::time::Deadline;

/// One participant's handle of a value `T` in shared memory, which one participant at a time may read and write.
///
/// **If the holder dies**, or leaves with its guard forgotten, the next one gets the lock, with [`LockError::OwnerDied`]: the value may be half
/// changed. So does everybody after that, until a guard has been [marked consistent](MutexGuard::mark_consistent). A holder that
/// panics leaves the same behind. A holder that is stopped keeps the lock.
///
/// **Cost.** A lock that nobody has is taken with one compare-and-swap and given back with one swap. Who has to wait does so as its builder
/// said, and finds a dead holder's lock within one park (5 ms); no order among those who wait is promised.
///
/// **Other processes** that break the protocol can make a wrong value, and break the exclusion. Unless the builder promised with
/// `trust_peers` that they do not, guards refer to a private copy of the value, which is copied back when the guard is dropped.
#[derive(Debug)]
pub struct Mutex<T> {
    participant: Participant,
    value: Protected<T>,
}

impl<T: Payload> Primitive for Mutex<T> {
    type Value = T;

    const KIND: Kind = Kind::Mutex;

    fn take_part(joined: Joined) -> Self {
        let participant = Participant::new(joined);
        let value = Protected::new(&participant.member);
        Self { participant, value }
    }
}

impl<T: Payload> Mutex<T> {
    /// Locks, and waits as long as somebody alive has the lock.
    ///
    /// # Errors
    /// [`LockError`]. It may have the guard in it.
    #[inline]
    pub fn lock(&mut self) -> Result<MutexGuard<'_, T>, LockError<MutexGuard<'_, T>>> {
        match self.acquire(Deadline::NEVER)? {
            Data::Consistent => Ok(self.guard(Data::Consistent)),
            Data::InDoubt => Err(LockError::OwnerDied(self.guard(Data::InDoubt))),
        }
    }

    /// Locks if nobody alive has the lock. Asks the kernel at most once a millisecond whether a holder lives.
    ///
    /// # Errors
    /// [`TryLockError`]. It may have the guard in it.
    #[inline]
    pub fn try_lock(&mut self) -> Result<MutexGuard<'_, T>, TryLockError<MutexGuard<'_, T>>> {
        match self.try_acquire()? {
            Data::Consistent => Ok(self.guard(Data::Consistent)),
            Data::InDoubt => Err(TryLockError::OwnerDied(self.guard(Data::InDoubt))),
        }
    }

    /// Locks, and waits for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`LockTimeoutError`]. It may have the guard in it.
    #[inline]
    pub fn lock_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<MutexGuard<'_, T>, LockTimeoutError<MutexGuard<'_, T>>> {
        match self.acquire(Deadline::after(timeout))? {
            Data::Consistent => Ok(self.guard(Data::Consistent)),
            Data::InDoubt => Err(LockTimeoutError::OwnerDied(self.guard(Data::InDoubt))),
        }
    }

    /// Leaves, but so that the value is kept for a successor, even if nobody else is there.
    pub fn detach(self) {
        self.participant.detach();
    }

    fn word(&self) -> &RawMutex {
        &self.participant.memory().control().robust.mutex
    }

    #[inline(always)]
    fn acquire(&mut self, deadline: Deadline) -> Result<Data, Refused> {
        self.participant.refuse_forked()?;
        if self.word().lock_at_once(self.participant.own.me()) {
            return Ok(Data::Consistent);
        }
        let (own, company) = self.participant.split();
        Ok(company.control().robust.mutex.lock(own, company, deadline)?)
    }

    #[inline(always)]
    fn try_acquire(&mut self) -> Result<Data, Refused> {
        self.participant.refuse_forked()?;
        if self.word().lock_at_once(self.participant.own.me()) {
            return Ok(Data::Consistent);
        }
        let (own, company) = self.participant.split();
        Ok(company.control().robust.mutex.try_lock(own, company)?)
    }

    fn guard(&mut self, data: Data) -> MutexGuard<'_, T> {
        let change = Change::begin(&mut self.value, data);
        MutexGuard { mutex: self, change, is_locked: true }
    }
}

/// The lock, held. Dropping it gives it back. A child that comes here through `fork` gives back nothing: the lock is its parent's.
#[derive(Debug)]
#[must_use = "a lock is given back when its guard is dropped"]
pub struct MutexGuard<'a, T: Payload> {
    mutex: &'a mut Mutex<T>,
    change: Change,
    is_locked: bool,
}

impl<T: Payload> MutexGuard<'_, T> {
    /// Whether a holder died, or panicked, and nobody has said since that the value is consistent.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.change.data == Data::InDoubt
    }

    /// Says that the value is consistent again. From the next holder on, nobody is warned.
    pub fn mark_consistent(&mut self) {
        self.change.data = Data::Consistent;
    }

    fn give_back(&mut self) {
        if self.is_locked && !self.mutex.participant.member.is_forked() {
            let data = self.change.end(&self.mutex.value);
            self.mutex.word().unlock(data);
        }
        self.is_locked = false;
    }

    /// Gives the lock back, runs `between`, and takes it again. If that fails, the guard has no lock, and is only good for being dropped.
    pub(super) fn without_lock(&mut self, between: impl FnOnce()) -> Result<Data, Refused> {
        self.give_back();
        between();
        let data = self.mutex.acquire(Deadline::NEVER)?;
        self.change = Change::begin(&mut self.mutex.value, data);
        self.is_locked = true;
        Ok(data)
    }
}

impl<T: Payload> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.change.get(&self.mutex.value)
    }
}

impl<T: Payload> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.change.get_mut(&mut self.mutex.value)
    }
}

impl<T: Payload> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.give_back();
    }
}
