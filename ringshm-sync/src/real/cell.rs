//! The bytes that the participants of a ring hand to each other.
//!
//! # Safety
//! The accessors return raw pointers and never references: another process may map the same bytes. Whoever reads or
//! writes through them has been given the range by the ring's protocol (claimed it, or seen it published).

#![allow(unsafe_code, reason = "pointer arithmetic inside one mapped range")]

use super::atomic::AtomicU64;
use super::hint;

/// A range of payload memory, shared by all participants. The owner of the memory keeps it alive.
#[derive(Clone, Debug)]
pub struct Bytes {
    base: *mut u8,
    len: usize,
}

// SAFETY: a `Bytes` is an address and a length; every access through it is an `unsafe` call whose caller answers for
// exclusion between threads.
unsafe impl Send for Bytes {}
// SAFETY: as for `Send`; `&Bytes` offers nothing that a copy of it does not.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// Describes `len` bytes at `base`.
    ///
    /// # Safety
    /// The bytes must stay allocated (or mapped) and initialised as long as this value or a clone of it is used.
    #[must_use]
    pub unsafe fn new(base: *mut u8, len: usize) -> Self {
        Self { base, len }
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the range is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Access for reading to `len` bytes from offset `at`.
    ///
    /// # Safety
    /// `at + len` must be at most [`len`](Self::len), and the protocol must keep every other participant from writing the range
    /// while the result is in use (a hostile process may: read through the pointer, form no reference).
    #[inline(always)]
    #[must_use]
    pub unsafe fn read(&self, at: usize, len: usize) -> Reading {
        debug_assert!(at <= self.len && len <= self.len - at);
        // SAFETY: the caller keeps `at` inside the range that `new` was promised.
        let pointer = unsafe { self.base.add(at) };
        Reading { pointer }
    }

    /// Access for writing to `len` bytes from offset `at`.
    ///
    /// # Safety
    /// As for [`read`](Self::read), and no other participant may read the range either.
    #[inline(always)]
    #[must_use]
    pub unsafe fn write(&self, at: usize, len: usize) -> Writing {
        debug_assert!(at <= self.len && len <= self.len - at);
        // SAFETY: the caller keeps `at` inside the range that `new` was promised.
        let pointer = unsafe { self.base.add(at) };
        Writing { pointer }
    }

    /// The eight bytes at offset `at`, as a word that all participants share. A location is used in this way or through
    /// [`read`](Self::read) and [`write`](Self::write), never both.
    ///
    /// # Safety
    /// `at + 8` must be at most [`len`](Self::len), and `at` a multiple of 8 in a range that begins at one.
    #[inline(always)]
    #[must_use]
    pub unsafe fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at <= self.len && 8 <= self.len - at && at % 8 == 0);
        // SAFETY: the caller keeps `at` inside the range that `new` was promised.
        let word = unsafe { self.base.add(at) };
        // SAFETY: mapped and initialised as long as `self`, aligned says the caller, and only used as an atomic.
        unsafe { &*word.cast::<AtomicU64>() }
    }

    /// Asks for the cache line of offset `at`, to be read soon. Only a hint: it reads nothing.
    #[inline(always)]
    pub fn prefetch_to_read(&self, at: usize) {
        hint::prefetch_to_read(self.base.wrapping_add(at));
    }

    /// Asks for the cache line of offset `at`, to be written soon. Only a hint: it writes nothing.
    #[inline(always)]
    pub fn prefetch_to_write(&self, at: usize) {
        hint::prefetch_to_write(self.base.wrapping_add(at));
    }
}

/// A range being read. The model checks that nobody writes it before this is dropped.
#[derive(Debug)]
pub struct Reading {
    pointer: *const u8,
}

impl Reading {
    /// The first byte of the range.
    #[inline(always)]
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.pointer
    }
}

/// A range being written. The model checks that nobody else touches it before this is dropped.
#[derive(Debug)]
pub struct Writing {
    pointer: *mut u8,
}

impl Writing {
    /// Ends the writing: publish after this, not before.
    #[inline(always)]
    pub fn finish(self) {}

    /// The first byte of the range.
    #[inline(always)]
    #[must_use]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.pointer
    }
}
