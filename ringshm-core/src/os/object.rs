//! What a ring lies in, as the kernel has it: a file, or a System V segment. What differs between the two ends here.

use super::liveness::Gate;
use super::mapping::{Access, Mapping, Source};
use super::place::{Location, Place};
use super::sysv::Pair;
use super::{file, sysv};
use crate::error::OpenError;
use crate::layout::Header;
use core::ops::Range;
use ringshm_sync::crash;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use zerocopy::{FromZeros, IntoBytes};

/// An open object. A clone is the same one, opened once.
#[derive(Clone, Debug)]
pub enum Object {
    /// A file: in a tmpfs, on a disk, or a memfd.
    File(Arc<OwnedFd>),
    /// A System V segment, with the set of semaphores that has its locks.
    SystemV(Arc<Pair>),
}

/// What a new object has instead of a name, until it gets that. Dropped before, it takes back what could be found.
#[derive(Debug)]
pub(crate) enum Draft {
    /// A file without any name: it goes by itself.
    Nameless,
    /// A file that has a temporary name.
    Temporary(PathBuf),
    /// A segment, which has its key from the start, and whose gate is closed until it is whole. `None` once it is.
    BehindGate(Option<Gate>),
}

impl Draft {
    /// Under a temporary name, if there is one.
    pub(super) fn of_file(temporary: Option<PathBuf>) -> Self {
        temporary.map_or(Self::Nameless, Self::Temporary)
    }

    /// Lets a finished object be found at `place`. `false` if somebody else was faster; then the object is to be dropped.
    pub(super) fn finish(mut self, object: &Object, place: &Place) -> Result<bool, OpenError> {
        let is_first = match (object, &mut self, place.location()) {
            (Object::File(file), Self::Nameless, Location::Path(path)) => file::give_name(file, None, path)?,
            (Object::File(file), Self::Temporary(name), Location::Path(path)) => {
                file::give_name(file, Some(name), path)?
            }
            (Object::SystemV(pair), Self::BehindGate(gate), Location::Key(_)) => {
                pair.is_whole()?;
                // Open, once the caller has seen it whole.
                let _gate = gate.take();
                crash::point("segment.linked");
                return Ok(true);
            }
            // A draft is made for the place at which it is finished.
            _ => return Err(OpenError::Corrupt { field: "file type" }),
        };
        if is_first {
            crash::point("segment.linked");
        }
        Ok(is_first)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        match self {
            Self::Nameless => {}
            Self::Temporary(name) => file::forget(name),
            // Nobody else has come in yet.
            Self::BehindGate(gate) => {
                if let Some(Object::SystemV(pair)) = gate.as_ref().map(Gate::object) {
                    let _ = pair.remove();
                }
            }
        }
    }
}

impl Object {
    fn source(&self) -> Source<'_> {
        match self {
            Self::File(file) => Source::File(file),
            Self::SystemV(pair) => Source::Segment(pair.segment()),
        }
    }

    /// Maps it whole.
    pub(super) fn map(&self, len: usize, access: Access, alignment: Option<usize>) -> Result<Mapping, OpenError> {
        Mapping::new(self.source(), len, access, alignment).map_err(|error| self.unmapped(error))
    }

    /// Maps a part of it, to be written.
    pub(super) fn map_part(&self, len: usize, part: Range<usize>) -> Result<Mapping, OpenError> {
        Mapping::part(self.source(), len, part).map_err(|error| self.unmapped(error))
    }

    /// Why it could not be mapped. A segment may be gone by now.
    fn unmapped(&self, source: io::Error) -> OpenError {
        match self {
            Self::SystemV(pair) if matches!(source.raw_os_error(), Some(libc::EINVAL | libc::EIDRM)) => {
                OpenError::NotFound { path: pair.path() }
            }
            _ => OpenError::Os { step: "mapping the ring (mmap)", source },
        }
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&OwnedFd> {
        match self {
            Self::File(file) => Some(file),
            Self::SystemV(_) => None,
        }
    }

    /// Gives a new object of `size` bytes all its memory now, so that no later store finds that there is none (SIGBUS). Of a segment, `mapping` is
    /// all of it.
    pub(super) fn allocate(&self, mapping: &Mapping, size: u64, free: u64) -> Result<(), OpenError> {
        match self {
            Self::File(file) => file::allocate(file, size, free),
            Self::SystemV(_) => sysv::allocate(mapping, size),
        }
    }

    /// A private copy of the header.
    pub(super) fn header(&self, mapping: &Mapping) -> Result<Header, OpenError> {
        let mut header = Header::new_zeroed();
        match self {
            Self::File(file) => file::read(file, header.as_mut_bytes())?,
            Self::SystemV(pair) => {
                sysv::copy_header(mapping, &mut header);
                pair.check_binding(&header)?;
            }
        }
        Ok(header)
    }

    /// Writes the header of a new object, its magic last.
    pub(super) fn write_header(&self, mapping: &Mapping, header: &Header) -> Result<(), OpenError> {
        match self {
            Self::File(file) => {
                let (magic, rest) = header.as_bytes().split_at(size_of::<u64>());
                file::write(file, rest, size_of::<u64>() as u64)?;
                crash::point("segment.without_magic");
                file::write(file, magic, 0)
            }
            Self::SystemV(pair) => {
                sysv::write_header(mapping, &pair.bind(header));
                Ok(())
            }
        }
    }

    /// Takes it away from `place`, if it still is there. The caller holds the gate, without which nobody does.
    pub(super) fn unlink(&self, place: &Place) -> Result<(), OpenError> {
        match (self, place.location()) {
            (Self::File(file), Location::Path(path)) => file::unlink(file, path),
            (Self::SystemV(pair), _) => pair.remove(),
            (Self::File(_), Location::Key(_)) => Ok(()),
        }
    }

    /// Waits until what is in it is where a loss of power does not reach it.
    pub(super) fn sync(&self, place: Option<&Place>) -> io::Result<()> {
        match self {
            Self::File(file) => {
                let name = place.and_then(|place| match place.location() {
                    Location::Path(path) => Some(path.as_path()),
                    Location::Key(_) => None,
                });
                file::sync(file, name)
            }
            Self::SystemV(_) => {
                let reason = "a System V segment is in memory only: use a file to keep a ring";
                Err(io::Error::new(io::ErrorKind::Unsupported, reason))
            }
        }
    }
}
