//! Scenarios of broadcast rings and registers. What the processes are told is in `actor.rs`.

use crate::support::{Carrier, Process, Ring};
use crate::victim::Victim;

/// How commands call the kind of ring.
fn kind(ring: &Ring) -> &'static str {
    match ring.carrier {
        Carrier::Fixed | Carrier::Short => "slots",
        Carrier::Records => "records",
    }
}

/// Starts a process that opens a ring. Returns it with the number in its reply.
#[track_caller]
fn open(ring: &Ring, command: &str) -> (Process, u64) {
    let mut process = Process::start(&ring.folder);
    let reply = process.ask(command);
    let count = reply.strip_prefix("open ").unwrap_or_else(|| panic!("{command}: {reply}"));
    (process, count.parse().expect("a number"))
}

/// What producers have found torn.
#[track_caller]
fn torn(ring: &Ring) -> u64 {
    ring.snapshot().participants.iter().map(|participant| participant.torn).sum()
}

/// The numbers of `received N missed M…`.
#[track_caller]
fn counts(report: &str) -> (u64, u64) {
    let words: Vec<_> = report.split([' ', ':']).collect();
    let ["received", received, "missed", missed, ..] = words[..] else { panic!("{report}") };
    (received.parse().expect("a number"), missed.parse().expect("a number"))
}

/// With a lossless reader and a lossy one asleep, the victim sends more than a ring full. Its successor goes on.
pub(crate) fn a_producer_dies_broadcasting(ring: &Ring, victim: &mut Victim) {
    let kind = kind(ring);
    let (mut lossless, _) = open(ring, &format!("b-consumer {kind} await park"));
    let (mut lossy, _) = open(ring, &format!("b-reader {kind} await park"));
    for reader in [&mut lossless, &mut lossy] {
        reader.begin("b-recv 300");
        assert!(reader.sleeps());
    }
    victim.does(&format!("b-producer {kind} park"), "open 0");
    victim.does("b-send 150 ack", "sent 150");
    victim.does("b-detach", "ok");
    victim.ends();
    let (mut successor, sent) = open(ring, &format!("b-producer {kind}"));
    let done = victim.done();
    assert!(sent == done || sent == done + 1, "the victim reported {done}, its successor finds {sent}");
    assert_eq!(torn(ring), victim.torn(), "what the victim had begun is counted");
    assert_eq!(successor.ask("b-send 300"), "sent 300");
    assert_eq!(lossless.hear(), "received 300 missed 0", "each once, in order, none torn");
    let (received, missed) = counts(&lossy.hear());
    assert_eq!(received + missed, 300);
    [successor, lossless, lossy].into_iter().for_each(Process::finish);
    ring.assert_gone();
}

/// The victim receives a part, wakes a producer that it holds up, and then is nobody to wait for.
pub(crate) fn a_lossless_reader_dies(ring: &Ring, victim: &mut Victim) {
    let kind = kind(ring);
    let (mut producer, _) = open(ring, &format!("b-producer {kind} park"));
    let (mut other, _) = open(ring, &format!("b-consumer {kind}"));
    other.begin("b-drain");
    victim.does(&format!("b-consumer {kind} park"), "open 0");
    victim.begin("b-recv 150 ack");
    victim.sleeps();
    victim.stop();
    producer.begin("b-send 300");
    assert!(producer.sleeps());
    victim.resume();
    victim.ends_with("received 150 missed 0");
    victim.does("b-detach", "ok");
    victim.ends();
    assert_eq!(producer.hear(), "sent 300");
    producer.finish();
    assert_eq!(other.hear(), "received 300 missed 0: Disconnected");
    other.finish();
    ring.assert_gone();
}

/// The victim may die asleep, or anywhere else: nobody notices.
pub(crate) fn a_lossy_reader_dies(ring: &Ring, victim: &mut Victim) {
    let kind = kind(ring);
    let (mut producer, _) = open(ring, &format!("b-producer {kind}"));
    let (mut other, _) = open(ring, &format!("b-consumer {kind}"));
    other.begin("b-drain");
    victim.does(&format!("b-reader {kind} park"), "open 0");
    victim.begin("b-recv 1");
    victim.sleeps();
    assert_eq!(producer.ask("b-send 300"), "sent 300");
    victim.hear();
    victim.ends();
    producer.finish();
    assert_eq!(other.hear(), "received 300 missed 0: Disconnected");
    other.finish();
    ring.assert_gone();
}

/// A stopped reader is evicted by the victim, or by its successor, and learns it when it goes on.
pub(crate) fn an_evicting_producer_dies(ring: &Ring, victim: &mut Victim) {
    let kind = kind(ring);
    let (mut slow, _) = open(ring, &format!("b-consumer {kind} await"));
    slow.stop();
    victim.does(&format!("b-producer {kind} evict=1"), "open 0");
    victim.does("b-send 150 ack", "sent 150");
    victim.does("b-detach", "ok");
    victim.ends();
    let (mut successor, sent) = open(ring, &format!("b-producer {kind} evict=1"));
    let done = victim.done();
    assert!(sent == done || sent == done + 1, "the victim reported {done}, its successor finds {sent}");
    assert_eq!(torn(ring), victim.torn(), "what the victim had begun is counted");
    assert_eq!(successor.ask("b-send 300"), "sent 300");
    slow.resume();
    assert_eq!(slow.ask("b-drain"), "received 0 missed 0: Evicted");
    successor.finish();
    slow.finish();
    ring.assert_gone();
}

/// A reader that sleeps is woken by the victim, or by its successor, and never sees half a value.
pub(crate) fn the_writer_of_a_register_dies(ring: &Ring, victim: &mut Victim) {
    let (mut reader, _) = open(ring, "l-reader await park");
    reader.begin("l-until 40");
    assert!(reader.sleeps());
    victim.does("l-writer", "open 0");
    victim.does("l-write 20 ack", "wrote 20");
    victim.does("b-detach", "ok");
    victim.ends();
    let (mut successor, written) = open(ring, "l-writer");
    let done = victim.done();
    assert!(written == done || written == done + 1, "the victim reported {done}, its successor finds {written}");
    assert_eq!(torn(ring), victim.torn(), "what the victim had begun is counted");
    assert_eq!(successor.ask("l-write 40"), "wrote 40");
    assert_eq!(reader.hear(), "Some(40)");
    successor.finish();
    reader.finish();
    ring.assert_gone();
}
