//! Throughput among many: producers send as fast as they can, and all consumers together are counted.
//!
//! There are two cores, so more than two members take turns on them, and those that wait had better let others work: the rivals whose
//! waiting can be chosen give their core away then (see `rivals::pausing`). Consumers count into spans of time that begin at the same
//! moment for all of them. The rate of a crowd is the mean over its run, because whoever has a core decides for a while what happens;
//! one producer with one consumer is judged by the median over spans, as in [`stream`].

use crate::channel::{Receiver, Sender};
use crate::clock::{from_nanoseconds, ticks};
use crate::control::{BINS, Control, MEMBERS, Shared, Tally};
use crate::message::{Check, END, Inspect, Message};
use crate::plan::{Crew, Plan, Reading, Test};
use crate::stream::{self, BLOCK};
use anyhow::{Result, ensure};
use core::sync::atomic::Ordering::Relaxed;

/// The spans in which consumers count, in nanoseconds.
const SPAN: f64 = 50e3;

/// Between two readings of the clock, in nanoseconds.
const STRIDE: (f64, f64) = (2e3, 8e3);

/// A producer's number is in these bits of its messages' numbers; below them they count up.
const PRODUCER: u32 = 48;

/// A producer of messages of which each goes to one consumer. The last producer to end ends the consumers.
pub fn share<M: Message>(to: &mut impl Sender<M>, plan: &Plan, batch: usize, member: usize, shared: &Shared) {
    let (control, first) = (shared.control(), (member as u64) << PRODUCER);
    let mut sent = 0;
    while !control.is_stopped() {
        sent += send_some(to, first + sent, batch);
    }
    // Relaxed: the members meet before anybody looks.
    shared.tallies()[member].sent.store(sent, Relaxed);
    if control.is_last_of(plan.crew.producers) {
        for ended in 1..=plan.crew.consumers {
            // One after the other: a consumer of batches might take two.
            if batch == 1 {
                to.send(M::numbered(END))
            } else {
                to.send_batch(END, 1)
            }
            control.wait_for_ended(ended as u32);
        }
    }
}

/// Sends until the next look at whether it shall stop. Returns how many.
#[inline(always)]
fn send_some<M: Message>(to: &mut impl Sender<M>, first: u64, batch: usize) -> u64 {
    if batch > 1 {
        to.send_batch(first, batch);
        return batch as u64;
    }
    for number in first..first + BLOCK {
        to.send(M::numbered(number));
    }
    BLOCK
}

/// A consumer of such messages.
pub fn take<M: Message>(from: &mut impl Receiver<M>, plan: &Plan, batch: usize, member: usize, shared: &Shared) {
    let mut check = ShareCheck::default();
    count(from, &mut check, plan, batch, member, shared);
    for (tally, (received, sum)) in shared.tallies().iter().zip(check.received) {
        // Relaxed: the members meet before anybody looks.
        tally.received.fetch_add(received, Relaxed);
        tally.sum.fetch_add(sum, Relaxed);
    }
    shared.control().end();
}

/// A consumer of messages that all consumers see.
pub fn listen<M: Message>(from: &mut impl Receiver<M>, plan: &Plan, batch: usize, member: usize, shared: &Shared) {
    count(from, &mut Check::default(), plan, batch, member, shared);
}

/// A producer that nobody holds back, and that counts what it sends.
pub fn publish<M: Message>(to: &mut impl Sender<M>, plan: &Plan, shared: &Shared) {
    let control = shared.control();
    let mut counter = Counter::new(plan, 0, shared);
    let (mut sent, mut stride) = (0, 1);
    while !control.is_stopped() {
        let goal = sent + stride;
        while sent < goal {
            sent += send_some(to, sent, 1);
        }
        stride = counter.count(sent, stride);
    }
    to.send(M::numbered(END));
}

/// A reader that may lose messages, but not see them out of order. The first consumer only takes part in the meetings.
pub fn follow<M: Message>(from: &mut impl Receiver<M>, member: usize, control: &Control) {
    let mut next = 0;
    if member == 0 {
        while !control.is_stopped() {
            std::thread::sleep(core::time::Duration::from_millis(1));
        }
        return;
    }
    loop {
        let message = from.recv();
        let number = message.number();
        assert!(message.is_sound() && number >= next, "message {number} in the place of {next}, or later");
        if number == END {
            return;
        }
        next = number + 1;
    }
}

