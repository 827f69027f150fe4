//! The same feed over rings with many participants: what each of them gets, whoever is slow, and whoever is killed.

use crate::place::{Finished, Place, Running, assert_same, feed, lines, read_some, real_feed};
use ringshm::{Peer, Role};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::thread::{self, JoinHandle};

/// Waits until so many of a role are live.
fn wait_for(place: &Place, ring: &str, role: Role, count: usize) {
    let is_live = |state: &Peer| matches!(state, Peer::Live { .. });
    place.wait_until(ring, |ring| ring.participants_of(role).filter(|lane| is_live(&lane.state)).count() == count);
}

/// Reads what it writes, beside the others, to its end.
fn read_all(running: Running) -> JoinHandle<Finished> {
    thread::spawn(|| running.finish())
}

fn assert_quiet(finished: &Finished) {
    assert_eq!((finished.code(), finished.stderr.as_str()), (Some(0), ""));
}

/// Two readers for which the sender waits, and one that has read a line and then does not read until all was sent.
fn broadcast(feed: &[u8]) {
    let place = Place::new();
    let arguments = ["feed", "--ring", "broadcast", "--capacity", "256KiB"];
    let mut send = Running::new(place.command(&[&["send"], &arguments[..]].concat()).stdin(Stdio::piped()));
    wait_for(&place, "feed", Role::Producer, 1);
    let lossless: Vec<Running> = (0..2).map(|_| place.start(&[&["recv"], &arguments[..]].concat())).collect();
    wait_for(&place, "feed", Role::Consumer, 2);
    let mut lossy = place.start(&[&["recv", "--lossy"], &arguments[..]].concat());

    let first = feed.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let mut stdin = send.child.stdin.take().unwrap();
    stdin.write_all(&feed[..first]).unwrap();
    let mut lossy_out = lossy.stdout();
    let begin = read_some(&mut lossy_out, first);
    assert_same(&begin, &feed[..first]);

    let lossless: Vec<_> = lossless.into_iter().map(read_all).collect();
    let rest = feed[first..].to_vec();
    let writer = thread::spawn(move || drop(stdin.write_all(&rest)));
    for reader in lossless {
        let reader = reader.join().unwrap();
        assert_quiet(&reader);
        assert_same(&reader.stdout, feed);
    }
    writer.join().unwrap();
    assert_quiet(&send.finish());

    let mut received = begin;
    lossy_out.read_to_end(&mut received).unwrap();
    let lossy = lossy.finish();
    let missed = missed(&lossy);
    assert_eq!(lossy.code(), Some(0));
    assert!(missed > 0, "a pipe, two buffers and the ring hold less than the feed");
    assert_eq!(lines(&received) + missed, lines(feed));
    assert_is_subsequence(&received, feed);
    assert_eq!(place.leftovers(), [""; 0]);
}

/// What a lossy reader says it missed.
fn missed(finished: &Finished) -> usize {
    let sentence = " records were lost before they were received\n";
    let count = finished.stderr.strip_prefix("ringshm: ").and_then(|text| text.strip_suffix(sentence));
    count.unwrap_or_else(|| panic!("{}", finished.stderr)).replace(',', "").parse().unwrap()
}

/// Every line of `part` is one of `whole`, and in its order.
fn assert_is_subsequence(part: &[u8], whole: &[u8]) {
    let mut rest = whole.split_inclusive(|&byte| byte == b'\n');
    for line in part.split_inclusive(|&byte| byte == b'\n') {
        assert!(rest.any(|other| other == line), "{} is not there, or too early", String::from_utf8_lossy(line));
    }
}

#[test]
fn broadcast_readers_get_everything_and_a_slow_lossy_one_knows_what_it_missed() {
    broadcast(&feed());
}

#[test]
fn real_market_data_is_broadcast() {
    if let Some(feed) = real_feed() {
        broadcast(&feed);
    }
}

/// The lines of `feed`, each with its number before it, so that no two are alike.
fn numbered(feed: &[u8]) -> Vec<u8> {
    let mut numbered = Vec::with_capacity(feed.len() + 8 * lines(feed));
    for (number, line) in feed.split_inclusive(|&byte| byte == b'\n').enumerate() {
        numbered.extend_from_slice(format!("{number:06} ").as_bytes());
        numbered.extend_from_slice(line);
    }
    numbered
}

