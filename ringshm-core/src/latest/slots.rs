//! The slots of a register: a stamp, and the value behind it.
//!
//! # Safety
//! Slots are moved as words, from and to private memory. `T` is valid whatever bytes a slot holds. A stamp lies at the start of its slot, and is
//! only ever used as a word.

#![allow(unsafe_code, reason = "stamps inside of the data area, and values copied between slots and private memory")]

use super::SLOTS;
use crate::ahead::LINE;
use crate::lanes::Role;
use crate::layout::{Geometry, Kind, MAX_PAYLOAD_ALIGN};
use crate::memory::Memory;
use crate::slots::Payload;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use ringshm_sync::atomic::AtomicU64;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::cell::Bytes;

/// What a slot's stamp says: the position of its value, and in the lowest bit whether that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) u64);

const WRITING: u64 = 1;

/// What a stamp means to somebody who looks for the value of a position, or a later one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Neither has been begun.
    Older,
    /// The value of this position.
    Whole(u64),
    /// The value of this position is being written.
    Writing(u64),
}

impl Stamp {
    pub(super) const fn whole(position: u64) -> Self {
        Self(position << 1)
    }

    pub(super) const fn writing(position: u64) -> Self {
        Self(position << 1 | WRITING)
    }

    #[inline(always)]
    pub(super) const fn at(self, position: u64) -> Found {
        let ahead = (self.0 & !WRITING).wrapping_sub(position << 1);
        let found = position.wrapping_add(ahead >> 1);
        match self.0 & WRITING {
            _ if ahead > u64::MAX / 2 => Found::Older,
            WRITING => Found::Writing(found),
            _ => Found::Whole(found),
        }
    }
}

/// Bytes from the start of a slot to its value.
const fn value_at(align: u64) -> u64 {
    let word = size_of::<Stamp>() as u64;
    if align > word { align } else { word }
}

/// Bytes from one slot to the next. No line holds two of them: the writer is in the next one while readers are in the last.
pub(crate) const fn stride(value: u64, align: u64) -> u64 {
    (value_at(align) + value).next_multiple_of(LINE)
}

fn stamp_in(memory: &Memory, position: u64) -> &AtomicU64 {
    let geometry = memory.geometry();
    let at = position % geometry.capacity * geometry.stride;
    // SAFETY: one of the slots; the stride is a multiple of eight.
    unsafe { memory.data().word(at as usize) }
}

/// Before anybody else sees the memory: values that are older than any.
pub(crate) fn initialise(memory: &Memory) {
    let Geometry { origin, capacity, .. } = *memory.geometry();
    for index in 0..capacity {
        let position = origin.wrapping_add(index);
        // Relaxed: nobody else sees the memory yet.
        stamp_in(memory, position).store(Stamp::whole(position.wrapping_sub(capacity)).0, Relaxed);
    }
}

/// How far a writer had come that is not running, from what it left in its lane: the position of the next value, and whether it had
/// begun that. `None` if that cannot be.
pub(crate) fn left_by_writer(memory: &Memory) -> Option<(u64, bool)> {
    let lane = memory.lane(memory.lanes_of(Role::Producer).start);
    // Relaxed: the predecessor's, whose lock was taken over (TAKEOVER), or a number for people.
    let next = lane.cursor.load(Relaxed);
    // Relaxed: as above.
    match Stamp(stamp_in(memory, next).load(Relaxed)).at(next) {
        Found::Older => Some((next, false)),
        Found::Writing(position) if position == next => Some((next, true)),
        // It had finished the value, and not said so in its lane.
        Found::Whole(position) if position == next => Some((next.wrapping_add(1), false)),
        _ => None,
    }
}

/// Values written since the register was made: for people, and not quite new where the writer is running.
#[cfg(not(loom))]
pub(crate) fn written(memory: &Memory) -> u64 {
    // Relaxed: a number for people.
    let cursor = || memory.lane(memory.lanes_of(Role::Producer).start).cursor.load(Relaxed);
    let next = left_by_writer(memory).map_or_else(cursor, |(next, _)| next);
    next.wrapping_sub(memory.geometry().origin)
}

/// The slots of a register, by position.
#[derive(Clone, Debug)]
pub(super) struct Slots<T> {
    data: Bytes,
    _type: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Slots<T> {
    const AT: usize = {
        assert!(
            size_of::<T>() > 0 && align_of::<T>() <= MAX_PAYLOAD_ALIGN,
            "a payload has at least one byte, and an alignment of at most 128"
        );
        value_at(align_of::<T>() as u64) as usize
    };
    const STRIDE: usize = stride(size_of::<T>() as u64, align_of::<T>() as u64) as usize;

    pub(super) fn new(memory: &Memory) -> Self {
        let Geometry { kind, stride, capacity, .. } = *memory.geometry();
        let fits = kind == Kind::Latest && stride == Self::STRIDE as u64 && capacity == SLOTS;
        assert!(fits, "this memory is no register of this type");
        Self { data: memory.data().clone(), _type: PhantomData }
    }

    #[inline(always)]
    fn offset(position: u64) -> usize {
        (position % SLOTS) as usize * Self::STRIDE
    }

    #[inline(always)]
    pub(super) fn stamp(&self, position: u64) -> &AtomicU64 {
        // SAFETY: one of the slots; the stride is a multiple of eight.
        unsafe { self.data.word(Self::offset(position)) }
    }

    #[inline(always)]
    pub(super) fn put(&self, position: u64, value: &T) {
        // SAFETY: one of the slots, on a multiple of eight; `value` has as many bytes, none of them padding.
        unsafe { self.data.store_words(Self::offset(position) + Self::AT, (&raw const *value).cast(), size_of::<T>()) };
    }

    /// Copies a value out, which may be a mixture of several.
    #[inline(always)]
    pub(super) fn take(&self, position: u64) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        let at = Self::offset(position) + Self::AT;
        // SAFETY: as for `put`, and there is room for a `T`.
        unsafe { self.data.load_words(at, value.as_mut_ptr().cast(), size_of::<T>()) };
        // SAFETY: all its bytes were written just now, and every bit pattern is a `T`.
        unsafe { value.assume_init() }
    }

    /// Asks for the lines of a slot that do not come with its stamp.
    #[inline(always)]
    pub(super) fn prefetch(&self, position: u64) {
        let lines = (LINE as usize..Self::STRIDE).step_by(LINE as usize);
        lines.for_each(|line| self.data.prefetch_to_read(Self::offset(position) + line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_compared_with_a_position_across_every_wrap() {
        for position in [0, 1 << 62, u64::MAX / 2, u64::MAX - 1] {
            let at = |ahead: u64| position.wrapping_add(ahead);
            assert_eq!(Stamp::whole(position).at(position), Found::Whole(position));
            assert_eq!(Stamp::writing(position).at(position), Found::Writing(position));
            assert_eq!(Stamp::whole(at(SLOTS)).at(position), Found::Whole(at(SLOTS)));
            assert_eq!(Stamp::writing(at(SLOTS)).at(position), Found::Writing(at(SLOTS)));
            assert_eq!(Stamp::whole(position).at(at(SLOTS)), Found::Older);
            assert_eq!(Stamp::writing(position).at(at(1)), Found::Older);
        }
    }

    #[test]
    fn a_small_value_and_its_stamp_share_a_line() {
        assert_eq!(stride(56, 8), LINE);
        assert_eq!(stride(57, 1), 2 * LINE);
        assert_eq!(value_at(1), 8);
        assert_eq!((value_at(32), stride(32, 32)), (32, LINE));
    }
}
