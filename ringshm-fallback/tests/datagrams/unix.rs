//! Unix datagrams: deaths, strangers, limits.

use super::support::{Folder, Process, record, until};
use super::{receive, receiver, sender};
use ringshm_core::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use ringshm_core::{Deadline, Receiver as _, Sender as _};
use ringshm_fallback::framing::{Frame, Framing};
use ringshm_fallback::unix::Trusted;
use ringshm_fallback::unix::dgram::Dgram;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, recv, sendmsg_addr,
};
use std::io::IoSlice;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// The name of a socket in a folder.
fn name(folder: &Folder) -> String {
    format!("unix://{}?type=dgram", folder.join("x.sock"))
}

/// How many messages a receiver's queue holds: `net.unix.max_dgram_qlen`, and one more.
pub(crate) fn queue() -> u64 {
    let most = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").expect("every Linux has it");
    most.trim().parse::<u64>().expect("a number") + 1
}

/// How many a receiver may have taken out of it, and not handed out.
pub(crate) const FETCHED: u64 = 32;

#[test]
fn a_killed_receiver_is_replaced_and_its_successor_knows_how_many_it_missed() {
    for place in ["file", "abstract"] {
        let folder = Folder::new();
        let all = 1000 + 2 * queue();
        let name = match place {
            "file" => name(&folder),
            _ => format!("unix:@ringshm-test-{}?type=dgram", std::process::id()),
        };
        let [mut source, mut first, mut second] = [(); 3].map(|()| Process::start(&folder));
        assert_eq!(first.ask(&format!("receiver {name}")), "open");
        assert_eq!(source.ask(&format!("sender {name}&await")), "open");
        source.begin(&format!("send 0 {all}"));
        assert_eq!(first.ask("recv 0 500"), "received 500");
        // The queue is full, and the sender sleeps for room in it.
        assert!(source.sleeps());
        first.kill();
        assert_eq!(second.ask(&format!("receiver {name}")), "open", "{place}");
        second.begin("recv-by 20000");
        let next: u64 = second.hear().parse().expect("a number");
        assert!((500..=500 + queue() + FETCHED).contains(&next), "{next}");
        assert_eq!(second.ask("position"), format!("Some({})", next + 1));
        second.begin(&format!("recv {} {all}", next + 1));
        assert_eq!(source.hear(), format!("sent {all}"));
        assert_eq!(second.hear(), format!("received {all}"));
        assert_eq!(second.ask("close"), "ok");
        [source, second].into_iter().for_each(Process::finish);
    }
}

#[test]
fn a_sender_that_does_not_await_is_told_that_the_receiver_is_gone() {
    let folder = Folder::for_leftovers();
    let name = name(&folder);
    let [mut source, mut sink] = [(); 2].map(|()| Process::start(&folder));
    assert_eq!(sink.ask(&format!("receiver {name}")), "open");
    assert_eq!(source.ask(&format!("sender {name}")), "open");
    source.begin(&format!("send 0 {}", 1000 + queue()));
    assert!(source.sleeps());
    sink.kill();
    assert!(source.hear().starts_with("Disconnected(..) at "));
    assert_eq!(source.ask("try-send 0"), "Disconnected(..)");
    source.finish();
    // What it left is no obstacle.
    drop(receiver(&name));
    assert_eq!(folder.entries(), [""; 0]);
}

#[test]
fn a_killed_sender_is_replaced_and_nobody_else_notices() {
    let folder = Folder::new();
    let name = name(&folder);
    let [mut sink, mut first, mut other, mut second] = [(); 4].map(|()| Process::start(&folder));
    assert_eq!(sink.ask(&format!("receiver {name}")), "open");
    assert_eq!(first.ask(&format!("sender {name}")), "open");
    assert_eq!(other.ask(&format!("sender {name}")), "open");
    assert_eq!(first.ask("send 0 5"), "sent 5");
    assert_eq!(sink.ask("recv 0 5"), "received 5");
    sink.begin("recv 5 20");
    first.kill();
    assert_eq!(other.ask("send 5 10"), "sent 10");
    assert_eq!(second.ask(&format!("sender {name}")), "open");
    assert_eq!(second.ask("send 10 20"), "sent 20");
    assert_eq!(sink.hear(), "received 20");
    assert_eq!(sink.ask("position"), "Some(10)", "of the last sender's stream");
    [sink, other, second].into_iter().for_each(Process::finish);
}

