//! The doorbell: one sleeper, any number of ringers, and no system call while nobody sleeps.
//!
//! ```text
//!   sleeper                          ringer
//!   announce   word |= ASLEEP        publish   the thing waited for
//!              heavy barrier                   light barrier
//!   look again at the thing          ring      word & ASLEEP ?  word &= !ASLEEP, wake
//!   park       while word is ASLEEP
//! ```
//!
//! Whichever of the two stores comes second, its owner's load sees the other's: either the sleeper sees the thing, or the
//! ringer sees the sleeper. It is Dekker's argument; the two barriers are its edge, DOORBELL.
//!
//! Who dies where: a sleeper killed while announced leaves `ASLEEP` behind, and the next ringer clears it at the price of
//! one wasted system call. A ringer killed between publishing and waking delays its sleeper by at most one park,
//! because every park is bounded.

use crate::atomic::Ordering::{Relaxed, SeqCst};
use crate::atomic::fence;
use crate::barrier::{self, Light};
use crate::crash;
use crate::futex::Futex;
use crate::time::Deadline;
use crate::wait::Bell;
use crate::watch::Standing;
use core::time::Duration;

/// No park lasts longer, so that a ringer killed between publishing and waking delays a message by at most this, and a death, for which
/// nobody rings, is noticed soon. After [`SHORT_PARKS`] of them in one wait, [`LONGEST_IDLE_PARK`] takes its place.
pub const LONGEST_PARK: Duration = Duration::from_millis(5);

/// The same for somebody for whom nothing has come in a while, who wakes up 50 times a second for it: about 0.2 % of a core.
pub const LONGEST_IDLE_PARK: Duration = Duration::from_millis(20);

/// So many parks in a row that nobody ends, half a second, are a while.
pub const SHORT_PARKS: u32 = 100;

/// When a park ends that begins now, after `parks` others in the same wait, if nobody rings.
pub(crate) fn end_of_park(parks: u32, deadline: Deadline) -> Deadline {
    let longest = if parks < SHORT_PARKS { LONGEST_PARK } else { LONGEST_IDLE_PARK };
    if crash::parks_are_bounded() { deadline.at_most(longest) } else { deadline }
}

/// The owner is asleep, or about to be: whoever publishes must wake it.
const ASLEEP: u32 = 1;
/// The owner does not make other processors fence: ringers must fence themselves before they look.
const FENCE_FIRST: u32 = 2;

/// A word in shared memory on which its owner sleeps and which others ring.
///
/// | word | meaning | set by | cleared by |
/// |---|---|---|---|
/// | 0 | nobody sleeps: ringing costs one load | | |
/// | `ASLEEP` | the owner sleeps or is about to | owner, in [`announce`](Bell::announce) | a ringer, or the owner in [`withdraw`](Bell::withdraw) |
/// | `FENCE_FIRST` | the owner has no `membarrier`, or sleeps so often that it would cost too much | owner, in [`ask_for_fences`](Self::ask_for_fences) or [`announce`](Bell::announce) | the next owner, in [`install`](Self::install) |
///
/// Another process that writes nonsense into the word can make a ringer call the kernel for nothing, or make the sleeper
/// wait for one park ([`LONGEST_PARK`]); nothing else.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Doorbell {
    word: Futex,
}

impl Doorbell {
    /// A bell with nobody asleep.
    #[must_use]
    pub fn new() -> Self {
        Self { word: Futex::new(0) }
    }

    /// Makes the caller the owner: whatever a previous owner left behind is gone.
    pub fn install(&self) {
        // Relaxed: a stale `ASLEEP` seen by a ringer costs one wasted wake, see the table.
        self.word.fetch_and(0, Relaxed);
    }

    /// Owner: from the next ring on, ringers fence before they look, which costs them some nanoseconds a message, and spares an
    /// owner that parks at once a system call of about half a microsecond for each sleep. Without `membarrier`, a ring under
    /// way right now may still miss the next announcement; the bounded park covers it.
    #[cold]
    pub fn ask_for_fences(&self) {
        // Relaxed: the barrier below orders it.
        self.word.fetch_or(FENCE_FIRST, Relaxed);
        // DOORBELL: a ringer that missed the flag has published before the owner's next look.
        // weaken: unmodelled, because in the model every ringer fences while there is a `membarrier`, flag or no flag.
        let _ = barrier::heavy();
    }

