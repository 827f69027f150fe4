//! Deadlines and patience on the monotonic clock, which no clock change moves.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

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
#[derive(Clone, Copy, Debug)]
pub struct Ration {
    next: u64,
}

impl Ration {
    /// Before the first question. Reads the clock once: the first reading of a process has to find the clock with a system call, which
    /// a spinning wait promises not to make.
    #[must_use]
    pub fn start() -> Self {
        let _ = clock_gettime(ClockId::MonotonicCoarse);
        Self { next: 0 }
    }

    /// Whether `interval` has passed since this last said yes. The first question of all is answered with yes.
    pub fn is_due(&mut self, interval: Duration) -> bool {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        #[allow(clippy::cast_sign_loss, reason = "the monotonic clock is never negative")]
        let now = (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64;
        if now < self.next {
            return false;
        }
        self.next = now.saturating_add(u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX));
        true
    }
}
