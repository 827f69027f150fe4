//! What cannot be: names, options, lengths.

use super::support::{Folder, PATIENCE, record};
use super::{free_port, names, receive, receiver, sender};
use ringshm_core::error::{OpenError, TrySendError};
use ringshm_core::{Awaited, Channel, Deadline, Sender as _};
use ringshm_fallback::address::Address;
use ringshm_fallback::open;
use ringshm_fallback::tcp::Tcp;
use ringshm_fallback::wait::{Wake, until_ready};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::time::Duration;

fn refusals(name: &str) -> [OpenError; 2] {
    let address = || Address::parse(name).expect("it can be taken apart");
    let sender = open::sender(address()).err().unwrap_or_else(|| panic!("{name} can be sent to"));
    [sender, open::receiver(address()).err().unwrap_or_else(|| panic!("{name} can be received from"))]
}

#[test]
fn mistakes_are_explained() {
    let folder = Folder::for_leftovers();
    let file = folder.join("file");
    std::fs::write(&file, b"a letter").expect("a file");
    let link = folder.join("link");
    std::os::unix::fs::symlink(folder.join("x.sock"), &link).expect("a link");
    let long = folder.join(&"x".repeat(108));
    for (name, says) in [
        (format!("unix://{long}?type=stream"), "at most 107 bytes"),
        (format!("unix:@{}?type=stream", "x".repeat(108)), "107 bytes"),
        (format!("unix://{file}?type=stream"), "something else than a socket"),
        (format!("unix://{link}?type=seqpacket"), "symbolic link"),
        ("unix:///tmp/x?type=raw".to_owned(), "stream, seqpacket or dgram"),
        ("unix:///tmp/x".to_owned(), "stream, seqpacket or dgram"),
        ("unix:///tmp/x?type=stream&framing=bare".to_owned(), "no boundaries"),
        ("unix:///tmp/x?type=seqpacket&framing=lines".to_owned(), "boundaries already"),
        ("unix:///tmp/x?type=stream&keepalive=5".to_owned(), "no option \"keepalive\""),
        ("unix:///tmp/x?type=stream&listen=both".to_owned(), "sender or receiver"),
        ("unix:///tmp/x?type=stream&slow=never".to_owned(), "drop:MILLISECONDS"),
        ("unix:///tmp/x?type=stream&slow=drop".to_owned(), "a sender that listens"),
        ("unix:///tmp/x?type=stream&uid=me".to_owned(), "number of a user"),
        ("tcp://localhost".to_owned(), "no port"),
        ("tcp://localhost:http".to_owned(), "number up to 65535"),
        ("tcp://:80".to_owned(), "no host"),
        ("tcp://127.0.0.1:9?framing=bare".to_owned(), "no boundaries"),
    ] {
        for refusal in refusals(&name) {
            assert!(refusal.to_string().contains(says), "{name}: {refusal}");
        }
    }
    for name in ["tcp://localhost:0", "tcp://*:9000"] {
        let address = Address::parse(name).expect("it can be taken apart");
        let refusal = open::sender(address).err().expect("nobody is there");
        assert!(matches!(refusal, OpenError::InvalidName { .. }), "{refusal}");
    }
}

#[test]
fn a_place_has_one_who_listens_and_is_free_when_he_has_left() {
    let folder = Folder::new();
    let path = folder.join("x.sock");
    for name in [
        format!("unix://{path}?type=stream&mode=620"),
        format!("unix:@{path}?type=seqpacket"),
        format!("tcp://*:{}", free_port()),
    ] {
        for _ in 0..3 {
            let sink = receiver(&name);
            if name.contains("mode") {
                let file = std::fs::metadata(&path).expect("it is there");
                assert!(file.file_type().is_socket());
                assert_eq!(file.permissions().mode() & 0o777, 0o620);
            }
            let refusal = Address::parse(&name).and_then(open::receiver).err().expect("it is taken");
            assert!(matches!(refusal, OpenError::RoleTaken { .. }), "{refusal}");
            assert!(!refusal.to_string().contains("process 0"), "{refusal}");
            drop(sink);
        }
    }
    assert_eq!(folder.entries(), [""; 0]);
    // Of another type: who connects is told.
    let sink = receiver(&format!("unix://{path}?type=stream"));
    let address = Address::parse(&format!("unix://{path}?type=seqpacket")).expect("a name");
    let refusal = open::sender(address).err().expect("it is a stream");
    assert!(refusal.to_string().contains("of another type"), "{refusal}");
    drop(sink);
}