    /// Ringer: wakes the owner if it sleeps. Call it after publishing. One load while nobody sleeps.
    #[inline(always)]
    pub fn ring(&self, mode: Light) {
        if self.may_be_awaited(mode) {
            self.ring_attentively();
        }
    }

    /// Ringer: whether it must look more closely, with [`ring_attentively`](Self::ring_attentively). Call it after publishing.
    #[inline(always)]
    #[must_use]
    pub fn may_be_awaited(&self, mode: Light) -> bool {
        // DOORBELL: what was published before the look at the word.
        barrier::light(mode);
        // DOORBELL: sees the announcement of a sleeper that did not see what was published.
        self.word.load(Relaxed) != 0
    }

    /// Ringer: as [`ring`](Self::ring), when [`may_be_awaited`](Self::may_be_awaited) has said so. Says whether it woke the owner out of
    /// a park. One that was announced and not yet parked looks again by itself, and counts as not woken.
    #[cold]
    pub fn ring_attentively(&self) -> bool {
        self.answer() && self.word.wake()
    }

    /// Ringer: takes an announcement. Whoever does must wake the owner, however it sleeps.
    #[cold]
    #[must_use]
    pub fn answer(&self) -> bool {
        // DOORBELL: the fence that an owner without `membarrier` asked for.
        barrier::light(Light::full());
        // Relaxed: the fence above orders it; exactly one of many ringers takes the flag.
        if self.word.load(Relaxed) & ASLEEP != 0 && self.word.fetch_and(!ASLEEP, Relaxed) & ASLEEP != 0 {
            crash::point("doorbell.answered");
            return true;
        }
        false
    }

    /// Whether the owner is announced as asleep: for people and tools, out of date when it returns.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        // Relaxed: a display.
        self.word.load(Relaxed) & ASLEEP != 0
    }

    /// Model only: all bounded parks on this bell run out, now and from now on.
    #[cfg(loom)]
    pub fn expire(&self) {
        self.word.expire();
    }
}

impl Bell for Doorbell {
    fn announce(&self) -> u32 {
        let before = self.announce_quietly();
        crash::point("doorbell.announced");
        if before & FENCE_FIRST != 0 {
            // DOORBELL: the announcement before the sleeper's second look.
            fence(SeqCst);
        // DOORBELL: the same, for ringers that do not fence.
        } else if !barrier::heavy() {
            self.ask_for_fences();
        }
        before
    }

    fn park(&self, _ticket: u32, deadline: Deadline) {
        // Relaxed: the kernel compares the word again, under its own lock, before it puts the thread to sleep.
        let word = self.word.load(Relaxed);
        if word & ASLEEP != 0 {
            self.word.wait(word, deadline);
        }
        self.withdraw();
        crash::point("doorbell.awake");
    }

    fn withdraw(&self) {
        // Relaxed: a ringer that still sees the announcement wakes nobody.
        self.word.fetch_and(!ASLEEP, Relaxed);
    }
}

impl Standing for Doorbell {
    fn announce_quietly(&self) -> u32 {
        // Relaxed: the caller's barrier orders it.
        self.word.fetch_or(ASLEEP, Relaxed)
    }

    fn standing(&self, _ticket: u32) -> Option<u32> {
        // Relaxed: if it is out of date, the kernel does not let the caller sleep on it.
        let word = self.word.load(Relaxed);
        (word & ASLEEP != 0).then_some(word)
    }

    fn futex(&self) -> &Futex {
        &self.word
    }

    fn is_fenced(&self) -> bool {
        // Relaxed: set by the owner alone.
        self.word.load(Relaxed) & FENCE_FIRST != 0
    }

    fn ask_for_fences(&self) {
        Self::ask_for_fences(self);
    }
}
