//! Why a command fails: one sentence and an exit code.

use ringshm::OpenError;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// An error, described on standard error.
const ERROR: u8 = 1;
/// The command line asks for something impossible.
const USAGE: u8 = 2;
/// The producer died without closing the ring.
const PRODUCER_DIED: u8 = 3;

/// What a command ends with instead of success.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { code: ERROR, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    pub(crate) fn producer_died(message: impl Into<String>) -> Self {
        Self { code: PRODUCER_DIED, message: message.into() }
    }

    pub(crate) fn because(error: impl Display) -> Self {
        Self::new(error.to_string())
    }

    /// `step` says what was tried, `error` why it failed.
    pub(crate) fn at(step: impl Display, error: impl Display) -> Self {
        Self::new(format!("{step}: {error}"))
    }

    /// The same, of the ring called `name`.
    pub(crate) fn of(self, name: &str) -> Self {
        Self { message: format!("{name}: {}", self.message), ..self }
    }

    /// The worse of two: that a producer died is less than an error.
    pub(crate) fn or_worse(self, other: Self) -> Self {
        if other.code == PRODUCER_DIED { self } else { other }
    }

    /// Tells standard error.
    pub(crate) fn report(&self) -> ExitCode {
        // Nobody is left to be told if this fails.
        let _ = writeln!(std::io::stderr(), "ringshm: {}", self.message);
        self.code()
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<ringshm::Fault> for Failure {
    fn from(fault: ringshm::Fault) -> Self {
        Self::new(fault.to_string())
    }
}
