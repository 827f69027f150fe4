//! Milestones: where records begin in a ring of bytes, for readers that come from nowhere.
//!
//! A reader that was overtaken, or that joins in the middle, must find a place where a record begins, and know how many were sent before.
//! So the ring is cut into sections, at most 16, and for each the producer keeps a mark: position and number of the first record
//! that begins there.
//!
//! A mark is two words, and is rewritten a lap later. It is whole if, after both were read, the reach is still within the capacity of the
//! *start of its section*: any later mark of this place needs a reach beyond that (LAP). And it is one of this lap, and of a record
//! that is published, if its position lies in the section that was asked for, and before the cursor (PUBLISH).
//!
//! # Safety
//! The marks lie behind the ring, and are only ever used as words.

#![allow(unsafe_code, reason = "words inside of the data area")]

use crate::layout::{Geometry, Lane};
use crate::memory::Memory;
use crate::position::{is_whole, is_within};
use crate::record::HEADER;
use ringshm_sync::atomic::AtomicU64;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed};
use ringshm_sync::atomic::fence;
use ringshm_sync::cell::Bytes;
use ringshm_sync::crash;

/// The most sections of a ring.
const SECTIONS: u64 = 16;
const MARK_LEN: u64 = 16;
/// Bytes of all marks.
pub(crate) const MILESTONES_LEN: u64 = SECTIONS * MARK_LEN;
/// A position where no record can begin.
const NOWHERE: u64 = u64::MAX;

/// A place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Milestone {
    /// Where a record begins.
    pub(crate) position: u64,
    /// How many were sent before it.
    pub(crate) count: u64,
}

/// The milestones of a ring.
#[derive(Clone, Debug)]
pub(crate) struct Milestones {
    data: Bytes,
    capacity: u64,
    /// Bytes of a section, a power of two.
    section: u64,
}

/// Before anybody else sees the memory: no milestones.
pub(crate) fn initialise(memory: &Memory) {
    let milestones = Milestones::new(memory);
    for section in 0..milestones.capacity / milestones.section {
        // Relaxed: nobody else sees the memory yet.
        milestones.words(section * milestones.section).0.store(NOWHERE, Relaxed);
    }
}

impl Milestones {
    pub(crate) fn new(memory: &Memory) -> Self {
        let Geometry { capacity, .. } = *memory.geometry();
        Self { data: memory.data().clone(), capacity, section: (capacity / SECTIONS).max(HEADER) }
    }

    /// The start of the section that `position` lies in.
    #[inline(always)]
    pub(crate) fn section_of(&self, position: u64) -> u64 {
        position & !(self.section - 1)
    }

    /// Position and count of the section that begins at `start`.
    fn words(&self, start: u64) -> (&AtomicU64, &AtomicU64) {
        let at = (self.capacity + (start & (self.capacity - 1)) / self.section * MARK_LEN) as usize;
        // SAFETY: there is room for a mark of each section behind the ring; a multiple of eight, only used as words.
        let position = unsafe { self.data.word(at) };
        // SAFETY: as above.
        let count = unsafe { self.data.word(at + 8) };
        (position, count)
    }

    /// Producer: the first record of its section is about to be sent.
    #[cold]
    pub(crate) fn set(&self, milestone: Milestone) {
        let (position, count) = self.words(self.section_of(milestone.position));
        // Relaxed: the cursor publishes both words, and the reach was announced before (PUBLISH, LAP).
        position.store(milestone.position, Relaxed);
        crash::point("broadcast.half_marked");
        // Relaxed: as above.
        count.store(milestone.count, Relaxed);
    }

    /// The mark of the section that begins at `start`, if it is of a record before `cursor`, which was loaded before.
    pub(crate) fn get(&self, feed: &Lane, start: u64, cursor: u64) -> Option<Milestone> {
        let (position, count) = self.words(start);
        // Relaxed: judged below.
        let position = position.load(Relaxed);
        // Relaxed: as above.
        let count = count.load(Relaxed);
        // LAP: who has read a word of a later mark sees the reach that was announced before it.
        fence(Acquire);
        // Relaxed: the fence above orders it.
        let is_whole_mark = feed.reach.load(Relaxed).wrapping_sub(start) <= self.capacity;
        let is_published = is_within(start, position, cursor.wrapping_sub(1));
        let is_here = self.section_of(position) == start && is_whole(position, HEADER);
        (is_whole_mark && is_published && is_here && cursor != start).then_some(Milestone { position, count })
    }

    /// All milestones from `from` on, up to `cursor`, which was loaded before.
    pub(crate) fn between<'a>(
        &'a self,
        feed: &'a Lane,
        from: u64,
        cursor: u64,
    ) -> impl Iterator<Item = Milestone> + 'a {
        let first = self.section_of(from.wrapping_add(self.section - 1));
        let span = cursor.wrapping_sub(from).saturating_sub(first.wrapping_sub(from)).min(self.capacity);
        (0..span.div_ceil(self.section))
            .filter_map(move |n| self.get(feed, first.wrapping_add(n * self.section), cursor))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::broadcast::Broadcast;
    use crate::message::{Message, Wishes};

    #[test]
    fn a_mark_is_believed_until_the_reach_has_come_to_its_section_again() {
        let wishes = Wishes { capacity: Some(256), ..Wishes::default() };
        let memory = Memory::on_heap(Broadcast::<[u8]>::geometry(&wishes).expect("a small ring"));
        let milestones = Milestones::new(&memory);
        let feed = memory.lane(0);
        // Relaxed, here and below: one thread.
        let reach = |position| feed.reach.store(position, Relaxed);
        let mark = Milestone { position: 40, count: 3 };
        assert_eq!(milestones.get(feed, 32, 64), None, "not set");
        milestones.set(mark);
        reach(64);
        assert_eq!(milestones.get(feed, 32, 64), Some(mark));
        assert_eq!(milestones.get(feed, 32, 40), None, "not published");
        assert_eq!(milestones.get(feed, 48, 64), None, "another section");
        assert_eq!(milestones.get(feed, 32 + 256, 64 + 256), None, "another lap");
        reach(32 + 256);
        assert_eq!(milestones.get(feed, 32, 64), Some(mark));
        // A record that begins before the one that was marked, but in its section: its mark may be half there.
        reach(40 + 256);
        assert_eq!(milestones.get(feed, 32, 64), None, "perhaps half overwritten");
    }

    #[test]
    fn milestones_are_found_from_the_first_whole_section_on() {
        let wishes = Wishes { capacity: Some(256), ..Wishes::default() };
        let memory = Memory::on_heap(Broadcast::<[u8]>::geometry(&wishes).expect("a small ring"));
        let milestones = Milestones::new(&memory);
        let feed = memory.lane(0);
        for (count, position) in (0..).zip((0..256).step_by(24)) {
            milestones.set(Milestone { position, count });
        }
        // Relaxed: one thread.
        feed.reach.store(256, Relaxed);
        let counts =
            |from, cursor| milestones.between(feed, from, cursor).map(|milestone| milestone.count).collect::<Vec<_>>();
        assert_eq!(counts(0, 256), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(counts(1, 256), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(counts(200, 240), [9]);
        assert_eq!(counts(241, 250), [0_u64; 0], "the next section begins behind the cursor");
        assert_eq!(counts(256, 256), [0_u64; 0]);
    }
}
