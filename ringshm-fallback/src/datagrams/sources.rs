//! Whose packets have come, and which is next of each: so what got lost is counted.

use std::collections::HashMap;

/// The most senders that are remembered. One more, and one that has been silent for long is forgotten: what it sends then begins anew, and
/// what got lost of it in between is not counted. So whoever forges senders costs this much memory and no more.
const MOST: usize = 1024;
/// By how much a number may be behind the newest for its packet to be late or there twice. One that is further behind begins a new stream.
const LATE: u64 = 1024;

/// What a packet's number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one, or the first.
    Next,
    /// So many before it did not come, and count as lost from now on. Asked again, it is the next.
    After(u64),
    /// It has come, or counts as lost.
    Late,
}

/// Whether a network lies between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// None: what is sent arrives once, and in that order.
    Straight,
    /// Packets may overtake one another and come twice.
    Winding,
}

#[derive(Debug)]
struct Source {
    key: Box<[u8]>,
    /// The number of its next packet.
    next: u64,
    /// Whether something came of it since the hand passed; not of its first packet: so whoever sends again is remembered longer than whoever sent once.
    is_fresh: bool,
}

/// All senders of whom packets have come.
#[derive(Debug)]
pub(crate) struct Sources {
    way: Way,
    all: Vec<Source>,
    index: HashMap<Box<[u8]>, usize>,
    /// Of whom the last packet was.
    last: usize,
    /// Where to look next for one to forget.
    hand: usize,
}

impl Sources {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, all: Vec::new(), index: HashMap::new(), last: 0, hand: 0 }
    }

    /// The number of the next packet of whoever sent the last.
    pub(crate) fn position(&self) -> Option<u64> {
        self.all.get(self.last).map(|source| source.next)
    }

    /// Judges a packet by its number and its sender's key.
    pub(crate) fn judge(&mut self, key: &[u8], number: u64) -> Verdict {
        if self.all.get(self.last).is_none_or(|source| *source.key != *key) {
            match self.index.get(key) {
                Some(at) => self.last = *at,
                None => return self.welcome(key, number),
            }
        }
        let source = &mut self.all[self.last];
        source.is_fresh = true;
        if number > source.next {
            let missed = number - source.next;
            source.next = number;
            return Verdict::After(missed);
        }
        if number < source.next && self.way == Way::Winding && source.next - number <= LATE {
            return Verdict::Late;
        }
        source.next = number.saturating_add(1);
        Verdict::Next
    }

    /// The first packet of somebody.
    #[cold]
    fn welcome(&mut self, key: &[u8], number: u64) -> Verdict {
        let source = Source { key: key.into(), next: number.saturating_add(1), is_fresh: false };
        if self.all.len() < MOST {
            self.last = self.all.len();
            self.all.push(source);
        } else {
            // Each is passed once before it is forgotten, if it has sent anything since.
            while core::mem::take(&mut self.all[self.hand].is_fresh) {
                self.hand = (self.hand + 1) % MOST;
            }
            self.last = self.hand;
            self.hand = (self.hand + 1) % MOST;
            let forgotten = core::mem::replace(&mut self.all[self.last], source);
            self.index.remove(&forgotten.key);
        }
        self.index.insert(key.into(), self.last);
        Verdict::Next
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{After, Late, Next};
    use super::*;

    #[test]
    fn what_is_next_and_what_is_missing_is_known_of_each_sender() {
        let mut sources = Sources::new(Way::Winding);
        assert_eq!(sources.position(), None);
        for (key, number, verdict, position) in [
            (b"a", 7, Next, 8),
            (b"b", 0, Next, 1),
            (b"a", 8, Next, 9),
            (b"b", 3, After(2), 3),
            (b"b", 3, Next, 4),
            (b"b", 2, Late, 4),
            (b"b", 3, Late, 4),
            (b"a", 9, Next, 10),
            (b"a", 1 << 40, After((1 << 40) - 10), 1 << 40),
            (b"a", 0, Next, 1),
            (b"a", u64::MAX - 1, After(u64::MAX - 2), u64::MAX - 1),
            (b"a", u64::MAX - 1, Next, u64::MAX),
        ] {
            assert_eq!(sources.judge(key, number), verdict, "{number}");
            assert_eq!(sources.position(), Some(position));
        }
    }

    #[test]
    fn nothing_overtakes_on_a_straight_way() {
        let mut sources = Sources::new(Way::Straight);
        assert_eq!(sources.judge(b"a", 5), Next);
        assert_eq!(sources.judge(b"a", 4), Next);
        assert_eq!(sources.judge(b"a", 6), After(1));
    }

    #[test]
    fn forged_senders_cost_bounded_memory_and_the_busy_are_remembered() {
        let mut sources = Sources::new(Way::Winding);
        assert_eq!(sources.judge(b"busy", 0), Next);
        for n in 1..10 * MOST as u64 {
            // Every other one is missing, which is only known of whom nobody forgot.
            assert_eq!(sources.judge(b"busy", 2 * n), After(1));
            assert_eq!(sources.judge(b"busy", 2 * n), Next);
            assert_eq!(sources.judge(&n.to_le_bytes(), 0), Next);
        }
        assert_eq!((sources.all.len(), sources.index.len()), (MOST, MOST));
        for (at, source) in sources.all.iter().enumerate() {
            assert_eq!(sources.index[&source.key], at);
        }
    }
}
