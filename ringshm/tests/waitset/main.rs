//! A wait set among processes that were started with `exec`: anything of hundreds wakes it, whoever is killed.
//!
//! A set wakes up now and then even if nobody rings, and that would hide a wake-up that was lost. So where nobody dies, these sets sleep
//! until they are rung for, without a deadline, before which they would look once more: then it is the parent that loses patience.

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod within;

use support::{Folder, Process};

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    let actor = std::cell::RefCell::new(actor::Actor::default());
    support::play(|words| actor.borrow_mut().obey(words));
}

/// Beyond what a thread can sleep on at once.
const RINGS: usize = 200;
const DESCRIPTORS: usize = 20;

fn start(folder: &Folder, opening: &str) -> Process {
    let mut process = Process::start(folder);
    assert_eq!(process.ask(opening), "open");
    process
}

/// Everything, in an order that jumps to and fro.
fn shuffled(count: usize) -> impl Iterator<Item = usize> {
    // Coprime to all counts here.
    (0..count).map(move |n| n * 89 % count)
}

#[test]
fn a_message_on_any_of_200_rings_and_any_of_20_descriptors_wakes() {
    let folder = Folder::for_leftovers();
    actor::make_fifos(&folder, DESCRIPTORS);
    let mut set = start(&folder, &format!("w-open {RINGS} {DESCRIPTORS}"));
    let mut sender = start(&folder, &format!("s-open {RINGS} {DESCRIPTORS}"));
    for n in shuffled(RINGS + DESCRIPTORS) {
        set.begin("w-wait");
        assert!(set.sleeps());
        assert_eq!(sender.ask(&format!("s-send {n}")), "sent");
        assert_eq!(set.hear(), format!("ready {n}"));
    }
    sender.finish();
    set.finish();
}

#[test]
fn what_is_ready_together_is_reported_together() {
    let folder = Folder::for_leftovers();
    actor::make_fifos(&folder, 2);
    let mut set = start(&folder, "w-open 130 2");
    let mut sender = start(&folder, "s-open 130 2");
    for n in [3, 129, 131, 0, 128] {
        assert_eq!(sender.ask(&format!("s-send {n}")), "sent");
    }
    assert_eq!(set.ask("w-wait"), "ready 0 3 128 129 131");
    sender.finish();
    set.finish();
}

#[test]
fn a_set_that_is_killed_in_its_sleep_leaves_rings_that_another_one_goes_on_with() {
    let folder = Folder::for_leftovers();
    actor::make_fifos(&folder, 1);
    let mut doomed = start(&folder, "w-open 140 1");
    let mut sender = start(&folder, "s-open 140 1");
    doomed.begin("w-wait");
    assert!(doomed.sleeps());
    doomed.kill();
    assert!(actor::sleepers(&folder, 140) > 0, "it was not asleep");
    for n in 0..140 {
        assert_eq!(sender.ask(&format!("s-send {n}")), "sent");
    }
    assert_eq!(actor::sleepers(&folder, 140), 0, "each producer rings for a dead sleeper once");
    let mut set = start(&folder, "w-open 140 1");
    // All but those of rings whose messages are not kept for somebody who was not there.
    let ready = set.ask("w-wait");
    assert!(ready.starts_with("ready 0 1 2 ") && ready.contains(" 134 "), "{ready}");
    for n in shuffled(140) {
        set.begin("w-wait");
        assert!(set.sleeps());
        assert_eq!(sender.ask(&format!("s-send {n}")), "sent");
        assert_eq!(set.hear(), format!("ready {n}"));
    }
    sender.finish();
    set.finish();
}

#[test]
fn the_death_of_a_producer_is_noticed_by_a_set() {
    let folder = Folder::for_leftovers();
    let mut set = start(&folder, "w-open 140 0 bounded");
    let mut sender = start(&folder, "s-open 140 0");
    assert_eq!(set.ask("w-poll"), "ready");
    set.begin("w-wait");
    assert!(set.sleeps());
    sender.kill();
    let ready = set.hear();
    assert!(ready.ends_with("Disconnected"), "{ready}");
    set.finish();
}

#[test]
fn ten_thousand_handshakes_through_two_sets_lose_no_wake_up() {
    // One direction is slept for by the set's own thread, the other one by a sentry.
    let folder = Folder::for_leftovers();
    let mut here = start(&folder, "w-open 1 0");
    let mut there = start(&folder, "w-open-last 150");
    assert_eq!(here.ask("p-open 149"), "open");
    assert_eq!(there.ask("p-open 0"), "open");
    there.begin("p-echo 10000");
    assert_eq!(here.ask("p-call 10000"), "called 10000");
    assert_eq!(there.hear(), "echoed 10000");
    here.finish();
    there.finish();
}
