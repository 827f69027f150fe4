//! A doorbell whose owner sleeps on a semaphore, so that it can be a C program, and be woken by one.
//!
//! The word says who sleeps, as in a [`Doorbell`], so ringing costs one load while nobody does. Only the sleep itself is another:
//!
//! ```text
//!   sleeper                              ringer
//!   drain      sem_trywait, while it counts
//!   announce   word |= 1 (and 2, in C)   publish   the thing waited for
//!              full fence                          full fence (in C)
//!   look again at the thing              ring      word & 1 ?  word &= ~1, sem_post
//!   sleep      sem_clockwait, some milliseconds
//!   withdraw   word &= ~1
//! ```
//!
//! The 2 asks ringers of ours to fence, which a sleeper needs that does not call `membarrier`.
//!
//! **Posts do not pile up.** Who takes an announcement posts once, and each sleeper takes away what was posted before it announces itself
//! anew. So the semaphore never counts more than one, and one for each post that was on its way just then, whoever is killed.
//!
//! Who dies where: a sleeper killed while announced leaves its flag, and the next ringer takes it, at the price of one post for nobody. A
//! sleeper killed while it sleeps also leaves itself in the semaphore's number of waiters: that costs nobody anything, because nobody posts
//! without having taken a flag. Both are gone when the next owner comes. A ringer killed between taking the flag and waking delays the
//! owner by at most one park ([`LONGEST_PARK`](crate::doorbell::LONGEST_PARK)).

use super::Semaphore;
use crate::barrier::Light;
use crate::crash;
use crate::doorbell::Doorbell;
use crate::time::Deadline;
use crate::wait::Bell;
use crate::watch::Standing;

/// A [`Doorbell`] and the semaphore on which its owner sleeps.
///
/// Another process that writes nonsense into the semaphore can make the owner look for nothing, as often as it counts, or make it
/// sleep for the longest park; nothing else.
#[derive(Clone, Copy, Debug)]
pub struct SemaphoreBell<'a> {
    bell: &'a Doorbell,
    semaphore: &'a Semaphore,
}

impl<'a> SemaphoreBell<'a> {
    /// The two together. Everybody must know that they are: who rings the doorbell alone wakes nobody.
    #[must_use]
    pub fn new(bell: &'a Doorbell, semaphore: &'a Semaphore) -> Self {
        Self { bell, semaphore }
    }

    /// Makes the caller the owner: whatever a previous owner left behind is gone.
    pub fn install(&self) {
        self.bell.install();
        self.semaphore.reset();
    }

    /// Ringer: wakes the owner if it sleeps. Call it after publishing. One load while nobody sleeps.
    #[inline(always)]
    pub fn ring(&self, mode: Light) {
        if self.bell.may_be_awaited(mode) {
            self.ring_attentively();
        }
    }

    /// Ringer: as [`ring`](Self::ring), when [`may_be_awaited`](Doorbell::may_be_awaited) has said so. Says whether it woke the owner out
    /// of a sleep: as [`Doorbell::ring_attentively`].
    #[cold]
    pub fn ring_attentively(&self) -> bool {
        if !self.bell.answer() {
            return false;
        }
        let sleeps_elsewhere = self.semaphore.waiters() == 0;
        // Full: then the owner does not sleep on it.
        let was_woken = self.semaphore.post_and_wake().unwrap_or(false);
        // An owner that waits for many sleeps on the words of their bells.
        was_woken || sleeps_elsewhere && self.bell.futex().wake()
    }

    /// The bell without its semaphore: it says whether the owner sleeps.
    pub(crate) fn word(&self) -> &'a Doorbell {
        self.bell
    }

    /// Owner: takes away what was posted for sleeps that did not come about, or were slept elsewhere. Only the owner waits, so such posts
    /// are for nobody.
    pub(crate) fn drain(&self) {
        if self.semaphore.value() > 0 {
            self.semaphore.reset();
        }
        crash::point("bell.drained");
    }

    /// As [`announce`](Bell::announce), without its barrier: the caller sees to the order.
    pub(crate) fn announce_quietly(&self) -> u32 {
        self.drain();
        self.bell.announce_quietly()
    }
}

impl Bell for SemaphoreBell<'_> {
    fn announce(&self) -> u32 {
        self.drain();
        self.bell.announce()
    }

    fn park(&self, _ticket: u32, deadline: Deadline) {
        // If the flag is gone, the post has come or is about to.
        if self.bell.is_asleep() {
            self.semaphore.doze(deadline);
        }
        self.bell.withdraw();
        crash::point("bell.awake");
    }

    fn withdraw(&self) {
        self.bell.withdraw();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn posts_for_sleeps_that_did_not_come_about_do_not_pile_up() {
        let (doorbell, semaphore) = (Doorbell::new(), Semaphore::default());
        let bell = SemaphoreBell::new(&doorbell, &semaphore);
        for _ in 0..100 {
            // Announced, rung, and then there was something without a sleep.
            bell.announce();
            bell.ring(Light::full());
            bell.ring(Light::full());
            bell.withdraw();
            assert_eq!(semaphore.value(), 1);
        }
        bell.announce();
        assert_eq!(semaphore.value(), 0);
    }

    #[test]
    fn a_sleep_that_ends_by_itself_leaves_nothing_to_be_answered() {
        let (doorbell, semaphore) = (Doorbell::new(), Semaphore::default());
        let bell = SemaphoreBell::new(&doorbell, &semaphore);
        let ticket = bell.announce();
        bell.park(ticket, Deadline::NEVER);
        assert!(!doorbell.is_asleep());
        bell.ring(Light::full());
        assert_eq!((semaphore.value(), semaphore.waiters()), (0, 0));
    }

    #[test]
    fn an_owner_that_sleeps_on_the_word_of_the_bell_is_woken_too() {
        let (doorbell, semaphore) = (Doorbell::new(), Semaphore::default());
        let bell = SemaphoreBell::new(&doorbell, &semaphore);
        // Often enough that it is asleep in the kernel at some of these rings.
        for _ in 0..300 {
            let before = doorbell.announce();
            std::thread::scope(|scope| {
                let owner = scope.spawn(|| {
                    let start = std::time::Instant::now();
                    while doorbell.is_asleep() {
                        doorbell.futex().wait(before | 1, Deadline::after(core::time::Duration::from_secs(5)));
                    }
                    start.elapsed()
                });
                std::thread::yield_now();
                bell.ring(Light::full());
                assert!(owner.join().expect("it does not panic") < core::time::Duration::from_secs(4));
            });
        }
    }

    #[test]
    fn a_ring_before_the_sleep_ends_it() {
        let (doorbell, semaphore) = (Doorbell::new(), Semaphore::default());
        let bell = SemaphoreBell::new(&doorbell, &semaphore);
        for _ in 0..100 {
            let ticket = bell.announce();
            bell.ring(Light::full());
            bell.park(ticket, Deadline::NEVER);
        }
        assert!(semaphore.value() <= 1);
    }
}
