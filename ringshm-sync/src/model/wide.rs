//! The futex in half of a word: as the whole one of the model, over 64 bits.

use super::atomic::{AtomicU64, Ordering};
use super::futex::Bed;
use super::time::Deadline;

/// A 64-bit word on whose lower half a thread can sleep.
#[derive(Debug)]
pub struct WideFutex {
    word: AtomicU64,
    bed: Bed,
}

impl WideFutex {
    /// A word with the value `word`.
    #[must_use]
    pub fn new(word: u64) -> Self {
        Self { word: AtomicU64::new(word), bed: Bed::new() }
    }

    /// As in the real one.
    pub fn load(&self, order: Ordering) -> u64 {
        self.word.load(order)
    }

    /// As in the real one.
    pub fn store(&self, word: u64, order: Ordering) {
        self.word.store(word, order);
    }

    /// As in the real one.
    pub fn fetch_add(&self, more: u64, order: Ordering) -> u64 {
        self.word.fetch_add(more, order)
    }

    /// As in the real one.
    ///
    /// # Errors
    /// The word found, if it was not `current`.
    pub fn compare_exchange(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        self.word.compare_exchange(current, new, success, failure)
    }

    /// As in the real one. Time stands still: only a wake or [`expire`](Self::expire) ends it.
    pub fn wait(&self, expected: u32, _deadline: Deadline) {
        self.bed.sleep_while(|| self.word.load_in_kernel() as u32 == expected);
    }

    /// As in the real one.
    pub fn wake(&self) -> bool {
        self.bed.wake()
    }

    /// Lets the bound of every park run out, now and from now on.
    pub fn expire(&self) {
        self.bed.expire();
    }
}

impl Default for WideFutex {
    fn default() -> Self {
        Self::new(0)
    }
}
