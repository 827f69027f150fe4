//! Where an object is mapped: anywhere, or on a boundary of huge pages, without which the processor cannot use one.
//!
//! # Safety
//! An [`Owned`] mapping owns its addresses from the reservation to its drop: nobody else maps anything there.

#![allow(
    unsafe_code,
    reason = "places a mapping at an address, and attaches System V segments, which memmap2 does not offer"
)]

use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ops::Range;
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

/// What is mapped.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    File(&'a OwnedFd),
    /// A System V segment, by the kernel's number for it.
    Segment(libc::c_int),
}

/// An object, or a part of it, mapped.
#[derive(Debug)]
pub(super) enum Mapping {
    Anywhere(MmapRaw),
    Owned(Owned),
}

impl Mapping {
    /// Maps the first `len` bytes of an object, on a multiple of `alignment` if there is one. A mapping shorter than that need not be aligned. A
    /// segment is mapped whole.
    pub(super) fn new(source: Source<'_>, len: usize, access: Access, alignment: Option<usize>) -> io::Result<Self> {
        if let Some(alignment) = alignment.filter(|alignment| len >= *alignment) {
            return Owned::aligned(source, len, access, alignment).map(Self::Owned);
        }
        match source {
            Source::File(file) => {
                let mut options = MmapOptions::new();
                let options = options.len(len);
                match access {
                    Access::Read => options.map_raw_read_only(file),
                    Access::Write => options.map_raw(file),
                }
                .map(Self::Anywhere)
            }
            Source::Segment(id) => Owned::attached(id, len, access).map(Self::Owned),
        }
    }

    /// Maps `part` of an object of `len` bytes, to be written.
    pub(super) fn part(source: Source<'_>, len: usize, part: Range<usize>) -> io::Result<Self> {
        match source {
            Source::File(file) => {
                let mapping = MmapOptions::new().offset(part.start as u64).len(part.len()).map_raw(file);
                mapping.map(Self::Anywhere)
            }
            Source::Segment(id) => Ok(Self::Owned(Owned::attached(id, len, Access::Write)?.cut_to(part))),
        }
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        match self {
            Self::Anywhere(mapping) => NonNull::new(mapping.as_mut_ptr()).unwrap_or(NonNull::dangling()),
            Self::Owned(mapping) => mapping.base,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Anywhere(mapping) => mapping.len(),
            Self::Owned(mapping) => mapping.len,
        }
    }

    /// The pages that it takes: where they begin, and how long they are.
    pub(super) fn pages(&self) -> (*mut c_void, usize) {
        pages(self.base(), self.len())
    }

    /// Enters all pages into this process's page table, to be read or to be written.
    pub(super) fn populate(&self, access: Access) -> io::Result<()> {
        let advice = match access {
            Access::Read => Advice::LinuxPopulateRead,
            Access::Write => Advice::LinuxPopulateWrite,
        };
        let (start, len) = self.pages();
        // SAFETY: the mapping is there as long as `self`, and this advice changes no byte of it.
        unsafe { madvise(start, len, advice) }.map_err(io::Error::from)
    }

    /// Keeps all pages in memory as long as the mapping is there.
    pub(super) fn lock(&self) -> io::Result<()> {
        let (start, len) = self.pages();
        // SAFETY: the mapping is there as long as `self`; locked pages are pages like others.
        unsafe { mlock(start, len) }.map_err(io::Error::from)
    }
}

/// The whole pages in which `len` bytes from `base` on lie.
fn pages(base: NonNull<u8>, len: usize) -> (*mut c_void, usize) {
    let page = rustix::param::page_size();
    let before = base.addr().get() % page;
    (base.as_ptr().wrapping_sub(before).cast(), (before + len).next_multiple_of(page))
}

