//! Calls and their answers, and the search for an order in which one thing at a time would have said the same.

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
    /// So many messages had passed this reader by.
    Lagged(u64),
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

/// What happens, and in which process.
pub(crate) type Event = (usize, Deed);

/// When a call began and ended, in nanoseconds, and who made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) process: usize,
    pub(crate) begin: u64,
    /// The end of time, if the caller died.
    pub(crate) end: u64,
    pub(crate) deed: Deed,
}

/// Whether `S` could have given these answers, in an order that does not contradict the clock.
pub(crate) fn is_linearizable<S: Specification<Operation = Event>>(calls: &[Call]) -> bool {
    let mut actions: Vec<(u64, bool, usize, Action<Event>)> = Vec::new();
    for call in calls {
        // At the same nanosecond, calls overlap: ends come after beginnings.
        actions.push((call.begin, false, call.process, Action::Call((call.process, call.deed))));
        actions.push((call.end, true, call.process, Action::Response((call.process, call.deed))));
    }
    actions.sort_by_key(|(time, is_end, ..)| (*time, *is_end));
    let actions = actions.into_iter().map(|(_, _, process, action)| (process, action)).collect();
    WGLChecker::<S>::is_linearizable(History::from_actions(actions))
}
