//! The benchmark measures what it says, and leaves nothing behind when it is interrupted. How fast anything is, is not tested.

use crate::place::{Finished, Place};
use ringshm_benches::site;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Two at a time would only wait for each other's processors.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is measured, and who plays in it.
fn expected() -> Vec<(Value, &'static [&'static str])> {
    let group = |topic: &str, cargo: Value, batch: u32, sleeping: bool| {
        json!({
            "topic": topic, "threads": false, "crew": {"producers": 1, "consumers": 1}, "cargo": cargo, "batch": batch,
            "capacity": 256, "rate": 0.0, "sleeping": sleeping,
        })
    };
    let all = &["ringshm", "pipe", "unix socket", "memcpy"];
    vec![
        (group("Throughput", json!({"Messages": 8}), 1, false), all),
        (group("Throughput", json!({"Messages": 64}), 1, false), all),
        (group("Throughput", json!({"Messages": 1024}), 1, false), all),
        (group("Throughput", json!({"Messages": 64}), 64, false), all),
        (group("Throughput", json!("Feed"), 64, false), all),
        (group("RoundTrip", json!({"Messages": 64}), 1, false), &["ringshm", "two lines"]),
        (group("RoundTrip", json!({"Messages": 64}), 1, true), &["ringshm", "pipe", "unix socket", "futex"]),
    ]
}

fn short_bench(place: &Place, arguments: &[&str]) -> Finished {
    let bench = place.run(&[&["bench", "--rounds", "1", "--seconds", "1"], arguments].concat());
    assert_eq!(bench.code(), Some(0), "{}", bench.stderr);
    // No run failed.
    let unexpected: Vec<&str> = bench.stderr.lines().filter(|line| !line.contains("without optimisation")).collect();
    assert_eq!(unexpected, [""; 0]);
    assert_eq!(place.leftovers(), [""; 0]);
    bench
}

#[test]
fn everything_is_measured_and_printed_as_json() {
    let _alone = alone();
    let place = Place::new();
    let bench = short_bench(&place, &["--json", "--capacity", "256"]);
    let sections: Vec<Value> = serde_json::from_slice(&bench.stdout).unwrap();
    for (title, names) in expected() {
        // A group has a section for each distance of the processors, and these may move between two runs.
        let mut found = Vec::new();
        for section in sections.iter().filter(|section| section["title"] == title) {
            assert!(section["distance"].as_f64().unwrap() > 0.0, "{section}");
            found.extend(section["lines"].as_array().unwrap().iter().cloned());
        }
        let mut rows: Vec<&str> = found.iter().map(|row| row["name"].as_str().unwrap()).collect();
        rows.sort_by_key(|row| names.iter().position(|name| name == row));
        assert_eq!(rows, names, "{title}");
        for row in &found {
            assert!(row["median"].as_f64().unwrap() > 0.0, "{row}");
            assert_eq!(row["rounds"], 1, "{row}");
        }
    }
    assert!(sections.iter().all(|section| expected().iter().any(|(title, _)| *title == section["title"])));
}

