//! Peers that leave, or are killed, and those that come after them.

use super::support::{Folder, Process, Puppet, number_of, record, report};
use ringshm_core::error::{RecvError, SendError, TryRecvError, TrySendError};
use ringshm_core::{OnDeath, Receiver as _, Sender as _};
use ringshm_fallback::fifo::Fifo;
use ringshm_fallback::framing::Framing;
use std::io::Write as _;

/// What the children of these tests can be told besides: `send-long BYTES`; the report is `begin`, then `sent`, or why not.
pub(super) fn play(puppet: &mut Puppet, words: &[&str]) -> Option<String> {
    let ["send-long", bytes] = *words else { return None };
    report("begin");
    let message = vec![7; bytes.parse().unwrap()];
    Some(puppet.sender().send(&message).map_or_else(|error| format!("{error:?}"), |()| "sent".to_owned()))
}

/// What a child says of `recv-all` or `recv-some`: how many it received, how many it knows it lost, and why it ended.
fn account(report: &str) -> (u64, u64, String) {
    let words: Vec<_> = report.splitn(9, ' ').collect();
    let [received, "records,", lost, "lost,", _, "in", "sum,", "then", end] = words[..] else { panic!("{report}") };
    (received.parse().unwrap(), lost.parse().unwrap(), end.to_owned())
}

