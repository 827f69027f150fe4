//! The futex as an atomic, a mutex and a condition variable: a lost wake-up is a deadlock, which loom reports.

use super::atomic::{AtomicU32, Ordering};
use super::time::Deadline;
use loom::sync::{Arc, Condvar, Mutex};

/// A 32-bit word that a thread can sleep on.
#[derive(Debug)]
pub struct Futex {
    word: AtomicU32,
    bed: Bed,
}

/// The kernel's side of a futex: where its threads sleep.
#[derive(Debug)]
pub(super) struct Bed {
    state: Mutex<State>,
    sleepers: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whether every bounded park has run out.
    expired: bool,
    /// Sleepers that nobody has woken yet.
    asleep: usize,
    /// Those that sleep on other words too, and that this one has not woken yet.
    wakers: Vec<Arc<Waker>>,
}

/// A sleeper on several words.
#[derive(Debug, Default)]
struct Waker {
    is_awake: Mutex<bool>,
    bell: Condvar,
}

impl Waker {
    fn wake(&self) {
        *lock(&self.is_awake) = true;
        self.bell.notify_one();
    }
}

impl Futex {
    /// A word with the value `word`.
    #[must_use]
    pub fn new(word: u32) -> Self {
        Self { word: AtomicU32::new(word), bed: Bed::new() }
    }

    /// As in the real futex.
    pub fn load(&self, order: Ordering) -> u32 {
        self.word.load(order)
    }

    /// As in the real futex.
    pub fn store(&self, word: u32, order: Ordering) {
        self.word.store(word, order);
    }

    /// As in the real futex.
    pub fn swap(&self, word: u32, order: Ordering) -> u32 {
        self.word.swap(word, order)
    }

    /// As in the real futex.
    pub fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        self.word.fetch_or(bits, order)
    }

    /// As in the real futex.
    pub fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        self.word.fetch_add(value, order)
    }

    /// As in the real futex.
    pub fn fetch_and(&self, bits: u32, order: Ordering) -> u32 {
        self.word.fetch_and(bits, order)
    }

    /// As in the real futex. Time stands still: only a wake or [`expire`](Self::expire) ends it.
    pub fn wait(&self, expected: u32, _deadline: Deadline) {
        self.bed.sleep_while(|| self.word.load_in_kernel() == expected);
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
        self.bed.wake()
    }

    /// As in the real futex.
    pub fn wake_all(&self) {
        self.bed.wake_all();
    }

    /// Lets the bound of every park run out, now and from now on.
    pub fn expire(&self) {
        self.bed.expire();
    }
}

impl Bed {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State::default()), sleepers: Condvar::new() }
    }

    /// The kernel compares the word under its own lock, and puts the thread to sleep.
    pub(super) fn sleep_while(&self, is_expected: impl FnOnce() -> bool) {
        super::death::step();
        let mut state = lock(&self.state);
        if state.expired {
            drop(state);
            // As long as it took, others ran.
            loom::thread::yield_now();
        } else if is_expected() {
            state.asleep += 1;
            drop(self.sleepers.wait(state));
        }
    }

    pub(super) fn wake(&self) -> bool {
        super::death::step();
        let mut state = lock(&self.state);
        let any = state.asleep > 0;
        if any {
            state.asleep -= 1;
        } else if let Some(waker) = state.wakers.pop() {
            waker.wake();
            return true;
        }
        self.sleepers.notify_one();
        any
    }

    fn wake_all(&self) {
        super::death::step();
        let mut state = lock(&self.state);
        state.asleep = 0;
        state.wakers.drain(..).for_each(|waker| waker.wake());
        self.sleepers.notify_all();
    }

    pub(super) fn expire(&self) {
        let mut state = lock(&self.state);
        let State { wakers, .. } = core::mem::replace(&mut *state, State { expired: true, ..State::default() });
        wakers.iter().for_each(|waker| waker.wake());
        self.sleepers.notify_all();
    }
}

/// As in the real futex.
pub const MOST_WORDS: usize = 128;

/// As in the real futex.
#[derive(Debug, Default)]
pub struct Words<'a> {
    list: Vec<(&'a Futex, u32)>,
}

impl<'a> Words<'a> {
    /// As in the real futex.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As in the real futex.
    pub fn push(&mut self, word: &'a Futex, expected: u32) {
        self.list.push((word, expected));
    }

    /// As in the real futex, and as in the kernel: queued at one word after the other, each of them compared when it is its turn.
    pub fn wait(&self, _deadline: Deadline) {
        super::death::step();
        let waker = Arc::new(Waker::default());
        let are_as_expected = self.list.iter().all(|(futex, expected)| {
            let mut state = lock(&futex.bed.state);
            let sleeps = !state.expired && futex.word.load_in_kernel() == *expected;
            if sleeps {
                state.wakers.push(Arc::clone(&waker));
            }
            sleeps
        });
        if are_as_expected {
            let mut is_awake = lock(&waker.is_awake);
            while !*is_awake {
                is_awake = match waker.bell.wait(is_awake) {
                    Ok(guard) => guard,
                    Err(_) => unreachable!("as in `lock`"),
                };
            }
        }
        for (futex, _) in &self.list {
            lock(&futex.bed.state).wakers.retain(|other| !Arc::ptr_eq(other, &waker));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> loom::sync::MutexGuard<'_, T> {
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
