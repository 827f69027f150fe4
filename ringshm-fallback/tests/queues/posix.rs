//! What only POSIX queues can do: priorities, descriptors, notification by a signal.

use crate::place::{Kind, Place};
use ringshm_core::error::SendError;
use ringshm_core::{Awaited, Interest, OnDeath, Receiver as _, Sender as _};
use ringshm_fallback::posix_mq::{HIGHEST_PRIORITY, PosixMq};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

#[test]
fn higher_priorities_come_first_and_equal_ones_in_order() {
    let place = Place::new(Kind::Posix);
    let mut low = PosixMq::new(&place.path()).sender().unwrap();
    let mut high = PosixMq::new(&place.path()).priority(5).sender().unwrap();
    let mut receiver = PosixMq::new(&place.path()).receiver().unwrap();
    low.send(b"low 1").unwrap();
    high.send(b"high 1").unwrap();
    low.send_with_priority(b"highest", HIGHEST_PRIORITY).unwrap();
    low.send(b"low 2").unwrap();
    high.send(b"high 2").unwrap();
    let mut message = Vec::new();
    for (expected, priority) in
        [("highest", HIGHEST_PRIORITY), ("high 1", 5), ("high 2", 5), ("low 1", 0), ("low 2", 0)]
    {
        assert_eq!(receiver.recv_with_priority(&mut message).unwrap(), (expected.len(), priority));
        assert_eq!(message, expected.as_bytes());
    }
    let refused = low.send_with_priority(b"", HIGHEST_PRIORITY + 1);
    assert!(matches!(refused, Err(SendError::Unsupported { .. })), "{refused:?}");
}

#[test]
fn numbered_messages_have_one_priority() {
    let place = Place::new(Kind::Posix);
    let mut sender = PosixMq::new(&place.path()).numbered().sender().unwrap();
    assert!(matches!(sender.send_with_priority(b"", 1), Err(SendError::Unsupported { .. })));
}

#[test]
fn the_descriptor_is_ready_when_there_is_a_message_or_room() {
    let place = Place::new(Kind::Posix);
    let mut sender = place.sender("messages=1").unwrap();
    let mut receiver = place.receiver("").unwrap();
    let ready = |awaited: Awaited<'_>| {
        let Awaited::Descriptor(fd, interest) = awaited else { panic!("a queue has a descriptor") };
        let flags = if interest == Interest::Readable { PollFlags::IN } else { PollFlags::OUT };
        poll(&mut [PollFd::new(&fd, flags)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    };
    assert!(ready(sender.awaited()) && !ready(receiver.awaited()));
    sender.send(b"").unwrap();
    assert!(!ready(sender.awaited()) && ready(receiver.awaited()));
    receiver.recv(&mut Vec::new()).unwrap();
    assert!(ready(sender.awaited()) && !ready(receiver.awaited()));
}

#[test]
fn a_signal_can_be_asked_for_by_one_process_at_a_time() {
    let place = Place::new(Kind::Posix);
    let receiver = PosixMq::new(&place.path()).on_death(OnDeath::AwaitSuccessor).receiver().unwrap();
    // Window changes are ignored unless somebody asks for them.
    receiver.notify(libc::SIGWINCH).unwrap();
    let refused = receiver.notify(libc::SIGWINCH).unwrap_err().to_string();
    assert!(refused.contains("mq_notify") && refused.contains("busy"), "{refused}");
    receiver.cancel_notify().unwrap();
    receiver.notify(libc::SIGWINCH).unwrap();
    // It is told once, and then anybody may ask again.
    PosixMq::new(&place.path()).sender().unwrap().send(b"now").unwrap();
    receiver.notify(libc::SIGWINCH).unwrap();
    let mut receiver = receiver;
    receiver.recv(&mut Vec::new()).unwrap();
}
