//! What the models have in common: how far loom explores, and death at every step.
//!
//! Run them with `cargo xtask loom`; without `--cfg loom` this crate is empty.
#![cfg(loom)]
#![allow(clippy::disallowed_types, reason = "counts executions, outside of what loom explores")]

use ringshm_core::layout::Geometry;
use ringshm_core::memory::Memory;
use ringshm_core::wait::Wait;
use ringshm_core::{Behaviour, OnDeath};
use std::sync::Arc;

use ringshm_sync::barrier::set_membarrier;
pub use ringshm_sync::death::{live_for, live_until};

/// Explores every schedule with up to three preemptions: loom's authors, and the bugs that were seeded to try these models,
/// say that those find what there is to find in programs this small.
pub fn explore(model: impl Fn() + Sync + Send + 'static) {
    explore_with(3, model);
}

/// As [`explore`], on a machine where a ringer's barrier orders nothing. In the model it is a full fence, which would hide
/// the absence of any weaker edge near it; on real hardware it only stops the compiler. For participants that never sleep.
pub fn explore_unfenced(model: impl Fn() + Sync + Send + 'static) {
    explore_unfenced_with(3, model);
}

/// As [`explore_unfenced`], with up to `preemptions`.
pub fn explore_unfenced_with(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    set_membarrier(false);
    explore_with(preemptions, model);
    set_membarrier(true);
}

/// Explores every schedule with up to `preemptions`.
pub fn explore_with(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

/// A ring of `capacity` slots of eight bytes, with nobody in it.
#[must_use]
pub fn slots(capacity: u64) -> Arc<Memory> {
    slots_of::<u64>(capacity)
}

/// A ring of `capacity` slots of a type, with nobody in it.
#[must_use]
pub fn slots_of<T>(capacity: u64) -> Arc<Memory> {
    Memory::on_heap(Geometry::slots(capacity, size_of::<T>() as u64, 0).expect("a small ring"))
}

/// A record ring of `capacity` bytes, with nobody in it.
#[must_use]
pub fn records(capacity: u64) -> Arc<Memory> {
    Memory::on_heap(Geometry::records(capacity, 0).expect("a small ring"))
}

/// Participants that wait by looking again and again.
pub const SPINNING: Behaviour = Behaviour::new(Wait::Spin, OnDeath::Disconnect);

/// Participants that sleep at once.
pub const PARKING: Behaviour = Behaviour::new(Wait::Park, OnDeath::Disconnect);

/// Runs `model` for a participant that lives for 0 steps, 1 step, and so on, until it lives through in every schedule. `model` is
/// given the number of steps and says whether the participant died in this execution.
///
/// # Panics
/// If the participant never dies, or never stops doing so: then the model has no steps, or too many.
pub fn die_at_every_step(model: fn(usize) -> bool) {
    die_with(2, model);
}

/// As [`die_at_every_step`], as in [`explore_unfenced`], with up to `preemptions`.
///
/// # Panics
/// As [`die_at_every_step`].
pub fn die_at_every_step_unfenced(preemptions: usize, model: fn(usize) -> bool) {
    set_membarrier(false);
    die_with(preemptions, model);
    set_membarrier(true);
}

fn die_with(preemptions: usize, model: fn(usize) -> bool) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    const TOO_MANY: usize = 200;
    for steps in 0..TOO_MANY {
        let deaths = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&deaths);
        explore_with(preemptions, move || {
            if model(steps) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        if deaths.load(Ordering::Relaxed) == 0 {
            assert!(steps > 0, "the participant never dies");
            return;
        }
    }
    panic!("the participant still dies after {TOO_MANY} steps");
}
