//! Where the parts of a frame ring lie, and the only way to them.
//!
//! ```text
//!   words, which all participants write              pool, which only the producer writes
//!     0 ┌───────────────────────────┐                  0 ┌───────────────────────────┐
//!       │ roster          128 B     │                    │ identity        128 B     │  ties it to its words
//!   128 ├───────────────────────────┤                128 ├───────────────────────────┤
//!       │ slot word 0     128 B     │                    │ published, finished  16 B │
//!       │ slot word 1 …             │                    │ order, 8 B for each slot  │  behind them, in their line as far as it goes
//!       └───────────────────────────┘                    ├───────────────────────────┤  the next line
//!         up to the next page                            │ head 0          512 B     │  progress, and the frame's record
//!                                                        │ head 1 …                  │
//!                                                        ├───────────────────────────┤  the next page
//!                                                        │ pixels 0, on whole pages  │
//!                                                        │ pixels 1 …                │
//!                                                        └───────────────────────────┘
//! ```
//!
//! In a named ring, on the heap and in one memfd the pool lies right behind the words. In a sealed ring it is an object of its own, which
//! consumers can map to read it and in no other way.
//!
//! # Safety
//! Offsets follow from the geometry, which was validated against the size of the mapping, and from slot numbers that are checked here. Words
//! are only ever used as words. A record and the pixels of a slot are written by the producer that has the slot on loan, and read by
//! consumers that hold it; see [`frames`](super).

#![allow(unsafe_code, reason = "words, records and pixels inside of the data area")]

use super::meta::record::{FIXED_LEN, RECORD_LEN, RecordBytes, len_of_record};
use super::word::{Entry, Progress, Promises, SlotWord};
use crate::layout::Geometry;
use crate::memory::Memory;
use ringshm_sync::atomic::AtomicU64;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::cell::{Bytes, Reading, Writing};

/// The unit in which parts lie apart. The model has no caches, and little patience for memory.
const LINE: u64 = if cfg!(loom) { 16 } else { 128 };
/// What pixels are aligned to.
const PAGE: u64 = if cfg!(loom) { 16 } else { 4096 };
/// Where the record is in a slot's head, behind its progress: they change together, but for frames that are seen before they are finished.
const RECORD_AT: u64 = 16;
/// Bytes of a slot's head.
const HEAD: u64 = (RECORD_AT + RECORD_LEN as u64).next_multiple_of(LINE);
/// The part of a head that every frame uses.
const HEAD_IN_USE: usize = RECORD_AT as usize + FIXED_LEN;
/// What the processor fetches at a time.
const FETCHED: usize = 64;
/// Where the counters of frames are in the pool.
const CURSORS_AT: u64 = LINE;
/// Where the order is: a frame's place arrives with the news of it.
const ORDER_AT: u64 = CURSORS_AT + 16;

/// The most slots of a frame ring.
pub(crate) const MAX_SLOTS: u64 = 1024;
/// The fewest: one that is written, the newest, and one that a consumer holds.
pub(crate) const MIN_SLOTS: u64 = 3;

#[cfg(not(loom))]
const _: () = assert!(HEAD == 512);

/// Bytes from the pixels of one slot to those of the next.
pub(crate) const fn stride(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

/// Bytes of the words.
pub(crate) const fn words_len(slots: u64) -> u64 {
    (LINE + slots * LINE).next_multiple_of(PAGE)
}

const fn heads_at(slots: u64) -> u64 {
    (ORDER_AT + slots * 8).next_multiple_of(LINE)
}

const fn pixels_at(slots: u64) -> u64 {
    (heads_at(slots) + slots * HEAD).next_multiple_of(PAGE)
}

/// Bytes of the pool.
pub(crate) const fn pool_len(slots: u64, stride: u64) -> u64 {
    pixels_at(slots) + slots * stride
}

/// Everything that the participants of a frame ring share.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    words: Bytes,
    pool: Bytes,
    /// Where the pool begins in there.
    pool_at: u64,
    slots: u64,
    stride: u64,
    bytes: u64,
    origin: u64,
}

