//! Semaphores that C programs use too: POSIX ones in shared memory ([`Semaphore`]), the same under a name ([`named`]), and those of
//! System V ([`sysv`]).
//!
//! A [`Semaphore`] *is* the `sem_t` that glibc's `sem_init(…, 1, …)` and `sem_open` make on 64-bit machines, so a C program waits on and
//! posts the very same object:
//!
//! ```text
//!   0        count     how often one can wait without sleeping   ╮ one 64-bit word: they change together
//!   4        waiters   who sleeps, or is about to                ╯ (the other way round on big-endian machines)
//!   8        sharing   128: between processes
//!  12 … 31   unused
//! ```
//!
//! **Why not the C library's own calls.** They believe what stands in `sharing`, and mix it into the number of the futex operation that
//! they ask of the kernel. A process that scribbles over the object thereby aborts whoever waits or posts ("The futex facility returned
//! an unexpected error code"; a test here shows it), or has a mere post sleep for ever. What is shared is not believed, so the operations
//! are written here: they sleep on the same word, by the same rule, and use the count and the number of waiters only. So they are
//! also the same whichever C library a program is linked with, and loom runs them.
//!
//! Who dies where: who is killed while it waits leaves itself in `waiters`, and every later post makes a system call for
//! nothing, as with the C library. Who is killed between counting up and waking delays a waiter of ours by at most
//! one park ([`LONGEST_PARK`](crate::doorbell::LONGEST_PARK)), because no sleep is longer; one in C sleeps until the next post.
//!
//! On 32-bit machines glibc's `sem_t` has another shape: there, these serve programs of this library only. musl's has another shape
//! everywhere, so a C program linked with musl cannot take part.
//!
//! # Safety
//! A place in shared memory is used as a semaphore on the word of the caller. Every bit pattern of it is valid, and all access is
//! atomic.

#![allow(unsafe_code, reason = "references into memory that the caller shares with others")]

pub mod bell;
mod error;
pub mod event;
#[cfg(not(loom))]
pub mod named;
#[cfg(not(loom))]
pub mod sysv;

pub use error::{AttachError, InitError, PostError};

use crate::atomic::AtomicU32;
use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::crash;
use crate::doorbell::{SHORT_PARKS, end_of_park};
use crate::time::Deadline;
use crate::wait::TimedOut;
use crate::wide::WideFutex;
use core::time::Duration;

/// The highest count: `SEM_VALUE_MAX`.
pub const MOST: u32 = i32::MAX as u32;

/// One in the upper half of the word.
const ONE_WAITER: u64 = 1 << 32;
/// What glibc writes into an object that processes share: what it takes off the number of a futex operation to make it one between
/// processes.
const SHARED: u32 = 128;

fn count_of(word: u64) -> u32 {
    word as u32
}

fn waiters_of(word: u64) -> u32 {
    (word >> 32) as u32
}

/// A counting semaphore for threads of any number of processes: glibc's `sem_t`.
///
/// It lies where its users can reach it: in a mapping that processes share ([`create`](Self::create), [`attach`](Self::attach)), under a
/// name ([`NamedSemaphore`](named::NamedSemaphore)), or simply in an `Arc`. What happened before a [`post`](Self::post) is visible to
/// whoever waited for it.
///
/// Another process that writes nonsense into it can make a wait succeed that nobody posted for, make one wait for ever, or make posts fail
/// or call the kernel in vain; nothing else.
///
/// ```
/// use ringshm_sync::semaphore::Semaphore;
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let done = Arc::new(Semaphore::new(0)?);
/// let worker = std::thread::spawn({
///     let done = Arc::clone(&done);
///     move || done.post()
/// });
/// done.wait();
/// worker.join().expect("it does not panic")?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Semaphore {
    /// | half | meaning | up | down |
    /// |---|---|---|---|
    /// | lower | count | a post | a wait that succeeds |
    /// | upper | waiters | a wait that has to sleep | the same, when it is over |
    word: WideFutex,
    /// `SHARED`. Written for C programs, and read only to find out that one has made this for its own threads alone.
    sharing: AtomicU32,
    unused: [u32; 5],
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Semaphore>() == 32 && align_of::<Semaphore>() == 8);
    assert!(offset_of!(Semaphore, word) == 0 && offset_of!(Semaphore, sharing) == 8);
    #[cfg(all(target_env = "gnu", target_pointer_width = "64"))]
    assert!(size_of::<libc::sem_t>() == 32 && align_of::<libc::sem_t>() == 8);
};

impl Semaphore {
    /// A semaphore that counts `count`.
    ///
    /// # Errors
    /// [`InitError::TooHigh`].
    pub fn new(count: u32) -> Result<Self, InitError> {
        if count > MOST {
            return Err(InitError::TooHigh { count });
        }
        Ok(Self { word: WideFutex::new(count.into()), ..Self::default() })
    }

    /// Counts one down, and waits for a post if there is nothing to count. Signals do not end it.
    pub fn wait(&self) {
        while self.wait_by(Deadline::NEVER).is_err() {}
    }

