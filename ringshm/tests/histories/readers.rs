//! What is promised to readers that see everything, or the newest: a feed that readers may fall behind, and a register.

use crate::calls::{Deed, Event};
use std::collections::BTreeMap;
use todc_utils::specifications::Specification;

/// A feed of messages that are numbered from 0, in the lower halves of their numbers, with lossy readers from the first message on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Positions {
    sent: u64,
    /// What each reader gets next.
    next: BTreeMap<usize, u64>,
}

/// The feed that holds at least so many messages; and a producer looks at the ring for each of them, or more often.
pub(crate) struct Feed<const CAPACITY: u64>;

impl<const CAPACITY: u64> Specification for Feed<CAPACITY> {
    type State = Positions;
    type Operation = Event;

    fn init() -> Positions {
        Positions::default()
    }

    fn apply((process, deed): &Event, before: &Positions) -> (bool, Positions) {
        let mut after = before.clone();
        let sent = before.sent;
        let next = after.next.entry(*process).or_default();
        let is_right = match *deed {
            Deed::Sent(number) | Deed::DiedSending(number) => {
                after.sent += 1;
                number & 0xffff_ffff == sent
            }
            Deed::Received(number) => {
                let is_next = number & 0xffff_ffff == *next && *next < sent;
                *next += 1;
                is_next
            }
            Deed::Empty => *next == sent,
            Deed::Lagged(missed) => {
                // Nobody is told so whose next message is certainly there: the producer may be in the middle of one more.
                let is_overtaken = sent + 1 > *next + CAPACITY;
                *next += missed;
                missed > 0 && is_overtaken && *next <= sent
            }
            // Nobody is in the producer's way, or in that of another reader.
            _ => false,
        };
        (is_right, after)
    }
}

/// What was sent, and how much of that each consumer has received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Taken {
    sent: Vec<u64>,
    by: [usize; 2],
}

/// Frames, so many at most, that each of two consumers (processes 0 and 1) takes in order, from the first one on.
pub(crate) struct Frames<const SLOTS: usize>;

impl<const SLOTS: usize> Specification for Frames<SLOTS> {
    type State = Taken;
    type Operation = Event;

    fn init() -> Taken {
        Taken::default()
    }

    fn apply((process, deed): &Event, before: &Taken) -> (bool, Taken) {
        let mut after = before.clone();
        let is_full = before.by.iter().any(|taken| taken + SLOTS == before.sent.len());
        let is_right = match (*deed, after.by.get_mut(*process)) {
            (Deed::Sent(number) | Deed::DiedSending(number), None) => {
                after.sent.push(number);
                !is_full
            }
            (Deed::Full, None) => is_full,
            (Deed::Received(number), Some(taken)) => {
                *taken += 1;
                before.sent.get(*taken - 1) == Some(&number)
            }
            (Deed::Empty, Some(taken)) => *taken == before.sent.len(),
            // Nobody is in another one's way but by what it holds, and nothing passes anybody by.
            _ => false,
        };
        (is_right, after)
    }
}

/// The newest value, and what each reader has seen of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Values {
    newest: Option<u64>,
    seen: BTreeMap<usize, u64>,
}

/// A register. Its readers are told of a value once.
pub(crate) struct Register;

impl Specification for Register {
    type State = Values;
    type Operation = Event;

    fn init() -> Values {
        Values::default()
    }

