//! Connected sockets beside bare `send` and `recv` of the same bytes, one call each for a message: a stream, one by one and in batches; and round trips.
//!
//! `cargo bench -p ringshm-fallback --bench sockets [-- WORD]`: only what has the word in its name.

mod support;

use ringshm_core::{Batch, Deadline, Receiver, Sender};
use ringshm_fallback::framing::HEADER;
use ringshm_fallback::socket::{Side, SocketReceiver, SocketSender};
use ringshm_fallback::tcp::Tcp;
use ringshm_fallback::unix::connected::Connected;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Instant;
use support::{calls, calls_of, compare, pin};

const SIZES: &[usize] = &[64, 4096];
/// Messages that go together in a batch.
const TOGETHER: usize = 64;
const TRIPS: usize = 10_000;
/// Turns of one thread that sends and receives.
const TURNS: usize = 5_000;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Stream,
    Packets,
    Tcp,
}

impl Kind {
    /// Both sides, connected.
    fn pair(self, listens: Side) -> (SocketSender, SocketReceiver) {
        let name = format!("@ringshm-bench-{}", std::process::id());
        let unix = if self == Self::Stream { Connected::stream(&name) } else { Connected::seqpacket(&name) };
        let unix = unix.listen(listens);
        let tcp = |place: &str| Tcp::new(place).listen(listens);
        match (self, listens) {
            (Self::Tcp, Side::Receiver) => {
                let receiver = tcp("127.0.0.1:0").receiver().expect("there are ports");
                let address = receiver.local_address().expect("it listens").to_string();
                (tcp(&address).sender().expect("it listens"), receiver)
            }
            (Self::Tcp, Side::Sender) => {
                let sender = tcp("127.0.0.1:0").sender().expect("there are ports");
                let address = sender.local_address().expect("it listens").to_string();
                (sender, tcp(&address).receiver().expect("it listens"))
            }
            (_, Side::Receiver) => {
                let receiver = unix.clone().receiver().expect("the name is free");
                (unix.sender().expect("it listens"), receiver)
            }
            (_, Side::Sender) => {
                let sender = unix.clone().sender().expect("the name is free");
                (sender, unix.receiver().expect("it listens"))
            }
        }
    }

