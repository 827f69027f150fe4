//! `ls`, `info`, `rm`, `doctor`, and what every command does with a wrong name and a closed pipe.

use crate::bench::alone;
use crate::place::{Place, Running};
use ringshm::{Peer, Wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use std::process::Stdio;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn ls_lists_every_ring_and_every_damaged_one() {
    let place = Place::new();
    assert_eq!(place.run(&["ls", "--format", "json"]).stdout, b"[]\n");
    place.run_with(&["send", "words", "--capacity", "64KiB"], b"a\nb\n");
    let numbers = ringshm::spsc::<u32>("numbers").directory(place.path()).capacity(8);
    let mut numbers = numbers.producer().unwrap();
    numbers.try_send(7).unwrap();
    std::fs::write(place.path().join("ringshm.broken"), vec![0xee; 8192]).unwrap();

    let ls = place.run(&["ls"]);
    assert_eq!((ls.code(), ls.stderr.as_str()), (Some(0), ""));
    let table: Vec<Vec<&str>> = text(&ls.stdout).lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(table[0][..3], ["NAME", "KIND", "TYPE"]);
    assert_eq!(table[1], ["broken", "unusable"]);
    let pid = std::process::id().to_string();
    assert_eq!(table[2], ["numbers", "spsc", "slots", "u32", "8", "1", "1", "0", "live", &pid, "vacant"]);
    assert_eq!(table[3], ["words", "spsc", "records", "[u8]", "64", "KiB", "2", "2", "0", "closed", "vacant"]);
    assert!(text(&ls.stdout).contains("broken: this is no usable ring"), "{}", text(&ls.stdout));

    let rings: Value = serde_json::from_slice(&place.run(&["ls", "--format", "json"]).stdout).unwrap();
    assert_eq!(rings[0]["name"], "broken");
    assert!(rings[0]["error"].as_str().unwrap().contains("no usable ring"));
    assert_eq!(
        (&rings[1]["name"], &rings[1]["unit"], &rings[1]["type"]["name"]),
        (&"numbers".into(), &"slots".into(), &"u32".into())
    );
    assert_eq!(rings[2]["queued"], 2);
}

#[test]
fn info_shows_what_scripts_need() {
    let place = Place::new();
    place.run_with(&["send", "words", "--capacity", "64KiB"], b"a\nbb\nccc\n");
    place.run(&["recv", "words", "--count", "1"]);
    let info = place.info("words");
    for (pointer, expected) in [
        ("/name", Value::from("words")),
        ("/kind", "spsc records".into()),
        ("/type/name", "[u8]".into()),
        ("/capacity", 65_536.into()),
        ("/unit", "bytes".into()),
        ("/max_message", 32_760.into()),
        ("/queued", 2.into()),
        // A header of 8 bytes and a payload rounded up to 8, twice.
        ("/used", 32.into()),
        ("/producer/state", "closed".into()),
        ("/producer/messages", 3.into()),
        ("/producer/units", 48.into()),
        ("/producer/generation", 1.into()),
        ("/producer/pid", Value::Null),
        ("/consumer/state", "detached".into()),
        ("/consumer/messages", 1.into()),
        ("/consumer/asleep", false.into()),
    ] {
        assert_eq!(info.pointer(pointer), Some(&expected), "{pointer}");
    }
    assert!(info["age_seconds"].as_f64().unwrap() >= 0.0);
    let table = place.run(&["info", "words"]);
    let table = text(&table.stdout);
    for expected in ["words\n", "spsc records", "2 messages, 32 bytes", "3 messages, 48 bytes", "detached"] {
        assert!(table.contains(expected), "{expected:?} is not in\n{table}");
    }
}

#[test]
fn info_shows_how_sleepers_are_woken() {
    let place = Place::new();
    let ring = |name| ringshm::spsc::<u64>(name).directory(place.path()).capacity(8);
    let _by_futex = ring("by-futex").producer().unwrap();
    let _by_semaphore = ring("by-semaphore").wake_by(ringshm::Wakeup::Semaphore).producer().unwrap();
    for (name, wakeup) in [("by-futex", "futex"), ("by-semaphore", "semaphore")] {
        assert_eq!(place.info(name)["wakeup"], wakeup);
        let table = place.run(&["info", name]);
        let row = text(&table.stdout).lines().find(|line| line.contains("sleepers wake by")).unwrap();
        assert!(row.ends_with(wakeup), "{row}");
    }
}

#[test]
fn info_shows_who_pays_for_sleep() {
    let place = Place::new();
    for (wait, fenced, phrase) in
        [(Wait::default(), false, "by membarrier"), (Wait::Park, true, "by a fence a message")]
    {
        let spsc = ringshm::spsc::<u64>("spsc").directory(place.path()).capacity(8).wait(wait).consumer().unwrap();
        let mpmc = ringshm::mpmc::<u64>("mpmc").directory(place.path()).capacity(8).wait(wait).consumer().unwrap();
        let feed = ringshm::broadcast::<u64>("feed").directory(place.path()).capacity(8).wait(wait).consumer().unwrap();
        for name in ["spsc", "mpmc", "feed"] {
            // The readers of a feed are many, and one that always sleeps is not worth a fence for all of them.
            let (fenced, phrase) = if name == "feed" { (false, "by membarrier") } else { (fenced, phrase) };
            assert_eq!(place.info(name)["consumer"]["fenced"], fenced, "{name}");
            assert_eq!(place.info(name)["producer"]["fenced"], false, "{name}");
            let table = place.run(&["info", name]);
            let row = text(&table.stdout).lines().find(|line| line.contains("sleeping costs")).unwrap();
            assert!(row.ends_with(phrase), "{name}: {row}");
        }
        drop((spsc, mpmc, feed));
        for name in ["spsc", "mpmc", "feed"] {
            place.run(&["rm", name, "--force"]);
        }
    }
}

#[test]
fn the_folder_can_be_given_as_an_argument() {
    let (place, other) = (Place::new(), Place::new());
    let path = other.path().to_str().unwrap();
    place.run_with(&["--dir", path, "send", "there"], b"x\n");
    assert_eq!(place.leftovers(), [""; 0]);
    assert_eq!(other.leftovers(), ["ringshm.there"]);
    assert_eq!(place.run(&["recv", "there", "--dir", path]).stdout, b"x\n");
}

#[test]
fn rm_refuses_a_ring_in_use_unless_forced() {
    let place = Place::new();
    let recv = place.start(&["recv", "busy"]);
    place.wait_until("busy", |ring| matches!(ring.consumer.state, Peer::Live { .. }));
    let rm = place.run(&["rm", "busy"]);
    assert_eq!(rm.code(), Some(1));
    let message = format!("ringshm: busy: a live process, {}, uses the ring", recv.pid());
    assert!(rm.stderr.starts_with(&message), "{}", rm.stderr);
    assert_eq!(place.leftovers(), ["ringshm.busy"]);
    assert_eq!(place.run(&["rm", "--force", "busy"]).code(), Some(0));
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn rm_removes_all_that_it_can() {
    let place = Place::new();
    for name in ["one", "two"] {
        place.run_with(&["send", name], b"x\n");
    }
    std::fs::write(place.path().join("ringshm.broken"), vec![0xee; 8192]).unwrap();
    let rm = place.run(&["rm", "one", "none", "broken", "two"]);
    assert_eq!(rm.code(), Some(1));
    let failures: Vec<&str> = rm.stderr.lines().collect();
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(failures[0].starts_with("ringshm: none: there is no ring"), "{failures:?}");
    assert!(failures[1].starts_with("ringshm: broken: this is no usable ring"), "{failures:?}");
    assert_eq!(place.leftovers(), ["ringshm.broken"]);
    // Too short to be anything.
    std::fs::write(place.path().join("ringshm.short"), b"x").unwrap();
    assert_eq!(place.run(&["rm", "-f", "broken", "short"]).code(), Some(0));
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_wrong_name_is_told() {
    let place = Place::new();
    for arguments in [
        &["send", "a/b"][..],
        &["recv", ""],
        &["recv", ".hidden"],
        &["info", "pipe://x"],
        &["rm", "a b"],
        &["send", "ü"],
    ] {
        let refused = place.run(arguments);
        assert_eq!(refused.code(), Some(1), "{arguments:?}");
        assert!(refused.stderr.contains("names no channel"), "{}", refused.stderr);
    }
    let missing = place.run(&["info", "nothing"]);
    assert_eq!(missing.code(), Some(1));
    assert!(missing.stderr.starts_with("ringshm: there is no ring at "), "{}", missing.stderr);
    let missing = place.run(&["send", "x", "/no/such/file"]);
    assert_eq!(missing.code(), Some(1));
    assert!(missing.stderr.starts_with("ringshm: opening /no/such/file: "), "{}", missing.stderr);
    assert_eq!(place.leftovers(), [""; 0]);
}

/// The status of a check, and what it found.
fn check<'a>(checks: &'a Value, name: &str) -> (&'a str, &'a str) {
    let check = checks.as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
    (check["status"].as_str().unwrap(), check["found"].as_str().unwrap())
}

fn doctor(place: &Place, arguments: &[&str]) -> (Option<i32>, Value) {
    let doctor = place.run(&[&["doctor", "--format", "json"], arguments].concat());
    (doctor.code(), serde_json::from_slice(&doctor.stdout).unwrap())
}

#[test]
fn doctor_finds_nothing_wrong_on_a_tmpfs_and_leaves_nothing() {
    let place = Place::new();
    let (code, checks) = doctor(&place, &[]);
    assert_eq!(code, Some(0));
    for name in ["folder", "unnamed files", "/proc", "a ring", "left over"] {
        assert_eq!(check(&checks, name).0, "ok", "{name}: {}", check(&checks, name).1);
    }
    let (status, found) = check(&checks, "async");
    assert!(status == "ok" && (found.starts_with("io_uring: ") || found.starts_with("thread: ")), "{found}");
    let (status, found) = check(&checks, "huge pages");
    let is_known = match status {
        "ok" => found.starts_with("rings that ask for them get them: "),
        _ => found == "rings that ask for them get small ones" || found.starts_with("not tried: "),
    };
    assert!(is_known, "{found}");
    assert_eq!(place.leftovers(), [""; 0]);
    let table = place.run(&["doctor"]);
    assert!(text(&table.stdout).lines().any(|line| line.starts_with("ok    a ring")), "{}", text(&table.stdout));
}

#[test]
fn doctor_says_why_there_are_no_huge_pages() {
    let place = Place::new();
    // A process takes it from who starts it. What other tests start meanwhile does without, too, and does not mind.
    nix::sys::prctl::set_thp_disable(true).unwrap();
    let (_, checks) = doctor(&place, &[]);
    nix::sys::prctl::set_thp_disable(false).unwrap();
    assert_eq!(check(&checks, "huge pages"), ("warn", "rings that ask for them get small ones"));
    let row = checks.as_array().unwrap().iter().find(|check| check["name"] == "huge pages").unwrap();
    assert!(row["next"].as_str().unwrap().contains("PR_SET_THP_DISABLE"), "{row}");
}

/// What the kernel shows in a file of /proc/sys.
fn sysctl(path: &str) -> u64 {
    std::fs::read_to_string(format!("/proc/sys/{path}")).unwrap().trim().parse().unwrap()
}

#[test]
fn doctor_explains_limits_and_how_to_raise_them() {
    let place = Place::new();
    let (_, checks) = doctor(&place, &[]);
    for (name, says, raise) in [
        ("descriptors", "RLIMIT_NOFILE", "ulimit"),
        ("pipes", "pipe-max-size", "sysctl fs.pipe-max-size"),
        ("POSIX queues", "RLIMIT_MSGQUEUE", "ulimit -q"),
        ("System V queues", "msgmnb", "kernel.msgmax"),
        ("System V memory", "shmmax", "kernel.shmmni"),
        ("System V sems", "SEMMNI", "kernel.sem"),
        ("socket buffers", "rmem_max", "net.core.rmem_max"),
        ("datagrams", "max_dgram_qlen", "net.unix.max_dgram_qlen"),
        ("signals", "RLIMIT_SIGPENDING", "ulimit -i"),
    ] {
        let row = checks.as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        let (found, next) = (row["found"].as_str().unwrap(), row["next"].as_str().unwrap());
        assert!(found.contains(says) && next.contains(raise), "{row}");
        assert!(!found.contains("unknown"), "{row}");
    }
    let (_, found) = check(&checks, "datagrams");
    assert!(found.contains(&format!("holds {} messages", sysctl("net/unix/max_dgram_qlen") + 1)), "{found}");
    let (_, found) = check(&checks, "POSIX queues");
    assert!(found.contains(&format!("mq: holds {} messages", sysctl("fs/mqueue/msg_default"))), "{found}");
}

#[test]
fn doctor_warns_where_no_queue_can_be_made() {
    // A process takes the limit from who starts it. Nobody else makes queues meanwhile.
    let _alone = alone();
    let place = Place::new();
    let before = getrlimit(Resource::Msgqueue);
    setrlimit(Resource::Msgqueue, Rlimit { current: Some(1000), ..before }).unwrap();
    let (code, checks) = doctor(&place, &[]);
    setrlimit(Resource::Msgqueue, before).unwrap();
    let (status, found) = check(&checks, "POSIX queues");
    assert!(status == "warn" && found.contains("no mq: can be made but a smaller one"), "{found}");
    assert_eq!(code, Some(0), "rings do not need them");
}

#[test]
fn doctor_finds_what_is_left_over() {
    let place = Place::new();
    place.run_with(&["send", "forgotten"], b"x\n");
    std::fs::write(place.path().join("ringshm.broken"), vec![0xee; 8192]).unwrap();
    let (code, checks) = doctor(&place, &[]);
    assert_eq!(code, Some(0));
    let left_over = checks.as_array().unwrap().last().unwrap();
    assert_eq!(left_over["status"], "warn");
    let next = left_over["next"].as_str().unwrap();
    assert!(next.contains("ringshm rm forgotten") && next.contains("ringshm rm --force broken"), "{next}");
}

#[test]
fn doctor_fails_where_no_ring_can_be() {
    let place = Place::new();
    let (code, checks) = doctor(&place, &["--dir", "/no/such/folder"]);
    assert_eq!(code, Some(1));
    for name in ["folder", "unnamed files", "a ring", "left over"] {
        assert_eq!(check(&checks, name).0, "fail", "{name}");
    }
}

#[test]
fn no_command_minds_a_closed_pipe() {
    let place = Place::new();
    place.run_with(&["send", "words"], b"x\n");
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["ls"],
        &["ls", "--format", "json"],
        &["info", "words"],
        &["info", "words", "--format", "json"],
        &["doctor"],
        &["recv", "words"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let finished = Running::new(place.command(arguments).stdout(Stdio::from(writer))).finish();
        assert_eq!((finished.code(), finished.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn help_names_the_exit_codes() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    let help = text(&help.stdout);
    assert!(help.contains("3  recv: the producer died without closing the ring"), "{help}");
    assert!(!help.contains("demo-child") && !help.contains(" play"), "{help}");
    assert!(!help.contains('\u{1b}'), "no colours without a terminal");
}
