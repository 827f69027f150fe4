//! A consumer of a frame ring, over slots: what its handle and the frames that it holds have in common.

use super::Delivery;
use super::table::Table;
use super::word::{MOST_HELD, Progress, Promises, SlotWord};
use crate::error::OpenError;
use crate::lanes::Role;
use crate::layout::Counters;
use crate::member::Member;
use crate::memory::Memory;
use ringshm_sync::atomic::AtomicU32;
use ringshm_sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use ringshm_sync::crash;
use ringshm_sync::hint;

/// How often a word is tried again that others change meanwhile. Only a process that writes into it without end comes near it.
const TURNS: u32 = if cfg!(loom) { 8 } else { 1 << 16 };
/// How often a consumer looks whether there is room for what it wants to hold.
const LOOKS: u32 = if cfg!(loom) { 4 } else { 16 };
/// How many frames a consumer holds at once that does not say.
const USUALLY_HELD: u32 = 2;

/// A lane, as long as its consumer or one of the frames that it took is there.
#[derive(Debug)]
pub(crate) struct Seat {
    member: Member,
    table: Table,
    /// The index of the lane among the consumers': its bit.
    index: usize,
    delivery: Delivery,
    most: u32,
    /// Frames that it has taken and not let go. Of this process only: frames are let go in any thread.
    held: AtomicU32,
}

/// Lets go everything that the consumer `index` holds, and all that is held for it. For whoever has the lock of its lane.
pub(crate) fn let_go_all(table: &Table, index: usize) {
    let bit = 1 << index;
    // Relaxed: a frame that is published just now may still be held for it. Who joins in this lane looks for that, and so does a producer
    // that it is in the way of.
    table.in_order().fetch_and(!bit, Relaxed);
    crash::point("frames.unsubscribed");
    for slot in 0..table.slots() {
        let_go(table, slot, bit);
    }
    crash::point("frames.all_let_go");
    keep_promise(table, index, 0);
}

fn let_go(table: &Table, slot: usize, bit: u64) {
    let word = table.word(slot);
    // Relaxed: nothing is to be let go of a slot that it does not hold.
    if word.load(Relaxed) & bit != 0 {
        // RELEASE: what was read of the frame, before the producer writes the slot.
        word.fetch_and(!bit, Release);
    }
}

fn keep_promise(table: &Table, index: usize, most: u32) {
    let word = table.promises();
    for _ in 0..TURNS {
        // Relaxed: a guess, which the exchange decides.
        let seen = word.load(Relaxed);
        // ROOM: all that was let go, before another consumer is promised as much. Relaxed: on failure it is tried again.
        // weaken: unmodelled, because who joins in the same lane has TAKEOVER besides, and one that joins in another while this one leaves makes too many
        // schedules; kills and restarts in `ringshm/tests/frames` go through it. So it is with what its other end acquires, in `be_promised`.
        if word.compare_exchange(seen, Promises::of(seen).with(index, most).word(), Release, Relaxed).is_ok() {
            return;
        }
    }
}

impl Seat {
    /// Takes part in the lane that `member` has, which is clean, and holds nothing yet. The frames that it may hold are promised to it.
    pub(crate) fn new(member: Member, table: Table) -> Result<Self, OpenError> {
        let index = member.lane() - member.memory().lanes_of(Role::Consumer).start;
        let delivery = member.behaviour.delivery;
        let mut seat = Self { member, table, index, delivery, most: 0, held: AtomicU32::new(0) };
        crash::point("frames.seated");
        if delivery == Delivery::EveryFrame {
            // Relaxed: a producer that does not see it yet does not hold the next frame for it; it looks for that.
            seat.table.in_order().fetch_or(seat.bit(), Relaxed);
            crash::point("frames.subscribed");
        }
        // Last: whoever sees the promise knows that it has subscribed (PROMISE).
        seat.most = seat.be_promised()?;
        Ok(seat)
    }

    /// Has as many frames promised as it wants to hold, if they leave the producer one to write and the newest one.
    fn be_promised(&self) -> Result<u32, OpenError> {
        let (table, index) = (&self.table, self.index);
        let room = (table.slots() - 2) as u32;
        let wanted = self.member.behaviour.most_held;
        for attempt in 0..TURNS {
            // Relaxed: a guess, which the exchange decides.
            let seen = table.promises().load(Relaxed);
            let left = room.saturating_sub(Promises::of(seen).with(index, 0).sum());
            let most = wanted.unwrap_or(USUALLY_HELD.min(left.max(1)));
            if most == 0 || most > MOST_HELD {
                let reason = format!("a consumer may hold 1 to {MOST_HELD} frames");
                return Err(OpenError::InvalidOption { option: "hold", reason });
            }
            if most > left {
                if attempt < LOOKS {
                    self.clear_promises_of_the_dead();
                    // Somebody else may be about to do the same, or to leave.
                    hint::yield_now();
                    continue;
                }
                let slots = table.slots();
                let reason = format!(
                    "to hold {most} more frames at once, {left} are left of the ring's {slots} slots, besides one to be written and the newest: make the ring with more slots, or let consumers hold fewer"
                );
                return Err(OpenError::InvalidOption { option: "hold", reason });
            }
            let promised = Promises::of(seen).with(index, most);
            // ROOM: what is promised here was let go by others. PROMISE: that it has subscribed. Relaxed: on failure it is tried again.
            if table.promises().compare_exchange(seen, promised.word(), AcqRel, Relaxed).is_ok() {
                return Ok(most);
            }
        }
        Err(OpenError::Corrupt { field: "frame promises" })
    }

