//! The producer of a frame ring, over slots.

use super::meta::record::RecordBytes;
use super::seat::let_go_all;
use super::table::Table;
use super::word::{Progress, SlotWord};
use crate::error::{Blocked, Fault, OpenError, Stop};
use crate::lanes::Role;
use crate::layout::Counters;
use crate::member::Member;
use core::time::Duration;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::crash;
use ringshm_sync::time::{Deadline, Ration};
use ringshm_sync::wait::{Exchanged, Pace, Wait, Waiter};
use std::collections::VecDeque;

/// The least time between two questions whether those who hold the frames in the way are alive.
const PATIENCE: Duration = Duration::from_millis(1);

/// The sending side. Owned by one thread at a time; every call is on `&mut self`.
#[derive(Debug)]
pub(crate) struct Feed {
    member: Member,
    table: Table,
    /// The sequence number of the next frame.
    next: u64,
    /// All slots that are not on loan, the oldest frames first. The last one has the newest frame, and stays for those who want that.
    by_age: VecDeque<usize>,
    lent: Option<Lent>,
    probes: Ration,
    pace: Pace,
}

/// The slot that is being written.
#[derive(Clone, Copy, Debug)]
struct Lent {
    slot: usize,
    /// How far consumers have been told that it is; `None`: they do not see it yet.
    shown: Option<Progress>,
}

impl Feed {
    /// Goes on where the last producer stopped publishing.
    pub(crate) fn resume(member: Member, table: Table) -> Result<Self, OpenError> {
        // Relaxed: the predecessor's, whose lock was taken over (TAKEOVER).
        let published = table.published().load(Relaxed);
        // Relaxed: as above.
        let finished = table.finished().load(Relaxed);
        let begun = published.wrapping_sub(finished);
        if begun > 1 {
            return Err(OpenError::Corrupt { field: "producer cursor" });
        }
        // Relaxed: as above.
        let word = |slot: usize| SlotWord::of(table.word(slot).load(Relaxed));
        let mut ages: Vec<(u64, usize)> = (0..table.slots()).map(|slot| (word(slot).age(published), slot)).collect();
        ages.sort_unstable_by(|one, other| other.cmp(one));
        for (_, slot) in ages.iter().filter(|(age, _)| *age == 0) {
            // It died before it published what it had marked. Relaxed: nobody looks for this frame.
            table.word(*slot).store(SlotWord::EMPTY.word(), Relaxed);
        }
        if member.behaviour.wait == Wait::Park {
            member.own().presence.bell.ask_for_fences();
        }
        let mut by_age: VecDeque<usize> = ages.into_iter().map(|(_, slot)| slot).collect();
        // Of those with no frame, none is the newest.
        while by_age.back().is_some_and(|slot| word(*slot).is_empty())
            && by_age.iter().any(|slot| !word(*slot).is_empty())
        {
            by_age.rotate_right(1);
        }
        let mut feed =
            Self { member, table, next: published, by_age, lent: None, probes: Ration::default(), pace: Pace::new() };
        if begun == 1 {
            feed.end_unfinished(finished);
        }
        feed.tell_tools();
        Ok(feed)
    }

    /// The last producer died while consumers saw a frame that it had not finished.
    fn end_unfinished(&mut self, sequence: u64) {
        if let Some(slot) = self.table.slot_of(sequence) {
            let progress = self.table.progress(slot);
            if !progress.is_complete() {
                self.table.set_progress(slot, progress.abandoned());
                Counters::add(&self.member.own().counters.torn, 1);
            }
        }
        self.finish_published();
    }

    /// Gives a slot that nobody holds, to be written.
    pub(crate) fn claim(&mut self) -> Result<usize, Blocked> {
        self.member.refuse_forked()?;
        self.give_back();
        match self.take_free() {
            Ok(slot) => Ok(slot),
            Err(holders) => self.look(holders, true),
        }
    }

    /// As [`claim`](Self::claim), and waits for the slot.
    pub(crate) fn claim_by(&mut self, deadline: Deadline) -> Result<usize, Stop> {
        self.member.refuse_forked().map_err(Stop::Fault)?;
        self.give_back();
        match self.take_free() {
            Ok(slot) => Ok(slot),
            Err(holders) => match self.look(holders, false) {
                Ok(slot) => Ok(slot),
                Err(_) => self.wait(deadline),
            },
        }
    }

