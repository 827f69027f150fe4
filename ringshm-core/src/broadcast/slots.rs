//! Broadcast rings of fixed-size messages: a slot per unit.
//!
//! # Safety
//! Slots are moved as words, from and to private memory. `T` is valid whatever bytes a slot holds.

#![allow(unsafe_code, reason = "copies values between slots and private memory")]

mod consumer;
mod producer;

pub use consumer::{Consumer, Iter, Reader, Receiver};
pub use producer::Producer;

use crate::ahead::LINE;
use crate::layout::{Kind, MAX_PAYLOAD_ALIGN};
use crate::memory::Memory;
use crate::slots::Payload;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use ringshm_sync::cell::Bytes;

/// The slots of a ring, by position.
#[derive(Clone, Debug)]
struct Slots<T> {
    data: Bytes,
    mask: u64,
    _type: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Slots<T> {
    const STRIDE: usize = {
        assert!(
            size_of::<T>() > 0 && align_of::<T>() <= MAX_PAYLOAD_ALIGN,
            "a payload has at least one byte, and an alignment of at most 128"
        );
        size_of::<T>().next_multiple_of(8)
    };

    fn new(memory: &Memory) -> Self {
        let geometry = memory.geometry();
        let fits = geometry.kind == Kind::BroadcastSlots && geometry.stride == Self::STRIDE as u64;
        assert!(fits, "the slots of this memory are of another kind or size");
        Self { data: memory.data().clone(), mask: geometry.capacity - 1, _type: PhantomData }
    }

    #[inline(always)]
    fn offset(&self, position: u64) -> usize {
        (position & self.mask) as usize * Self::STRIDE
    }

    #[inline(always)]
    fn put(&self, position: u64, value: &T) {
        // SAFETY: the mask keeps the slot inside the data area, on a multiple of eight; `value` has as many bytes, none of them padding.
        unsafe { self.data.store_words(self.offset(position), (&raw const *value).cast(), size_of::<T>()) };
    }

    /// Copies a value out, which may be a mixture of several.
    #[inline(always)]
    fn take(&self, position: u64) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: as for `put`, and there is room for a `T`.
        unsafe { self.data.load_words(self.offset(position), value.as_mut_ptr().cast(), size_of::<T>()) };
        // SAFETY: all its bytes were written just now, and every bit pattern is a `T`.
        unsafe { value.assume_init() }
    }

    /// Calls `request` for the offset of each line of the slot at `position`.
    #[inline(always)]
    fn each_line(&self, position: u64, request: impl Fn(usize)) {
        let offset = self.offset(position);
        (0..Self::STRIDE).step_by(LINE as usize).for_each(|line| request(offset + line));
    }
}
