//! The kernel's futex over a word that other processes may map. Never private.

use super::atomic::{AtomicU32, Ordering};
use super::time::Deadline;
use rustix::io::Errno;
use rustix::thread::futex;

/// A 32-bit word that a thread can sleep on, in this process or in another one that maps the same page.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Futex(AtomicU32);

impl Futex {
    /// A word with the value `word`.
    #[must_use]
    pub fn new(word: u32) -> Self {
        Self(AtomicU32::new(word))
    }

    /// Loads the word.
    #[inline(always)]
    pub fn load(&self, order: Ordering) -> u32 {
        self.0.load(order)
    }

    /// Sets the bits of `bits`, and returns the word before.
    #[inline]
    pub fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        self.0.fetch_or(bits, order)
    }

    /// Keeps only the bits of `bits`, and returns the word before.
    #[inline]
    pub fn fetch_and(&self, bits: u32, order: Ordering) -> u32 {
        self.0.fetch_and(bits, order)
    }

    /// Sleeps while the word is `expected`, until a [`wake`](Self::wake), a signal or `deadline`.
    ///
    /// Returns at once if the word has another value. It says nothing of why it returned: whoever waits looks again at
    /// what it waits for. The clock is monotonic.
    #[cold]
    pub fn wait(&self, expected: u32, deadline: Deadline) {
        let timeout = deadline.remaining();
        let timeout = timeout.map(|left| rustix::time::Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match futex::wait(self.0.as_core(), futex::Flags::empty(), expected, timeout.as_ref()) {
            // Woken; the word differs; a signal; the deadline. All mean: look again.
            Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
            // No futex here (a seccomp filter): sleeping is impossible, waiting is not.
            Err(_) => std::thread::yield_now(),
        }
    }

    /// As in [`AtomicU32`].
    ///
    /// # Errors
    /// The word found, if it was not `current`.
    #[inline]
    pub fn compare_exchange(&self, current: u32, new: u32, success: Ordering, failure: Ordering) -> Result<u32, u32> {
        self.0.compare_exchange(current, new, success, failure)
    }

    /// Wakes one sleeper, if there is one. Says whether there was.
    #[cold]
    pub fn wake(&self) -> bool {
        // An error would mean an unmapped word, which a reference rules out.
        futex::wake(self.0.as_core(), futex::Flags::empty(), 1).is_ok_and(|woken| woken > 0)
    }

    /// Wakes all sleepers.
    #[cold]
    pub fn wake_all(&self) {
        // An error would mean an unmapped word, which a reference rules out.
        let _ = futex::wake(self.0.as_core(), futex::Flags::empty(), i32::MAX as u32);
    }
}
