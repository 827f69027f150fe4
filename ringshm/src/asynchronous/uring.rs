//! A private io_uring with at most one `FUTEX_WAIT` in it, and one time-out, because nobody rings for what a killed process left undone. The
//! time-out runs on when the wait has ended, so that a message costs one entry. Who is reminded by an executor's timer does without it.
//!
//! The wait belongs to the thread that submitted it. If that one ends, the kernel cancels the wait, which makes the descriptor readable, as
//! everything does that ends a wait: whoever looks watches again, from another thread.
//!
//! # Safety
//! What an entry points to is read by the kernel while it is submitted, and not later: a futex is then known by its page and not by its address.

#![allow(unsafe_code, reason = "entries of an io_uring point to memory")]

use crate::reminder::{Reminded, next_look};
use io_uring::types::{CancelBuilder, TimeoutFlags, Timespec};
use io_uring::{IoUring, Probe, opcode, squeue};
use ringshm_core::waitable::Word;
use ringshm_sync::futex::Futex;
use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Of a 32-bit word, shared between processes: `FUTEX2_SIZE_U32`.
const FLAGS: u32 = 2;
/// Whoever wakes anybody.
const ANYBODY: u64 = u32::MAX as u64;

/// What an entry is, in its `user_data`.
const WAIT: u64 = 1;
const BOUND: u64 = 2;

/// What a wait found that did not sleep.
const CHANGED: i32 = -rustix::io::Errno::AGAIN.raw_os_error();

pub(super) struct Uring {
    ring: IoUring,
    reminded: Option<Reminded>,
    is_watching: bool,
    is_timed: bool,
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring").field("is_watching", &self.is_watching).finish_non_exhaustive()
    }
}

fn wait(word: &Futex, expected: u32) -> squeue::Entry {
    let address = (&raw const *word).cast::<u32>();
    opcode::FutexWait::new(address, expected.into(), ANYBODY, FLAGS).build().user_data(WAIT)
}

/// That moment, as the kernel's monotonic clock has it.
fn timespec(at: Instant) -> Timespec {
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
    (now + at.saturating_duration_since(Instant::now())).into()
}

impl Uring {
    /// Which becomes readable now and then, if it is `reminded`.
    pub(super) fn new(reminded: Option<Reminded>) -> io::Result<Self> {
        Ok(Self { ring: IoUring::new(4)?, reminded, is_watching: false, is_timed: false })
    }

    /// Takes out what has come.
    pub(super) fn clear(&mut self) {
        for entry in self.ring.completion() {
            self.is_watching &= entry.user_data() != WAIT;
            self.is_timed &= entry.user_data() != BOUND;
        }
    }

    /// Makes the descriptor readable when the word is woken, or is not `expected`, and in a while anyhow, if it is reminded. A wait that is under
    /// way goes on: it ends with any wake of the word, whatever was expected of it.
    pub(super) fn watch(&mut self, word: &Word, expected: u32) -> io::Result<()> {
        let watches = (!self.is_watching).then(|| wait(word.futex(), expected));
        let look = if self.reminded.is_some() && !self.is_timed { next_look().map(timespec) } else { None };
        // The same moment for all, and not the time until then: one interrupt serves them.
        let times = look.as_ref().map(|at| opcode::Timeout::new(at).flags(TimeoutFlags::ABS).build().user_data(BOUND));
        for entry in watches.iter().chain(&times) {
            // SAFETY: the word and the time live until they are submitted below.
            if unsafe { self.ring.submission().push(entry) }.is_err() {
                unreachable!("the queue has room for four, and is empty after every call that did not fail");
            }
        }
        self.is_watching = true;
        self.is_timed |= look.is_some();
        self.submit()
    }

    fn submit(&mut self) -> io::Result<()> {
        while !self.ring.submission().is_empty() {
            self.ring.submit()?;
        }
        Ok(())
    }

    /// Ends the wait that is under way, if there is one: nobody is to be woken by it in place of another.
    pub(super) fn quit(&mut self) {
        if self.is_watching {
            // If it has ended by itself, there is nothing to end.
            let _ = self.ring.submitter().register_sync_cancel(None, CancelBuilder::user_data(WAIT));
            self.clear();
        }
    }

    /// Waits for a word that is not as expected: which the kernel notices at once, if it can wait for words.
    fn can_wait_for_words(&mut self) -> io::Result<bool> {
        let word = Futex::new(0);
        let entry = wait(&word, 1);
        // SAFETY: the word lives until the end of this function, and the wait has ended then.
        if unsafe { self.ring.submission().push(&entry) }.is_err() {
            unreachable!("the queue is empty");
        }
        self.ring.submit_and_wait(1)?;
        Ok(self.ring.completion().next().is_some_and(|entry| entry.result() == CHANGED))
    }
}

impl AsFd for Uring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

/// Whether the kernel can do it, tried once; or else why not.
pub(super) fn support() -> Result<(), &'static str> {
    static SUPPORT: OnceLock<Result<(), String>> = OnceLock::new();
    let support = SUPPORT.get_or_init(|| match attempt() {
        Ok(true) => Ok(()),
        Ok(false) => Err("this kernel's io_uring cannot wait for a futex: Linux 6.7 or later can".to_owned()),
        Err(error) => Err(format!(
            "no io_uring ({error}): it is allowed by the sysctl kernel.io_uring_disabled=0 and a seccomp profile that permits it"
        )),
    });
    support.as_ref().copied().map_err(String::as_str)
}

fn attempt() -> io::Result<bool> {
    let mut ring = Uring::new(None)?;
    let mut probe = Probe::new();
    ring.ring.submitter().register_probe(&mut probe)?;
    let codes = [opcode::FutexWait::CODE, opcode::Timeout::CODE];
    Ok(codes.into_iter().all(|code| probe.is_supported(code)) && ring.can_wait_for_words()?)
}
