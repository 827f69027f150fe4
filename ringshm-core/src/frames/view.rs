//! A consumer of a frame ring: which frame is next, and how it waits for it.

use super::Delivery;
use super::seat::Seat;
use super::table::Table;
use super::word::SlotWord;
use crate::broadcast::Start;
use crate::detector::Detector;
use crate::error::{Fault, RecvError, RecvTimeoutError, TryRecvError};
use crate::lanes::{Peer, Role};
use crate::member::OnDeath;
use crate::position::is_within;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed};
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::{Exchanged, Pace, Waiter};
use std::sync::Arc;

/// How often a consumer looks for the newest frame while the producer publishes newer ones. Only where another process writes into the pool does it come
/// near it: at each call, if the newest frame is not where it is said to be.
const TURNS: u32 = if cfg!(loom) { 4 } else { 1 << 10 };

/// The receiving side. Owned by one thread at a time; every call is on `&mut self`.
#[derive(Debug)]
pub(crate) struct View {
    seat: Arc<Seat>,
    /// The first frame that it has not seen.
    next: u64,
    /// Frames that it missed since the last one that it took.
    skipped: u64,
    /// The first frame that it did not find published when it came, until that was: it may be held for a predecessor in the lane.
    unsure: Option<u64>,
    on_death: OnDeath,
    pace: Pace,
    detector: Detector,
}

/// When a consumer wants a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// When it is finished.
    Finished,
    /// When it is begun.
    Begun,
}

/// A frame that was taken: it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) slot: usize,
    pub(crate) sequence: u64,
    /// Frames that it missed since the last one that it took.
    pub(crate) skipped: u64,
}

