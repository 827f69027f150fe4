//! The handles of an MPMC ring of fixed-size messages.
//!
//! # Safety
//! A slot's message is written between claiming and publishing it, and read between claiming and releasing it; the ring gives it to
//! nobody else meanwhile. `T` is valid whatever bytes a slot holds.

#![allow(unsafe_code, reason = "copies values between slots and private memory")]

mod consumer;
mod producer;

pub use consumer::{Consumer, Iter, RecvRef, TryIter};
pub use producer::Producer;

use super::{Mpmc, message_at, stride};
use crate::Payload;
use crate::error::OpenError;
use crate::identity::TypeIdentity;
use crate::layout::{Geometry, Kind, MAX_PAYLOAD_ALIGN, Shape};
use crate::member::Member;
use crate::message::{Joined, Message, Wishes};
use core::marker::PhantomData;
use ringshm_sync::cell::{Bytes, Reading};

impl<T: Payload> Message for Mpmc<T> {
    type Producer = Producer<T>;
    type Consumer = Consumer<T>;

    fn geometry(wishes: &Wishes) -> Option<Geometry> {
        let (kind, message, align) = (Kind::MpmcSlots, size_of::<T>() as u64, align_of::<T>() as u64);
        let capacity = wishes.slots(stride(kind, message, align)?);
        let Wishes { producers, consumers, origin, .. } = *wishes;
        let geometry = Geometry::new(&Shape { kind, capacity, message, align, producers, consumers, origin })?;
        let (is_default_capacity, is_at_most_once) = (wishes.capacity.is_none(), wishes.at_most_once);
        Some(Geometry { is_default_capacity, is_at_most_once, wakeup: wishes.wakeup, ..geometry })
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity::of::<T>(schema)
    }

    fn producer(joined: Joined) -> Result<Producer<T>, OpenError> {
        Producer::resume(joined.0)
    }

    fn consumer(joined: Joined) -> Result<Consumer<T>, OpenError> {
        Consumer::resume(joined.0)
    }
}

/// The messages of the slots.
#[derive(Debug)]
struct Messages<T> {
    data: Bytes,
    _type: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Messages<T> {
    const IS_POSSIBLE: () = assert!(
        size_of::<T>() > 0 && align_of::<T>() <= MAX_PAYLOAD_ALIGN,
        "a payload has at least one byte, and an alignment of at most 128"
    );
    const AT: usize = message_at(Kind::MpmcSlots, align_of::<T>() as u64) as usize;

    fn new(member: &Member) -> Self {
        let () = Self::IS_POSSIBLE;
        let memory = member.memory();
        assert_eq!(
            memory.geometry().max_message,
            size_of::<T>() as u64,
            "the slots of this memory are of another size"
        );
        Self { data: memory.data().clone(), _type: PhantomData }
    }

    /// Writes the message of the slot at `offset`, for the producer that claimed it.
    #[inline(always)]
    fn put(&self, offset: usize, message: T) {
        // SAFETY: the ring's offsets are those of whole slots inside of the data area, and it gave this one to the caller.
        let slot = unsafe { self.data.write(offset + Self::AT, size_of::<T>()) };
        // SAFETY: room for a `T`, aligned because the data area, the stride and `AT` are.
        unsafe { slot.as_mut_ptr().cast::<T>().write(message) };
    }

    /// The message of the slot at `offset`, for the consumer that claimed it.
    #[inline(always)]
    fn reading(&self, offset: usize) -> Reading {
        // SAFETY: as for `put`.
        unsafe { self.data.read(offset + Self::AT, size_of::<T>()) }
    }

    #[inline(always)]
    fn take(&self, offset: usize) -> T {
        let slot = self.reading(offset);
        // SAFETY: as for `put`, and every bit pattern is a `T`.
        unsafe { slot.as_ptr().cast::<T>().read() }
    }
}
