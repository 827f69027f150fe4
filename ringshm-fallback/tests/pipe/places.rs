//! Where an end is, and what is no end.

use ringshm_core::error::OpenError;
use ringshm_core::error::TryRecvError;
use ringshm_core::{Receiver as _, Sender as _};
use ringshm_fallback::pipe::Pipe;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

fn ends() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC).unwrap()
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(opened: Result<T, OpenError>) -> String {
    match opened {
        Err(error @ (OpenError::InvalidName { .. } | OpenError::InvalidOption { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_pipe_is_refused_by_what_it_is() {
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let file = || OwnedFd::from(File::open(std::env::current_exe().unwrap()).unwrap());
    let socket = || OwnedFd::from(UnixStream::pair().unwrap().0);
    for (descriptor, says) in [(null(), "a terminal or another device"), (file(), "a file"), (socket(), "a socket")] {
        let refusal = refusal(Pipe::new().receiver_on(descriptor));
        assert!(refusal.contains(says), "{refusal}");
    }
    let (reading, writing) = ends();
    assert!(refusal(Pipe::new().sender_on(reading)).contains("the receiving end"));
    assert!(refusal(Pipe::new().receiver_on(writing)).contains("the sending end"));
    assert!(refusal(Pipe::new().packets().sender_on(ends().1)).contains("O_DIRECT"));
}

#[test]
fn only_what_was_inherited_is_taken_over_and_only_once() {
    assert!(refusal(Pipe::inherited(1_000_000).receiver()).contains("nothing is open there"));
    let (reading, writing) = ends();
    // Where no other test of this process opens anything.
    let reading = fcntl_dupfd_cloexec(&reading, 800).unwrap();
    let number = reading.as_raw_fd();
    assert!(refusal(Pipe::inherited(number).receiver()).contains("opened it itself"));
    fcntl_setfd(&reading, rustix::io::FdFlags::empty()).unwrap();
    let mut receiver = Pipe::inherited(number).receiver().unwrap();
    // It is the receiver's now.
    core::mem::forget(reading);
    assert!(refusal(Pipe::inherited(number).receiver()).contains("has taken it over already"));
    let mut sender = Pipe::new().sender_on(writing).unwrap();
    sender.send(b"x").unwrap();
    assert_eq!(receiver.recv(&mut Vec::new()), Ok(1));
}

#[test]
fn nobody_elses_descriptor_is_changed() {
    let (reading, writing) = ends();
    let (shell_in, shell_out) = (reading.try_clone().unwrap(), writing.try_clone().unwrap());
    let mut receiver = Pipe::new().receiver_on(reading).unwrap();
    let mut sender = Pipe::new().sender_on(writing).unwrap();
    let mut message = Vec::new();
    assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
    while sender.try_send(&[0; 4000]).is_ok() {}
    while receiver.try_recv(&mut message).is_ok() {}
    for descriptor in [shell_in.as_fd(), shell_out.as_fd()] {
        assert!(!fcntl_getfl(descriptor).unwrap().contains(OFlags::NONBLOCK));
    }
}

#[test]
fn a_name_that_is_no_pipe_is_explained() {
    for (name, says) in [
        ("pipe:standard-input", "no name but a descriptor's number"),
        ("pipe:-1", "no name but a descriptor's number"),
        ("pipe:?mode=600", "pipe has no option \"mode\"; it has: framing, max_message, capacity, senders, packets"),
        ("pipe:?senders=two", "one or many"),
    ] {
        let address = ringshm_fallback::address::Address::parse(name).unwrap();
        let refusal = match ringshm_fallback::open::receiver(address) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{name} is none"),
        };
        assert!(refusal.contains(says), "{refusal}");
    }
}
