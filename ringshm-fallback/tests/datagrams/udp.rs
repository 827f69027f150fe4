//! UDP between processes of one machine: loss, strangers, nobody there.

use super::support::{Folder, PATIENCE, Process, record, until};
use super::{receive, receiver, sender};
use ringshm_core::error::{OpenError, RecvTimeoutError, SendError, TryRecvError};
use ringshm_core::{Deadline, Receiver, Sender as _};
use ringshm_fallback::framing::{Frame, Framing};
use ringshm_fallback::udp::{Udp, UdpReceiver};
use std::net::UdpSocket;

/// A port that nobody has right now.
pub(crate) fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.local_addr().expect("it is bound").port()
}

/// A receiver on a port of its own, and its place.
fn receiving(udp: impl FnOnce(Udp) -> Udp, host: &str) -> (UdpReceiver, String) {
    let sink = udp(Udp::new(&format!("{host}:0"))).receiver().expect("a port is free");
    let place = sink.address().expect("it has one").to_string();
    (sink, place)
}

/// What the datagram with that number has before its record.
fn frame(number: u64, record: &[u8]) -> Vec<u8> {
    let len = record.len().try_into().expect("short");
    [&Frame { len, number: Some(number) }.header()[..], record].concat()
}

#[test]
fn both_internet_protocols_carry_the_longest_message_and_no_longer() {
    for (host, longest) in [("127.0.0.1", 65_507 - 16), ("[::1]", 65_527 - 16)] {
        let (mut sink, place) = receiving(|udp| udp, host);
        let mut source = Udp::new(&place).sender().expect("a route");
        let message: Vec<u8> = (0..longest).map(|n| (n % 251) as u8).collect();
        source.send(&message).expect("it fits");
        assert!(receive(&mut sink) == message, "{host}");
        let error = source.send(&[&message[..], b"x"].concat());
        assert_eq!(error, Err(SendError::TooLarge { len: longest + 1, max: longest }));
        source.send(b"").expect("it fits");
        assert_eq!(receive(&mut sink), b"");
        let refusal = Udp::new(&place).max_message(longest + 1).sender().expect_err("too long");
        assert!(refusal.to_string().contains("at most"), "{refusal}");
    }
}

