//! Death at every step: a participant that lives for a given number of shared accesses.
//!
//! A killed process runs no destructor and stores nothing more. Here it is an unwinding panic that starts before the
//! access it does not live to make; whatever the participant owned must be leaked by the test (`ManuallyDrop`).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

loom::thread_local! {
    static STEPS_LEFT: Cell<Option<usize>> = Cell::new(None);
}

struct Killed;

/// Runs `life`, which dies at its access number `steps` (counted from 0). `None` if it died, else its result.
pub fn live_for<R>(steps: usize, life: impl FnOnce() -> R) -> Option<R> {
    STEPS_LEFT.with(|left| left.set(Some(steps)));
    let end = catch_unwind(AssertUnwindSafe(life));
    STEPS_LEFT.with(|left| left.set(None));
    match end {
        Ok(result) => Some(result),
        Err(payload) if payload.is::<Killed>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

pub(super) fn step() {
    if std::thread::panicking() {
        return;
    }
    STEPS_LEFT.with(|left| match left.get() {
        None => {}
        Some(0) => {
            left.set(None);
            resume_unwind(Box::new(Killed));
        }
        Some(steps) => left.set(Some(steps - 1)),
    });
}
