//! Whoever holds something is killed, stopped, or leaves without letting go.

use crate::open;
use crate::support::{Folder, Process};

/// What a process holds when it dies; what another one sleeps for; and what that one is told.
const MATRIX: [(&str, &str, &str, &str); 5] = [
    ("mutex", "y-hold", "y-lock", "0 in doubt"),
    ("rwlock", "y-hold-write", "y-write", "0 in doubt"),
    ("rwlock", "y-hold-write", "y-read", "0 in doubt"),
    ("rwlock", "y-hold-read", "y-write", "0"),
    ("rwlock", "y-hold-read", "y-read", "0"),
];

fn kill_holder(kind: &str, hold: &str, get: &str, told: &str, how: &str) {
    let folder = Folder::new();
    let mut holder = open(&folder, &[kind]);
    let mut other = open(&folder, &[&format!("{kind} {how}")]);
    assert_eq!(holder.ask(hold), "held");
    other.begin(get);
    if (hold, get) != ("y-hold-read", "y-read") && how == "park" {
        assert!(other.sleeps());
    }
    holder.kill();
    assert_eq!(other.hear(), told, "{kind} {hold} {get} {how}");
    other.finish();
    folder.assert_empty();
}

#[test]
fn a_killed_holder_holds_nobody_up() {
    for (kind, hold, get, told) in MATRIX {
        for how in ["park", "spin", ""] {
            kill_holder(kind, hold, get, told, how);
        }
    }
}

#[test]
fn a_killed_holder_holds_up_nobody_who_comes_later() {
    for (kind, hold, get, told) in MATRIX {
        let folder = Folder::new();
        let mut witness = open(&folder, &[kind]);
        let mut holder = open(&folder, &[kind]);
        assert_eq!(holder.ask(hold), "held");
        holder.kill();
        // It takes the dead one's lane, and is not taken for it.
        let mut successor = open(&folder, &[kind]);
        assert_eq!(witness.ask(get), told, "{kind} {hold} {get}");
        assert_eq!(successor.ask(get), told);
        [witness, successor].into_iter().for_each(Process::finish);
        folder.assert_empty();
    }
}

#[test]
fn who_leaves_with_its_guard_forgotten_is_gone() {
    for (kind, hold, get, told) in MATRIX {
        let folder = Folder::new();
        let mut witness = open(&folder, &[kind]);
        let mut holder = open(&folder, &[kind]);
        assert_eq!(holder.ask(hold), "held");
        assert_eq!(holder.ask("y-leave"), "ok");
        assert_eq!(witness.ask(get), told, "{kind} {hold} {get}");
        [witness, holder].into_iter().for_each(Process::finish);
        folder.assert_empty();
    }
}

#[test]
fn a_stopped_holder_keeps_what_it_has() {
    for (kind, hold, get) in [
        ("mutex", "y-hold", "y-lock-by"),
        ("rwlock", "y-hold-write", "y-read-by"),
        ("rwlock", "y-hold-read", "y-write-by"),
    ] {
        let folder = Folder::new();
        let mut holder = open(&folder, &[kind]);
        let mut other = open(&folder, &[&format!("{kind} park")]);
        assert_eq!(holder.ask(hold), "held");
        holder.stop();
        assert_eq!(other.ask(&format!("{get} 100")), "Timeout", "{kind} {hold}");
        if kind == "mutex" {
            assert_eq!(other.ask("y-try"), "WouldBlock");
        }
        // Nor is a zombie's open file anybody's.
        holder.kill_unreaped();
        assert!(other.ask(&format!("{get} 10000")).starts_with('0'), "{kind} {hold}");
        other.finish();
        folder.assert_empty();
    }
}

#[test]
fn a_second_lock_by_the_same_handle_is_refused() {
    for (kind, hold, get) in
        [("mutex", "y-hold", "y-lock"), ("rwlock", "y-hold-read", "y-write"), ("rwlock", "y-hold-write", "y-read")]
    {
        let folder = Folder::new();
        let mut process = open(&folder, &[kind]);
        assert_eq!(process.ask(hold), "held");
        assert_eq!(process.ask(get), "HeldByCaller");
        process.finish();
        folder.assert_empty();
    }
}