fn count<M: Message, I: Inspect>(
    from: &mut impl Receiver<M>,
    check: &mut I,
    plan: &Plan,
    batch: usize,
    member: usize,
    shared: &Shared,
) {
    let mut counter = Counter::new(plan, member, shared);
    let mut stride = 1;
    while !check.has_ended() {
        let goal = check.seen() + stride;
        while check.seen() < goal && !check.has_ended() {
            if batch == 1 { from.recv_some(check) } else { from.recv_batch(check) }
        }
        stride = counter.count(check.seen(), stride);
    }
}

/// Counts into spans of time.
struct Counter<'a> {
    control: &'a Control,
    tally: &'a Tally,
    start: u64,
    span: u64,
    spans: u64,
    stride: (u64, u64),
    last: u64,
    seen: u64,
}

impl<'a> Counter<'a> {
    fn new(plan: &Plan, member: usize, shared: &'a Shared) -> Self {
        let (control, tally) = (shared.control(), &shared.tallies()[member]);
        let stride = (from_nanoseconds(STRIDE.0), from_nanoseconds(STRIDE.1));
        let (start, span) = (control.start(), from_nanoseconds(SPAN));
        Self { control, tally, start, span, spans: spans(plan) as u64, stride, last: ticks(), seen: 0 }
    }

    /// Counts what was seen since the last time. Returns after how many more messages it wants to be asked again.
    #[inline]
    fn count(&mut self, seen: u64, stride: u64) -> u64 {
        let now = ticks();
        if self.last >= self.start {
            let (before, span) = ((self.last - self.start) / self.span, (now - self.start) / self.span);
            let mut new = seen - self.seen;
            if span == before + 1 {
                // Partly in the span before.
                let border = self.start + span * self.span;
                let part = (new * (border - self.last)) / (now - self.last);
                self.add(before, part);
                new -= part;
            }
            self.add(span, new);
        }
        let took = now - self.last;
        (self.last, self.seen) = (now, seen);
        match took {
            took if took < self.stride.0 => (stride * 2).min(1 << 16),
            took if took > self.stride.1 => (stride / 2).max(1),
            _ => stride,
        }
    }
}

impl Counter<'_> {
    /// Adds to a span, if it belongs to the run; if not, that has been enough.
    #[inline]
    fn add(&self, span: u64, messages: u64) {
        if span < self.spans {
            let bin = &self.tally.bins[span as usize];
            // Relaxed: only this member writes it, and the members meet before anybody else looks.
            bin.store(bin.load(Relaxed) + messages, Relaxed);
        } else {
            self.control.stop();
        }
    }
}

/// The spans of a run.
fn spans(plan: &Plan) -> usize {
    ((plan.seconds * 1e9 / SPAN) as usize).clamp(1, BINS)
}

/// When consumers begin to count if they begin to work now: after the caches, the branch predictors and the clock of the cores are warm.
#[must_use]
pub fn start(plan: &Plan) -> u64 {
    ticks() + from_nanoseconds((plan.seconds * 1e9 / 5.0).max(20e6))
}

/// What the members reached. Where messages are shared, nothing may be missing or come twice.
///
/// # Errors
/// If a message was lost or came twice.
pub fn sum_up(plan: &Plan, shared: &Shared) -> Result<Reading> {
    let (Crew { producers, consumers }, tallies) = (plan.crew, shared.tallies());
    let (counting, each) = match plan.test {
        Test::Share { .. } => {
            nothing_is_missing(&tallies[..producers])?;
            (consumers, 1)
        }
        Test::Lossy => (1, 1),
        // All of them saw every message.
        _ => (consumers, consumers as u64),
    };
    let span = from_nanoseconds(SPAN);
    let windows: Vec<(u64, u64)> = (0..spans(plan))
        // Relaxed: the members have met.
        .map(|bin| tallies[..counting].iter().map(|tally| tally.bins[bin].load(Relaxed)).sum::<u64>() / each)
        .map(|messages| (messages, span))
        .collect();
    let reading = stream::reading(&windows);
    let mean = Reading { rate: reading.whole, sustained: reading.whole, ..reading.clone() };
    let is_mean = plan.crew.is_crowd() && plan.test != Test::Lossy;
    // Or else nothing came in most of the spans.
    Ok(if is_mean || reading.rate == 0.0 { mean } else { reading })
}

