//! A feed of market data, the real one if it is there: every byte of it, or every message that is missing counted.

use super::feed;
use super::names;
use super::support::{Folder, Process, Puppet, report};
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

/// How often the feed is sent when a receiver is to be killed: more than all buffers of a connection hold.
const TIMES: usize = 4;

fn line(number: u64) -> &'static [u8] {
    &lines()[number as usize % lines().len()]
}

/// What a child can be told beyond the usual: each with `begin` first. Message number N is line N of the feed, which begins anew when it ends.
///
/// | command | report |
/// |---|---|
/// | `market-send FROM TO` | `sent TO`; in slices of some dozens, and the last of each by itself |
/// | `market-recv MOST` | `N received, L lost, from F to T, then WHY`: numbers of the first and behind the last; every one is the line of its number |
pub(crate) fn obey(puppet: &mut Puppet, words: &[&str]) -> Option<String> {
    match *words {
        ["market-send", from, to] => {
            let [from, to]: [u64; 2] = [from, to].map(|word| word.parse().expect("a number"));
            report("begin");
            let numbers: Vec<_> = (from..to).collect();
            for numbers in numbers.chunks(50) {
                let slices: Vec<_> = numbers.iter().map(|number| line(*number)).collect();
                let (last, others) = slices.split_last().expect("there is one");
                let sent = puppet.sender().send_slice(others).map_err(|error| error.to_string());
                if let Err(error) = sent.and_then(|()| puppet.sender().send(last).map_err(|error| error.to_string())) {
                    return Some(format!("{error} after {}", numbers[0]));
                }
            }
            Some(format!("sent {to}"))
        }
        ["market-recv", most] => {
            let most: u64 = most.parse().expect("a number");
            lines();
            report("begin");
            let (mut received, mut lost, mut first) = (0, 0, None);
            let mut message = Vec::new();
            let why = loop {
                if received == most {
                    break "that was all".to_owned();
                }
                match puppet.receiver().recv(&mut message) {
                    Ok(_) => {
                        let number = puppet.receiver().position().expect("it is numbered") - 1;
                        assert!(message == line(number), "line {number}");
                        first.get_or_insert(number);
                        received += 1;
                    }
                    Err(RecvError::Lagged(count)) => lost += count,
                    Err(error) => break format!("{error:?}"),
                }
            };
            let end = puppet.receiver().position().unwrap_or(0);
            Some(format!("{received} received, {lost} lost, from {} to {end}, then {why}", first.unwrap_or(0)))
        }
        _ => None,
    }
}

/// The numbers in what a child says that it received: received, lost, first, end.
#[track_caller]
fn account(report: &str) -> [u64; 4] {
    let numbers: Vec<u64> = report.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    let [received, lost, first, end] = numbers[..] else { panic!("{report}") };
    assert_eq!(received + lost, end - first, "{report}");
    [received, lost, first, end]
}

#[test]
fn every_byte_comes_through_whoever_starts_first_and_whoever_listens() {
    let all = lines().len();
    let folder = Folder::new();
    for name in names(&folder) {
        for (receiver_first, listens) in [(true, "receiver"), (false, "receiver"), (true, "sender"), (false, "sender")]
        {
            let name = format!("{name}&listen={listens}");
            let [mut source, mut sink] = [(); 2].map(|()| Process::start(&folder));
            let open = |sink: &mut Process| {
                assert_eq!(sink.ask(&format!("receiver {name}")), "open");
                sink.begin("market-recv 1000000000");
            };
            if receiver_first {
                open(&mut sink);
            }
            assert_eq!(source.ask(&format!("sender {name}")), "open");
            source.begin(&format!("market-send 0 {all}"));
            if !receiver_first {
                open(&mut sink);
            }
            assert_eq!(source.hear(), format!("sent {all}"), "{name}");
            assert_eq!(source.ask("close"), "ok");
            assert_eq!(sink.hear(), format!("{all} received, 0 lost, from 0 to {all}, then Disconnected"), "{name}");
            assert_eq!(sink.ask("close"), "ok");
            [source, sink].into_iter().for_each(Process::finish);
        }
    }
}

#[test]
fn received_and_what_a_killed_receiver_took_along_are_what_was_sent() {
    let all = (lines().len() * TIMES) as u64;
    let folder = Folder::new();
    for name in names(&folder) {
        let [mut source, mut first, mut second] = [(); 3].map(|()| Process::start(&folder));
        assert_eq!(source.ask(&format!("sender {name}&await")), "open");
        source.begin(&format!("market-send 0 {all}"));
        assert_eq!(first.ask(&format!("receiver {name}")), "open");
        let [received, lost, begin, end] = account(&first.ask(&format!("market-recv {}", lines().len() / 2)));
        assert_eq!((begin, lost), (0, 0), "{name}");
        // It takes more along than it said that it had received: what was on its way, and what waits in it.
        assert!(source.sleeps(), "there is no more room");
        first.kill();
        assert_eq!(second.ask(&format!("receiver {name}")), "open");
        second.begin("market-recv 1000000000");
        assert_eq!(source.hear(), format!("sent {all}"), "{name}");
        assert_eq!(source.ask("close"), "ok");
        let [rest, lost, successor, last] = account(&second.hear());
        assert!(successor > end, "{name}: {successor} after {end}");
        assert_eq!(received + (successor - end) + lost + rest, all, "{name}");
        assert_eq!((lost, last), (0, all), "{name}");
        assert_eq!(second.ask("close"), "ok");
        [source, second].into_iter().for_each(Process::finish);
    }
}