    /// Whether [`claim`](Self::claim) would give a slot, or say anything but "not yet".
    pub(crate) fn is_ready(&mut self) -> bool {
        let claimed = self.claim();
        self.give_back();
        claimed != Err(Blocked::NotReady)
    }

    /// The places of slots that may be written, those first that are to be tried first: one without a frame; then those that are older than the history, the
    /// youngest first, because caches still have it; then the history from its end.
    fn by_preference(&self) -> impl Iterator<Item = usize> + use<> {
        let others = self.by_age.len() - 1;
        let history = self.member.behaviour.history.map_or(others, |frames| others.min(frames as usize));
        let beyond = others - history;
        // Relaxed: only this producer makes slots empty.
        let has_spare = beyond != 0 && SlotWord::of(self.table.word(self.by_age[0]).load(Relaxed)).is_empty();
        has_spare.then_some(0).into_iter().chain((0..beyond).rev()).chain(beyond..others)
    }

    /// Takes a slot that nobody holds. Otherwise gives the lanes that hold one.
    fn take_free(&mut self) -> Result<usize, u64> {
        let mut holders = 0;
        for place in self.by_preference() {
            let slot = self.by_age[place];
            match self.take(slot) {
                Ok(()) => {
                    self.by_age.remove(place);
                    self.lent = Some(Lent { slot, shown: None });
                    self.table.prefetch_to_fill(slot);
                    crash::point("frames.claimed");
                    return Ok(slot);
                }
                Err(lanes) => holders |= lanes,
            }
        }
        Err(holders)
    }

    /// Empties a slot, if nobody holds it. Otherwise gives the lanes that do.
    fn take(&self, slot: usize) -> Result<(), u64> {
        let word = self.table.word(slot);
        // ROOM: what those who hold it let go before is seen to be free, here or at the next look. An empty slot was taken before, by this producer or
        // its predecessor (TAKEOVER).
        let seen = SlotWord::of(word.load(Acquire));
        if seen.is_empty() {
            return Ok(());
        }
        if seen.lanes() != 0 {
            return Err(seen.lanes());
        }
        // RELEASE: all who held the frame are done reading it. ROOM: as above, of who was faster.
        let taken = word.compare_exchange(seen.word(), SlotWord::EMPTY.word(), Acquire, Acquire);
        taken.map(drop).map_err(|other| SlotWord::of(other).lanes())
    }

    /// What to do about those who hold all slots.
    #[cold]
    #[inline(never)]
    fn look(&mut self, mut holders: u64, thorough: bool) -> Result<usize, Blocked> {
        // Who takes the newest frame only may just have taken one that was the newest a moment ago, and have let another one go that was looked
        // at before. Each of them can have done so once since the last frame, and then what it let go is seen (ROOM).
        // Relaxed: to see somebody join or leave a moment later is to look once more, or less.
        let passing = holders & !self.table.in_order().load(Relaxed);
        for _ in 0..passing.count_ones() {
            match self.take_free() {
                Ok(slot) => return Ok(slot),
                Err(lanes) => holders = lanes,
            }
        }
        if thorough && self.member.may_ask() && self.probes.is_due(PATIENCE) && self.let_go_for_the_dead(holders) {
            return self.take_free().map_err(|_| Blocked::NotReady);
        }
        Err(Blocked::NotReady)
    }

    /// Lets go what those of `lanes` hold whose owners are gone. Whether there were any.
    fn let_go_for_the_dead(&self, lanes: u64) -> bool {
        let memory = self.member.memory();
        let consumers = memory.lanes_of(Role::Consumer);
        let mut any = false;
        for (index, lane) in consumers.enumerate().filter(|(index, _)| lanes & 1 << index != 0) {
            // A lane that was never taken holds nothing, unless another process writes nonsense: that goes, too.
            any |= memory.in_place_of(lane, || let_go_all(&self.table, index));
        }
        any
    }

