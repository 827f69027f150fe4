//! A participant's own bell, as the maker of its ring chose it: a futex or a semaphore.

use crate::barrier::Light;
use crate::doorbell::Doorbell;
use crate::semaphore::bell::SemaphoreBell;
use crate::time::Deadline;
use crate::wait::Bell;

/// Where the owner of a bell sleeps. Which of the two it is, all who sleep and ring must have agreed on before.
#[derive(Clone, Copy, Debug)]
pub enum OwnBell<'a> {
    /// On the bell's own word.
    Futex(&'a Doorbell),
    /// On the semaphore beside it.
    Semaphore(SemaphoreBell<'a>),
}

impl<'a> OwnBell<'a> {
    /// Makes the caller the owner: whatever a previous owner left behind is gone.
    pub fn install(&self) {
        match self {
            Self::Futex(bell) => bell.install(),
            Self::Semaphore(bell) => bell.install(),
        }
    }

    /// The word that says whether the owner sleeps. Who waits for many sleeps on it, whatever the bell is: it changes when the bell is rung,
    /// and ringers wake it.
    #[must_use]
    pub fn word(&self) -> &'a Doorbell {
        match self {
            Self::Futex(bell) => bell,
            Self::Semaphore(bell) => bell.word(),
        }
    }

    /// Ringer: wakes the owner if it sleeps. Call it after publishing. One load while nobody sleeps.
    pub fn ring(&self, mode: Light) {
        match self {
            Self::Futex(bell) => bell.ring(mode),
            Self::Semaphore(bell) => bell.ring(mode),
        }
    }

    /// Ringer: as [`ring`](Self::ring), when [`may_be_awaited`](Doorbell::may_be_awaited) has said so. Says whether it woke the owner out
    /// of a park. One that was announced and not yet parked looks again by itself, and counts as not woken.
    pub fn ring_attentively(&self) -> bool {
        match self {
            Self::Futex(bell) => bell.ring_attentively(),
            Self::Semaphore(bell) => bell.ring_attentively(),
        }
    }

    /// Owner: before it announces a sleep at this bell together with others.
    pub(crate) fn prepare(&self) {
        match self {
            Self::Futex(_) => {}
            Self::Semaphore(bell) => bell.drain(),
        }
    }
}

impl<'a> From<&'a Doorbell> for OwnBell<'a> {
    fn from(bell: &'a Doorbell) -> Self {
        Self::Futex(bell)
    }
}

impl<'a> From<SemaphoreBell<'a>> for OwnBell<'a> {
    fn from(bell: SemaphoreBell<'a>) -> Self {
        Self::Semaphore(bell)
    }
}

impl Bell for OwnBell<'_> {
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
        self.word().withdraw();
    }
}
