//! Scenarios of locks and meeting points. What the processes are told is in `../sync/actor.rs`.

use crate::support::{Carrier, Process, Ring};
use crate::victim::Victim;

/// Starts a process that takes part in objects of these kinds.
#[track_caller]
fn open(ring: &Ring, kinds: &[&str]) -> Process {
    let mut process = Process::start(&ring.folder);
    for kind in kinds {
        assert_eq!(process.ask(&format!("y-open {kind}")), "open", "{kind}");
    }
    process
}

/// Of the two carriers for which a scenario is played, one is enough. The other has the victim pass a point, and nothing else.
fn is_played_before(ring: &Ring, victim: &mut Victim) -> bool {
    let is_so = matches!(ring.carrier, Carrier::Records);
    if is_so {
        victim.does("y-open mutex", "open");
        victim.does("y-leave", "ok");
        victim.ends();
        remove(ring, &["mutex"]);
    }
    is_so
}

/// Removes what a victim has left that was the last one.
fn remove(ring: &Ring, names: &[&str]) {
    for name in names {
        match ringshm::remove(&ringshm::Directory::new(ring.folder.path()), name, false) {
            Ok(()) | Err(ringshm::OpenError::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn number(report: &str) -> u64 {
    report.parse().expect("a number")
}

/// The victim and another one add to the same value.
pub(crate) fn a_mutex_holder_dies(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut other = open(ring, &["mutex park"]);
    victim.does("y-open mutex park", "open");
    other.begin("y-add 300");
    victim.begin("y-add 300");
    victim.hear();
    victim.ends();
    let reached = number(&other.hear());
    let value = number(&other.ask("y-add 1"));
    assert!(value > reached && (301..=601).contains(&value), "{value}");
    assert!(victim.was_killed() || value == 601, "{value} of 601");
    other.finish();
    ring.folder.assert_empty();
}

/// A holder has died. The victim takes over from it, or dies doing so.
pub(crate) fn a_mutexs_survivor_dies(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut other = open(ring, &["mutex park"]);
    let mut dead = open(ring, &["mutex"]);
    assert_eq!(dead.ask("y-hold"), "held");
    dead.kill();
    victim.does("y-open mutex park", "open");
    victim.begin("y-lock");
    victim.ends_with("0 in doubt");
    victim.ends();
    assert_eq!(other.ask("y-lock"), "0 in doubt", "until somebody says otherwise");
    assert_eq!(other.ask("y-mend"), "ok");
    assert_eq!(other.ask("y-lock"), "0");
    other.finish();
    ring.folder.assert_empty();
}

/// The victim reads and writes beside others that do.
pub(crate) fn a_reader_or_writer_dies(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut reader = open(ring, &["rwlock park"]);
    let mut writer = open(ring, &["rwlock park"]);
    victim.does("y-open rwlock park", "open");
    reader.begin("y-read-many 300");
    writer.begin("y-write-many 300");
    victim.begin("y-read-many 100");
    victim.hear();
    victim.begin("y-write-many 300");
    victim.hear();
    victim.ends();
    reader.hear();
    writer.hear();
    let value = number(&writer.ask("y-write-many 1"));
    assert!((301..=601).contains(&value) && (victim.was_killed() || value == 601), "{value}");
    assert_eq!(reader.ask("y-read"), value.to_string());
    reader.finish();
    writer.finish();
    ring.folder.assert_empty();
}

/// A writer has died. The victim reads, or dies when it frees the lock.
pub(crate) fn a_reader_dies_freeing(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut other = open(ring, &["rwlock park"]);
    let mut dead = open(ring, &["rwlock"]);
    assert_eq!(dead.ask("y-hold-write"), "held");
    dead.kill();
    victim.does("y-open rwlock park", "open");
    victim.begin("y-read");
    victim.ends_with("0 in doubt");
    victim.ends();
    assert_eq!(other.ask("y-read"), "0 in doubt");
    assert_eq!(other.ask("y-mend"), "ok");
    assert_eq!(other.ask("y-read"), "0");
    other.finish();
    ring.folder.assert_empty();
}

/// A reader has died. The victim writes, or dies when it empties the seat.
pub(crate) fn a_writer_dies_emptying(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut other = open(ring, &["rwlock park"]);
    let mut dead = open(ring, &["rwlock"]);
    assert_eq!(dead.ask("y-hold-read"), "held");
    // Before the other dies, or it would have that one's lane.
    victim.does("y-open rwlock park", "open");
    dead.kill();
    victim.begin("y-write-many 1");
    victim.ends_with("1");
    victim.ends();
    let value = number(&other.ask("y-write-many 1"));
    assert!(value == 2 || (victim.was_killed() && value == 1), "{value}");
    other.finish();
    ring.folder.assert_empty();
}

/// Two wait; the victim is one of them, and there is one notification.
pub(crate) fn a_waiter_dies(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut notifier = open(ring, &["mutex", "condvar"]);
    let mut other = open(ring, &["mutex", "condvar park"]);
    victim.does("y-open mutex", "open");
    victim.does("y-open condvar park", "open");
    victim.begin("y-await 1");
    victim.sleeps();
    other.begin("y-await 1");
    assert_eq!(notifier.ask("y-set 1 one"), "ok");
    assert_eq!(other.hear(), "1");
    victim.hear();
    victim.ends();
    notifier.finish();
    other.finish();
    ring.folder.assert_empty();
}

/// The victim notifies, or dies between its change and that.
pub(crate) fn a_notifier_dies(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut waiter = open(ring, &["mutex", "condvar park"]);
    let mut other = open(ring, &["mutex", "condvar"]);
    victim.does("y-open mutex", "open");
    victim.does("y-open condvar", "open");
    let mut is_dead = false;
    for (n, whom) in [(1, "one"), (2, "all")] {
        waiter.begin(&format!("y-await {n}"));
        assert!(waiter.sleeps());
        victim.does(&format!("y-set {n} {whom}"), "ok");
        // What a dead one has not done, another does.
        let reached = other.ask("y-lock");
        if !reached.starts_with(&n.to_string()) {
            is_dead = true;
            assert_eq!(other.ask(&format!("y-set {n} one")), "ok");
        }
        assert_eq!(waiter.hear(), n.to_string());
    }
    victim.ends();
    assert!(victim.was_killed() || !is_dead);
    other.finish();
    waiter.finish();
    ring.folder.assert_empty();
}

/// Three parties meet again and again.
pub(crate) fn a_party_dies(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut others = [(); 2].map(|()| open(ring, &["barrier parties=3 park"]));
    victim.does("y-open barrier parties=3 park", "open");
    for other in &mut others {
        other.begin("y-meet 20");
        // So it is the victim that comes last to the first meeting, and ends it.
        assert!(other.sleeps());
    }
    victim.begin("y-meet 20");
    victim.hear();
    victim.ends();
    if victim.was_killed() {
        // It may have died before it had a place: then the others wait for somebody to come.
        open(ring, &["barrier parties=3"]).finish();
    }
    let ends = others.each_mut().map(|other| {
        loop {
            let report = other.hear();
            if !report.starts_with("did ") {
                break report;
            }
        }
    });
    assert_eq!(ends[0], ends[1], "all are told the same");
    assert!(ends[0] == "met 20" || (victim.was_killed() && ends[0].starts_with("Broken ")), "{}", ends[0]);
    if ends[0] != "met 20" {
        let met = number(&ends[0]["Broken ".len()..]);
        assert!(met == victim.done() || met == victim.done() + 1, "{met} and {}", victim.done());
    }
    others.into_iter().for_each(Process::finish);
    ring.folder.assert_empty();
}

/// The victim is to do it, with somebody waiting.
pub(crate) fn who_does_it_dies(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let elsewhere = crate::support::Folder::for_leftovers();
    let log = elsewhere.path().join("log");
    let mut other = open(ring, &["once park"]);
    let mut dead = Process::start_with(&ring.folder, |command| _ = command.env("RINGSHM_CRASH_AT", "once.ending"));
    assert_eq!(dead.ask("y-open once"), "open");
    dead.tell(&format!("y-once {}", log.display()));
    while dead.hear_or_end().is_some() {}
    dead.wait();
    victim.does("y-open once park", "open");
    victim.begin(&format!("y-once {}", log.display()));
    victim.hear();
    victim.ends();
    let said = other.ask(&format!("y-once {}", log.display()));
    assert!(said == "was done" || (victim.was_killed() && said == "ran again"), "{said}");
    assert_eq!(other.ask(&format!("y-once {}", log.display())), "was done");
    other.finish();
    ring.folder.assert_empty();
}
