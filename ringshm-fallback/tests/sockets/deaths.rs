//! Who dies, leaves or comes late, and what the others see of it.

use super::support::{Folder, Process, record, until};
use super::{free_port, names, receive, receiver, sender};
use ringshm_core::error::{RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
use ringshm_core::{Deadline, Sender as _};
use ringshm_fallback::unix::connected::Connected;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept, bind, connect, listen, socket_with};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(20);

#[test]
fn a_killed_receiver_is_replaced_and_its_successor_knows_how_many_it_missed() {
    const ALL: u64 = 100_000;
    let folder = Folder::new();
    for name in names(&folder) {
        let [mut source, mut first, mut second] = [(); 3].map(|()| Process::start(&folder));
        assert_eq!(first.ask(&format!("receiver {name}")), "open");
        assert_eq!(source.ask(&format!("sender {name}&await")), "open");
        source.begin(&format!("send 0 {ALL}"));
        assert_eq!(first.ask("recv 0 500"), "received 500");
        assert!(source.sleeps());
        first.kill();
        // The file of its socket is still there, and no obstacle.
        assert_eq!(second.ask(&format!("receiver {name}")), "open", "{name}");
        second.begin("recv-by 20000");
        let next: u64 = second.hear().parse().expect("a number");
        assert!((501..ALL).contains(&next), "{name}: {next}");
        assert_eq!(second.ask("position"), format!("Some({})", next + 1));
        second.begin(&format!("recv {} {ALL}", next + 1));
        assert_eq!(source.hear(), format!("sent {ALL}"));
        assert_eq!(second.hear(), format!("received {ALL}"));
        assert_eq!(second.ask("close"), "ok");
        [source, second].into_iter().for_each(Process::finish);
    }
}

#[test]
fn a_sender_that_does_not_await_is_told_that_the_receiver_was_killed() {
    let folder = Folder::for_leftovers();
    for name in names(&folder) {
        let [mut source, mut sink] = [(); 2].map(|()| Process::start(&folder));
        assert_eq!(sink.ask(&format!("receiver {name}")), "open");
        assert_eq!(source.ask(&format!("sender {name}")), "open");
        source.begin("send 0 1000000000");
        assert!(source.sleeps());
        sink.kill();
        let said = source.hear();
        assert!(said.starts_with("Disconnected(..) at "), "{name}: {said}");
        assert_eq!(source.ask("try-send 0"), "Disconnected(..)");
        source.finish();
    }
}

/// Sending does not tell: the kernel takes one message more, and says so only of the next.
#[test]
fn over_tcp_a_sender_asks_now_and_then_whether_its_receiver_is_there() {
    let (folder, port) = (Folder::new(), free_port());
    let name = format!("tcp://127.0.0.1:{port}");
    let mut sink = Process::start(&folder);
    assert_eq!(sink.ask(&format!("receiver {name}")), "open");
    let mut source = sender(&name);
    source.send(&record(0)).expect("somebody listens");
    assert_eq!(sink.ask("recv 0 1"), "received 1");
    sink.kill();
    // The other end of its connection waits to be closed.
    let ended = |line: &str| matches!(line.split_whitespace().collect::<Vec<_>>()[..], [_, _, peer, "08", ..] if peer.ends_with(&format!(":{port:04X}")));
    until("the kernel has heard of the end", || {
        std::fs::read_to_string("/proc/net/tcp").expect("it is there").lines().any(ended)
    });
    // It asks once in 5 ms of the clock that the kernel's ticks advance.
    let now = || clock_gettime(ClockId::MonotonicCoarse);
    let asked = now();
    until("it is time to ask", || now() - asked > Timespec { tv_sec: 0, tv_nsec: 5_000_000 });
    assert_eq!(source.send(&record(1)), Err(SendError::Disconnected(())));
}

#[test]
fn a_message_that_the_dead_receiver_got_half_of_goes_to_its_successor_whole() {
    let folder = Folder::new();
    let path = folder.join("x.sock");
    let long = vec![7; 1 << 20];
    for deadline in [Deadline::after(Duration::ZERO), Deadline::after(MOMENT)] {
        let dying = UnixListener::bind(&path).expect("nothing is there");
        let mut source = sender(&format!("unix://{path}?type=stream&await"));
        let (mut connection, _) = dying.accept().expect("it has connected");
        // More than there is room for: a part is with the kernel, and that counts as sent.
        source.send_by(&long, deadline).expect("a part of it was taken");
        assert!(matches!(source.try_send(b"no"), Err(TrySendError::Full(()))));
        connection.read_exact(&mut [0; 5000]).expect("it is on its way");
        drop((connection, dying));
        // Of the second message nothing was taken: it is not sent, and does not come.
        let refusal = source.send_timeout(&record(1), MOMENT);
        assert!(matches!(refusal, Err(SendTimeoutError::Timeout(()))), "{refusal:?}");
        let mut sink = receiver(&format!("unix://{path}?type=stream&await"));
        let sending = std::thread::spawn(move || {
            source.send(&record(2)).expect("somebody is there again");
            source
        });
        assert!(receive(&mut *sink) == long, "it comes whole");
        assert_eq!(sink.position(), Some(1), "and by its first number");
        assert_eq!(receive(&mut *sink), record(2));
        assert_eq!(sink.position(), Some(2));
        drop((sending.join().expect("it does not panic"), sink));
    }
}

