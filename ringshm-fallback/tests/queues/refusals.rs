//! What cannot be opened or sent, and what is thrown away: each with its own error, and the rest goes on.

use crate::place::{KINDS, Kind, Place};
use crate::support::{Folder, Process};
use ringshm_core::error::{OpenError, TryRecvError};

#[test]
fn garbage_in_the_queue_is_thrown_away_and_the_rest_goes_on() {
    for kind in KINDS {
        let place = Place::new(kind);
        let (mut sender, mut stranger) = (place.sender("").unwrap(), place.sender("framing=bare").unwrap());
        let mut receiver = place.receiver("").unwrap();
        let mut message = Vec::new();
        for garbage in [&b"garbage"[..], b"", &[0; 16], &[0xff; 100]] {
            stranger.send(garbage).unwrap();
            sender.send(b"a message").unwrap();
            assert!(matches!(receiver.try_recv(&mut message), Err(TryRecvError::Rejected(_))), "{garbage:?}");
            assert_eq!(receiver.try_recv(&mut message), Ok(9));
        }
        drop((stranger, sender, receiver));
    }
}

#[test]
fn a_queue_that_holds_less_is_refused_while_it_is_used_and_replaced_when_it_is_a_leftover() {
    for (kind, less, more) in [
        (Kind::Posix, "messages=2&max_message=64", "messages=3"),
        (Kind::Posix, "messages=2&max_message=64", "max_message=65"),
        (Kind::Sysv, "capacity=128", "capacity=129"),
        (Kind::Sysv, "capacity=128", "max_message=113"),
    ] {
        let (place, folder) = (Place::new(kind), Folder::new());
        let mut user = Process::start(&folder);
        assert_eq!(user.ask(&format!("receiver {}", place.name(less))), "open");
        let refused = place.sender(more).err();
        assert!(matches!(refused, Some(OpenError::LayoutMismatch { .. })), "{kind:?} {more}: {refused:?}");
        // Who asks for no more takes what there is.
        for fits in ["", less] {
            drop(place.sender(fits).unwrap());
        }
        user.kill();
        let (sender, receiver) = (place.sender(more).unwrap(), place.receiver(more).unwrap());
        drop((sender, receiver));
    }
}

#[test]
fn the_limits_of_the_system_are_named() {
    let refusal = |place: &Place, options: &str| match place.sender(options) {
        Ok(_) => panic!("{} was opened", place.name(options)),
        Err(error) => error.to_string(),
    };
    let place = Place::new(Kind::Posix);
    let refused = refusal(&place, "messages=1000000000");
    assert!(refused.contains("/proc/sys/fs/mqueue/msg_max allows"), "{refused}");
    let refused = refusal(&place, "max_message=1000000000");
    assert!(refused.contains("/proc/sys/fs/mqueue/msgsize_max allows"), "{refused}");
    let place = Place::new(Kind::Sysv);
    let refused = refusal(&place, "max_message=1000000000");
    assert!(refused.contains("/proc/sys/kernel/msgmax allows"), "{refused}");
    assert!(place.is_clean());
    let refused = refusal(&place, "capacity=100&max_message=200");
    assert!(refused.contains("its own capacity allows 100"), "{refused}");
    assert!(place.is_clean());
}

#[test]
fn memory_for_queues_that_is_used_up_is_named_by_its_limit() {
    let (place, folder) = (Place::new(Kind::Posix), Folder::new());
    let mut child = Process::start(&folder);
    assert_eq!(child.ask("limit-queues 1000"), "ok");
    let refused = child.ask(&format!("sender {}", place.name("")));
    assert!(refused.starts_with("Limit: ") && refused.contains("(ulimit -q) allows 1000"), "{refused}");
    child.finish();
}

#[test]
fn the_queue_of_another_user_is_refused() {
    // Only root can make another user's process.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for kind in KINDS {
        let (place, folder) = (Place::new(kind), Folder::new());
        let receiver = place.receiver("mode=666").unwrap();
        let mut other = Process::start(&folder);
        assert_eq!(other.ask("become 65534"), "ok");
        for side in ["sender", "receiver"] {
            let refused = other.ask(&format!("{side} {}", place.name("")));
            assert!(refused.starts_with("Permission: "), "{kind:?}: {refused}");
        }
        drop(receiver);
        assert!(place.is_clean(), "{kind:?}");
        // Nor does root take part in another's.
        assert_eq!(other.ask(&format!("receiver {}", place.name("mode=666"))), "open");
        let refused = place.sender("").err();
        assert!(matches!(refused, Some(OpenError::Permission { .. })), "{kind:?}: {refused:?}");
        other.finish();
    }
}

#[test]
fn options_that_make_no_sense_are_refused_before_anything_is_made() {
    for (kind, options) in [
        (Kind::Posix, "priority=32768"),
        (Kind::Posix, "framing=lines"),
        (Kind::Posix, "numbered&framing=bare"),
        (Kind::Sysv, "type=0"),
        (Kind::Sysv, "framing=raw:7"),
        (Kind::Sysv, "numbered&framing=bare"),
        (Kind::Sysv, "numbered&receive=-3"),
    ] {
        let place = Place::new(kind);
        let refused = place.sender(options).err();
        assert!(matches!(refused, Some(OpenError::InvalidOption { .. })), "{kind:?} {options}: {refused:?}");
        assert!(place.is_clean());
    }
    use ringshm_fallback::{address::Address, open};
    for name in ["mq:x", "mq:///", "mq:///a/b", "mq:///..", "sysv://0", "sysv://0x100000000", "sysv://key"] {
        let refused = Address::parse(name).and_then(open::sender).err();
        assert!(matches!(refused, Some(OpenError::InvalidName { .. })), "{name}: {refused:?}");
    }
}