#[test]
fn many_senders_each_in_order() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 2000;
    let folder = Folder::new();
    let name = name(&folder);
    let mut sources: Vec<_> = (0..SENDERS).map(|_| Process::start(&folder)).collect();
    for (n, source) in (0..).zip(&mut sources) {
        assert_eq!(source.ask(&format!("sender {name}")), "open");
        // Before anybody receives: they wait for the first one.
        source.begin(&format!("{} {} {}", ["send", "send-slice"][n as usize % 2], n * EACH, (n + 1) * EACH));
    }
    let mut sink = receiver(&name);
    let mut next = [0; SENDERS as usize];
    for _ in 0..SENDERS * EACH {
        let n = super::support::number_of(&receive(&mut *sink));
        let (whose, number) = (n / EACH, n % EACH);
        assert_eq!(number, next[whose as usize], "of sender {whose}");
        next[whose as usize] += 1;
    }
    assert_eq!(next, [EACH; SENDERS as usize]);
    for (n, mut source) in (1..).zip(sources) {
        assert_eq!(source.hear(), format!("sent {}", n * EACH));
        source.finish();
    }
    let mut message = Vec::new();
    assert_eq!(sink.try_recv(&mut message), Err(TryRecvError::Empty));
}

#[test]
fn a_full_queue_is_full_until_there_is_room() {
    let folder = Folder::new();
    let name = name(&folder);
    let mut sink = receiver(&name);
    let mut source = sender(&name);
    let mut count = 0;
    while source.try_send(&record(count)).is_ok() {
        count += 1;
    }
    assert_eq!(source.try_send(b""), Err(TrySendError::Full(())));
    assert_eq!(source.send_timeout(b"", Duration::from_millis(5)), Err(SendTimeoutError::Timeout(())));
    assert_eq!(count, queue());
    // A process that sleeps for room is woken by it.
    let mut other = Process::start(&folder);
    assert_eq!(other.ask(&format!("sender {name}")), "open");
    other.begin("send-by 1000000 20000");
    assert!(other.sleeps());
    for n in 0..count {
        assert_eq!(receive(&mut *sink), record(n));
    }
    assert_eq!(other.hear(), "ok");
    assert_eq!(receive(&mut *sink), record(1_000_000));
    other.finish();
}

