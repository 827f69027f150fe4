//! FIFOs: either side first, peers that are killed and replaced, foreign programs, and the file itself.

mod endings;
mod file;
mod foreign;
#[path = "../support/mod.rs"]
mod support;

use ringshm_core::error::{OpenError, RecvError, RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use ringshm_core::{Channel as _, Deadline, OnDeath, Parties, Receiver as _, Sender as _};
use ringshm_fallback::fifo::Fifo;
use ringshm_fallback::framing::Framing;
use std::time::Duration;
use support::{Folder, Process, number_of, record};

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    support::play(endings::play);
}

/// Long enough to be no accident, short enough to be borne.
const MOMENT: Duration = Duration::from_millis(30);

#[test]
fn a_fifo_is_empty_then_full_then_over() {
    let folder = Folder::new();
    for first_is_sender in [true, false] {
        let fifo = || Fifo::new(folder.join("fifo"));
        let (mut sender, mut receiver) = if first_is_sender {
            let sender = fifo().sender().unwrap();
            (sender, fifo().receiver().unwrap())
        } else {
            let receiver = fifo().receiver().unwrap();
            (fifo().sender().unwrap(), receiver)
        };
        let mut message = Vec::new();
        assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
        assert_eq!(receiver.recv_timeout(&mut message, MOMENT), Err(RecvTimeoutError::Timeout));
        let mut sent = 0;
        while sender.try_send(&record(sent)).is_ok() {
            sent += 1;
        }
        assert_eq!(sender.try_send(&record(sent)), Err(TrySendError::Full(())));
        assert_eq!(sender.send_timeout(&record(sent), MOMENT), Err(SendTimeoutError::Timeout(())));
        for n in 0..sent {
            receiver.try_recv(&mut message).unwrap();
            assert_eq!(number_of(&message), n);
        }
        assert_eq!(receiver.position(), Some(sent));
        sender.send(b"").unwrap();
        drop(sender);
        assert_eq!(receiver.recv(&mut message), Ok(0));
        assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
        assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Disconnected));
    }
}

#[test]
fn a_receiver_that_came_first_is_told_of_no_end_before_somebody_came() {
    let folder = Folder::new();
    for framing in [Framing::Frames, Framing::Lines] {
        let fifo = || Fifo::new(folder.join("fifo")).framing(framing);
        let mut receiver = fifo().receiver().unwrap();
        let mut message = Vec::new();
        assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
        let receiving = std::thread::spawn(move || {
            let end = receiver.recv(&mut message);
            (end, receiver)
        });
        let sender = fifo().sender().unwrap();
        drop(sender);
        let (end, mut receiver) = receiving.join().unwrap();
        assert_eq!(end, Err(RecvError::Disconnected), "somebody came and sent nothing");
        // And another one.
        let mut sender = fifo().sender().unwrap();
        sender.send(b"x").unwrap();
        assert_eq!(receiver.recv(&mut Vec::new()), Ok(1));
    }
}

#[test]
fn both_sides_are_processes_and_either_starts_first() {
    for first in ["sender", "receiver"] {
        let folder = Folder::new();
        let name = format!("fifo:{}", folder.join("fifo"));
        let (mut sender, mut receiver) = (Process::start(&folder), Process::start(&folder));
        if first == "sender" {
            assert_eq!(sender.ask(&format!("sender {name}")), "open");
            // More than the pipe holds.
            sender.begin("send 0 20000");
            assert!(sender.sleeps());
            assert_eq!(receiver.ask(&format!("receiver {name}")), "open");
            receiver.begin("recv-all");
        } else {
            assert_eq!(receiver.ask(&format!("receiver {name}")), "open");
            receiver.begin("recv-all");
            assert!(receiver.sleeps());
            assert_eq!(sender.ask(&format!("sender {name}")), "open");
            sender.begin("send 0 20000");
        }
        assert_eq!(sender.hear(), "sent 20000");
        assert_eq!(sender.ask("close"), "ok");
        let sum: u64 = (0..20_000).sum();
        assert_eq!(receiver.hear(), format!("20000 records, 0 lost, {sum} in sum, then Disconnected"));
        [sender, receiver].into_iter().for_each(Process::finish);
    }
}

