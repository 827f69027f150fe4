//! Where an object is mapped: anywhere, or on a boundary of huge pages, without which the processor cannot use one.
//!
//! # Safety
//! An [`Aligned`] owns its addresses from the reservation to its drop: nobody else maps anything there.

#![allow(unsafe_code, reason = "places a mapping at an address, which memmap2 does not offer")]

use core::ptr::{NonNull, null_mut};
use memmap2::{MmapOptions, MmapRaw};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};
use std::io;
use std::os::fd::OwnedFd;

/// What may be done in a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A whole object, mapped.
#[derive(Debug)]
pub(super) enum Mapping {
    Anywhere(MmapRaw),
    Aligned(Aligned),
}

impl Mapping {
    /// Maps the first `len` bytes of an object, on a multiple of `alignment` if there is one. A mapping shorter than that need not be aligned.
    pub(super) fn new(file: &OwnedFd, len: usize, access: Access, alignment: Option<usize>) -> io::Result<Self> {
        if let Some(alignment) = alignment.filter(|alignment| len >= *alignment) {
            return Aligned::new(file, len, access, alignment).map(Self::Aligned);
        }
        let mut options = MmapOptions::new();
        let options = options.len(len);
        match access {
            Access::Read => options.map_raw_read_only(file),
            Access::Write => options.map_raw(file),
        }
        .map(Self::Anywhere)
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        match self {
            Self::Anywhere(mapping) => NonNull::new(mapping.as_mut_ptr()).unwrap_or(NonNull::dangling()),
            Self::Aligned(mapping) => mapping.base,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Anywhere(mapping) => mapping.len(),
            Self::Aligned(mapping) => mapping.len,
        }
    }

    /// Enters all pages into this process's page table, to be read or to be written.
    pub(super) fn populate(&self, access: Access) -> io::Result<()> {
        let advice = match access {
            Access::Read => Advice::LinuxPopulateRead,
            Access::Write => Advice::LinuxPopulateWrite,
        };
        // SAFETY: the mapping is there as long as `self`, and this advice changes no byte of it.
        unsafe { madvise(self.base().as_ptr().cast(), self.len(), advice) }.map_err(io::Error::from)
    }

    /// Keeps all pages in memory as long as the mapping is there.
    pub(super) fn lock(&self) -> io::Result<()> {
        // SAFETY: the mapping is there as long as `self`; locked pages are pages like others.
        unsafe { mlock(self.base().as_ptr().cast(), self.len()) }.map_err(io::Error::from)
    }
}

/// A mapping that begins on a multiple of something larger than a page.
#[derive(Debug)]
pub(super) struct Aligned {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: addresses, behind which `Memory` says who does what.
unsafe impl Send for Aligned {}
// SAFETY: as for `Send`.
unsafe impl Sync for Aligned {}

impl Aligned {
    /// `alignment` is a power of two, and a multiple of the page size.
    fn new(file: &OwnedFd, len: usize, access: Access, alignment: usize) -> io::Result<Self> {
        let pages = len.next_multiple_of(rustix::param::page_size());
        let room = pages.checked_add(alignment).ok_or(io::ErrorKind::OutOfMemory)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses the addresses, among those that nobody has.
        let reserved = unsafe { mmap_anonymous(null_mut(), room, ProtFlags::empty(), flags) }?;
        let before = reserved.addr().next_multiple_of(alignment) - reserved.addr();
        let base = reserved.wrapping_byte_add(before);
        let (behind, after) = (base.wrapping_byte_add(pages), alignment - before);
        // The ends go back. If they do not, they cost addresses and nothing else.
        if before > 0 {
            // SAFETY: the beginning of what was reserved just now, and nobody has seen it.
            let _ = unsafe { munmap(reserved, before) };
        }
        if after > 0 {
            // SAFETY: the end of it, likewise.
            let _ = unsafe { munmap(behind, after) };
        }
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::Write => ProtFlags::READ | ProtFlags::WRITE,
        };
        // SAFETY: it takes the place of the middle of what was reserved, which nobody uses.
        let mapped = unsafe { mmap(base, len, protection, MapFlags::SHARED | MapFlags::FIXED, file, 0) };
        // If it fails, the middle may have been given back already, and be somebody else's: it is left alone.
        let base = NonNull::new(mapped?.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len })
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: this value's addresses, and whoever had pointers to them is gone.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    #[test]
    fn a_mapping_begins_where_it_was_asked_to_and_is_the_whole_object() {
        let file = memfd_create("ringshm-mapping", MemfdFlags::CLOEXEC).expect("a memfd");
        let alignment = 1 << 21;
        for len in [alignment, alignment + 1, 3 * alignment - 4096] {
            ftruncate(&file, len as u64).expect("room");
            let aligned = Mapping::new(&file, len, Access::Write, Some(alignment)).expect("addresses");
            let anywhere = Mapping::new(&file, len, Access::Read, None).expect("addresses");
            assert_eq!((aligned.base().addr().get() % alignment, aligned.len()), (0, len));
            let last_of = |mapping: &Mapping| mapping.base().as_ptr().wrapping_add(len - 1);
            // SAFETY: the last byte of the one mapping.
            unsafe { last_of(&aligned).write(7) };
            // SAFETY: the last byte of the other.
            assert_eq!(unsafe { last_of(&anywhere).read() }, 7);
        }
        let short = Mapping::new(&file, 4096, Access::Write, Some(alignment)).expect("addresses");
        assert!(matches!(short, Mapping::Anywhere(_)), "{short:?}");
    }
}
