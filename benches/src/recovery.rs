//! How long a message stays away whose consumer is killed with it: from the signal until another consumer receives it.

use crate::channel::{Receiver, Sender};
use crate::clock::{nanoseconds, ticks};
use crate::control::Control;
use crate::message::{Message as _, Word};
use crate::plan::Reading;
use crate::processes::Player;
use crate::trip::{histogram, percentiles, record};
use anyhow::{Result, ensure};
use core::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

/// Deaths in a run.
const DEATHS: u64 = 40;

/// So long a victim may take to start.
const PATIENCE: Duration = Duration::from_secs(5);

/// A victim says that it has received the next message, and waits for its end.
pub fn hold(control: &Control) -> ! {
    let held = &control.lanes[0].0;
    held.fetch_add(1, Release);
    loop {
        std::thread::park();
    }
}

/// The survivor: it sends a message, lets a victim receive it, kills that, and receives the message itself.
///
/// # Errors
/// If a victim does not come, or the wrong message does.
pub fn survive(
    end: &mut (impl Sender<Word> + Receiver<Word>),
    control: &Control,
    victim: impl Fn() -> Result<Player>,
) -> Result<Reading> {
    let held = &control.lanes[0].0;
    let mut histogram = histogram();
    for number in 0..DEATHS {
        end.send(Word::numbered(number));
        let mut victim = victim()?;
        let start = Instant::now();
        while held.load(Acquire) == number {
            ensure!(start.elapsed() < PATIENCE, "the victim does not come");
            std::thread::yield_now();
        }
        let killed = ticks();
        victim.kill();
        let message = end.recv();
        record(&mut histogram, nanoseconds(ticks() - killed));
        ensure!(message.number() == number, "message {} came in the place of {number}", message.number());
    }
    control.stop();
    let spread = percentiles(&histogram);
    Ok(Reading { time: spread.p50, spread: Some(spread), ..Reading::default() })
}