#[test]
fn what_is_no_message_is_rejected_and_the_next_one_comes() {
    let folder = Folder::new();
    let path = folder.join("x.sock");
    let mut sink = Dgram::new(&path).max_message(100).receiver().expect("nobody is there");
    let mut source = Dgram::new(&path).sender().expect("it is there");
    let stranger = UnixDatagram::unbound().expect("a socket");
    let pid = Some(std::process::id());
    let frame = |len, number| Frame { len, number: Some(number) }.header();
    let garbage: [(&[u8], &str); 5] = [
        (b"", "header"),
        (b"good day", "header"),
        (&[0; 64], "header"),
        (&frame(1, 0), "as long as"),
        (&[&frame(200, 0)[..], &[7; 200]].concat(), "max_message"),
    ];
    let mut message = Vec::new();
    for (n, (bytes, reason)) in (0..).zip(garbage) {
        stranger.send_to(bytes, &path).expect("there is room");
        source.send(&record(n)).expect("it is there");
        match sink.recv_by(&mut message, Deadline::NEVER) {
            Err(RecvTimeoutError::Rejected(rejection)) => {
                assert!(rejection.reason.contains(reason), "{rejection}");
                assert_eq!((rejection.pid, rejection.uid.is_some()), (pid, true));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(receive(&mut sink), record(n));
    }
    // A message that is too long for this receiver is rejected, and not missed in addition.
    source.send(&[1; 101]).expect("the sender does not know");
    source.send(b"short").expect("it is there");
    assert!(matches!(sink.try_recv(&mut message), Err(TryRecvError::Rejected(_))));
    assert_eq!(receive(&mut sink), b"short");
    // In a batch, too: what came before it first.
    stranger.send_to(b"good day", &path).expect("there is room");
    source.send(b"last").expect("it is there");
    let mut batch = ringshm_core::Batch::default();
    let next = |sink: &mut dyn ringshm_core::Receiver, batch: &mut _| sink.recv_batch_by(batch, 10, Deadline::NEVER);
    assert!(matches!(next(&mut sink, &mut batch), Err(RecvTimeoutError::Rejected(_))));
    assert_eq!(next(&mut sink, &mut batch), Ok(1));
    source.send(b"before").expect("it is there");
    stranger.send_to(b"good day", &path).expect("there is room");
    assert_eq!(next(&mut sink, &mut batch), Ok(1));
    assert!(matches!(next(&mut sink, &mut batch), Err(RecvTimeoutError::Rejected(_))));
}

/// Needs root: to be somebody else.
#[test]
fn another_users_messages_are_rejected_by_name_or_taken_if_asked_for() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be two users");
        return;
    }
    const OTHER: u32 = 65_534;
    let path = format!("@ringshm-test-strangers-{}", std::process::id());
    let name = format!("unix:{path}?type=dgram");
    let folder = Folder::new();
    let mut other = Process::start_with(&folder, |command| {
        std::os::unix::process::CommandExt::uid(command, OTHER);
    });
    for (trusted, is_taken) in
        [(Trusted::SameUser, false), (Trusted::User(1), false), (Trusted::User(OTHER), true), (Trusted::Anyone, true)]
    {
        let mut sink = None;
        // A child that another test is just starting has the last one until it comes to its exec.
        until("the name is free again", || {
            sink = Dgram::new(&path).trust(trusted).receiver().ok();
            sink.is_some()
        });
        let mut sink = sink.expect("it was made");
        assert_eq!(other.ask(&format!("sender {name}")), "open");
        assert_eq!(other.ask("send 0 1"), "sent 1");
        let mut message = Vec::new();
        match sink.recv_timeout(&mut message, super::support::PATIENCE) {
            Ok(_) => assert!(is_taken, "{trusted:?}"),
            Err(RecvTimeoutError::Rejected(rejection)) => {
                assert!(!is_taken, "{trusted:?}");
                assert_eq!((rejection.pid, rejection.uid), (Some(other.pid()), Some(OTHER)));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    // A file of another user's is not sent to.
    let path = folder.join("x.sock");
    let _sink = Dgram::new(&path).mode(0o666).receiver().expect("nobody is there");
    let refusal = other.ask(&format!("sender unix:{path}?type=dgram"));
    assert!(refusal.starts_with("Permission: "), "{refusal}");
    assert_eq!(other.ask(&format!("sender unix:{path}?type=dgram&uid=0")), "open");
    other.finish();
}

#[test]
fn descriptors_that_somebody_sends_along_do_not_stay_open() {
    let folder = Folder::new();
    // In a process of its own: others open and close descriptors meanwhile.
    let mut child = Process::start(&folder);
    let report = child.ask(&format!("gifts {}", folder.join("x.sock")));
    let (before, after) = report.split_once(' ').expect("two numbers");
    assert_eq!(before, after);
    child.finish();
}

/// A child receives messages with descriptors beside them, and says how many it has open before and after.
pub(crate) fn obey(words: &[&str]) -> Option<String> {
    let ["gifts", path] = words else { return None };
    let mut sink = Dgram::new(path).framing(Framing::Bare).receiver().expect("nobody is there");
    let stranger = UnixDatagram::unbound().expect("a socket");
    let before = super::descriptors();
    for _ in 0..3 {
        let mut space = [core::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let gifts = [stranger.as_fd(), stranger.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&gifts)));
        let address = SocketAddrUnix::new(*path).expect("a short path");
        let bytes = [IoSlice::new(b"a gift")];
        sendmsg_addr(&stranger, &address, &bytes, &mut control, SendFlags::empty()).expect("there is room");
        assert_eq!(receive(&mut sink), b"a gift");
    }
    Some(format!("{before} {}", super::descriptors()))
}

#[test]
fn a_longer_message_needs_a_larger_buffer_on_both_sides_which_has_a_limit() {
    const LONG: usize = 1_000_000;
    let folder = Folder::new();
    let path = folder.join("x.sock");
    let most: usize =
        std::fs::read_to_string("/proc/sys/net/core/wmem_max").expect("Linux").trim().parse().expect("a number");
    let refusal = Dgram::new(&path).max_message(2 * most + 1).sender().expect_err("beyond the limit");
    assert!(refusal.to_string().contains("net.core.wmem_max"), "{refusal}");
    if most < LONG {
        println!("the rest is skipped: net.core.wmem_max is {most}");
        return;
    }
    let mut sink = Dgram::new(&path).max_message(LONG).receiver().expect("nobody is there");
    let mut source = Dgram::new(&path).max_message(LONG).sender().expect("it is there");
    let message: Vec<u8> = (0..LONG).map(|n| (n % 251) as u8).collect();
    source.send(&message).expect("it is there");
    assert!(receive(&mut sink) == message);
    assert_eq!(source.send(&[0; LONG + 1]), Err(ringshm_core::error::SendError::TooLarge { len: LONG + 1, max: LONG }));
    // In the middle of several: what stands before it is sent.
    let error = source.send_slice(&[b"one", &[0; LONG + 1], b"two"]).expect_err("too long");
    assert_eq!(error.sent, 1);
    assert_eq!(receive(&mut sink), b"one");
}

#[test]
fn what_is_sent_together_shares_a_datagram_for_which_every_receiver_has_room() {
    let folder = Folder::new();
    let mut sink = receiver(&format!("{}&max_message=100", name(&folder)));
    let mut source = sender(&name(&folder));
    let (short, long) = ([7; 100], [8; 101]);
    // More than all the datagrams that the queue holds, if each were alone.
    let count = 40 * queue() as usize;
    let mut messages = vec![&short[..]; count];
    messages[3] = &long;
    source.send_slice(&messages).expect("nobody has to wait for room");
    for number in 0..count as u64 {
        if number == 3 {
            let refusal = sink.try_recv(&mut Vec::new());
            assert!(matches!(refusal, Err(TryRecvError::Rejected(_))), "{refusal:?}");
        } else {
            assert_eq!(receive(&mut *sink), short);
        }
        assert_eq!(sink.position(), Some(number + 1));
    }
    assert_eq!(sink.try_recv(&mut Vec::new()), Err(TryRecvError::Empty));
}

#[test]
fn a_name_has_one_receiver() {
    let folder = Folder::new();
    let name = name(&folder);
    let first = receiver(&name);
    let mut other = Process::start(&folder);
    let refusal = other.ask(&format!("receiver {name}"));
    assert!(refusal.starts_with("RoleTaken: there already is a live receiver"), "{refusal}");
    drop(first);
    assert_eq!(other.ask(&format!("receiver {name}")), "open");
    assert_eq!(other.ask("close"), "ok");
    other.finish();
}

/// What goes over the socket is what the documents say: a header of 16 bytes, and bare nothing.
#[test]
fn the_bytes_of_a_datagram() {
    let folder = Folder::new();
    let path = folder.join("x.sock");
    let socket = UnixDatagram::bind(&path).expect("a new file");
    let mut framed = Dgram::new(&path).sender().expect("it is there");
    let mut bare = Dgram::new(&path).framing(Framing::Bare).sender().expect("it is there");
    let mut bytes = [0; 64];
    for number in 0..2 {
        framed.send(b"record").expect("it is there");
        let (len, _) = recv(&socket, &mut bytes[..], RecvFlags::empty()).expect("it came");
        assert_eq!(&bytes[..len], [&Frame { len: 6, number: Some(number) }.header()[..], b"record"].concat());
    }
    bare.send(b"record").expect("it is there");
    let (len, _) = recv(&socket, &mut bytes[..], RecvFlags::empty()).expect("it came");
    assert_eq!(&bytes[..len], b"record");
    drop(socket);
    std::fs::remove_file(path).expect("std leaves it");
}
