//! What can go wrong with a semaphore, one enum per operation, each with a sentence that says what to do next.

use super::MOST;
use core::fmt;

/// Why a semaphore could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitError {
    /// The count is too high.
    TooHigh {
        /// The count.
        count: u32,
    },
    /// The place is not aligned to 8 bytes.
    Misaligned,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooHigh { count } => {
                write!(f, "a semaphore cannot begin at {count}: its highest count is {MOST}; begin lower")
            }
            Self::Misaligned => f.write_str(MISALIGNED),
        }
    }
}

impl core::error::Error for InitError {}

const MISALIGNED: &str = "a semaphore lies at a multiple of 8 bytes and this place is none: choose another offset";

/// Why there is no semaphore to take part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// The place is not aligned to 8 bytes.
    Misaligned,
    /// Nobody has made a semaphore there, or it was made for the threads of one process.
    NotShared,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Misaligned => MISALIGNED,
            Self::NotShared => {
                "there is no semaphore that processes share at this place: have it made before it is used, in C by sem_init with 1 as its second argument"
            }
        })
    }
}

impl core::error::Error for AttachError {}

/// Why a post did not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostError {
    /// The count is [`MOST`] already.
    Full,
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(
                f,
                "the semaphore already counts {MOST}, its highest: more is posted than is waited for; find out who does, or make it anew"
            ),
        }
    }
}

impl core::error::Error for PostError {}