impl Table {
    /// The table of a frame ring. `None` if its pool is an object of its own that this memory does not have.
    pub(crate) fn of(memory: &Memory) -> Option<Self> {
        let Geometry { capacity: slots, stride, max_message: bytes, has_own_pool, origin, .. } = *memory.geometry();
        let words = memory.data().clone();
        let (pool, pool_at) = match memory.pool() {
            Some(pool) => (pool.clone(), 0),
            None if has_own_pool => return None,
            None => (words.clone(), words_len(slots)),
        };
        Some(Self { words, pool, pool_at, slots, stride, bytes, origin })
    }

    /// Before anybody else sees the memory: empty slots, and the first frame to come.
    pub(crate) fn initialise(&self) {
        let origin = self.origin;
        // Relaxed: nobody else sees the memory yet.
        (0..self.slots()).for_each(|slot| self.word(slot).store(SlotWord::EMPTY.word(), Relaxed));
        let places = (0..self.slots).map(|place| self.order(origin.wrapping_add(place)));
        // Relaxed: as above.
        places.for_each(|place| place.store(Entry::new(!origin, 0).word(), Relaxed));
        // Relaxed: as above.
        self.published().store(origin, Relaxed);
        // Relaxed: as above.
        self.finished().store(origin, Relaxed);
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Bytes of a slot.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    fn word_of(&self, at: u64) -> &AtomicU64 {
        // SAFETY: the offsets of this file are multiples of eight inside of the words.
        unsafe { self.words.word(at as usize) }
    }

    fn pool_word(&self, at: u64) -> &AtomicU64 {
        // SAFETY: as above, inside of the pool.
        unsafe { self.pool.word((self.pool_at + at) as usize) }
    }

    /// Bit `n`: the consumer in lane `n` takes every frame. Each sets and clears its own, or whoever has its lock.
    pub(crate) fn in_order(&self) -> &AtomicU64 {
        self.word_of(0)
    }

    /// How many frames each consumer may hold: [`Promises`].
    pub(crate) fn promises(&self) -> &AtomicU64 {
        self.word_of(8)
    }

    /// What a slot holds, and for whom: a [`SlotWord`].
    ///
    /// # Panics
    /// If there is no such slot, as all that take one.
    pub(crate) fn word(&self, slot: usize) -> &AtomicU64 {
        assert!(slot < self.slots(), "slot {slot} of {}", self.slots);
        self.word_of(LINE + slot as u64 * LINE)
    }

    /// Of a pool of its own: the number that ties it to its words, which follows from the header of those.
    #[cfg(not(loom))]
    pub(crate) fn identity(&self) -> &AtomicU64 {
        self.pool_word(0)
    }

    /// The sequence number of the next frame to be seen.
    pub(crate) fn published(&self) -> &AtomicU64 {
        self.pool_word(CURSORS_AT)
    }

    /// The sequence number of the next frame to be finished: at most one behind [`published`](Self::published).
    pub(crate) fn finished(&self) -> &AtomicU64 {
        self.pool_word(CURSORS_AT + 8)
    }

    /// Counted from the ring's first frame: where sequence numbers begin again, the slots go on, of which there may be any number.
    fn order(&self, sequence: u64) -> &AtomicU64 {
        self.pool_word(ORDER_AT + sequence.wrapping_sub(self.origin) % self.slots * 8)
    }

    /// Producer: writes down where the frame `sequence` is, before it is published.
    pub(crate) fn enter(&self, sequence: u64, slot: usize) {
        // Relaxed: PUBLISH, of the frame, carries it.
        self.order(sequence).store(Entry::new(sequence, slot).word(), Relaxed);
    }

    /// The slot of a frame that was seen published; `None` if another one has its place in the order by now.
    pub(crate) fn slot_of(&self, sequence: u64) -> Option<usize> {
        // Relaxed: PUBLISH carried it; a later one does not name this frame.
        Entry::of(self.order(sequence).load(Relaxed)).slot_of(sequence).filter(|slot| *slot < self.slots())
    }

    fn head_at(&self, slot: usize) -> u64 {
        assert!(slot < self.slots(), "slot {slot} of {}", self.slots);
        heads_at(self.slots) + slot as u64 * HEAD
    }

    fn progress_word(&self, slot: usize) -> &AtomicU64 {
        self.pool_word(self.head_at(slot))
    }

    /// Producer: says how far the frame in a slot is.
    pub(crate) fn set_progress(&self, slot: usize, progress: Progress) {
        // ROWS: the rows that are ready, and all of them if it is complete.
        self.progress_word(slot).store(progress.word(), Release);
    }

    /// How far the frame in a slot is.
    pub(crate) fn progress(&self, slot: usize) -> Progress {
        // ROWS: the bytes of the rows that are ready.
        Progress::of(self.progress_word(slot).load(Acquire))
    }

    /// Producer: writes the record of the frame in a slot that it has on loan, as long as it is.
    pub(crate) fn put_record(&self, slot: usize, record: &RecordBytes) {
        let (at, len) = ((self.pool_at + self.head_at(slot) + RECORD_AT) as usize, len_of_record(record));
        // SAFETY: inside of the slot's head, which its producer has for itself.
        let target = unsafe { self.pool.write(at, len) };
        // SAFETY: the record on one side, which is no shorter, as many bytes of the head on the other.
        unsafe { target.as_mut_ptr().copy_from_nonoverlapping(record[..len].as_ptr(), len) };
        target.finish();
    }

    /// A private copy of the record of the frame in a slot that the caller holds: as much as it says it is, and zeros.
    pub(crate) fn record(&self, slot: usize) -> RecordBytes {
        let at = (self.pool_at + self.head_at(slot) + RECORD_AT) as usize;
        let mut record = [0; RECORD_LEN];
        let copy = |from: usize, into: &mut [u8]| {
            // SAFETY: inside of the slot's head, which nobody writes while it is held.
            let source = unsafe { self.pool.read(at + from, into.len()) };
            // SAFETY: as many bytes of the head on one side, the private copy on the other.
            unsafe { into.as_mut_ptr().copy_from_nonoverlapping(source.as_ptr(), into.len()) };
        };
        copy(0, &mut record[..FIXED_LEN]);
        let len = len_of_record(&record);
        if let Some(rest) = record.get_mut(FIXED_LEN..len) {
            copy(FIXED_LEN, rest);
        }
        record
    }

    /// Asks for what a consumer looks at next of the frame in a slot: its word, which it will change, its head, and its first pixels. Otherwise it would
    /// wait for them one by one.
    #[inline]
    pub(crate) fn prefetch_to_hold(&self, slot: usize) {
        self.words.prefetch_to_write((LINE + slot as u64 * LINE) as usize);
        let head = (self.pool_at + self.head_at(slot)) as usize;
        (0..HEAD_IN_USE).step_by(FETCHED).for_each(|line| self.pool.prefetch_to_read(head + line));
        self.pool.prefetch_to_read(self.pixels_at(slot, 0, 0));
    }

    /// Asks for what the producer writes when the frame in a slot is finished.
    #[inline]
    pub(crate) fn prefetch_to_fill(&self, slot: usize) {
        let head = (self.pool_at + self.head_at(slot)) as usize;
        (0..HEAD_IN_USE).step_by(FETCHED).for_each(|line| self.pool.prefetch_to_write(head + line));
    }

    fn pixels_at(&self, slot: usize, at: usize, len: usize) -> usize {
        assert!(slot < self.slots() && at <= self.bytes() && len <= self.bytes() - at, "outside of slot {slot}");
        (self.pool_at + pixels_at(self.slots) + slot as u64 * self.stride) as usize + at
    }

    /// Pixels of a slot, for the producer that has it on loan, and that has not said that they are ready.
    pub(crate) fn writing(&self, slot: usize, at: usize, len: usize) -> Writing {
        // SAFETY: checked to be inside of the slot; the caller has it.
        unsafe { self.pool.write(self.pixels_at(slot, at, len), len) }
    }

    /// Pixels of a slot that are ready, for a consumer that holds it.
    pub(crate) fn reading(&self, slot: usize, at: usize, len: usize) -> Reading {
        // SAFETY: as above.
        unsafe { self.pool.read(self.pixels_at(slot, at, len), len) }
    }

    /// How many frames a consumer may hold.
    pub(crate) fn promised_to(&self, index: usize) -> u32 {
        // PROMISE: that it has subscribed, if it takes every frame.
        Promises::of(self.promises().load(Acquire)).to(index)
    }
}