fn nothing_is_missing(tallies: &[Tally]) -> Result<()> {
    for (member, tally) in tallies.iter().enumerate() {
        // Relaxed: the members have met.
        let (sent, received, sum) = (tally.sent.load(Relaxed), tally.received.load(Relaxed), tally.sum.load(Relaxed));
        ensure!(received == sent, "producer {member} sent {sent} messages, and {received} were received");
        let expected = (u128::from(sent) * u128::from(sent.saturating_sub(1)) / 2) as u64;
        ensure!(sum == expected, "of producer {member} a message is missing, and another one came twice");
    }
    Ok(())
}

/// A check where messages are shared: those of each producer come in their order, and are counted and summed up.
#[derive(Debug, Default)]
struct ShareCheck {
    /// The lowest number that may come next.
    next: [u64; MEMBERS],
    /// How many came, and their sum.
    received: [(u64, u64); MEMBERS],
    seen: u64,
    ended: bool,
}

impl Inspect for ShareCheck {
    #[inline(always)]
    fn see<M: Message>(&mut self, message: &M) {
        let number = message.number();
        let (member, number) = ((number >> PRODUCER) as usize, number & ((1 << PRODUCER) - 1));
        if member < MEMBERS && number >= self.next[member] && message.is_sound() {
            self.next[member] = number + 1;
            let (received, sum) = &mut self.received[member];
            *received += 1;
            *sum = sum.wrapping_add(number);
            self.seen += 1;
        } else {
            self.end(message.number(), message.is_sound());
        }
    }

    #[inline(always)]
    fn seen(&self) -> u64 {
        self.seen
    }

    #[inline(always)]
    fn has_ended(&self) -> bool {
        self.ended
    }
}

impl ShareCheck {
    #[cold]
    fn end(&mut self, number: u64, is_sound: bool) {
        assert!(number == END && is_sound, "message {number:#x} (sound: {is_sound}) after {:x?}", self.next);
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Word;
    use std::fs::File;

    fn shared() -> Shared {
        let file = File::from(Shared::create().expect("a page"));
        Shared::map(&file).expect("a mapping")
    }

    fn report(tally: &Tally, sent: u64, received: u64, sum: u64) {
        // Relaxed: one thread.
        tally.sent.store(sent, Relaxed);
        tally.received.store(received, Relaxed);
        tally.sum.store(sum, Relaxed);
    }

    #[test]
    fn a_lost_or_doubled_message_is_found() {
        let shared = shared();
        let tallies = &shared.tallies()[..2];
        report(&tallies[0], 4, 4, 6);
        assert!(nothing_is_missing(tallies).is_ok());
        report(&tallies[1], 3, 2, 3);
        assert!(nothing_is_missing(tallies).is_err(), "one is lost");
        report(&tallies[1], 3, 3, 4);
        assert!(nothing_is_missing(tallies).is_err(), "one is lost, and another one came twice");
        report(&tallies[1], 3, 3, 3);
        assert!(nothing_is_missing(tallies).is_ok());
    }

    #[test]
    fn consumers_see_gaps_and_all_producers() {
        let mut check = ShareCheck::default();
        for number in [0, 2, (1 << PRODUCER) | 5, 3, END] {
            check.see(&Word::numbered(number));
        }
        assert!(check.has_ended());
        assert_eq!(check.seen(), 4);
        assert_eq!(check.received[..2], [(3, 5), (1, 5)]);
    }

    #[test]
    #[should_panic(expected = "message 0x1")]
    fn consumers_see_no_producer_go_back() {
        let mut check = ShareCheck::default();
        check.see(&Word::numbered(2));
        check.see(&Word::numbered(1));
    }
}
