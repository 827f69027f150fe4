//! Huge pages: one entry of the page table, and of the processor's cache of it, where small pages take hundreds.
//!
//! Of the ways that Linux has to them for shared memory, this one needs nobody's permission and no mount option: whoever makes a ring asks for each part of
//! it to be *collapsed* (`MADV_COLLAPSE`, Linux 6.1), which works in any tmpfs and in a memfd unless `shmem_enabled` says `deny`. Only the maker does, while
//! nobody else has the ring: to collapse pages in use would take them away from running participants for a moment, locked or not. Who joins maps what is
//! there.
//!
//! # Safety
//! `madvise` is given a mapping that the caller has.

#![allow(unsafe_code, reason = "madvise with MADV_COLLAPSE, which rustix does not offer")]

use super::mapping::Mapping;
use core::fmt;
use std::io;

/// The number of the advice, which libc has for glibc only. The same for all architectures of ours.
const MADV_COLLAPSE: libc::c_int = 25;

/// So often the kernel may say that a page was busy just then.
const TRIES: usize = 16;

/// Why pages of a mapping are small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SmallPages {
    /// This participant did not ask for huge ones.
    NotAsked,
    /// The ring is shorter than a huge page.
    TooShort {
        /// The bytes of a huge page.
        huge_page: u64,
    },
    /// This kernel has no huge pages, or not for this.
    Unsupported,
    /// The kernel refused to make them when this participant made the ring.
    Refused {
        /// The number of its error.
        errno: i32,
    },
    /// The ring was there already, and was made without them; or this process may have none.
    MadeWithout,
    /// They were there, and the kernel has split them since.
    TakenBack,
}

impl fmt::Display for SmallPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotAsked => f.write_str("nobody asked for huge pages: use huge_pages"),
            Self::TooShort { huge_page } => {
                write!(f, "the ring is shorter than a huge page of {huge_page} bytes: make it larger")
            }
            Self::Unsupported => f.write_str(
                "this kernel has no transparent huge pages (there is no /sys/kernel/mm/transparent_hugepage/hpage_pmd_size)",
            ),
            Self::Refused { errno: libc::EINVAL } => f.write_str(
                "the kernel makes none here: the ring is on no tmpfs, the kernel older than Linux 6.1, or \
                 /sys/kernel/mm/transparent_hugepage/shmem_enabled says deny, or this process has them disabled (PR_SET_THP_DISABLE)",
            ),
            Self::Refused { errno: libc::ENOMEM } => f.write_str(
                "no memory is free in one piece: make the ring earlier, or compact memory (echo 1 > /proc/sys/vm/compact_memory)",
            ),
            Self::Refused { errno } => {
                write!(f, "the kernel refused to make them: {}", io::Error::from_raw_os_error(errno))
            }
            Self::MadeWithout => f.write_str(
                "the ring was made without huge pages (whoever makes it has to ask for them, and get them), or this process has them disabled \
                 (PR_SET_THP_DISABLE)",
            ),
            Self::TakenBack => f.write_str(
                "the kernel has split huge pages since (to swap them out, for one): lock_memory keeps them from being swapped",
            ),
        }
    }
}

/// The bytes of a huge page, if this kernel has any.
pub(super) fn page_size() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").ok()?;
    text.trim().parse().ok().filter(|size: &usize| size.is_power_of_two())
}

/// Makes the pages of a mapping huge, as far as whole ones fit. It is aligned to them, and nobody else uses the object yet.
pub(super) fn collapse(mapping: &Mapping, huge_page: usize) -> Result<(), SmallPages> {
    let whole = mapping.len() / huge_page * huge_page;
    if whole == 0 {
        return Err(SmallPages::TooShort { huge_page: huge_page as u64 });
    }
    let mut tries = 0;
    loop {
        // SAFETY: the beginning of a mapping, of which no byte changes.
        let result = unsafe { libc::madvise(mapping.base().as_ptr().cast(), whole, MADV_COLLAPSE) };
        if result == 0 {
            return Ok(());
        }
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
        tries += 1;
        if !matches!(errno, libc::EAGAIN | libc::EINTR) || tries == TRIES {
            return Err(SmallPages::Refused { errno });
        }
    }
}
