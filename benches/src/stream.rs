//! Throughput: one side sends as fast as it can, the other checks what comes and takes the time.
//!
//! The consumer reads the clock every few messages, so that 5 to 50 µs lie between two readings. The rate is the median over these
//! windows: a virtual core is taken away for milliseconds now and then, and no mean survives that. Where windows lie within bursts (a
//! consumer that eats up a long backlog, and then waits) the rate is the mean over all windows but those in which a core was taken
//! away; and where the two sides sleep in turns, it is the mean over the whole run.

use crate::channel::{Receiver, RecordReceiver, RecordSender, Sender};
use crate::clock::{from_nanoseconds, nanoseconds, ticks};
use crate::control::Control;
use crate::message::{Check, END, Inspect, LossyCheck, Message};
use crate::plan::Reading;
use crate::probe::median;
use crate::records::{Feed, RecordCheck, Source};
use std::thread;
use std::time::Duration;

/// Messages between two looks at whether the producer shall stop.
pub const BLOCK: u64 = 64;

/// The shortest and the longest window, in nanoseconds.
const WINDOW: (f64, f64) = (5e3, 50e3);

/// A median so many times the mean is that of bursts.
const BURSTS: f64 = 1.3;

/// Where messages may get lost, the one that ends the run is sent again after so long.
const AGAIN: Duration = Duration::from_millis(1);

/// The producer of messages.
pub fn produce<M: Message>(to: &mut impl Sender<M>, batch: usize, control: &Control) {
    let mut next = 0;
    while !control.is_stopped() {
        if batch == 1 {
            for number in next..next + BLOCK {
                to.send(M::numbered(number));
            }
            next += BLOCK;
        } else {
            to.send_batch(next, batch);
            next += batch as u64;
        }
    }
    loop {
        if batch == 1 {
            to.send(M::numbered(END))
        } else {
            to.send_batch(END, 1)
        }
        if !to.may_lose() {
            break;
        }
        thread::sleep(AGAIN);
        if control.has_ended() {
            break;
        }
    }
}

/// The consumer of messages.
pub fn consume<M: Message>(
    from: &mut impl Receiver<M>,
    batch: usize,
    capacity: usize,
    seconds: f64,
    control: &Control,
) -> Reading {
    if from.may_miss() {
        consume_with(from, LossyCheck::default(), batch, capacity, seconds, control)
    } else {
        consume_with(from, Check::default(), batch, capacity, seconds, control)
    }
}

fn consume_with<M: Message>(
    from: &mut impl Receiver<M>,
    mut check: impl Inspect,
    batch: usize,
    capacity: usize,
    seconds: f64,
    control: &Control,
) -> Reading {
    let reading = if batch == 1 {
        take_time(capacity, seconds, control, |goal| {
            while check.seen() < goal && !check.has_ended() {
                check.see(&from.recv());
            }
            (check.seen(), check.has_ended())
        })
    } else {
        take_time(capacity, seconds, control, |goal| {
            while check.seen() < goal && !check.has_ended() {
                from.recv_batch(&mut check);
            }
            (check.seen(), check.has_ended())
        })
    };
    control.end();
    Reading { lost: check.lost(), ..reading }
}

/// The producer of records.
pub fn produce_records(to: &mut impl RecordSender, feed: Feed, batch: usize, control: &Control) {
    let mut source = Source::new(feed, batch);
    let mut next = 0;
    while !control.is_stopped() {
        if batch == 1 {
            to.send(source.one(next));
            next += 1;
        } else {
            source.batch(next, batch, |records| to.send_batch(records));
            next += batch as u64;
        }
    }
    if batch == 1 { to.send(source.one(END)) } else { source.batch(END, 1, |records| to.send_batch(records)) }
}

/// The consumer of records.
pub fn consume_records(
    from: &mut impl RecordReceiver,
    feed: Feed,
    batch: usize,
    capacity: usize,
    seconds: f64,
    control: &Control,
) -> Reading {
    let mut check = RecordCheck::new(feed);
    take_time(capacity, seconds, control, |goal| {
        while check.seen < goal && !check.ended {
            if batch == 1 { from.recv(&mut check) } else { from.recv_batch(&mut check) }
        }
        (check.seen, check.ended)
    })
}

/// Drives a consumer. `reach` receives until it has seen as many messages as it is asked to, or a few more, or the end; and says
/// how many, and whether that was the end.
pub fn take_time(
    capacity: usize,
    seconds: f64,
    control: &Control,
    mut reach: impl FnMut(u64) -> (u64, bool),
) -> Reading {
    // As long again as warming up takes at least: 20 ms for the caches, the branch predictors and the clock of the core.
    let warm = from_nanoseconds((seconds * 1e9 / 5.0).max(20e6));
    let mut stride = 1;
    let mut seen = 0;
    let begin = ticks();
    loop {
        let (start, before) = (ticks(), seen);
        (seen, _) = reach(seen + stride);
        let now = ticks();
        let pace = nanoseconds(now - start) / (seen - before).max(1) as f64;
        // Long enough for the whole ring to change hands twice, where the limits allow it.
        let window = (2.0 * capacity as f64 * pace).clamp(WINDOW.0, WINDOW.1);
        let ideal = (window / pace.max(0.01)) as u64;
        // Smoothed: one window may have fallen into a pause.
        stride = ((stride + ideal) / 2).clamp(1, 1 << 20);
        // Once around the ring at least, so that its pages are there; but a slow rival need not get there.
        let is_around = seen > 2 * capacity as u64 || now - begin > from_nanoseconds(1e9);
        if now - begin > warm && is_around {
            break;
        }
    }
    let length = from_nanoseconds(seconds * 1e9);
    let mut windows: Vec<(u64, u64)> = Vec::with_capacity((seconds * 1e9 / WINDOW.0) as usize + 1024);
    let start = ticks();
    let mut last = start;
    while last - start < length {
        let before = seen;
        (seen, _) = reach(seen + stride);
        let now = ticks();
        windows.push((seen - before, now - last));
        last = now;
    }
    control.stop();
    while !reach(u64::MAX).1 {}
    reading(&windows)
}

/// The rates over windows of (messages, ticks).
#[must_use]
pub fn reading(windows: &[(u64, u64)]) -> Reading {
    let rate = |messages: u64, ticks: u64| messages as f64 * 1e9 / nanoseconds(ticks.max(1));
    let mut rates: Vec<f64> = windows.iter().map(|(messages, ticks)| rate(*messages, *ticks)).collect();
    let median = median(&mut rates);
    // A core that was taken away shows as a window many times as long as the others.
    let usual = windows.iter().filter(|(messages, ticks)| rate(*messages, *ticks) > median / 20.0);
    let (messages, ticks) = usual.fold((0, 0), |sum, window| (sum.0 + window.0, sum.1 + window.1));
    let sustained = rate(messages, ticks);
    let whole = windows.iter().fold((0, 0), |sum, window| (sum.0 + window.0, sum.1 + window.1));
    let rate_of_run = if sustained * BURSTS < median { sustained } else { median };
    Reading { rate: rate_of_run, sustained, whole: rate(whole.0, whole.1), ..Reading::default() }
}
