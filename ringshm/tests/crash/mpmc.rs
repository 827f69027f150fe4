//! Scenarios of MPMC rings. What the processes are told is in `../mpmc/actor.rs`.

use crate::support::{Carrier, Process, Ring};
use crate::victim::Victim;

/// Starts a process that takes part.
#[track_caller]
fn open(ring: &Ring, command: &str) -> Process {
    let mut process = Process::start(&ring.folder);
    assert_eq!(process.ask(command), "open", "{command}");
    process
}

/// The numbers of a report, those that were redelivered apart, and why it ended.
fn received(report: &str) -> (Vec<u64>, Vec<u64>, String) {
    let (mut fresh, mut redelivered, mut end) = (Vec::new(), Vec::new(), String::new());
    for word in report.split(' ').filter(|word| !word.is_empty()) {
        match (word.parse(), word.strip_suffix('!')) {
            (Ok(number), _) => fresh.push(number),
            (Err(_), Some(number)) => redelivered.push(number.parse().expect("a number")),
            (Err(_), None) => end = word.to_owned(),
        }
    }
    (fresh, redelivered, end)
}

/// The ring has one kind of message; of the two for which a scenario is played, one is enough.
fn is_played_before(ring: &Ring, victim: &mut Victim) -> bool {
    let is_so = matches!(ring.carrier, Carrier::Records);
    if is_so {
        victim.does("m-producer", "open");
        victim.does("m-leave", "ok");
        victim.ends();
        let _ = ringshm::remove(&ring.folder.directory(), ring.name(), true);
    }
    is_so
}

/// With a consumer asleep, and another producer in the ring, the victim sends several laps.
pub(crate) fn an_mpmc_producer_dies(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut other = open(ring, "m-producer park");
    let mut consumer = open(ring, "m-consumer park");
    consumer.begin("m-drain");
    assert!(consumer.sleeps());
    victim.does("m-producer spin", "open");
    victim.does("m-send 0 40 ack", "sent");
    victim.does("m-leave", "ok");
    victim.ends();
    let done = victim.done();
    assert_eq!(other.ask("m-send 1000 1020"), "sent");
    other.finish();
    let (numbers, redelivered, end) = received(&consumer.hear());
    let (of_victim, of_other): (Vec<u64>, Vec<u64>) = numbers.iter().partition(|number| **number < 1000);
    assert!(of_victim.len() as u64 == done || of_victim.len() as u64 == done + 1, "{done} reported: {of_victim:?}");
    assert_eq!(of_victim, (0..of_victim.len() as u64).collect::<Vec<_>>());
    assert_eq!(of_other, (1000..1020).collect::<Vec<_>>());
    assert_eq!((redelivered, &*end), (vec![], "Disconnected"));
    consumer.finish();
    ring.assert_gone();
}

/// With a producer asleep on the full ring, and another consumer in it, the victim receives several laps.
pub(crate) fn an_mpmc_consumer_dies(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut producer = open(ring, "m-producer park");
    let mut other = open(ring, "m-consumer");
    producer.begin("m-send 0 60");
    assert!(producer.sleeps());
    victim.does("m-consumer spin", "open");
    victim.begin("m-recv 30 ack");
    victim.hear();
    victim.does("m-leave", "ok");
    victim.ends();
    let done = victim.done();
    other.begin("m-drain");
    assert_eq!(producer.hear(), "sent");
    producer.finish();
    let (mut numbers, redelivered, end) = received(&other.hear());
    assert!(redelivered.is_empty() || redelivered == [done], "{done} done, redelivered {redelivered:?}");
    numbers.extend(redelivered);
    numbers.sort_unstable();
    assert!(numbers == (done..60).collect::<Vec<_>>() || numbers == (done + 1..60).collect::<Vec<_>>(), "{numbers:?}");
    assert_eq!(end, "Disconnected");
    other.finish();
    ring.assert_gone();
}

