//! Many sleepers, many ringers: who of a group sleeps, so that one message wakes one of them.
//!
//! Each participant of a group sleeps on a bell of its own ([`OwnBell`]), and says so in one word that the whole group shares, a bit
//! for each. Who publishes looks at that word, takes a bit out of it, and rings that bell:
//!
//! ```text
//!   sleeper                            ringer
//!   announce   own bell                publish    the thing waited for
//!              bits |= own             light barrier
//!              heavy barrier           call       bits == 0 ? done
//!   look again at the thing                       bits &= !one, ring its bell
//!   park                                          not asleep after all ? the next one
//! ```
//!
//! Whichever of the store to `bits` and the publication comes second, its owner's load sees the other's (DOORBELL). One message
//! wakes one sleeper, and a sleeper that is dead, or was about to look again anyway, does not count for one.
//!
//! Who dies where: a sleeper killed while announced leaves its bit, and the next ringer clears it. A ringer killed after it took
//! a bit, and a sleeper killed after it was woken, delay the others by at most one park ([`LONGEST_PARK`](crate::doorbell::LONGEST_PARK)).

use crate::atomic::Ordering::{Relaxed, SeqCst};
use crate::atomic::{AtomicU32, AtomicU64, fence};
use crate::barrier::{self, Light};
use crate::bell::OwnBell;
use crate::crash;
use crate::doorbell::Doorbell;
use crate::futex::Futex;
use crate::time::Deadline;
use crate::wait::Bell;
use crate::watch::Standing;

/// Some sleeper of the group cannot make other processors fence: ringers fence before they look.
const FENCE_FIRST: u32 = 1;

/// The sleepers of a group of up to 64, one bit for each. On a cache line that is written only when somebody goes to sleep.
///
/// Another process that writes nonsense into it can make a ringer ring bells for nothing, or make a sleeper wait for the longest
/// park; nothing else.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Sleepers {
    bits: AtomicU64,
    /// 0, or `FENCE_FIRST`. Never cleared: a group has it as soon as one of its members needs it.
    fences: AtomicU32,
    reserved: AtomicU32,
}

impl Sleepers {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The place of member number `index` in the group, with its own bell.
    #[must_use]
    pub fn berth<'a>(&'a self, index: u32, bell: impl Into<OwnBell<'a>>) -> Berth<'a> {
        Berth { sleepers: self, bit: 1 << (index % 64), bell: bell.into() }
    }

    /// Asks all ringers to fence before they look: for a member without `membarrier`, or one that sleeps so often that it costs too
    /// much.
    #[cold]
    pub fn ask_for_fences(&self) {
        // Relaxed: the barrier below orders it.
        self.fences.fetch_or(FENCE_FIRST, Relaxed);
        // DOORBELL: a ringer that missed the flag has published before the asker's next look.
        // weaken: unmodelled, because in the model every ringer fences while there is a `membarrier`, flag or no flag.
        let _ = barrier::heavy();
    }

    /// Wakes up to `most` sleepers: after publishing as many messages. One load, of two words of one line, while nobody sleeps.
    /// `bell_of` finds the bell of a member.
    #[inline(always)]
    pub fn call<'a>(&self, mode: Light, most: u64, bell_of: impl Fn(u32) -> Option<OwnBell<'a>>) {
        // DOORBELL: what was published before the look at the word.
        barrier::light(mode);
        // DOORBELL: sees the bit of a sleeper that did not see what was published.
        if self.bits.load(Relaxed) != 0 || self.fences.load(Relaxed) != 0 {
            self.call_attentively(most, bell_of);
        }
    }

    #[cold]
    #[inline(never)]
    fn call_attentively<'a>(&self, most: u64, bell_of: impl Fn(u32) -> Option<OwnBell<'a>>) {
        // DOORBELL: the fence that a member without `membarrier` asked for.
        barrier::light(Light::full());
        let mut woken = 0;
        // Every turn looks at another member: a hostile word cannot keep a ringer here.
        let mut tried = 0_u64;
        while woken < most {
            // Relaxed: the fence above orders it.
            let bits = self.bits.load(Relaxed) & !tried;
            if bits == 0 {
                return;
            }
            let index = bits.trailing_zeros();
            tried |= 1 << index;
            // Relaxed: exactly one of many ringers takes the bit; the fence above orders it.
            if self.bits.fetch_and(!(1 << index), Relaxed) & (1 << index) == 0 {
                continue;
            }
            crash::point("sleepers.taken");
            if bell_of(index).is_some_and(|bell| bell.ring_attentively()) {
                woken += 1;
            }
        }
    }

    /// Whether ringers fence before they look: for people and tools.
    #[must_use]
    pub fn are_fenced(&self) -> bool {
        // Relaxed: a display; or set once, by whoever needs it, and ordered by the fence that follows.
        self.fences.load(Relaxed) != 0
    }

    /// Who is announced as asleep: for people and tools.
    #[must_use]
    pub fn bits(&self) -> u64 {
        // Relaxed: a display.
        self.bits.load(Relaxed)
    }
}

/// Where a member of a group sleeps.
#[derive(Clone, Copy, Debug)]
pub struct Berth<'a> {
    sleepers: &'a Sleepers,
    bit: u64,
    bell: OwnBell<'a>,
}

impl<'a> Berth<'a> {
    /// The word of the member's own bell, which says whether it sleeps.
    #[must_use]
    pub fn bell(&self) -> &'a Doorbell {
        self.bell.word()
    }
}

impl Bell for Berth<'_> {
    fn announce(&self) -> u32 {
        self.bell.prepare();
        let before = self.announce_quietly();
        crash::point("sleepers.announced");
        // Relaxed: set once, by whoever needs it; the fence below orders it.
        if self.sleepers.fences.load(Relaxed) != 0 {
            // DOORBELL: the announcement before the sleeper's second look.
            fence(SeqCst);
        // DOORBELL: the same, for ringers that do not fence.
        } else if !barrier::heavy() {
            self.sleepers.ask_for_fences();
        }
        before
    }

    fn park(&self, ticket: u32, deadline: Deadline) {
        self.bell.park(ticket, deadline);
        // Relaxed: a ringer that still sees the bit finds nobody asleep, and goes on to the next.
        self.sleepers.bits.fetch_and(!self.bit, Relaxed);
    }

    fn withdraw(&self) {
        self.bell.withdraw();
        // Relaxed: as in `park`.
        self.sleepers.bits.fetch_and(!self.bit, Relaxed);
    }
}

impl Standing for Berth<'_> {
    fn announce_quietly(&self) -> u32 {
        let before = self.bell().announce_quietly();
        // Relaxed: the caller's barrier orders it.
        self.sleepers.bits.fetch_or(self.bit, Relaxed);
        before
    }

    fn standing(&self, ticket: u32) -> Option<u32> {
        // Relaxed: a ringer took the bit and was killed, or is about to ring the bell: to announce again harms nothing.
        let is_listed = self.sleepers.bits.load(Relaxed) & self.bit != 0;
        self.bell().standing(ticket).filter(|_| is_listed)
    }

    fn futex(&self) -> &Futex {
        self.bell().futex()
    }

    fn is_fenced(&self) -> bool {
        self.sleepers.are_fenced()
    }

    fn ask_for_fences(&self) {
        self.sleepers.ask_for_fences();
    }
}
