//! What sleeps, and is woken from another process, by everything that can: 100,000 handshakes lose no wake-up, and a feed reaches readers who wait
//! in three ways, at the same time.
//!
//! Sleepers look by themselves now and then, which would hide a wake-up that was lost. Here they do not: who is not rung for sleeps for ever, and the
//! parent loses patience.

#[path = "../support/mod.rs"]
mod support;

#[path = "../broadcast/feed.rs"]
mod feed;
mod handshakes;
mod readers;

use support::{Folder, NAME, Process};

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    let partner = std::cell::RefCell::new(handshakes::Actor::default());
    let reader = std::cell::RefCell::new(readers::Actor::default());
    support::play(|words| partner.borrow_mut().obey(words).or_else(|| reader.borrow_mut().obey(words)));
}

fn start(folder: &Folder, opening: &str) -> Process {
    let mut process = Process::start_with(folder, |command| _ = command.env("RINGSHM_NEVER_LOOK", ""));
    assert_eq!(process.ask(opening), "open", "{opening}");
    process
}

/// After each, the parent is patient anew.
const ROUNDS: usize = 10;
const HANDSHAKES: usize = 10_000;

/// Two processes that sleep in the same way send each other numbers.
fn shake_hands(way: &str) {
    let folder = Folder::for_leftovers();
    handshakes::make_fifos(&folder);
    let mut here = start(&folder, &format!("h-open {way} here there"));
    let mut there = start(&folder, &format!("h-open {way} there here"));
    let mut sleeps = 0;
    for _ in 0..ROUNDS {
        there.begin(&format!("h-echo {HANDSHAKES}"));
        sleeps += slept(&here.ask(&format!("h-call {HANDSHAKES}")));
        sleeps += slept(&there.hear());
    }
    // There may be something already when somebody is about to sleep, but then the next one sleeps.
    assert!(
        sleeps >= ROUNDS * HANDSHAKES,
        "{way}: in {} handshakes, two sides slept {sleeps} times",
        ROUNDS * HANDSHAKES
    );
    here.finish();
    there.finish();
}

#[track_caller]
fn slept(report: &str) -> usize {
    let times = report.strip_prefix("slept ").and_then(|times| times.parse().ok());
    times.unwrap_or_else(|| panic!("{report}"))
}

macro_rules! handshakes {
    ($($name:ident: $way:literal;)*) => {$(
        #[test]
        fn $name() {
            shake_hands($way);
        }
    )*};
}

handshakes! {
    a_hundred_thousand_handshakes_by_futex: "futex";
    a_hundred_thousand_handshakes_by_semaphore: "semaphore";
    a_hundred_thousand_handshakes_of_sets_of_64_rings_and_a_descriptor: "set";
    a_hundred_thousand_handshakes_of_tasks_by_io_uring: "io_uring";
    a_hundred_thousand_handshakes_of_tasks_by_thread: "thread";
}

#[test]
fn a_feed_reaches_a_task_a_wait_set_and_a_spinning_reader_whole() {
    for mechanism in ["io_uring", "thread"] {
        let (folder, files) = (Folder::new(), Folder::for_leftovers());
        let feed = feed::whole();
        let lines = feed.split_inclusive(|byte| *byte == b'\n').count();
        let path = |name: &str| files.path().join(name).display().to_string();
        std::fs::write(path("in"), &feed).expect("room for the feed");
        let mut readers = [mechanism, "set", "spin"].map(|way| (way, start(&folder, &format!("f-open {way}"))));
        for (way, reader) in &mut readers {
            reader.begin(&format!("f-save {}", path(way)));
        }
        // Two of them sleep from the first, and are woken.
        for (_, reader) in &readers[..2] {
            assert!(reader.sleeps());
        }
        let mut producer = Process::start(&folder);
        assert_eq!(producer.ask(&format!("f-feed {}", path("in"))), format!("sent {lines}"));
        producer.finish();
        for (way, mut reader) in readers {
            assert_eq!(reader.hear(), format!("received {lines}: Disconnected"), "{way}");
            reader.finish();
            assert!(std::fs::read(path(way)).expect("written") == feed, "{way}: another feed");
        }
        assert!(!folder.path_of(NAME).exists(), "the ring is gone");
        folder.assert_empty();
    }
}
