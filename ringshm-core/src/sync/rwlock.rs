//! A value that one participant writes or many read.

use super::error::{LockError, LockTimeoutError, Refused, TryLockError};
use super::protected::{Change, Protected};
use super::{Participant, Primitive};
use crate::layout::Kind;
use crate::message::Joined;
use crate::slots::Payload;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use ringshm_sync::cell::Reading;
use ringshm_sync::robust::Data;
use ringshm_sync::time::Deadline;

/// One participant's handle of a value `T` in shared memory, which many may read at a time, or one may write.
///
/// **Writers come first**: once one has come, no further reader gets in until it has been served. So readers may wait as long as writers follow
/// each other; and no order is promised among writers, nor among readers.
///
/// **If a reader dies**, it no longer counts: a writer that waits for it finds out within one park (5 ms). **If a writer dies**, or one that waits
/// to write, whoever comes next, be it a reader, gets the lock with [`LockError::OwnerDied`], as of a [`Mutex`](super::Mutex). A reader cannot
/// mark the value consistent; a writer can.
///
/// **Cost.** A reader stores into its own lane and fences, and touches no line that other readers write; a writer looks at every lane. What is said
/// of other processes there is true here.
#[derive(Debug)]
pub struct RwLock<T> {
    participant: Participant,
    value: Protected<T>,
}

impl<T: Payload> Primitive for RwLock<T> {
    type Value = T;

    const KIND: Kind = Kind::RwLock;

    fn take_part(joined: Joined) -> Self {
        let participant = Participant::new(joined);
        let value = Protected::new(&participant.member);
        Self { participant, value }
    }
}

impl<T: Payload> RwLock<T> {
    /// Locks to read, and waits as long as a writer that lives has the lock, or waits for it.
    ///
    /// # Errors
    /// [`LockError`]. It may have the guard in it.
    pub fn read(&mut self) -> Result<RwLockReadGuard<'_, T>, LockError<RwLockReadGuard<'_, T>>> {
        match self.acquire_to_read(Deadline::NEVER)? {
            Data::Consistent => Ok(self.read_guard(Data::Consistent)),
            Data::InDoubt => Err(LockError::OwnerDied(self.read_guard(Data::InDoubt))),
        }
    }

    /// Locks to read, if no writer that lives has the lock or waits for it. Asks the kernel at most once a millisecond whether it lives.
    ///
    /// # Errors
    /// [`TryLockError`]. It may have the guard in it.
    pub fn try_read(&mut self) -> Result<RwLockReadGuard<'_, T>, TryLockError<RwLockReadGuard<'_, T>>> {
        self.refuse_forked()?;
        let (own, company) = self.participant.split();
        match company.control().robust.rwlock.try_read(own, company).map_err(Refused::from)? {
            Data::Consistent => Ok(self.read_guard(Data::Consistent)),
            Data::InDoubt => Err(TryLockError::OwnerDied(self.read_guard(Data::InDoubt))),
        }
    }

    /// Locks to read, and waits for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`LockTimeoutError`]. It may have the guard in it.
    pub fn read_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<RwLockReadGuard<'_, T>, LockTimeoutError<RwLockReadGuard<'_, T>>> {
        match self.acquire_to_read(Deadline::after(timeout))? {
            Data::Consistent => Ok(self.read_guard(Data::Consistent)),
            Data::InDoubt => Err(LockTimeoutError::OwnerDied(self.read_guard(Data::InDoubt))),
        }
    }

    /// Locks to write, and waits as long as somebody alive has the lock.
    ///
    /// # Errors
    /// [`LockError`]. It may have the guard in it.
    pub fn write(&mut self) -> Result<RwLockWriteGuard<'_, T>, LockError<RwLockWriteGuard<'_, T>>> {
        match self.acquire_to_write(Deadline::NEVER)? {
            Data::Consistent => Ok(self.write_guard(Data::Consistent)),
            Data::InDoubt => Err(LockError::OwnerDied(self.write_guard(Data::InDoubt))),
        }
    }

