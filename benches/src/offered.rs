//! Latency at an offered rate: messages are due at fixed times, and late messages count from when they were due.
//!
//! Each message carries its due time as its number, so that no stall of the producer hides the waiting it causes (no coordinated
//! omission).

use crate::channel::{Receiver, Sender};
use crate::clock::{cpu_seconds, from_nanoseconds, nanoseconds, ticks};
use crate::control::Control;
use crate::message::{END, Message};
use crate::plan::Reading;
use crate::trip::{histogram, percentiles, record};
use hdrhistogram::Histogram;

/// The producer: it watches the clock, on its own core.
pub fn produce<M: Message>(to: &mut impl Sender<M>, rate: f64, control: &Control) {
    let interval = from_nanoseconds(1e9 / rate).max(1);
    let mut due = ticks() + interval;
    while !control.is_stopped() {
        if ticks() >= due {
            to.send(M::numbered(due));
            due += interval;
        } else {
            core::hint::spin_loop();
        }
    }
    to.send(M::numbered(END));
}

/// The consumer.
pub fn consume<M: Message>(from: &mut impl Receiver<M>, seconds: f64, control: &Control) -> Reading {
    let (histogram, cpu) = times(from, (seconds * 1e9 / 5.0).min(20e6), seconds, control);
    let spread = percentiles(&histogram);
    Reading { time: spread.p50, spread: Some(spread), cpu: Some(cpu), ..Reading::default() }
}

/// The times of all messages after so many nanoseconds, and the share of a core that receiving them took.
pub fn times<M: Message>(
    from: &mut impl Receiver<M>,
    warm: f64,
    seconds: f64,
    control: &Control,
) -> (Histogram<u64>, f64) {
    let warm = from_nanoseconds(warm);
    let length = from_nanoseconds(seconds * 1e9);
    let mut histogram = histogram();
    let (mut start, mut cpu) = (ticks() + warm, cpu_seconds());
    let mut is_warm = false;
    let mut before = 0;
    let mut used = 0.0;
    let mut stopped = false;
    loop {
        let message = from.recv();
        if message.number() == END {
            break;
        }
        assert!(message.is_sound() && message.number() > before, "a message is wrong or out of order");
        before = message.number();
        let now = ticks();
        if now < start || stopped {
            continue;
        }
        if !is_warm {
            (start, cpu, is_warm) = (now, cpu_seconds(), true);
            continue;
        }
        record(&mut histogram, nanoseconds(now.saturating_sub(message.number())));
        if now - start > length {
            used = (cpu_seconds() - cpu) * 1e9 / nanoseconds(now - start);
            stopped = true;
            control.stop();
        }
    }
    (histogram, used)
}
