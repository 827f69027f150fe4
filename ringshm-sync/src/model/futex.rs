//! The futex as an atomic, a mutex and a condition variable: a lost wake-up is a deadlock, which loom reports.

use super::atomic::{AtomicU32, Ordering};
use super::time::Deadline;
use loom::sync::{Condvar, Mutex};

/// A 32-bit word that a thread can sleep on.
#[derive(Debug)]
pub struct Futex {
    word: AtomicU32,
    /// Whether every bounded park has run out.
    expired: Mutex<bool>,
    sleepers: Condvar,
}

impl Futex {
    /// A word with the value `word`.
    #[must_use]
    pub fn new(word: u32) -> Self {
        Self { word: AtomicU32::new(word), expired: Mutex::new(false), sleepers: Condvar::new() }
    }

    /// As in the real futex.
    pub fn load(&self, order: Ordering) -> u32 {
        self.word.load(order)
    }

    /// As in the real futex.
    pub fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        self.word.fetch_or(bits, order)
    }

    /// As in the real futex.
    pub fn fetch_and(&self, bits: u32, order: Ordering) -> u32 {
        self.word.fetch_and(bits, order)
    }

    /// As in the real futex. Time stands still: only a wake or [`expire`](Self::expire) ends it.
    pub fn wait(&self, expected: u32, _deadline: Deadline) {
        super::death::step();
        let expired = lock(&self.expired);
        if !*expired && self.word.load_in_kernel() == expected {
            drop(self.sleepers.wait(expired));
        }
    }

    /// As in the real futex.
    pub fn wake(&self) {
        super::death::step();
        let _held = lock(&self.expired);
        self.sleepers.notify_one();
    }

    /// Lets the bound of every park run out, now and from now on.
    pub fn expire(&self) {
        *lock(&self.expired) = true;
        self.sleepers.notify_all();
    }
}

fn lock(mutex: &Mutex<bool>) -> loom::sync::MutexGuard<'_, bool> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(_) => unreachable!("nobody dies in the middle of a system call of the model"),
    }
}

impl Default for Futex {
    fn default() -> Self {
        Self::new(0)
    }
}
