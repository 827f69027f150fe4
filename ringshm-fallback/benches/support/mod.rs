//! What the measurements share: a way beside the bare calls that it is made of, by turns, on two cores.

#![allow(dead_code, reason = "every measurement uses its part")]

use ringshm_core::{Receiver, Sender};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::time::Instant;

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

/// Messages a second: `count` of them, sent or exchanged by `run`.
pub(crate) fn rate(count: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    count as f64 / start.elapsed().as_secs_f64()
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

/// Messages that are sent before the first of them is received where one thread does both: so many of 4 KiB every mechanism holds.
const HELD: usize = 3;

/// Messages a second, where one thread sends a few by `send` and then receives as many by `receive`: what each costs, and no waiting.
pub(crate) fn calls(turns: usize, mut send: impl FnMut(), mut receive: impl FnMut()) -> f64 {
    rate(turns * HELD, || {
        for _ in 0..turns {
            (0..HELD).for_each(|_| send());
            (0..HELD).for_each(|_| receive());
        }
    })
}

/// The same through a channel, with messages of `size` bytes.
pub(crate) fn calls_of(turns: usize, (mut sender, mut receiver): (impl Sender, impl Receiver), size: usize) -> f64 {
    let (message, mut into) = (vec![7; size], Vec::new());
    calls(
        turns,
        || sender.send(&message).expect("there is room"),
        || assert_eq!(receiver.recv(&mut into).expect("it is there"), size),
    )
}
