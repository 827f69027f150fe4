//! Who leaves, who is killed, who removes the queue: what the others are told, and what is left.

use crate::place::{KINDS, Kind, Place};
use crate::support::{Folder, Process, until};
use ringshm_core::error::{SendError, TryRecvError};

fn pair(place: &Place, folder: &Folder, options: &str) -> (Process, Process) {
    let (mut sender, mut receiver) = (Process::start(folder), Process::start(folder));
    assert_eq!(sender.ask(&format!("sender {}", place.name(options))), "open");
    assert_eq!(receiver.ask(&format!("receiver {}", place.name(options))), "open");
    (sender, receiver)
}

#[test]
fn a_killed_sender_is_noticed_after_everything_it_sent() {
    for kind in KINDS {
        let (place, folder) = (Place::new(kind), Folder::new());
        let (mut sender, mut receiver) = pair(&place, &folder, "");
        assert_eq!(sender.ask("send 0 5"), "sent 5");
        sender.kill();
        assert_eq!(receiver.ask("recv 0 6"), "Disconnected at 5");
        // One that sleeps.
        drop(receiver);
        let (mut sender, mut receiver) = pair(&place, &folder, "");
        receiver.begin("recv 0 1");
        assert!(receiver.sleeps());
        sender.kill();
        assert_eq!(receiver.hear(), "Disconnected at 0");
        receiver.finish();
    }
}

#[test]
fn a_killed_receiver_is_noticed_by_who_waits_for_room() {
    for kind in KINDS {
        let (place, folder) = (Place::for_leftovers(kind), Folder::new());
        let (mut sender, mut receiver) = pair(&place, &folder, "");
        sender.begin("send 0 1000000");
        assert!(sender.sleeps());
        receiver.kill();
        let said = sender.hear();
        assert!(said.starts_with("Disconnected(..) at "), "{kind:?}: {said}");
        let sent: u64 = said.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number");
        // What is there is there for the next one.
        let mut receiver = Process::start(&folder);
        assert_eq!(receiver.ask(&format!("receiver {}", place.name(""))), "open");
        assert_eq!(receiver.ask(&format!("recv 0 {sent}")), format!("received {sent}"));
        sender.finish();
        receiver.finish();
        assert!(place.is_clean(), "{kind:?}");
    }
}

#[test]
fn closing_ends_the_stream_whichever_side_does_it_even_for_those_who_await_successors() {
    for kind in KINDS {
        for options in ["", "await"] {
            let (place, folder) = (Place::new(kind), Folder::new());
            let (mut sender, mut receiver) = pair(&place, &folder, options);
            receiver.begin("recv 0 1");
            assert!(receiver.sleeps());
            assert_eq!(sender.ask("close"), "ok");
            assert_eq!(receiver.hear(), "Disconnected at 0");
            receiver.finish();
            sender.finish();
            assert!(place.is_clean(), "{kind:?} {options}");

            let place = Place::for_leftovers(kind);
            let (mut sender, mut receiver) = pair(&place, &folder, options);
            sender.begin("send 0 1000000");
            assert!(sender.sleeps());
            assert_eq!(receiver.ask("close"), "ok");
            let said = sender.hear();
            assert!(said.starts_with("Disconnected(..) at "), "{kind:?} {options}: {said}");
            sender.finish();
            receiver.finish();
            // Messages that nobody has received remain.
            assert!(!place.is_clean(), "{kind:?} {options}");
        }
    }
}

#[test]
fn who_detaches_is_followed_by_a_successor() {
    for kind in KINDS {
        let (place, folder) = (Place::new(kind), Folder::new());
        let (mut sender, mut receiver) = pair(&place, &folder, "await");
        receiver.begin("recv 0 2");
        assert_eq!(sender.ask("send 0 1"), "sent 1");
        assert_eq!(sender.ask("detach"), "ok");
        assert!(receiver.sleeps());
        assert_eq!(sender.ask(&format!("sender {}", place.name(""))), "open");
        assert_eq!(sender.ask("send 1 2"), "sent 2");
        assert_eq!(receiver.hear(), "received 2");
        sender.finish();
        receiver.finish();
    }
}

