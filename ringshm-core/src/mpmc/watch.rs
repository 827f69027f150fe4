//! What participants of an MPMC ring have in their hands, for tools that look at it from outside.

use super::shape::word_in;
use super::word::Found;
use super::{Claim, SlotWord};
use crate::lanes::Role;
use crate::memory::Memory;
use ringshm_sync::atomic::Ordering::Relaxed;

/// The positions that a lane announces, that were claimed, and that are not finished: the first of them, and how many there are.
///
/// A loser of a race announces what somebody else holds, until its next claim; then both are shown to hold it.
pub(crate) fn unfinished(memory: &Memory, role: Role, lane: usize) -> Option<(u64, u64)> {
    let control = memory.control();
    // Relaxed: for people. Before the end, so that what it claimed is before the end.
    let claim = Claim::of(memory.lane(lane).intent.load(Relaxed));
    let end = match role {
        // Relaxed: for people.
        Role::Producer => control.tail.load(Relaxed),
        // Relaxed: for people.
        Role::Consumer => control.head.load(Relaxed),
    };
    let is_held = |position: &u64| {
        // Relaxed: for people.
        let found = SlotWord::of(word_in(memory, *position).load(Relaxed)).at(*position);
        match role {
            Role::Producer => found == Found::Free,
            Role::Consumer => matches!(found, Found::Message { .. }),
        }
    };
    let mut held = claim.positions(end, memory.geometry().capacity).filter(is_held);
    Some((held.next()?, 1 + held.count() as u64))
}
