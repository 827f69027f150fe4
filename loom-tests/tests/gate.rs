//! Keeps true what is known of loom's blind spot, and that the shim's gate cures it.
//!
//! One thread claims (a CAS on `tail`) and then publishes (a store to `slot`); the other looks at both. The wanted schedule is the one in
//! which it finds the claim without the publication: one preemption away, and the very schedule in which crash recovery
//! happens. loom 0.7 forgets it when the claimer has loaded both atomics first, as every lock-free queue does.
#![cfg(loom)]
#![allow(clippy::disallowed_types, reason = "counts executions, outside of what loom explores")]

use loom::thread;
use loom_tests::explore;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Executions, and how many of them reached the wanted schedule.
struct Explored {
    executions: usize,
    wanted: usize,
}

macro_rules! explored {
    ($atomic:ty, $loads:expr) => {{
        let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let counted = Arc::clone(&counts);
        explore(move || {
            let ring = Arc::new((<$atomic>::new(0), <$atomic>::new(0)));
            let claimer = thread::spawn({
                let ring = Arc::clone(&ring);
                move || {
                    let (tail, slot) = &*ring;
                    if $loads >= 1 {
                        tail.load(Ordering::Acquire);
                    }
                    if $loads >= 2 {
                        slot.load(Ordering::Acquire);
                    }
                    let claimed = tail.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
                    assert!(claimed.is_ok(), "nobody else claims");
                    slot.store(1, Ordering::Release);
                }
            });
            let (tail, slot) = &*ring;
            let claimed = tail.load(Ordering::Acquire) == 1;
            let published = slot.load(Ordering::Acquire) == 1;
            claimer.join().unwrap();
            counted.0.fetch_add(1, Ordering::Relaxed);
            counted.1.fetch_add(usize::from(claimed && !published), Ordering::Relaxed);
        });
        Explored { executions: counts.0.load(Ordering::Relaxed), wanted: counts.1.load(Ordering::Relaxed) }
    }};
}

type Plain = loom::sync::atomic::AtomicU64;
type Gated = ringshm_sync::atomic::AtomicU64;

#[test]
fn loom_alone_reaches_the_wanted_schedule_if_nothing_is_loaded_before_the_cas() {
    let explored = explored!(Plain, 0);
    assert!(explored.wanted > 0, "never in {} executions", explored.executions);
}

#[test]
fn loom_alone_never_reaches_it_once_both_atomics_are_loaded_before() {
    let explored = explored!(Plain, 2);
    assert_eq!(
        explored.wanted, 0,
        "loom has learned to explore this ({} executions): the gate may be unnecessary now",
        explored.executions
    );
}

#[test]
fn the_shims_gate_reaches_it_whatever_is_loaded_before() {
    for explored in [explored!(Gated, 0), explored!(Gated, 1), explored!(Gated, 2)] {
        assert!(explored.wanted > 0, "never in {} executions", explored.executions);
    }
}
