//! One writer or many readers, each of whom may be killed.

use super::{Claimant, Company, Data, Holder, Liveness, NotLocked, RawMutex, Seat, TimedOut, WAITED};
use crate::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::atomic::fence;
use crate::crash;
use crate::time::Deadline;

/// A word that one writer at a time holds, and a seat for each participant, which it holds while it reads.
///
/// ```text
///   reader                             writer
///   sit down    seat = me              take the word    (a mutex)
///               fence                                   fence
///   look        nobody in the word?    look             all seats empty?
///               no: stand up, wait                      no: wait for those who sit
/// ```
///
/// Whichever of the two stores comes second, its owner's look sees the other's (ENTER). So a reader touches no line that other readers write,
/// and it is known who reads: a count of readers could not be set right after one of them was killed.
///
/// **Writers come first**: once a writer has the word no further reader gets in, and readers may wait as long as writers follow each other. No
/// order is promised among writers, nor among readers.
///
/// | seat | meaning | set by |
/// |---|---|---|
/// | 0 | does not read | its owner, when it stands up; or a writer that has proof of its death |
/// | a [`Holder`] | reads, or is about to look whether it may; or it died doing so | its owner |
/// | `WAITED` | a writer sleeps until the seat is empty, or is about to | that writer |
///
/// Who dies where: a reader anywhere, and a writer that waits for it empties its seat; the next owner of its lane sits down over it. A
/// writer, be it one that only waits for readers: the next writer takes over as from a mutex's holder, or a reader frees the word; the data is
/// in doubt. Who was to wake others: they look by themselves after a park.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct RawRwLock {
    writer: RawMutex,
}

impl RawRwLock {
    /// Takes the lock to read, if no writer has it. Others may still be told that it is taken while the caller finds out.
    ///
    /// # Errors
    /// [`NotLocked`].
    pub fn try_read(&self, own: &mut Claimant, company: &impl Company) -> Result<Data, NotLocked> {
        self.check_own(own.me, company)?;
        let asks = own.may_probe();
        self.look_to_read(own.me, company, asks).ok_or(NotLocked::Held)
    }

    /// Takes the lock to read, and waits until no writer has it or the deadline has passed.
    ///
    /// # Errors
    /// [`NotLocked`].
    pub fn read(&self, own: &mut Claimant, company: &impl Company, deadline: Deadline) -> Result<Data, NotLocked> {
        let me = own.me;
        self.check_own(me, company)?;
        if let Some(data) = self.look_to_read(me, company, false) {
            return Ok(data);
        }
        let answer = own.wait_on(self.writer.word(), deadline, |asks| self.look_to_read(me, company, asks));
        answer.map_err(|TimedOut| NotLocked::Held)
    }

    /// The caller must not have the lock already.
    fn check_own(&self, me: Holder, company: &impl Company) -> Result<(), NotLocked> {
        // Relaxed: own seat. A dead predecessor's name in it is none of the caller's.
        let reads = Holder::of(company.seat(me.lane()).word.load(Relaxed)) == Some(me);
        if reads || self.writer.holder() == Some(me) { Err(NotLocked::HeldByCaller) } else { Ok(()) }
    }

    fn look_to_read(&self, me: Holder, company: &impl Company, asks: bool) -> Option<Data> {
        let seat = company.seat(me.lane());
        // NAME: that the caller has joined, for a writer that asks whether it lives. (A store would do, but loom lets a swap by the
        // same thread read past it, once another thread has set a flag in between.)
        seat.word.swap(me.word(), Release);
        crash::point("rwlock.seated");
        // ENTER: of a reader that sits down and a writer that takes the word, at least one sees the other.
        fence(SeqCst);
        let mut word = self.writer.observe();
        if let Some(writer) = Holder::of(word)
            && asks
            && company.is_gone(writer)
        {
            self.writer.free(word);
            crash::point("rwlock.freed");
            word = self.writer.observe();
        }
        if Holder::of(word).is_none() {
            return Some(Data::of(word));
        }
        stand_up(seat);
        None
    }

    /// Reader: lets go.
    #[inline(always)]
    pub fn unlock_read(&self, me: Holder, company: &impl Company) {
        stand_up(company.seat(me.lane()));
    }