#[test]
fn the_table_names_the_machine_and_the_long_form() {
    let _alone = alone();
    let place = Place::new();
    let text = String::from_utf8(short_bench(&place, &[]).stdout).unwrap();
    let first = text.lines().next().unwrap();
    let kernel = rustix::system::uname();
    assert!(first.ends_with(&format!("Linux {}", kernel.release().to_str().unwrap())), "{first}");
    assert!(first.contains(&format!("{} processors", sched_getaffinity(None).unwrap().count())), "{first}");
    assert!(text.contains("\nround trip, processes, 64 B, spinning ["), "{text}");
    assert!(text.lines().last().unwrap().contains("cargo xtask bench"), "{text}");
    assert!(!text.contains("not measured") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_bench_on_one_processor_says_what_it_needs() {
    let all = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|&processor| all.is_set(processor)).unwrap());
    let place = Place::new();
    // This thread's processors are those of what it starts.
    sched_setaffinity(None, &one).unwrap();
    let bench = place.run(&["bench"]);
    assert_eq!((bench.code(), bench.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(bench.stderr.starts_with("ringshm: only one processor can be used"), "{}", bench.stderr);
}

#[test]
fn channels_are_measured_side_by_side() {
    let _alone = alone();
    let place = Place::new();
    // Somebody's ring of that name.
    place.run_with(&["send", "jobs"], b"mine\n");
    let (park, short, lossy) = ("shm:?wait=park", "shm://jobs?ring=mpmc&max_message=8", "shm:?ring=broadcast&lossy");
    let plot = place.path().join("channels.svg");
    let bench = place.run(
        &[
            &["bench", park, short, lossy, "--rounds", "1", "--seconds", "1", "--json", "--plot"][..],
            &[plot.to_str().unwrap()],
        ]
        .concat(),
    );
    assert_eq!(bench.code(), Some(0), "{}", bench.stderr);
    let report: Value = serde_json::from_slice(&bench.stdout).unwrap();
    let abilities: Vec<(&str, &str, u64, &str)> = (report["channels"].as_array().unwrap().iter())
        .map(|channel| {
            let of = |key: &str| channel["abilities"][key].as_str().unwrap();
            (
                channel["name"].as_str().unwrap(),
                of("receivers"),
                channel["abilities"]["longest"].as_u64().unwrap(),
                of("loss"),
            )
        })
        .collect();
    assert_eq!(abilities[0].0, park);
    assert_eq!(abilities[1], (short, "many", 8, "never"));
    assert_eq!((abilities[2].0, abilities[2].1, abilities[2].3), (lossy, "all", "any time"));
    // Messages of 4 KiB are too long for one of them.
    for (topic, cargo, batch, names) in [
        ("Throughput", 64, 1, &[park, short, lossy][..]),
        ("Throughput", 64, 64, &[park, short, lossy]),
        ("Throughput", 4096, 1, &[park, lossy]),
        ("RoundTrip", 64, 1, &[park, short, lossy]),
    ] {
        let is_group = |title: &Value| {
            title["topic"] == topic && title["cargo"] == json!({"Messages": cargo}) && title["batch"] == batch
        };
        let sections = report["sections"].as_array().unwrap().iter().filter(|section| is_group(&section["title"]));
        let rows: Vec<&Value> = sections.flat_map(|section| section["lines"].as_array().unwrap()).collect();
        let mut found: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
        found.sort_by_key(|row| names.iter().position(|name| name == row));
        assert_eq!(found, names, "{topic} {cargo} {batch}");
        for row in rows {
            assert!(row["median"].as_f64().unwrap() > 0.0, "{row}");
            assert_eq!(row.get("lost").is_some(), row["name"] == lossy && topic == "Throughput", "{row}");
        }
    }
    let picture = std::fs::read_to_string(&plot).unwrap();
    assert!(picture.contains(">shm:?ring=broadcast&amp;lossy<") && picture.ends_with("</svg>\n"), "{picture}");
    std::fs::remove_file(plot).unwrap();
    assert_eq!(place.run(&["recv", "jobs"]).stdout, b"mine\n");
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn every_mechanism_is_measured_or_says_why_not() {
    let _alone = alone();
    let place = Place::new();
    let bench = place.start(&["bench", "--all", "--rounds", "1", "--seconds", "1", "--json"]);
    let (pid, bench) = (bench.pid(), bench.finish());
    assert_eq!(bench.code(), Some(0), "{}", bench.stderr);
    let report: Value = serde_json::from_slice(&bench.stdout).unwrap();
    let channels = report["channels"].as_array().unwrap();
    let schemes = ["shm:", "pipe:", "fifo:", "mq:", "sysv:", "unix:", "tcp:", "udp:", "signal:"];
    for scheme in schemes {
        let of_scheme = channels.iter().filter(|channel| channel["name"].as_str().unwrap().starts_with(scheme));
        assert!(of_scheme.count() > 0, "{scheme} is not in {report}");
    }
    for channel in channels {
        let (name, can) = (channel["name"].as_str().unwrap(), channel.get("abilities").is_some());
        // A machine may lack queues, or a network. Rings, pipes and Unix sockets it has.
        assert_ne!(can, channel.get("refused").is_some(), "{channel}");
        assert!(can || !["shm:", "pipe:", "fifo:", "unix:"].iter().any(|scheme| name.starts_with(scheme)), "{channel}");
        let rows =
            report["sections"].as_array().unwrap().iter().flat_map(|section| section["lines"].as_array().unwrap());
        let measured = rows.filter(|row| row["name"] == name).count();
        let longest = channel["abilities"]["longest"].as_u64().unwrap_or(0);
        assert_eq!(
            measured,
            if !can {
                0
            } else if longest < 4096 {
                3
            } else {
                4
            },
            "{name}: {}",
            bench.stderr
        );
    }
    assert_eq!(place.leftovers(), [""; 0]);
    assert_eq!(left_by(pid), [""; 0]);
}

/// What a bench of that number has left where channels have their files, and of queues.
fn left_by(bench: u32) -> Vec<String> {
    let prefix = format!("ringshm-bench-{bench}-");
    let files = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let files = files.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with(&prefix));
    // The first column is the key, in decimal.
    let queues = std::fs::read_to_string("/proc/sysvipc/msg").unwrap_or_default();
    let keys: Vec<&str> = queues.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let names =
        (0..1000).flat_map(|run| [0, 1].map(|channel| site::of("sysv:", &format!("{prefix}{run}-{channel}")).unwrap()));
    let names = names.filter(|name| {
        let key = i32::from_str_radix(name.strip_prefix("sysv://0x").unwrap(), 16).unwrap();
        keys.contains(&key.to_string().as_str())
    });
    files.chain(names).collect()
}

#[test]
fn a_channel_that_cannot_be_had_is_a_line_that_says_why() {
    let _alone = alone();
    let place = Place::new();
    let huge = "shm:?capacity=1000000000000000";
    let bench = place.run(&["bench", "shm:", huge, "--rounds", "1", "--seconds", "1"]);
    assert_eq!(bench.code(), Some(0), "{}", bench.stderr);
    let text = String::from_utf8(bench.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with(huge)).unwrap_or_else(|| panic!("{text}"));
    assert!(line.starts_with(&format!("{huge} cannot be had here: ")) && line.contains("bytes"), "{line}");
    assert!(text.lines().any(|line| line.starts_with("shm: ") && line.contains("GB/s")), "{text}");

    let nothing = place.run(&["bench", huge]);
    assert_eq!((nothing.code(), nothing.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(nothing.stderr.contains(&format!("no channel can be opened: {huge}: ")), "{}", nothing.stderr);
    let unknown = place.run(&["bench", "pigeon:"]);
    assert_eq!(unknown.code(), Some(1));
    assert!(unknown.stderr.contains("\"pigeon\" is no scheme"), "{}", unknown.stderr);
    assert_eq!(place.leftovers(), [""; 0]);
}

/// The processes that were started with rings in this place, and what they started. A zombie is none any more.
fn processes_of(place: &Place) -> Vec<u32> {
    let path = place.path().as_os_str().as_bytes();
    let is_here = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable.strip_prefix(b"RINGSHM_DIR=") == Some(path))
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_here).collect()
}

/// Waits until two processes are well into a run: while they start, they end by themselves if the bench is gone.
fn wait_for_a_run(place: &Place) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let (mut processes, mut since) = (Vec::new(), Instant::now());
    while processes.len() < 3 || since.elapsed() < Duration::from_millis(50) {
        assert!(Instant::now() < deadline, "no run begins");
        let now = processes_of(place);
        if now != processes {
            (processes, since) = (now, Instant::now());
        }
    }
}

#[test]
fn an_interrupted_bench_leaves_nothing() {
    let _alone = alone();
    for (interrupt, channel) in
        [(Signal::INT, None), (Signal::TERM, None), (Signal::HUP, None), (Signal::INT, Some("shm:"))]
    {
        let place = Place::new();
        let mut bench = place.start(&[&["bench", "--seconds", "60"][..], channel.as_slice()].concat());
        let pid = bench.pid();
        wait_for_a_run(&place);
        kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), interrupt).unwrap();
        bench.child.wait().unwrap();
        // At once: the bench waits for the end of what it started.
        assert_eq!(processes_of(&place), [0; 0]);
        let bench = bench.finish();
        assert_eq!((bench.status.signal(), bench.stdout.as_slice()), (Some(interrupt.as_raw()), &b""[..]));
        assert_eq!(place.leftovers(), [""; 0]);
        let shared = std::fs::read_dir("/dev/shm").unwrap().flatten().map(|entry| entry.file_name());
        let left: Vec<_> = shared.filter(|name| name.to_string_lossy().contains(&format!("-{pid}-"))).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
