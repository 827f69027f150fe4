//! Waiting for a change of what a mutex protects.

use super::Claimant;
use crate::atomic::Ordering::Relaxed;
use crate::crash;
use crate::doorbell::LONGEST_PARK;
use crate::futex::Futex;
use crate::time::Deadline;
use crate::wait::{Bell, Waiter};
use core::cell::Cell;

/// Somebody waits, or is about to.
const WAITERS: u32 = 1;
/// One notification.
const NOTIFIED: u32 = 2;

/// How often a notifier tries to count up before it wakes anyway. It fails only when waiters and other notifiers succeed, or a hostile process
/// writes into the word.
const ATTEMPTS: u32 = 8;

/// A word that counts notifications, on which any number of participants wait.
///
/// ```text
///   waiter, with the mutex held               notifier, after a change that it made with the mutex held
///   ticket = word |= WAITERS                  WAITERS ?  word += NOTIFIED, wake one or all
///   unlock the mutex
///   sleep while word is ticket
///   lock the mutex, look at what it waits for
/// ```
///
/// **No wake-up is lost**: the ticket is taken before the mutex is let go, and the change is made after, so the notifier sees `WAITERS` and
/// counts up, and a waiter that does not sleep yet finds another word than its ticket. The mutex orders all of it.
///
/// **Each wait ends after one park at most**, with or without a reason. So nothing depends on who lives: a waiter that is killed with a
/// notification in its hands, and a notifier that is killed after its change, delay the others by no more than
/// [`LONGEST_PARK`]. Of the sleepers, one wakes at once for each [`notify_one`](Self::notify_one).
///
/// | bits | meaning | set by | cleared by |
/// |---|---|---|---|
/// | `WAITERS` | somebody waits, or did | a waiter | `notify_all`, or a `notify_one` that finds nobody asleep |
/// | the rest | notifications with `WAITERS` set | a notifier | |
///
/// Another process that writes nonsense into the word can make a notifier call the kernel for nothing, or make a waiter wait for one park.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct RawCondvar {
    word: Futex,
}

/// What a waiter was told when it announced itself.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(u32);

impl RawCondvar {
    /// Waiter, with the mutex held: says that it is about to wait.
    pub fn announce(&self) -> Ticket {
        // Relaxed: the mutex orders it before every change that is made after the caller lets go of it.
        let ticket = Ticket(self.word.fetch_or(WAITERS, Relaxed) | WAITERS);
        crash::point("condvar.announced");
        ticket
    }

    /// Waiter, with the mutex let go: waits until it is notified, the deadline has passed, or one park is over.
    pub fn wait(&self, own: &mut Claimant, ticket: Ticket, deadline: Deadline) {
        let bell = Berth { word: &self.word, ticket: ticket.0, has_parked: Cell::new(false) };
        let mut waiter = Waiter::new(own.wait, deadline.at_most(LONGEST_PARK), &own.pace);
        // Relaxed: who waits looks at everything again, with the mutex held.
        while self.word.load(Relaxed) == ticket.0 && !bell.has_parked.get() {
            if waiter.pause(&bell).is_err() {
                break;
            }
        }
        own.pace.end(&waiter);
    }

    /// Wakes one of those who wait, if there are any: after a change that the caller made with the mutex held, whether it still has it or not. One
    /// load if nobody waits.
    #[inline]
    pub fn notify_one(&self) {
        // Relaxed: the mutex orders the announcement of everybody who has not seen the change.
        if self.word.load(Relaxed) & WAITERS != 0 {
            self.wake_one();
        }
    }

    #[cold]
    fn wake_one(&self) {
        let counted = self.count(WAITERS);
        crash::point("condvar.counted");
        if self.word.wake() {
            return;
        }
        // Nobody sleeps. Who has just announced itself finds that the word has changed; who fell asleep in between is woken.
        let quiet = (counted & !WAITERS).wrapping_add(NOTIFIED);
        // Relaxed: as for the count.
        if self.word.compare_exchange(counted, quiet, Relaxed, Relaxed).is_ok() {
            self.word.wake_all();
        }
    }

    /// Wakes all who wait: otherwise as [`notify_one`](Self::notify_one).
    #[inline]
    pub fn notify_all(&self) {
        // Relaxed: as in `notify_one`.
        if self.word.load(Relaxed) & WAITERS != 0 {
            self.wake_everybody();
        }
    }

    #[cold]
    fn wake_everybody(&self) {
        self.count(0);
        crash::point("condvar.all_counted");
        self.word.wake_all();
    }

    /// Counts a notification, and leaves `waiters` in the word. Returns the word.
    fn count(&self, waiters: u32) -> u32 {
        let mut counted = 0;
        for _ in 0..ATTEMPTS {
            // Relaxed: the mutex orders it.
            let word = self.word.load(Relaxed);
            counted = (word & !WAITERS | waiters).wrapping_add(NOTIFIED);
            // Relaxed: as above.
            if self.word.compare_exchange(word, counted, Relaxed, Relaxed).is_ok() {
                break;
            }
        }
        counted
    }

    /// Whether somebody waits, or did when it was last notified: for people and tools.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        // Relaxed: a display.
        self.word.load(Relaxed) & WAITERS != 0
    }

    /// Model only: all bounded parks run out, now and from now on.
    #[cfg(loom)]
    pub fn expire(&self) {
        self.word.expire();
    }
}

/// Sleeping with a ticket that was taken before, once.
struct Berth<'a> {
    word: &'a Futex,
    ticket: u32,
    has_parked: Cell<bool>,
}

impl Bell for Berth<'_> {
    fn announce(&self) -> u32 {
        self.ticket
    }

    fn park(&self, ticket: u32, deadline: Deadline) {
        self.word.wait(ticket, deadline);
        self.has_parked.set(true);
    }

    fn withdraw(&self) {}
}
