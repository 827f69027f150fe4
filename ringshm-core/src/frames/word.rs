//! The words of a frame ring: what a slot holds and for whom, where a frame's slot is, and how much each consumer may hold.

/// The most consumers of a frame ring: each has a bit in every slot's word.
pub(crate) const MAX_CONSUMERS: u32 = 16;
/// The most frames that one consumer may hold: what fits into its part of [`Promises`].
pub(crate) const MOST_HELD: u32 = (1 << PROMISE_BITS) - 1;

/// What a slot holds, as its word says: a frame's sequence number, and who holds it.
///
/// | word | meaning | set by |
/// |---|---|---|
/// | `EMPTY` | no frame: never written, being written, or given up | creation; the producer, from `frame(s, nobody)` by compare-and-swap |
/// | `frame(s, lanes)` | frame s, held by these lanes | the producer, when it publishes s, for all that take every frame |
/// | `frame(s, lanes + own)` | the same | who takes the newest, from `frame(s, lanes)` by compare-and-swap |
/// | `frame(s, lanes - own)` | the same | a lane that releases it, or whoever has that lane's lock because its owner is gone |
///
/// So one word says whether a slot may be written, and what a compare-and-swap expects names the frame: a consumer that is late for a frame
/// fails to hold it, and never holds another one by mistake.
///
/// 16 bits are for lanes, one says `EMPTY`, 47 are of the sequence number: at 1000 frames a second they come round after 4000 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotWord(u64);

const EMPTY: u64 = 1 << MAX_CONSUMERS;
const SEQUENCE_AT: u32 = MAX_CONSUMERS + 1;
const LANES: u64 = EMPTY - 1;
/// Half the sequence numbers that a word tells apart.
const HALF: u64 = 1 << (u64::BITS - SEQUENCE_AT - 1);

impl SlotWord {
    pub(crate) const EMPTY: Self = Self(EMPTY);

    pub(crate) const fn frame(sequence: u64, lanes: u64) -> Self {
        Self(sequence << SEQUENCE_AT | (lanes & LANES))
    }

    pub(crate) const fn of(word: u64) -> Self {
        Self(word)
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 & EMPTY != 0
    }

    /// Whether the slot holds the frame `sequence`.
    pub(crate) const fn holds(self, sequence: u64) -> bool {
        self.0 & !LANES == sequence << SEQUENCE_AT
    }

    /// Whether it holds a frame that was published before `sequence` was, as far as the word tells: half its range.
    pub(crate) const fn is_before(self, sequence: u64) -> bool {
        matches!(self.age(sequence), 1..=HALF)
    }

    /// The lanes that hold it.
    pub(crate) const fn lanes(self) -> u64 {
        self.0 & LANES
    }

    /// The same, held by `lanes` too.
    pub(crate) const fn and(self, lanes: u64) -> Self {
        Self(self.0 | (lanes & LANES))
    }

    /// How many frames before `sequence` this one is, as far as the word tells. Of an empty slot, more than any frame.
    pub(crate) const fn age(self, sequence: u64) -> u64 {
        if self.is_empty() {
            return u64::MAX;
        }
        (sequence << SEQUENCE_AT).wrapping_sub(self.0 & !LANES) >> SEQUENCE_AT
    }
}

/// Where a frame is: its slot, and enough of its sequence number to know it from the one that had this place in the order before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(u64);

const SLOT_BITS: u32 = 16;

impl Entry {
    pub(crate) const fn new(sequence: u64, slot: usize) -> Self {
        Self(sequence << SLOT_BITS | slot as u64)
    }