#[test]
fn a_packet_is_as_long_as_the_kernel_lets_it_be_and_no_longer() {
    let folder = Folder::new();
    let name = format!("unix://{}?type=seqpacket", folder.join("x.sock"));
    let mut sink = receiver(&name);
    let mut source = sender(&name);
    let usual = source.capabilities().longest;
    assert!(usual.because.contains("SO_SNDBUF") && usual.because.contains("net.core.wmem_max"));
    source.send(&vec![7; usual.bytes]).expect("it fits");
    assert_eq!(receive(&mut *sink).len(), usual.bytes);
    let refusal = source.try_send(&vec![7; usual.bytes + 1]);
    assert!(matches!(refusal, Err(TrySendError::TooLarge { max, .. }) if max == usual.bytes), "{refusal:?}");
    drop((source, sink));
    // More than any kernel gives.
    let name = format!("{name}&max_message=1000000000");
    let mut sink = receiver(&name);
    let mut source = sender(&name);
    let most = source.capabilities().longest;
    assert_eq!(most, sink.capabilities().longest);
    assert!(most.bytes >= usual.bytes && most.bytes < 1 << 20, "{most:?}");
    assert!(most.because.contains("net.core.wmem_max"));
    source.send(&vec![7; most.bytes]).expect("it fits");
    assert_eq!(receive(&mut *sink).len(), most.bytes);
}

#[test]
fn a_host_has_several_addresses() {
    let all: &[&str] = &["localhost", "127.0.0.1", "[::1]"];
    for (place, hosts) in [("localhost:0", &all[..1]), ("[::1]:0", &all[2..]), ("*:0", all)] {
        let mut sink = Tcp::new(place).receiver().expect("there are free ports");
        let port = sink.local_address().expect("it listens").port();
        for host in hosts {
            let mut source = Tcp::new(&format!("{host}:{port}")).sender().expect("opening does not wait");
            source.send(&record(3)).expect("it listens");
            assert_eq!(receive(&mut sink), record(3), "{host} to {place}");
        }
    }
}

#[test]
fn nobody_is_starved_by_one_who_sends_without_end() {
    let folder = Folder::new();
    let name = format!("unix://{}?type=stream", folder.join("x.sock"));
    let mut sink = receiver(&name);
    let mut flood = super::support::Process::start(&folder);
    assert_eq!(flood.ask(&format!("sender {name}")), "open");
    flood.begin("send 1 1000000000");
    assert_eq!(receive(&mut *sink), record(1));
    assert!(flood.sleeps(), "there is more than can be taken at once");
    let mut quiet = sender(&name);
    quiet.send(&record(0)).expect("it listens");
    let others = (0..).take_while(|_| receive(&mut *sink) != record(0)).count();
    assert!(others < 500, "{others} messages of another one came first");
}

#[test]
fn a_descriptor_that_is_asked_for_late_shows_what_happens_to_a_connection_that_was_there_before() {
    let folder = Folder::for_leftovers();
    let wakes = |channel: &dyn Channel, timeout| {
        let Awaited::Descriptor(descriptor, interest) = channel.awaited() else { panic!("it has a descriptor") };
        until_ready(descriptor, interest, Deadline::after(timeout)).expect("there is memory") == Wake::Ready
    };
    for name in names(&folder) {
        let (mut sink, mut source) = (receiver(&name), sender(&name));
        source.send(&record(0)).expect("there is room");
        assert_eq!(receive(&mut *sink), record(0));
        // From here on neither calls, and both are to be told.
        assert!(!wakes(&*sink, Duration::ZERO), "{name}: nothing has come");
        source.send(&record(1)).expect("there is room");
        assert!(wakes(&*sink, PATIENCE), "{name}");
        assert_eq!(receive(&mut *sink), record(1));

        let mut number = 2;
        while source.try_send(&record(number)).is_ok() {
            number += 1;
        }
        assert!(!wakes(&*source, Duration::ZERO), "{name}: there is no room");
        for expected in 2..number {
            assert_eq!(receive(&mut *sink), record(expected));
        }
        assert!(wakes(&*source, PATIENCE), "{name}: there is room again");
    }
}
