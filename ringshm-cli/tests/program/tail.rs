//! `bench --rt` measures every setting that it is given, and says which ones it is not.

use crate::bench::alone;
use crate::place::{Finished, Place};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set};
use serde_json::Value;

const SETTINGS: [&str; 6] =
    ["nothing", "prefault", "prefault, lock", "huge pages", "SCHED_FIFO", "prefault, lock, huge pages, SCHED_FIFO"];

fn tails(place: &Place, arguments: &[&str]) -> Finished {
    let bench = place.run(&[&["bench", "--rt", "--seconds", "1"], arguments].concat());
    assert_eq!(bench.code(), Some(0), "{}", bench.stderr);
    let unexpected: Vec<&str> = bench.stderr.lines().filter(|line| !line.contains("without optimisation")).collect();
    assert_eq!(unexpected, [""; 0]);
    assert_eq!(place.leftovers(), [""; 0]);
    bench
}

/// The settings that were measured, and those that were refused, with the reasons.
fn found(report: &Value) -> (Vec<String>, Vec<(String, String)>) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut measured = Vec::new();
    // There is a section for each distance of the processors, and these may move between two runs.
    for section in report["sections"].as_array().unwrap() {
        assert_eq!(section["title"]["topic"], "Tail");
        for row in section["lines"].as_array().unwrap() {
            let tail = ["p50", "p90", "p99", "p999", "p9999", "max"].map(|name| row["tail"][name].as_f64().unwrap());
            assert!(tail[0] > 0.0 && tail.is_sorted(), "{row}");
            assert!(row["tail"]["count"].as_u64().unwrap() > 1000, "{row}");
            measured.push(text(&row["name"]));
        }
    }
    measured.sort_by_key(|name| SETTINGS.iter().position(|setting| setting == name));
    measured.dedup();
    let refused = report["refused"].as_array().unwrap();
    (measured, refused.iter().map(|refusal| (text(&refusal["setting"]), text(&refusal["reason"]))).collect())
}

#[test]
fn every_setting_is_measured_or_refused_with_a_reason() {
    let _alone = alone();
    let place = Place::new();
    let report: Value = serde_json::from_slice(&tails(&place, &["--json"]).stdout).unwrap();
    let (measured, refused) = found(&report);
    let mut all: Vec<&str> =
        measured.iter().chain(refused.iter().map(|(setting, _)| setting)).map(String::as_str).collect();
    all.sort_by_key(|name| SETTINGS.iter().position(|setting| setting == name));
    assert_eq!(all, SETTINGS);
    assert_eq!(measured[..2], SETTINGS[..2], "{refused:?}");
    assert!(refused.iter().all(|(_, reason)| !reason.is_empty()), "{refused:?}");
}

#[test]
fn who_has_no_leave_is_told_so_and_gets_the_rest() {
    let _alone = alone();
    let place = Place::new();
    // Rights are a thread's own, and what it starts has no more. The limits are the process's; nobody else here needs them.
    let limits = [Resource::Memlock, Resource::Rtprio].map(|resource| (resource, getrlimit(resource)));
    let bench = std::thread::scope(|scope| scope.spawn(|| without_leave(&place)).join().unwrap());
    for (resource, limit) in limits {
        setrlimit(resource, limit).unwrap();
    }
    let (measured, refused) = found(&serde_json::from_slice(&bench.stdout).unwrap());
    assert!(measured.iter().all(|name| !name.contains("lock") && !name.contains("SCHED_FIFO")), "{measured:?}");
    let reason_of = |name: &str| &refused.iter().find(|(setting, _)| setting == name).unwrap().1;
    assert!(reason_of("prefault, lock").contains("ulimit -l"), "{refused:?}");
    assert!(reason_of("SCHED_FIFO").contains("ulimit -r"), "{refused:?}");
}

fn without_leave(place: &Place) -> Finished {
    let rights = [CapabilitySet::IPC_LOCK, CapabilitySet::SYS_NICE];
    for right in rights {
        if capability_is_in_bounding_set(right).unwrap() && rustix::process::geteuid().is_root() {
            remove_capability_from_bounding_set(right).unwrap();
        }
    }
    for resource in [Resource::Memlock, Resource::Rtprio] {
        let Rlimit { maximum, .. } = getrlimit(resource);
        setrlimit(resource, Rlimit { current: Some(0), maximum }).unwrap();
    }
    tails(place, &["--json"])
}

#[test]
fn the_table_shows_the_tail() {
    let _alone = alone();
    let place = Place::new();
    let text = String::from_utf8(tails(&place, &[]).stdout).unwrap();
    assert!(text.contains("\ntail, processes, 64 B, 200000 messages a second ["), "{text}");
    let columns: Vec<&str> = text.lines().nth(3).unwrap().split_whitespace().collect();
    assert_eq!(columns, ["p50", "p99", "p99.9", "p99.99", "max", "messages", "rounds"]);
    assert!(text.lines().any(|line| line.starts_with("  nothing ") && line.split_whitespace().count() >= 8), "{text}");
    let both = place.run(&["bench", "--rt", "--rounds", "3"]);
    assert_eq!(both.code(), Some(2), "{}", both.stderr);
}
