//! A lock among threads of this process, over a value that no panic leaves half changed.

use std::sync::{Mutex, PoisonError};

/// A value that one thread at a time may look at.
#[derive(Debug, Default)]
pub struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    /// Nobody has it.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Lets the caller use the value, when nobody else does.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
