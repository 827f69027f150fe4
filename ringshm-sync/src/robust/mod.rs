//! Locks and meeting points of participants, any of which may be killed at any instruction.
//!
//! | object | word | of each participant | a dead holder |
//! |---|---|---|---|
//! | [`RawMutex`] | who holds it | | is taken over from; the data is in doubt |
//! | [`RawRwLock`] | which writer holds it | a [`Seat`]: whether it reads | a writer as above; a reader no longer counts |
//! | [`RawCondvar`] | how often it was notified | | a waiter swallows nothing; a notifier delays by one park |
//! | [`RawBarrier`] | which meeting, and how the last one ended | a [`Seat`]: at which meeting it has arrived | ends the meeting as broken |
//! | [`RawOnce`] | whether it is done, or who does it | | is done by another |
//!
//! They are words and no more: where they lie, what they protect, and who takes part is for the caller to say. POSIX has a robust mutex
//! and nothing robust beside it, keeps the list of those that a thread holds in that thread's own memory, and cannot be modelled.
//!
//! **Who holds a word is written in it**, by lane and by owner of that lane ([`Holder`]), so whoever is held up can ask the kernel
//! ([`Liveness`]). No time-out decides. What a dead holder had is taken by one compare-and-swap from the very word that was seen: of many
//! who find it dead one gets it, and if that one dies too, its own name stands there.
//!
//! **Waiting.** Who waits for a word sets `WAITED` in it and sleeps on it; who changes the word for good sees the flag in what was there
//! before, and wakes. It is one word, so no barrier is needed. No park is longer than [`LONGEST_PARK`]: whoever was to wake somebody and
//! was killed delays it by no more, and nobody rings for a death.
//!
//! A process that writes nonsense into these words can break the exclusion, or make others wait as for a live holder; nothing else. A word
//! that names nobody who lives is taken over like a dead holder's.

mod barrier;
mod condvar;
mod mutex;
mod once;
mod rwlock;

pub use barrier::{Meeting, NotMet, RawBarrier};
pub use condvar::{RawCondvar, Ticket};
pub use mutex::RawMutex;
pub use once::{NotRun, RawOnce, Run};
pub use rwlock::RawRwLock;

use crate::atomic::Ordering::Relaxed;
use crate::doorbell::LONGEST_PARK;
use crate::futex::Futex;
use crate::time::{Deadline, Ration};
use crate::wait::{Bell, Pace, Wait, Waiter};
use core::time::Duration;

/// The least time between two questions to the kernel whether a holder lives, by one participant.
const PROBE_INTERVAL: Duration = Duration::from_millis(1);

/// Somebody sleeps on this word, or is about to.
const WAITED: u32 = 1;
/// A holder died with the data in its hands, and nobody has said since that it is consistent.
const IN_DOUBT: u32 = 2;
/// Where the holder's lane begins: its index plus one, because zero means nobody.
const LANE_AT: u32 = 2;
const LANE: u32 = 0x7f << LANE_AT;
/// Where the number of the lane's owner begins; it has the rest of the word.
const OWNER_AT: u32 = 9;

/// The most lanes whose owners a word can name: one less than it could, for a name that is nobody's.
pub const MAX_HOLDERS: usize = 126;

/// A participant, as the words name it: its lane, and which of the lane's owners it is, so that the next owner of a dead one's lane is
/// not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(u32);

impl Holder {
    /// Owner number `generation` of lane `lane`. Of the number, 23 bits are kept.
    ///
    /// # Panics
    /// If `lane` is not below [`MAX_HOLDERS`].
    #[must_use]
    pub fn new(lane: usize, generation: u32) -> Self {
        assert!(lane < MAX_HOLDERS, "lane {lane} of {MAX_HOLDERS}");
        Self(generation << OWNER_AT | (lane as u32 + 1) << LANE_AT)
    }

    /// Who holds a word, if anybody does.
    fn of(word: u32) -> Option<Self> {
        (word & LANE != 0).then_some(Self(word >> LANE_AT << LANE_AT))
    }

    fn word(self) -> u32 {
        self.0
    }

    /// Its lane. Out of a word that a hostile process wrote, it may be beyond the last.
    #[must_use]
    pub fn lane(self) -> usize {
        ((self.0 & LANE) >> LANE_AT) as usize - 1
    }

    /// Whether it is owner number `generation` of its lane, as far as the word can tell.
    #[must_use]
    pub fn is_owner(self, generation: u32) -> bool {
        self.0 >> OWNER_AT == generation << OWNER_AT >> OWNER_AT
    }
}

/// Whether the data that a lock protects can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Every holder has let go of it in good order, or somebody has said since that it is consistent.
    Consistent,
    /// A holder died, perhaps in the middle of a change.
    InDoubt,
}

