//! Whether every message came through, once.

use crate::crew::{Crew, Role};
use crate::support::Kind;
use crate::worker::{BATCH, LAGGED, REDELIVERED, is_given_up};
use std::collections::{BTreeMap, BTreeSet};

/// How often a message was received.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    first: u32,
    again: u32,
}

/// Everything that was written down about a ring.
struct Books {
    /// Of each producer: the messages that were surely sent, and whether it was killed.
    producers: BTreeMap<u64, (u64, bool)>,
    /// Of each consumer, in the order of their starts: what it received.
    consumers: Vec<Vec<u64>>,
    /// The same, of those that take every frame.
    in_order: Vec<Vec<u64>>,
    deaths: u32,
}

fn entries(crew: &Crew, id: u64) -> Vec<u64> {
    // Who was killed before it opened its log has none.
    let bytes = std::fs::read(crew.log_of(id)).unwrap_or_default();
    bytes.chunks_exact(8).map(|bytes| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"))).collect()
}

impl Books {
    fn of(crew: &Crew) -> Self {
        let producers = crew.workers.iter().filter(|worker| worker.role == Role::Producer);
        let producers = producers.map(|worker| {
            let sent = entries(crew, worker.id);
            assert!(sent.iter().enumerate().all(|(index, number)| number & 0xffff_ffff == index as u64));
            (worker.id, (sent.len() as u64, worker.was_killed))
        });
        let consumers = || crew.workers.iter().filter(|worker| worker.role == Role::Consumer);
        let received = consumers().map(|worker| entries(crew, worker.id));
        let in_order = consumers().filter(|worker| worker.kind == Kind::Frames);
        Self {
            producers: producers.collect(),
            consumers: received.chain([crew.remains.clone()]).collect(),
            in_order: in_order.map(|worker| entries(crew, worker.id)).collect(),
            deaths: consumers().filter(|worker| worker.was_killed).count() as u32,
        }
    }

    /// Fails if the message was never sent.
    fn assert_was_sent(&self, number: u64) {
        let (sent, was_killed) = self.producers.get(&(number >> 32)).expect("a producer of the storm");
        let most = sent + if *was_killed { BATCH } else { 0 };
        assert!(number & 0xffff_ffff < most, "{number:x} was never sent: its producer sent {sent}");
    }

    /// Everything that was surely sent.
    fn sent(&self) -> impl Iterator<Item = u64> {
        self.producers.iter().flat_map(|(id, (sent, _))| (0..*sent).map(move |index| crate::worker::number(*id, index)))
    }
}

/// Checks the books of a crew that has finished, and returns how many messages were sent. Nobody was taken for dead wrongly if
/// nobody died and nothing is marked as redelivered.
pub(crate) fn check(crew: &Crew) -> u64 {
    let books = Books::of(crew);
    match crew.place.kind {
        Kind::Spsc | Kind::SpscShort | Kind::SpscBySemaphore => check_single(&books),
        Kind::Mpmc | Kind::MpmcBySemaphore | Kind::MpmcOnce | Kind::MpmcBytes => {
            check_shared(&books, crew.place.kind == Kind::MpmcOnce);
        }
        Kind::Broadcast | Kind::BroadcastBySemaphore | Kind::Records => check_broadcast(&books),
        Kind::Lossy | Kind::LossyRecords => check_lossy(&books),
        Kind::Latest => check_register(&books),
        Kind::Frames | Kind::NewestFrame => check_frames(&books, crew.place.capacity),
    }
    books.sent().count() as u64
}

/// One consumer after the other: everything in order; what a dead one had not released comes again, first thing, to the next.
fn check_single(books: &Books) {
    let mut last = None;
    let mut seen = BTreeSet::new();
    let mut repeated = 0;
    for received in &books.consumers {
        for (index, number) in received.iter().enumerate() {
            books.assert_was_sent(*number);
            let again = index == 0 && last == Some(*number);
            repeated += u32::from(again);
            assert!(last < Some(*number) || again, "{number:x} after {last:x?}");
            last = Some(*number);
            seen.insert(*number);
        }
    }
    assert!(repeated <= books.deaths, "{repeated} messages came again, and {} consumers had died", books.deaths);
    let lost: Vec<u64> = books.sent().filter(|number| !seen.contains(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:x?}");
}

fn check_shared(books: &Books, at_most_once: bool) {
    let mut counts: BTreeMap<u64, Count> = BTreeMap::new();
    for received in &books.consumers {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for entry in received {
            let number = entry & !REDELIVERED;
            books.assert_was_sent(number);
            let count = counts.entry(number).or_default();
            if entry & REDELIVERED != 0 {
                count.again += 1;
            } else {
                count.first += 1;
                let before = last.insert(number >> 32, number);
                assert!(before < Some(number), "{number:x} after {before:x?} of the same producer");
            }
        }
    }
    for (number, count) in &counts {
        assert!(count.first <= 1, "{number:x} came {count:?}");
    }
    let again: u32 = counts.values().map(|count| count.again).sum();
    assert!(again <= books.deaths, "{again} messages redelivered, and {} consumers had died", books.deaths);
    assert!(again == 0 || !at_most_once, "redelivered, in a ring that does not");
    let lost: Vec<u64> = books.sent().filter(|number| !counts.contains_key(number)).collect();
    let may_be_lost = if at_most_once { books.deaths as usize } else { 0 };
    assert!(lost.len() <= may_be_lost, "lost: {lost:x?}, and {} consumers had died", books.deaths);
}

/// Each reader a run of the same sequence without a gap.
fn check_broadcast(books: &Books) {
    let all: BTreeSet<u64> = books.consumers.iter().flatten().copied().collect();
    all.iter().for_each(|number| books.assert_was_sent(*number));
    for received in &books.consumers {
        let Some(first) = received.first() else { continue };
        let expected: Vec<u64> = all.range(first..).take(received.len()).copied().collect();
        let differs = received.iter().zip(&expected).find(|(received, expected)| received != expected);
        assert!(differs.is_none(), "(received, expected): {differs:x?}");
    }
    let first = all.first().copied().unwrap_or(u64::MAX);
    let lost: Vec<u64> = books.sent().filter(|number| *number >= first && !all.contains(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:x?}");
}

/// Each reader a part of the same sequence, with gaps; and of each gap it was told exactly how long it is.
///
/// Then a reader that counts what it received and what it was told that it missed knows the position of each message, up to where it
/// began itself. So each producer's messages lie at a fixed distance from each other, and between the first of one and the first of a
/// later one lies, for all readers, what was sent by those in between: nothing more than they may have sent, and nothing less.
fn check_lossy(books: &Books) {
    let mut distances: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for received in &books.consumers {
        let (mut position, mut last) = (0, None);
        for entry in received {
            if entry & LAGGED != 0 {
                let missed = entry & !LAGGED;
                assert!(missed > 0, "lagged, by nothing");
                position += missed;
                continue;
            }
            books.assert_was_sent(*entry);
            let (producer, index) = (entry >> 32, entry & 0xffff_ffff);
            // Where the producer's first message was, or would have been: perhaps before the reader began.
            let begin = u64::wrapping_sub(position, index);
            match last {
                Some((other, first)) if other == producer => assert_eq!(begin, first, "{entry:x} at {position}"),
                Some((other, first)) => {
                    assert!(other < producer, "{entry:x} after one of {other}");
                    let distance = begin.wrapping_sub(first);
                    let known = *distances.entry((other, producer)).or_insert(distance);
                    assert_eq!(known, distance, "{entry:x}: the readers do not agree");
                    let between = || books.producers.range(other..producer).map(|(_, books)| books);
                    let least: u64 = between().map(|(sent, _)| sent).sum();
                    let most = least + between().filter(|(_, was_killed)| *was_killed).count() as u64 * BATCH;
                    assert!((least..=most).contains(&distance), "{distance} messages, and {least} to {most} sent");
                }
                None => {}
            }
            last = Some((producer, begin));
            position += 1;
        }
    }
}

/// Each consumer ever newer frames, and of each gap it was told how long it is. Who takes every frame missed none but those that nobody finished, and
/// perhaps one: that which was published while it joined.
fn check_frames(books: &Books, slots: u64) {
    check_lossy(books);
    let is_finished = |number: &u64| !is_given_up(Kind::Frames, number & 0xffff_ffff);
    let received = books.consumers.iter().flatten().filter(|entry| *entry & LAGGED == 0);
    let unfinished: Vec<&u64> = received.filter(|number| !is_finished(number)).collect();
    assert!(unfinished.is_empty(), "never finished: {unfinished:x?}");
    let in_order = |received: &[u64]| received.iter().copied().filter(|entry| entry & LAGGED == 0).collect();
    let all: BTreeSet<u64> = books.in_order.iter().flat_map(|received| -> Vec<u64> { in_order(received) }).collect();
    for received in &books.in_order {
        let received: Vec<u64> = in_order(received);
        let (Some(first), Some(last)) = (received.first(), received.last()) else { continue };
        let missed: Vec<(usize, &u64)> =
            all.range(first..=last).enumerate().filter(|(_, number)| !received.contains(number)).collect();
        let joining = missed.iter().filter(|(place, _)| (*place as u64) < slots).count();
        assert!(missed.len() == joining && joining <= 1, "missed (place, number): {missed:x?}");
    }
    let first = all.first().copied().unwrap_or(u64::MAX);
    let lost: Vec<u64> =
        books.sent().filter(|number| *number >= first && is_finished(number) && !all.contains(number)).collect();
    assert!(lost.is_empty() || books.in_order.is_empty(), "lost: {lost:x?}");
}

/// Each reader ever newer values, none of them torn.
fn check_register(books: &Books) {
    for received in &books.consumers {
        received.iter().for_each(|number| books.assert_was_sent(*number));
        let back = received.windows(2).find(|pair| pair[0] >= pair[1]);
        assert!(back.is_none(), "an older value after a newer one: {back:x?}");
    }
}
