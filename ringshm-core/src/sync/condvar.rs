//! Waiting for a change of what a mutex protects.

use super::error::{LockError, Refused};
use super::mutex::MutexGuard;
use super::{Participant, Primitive};
use crate::error::Fault;
use crate::layout::Kind;
use crate::message::Joined;
use crate::slots::Payload;
use core::time::Duration;
use ringshm_sync::robust::Data;
use ringshm_sync::time::Deadline;

/// One participant's handle of a condition variable: an object of its own, used with whatever [`Mutex`](super::Mutex) all agree on.
///
/// As in the standard library, but for one thing: **a wait ends after one park (5 ms) at most**, notified or not, so who waits looks at what it
/// waits for some 200 times a second. So a waiter that is killed with a notification in its hands, and a notifier that is killed after its
/// change and before it notified, delay nobody by more. Use [`wait_while`](Self::wait_while), or wait in a loop.
///
/// A notification wakes one of those who sleep at once, and reaches all others within one park.
#[derive(Debug)]
pub struct Condvar {
    participant: Participant,
}

/// Whether a wait ended because its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was over.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Primitive for Condvar {
    type Value = ();

    const KIND: Kind = Kind::Condvar;

    fn take_part(joined: Joined) -> Self {
        Self { participant: Participant::new(joined) }
    }
}

impl Condvar {
    /// Gives the mutex back, waits until notified or for one park, and takes the mutex again, as long as that takes.
    ///
    /// # Errors
    /// [`LockError`] of the mutex. It may have the guard in it.
    pub fn wait<'a, T: Payload>(
        &mut self,
        guard: MutexGuard<'a, T>,
    ) -> Result<MutexGuard<'a, T>, LockError<MutexGuard<'a, T>>> {
        self.wait_until(guard, Deadline::NEVER)
    }

    /// Waits as long as `condition` is true of the value.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait): a doubt ends the wait, whatever the condition.
    pub fn wait_while<'a, T: Payload>(
        &mut self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<MutexGuard<'a, T>, LockError<MutexGuard<'a, T>>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Self::wait), for at most `timeout`, on the monotonic clock. Then the mutex is taken again, as long as that takes.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    #[allow(clippy::type_complexity, reason = "as in the standard library")]
    pub fn wait_timeout<'a, T: Payload>(
        &mut self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), LockError<(MutexGuard<'a, T>, WaitTimeoutResult)>> {
        let deadline = Deadline::after(timeout);
        let answer = self.wait_until(guard, deadline);
        let result = WaitTimeoutResult(deadline.is_over());
        answer.map(|guard| (guard, result)).map_err(|error| error.map(|guard| (guard, result)))
    }

    /// Waits as long as `condition` is true of the value, for at most `timeout`. Timed out means that the condition is still true.
    ///
    /// # Errors
    /// As for [`wait_while`](Self::wait_while).
    #[allow(clippy::type_complexity, reason = "as in the standard library")]
    pub fn wait_timeout_while<'a, T: Payload>(
        &mut self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), LockError<(MutexGuard<'a, T>, WaitTimeoutResult)>> {
        let deadline = Deadline::after(timeout);
        loop {
            if !condition(&mut guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if deadline.is_over() {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            let answer = self.wait_until(guard, deadline);
            guard = answer.map_err(|error| error.map(|guard| (guard, WaitTimeoutResult(deadline.is_over()))))?;
        }
    }

    fn wait_until<'a, T: Payload>(
        &mut self,
        mut guard: MutexGuard<'a, T>,
        deadline: Deadline,
    ) -> Result<MutexGuard<'a, T>, LockError<MutexGuard<'a, T>>> {
        self.participant.refuse_forked().map_err(Refused::from)?;
        let (own, company) = self.participant.split();
        let word = &company.control().robust.condvar;
        let ticket = word.announce();
        match guard.without_lock(|| word.wait(own, ticket, deadline))? {
            Data::Consistent => Ok(guard),
            Data::InDoubt => Err(LockError::OwnerDied(guard)),
        }
    }

    /// Wakes one of those who wait: after a change that the caller made with the mutex locked, whether it still is or not. A load, if nobody
    /// waits.
    ///
    /// # Errors
    /// [`Fault::Forked`].
    pub fn notify_one(&mut self) -> Result<(), Fault> {
        self.participant.refuse_forked()?;
        self.participant.memory().control().robust.condvar.notify_one();
        Ok(())
    }

    /// Wakes all of those who wait. Otherwise as [`notify_one`](Self::notify_one).
    ///
    /// # Errors
    /// [`Fault::Forked`].
    pub fn notify_all(&mut self) -> Result<(), Fault> {
        self.participant.refuse_forked()?;
        self.participant.memory().control().robust.condvar.notify_all();
        Ok(())
    }

    /// Leaves, but so that the object is kept for a successor, even if nobody else is there.
    pub fn detach(self) {
        self.participant.detach();
    }
}