#[test]
fn a_doubt_stays_until_somebody_says_otherwise() {
    for (kind, hold, get) in [("mutex", "y-hold", "y-lock"), ("rwlock", "y-hold-write", "y-read")] {
        let folder = Folder::new();
        let mut holder = open(&folder, &[kind]);
        let mut others = [(); 2].map(|()| open(&folder, &[kind]));
        assert_eq!(holder.ask(hold), "held");
        holder.kill();
        for _ in 0..2 {
            others.iter_mut().for_each(|other| assert_eq!(other.ask(get), "0 in doubt"));
        }
        assert_eq!(others[0].ask("y-mend"), "ok");
        others.iter_mut().for_each(|other| assert_eq!(other.ask(get), "0"));
        others.into_iter().for_each(Process::finish);
        folder.assert_empty();
    }
}

#[test]
fn a_panic_leaves_a_doubt() {
    let heap = ringshm::sync::mutex::<u64>("").heap().expect("a small one");
    let (mut first, mut second) = (heap.participant().expect("a place"), heap.participant().expect("a place"));
    let thread = std::thread::spawn(move || {
        let mut guard = first.lock().expect("a sound lock");
        *guard = 7;
        panic!("as a test of what it leaves");
    });
    assert!(thread.join().is_err());
    let guard = second.lock().expect_err("it is in doubt").into_guard().expect("it is locked");
    assert_eq!(*guard, 7);
}

#[test]
fn a_panic_leaves_a_once_to_another() {
    let heap = ringshm::sync::once("").heap().expect("a small one");
    let (mut first, mut second) = (heap.participant().expect("a place"), heap.participant().expect("a place"));
    let thread = std::thread::spawn(move || first.call_once(|_| panic!("as a test of what it leaves")));
    assert!(thread.join().is_err());
    assert!(!second.is_completed());
    let mut is_interrupted = false;
    second.call_once(|state| is_interrupted = state.is_interrupted()).expect("not forked");
    assert!(is_interrupted && second.is_completed());
}

#[test]
fn a_missing_party_is_waited_for_until_it_is_dead_or_has_left() {
    let folder = Folder::new();
    let mut first = open(&folder, &["barrier parties=2 park"]);
    first.begin("y-meet 1");
    assert!(first.sleeps(), "nobody has come yet");
    let mut second = open(&folder, &["barrier parties=2"]);
    assert_eq!(second.ask("y-meet 1"), "did 0");
    assert_eq!(second.hear(), "met 1");
    assert_eq!(first.hear(), "did 0");
    assert_eq!(first.hear(), "met 1");

    // Stopped: waited for. Gone so that a successor comes: waited for.
    second.stop();
    assert_eq!(first.ask("y-meet 1 50"), "Timeout 0");
    second.resume();
    assert_eq!(second.ask("y-detach"), "ok");
    first.begin("y-meet 1");
    assert!(first.sleeps());
    let mut third = open(&folder, &["barrier parties=2"]);
    assert_eq!(third.ask("y-meet 1"), "did 0");
    assert_eq!(third.hear(), "met 1");
    assert_eq!([first.hear(), first.hear()], ["did 0", "met 1"]);

    // Killed: not waited for, until somebody has its place.
    first.begin("y-meet 1");
    assert!(first.sleeps());
    third.kill();
    assert_eq!(first.hear(), "Broken 0");
    assert_eq!(first.ask("y-meet 1"), "Broken 0");
    let mut fourth = open(&folder, &["barrier parties=2"]);
    first.begin("y-meet 1");
    assert_eq!(fourth.ask("y-meet 1"), "did 0");
    assert_eq!(fourth.hear(), "met 1");
    assert_eq!([first.hear(), first.hear()], ["did 0", "met 1"]);

    // Left for good: the same.
    assert_eq!(fourth.ask("y-leave"), "ok");
    assert_eq!(first.ask("y-meet 1"), "Broken 0");
    [first, second, fourth].into_iter().for_each(Process::finish);
    folder.assert_empty();
}
