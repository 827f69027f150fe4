//! What a ring can carry, and the handles for it.

use crate::endpoint::Endpoint;
use crate::error::OpenError;
use crate::lanes::Role;
use crate::layout::{Geometry, MAX_LANES, TypeIdentity, Wakeup};
use crate::member::{Behaviour, Member};
use crate::memory::Memory;
use crate::{Consumer, Payload, Producer, RecordConsumer, RecordProducer};
use std::sync::Arc;

/// What a program wants of a ring that it may have to make.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Slots, or bytes for records; rounded up to a power of two. `None`: the default, and an existing ring may have any.
    pub capacity: Option<u64>,
    /// The longest message in bytes, where each slot must have room for it.
    pub max_message: Option<u64>,
    /// The most producers, where there may be many.
    pub producers: u32,
    /// The most consumers that have a lane, where there may be many.
    pub consumers: u32,
    /// Whether a message whose consumer dies with it is dropped, where it might be given to another.
    pub at_most_once: bool,
    /// How participants are woken, where there is a choice.
    pub wakeup: Wakeup,
    /// The first position: for tests of the wrap.
    #[doc(hidden)]
    pub origin: u64,
}

impl Default for Wishes {
    fn default() -> Self {
        let (producers, consumers) = (MAX_LANES, MAX_LANES);
        Self {
            capacity: None,
            max_message: None,
            producers,
            consumers,
            at_most_once: false,
            wakeup: Wakeup::Futex,
            origin: 0,
        }
    }
}

/// A ring's kind and what it carries: a fixed-size [`Payload`] or `[u8]` (records of any length) by itself means an SPSC ring, and
/// [`Mpmc`](crate::mpmc::Mpmc) around it an MPMC ring.
pub trait Message {
    /// The handle that sends it.
    type Producer;
    /// The handle that receives it.
    type Consumer;

    /// The geometry of a ring like that, `None` if no machine has room for it.
    #[doc(hidden)]
    fn geometry(wishes: &Wishes) -> Option<Geometry>;

    /// What two programs must agree on.
    #[doc(hidden)]
    fn identity(schema: u64) -> TypeIdentity;

    /// What is wrong with these wishes: the option, and why.
    #[doc(hidden)]
    fn objection(_wishes: &Wishes) -> Option<(&'static str, String)> {
        None
    }

    /// Whether these wishes say enough to make a ring: otherwise the option that is missing, and why. A ring that is there can be joined.
    #[doc(hidden)]
    fn can_be_made(_wishes: &Wishes) -> Result<(), (&'static str, &'static str)> {
        Ok(())
    }

    #[doc(hidden)]
    fn producer(joined: Joined) -> Result<Self::Producer, OpenError>;

    #[doc(hidden)]
    fn consumer(joined: Joined) -> Result<Self::Consumer, OpenError>;
}

/// A role that was taken, and is not yet a handle.
#[doc(hidden)]
#[derive(Debug)]
pub struct Joined(pub(crate) Member);

/// The data area of a ring whose capacity was not given: 4 MiB.
pub(crate) const DEFAULT_BYTES: u64 = 4 << 20;

impl Wishes {
    /// How many slots of `stride` bytes are wanted.
    pub(crate) fn slots(&self, stride: u64) -> u64 {
        self.capacity.unwrap_or_else(|| (DEFAULT_BYTES / stride.next_power_of_two()).max(4))
    }
}

impl<T: Payload> Message for T {
    type Producer = Producer<T>;
    type Consumer = Consumer<T>;

    fn geometry(wishes: &Wishes) -> Option<Geometry> {
        let stride = size_of::<T>() as u64;
        let geometry = Geometry::slots(wishes.slots(stride), stride, wishes.origin)?;
        Some(Geometry { is_default_capacity: wishes.capacity.is_none(), wakeup: wishes.wakeup, ..geometry })
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity::of::<T>(schema)
    }

    fn producer(joined: Joined) -> Result<Producer<T>, OpenError> {
        Producer::resume(Endpoint::new(joined.0))
    }

    fn consumer(joined: Joined) -> Result<Consumer<T>, OpenError> {
        Consumer::resume(Endpoint::new(joined.0))
    }
}

impl Message for [u8] {
    type Producer = RecordProducer;
    type Consumer = RecordConsumer;

    fn geometry(wishes: &Wishes) -> Option<Geometry> {
        let geometry = Geometry::records(wishes.capacity.unwrap_or(DEFAULT_BYTES), wishes.origin)?;
        Some(Geometry { is_default_capacity: wishes.capacity.is_none(), wakeup: wishes.wakeup, ..geometry })
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity::records(schema)
    }

    fn producer(joined: Joined) -> Result<RecordProducer, OpenError> {
        RecordProducer::resume(Endpoint::new(joined.0))
    }

    fn consumer(joined: Joined) -> Result<RecordConsumer, OpenError> {
        RecordConsumer::resume(Endpoint::new(joined.0))
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
    Member::join(Arc::clone(memory), role, behaviour, std::process::id(), 0).map(Joined)
}