#[test]
fn the_rest_of_a_message_is_sent_before_its_sender_leaves() {
    let folder = Folder::new();
    let name = format!("unix://{}?type=stream", folder.join("x.sock"));
    let mut sink = receiver(&name);
    let mut source = sender(&name);
    let long = vec![7; 1 << 20];
    source.try_send(&long).expect("a part of it is taken");
    assert_eq!(sink.try_recv(&mut Vec::new()), Err(TryRecvError::Empty), "it is not whole");
    let leaving = std::thread::spawn(move || drop(source));
    assert!(receive(&mut *sink) == long);
    leaving.join().expect("it does not panic");
    assert_eq!(sink.recv_timeout(&mut Vec::new(), MOMENT), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn killed_senders_are_replaced_and_the_last_one_is_missed() {
    let folder = Folder::new();
    for name in names(&folder) {
        let [mut sink, mut first, mut other, mut second] = [(); 4].map(|()| Process::start(&folder));
        assert_eq!(sink.ask(&format!("receiver {name}")), "open");
        assert_eq!(first.ask(&format!("sender {name}")), "open");
        assert_eq!(first.ask("send 0 5"), "sent 5");
        assert_eq!(sink.ask("recv 0 5"), "received 5");
        assert_eq!(sink.ask("position"), "Some(5)");
        assert_eq!(other.ask(&format!("sender {name}")), "open");
        assert_eq!(other.ask("send 5 10"), "sent 10");
        assert_eq!(sink.ask("recv 5 10"), "received 10");
        assert_eq!(sink.ask("position"), "None", "of which of the two?");
        sink.begin("recv 10 20");
        first.kill();
        other.kill();
        assert_eq!(sink.hear(), "Disconnected at 10", "{name}");
        // Whoever asks on gets what the next one sends.
        assert_eq!(second.ask(&format!("sender {name}")), "open");
        assert_eq!(second.ask("send 10 20"), "sent 20");
        assert_eq!(sink.ask("recv 10 20"), "received 20");
        second.kill();
        assert_eq!(sink.ask("recv 20 21"), "Disconnected at 20");
        assert_eq!(sink.ask("close"), "ok");
        sink.finish();
    }
}

#[test]
fn a_receiver_that_awaits_goes_on_with_the_next_sender() {
    let folder = Folder::new();
    for name in names(&folder) {
        for listens in ["receiver", "sender"] {
            let name = format!("{name}&listen={listens}");
            let [mut sink, mut first, mut second] = [(); 3].map(|()| Process::start(&folder));
            assert_eq!(sink.ask(&format!("receiver {name}&await")), "open");
            sink.begin("recv 0 20");
            assert_eq!(first.ask(&format!("sender {name}")), "open");
            assert_eq!(first.ask("send 0 10"), "sent 10");
            assert!(sink.sleeps());
            first.kill();
            assert_eq!(second.ask(&format!("sender {name}")), "open", "{name}");
            assert_eq!(second.ask("send 10 20"), "sent 20");
            assert_eq!(sink.hear(), "received 20", "{name}");
            assert_eq!(second.ask("close"), "ok");
            assert_eq!(sink.ask("close"), "ok");
            [sink, second].into_iter().for_each(Process::finish);
        }
    }
}

#[test]
fn of_many_processes_that_want_a_dead_ones_place_one_gets_it() {
    let folder = Folder::for_leftovers();
    let path = format!("unix://{}?type=stream", folder.join("x.sock"));
    let mut heirs: Vec<_> = (0..4).map(|_| Process::start(&folder)).collect();
    for round in 0..10 {
        heirs.iter_mut().for_each(|heir| heir.tell(&format!("receiver {path}")));
        let answers: Vec<_> = heirs.iter_mut().map(Process::hear).collect();
        let winners: Vec<_> = (0..heirs.len()).filter(|at| answers[*at] == "open").collect();
        let [winner] = winners[..] else { panic!("round {round}: {answers:?}") };
        let others = answers.iter().filter(|answer| answer.starts_with("RoleTaken"));
        assert_eq!(others.count(), heirs.len() - 1, "{answers:?}");
        // Whoever comes, comes to the one who has it.
        let mut source = sender(&path);
        source.send(&record(round)).expect("it listens");
        assert_eq!(heirs[winner].ask("recv-by 20000"), round.to_string());
        heirs[winner].kill();
        heirs[winner] = Process::start(&folder);
    }
    heirs.into_iter().for_each(Process::finish);
}

#[test]
fn who_connects_waits_until_the_deadline_and_no_longer() {
    let folder = Folder::new();
    for name in names(&folder) {
        let mut source = sender(&name);
        assert!(matches!(source.try_send(b"x"), Err(TrySendError::Full(()))), "{name}");
        assert!(matches!(source.send_timeout(b"x", MOMENT), Err(SendTimeoutError::Timeout(()))), "{name}");
        let mut sink = receiver(&name);
        source.send(&record(0)).expect("somebody listens");
        assert_eq!(receive(&mut *sink), record(0), "{name}: what was refused does not come");
    }
    // Somebody who listens and does not accept, and lets nobody else wait.
    let path = folder.join("full.sock");
    let [full, filler] = [(); 2].map(|()| {
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("there are descriptors")
    });
    let address = SocketAddrUnix::new(path.as_str()).expect("it is short");
    bind(&full, &address).expect("nothing is there");
    listen(&full, 0).expect("it is bound");
    connect(&filler, &address).expect("one may wait");
    let mut source = Connected::stream(&path).sender().expect("opening does not wait");
    assert!(matches!(source.send_timeout(b"x", MOMENT), Err(SendTimeoutError::Timeout(()))));
    accept(&full).expect("the other one waits");
    source.send(b"x").expect("there is a place to wait");
    drop(source);
    std::fs::remove_file(path).expect("it is there");
}
