//! What only System V queues can do: types; and how they wait.

use crate::place::{Kind, Place};
use crate::support::{Folder, Process, until};
use ringshm_core::error::{SendError, TryRecvError};
use ringshm_core::{Awaited, Channel as _, Deadline, Receiver as _, Sender as _};
use ringshm_fallback::sysv_mq::SysvMq;

#[test]
fn messages_are_received_by_type() {
    let place = Place::new(Kind::Sysv);
    let mut sender = SysvMq::new(place.key()).message_type(7).sender().unwrap();
    let mut all = SysvMq::new(place.key()).receiver().unwrap();
    let mut sevens = SysvMq::new(place.key()).receive(7).receiver().unwrap();
    let mut lowest = SysvMq::new(place.key()).receive(-5).receiver().unwrap();
    for (message, kind) in [("a", 4), ("b", 7), ("c", 2), ("d", 9), ("e", 2)] {
        sender.send_with_type(message.as_bytes(), kind).unwrap();
    }
    sender.send(b"f").unwrap();
    let mut message = Vec::new();
    for expected in ["b", "f"] {
        sevens.try_recv(&mut message).unwrap();
        assert_eq!(message, expected.as_bytes());
    }
    assert_eq!(sevens.try_recv(&mut message), Err(TryRecvError::Empty));
    for (expected, kind) in [("c", 2), ("e", 2), ("a", 4)] {
        assert_eq!(lowest.recv_selected_by(&mut message, -5, Deadline::NEVER), Ok((1, kind)));
        assert_eq!(message, expected.as_bytes());
    }
    assert_eq!(lowest.try_recv(&mut message), Err(TryRecvError::Empty));
    assert_eq!(all.try_recv_selected(&mut message, 9), Ok((1, 9)));
    assert_eq!(all.try_recv(&mut message), Err(TryRecvError::Empty));
    assert!(matches!(sender.send_with_type(b"", 0), Err(SendError::Unsupported { .. })));
    assert!(matches!(all.awaited(), Awaited::Nothing));
}

#[test]
fn a_file_leads_to_a_queue_by_its_number() {
    let folder = Folder::for_leftovers();
    let path = folder.join("key");
    std::fs::write(&path, "").unwrap();
    let mut receiver = SysvMq::of_file(&path, 7).receiver().unwrap();
    let mut child = Process::start(&folder);
    assert_eq!(child.ask(&format!("sender sysv://{path}?id=7")), "open");
    assert_eq!(child.ask("send 0 1"), "sent 1");
    assert!(receiver.recv(&mut Vec::new()).is_ok());
    child.finish();
    let missing = SysvMq::of_file(&folder.join("missing"), 7).sender().unwrap_err().to_string();
    assert!(missing.starts_with("there is no "), "{missing}");
}

#[test]
fn the_only_receiver_that_awaits_successors_sleeps_in_the_kernel_until_something_comes() {
    let (place, folder) = (Place::new(Kind::Sysv), Folder::new());
    let mut receiver = Process::start(&folder);
    assert_eq!(receiver.ask(&format!("receiver {}", place.name("await"))), "open");
    receiver.begin("recv 0 1");
    let sleeps_in = |what: &str| {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", receiver.pid())).expect("it lives");
        let calls = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("syscall")).ok());
        calls.into_iter().any(|call| call.split(' ').next() == Some(what))
    };
    until("it sleeps in msgrcv", || sleeps_in(&libc::SYS_msgrcv.to_string()));
    let mut sender = Process::start(&folder);
    assert_eq!(sender.ask(&format!("sender {}", place.name(""))), "open");
    assert_eq!(sender.ask("send 0 1"), "sent 1");
    assert_eq!(receiver.hear(), "received 1");
    sender.finish();
    receiver.finish();
}