    /// Takes the lock to write, if nobody alive has it. Readers that come at the same moment may be told that it is taken.
    ///
    /// # Errors
    /// [`NotLocked`].
    pub fn try_write(&self, own: &mut Claimant, company: &impl Company) -> Result<Data, NotLocked> {
        self.check_own(own.me, company)?;
        let asks = own.may_probe();
        // Not to hold up readers in vain.
        if !nobody_reads(own.me, company, asks) {
            return Err(NotLocked::Held);
        }
        let data = self.writer.try_lock(own, company)?;
        // ENTER: of a reader that sits down and a writer that takes the word, at least one sees the other.
        fence(SeqCst);
        if nobody_reads(own.me, company, asks) {
            return Ok(data);
        }
        self.unlock_write(data);
        Err(NotLocked::Held)
    }

    /// Takes the lock to write, and waits until nobody alive has it or the deadline has passed.
    ///
    /// # Errors
    /// [`NotLocked`].
    pub fn write(&self, own: &mut Claimant, company: &impl Company, deadline: Deadline) -> Result<Data, NotLocked> {
        let me = own.me;
        self.check_own(me, company)?;
        let data =
            if self.writer.lock_at_once(me) { Data::Consistent } else { self.writer.lock(own, company, deadline)? };
        crash::point("rwlock.claimed");
        // ENTER: of a reader that sits down and a writer that takes the word, at least one sees the other.
        fence(SeqCst);
        for seat in others(me, company) {
            if is_empty(seat, company, false) {
                continue;
            }
            let emptied = own.wait_on(&seat.word, deadline, |asks| is_empty(seat, company, asks).then_some(()));
            if emptied.is_err() {
                self.unlock_write(data);
                return Err(NotLocked::Held);
            }
        }
        Ok(data)
    }

    /// Writer: lets go, and says whether the data can be relied on. Wakes everybody: all readers may go on.
    pub fn unlock_write(&self, data: Data) {
        if self.writer.let_go(data) {
            self.writer.word().wake_all();
        }
    }

    /// Who holds it to write: for people and tools, out of date when it returns.
    #[must_use]
    pub fn writer(&self) -> Option<Holder> {
        self.writer.holder()
    }

    /// Whether a writer died, and nobody has said since that the data is consistent: for people and tools.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.writer.is_in_doubt()
    }

    /// Model only: all bounded parks on the word run out, now and from now on.
    #[cfg(loom)]
    pub fn expire(&self) {
        self.writer.expire();
    }
}

impl Seat {
    /// Whether its owner reads: for people and tools, out of date when it returns.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        // Relaxed: a display.
        Holder::of(self.word.load(Relaxed)).is_some()
    }
}

fn stand_up(seat: &Seat) {
    // READ: what the reader read is read before a writer that sees the seat empty changes it.
    let before = seat.word.swap(0, Release);
    crash::point("rwlock.stood_up");
    if before & WAITED != 0 {
        seat.word.wake();
    }
}

/// The seats of all but the caller.
fn others(me: Holder, company: &impl Company) -> impl Iterator<Item = &Seat> {
    (0..company.lanes()).filter(move |lane| *lane != me.lane()).map(|lane| company.seat(lane))
}

fn nobody_reads(me: Holder, company: &impl Company, asks: bool) -> bool {
    others(me, company).all(|seat| is_empty(seat, company, asks))
}

/// Whether nobody alive sits there. A dead one's seat is emptied.
fn is_empty(seat: &Seat, company: &impl Liveness, asks: bool) -> bool {
    // READ: what was read from that seat was read before; NAME: that its owner has joined, before anybody asks whether it lives.
    let word = seat.word.load(Acquire);
    match Holder::of(word) {
        None => true,
        Some(reader) if asks && company.is_gone(reader) => {
            crash::point("rwlock.proven");
            // Relaxed: DEATH, in the proof, orders what the dead reader did. If its successor has sat down meanwhile, it stays.
            seat.word.compare_exchange(word, 0, Relaxed, Relaxed).is_ok()
        }
        Some(_) => false,
    }
}
