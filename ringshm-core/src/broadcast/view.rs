//! A reader of a broadcast ring, over positions.
//!
//! # Safety
//! The pointer to the producer's lane leads into the `Memory` that the seat keeps alive.

#![allow(unsafe_code, reason = "a lane pointer kept beside the memory it leads into, to spare the hot path two steps")]

use super::Halt;
use super::seat::private::Seat;
use crate::bell::ReaderBell;
use crate::detector::Detector;
use crate::error::{Fault, OpenError};
use crate::lanes::{Peer, Role};
use crate::layout::Lane;
use crate::position::{is_whole, is_within};
use core::ptr::NonNull;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed};
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::{Exchanged, Pace, Waiter};

/// Why a handle must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    Forked,
    Evicted,
}

impl From<Gone> for Halt {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Forked => Self::Fault(Fault::Forked),
            Gone::Evicted => Self::Evicted,
        }
    }
}

/// The receiving side. Owned by one thread at a time; every call is on `&mut self`.
#[derive(Debug)]
pub(crate) struct View<S> {
    seat: S,
    feed: NonNull<Lane>,
    capacity: u64,
    /// Cursors are multiples of it.
    unit: u64,
    /// Everything before it is handed out.
    head: u64,
    /// Everything before it is released.
    released: u64,
    /// The producer's cursor as it was last seen; the real one is here or further on.
    published: u64,
    /// Messages that were missed, and not yet reported.
    missed: u64,
    pace: Pace,
    detector: Detector,
}

// SAFETY: the lane pointer leads into the seat's memory, which is `Send` and `Sync`, and behind it are only atomics.
unsafe impl<S: Send> Send for View<S> {}

/// What a reader sees when it comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// The producer's cursor.
    pub(crate) cursor: u64,
    /// What is certainly there, or was a moment ago: everything from here to the cursor.
    pub(crate) oldest: u64,
}

impl<S: Seat> View<S> {
    /// A reader that has not chosen where to begin: at the cursor. Cursors are multiples of `unit`, a power of two.
    pub(crate) fn new(seat: S, unit: u64) -> Result<Self, OpenError> {
        let memory = seat.memory();
        let feed = NonNull::from(memory.lane(memory.lanes_of(Role::Producer).start));
        let capacity = memory.geometry().capacity;
        let detector = Detector::new(memory.lanes_of(Role::Producer).start);
        let view = Self {
            seat,
            feed,
            capacity,
            unit,
            head: 0,
            released: 0,
            published: 0,
            missed: 0,
            pace: Pace::new(),
            detector,
        };
        Ok(view)
    }

    /// What there is to read now, if only a reach of `reach` was announced.
    pub(crate) fn sight(&self) -> Result<Sight, Fault> {
        // PUBLISH: the cursor from before that reach.
        let reach = self.feed().reach.load(Acquire);
        self.sight_from(reach.wrapping_sub(self.capacity))
    }

    /// As [`sight`](Self::sight), when everything from `oldest` on is known to be there.
    fn sight_from(&self, oldest: u64) -> Result<Sight, Fault> {
        // weaken: equivalent, because who begins at a milestone has run the fence of an earlier one by then, and the others look again.
        // PUBLISH: as in every later look. Seen after the reach, so not further behind it than the capacity.
        let cursor = self.feed().cursor.load(Acquire);
        let back = cursor.wrapping_sub(oldest);
        if back > u64::MAX / 2 || !is_whole(cursor, self.unit) {
            return Err(Fault::Corrupt { field: "producer reach" });
        }
        let origin = self.seat.memory().geometry().origin;
        // Nothing was sent before the origin.
        let oldest = if cursor.wrapping_sub(origin) < back { origin } else { oldest };
        Ok(Sight { cursor, oldest })
    }

    /// Keeps what there is from `position` on, as far as this reader can. What it may then rely on begins at the result's `oldest`.
    pub(crate) fn settle(&mut self, position: u64) -> Result<Sight, Fault> {
        let oldest = self.seat.settle(self.feed(), position, self.capacity);
        self.sight_from(oldest)
    }

    /// Begins at `position`, `missed` messages later than it wanted.
    pub(crate) fn begin(&mut self, position: u64, missed: u64) {
        (self.head, self.released, self.published) = (position, position, position);
        self.seat.release(self.feed(), position);
        self.missed = missed;
        self.seat.count_lost(missed);
    }

    /// Hands out from `position` on. Everything before is released.
    pub(crate) fn go_to(&mut self, position: u64) {
        self.head = position;
        self.release();
    }

    #[inline(always)]
    pub(crate) fn feed(&self) -> &Lane {
        // SAFETY: leads into the memory that the seat keeps alive.
        unsafe { self.feed.as_ref() }
    }

