//! Who should not be there, and what is no message: told once, and nobody else is any the worse for it.

use super::support::{Folder, Process, record, report};
use super::{free_port, names, receive, receiver, sender};
use ringshm_core::error::{RecvTimeoutError, Rejection, TryRecvError};
use ringshm_core::{Receiver, Sender as _};
use ringshm_fallback::framing::Frame;
use ringshm_fallback::socket::SocketReceiver;
use ringshm_fallback::unix::Trusted;
use ringshm_fallback::unix::connected::Connected;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with};
use rustix::process::{Gid, Resource, Rlimit, Uid, geteuid, getrlimit, setrlimit};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(20);

/// What a child can be told that knows nothing of messages.
///
/// | command | report |
/// |---|---|
/// | `become-user UID` | `ok` |
/// | `raw-stream PATH TEXT` | `written`; it stays connected |
/// | `no-more-descriptors`, `descriptors-again` | `ok` |
#[derive(Default)]
pub(crate) struct Raw(Option<UnixStream>, Option<u64>);

impl Raw {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        match *words {
            ["become-user", id] => {
                let id = id.parse().expect("a user number");
                let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
                set_thread_groups(&[]).expect("root may");
                set_thread_res_gid(group, group, group).expect("root may");
                set_thread_res_uid(user, user, user).expect("root may");
                super::support::die_with_parent();
            }
            ["raw-stream", path, text] => {
                let mut stream = UnixStream::connect(path).expect("somebody listens");
                stream.write_all(text.as_bytes()).expect("there is room");
                self.0 = Some(stream);
                return Some("written".to_owned());
            }
            ["no-more-descriptors"] => {
                let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
                self.1 = current;
                // The next one would have this number.
                let next = std::fs::File::open("/dev/null").expect("there still is one");
                let next = std::os::fd::AsRawFd::as_raw_fd(&next);
                let limit = Rlimit { current: u64::try_from(next).ok(), maximum };
                setrlimit(Resource::Nofile, limit).expect("a lower limit");
            }
            ["descriptors-again"] => {
                let maximum = getrlimit(Resource::Nofile).maximum;
                setrlimit(Resource::Nofile, Rlimit { current: self.1, maximum }).expect("the old limit");
            }
            _ => return None,
        }
        report("begin");
        Some("ok".to_owned())
    }
}

