//! Order, limits, time-outs, many on both sides.

use crate::actor::STRIDE;
use crate::place::{KINDS, Kind, Place};
use crate::support::{Folder, Process};
use ringshm_core::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use ringshm_core::{Batch, Deadline, OnDeath};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(20);

/// A queue that holds four messages of a byte and little more, and how many it does.
fn small(kind: Kind) -> (&'static str, usize) {
    match kind {
        Kind::Posix => ("messages=4&framing=bare", 4),
        Kind::Sysv => ("capacity=4&framing=bare", 4),
    }
}

#[test]
fn a_queue_is_full_and_empty_when_it_is_and_waits_no_longer_than_it_is_told() {
    for kind in KINDS {
        let place = Place::new(kind);
        let (options, room) = small(kind);
        let (mut sender, mut receiver) = (place.sender(options).unwrap(), place.receiver(options).unwrap());
        let mut message = Vec::new();
        assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
        assert_eq!(receiver.recv_timeout(&mut message, SOON), Err(RecvTimeoutError::Timeout));
        for n in 0..room {
            sender.try_send(&[n as u8]).unwrap();
        }
        assert_eq!(sender.try_send(b"x"), Err(TrySendError::Full(())));
        assert_eq!(sender.send_timeout(b"x", SOON), Err(SendTimeoutError::Timeout(())));
        let mut batch = Batch::default();
        assert_eq!(receiver.recv_batch_by(&mut batch, room + 1, Deadline::NEVER), Ok(room));
        assert!(batch.iter().enumerate().all(|(n, message)| message == [n as u8]));
        drop((sender, receiver));
    }
}

#[test]
fn the_longest_message_and_the_empty_one_are_carried_and_one_byte_more_is_too_large() {
    for kind in KINDS {
        for options in ["framing=frames", "framing=bare"] {
            let place = Place::new(kind);
            let (mut sender, mut receiver) = (place.sender(options).unwrap(), place.receiver(options).unwrap());
            let max = sender.capabilities().longest.bytes;
            assert_eq!(receiver.capabilities().longest.bytes, max);
            let longest: Vec<u8> = (0..max).map(|n| n as u8).collect();
            let mut message = Vec::new();
            for sent in [&longest[..], b"", b"between", &longest] {
                sender.try_send(sent).unwrap();
                assert_eq!(receiver.try_recv(&mut message), Ok(sent.len()));
                assert_eq!(message, sent);
            }
            let error = sender.try_send(&vec![0; max + 1]);
            assert_eq!(error, Err(TrySendError::TooLarge { len: max + 1, max }));
            assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
        }
    }
}

#[test]
fn several_senders_and_receivers_share_a_queue_and_each_message_arrives_once() {
    const EACH: u64 = 3000;
    for kind in KINDS {
        let (place, folder) = (Place::new(kind), Folder::new());
        let mut senders: Vec<_> = (0..3).map(|_| Process::start(&folder)).collect();
        let mut receivers: Vec<_> = (0..2).map(|_| Process::start(&folder)).collect();
        for receiver in &mut receivers {
            assert_eq!(receiver.ask(&format!("receiver {}", place.name(""))), "open");
            receiver.begin("tally");
        }
        // All are there before the first ends: otherwise the stream could end in between.
        for sender in &mut senders {
            assert_eq!(sender.ask(&format!("sender {}", place.name(""))), "open");
        }
        for (n, sender) in (0..).zip(&mut senders) {
            sender.begin(&format!("send {} {}", n * STRIDE, n * STRIDE + EACH));
        }
        for (n, mut sender) in (0..).zip(senders) {
            assert_eq!(sender.hear(), format!("sent {}", n * STRIDE + EACH));
            sender.finish();
        }
        let (mut count, mut sum) = (0, 0);
        for mut receiver in receivers {
            let said = receiver.hear();
            assert!(said.ends_with("then Disconnected"), "{kind:?}: {said}");
            let number =
                |nth| said.split([' ', ',']).nth(nth).and_then(|word| word.parse::<u64>().ok()).expect("a number");
            count += number(0);
            sum += number(3);
            receiver.finish();
        }
        assert_eq!(count, 3 * EACH);
        assert_eq!(sum, (0..3).flat_map(|n| n * STRIDE..n * STRIDE + EACH).sum::<u64>());
    }
}

#[test]
fn what_is_numbered_has_one_on_each_side_and_a_gap_is_counted() {
    for kind in KINDS {
        let place = Place::new(kind);
        let (mut sender, mut receiver) = (place.sender("numbered").unwrap(), place.receiver("numbered").unwrap());
        for refused in [place.sender("numbered").err(), place.sender("").err(), place.receiver("").err()] {
            let refused = refused.expect("it is taken").to_string();
            assert!(refused.starts_with("there already is a live "), "{refused}");
        }
        assert!(sender.capabilities().numbers && receiver.capabilities().numbers);
        let mut message = Vec::new();
        sender.send(b"0").unwrap();
        receiver.recv(&mut message).unwrap();
        // Another one, who does not keep to the rules, takes the next.
        Box::new(receiver).detach();
        let mut thief = place.receiver("numbered").unwrap();
        sender.send(b"1").unwrap();
        thief.recv(&mut message).unwrap();
        assert_eq!((&message[..], thief.position()), (&b"1"[..], Some(2)));
        drop((thief, sender));
        assert!(place.is_clean());
    }
}

#[test]
fn a_receiver_that_awaits_successors_outlives_its_senders() {
    for kind in KINDS {
        let (place, folder) = (Place::new(kind), Folder::new());
        let mut receiver = Process::start(&folder);
        assert_eq!(receiver.ask(&format!("receiver {}", place.name("await"))), "open");
        receiver.begin("recv 0 300");
        for part in 0..3 {
            let mut sender = Process::start(&folder);
            assert_eq!(sender.ask(&format!("sender {}", place.name(""))), "open");
            assert_eq!(
                sender.ask(&format!("send {} {}", part * 100, part * 100 + 100)),
                format!("sent {}", part * 100 + 100)
            );
            assert!(receiver.sleeps());
            sender.kill();
        }
        assert_eq!(receiver.hear(), "received 300");
        // And an end is an end.
        receiver.begin("recv 300 301");
        drop(place.sender("").unwrap());
        assert_eq!(receiver.hear(), "Disconnected at 300");
        receiver.finish();
    }
    let _ = OnDeath::AwaitSuccessor;
}