impl Data {
    fn of(word: u32) -> Self {
        if word & IN_DOUBT == 0 { Self::Consistent } else { Self::InDoubt }
    }

    fn bits(self) -> u32 {
        match self {
            Self::Consistent => 0,
            Self::InDoubt => IN_DOUBT,
        }
    }
}

/// Why a lock was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLocked {
    /// Somebody alive has it.
    Held,
    /// The caller itself has it: it would wait for ever.
    HeldByCaller,
}

/// Who is alive.
pub trait Liveness {
    /// Whether that participant is gone: it was killed, or has left, or never was. If so, everything it stored is visible to the caller
    /// (DEATH, CLOSE). Never so of one that is alive, be it stopped. Not asked of the caller itself.
    fn is_gone(&self, who: Holder) -> bool;
}

/// A participant's word, beside the word of the object: see [`RawRwLock`] and [`RawBarrier`] for what it means to them.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Seat {
    word: Futex,
}

impl Seat {
    /// Model only: all bounded parks on this seat run out, now and from now on.
    #[cfg(loom)]
    pub fn expire(&self) {
        self.word.expire();
    }
}

/// What is known of the participant that a lane belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nobody has come yet, or the last one has left so that a successor goes on.
    Awaited,
    /// Somebody alive has it.
    Taken,
    /// Its owner was killed, or has left for good.
    Deserted,
}

/// All who may take part.
pub trait Company: Liveness {
    /// How many lanes there are.
    fn lanes(&self) -> usize;

    /// The seat in that lane.
    fn seat(&self, lane: usize) -> &Seat;

    /// What that lane's owner is. If it is gone, everything it stored is visible to the caller (DEATH, CLOSE). Not asked of the caller itself.
    fn place(&self, lane: usize) -> Place;
}

/// A participant that comes for locks: who it is, how it waits, and what it has learned from its waits.
#[derive(Debug)]
pub struct Claimant {
    me: Holder,
    wait: Wait,
    pace: Pace,
    probes: Ration,
}

impl Claimant {
    /// A participant that waits like this.
    #[must_use]
    pub fn new(me: Holder, wait: Wait) -> Self {
        Self { me, wait, pace: Pace::new(), probes: Ration::default() }
    }

    /// Who it is.
    #[must_use]
    pub fn me(&self) -> Holder {
        self.me
    }

    /// Whether this is a moment to ask the kernel, for a call that does not wait.
    fn may_probe(&mut self) -> bool {
        self.probes.is_due(PROBE_INTERVAL)
    }

    /// Looks, and waits for a change of `word` between two looks, until one has an answer or the deadline has passed. A look is told whether it
    /// may ask the kernel.
    fn wait_on<A>(
        &mut self,
        word: &Futex,
        deadline: Deadline,
        mut look: impl FnMut(bool) -> Option<A>,
    ) -> Result<A, TimedOut> {
        let bell = OnWord(word);
        let mut waiter = Waiter::new(self.wait, deadline, &self.pace);
        loop {
            let is_over = waiter.pause(&bell).is_err();
            // The last look of a wait asks, whenever it asked before: it says why the wait was in vain.
            let asks = is_over || (waiter.is_unhurried() && self.may_probe());
            if let Some(answer) = look(asks) {
                waiter.finish(&bell);
                self.pace.end(&waiter);
                return Ok(answer);
            }
            if is_over {
                return Err(TimedOut);
            }
        }
    }
}

/// A wait has ended without an answer.
struct TimedOut;

/// Sleeping on a word in which `WAITED` is set.
struct OnWord<'a>(&'a Futex);

impl Bell for OnWord<'_> {
    fn announce(&self) -> u32 {
        // Relaxed: whoever changes the word for good gets the flag with it.
        self.0.fetch_or(WAITED, Relaxed) | WAITED
    }

    fn park(&self, ticket: u32, deadline: Deadline) {
        // However long it waits: nobody rings for a holder that dies.
        self.0.wait(ticket, deadline.at_most(LONGEST_PARK));
    }

    /// Others may have announced themselves too: a wake-up in vain is cheap.
    fn withdraw(&self) {}
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_word_names_its_holder_whatever_flags_it_has() {
        for lane in [0, 1, 63, MAX_HOLDERS - 1] {
            for generation in [0, 1, (1 << 23) - 1, 1 << 23, u32::MAX] {
                let holder = Holder::new(lane, generation);
                assert_eq!(holder.lane(), lane);
                assert!(holder.is_owner(generation) && !holder.is_owner(generation.wrapping_add(1)));
                for flags in [0, WAITED, IN_DOUBT, WAITED | IN_DOUBT] {
                    assert_eq!(Holder::of(holder.word() | flags), Some(holder));
                    assert_eq!(Holder::of(flags), None);
                }
            }
        }
    }
}