/// The victim may die asleep, or when it is woken.
pub(crate) fn an_mpmc_consumer_dies_asleep(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut producer = open(ring, "m-producer");
    let mut other = open(ring, "m-consumer park");
    victim.does("m-consumer park", "open");
    victim.begin("m-recv 1 ack");
    victim.sleeps();
    assert_eq!(producer.ask("m-send 0 1"), "sent");
    victim.hear();
    victim.ends();
    producer.finish();
    let (numbers, redelivered, _) = received(&other.ask("m-drain"));
    let rest = numbers.len() + redelivered.len();
    assert!(rest == 1 || (rest == 0 && (victim.done() == 1 || victim.was_killed())), "{numbers:?}, {redelivered:?}");
    other.finish();
    ring.assert_gone();
}

/// A process that dies at a crash point of its first message.
fn dead_at(ring: &Ring, point: &str, commands: [&str; 2]) {
    let mut dead = Process::start_with(&ring.folder, |command| _ = command.env("RINGSHM_CRASH_AT", point));
    assert_eq!(dead.ask(commands[0]), "open");
    dead.tell(commands[1]);
    while dead.hear_or_end().is_some() {}
    dead.wait();
}

/// A producer has died with a claim. The victim buries it, and steps over it; or the next one does.
pub(crate) fn a_survivor_dies_burying(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut producer = open(ring, "m-producer");
    let mut other = open(ring, "m-consumer");
    dead_at(ring, "mpmc.send_claimed", ["m-producer", "m-send 0 1"]);
    assert_eq!(producer.ask("m-send 1000 1004"), "sent");
    victim.does("m-consumer", "open");
    victim.begin("m-recv 2 ack");
    victim.hear();
    victim.ends();
    other.begin("m-drain");
    assert_eq!(producer.ask("m-send 1004 1012"), "sent");
    producer.finish();
    let (mut numbers, redelivered, end) = received(&other.hear());
    numbers.extend(redelivered);
    numbers.sort_unstable();
    let first = numbers[0];
    assert!((1000..=1002).contains(&first), "{numbers:?}");
    assert_eq!(numbers, (first..1012).collect::<Vec<_>>());
    assert_eq!(end, "Disconnected");
    other.finish();
    ring.assert_gone();
}

/// A consumer has died with a message. The victim takes it over; or the next one does.
pub(crate) fn a_survivor_dies_taking_over(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut producer = open(ring, "m-producer");
    let mut other = open(ring, "m-consumer");
    assert_eq!(producer.ask("m-send 0 2"), "sent");
    dead_at(ring, "mpmc.recv_claimed", ["m-consumer", "m-recv 1"]);
    victim.does("m-consumer", "open");
    victim.begin("m-recv 2 ack");
    victim.hear();
    victim.does("m-leave", "ok");
    victim.ends();
    producer.finish();
    let (numbers, redelivered, end) = received(&other.ask("m-drain"));
    assert!(victim.was_killed() || numbers.len() + redelivered.len() == 0, "{numbers:?}, {redelivered:?}");
    assert!(numbers.is_empty() || numbers == [1], "{numbers:?}");
    assert!(redelivered.iter().all(|number| [0, 1].contains(number)) && redelivered.len() <= 2, "{redelivered:?}");
    assert!(!(numbers == [1] && redelivered.contains(&1)), "twice");
    assert_eq!(end, "Disconnected");
    other.finish();
    ring.assert_gone();
}

/// A consumer has died with a message of a ring that delivers at most once. The victim drops it; or the next one does.
pub(crate) fn a_producer_dies_dropping(ring: &Ring, victim: &mut Victim) {
    if is_played_before(ring, victim) {
        return;
    }
    let mut producer = open(ring, "m-producer capacity=2 once");
    let mut other = open(ring, "m-consumer capacity=2 once");
    assert_eq!(producer.ask("m-send 0 2"), "sent");
    dead_at(ring, "mpmc.recv_claimed", ["m-consumer capacity=2 once", "m-recv 1"]);
    assert_eq!(other.ask("m-recv 1"), "1");
    victim.does("m-producer capacity=2 once", "open");
    victim.does("m-send 10 12 ack", "sent");
    victim.does("m-leave", "ok");
    victim.ends();
    producer.finish();
    let (numbers, redelivered, end) = received(&other.ask("m-drain"));
    assert!([&[][..], &[10], &[10, 11]].contains(&&*numbers), "{numbers:?}");
    assert!(victim.was_killed() || numbers.len() == 2);
    assert_eq!((redelivered, &*end), (vec![], "Disconnected"));
    other.finish();
    ring.assert_gone();
}
