//! Waiting where the kernel can only be asked again and again.

use ringshm_core::Deadline;
use std::time::{Duration, Instant};

/// How often the processor is offered to others before the first nap: about 30 µs, in which a peer that streams on another core
/// has moved on. Measured with System V queues: without, messages of 4 KiB, of which a queue holds four, take five times as long; with 16, a seventh
/// longer than by calls that block; with 64, as long; with 256, a third longer again.
const OFFERS: u32 = 64;
/// The first nap. The kernel adds about 50 µs to it.
const FIRST_NAP: Duration = Duration::from_micros(1);
/// The longest nap, as long as something may come soon: a look each costs 0.7 % of a core.
const NAP: Duration = Duration::from_millis(5);
/// How long that is.
const SOON: Duration = Duration::from_millis(500);
/// The longest nap after that: 0.16 % of a core.
const LONG_NAP: Duration = Duration::from_millis(20);

/// One wait: rests between looks, which grow.
#[derive(Debug)]
pub(crate) struct Backoff {
    deadline: Deadline,
    offers: u32,
    nap: Duration,
    /// When it began to sleep.
    began: Option<Instant>,
}

impl Backoff {
    /// A wait that ends at `deadline`.
    pub(crate) fn until(deadline: Deadline) -> Self {
        Self { deadline, offers: 0, nap: FIRST_NAP, began: None }
    }

    /// Whether looks are now rare enough for a system call beside each.
    pub(crate) fn naps(&self) -> bool {
        self.offers == OFFERS
    }

    /// Rests. `false`: the deadline has come.
    pub(crate) fn rest(&mut self) -> bool {
        if self.offers < OFFERS {
            if self.deadline.is_over() {
                return false;
            }
            self.offers += 1;
            std::thread::yield_now();
            return true;
        }
        let nap = self.deadline.remaining().map_or(self.nap, |left| left.min(self.nap));
        if nap.is_zero() {
            return false;
        }
        let began = *self.began.get_or_insert_with(Instant::now);
        std::thread::sleep(nap);
        let longest = if began.elapsed() < SOON { NAP } else { LONG_NAP };
        self.nap = (self.nap * 2).min(longest);
        true
    }
}

/// How long somebody sleeps on a descriptor before looking whether the other side is still there, for which no descriptor becomes ready: as long as
/// a parked participant of a ring.
#[derive(Debug, Default)]
pub(crate) struct Looks(Option<Instant>);

impl Looks {
    /// Until the next look.
    pub(crate) fn next(&mut self) -> Duration {
        if self.0.get_or_insert_with(Instant::now).elapsed() < SOON { NAP } else { LONG_NAP }
    }
}

/// How often the processor is offered to others before a sleep on a descriptor, as learned from the last waits of a handle: a sleep takes two system
/// calls and a timer more than a call that blocks, and while the peer streams it is not worth it. Of POSIX queues a stream without offers takes 1.15
/// to 1.18 of the time that it takes with calls that block, and with 64 of them 1.03 (64 bytes) to 1.13 (4 KiB).
#[derive(Debug)]
pub(crate) struct Offers {
    most: u32,
}

impl Default for Offers {
    fn default() -> Self {
        Self { most: OFFERS }
    }
}

impl Offers {
    /// Offers the processor, and says so, unless it was offered so often in this wait, which `made` counts.
    #[inline]
    pub(crate) fn make(&self, made: &mut u32) -> bool {
        if *made >= self.most {
            return false;
        }
        *made += 1;
        std::thread::yield_now();
        true
    }

    /// After `made` of them, there was something.
    #[inline]
    pub(crate) fn helped(&mut self, made: u32) {
        if made > 0 && made <= self.most {
            self.most = (self.most * 2).min(OFFERS);
        }
    }

    /// They did not help: there is nothing yet, and a sleep begins.
    pub(crate) fn were_in_vain(&mut self) {
        self.most = (self.most / 2).max(1);
    }
}
