//! Times of single messages: round trips, in which a message goes there, an answer comes back, and then the next one goes; the way to
//! whoever watches a value; and a message that its sender receives.

use crate::channel::{Receiver, Sender};
use crate::clock::{cpu_seconds, from_nanoseconds, nanoseconds, ticks};
use crate::control::Control;
use crate::message::{END, Message};
use crate::plan::{Percentiles, Reading};
use crate::probe::median;
use hdrhistogram::Histogram;

/// Trips between two of the readings of which the median is taken.
const TRIPS: u64 = 32;

/// An empty histogram of times in tenths of nanoseconds, up to ten seconds, to three digits.
///
/// # Panics
/// Never: the bounds are constants.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 100_000_000_000, 3).expect("the bounds are in order")
}

/// Records a time given in nanoseconds.
pub fn record(histogram: &mut Histogram<u64>, nanoseconds: f64) {
    histogram.saturating_record((nanoseconds * 10.0) as u64);
}

/// The percentiles of a [`histogram`].
#[must_use]
pub fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 10.0;
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: histogram.max() as f64 / 10.0,
        count: histogram.len(),
    }
}

/// The side that asks, and takes the time. Each trip includes one reading of the clock, some ten nanoseconds.
pub fn ask<M: Message>(to: &mut impl Sender<M>, from: &mut impl Receiver<M>, seconds: f64) -> Reading {
    let mut number = 0;
    let mut trip = || {
        to.send(M::numbered(number));
        let answer = from.recv();
        assert!(answer.number() == number && answer.is_sound(), "the answer to {number} is wrong");
        number += 1;
    };
    let warm = from_nanoseconds((seconds * 1e9 / 5.0).min(20e6));
    let begin = ticks();
    while ticks() - begin < warm {
        trip();
    }
    let mut histogram = histogram();
    let mut windows = Vec::with_capacity(1 << 16);
    let length = from_nanoseconds(seconds * 1e9);
    let (start, cpu) = (ticks(), cpu_seconds());
    let mut last = start;
    while last - start < length {
        let window = last;
        for _ in 0..TRIPS {
            trip();
            let now = ticks();
            record(&mut histogram, nanoseconds(now - last));
            last = now;
        }
        windows.push(nanoseconds(last - window) / TRIPS as f64);
    }
    let cpu = (cpu_seconds() - cpu) * 1e9 / nanoseconds(ticks() - start);
    to.send(M::numbered(END));
    Reading { time: median(&mut windows), spread: Some(percentiles(&histogram)), cpu: Some(cpu), ..Reading::default() }
}

/// The side that answers.
pub fn answer<M: Message>(from: &mut impl Receiver<M>, to: &mut impl Sender<M>) {
    loop {
        let message = from.recv();
        if message.number() == END {
            return;
        }
        to.send(message);
    }
}

/// Between two values, in nanoseconds: long enough that whoever watches has seen the first and looks again.
const PAUSE: f64 = 2e3;

/// Writes the time over and over.
pub fn write<M: Message>(to: &mut impl Sender<M>, control: &Control) {
    let pause = from_nanoseconds(PAUSE);
    let mut due = ticks();
    while !control.is_stopped() {
        let now = ticks();
        if now >= due {
            to.send(M::numbered(now));
            due = now + pause;
        }
    }
    to.send(M::numbered(END));
}

/// Watches the value, and compares it with the time. Each time includes one reading of the clock.
pub fn watch<M: Message>(from: &mut impl Receiver<M>, seconds: f64, control: &Control) -> Reading {
    let mut histogram = histogram();
    let mut before = 0;
    let start = ticks() + from_nanoseconds((seconds * 1e9 / 5.0).min(20e6));
    let end = start + from_nanoseconds(seconds * 1e9);
    loop {
        let message = from.recv();
        let now = ticks();
        let number = message.number();
        assert!(message.is_sound() && number > before, "a value is torn, or older than one that was seen");
        if number == END {
            break;
        }
        before = number;
        if now >= end {
            control.stop();
        } else if now >= start {
            record(&mut histogram, nanoseconds(now.saturating_sub(number)));
        }
    }
    let spread = percentiles(&histogram);
    Reading { time: spread.p50, spread: Some(spread), ..Reading::default() }
}

/// Messages between two readings of the clock where nobody else is there.
const ALONE: u64 = 1000;

/// One thread sends a message and receives it, over and over.
pub fn alone<M: Message>(mut to: impl Sender<M>, mut from: impl Receiver<M>, seconds: f64) -> Reading {
    let mut number = 0;
    let mut windows = Vec::with_capacity(1 << 16);
    let start = ticks() + from_nanoseconds((seconds * 1e9 / 5.0).min(20e6));
    let end = start + from_nanoseconds(seconds * 1e9);
    let mut last = ticks();
    while last < end {
        for number in number..number + ALONE {
            to.send(M::numbered(core::hint::black_box(number)));
            let message = from.recv();
            assert!(message.number() == number && message.is_sound(), "message {number} is wrong");
        }
        number += ALONE;
        let now = ticks();
        if last >= start {
            windows.push(nanoseconds(now - last) / ALONE as f64);
        }
        last = now;
    }
    Reading { time: median(&mut windows), ..Reading::default() }
}
