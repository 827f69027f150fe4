//! The bell of a lane, as the ring's maker chose it: a futex or a semaphore.

use crate::layout::{Presence, Wakeup};
use ringshm_sync::barrier::Light;
use ringshm_sync::doorbell::Doorbell;
use ringshm_sync::semaphore::bell::SemaphoreBell;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Bell;

/// Where the owner of a lane sleeps. Which of the two it is was read from the header when the ring was joined, and is never read again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LaneBell<'a> {
    Futex(&'a Doorbell),
    Semaphore(SemaphoreBell<'a>),
}

impl Presence {
    pub(crate) fn bell_for(&self, wakeup: Wakeup) -> LaneBell<'_> {
        match wakeup {
            Wakeup::Futex => LaneBell::Futex(&self.bell),
            Wakeup::Semaphore => LaneBell::Semaphore(SemaphoreBell::new(&self.bell, &self.semaphore)),
        }
    }
}

impl LaneBell<'_> {
    pub(crate) fn install(&self) {
        match self {
            Self::Futex(bell) => bell.install(),
            Self::Semaphore(bell) => bell.install(),
        }
    }

    pub(crate) fn ring(&self, mode: Light) {
        match self {
            Self::Futex(bell) => bell.ring(mode),
            Self::Semaphore(bell) => bell.ring(mode),
        }
    }

    /// As [`ring`](Self::ring), when [`may_be_awaited`](Doorbell::may_be_awaited) has said so.
    pub(crate) fn ring_attentively(&self) {
        match self {
            Self::Futex(bell) => {
                bell.ring_attentively();
            }
            Self::Semaphore(bell) => bell.ring_attentively(),
        }
    }
}

impl Bell for LaneBell<'_> {
    fn announce(&self) -> u32 {
        match self {
            Self::Futex(bell) => bell.announce(),
            Self::Semaphore(bell) => bell.announce(),
        }
    }

    fn park(&self, ticket: u32, deadline: Deadline) {
        match self {
            Self::Futex(bell) => bell.park(ticket, deadline),
            Self::Semaphore(bell) => bell.park(ticket, deadline),
        }
    }

    fn withdraw(&self) {
        match self {
            Self::Futex(bell) => bell.withdraw(),
            Self::Semaphore(bell) => bell.withdraw(),
        }
    }
}