/// A mapping that begins where this process, or a System V segment, wanted it to.
#[derive(Debug)]
pub(super) struct Owned {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: addresses, behind which `Memory` says who does what.
unsafe impl Send for Owned {}
// SAFETY: as for `Send`.
unsafe impl Sync for Owned {}

impl Owned {
    /// `alignment` is a power of two, and a multiple of the page size.
    fn aligned(source: Source<'_>, len: usize, access: Access, alignment: usize) -> io::Result<Self> {
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
        let mapped = match source {
            Source::File(file) => {
                let protection = match access {
                    Access::Read => ProtFlags::READ,
                    Access::Write => ProtFlags::READ | ProtFlags::WRITE,
                };
                // SAFETY: it takes the place of the middle of what was reserved, which nobody uses.
                let mapped = unsafe { mmap(base, len, protection, MapFlags::SHARED | MapFlags::FIXED, file, 0) };
                mapped.map_err(io::Error::from)
            }
            // SAFETY: as above; the segment is `len` bytes long.
            Source::Segment(id) => unsafe { attach(id, base, access, libc::SHM_REMAP) },
        };
        // If it fails, the middle may have been given back already, and be somebody else's: it is left alone.
        let base = NonNull::new(mapped?.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len })
    }

    /// A System V segment of `len` bytes, where the kernel likes it.
    fn attached(id: libc::c_int, len: usize, access: Access) -> io::Result<Self> {
        // SAFETY: among addresses that nobody has.
        let mapped = unsafe { attach(id, null_mut(), access, 0) }?;
        Ok(Self { base: NonNull::new(mapped.cast()).ok_or(io::ErrorKind::OutOfMemory)?, len })
    }

    /// Gives back all whole pages but those of `part`.
    fn cut_to(self, part: Range<usize>) -> Self {
        let whole = ManuallyDrop::new(self);
        // SAFETY: inside of the mapping.
        let base = unsafe { whole.base.add(part.start) };
        let ((all, all_len), (kept, kept_len)) = (pages(whole.base, whole.len), pages(base, part.len()));
        let before = kept.addr() - all.addr();
        // If the ends do not go back, they cost addresses and nothing else.
        if before > 0 {
            // SAFETY: pages of this mapping before the part, to which nobody has pointers yet.
            let _ = unsafe { munmap(all, before) };
        }
        if all_len > before + kept_len {
            // SAFETY: likewise, those behind it.
            let _ = unsafe { munmap(kept.wrapping_byte_add(kept_len), all_len - before - kept_len) };
        }
        Self { base, len: part.len() }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let (start, len) = pages(self.base, self.len);
        // SAFETY: this value's addresses, and whoever had pointers to them is gone. The kernel detaches a segment with its last page.
        let _ = unsafe { munmap(start, len) };
    }
}

/// Attaches a System V segment, anywhere or at `base`.
///
/// # Safety
/// Nobody else may use the addresses at `base`, if it is not null.
unsafe fn attach(id: libc::c_int, base: *mut c_void, access: Access, flags: libc::c_int) -> io::Result<*mut c_void> {
    let access = if access == Access::Read { libc::SHM_RDONLY } else { 0 };
    // SAFETY: the caller vouches for the addresses.
    let mapped = unsafe { libc::shmat(id, base, access | flags) };
    // What it returns instead of an address.
    if mapped.addr() == usize::MAX { Err(io::Error::last_os_error()) } else { Ok(mapped) }
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
            let aligned = Mapping::new(Source::File(&file), len, Access::Write, Some(alignment)).expect("addresses");
            let anywhere = Mapping::new(Source::File(&file), len, Access::Read, None).expect("addresses");
            assert_eq!((aligned.base().addr().get() % alignment, aligned.len()), (0, len));
            let last_of = |mapping: &Mapping| mapping.base().as_ptr().wrapping_add(len - 1);
            // SAFETY: the last byte of the one mapping.
            unsafe { last_of(&aligned).write(7) };
            // SAFETY: the last byte of the other.
            assert_eq!(unsafe { last_of(&anywhere).read() }, 7);
        }
        let short = Mapping::new(Source::File(&file), 4096, Access::Write, Some(alignment)).expect("addresses");
        assert!(matches!(short, Mapping::Anywhere(_)), "{short:?}");
    }
}
