//! What a ring can carry, and the handles for it.

use crate::endpoint::{Behaviour, Endpoint};
use crate::error::OpenError;
use crate::lanes::Role;
use crate::layout::{Geometry, TypeIdentity};
use crate::memory::Memory;
use crate::{Consumer, Payload, Producer, RecordConsumer, RecordProducer};
use std::sync::Arc;

/// A kind of message that a ring can carry: a fixed-size [`Payload`], or `[u8]` for records of any length.
pub trait Message {
    /// The handle that sends it.
    type Producer;
    /// The handle that receives it.
    type Consumer;

    /// The shape of a ring of `capacity` (slots, or bytes for records), or of the default capacity.
    #[doc(hidden)]
    fn geometry(capacity: Option<u64>, origin: u64) -> Option<Geometry>;

    /// What two programs must agree on.
    #[doc(hidden)]
    fn identity(schema: u64) -> TypeIdentity;

    #[doc(hidden)]
    fn producer(end: Joined) -> Result<Self::Producer, OpenError>;

    #[doc(hidden)]
    fn consumer(end: Joined) -> Result<Self::Consumer, OpenError>;
}

/// A role that was taken, and is not yet a handle.
#[doc(hidden)]
#[derive(Debug)]
pub struct Joined(pub(crate) Endpoint);

/// The data area of a ring whose capacity was not given: 4 MiB.
const DEFAULT_BYTES: u64 = 4 << 20;

impl<T: Payload> Message for T {
    type Producer = Producer<T>;
    type Consumer = Consumer<T>;

    fn geometry(capacity: Option<u64>, origin: u64) -> Option<Geometry> {
        let stride = size_of::<T>() as u64;
        let slots = capacity.unwrap_or_else(|| (DEFAULT_BYTES / stride.next_power_of_two()).max(4));
        let geometry = Geometry::slots(slots, stride, origin)?;
        Some(Geometry { is_default_capacity: capacity.is_none(), ..geometry })
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity::of::<T>(schema)
    }

    fn producer(end: Joined) -> Result<Producer<T>, OpenError> {
        Producer::resume(end.0)
    }

    fn consumer(end: Joined) -> Result<Consumer<T>, OpenError> {
        Consumer::resume(end.0)
    }
}

impl Message for [u8] {
    type Producer = RecordProducer;
    type Consumer = RecordConsumer;

    fn geometry(capacity: Option<u64>, origin: u64) -> Option<Geometry> {
        let geometry = Geometry::records(capacity.unwrap_or(DEFAULT_BYTES), origin)?;
        Some(Geometry { is_default_capacity: capacity.is_none(), ..geometry })
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity::records(schema)
    }

    fn producer(end: Joined) -> Result<RecordProducer, OpenError> {
        RecordProducer::resume(end.0)
    }

    fn consumer(end: Joined) -> Result<RecordConsumer, OpenError> {
        RecordConsumer::resume(end.0)
    }
}

/// Takes the sending role of a ring on the heap.
///
/// # Errors
/// [`OpenError::RoleTaken`], [`OpenError::Corrupt`].
pub fn producer_in<M: Message + ?Sized>(memory: &Arc<Memory>, behaviour: Behaviour) -> Result<M::Producer, OpenError> {
    M::producer(join(memory, Role::Producer, behaviour)?)
}

/// Takes the receiving role of a ring on the heap.
///
/// # Errors
/// [`OpenError::RoleTaken`], [`OpenError::Corrupt`].
pub fn consumer_in<M: Message + ?Sized>(memory: &Arc<Memory>, behaviour: Behaviour) -> Result<M::Consumer, OpenError> {
    M::consumer(join(memory, Role::Consumer, behaviour)?)
}

fn join(memory: &Arc<Memory>, role: Role, behaviour: Behaviour) -> Result<Joined, OpenError> {
    memory.join(role, std::process::id(), 0)?;
    Ok(Joined(Endpoint::new(Arc::clone(memory), role, behaviour)))
}
