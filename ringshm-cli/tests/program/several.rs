//! One receiver of several rings: all of each of them, by turns, whatever becomes of the others.

use crate::place::{Finished, Place, Running, assert_same, feed, lines, read_some};
use ringshm::{Peer, Snapshot};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::thread;

/// The lines of each ring, without their tags.
fn untag(output: &[u8]) -> HashMap<String, Vec<u8>> {
    let mut rings: HashMap<String, Vec<u8>> = HashMap::new();
    for line in output.split_inclusive(|&byte| byte == b'\n') {
        let tab = line.iter().position(|&byte| byte == b'\t').expect("a tag ends with a tab");
        let tag = String::from_utf8(line[..tab].to_vec()).expect("a ring's name");
        rings.entry(tag).or_default().extend_from_slice(&line[tab + 1..]);
    }
    rings
}

fn has_live_consumer(ring: &Snapshot) -> bool {
    matches!(ring.consumer.state, Peer::Live { .. })
}

fn assert_quiet(finished: &Finished) {
    assert_eq!((finished.code(), finished.stderr.as_str()), (Some(0), ""));
}

/// A sender that sends what is written to it.
fn sender(place: &Place, arguments: &[&str]) -> Running {
    Running::new(place.command(&[&["send"], arguments].concat()).stdin(Stdio::piped()))
}

fn write(send: &mut Running, bytes: &[u8]) {
    send.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
}

fn close(mut send: Running) {
    drop(send.child.stdin.take());
    assert_quiet(&send.finish());
}

/// The lines of `feed`, of which no two are alike, as the two halves.
fn halves() -> [Vec<u8>; 2] {
    let mut halves = [vec![], vec![]];
    for number in 0..30_000_u32 {
        let line = format!("{number:06} {}\n", "x".repeat(number as usize % 190));
        halves[usize::from(number >= 15_000)].extend_from_slice(line.as_bytes());
    }
    halves
}

fn all_kinds(wait: &str, wakeup: &str) {
    let place = Place::new();
    let feed = feed();
    let input = place.file("input", &feed);
    let rings = ["prices", "mpmc:jobs", "broadcast:news", "latest:status"];
    let recv = ["recv", "--tag", "--follow", "--wait", wait, "--wakeup", wakeup];
    let recv = place.start(&[&recv[..], &rings].concat());
    for ring in ["prices", "jobs", "news", "status"] {
        place.wait_until(ring, has_live_consumer);
    }
    let prices = place.start(&["send", "prices", &input]);
    let halves = halves();
    let jobs: Vec<Running> = (0..2)
        .map(|half| {
            let half = place.file(&format!("half-{half}"), &halves[half]);
            place.start(&["send", "jobs", &half, "--ring", "mpmc"])
        })
        .collect();
    let news = place.start(&["send", "news", &input, "--ring", "broadcast"]);
    let mut status = sender(&place, &["status", "--ring", "latest"]);
    write(&mut status, b"begun\nhalf\ndone\n");
    close(status);
    let recv = recv.finish();
    assert_quiet(&recv);
    for send in jobs.into_iter().chain([prices, news]) {
        assert_quiet(&send.finish());
    }
    assert_eq!(place.leftovers(), [""; 0]);

    let rings = untag(&recv.stdout);
    assert_same(&rings["prices"], &feed);
    assert_same(&rings["news"], &feed);
    // Of a register each change that it had time for, and the last one.
    assert!(rings["status"].ends_with(b"done\n") && lines(&rings["status"]) <= 3);
    // What each of the two sent is in its order.
    let (first, second): (Vec<&[u8]>, Vec<&[u8]>) =
        rings["jobs"].split_inclusive(|&byte| byte == b'\n').partition(|line| line[..6] < b"015000"[..]);
    assert_same(&first.concat(), &halves[0]);
    assert_same(&second.concat(), &halves[1]);
    assert_eq!(rings.len(), 4);
}

#[test]
fn rings_of_all_kinds_are_received_whole_however_one_waits() {
    for (wait, wakeup) in [("spin", "futex"), ("yield", "futex"), ("park", "futex"), ("park", "semaphore")] {
        all_kinds(wait, wakeup);
    }
}

