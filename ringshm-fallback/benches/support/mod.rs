//! What the measurements share: a way beside the bare calls that it is made of, by turns, on two cores.

#![allow(dead_code, reason = "every measurement uses its part")]

use rustix::thread::{CpuSet, sched_setaffinity};

/// Rounds of each, by turns.
const ROUNDS: usize = 9;

/// Keeps the calling thread on a core.
pub(crate) fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("the machine has two cores");
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Prints, for each size of a message in bytes, the time that a message takes, beside that of the bare calls: the ratio first, with its spread. Both
/// are given the size and return messages per second.
pub(crate) fn compare(
    name: &str,
    sizes: &[usize],
    wrapped: &mut dyn FnMut(usize) -> f64,
    bare: &mut dyn FnMut(usize) -> f64,
) {
    for &size in sizes {
        let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=ROUNDS {
            let (wrapped, bare) = (wrapped(size), bare(size));
            if round > 0 {
                ratios.push(bare / wrapped);
                ours.push(1e9 / wrapped);
                theirs.push(1e9 / bare);
            }
        }
        let ratio = median(&mut ratios);
        let (least, most) = (ratios[0], ratios[ROUNDS - 1]);
        println!(
            "{ratio:5.2} ({least:.2} to {most:.2})  {name}, {size} B: {:.0} ns a message, bare {:.0} ns",
            median(&mut ours),
            median(&mut theirs)
        );
    }
}
