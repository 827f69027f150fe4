//! How far apart two cores are: for a millisecond, a word travels there and another one back.

use crate::clock::{nanoseconds, ticks};
use crate::control::Control;
use core::sync::atomic::Ordering::{Acquire, Release};
use serde::{Deserialize, Serialize};

const LEAVE: u64 = u64::MAX;
/// Trips of a window, of which the median is taken.
const TRIPS: u64 = 16;
/// Fewer windows say nothing: the other core was not there.
const WINDOWS: usize = 64;

/// How far apart the two cores of a run were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Hyper-threads of one core: below 40 ns one way.
    Sibling,
    /// Cores of one cache: below 90 ns.
    Near,
    /// Farther.
    Far,
}

impl State {
    /// The label of a run with these times one way before and after it, in nanoseconds; none if the cores moved meanwhile. Times
    /// within a fifth of each other are the same place, on whichever sides of a border they are.
    #[must_use]
    pub fn between(before: f64, after: f64) -> Option<Self> {
        let is_one_place = before.max(after) < 1.2 * before.min(after);
        (is_one_place || Self::of(before) == Self::of(after)).then(|| Self::of(before.midpoint(after)))
    }

    /// The label for a time one way, in nanoseconds.
    #[must_use]
    pub fn of(nanoseconds: f64) -> Self {
        match nanoseconds {
            ..40.0 => Self::Sibling,
            ..90.0 => Self::Near,
            _ => Self::Far,
        }
    }
}

impl core::fmt::Display for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::Sibling => "sibling",
            Self::Near => "near",
            Self::Far => "far",
        })
    }
}

/// Measures, while the other side [`answers`](answer). Returns nanoseconds one way: half the median round trip.
pub fn measure(control: &Control) -> f64 {
    let [there, back] = &control.lanes;
    let mut windows = Vec::with_capacity(1 << 14);
    let mut number = 0;
    let start = ticks();
    let mut last = start;
    while nanoseconds(last - start) < 1e6 || windows.len() < WINDOWS {
        for _ in 0..TRIPS {
            number += 1;
            there.0.store(number, Release);
            while back.0.load(Acquire) != number {
                core::hint::spin_loop();
            }
        }
        let now = ticks();
        windows.push((now - last) as f64);
        last = now;
    }
    there.0.store(LEAVE, Release);
    while back.0.load(Acquire) != LEAVE {
        core::hint::spin_loop();
    }
    nanoseconds(median(&mut windows) as u64) / (2 * TRIPS) as f64
}

/// Sends back every word until the measuring side has enough.
pub fn answer(control: &Control) {
    let [there, back] = &control.lanes;
    let mut last = 0;
    while last != LEAVE {
        let number = there.0.load(Acquire);
        if number == last {
            core::hint::spin_loop();
        } else {
            back.0.store(number, Release);
            last = number;
        }
    }
}

/// The middle one, or 0 of none.
#[must_use]
pub fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