    /// Locks to write, if nobody alive has the lock. Asks the kernel at most once a millisecond who lives.
    ///
    /// # Errors
    /// [`TryLockError`]. It may have the guard in it.
    pub fn try_write(&mut self) -> Result<RwLockWriteGuard<'_, T>, TryLockError<RwLockWriteGuard<'_, T>>> {
        self.refuse_forked()?;
        let (own, company) = self.participant.split();
        match company.control().robust.rwlock.try_write(own, company).map_err(Refused::from)? {
            Data::Consistent => Ok(self.write_guard(Data::Consistent)),
            Data::InDoubt => Err(TryLockError::OwnerDied(self.write_guard(Data::InDoubt))),
        }
    }

    /// Locks to write, and waits for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`LockTimeoutError`]. It may have the guard in it.
    pub fn write_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<RwLockWriteGuard<'_, T>, LockTimeoutError<RwLockWriteGuard<'_, T>>> {
        match self.acquire_to_write(Deadline::after(timeout))? {
            Data::Consistent => Ok(self.write_guard(Data::Consistent)),
            Data::InDoubt => Err(LockTimeoutError::OwnerDied(self.write_guard(Data::InDoubt))),
        }
    }

    /// Leaves, but so that the value is kept for a successor, even if nobody else is there.
    pub fn detach(self) {
        self.participant.detach();
    }

    fn refuse_forked(&self) -> Result<(), Refused> {
        Ok(self.participant.refuse_forked()?)
    }

    fn acquire_to_read(&mut self, deadline: Deadline) -> Result<Data, Refused> {
        self.refuse_forked()?;
        let (own, company) = self.participant.split();
        Ok(company.control().robust.rwlock.read(own, company, deadline)?)
    }

    fn acquire_to_write(&mut self, deadline: Deadline) -> Result<Data, Refused> {
        self.refuse_forked()?;
        let (own, company) = self.participant.split();
        Ok(company.control().robust.rwlock.write(own, company, deadline)?)
    }

    fn read_guard(&mut self, data: Data) -> RwLockReadGuard<'_, T> {
        let place = self.value.read();
        RwLockReadGuard { lock: self, place, data }
    }

    fn write_guard(&mut self, data: Data) -> RwLockWriteGuard<'_, T> {
        let change = Change::begin(&mut self.value, data);
        RwLockWriteGuard { lock: self, change }
    }
}

/// The lock, held to read. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "a lock is given back when its guard is dropped"]
pub struct RwLockReadGuard<'a, T: Payload> {
    lock: &'a mut RwLock<T>,
    place: Option<Reading>,
    data: Data,
}

impl<T: Payload> RwLockReadGuard<'_, T> {
    /// Whether a writer died, or panicked, and nobody has said since that the value is consistent.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.data == Data::InDoubt
    }
}

impl<T: Payload> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.lock.value.by_reading(self.place.as_ref())
    }
}

impl<T: Payload> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.place = None;
        let participant = &self.lock.participant;
        if !participant.member.is_forked() {
            let company = participant.memory();
            company.control().robust.rwlock.unlock_read(participant.own.me(), company);
        }
    }
}

/// The lock, held to write. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "a lock is given back when its guard is dropped"]
pub struct RwLockWriteGuard<'a, T: Payload> {
    lock: &'a mut RwLock<T>,
    change: Change,
}

impl<T: Payload> RwLockWriteGuard<'_, T> {
    /// Whether a writer died, or panicked, and nobody has said since that the value is consistent.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.change.data == Data::InDoubt
    }

    /// Says that the value is consistent again. From the next holder on, nobody is warned.
    pub fn mark_consistent(&mut self) {
        self.change.data = Data::Consistent;
    }
}

impl<T: Payload> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.change.get(&self.lock.value)
    }
}

impl<T: Payload> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.change.get_mut(&mut self.lock.value)
    }
}

impl<T: Payload> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        if !self.lock.participant.member.is_forked() {
            let data = self.change.end(&self.lock.value);
            self.lock.participant.memory().control().robust.rwlock.unlock_write(data);
        }
    }
}
