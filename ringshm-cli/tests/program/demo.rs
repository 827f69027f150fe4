//! The demonstration runs by itself to its end, and leaves nothing behind however it ends.

use crate::place::{Finished, Place, Running};
use ringshm::Peer;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn report(demo: &Finished) -> Value {
    assert_eq!((demo.code(), demo.stderr.as_str()), (Some(0), ""));
    serde_json::from_slice(&demo.stdout).unwrap()
}

fn assert_complete(report: &Value, messages: u64) {
    let throughput = report["throughput"].as_array().unwrap();
    let over: Vec<&Value> = throughput.iter().map(|result| &result["over"]).collect();
    assert_eq!(over, ["ring", "pipe", "socket"]);
    for result in throughput {
        assert_eq!(result["messages"], messages);
        assert_eq!(
            (&result["lost"], &result["misnumbered"], &result["identical"]),
            (&0.into(), &0.into(), &true.into())
        );
        assert!(result["messages_per_second"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(throughput[0]["bytes"], throughput[1]["bytes"]);
    let trips = report["round_trip"].as_array().unwrap();
    assert_eq!(trips.len(), 6);
    for trip in trips {
        let at = |name: &str| trip[name].as_u64().unwrap();
        assert!(
            at("trips") > 0 && 0 < at("p50_ns") && at("p50_ns") <= at("p99_ns") && at("p999_ns") <= at("max_ns"),
            "{trip}"
        );
    }
}

#[test]
fn a_small_demo_runs_to_its_end_and_leaves_nothing() {
    let place = Place::new();
    let report = report(&place.run(&["demo", "--messages", "40000", "--format", "json"]));
    assert_complete(&report, 40_000);
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn the_feed_goes_over_any_channels() {
    let place = Place::new();
    // One that says when the sender leaves, one that does not, and one that may lose messages.
    let names = ["shm:?ring=broadcast", "unix:?type=dgram", "udp:"];
    let report = report(&place.run(&[&["demo", "--messages", "20000", "--format", "json"], &names[..]].concat()));
    for list in ["throughput", "round_trip"] {
        let over: Vec<&str> =
            report[list].as_array().unwrap().iter().map(|row| row["over"].as_str().unwrap()).collect();
        assert_eq!(over[..3], names, "{list}");
    }
    for row in report["throughput"].as_array().unwrap() {
        let (may_lose, lost) = (row["may_lose"].as_bool().unwrap(), row["lost"].as_u64().unwrap());
        assert_eq!(may_lose, row["over"] == "udp:", "{row}");
        assert_eq!((row["misnumbered"].as_u64(), row["messages"].as_u64().unwrap() + lost), (Some(0), 20_000), "{row}");
        assert!(may_lose || (lost == 0 && row["identical"] == true), "{row}");
    }
    assert_eq!(place.leftovers(), [""; 0]);
    let unknown = place.run(&["demo", "pigeon:"]);
    assert_eq!(unknown.code(), Some(1));
    assert!(unknown.stderr.contains("\"pigeon\" is no scheme"), "{}", unknown.stderr);
}

#[test]
fn the_demo_prints_bars_for_people() {
    let place = Place::new();
    let file = place.file("lines", b"one\n\ntwo\nthree");
    let demo = place.run(&["demo", "--messages", "1000", "--file", &file]);
    assert_eq!((demo.code(), demo.stderr.as_str()), (Some(0), ""));
    let text = String::from_utf8(demo.stdout).unwrap();
    for expected in
        ["the lines of ", "messages  1,000\n", "lost      0\n", "identical", "  ring   #", "  socket #", "p99.9"]
    {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours without a terminal");
}

#[test]
fn the_demo_works_on_one_processor() {
    let all = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|&processor| all.is_set(processor)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    let place = Place::new();
    // This thread's processors are those of what it starts.
    sched_setaffinity(None, &one).unwrap();
    let report = report(&place.run(&["demo", "--messages", "20000", "--format", "json"]));
    assert_eq!(report["processors"], Value::Null);
    assert_complete(&report, 20_000);
    assert_eq!(place.leftovers(), [""; 0]);
}

/// A demo that would run for a minute, once its feed flows, and its child processes.
fn long_demo(place: &Place) -> (Running, [u32; 2]) {
    let demo = place.start(&["demo", "--seconds", "60"]);
    let ring = format!("demo-{}", demo.pid());
    place.wait_until(&ring, |ring| ring.consumer.messages > Some(1000));
    let snapshot = place.info(&ring);
    let pid = |side: &str| u32::try_from(snapshot[side]["pid"].as_u64().unwrap()).unwrap();
    (demo, [pid("producer"), pid("consumer")])
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Waits until a process that is nobody's child here has gone, or is a zombie that its new parent has yet to bury.
fn wait_until_gone(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let is_running = || {
        let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    };
    while is_running() {
        assert!(Instant::now() < deadline, "process {pid} still runs");
        std::thread::yield_now();
    }
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    for interrupt in [Signal::INT, Signal::TERM, Signal::HUP] {
        let place = Place::new();
        let (demo, children) = long_demo(&place);
        signal(demo.pid(), interrupt);
        let demo = demo.finish();
        assert_eq!(demo.status.signal(), Some(interrupt.as_raw()));
        children.into_iter().for_each(wait_until_gone);
        assert_eq!(place.leftovers(), [""; 0]);
        assert_eq!(demo.stdout, b"");
    }
}

#[test]
fn a_demo_whose_child_dies_fails_and_leaves_nothing() {
    for victim in [0, 1] {
        let place = Place::new();
        let (demo, children) = long_demo(&place);
        signal(children[victim], Signal::KILL);
        let demo = demo.finish();
        assert_eq!(demo.code(), Some(1));
        assert!(demo.stderr.starts_with("ringshm: a child process failed"), "{}", demo.stderr);
        children.into_iter().for_each(wait_until_gone);
        assert_eq!(place.leftovers(), [""; 0]);
    }
}

#[test]
fn the_children_of_a_killed_demo_die_with_it() {
    let place = Place::new();
    let (demo, children) = long_demo(&place);
    demo.kill();
    children.into_iter().for_each(wait_until_gone);
    // Nobody was left to remove the ring; anybody can.
    let rings = ringshm::names(&ringshm::Directory::new(place.path())).unwrap();
    for ring in &rings {
        place.wait_until(ring.as_str(), |ring| !matches!(ring.producer.state, Peer::Live { .. }));
        assert_eq!(place.run(&["rm", ring.as_str()]).code(), Some(0));
    }
    assert_eq!(place.leftovers(), [""; 0]);
}
