//! Tasks that await rings, among processes that were started with `exec` and within one, by every mechanism in every executor.
//!
//! A wait ends now and then for a look even if nobody rings, and that would hide a wake-up that was lost. So where nobody dies, these tasks wait until
//! they are rung for, and it is the parent that loses patience.

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod within;

use actor::{MECHANISMS, WAYS};
use support::{Folder, Process};

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    let actor = std::cell::RefCell::new(actor::Actor::default());
    support::play(|words| actor.borrow_mut().obey(words));
}

fn start(folder: &Folder, opening: &str) -> Process {
    let mut process = Process::start(folder);
    assert_eq!(process.ask(opening), "open", "{opening}");
    process
}

#[test]
fn a_message_from_another_process_wakes_a_task() {
    for way in WAYS {
        let folder = Folder::for_leftovers();
        let mut task = start(&folder, &format!("a-open {way}"));
        let mut sender = start(&folder, "s-open");
        for n in 0..actor::KINDS {
            task.begin(&format!("a-recv {n}"));
            assert!(task.sleeps());
            assert_eq!(sender.ask(&format!("s-send {n}")), "sent");
            assert_eq!(task.hear(), "received 7", "{way}, ring {n}");
        }
        sender.finish();
        task.finish();
    }
}

#[test]
fn a_killed_producer_is_noticed_by_a_task() {
    for way in WAYS {
        let folder = Folder::for_leftovers();
        let mut task = start(&folder, &format!("a-open {way} bounded"));
        let mut sender = start(&folder, "s-open");
        assert_eq!(sender.ask("s-send 0"), "sent");
        assert_eq!(task.ask("a-recv 0"), "received 7");
        task.begin("a-recv 0");
        assert!(task.sleeps());
        sender.kill();
        assert_eq!(task.hear(), "Disconnected", "{way}");
        task.finish();
    }
}

#[test]
fn a_killed_producer_is_noticed_by_a_watcher() {
    for mechanism in MECHANISMS {
        let folder = Folder::for_leftovers();
        let mut watcher = start(&folder, &format!("w-open {mechanism}"));
        let mut sender = start(&folder, "s-open");
        assert_eq!(sender.ask("s-send 0"), "sent");
        assert_eq!(watcher.ask("w-recv"), "received 7");
        watcher.begin("w-recv");
        assert!(watcher.sleeps());
        sender.kill();
        assert_eq!(watcher.hear(), "Disconnected", "{mechanism}");
        watcher.finish();
    }
}

/// Starts a process that will be killed when it has seen somebody's announcement, and has not woken anybody.
#[cfg(feature = "crash-points")]
fn start_a_doomed_ringer(folder: &Folder, kind: usize) -> Process {
    let at = |command: &mut std::process::Command| _ = command.env("RINGSHM_CRASH_AT", actor::before_waking(kind));
    let mut sender = Process::start_with(folder, at);
    assert_eq!(sender.ask("s-open"), "open");
    sender
}

#[cfg(feature = "crash-points")]
#[test]
fn a_producer_killed_between_publishing_and_waking_delays_its_message_to_a_watcher_by_one_look() {
    for mechanism in MECHANISMS {
        let folder = Folder::for_leftovers();
        let mut watcher = start(&folder, &format!("w-open {mechanism}"));
        let mut sender = start_a_doomed_ringer(&folder, 0);
        watcher.begin("w-recv");
        assert!(watcher.sleeps());
        sender.tell("s-send 0");
        assert_eq!(sender.hear_or_end(), None, "{mechanism}: it lives");
        assert_eq!(watcher.hear(), "received 7", "{mechanism}");
        watcher.finish();
    }
}

#[cfg(feature = "crash-points")]
#[test]
fn a_producer_killed_between_publishing_and_waking_delays_its_message_by_one_look() {
    for (way, kind) in WAYS.into_iter().flat_map(|way| (0..actor::KINDS).map(move |kind| (way, kind))) {
        let folder = Folder::for_leftovers();
        let mut task = start(&folder, &format!("a-open {way} bounded"));
        let mut sender = start_a_doomed_ringer(&folder, kind);
        task.begin(&format!("a-recv {kind}"));
        assert!(task.sleeps());
        sender.tell(&format!("s-send {kind}"));
        assert_eq!(sender.hear_or_end(), None, "{way}, ring {kind}: it lives");
        assert_eq!(task.hear(), "received 7", "{way}, ring {kind}");
        task.finish();
    }
}

#[test]
fn a_killed_task_leaves_a_ring_that_another_one_goes_on_with() {
    for way in WAYS {
        let folder = Folder::for_leftovers();
        let mut doomed = start(&folder, &format!("a-open {way}"));
        let mut sender = start(&folder, "s-open");
        doomed.begin("a-recv 0");
        assert!(doomed.sleeps());
        doomed.kill();
        assert!(actor::is_announced(&folder), "{way}: it was not asleep");
        assert_eq!(sender.ask("s-send 0"), "sent");
        assert!(!actor::is_announced(&folder), "{way}: the producer rings for a dead sleeper once");
        let mut task = start(&folder, &format!("a-open {way}"));
        assert_eq!(task.ask("a-recv 0"), "received 7");
        sender.finish();
        task.finish();
    }
}

#[test]
fn ten_thousand_handshakes_of_two_tasks_lose_no_wake_up() {
    for way in WAYS {
        let folder = Folder::for_leftovers();
        let mut here = start(&folder, &format!("p-open {way} to fro"));
        let mut there = start(&folder, &format!("p-open {way} fro to"));
        there.begin("p-echo 10000");
        assert_eq!(here.ask("p-call 10000"), "called 10000", "{way}");
        assert_eq!(there.hear(), "echoed 10000", "{way}");
        here.finish();
        there.finish();
    }
}
