//! Broadcast rings and registers among processes that were started with `exec`.

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod feed;

use ringshm::broadcast::Broadcast;
use ringshm::latest::Latest;
use ringshm::{OpenError, Peer, Role};
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt as _;
use support::{Folder, NAME, Process, until};

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    let mut actor = actor::Actor::default();
    let actor = std::cell::RefCell::new(&mut actor);
    support::play(|words| actor.borrow_mut().obey(words));
}

/// What the two kinds of rings are called in commands.
const KINDS: [&str; 2] = ["slots", "records"];

fn start(folder: &Folder, opening: &str) -> Process {
    let mut process = Process::start(folder);
    let reply = process.ask(opening);
    assert!(reply.starts_with("open"), "{opening}: {reply}");
    process
}

fn producer(folder: &Folder, kind: &str, options: &str) -> Process {
    start(folder, &format!("b-producer {kind} {options}"))
}

fn consumer(folder: &Folder, kind: &str, options: &str) -> Process {
    start(folder, &format!("b-consumer {kind} {options}"))
}

fn reader(folder: &Folder, kind: &str, options: &str) -> Process {
    start(folder, &format!("b-reader {kind} {options}"))
}

fn remove(folder: &Folder) {
    match ringshm::remove(&folder.directory(), NAME, false) {
        Ok(()) | Err(OpenError::NotFound { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_reader_receives_the_whole_stream_and_the_ring_is_gone() {
    for kind in KINDS {
        for wait in ["spin", "park", "default"] {
            let folder = Folder::new();
            let mut consumers = [consumer(&folder, kind, wait), consumer(&folder, kind, wait)];
            let mut producer = producer(&folder, kind, wait);
            consumers.iter_mut().for_each(|consumer| consumer.begin("b-drain"));
            assert_eq!(producer.ask("b-send 3000"), "sent 3000");
            producer.finish();
            for mut consumer in consumers {
                assert_eq!(consumer.hear(), "received 3000 missed 0: Disconnected");
                consumer.finish();
            }
            folder.assert_empty();
        }
    }
}

#[test]
fn a_lossy_reader_is_told_exactly_how_many_it_missed_and_disturbs_nobody() {
    for kind in KINDS {
        let folder = Folder::new();
        let mut reader = reader(&folder, kind, "park");
        let mut producer = producer(&folder, kind, "");
        assert_eq!(producer.ask("b-send 3"), "sent 3");
        assert_eq!(reader.ask("b-recv 3"), "received 3 missed 0");
        reader.stop();
        assert_eq!(producer.ask("b-send 5000"), "sent 5000");
        reader.resume();
        assert_eq!(producer.ask("b-close"), "ok");
        let report = reader.ask("b-drain");
        let (received, missed) = counts(&report);
        assert_eq!(received + missed, 5000 - 3, "{report}");
        assert!(missed > 0 && received > 0, "{report}");
        reader.finish();
        producer.finish();
        folder.assert_empty();
    }
}

/// The numbers in `received N missed M…`.
fn counts(report: &str) -> (u64, u64) {
    let words: Vec<_> = report.split([' ', ':']).collect();
    let ["received", received, "missed", missed, ..] = words[..] else { panic!("{report}") };
    (received.parse().expect("a number"), missed.parse().expect("a number"))
}

#[test]
fn the_feed_reaches_two_lossless_readers_whole_and_the_lossy_one_knows_what_it_missed() {
    let folder = Folder::new();
    let files = Folder::for_leftovers();
    let feed = feed::whole();
    let lines = feed.split_inclusive(|byte| *byte == b'\n').count() as u64;
    let path = |name: &str| files.path().join(name);
    std::fs::write(path("in"), &feed).expect("room for the feed");
    let mut producer = producer(&folder, "records", "capacity=262144");
    let mut lossless = [consumer(&folder, "records", "any"), consumer(&folder, "records", "any")];
    for (n, consumer) in lossless.iter_mut().enumerate() {
        consumer.begin(&format!("b-save {}", path(&format!("out{n}")).display()));
    }
    let mut lossy = reader(&folder, "records", "any");
    lossy.begin("b-drawl");
    producer.tell(&format!("b-feed {}", path("in").display()));
    // It has begun, and then it is held up for a while: what it misses is for certain.
    assert_eq!(lossy.hear(), "begun");
    lossy.stop();
    assert_eq!(producer.hear(), format!("sent {lines}"));
    lossy.resume();
    producer.finish();
    for (n, mut consumer) in lossless.into_iter().enumerate() {
        assert_eq!(consumer.hear(), format!("received {lines} missed 0: Disconnected"));
        consumer.finish();
        assert!(std::fs::read(path(&format!("out{n}"))).expect("written") == feed, "reader {n} has another feed");
    }
    let report = lossy.hear();
    let (received, missed) = counts(&report);
    assert_eq!(received + missed, lines, "{report}");
    assert!(missed > 0, "{report}");
    lossy.finish();
    folder.assert_empty();
}

#[test]
fn a_lossless_reader_that_is_killed_while_it_holds_the_producer_up_holds_it_no_longer() {
    for kind in KINDS {
        let folder = Folder::new();
        let mut producer = producer(&folder, kind, "park");
        let (mut doomed, mut other) = (consumer(&folder, kind, ""), consumer(&folder, kind, ""));
        other.begin("b-drain");
        producer.begin("b-send 5000");
        until("the producer is held up", || producer.sleeps());
        doomed.kill();
        assert_eq!(producer.hear(), "sent 5000");
        producer.finish();
        assert_eq!(other.hear(), "received 5000 missed 0: Disconnected");
        other.finish();
        folder.assert_empty();
    }
}

#[test]
fn a_lossless_reader_that_is_stopped_is_waited_for() {
    for kind in KINDS {
        let folder = Folder::new();
        let mut producer = producer(&folder, kind, "");
        let mut stopped = consumer(&folder, kind, "");
        stopped.stop();
        // Far more often than it takes to find a dead one.
        let full: u64 = producer.ask("b-fill 200").parse().expect("a number");
        assert!(full > 0);
        stopped.resume();
        producer.begin("b-send 5000");
        assert_eq!(stopped.ask("b-recv 5000"), "received 5000 missed 0");
        assert_eq!(producer.hear(), "sent 5000");
        producer.finish();
        stopped.finish();
        folder.assert_empty();
    }
}

#[test]
fn a_slow_reader_is_evicted_where_that_is_the_policy_and_is_told_so() {
    for kind in KINDS {
        let folder = Folder::new();
        let mut producer = producer(&folder, kind, "evict=300");
        let (mut slow, mut quick) = (consumer(&folder, kind, ""), consumer(&folder, kind, ""));
        quick.begin("b-drain");
        slow.stop();
        assert_eq!(producer.ask("b-send 5000"), "sent 5000");
        assert_eq!(producer.ask("b-evictions"), format!("{} 1", slow.pid()));
        slow.resume();
        assert_eq!(slow.ask("b-drain"), "received 0 missed 0: Evicted");
        producer.finish();
        assert_eq!(quick.hear(), "received 5000 missed 0: Disconnected");
        let snapshot = ringshm::inspect(&folder.directory(), NAME).expect("the slow one is still there");
        assert_eq!(snapshot.participants_of(Role::Producer).map(|one| one.evicted).collect::<Vec<_>>(), [1]);
        slow.finish();
        quick.finish();
        folder.assert_empty();
    }
}

#[test]
fn a_killed_producer_is_replaced_and_no_reader_notices_but_by_waiting() {
    for kind in KINDS {
        let folder = Folder::new();
        let mut first = producer(&folder, kind, "");
        let mut lossless = consumer(&folder, kind, "await");
        let mut lossy = reader(&folder, kind, "await");
        lossless.begin("b-recv 20000");
        lossy.begin("b-recv 20000");
        first.tell("b-send 15000");
        until("it has sent something", || {
            let snapshot = ringshm::inspect(&folder.directory(), NAME).expect("a ring");
            snapshot.producer.messages.is_some_and(|sent| sent > 100)
        });
        first.kill();
        let mut second = Process::start(&folder);
        let reply = second.ask(&format!("b-producer {kind}"));
        let sent: u64 = reply.strip_prefix("open ").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{reply}"));
        assert!((100..=15000).contains(&sent), "{sent}");
        assert_eq!(second.ask("b-send 20000"), "sent 20000");
        assert_eq!(lossless.hear(), "received 20000 missed 0");
        let (received, missed) = counts(&lossy.hear());
        assert_eq!(received + missed, 20000);
        [second, lossless, lossy].into_iter().for_each(Process::finish);
        folder.assert_empty();
    }
}

#[test]
fn a_dead_producer_ends_the_stream_for_readers_that_do_not_wait_for_a_successor() {
    for kind in KINDS {
        let folder = Folder::new();
        let mut producer = producer(&folder, kind, "");
        let (mut lossless, mut lossy) = (consumer(&folder, kind, ""), reader(&folder, kind, ""));
        assert_eq!(producer.ask("b-send 5"), "sent 5");
        producer.kill();
        assert_eq!(lossless.ask("b-drain"), "received 5 missed 0: Disconnected");
        assert_eq!(lossy.ask("b-drain"), "received 5 missed 0: Disconnected");
        lossless.finish();
        lossy.finish();
        folder.assert_empty();
    }
}

#[test]
fn a_reader_that_comes_late_begins_where_it_wants() {
    for kind in KINDS {
        for role in ["b-consumer", "b-reader"] {
            let folder = Folder::new();
            let mut producer = producer(&folder, kind, "");
            assert_eq!(producer.ask("b-send 10000"), "sent 10000");
            let late = |start: &str| {
                let mut process = Process::start(&folder);
                let reply = process.ask(&format!("{role} {kind} start={start}"));
                (process, reply.strip_prefix("open ").expect("a ring").parse::<u64>().expect("a number"))
            };
            let (mut oldest, from) = late("oldest");
            assert!((1..10000).contains(&from), "{from}");
            let (mut newest, at) = late("newest");
            assert_eq!(at, 10000);
            let wanted = (from + 10000) / 2;
            let (mut middle, at) = late(&wanted.to_string());
            assert_eq!(at, wanted);
            let (mut too_old, at) = late("0");
            assert!(at >= from, "{at} is older than {from}");
            assert_eq!(producer.ask("b-close"), "ok");
            assert_eq!(oldest.ask("b-drain"), format!("received {} missed 0: Disconnected", 10000 - from));
            assert_eq!(newest.ask("b-drain"), "received 0 missed 0: Disconnected");
            assert_eq!(middle.ask("b-drain"), format!("received {} missed 0: Disconnected", 10000 - wanted));
            assert_eq!(too_old.ask("b-drain"), format!("received {} missed {at}: Disconnected", 10000 - at));
            [producer, oldest, newest, middle, too_old].into_iter().for_each(Process::finish);
            remove(&folder);
        }
    }
}

#[test]
fn a_lossy_reader_cannot_write_into_the_ring() {
    for kind in KINDS {
        let folder = Folder::new();
        let mut producer = producer(&folder, kind, "");
        let mut reader = reader(&folder, kind, "");
        assert_eq!(producer.ask("b-send 3"), "sent 3");
        assert_eq!(reader.ask("b-recv 3"), "received 3 missed 0");
        // The whole of it read-only, and the lobby once more.
        let total = ringshm::inspect(&folder.directory(), NAME).expect("a ring").geometry.total;
        assert_eq!(reader.ask("b-maps"), format!("r--s 0 {total}, rw-s 4096 4096"));
        reader.tell("b-poke");
        let status = reader.wait();
        assert_eq!(status.signal(), Some(Signal::SEGV.as_raw()), "{status}");
        producer.finish();
        remove(&folder);
    }
}

#[test]
fn a_ring_in_a_memfd_has_readers_too() -> Result<(), Box<dyn std::error::Error>> {
    let memfd = ringshm::broadcast::<u64>("test").capacity(8).consumers(1).memfd()?;
    let mut producer = ringshm::broadcast::<u64>("").producer_of(&memfd)?;
    let mut consumer = ringshm::broadcast::<u64>("").consumer_of(&memfd)?;
    let mut reader = ringshm::broadcast::<u64>("").reader_of(&memfd)?;
    assert!(matches!(ringshm::broadcast::<u64>("").consumer_of(&memfd), Err(OpenError::RoleTaken { .. })));
    producer.send(7)?;
    assert_eq!((consumer.recv()?, reader.recv()?), (7, 7));
    assert!(matches!(reader.peer(), Peer::Live { .. }));
    Ok(())
}

#[test]
fn rings_of_different_kinds_are_not_taken_for_each_other() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Folder::new();
    let broadcast = || ringshm::broadcast::<u64>(NAME).directory(folder.path());
    let _producer = broadcast().producer()?;
    let mismatch = |error: OpenError| matches!(error, OpenError::LayoutMismatch { .. });
    assert!(folder.spsc::<u64>(NAME).consumer().is_err_and(mismatch));
    assert!(ringshm::broadcast::<u32>(NAME).directory(folder.path()).reader().is_err_and(mismatch));
    assert!(ringshm::broadcast::<[u8]>(NAME).directory(folder.path()).reader().is_err_and(mismatch));
    assert!(ringshm::latest::<u64>(NAME).directory(folder.path()).reader().is_err_and(mismatch));
    assert!(broadcast().reader().is_ok());
    assert!(broadcast().existence(ringshm::Existence::MustNotExist).reader().is_err());
    drop((_producer, std::marker::PhantomData::<(Broadcast<u64>, Latest<u64>)>));
    Ok(())
}

#[test]
fn a_register_outlives_its_writer() {
    let folder = Folder::new();
    let mut reader = start(&folder, "l-reader await");
    assert_eq!(reader.ask("l-read"), "None");
    let mut writer = start(&folder, "l-writer");
    assert_eq!(writer.ask("l-write 100000"), "wrote 100000");
    assert_eq!(reader.ask("l-read"), "Some(100000)");
    writer.tell("l-write 1000000000");
    assert_eq!(reader.ask("l-follow 1000"), "followed");
    writer.kill();
    let last: u64 = {
        let reply = reader.ask("l-read");
        reply.strip_prefix("Some(").and_then(|rest| rest.strip_suffix(')')?.parse().ok()).expect("a value")
    };
    assert!(last > 100000);
    let mut successor = Process::start(&folder);
    assert_eq!(successor.ask("l-writer"), format!("open {last}"));
    reader.tell("l-wait");
    assert_eq!(successor.ask(&format!("l-write {}", last + 1)), format!("wrote {}", last + 1));
    assert_eq!(reader.hear(), format!("Some({})", last + 1));
    successor.finish();
    reader.finish();
    folder.assert_empty();
}
