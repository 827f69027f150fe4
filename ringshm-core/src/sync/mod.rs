//! What services need beside a ring: locks and meeting points for processes and threads, any of which may be killed.
//!
//! The algorithms are in [`ringshm_sync::robust`]; here they get a segment to lie in, lanes for those who take part, and a value to protect. A
//! participant is whoever has a handle: each thread opens its own, as with rings.
//!
//! # Safety
//! The lane pointer of a participant leads into the `Memory` that it keeps alive.

mod barrier;
mod company;
mod condvar;
mod error;
mod mutex;
mod once;
#[cfg(not(loom))]
mod open;
mod protected;
mod rwlock;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use error::{BarrierError, BarrierTimeoutError, LockError, LockTimeoutError, OnceTimeoutError, TryLockError};
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(not(loom))]
pub(crate) use company::{is_over, state};

use crate::error::{Fault, OpenError};
use crate::lanes::Role;
use crate::layout::{Geometry, Kind, Shape, TypeIdentity};
use crate::member::{Behaviour, Member};
use crate::memory::Memory;
use crate::message::Joined;
use ringshm_sync::robust::Claimant;
use std::sync::Arc;

/// What can be opened by name like a ring, and is none.
pub trait Primitive: Sized {
    /// What it protects; `()` if nothing.
    type Value;

    #[doc(hidden)]
    const KIND: Kind;

    #[doc(hidden)]
    fn take_part(joined: Joined) -> Self;
}

/// The role in which participants of a primitive join: there is one only.
const ROLE: Role = Role::Producer;

/// The shape of a primitive for so many participants. `None` if no machine has room for its value.
#[must_use]
pub fn geometry<P: Primitive>(participants: u32) -> Option<Geometry> {
    let (message, align) = (size_of::<P::Value>().max(1) as u64, align_of::<P::Value>() as u64);
    Geometry::new(&Shape {
        kind: P::KIND,
        capacity: 1,
        message,
        align,
        producers: participants,
        consumers: 0,
        origin: 0,
    })
}

/// What two programs must agree on.
#[must_use]
pub fn identity<P: Primitive>(schema: u64) -> TypeIdentity {
    let identity = TypeIdentity::of::<P::Value>(schema);
    TypeIdentity { size: identity.size.max(1), ..identity }
}

/// A primitive on the heap, with nobody in it, for threads of this process. The bytes of its value begin with `initial`; the rest is zero.
#[must_use]
pub fn on_heap<P: Primitive>(participants: u32, initial: &[u8]) -> Option<Arc<Memory>> {
    let memory = Memory::on_heap(geometry::<P>(participants)?);
    memory.fill(initial);
    Some(memory)
}

/// Takes part in a primitive on the heap.
///
/// # Errors
/// [`OpenError::RoleTaken`] if there are as many as it was made for.
pub fn take_part_in<P: Primitive>(memory: &Arc<Memory>, behaviour: Behaviour) -> Result<P, OpenError> {
    assert_eq!(memory.geometry().kind, P::KIND, "this memory is something else");
    let member = Member::join(Arc::clone(memory), ROLE, behaviour, std::process::id(), 0)?;
    Ok(P::take_part(Joined(member)))
}

/// One who takes part in a primitive.
#[derive(Debug)]
pub(crate) struct Participant {
    member: Member,
    own: Claimant,
}

impl Participant {
    fn new(Joined(member): Joined) -> Self {
        let me = company::holder_in(member.memory(), member.lane());
        let own = Claimant::new(me, member.behaviour.wait);
        Self { member, own }
    }

    fn memory(&self) -> &Memory {
        self.member.memory()
    }

    /// The words' view of it, and all others.
    fn split(&mut self) -> (&mut Claimant, &Memory) {
        (&mut self.own, self.member.memory())
    }

    #[inline(always)]
    fn refuse_forked(&self) -> Result<(), Fault> {
        self.member.refuse_forked()
    }

    fn detach(mut self) {
        self.member.will_detach();
    }
}
