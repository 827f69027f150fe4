//! Records get from `send` to `recv`, all of them, in order, whoever starts first and whoever stops reading.

use crate::place::{Place, Running, assert_same, feed, lines, read_some, real_feed};
use ringshm::Peer;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

fn receiver_first(feed: &[u8]) {
    let place = Place::new();
    let input = place.file("input", feed);
    let recv = place.start(&["recv", "feed"]);
    place.wait_until("feed", |ring| matches!(ring.consumer.state, Peer::Live { .. }));
    let send = place.start(&["send", "feed", &input]);
    let recv = recv.finish();
    assert_eq!((recv.code(), recv.stderr.as_str()), (Some(0), ""));
    let send = send.finish();
    assert_eq!((send.code(), send.stderr.as_str()), (Some(0), ""));
    assert_same(&recv.stdout, feed);
    assert_eq!(place.leftovers(), [""; 0]);
}

fn sender_first(feed: &[u8]) {
    let place = Place::new();
    let input = place.file("input", feed);
    // Too small for all of it: the sender is in the middle when the receiver comes.
    let send = place.start(&["send", "feed", &input, "--capacity", "64KiB"]);
    place.wait_until("feed", |ring| ring.queued() > Some(0));
    let recv = place.run(&["recv", "feed"]);
    assert_eq!((recv.code(), recv.stderr.as_str()), (Some(0), ""));
    assert_eq!(send.finish().code(), Some(0));
    assert_same(&recv.stdout, feed);
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_feed_arrives_byte_for_byte_when_the_receiver_starts_first() {
    receiver_first(&feed());
}

#[test]
fn a_feed_arrives_byte_for_byte_when_the_sender_starts_first() {
    sender_first(&feed());
}

#[test]
fn real_market_data_arrives_byte_for_byte_in_both_orders() {
    let Some(feed) = real_feed() else { return };
    receiver_first(&feed);
    sender_first(&feed);
}

#[test]
fn every_way_of_waiting_works_for_both_sides() {
    let feed = &feed()[..1_000_000];
    for wait in ["spin", "yield", "park"] {
        let place = Place::new();
        let input = place.file("input", feed);
        let send = place.start(&["send", "feed", &input, "--capacity", "64KiB", "--wait", wait]);
        let recv = place.run(&["recv", "feed", "--wait", wait, "--raw", "--capacity", "64KiB"]);
        assert_eq!((recv.code(), send.finish().code()), (Some(0), Some(0)), "{wait}");
        let without_newlines: Vec<u8> = feed.iter().copied().filter(|&byte| byte != b'\n').collect();
        assert_same(&recv.stdout, &without_newlines);
    }
}

#[test]
fn a_line_from_a_slow_input_is_not_held_back() {
    let place = Place::new();
    let mut send = Running::new(place.command(&["send", "slow"]).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    let mut recv = place.start(&["recv", "slow"]);
    let mut stdout = BufReader::new(recv.stdout());
    let (sender, received) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        while stdout.read_line(&mut line).is_ok_and(|len| len > 0) {
            let _ = sender.send(std::mem::take(&mut line));
        }
    });
    for line in ["one\n", "two\n", "\n", "four\n"] {
        stdin.write_all(line.as_bytes()).unwrap();
        // The next line is written only after this one came out at the other end.
        assert_eq!(received.recv_timeout(Duration::from_secs(30)).as_deref(), Ok(line));
    }
    // Half a line is not a record yet.
    stdin.write_all(b"fi").unwrap();
    assert!(received.recv_timeout(Duration::from_millis(50)).is_err());
    stdin.write_all(b"ve").unwrap();
    drop(stdin);
    assert_eq!(received.recv_timeout(Duration::from_secs(30)).as_deref(), Ok("five\n"));
    assert_eq!((send.finish().code(), recv.finish().code()), (Some(0), Some(0)));
}