/// What it says next, which is to be that something was thrown away.
#[track_caller]
fn rejected(receiver: &mut dyn Receiver) -> Rejection {
    let mut message = Vec::new();
    match receiver.recv_timeout(&mut message, super::support::PATIENCE) {
        Err(RecvTimeoutError::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    }
}

/// Whether the other side has closed the connection.
#[track_caller]
fn is_closed(mut connection: impl std::io::Read) -> bool {
    match connection.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn garbage_is_told_and_its_connection_closed() {
    let folder = Folder::new();
    let port = free_port();
    let mut sink = receiver(&format!("tcp://127.0.0.1:{port}"));
    let mut source = sender(&format!("tcp://127.0.0.1:{port}"));
    source.send(&record(0)).expect("it listens");
    let mut browser = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    browser.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("there is room");
    assert_eq!(receive(&mut *sink), record(0));
    let rejection = rejected(&mut *sink);
    assert_eq!((rejection.pid, rejection.uid), (None, None));
    assert!(is_closed(browser));
    source.send(&record(1)).expect("nobody else is disturbed");
    assert_eq!(receive(&mut *sink), record(1));

    let path = folder.join("x.sock");
    let mut sink = receiver(&format!("unix://{path}?type=stream"));
    let mut stranger = UnixStream::connect(&path).expect("it listens");
    stranger.write_all(b"hello, is anybody there?\n").expect("there is room");
    let rejection = rejected(&mut *sink);
    assert_eq!((rejection.pid, rejection.uid), (Some(std::process::id()), Some(geteuid().as_raw())));
    assert!(is_closed(stranger));
}

/// A packet, from somebody who stays connected as long as the value lives.
fn packets(path: &str, packets: &[&[u8]]) -> std::os::fd::OwnedFd {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a socket");
    connect(&socket, &SocketAddrUnix::new(path).expect("it is short")).expect("it listens");
    packets.iter().for_each(|packet| assert_eq!(send(&socket, packet, SendFlags::NOSIGNAL), Ok(packet.len())));
    socket
}

#[test]
fn a_packet_is_whole_messages_or_none() {
    let folder = Folder::new();
    let path = folder.join("x.sock");
    let mut sink = receiver(&format!("unix://{path}?type=seqpacket&max_message=100"));
    let header = |len| Frame { len, number: Some(0) }.header();
    let frame = |len: usize| [&header(len as u32)[..], &vec![7; len]].concat();
    let half = &frame(5)[..20];
    let (two, long, garbage) = ([frame(5), frame(5)].concat(), frame(101), b"hello".to_vec());
    for bad in [half, &long, &garbage, &vec![0; 200_000]] {
        let stranger = packets(&path, &[&frame(5), bad]);
        assert_eq!(receive(&mut *sink), [7; 5]);
        let rejection = rejected(&mut *sink);
        assert_eq!(rejection.pid, Some(std::process::id()));
        assert_eq!(sink.try_recv(&mut Vec::new()), Err(TryRecvError::Disconnected), "it was the only connection");
        drop(stranger);
    }
    // An empty packet is no message and no end.
    let foreign = packets(&path, &[b"", &frame(0), b"", &two]);
    assert_eq!(receive(&mut *sink), b"");
    assert_eq!(receive(&mut *sink), [7; 5]);
    assert_eq!(receive(&mut *sink), [7; 5]);
    assert_eq!(sink.try_recv(&mut Vec::new()), Err(TryRecvError::Empty));
    drop(foreign);
    assert_eq!(sink.recv_timeout(&mut Vec::new(), super::support::PATIENCE), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn half_a_message_of_a_killed_sender_is_told_and_holds_nobody_up() {
    let folder = Folder::new();
    let path = folder.join("x.sock");
    let name = format!("unix://{path}?type=stream&framing=len32");
    let mut sink = receiver(&name);
    let mut dying = Process::start(&folder);
    // A length of 0x61616161 bytes would be too long; this is 97.
    assert_eq!(dying.ask(&format!("raw-stream {path} a\0\0\0half")), "written");
    assert_eq!(sink.recv_timeout(&mut Vec::new(), MOMENT), Err(RecvTimeoutError::Timeout), "it may go on");
    let mut source = sender(&name);
    source.send(&record(1)).expect("it listens");
    assert_eq!(receive(&mut *sink), record(1), "the others do not wait for it");
    dying.kill();
    let rejection = rejected(&mut *sink);
    assert!(rejection.reason.contains("half a message"), "{rejection}");
    assert_eq!(rejection.pid, Some(dying.pid()));
    source.send(&record(2)).expect("it listens");
    assert_eq!(receive(&mut *sink), record(2));
}

#[test]
fn a_message_that_is_too_long_for_the_receiver_is_told_and_its_connection_closed() {
    let folder = Folder::new();
    for name in names(&folder) {
        let mut sink = receiver(&format!("{name}&max_message=100"));
        let mut careless = sender(&name);
        let mut careful = sender(&format!("{name}&max_message=100"));
        careful.send(&[1; 100]).expect("it listens");
        assert_eq!(receive(&mut *sink), [1; 100]);
        careless.send(&[2; 101]).expect("it listens");
        let rejection = rejected(&mut *sink);
        assert!(rejection.reason.contains("longer"), "{rejection}");
        careful.send(&[3; 100]).expect("nobody else is disturbed");
        assert_eq!(receive(&mut *sink), [3; 100]);
        super::support::until("the careless one is told", || careless.try_send(b"more").is_err());
    }
}

fn is_trusted_by(folder: &Folder, path: &str, trusted: Trusted) -> (SocketReceiver, Process) {
    let sink = Connected::stream(path).mode(0o666).trust(trusted).receiver().expect("nothing is there");
    (sink, Process::start(folder))
}

#[test]
fn a_process_of_another_user_is_turned_away() {
    let folder = Folder::new();
    let path = folder.join("x.sock");
    let own = geteuid().as_raw();
    // As seen by one that trusts somebody else only.
    let (mut sink, mut stranger) = is_trusted_by(&folder, &path, Trusted::User(own + 1));
    assert_eq!(stranger.ask(&format!("raw-stream {path} hello")), "written");
    let rejection = rejected(&mut sink);
    assert_eq!((rejection.pid, rejection.uid), (Some(stranger.pid()), Some(own)));
    assert!(rejection.to_string().contains("another user"), "{rejection}");
    assert_eq!(sink.recv_timeout(&mut Vec::new(), MOMENT), Err(RecvTimeoutError::Timeout), "nobody was there");
    drop((sink, stranger));
    if own != 0 {
        println!("the rest is skipped: only root can become another user");
        return;
    }
    let (mut sink, mut stranger) = is_trusted_by(&folder, &path, Trusted::SameUser);
    let mut source = Connected::stream(&path).sender().expect("it listens");
    assert_eq!(stranger.ask("become-user 65534"), "ok");
    // He does not deal with another user's socket either, unless told to.
    assert!(stranger.ask(&format!("sender unix://{path}?type=stream")).starts_with("Permission: "));
    assert_eq!(stranger.ask(&format!("sender unix://{path}?type=stream&uid=0")), "open");
    let rejection = rejected(&mut sink);
    assert_eq!((rejection.pid, rejection.uid), (Some(stranger.pid()), Some(65534)));
    source.send(&record(0)).expect("it listens");
    assert_eq!(receive(&mut sink), record(0), "the service goes on");
    drop((sink, stranger));
    let (mut sink, mut guest) = is_trusted_by(&folder, &path, Trusted::Anyone);
    assert_eq!(guest.ask("become-user 65534"), "ok");
    assert_eq!(guest.ask(&format!("sender unix://{path}?type=stream&uid=any")), "open");
    assert_eq!(guest.ask("send 0 1"), "sent 1");
    assert_eq!(receive(&mut sink), record(0));
}

#[test]
fn without_descriptors_whoever_comes_waits_and_loses_nothing() {
    let folder = Folder::new();
    for name in names(&folder) {
        let mut sink = Process::start(&folder);
        assert_eq!(sink.ask(&format!("receiver {name}")), "open");
        let mut first = sender(&name);
        first.send(&record(0)).expect("it listens");
        assert_eq!(sink.ask("recv 0 1"), "received 1");
        assert_eq!(sink.ask("no-more-descriptors"), "ok");
        let mut second = sender(&name);
        second.send(&record(2)).expect("there is a place to wait");
        let said = sink.ask("recv-by 20000");
        assert!(said.starts_with("Rejected(") && said.contains("no descriptor left"), "{name}: {said}");
        assert_eq!(sink.ask("recv-by 300"), "Timeout", "it is said once");
        first.send(&record(1)).expect("it is connected");
        assert_eq!(sink.ask("recv-by 20000"), "1", "those who are connected go on");
        assert_eq!(sink.ask("descriptors-again"), "ok");
        assert_eq!(sink.ask("recv-by 20000"), "2", "{name}");
        assert_eq!(sink.ask("close"), "ok");
        sink.finish();
    }
}