    fn bare(self) -> (OwnedFd, OwnedFd) {
        let kind = if self == Self::Packets { SocketType::SEQPACKET } else { SocketType::STREAM };
        if self != Self::Tcp {
            return socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("there are descriptors");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
        let one = TcpStream::connect(listener.local_addr().expect("it listens")).expect("it listens");
        let (other, _) = listener.accept().expect("it came");
        one.set_nodelay(true).and(other.set_nodelay(true)).expect("it is TCP");
        (one.into(), other.into())
    }
}

fn count_for(size: usize) -> usize {
    if size < 1000 { 100_000 } else { 40_000 }
}

/// Messages per second, of `send` on one core and `receive` on the other.
fn rate(count: usize, send: impl FnOnce() + Send, receive: impl FnOnce()) -> f64 {
    std::thread::scope(|scope| {
        let start = Instant::now();
        scope.spawn(move || {
            pin(1);
            send();
        });
        receive();
        count as f64 / start.elapsed().as_secs_f64()
    })
}

fn stream((mut sender, mut receiver): (impl Sender, impl Receiver), size: usize) -> f64 {
    let (count, message) = (count_for(size), vec![7; size]);
    rate(
        count,
        move || (0..count).for_each(|_| sender.send(&message).expect("the receiver is there")),
        move || {
            let mut into = Vec::new();
            (0..count).for_each(|_| assert_eq!(receiver.recv(&mut into).expect("the sender is there"), size));
        },
    )
}

fn batches((mut sender, mut receiver): (impl Sender, impl Receiver), size: usize) -> f64 {
    let (count, message) = (count_for(size) / TOGETHER * TOGETHER, vec![7; size]);
    rate(
        count,
        move || {
            let messages = [&message[..]; TOGETHER];
            (0..count / TOGETHER).for_each(|_| sender.send_slice(&messages).expect("the receiver is there"));
        },
        move || {
            let (mut batch, mut received) = (Batch::default(), 0);
            while received < count {
                batch.clear();
                received += receiver.recv_batch_by(&mut batch, TOGETHER, Deadline::NEVER).expect("the sender is there");
                assert!(batch.iter().all(|message| message.len() == size));
            }
        },
    )
}

fn trips<S: Sender, R: Receiver>(there: (S, R), back: (S, R), size: usize) -> f64 {
    let ((mut ask, mut hear), (mut reply, mut listen)) = (there, back);
    let question = vec![7; size];
    rate(
        TRIPS,
        move || {
            let mut into = Vec::new();
            for _ in 0..TRIPS {
                hear.recv(&mut into).expect("the sender is there");
                reply.send(&into).expect("the receiver is there");
            }
        },
        move || {
            let mut into = Vec::new();
            for _ in 0..TRIPS {
                ask.send(&question).expect("the receiver is there");
                listen.recv(&mut into).expect("the sender is there");
            }
        },
    )
}

fn send_bare(socket: &OwnedFd, bytes: &[u8]) {
    assert_eq!(send(socket, bytes, SendFlags::NOSIGNAL), Ok(bytes.len()));
}

fn recv_bare(socket: &OwnedFd, bytes: &mut [u8]) {
    let mut got = 0;
    while got < bytes.len() {
        got += recv(socket, &mut bytes[got..], RecvFlags::empty()).expect("it is sent").1;
    }
}

fn bare_stream(kind: Kind, size: usize) -> f64 {
    let (writing, reading) = kind.bare();
    let (count, frame) = (count_for(size), vec![7; HEADER + size]);
    let mut into = frame.clone();
    rate(
        count,
        move || (0..count).for_each(|_| send_bare(&writing, &frame)),
        move || (0..count).for_each(|_| recv_bare(&reading, &mut into)),
    )
}

fn bare_calls(kind: Kind, size: usize) -> f64 {
    let (writing, reading) = kind.bare();
    let frame = vec![7; HEADER + size];
    let mut into = frame.clone();
    calls(TURNS, || send_bare(&writing, &frame), || recv_bare(&reading, &mut into))
}

fn bare_trips(kind: Kind, size: usize) -> f64 {
    let (here, there) = kind.bare();
    let mut question = vec![7; HEADER + size];
    let mut into = question.clone();
    rate(
        TRIPS,
        move || {
            for _ in 0..TRIPS {
                recv_bare(&there, &mut into);
                send_bare(&there, &into);
            }
        },
        move || {
            for _ in 0..TRIPS {
                send_bare(&here, &question);
                recv_bare(&here, &mut question);
            }
        },
    )
}

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    pin(0);
    let measure = |name: String, wrapped: &mut dyn FnMut(usize) -> f64, bare: &mut dyn FnMut(usize) -> f64| {
        if name.contains(&wanted) {
            compare(&name, SIZES, wrapped, bare);
        }
    };
    for (what, kind) in [("unix stream", Kind::Stream), ("unix seqpacket", Kind::Packets), ("tcp", Kind::Tcp)] {
        let mut bare = |size| bare_stream(kind, size);
        let mut one_thread = |size| calls_of(TURNS, kind.pair(Side::Receiver), size);
        measure(format!("{what}, calls"), &mut one_thread, &mut |size| bare_calls(kind, size));
        measure(format!("{what}, one by one"), &mut |size| stream(kind.pair(Side::Receiver), size), &mut bare);
        measure(format!("{what}, batches"), &mut |size| batches(kind.pair(Side::Receiver), size), &mut bare);
        measure(format!("{what}, sender listens"), &mut |size| stream(kind.pair(Side::Sender), size), &mut bare);
        let mut two = |size| {
            // They share a name, one after the other.
            let there = kind.pair(Side::Receiver);
            let name = format!("@ringshm-bench-back-{}", std::process::id());
            let back = if kind == Kind::Tcp {
                kind.pair(Side::Receiver)
            } else {
                let unix = if kind == Kind::Stream { Connected::stream(&name) } else { Connected::seqpacket(&name) };
                let receiver = unix.clone().receiver().expect("the name is free");
                (unix.sender().expect("it listens"), receiver)
            };
            trips(there, back, size)
        };
        measure(format!("{what}, round trips"), &mut two, &mut |size| bare_trips(kind, size));
    }
}