/// What became of a frame that a consumer wants to hold.
enum Held {
    In(usize),
    /// Another one has its slot: there are newer ones.
    Gone,
    /// Its producer did not finish it.
    GivenUp,
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    NotReady,
    TimedOut,
    TooManyHeld { most: u32 },
    Disconnected,
    Fault(Fault),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl View {
    pub(crate) fn join(seat: Seat) -> Result<Self, Fault> {
        let behaviour = seat.member().behaviour;
        let table = seat.table();
        // PUBLISH: what is held for a predecessor in the lane, of all frames up to here.
        let published = table.published().load(Acquire);
        // PUBLISH: as above.
        let finished = table.finished().load(Acquire);
        let published =
            if is_within(published, finished, published.wrapping_add(u64::MAX / 2)) { finished } else { published };
        if published.wrapping_sub(finished) > 1 {
            return Err(Fault::Corrupt { field: "producer cursor" });
        }
        let origin = seat.memory().geometry().origin;
        let next = match (behaviour.start, seat.delivery()) {
            (Start::Newest, _) => published,
            (_, Delivery::NewestOnly) if finished == origin => origin,
            (Start::Oldest, Delivery::NewestOnly) => finished.wrapping_sub(1),
            (Start::At(number), Delivery::NewestOnly) => {
                origin.wrapping_add(number.clamp(finished.wrapping_sub(origin) - 1, published.wrapping_sub(origin)))
            }
            (Start::Oldest, Delivery::EveryFrame) => hold_back_to(&seat, published, origin),
            (Start::At(number), Delivery::EveryFrame) => {
                let sent = published.wrapping_sub(origin);
                hold_back_to(&seat, published, origin.wrapping_add(number.min(sent)))
            }
        };
        // What has been held for this consumer since it came is not a predecessor's.
        seat.sweep(if seat.delivery() == Delivery::EveryFrame { next } else { published });
        seat.tell_tools(next);
        let memory = seat.memory();
        let detector = Detector::new(memory.lanes_of(Role::Producer).start);
        // Nobody can write into a pool of which only its maker had a mapping to do so: there will be no successor.
        let has_successors = memory.pool().is_none() || behaviour.on_death == OnDeath::LeaveToOthers;
        let on_death = if has_successors { behaviour.on_death } else { OnDeath::Disconnect };
        let unsure = (seat.delivery() == Delivery::NewestOnly).then_some(published);
        Ok(Self { seat: Arc::new(seat), next, skipped: 0, unsure, on_death, pace: Pace::new(), detector })
    }

    /// Takes the next frame, if it is there.
    pub(crate) fn take(&mut self, when: When) -> Result<Taken, Halt> {
        self.look(when, true)
    }

    /// As [`take`](Self::take), and waits for it.
    pub(crate) fn take_by(&mut self, when: When, deadline: Deadline) -> Result<Taken, Halt> {
        match self.look(when, false) {
            Err(Halt::NotReady) => self.wait(when, deadline),
            result => result,
        }
    }

    /// Whether [`take`](Self::take) of a finished frame would say anything but "not yet".
    pub(crate) fn is_ready(&mut self) -> bool {
        if self.seat.member().is_forked() || !self.seat.has_room() {
            return true;
        }
        let table = self.seat.table();
        // Relaxed: who goes on to take it loads it again.
        let is_new = |next: u64| !matches!(table.finished().load(Relaxed).wrapping_sub(next), 0 | u64::MAX);
        is_new(self.next) || self.detector.is_gone(self.seat.memory(), self.on_death)
    }

    fn look(&mut self, when: When, thorough: bool) -> Result<Taken, Halt> {
        self.seat.member().refuse_forked()?;
        if !self.seat.has_room() {
            return Err(Halt::TooManyHeld { most: self.seat.most() });
        }
        if let Some(taken) = self.find(when)? {
            return Ok(taken);
        }
        if thorough && self.detector.is_gone(self.seat.memory(), self.on_death) {
            // What it published last, before it went: CLOSE or DEATH made it visible.
            return self.find(when)?.ok_or(Halt::Disconnected);
        }
        Err(Halt::NotReady)
    }

    fn find(&mut self, when: When) -> Result<Option<Taken>, Fault> {
        let first = self.next;
        let found = match self.seat.delivery() {
            Delivery::EveryFrame => self.find_next(when),
            Delivery::NewestOnly => self.find_newest(when),
        };
        let passed = self.next.wrapping_sub(first);
        let skipped = if matches!(found, Ok(Some(_))) { passed - 1 } else { passed };
        if skipped != 0 {
            self.skipped = self.skipped.wrapping_add(skipped);
            self.seat.count_lost(skipped);
        }
        let Some(slot) = found? else { return Ok(None) };
        self.seat.take();
        self.seat.tell_tools(self.next);
        let (sequence, skipped) = (self.next.wrapping_sub(1), core::mem::take(&mut self.skipped));
        Ok(Some(Taken { slot, sequence, skipped }))
    }

    /// How many frames there are, counted from the ring's first: those before the result may be taken.
    fn end(&self, when: When) -> Result<u64, Fault> {
        let table = self.seat.table();
        let end = match when {
            // PUBLISH: the slots' words, places and records of all frames before, and what is in them.
            When::Finished => table.finished().load(Acquire),
            // PUBLISH: the same, but for what is in one that is not finished.
            When::Begun => table.published().load(Acquire),
        };
        // It may have taken a frame that is not finished.
        if end.wrapping_add(1) == self.next && when == When::Finished {
            return Ok(self.next);
        }
        if is_within(self.next, end, self.next.wrapping_add(u64::MAX / 2)) {
            return Ok(end);
        }
        Err(Fault::Corrupt { field: "producer cursor" })
    }

    /// Holds the next frame, and gives its slot. Goes past those that it misses.
    fn find_next(&mut self, when: When) -> Result<Option<usize>, Fault> {
        let end = self.end(when)?;
        let slots = self.seat.table().slots() as u64;
        // Frames that are held for it stay until it has taken them; those from just before it came may be gone.
        if end.wrapping_sub(self.next) > slots {
            self.next = end.wrapping_sub(slots);
        }
        while self.next != end {
            let sequence = self.next;
            self.next = sequence.wrapping_add(1);
            if let Held::In(slot) = self.hold(sequence, when)? {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    /// Holds the newest frame, and gives its slot. Goes past those that it misses.
    fn find_newest(&mut self, when: When) -> Result<Option<usize>, Fault> {
        for _ in 0..TURNS {
            let end = self.end(when)?;
            if end == self.next {
                break;
            }
            self.let_go_of_predecessors(end);
            match self.hold(end.wrapping_sub(1), when)? {
                Held::In(slot) => {
                    self.next = end;
                    return Ok(Some(slot));
                }
                Held::GivenUp => self.next = end,
                Held::Gone => {}
            }
        }
        Ok(None)
    }

    /// Holds a frame, if it is still there and was not given up.
    fn hold(&self, sequence: u64, when: When) -> Result<Held, Fault> {
        let seat = &self.seat;
        let Some(slot) = seat.table().slot_of(sequence) else { return Ok(Held::Gone) };
        seat.table().prefetch_to_hold(slot);
        if !seat.hold(slot, sequence) {
            return Ok(Held::Gone);
        }
        let progress = seat.progress(slot);
        if progress.is_complete() || (when == When::Begun && !progress.is_abandoned()) {
            return Ok(Held::In(slot));
        }
        seat.let_go(slot);
        seat.ring_producer();
        if progress.is_abandoned() { Ok(Held::GivenUp) } else { Err(Fault::Corrupt { field: "frame progress" }) }
    }

    /// The first frame that is published after it came may be held for a predecessor in its lane, which took every frame: the producer had
    /// looked for whom to hold it before that one left.
    fn let_go_of_predecessors(&mut self, end: u64) {
        let Some(unsure) =
            self.unsure.filter(|unsure| is_within(unsure.wrapping_add(1), end, unsure.wrapping_add(u64::MAX / 2)))
        else {
            return;
        };
        self.unsure = None;
        let table = self.seat.table();
        // Relaxed: PUBLISH, of the frame, carried the word.
        let is_it = |slot: &usize| SlotWord::of(table.word(*slot).load(Relaxed)).holds(unsure);
        if let Some(slot) = (0..table.slots()).find(is_it) {
            self.seat.let_go(slot);
        }
    }

    #[cold]
    #[inline(never)]
    fn wait(&mut self, when: When, deadline: Deadline) -> Result<Taken, Halt> {
        let (wait, capacity) = (self.seat.member().behaviour.wait, self.seat.table().slots() as u64);
        self.pace.begin(Exchanged::one_by_one(self.next), self.next, capacity, wait);
        let mut waiter = Waiter::new(wait, deadline, &self.pace);
        let outcome = loop {
            // A wait that was over before it began still says whether the producer is gone.
            let is_over = waiter.pause(&*self.seat.memory().lobby().readers).is_err();
            match self.look(when, is_over || waiter.is_unhurried()) {
                Err(Halt::NotReady) if is_over => break Err(Halt::TimedOut),
                Err(Halt::NotReady) => {}
                outcome => break outcome,
            }
        };
        waiter.finish(&*self.seat.memory().lobby().readers);
        if outcome.is_ok() {
            self.pace.end(&waiter);
        }
        outcome
    }

    /// What the producer is, now.
    pub(crate) fn producer(&self) -> Peer {
        let memory = self.seat.memory();
        memory.peer_state(memory.lanes_of(Role::Producer).start)
    }

    /// The first frame that it has not seen.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if self.seat.member().is_forked() {
            return;
        }
        // The frames that it took keep the lane. Those that were held for it to take go.
        self.seat.unsubscribe();
        if self.seat.delivery() == Delivery::EveryFrame {
            let table: &Table = self.seat.table();
            let Ok(end) = self.end(When::Begun) else { return };
            let count = end.wrapping_sub(self.next).min(table.slots() as u64);
            for sequence in (0..count).map(|back| end.wrapping_sub(back + 1)) {
                // Relaxed: PUBLISH, of the frame, carried the word.
                let is_it = |slot: &usize| SlotWord::of(table.word(*slot).load(Relaxed)).holds(sequence);
                if let Some(slot) = table.slot_of(sequence).filter(is_it) {
                    self.seat.let_go(slot);
                }
            }
            self.seat.ring_producer();
        }
    }
}

/// Holds the frames before `published`, as far back as they are there, but not those before `first`. Gives the first of them.
fn hold_back_to(seat: &Seat, published: u64, first: u64) -> u64 {
    let mut next = published;
    let slots = seat.table().slots() as u64;
    while next != first && published.wrapping_sub(next) < slots {
        let sequence = next.wrapping_sub(1);
        if !seat.table().slot_of(sequence).is_some_and(|slot| seat.hold(slot, sequence)) {
            break;
        }
        next = sequence;
    }
    next
}

impl From<Halt> for TryRecvError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NotReady | Halt::TimedOut => Self::Empty,
            Halt::TooManyHeld { most } => Self::TooManyHeld { most },
            Halt::Disconnected => Self::Disconnected,
            Halt::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<Halt> for RecvTimeoutError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NotReady | Halt::TimedOut => Self::Timeout,
            Halt::TooManyHeld { most } => Self::TooManyHeld { most },
            Halt::Disconnected => Self::Disconnected,
            Halt::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// For a wait without a deadline.
impl From<Halt> for RecvError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NotReady | Halt::TimedOut | Halt::Disconnected => Self::Disconnected,
            Halt::TooManyHeld { most } => Self::TooManyHeld { most },
            Halt::Fault(fault) => Self::Fault(fault),
        }
    }
}