    pub(crate) const fn of(word: u64) -> Self {
        Self(word)
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// The slot of the frame `sequence`, if this is its entry.
    pub(crate) const fn slot_of(self, sequence: u64) -> Option<usize> {
        if self.0 >> SLOT_BITS == sequence << SLOT_BITS >> SLOT_BITS {
            Some((self.0 & ((1 << SLOT_BITS) - 1)) as usize)
        } else {
            None
        }
    }
}

/// How many frames each consumer may hold at once, four bits for each lane: in one word, so that two that join at once cannot both have the
/// last slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promises(u64);

const PROMISE_BITS: u32 = 64 / MAX_CONSUMERS;

impl Promises {
    pub(crate) const fn of(word: u64) -> Self {
        Self(word)
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// The same, with `most` for the consumer `index`.
    pub(crate) const fn with(self, index: usize, most: u32) -> Self {
        let shift = index as u32 * PROMISE_BITS;
        Self(self.0 & !((MOST_HELD as u64) << shift) | (most as u64) << shift)
    }

    /// How many are promised to `index`.
    pub(crate) const fn to(self, index: usize) -> u32 {
        (self.0 >> (index as u32 * PROMISE_BITS)) as u32 & MOST_HELD
    }

    /// How many are promised to all.
    pub(crate) fn sum(self) -> u32 {
        (0..MAX_CONSUMERS as usize).map(|index| self.to(index)).sum()
    }
}

/// How far a frame has come, in a word of its own that only its producer writes.
///
/// | word | meaning |
/// |---|---|
/// | n | the first n rows are there |
/// | n, `COMPLETE` | the frame is finished |
/// | n, `ABANDONED` | its producer gave it up, or died: nothing will follow the first n rows |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress(u64);

const COMPLETE: u64 = 1 << 32;
const ABANDONED: u64 = 1 << 33;

impl Progress {
    pub(crate) const fn rows(rows: u32) -> Self {
        Self(rows as u64)
    }

    pub(crate) const fn complete(rows: u32) -> Self {
        Self(rows as u64 | COMPLETE)
    }

    /// The same, with nothing to follow.
    pub(crate) const fn abandoned(self) -> Self {
        Self(self.0 | ABANDONED)
    }

    pub(crate) const fn of(word: u64) -> Self {
        Self(word)
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    pub(crate) const fn ready(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn is_complete(self) -> bool {
        self.0 & COMPLETE != 0
    }

    pub(crate) const fn is_abandoned(self) -> bool {
        self.0 & (COMPLETE | ABANDONED) == ABANDONED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_word_knows_its_frame_and_its_holders() {
        for sequence in [0, 7, 1 << 32, (1 << 47) - 1, u64::MAX] {
            let word = SlotWord::frame(sequence, 0b101);
            assert!(word.holds(sequence) && !word.holds(sequence.wrapping_add(1)) && !word.is_empty());
            assert_eq!(word.lanes(), 0b101);
            assert_eq!(word.and(2).lanes(), 0b111);
            assert!(word.and(u64::MAX).holds(sequence));
            assert_eq!(word.age(sequence.wrapping_add(3)), 3);
            assert_eq!(SlotWord::of(word.word()), word);
            let is_before = |distance| word.is_before(sequence.wrapping_add(distance));
            assert!([1, 2, 1000, HALF].map(is_before).iter().all(|is| *is));
            assert!(![0, u64::MAX, u64::MAX - 1000, HALF + 1].map(is_before).iter().any(|is| *is));
        }
        assert!(SlotWord::EMPTY.is_empty() && !SlotWord::EMPTY.holds(0));
        assert_eq!(SlotWord::EMPTY.age(7), u64::MAX);
        assert!(!SlotWord::EMPTY.is_before(7));
    }

    #[test]
    fn an_entry_is_that_of_one_frame() {
        for sequence in [0, 1 << 32, u64::MAX] {
            let entry = Entry::of(Entry::new(sequence, 9).word());
            assert_eq!(entry.slot_of(sequence), Some(9));
            assert_eq!(entry.slot_of(sequence.wrapping_add(8)), None);
        }
    }

    #[test]
    fn promises_are_kept_apart() {
        let promises = Promises::of(0).with(0, 2).with(15, MOST_HELD).with(0, 3);
        assert_eq!((promises.to(0), promises.to(1), promises.to(15), promises.sum()), (3, 0, 15, 18));
        assert_eq!(promises.with(15, 0).sum(), 3);
    }

    #[test]
    fn progress_ends_in_one_of_two_ways() {
        assert!(Progress::complete(4).is_complete() && !Progress::complete(4).abandoned().is_abandoned());
        let given_up = Progress::rows(3).abandoned();
        assert!(given_up.is_abandoned() && !given_up.is_complete());
        assert_eq!(Progress::of(given_up.word()).ready(), 3);
    }
}
