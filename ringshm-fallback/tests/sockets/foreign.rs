//! `socat` at the other end: it knows nothing of frames.

use super::support::Folder;
use super::{free_port, receive, receiver, sender};
use ringshm_core::Sender;
use ringshm_core::error::RecvTimeoutError;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

/// Starts `socat` between its standard streams and what `address` says; `-u` and `-U` say in which direction.
fn socat(direction: &str, address: &str) -> Child {
    let child =
        Command::new("socat").args([direction, "-", address]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    child.expect("these tests need socat: install it (apt-get install socat)")
}

const LINES: &[&[u8]] = &[b"one", b"", b"three \xff\r", b"four"];

/// Ways to reach the same place: as socat listens, as socat connects, and our name for it.
fn ways(folder: &Folder) -> [(String, String, String); 3] {
    let (stream, packets, port) = (folder.join("stream"), folder.join("packets"), free_port());
    [
        (
            format!("UNIX-LISTEN:{stream}"),
            format!("UNIX-CONNECT:{stream}"),
            format!("unix://{stream}?type=stream&framing=lines"),
        ),
        (
            format!("UNIX-LISTEN:{packets},type=5"),
            format!("UNIX-CONNECT:{packets},type=5"),
            format!("unix://{packets}?type=seqpacket&framing=bare"),
        ),
        (
            format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr"),
            format!("TCP:127.0.0.1:{port}"),
            format!("tcp://127.0.0.1:{port}?framing=lines"),
        ),
    ]
}

#[test]
fn socat_connects_and_sends() {
    let folder = Folder::new();
    for (_, connects, name) in ways(&folder) {
        let mut sink = receiver(&name);
        let mut child = socat("-u", &connects);
        let mut input = child.stdin.take().expect("it was piped");
        if name.contains("bare") {
            // It makes a packet of what it reads at once.
            for message in [&b"one\n"[..], &[0, 0xff, b'\n', b'2']] {
                input.write_all(message).expect("it reads");
                assert_eq!(receive(&mut *sink), message);
            }
        } else {
            input.write_all(&LINES.join(&b'\n')).expect("it reads");
        }
        drop(input);
        if name.contains("lines") {
            LINES.iter().for_each(|line| assert_eq!(receive(&mut *sink), *line, "{name}"));
        }
        assert!(child.wait().expect("it is a child").success());
        let end = sink.recv_timeout(&mut Vec::new(), super::support::PATIENCE);
        assert_eq!(end, Err(RecvTimeoutError::Disconnected), "{name}");
    }
}

#[test]
fn socat_listens_and_receives() {
    let folder = Folder::new();
    for (listens, _, name) in ways(&folder) {
        // Nobody listens yet: sending waits for it.
        let mut source = sender(&name);
        let mut child = socat("-U", &listens);
        receives(&mut *source, &name);
        drop(source);
        said(&mut child, &name);
    }
}

#[test]
fn socat_connects_and_receives() {
    let folder = Folder::new();
    for (_, connects, name) in ways(&folder) {
        let name = format!("{name}&listen=sender");
        let mut source = sender(&name);
        let mut child = socat("-U", &connects);
        receives(&mut *source, &name);
        drop(source);
        said(&mut child, &name);
    }
}

#[test]
fn socat_listens_and_sends() {
    let folder = Folder::new();
    for (listens, _, name) in ways(&folder) {
        let mut sink = receiver(&format!("{name}&listen=sender"));
        let mut child = socat("-u", &listens);
        let mut input = child.stdin.take().expect("it was piped");
        input.write_all(b"first").expect("it reads");
        drop(input);
        assert_eq!(receive(&mut *sink), b"first", "{name}");
        assert!(child.wait().expect("it is a child").success());
    }
}

fn receives(source: &mut dyn Sender, name: &str) {
    if name.contains("bare") {
        source.send(b"one\n").expect("it comes");
        source.send_slice(&[b"\n", b"three \xff\r\n", b"four\n"]).expect("it is there");
    } else {
        source.send(LINES[0]).expect("it comes");
        source.send_slice(&LINES[1..]).expect("it is there");
    }
}

#[track_caller]
fn said(child: &mut Child, name: &str) {
    let mut bytes = Vec::new();
    child.stdout.take().expect("it was piped").read_to_end(&mut bytes).expect("it writes");
    assert_eq!(bytes, b"one\n\nthree \xff\r\nfour\n", "{name}");
    assert!(child.wait().expect("it is a child").success());
}
