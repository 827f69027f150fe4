//! A futex in half of a word: threads sleep on the lower 32 of 64 bits, and the upper ones change together with them.
//!
//! # Safety
//! The lower half is a part of the whole word, so it is mapped and aligned as long as that is. It is handed to the kernel and never
//! accessed here: the program itself reads and writes whole words only.

#![allow(unsafe_code, reason = "the address of half a word, for the kernel")]
#![allow(clippy::disallowed_types, reason = "a part of the shim: what the kernel is given")]

use super::atomic::{AtomicU64, Ordering};
use super::futex::{self, wake};
use super::time::Deadline;

/// A 64-bit word on whose lower half a thread can sleep, in this process or in another one that maps the same page.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct WideFutex(AtomicU64);

impl WideFutex {
    /// A word with the value `word`.
    #[must_use]
    pub const fn new(word: u64) -> Self {
        Self(AtomicU64::new(word))
    }

    /// Loads the word.
    #[inline(always)]
    pub fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    /// Stores the word.
    #[inline]
    pub fn store(&self, word: u64, order: Ordering) {
        self.0.store(word, order);
    }

    /// Adds `more`, wrapping, and returns the word before.
    #[inline]
    pub fn fetch_add(&self, more: u64, order: Ordering) -> u64 {
        self.0.fetch_add(more, order)
    }

    /// As in [`AtomicU64`].
    ///
    /// # Errors
    /// The word found, if it was not `current`.
    #[inline]
    pub fn compare_exchange(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        self.0.compare_exchange(current, new, success, failure)
    }

    /// Sleeps while the lower half is `expected`; otherwise as [`Futex::wait`](futex::Futex::wait).
    #[cold]
    pub fn wait(&self, expected: u32, deadline: Deadline) {
        futex::wait(self.lower_half(), expected, deadline);
    }

    /// Wakes one sleeper, if there is one. Says whether there was.
    #[cold]
    pub fn wake(&self) -> bool {
        wake(self.lower_half(), 1)
    }

    fn lower_half(&self) -> &core::sync::atomic::AtomicU32 {
        let halves: *const core::sync::atomic::AtomicU32 = (&raw const self.0).cast();
        // SAFETY: both halves are inside of the word.
        let half = unsafe { halves.add(usize::from(cfg!(target_endian = "big"))) };
        // SAFETY: mapped and aligned as the word is; only the kernel looks at it.
        unsafe { &*half }
    }
}
