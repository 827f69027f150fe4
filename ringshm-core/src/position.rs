//! Positions on the endless line of all units ever sent.
//!
//! A position counts units (slots, or bytes) from the ring's origin. It is a `u64` that is never reduced: the place in
//! memory is `position & mask`. At 10^9 units a second it would wrap after 584 years; it may, all arithmetic is circular.

/// Whether `position` lies in `first..=last`, going forward from `first`.
///
/// This is the check that a cursor written by another process must pass: it has not gone back, and not beyond what
/// the ring can hold.
#[inline(always)]
pub(crate) fn is_within(first: u64, position: u64, last: u64) -> bool {
    position.wrapping_sub(first) <= last.wrapping_sub(first)
}

/// Whether `position` is a multiple of `unit`, a power of two: the other check.
#[inline(always)]
pub(crate) fn is_whole(position: u64, unit: u64) -> bool {
    position & (unit - 1) == 0
}

#[cfg(test)]
mod tests {
    use super::{is_whole, is_within};

    #[test]
    fn every_position_is_whole_in_ones_and_every_eighth_in_eights() {
        assert!((0..20).all(|position| is_whole(position, 1)));
        assert!((0..20).all(|position| is_whole(position, 8) == [0, 8, 16].contains(&position)));
    }

    #[test]
    fn a_position_is_within_its_window_and_not_outside_even_across_the_wrap() {
        for origin in [0, 1 << 32, u64::MAX - 3] {
            let at = |offset: u64| origin.wrapping_add(offset);
            for position in 0..=8 {
                assert_eq!(is_within(at(2), at(position), at(6)), (2..=6).contains(&position), "{origin} + {position}");
            }
            assert!(is_within(at(4), at(4), at(4)));
            assert!(!is_within(at(4), at(3), at(4)));
        }
    }
}
