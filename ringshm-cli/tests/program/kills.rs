//! Either side is killed in the middle, and nothing is missing afterwards.

use crate::place::{Place, Running, assert_same, feed, lines, read_some, real_feed};
use ringshm::Peer;
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;

/// More than what is between a receiver's hands and a reader: a pipe, and one write.
const BATCH: usize = (256 << 10) + (64 << 10);

/// Kills a receiver after it has written `at` bytes, starts another one, and returns how many lines came twice.
fn receiver_killed(feed: &[u8], at: usize) -> usize {
    let place = Place::new();
    let input = place.file("input", feed);
    let send = place.start(&["send", "feed", &input, "--capacity", "1MiB"]);
    // Nobody reads further than this, so it is somewhere in the middle when it is killed.
    let mut recv = place.start(&["recv", "feed", "--capacity", "1MiB"]);
    let mut stdout = recv.stdout();
    let mut first = read_some(&mut stdout, at);
    recv.kill();
    stdout.read_to_end(&mut first).unwrap();
    let released = usize::try_from(place.info("feed")["consumer"]["messages"].as_u64().unwrap()).unwrap();
    assert_eq!(place.info("feed")["consumer"]["state"], "dead");

    let second = place.run(&["recv", "feed"]);
    assert_eq!((second.code(), second.stderr.as_str()), (Some(0), ""));
    assert_eq!(send.finish().code(), Some(0));
    assert_eq!(place.leftovers(), [""; 0]);

    // The first wrote the feed up to somewhere; the second one wrote the feed from a line on that the first had reached.
    assert!(at <= first.len() && first.len() < feed.len(), "{} bytes", first.len());
    assert_same(&first, &feed[..first.len()]);
    let begin = feed.len().checked_sub(second.stdout.len()).expect("not more than there is");
    assert_same(&second.stdout, &feed[begin..]);
    assert!(begin <= first.len(), "{} bytes are missing", begin - first.len());
    // What came twice is what was handed out and not released.
    assert_eq!(lines(&feed[..begin]), released);
    assert!(first.len() - begin <= BATCH, "{} bytes came twice", first.len() - begin);
    lines(&first) - released
}

/// Kills a sender after the receiver has written `at` bytes, starts another one where it stopped.
fn sender_killed(feed: &[u8], at: usize, resume: bool) {
    let place = Place::new();
    let input = place.file("input", feed);
    let send = place.start(&["send", "feed", &input, "--capacity", "256KiB"]);
    let mut recv = place.start(&["recv", "feed", "--follow", "--capacity", "256KiB"]);
    let mut stdout = recv.stdout();
    let mut output = read_some(&mut stdout, at);
    send.kill();
    let sent = place.info("feed")["producer"]["messages"].to_string();
    assert_eq!(place.info("feed")["producer"]["state"], "dead");
    let reader = thread::spawn(move || {
        stdout.read_to_end(&mut output).unwrap();
        output
    });
    let how: &[&str] = if resume { &["--resume"] } else { &["--skip", &sent] };
    let second = place.run(&[&["send", "feed", &input], how].concat());
    assert_eq!((second.code(), second.stderr.as_str()), (Some(0), ""));
    let recv = recv.finish();
    assert_eq!((recv.code(), recv.stderr.as_str()), (Some(0), ""));
    assert_same(&reader.join().unwrap(), feed);
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_killed_receiver_loses_nothing() {
    let feed = feed();
    let twice: Vec<usize> = (0..6).map(|round| receiver_killed(&feed, 100_000 + round * 2_400_000)).collect();
    // A receiver that is stuck in a write has something in its hands; one that was about to look for more has not.
    assert!(twice.iter().any(|&lines| lines > 0), "{twice:?}");
}

#[test]
fn a_killed_sender_can_be_resumed_without_loss_or_duplicate() {
    let feed = feed();
    for round in 0..6 {
        sender_killed(&feed, 100_000 + round * 2_300_000, round % 2 == 0);
    }
}

#[test]
fn real_market_data_survives_both_kills() {
    let Some(feed) = real_feed() else { return };
    receiver_killed(&feed, 7_000_000);
    sender_killed(&feed, 7_000_000, false);
}

/// A sender that has sent these lines, and waits for more.
fn sender_of(place: &Place, ring: &str, input: &str) -> Running {
    let mut send = Running::new(place.command(&["send", ring]).stdin(Stdio::piped()));
    send.child.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
    let expected = lines(input.as_bytes()) as u64;
    place.wait_until(ring, |ring| ring.producer.messages >= Some(expected));
    send
}

#[test]
fn the_death_of_a_producer_has_its_own_exit_code() {
    let place = Place::new();
    let send = sender_of(&place, "dead", "one\ntwo\nthree\n");
    let pid = send.pid();
    send.kill();
    let recv = place.run(&["recv", "dead"]);
    assert_eq!(recv.code(), Some(3));
    assert_eq!(recv.stdout, b"one\ntwo\nthree\n");
    let message = format!("ringshm: the producer, process {pid}, died without closing the ring, after 3 records");
    assert!(recv.stderr.starts_with(&message), "{}", recv.stderr);
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn the_death_of_a_producer_is_noticed_while_waiting_for_it() {
    let place = Place::new();
    let send = sender_of(&place, "dead", "one\n");
    let recv = place.start(&["recv", "dead"]);
    place.wait_until("dead", |ring| ring.consumer.messages == Some(1));
    send.kill();
    let recv = recv.finish();
    assert_eq!((recv.code(), recv.stdout.as_slice()), (Some(3), &b"one\n"[..]));
}

#[test]
fn a_follower_goes_from_one_producer_to_the_next() {
    let place = Place::new();
    let send = sender_of(&place, "follow", "one\n");
    let recv = place.start(&["recv", "follow", "--follow"]);
    place.wait_until("follow", |ring| ring.consumer.messages == Some(1));
    send.kill();
    let send = sender_of(&place, "follow", "two\n");
    place.wait_until("follow", |ring| ring.consumer.messages == Some(2));
    send.kill();
    assert_eq!(place.run_with(&["send", "follow"], b"three\n").code(), Some(0));
    let recv = recv.finish();
    assert_eq!((recv.code(), recv.stdout.as_slice()), (Some(0), &b"one\ntwo\nthree\n"[..]));
}

#[test]
fn a_sender_survives_the_death_of_its_receiver() {
    let place = Place::new();
    let mut send = sender_of(&place, "survivor", "one\n");
    let recv = place.start(&["recv", "survivor"]);
    place.wait_until("survivor", |ring| ring.consumer.messages == Some(1));
    recv.kill();
    send.child.stdin.take().unwrap().write_all(b"two\n").unwrap();
    assert_eq!(send.finish().code(), Some(0));
    place.wait_until("survivor", |ring| ring.producer.state == Peer::Closed);
    assert_eq!(place.run(&["recv", "survivor"]).stdout, b"two\n");
}
