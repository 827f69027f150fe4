//! An event count: any number of anonymous sleepers, all of whom want to know of every event.
//!
//! A [`Doorbell`](crate::doorbell::Doorbell) whose sleepers need not be known by name. The word holds the number of times that it was
//! rung with somebody asleep, so that a sleeper that was announced before a ring does not sleep through it:
//!
//! ```text
//!   sleeper                            ringer
//!   announce   ticket = word |= WAITERS   publish    the thing waited for
//!              heavy barrier              light barrier
//!   look again at the thing            ring       WAITERS ? epoch += 1, WAITERS off, wake all
//!   park       while word is ticket
//! ```
//!
//! Nobody takes an announcement back, because others may have made it too: who leaves without sleeping costs the next ringer a
//! wasted system call. The same repairs what a killed sleeper leaves behind. (After D. Vyukov's `eventcount`.)

use crate::atomic::Ordering::{Relaxed, SeqCst};
use crate::atomic::fence;
use crate::barrier::{self, Light};
use crate::crash;
use crate::futex::Futex;
use crate::time::Deadline;
use crate::wait::Bell;
use crate::watch::Standing;

/// Somebody sleeps, or is about to: whoever publishes must wake them.
const WAITERS: u32 = 1;
/// Some sleeper cannot make other processors fence: ringers fence before they look. Never cleared.
const FENCE_FIRST: u32 = 2;
/// One ring.
const EPOCH: u32 = 4;

/// How often a ringer tries to count up before it wakes everybody anyway. It fails only when sleepers and other ringers
/// succeed, or a hostile process writes into the word.
const ATTEMPTS: u32 = 8;

/// A word in shared memory on which any number of participants sleep, and which others ring.
///
/// | bits | meaning | set by | cleared by |
/// |---|---|---|---|
/// | `WAITERS` | somebody sleeps, or is about to | a sleeper | a ringer |
/// | `FENCE_FIRST` | some sleeper has no `membarrier` | that sleeper | nobody |
/// | the rest | how often it was rung with `WAITERS` set | a ringer | |
///
/// Another process that writes nonsense into the word can make a ringer call the kernel for nothing, or make a sleeper
/// wait for one park ([`LONGEST_PARK`](crate::doorbell::LONGEST_PARK)); nothing else.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct EventCount {
    word: Futex,
}

impl EventCount {
    /// With nobody asleep.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From the next ring on, ringers fence before they look: for sleepers without `membarrier`, or that sleep so often that it
    /// costs too much.
    #[cold]
    pub fn ask_for_fences(&self) {
        // Relaxed: the barrier below orders it.
        self.word.fetch_or(FENCE_FIRST, Relaxed);
        // DOORBELL: a ringer that missed the flag has published before the sleeper's next look.
        // weaken: unmodelled, because in the model every ringer fences while there is a `membarrier`, flag or no flag.
        let _ = barrier::heavy();
    }

    /// Wakes everybody who sleeps. Call it after publishing. One load while nobody does.
    #[inline(always)]
    pub fn ring(&self, mode: Light) {
        if self.may_be_awaited(mode) {
            self.ring_attentively();
        }
    }

    /// Whether the caller must look more closely, with [`ring_attentively`](Self::ring_attentively). Call it after publishing.
    #[inline(always)]
    #[must_use]
    pub fn may_be_awaited(&self, mode: Light) -> bool {
        // DOORBELL: what was published before the look at the word.
        barrier::light(mode);
        // DOORBELL: sees the announcement of a sleeper that did not see what was published.
        self.word.load(Relaxed) & (WAITERS | FENCE_FIRST) != 0
    }

    /// As [`ring`](Self::ring), when [`may_be_awaited`](Self::may_be_awaited) has said so. Says whether somebody was announced: then those
    /// that sleep on bells of their own are to be rung, too ([`EventBell`](crate::semaphore::event::EventBell)).
    #[cold]
    #[inline(never)]
    pub fn ring_attentively(&self) -> bool {
        // DOORBELL: the fence that a sleeper without `membarrier` asked for.
        barrier::light(Light::full());
        for _ in 0..ATTEMPTS {
            // Relaxed: the fence above orders it.
            let word = self.word.load(Relaxed);
            if word & WAITERS == 0 {
                return false;
            }
            let rung = (word & !WAITERS).wrapping_add(EPOCH);
            // Relaxed: the fence above orders it; exactly one of many ringers counts up.
            if self.word.compare_exchange(word, rung, Relaxed, Relaxed).is_ok() {
                crash::point("eventcount.counted");
                break;
            }
        }
        self.word.wake_all();
        true
    }

    /// Whether somebody is announced as asleep: for people and tools, out of date when it returns.
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

impl Bell for EventCount {
    fn announce(&self) -> u32 {
        let ticket = self.announce_quietly();
        crash::point("eventcount.announced");
        if ticket & FENCE_FIRST != 0 {
            // DOORBELL: the announcement before the sleeper's second look.
            fence(SeqCst);
        // DOORBELL: the same, for ringers that do not fence.
        } else if !barrier::heavy() {
            self.ask_for_fences();
        }
        ticket
    }

    fn park(&self, ticket: u32, deadline: Deadline) {
        self.word.wait(ticket, deadline);
    }

    fn withdraw(&self) {}
}

impl Standing for EventCount {
    fn announce_quietly(&self) -> u32 {
        // Relaxed: the caller's barrier orders it.
        self.word.fetch_or(WAITERS, Relaxed) | WAITERS
    }

    fn standing(&self, ticket: u32) -> Option<u32> {
        // Relaxed: if it is out of date, the kernel does not let the caller sleep on it.
        let word = self.word.load(Relaxed);
        (word == ticket).then_some(word)
    }

    fn futex(&self) -> &Futex {
        &self.word
    }

    fn is_fenced(&self) -> bool {
        // Relaxed: set once, by whoever needs it; the fence that follows orders it.
        self.word.load(Relaxed) & FENCE_FIRST != 0
    }

    fn ask_for_fences(&self) {
        Self::ask_for_fences(self);
    }
}
