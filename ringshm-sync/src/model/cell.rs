//! Payload bytes that loom watches: one real buffer, so that slices stay contiguous, and a shadow cell per granule, so
//! that two accesses with no edge between them are reported as a race.
//!
//! # Safety
//! As for the real cells; and here loom checks what their callers promise.

#![allow(unsafe_code, reason = "pointer arithmetic inside one range")]

use super::atomic::AtomicU64;
use loom::cell::{ConstPtr, MutPtr, UnsafeCell};
use std::sync::Arc;

/// Bytes that share a shadow cell: the unit in which the rings hand out memory.
const GRANULE: usize = 8;

/// A range of payload memory, shared by all participants. The owner of the memory keeps it alive.
#[derive(Clone, Debug)]
pub struct Bytes {
    base: *mut u8,
    len: usize,
    shadow: Arc<[UnsafeCell<()>]>,
    /// What stands at each multiple of eight, for those who use it as a word.
    words: Arc<[AtomicU64]>,
}

// SAFETY: an address, a length and cells that loom checks.
unsafe impl Send for Bytes {}
// SAFETY: as for `Send`.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// Describes `len` bytes at `base`.
    ///
    /// # Safety
    /// The bytes must stay allocated and initialised as long as this value or a clone of it is used.
    #[must_use]
    pub unsafe fn new(base: *mut u8, len: usize) -> Self {
        let shadow = (0..len.div_ceil(GRANULE)).map(|_| UnsafeCell::new(())).collect();
        let words = (0..len / 8).map(|_| AtomicU64::new(0)).collect();
        Self { base, len, shadow, words }
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

    fn granules(&self, at: usize, len: usize) -> &[UnsafeCell<()>] {
        assert!(at <= self.len && len <= self.len - at, "{at} + {len} is outside of {}", self.len);
        &self.shadow[at / GRANULE..(at + len).div_ceil(GRANULE)]
    }

    /// Access for reading to `len` bytes from offset `at`.
    ///
    /// # Safety
    /// As for the real cell.
    #[must_use]
    pub unsafe fn read(&self, at: usize, len: usize) -> Reading {
        let held = self.granules(at, len).iter().map(UnsafeCell::get).collect();
        Reading { pointer: self.base.wrapping_add(at), _held: held }
    }

    /// Access for writing to `len` bytes from offset `at`.
    ///
    /// # Safety
    /// As for the real cell.
    #[must_use]
    pub unsafe fn write(&self, at: usize, len: usize) -> Writing {
        let held = self.granules(at, len).iter().map(UnsafeCell::get_mut).collect();
        Writing { pointer: self.base.wrapping_add(at), _held: held }
    }

    /// The eight bytes at offset `at`, as a word that all participants share.
    ///
    /// # Safety
    /// As for the real cell.
    #[must_use]
    pub unsafe fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at % 8 == 0, "{at} is no multiple of 8");
        &self.words[at / 8]
    }

    /// The model has no caches.
    pub fn prefetch_to_read(&self, _at: usize) {}

    /// The model has no caches.
    pub fn prefetch_to_write(&self, _at: usize) {}
}

/// A range being read.
#[derive(Debug)]
pub struct Reading {
    pointer: *const u8,
    _held: Vec<ConstPtr<()>>,
}

impl Reading {
    /// The first byte of the range.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.pointer
    }
}

/// A range being written.
#[derive(Debug)]
pub struct Writing {
    pointer: *mut u8,
    _held: Vec<MutPtr<()>>,
}

impl Writing {
    /// Ends the writing: publish after this, not before.
    pub fn finish(self) {}

    /// The first byte of the range.
    #[must_use]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.pointer
    }
}