    fn apply((process, deed): &Event, before: &Values) -> (bool, Values) {
        let mut after = before.clone();
        let is_right = match *deed {
            Deed::Sent(number) | Deed::DiedSending(number) => {
                after.newest = Some(number);
                true
            }
            Deed::Received(number) => {
                let seen = after.seen.insert(*process, number);
                before.newest == Some(number) && seen != Some(number)
            }
            Deed::Empty => before.newest.as_ref() == before.seen.get(process),
            _ => false,
        };
        (is_right, after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::{Call, is_linearizable};

    /// What each process says, one after the other.
    fn story(events: &[Event]) -> Vec<Call> {
        let call = |(time, (process, deed)): (u64, &Event)| Call {
            process: *process,
            begin: 2 * time,
            end: 2 * time + 1,
            deed: *deed,
        };
        (0..).zip(events).map(call).collect()
    }

    #[test]
    fn the_checker_knows_a_wrong_lag() {
        let sent = |number| (0, Deed::Sent(number));
        let after = |deeds: &[Deed]| {
            let read = deeds.iter().map(|deed| (1, *deed));
            story(&(0..3).map(sent).chain(read).collect::<Vec<_>>())
        };
        for right in [
            &[Deed::Lagged(1), Deed::Received(1), Deed::Received(2), Deed::Empty][..],
            &[Deed::Lagged(3), Deed::Empty],
            &[Deed::Received(0), Deed::Received(1)],
        ] {
            assert!(is_linearizable::<Feed<2>>(&after(right)), "{right:?}");
        }
        for wrong in [
            &[Deed::Lagged(1), Deed::Received(2)][..],
            &[Deed::Lagged(2), Deed::Empty],
            &[Deed::Lagged(4)],
            &[Deed::Lagged(0)],
            &[Deed::Received(1)],
            &[Deed::Received(0), Deed::Received(0)],
            &[Deed::Received(0), Deed::Received(1), Deed::Lagged(1)],
            &[Deed::Empty],
            &[Deed::Full],
        ] {
            assert!(!is_linearizable::<Feed<2>>(&after(wrong)), "{wrong:?}");
        }
        assert!(!is_linearizable::<Feed<4>>(&after(&[Deed::Lagged(1)])), "it is still there");
    }

    #[test]
    fn the_checker_knows_a_frame_that_one_of_two_consumers_missed() {
        let sent = |count: u64| (0..count).map(|number| (2, Deed::Sent(number)));
        let after = |count, deeds: &[Event]| story(&sent(count).chain(deeds.iter().copied()).collect::<Vec<_>>());
        let received = |process, number| (process, Deed::Received(number));
        let full = (2, Deed::Full);
        for right in [
            &[full, received(0, 0), full, received(1, 0), (2, Deed::Sent(3)), full][..],
            &[received(0, 0), received(0, 1), received(0, 2), (0, Deed::Empty), full],
            // What was full the first time was another attempt.
            &[full, received(1, 0), received(0, 0), (2, Deed::Sent(9)), received(1, 1), received(1, 2), received(1, 9)],
        ] {
            assert!(is_linearizable::<Frames<3>>(&after(3, right)), "{right:?}");
        }
        for wrong in [
            &[received(0, 1)][..],
            &[received(0, 0), received(0, 0)],
            &[(0, Deed::Empty)],
            &[(2, Deed::Sent(3))],
            &[received(0, 0), (2, Deed::Sent(3))],
            &[received(0, 0), received(1, 0), full],
            &[(0, Deed::Lagged(1))],
        ] {
            assert!(!is_linearizable::<Frames<3>>(&after(3, wrong)), "{wrong:?}");
        }
    }

    #[test]
    fn the_checker_knows_a_value_that_is_not_the_newest() {
        let written = [(0, Deed::Sent(7)), (0, Deed::Sent(8))];
        let after = |deeds: &[Event]| story(&[&written, deeds].concat());
        let right = [(1, Deed::Received(8)), (1, Deed::Empty), (2, Deed::Received(8))];
        assert!(is_linearizable::<Register>(&after(&right)));
        for wrong in [
            &[(1, Deed::Received(7))][..],
            &[(1, Deed::Empty)],
            &[(1, Deed::Received(8)), (1, Deed::Received(8))],
            &[(1, Deed::Received(9))],
        ] {
            assert!(!is_linearizable::<Register>(&after(wrong)), "{wrong:?}");
        }
    }
}
