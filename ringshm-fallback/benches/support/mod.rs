//! What the benches of all mechanisms share: two ways to do the same, turn by turn, and their ratio.

#![allow(dead_code, reason = "every bench uses its part")]

use rustix::thread::{CpuSet, sched_setaffinity};
use std::time::Instant;

/// Rounds of each way; odd, so that there is a median.
const ROUNDS: usize = 15;

/// Does the `wrapped` and the `bare` form of the same by turns, for each size, and prints the median of each, in messages a second, and of the
/// ratios of their times within a round: above 1, what is wrapped takes longer.
pub(crate) fn compare(
    name: &str,
    sizes: &[usize],
    wrapped: &mut dyn FnMut(usize) -> f64,
    bare: &mut dyn FnMut(usize) -> f64,
) {
    for &size in sizes {
        // The first of each warms up.
        let _ = (wrapped(size), bare(size));
        let rounds: Vec<_> = (0..ROUNDS).map(|_| (wrapped(size), bare(size))).collect();
        let ratio = median(rounds.iter().map(|(wrapped, bare)| bare / wrapped));
        let (wrapped, bare) = (median(rounds.iter().map(|round| round.0)), median(rounds.iter().map(|round| round.1)));
        println!("{ratio:.3}  {name}, {size} B: {:.0} k/s, bare {:.0} k/s", wrapped / 1e3, bare / 1e3);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Messages a second: `count` of them, sent or exchanged by `run`.
pub(crate) fn rate(count: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    count as f64 / start.elapsed().as_secs_f64()
}

/// Keeps this thread on one core. Where there is no such core, it goes where it likes.
pub(crate) fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

/// Runs `far` on core 1 and `near` on core 0, to the end of both.
pub(crate) fn beside(far: impl FnOnce() + Send, near: impl FnOnce()) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            far();
        });
        pin(0);
        near();
    });
}
