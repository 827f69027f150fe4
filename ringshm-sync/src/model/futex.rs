//! The futex as an atomic, a mutex and a condition variable: a lost wake-up is a deadlock, which loom reports.

use super::atomic::{AtomicU32, Ordering};
use super::time::Deadline;
use loom::sync::{Condvar, Mutex};

/// A 32-bit word that a thread can sleep on.
#[derive(Debug)]
pub struct Futex {
    word: AtomicU32,
    state: Mutex<State>,
    sleepers: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whether every bounded park has run out.
    expired: bool,
    /// Sleepers that nobody has woken yet.
    asleep: usize,
}

impl Futex {
    /// A word with the value `word`.
    #[must_use]
    pub fn new(word: u32) -> Self {
        Self { word: AtomicU32::new(word), state: Mutex::new(State::default()), sleepers: Condvar::new() }
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
        let mut state = lock(&self.state);
        if !state.expired && self.word.load_in_kernel() == expected {
            state.asleep += 1;
            drop(self.sleepers.wait(state));
        }
    }

    /// As in the real futex.
    ///
    /// # Errors
    /// The word found, if it was not `current`.
    pub fn compare_exchange(&self, current: u32, new: u32, success: Ordering, failure: Ordering) -> Result<u32, u32> {
        self.word.compare_exchange(current, new, success, failure)
    }

    /// As in the real futex.
    pub fn wake(&self) -> bool {
        super::death::step();
        let mut state = lock(&self.state);
        let any = state.asleep > 0;
        if any {
            state.asleep -= 1;
        }
        self.sleepers.notify_one();
        any
    }

    /// As in the real futex.
    pub fn wake_all(&self) {
        super::death::step();
        lock(&self.state).asleep = 0;
        self.sleepers.notify_all();
    }

    /// Lets the bound of every park run out, now and from now on.
    pub fn expire(&self) {
        let mut state = lock(&self.state);
        *state = State { expired: true, asleep: 0 };
        self.sleepers.notify_all();
    }
}

fn lock(mutex: &Mutex<State>) -> loom::sync::MutexGuard<'_, State> {
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
