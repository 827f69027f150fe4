//! Deadlines and patience on the monotonic clock, which no clock change moves.
//!
//! # Safety
//! `clock_gettime` is given a place to write the time to.

#![allow(unsafe_code, reason = "reading a clock that the standard library does not read")]

use std::time::{Duration, Instant};

/// The time on a clock that started with the machine. Read by the C library, which has found the clock before the program begins. rustix looks
/// for it at the first reading, with a system call that a spinning wait promises not to make, and crashes under valgrind.
pub(crate) fn since_boot(clock: libc::clockid_t) -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: see the module.
    let result = unsafe { libc::clock_gettime(clock, &raw mut now) };
    debug_assert_eq!(result, 0, "the kernel has this clock since 2.6.32");
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// The moment at which an operation gives up, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline.
    pub const NEVER: Self = Self(None);

    /// `timeout` from now. A time-out too long for the clock to represent never comes.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// Whether the moment has come.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }

    /// The earlier of this deadline and `timeout` from now.
    #[must_use]
    pub fn at_most(self, timeout: Duration) -> Self {
        let bound = Self::after(timeout);
        match (self.0, bound.0) {
            (Some(own), Some(other)) => Self(Some(own.min(other))),
            (own, other) => Self(own.or(other)),
        }
    }

    /// The time left, zero if it is over, `None` if it never comes.
    #[must_use]
    pub fn remaining(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// Measures whether a spinning wait has used up its budget.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Whether at least `budget` has passed.
    #[must_use]
    pub fn has_run(&self, budget: Duration) -> bool {
        self.elapsed() >= budget
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Rations a system call: at most one in each interval, however often it is asked.
///
/// Reads the coarse clock (about 5 ns, advanced by the kernel's tick), so it may be asked on every empty poll.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ration {
    next: Duration,
}

impl Ration {
    /// Whether `interval` has passed since this last said yes. The first question of all is answered with yes.
    pub fn is_due(&mut self, interval: Duration) -> bool {
        let now = since_boot(libc::CLOCK_MONOTONIC_COARSE);
        if now < self.next {
            return false;
        }
        self.next = now.saturating_add(interval);
        true
    }
}