#[test]
fn a_receiver_that_is_killed_is_replaced_and_what_is_lost_with_it_is_counted() {
    let folder = Folder::new();
    let name = format!("fifo:{}", folder.join("fifo"));
    let (mut sender, mut first) = (Process::start(&folder), Process::start(&folder));
    assert_eq!(sender.ask(&format!("sender {name}&await").replace('&', "?")), "open");
    assert_eq!(first.ask(&format!("receiver {name}")), "open");
    let mut received = 0;
    let mut sent = 0;
    // Whatever the first reads ahead ends in the middle of a record sooner or later.
    sender.begin("send 0 100000");
    for _ in 0..7 {
        first.begin("recv-some 1111");
        let (count, lost, end) = account(&first.hear());
        assert_eq!((count, lost, end.as_str()), (1111, 0, "that was all"));
        received += count;
    }
    let position: u64 =
        first.ask("position").strip_prefix("Some(").unwrap().strip_suffix(')').unwrap().parse().unwrap();
    assert_eq!(position, received);
    first.kill();
    let mut second = Fifo::new(folder.join("fifo")).receiver().unwrap();
    let (mut message, mut rejected) = (Vec::new(), 0);
    let lost = loop {
        match second.recv(&mut message) {
            Ok(_) => break number_of(&message) - position,
            Err(RecvError::Rejected(_)) => rejected += 1,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(rejected <= 1, "told once");
    received += 1;
    assert_eq!(second.position(), Some(position + lost + 1));
    while received + lost < 100_000 {
        second.recv(&mut message).unwrap();
        assert_eq!(number_of(&message), received + lost);
        received += 1;
    }
    assert_eq!(sender.hear(), "sent 100000");
    sent += 100_000;
    assert_eq!(sender.ask("close"), "ok");
    assert_eq!(second.recv(&mut message), Err(RecvError::Disconnected));
    assert_eq!(received + lost, sent);
    sender.finish();
}

#[test]
fn a_sender_that_is_killed_is_missed_and_replaced() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let mut receiver = Fifo::new(&path).receiver().unwrap();
    let mut message = Vec::new();
    for _ in 0..3 {
        let mut sender = Process::start(&folder);
        assert_eq!(sender.ask(&format!("sender fifo:{path}")), "open");
        assert_eq!(sender.ask("send 0 100"), "sent 100");
        sender.kill();
        for n in 0..100 {
            receiver.recv(&mut message).unwrap();
            assert_eq!(number_of(&message), n, "each sender counts from 0, and nothing is missed");
        }
        assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
    }
}

#[test]
fn a_sender_is_told_that_its_receiver_was_killed_while_it_sleeps_and_while_it_does_not() {
    // What nobody read is left in the pipe.
    let folder = Folder::for_leftovers();
    for framing in [Framing::Frames, Framing::Len32] {
        let path = folder.join("fifo");
        let word = if framing == Framing::Frames { "frames" } else { "len32" };
        let fifo = || Fifo::new(&path).framing(framing);
        let name = format!("fifo:{path}?framing={word}");
        let (mut sender, mut receiver) = (Process::start(&folder), Process::start(&folder));
        assert_eq!(receiver.ask(&format!("receiver {name}")), "open");
        assert_eq!(sender.ask(&format!("sender {name}")), "open");
        sender.begin("send 0 1000000");
        assert!(sender.sleeps());
        receiver.kill();
        let reply = sender.hear();
        assert!(reply.starts_with("Disconnected(..) at "), "{reply}");
        sender.finish();
        let mut receiver = Process::start(&folder);
        assert_eq!(receiver.ask(&format!("receiver {name}")), "open");
        let mut sender = fifo().sender().unwrap();
        sender.send(&record(0)).unwrap();
        assert_eq!(receiver.ask("recv 0 1"), "received 1");
        receiver.kill();
        // It looks now and then.
        let end = (0..).find_map(|_| sender.try_send(b"").err()).unwrap();
        assert_eq!(end, TrySendError::Disconnected(()));
        assert_eq!(sender.send(b""), Err(SendError::Disconnected(())), "for good");
        let mut successor = fifo().receiver().unwrap();
        // What was sent to nobody meanwhile.
        while successor.try_recv(&mut Vec::new()).is_ok() {}
        assert_eq!(sender.try_send(b""), Ok(()), "until another one comes");
    }
}

#[test]
fn half_a_message_of_a_dead_sender_does_not_swallow_its_successors() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let mut receiver = Fifo::new(&path).on_death(OnDeath::AwaitSuccessor).receiver().unwrap();
    let mut message = Vec::new();
    for _ in 0..3 {
        // 300,000 bytes do not fit: the child sleeps in the middle of them.
        let mut sender = Process::start(&folder);
        assert_eq!(sender.ask(&format!("sender fifo:{path}")), "open");
        assert_eq!(sender.ask("send 0 2"), "sent 2");
        sender.begin("send-long 300000");
        assert!(sender.sleeps());
        sender.kill();
        let mut sender = Fifo::new(&path).sender().unwrap();
        let sending = std::thread::spawn(move || {
            (0..3000).for_each(|n| sender.send(&record(n)).unwrap());
            sender
        });
        for n in 0..2 {
            receiver.recv(&mut message).unwrap();
            assert_eq!(number_of(&message), n);
        }
        let rejected = receiver.recv(&mut message);
        assert!(matches!(rejected, Err(RecvError::Rejected(_))), "{rejected:?}");
        for n in 0..3000 {
            receiver.recv(&mut message).unwrap();
            assert_eq!(number_of(&message), n);
        }
        assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
        drop(sending.join().unwrap());
    }
}

#[test]
fn what_a_stranger_writes_is_rejected_once_and_the_channel_goes_on() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let mut receiver = Fifo::new(&path).on_death(OnDeath::AwaitSuccessor).receiver().unwrap();
    let mut sender = Fifo::new(&path).sender().unwrap();
    let mut stranger = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut message = Vec::new();
    for n in 0..5 {
        let text: &[u8] = if n % 2 == 0 { b"good morning\n" } else { &[b'x'; 3000] };
        stranger.write_all(text).unwrap();
        sender.send(&record(n)).unwrap();
        let rejected = receiver.recv(&mut message);
        assert!(matches!(rejected, Err(RecvError::Rejected(_))), "{rejected:?}");
        receiver.recv(&mut message).unwrap();
        assert_eq!((number_of(&message), receiver.position()), (n, Some(n + 1)));
    }
}
