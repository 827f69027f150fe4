//! Something that one participant does once.

use super::error::OnceTimeoutError;
use super::{Participant, Primitive};
use crate::error::Fault;
use crate::layout::Kind;
use crate::message::Joined;
use core::time::Duration;
use ringshm_sync::robust::{Data, NotRun, RawOnce, Run};
use ringshm_sync::time::Deadline;

/// One participant's handle of something that is to be done once by one of all, such as filling a region of shared memory.
///
/// **If the one who does it dies**, or panics, it is done anew by another, who is [told so](OnceState::is_interrupted). It is waited for as long as it
/// lives, be it stopped.
#[derive(Debug)]
pub struct Once {
    participant: Participant,
}

/// What is known to the one who is to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnceState {
    is_interrupted: bool,
}

impl OnceState {
    /// Whether somebody has begun before, and died, or panicked: part of it may be done.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.is_interrupted
    }
}

impl Primitive for Once {
    type Value = ();

    const KIND: Kind = Kind::Once;

    fn take_part(joined: Joined) -> Self {
        Self { participant: Participant::new(joined) }
    }
}

impl Once {
    /// Does it, unless it is done; waits as long as somebody alive is doing it. Afterwards it is done, and what was done is visible.
    ///
    /// # Errors
    /// [`Fault::Forked`].
    pub fn call_once(&mut self, work: impl FnOnce(OnceState)) -> Result<(), Fault> {
        self.participant.refuse_forked()?;
        // A wait without a deadline ends with one or the other.
        let _ = self.run(work, Deadline::NEVER);
        Ok(())
    }

    /// As [`call_once`](Self::call_once), and waits for at most `timeout`, on the monotonic clock. The time that its own work takes does not count.
    ///
    /// # Errors
    /// [`OnceTimeoutError`].
    pub fn call_once_timeout(
        &mut self,
        work: impl FnOnce(OnceState),
        timeout: Duration,
    ) -> Result<(), OnceTimeoutError> {
        self.participant.refuse_forked().map_err(OnceTimeoutError::Fault)?;
        self.run(work, Deadline::after(timeout)).map_err(|NotRun| OnceTimeoutError::Timeout)
    }

    fn run(&mut self, work: impl FnOnce(OnceState), deadline: Deadline) -> Result<(), NotRun> {
        let (own, company) = self.participant.split();
        let word = &company.control().robust.once;
        if let Run::Now(data) = word.begin(own, company, deadline)? {
            let turn = Turn(word);
            work(OnceState { is_interrupted: data == Data::InDoubt });
            core::mem::forget(turn);
            word.finish();
        }
        Ok(())
    }

    /// Whether it is done. If so, what was done is visible.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.participant.memory().control().robust.once.is_done()
    }

    /// Leaves, but so that the object is kept for a successor, even if nobody else is there.
    pub fn detach(self) {
        self.participant.detach();
    }
}

/// The work, as long as it is not done: a panic leaves it to another.
struct Turn<'a>(&'a RawOnce);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}
