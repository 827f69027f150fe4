//! The real feed, byte for byte, through both kinds of queue; its receiver killed midway.

use crate::place::{KINDS, Place};
use crate::support::{Folder, Process, until};
use std::io::Read as _;
use std::process::{Command, Stdio};

/// No message is longer: the system's limits for both kinds of queue are 8192 bytes, unless they were raised.
const LONGEST: usize = 8192 - 16;

/// The feed: market data, a message a line, as it was recorded; without `RINGSHM_DATA` a made-up one. Lines that are longer than a queue takes are cut.
pub(crate) fn bytes() -> Vec<u8> {
    let recorded = std::env::var_os("RINGSHM_DATA").map(|data| {
        let path = std::path::Path::new(&data).join("binance-spot-btcusdt-20240809.jsonl.gz");
        let unpacked = Command::new("gzip").arg("-dc").arg(path).stdout(Stdio::piped()).output();
        let unpacked = unpacked.expect("gzip is missing: install it, or unset RINGSHM_DATA");
        assert!(unpacked.status.success(), "RINGSHM_DATA names a folder without the feed");
        unpacked.stdout
    });
    recorded.unwrap_or_else(|| {
        let line = |n: usize| {
            format!("{} {{\"price\":{},\"quantity\":\"{}\"}}\n", n * 977, n * 31 % 60_000, "9".repeat(n % 400))
        };
        (0..20_000).map(line).collect::<String>().into_bytes()
    })
}

pub(crate) fn messages() -> Vec<Vec<u8>> {
    let bytes = bytes();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.flat_map(|line| line.chunks(LONGEST)).map(<[u8]>::to_vec).collect()
}

fn read(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).expect("the receiver made it");
    bytes
}

#[test]
fn the_feed_arrives_byte_for_byte_whoever_starts_first() {
    let (feed, count) = (bytes(), messages().len());
    for kind in KINDS {
        for sender_first in [true, false] {
            let (place, folder) = (Place::new(kind), Folder::for_leftovers());
            let (mut sender, mut receiver) = (Process::start(&folder), Process::start(&folder));
            let out = folder.join("received");
            if sender_first {
                assert_eq!(sender.ask(&format!("sender {}", place.name("numbered"))), "open");
                sender.begin("send-feed");
                assert_eq!(receiver.ask(&format!("receiver {}", place.name("numbered"))), "open");
                receiver.begin(&format!("recv-feed {out}"));
            } else {
                assert_eq!(receiver.ask(&format!("receiver {}", place.name("numbered"))), "open");
                receiver.begin(&format!("recv-feed {out}"));
                assert_eq!(sender.ask(&format!("sender {}", place.name("numbered"))), "open");
                sender.begin("send-feed");
            }
            assert_eq!(sender.hear(), format!("sent {count}"));
            assert_eq!(sender.ask("close"), "ok");
            assert_eq!(receiver.hear(), format!("{count} from 0, 0 lost, then Disconnected"));
            assert!(read(&out) == feed, "{kind:?}: what was received is what was sent");
            assert_eq!(receiver.ask("close"), "ok");
            sender.finish();
            receiver.finish();
        }
    }
}

#[test]
fn of_a_receiver_that_is_killed_midway_the_next_one_takes_over_and_every_message_is_accounted_for() {
    let (feed, messages) = (bytes(), messages());
    for kind in KINDS {
        let (place, folder) = (Place::new(kind), Folder::for_leftovers());
        let (mut sender, mut first, mut second) =
            (Process::start(&folder), Process::start(&folder), Process::start(&folder));
        let (part, rest) = (folder.join("first"), folder.join("second"));
        let name = place.name("numbered&await");
        assert_eq!(first.ask(&format!("receiver {name}")), "open");
        first.begin(&format!("recv-feed {part}"));
        assert_eq!(sender.ask(&format!("sender {name}")), "open");
        sender.begin("send-feed");
        let size = || std::fs::metadata(&part).map_or(0, |file| file.len());
        until("a third of the feed is received", || size() > feed.len() as u64 / 3);
        first.kill();
        assert_eq!(second.ask(&format!("receiver {name}")), "open");
        second.begin(&format!("recv-feed {rest}"));
        assert_eq!(sender.hear(), format!("sent {}", messages.len()));
        assert_eq!(sender.ask("close"), "ok");

        let said = second.hear();
        let (part, rest) = (read(&part), read(&rest));
        assert!(feed.starts_with(&part) && part.len() < feed.len(), "{kind:?}: killed in the middle");
        assert!(feed.ends_with(&rest), "{kind:?}: and nothing is missing from there on");
        // As many messages as the first one wrote.
        let mut end = 0;
        let ends = messages.iter().map(|message| {
            end += message.len();
            end
        });
        let received = ends.take_while(|end| *end <= part.len()).count();
        let number: usize =
            said.split(' ').nth(2).and_then(|word| word.trim_end_matches(',').parse().ok()).expect("FIRST");
        let lost = number - received;
        assert_eq!(said, format!("{} from {number}, 0 lost, then Disconnected", messages.len() - number));
        assert!(lost <= 1, "{kind:?}: only what the first one had in its hands is lost, and not {lost} messages");
        let gap: usize = messages[received..number].iter().map(Vec::len).sum();
        assert!(part.len() + gap + rest.len() >= feed.len(), "{kind:?}: received and lost is what was sent");
        assert_eq!(second.ask("close"), "ok");
        sender.finish();
        second.finish();
    }
}
