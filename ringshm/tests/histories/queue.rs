//! What a ring promises, as a queue that does one thing at a time; and the histories that are compared with it.

use std::collections::BTreeSet;
use todc_utils::specifications::Specification;
use todc_utils::{Action, History, WGLChecker};

/// A call and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Sent(u64),
    Full,
    Received(u64),
    /// Received, after a consumer had died with it.
    Redelivered(u64),
    Empty,
    /// Nothing was said but that somebody else is in the way: it may happen at any time, and changes nothing.
    Stalled,
    /// The caller died: the message was sent.
    DiedSending(u64),
    /// The caller died: its place in the queue is empty.
    DiedClaiming,
    /// The caller died: it had the oldest message, and had not released it.
    DiedHolding,
    /// The caller died: it had released the oldest message.
    DiedReceiving,
}

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
    type Operation = Deed;

    fn init() -> Queue {
        Queue::default()
    }

    fn apply(deed: &Deed, before: &Queue) -> (bool, Queue) {
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

/// When a call began and ended, in nanoseconds, and who made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) process: usize,
    pub(crate) begin: u64,
    /// The end of time, if the caller died.
    pub(crate) end: u64,
    pub(crate) deed: Deed,
}

/// Whether a queue could have given these answers, in an order that does not contradict the clock.
pub(crate) fn is_linearizable<const CAPACITY: usize>(calls: &[Call]) -> bool {
    let mut actions: Vec<(u64, bool, usize, Action<Deed>)> = Vec::new();
    for call in calls {
        // At the same nanosecond, calls overlap: ends come after beginnings.
        actions.push((call.begin, false, call.process, Action::Call(call.deed)));
        actions.push((call.end, true, call.process, Action::Response(call.deed)));
    }
    actions.sort_by_key(|(time, is_end, ..)| (*time, *is_end));
    let actions = actions.into_iter().map(|(_, _, process, action)| (process, action)).collect();
    WGLChecker::<Bounded<CAPACITY>>::is_linearizable(History::from_actions(actions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(process: usize, begin: u64, end: u64, deed: Deed) -> Call {
        Call { process, begin, end, deed }
    }

    #[test]
    fn the_checker_knows_a_wrong_answer() {
        let sent = |begin, number| call(0, begin, begin + 1, Deed::Sent(number));
        let after = |deed| [sent(0, 1), sent(10, 2), call(1, 20, 21, deed)];
        for right in [Deed::Received(1), Deed::Full, Deed::Stalled, Deed::DiedHolding] {
            assert!(is_linearizable::<2>(&after(right)), "{right:?}");
        }
        for wrong in [Deed::Received(2), Deed::Empty, Deed::Sent(3), Deed::Redelivered(1), Deed::Received(7)] {
            assert!(!is_linearizable::<2>(&after(wrong)), "{wrong:?}");
        }
        assert!(!is_linearizable::<3>(&after(Deed::Full)), "there is room for one more");
        // Received before it was sent; twice; in the wrong order by one consumer.
        assert!(!is_linearizable::<2>(&[call(1, 0, 1, Deed::Received(1)), sent(5, 1)]));
        assert!(!is_linearizable::<2>(&[
            sent(0, 1),
            call(1, 5, 6, Deed::Received(1)),
            call(2, 5, 6, Deed::Received(1))
        ]));
        // At the same time, anything goes that could have been.
        assert!(is_linearizable::<2>(&[call(0, 0, 9, Deed::Sent(1)), call(1, 0, 9, Deed::Empty)]));
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
        assert!(is_linearizable::<2>(&story(&[Deed::Redelivered(1), Deed::Empty])));
        assert!(!is_linearizable::<2>(&story(&[Deed::Redelivered(1), Deed::Redelivered(1)])));
        assert!(!is_linearizable::<2>(&story(&[Deed::Received(1), Deed::Redelivered(1)])));
    }
}
