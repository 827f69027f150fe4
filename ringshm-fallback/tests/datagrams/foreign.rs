//! `socat` at the other end, bare: it knows nothing of frames.

use super::support::{Folder, until};
use super::udp::free_port;
use super::{receive, receiver, sender};
use ringshm_core::error::{RecvTimeoutError, TryRecvError};
use ringshm_core::{Deadline, Interest, Sender as _};
use ringshm_fallback::wait::{Wake, until_ready};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Starts `socat` between its standard streams and what `address` says; `-u` and `-U` say in which direction.
fn socat(options: &[&str], address: &str) -> Child {
    let child =
        Command::new("socat").args(options).args(["-", address]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    child.expect("these tests need socat: install it (apt-get install socat)")
}

fn end(mut child: Child) {
    child.kill().expect("it is a child");
    child.wait().expect("it is a child");
}

/// Has `socat` send one datagram.
fn one_datagram(address: &str, bytes: &[u8]) {
    let mut child = socat(&["-u"], address);
    child.stdin.take().expect("it was piped").write_all(bytes).expect("it reads");
    assert!(child.wait().expect("it is a child").success());
}

#[test]
fn socat_sends_to_a_unix_socket() {
    let folder = Folder::new();
    let path = folder.join("x.sock");
    let mut sink = receiver(&format!("unix:{path}?type=dgram&framing=bare"));
    for message in [&b"from afar\n"[..], &[0xff, 0, b'\n', 0x80]] {
        one_datagram(&format!("UNIX-SENDTO:{path}"), message);
        assert_eq!(receive(&mut *sink), message);
    }
    drop(sink);
    // To one that wants frames it is garbage.
    let mut sink = receiver(&format!("unix:{path}?type=dgram"));
    one_datagram(&format!("UNIX-SENDTO:{path}"), b"from afar\n");
    let said = sink.recv_by(&mut Vec::new(), Deadline::NEVER);
    assert!(matches!(said, Err(RecvTimeoutError::Rejected(rejection)) if rejection.pid.is_some()), "{said:?}");
}

#[test]
fn socat_receives_from_a_unix_socket() {
    let folder = Folder::new();
    let path = folder.join("x.sock");
    let mut child = socat(&["-U"], &format!("UNIX-RECV:{path}"));
    let mut source = sender(&format!("unix:{path}?type=dgram&framing=bare&await"));
    // It is not there yet: sending waits for it.
    source.send(b"one\n").expect("it comes");
    source.send_slice(&[b"two\n", b"three\n"]).expect("it is there");
    let mut bytes = [0; 14];
    child.stdout.as_mut().expect("it was piped").read_exact(&mut bytes).expect("it writes");
    assert_eq!(&bytes, b"one\ntwo\nthree\n");
    end(child);
    let _ = std::fs::remove_file(path);
}

#[test]
fn socat_sends_over_udp() {
    let port = free_port();
    let mut sink = receiver(&format!("udp://127.0.0.1:{port}?framing=bare"));
    for message in [&b"from afar\n"[..], &[0xff, 0, b'\n', 0x80]] {
        one_datagram(&format!("UDP-SENDTO:127.0.0.1:{port}"), message);
        assert_eq!(receive(&mut *sink), message);
    }
    assert_eq!(sink.try_recv(&mut Vec::new()), Err(TryRecvError::Empty));
}

#[test]
fn socat_receives_over_udp() {
    let port = free_port();
    let mut child = socat(&["-U"], &format!("UDP-RECV:{port},bind=127.0.0.1"));
    // Whether it has begun to listen, the kernel's table of UDP sockets says.
    let entry = format!("0100007F:{port:04X}");
    until("socat listens", || std::fs::read_to_string("/proc/net/udp").is_ok_and(|table| table.contains(&entry)));
    let mut source = sender(&format!("udp://127.0.0.1:{port}?framing=bare"));
    let mut stdout = BufReader::new(child.stdout.take().expect("it was piped"));
    // A network may lose what comes first: it is sent until something comes out.
    until("socat receives", || {
        source.send(b"zero\n").expect("a route");
        let moment = Deadline::after(Duration::from_millis(10));
        until_ready(stdout.get_ref(), Interest::Readable, moment).expect("it can wait") == Wake::Ready
    });
    source.send(b"one\n").expect("a route");
    source.send_slice(&[b"two\n", b"three\n"]).expect("a route");
    let lines = stdout.by_ref().lines().map(|line| line.expect("it writes")).skip_while(|line| line == "zero");
    assert_eq!(lines.take(3).collect::<Vec<_>>(), ["one", "two", "three"]);
    end(child);
}
