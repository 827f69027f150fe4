//! A meeting of a fixed number of parties, each of whom may be killed.

use super::{Claimant, Company, Holder, Place, Seat, TimedOut, WAITED};
use crate::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::atomic::fence;
use crate::crash;
use crate::futex::Futex;
use crate::time::Deadline;

/// The last meeting was broken off: a party was missing for good.
const BROKEN: u32 = 2;
/// One meeting; below it are `BROKEN` and the `WAITED` of those who sleep.
const MEETING: u32 = 4;

/// The owner of this seat is in that meeting.
const INSIDE: u32 = 1;
/// The owner of this seat was in that meeting, and has learned how it ended.
const OUTSIDE: u32 = 2;

/// How often a party tries to end a meeting. It fails only when another party says that it sleeps, or ends the meeting itself, or a hostile
/// process writes into the word.
const ATTEMPTS: u32 = 64;

/// A word that counts meetings, and a seat for each party.
///
/// A party arrives by writing the number of the meeting into its seat. Whoever finds all seats filled ends the meeting, and whoever finds that the
/// party which is missing is gone breaks it off: either is one compare-and-swap of the word, so all who were there are told the same.
///
/// | word | meaning |
/// |---|---|
/// | the upper 30 bits | the number of the meeting that is on |
/// | `BROKEN` | the one before it was broken off |
/// | `WAITED` | somebody sleeps, or is about to |
///
/// | seat | meaning |
/// |---|---|
/// | 0 | has never been at a meeting |
/// | n `INSIDE` | has arrived at meeting n, and has not learned yet how it ended; or died |
/// | n `OUTSIDE` | has been at meeting n |
///
/// **A live party is at most one meeting behind.** Meeting n + 1 is not broken off while somebody alive is still inside of meeting n, and does
/// not succeed without it; so the one flag tells everybody how its own meeting ended. Only deadlines go over that: who was held up in meeting n until
/// others gave up on the next is told that n was broken off.
///
/// Who dies where: a party before it arrives breaks the meeting off; one that has arrived has arrived, and is missed at the next. Its lane's next
/// owner comes in its place. A party that has ended the meeting and wakes nobody: the others look by themselves after a park.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct RawBarrier {
    word: Futex,
}

/// How a meeting ended for one that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Whether it was this party that ended it: one of all, if that one lives.
    pub is_leader: bool,
}

/// Why parties did not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMet {
    /// A party is gone: it was killed, or has left for good; or another one has given up waiting.
    Broken,
    /// The deadline has passed. The meeting is broken off for the others.
    TimedOut,
}

fn number_of(word: u32) -> u32 {
    word / MEETING
}

/// The word of a meeting, by its number: they begin again after 2^30.
fn word_of(meeting: u32) -> u32 {
    meeting.wrapping_mul(MEETING)
}

fn has_arrived(seat: u32, meeting: u32) -> bool {
    number_of(seat) == meeting && seat & (INSIDE | OUTSIDE) != 0
}

fn is_inside(seat: u32, meeting: u32) -> bool {
    number_of(seat) == meeting && seat & INSIDE != 0
}

/// What a look at the seats finds.
enum Attendance {
    Complete,
    Missing,
    /// The one that is missing will not come.
    Broken,
}

impl RawBarrier {
    /// Arrives, and waits until all parties have, one of them is gone, or the deadline has passed.
    ///
    /// # Errors
    /// [`NotMet`].
    pub fn wait(&self, own: &mut Claimant, company: &impl Company, deadline: Deadline) -> Result<Meeting, NotMet> {
        let me = own.me.lane();
        let seat = &company.seat(me).word;
        // Relaxed: whoever comes to a meeting that is over is told how that one ended.
        let meeting = number_of(self.word.load(Relaxed));
        // MEET: what this party did before it arrived is visible to whoever sees it there.
        seat.store(word_of(meeting) | INSIDE, Release);
        crash::point("barrier.arrived");
        // ARRIVE: of two that arrive last, at least one sees the other.
        fence(SeqCst);
        let look = |asks| self.look(meeting, me, company, asks);
        let answer = look(false).map_or_else(|| own.wait_on(&self.word, deadline, look), Ok);
        let answer = answer.unwrap_or_else(|TimedOut| {
            let is_ended_here = self.end(meeting, true);
            if is_ended_here { Err(NotMet::TimedOut) } else { self.outcome(meeting).unwrap_or(Err(NotMet::TimedOut)) }
        });
        // Relaxed: only says that this party has learned how the meeting ended.
        seat.store(word_of(meeting) | OUTSIDE, Relaxed);
        answer
    }

