//! The lock as loom's.

use loom::sync::Mutex;

/// As the real lock.
#[derive(Debug)]
pub struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    /// As in the real lock.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// As in the real lock.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        match self.0.lock() {
            Ok(mut guard) => work(&mut guard),
            Err(_) => unreachable!("no model panics with the lock"),
        }
    }
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
