//! Scenarios of rings of frames. What the processes are told is in `../frames/actor.rs`.

use crate::support::{Process, Ring};
use crate::victim::Victim;

const NAME: &str = "film";
/// How the ring is made.
const MAKING: &str = "slots=4";

fn open(ring: &Ring, command: &str) -> (Process, u64) {
    let mut process = Process::start(&ring.folder);
    let reply = process.ask(command);
    let count = reply.strip_prefix("open ").unwrap_or_else(|| panic!("{command}: {reply}"));
    (process, count.parse().expect("a number"))
}

fn finish(ring: &Ring, processes: impl IntoIterator<Item = Process>) {
    processes.into_iter().for_each(Process::finish);
    ring.folder.assert_empty();
}

/// The frames that a report says were received and skipped.
#[track_caller]
fn counts(report: &str) -> (u64, u64) {
    let words: Vec<_> = report.split([' ', ':']).collect();
    let ["received", received, "skipped", skipped, ..] = words[..] else { panic!("{report}") };
    (received.parse().expect("a number"), skipped.parse().expect("a number"))
}

/// With a recorder and a renderer asleep, the victim sends more than a ring full, and then shows a frame that it does not finish. Its
/// successor goes on: who takes every frame gets each once and whole.
pub(crate) fn a_decoder_dies(ring: &Ring, victim: &mut Victim) {
    let (first, _) = open(ring, &format!("f-producer {NAME} {MAKING}"));
    let (mut recorder, _) = open(ring, &format!("f-consumer {NAME} hold=1 await park"));
    let (mut renderer, _) = open(ring, &format!("f-consumer {NAME} newest hold=1 await park"));
    let mut first = first;
    assert_eq!(first.ask("f-detach"), "ok");
    for process in [&mut recorder, &mut renderer] {
        process.begin("f-recv 40");
        assert!(process.sleeps());
    }
    victim.does(&format!("f-producer {NAME} park"), "open 0");
    victim.does("f-send 20 ack", "sent 20");
    victim.does("f-begin 10", "begun 20");
    // What it gives up first, the recorder need not have taken.
    victim.does("f-loan", "ok");
    victim.does("f-detach", "ok");
    victim.ends();
    let done = victim.done();
    let (mut successor, sent) = open(ring, &format!("f-producer {NAME}"));
    assert!((done..=done + 1).contains(&sent) || sent == 21, "the victim reported {done}, its successor finds {sent}");
    assert_eq!(successor.ask("f-send 40"), "sent 40");
    // Of one that was shown and given up it knows that it missed it.
    let (received, skipped) = counts(&recorder.hear());
    assert!(received + skipped == 40 && skipped <= 1, "received {received} skipped {skipped}");
    let (received, skipped) = counts(&renderer.hear());
    assert_eq!(received + skipped, 40);
    finish(ring, [first, successor, recorder, renderer]);
}

/// The victim takes frames, holds some of them, lets go in another order, and leaves; or dies doing so. Nobody waits for it for long.
pub(crate) fn a_recorder_dies(ring: &Ring, victim: &mut Victim) {
    let (mut decoder, _) = open(ring, &format!("f-producer {NAME} {MAKING} park"));
    victim.does(&format!("f-consumer {NAME} hold=2 park"), "open 0");
    assert_eq!(decoder.ask("f-send 4"), "sent 4");
    victim.does("f-take 2 ack", "holds 0 1");
    decoder.begin("f-send 8");
    victim.does("f-let 1", "ok");
    victim.does("f-let 0", "ok");
    victim.does("f-recv 6 ack", "received 4 skipped 0");
    victim.does("f-close", "ok");
    victim.ends();
    assert_eq!(decoder.hear(), "sent 8");
    assert_eq!(decoder.ask("f-send 20"), "sent 20", "nothing is held any more");
    let (mut next, _) = open(ring, &format!("f-consumer {NAME} hold=2 start=newest"));
    assert_eq!(decoder.ask("f-send 22"), "sent 22");
    assert_eq!(next.ask("f-take 2"), "holds 20 21", "its lane is clean, and all that may be held is there");
    next.ask("f-close");
    finish(ring, [decoder, next]);
}

/// The same with a victim that takes the newest only. The decoder does not even notice.
pub(crate) fn a_renderer_dies(ring: &Ring, victim: &mut Victim) {
    let (mut decoder, _) = open(ring, &format!("f-producer {NAME} {MAKING}"));
    let (mut recorder, _) = open(ring, &format!("f-consumer {NAME} hold=1"));
    victim.does(&format!("f-consumer {NAME} newest hold=1 park"), "open 0");
    recorder.begin("f-recv 60");
    for to in [10, 30] {
        assert_eq!(decoder.ask(&format!("f-send {to}")), format!("sent {to}"));
        victim.does("f-take 1 ack", &format!("holds {}", to - 1));
        assert_eq!(decoder.ask(&format!("f-send {}", to + 10)), format!("sent {}", to + 10));
        victim.does(&format!("f-let {}", to - 1), "ok");
    }
    victim.does("f-close", "ok");
    victim.ends();
    assert_eq!(decoder.ask("f-send 60"), "sent 60");
    assert_eq!(recorder.hear(), "received 60 skipped 0");
    finish(ring, [decoder, recorder]);
}

/// The victim comes while nobody takes its predecessor's frames back, does so as it joins, and then may die as well.
pub(crate) fn a_successor_of_a_dead_recorder_dies(ring: &Ring, victim: &mut Victim) {
    let (mut decoder, _) = open(ring, &format!("f-producer {NAME} {MAKING}"));
    let (mut dead, _) = open(ring, &format!("f-consumer {NAME} hold=2"));
    assert_eq!(decoder.ask("f-send 4"), "sent 4");
    assert_eq!(dead.ask("f-take 2"), "holds 0 1");
    dead.kill();
    victim.does(&format!("f-consumer {NAME} newest hold=2"), "open 3");
    victim.does("f-take 1 ack", "holds 3");
    victim.does("f-close", "ok");
    victim.ends();
    assert_eq!(decoder.ask("f-send 20"), "sent 20");
    let (mut next, _) = open(ring, &format!("f-consumer {NAME} newest hold=2"));
    assert_eq!(next.ask("f-take 1"), "holds 19");
    next.ask("f-close");
    finish(ring, [decoder, next]);
}

/// The victim finds that all slots are held by a dead consumer, and lets go for it; or dies doing so, and its successor does.
pub(crate) fn a_decoder_dies_letting_go_for_a_dead_recorder(ring: &Ring, victim: &mut Victim) {
    let (mut first, _) = open(ring, &format!("f-producer {NAME} {MAKING}"));
    let (mut dead, _) = open(ring, &format!("f-consumer {NAME} hold=2"));
    assert_eq!(first.ask("f-send 4"), "sent 4");
    assert_eq!(dead.ask("f-take 1"), "holds 0");
    dead.kill();
    assert_eq!(first.ask("f-detach"), "ok");
    victim.does(&format!("f-producer {NAME}"), "open 4");
    victim.does("f-send 10 ack", "sent 10");
    victim.does("f-detach", "ok");
    victim.ends();
    let (mut next, sent) = open(ring, &format!("f-producer {NAME}"));
    let done = victim.done().max(4);
    assert!((done..=done + 1).contains(&sent), "the victim reported {done}, its successor finds {sent}");
    assert_eq!(next.ask("f-send 20"), "sent 20");
    let (mut last, _) = open(ring, &format!("f-consumer {NAME} newest hold=2"));
    assert_eq!(last.ask("f-take 1"), "holds 19");
    last.ask("f-close");
    finish(ring, [first, next, last]);
}
