//! Datagrams over Unix sockets and UDP beside the bare calls: `cargo bench -p ringshm-fallback --bench datagrams`.
//!
//! Beside `recvfrom` and `send`, of a receiver with a name and a sender with an address; a receiver that checks credentials, as it does unless told `uid=any`, beside `recvmsg` that asks for
//! them, too.
//!
//! - calls: one thread sends as many as the receiver's queue holds, and then receives them: what each message costs, and no waiting.
//! - stream: from one core to the other, as fast as it goes; only where nothing gets lost.
//! - round trip: there and back, each side blocked in a call meanwhile.

mod support;

use ringshm_core::{Batch, Deadline, Receiver, Sender};
use ringshm_fallback::udp::Udp;
use ringshm_fallback::unix::Trusted;
use ringshm_fallback::unix::dgram::Dgram;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendFlags, SocketAddrUnix, bind, recvfrom, recvmsg, send};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use support::{beside, compare, pin, rate};

const SIZES: &[usize] = &[64, 4096];
/// Messages that a Unix socket's queue holds, where nobody changed `net.unix.max_dgram_qlen`.
const QUEUE: usize = 10;

fn main() {
    pin(0);
    println!("ratio of times, wrapped to bare");
    let place = |name: &str| format!("@ringshm-bench-{name}-{}", std::process::id());

    let unix = |trusted: Trusted, name: &str| {
        let place = place(name);
        let receiver = Dgram::new(&place).trust(trusted).receiver().expect("nobody has the name");
        (Dgram::new(&place).sender().expect("it is there"), receiver)
    };
    let anyone = |name: &str| unix(Trusted::Anyone, name);
    let checked = |name: &str| unix(Trusted::SameUser, name);
    // What a pair of sockets does not have and a receiver with a name does: a queue with a limit, and senders that can be told apart.
    let named = || {
        let [sender, receiver] = [(); 2].map(|()| {
            let socket = UnixDatagram::unbound().expect("a socket");
            bind(&socket, &SocketAddrUnix::new_unnamed()).expect("the kernel has names");
            socket
        });
        sender.connect_addr(&receiver.local_addr().expect("it has one")).expect("it is there");
        (sender, receiver)
    };
    let with_credentials = || {
        let (sender, receiver) = named();
        set_socket_passcred(&receiver, true).expect("it is a Unix socket");
        (sender, receiver)
    };
    measure("unix, uid=any", &anyone, &named, bare_receive, true);
    measure("unix", &checked, &named, bare_receive, true);
    measure("unix, beside recvmsg with credentials", &checked, &with_credentials, receive_with_credentials, true);

    let udp = |_: &str| {
        let receiver = Udp::new("127.0.0.1:0").receiver().expect("a port");
        let address = receiver.address().expect("it has one").to_string();
        (Udp::new(&address).sender().expect("a route"), receiver)
    };
    let bare_udp = || {
        let [sender, receiver] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
        sender.connect(receiver.local_addr().expect("it has one")).expect("a route");
        (sender, receiver)
    };
    measure("udp", &udp, &bare_udp, bare_receive, false);
}

