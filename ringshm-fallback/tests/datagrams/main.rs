//! Datagrams over Unix sockets and over UDP, between processes: what is special about them. What every channel does is in the conformance suite.

#[path = "../../../ringshm/tests/broadcast/feed.rs"]
mod feed;
mod foreign;
mod market;
mod network;
#[path = "../support/mod.rs"]
mod support;
mod udp;
mod unix;

use ringshm_core::{Receiver, Sender};
use ringshm_fallback::address::Address;
use ringshm_fallback::open;

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    support::play(|puppet, words| {
        market::obey(puppet, words).or_else(|| network::obey(words)).or_else(|| unix::obey(words))
    });
}

fn sender(name: &str) -> Box<dyn Sender> {
    Address::parse(name).and_then(open::sender).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn receiver(name: &str) -> Box<dyn Receiver> {
    Address::parse(name).and_then(open::receiver).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Receives a message, which is to come.
#[track_caller]
fn receive(receiver: &mut dyn Receiver) -> Vec<u8> {
    let mut message = Vec::new();
    match receiver.recv_timeout(&mut message, support::PATIENCE) {
        Ok(len) => assert_eq!(len, message.len()),
        Err(error) => panic!("no message came: {error:?}"),
    }
    message
}

/// How many descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc is there").count()
}
