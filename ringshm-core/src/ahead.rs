//! Asking for cache lines before they are needed.
//!
//! A slot that the consumer read in the last lap is still in its core's cache, and a store to it waits until the line has
//! travelled. Stores become visible in their order, so the cursor, and all later messages, wait behind it: without help one line
//! travels at a time. A producer that asks for the lines of the free slots in front of it has many of them under way at once;
//! and so has a consumer that asks for the published slots in front of it.
//!
//! Only lines that belong to this side alone are asked for: a line that the peer still works on would be taken away from under
//! it. (Where slots are not cut at lines, the ones at the edges are shared.)

/// Bytes that are asked for ahead: 16 cache lines, about as many as a core can wait for at a time. 8 to 48 lines measured
/// alike.
const REACH: u64 = 1024;

/// Bytes in a cache line. On processors whose lines are longer, some are asked for twice.
pub(crate) const LINE: u64 = 64;

/// How far lines were asked for.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Positions between two requests: a power of two.
    step: u64,
    /// Positions that are asked for ahead, at most.
    reach: u64,
    /// The next position to be asked for.
    next: u64,
}

impl Ahead {
    /// For a ring whose positions are `stride` bytes apart.
    pub(crate) fn new(stride: u64) -> Self {
        let step = 1 << (LINE / stride).max(1).ilog2();
        // A message that is longer than the reach is copied by instructions that fetch for themselves.
        Self { step, reach: REACH / stride, next: 0 }
    }

    /// Calls `request` with each position, a step after the other, that came into reach of `here`. The next `owned` positions are
    /// this side's.
    #[inline(always)]
    pub(crate) fn look(&mut self, here: u64, owned: u64, request: impl Fn(u64)) {
        let wanted = owned.min(self.reach);
        let mut done = self.next.wrapping_sub(here);
        if done > self.reach {
            // Fell behind while there was nothing to ask for. The line that `here` is in the middle of is not whole any more.
            done = here.wrapping_neg() & (self.step - 1);
        }
        while done + self.step <= wanted {
            request(here.wrapping_add(done));
            done += self.step;
        }
        self.next = here.wrapping_add(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// What is asked for at `here` when `owned` positions are.
    fn asked(ahead: &mut Ahead, here: u64, owned: u64) -> Vec<u64> {
        let asked = RefCell::new(Vec::new());
        ahead.look(here, owned, |position| asked.borrow_mut().push(position));
        asked.into_inner()
    }

    #[test]
    fn every_line_in_reach_is_asked_for_once() {
        let mut ahead = Ahead::new(8);
        assert_eq!(asked(&mut ahead, 0, 1000), (0..16).map(|line| line * 8).collect::<Vec<_>>());
        for here in 1..8 {
            assert_eq!(asked(&mut ahead, here, 1000), []);
        }
        assert_eq!(asked(&mut ahead, 8, 1000), [128]);
    }

    #[test]
    fn a_line_of_which_the_peer_has_a_part_is_not_asked_for() {
        let mut ahead = Ahead::new(8);
        assert_eq!(asked(&mut ahead, 0, 15), [0]);
        assert_eq!(asked(&mut ahead, 0, 16), [8]);
        let mut ahead = Ahead::new(256);
        assert_eq!(asked(&mut ahead, 0, 0), []);
        assert_eq!(asked(&mut ahead, 0, 2), [0, 1]);
    }

    #[test]
    fn a_line_that_was_begun_is_not_asked_for() {
        let mut ahead = Ahead::new(8);
        assert_eq!(asked(&mut ahead, 200, 0), []);
        assert_eq!(asked(&mut ahead, 403, 20), [408]);
    }

    #[test]
    fn what_was_passed_is_not_asked_for_and_the_end_of_the_numbers_is_no_end() {
        let mut ahead = Ahead::new(64);
        let last = u64::MAX - 1;
        assert_eq!(asked(&mut ahead, last - 100, 0), []);
        assert_eq!(asked(&mut ahead, last, 3), [last, u64::MAX, 0]);
        assert_eq!(asked(&mut ahead, 100, 1), [100]);
    }

    #[test]
    fn a_message_longer_than_the_reach_is_not_asked_for() {
        assert_eq!(asked(&mut Ahead::new(4096), 0, 100), []);
        assert_eq!(asked(&mut Ahead::new(1024), 0, 100), [0]);
    }
}
