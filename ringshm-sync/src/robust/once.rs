//! Something to be done once, by participants each of whom may be killed while doing it.

use super::{Claimant, Data, Holder, IN_DOUBT, LANE, Liveness, TimedOut, WAITED};
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::crash;
use crate::futex::Futex;
use crate::time::Deadline;

/// It is done: the name of a holder in a lane beyond all others.
const DONE: u32 = LANE;

/// A word that says whether it is done.
///
/// | word | meaning | set by |
/// |---|---|---|
/// | 0 | nobody has begun | creation |
/// | a [`Holder`] | it does it; or it died doing so | itself |
/// | `IN_DOUBT` | somebody began and did not finish | who took over; or who gave up |
/// | `DONE` | it is done | who did it |
/// | `WAITED` | somebody sleeps until it is, or is about to | a sleeper |
///
/// Who dies where: who does it, anywhere, and another one does it anew, and is told so. One that has done it and wakes nobody: the others look
/// by themselves after a park.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct RawOnce {
    word: Futex,
}

/// What the caller is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Do it, and call [`finish`](RawOnce::finish) or [`give_up`](RawOnce::give_up). In doubt: somebody has begun before, and did not finish.
    Now(Data),
    /// Nothing: it is done, and what was done is visible.
    Done,
}

/// The deadline has passed while somebody alive was doing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotRun;

impl RawOnce {
    /// Whether it is done. If so, what was done is visible to the caller.
    #[inline(always)]
    #[must_use]
    pub fn is_done(&self) -> bool {
        // ONCE: everything that was done.
        self.word.load(Acquire) & LANE == DONE
    }

    /// Waits until it is done, or nobody alive is doing it, or the deadline has passed.
    ///
    /// # Errors
    /// [`NotRun`].
    pub fn begin(&self, own: &mut Claimant, company: &impl Liveness, deadline: Deadline) -> Result<Run, NotRun> {
        let me = own.me;
        if let Some(run) = self.look(me, company, false) {
            return Ok(run);
        }
        own.wait_on(&self.word, deadline, |asks| self.look(me, company, asks)).map_err(|TimedOut| NotRun)
    }

    fn look(&self, me: Holder, company: &impl Liveness, asks: bool) -> Option<Run> {
        // ONCE: everything that was done; NAME: that who does it has joined, before anybody asks whether it lives.
        let word = self.word.load(Acquire);
        if word & LANE == DONE {
            return Some(Run::Done);
        }
        let begin = |data: Data| {
            let mine = word & WAITED | data.bits() | me.word();
            // ONCE: what was done by one who gave up; NAME: that the caller has joined. Relaxed: on failure nothing is read.
            let begun = self.word.compare_exchange(word, mine, AcqRel, Relaxed);
            crash::point("once.begun");
            begun.ok().map(|_| Run::Now(data))
        };
        match Holder::of(word) {
            None => begin(Data::of(word)),
            // It cannot be at it: it is here.
            Some(holder) if holder == me => begin(Data::InDoubt),
            Some(holder) if asks && company.is_gone(holder) => {
                crash::point("once.proven");
                begin(Data::InDoubt)
            }
            Some(_) => None,
        }
    }

    /// Who has done it: says so.
    pub fn finish(&self) {
        self.let_go(DONE);
    }

    /// Who was to do it: leaves it to another.
    pub fn give_up(&self) {
        self.let_go(IN_DOUBT);
    }

    fn let_go(&self, word: u32) {
        crash::point("once.ending");
        // ONCE: everything that was done is visible to whoever sees that it is.
        let before = self.word.swap(word, Release);
        crash::point("once.ended");
        if before & WAITED != 0 {
            self.word.wake_all();
        }
    }

    /// Who is doing it: for people and tools, out of date when it returns.
    #[must_use]
    pub fn runner(&self) -> Option<Holder> {
        // Relaxed: a display.
        Holder::of(self.word.load(Relaxed)).filter(|holder| holder.word() & LANE != DONE)
    }

    /// Model only: all bounded parks run out, now and from now on.
    #[cfg(loom)]
    pub fn expire(&self) {
        self.word.expire();
    }
}
