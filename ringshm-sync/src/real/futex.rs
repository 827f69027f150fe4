//! The kernel's futex over a word that other processes may map. Never private.

#![allow(clippy::disallowed_types, reason = "a part of the shim: what the kernel is given")]

use super::atomic::{AtomicU32, Ordering};
use super::time::{Deadline, since_boot};
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use rustix::io::Errno;
use rustix::thread::{ClockId, futex};
use rustix::time::Timespec;

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

    /// Stores a word.
    #[inline(always)]
    pub fn store(&self, word: u32, order: Ordering) {
        self.0.store(word, order);
    }

    /// Stores a word, and returns the one before.
    #[inline(always)]
    pub fn swap(&self, word: u32, order: Ordering) -> u32 {
        self.0.swap(word, order)
    }

    /// Sets the bits of `bits`, and returns the word before.
    #[inline]
    pub fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        self.0.fetch_or(bits, order)
    }

    /// Adds, wrapping, and returns the word before.
    #[inline]
    pub fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        self.0.fetch_add(value, order)
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
        wait(self.0.as_core(), expected, deadline);
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
        wake(self.0.as_core(), 1)
    }

    /// Wakes all sleepers.
    #[cold]
    pub fn wake_all(&self) {
        wake(self.0.as_core(), i32::MAX as u32);
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}

/// How many words a thread can sleep on at once: the kernel's limit.
pub const MOST_WORDS: usize = 128;

/// How long a sleep on several words lasts on a kernel that cannot do that.
const BLIND_SLEEP: Duration = Duration::from_millis(1);

/// Several words, of the same process or of many, that a thread sleeps on at once, until any of them changes.
pub struct Words<'a> {
    list: [futex::Wait; MOST_WORDS],
    len: usize,
    first: Option<(&'a Futex, u32)>,
    _words: PhantomData<&'a Futex>,
}

impl<'a> Words<'a> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self { list: [futex::Wait::new(); MOST_WORDS], len: 0, first: None, _words: PhantomData }
    }

    /// One more, to sleep on while it is `expected`.
    ///
    /// # Panics
    /// If there are [`MOST_WORDS`] already.
    pub fn push(&mut self, word: &'a Futex, expected: u32) {
        let entry = &mut self.list[self.len];
        entry.val = expected.into();
        entry.uaddr = futex::WaitPtr::new((&raw const *word).cast_mut().cast());
        entry.flags = futex::WaitFlags::SIZE_U32;
        self.len += 1;
        self.first = self.first.or(Some((word, expected)));
    }

    /// As [`Futex::wait`], on all of them: returns at once if any of them has another value than was expected of it.
    ///
    /// Where the kernel cannot sleep on several words (older than 5.16, or a seccomp filter), it sleeps on the first, for a millisecond.
    #[cold]
    pub fn wait(&self, deadline: Deadline) {
        // The kernel wants the moment, and not the time until then.
        let until = deadline.remaining().and_then(|left| since_boot(libc::CLOCK_MONOTONIC).checked_add(left));
        let until = until.map(timespec);
        match futex::waitv(&self.list[..self.len], futex::WaitvFlags::empty(), until.as_ref(), ClockId::Monotonic) {
            // As in `Futex::wait`.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
            Err(_) => match self.first {
                Some((word, expected)) => word.wait(expected, deadline.at_most(BLIND_SLEEP)),
                None => std::thread::sleep(BLIND_SLEEP),
            },
        }
    }

    /// Whether the kernel can do it.
    #[must_use]
    pub fn are_supported() -> bool {
        // No words at all are an error, but another one.
        futex::waitv(&[], futex::WaitvFlags::empty(), None, ClockId::Monotonic) == Err(Errno::INVAL)
    }
}

impl Default for Words<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("len", &self.len).finish_non_exhaustive()
    }
}

pub(super) fn wait(word: &core::sync::atomic::AtomicU32, expected: u32, deadline: Deadline) {
    let timeout = deadline.remaining().map(timespec);
    match futex::wait(word, futex::Flags::empty(), expected, timeout.as_ref()) {
        // Woken; the word differs; a signal; the deadline. All mean: look again.
        Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
        // No futex here (a seccomp filter): sleeping is impossible, waiting is not.
        Err(_) => std::thread::yield_now(),
    }
}

/// Wakes up to `most` sleepers. Says whether there was one.
pub(super) fn wake(word: &core::sync::atomic::AtomicU32, most: u32) -> bool {
    // An error would mean an unmapped word, which a reference rules out.
    futex::wake(word, futex::Flags::empty(), most).is_ok_and(|woken| woken > 0)
}
