//! Opening a primitive that has a name, or lies in a memfd.

use super::{Primitive, ROLE, geometry, identity, on_heap};
use crate::attach::{Wanted, create_memfd, join_at, join_memfd};
use crate::error::OpenError;
use crate::layout::MAX_LANES;
use crate::memory::Memory;
use crate::message::Joined;
use crate::open::Options;
use crate::os::{IntoMemfd, Name, Place, memory_free};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Of the wishes, a primitive takes the number of producers: that of its participants.
impl Options {
    fn wanted_primitive<P: Primitive>(&self, initial: &[u8]) -> Result<Wanted, OpenError> {
        let participants = self.wishes.producers;
        if !(1..=MAX_LANES).contains(&participants) {
            let option = if P::KIND == crate::layout::Kind::Barrier { "parties" } else { "participants" };
            return Err(OpenError::InvalidOption { option, reason: format!("there are 1 to {MAX_LANES} of them") });
        }
        let geometry = geometry::<P>(participants).ok_or_else(|| {
            let free = self.directory.free().unwrap_or(0);
            OpenError::NoSpace { needed: u64::MAX, free }
        })?;
        Ok(Wanted {
            geometry,
            identity: identity::<P>(self.schema),
            any_length: false,
            existence: self.existence,
            initial: initial.to_vec(),
        })
    }

    /// Takes part in the primitive `name`. If it is created, the bytes of its value begin with `initial`, and the rest is zero.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn primitive<P: Primitive>(&self, name: &Name, initial: &[u8]) -> Result<P, OpenError> {
        let wanted = self.wanted_primitive::<P>(initial)?;
        let place = Place::named(&self.directory, name);
        join_at(&place, &wanted, ROLE, self.behaviour).map(|member| P::take_part(Joined(member)))
    }

    /// Takes part in the primitive in a memfd. Of any descriptor it opens a file description of its own, for which it
    /// needs `/proc`; not of a [`SoleMemfd`](crate::os::SoleMemfd).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn primitive_of<P: Primitive>(&self, memfd: impl IntoMemfd) -> Result<P, OpenError> {
        let wanted = self.wanted_primitive::<P>(&[])?;
        join_memfd(memfd, &wanted, ROLE, self.behaviour).map(|member| P::take_part(Joined(member)))
    }

    /// Creates a primitive without a name, in a sealed memfd, with nobody in it.
    ///
    /// # Errors
    /// [`OpenError::NoSpace`], [`OpenError::Os`], [`OpenError::InvalidOption`].
    pub fn primitive_memfd<P: Primitive>(&self, label: &str, initial: &[u8]) -> Result<OwnedFd, OpenError> {
        create_memfd(label, &self.wanted_primitive::<P>(initial)?, self.behaviour.residency)
    }

    /// A primitive on the heap, with nobody in it.
    ///
    /// # Errors
    /// [`OpenError::NoSpace`] if it is larger than any machine; [`OpenError::InvalidOption`].
    pub fn primitive_heap<P: Primitive>(&self, initial: &[u8]) -> Result<Arc<Memory>, OpenError> {
        let needed = self.wanted_primitive::<P>(initial)?.geometry.total;
        let free = memory_free();
        let memory = if needed > free { None } else { on_heap::<P>(self.wishes.producers, initial) };
        memory.ok_or(OpenError::NoSpace { needed, free })
    }
}
