//! A feed of market data, the real one if it is there: every byte of it, or every message that is missing counted.

use super::feed;
use super::support::{Folder, Process, Puppet, report};
use super::udp::free_port;
use super::unix::{FETCHED, queue};
use ringshm_core::error::RecvError;
use std::sync::OnceLock;

/// The lines of the feed.
fn lines() -> &'static [Vec<u8>] {
    static LINES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    LINES.get_or_init(|| {
        let whole = feed::whole();
        whole.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    })
}

/// What stands for the end: no line of the feed.
/// Lines that are sent by one call.
const TOGETHER: usize = 50;
const END: &[u8] = b"that was the feed";

/// What a child can be told beyond the usual: each with `begin` first.
///
/// | command | report |
/// |---|---|
/// | `market-send FROM TO` | `sent TO`; in slices of some dozens |
/// | `market-end` | `ended` |
/// | `market-recv MOST` | `N received, L lost, from F to T`: numbers of the first and behind the last; every one is the line of its number |
pub(crate) fn obey(puppet: &mut Puppet, words: &[&str]) -> Option<String> {
    match *words {
        ["market-send", from, to] => {
            let [from, to] = [from, to].map(|word| word.parse().expect("a number"));
            let slices: Vec<_> = lines()[from..to].iter().map(Vec::as_slice).collect();
            report("begin");
            for (n, slices) in (from..).step_by(TOGETHER).zip(slices.chunks(TOGETHER)) {
                if let Err(error) = puppet.sender().send_slice(slices) {
                    return Some(format!("{error:?} after {n}"));
                }
            }
            Some(format!("sent {to}"))
        }
        ["market-end"] => {
            puppet.sender().send(END).expect("it is only a datagram");
            Some("ended".to_owned())
        }
        ["market-recv", most] => {
            let most: u64 = most.parse().expect("a number");
            let lines = lines();
            report("begin");
            let (mut received, mut lost, mut first) = (0, 0, None);
            let mut message = Vec::new();
            while received < most {
                match puppet.receiver().recv(&mut message) {
                    Ok(_) if message == END => break,
                    Ok(_) => {
                        let number = puppet.receiver().position().expect("it is numbered") - 1;
                        assert!(message == lines[number as usize], "line {number}");
                        first.get_or_insert(number);
                        received += 1;
                    }
                    Err(RecvError::Lagged(count)) => lost += count,
                    Err(error) => return Some(format!("{error:?} after {received}")),
                }
            }
            let first = first.unwrap_or(0);
            // Of the end, it is one too far.
            let end = puppet.receiver().position().unwrap_or(0) - u64::from(received < most);
            Some(format!("{received} received, {lost} lost, from {first} to {end}"))
        }
        _ => None,
    }
}

/// What a child says that it received.
struct Account {
    received: u64,
    lost: u64,
    first: u64,
    end: u64,
}

impl Account {
    #[track_caller]
    fn parse(report: &str) -> Self {
        let words: Vec<_> = report.split(' ').collect();
        let [received, "received,", lost, "lost,", "from", first, "to", end] = words[..] else { panic!("{report}") };
        let [received, lost, first, end] = [received, lost, first, end].map(|word| word.parse().expect("a number"));
        assert_eq!(received + lost, end - first, "{report}");
        Self { received, lost, first, end }
    }
}

#[test]
fn every_byte_comes_through_a_unix_socket_whoever_starts_first() {
    let all = lines().len();
    for receiver_first in [true, false] {
        let folder = Folder::new();
        let name = format!("unix://{}?type=dgram", folder.join("x.sock"));
        let [mut source, mut sink] = [(); 2].map(|()| Process::start(&folder));
        let open = |sink: &mut Process| {
            assert_eq!(sink.ask(&format!("receiver {name}")), "open");
            sink.begin(&format!("market-recv {all}"));
        };
        if receiver_first {
            open(&mut sink);
        }
        assert_eq!(source.ask(&format!("sender {name}")), "open");
        source.begin(&format!("market-send 0 {all}"));
        if !receiver_first {
            open(&mut sink);
        }
        assert_eq!(sink.hear(), format!("{all} received, 0 lost, from 0 to {all}"));
        assert_eq!(source.hear(), format!("sent {all}"));
        assert_eq!(sink.ask("close"), "ok");
        [source, sink].into_iter().for_each(Process::finish);
    }
}

