//! Connected sockets, Unix and TCP, between processes: what is special about them. What every channel does is in the conformance suite.

mod all;
mod deaths;
#[path = "../../../ringshm/tests/broadcast/feed.rs"]
mod feed;
mod foreign;
mod limits;
mod market;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod vanishing;

use ringshm_core::{Receiver, Sender};
use ringshm_fallback::address::Address;
use ringshm_fallback::open;
use support::Folder;

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    let mut raw = strangers::Raw::default();
    support::play(|puppet, words| market::obey(puppet, words).or_else(|| raw.obey(words)));
}

/// Names of all kinds of sockets, to which further options can be added. The first ones can be reached as streams.
fn names(folder: &Folder) -> [String; 4] {
    [
        format!("unix://{}?type=stream", folder.join("stream")),
        format!("tcp://127.0.0.1:{}?keepalive=60", free_port()),
        format!("unix:@{}?type=stream", folder.join("abstract")),
        format!("unix://{}?type=seqpacket", folder.join("packets")),
    ]
}

/// A TCP port that nobody has. The kernel does not soon offer it to anybody else.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    listener.local_addr().expect("it has one").port()
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
