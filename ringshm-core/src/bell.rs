//! Where participants sleep, as the ring's maker chose it: on a futex or on the semaphore of their lane. What it chose was read from the
//! header when the ring was joined, and is never read again.

use crate::lanes::Role;
use crate::layout::{Lane, Presence, Wakeup};
use crate::memory::Memory;
use ringshm_sync::barrier::Light;
use ringshm_sync::bell::OwnBell;
use ringshm_sync::eventcount::EventCount;
use ringshm_sync::semaphore::bell::SemaphoreBell;
use ringshm_sync::semaphore::event::EventBell;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Bell;

impl Presence {
    /// Where the owner of a lane sleeps.
    pub(crate) fn bell_for(&self, wakeup: Wakeup) -> OwnBell<'_> {
        match wakeup {
            Wakeup::Futex => OwnBell::Futex(&self.bell),
            Wakeup::Semaphore => OwnBell::Semaphore(SemaphoreBell::new(&self.bell, &self.semaphore)),
        }
    }
}

/// Where a reader sleeps that is woken together with all others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReaderBell<'a> {
    /// In the lobby.
    Lobby(&'a EventCount),
    /// On the semaphore of its lane.
    Lane(EventBell<'a>),
}

impl Bell for ReaderBell<'_> {
    fn announce(&self) -> u32 {
        match self {
            Self::Lobby(count) => count.announce(),
            Self::Lane(bell) => bell.announce(),
        }
    }

    fn park(&self, ticket: u32, deadline: Deadline) {
        match self {
            Self::Lobby(count) => count.park(ticket, deadline),
            Self::Lane(bell) => bell.park(ticket, deadline),
        }
    }

    fn withdraw(&self) {
        match self {
            Self::Lobby(count) => count.withdraw(),
            Self::Lane(bell) => bell.withdraw(),
        }
    }
}

impl Memory {
    /// Where a reader sleeps that has that lane, or none: without one, there is no semaphore for it.
    pub(crate) fn bell_of_reader<'a>(&'a self, lane: Option<&'a Lane>) -> ReaderBell<'a> {
        let count = &*self.lobby().readers;
        match (self.geometry().wakeup, lane) {
            (Wakeup::Semaphore, Some(Lane { presence, .. })) => {
                let own = SemaphoreBell::new(&presence.bell, &presence.semaphore);
                ReaderBell::Lane(EventBell::new(count, own))
            }
            (Wakeup::Semaphore, None) | (Wakeup::Futex, _) => ReaderBell::Lobby(count),
        }
    }

    /// Wakes all readers that sleep: after publishing, or evicting one. One load while nobody does.
    #[inline(always)]
    pub(crate) fn ring_readers(&self, mode: Light) {
        if self.lobby().readers.may_be_awaited(mode) {
            self.ring_readers_attentively();
        }
    }

    #[cold]
    #[inline(never)]
    fn ring_readers_attentively(&self) {
        let any = self.lobby().readers.ring_attentively();
        if any && self.geometry().wakeup == Wakeup::Semaphore {
            for lane in self.used_lanes_of(Role::Consumer) {
                self.presence(lane).bell_for(Wakeup::Semaphore).ring_attentively();
            }
        }
    }
}