#[test]
fn an_empty_input_is_an_empty_output() {
    let place = Place::new();
    assert_eq!(place.run(&["send", "empty"]).code(), Some(0));
    assert_eq!(place.leftovers(), ["ringshm.empty"]);
    let recv = place.run(&["recv", "empty"]);
    assert_eq!((recv.code(), recv.stdout.len(), recv.stderr.as_str()), (Some(0), 0, ""));
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn what_nobody_has_received_stays_and_then_goes() {
    let place = Place::new();
    assert_eq!(place.run_with(&["send", "kept"], b"a\nb\n").code(), Some(0));
    assert_eq!(place.run_with(&["send", "kept"], b"c\n").code(), Some(0));
    assert_eq!(place.info("kept")["queued"], 3);
    assert_eq!(place.run(&["recv", "kept"]).stdout, b"a\nb\nc\n");
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_receiver_that_wants_only_some_leaves_the_others() {
    let place = Place::new();
    place.run_with(&["send", "some"], b"1\n2\n3\n4\n5\n");
    assert_eq!(place.run(&["recv", "some", "--count", "2"]).stdout, b"1\n2\n");
    assert_eq!(place.run(&["recv", "some", "--count", "1"]).stdout, b"3\n");
    assert_eq!(place.info("some")["consumer"]["state"], "detached");
    assert_eq!(place.run(&["recv", "some"]).stdout, b"4\n5\n");
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_closed_pipe_is_no_error_and_loses_nothing() {
    let place = Place::new();
    let feed = feed();
    let input = place.file("input", &feed);
    assert_eq!(place.run(&["send", "head", &input, "--capacity", "32MiB"]).code(), Some(0));
    for read in [0, 1000] {
        // Less than a pipe and one write of recv hold: what was in its hands was not released.
        let mut recv = place.start(&["recv", "head"]);
        let mut stdout = recv.stdout();
        assert_same(&read_some(&mut stdout, read), &feed[..read]);
        drop(stdout);
        let recv = recv.finish();
        assert_eq!((recv.code(), recv.stderr.as_str()), (Some(0), ""));
    }
    // One that reads much: whole batches were released, and the next receiver begins at a line that was not lost.
    let mut recv = place.start(&["recv", "head"]);
    let mut stdout = recv.stdout();
    let seen = read_some(&mut stdout, 5_000_000);
    drop(stdout);
    assert_eq!(recv.finish().code(), Some(0));
    let rest = place.run(&["recv", "head"]).stdout;
    assert!(rest.len() < feed.len() && feed.len() - rest.len() <= seen.len() + 65_536);
    assert_same(&rest, &feed[feed.len() - rest.len()..]);
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_receiver_with_nothing_to_do_notices_that_nobody_reads() {
    let place = Place::new();
    let mut recv = place.start(&["recv", "idle"]);
    place.wait_until("idle", |ring| matches!(ring.consumer.state, Peer::Live { .. }));
    drop(recv.stdout());
    let recv = recv.finish();
    assert_eq!((recv.code(), recv.stderr.as_str()), (Some(0), ""));
    place.run_with(&["send", "idle"], b"later\n");
    assert_eq!(place.run(&["recv", "idle"]).stdout, b"later\n");
}

#[test]
fn a_second_receiver_and_a_second_sender_are_refused() {
    let place = Place::new();
    let recv = place.start(&["recv", "mine"]);
    place.wait_until("mine", |ring| matches!(ring.consumer.state, Peer::Live { .. }));
    let second = place.run(&["recv", "mine"]);
    assert_eq!(second.code(), Some(1));
    let expected = format!("ringshm: the ring already has a live consumer, process {}:", recv.pid());
    assert!(second.stderr.starts_with(&expected), "{}", second.stderr);

    let mut send = Running::new(place.command(&["send", "mine"]).stdin(Stdio::piped()));
    place.wait_until("mine", |ring| matches!(ring.producer.state, Peer::Live { .. }));
    let second = place.run(&["send", "mine"]);
    assert_eq!(second.code(), Some(1));
    let expected = format!("ringshm: the ring already has a live producer, process {}:", send.pid());
    assert!(second.stderr.starts_with(&expected), "{}", second.stderr);
    // Neither of the first ones was disturbed.
    send.child.stdin.take().unwrap().write_all(b"still here\n").unwrap();
    assert_eq!(send.finish().code(), Some(0));
    assert_eq!(recv.finish().stdout, b"still here\n");
}

#[test]
fn a_sender_waits_while_the_receiver_is_away() {
    let place = Place::new();
    let feed = feed();
    let input = place.file("input", &feed);
    let send = place.start(&["send", "patient", &input, "--capacity", "64KiB"]);
    let first = place.run(&["recv", "patient", "--count", "20000", "--capacity", "64KiB"]).stdout;
    assert_eq!(lines(&first), 20_000);
    let second = place.run(&["recv", "patient"]).stdout;
    assert_same(&[first, second].concat(), &feed);
    assert_eq!(send.finish().code(), Some(0));
}

#[test]
fn a_summary_is_printed_only_when_asked_for() {
    let place = Place::new();
    let send = place.run_with(&["send", "sum", "--stats"], b"abc\nde\n");
    assert!(send.stderr.starts_with("sent 2 records, 5 bytes in "), "{}", send.stderr);
    let recv = place.run(&["recv", "sum", "--stats"]);
    assert!(recv.stderr.starts_with("received 2 records, 5 bytes in "), "{}", recv.stderr);
    assert_eq!(recv.stdout, b"abc\nde\n");
}

#[test]
fn records_can_be_left_out_but_not_more_than_there_are() {
    let place = Place::new();
    assert_eq!(place.run_with(&["send", "skip", "--skip", "2"], b"1\n2\n3\n4").code(), Some(0));
    assert_eq!(place.run(&["recv", "skip"]).stdout, b"3\n4\n");
    let send = place.run_with(&["send", "skip", "--skip", "5"], b"1\n2\n3\n4");
    assert_eq!(send.code(), Some(1));
    assert_eq!(send.stderr, "ringshm: the input has only 4 records, 5 were to be left out\n");
}
