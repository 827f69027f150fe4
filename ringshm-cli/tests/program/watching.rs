//! `stat`, `gc`, `top`: who takes part in a ring, what they have counted, and what is left of them.

use crate::place::{Place, Running, feed, lines};
use ringshm::{Peer, Role};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::thread;

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn info_shows_every_lane() {
    let place = Place::new();
    place.run_with(&["send", "jobs", "--ring", "mpmc"], b"1\n2\n3\n");
    place.run_with(&["send", "jobs", "--ring", "mpmc"], b"4\n");
    place.run(&["recv", "jobs", "--ring", "mpmc", "--count", "1"]);
    let info = place.info("jobs");
    let lanes = info["lanes"].as_array().unwrap();
    assert_eq!(lanes.len(), 2, "{lanes:?}");
    for (lane, role, index, state, messages, generation) in
        [(&lanes[0], "producer", 0, "closed", 4, 2), (&lanes[1], "consumer", 64, "detached", 1, 1)]
    {
        let found = (&lane["role"], &lane["lane"], &lane["state"], &lane["messages"], &lane["generation"]);
        let expected: (Value, Value, Value, Value, Value) =
            (role.into(), index.into(), state.into(), messages.into(), generation.into());
        assert_eq!(found, (&expected.0, &expected.1, &expected.2, &expected.3, &expected.4));
    }
    assert_eq!((&info["queued"], &info["max_producers"]), (&3.into(), &64.into()));
}

#[test]
fn stat_has_every_counter_in_one_line_per_look() {
    let place = Place::new();
    let mut send = Running::new(place.command(&["send", "b", "--ring", "broadcast"]).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    let recv = place.start(&["recv", "b", "--ring", "broadcast"]);
    place.wait_until("b", |ring| matches!(ring.consumer.state, Peer::Live { .. }));
    stdin.write_all(b"one\ntwo\n").unwrap();
    place.wait_until("b", |ring| ring.participants_of(Role::Consumer).all(|lane| lane.messages == Some(2)));
    let stat = place.run(&["stat", "b", "--every", "0.01", "--count", "3", "--format", "json"]);
    assert_eq!((stat.code(), stat.stderr.as_str()), (Some(0), ""));
    let looks = json_lines(&stat.stdout);
    assert_eq!(looks.len(), 3);
    for look in &looks {
        for (pointer, expected) in [
            ("/name", Value::from("b")),
            ("/kind", "broadcast records".into()),
            ("/sent", 2.into()),
            ("/received", 2.into()),
            ("/queued", 0.into()),
            ("/used", 0.into()),
            ("/lost", 0.into()),
            ("/torn", 0.into()),
            ("/redelivered", 0.into()),
            ("/evicted", 0.into()),
            ("/lanes/0/pid", send.pid().into()),
            ("/lanes/0/stopped", false.into()),
            ("/lanes/0/lag", Value::Null),
            ("/lanes/1/pid", recv.pid().into()),
            ("/lanes/1/lag", 0.into()),
            ("/lanes/1/claimed", 0.into()),
        ] {
            assert_eq!(look.pointer(pointer), Some(&expected), "{pointer} of {look}");
        }
    }
    assert!(looks[0]["time"].as_u64() < looks[2]["time"].as_u64());
    let table = String::from_utf8(place.run(&["stat", "b"]).stdout).unwrap();
    assert!(table.starts_with("b: broadcast records, 2 sent, 2 received, 0 queued, 0.0 % used\n"), "{table}");
    let table = String::from_utf8(place.run(&["stat", "b", "--every", "0.01", "--count", "2"]).stdout).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
    // It ends when the ring is gone, and that is no error.
    let mut watch = place.start(&["stat", "b", "--every", "0.01", "--format", "json"]);
    let mut looks = BufReader::new(watch.stdout());
    looks.read_line(&mut String::new()).unwrap();
    drop(stdin);
    assert_eq!((send.finish().code(), recv.finish().code()), (Some(0), Some(0)));
    looks.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(watch.finish().code(), Some(0));
    assert_eq!(place.run(&["stat", "b"]).code(), Some(1));
}

#[test]
fn a_message_of_a_dead_receiver_is_counted_as_redelivered() {
    let place = Place::new();
    let arguments = ["feed", "--ring", "mpmc", "--max-message", "32KiB", "--capacity", "64"];
    let input = place.file("input", &feed()[..1_000_000]);
    let _send = place.start(&[&["send"], &arguments[..], &[&input]].concat());
    // Nobody reads what it writes, so it has one in its hands soon.
    let victim = place.start(&[&["recv"], &arguments[..]].concat());
    place.wait_until("feed", |ring| {
        ring.used() == 64
            && ring.participants_of(Role::Consumer).any(|lane| lane.claim.is_some_and(|claim| claim.count == 1))
    });
    victim.kill();
    let recv = place.run(&[&["recv"], &arguments[..]].concat());
    assert_eq!(recv.code(), Some(0));
    assert_eq!(recv.stderr, "ringshm: 1 records were redelivered: a receiver that died may have written them, too\n");
}

/// One look of `stat`.
fn stat(place: &Place, ring: &str) -> Value {
    serde_json::from_slice(&place.run(&["stat", ring, "--format", "json"]).stdout).unwrap()
}

#[test]
fn stat_counts_a_redelivery() {
    let place = Place::new();
    let arguments = ["feed", "--ring", "mpmc", "--max-message", "32KiB", "--capacity", "64"];
    let mut send = Running::new(place.command(&[&["send"], &arguments[..]].concat()).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        stdin.write_all(&feed()[..1_000_000]).unwrap();
        stdin
    });
    let victim = place.start(&[&["recv"], &arguments[..]].concat());
    place.wait_until("feed", |ring| {
        ring.used() == 64
            && ring.participants_of(Role::Consumer).any(|lane| lane.claim.is_some_and(|claim| claim.count == 1))
    });
    assert_eq!(stat(&place, "feed")["redelivered"], 0);
    victim.kill();
    let mut recv = place.start(&[&["recv"], &arguments[..]].concat());
    let mut stdout = recv.stdout();
    let reader = thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    place.wait_until("feed", |ring| ring.participants.iter().any(|lane| lane.redelivered == 1));
    assert_eq!(stat(&place, "feed")["redelivered"], 1);
    drop(writer.join().unwrap());
    reader.join().unwrap().unwrap();
    assert_eq!((send.finish().code(), recv.finish().code()), (Some(0), Some(0)));
}