    #[cold]
    #[inline(never)]
    fn wait(&mut self, deadline: Deadline) -> Result<usize, Stop> {
        let (exchanged, capacity) = (Exchanged::one_by_one(self.next), self.table.slots() as u64);
        self.pace.begin(exchanged, self.next, capacity, self.member.behaviour.wait);
        let mut waiter = Waiter::new(self.member.behaviour.wait, deadline, &self.pace);
        let outcome = loop {
            let is_over = waiter.pause(&self.member.own().presence.bell).is_err();
            let found = self.take_free();
            match found.or_else(|holders| self.look(holders, is_over || waiter.is_unhurried())) {
                Ok(slot) => break Ok(slot),
                Err(Blocked::Fault(fault)) => break Err(Stop::Fault(fault)),
                Err(_) if is_over => break Err(Stop::TimedOut),
                Err(_) => {}
            }
        };
        waiter.finish(&self.member.own().presence.bell);
        if outcome.is_ok() {
            self.pace.end(&waiter);
        }
        outcome
    }

    /// Ends a loan that was not finished: nobody has seen the frame, or those who have are told that it ends here.
    pub(crate) fn give_back(&mut self) {
        let Some(lent) = self.lent else { return };
        if let Some(progress) = lent.shown {
            self.table.set_progress(lent.slot, progress.abandoned());
            Counters::add(&self.member.own().counters.torn, 1);
            self.close();
        } else {
            // Its word says that it is empty.
            self.by_age.push_front(lent.slot);
            self.lent = None;
        }
    }

    /// Finishes the frame in the slot on loan, of so many rows, and lets consumers have it.
    pub(crate) fn commit(&mut self, record: &RecordBytes, height: u32) {
        self.show(record, Progress::complete(height));
        self.close();
    }

    /// Lets those consumers have the frame in the slot on loan that want it before it is finished.
    pub(crate) fn begin(&mut self, record: &RecordBytes) {
        self.show(record, Progress::rows(0));
        self.member.memory().ring_readers(self.member.light());
    }

    /// Says that the first `rows` rows of a frame that was begun are there.
    pub(crate) fn advance(&mut self, rows: u32) {
        let Some(Lent { slot, shown: Some(_) }) = self.lent else { return };
        let progress = Progress::rows(rows);
        self.table.set_progress(slot, progress);
        self.lent = Some(Lent { slot, shown: Some(progress) });
        crash::point("frames.advanced");
        self.member.memory().ring_readers(self.member.light());
    }

    /// Finishes a frame that was begun.
    pub(crate) fn finish(&mut self, height: u32) {
        let Some(Lent { slot, shown: Some(_) }) = self.lent else { return };
        self.table.set_progress(slot, Progress::complete(height));
        self.close();
    }

    /// Publishes the slot on loan as the next frame, held for everybody who takes every frame. Its record has that number.
    fn show(&mut self, record: &RecordBytes, progress: Progress) {
        let Some(Lent { slot, .. }) = self.lent else { return };
        let sequence = self.next;
        self.table.put_record(slot, record);
        self.table.set_progress(slot, progress);
        crash::point("frames.written");
        // Relaxed: who joins just now may be missed, as if it joined a moment later; it looks for that.
        let lanes = self.table.in_order().load(Relaxed);
        // Relaxed: PUBLISH carries it.
        self.table.word(slot).store(SlotWord::frame(sequence, lanes).word(), Relaxed);
        crash::point("frames.marked");
        self.table.enter(sequence, slot);
        crash::point("frames.entered");
        self.next = sequence.wrapping_add(1);
        // PUBLISH: the slot's word, its place and its record, to who takes frames before they are finished.
        self.table.published().store(self.next, Release);
        self.lent = Some(Lent { slot, shown: Some(progress) });
        crash::point("frames.published");
    }

    /// The frame that consumers see is over: finished, or abandoned.
    fn close(&mut self) {
        if let Some(lent) = self.lent.take() {
            self.by_age.push_back(lent.slot);
        }
        self.finish_published();
        self.tell_tools();
    }

    fn finish_published(&self) {
        // PUBLISH: all of the frame, to who takes what is finished.
        self.table.finished().store(self.next, Release);
        crash::point("frames.finished");
        self.member.memory().ring_readers(self.member.light());
    }

    fn tell_tools(&self) {
        // Relaxed: for tools.
        self.member.own().cursor.store(self.next, Relaxed);
    }

    /// The sequence number of the next frame.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn member(&self) -> &Member {
        &self.member
    }

    pub(crate) fn member_mut(&mut self) -> &mut Member {
        &mut self.member
    }

    pub(crate) fn refuse_forked(&self) -> Result<(), Fault> {
        self.member.refuse_forked()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if !self.member.is_forked() {
            self.give_back();
        }
    }
}
