//! Opening a role of a named ring, or of one in a memfd, as a handle.

use crate::attach::{
    Existence, Wanted, create_memfd, create_sealed, join_at, join_memfd, join_sealed, visit_at, visit_memfd,
};
use crate::broadcast::Readable;
use crate::error::OpenError;
use crate::frames::{self, Frames};
use crate::lanes::Role;
use crate::layout::MAX_LANES;
use crate::member::Behaviour;
use crate::memory::Memory;
use crate::message::{Joined, Message, Wishes, consumer_in, producer_in};
use crate::os::{Directory, IntoMemfd, Name, Place, memory_free};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Everything that a program may choose about a ring, apart from its name and the type it carries.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The ring's shape, if it is to be made.
    pub wishes: Wishes,
    /// The author's number for the meaning of the payload.
    pub schema: u64,
    /// Whether the ring may exist.
    pub existence: Existence,
    /// How this participant behaves.
    pub behaviour: Behaviour,
    /// Where the ring's name is.
    pub directory: Directory,
}

impl Options {
    fn wanted<M: Message + ?Sized>(&self) -> Result<Wanted, OpenError> {
        let wishes = &self.wishes;
        let lanes = 1..=MAX_LANES;
        let possible = [
            (wishes.capacity != Some(0), "capacity", "a ring holds at least one slot or byte".to_owned()),
            (wishes.max_message != Some(0), "max_message", "a message may have at least one byte".to_owned()),
            (lanes.contains(&wishes.producers), "producers", format!("a ring has 1 to {MAX_LANES} of them")),
            (lanes.contains(&wishes.consumers), "consumers", format!("a ring has 1 to {MAX_LANES} of them")),
        ];
        let impossible = possible.into_iter().find(|(is_possible, _, _)| !is_possible);
        if let Some((option, reason)) = impossible.map(|(_, option, reason)| (option, reason)).or(M::objection(wishes))
        {
            return Err(OpenError::InvalidOption { option, reason });
        }
        let geometry = M::geometry(wishes).ok_or_else(|| {
            let free = self.directory.free().unwrap_or(0);
            OpenError::NoSpace { needed: u64::MAX, free }
        })?;
        if !geometry.kind.can_be_woken_by(wishes.wakeup) {
            let reason = format!("only rings wake by semaphores and this is {}", geometry.kind.name());
            return Err(OpenError::InvalidOption { option: "wake_by", reason });
        }
        let any_length = wishes.max_message.is_none();
        let existence = match (M::can_be_made(wishes), self.existence) {
            (Err((option, reason)), Existence::MustNotExist) => {
                return Err(OpenError::InvalidOption { option, reason: reason.to_owned() });
            }
            (Err(_), _) => Existence::MustExist,
            (Ok(()), existence) => existence,
        };
        Ok(Wanted { geometry, identity: M::identity(self.schema), any_length, existence, initial: vec![] })
    }

    /// As [`wanted`](Self::wanted), of a ring that is made here.
    fn wanted_anew<M: Message + ?Sized>(&self) -> Result<Wanted, OpenError> {
        Self { existence: Existence::MustNotExist, ..self.clone() }.wanted::<M>()
    }