    /// Gives the position from which something may be read, if there is something.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Result<u64, Halt> {
        if self.must_look() {
            self.look(true)?;
        }
        Ok(self.head)
    }

    /// As [`peek`](Self::peek), and waits for it.
    #[inline(always)]
    pub(crate) fn peek_by(&mut self, exchanged: Exchanged, deadline: Deadline) -> Result<u64, Halt> {
        if self.must_look() {
            self.look_or_wait(exchanged, deadline)?;
        }
        Ok(self.head)
    }

    /// Whether [`peek`](Self::peek) has anything but patience to ask for.
    pub(crate) fn is_ready(&mut self) -> bool {
        // What was missed is for a call to report, which takes it.
        self.missed != 0 || !self.must_look() || self.look(true) != Err(Halt::NotReady)
    }

    #[inline(always)]
    fn must_look(&self) -> bool {
        self.published == self.head || self.seat.is_forked()
    }

    /// Units that were published before the last look. A lossy reader may have been overtaken by more than the capacity.
    #[inline(always)]
    pub(crate) fn available(&self) -> u64 {
        self.published.wrapping_sub(self.head)
    }

    /// Whether what was copied from `position`, or behind it, was whole. Nothing may be made of it before.
    #[inline(always)]
    pub(crate) fn holds(&self, position: u64) -> bool {
        self.seat.holds(self.feed(), position, self.capacity)
    }

    /// Counts `units` that were peeked at as handed out.
    #[inline(always)]
    pub(crate) fn advance(&mut self, units: u64) {
        self.head = self.head.wrapping_add(units);
    }

    /// Lets the producer have the room of everything handed out.
    #[inline(always)]
    pub(crate) fn release(&mut self) {
        if self.released != self.head {
            self.released = self.head;
            self.seat.release(self.feed(), self.head);
        }
    }

    /// Why what was copied does not hold. `Ok` if the reason is that it was overwritten.
    pub(crate) fn why_not(&self) -> Result<(), Halt> {
        self.seat.check().map_err(Halt::from)?;
        // Only an eviction takes a message from a lossless reader.
        if S::GATES { Err(Fault::Corrupt { field: "producer reach" }.into()) } else { Ok(()) }
    }

    /// After some messages were overwritten: counts them, and goes on at `position`.
    pub(crate) fn miss(&mut self, missed: u64, position: u64) -> Halt {
        self.go_to(position);
        self.published = position;
        self.seat.count_lost(missed);
        Halt::Lagged(missed)
    }

    fn look(&mut self, thorough: bool) -> Result<(), Halt> {
        self.seat.check()?;
        if self.missed != 0 {
            return Err(Halt::Lagged(core::mem::take(&mut self.missed)));
        }
        self.refresh()?;
        if self.available() != 0 {
            return Ok(());
        }
        if thorough && self.producer_is_gone() {
            // What it published last, before it went: CLOSE or DEATH made it visible.
            self.refresh()?;
            return if self.available() != 0 { Ok(()) } else { Err(Halt::Disconnected) };
        }
        self.seat.memory().check_locks()?;
        Err(Halt::NotReady)
    }

    #[inline(always)]
    pub(crate) fn refresh(&mut self) -> Result<(), Halt> {
        // PUBLISH: all words before the producer's cursor are visible.
        let published = self.feed().cursor.load(Acquire);
        let last = self.seat.bound(self.released, self.capacity).unwrap_or(self.published.wrapping_add(u64::MAX / 2));
        if !is_within(self.published, published, last) || !is_whole(published, self.unit) {
            // The producer has gone on without this reader, or is broken.
            self.seat.check()?;
            return Err(Fault::Corrupt { field: "producer cursor" }.into());
        }
        self.published = published;
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn look_or_wait(&mut self, exchanged: Exchanged, deadline: Deadline) -> Result<(), Halt> {
        self.pace.begin(exchanged, self.head, self.capacity, self.seat.behaviour().wait);
        match self.look(false) {
            Err(Halt::NotReady) => self.wait(deadline),
            result => result,
        }
    }

    fn wait(&mut self, deadline: Deadline) -> Result<(), Halt> {
        let mut waiter = Waiter::new(self.seat.behaviour().wait, deadline, &self.pace);
        let outcome = loop {
            self.expect();
            // A wait that was over before it began still says whether the producer is gone.
            let is_over = waiter.pause(&self.bell()).is_err();
            match self.look(is_over || waiter.is_unhurried()) {
                Err(Halt::NotReady) if is_over => break Err(Halt::TimedOut),
                Err(Halt::NotReady) => {}
                outcome => break outcome,
            }
        };
        waiter.finish(&self.bell());
        if outcome.is_ok() {
            self.pace.end(&waiter);
        }
        outcome
    }

    /// Where it sleeps.
    fn bell(&self) -> ReaderBell<'_> {
        self.seat.memory().bell_of_reader(self.seat.lane())
    }

    /// Asked for at every look, the message travels together with the cursor that announces it, and not after it.
    #[inline(always)]
    fn expect(&self) {
        let memory = self.seat.memory();
        let unit = self.head & (self.capacity - 1);
        memory.data().prefetch_to_read((unit * memory.geometry().stride) as usize);
    }

    /// Whether nothing more will come from the producer. If so, everything it published is visible.
    fn producer_is_gone(&mut self) -> bool {
        self.detector.is_gone(self.seat.memory(), self.seat.behaviour().on_death)
    }

    /// What the producer is, now.
    pub(crate) fn producer(&self) -> Peer {
        let memory = self.seat.memory();
        memory.peer_state(memory.lanes_of(Role::Producer).start)
    }

    /// Units that are published and not handed out, at most a ring full.
    pub(crate) fn lag(&self) -> u64 {
        // Relaxed: a number for people and heuristics, nothing is read through it.
        let published = self.feed().cursor.load(Relaxed);
        published.wrapping_sub(self.head).min(self.capacity)
    }

    /// The position that is read next.
    #[inline(always)]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    #[inline(always)]
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    pub(crate) fn is_forked(&self) -> bool {
        self.seat.is_forked()
    }

    #[inline(always)]
    pub(crate) fn seat(&self) -> &S {
        &self.seat
    }

    pub(crate) fn seat_mut(&mut self) -> &mut S {
        &mut self.seat
    }
}