    /// Counts one down if that can be done at once. Says whether it could. Wait-free while nobody else uses the semaphore, and never a
    /// system call.
    #[inline]
    #[must_use]
    pub fn try_wait(&self) -> bool {
        self.take(0)
    }

    /// As [`wait`](Self::wait), for at most `timeout`, on the monotonic clock: changes of the time of day do not matter.
    ///
    /// # Errors
    /// [`TimedOut`]: nothing was counted.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), TimedOut> {
        // An answer that is there is taken without a look at the clock.
        if self.try_wait() { Ok(()) } else { self.sleep(Deadline::after(timeout)) }
    }

    /// As [`wait`](Self::wait), until `deadline`.
    ///
    /// # Errors
    /// [`TimedOut`]: nothing was counted.
    pub fn wait_by(&self, deadline: Deadline) -> Result<(), TimedOut> {
        if self.try_wait() { Ok(()) } else { self.sleep(deadline) }
    }

    /// Counts one up, and wakes one who waits. Never blocks. A system call only if somebody waits, or was killed while waiting.
    ///
    /// # Errors
    /// [`PostError::Full`]: nothing was counted.
    #[inline]
    pub fn post(&self) -> Result<(), PostError> {
        self.post_and_wake().map(drop)
    }

    /// As [`post`](Self::post); says whether it woke somebody out of a sleep. Who waits and does not sleep yet, or any more, counts down by
    /// itself, and does not count as woken.
    #[inline]
    pub(crate) fn post_and_wake(&self) -> Result<bool, PostError> {
        // Relaxed: only a guess, which the exchange checks.
        let mut word = self.word.load(Relaxed);
        while count_of(word) < MOST {
            // POST: what the poster did is visible to who takes this. Relaxed: on failure nothing is read but the word.
            match self.word.compare_exchange(word, word + 1, Release, Relaxed) {
                Ok(_) => {
                    crash::point("semaphore.counted");
                    return Ok(waiters_of(word) > 0 && self.word.wake());
                }
                Err(found) => word = found,
            }
        }
        Err(PostError::Full)
    }

    /// The count: for people and tools, out of date when it returns.
    #[must_use]
    pub fn value(&self) -> u32 {
        // Relaxed: a display.
        count_of(self.word.load(Relaxed))
    }

    /// How many wait, those who were killed while they did included: for people and tools.
    #[must_use]
    pub fn waiters(&self) -> u32 {
        // Relaxed: a display.
        waiters_of(self.word.load(Relaxed))
    }

    /// Counts one down if there is one, and `waiters` off the waiters with it.
    #[inline]
    fn take(&self, waiters: u64) -> bool {
        // Relaxed: only a guess, which the exchange checks.
        let mut word = self.word.load(Relaxed);
        while count_of(word) > 0 {
            let taken = word.wrapping_sub(1).wrapping_sub(waiters);
            // POST: what the poster did before. Relaxed: on failure nothing is read but the word.
            match self.word.compare_exchange(word, taken, Acquire, Relaxed) {
                Ok(_) => return true,
                Err(found) => word = found,
            }
        }
        false
    }

    /// Counts one down, and if there is nothing to count sleeps once: until a post, a signal, `deadline` or for
    /// [`LONGEST_IDLE_PARK`](crate::doorbell::LONGEST_IDLE_PARK). Says whether it counted. For those who look at something else in
    /// between.
    pub fn doze(&self, deadline: Deadline) -> bool {
        self.try_wait() || self.sleep_in_turns(Some(1), deadline)
    }

    #[cold]
    fn sleep(&self, deadline: Deadline) -> Result<(), TimedOut> {
        if self.sleep_in_turns(None, deadline) { Ok(()) } else { Err(TimedOut) }
    }

    /// Sleeps for so many turns, or until `deadline`. Says whether it counted down.
    fn sleep_in_turns(&self, most: Option<u32>, deadline: Deadline) -> bool {
        // Relaxed: the count is in the same word, so a poster that does not see the waiter is seen by it.
        self.word.fetch_add(ONE_WAITER, Relaxed);
        crash::point("semaphore.waiting");
        let mut turns = 0_u32;
        loop {
            if self.take(ONE_WAITER) {
                return true;
            }
            if most == Some(turns) || deadline.is_over() {
                // Relaxed: a poster that still sees the waiter wakes nobody, and what it counted stays.
                self.word.fetch_add(ONE_WAITER.wrapping_neg(), Relaxed);
                return false;
            }
            // Who counts turns knows how long it has waited.
            let parks = if most.is_some() { SHORT_PARKS } else { turns };
            self.word.wait(0, end_of_park(parks, deadline));
            turns = turns.saturating_add(1);
        }
    }

    /// Makes it anew, counting 0, whatever stands there. Only for those who know that nobody waits: who does, does so in vain until
    /// it looks again.
    pub fn reset(&self) {
        // Relaxed: nobody waits, and what was counted was for nobody.
        self.word.store(0, Relaxed);
        // Relaxed: for C programs, which come later or find it as it was.
        self.sharing.store(SHARED, Relaxed);
    }

    /// Model only: all bounded sleeps run out, now and from now on.
    #[cfg(loom)]
    pub fn expire(&self) {
        self.word.expire();
    }
}

