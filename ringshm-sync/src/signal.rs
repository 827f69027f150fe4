//! A signal: says to one thread of this process that it is to look again, from any other.
//!
//! Not in shared memory, and never rung for a message: so it is raised without asking whether anybody sleeps.

use crate::atomic::Ordering::{Acquire, Release};
use crate::futex::Futex;

/// Counts how often it was raised, in a word that a thread can sleep on.
#[derive(Debug, Default)]
pub struct Signal {
    raised: Futex,
}

impl Signal {
    /// Never raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What to expect of [`word`](Self::word) for a sleep after a look that is taken after this call: everything that was done before a raise
    /// that this has seen is visible to that look, and any other raise ends the sleep.
    #[must_use]
    pub fn seen(&self) -> u32 {
        // RELAY: what whoever raised it had seen, or done.
        self.raised.load(Acquire)
    }

    /// Ends the sleep of the thread that sleeps on the word, or keeps it from falling asleep.
    pub fn raise(&self) {
        // RELAY: what the caller has seen, or done, before the look of whoever sees it raised.
        self.raised.fetch_add(1, Release);
        self.raised.wake_all();
    }

    /// Where to sleep.
    #[must_use]
    pub fn word(&self) -> &Futex {
        &self.raised
    }
}