#[test]
fn what_a_killed_receiver_takes_along_is_known() {
    let all = lines().len() as u64;
    let folder = Folder::new();
    let name = format!("unix://{}?type=dgram", folder.join("x.sock"));
    let [mut source, mut first, mut second] = [(); 3].map(|()| Process::start(&folder));
    assert_eq!(first.ask(&format!("receiver {name}")), "open");
    assert_eq!(source.ask(&format!("sender {name}&await")), "open");
    source.begin(&format!("market-send 0 {all}"));
    let before = Account::parse(&first.ask(&format!("market-recv {}", all / 2)));
    first.kill();
    assert_eq!(second.ask(&format!("receiver {name}")), "open");
    second.begin(&format!("market-recv {all}"));
    assert_eq!(source.hear(), format!("sent {all}"));
    assert_eq!(source.ask("market-end"), "ended");
    let after = Account::parse(&second.hear());
    assert_eq!((before.first, after.end, before.lost, after.lost), (0, all, 0, 0));
    let taken_along = after.first - before.end;
    // What goes together is in one datagram.
    assert!(taken_along <= TOGETHER as u64 * (queue() + FETCHED), "{taken_along}");
    assert_eq!(before.received + taken_along + after.received, all);
    assert_eq!(second.ask("close"), "ok");
    [source, second].into_iter().for_each(Process::finish);
}

#[test]
fn over_udp_received_and_lost_are_what_was_sent() {
    let all = lines().len() as u64;
    let folder = Folder::new();
    let name = format!("udp://127.0.0.1:{}", free_port());
    let [mut source, mut sink] = [(); 2].map(|()| Process::start(&folder));
    // A buffer for some hundred messages: some get lost unless the receiver is always fast enough.
    assert_eq!(sink.ask(&format!("receiver {name}?receive_buffer=100000")), "open");
    assert_eq!(source.ask(&format!("sender {name}")), "open");
    sink.stop();
    sink.tell(&format!("market-recv {all}"));
    assert_eq!(source.ask(&format!("market-send 0 {}", all / 2)), format!("sent {}", all / 2));
    sink.resume();
    assert_eq!(sink.hear(), "begin");
    assert_eq!(source.ask(&format!("market-send {} {all}", all / 2)), format!("sent {all}"));
    // When it sleeps its buffer is empty, and what stands for the end cannot get lost.
    assert!(sink.sleeps());
    assert_eq!(source.ask("market-end"), "ended");
    let account = Account::parse(&sink.hear());
    assert_eq!((account.first, account.end, account.received + account.lost), (0, all, all));
    assert!(account.lost > all / 4, "a stopped receiver loses most of what comes: {}", account.lost);
    [source, sink].into_iter().for_each(Process::finish);
}

#[test]
fn over_udp_what_was_lost_between_a_killed_receiver_and_the_next_is_known() {
    let all = lines().len() as u64;
    let folder = Folder::new();
    let name = format!("udp://127.0.0.1:{}", free_port());
    let [mut source, mut first, mut second] = [(); 3].map(|()| Process::start(&folder));
    assert_eq!(first.ask(&format!("receiver {name}")), "open");
    assert_eq!(source.ask(&format!("sender {name}")), "open");
    source.begin(&format!("market-send 0 {}", all / 2));
    let before = Account::parse(&first.ask("market-recv 100"));
    first.kill();
    assert_eq!(second.ask(&format!("receiver {name}")), "open");
    second.begin(&format!("market-recv {all}"));
    // It was not told that there was nobody.
    assert_eq!(source.hear(), format!("sent {}", all / 2));
    assert_eq!(source.ask(&format!("market-send {} {all}", all / 2)), format!("sent {all}"));
    assert!(second.sleeps());
    assert_eq!(source.ask("market-end"), "ended");
    let after = Account::parse(&second.hear());
    assert!(before.end <= after.first, "{} {}", before.end, after.first);
    let between = after.first - before.end;
    assert_eq!(before.received + before.lost + between + after.received + after.lost, all - before.first);
    assert_eq!((before.first, after.end), (0, all));
    [source, second].into_iter().for_each(Process::finish);
}