/// Two senders with half of the feed each, three receivers, of which one is killed and replaced.
fn mpmc(feed: &[u8]) {
    let feed = numbered(feed);
    let middle = feed.len() / 2 + feed[feed.len() / 2..].iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let place = Place::new();
    let arguments = ["feed", "--ring", "mpmc", "--capacity", "128", "--max-message", "32KiB"];
    let recv = || place.start(&[&["recv"], &arguments[..]].concat());
    let receivers = vec![recv(), recv()];
    // One that nobody reads any further is in the middle of writing when it is killed.
    let mut victim = recv();
    wait_for(&place, "feed", Role::Consumer, 3);
    let mut victim_out = victim.stdout();
    let halves = [place.file("first", &feed[..middle]), place.file("second", &feed[middle..])];
    let mut senders: Vec<Running> = halves
        .iter()
        .map(|_| Running::new(place.command(&[&["send"], &arguments[..]].concat()).stdin(Stdio::piped())))
        .collect();
    wait_for(&place, "feed", Role::Producer, 2);
    let writers: Vec<_> = senders
        .iter_mut()
        .zip(halves)
        .map(|(sender, half)| {
            let mut stdin = sender.child.stdin.take().unwrap();
            thread::spawn(move || std::io::copy(&mut std::fs::File::open(half).unwrap(), &mut stdin).unwrap())
        })
        .collect();
    let mut receivers: Vec<_> = receivers.into_iter().map(read_all).collect();
    let mut outputs = vec![read_some(&mut victim_out, 100_000)];
    // It cannot go on writing, and the others cannot go on without the place of the record in its hands.
    let state = Peer::Live { pid: victim.pid() };
    place.wait_until("feed", |ring| {
        let mut held = ring.participants.iter().filter(|lane| lane.state == state).filter_map(|lane| lane.claim);
        held.any(|claim| ring.producer.units == claim.first + ring.geometry.capacity)
    });
    victim.kill();
    victim_out.read_to_end(&mut outputs[0]).unwrap();
    receivers.push(read_all(recv()));
    for sender in senders {
        assert_quiet(&sender.finish());
    }
    for writer in writers {
        writer.join().unwrap();
    }
    let mut redelivered = 0;
    for receiver in receivers {
        let receiver = receiver.join().unwrap();
        assert_eq!(receiver.code(), Some(0), "{}", receiver.stderr);
        redelivered += flagged(&receiver);
        outputs.push(receiver.stdout);
    }
    assert_eq!(place.leftovers(), [""; 0]);

    let mut times: HashMap<&[u8], usize> = feed.split_inclusive(|&byte| byte == b'\n').map(|line| (line, 0)).collect();
    let mut cut_off = 0;
    for line in outputs.iter().flat_map(|output| output.split_inclusive(|&byte| byte == b'\n')) {
        match times.get_mut(line) {
            Some(count) => *count += 1,
            // What the victim was writing.
            None => cut_off += 1,
        }
    }
    assert!(cut_off <= 1, "{cut_off} lines are in no input");
    let missing = times.values().filter(|&&count| count == 0).count();
    let twice: usize = times.values().map(|count| count.saturating_sub(1)).sum();
    assert_eq!(missing, 0, "lines are missing");
    assert!(twice + cut_off <= redelivered, "{twice} came twice, {cut_off} in part, and {redelivered} were flagged");
    assert_eq!(redelivered, 1, "it had one record in its hands");
}

/// How many records a receiver says were redelivered.
fn flagged(finished: &Finished) -> usize {
    let sentence = " records were redelivered: a receiver that died may have written them, too\n";
    match finished.stderr.strip_prefix("ringshm: ").and_then(|text| text.strip_suffix(sentence)) {
        Some(count) => count.parse().unwrap(),
        None => {
            assert_eq!(finished.stderr, "");
            0
        }
    }
}

#[test]
fn the_union_of_what_workers_get_is_what_was_sent_though_one_is_killed() {
    mpmc(&feed());
}

#[test]
fn real_market_data_is_shared_out() {
    if let Some(feed) = real_feed() {
        mpmc(&feed);
    }
}

