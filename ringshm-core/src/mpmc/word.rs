//! The words of an MPMC ring: what stands in a slot, and what a participant announces.

/// What a slot holds, as its word says: a position, and what has become of it.
///
/// | word | meaning | set by |
/// |---|---|---|
/// | `Free` p | the producer that claims p may write | the ring's creator; whoever released p − capacity |
/// | `Tombstone` p | p's producer died before it published; consumers step over it | whoever was held up, in place of `Free` p |
/// | `Published` p | the message of p is there, for the consumer that claims p | p's producer |
/// | `Redelivered` p, n | as `Published`, and n consumers died with it | the consumer that takes it over |
///
/// 56 bits are of the position: at 10^8 messages a second they come round after 22 years, and then only a word that has stood still
/// for all that time could be mistaken. 8 bits are the code: 0, 1, 2, and 3 and more for redelivered messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotWord(u64);

const CODE_BITS: u32 = 8;
const CODES: u64 = (1 << CODE_BITS) - 1;
const FREE: u64 = 0;
const TOMBSTONE: u64 = 1;
const PUBLISHED: u64 = 2;
const REDELIVERED: u64 = 3;

/// Where the position of a slot word stands, as seen from the position that somebody looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There, and free.
    Free,
    /// There, and to be stepped over.
    Tombstone,
    /// There, with a message that so many consumers have died with: 0 almost always.
    Message { deaths: u8 },
    /// An earlier lap: not yet released.
    Earlier,
    /// A later one: the looker's position is out of date.
    Later,
}

impl SlotWord {
    #[inline(always)]
    pub(crate) const fn of(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn free(position: u64) -> Self {
        Self(position << CODE_BITS | FREE)
    }

    #[inline(always)]
    pub(crate) const fn published(position: u64) -> Self {
        Self(position << CODE_BITS | PUBLISHED)
    }

    pub(crate) const fn tombstone(position: u64) -> Self {
        Self(position << CODE_BITS | TOMBSTONE)
    }

    /// The same message, taken over from a consumer that died with it. After 253 deaths the count stays where it can still change,
    /// so that two who take over at once never both succeed.
    pub(crate) const fn taken_over(self) -> Self {
        let code = self.0 & CODES;
        let next = if code == CODES { REDELIVERED } else { code + 1 };
        Self(self.0 & !CODES | next)
    }

    /// What the word says to somebody who looks for `position`.
    #[inline(always)]
    pub(crate) const fn at(self, position: u64) -> Found {
        let ahead = (self.0 & !CODES).wrapping_sub(position << CODE_BITS);
        if ahead > u64::MAX / 2 {
            return Found::Earlier;
        }
        if ahead > 0 {
            return Found::Later;
        }
        match self.0 & CODES {
            FREE => Found::Free,
            TOMBSTONE => Found::Tombstone,
            code => Found::Message { deaths: (code - PUBLISHED) as u8 },
        }
    }
}

/// What a participant announces in its lane's `intent`: the positions that it has claimed and not finished, or is about to claim. A
/// claim that is finished may stand there until the next one: nobody asks for its positions any more.
///
/// 58 bits are of the first position, 6 of the number of positions less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim(u64);

const COUNT_BITS: u32 = 6;
/// The most positions that one participant claims at once.
pub(crate) const MOST_CLAIMED: u64 = 1 << COUNT_BITS;

impl Claim {
    #[inline(always)]
    pub(crate) const fn new(first: u64, count: u64) -> Self {
        Self(first << COUNT_BITS | (count - 1))
    }

    /// No position that anybody asks for in a ring that begins at `origin`.
    pub(crate) const fn nothing(origin: u64) -> Self {
        Self::new(origin.wrapping_sub(1), 1)
    }

    pub(crate) const fn of(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    pub(crate) const fn count(self) -> u64 {
        (self.0 & (MOST_CLAIMED - 1)) + 1
    }

    pub(crate) const fn covers(self, position: u64) -> bool {
        (position << COUNT_BITS).wrapping_sub(self.0 & !(MOST_CLAIMED - 1)) >> COUNT_BITS < self.count()
    }

    /// Its positions among the `capacity` before `end`, which tell the bits that a claim does not hold.
    pub(crate) fn positions(self, end: u64, capacity: u64) -> impl Iterator<Item = u64> {
        let back = (end << COUNT_BITS).wrapping_sub(self.0 & !(MOST_CLAIMED - 1)) >> COUNT_BITS;
        let first = end.wrapping_sub(back);
        // The first ones may be a lap behind already; the last ones may not have been claimed.
        let indices = back.saturating_sub(capacity)..self.count().min(back);
        indices.map(move |index| first.wrapping_add(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGINS: [u64; 5] = [0, 1 << 32, 1 << 56, 1 << 58, u64::MAX - 2];

    #[test]
    fn a_slot_word_is_compared_with_a_position_across_every_wrap() {
        for origin in ORIGINS {
            for (position, expected) in [
                (origin.wrapping_add(4), Found::Earlier),
                (origin.wrapping_sub(4), Found::Later),
                (origin, Found::Message { deaths: 0 }),
            ] {
                assert_eq!(SlotWord::published(origin).at(position), expected, "{origin}");
            }
            assert_eq!(SlotWord::free(origin).at(origin), Found::Free);
            assert_eq!(SlotWord::tombstone(origin).at(origin), Found::Tombstone);
            assert_eq!(SlotWord::tombstone(origin).at(origin.wrapping_add(1)), Found::Earlier);
        }
    }

    #[test]
    fn a_message_that_is_taken_over_again_and_again_never_looks_like_the_time_before() {
        let mut word = SlotWord::published(7);
        for deaths in 1..1000_u64 {
            let next = word.taken_over();
            assert_ne!(next, word);
            assert!(matches!(next.at(7), Found::Message { deaths: 1.. }), "after {deaths}");
            word = next;
        }
    }

    #[test]
    fn a_claim_covers_its_positions_and_no_others() {
        for origin in ORIGINS {
            for count in [1, 2, 63, 64] {
                let claim = Claim::new(origin, count);
                assert_eq!(claim.count(), count);
                for offset in 0..130 {
                    let position = origin.wrapping_add(offset).wrapping_sub(32);
                    assert_eq!(claim.covers(position), (32..32 + count).contains(&offset), "{origin} {count} {offset}");
                }
                let end = origin.wrapping_add(100);
                let expected: Vec<u64> = (0..count).map(|index| origin.wrapping_add(index)).collect();
                assert_eq!(claim.positions(end, 128).collect::<Vec<_>>(), expected);
                assert_eq!(claim.positions(end, 32).count(), 0, "too long ago to be in the ring");
                let late: Vec<u64> = expected.iter().copied().skip(36).collect();
                assert_eq!(claim.positions(end, 64).collect::<Vec<_>>(), late, "half of it is a lap behind");
                assert_eq!(claim.positions(origin, 128).count(), 0, "not yet claimed by anybody");
            }
            assert!((0..200).all(|offset| !Claim::nothing(origin).covers(origin.wrapping_add(offset))));
            assert_eq!(Claim::nothing(origin).positions(origin, 1024).count(), 1);
        }
    }
}
