//! What a ring of which each message goes to one consumer promises, as a queue that does one thing at a time.

use crate::calls::{Deed, Event};
use std::collections::BTreeSet;
use todc_utils::specifications::Specification;

/// A bounded queue. A place is empty if its producer died before the message was there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    places: Vec<Option<u64>>,
    /// What dead consumers had in hand.
    orphans: BTreeSet<u64>,
}

/// The queue with room for so many messages.
pub(crate) struct Bounded<const CAPACITY: usize>;

impl<const CAPACITY: usize> Specification for Bounded<CAPACITY> {
    type State = Queue;
    type Operation = Event;

    fn init() -> Queue {
        Queue::default()
    }

    fn apply((_, deed): &Event, before: &Queue) -> (bool, Queue) {
        let mut queue = before.clone();
        let oldest = queue.places.iter().position(Option::is_some);
        let has_room = queue.places.len() < CAPACITY;
        // Whoever comes to the oldest message steps over the empty places before it.
        let mut take = || {
            let taken = oldest.and_then(|oldest| queue.places.drain(..=oldest).next_back().flatten());
            taken.map(|number| (number, queue.clone()))
        };
        match *deed {
            Deed::Sent(number) | Deed::DiedSending(number) => {
                queue.places.push(Some(number));
                (has_room, queue)
            }
            Deed::DiedClaiming => {
                queue.places.push(None);
                (has_room, queue)
            }
            Deed::Full => (!has_room, queue),
            Deed::Lagged(_) => (false, queue),
            Deed::Received(number) => match take() {
                Some((oldest, after)) => (oldest == number, after),
                None => (false, queue),
            },
            Deed::Redelivered(number) => (queue.orphans.remove(&number), queue),
            Deed::Empty => (oldest.is_none(), queue),
            Deed::Stalled => (true, queue),
            Deed::DiedReceiving => match take() {
                Some((_, after)) => (true, after),
                None => (false, queue),
            },
            Deed::DiedHolding => match take() {
                Some((number, mut after)) => {
                    after.orphans.insert(number);
                    (true, after)
                }
                None => (false, queue),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::{Call, is_linearizable};

    fn call(process: usize, begin: u64, end: u64, deed: Deed) -> Call {
        Call { process, begin, end, deed }
    }

    #[test]
    fn the_checker_knows_a_wrong_answer() {
        let sent = |begin, number| call(0, begin, begin + 1, Deed::Sent(number));
        let after = |deed| [sent(0, 1), sent(10, 2), call(1, 20, 21, deed)];
        for right in [Deed::Received(1), Deed::Full, Deed::Stalled, Deed::DiedHolding] {
            assert!(is_linearizable::<Bounded<2>>(&after(right)), "{right:?}");
        }
        for wrong in [Deed::Received(2), Deed::Empty, Deed::Sent(3), Deed::Redelivered(1), Deed::Received(7)] {
            assert!(!is_linearizable::<Bounded<2>>(&after(wrong)), "{wrong:?}");
        }
        assert!(!is_linearizable::<Bounded<3>>(&after(Deed::Full)), "there is room for one more");
        // Received before it was sent; twice; in the wrong order by one consumer.
        assert!(!is_linearizable::<Bounded<2>>(&[call(1, 0, 1, Deed::Received(1)), sent(5, 1)]));
        assert!(!is_linearizable::<Bounded<2>>(&[
            sent(0, 1),
            call(1, 5, 6, Deed::Received(1)),
            call(2, 5, 6, Deed::Received(1))
        ]));
        // At the same time, anything goes that could have been.
        assert!(is_linearizable::<Bounded<2>>(&[call(0, 0, 9, Deed::Sent(1)), call(1, 0, 9, Deed::Empty)]));
    }

    #[test]
    fn what_a_dead_consumer_held_comes_again_once() {
        let story = |last: &[Deed]| {
            let mut calls = vec![call(0, 0, 1, Deed::Sent(1)), call(1, 2, u64::MAX, Deed::DiedHolding)];
            calls.extend(
                last.iter()
                    .enumerate()
                    .map(|(index, deed)| call(2, 10 + 2 * index as u64, 11 + 2 * index as u64, *deed)),
            );
            calls
        };
        assert!(is_linearizable::<Bounded<2>>(&story(&[Deed::Redelivered(1), Deed::Empty])));
        assert!(!is_linearizable::<Bounded<2>>(&story(&[Deed::Redelivered(1), Deed::Redelivered(1)])));
        assert!(!is_linearizable::<Bounded<2>>(&story(&[Deed::Received(1), Deed::Redelivered(1)])));
    }
}
