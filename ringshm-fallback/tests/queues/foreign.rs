//! Programs that know nothing of ringshm at the other end: Python's `posix_ipc` and `sysv_ipc`.

use crate::place::{KINDS, Kind, Place};
use std::process::{Child, Command, Stdio};

/// A Python program that has the queue as `queue`, and `receive` and `send` for it.
fn python(place: &Place, program: &str) -> Child {
    let python = std::env::var("RINGSHM_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let (module, open) = match place.kind() {
        Kind::Posix => (
            "posix_ipc",
            format!("posix_ipc.MessageQueue({:?}, posix_ipc.O_CREAT, max_message_size=8192)", place.path()),
        ),
        Kind::Sysv => {
            ("sysv_ipc", format!("sysv_ipc.MessageQueue({}, sysv_ipc.IPC_CREAT, max_message_size=8192)", place.key()))
        }
    };
    let known = Command::new(&python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    assert!(
        known.is_ok_and(|status| status.success()),
        "{python} does not know {module}: pip install posix_ipc sysv_ipc, and let RINGSHM_PYTHON name that python"
    );
    let program = format!(
        "import {module}, sys\nqueue = {open}\n\
         receive = lambda: queue.receive()[0]\nsend = lambda message, n: queue.send(message, {argument}=n)\n{program}",
        argument = if place.kind() == Kind::Posix { "priority" } else { "type" }
    );
    Command::new(python).args(["-c", &program]).stdout(Stdio::piped()).spawn().expect("it was there")
}

const COUNT: usize = 500;

fn message(n: usize) -> Vec<u8> {
    format!("message {n} {}", "x".repeat(n * 7 % 3000)).into_bytes()
}

#[test]
fn python_receives_what_is_sent_here() {
    for kind in KINDS {
        let place = Place::new(kind);
        let mut sender = place.sender("framing=bare").unwrap();
        let child = python(
            &place,
            &format!("for n in range({COUNT}): sys.stdout.buffer.write(receive() + b'\\n')\nsys.stdout.flush()"),
        );
        // It is read while it writes: a pipe holds less.
        let output = std::thread::spawn(|| child.wait_with_output());
        for n in 0..COUNT {
            sender.send(&message(n)).unwrap();
        }
        let output = output.join().expect("it does not panic").unwrap();
        assert!(output.status.success());
        let lines: Vec<_> = output.stdout.split(|byte| *byte == b'\n').take(COUNT).map(<[u8]>::to_vec).collect();
        assert_eq!(lines, (0..COUNT).map(message).collect::<Vec<_>>(), "{kind:?}");
    }
}

#[test]
fn what_python_sends_is_received_here_and_its_queue_is_not_removed() {
    for kind in KINDS {
        let place = Place::for_leftovers(kind);
        let mut child = python(
            &place,
            &format!("for n in range({COUNT}): send(b'message %d ' % n + b'x' * (n * 7 % 3000), 1)\nprint('sent')"),
        );
        let found =
            |error: &ringshm_core::error::OpenError| matches!(error, ringshm_core::error::OpenError::NotFound { .. });
        let mut receiver = None;
        crate::support::until("python makes the queue", || {
            let opened = match kind {
                Kind::Posix => ringshm_fallback::posix_mq::PosixMq::new(&place.path())
                    .framing(ringshm_fallback::framing::Framing::Bare)
                    .existence(ringshm_core::attach::Existence::MustExist)
                    .receiver()
                    .map(|receiver| Box::new(receiver) as Box<dyn ringshm_core::Receiver>),
                Kind::Sysv => ringshm_fallback::sysv_mq::SysvMq::new(place.key())
                    .framing(ringshm_fallback::framing::Framing::Bare)
                    .existence(ringshm_core::attach::Existence::MustExist)
                    .receiver()
                    .map(|receiver| Box::new(receiver) as Box<dyn ringshm_core::Receiver>),
            };
            assert!(opened.as_ref().err().is_none_or(found), "{kind:?}");
            receiver = opened.ok();
            receiver.is_some()
        });
        let mut receiver = receiver.expect("it was opened");
        let mut received = Vec::new();
        for n in 0..COUNT {
            receiver.recv(&mut received).unwrap();
            assert_eq!(received, message(n), "{kind:?}");
        }
        assert!(child.wait().unwrap().success());
        drop(receiver);
        assert!(!place.is_clean(), "{kind:?}: it is python's");
    }
}