#[test]
fn what_overtakes_comes_twice_or_is_missing_is_told_from_what_is_next() {
    let (mut sink, place) = receiving(|udp| udp, "127.0.0.1");
    let network = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let mut said = Vec::new();
    let mut message = Vec::new();
    // 2 and 5 are missing; 1 comes twice, 4 before 3.
    for number in [0, 1, 1, 4, 3, 6, 0] {
        network.send_to(&frame(number, &record(number)), &place).expect("a route");
    }
    network.send_to(&frame(7, b"end"), &place).expect("a route");
    loop {
        match sink.recv_by(&mut message, Deadline::after(PATIENCE)) {
            Ok(_) if message == b"end" => break,
            Ok(_) => said.push(super::support::number_of(&message).to_string()),
            Err(RecvTimeoutError::Lagged(count)) => said.push(format!("lagged {count}")),
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(said, ["0", "1", "lagged 2", "4", "lagged 1", "6"]);
    assert_eq!(sink.position(), Some(8));
    // From another address it is another sender's stream.
    let other = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    other.send_to(&frame(3, b"mine"), &place).expect("a route");
    assert_eq!(receive(&mut sink), b"mine");
    assert_eq!(sink.position(), Some(4));
    // And the first goes on where it was.
    network.send_to(&frame(9, b""), &place).expect("a route");
    assert_eq!(sink.recv_by(&mut message, Deadline::after(PATIENCE)), Err(RecvTimeoutError::Lagged(1)));
    assert_eq!(receive(&mut sink), b"");
}

#[test]
fn garbage_and_forged_senders_do_not_hold_up_the_service() {
    let (mut sink, place) = receiving(|udp| udp.max_message(100), "127.0.0.1");
    let mut source = Udp::new(&place).sender().expect("a route");
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let mut message = Vec::new();
    let long = frame(0, &[1; 101]);
    for (number, garbage) in (0..).zip([&b""[..], b"good day", &[0; 64], &long[..40], &long]) {
        stranger.send_to(garbage, &place).expect("a route");
        source.send(&record(number)).expect("a route");
        match sink.recv_by(&mut message, Deadline::after(PATIENCE)) {
            Err(RecvTimeoutError::Rejected(rejection)) => assert_eq!((rejection.pid, rejection.uid), (None, None)),
            other => panic!("{other:?}"),
        }
        assert_eq!(receive(&mut sink), record(number));
    }
    // More senders than are remembered, between two messages of a busy one.
    for round in 5..10 {
        // At the same time, so that no two have the same address.
        let forgers: Vec<_> =
            (0..300).map(|_| UdpSocket::bind(format!("127.0.0.{round}:0")).expect("a port is free")).collect();
        for forger in forgers {
            forger.send_to(&frame(1 << 40, b"forged"), &place).expect("a route");
            assert_eq!(receive(&mut sink), b"forged");
        }
        source.send(&record(round)).expect("a route");
        assert_eq!(receive(&mut sink), record(round));
    }
}

#[test]
fn a_slow_receiver_is_told_how_much_it_lost() {
    for framing in ["frames", "bare"] {
        let name = format!("udp://127.0.0.1:{}?framing={framing}", free_port());
        let mut sink = receiver(&format!("{name}&receive_buffer=20000"));
        let mut source = sender(&name);
        const SENT: u64 = 1000;
        for number in 0..SENT {
            source.send(&record(number)).expect("a route");
        }
        let (mut received, mut lost) = (0, 0);
        let mut message = Vec::new();
        loop {
            match sink.try_recv(&mut message) {
                Ok(_) if message == b"end" => break,
                Ok(_) => received += 1,
                Err(TryRecvError::Lagged(count)) => lost += count,
                // There is room: what is sent now tells what is missing before it.
                Err(TryRecvError::Empty) => source.send(b"end").expect("a route"),
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(received > 0 && lost > 0, "{framing}: {received} and {lost}");
        assert_eq!(received + lost, SENT, "{framing}");
    }
}

#[test]
fn a_sender_does_not_mind_that_nobody_receives() {
    let folder = Folder::new();
    let name = format!("udp://127.0.0.1:{}", free_port());
    let mut source = Process::start(&folder);
    let mut sink = Process::start(&folder);
    assert_eq!(source.ask(&format!("sender {name}")), "open");
    // Each is answered, after the first, by the news that nobody has the port.
    assert_eq!(source.ask("send 0 50"), "sent 50");
    assert_eq!(source.ask("send-slice 50 100"), "sent 100");
    assert_eq!(source.ask("try-send 100"), "ok");
    assert_eq!(sink.ask(&format!("receiver {name}")), "open");
    assert_eq!(source.ask("send 101 110"), "sent 110");
    assert_eq!(sink.ask("recv 101 110"), "received 110");
    assert_eq!(sink.ask("position"), "Some(110)");
    // And none that comes too late.
    sink.kill();
    assert_eq!(source.ask("send 110 120"), "sent 120");
    source.finish();
}

#[test]
fn many_senders_each_in_order() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 50;
    let folder = Folder::new();
    let name = format!("udp://127.0.0.1:{}", free_port());
    let mut sink = receiver(&format!("{name}?receive_buffer=200000"));
    let mut sources: Vec<_> = (0..SENDERS).map(|_| Process::start(&folder)).collect();
    for (n, source) in (0..).zip(&mut sources) {
        assert_eq!(source.ask(&format!("sender {name}")), "open");
        source.begin(&format!("{} {} {}", ["send", "send-slice"][n as usize % 2], n * EACH, (n + 1) * EACH));
    }
    let mut next = [0; SENDERS as usize];
    for _ in 0..SENDERS * EACH {
        let n = super::support::number_of(&receive(&mut *sink));
        let (whose, number) = (n / EACH, n % EACH);
        assert_eq!(number, next[whose as usize], "of sender {whose}");
        next[whose as usize] += 1;
        assert_eq!(sink.position(), Some(number + 1));
    }
    sources.into_iter().for_each(Process::finish);
}

#[test]
fn a_port_has_one_receiver_and_mistakes_are_explained() {
    let (sink, place) = receiving(|udp| udp, "127.0.0.1");
    assert!(matches!(Udp::new(&place).receiver(), Err(OpenError::RoleTaken { .. })));
    drop(sink);
    // A child that another test is just starting has it until it comes to its exec.
    until("it is free again", || Udp::new(&place).receiver().is_ok());
    let refusal = |udp: Udp| udp.receiver().expect_err("a mistake").to_string();
    for (udp, says) in [
        (Udp::new("127.0.0.1"), "host and port"),
        (Udp::new("no such host:9000"), "host and port"),
        (Udp::new(&place).interface("lo"), "only a multicast group"),
        (Udp::new(&place).loopback(true), "only a multicast group"),
        (Udp::new("239.255.0.7:9000").interface("no such"), "no interface \"no such\""),
        (Udp::new(&place).framing(Framing::Lines), "frames"),
    ] {
        let refusal = refusal(udp);
        assert!(refusal.contains(says), "{refusal}");
    }
}