#[test]
fn stat_counts_an_eviction_and_shows_who_was_evicted() {
    let place = Place::new();
    let arguments = ["b", "--ring", "broadcast", "--capacity", "64KiB"];
    // Nobody reads what it writes.
    let recv = place.start(&[&["recv"], &arguments[..]].concat());
    place.wait_until("b", |ring| matches!(ring.consumer.state, Peer::Live { .. }));
    let send = [&["send"], &arguments[..], &["--evict-after", "0.05"]].concat();
    let mut send = Running::new(place.command(&send).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    stdin.write_all(&feed()[..1_000_000]).unwrap();
    place.wait_until("b", |ring| ring.participants.iter().any(|lane| lane.evicted == 1));
    let look = stat(&place, "b");
    assert_eq!((&look["evicted"], &look["lanes"][1]["state"]), (&1.into(), &"evicted".into()), "{look}");
    assert_eq!(look["lanes"][1]["pid"], recv.pid());
    drop(stdin);
    assert_eq!((send.finish().code(), recv.finish().code()), (Some(0), Some(1)));
}

fn verdicts(place: &Place, arguments: &[&str]) -> Vec<(String, String, bool)> {
    let gc = place.run(&[&["gc", "--format", "json"], arguments].concat());
    assert_eq!((gc.code(), gc.stderr.as_str()), (Some(0), ""));
    let finds: Vec<Value> = serde_json::from_slice(&gc.stdout).unwrap();
    let word = |find: &Value, name: &str| find[name].as_str().unwrap().to_owned();
    finds.iter().map(|find| (word(find, "name"), word(find, "verdict"), find["removed"].as_bool().unwrap())).collect()
}

#[test]
fn gc_removes_what_is_over_and_nothing_else() {
    let place = Place::new();
    // The last ones to leave were killed, after everything was received.
    for ring in ["spsc", "mpmc", "broadcast"] {
        let name = format!("over-{ring}");
        let mut send = Running::new(place.command(&["send", &name, "--ring", ring]).stdin(Stdio::piped()));
        let mut recv = place.start(&["recv", &name, "--ring", ring]);
        send.child.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
        BufReader::new(recv.stdout()).read_line(&mut String::new()).unwrap();
        place.wait_until(&name, |ring| {
            ring.consumer.messages == Some(1) && ring.participants.iter().all(|lane| lane.claim.is_none())
        });
        recv.kill();
        send.kill();
    }
    place.run_with(&["send", "waiting"], b"one\ntwo\n");
    place.run_with(&["send", "empty"], b"");
    place.run_with(&["send", "kept", "--keep"], b"one\n");
    place.run(&["recv", "kept", "--count", "1"]);
    let mut stopped = Running::new(place.command(&["send", "used"]).stdin(Stdio::piped()));
    place.wait_until("used", |ring| matches!(ring.producer.state, Peer::Live { .. }));
    kill_process(Pid::from_child(&stopped.child), Signal::STOP).unwrap();
    std::fs::write(place.path().join("ringshm.broken"), vec![0xee; 8192]).unwrap();
    let unfinished = place.path().join(".ringshm.new-1-2");
    std::fs::write(&unfinished, vec![0; 4096]).unwrap();
    let in_the_making = std::fs::File::create(place.path().join(".ringshm.new-1-3")).unwrap();

    let expected = |force: bool, with_garbage: bool| {
        let all = [
            ("broken", "unusable", false),
            ("empty", "never received", force),
            ("kept", "unfinished", force),
            ("over-broadcast", "over", true),
            ("over-mpmc", "over", true),
            ("over-spsc", "over", true),
            ("used", "in use", false),
            ("waiting", "undelivered", force),
            (".ringshm.new-1-2", "never finished", true),
            (".ringshm.new-1-3", "in use", false),
        ];
        let is_there = |verdict: &str| with_garbage || !matches!(verdict, "over" | "never finished");
        let all = all.iter().filter(|(_, verdict, _)| is_there(verdict));
        all.map(|&(name, verdict, removed)| (name.to_owned(), verdict.to_owned(), removed)).collect::<Vec<_>>()
    };
    let before = place.leftovers();
    assert_eq!(verdicts(&place, &["--dry-run"]), expected(false, true));
    assert_eq!(verdicts(&place, &["--dry-run", "--force"]), expected(true, true));
    assert_eq!(place.leftovers(), before, "nothing was removed");
    assert_eq!(verdicts(&place, &[]), expected(false, true));
    assert!(!unfinished.exists());
    assert_eq!(verdicts(&place, &[]), expected(false, false));
    assert_eq!(place.run(&["recv", "waiting"]).stdout, b"one\ntwo\n");
    assert_eq!(place.run_with(&["send", "waiting"], b"one\n").code(), Some(0));
    let table = String::from_utf8(place.run(&["gc", "--force"]).stdout).unwrap();
    assert!(table.contains("removed  waiting") && table.contains("1 messages wait to be received"), "{table}");
    let mut left = place.leftovers();
    left.sort();
    assert_eq!(left, [".ringshm.new-1-3", "ringshm.broken", "ringshm.used"]);
    drop(in_the_making);
    kill_process(Pid::from_child(&stopped.child), Signal::CONT).unwrap();
    drop(stopped.child.stdin.take());
    assert_eq!(stopped.finish().code(), Some(0));
}

/// A sample's participants: process and status.
fn statuses(sample: &Value) -> Vec<(u64, String)> {
    let rings = sample["rings"].as_array().unwrap();
    let all = rings.iter().flat_map(|ring| ring["participants"].as_array().unwrap());
    all.filter_map(|one| Some((one["pid"].as_u64()?, one["status"].as_str()?.to_owned()))).collect()
}

fn status_of(sample: &Value, process: &Running) -> String {
    let pid = u64::from(process.pid());
    let all = statuses(sample);
    all.iter().find(|(other, _)| *other == pid).unwrap_or_else(|| panic!("{pid} is not in {sample}")).1.clone()
}

#[test]
fn top_tells_the_dead_the_stopped_the_stalled_and_the_slow_apart() {
    let place = Place::new();
    let broadcast = ["feed", "--ring", "broadcast", "--capacity", "64KiB"];
    let mut send = Running::new(place.command(&[&["send"], &broadcast[..]].concat()).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    let start = || place.start(&[&["recv"], &broadcast[..]].concat());
    let (mut slow, dead) = (start(), start());
    let live = |count| {
        place.wait_until("feed", |ring| {
            ring.participants_of(Role::Consumer).filter(|lane| matches!(lane.state, Peer::Live { .. })).count() == count
        });
    };
    live(2);
    let pid_of_dead = u64::from(dead.pid());
    dead.kill();
    // Much of the time it sleeps, and is behind by a whole ring: whoever reads its output is slow.
    let mut slow_out = slow.stdout();
    // It was in the middle of writing a record when nobody read on.
    let stalled = place.start(&["recv", "jobs", "--ring", "mpmc", "--max-message", "1MiB", "--capacity", "4"]);
    place.wait_until("jobs", |ring| matches!(ring.consumer.state, Peer::Live { .. }));
    let stopped = place.start(&["recv", "jobs", "--ring", "mpmc", "--max-message", "1MiB", "--capacity", "4"]);
    place.wait_until("jobs", |ring| ring.participants_of(Role::Consumer).count() == 2);
    kill_process(Pid::from_child(&stopped.child), Signal::STOP).unwrap();
    place.run_with(&["send", "jobs", "--ring", "mpmc", "--max-message", "1MiB", "--capacity", "4"], &[b'x'; 1 << 20]);
    place.wait_until("jobs", |ring| ring.participants_of(Role::Consumer).any(|lane| lane.claim.is_some()));

    let writer = thread::spawn(move || {
        let feed = feed();
        while stdin.write_all(&feed).is_ok() {}
    });
    let reader = thread::spawn(move || {
        let mut part = [0; 4096];
        // A test that is over kills the process at the other end.
        while slow_out.read(&mut part).is_ok_and(|read| read > 0) {
            thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let top = place.start(&["top", "--batch", "--every", "0.5", "--format", "json"]);
    let mut top = top;
    let mut samples = BufReader::new(top.stdout());
    let is_told_apart = |sample: &Value| {
        statuses(sample).contains(&(pid_of_dead, "dead".to_owned()))
            && status_of(sample, &slow) == "slow"
            && status_of(sample, &stopped) == "stopped"
            && status_of(sample, &stalled) == "stalled"
            && ["alive", "idle"].contains(&status_of(sample, &send).as_str())
    };
    let mut seen = Vec::new();
    // Buffers fill up first. A line takes half a second.
    let found = (0..60).any(|_| {
        let mut line = String::new();
        samples.read_line(&mut line).unwrap();
        let sample: Value = serde_json::from_str(&line).unwrap();
        seen.push(statuses(&sample));
        is_told_apart(&sample)
    });
    assert!(found, "{seen:?}");
    top.kill();
    let table = String::from_utf8(place.run(&["top", "-b", "--count", "1", "--every", "0.2"]).stdout).unwrap();
    let words = |process: &Running| {
        let pid = process.pid().to_string();
        let line = table.lines().find(|line| line.split_whitespace().any(|word| word == pid));
        line.unwrap_or_else(|| panic!("{table}")).split_whitespace().nth(4).unwrap().to_owned()
    };
    assert_eq!((words(&stopped).as_str(), words(&stalled).as_str()), ("stopped", "stalled"), "{table}");
    drop((send, slow));
    writer.join().unwrap();
    reader.join().unwrap();
}

#[test]
fn top_ends_quietly_and_says_what_it_needs() {
    let place = Place::new();
    let refused = place.run(&["top"]);
    assert_eq!(refused.code(), Some(2));
    assert!(refused.stderr.contains("no terminal: use --batch"), "{}", refused.stderr);
    let missing = place.run(&["top", "--batch", "nothing"]);
    assert_eq!(missing.code(), Some(1));
    assert!(missing.stderr.starts_with("ringshm: there is no ring at "), "{}", missing.stderr);
    place.run_with(&["send", "words"], b"a\nb\n");
    let top = place.run(&["top", "--batch", "words", "--count", "2", "--every", "0.01", "--format", "json"]);
    let samples = json_lines(&top.stdout);
    assert_eq!(samples.len(), 2);
    for (pointer, expected) in [
        ("/rings/0/name", Value::from("words")),
        ("/rings/0/sent", 2.into()),
        ("/rings/0/sent_per_second", 0.0.into()),
        ("/rings/0/queued", 2.into()),
        ("/rings/0/participants/0/status", "closed".into()),
    ] {
        assert_eq!(samples[1].pointer(pointer), Some(&expected), "{pointer}");
    }
    let mut top = place.start(&["top", "--batch", "--every", "0.01"]);
    let mut stdout = BufReader::new(top.stdout());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let top = top.finish();
    assert_eq!((top.code(), top.stderr.as_str()), (Some(0), ""));
    assert_eq!(lines(&place.run(&["top", "-b", "--count", "1", "--every", "0.01"]).stdout), 3);
}