/// All comparisons of one mechanism. `is_lossless`: a sender waits for its receiver.
fn measure<S: Sender, R: Receiver, B: AsFd + Sync>(
    mechanism: &str,
    wrapped: &dyn Fn(&str) -> (S, R),
    bare: &dyn Fn() -> (B, B),
    bare_receive: fn(&B, &mut [u8]),
    is_lossless: bool,
) {
    const TURNS: usize = 1000;
    let (mut sender, mut receiver) = wrapped("calls");
    let (from, to) = bare();
    let mut bare_calls = |size| {
        let (message, mut into) = (vec![7; size], vec![0; 65_536]);
        rate(TURNS * QUEUE, || {
            for _ in 0..TURNS {
                (0..QUEUE).for_each(|_| bare_send(&from, &message));
                (0..QUEUE).for_each(|_| bare_receive(&to, &mut into));
            }
        })
    };
    let mut calls = |size| {
        let (message, mut into) = (vec![7; size], Vec::new());
        rate(TURNS * QUEUE, || {
            for _ in 0..TURNS {
                (0..QUEUE).for_each(|_| sender.send(&message).expect("there is room"));
                (0..QUEUE).for_each(|_| assert!(receiver.recv(&mut into).is_ok()));
            }
        })
    };
    compare(&format!("{mechanism} calls, one by one"), SIZES, &mut calls, &mut bare_calls);
    let mut batches = |size| {
        let (message, mut batch) = (vec![7; size], Batch::default());
        let messages = [&message[..]; QUEUE];
        rate(TURNS * QUEUE, || {
            for _ in 0..TURNS {
                sender.send_slice(&messages).expect("there is room");
                batch.clear();
                while batch.len() < QUEUE {
                    receiver.recv_batch_by(&mut batch, QUEUE, Deadline::NEVER).expect("it is there");
                }
            }
        })
    };
    compare(&format!("{mechanism} calls, batches of {QUEUE} against one by one"), SIZES, &mut batches, &mut bare_calls);

    if is_lossless {
        const COUNT: usize = 20_000;
        let mut stream = |size| {
            let message = vec![7; size];
            let mut into = Vec::new();
            rate(COUNT, || {
                beside(
                    || (0..COUNT).for_each(|_| assert!(receiver.recv(&mut into).is_ok())),
                    || (0..COUNT).for_each(|_| sender.send(&message).expect("it is there")),
                );
            })
        };
        let mut bare_stream = |size| {
            let (message, mut into) = (vec![7; size], vec![0; 65_536]);
            rate(COUNT, || {
                beside(
                    || (0..COUNT).for_each(|_| bare_receive(&to, &mut into)),
                    || (0..COUNT).for_each(|_| bare_send(&from, &message)),
                );
            })
        };
        compare(&format!("{mechanism} stream, one by one"), SIZES, &mut stream, &mut bare_stream);
        let mut batches = |size| {
            let (message, mut batch) = (vec![7; size], Batch::default());
            let messages = [&message[..]; 32];
            let far = || {
                let mut count = 0;
                while count < COUNT / 32 * 32 {
                    batch.clear();
                    count += receiver.recv_batch_by(&mut batch, 32, Deadline::NEVER).expect("it comes");
                }
            };
            let near = || (0..COUNT / 32).for_each(|_| sender.send_slice(&messages).expect("it is there"));
            rate(COUNT, || beside(far, near))
        };
        compare(
            &format!("{mechanism} stream, batches of 32 against one by one"),
            SIZES,
            &mut batches,
            &mut bare_stream,
        );
    }

    const TRIPS: usize = 1500;
    let (mut back, mut end) = wrapped("back");
    let (back_from, back_to) = bare();
    let mut trips = |size| {
        let message = vec![7; size];
        let (mut there, mut here) = (Vec::new(), Vec::new());
        let far = || {
            for _ in 0..TRIPS {
                receiver.recv(&mut there).expect("it comes");
                back.send(&there).expect("it is there");
            }
        };
        let near = || {
            for _ in 0..TRIPS {
                sender.send(&message).expect("it is there");
                end.recv(&mut here).expect("it comes");
            }
        };
        rate(TRIPS, || beside(far, near))
    };
    let mut bare_trips = |size| {
        let message = vec![7; size];
        let (mut there, mut here) = (vec![0; 65_536], vec![0; 65_536]);
        let far = || {
            for _ in 0..TRIPS {
                bare_receive(&to, &mut there);
                bare_send(&back_from, &there[..size]);
            }
        };
        let near = || {
            for _ in 0..TRIPS {
                bare_send(&from, &message);
                bare_receive(&back_to, &mut here);
            }
        };
        rate(TRIPS, || beside(far, near))
    };
    compare(&format!("{mechanism} round trip"), SIZES, &mut trips, &mut bare_trips);
}

fn bare_send(socket: &impl AsFd, message: &[u8]) {
    assert_eq!(send(socket, message, SendFlags::NOSIGNAL), Ok(message.len()));
}

fn receive_with_credentials(socket: &impl AsFd, into: &mut [u8]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(socket, &mut [IoSliceMut::new(into)], &mut control, RecvFlags::empty()).expect("it comes");
    assert_eq!(control.drain().count(), 1);
}

fn bare_receive(socket: &impl AsFd, into: &mut [u8]) {
    recvfrom(socket, into, RecvFlags::empty()).expect("it comes");
}