#[test]
fn a_queue_that_is_removed_while_somebody_waits_is_a_fault() {
    for kind in KINDS {
        for options in ["", "await"] {
            let (place, folder) = (Place::new(kind), Folder::new());
            let mut receiver = Process::start(&folder);
            assert_eq!(receiver.ask(&format!("receiver {}", place.name(options))), "open");
            receiver.begin("recv 0 1");
            assert!(receiver.sleeps());
            place.remove().unwrap();
            assert_eq!(receiver.hear(), "Fault(Removed) at 0", "{kind:?} {options}");
            assert_eq!(receiver.ask("next"), "Fault(Removed)", "{kind:?} {options}");
            receiver.finish();
            // And the next ones begin anew.
            let (mut sender, mut receiver) = pair(&place, &folder, options);
            assert_eq!(sender.ask("send 0 3"), "sent 3");
            assert_eq!(receiver.ask("recv 0 3"), "received 3");
            sender.finish();
            receiver.finish();
        }
    }
}

#[test]
fn a_sender_that_waits_for_room_is_told_that_the_queue_is_removed() {
    for kind in KINDS {
        let (place, folder) = (Place::new(kind), Folder::new());
        let mut sender = Process::start(&folder);
        assert_eq!(sender.ask(&format!("sender {}", place.name(""))), "open");
        sender.begin("send 0 1000000");
        assert!(sender.sleeps());
        place.remove().unwrap();
        let said = sender.hear();
        assert!(said.starts_with("Fault(.., Removed) at "), "{kind:?}: {said}");
        sender.finish();
    }
}

#[test]
fn what_killed_processes_leave_empty_is_taken_over_and_removed_in_the_end() {
    for kind in KINDS {
        let (place, folder) = (Place::new(kind), Folder::new());
        let (mut sender, mut receiver) = pair(&place, &folder, "");
        assert_eq!(sender.ask("send 0 1"), "sent 1");
        assert_eq!(receiver.ask("recv 0 1"), "received 1");
        sender.kill();
        receiver.kill();
        assert!(!place.is_clean() || kind == Kind::Posix, "somebody opened it, and left it");
        // The stream of the dead is over: who comes now waits for another.
        let mut receiver = place.receiver("").unwrap();
        let mut message = Vec::new();
        assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
        let mut sender = place.sender("").unwrap();
        sender.send(b"new").unwrap();
        assert_eq!(receiver.recv(&mut message), Ok(3));
        drop(sender);
        until("the end is told", || receiver.try_recv(&mut message) == Err(TryRecvError::Disconnected));
        drop(receiver);
        assert!(place.is_clean(), "{kind:?}");
    }
}

#[test]
fn what_a_killed_receiver_left_does_not_keep_the_next_sender_from_beginning_first() {
    for kind in KINDS {
        for close in [false, true] {
            let (place, folder) = (Place::new(kind), Folder::new());
            let (mut sender, mut receiver) = pair(&place, &folder, "");
            assert_eq!(sender.ask("send 0 2"), "sent 2");
            if close {
                assert_eq!(receiver.ask("close"), "ok");
            }
            receiver.kill();
            sender.kill();
            let mut sender = Process::start(&folder);
            assert_eq!(sender.ask(&format!("sender {}", place.name(""))), "open");
            assert_eq!(sender.ask("send 2 4"), "sent 4", "{kind:?} {close}");
            let mut receiver = Process::start(&folder);
            assert_eq!(receiver.ask(&format!("receiver {}", place.name(""))), "open");
            assert_eq!(receiver.ask("recv 0 4"), "received 4");
            sender.finish();
            receiver.finish();
        }
    }
}

#[test]
fn a_receiver_that_came_and_died_unseen_is_missed() {
    for kind in KINDS {
        let (place, folder) = (Place::for_leftovers(kind), Folder::new());
        let options = if kind == Kind::Posix { "messages=1" } else { "capacity=24" };
        let mut sender = place.sender(options).unwrap();
        sender.send(b"a").unwrap();
        let mut receiver = Process::start(&folder);
        assert_eq!(receiver.ask(&format!("receiver {}", place.name(""))), "open");
        receiver.kill();
        assert_eq!(sender.send(&[0; 8]), Err(SendError::Disconnected(())), "{kind:?}");
    }
}

#[test]
fn a_stopped_peer_is_not_taken_for_dead() {
    for kind in KINDS {
        let (place, folder) = (Place::new(kind), Folder::new());
        let (mut sender, mut receiver) = pair(&place, &folder, "");
        sender.stop();
        assert_eq!(receiver.ask("recv-by 120"), "Timeout");
        sender.resume();
        assert_eq!(sender.ask("send 0 1"), "sent 1");
        assert_eq!(receiver.ask("next"), "0");
        sender.finish();
        receiver.finish();
    }
}
