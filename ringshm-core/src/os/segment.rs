//! The object that participants map, and its mapping: a file in the shared-memory file system or on a disk, a sealed memfd, or a System V segment.
//!
//! Where it has a name, it is there whole or not at all: see `file.rs` and `sysv.rs`.

use super::huge::{self, SmallPages};
use super::mapping::{Access, Mapping};
use super::memfd::{IntoMemfd, check_seals};
use super::object::{Draft, Object};
use super::place::{Location, Place};
use super::{file, memory_free, numa, sysv};
use crate::error::OpenError;
use crate::layout::{Header, LANES_AT, LOBBY_AT};
use crate::member::{HugePages, Residency};
use core::ptr::NonNull;
use rustix::fs::SealFlags;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open, mapped object.
#[derive(Debug)]
pub(crate) struct Segment {
    object: Object,
    mapping: Mapping,
    access: Access,
    /// The lobby once more, writable, where the mapping is not.
    lobby: Option<Mapping>,
    place: Option<Place>,
    placing: Placing,
}

/// What is known of how a mapping came to its pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placing {
    /// Whether this participant asked for huge ones.
    pub(super) asked: HugePages,
    /// Whether it made the object.
    pub(super) made_here: bool,
    /// Why there are none although it asked.
    pub(super) refused: Option<SmallPages>,
}

impl Segment {
    /// An object of `size` bytes for `place`, all of them there and zero, which nobody can find yet; its memory as `residency` has it. `None` if there
    /// is one by now.
    pub(crate) fn make(place: &Place, size: u64, residency: Residency) -> Result<Option<(Self, Draft)>, OpenError> {
        let (object, draft, free) = match place.location() {
            Location::Path(path) => {
                let (file, temporary) = file::nameless(path)?;
                let draft = Draft::of_file(temporary);
                file::check_file_system(&file, path)?;
                (Object::File(Arc::new(file)), draft, file::free(path)?)
            }
            Location::Key(key) => {
                let free = memory_free();
                if size > free {
                    return Err(OpenError::NoSpace { needed: size, free });
                }
                let Some((object, draft)) = sysv::make(*key, size)? else { return Ok(None) };
                (object, draft, free)
            }
        };
        Ok(Some((Self::furnish(object, size, free, residency)?, draft)))
    }

    /// Lets the finished object be found at `place`. `false` if somebody else was faster; then this object is to be dropped.
    pub(crate) fn finish(&mut self, place: &Place, draft: Draft) -> Result<bool, OpenError> {
        let is_first = draft.finish(&self.object, place)?;
        if is_first {
            self.place = Some(place.clone());
        }
        Ok(is_first)
    }

    /// Opens and maps what is at `place`. Nothing of its content has been believed yet but its size.
    pub(crate) fn open(place: &Place, huge_pages: HugePages) -> Result<Self, OpenError> {
        let (object, size) = match place.location() {
            Location::Path(path) => {
                let (file, size) = file::open_named(path)?;
                (Object::File(Arc::new(file)), size)
            }
            Location::Key(key) => sysv::open(*key)?,
        };
        Ok(Self { place: Some(place.clone()), ..Self::map(object, size, Access::Write, huge_pages)? })
    }

    /// A memfd of `size` bytes, all of them there and zero, that can neither shrink nor grow.
    pub(crate) fn memfd(label: &str, size: u64, residency: Residency) -> Result<Self, OpenError> {
        Self::sealed(label, size, residency, SealFlags::empty())
    }

    /// As [`memfd`](Self::memfd), of which this mapping is the only one that can be written.
    pub(crate) fn memfd_to_read(label: &str, size: u64, residency: Residency) -> Result<Self, OpenError> {
        Self::sealed(label, size, residency, SealFlags::FUTURE_WRITE)
    }

    fn sealed(label: &str, size: u64, residency: Residency, more: SealFlags) -> Result<Self, OpenError> {
        let file = Arc::new(file::memfd(label)?);
        let segment = Self::furnish(Object::File(Arc::clone(&file)), size, memory_free(), residency)?;
        file::seal(&file, more)?;
        Ok(segment)
    }

    /// Maps a memfd that came from elsewhere.
    pub(crate) fn from_memfd(memfd: impl IntoMemfd, huge_pages: HugePages) -> Result<Self, OpenError> {
        let file = memfd.into_memfd()?.into_fd();
        let size = file::check_object(&file, Path::new("(memfd)"))?;
        Self::map(Object::File(Arc::new(file)), size, Access::Write, huge_pages)
    }

    /// Maps a new object, and gives it its memory, of which `free` bytes are there.
    fn furnish(object: Object, size: u64, mut free: u64, residency: Residency) -> Result<Self, OpenError> {
        if size > free || i64::try_from(size).is_err() {
            return Err(OpenError::NoSpace { needed: size, free });
        }
        let mut segment = Self::map(object, size, Access::Write, residency.huge_pages)?;
        if let Some(node) = residency.numa_node {
            // Before there is a page, because none is moved.
            numa::bind(&segment.mapping, node)?;
            free = free.min(numa::free(node));
        }
        segment.object.allocate(&segment.mapping, size, free)?;
        segment.placing.made_here = true;
        if let (HugePages::Try | HugePages::Require, Some(huge_page)) = (residency.huge_pages, huge::page_size()) {
            segment.placing.refused = huge::collapse(&segment.mapping, huge_page).err();
        }
        Ok(segment)
    }