impl Default for Semaphore {
    /// One that counts 0.
    fn default() -> Self {
        Self { word: WideFutex::default(), sharing: AtomicU32::new(SHARED), unused: [0; 5] }
    }
}

#[cfg(not(loom))]
mod place {
    use super::{AttachError, InitError, Relaxed, SHARED, Semaphore};
    use core::alloc::Layout;
    use core::ptr::NonNull;

    impl Semaphore {
        /// The room that a semaphore takes in shared memory: that of a `sem_t`.
        #[must_use]
        pub const fn footprint() -> Layout {
            Layout::new::<Self>()
        }

        /// Makes a semaphore at `place`, as `sem_init(place, 1, count)` does in C. Nobody may use it yet; others then
        /// [`attach`](Self::attach), and nothing needs to be done when they have finished.
        ///
        /// # Safety
        /// There must be a [`footprint`](Self::footprint) of bytes at `place`, to be read and written as long as the result is used, and all
        /// that is done with them meanwhile, in this process, is atomic or a C library's `sem_*` call.
        ///
        /// # Errors
        /// [`InitError`]; then nothing was written.
        pub unsafe fn create<'a>(place: NonNull<u8>, count: u32) -> Result<&'a Self, InitError> {
            let place = place.cast::<Self>();
            if !place.is_aligned() {
                return Err(InitError::Misaligned);
            }
            let made = Self::new(count)?;
            // SAFETY: aligned, and the caller says that there is room and that nobody uses it.
            unsafe { place.write(made) };
            // SAFETY: as above, for as long as the caller says; all fields are atomics, or never looked at.
            Ok(unsafe { place.as_ref() })
        }

        /// Takes part in the semaphore at `place`, which [`create`](Self::create) made in this process or another, or a C program with
        /// `sem_init` and a second argument other than 0.
        ///
        /// # Safety
        /// As for [`create`](Self::create).
        ///
        /// # Errors
        /// [`AttachError`].
        pub unsafe fn attach<'a>(place: NonNull<u8>) -> Result<&'a Self, AttachError> {
            let place = place.cast::<Self>();
            if !place.is_aligned() {
                return Err(AttachError::Misaligned);
            }
            // SAFETY: aligned and there, says the caller; any bits will do, and all access is atomic.
            let semaphore = unsafe { place.as_ref() };
            // Relaxed: for a mistake to be noticed; nothing depends on it.
            match semaphore.sharing.load(Relaxed) {
                SHARED => Ok(semaphore),
                _ => Err(AttachError::NotShared),
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::ptr::NonNull;

    #[test]
    fn it_counts() {
        let semaphore = Semaphore::new(2).expect("a low count");
        assert!(semaphore.try_wait());
        semaphore.wait();
        assert!(!semaphore.try_wait());
        assert_eq!(semaphore.wait_timeout(Duration::ZERO), Err(TimedOut));
        assert_eq!(semaphore.wait_timeout(Duration::from_millis(12)), Err(TimedOut));
        assert_eq!((semaphore.value(), semaphore.waiters()), (0, 0));
        assert_eq!(semaphore.post(), Ok(()));
        assert_eq!(semaphore.value(), 1);
        assert_eq!(semaphore.wait_timeout(Duration::ZERO), Ok(()));
    }

    #[test]
    fn it_does_not_count_too_far() {
        assert_eq!(Semaphore::new(MOST + 1).map(|_| ()), Err(InitError::TooHigh { count: MOST + 1 }));
        let semaphore = Semaphore::new(MOST).expect("just low enough");
        assert_eq!(semaphore.post(), Err(PostError::Full));
        assert!(semaphore.try_wait());
        assert_eq!(semaphore.post(), Ok(()));
        assert_eq!(semaphore.value(), MOST);
    }

    #[test]
    fn a_place_that_is_no_semaphore_is_refused() {
        let mut memory = [0_u64; 5];
        let place = NonNull::from(&mut memory).cast::<u8>();
        let attach = |offset| {
            // SAFETY: inside of the array.
            let place = unsafe { place.add(offset) };
            // SAFETY: there are 32 more bytes, which only this thread uses.
            unsafe { Semaphore::attach(place) }.map(Semaphore::value)
        };
        assert_eq!(attach(0), Err(AttachError::NotShared));
        assert_eq!(attach(4), Err(AttachError::Misaligned));
        // SAFETY: as above.
        let made = unsafe { Semaphore::create(place, 3) }.expect("there is room");
        assert_eq!(attach(0), Ok(3));
        assert!(made.try_wait());
        assert_eq!(attach(0), Ok(2));
    }
}
