//! Frames of video from one process to another: how many go through, how long one takes from when it is committed until it is borrowed, and how old the
//! newest one is for a consumer that takes no other.
//!
//! The first word of a frame is the time when it was committed, the second its number. All others count up from the number, where pixels are
//! touched; its consumer adds them up, every byte of the frame.

use crate::channel::{FrameReceiver, FrameSender};
use crate::clock::{cpu_seconds, from_nanoseconds, nanoseconds, ticks};
use crate::control::Control;
use crate::message::END;
use crate::plan::{Pixels, Reading};
use crate::stream::take_time;
use crate::trip::{histogram, percentiles, record};

/// Frames under way at a time.
pub const SLOTS: usize = 8;

/// How long a consumer of the newest frames is busy with each, in nanoseconds. A time that frames at usual rates do not divide, so that it comes back at
/// any moment between two of them.
const BUSY: f64 = 4.3e6;

/// The words before the pixels.
const HEAD: usize = 2;

/// Makes the frame with this number, but for its time.
#[inline]
fn write(frame: &mut [u8], number: u64, pixels: Pixels) {
    let (words, _) = frame.as_chunks_mut::<8>();
    words[1] = number.to_le_bytes();
    if pixels == Pixels::Touched {
        for (index, word) in words.iter_mut().enumerate().skip(HEAD) {
            *word = number.wrapping_add(index as u64).to_le_bytes();
        }
    }
}

/// Says in a frame that it is committed now.
#[inline]
fn stamp(frame: &mut [u8]) {
    let now = ticks();
    frame[..8].copy_from_slice(&now.to_le_bytes());
}

/// When a frame was committed, in ticks, and its number.
///
/// # Panics
/// If its pixels were touched and are not those of this number.
#[inline]
fn read(frame: &[u8], pixels: Pixels) -> (u64, u64) {
    let (words, _) = frame.as_chunks::<8>();
    let [committed, number] = [words[0], words[1]].map(u64::from_le_bytes);
    if pixels == Pixels::Touched && number != END {
        let sum = words[HEAD..].iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
        let (count, last) = ((words.len() - HEAD) as u64, words.len() as u64 - 1);
        let indices = count * (HEAD as u64 + last) / 2;
        assert_eq!(sum, number.wrapping_mul(count).wrapping_add(indices), "frame {number} has not its bytes");
    }
    (committed, number)
}

fn end(to: &mut impl FrameSender) {
    to.send(|frame| write(frame, END, Pixels::Untouched));
}

/// The producer of frames, as many as it can.
pub fn produce(to: &mut impl FrameSender, pixels: Pixels, control: &Control) {
    let mut number = 0;
    while !control.is_stopped() {
        to.send(|frame| write(frame, number, pixels));
        number += 1;
    }
    end(to);
}

/// The consumer of them.
pub fn consume(from: &mut impl FrameReceiver, pixels: Pixels, seconds: f64, control: &Control) -> Reading {
    let (mut seen, mut ended) = (0, false);
    take_time(SLOTS, seconds, control, |goal| {
        while seen < goal && !ended {
            let (_, number) = from.recv(|frame| read(frame, pixels));
            ended = number == END;
            assert!(ended || number == seen, "frame {number} in the place of {seen}");
            seen += u64::from(!ended);
        }
        (seen, ended)
    })
}

/// The producer of so many frames a second. It watches the clock, on its own core.
pub fn produce_at(to: &mut impl FrameSender, rate: f64, pixels: Pixels, control: &Control) {
    let interval = from_nanoseconds(1e9 / rate);
    let mut due = ticks() + interval;
    let mut number = 0;
    while !control.is_stopped() {
        if ticks() < due {
            core::hint::spin_loop();
            continue;
        }
        to.send(|frame| {
            write(frame, number, pixels);
            stamp(frame);
        });
        number += 1;
        due += interval;
    }
    end(to);
}

/// The consumer of them, which takes the time from when each is committed until it is borrowed, one reading of the clock included.
pub fn consume_at(from: &mut impl FrameReceiver, pixels: Pixels, seconds: f64, control: &Control) -> Reading {
    take_ages(from, pixels, 0.0, seconds, control)
}

/// A consumer of the newest frames that holds each for a while: how old are they when it gets them, and how many does it not get?
pub fn consume_newest(from: &mut impl FrameReceiver, seconds: f64, control: &Control) -> Reading {
    take_ages(from, Pixels::Untouched, BUSY, seconds, control)
}

fn take_ages(from: &mut impl FrameReceiver, pixels: Pixels, busy: f64, seconds: f64, control: &Control) -> Reading {
    let busy = from_nanoseconds(busy);
    let mut histogram = histogram();
    let (mut begin, mut cpu) = (ticks() + from_nanoseconds(seconds * 1e9 / 5.0), cpu_seconds());
    let length = from_nanoseconds(seconds * 1e9);
    let (mut used, mut stopped) = (0.0, false);
    let (mut first, mut last, mut seen) = (None, 0, 0_u64);
    loop {
        let (got, committed, number) = from.recv(|frame| {
            let got = ticks();
            let (committed, number) = read(frame, pixels);
            while ticks() - got < busy && number != END {
                core::hint::spin_loop();
            }
            (got, committed, number)
        });
        if number == END {
            break;
        }
        assert!(first.is_none() || number > last, "frame {number} after {last}");
        last = number;
        if got < begin || stopped {
            continue;
        }
        if first.is_none() {
            (begin, cpu, first) = (got, cpu_seconds(), Some(number));
        }
        seen += 1;
        record(&mut histogram, nanoseconds(got.saturating_sub(committed)));
        if got - begin > length {
            used = (cpu_seconds() - cpu) * 1e9 / nanoseconds(got - begin);
            stopped = true;
            control.stop();
        }
    }
    let came = first.map_or(0, |first| last + 1 - first);
    let lost = (busy > 0).then(|| came.saturating_sub(seen) as f64 / came.max(1) as f64);
    let spread = percentiles(&histogram);
    Reading { time: spread.p50, spread: Some(spread), cpu: Some(used), lost, ..Reading::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let mut frame = vec![0; 4224];
        write(&mut frame, 7, Pixels::Touched);
        stamp(&mut frame);
        assert_eq!(read(&frame, Pixels::Touched).1, 7);
        *frame.last_mut().unwrap() ^= 1;
        assert_eq!(read(&frame, Pixels::Untouched).1, 7);
        assert!(std::panic::catch_unwind(move || read(&frame, Pixels::Touched)).is_err());
    }
}