#[test]
fn a_reader_may_begin_with_what_is_there_or_with_what_comes() {
    let place = Place::new();
    let mut send = Running::new(place.command(&["send", "b", "--ring", "broadcast"]).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    stdin.write_all(b"old\n").unwrap();
    place.wait_until("b", |ring| ring.producer.messages == Some(1));
    let oldest = place.start(&["recv", "b", "--ring", "broadcast", "--from", "oldest"]);
    let newest = place.start(&["recv", "b", "--ring", "broadcast", "--from", "newest"]);
    wait_for(&place, "b", Role::Consumer, 2);
    // Both have set their places.
    place.wait_until("b", |ring| ring.participants_of(Role::Consumer).all(|lane| lane.messages == Some(1)));
    stdin.write_all(b"new\n").unwrap();
    drop(stdin);
    assert_eq!(send.finish().code(), Some(0));
    assert_eq!(oldest.finish().stdout, b"old\nnew\n");
    assert_eq!(newest.finish().stdout, b"new\n");
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_reader_that_holds_the_sender_up_is_evicted_if_the_sender_says_so() {
    let place = Place::new();
    let feed = &feed()[..4_000_000];
    let input = place.file("input", feed);
    let recv = place.start(&["recv", "b", "--ring", "broadcast", "--capacity", "64KiB"]);
    wait_for(&place, "b", Role::Consumer, 1);
    let pid = recv.pid();
    // Nobody reads what it writes.
    let send = place.run(&["send", "b", &input, "--ring", "broadcast", "--capacity", "64KiB", "--evict-after", "0.05"]);
    assert_eq!(send.code(), Some(0));
    let told = format!("ringshm: going on without process {pid} (lane 1), which is ");
    assert!(send.stderr.starts_with(&told), "{}", send.stderr);
    let recv = recv.finish();
    assert_eq!(recv.code(), Some(1));
    assert!(recv.stderr.starts_with("ringshm: this reader was too slow"), "{}", recv.stderr);
    assert_same(&recv.stdout, &feed[..recv.stdout.len()]);
}

#[test]
fn a_register_shows_the_newest_record_as_often_as_one_likes() {
    let place = Place::new();
    let latest = ["status", "--ring", "latest"];
    let run = |command: &str, more: &[&str]| place.run(&[&[command], &latest[..], more].concat());
    let send = |input: &[u8], more: &[&str]| place.run_with(&[&["send"], &latest[..], more].concat(), input);
    assert_eq!(send(b"one\ntwo\n", &["--keep"]).code(), Some(0));
    for _ in 0..2 {
        assert_eq!(run("recv", &[]).stdout, b"two\n");
    }
    assert_eq!(send(b"three", &["--keep"]).code(), Some(0));
    assert_eq!(run("recv", &["--raw"]).stdout, b"three");
    let long = vec![b'x'; 4093];
    let refused = send(&long, &[]);
    assert_eq!(refused.code(), Some(1));
    assert!(
        refused.stderr.contains("record 1 has 4093 bytes and the channel takes at most 4092"),
        "{}",
        refused.stderr
    );
    assert_eq!(send(&long[..4092], &["--keep"]).code(), Some(0));
    assert_eq!(run("recv", &["--raw"]).stdout, &long[..4092]);
    // Without it, a register that somebody has read goes together with its writer.
    assert_eq!(send(b"last", &[]).code(), Some(0));
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_follower_of_a_register_sees_each_change_that_it_has_time_for() {
    let place = Place::new();
    let mut send = Running::new(place.command(&["send", "status", "--ring", "latest"]).stdin(Stdio::piped()));
    let mut recv = place.start(&["recv", "status", "--ring", "latest", "--follow"]);
    let mut stdout = BufReader::new(recv.stdout());
    let mut stdin = send.child.stdin.take().unwrap();
    for line in ["one\n", "two\n", "\n", "two\n"] {
        stdin.write_all(line.as_bytes()).unwrap();
        let mut received = String::new();
        stdout.read_line(&mut received).unwrap();
        assert_eq!(received, line);
    }
    drop(stdin);
    assert_eq!(send.finish().code(), Some(0));
    assert_eq!(recv.finish().code(), Some(0));
}

#[test]
fn the_death_of_a_producer_has_its_exit_code_over_every_ring() {
    for ring in ["mpmc", "broadcast", "latest"] {
        let place = Place::new();
        let mut send = Running::new(place.command(&["send", "dead", "--ring", ring]).stdin(Stdio::piped()));
        send.child.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
        place.wait_until("dead", |ring| ring.producer.messages == Some(1));
        let pid = send.pid();
        send.kill();
        let recv = place.run(&["recv", "dead", "--ring", ring, "--count", "2"]);
        assert_eq!((recv.code(), recv.stdout.as_slice()), (Some(3), &b"one\n"[..]), "{ring}: {}", recv.stderr);
        let message = format!("ringshm: the producer, process {pid}, died without closing the ring, after 1 records");
        assert!(recv.stderr.starts_with(&message), "{ring}: {}", recv.stderr);
    }
}

#[test]
fn rings_of_all_kinds_wake_by_semaphores_if_their_maker_says_so() {
    for ring in ["spsc", "mpmc", "broadcast", "latest"] {
        let place = Place::new();
        let arguments = ["r", "--ring", ring, "--wakeup", "semaphore", "--wait", "park"];
        let mut recv = place.start(&[&["recv", "--follow"], &arguments[..]].concat());
        wait_for(&place, "r", Role::Consumer, 1);
        assert_eq!(place.info("r")["wakeup"], "semaphore");
        let table = String::from_utf8(place.run(&["info", "r"]).stdout).unwrap();
        assert!(
            table.lines().any(|line| line.split_whitespace().eq(["sleepers", "wake", "by", "semaphore"])),
            "{table}"
        );
        // Who does not ask sleeps, and wakes, as the maker chose.
        let mut send = Running::new(place.command(&["send", "r", "--ring", ring]).stdin(Stdio::piped()));
        let (mut stdin, mut stdout) = (send.child.stdin.take().unwrap(), BufReader::new(recv.stdout()));
        for line in ["one\n", "two\n"] {
            stdin.write_all(line.as_bytes()).unwrap();
            let mut received = String::new();
            stdout.read_line(&mut received).unwrap();
            assert_eq!(received, line, "{ring}");
        }
        drop(stdin);
        assert_quiet(&send.finish());
        assert_quiet(&recv.finish());
        // Who asks a ring for semaphores that it does not have is told so.
        place.run_with(&["send", "futex", "--ring", ring, "--keep"], b"1\n");
        let refused = place.run(&["recv", "futex", "--ring", ring, "--wakeup", "semaphore"]);
        assert_eq!(refused.code(), Some(1));
        assert!(refused.stderr.contains("woken by semaphores"), "{}", refused.stderr);
    }
}

#[test]
fn what_does_not_go_with_a_ring_is_refused() {
    let place = Place::new();
    for (arguments, reason) in [
        (&["recv", "x", "--lossy"][..], "--lossy needs --ring broadcast"),
        (&["recv", "x", "--ring", "mpmc", "--from", "newest"], "--from needs --ring broadcast"),
        (&["send", "x", "--max-message", "9"], "--max-message needs --ring mpmc"),
        (&["recv", "x", "--ring", "broadcast", "--at-most-once"], "--at-most-once needs --ring mpmc"),
        (&["send", "x", "--ring", "mpmc", "--resume"], "--resume needs --ring spsc, or --ring broadcast"),
        (&["send", "x", "--ring", "latest", "--capacity", "8"], "--capacity needs --ring spsc, or --ring mpmc"),
        (&["send", "x", "--evict-after", "1"], "--evict-after needs --ring broadcast"),
    ] {
        let refused = place.run(arguments);
        assert_eq!(refused.code(), Some(2), "{arguments:?}");
        assert!(refused.stderr.starts_with(&format!("ringshm: {reason}")), "{}", refused.stderr);
    }
    assert_eq!(place.leftovers(), [""; 0]);
    // The two sides must agree on what the ring is.
    place.run_with(&["send", "x", "--ring", "broadcast"], b"1\n");
    let refused = place.run(&["recv", "x"]);
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr.contains("broadcast records"), "{}", refused.stderr);
}

#[test]
fn a_record_that_is_too_long_for_an_mpmc_ring_is_told_with_what_to_do() {
    let place = Place::new();
    let refused = place.run_with(&["send", "m", "--ring", "mpmc", "--max-message", "4"], b"1234\n12345\n");
    assert_eq!(refused.code(), Some(1));
    let expected = "ringshm: record 2 has 5 bytes and the channel takes at most 4: remove it, and give the next one --max-message 5";
    assert!(refused.stderr.starts_with(expected), "{}", refused.stderr);
    let recv = place.run(&["recv", "m", "--ring", "mpmc"]);
    assert_eq!((recv.code(), recv.stdout.as_slice()), (Some(3), &b"1234\n"[..]));
}