#[test]
fn a_killed_sender_ends_its_own_ring_only() {
    let place = Place::new();
    let feed = feed();
    let input = place.file("input", &feed);
    let recv = place.start(&["recv", "--tag", "killed", "whole", "late"]);
    for ring in ["killed", "whole", "late"] {
        place.wait_until(ring, has_live_consumer);
    }
    // The one that is killed has an input without end.
    let mut killed = sender(&place, &["killed"]);
    let pid = killed.pid();
    write(&mut killed, &feed[..2_000_000]);
    let whole = place.start(&["send", "whole", &input]);
    let mut late = sender(&place, &["late"]);
    let recv = thread::spawn(|| recv.finish());
    place.wait_until("killed", |ring| ring.consumer.messages > Some(0));
    killed.kill();
    // The others are received after the receiver has left the ring of the dead one.
    place.wait_until("late", has_live_consumer);
    assert_quiet(&whole.finish());
    while place.leftovers().iter().any(|name| name.ends_with("killed")) {
        thread::yield_now();
    }
    write(&mut late, b"still there\n");
    close(late);

    let recv = recv.join().unwrap();
    assert_eq!(recv.code(), Some(3), "{}", recv.stderr);
    let rings = untag(&recv.stdout);
    let received = &rings["killed"];
    assert_same(received, &feed[..received.len()]);
    let expected = format!(
        "ringshm: killed: the producer, process {pid}, died without closing the ring, after {} records; all of them were \
         received (use --follow to wait for the next producer)\n",
        lines(received)
    );
    assert_eq!(recv.stderr, expected);
    assert_same(&rings["whole"], &feed);
    assert_same(&rings["late"], b"still there\n");
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_follower_of_several_waits_for_the_successors_of_each() {
    let place = Place::new();
    let recv = place.start(&["recv", "--tag", "--follow", "a", "mpmc:b"]);
    for ring in ["a", "b"] {
        place.wait_until(ring, has_live_consumer);
    }
    for (ring, kind) in [("a", "spsc"), ("b", "mpmc")] {
        let mut send = sender(&place, &[ring, "--ring", kind]);
        write(&mut send, b"one\n");
        place.wait_until(ring, |ring| ring.consumer.messages == Some(1));
        send.kill();
    }
    for (ring, kind) in [("b", "mpmc"), ("a", "spsc")] {
        assert_eq!(place.run_with(&["send", ring, "--ring", kind], b"two\n").code(), Some(0));
    }
    let recv = recv.finish();
    let rings = untag(&recv.stdout);
    assert_same(&rings["a"], b"one\ntwo\n");
    assert_same(&rings["b"], b"one\ntwo\n");
    assert_eq!((recv.code(), recv.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_killed_receiver_of_several_loses_nothing() {
    let place = Place::new();
    let feed = feed();
    let input = place.file("input", &feed);
    let rings = ["a", "b"];
    let senders = rings.map(|ring| place.start(&["send", ring, &input, "--capacity", "1MiB"]));
    let mut recv = place.start(&["recv", "--tag", "a", "b", "--capacity", "1MiB"]);
    // Nobody reads further than this, so it is somewhere in the middle when it is killed.
    let mut stdout = recv.stdout();
    let mut first = read_some(&mut stdout, 5_000_000);
    recv.kill();
    stdout.read_to_end(&mut first).unwrap();
    // It may be cut off within a record, or within a tag.
    first.truncate(first.iter().rposition(|&byte| byte == b'\n').unwrap() + 1);
    let released = rings.map(|ring| place.info(ring)["consumer"]["messages"].as_u64().unwrap());

    let second = place.run(&["recv", "--tag", "a", "b"]);
    assert_quiet(&second);
    senders.into_iter().for_each(|send| assert_quiet(&send.finish()));
    let (first, second) = (untag(&first), untag(&second.stdout));
    for (ring, released) in rings.into_iter().zip(released) {
        let (first, second) = (&first[ring], &second[ring]);
        assert_same(first, &feed[..first.len()]);
        let begin = feed.len() - second.len();
        assert_same(second, &feed[begin..]);
        assert!(begin <= first.len(), "{} bytes of {ring} are missing", begin - first.len());
        assert_eq!(lines(&feed[..begin]) as u64, released, "what was released was written");
    }
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_count_is_for_all_together_and_what_is_left_stays() {
    let place = Place::new();
    for ring in ["a", "b", "c"] {
        let input: String = (0..10).map(|number| format!("{ring}{number}\n")).collect();
        place.run_with(&["send", ring], input.as_bytes());
    }
    let first = place.run(&["recv", "a", "b", "c", "--count", "13"]);
    assert_quiet(&first);
    // All of the first one, which is over and gone, and some of the second.
    assert_eq!(place.leftovers().len(), 2);
    let second = place.run(&["recv", "b", "c"]);
    assert_quiet(&second);
    assert_eq!((lines(&first.stdout), lines(&second.stdout)), (13, 17));
    let mut all: Vec<_> =
        [first.stdout, second.stdout].concat().split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    all.sort();
    let expected: String =
        ["a", "b", "c"].iter().flat_map(|ring| (0..10).map(move |n| format!("{ring}{n}\n"))).collect();
    assert_same(&all.concat(), expected.as_bytes());
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_busy_ring_does_not_keep_the_others_waiting() {
    // With the line of the quiet ring, and one turn of the busy one: what it writes at once, and a longest line.
    const SOON: usize = (256 << 10) + (32 << 10);
    for kind in ["spsc", "mpmc", "broadcast"] {
        let place = Place::new();
        let busy = format!("{kind}:busy");
        let lines: Vec<u8> = b"busy, busy, busy\n".repeat(100_000);
        let input = place.file("input", &lines);
        let capacity = if kind == "mpmc" { "131072" } else { "8MiB" };
        let sent = place.run(&["send", "busy", &input, "--ring", kind, "--capacity", capacity, "--keep"]);
        assert_quiet(&sent);
        place.run_with(&["send", "quiet", "--keep"], b"at last\n");
        let recv = place.run(&["recv", &busy, "quiet", "--count", "100001"]);
        assert_quiet(&recv);
        let found = recv.stdout.windows(8).position(|window| window == b"at last\n");
        assert!(found.is_some_and(|at| at <= SOON), "{kind}: {found:?}");
        assert_eq!(recv.stdout.len(), lines.len() + 8);
    }
}

#[test]
fn the_newest_record_of_a_register_comes_once_beside_a_stream() {
    let place = Place::new();
    place.run_with(&["send", "status", "--ring", "latest", "--keep"], b"old\nnew\n");
    let mut send = sender(&place, &["stream"]);
    let mut recv = place.start(&["recv", "--tag", "latest:status", "stream"]);
    let mut stdout = BufReader::new(recv.stdout());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "status\tnew\n");
    // What comes now is nobody's concern any more.
    place.run_with(&["send", "status", "--ring", "latest", "--keep"], b"newer\n");
    write(&mut send, b"one\n");
    close(send);
    line.clear();
    stdout.read_to_string(&mut line).unwrap();
    assert_eq!(line, "stream\tone\n");
    assert_quiet(&recv.finish());
}

#[test]
fn tags_are_records_before_records_with_lengths() {
    let place = Place::new();
    place.run_with(&["send", "a"], b"\nlong\ttab\n");
    let recv = place.run(&["recv", "a", "--tag", "--len32"]);
    assert_quiet(&recv);
    assert_same(&recv.stdout, b"\x01\0\0\0a\0\0\0\0\x01\0\0\0a\x08\0\0\0long\ttab");
    let refused = place.run(&["recv", "a", "b", "--tag", "--raw"]);
    assert_eq!(refused.code(), Some(2), "{}", refused.stderr);
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn what_is_wrong_with_one_ring_is_told_with_its_name_and_the_others_go_on() {
    let place = Place::new();
    // A length that no record has.
    let mut foreign = ringshm::latest::<[u8; 4096]>("foreign").directory(place.path()).producer().unwrap();
    let mut send = sender(&place, &["good"]);
    let recv = place.start(&["recv", "--tag", "--follow", "latest:foreign", "good"]);
    for ring in ["foreign", "good"] {
        place.wait_until(ring, has_live_consumer);
    }
    foreign.write([0xff; 4096]).unwrap();
    place.wait_until("foreign", |ring| !has_live_consumer(ring));
    write(&mut send, b"goes on\n");
    close(send);
    let recv = recv.finish();
    assert_eq!((recv.code(), recv.stdout.as_slice()), (Some(1), &b"good\tgoes on\n"[..]), "{}", recv.stderr);
    assert!(recv.stderr.starts_with("ringshm: foreign: the register's value is no record"), "{}", recv.stderr);
    assert_eq!(lines(recv.stderr.as_bytes()), 1);
}

#[test]
fn if_one_cannot_be_joined_none_is_and_no_sender_notices() {
    let place = Place::new();
    let mut send = sender(&place, &["free"]);
    write(&mut send, b"one\n");
    place.wait_until("free", |ring| ring.producer.messages == Some(1));
    let taken = place.start(&["recv", "taken"]);
    place.wait_until("taken", has_live_consumer);
    let refused = place.run(&["recv", "free", "taken"]);
    assert_eq!((refused.code(), refused.stdout.len()), (Some(1), 0));
    let expected = format!("ringshm: taken: the ring already has a live consumer, process {}:", taken.pid());
    assert!(refused.stderr.starts_with(&expected), "{}", refused.stderr);
    assert_eq!(place.info("free")["consumer"]["state"], "detached");
    write(&mut send, b"two\n");
    close(send);
    assert_eq!(place.run(&["recv", "free"]).stdout, b"one\ntwo\n");
}

#[test]
fn what_does_not_go_together_is_refused_before_anything_is_made() {
    let place = Place::new();
    for (arguments, code, reason) in [
        (&["recv", "a", "b", "mpmc:a"][..], 2, "a is given twice"),
        (&["recv", "a", "shm://a"], 2, "a is given twice"),
        (&["recv", "a", "mpmc:b", "--lossy"], 2, "--lossy needs --ring broadcast"),
        (&["recv", "a", "mpmc:b", "--capacity", "64"], 2, "--capacity is in records with --ring mpmc"),
        (&["recv", "latest:a", "latest:b", "--capacity", "64"], 2, "--capacity needs --ring spsc"),
        (&["recv", "a", "queue:b"], 1, "\"queue:b\" names no channel: \"queue\" is no scheme"),
    ] {
        let refused = place.run(arguments);
        assert_eq!(refused.code(), Some(code), "{arguments:?}");
        assert!(refused.stderr.starts_with(&format!("ringshm: {reason}")), "{}", refused.stderr);
    }
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn the_summary_has_each_ring_and_all() {
    let place = Place::new();
    place.run_with(&["send", "a"], b"abc\nde\n");
    place.run_with(&["send", "b"], b"f\n");
    let recv = place.run(&["recv", "a", "b", "--stats"]);
    for expected in [
        "a: received 2 records, 5 bytes in ",
        "b: received 1 records, 1 bytes in ",
        "\nreceived 3 records, 6 bytes in ",
    ] {
        assert!(recv.stderr.contains(expected), "{}", recv.stderr);
    }
}

#[test]
fn a_receiver_of_several_with_nothing_to_do_notices_that_nobody_reads() {
    let place = Place::new();
    let mut recv = place.start(&["recv", "a", "b"]);
    for ring in ["a", "b"] {
        place.wait_until(ring, has_live_consumer);
    }
    drop(recv.stdout());
    assert_quiet(&recv.finish());
    place.run_with(&["send", "b"], b"later\n");
    assert_eq!(place.run(&["recv", "b"]).stdout, b"later\n");
}

#[test]
fn output_that_cannot_be_written_ends_all_and_stays_in_its_ring() {
    let place = Place::new();
    for ring in ["a", "b"] {
        place.run_with(&["send", ring], b"kept\n");
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let recv = Running::new(place.command(&["recv", "a", "b"]).stdout(full)).finish();
    assert_eq!(recv.code(), Some(1));
    assert!(recv.stderr.starts_with("ringshm: writing to standard output: "), "{}", recv.stderr);
    assert_eq!(lines(recv.stderr.as_bytes()), 1);
    assert_eq!(place.run(&["recv", "a", "b"]).stdout, b"kept\nkept\n");
    assert_eq!(place.leftovers(), [""; 0]);
}
