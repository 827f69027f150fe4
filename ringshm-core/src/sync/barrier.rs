//! Where a fixed number of participants meet.

use super::error::{BarrierError, BarrierTimeoutError};
use super::{Participant, Primitive};
use crate::layout::Kind;
use crate::message::Joined;
use core::time::Duration;
use ringshm_sync::robust::NotMet;
use ringshm_sync::time::Deadline;

/// One party's handle of a barrier that was made for a fixed number of parties: each waits until all have come, again and again.
///
/// A party is missed until somebody has taken its place. **If it dies**, or is dropped, before it came, all who are there are told
/// [`BarrierError::Broken`], within one park (5 ms), and so are all who come after, until somebody else opens the barrier and takes the free place. One
/// that has [left for a successor](Self::detach), and one that has never been there, are waited for; one that is stopped, too.
#[derive(Debug)]
pub struct Barrier {
    participant: Participant,
}

/// How a meeting ended for one that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this party is the one that ended the meeting. There is one of them in each meeting, unless it was killed that very moment.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Primitive for Barrier {
    type Value = ();

    const KIND: Kind = Kind::Barrier;

    fn take_part(joined: Joined) -> Self {
        let participant = Participant::new(joined);
        let memory = participant.memory();
        memory.control().robust.barrier.succeed(participant.own.me(), memory);
        Self { participant }
    }
}

impl Barrier {
    /// Waits until all parties have come. What each did before is visible to all afterwards.
    ///
    /// # Errors
    /// [`BarrierError`].
    pub fn wait(&mut self) -> Result<BarrierWaitResult, BarrierError> {
        self.participant.refuse_forked().map_err(BarrierError::Fault)?;
        match self.meet(Deadline::NEVER) {
            Ok(result) => Ok(result),
            Err(NotMet::Broken | NotMet::TimedOut) => Err(BarrierError::Broken),
        }
    }

    /// Waits for at most `timeout`, on the monotonic clock, until all parties have come. If they have not, the meeting is broken off for those who
    /// have.
    ///
    /// # Errors
    /// [`BarrierTimeoutError`].
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<BarrierWaitResult, BarrierTimeoutError> {
        self.participant.refuse_forked().map_err(BarrierTimeoutError::Fault)?;
        self.meet(Deadline::after(timeout)).map_err(|not_met| match not_met {
            NotMet::Broken => BarrierTimeoutError::Broken,
            NotMet::TimedOut => BarrierTimeoutError::Timeout,
        })
    }

    fn meet(&mut self, deadline: Deadline) -> Result<BarrierWaitResult, NotMet> {
        let (own, company) = self.participant.split();
        let meeting = company.control().robust.barrier.wait(own, company, deadline)?;
        Ok(BarrierWaitResult(meeting.is_leader))
    }

    /// How many parties it was made for.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.participant.memory().geometry().lanes()
    }

    /// Leaves the place to a successor: the others wait for it.
    pub fn detach(self) {
        self.participant.detach();
    }
}