    /// Takes the sending role of the ring `name`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn producer<M: Message + ?Sized>(&self, name: &Name) -> Result<M::Producer, OpenError> {
        self.producer_at::<M>(&Place::named(&self.directory, name))
    }

    /// Takes the sending role of the ring at `place`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn producer_at<M: Message + ?Sized>(&self, place: &Place) -> Result<M::Producer, OpenError> {
        M::producer(self.join::<M>(place, Role::Producer)?)
    }

    /// Takes the receiving role of the ring `name`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn consumer<M: Message + ?Sized>(&self, name: &Name) -> Result<M::Consumer, OpenError> {
        self.consumer_at::<M>(&Place::named(&self.directory, name))
    }

    /// Takes the receiving role of the ring at `place`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn consumer_at<M: Message + ?Sized>(&self, place: &Place) -> Result<M::Consumer, OpenError> {
        M::consumer(self.join::<M>(place, Role::Consumer)?)
    }

    fn join<M: Message + ?Sized>(&self, place: &Place, role: Role) -> Result<Joined, OpenError> {
        join_at(place, &self.wanted::<M>()?, role, self.behaviour).map(Joined)
    }

    /// Reads the ring `name` without a lane, and without being able to write into it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn reader<M: Readable + ?Sized>(&self, name: &Name) -> Result<M::Reader, OpenError> {
        self.reader_at::<M>(&Place::named(&self.directory, name))
    }

    /// Reads the ring at `place` without a lane, and without being able to write into it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn reader_at<M: Readable + ?Sized>(&self, place: &Place) -> Result<M::Reader, OpenError> {
        M::reader(visit_at(place, &self.wanted::<M>()?, self.behaviour)?)
    }

    /// Reads the ring in a memfd without a lane, and without being able to write into it. For the descriptor, see
    /// [`producer_of`](Self::producer_of).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn reader_of<M: Readable + ?Sized>(&self, memfd: impl IntoMemfd) -> Result<M::Reader, OpenError> {
        M::reader(visit_memfd(memfd, &self.wanted::<M>()?, self.behaviour)?)
    }

    /// Creates a ring without a name, in a sealed memfd: nobody can shrink it, and who has the descriptor has the ring.
    /// Nobody has a role in it yet. `label` is what `/proc` shows.
    ///
    /// # Errors
    /// [`OpenError::NoSpace`], [`OpenError::Os`].
    pub fn memfd<M: Message + ?Sized>(&self, label: &str) -> Result<OwnedFd, OpenError> {
        create_memfd(label, &self.wanted_anew::<M>()?, self.behaviour.residency)
    }

    /// Takes the sending role of the ring in a memfd. Of any descriptor it opens a file description of its own, for which it
    /// needs `/proc`; not of a [`SoleMemfd`](crate::os::SoleMemfd).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn producer_of<M: Message + ?Sized>(&self, memfd: impl IntoMemfd) -> Result<M::Producer, OpenError> {
        M::producer(Joined(join_memfd(memfd, &self.wanted::<M>()?, Role::Producer, self.behaviour)?))
    }

    /// Takes the receiving role of the ring in a memfd. Of any descriptor it opens a file description of its own, for which it
    /// needs `/proc`; not of a [`SoleMemfd`](crate::os::SoleMemfd).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn consumer_of<M: Message + ?Sized>(&self, memfd: impl IntoMemfd) -> Result<M::Consumer, OpenError> {
        M::consumer(Joined(join_memfd(memfd, &self.wanted::<M>()?, Role::Consumer, self.behaviour)?))
    }

    /// Creates a ring of frames in two sealed memfds, and takes its sending role: consumers can map the pixels to read them and in no other way.
    /// `label` is what `/proc` shows. Needs `/proc`.
    ///
    /// # Errors
    /// [`OpenError::NoSpace`], [`OpenError::InvalidOption`], [`OpenError::Os`].
    pub fn sealed_frames(&self, label: &str) -> Result<(frames::Producer, frames::Sealed), OpenError> {
        let (member, sealed) = create_sealed(label, &self.wanted_anew::<Frames>()?, self.behaviour)?;
        Ok((Frames::producer(Joined(member))?, sealed))
    }

    /// Takes the receiving role of a ring of frames in two sealed memfds. For the first descriptor, see [`producer_of`](Self::producer_of).
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Corrupt`] if the two do not belong together, or the pixels are not sealed.
    pub fn consumer_of_sealed(&self, ring: impl IntoMemfd, pixels: impl AsFd) -> Result<frames::Consumer, OpenError> {
        Frames::consumer(Joined(join_sealed(ring, pixels, &self.wanted::<Frames>()?, self.behaviour)?))
    }

    /// A ring on the heap, with nobody in it.
    ///
    /// # Errors
    /// [`OpenError::NoSpace`] if it is larger than any machine; [`OpenError::InvalidOption`].
    pub fn heap<M: Message + ?Sized>(&self) -> Result<Arc<Memory>, OpenError> {
        let geometry = self.wanted_anew::<M>()?.geometry;
        let free = memory_free();
        if geometry.total > free {
            return Err(OpenError::NoSpace { needed: geometry.total, free });
        }
        Ok(Memory::on_heap(geometry))
    }

    /// A ring on the heap and both its handles, for two threads of this process.
    ///
    /// # Errors
    /// As for [`heap`](Self::heap).
    pub fn threads<M: Message + ?Sized>(&self) -> Result<(M::Producer, M::Consumer), OpenError> {
        let memory = self.heap::<M>()?;
        Ok((producer_in::<M>(&memory, self.behaviour)?, consumer_in::<M>(&memory, self.behaviour)?))
    }
}
