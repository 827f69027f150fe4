//! Where an MPMC ring's words lie, and what stands there before anybody takes part, and afterwards.
//!
//! # Safety
//! A slot's word lies at the start of its slot, and is only ever used as a word.

#![allow(unsafe_code, reason = "words inside of the data area")]

use super::SlotWord;
#[cfg(not(loom))]
use super::{Claim, Found};
#[cfg(not(loom))]
use crate::lanes::Role;
use crate::layout::Kind;
use crate::memory::Memory;
use ringshm_sync::atomic::AtomicU64;
use ringshm_sync::atomic::Ordering::Relaxed;

/// Bytes from the start of a slot to its message.
pub(crate) const fn message_at(kind: Kind, align: u64) -> u64 {
    let word = size_of::<u64>() as u64;
    match kind {
        // The message's length is in between.
        Kind::MpmcBytes => 2 * word,
        _ if align > word => align,
        _ => word,
    }
}

/// Bytes from one slot to the next. `None` if there are too many.
pub(crate) fn stride(kind: Kind, message: u64, align: u64) -> Option<u64> {
    let unit = align.max(size_of::<u64>() as u64);
    message_at(kind, align).checked_add(message)?.checked_next_multiple_of(unit)
}

/// Before anybody else sees the memory: every slot free for the position that comes to it first.
pub(crate) fn initialise(memory: &Memory) {
    let geometry = memory.geometry();
    // Relaxed: nobody else sees the memory yet.
    memory.control().tail.store(geometry.origin, Relaxed);
    // Relaxed: as above.
    memory.control().head.store(geometry.origin, Relaxed);
    for index in 0..geometry.capacity {
        let position = geometry.origin.wrapping_add(index);
        // Relaxed: as above.
        word_in(memory, position).store(SlotWord::free(position).word(), Relaxed);
    }
}

pub(super) fn word_in(memory: &Memory, position: u64) -> &AtomicU64 {
    let geometry = memory.geometry();
    let at = (position & (geometry.capacity - 1)) * geometry.stride;
    // SAFETY: masked, so inside of the data area; the stride is a multiple of eight.
    unsafe { memory.data().word(at as usize) }
}

/// Whether nothing is left to receive, in a ring in which nobody takes part any more.
#[cfg(not(loom))]
pub(crate) fn is_received(memory: &Memory) -> bool {
    let (geometry, control) = (memory.geometry(), memory.control());
    // Relaxed: final, and visible, because all lanes were seen to be given up or dead.
    let (head, tail) = (control.head.load(Relaxed), control.tail.load(Relaxed));
    let holds_message = |position: u64| {
        // Relaxed: as above.
        let word = SlotWord::of(word_in(memory, position).load(Relaxed));
        matches!(word.at(position), Found::Message { .. })
    };
    let queued = tail.wrapping_sub(head).min(geometry.capacity);
    let is_held = |lane: usize| {
        // Relaxed: as above.
        let claim = Claim::of(memory.lane(lane).intent.load(Relaxed));
        claim.positions(head, geometry.capacity).any(holds_message)
    };
    !(0..queued).any(|offset| holds_message(head.wrapping_add(offset))) && !memory.lanes_of(Role::Consumer).any(is_held)
}
