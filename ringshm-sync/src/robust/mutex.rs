//! Mutual exclusion whose holder may be killed.

use super::{Claimant, Data, Holder, IN_DOUBT, Liveness, NotLocked, TimedOut, WAITED};
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::crash;
use crate::futex::Futex;
use crate::time::Deadline;

/// A word that one participant at a time holds.
///
/// | word | meaning | set by |
/// |---|---|---|
/// | 0 | nobody holds it | the last holder, in [`unlock`](Self::unlock) |
/// | a [`Holder`] | it does; or it died, or left without letting go | itself, in [`lock`](Self::lock) |
/// | `IN_DOUBT` | a holder died, and nobody has said since that the data is consistent | who took it over; kept by the next holders |
/// | `WAITED` | somebody sleeps, or is about to | a sleeper; or a holder that has slept, for the others |
///
/// ```text
///   lock     0 ──▶ me                    unlock   me ──▶ 0
///   sleep    other ──▶ other WAITED               me WAITED ──▶ 0, wake one
///   take over  dead ──▶ me IN_DOUBT WAITED
/// ```
///
/// Who dies where: a holder anywhere, and the next one gets the lock with its data in doubt. One that has let go and wakes nobody, and one
/// that was woken and does not come: the others look by themselves after a park.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct RawMutex {
    word: Futex,
}

impl RawMutex {
    /// Takes the lock if nobody has it and nothing is to be said of it: one compare-and-swap. `false` says nothing of why not.
    #[inline(always)]
    pub fn lock_at_once(&self, me: Holder) -> bool {
        // LOCK: what the holders before did to the data; NAME: that the caller has joined. Relaxed: on failure nothing is read.
        self.word.compare_exchange(0, me.word(), AcqRel, Relaxed).is_ok()
    }

    /// Takes the lock if nobody alive has it. At most once a millisecond, a caller that finds it held asks the kernel.
    ///
    /// # Errors
    /// [`NotLocked`].
    pub fn try_lock(&self, own: &mut Claimant, company: &impl Liveness) -> Result<Data, NotLocked> {
        let asks = own.may_probe();
        self.look(own.me, company, asks, 0).unwrap_or(Err(NotLocked::Held))
    }

    /// Takes the lock, and waits until nobody alive has it or the deadline has passed.
    ///
    /// # Errors
    /// [`NotLocked`].
    #[cold]
    pub fn lock(&self, own: &mut Claimant, company: &impl Liveness, deadline: Deadline) -> Result<Data, NotLocked> {
        let me = own.me;
        if let Some(answer) = self.look(me, company, false, 0) {
            return answer;
        }
        // Who has waited is perhaps not the only one: it wakes the next when it lets go.
        let answer = own.wait_on(&self.word, deadline, |asks| self.look(me, company, asks, WAITED));
        answer.unwrap_or_else(|TimedOut| {
            // It may have taken a wake-up that was another's.
            self.word.wake();
            Err(NotLocked::Held)
        })
    }

    fn look(&self, me: Holder, company: &impl Liveness, asks: bool, waited: u32) -> Option<Result<Data, NotLocked>> {
        // NAME: that the holder has joined, before anybody asks whether it lives.
        let word = self.word.load(Acquire);
        match Holder::of(word) {
            None => {
                // LOCK: what the holders before did to the data; NAME: that the caller has joined. Relaxed: on failure nothing is read.
                let taken = self.word.compare_exchange(word, word | waited | me.word(), AcqRel, Relaxed);
                taken.ok().map(|_| Ok(Data::of(word)))
            }
            Some(holder) if holder == me => Some(Err(NotLocked::HeldByCaller)),
            Some(holder) if asks && company.is_gone(holder) => {
                crash::point("mutex.proven");
                // NAME: that the caller has joined. DEATH, in the proof, has made visible what the dead holder did and what it saw.
                // Relaxed: on failure nothing is read.
                let taken = self.word.compare_exchange(word, me.word() | IN_DOUBT | WAITED, Release, Relaxed);
                crash::point("mutex.taken_over");
                taken.ok().map(|_| Ok(Data::InDoubt))
            }
            Some(_) => None,
        }
    }

    /// Holder: lets go, and says whether the data can be relied on.
    #[inline(always)]
    pub fn unlock(&self, data: Data) {
        if self.let_go(data) {
            self.word.wake();
        }
    }

    /// Holder: lets go. Whether somebody is to be woken.
    #[inline(always)]
    pub(super) fn let_go(&self, data: Data) -> bool {
        crash::point("mutex.unlocking");
        // LOCK: what this holder did to the data is visible to the next.
        let before = self.word.swap(data.bits(), Release);
        crash::point("mutex.unlocked");
        before & WAITED != 0
    }

    /// For those who share the lock once its holder has let go: what the word says, with what the last holder did.
    pub(super) fn observe(&self) -> u32 {
        // LOCK: what the last holder did to the data; NAME: that this one has joined.
        self.word.load(Acquire)
    }

    /// Takes the word `seen` from its dead holder, for nobody: the data is in doubt.
    pub(super) fn free(&self, seen: u32) {
        // LOCK: what the dead holder did to the data, which the caller's proof has made visible to it. Relaxed: on failure nothing is read.
        let _ = self.word.compare_exchange(seen, seen & WAITED | IN_DOUBT, Release, Relaxed);
    }

    pub(super) fn word(&self) -> &Futex {
        &self.word
    }

    /// Who holds it: for people and tools, out of date when it returns.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        // Relaxed: a display.
        Holder::of(self.word.load(Relaxed))
    }

    /// Whether a holder died, and nobody has said since that the data is consistent: for people and tools.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        // Relaxed: a display.
        self.word.load(Relaxed) & IN_DOUBT != 0
    }

    /// Model only: all bounded parks run out, now and from now on.
    #[cfg(loom)]
    pub fn expire(&self) {
        self.word.expire();
    }
}