#[test]
fn what_was_sent_before_anybody_came_waits_even_if_its_sender_leaves() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let mut sender = Fifo::new(&path).linger(support::PATIENCE).sender().unwrap();
    sender.send(&record(0)).unwrap();
    let leaving = std::thread::spawn(move || drop(sender));
    let mut receiver = Fifo::new(&path).receiver().unwrap();
    let mut message = Vec::new();
    receiver.recv(&mut message).unwrap();
    assert_eq!(number_of(&message), 0);
    assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
    leaving.join().unwrap();
}

#[test]
fn a_sender_can_wait_until_all_is_received() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let (mut sender, mut receiver) = (Fifo::new(&path).sender().unwrap(), Fifo::new(&path).receiver().unwrap());
    assert!(sender.drain_by(Deadline::NEVER));
    // More than there is room for.
    sender.try_send(&[7; 100_000]).unwrap();
    assert!(!sender.drain_by(Deadline::after(MOMENT)));
    let receiving = std::thread::spawn(move || receiver.recv(&mut Vec::new()).map(|len| (len, receiver)));
    assert!(sender.drain_by(Deadline::NEVER));
    assert_eq!(receiving.join().unwrap().unwrap().0, 100_000);
}

#[test]
fn there_is_one_of_each_and_others_are_told_who_it_is() {
    let folder = Folder::new();
    for framing in ["frames", "len32"] {
        let name = format!("fifo:{}?framing={framing}", folder.join("fifo"));
        let mut first = Process::start(&folder);
        assert_eq!(first.ask(&format!("sender {name}")), "open");
        let mut second = Process::start(&folder);
        assert_eq!(second.ask(&format!("receiver {name}")), "open");
        for (side, holder) in [("sender", &first), ("receiver", &second)] {
            let refusal = Process::start(&folder).ask(&format!("{side} {name}"));
            assert!(refusal.starts_with("RoleTaken: "), "{refusal}");
            assert!(refusal.contains(&format!("a live {side}, process {}:", holder.pid())), "{refusal}");
        }
        let refusal = Process::start(&folder).ask(&format!("sender {name}&senders=many"));
        assert!(refusal.starts_with("RoleTaken: "), "not one of many either: {refusal}");
        // Who was refused has changed nothing.
        assert_eq!(second.ask("next"), "Empty");
        second.begin("recv 0 10");
        assert_eq!(first.ask("send 0 10"), "sent 10");
        assert_eq!(second.hear(), "received 10");
        [first, second].into_iter().for_each(Process::finish);
    }
}

#[test]
fn many_senders_never_mix_up_their_messages() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let options = Fifo::new(&path).many_senders();
    let mut receiver = options.clone().receiver().unwrap();
    let name = format!("fifo:{path}?senders=many");
    let mut senders: Vec<_> = (0..4).map(|_| Process::start(&folder)).collect();
    for (which, sender) in senders.iter_mut().enumerate() {
        assert_eq!(sender.ask(&format!("sender {name}")), "open");
        sender.begin(&format!("{} {} {}", ["send", "send-slice"][which % 2], which * 10_000, which * 10_000 + 3000));
    }
    // Of the same process, too.
    let also = options.clone().sender().unwrap();
    assert_eq!((also.capabilities().senders, also.capabilities().longest.bytes), (Parties::Many, 4080));
    drop(also);
    match Fifo::new(&path).sender() {
        Err(OpenError::RoleTaken { .. }) => {}
        other => panic!("{other:?}"),
    }
    let (mut next, mut message) = ([0, 10_000, 20_000, 30_000], Vec::new());
    for _ in 0..12_000 {
        receiver.recv(&mut message).unwrap();
        let n = number_of(&message);
        let next = &mut next[(n / 10_000) as usize];
        assert_eq!(n, *next);
        *next += 1;
    }
    for mut sender in senders {
        assert!(sender.hear().starts_with("sent"));
        sender.finish();
    }
    assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
}

#[test]
fn who_awaits_a_successor_finds_no_end() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let mut receiver = Fifo::new(&path).on_death(OnDeath::AwaitSuccessor).receiver().unwrap();
    let mut message = Vec::new();
    for round in 0..3 {
        let mut sender = Fifo::new(&path).sender().unwrap();
        sender.send(&record(round)).unwrap();
        drop(sender);
        receiver.recv(&mut message).unwrap();
        assert_eq!((number_of(&message), receiver.position()), (round, Some(1)));
        assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
    }
}