    /// Who has joined: takes its predecessor's place. Where that one has arrived, it has; and it is inside of no meeting.
    pub fn succeed(&self, me: Holder, company: &impl Company) {
        let seat = &company.seat(me.lane()).word;
        // Relaxed: the predecessor's, whose lock was taken over (TAKEOVER).
        let word = seat.load(Relaxed);
        if word & INSIDE != 0 {
            // MEET: what the predecessor did before it arrived.
            seat.store(word & !INSIDE | OUTSIDE, Release);
        }
    }

    /// How that meeting ended, if it has.
    fn outcome(&self, meeting: u32) -> Option<Result<Meeting, NotMet>> {
        // MEET: what all did before they arrived.
        let word = self.word.load(Acquire);
        let next = number_of(word_of(meeting + 1));
        match number_of(word) {
            on if on == meeting => None,
            on if on == next && word & BROKEN == 0 => Some(Ok(Meeting { is_leader: false })),
            _ => Some(Err(NotMet::Broken)),
        }
    }

    fn look(&self, meeting: u32, me: usize, company: &impl Company, asks: bool) -> Option<Result<Meeting, NotMet>> {
        if let Some(outcome) = self.outcome(meeting) {
            return Some(outcome);
        }
        let is_broken = match attendance(meeting, me, company, asks) {
            Attendance::Complete => false,
            Attendance::Broken => true,
            Attendance::Missing => return None,
        };
        match (self.end(meeting, is_broken), is_broken) {
            (false, _) => self.outcome(meeting),
            (true, false) => Some(Ok(Meeting { is_leader: true })),
            (true, true) => Some(Err(NotMet::Broken)),
        }
    }

    /// Ends the meeting, unless it has ended, and wakes all who wait. Whether this did.
    fn end(&self, meeting: u32, is_broken: bool) -> bool {
        let ended = word_of(meeting + 1) | if is_broken { BROKEN } else { 0 };
        for _ in 0..ATTEMPTS {
            // Relaxed: what all did was seen in their seats.
            let word = self.word.load(Relaxed);
            if number_of(word) != meeting {
                return false;
            }
            // MEET: what all did before they arrived is visible to all when they go on. Relaxed: on failure it is loaded again.
            if self.word.compare_exchange(word, ended, Release, Relaxed).is_ok() {
                crash::point("barrier.ended");
                if word & WAITED != 0 {
                    self.word.wake_all();
                }
                return true;
            }
        }
        false
    }

    /// Meetings so far, those that were broken off included: for people and tools.
    #[must_use]
    pub fn meetings(&self) -> u32 {
        // Relaxed: a display.
        number_of(self.word.load(Relaxed))
    }

    /// Whether the last meeting was broken off: for people and tools.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        // Relaxed: a display.
        self.word.load(Relaxed) & BROKEN != 0
    }

    /// Model only: all bounded parks run out, now and from now on.
    #[cfg(loom)]
    pub fn expire(&self) {
        self.word.expire();
    }
}

fn attendance(meeting: u32, me: usize, company: &impl Company, asks: bool) -> Attendance {
    let seats = || (0..company.lanes()).filter(|lane| *lane != me).map(|lane| (lane, company.seat(lane)));
    let mut missing = seats().filter(|(_, seat)| !has_arrived(seat.look(), meeting)).peekable();
    if missing.peek().is_none() {
        return Attendance::Complete;
    }
    // One that arrived and died between the two looks has arrived.
    let is_given_up = |lane, seat: &Seat| company.place(lane) == Place::Deserted && !has_arrived(seat.look(), meeting);
    if !asks || !missing.any(|(lane, seat)| is_given_up(lane, seat)) {
        return Attendance::Missing;
    }
    let last = number_of(word_of(meeting.wrapping_sub(1)));
    let is_behind = |lane, seat: &Seat| is_inside(seat.look(), last) && company.place(lane) == Place::Taken;
    if seats().any(|(lane, seat)| is_behind(lane, seat)) { Attendance::Missing } else { Attendance::Broken }
}

impl Seat {
    fn look(&self) -> u32 {
        // MEET: what its owner did before it arrived.
        self.word.load(Acquire)
    }
}