    /// Maps a memfd that came from elsewhere, to read it. One that its owner can still change the size of, or that this process could write, is
    /// refused.
    pub(crate) fn from_memfd_to_read(memfd: impl AsFd, huge_pages: HugePages) -> Result<Self, OpenError> {
        check_seals(&memfd, SealFlags::FUTURE_WRITE)?;
        let file = memfd.as_fd().try_clone_to_owned();
        let file = file.map_err(|source| OpenError::Os { step: "duplicating the memfd", source })?;
        let size = file::check_object(&file, Path::new("(memfd)"))?;
        Self::map(Object::File(Arc::new(file)), size, Access::Read, huge_pages)
    }

    /// Maps an object: where huge pages fit, if they are asked for.
    fn map(object: Object, size: u64, access: Access, asked: HugePages) -> Result<Self, OpenError> {
        let len = usize::try_from(size).map_err(|_| OpenError::Corrupt { field: "object size" })?;
        let mapping = object.map(len, access, alignment(asked))?;
        let placing = Placing { asked, made_here: false, refused: None };
        Ok(Self { object, mapping, access, lobby: None, place: None, placing })
    }

    /// The same object, mapped for a reader: nothing in it can be written but the lobby, of which it has a mapping of its own.
    pub(crate) fn read_only(&self, asked: HugePages) -> Result<Self, OpenError> {
        let len = self.mapping.len();
        let mapping = self.object.map(len, Access::Read, alignment(asked))?;
        let lobby = Some(self.object.map_part(len, LOBBY_AT..LANES_AT)?);
        let placing = Placing { asked, ..self.placing };
        let access = Access::Read;
        Ok(Self { object: self.object.clone(), mapping, access, lobby, place: self.place.clone(), placing })
    }

    /// Where the lobby is mapped to be written.
    pub(crate) fn lobby(&self) -> NonNull<u8> {
        let beside = || self.base().as_ptr().wrapping_add(LOBBY_AT);
        let pointer = self.lobby.as_ref().map_or_else(beside, |lobby| lobby.base().as_ptr());
        NonNull::new(pointer).unwrap_or(NonNull::dangling())
    }

    /// The mapping of the object, and that of the lobby, if it has one of its own.
    pub(super) fn mappings(&self) -> (&Mapping, Option<&Mapping>) {
        (&self.mapping, self.lobby.as_ref())
    }

    /// What may be done in the mapping of the object.
    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn placing(&self) -> Placing {
        self.placing
    }

    /// The object itself, and its locks.
    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.mapping.base()
    }

    pub(crate) fn size(&self) -> u64 {
        self.mapping.len() as u64
    }

    /// Whether it can be found at a place, or could.
    pub(crate) fn has_name(&self) -> bool {
        self.place.is_some()
    }

    /// Where the ring is, for people.
    pub(crate) fn path(&self) -> PathBuf {
        self.place.as_ref().map_or_else(|| PathBuf::from("(memfd)"), Place::path)
    }

    /// A private copy of the header, made once, and to be validated.
    pub(crate) fn header(&self) -> Result<Header, OpenError> {
        self.object.header(&self.mapping)
    }

    /// Writes the header of a new object, its magic last.
    pub(crate) fn write_header(&self, header: &Header) -> Result<(), OpenError> {
        self.object.write_header(&self.mapping, header)
    }

    /// Takes the object away from its place, if it still is what is found there. The caller holds the gate, without which nobody does.
    pub(crate) fn unlink(&self) -> Result<(), OpenError> {
        self.place.as_ref().map_or(Ok(()), |place| self.object.unlink(place))
    }

    /// Waits until everything in it, and its name, is where a loss of power does not reach it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.object.sync(self.place.as_ref())
    }

    /// Removes what is at `place` and is no ring, if it belongs to this user.
    pub(crate) fn remove_damaged(place: &Place) -> Result<(), OpenError> {
        match place.location() {
            Location::Path(path) => file::unlink_damaged(path),
            Location::Key(key) => sysv::remove_damaged(*key),
        }
    }

    /// Whether a dead maker has left something at `place` that is no ring yet; if so, and if it is to be removed, it is. Files are not found half
    /// made.
    pub(crate) fn take_half_made(place: &Place, remove: bool) -> Result<bool, OpenError> {
        match place.location() {
            Location::Path(_) => Ok(false),
            Location::Key(key) => sysv::take_half_made(*key, remove),
        }
    }
}

/// What a mapping begins on a multiple of.
fn alignment(asked: HugePages) -> Option<usize> {
    if asked == HugePages::Never { None } else { huge::page_size() }
}
