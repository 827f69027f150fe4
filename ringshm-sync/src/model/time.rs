//! Time stands still in the model: a deadline is over from the start, or never.

use core::time::Duration;

/// The moment at which an operation gives up, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    over: bool,
}

impl Deadline {
    /// No deadline.
    pub const NEVER: Self = Self { over: false };

    /// Over at once if `timeout` is zero, else never.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self { over: timeout.is_zero() }
    }

    /// Whether the moment has come.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.over
    }

    /// The earlier of this deadline and `timeout` from now.
    #[must_use]
    pub fn at_most(self, timeout: Duration) -> Self {
        Self { over: self.over || timeout.is_zero() }
    }
}

/// Measures whether a spinning wait has used up its budget: it always has.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch;

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self
    }

    /// Whether at least `budget` has passed.
    #[must_use]
    pub fn has_run(&self, _budget: Duration) -> bool {
        true
    }

    /// None.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// Rations a system call. Here every question is answered with yes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ration(());

impl Ration {
    /// Whether `interval` has passed since this last said yes.
    pub fn is_due(&mut self, _interval: Duration) -> bool {
        true
    }
}
