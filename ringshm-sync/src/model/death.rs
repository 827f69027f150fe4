//! Death at every step: a participant that lives for a given number of shared accesses, or until it comes to a crash point.
//!
//! A killed process runs no destructor and stores nothing more. Here it is an unwinding panic that starts before the
//! access it does not live to make; whatever the participant owned must be leaked by the test (`ManuallyDrop`).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// How long a thread lives.
#[derive(Clone, Copy)]
enum Life {
    Forever,
    Steps(usize),
    Until(&'static str),
}

loom::thread_local! {
    static LIFE: Cell<Life> = Cell::new(Life::Forever);
}

struct Killed;

/// Runs `life`, which dies at its access number `steps` (counted from 0). `None` if it died, else its result.
pub fn live_for<R>(steps: usize, life: impl FnOnce() -> R) -> Option<R> {
    live(Life::Steps(steps), life)
}

/// Runs `life`, which dies when it comes to the crash point of that name ([`crash`](crate::crash)). `None` if it died, else its result.
pub fn live_until<R>(point: &'static str, life: impl FnOnce() -> R) -> Option<R> {
    live(Life::Until(point), life)
}

fn live<R>(span: Life, life: impl FnOnce() -> R) -> Option<R> {
    LIFE.with(|left| left.set(span));
    let end = catch_unwind(AssertUnwindSafe(life));
    LIFE.with(|left| left.set(Life::Forever));
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
    LIFE.with(|life| match life.get() {
        Life::Forever | Life::Until(_) => {}
        Life::Steps(0) => die(life),
        Life::Steps(steps) => life.set(Life::Steps(steps - 1)),
    });
}

/// The thread comes to a crash point.
pub fn pass(point: &'static str) {
    LIFE.with(|life| match life.get() {
        Life::Until(end) if end == point => die(life),
        _ => {}
    });
}

fn die(life: &Cell<Life>) {
    life.set(Life::Forever);
    resume_unwind(Box::new(Killed));
}