    /// What was promised to consumers that are gone is there for others.
    fn clear_promises_of_the_dead(&self) {
        if !self.member.may_ask() {
            return;
        }
        let memory = self.member.memory();
        let others = memory.lanes_of(Role::Consumer).enumerate().filter(|(index, _)| *index != self.index);
        // Relaxed: counts only.
        let promises = Promises::of(self.table.promises().load(Relaxed));
        for (index, lane) in others.filter(|(index, _)| promises.to(*index) != 0) {
            memory.in_place_of(lane, || let_go_all(&self.table, index));
        }
    }

    fn bit(&self) -> u64 {
        1 << self.index
    }

    /// Whether it can hold one more.
    pub(crate) fn has_room(&self) -> bool {
        // ROOM: what was let go, in whatever thread, before another one is held.
        self.held.load(Acquire) < self.most
    }

    /// Holds the frame `sequence` in `slot`, if it is still there; it may be held for this lane already.
    pub(crate) fn hold(&self, slot: usize, sequence: u64) -> bool {
        let word = self.table.word(slot);
        // Relaxed: PUBLISH, of the frame, carried it. What comes later names another frame, or other lanes.
        let mut seen = SlotWord::of(word.load(Relaxed));
        for _ in 0..TURNS {
            if !seen.holds(sequence) {
                return false;
            }
            if seen.lanes() & self.bit() != 0 {
                return true;
            }
            let held = seen.and(self.bit());
            // ROOM: what this lane let go before is seen by a producer that finds it here. Relaxed: on failure it is tried again.
            match word.compare_exchange(seen.word(), held.word(), Release, Relaxed) {
                Ok(_) => {
                    crash::point("frames.held");
                    return true;
                }
                Err(other) => seen = SlotWord::of(other),
            }
        }
        false
    }

    /// Counts a frame that it holds as taken.
    pub(crate) fn take(&self) {
        // Relaxed: only this thread counts up.
        self.held.fetch_add(1, Relaxed);
        Counters::add(&self.member.own().counters.messages, 1);
    }

    /// Lets a frame go that was taken, and wakes a producer that waits for it.
    pub(crate) fn release(&self, slot: usize) {
        if self.member.is_forked() {
            return;
        }
        self.let_go(slot);
        // ROOM: the slot is free before its place is.
        self.held.fetch_sub(1, Release);
        self.ring_producer();
    }

    /// Lets a slot go that is held for this lane.
    pub(crate) fn let_go(&self, slot: usize) {
        crash::point("frames.read");
        let_go(&self.table, slot, self.bit());
        crash::point("frames.let_go");
    }

    /// Lets go all frames before `first` that are held for this lane, which has taken nothing yet: they were a predecessor's.
    pub(crate) fn sweep(&self, first: u64) {
        for slot in 0..self.table.slots() {
            // Relaxed: PUBLISH, of the frames before `first`, carried it; and a slot that is held keeps its frame.
            let word = SlotWord::of(self.table.word(slot).load(Relaxed));
            if word.lanes() & self.bit() != 0 && word.is_before(first) {
                self.let_go(slot);
            }
        }
    }

    /// No more frames are held for it from now on, but for one that is published just now.
    pub(crate) fn unsubscribe(&self) {
        // Relaxed: as in `let_go_all`.
        self.table.in_order().fetch_and(!self.bit(), Relaxed);
    }

    pub(crate) fn ring_producer(&self) {
        let memory = self.member.memory();
        let bell = &memory.lane(memory.lanes_of(Role::Producer).start).presence.bell;
        bell.ring(self.member.light());
    }

    pub(crate) fn count_lost(&self, count: u64) {
        Counters::add(&self.member.own().counters.lost, count);
    }

    /// Frames that it missed, and those of its predecessors in the lane.
    pub(crate) fn lost(&self) -> u64 {
        // Relaxed: own counter.
        self.member.own().counters.lost.load(Relaxed)
    }

    pub(crate) fn tell_tools(&self, next: u64) {
        // Relaxed: for tools.
        self.member.own().cursor.store(next, Relaxed);
    }

    pub(crate) fn progress(&self, slot: usize) -> Progress {
        self.table.progress(slot)
    }

    pub(crate) fn delivery(&self) -> Delivery {
        self.delivery
    }

    pub(crate) fn most(&self) -> u32 {
        self.most
    }

    /// Frames that it holds now.
    pub(crate) fn held(&self) -> u32 {
        // Relaxed: for people.
        self.held.load(Relaxed)
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn member(&self) -> &Member {
        &self.member
    }

    pub(crate) fn memory(&self) -> &Memory {
        self.member.memory()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.member.is_forked() {
            let_go_all(&self.table, self.index);
            self.ring_producer();
        }
    }
}
