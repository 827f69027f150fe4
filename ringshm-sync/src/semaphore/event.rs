//! An event count, one of whose sleepers sleeps on a semaphore of its own, so that it can be a C program.
//!
//! The event count says that somebody sleeps, as for all others, so ringing costs the same one load while nobody does. Who has a semaphore
//! says so at its own bell besides:
//!
//! ```text
//!   sleeper                                   ringer
//!   announce   own bell |= ASLEEP             publish   the thing waited for
//!              count |= WAITERS               ring      count: WAITERS ? off, epoch += 1, wake all
//!              heavy barrier                            then each bell: ASLEEP ? off, post
//!   look again at the thing
//!   sleep      on the semaphore
//! ```
//!
//! Both words are announced before the one barrier, and the ringer looks at both behind its own (DOORBELL). So a sleeper that does not see
//! what was published is found in both. One that sees it may be found in one of them only: then it is awake anyway, and announces
//! itself anew before its next sleep.
//!
//! Who dies where: a sleeper killed while announced leaves both flags; the next ring clears them, with a post for nobody. A ringer killed
//! between the count and the bells delays the sleepers by at most one park ([`LONGEST_PARK`](crate::doorbell::LONGEST_PARK)).

use super::bell::SemaphoreBell;
use crate::eventcount::EventCount;
use crate::time::Deadline;
use crate::wait::Bell;

/// The place of one sleeper: the [`EventCount`] of all, and its own bell. Everybody who rings the count must ring all such bells
/// afterwards, if [`ring_attentively`](EventCount::ring_attentively) says so.
#[derive(Clone, Copy, Debug)]
pub struct EventBell<'a> {
    count: &'a EventCount,
    own: SemaphoreBell<'a>,
}

impl<'a> EventBell<'a> {
    /// The two together.
    #[must_use]
    pub fn new(count: &'a EventCount, own: SemaphoreBell<'a>) -> Self {
        Self { count, own }
    }
}

impl Bell for EventBell<'_> {
    fn announce(&self) -> u32 {
        self.own.announce_quietly();
        self.count.announce()
    }

    fn park(&self, ticket: u32, deadline: Deadline) {
        self.own.park(ticket, deadline);
    }

    fn withdraw(&self) {
        self.own.withdraw();
    }
}
