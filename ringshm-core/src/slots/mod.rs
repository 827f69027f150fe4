//! Rings of fixed-size messages: the SPSC ring with a slot per unit.
//!
//! # Safety
//! A slot is written between claiming and publishing it, and read between peeking at and releasing it; the ring gives it
//! to nobody else meanwhile. `T` is valid whatever bytes a slot holds, so a hostile peer can make a wrong value and nothing
//! worse.

#![allow(unsafe_code, reason = "copies values between slots and private memory")]

mod consumer;
mod producer;

pub use consumer::{Consumer, Drain, Iter, RecvRef, TryIter};
pub use producer::{Loan, Producer};

use crate::ahead::LINE;
use crate::endpoint::{Endpoint, Side as _};
use crate::express;
use crate::layout::MAX_PAYLOAD_ALIGN;
use crate::spsc;
use core::marker::PhantomData;
use ringshm_sync::cell::{Bytes, Reading, Writing};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A message of fixed size: plain data without padding, of which every bit pattern is a value.
///
/// Implemented for every type that derives zerocopy's `FromBytes`, `IntoBytes` and `Immutable` and is `Copy`. Then
/// nothing that another process writes into a slot is undefined behaviour, only a wrong value.
pub trait Payload: FromBytes + IntoBytes + Immutable + Copy + Send + 'static {}

impl<T: FromBytes + IntoBytes + Immutable + Copy + Send + 'static> Payload for T {}

/// The slots of a ring, by position.
#[derive(Clone, Debug)]
struct Slots<T> {
    data: Bytes,
    mask: u64,
    _type: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Slots<T> {
    const IS_POSSIBLE: () = assert!(
        size_of::<T>() > 0 && align_of::<T>() <= MAX_PAYLOAD_ALIGN,
        "a payload has at least one byte, and an alignment of at most 128"
    );

    fn new(end: &Endpoint) -> Self {
        let () = Self::IS_POSSIBLE;
        let geometry = end.memory().geometry();
        assert_eq!(geometry.stride, size_of::<T>() as u64, "the slots of this memory are of another size");
        Self { data: end.memory().data().clone(), mask: geometry.capacity - 1, _type: PhantomData }
    }

    #[inline(always)]
    fn offset(&self, position: u64) -> usize {
        (position & self.mask) as usize * size_of::<T>()
    }

    /// The slot at `position`, for the producer that claimed it.
    #[inline(always)]
    fn writing(&self, position: u64) -> Writing {
        // SAFETY: the mask keeps the slot inside the data area, and the ring gave it to the caller.
        unsafe { self.data.write(self.offset(position), size_of::<T>()) }
    }

    /// The slot at `position`, for the consumer that peeked at it.
    #[inline(always)]
    fn reading(&self, position: u64) -> Reading {
        // SAFETY: as for `writing`.
        unsafe { self.data.read(self.offset(position), size_of::<T>()) }
    }

    #[inline(always)]
    fn put(&self, position: u64, value: T) {
        let slot = self.writing(position);
        // SAFETY: room for a `T`, aligned because the data area and the stride are.
        unsafe { slot.as_mut_ptr().cast::<T>().write(value) };
    }

    /// Copies the value out. The copy is complete before the slot is released, so no code ever sees it change.
    #[inline(always)]
    fn take(&self, position: u64) -> T {
        let slot = self.reading(position);
        // SAFETY: as for `put`, and every bit pattern is a `T`.
        unsafe { slot.as_ptr().cast::<T>().read() }
    }

    /// The beginning of the slot at `position`: all of it, if its message has copies.
    #[inline(always)]
    fn words(&self, position: u64) -> express::Words {
        let mut words = express::Words::default();
        let len = size_of::<T>().min(express::LONGEST);
        let slot = self.reading(position);
        // SAFETY: no more than the slot has, nor the words.
        unsafe { words.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(slot.as_ptr(), len) };
        words
    }

    /// Publishes the next `count` messages, which are in their slots. One that is alone travels with the cursor.
    #[inline(always)]
    fn publish(&self, ring: &mut spsc::Producer, count: u64) {
        if count == 1 && express::carries(size_of::<T>()) {
            express::put(ring.end().own(), ring.tail(), size_of::<T>(), self.words(ring.tail()));
        }
        ring.advance(count);
        ring.publish();
    }

    /// Asks for the lines of the slot at `position`, to be written.
    #[inline(always)]
    fn prefetch_to_write(&self, position: u64) {
        let offset = self.offset(position);
        for line in (0..size_of::<T>()).step_by(LINE as usize) {
            self.data.prefetch_to_write(offset + line);
        }
    }

    /// Asks for the lines of the slot at `position`, to be read.
    #[inline(always)]
    fn prefetch_to_read(&self, position: u64) {
        let offset = self.offset(position);
        for line in (0..size_of::<T>()).step_by(LINE as usize) {
            self.data.prefetch_to_read(offset + line);
        }
    }

    /// Makes values in the slots from `position` on, `most` of them, and not beyond the wrap. Counts them in `written` while it goes, in
    /// case the iterator panics. Returns whether the iterator had enough.
    #[inline(always)]
    fn put_each(&self, position: u64, most: u64, values: &mut impl Iterator<Item = T>, written: &mut u64) -> bool {
        let most = (most as usize).min(self.to_wrap(position));
        // SAFETY: the caller claimed as many slots, and they are contiguous.
        let slots = unsafe { self.data.write(self.offset(position), most * size_of::<T>()) };
        let first = slots.as_mut_ptr().cast::<T>();
        for index in 0..most {
            let Some(value) = values.next() else { return false };
            let slot = first.wrapping_add(index);
            // SAFETY: one of these slots, aligned because the data area and the stride are.
            unsafe { slot.write(value) };
            *written += 1;
        }
        true
    }

    /// Copies values into the slots from `position` on, which do not reach beyond the wrap.
    fn put_all(&self, position: u64, values: &[T]) {
        // SAFETY: the caller claimed as many slots, and they are contiguous.
        let slots = unsafe { self.data.write(self.offset(position), size_of_val(values)) };
        // SAFETY: private memory on one side, the claimed slots on the other.
        unsafe { slots.as_mut_ptr().cast::<T>().copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    }

    /// Slots from `position` to the wrap.
    fn to_wrap(&self, position: u64) -> usize {
        (self.mask + 1 - (position & self.mask)) as usize
    }
}
