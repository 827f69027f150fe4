//! System V semaphores, shared with programs in Perl.

use crate::peer::{PATIENCE, Peer, interrupt, report, report_signals, until};
use ringshm_sync::semaphore::sysv::{MOST, Op, OpError, OpTimeoutError, OpenError, SemaphoreSet, TryOpError};
use std::time::Duration;

/// A key that no other test uses, and no set with it afterwards.
struct Key(i32);

impl Key {
    /// `0x52` (R) tells the sets of these tests from others, as `cargo xtask test` does at its end.
    fn new(number: u32) -> Self {
        let key = Self((0x5200_0000 | (std::process::id() & 0xFFFF) << 8 | number) as i32);
        let _ = SemaphoreSet::remove_key(key.0);
        key
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // The test may have removed it.
        let _ = SemaphoreSet::remove_key(self.0);
    }
}

/// What only the children of this file are told.
pub(crate) fn command(words: &[&str]) -> Option<String> {
    let key = |word: &str| i32::from_str_radix(word.trim_start_matches("0x"), 16).expect("a key");
    Some(match *words {
        ["first-of", word] => {
            let set = SemaphoreSet::open_or_create(key(word), 0o600, &[7]).expect("one way or the other");
            set.value(0).expect("it is there").to_string()
        }
        ["hold", word] => {
            let set = SemaphoreSet::open(key(word)).expect("the parent has made it");
            let steps = [Op::wait(0).undone_at_exit(), Op::wait(1).times(2).undone_at_exit()];
            set.apply(&steps).expect("the counts are high enough");
            "held".to_owned()
        }
        ["wait-for", word] => {
            let set = SemaphoreSet::open(key(word)).expect("the parent has made it");
            report(&report_signals());
            format!("{:?}", set.apply(&[Op::wait(0)]).map_err(|error| error.to_string()))
        }
        _ => return None,
    })
}

/// Two semaphores, as `peer` and this process see them.
fn is_one_and_the_same(set: SemaphoreSet, peer: &mut Peer) {
    assert_eq!(set.values().expect("it is there"), [1, 5]);
    assert_eq!(peer.ask("value 1"), "5");
    assert_eq!(peer.ask("try 0,-1"), "ok");
    assert!(matches!(set.try_apply(&[Op::wait(0)]), Err(TryOpError::WouldBlock)));
    set.apply(&[Op::wait(1).times(5)]).expect("it counts five");
    assert_eq!(peer.ask("try 1,-1"), "EAGAIN");

    // Both or none: one post is not enough, and is not taken.
    peer.begin("op 0,-1 1,-1");
    until("the Perl program waits", || set.waiters(0).expect("it is there") == 1);
    set.apply(&[Op::post(0)]).expect("it is there");
    until("it waits for the other", || set.waiters(1).expect("it is there") == 1);
    assert_eq!(set.values().expect("it is there"), [1, 0]);
    set.apply(&[Op::post(1)]).expect("it is there");
    assert_eq!(peer.hear(), "ok");
    assert_eq!(set.values().expect("it is there"), [0, 0]);

    // This one sleeps, and is woken from there.
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| set.apply_timeout(&[Op::wait(0).times(2), Op::wait_for_zero(1)], PATIENCE));
        until("a thread waits", || set.waiters(0).expect("it is there") == 1);
        assert_eq!(peer.ask("try 0,2"), "ok");
        waiter.join().expect("it does not panic").expect("it is there");
    });
    let late = set.apply_timeout(&[Op::wait(0)], Duration::from_millis(10));
    assert!(matches!(late, Err(OpTimeoutError::TimedOut)), "{late:?}");
}

#[test]
fn a_set_is_that_of_a_perl_program() {
    let key = Key::new(1);
    let set = SemaphoreSet::create(key.0, 0o600, &[1, 5]).expect("a free key");
    let mut peer = Peer::in_perl();
    assert_eq!(peer.ask(&format!("get {key}")), "ok");
    is_one_and_the_same(set, &mut peer);
    assert!(matches!(SemaphoreSet::create(key.0, 0o600, &[1]), Err(OpenError::Exists { .. })));
    let other = SemaphoreSet::open_or_create(key.0, 0o600, &[1]);
    assert!(matches!(other, Err(OpenError::Mismatch { found: 2, expected: 1, .. })), "{other:?}");
}

#[test]
fn a_set_that_a_perl_program_made_is_ours() {
    let key = Key::new(2);
    let mut peer = Peer::in_perl();
    assert_eq!(peer.ask(&format!("make {key} 1 5")), "ok");
    let set = SemaphoreSet::open(key.0).expect("it was made");
    assert_eq!(SemaphoreSet::attach(set.id().id).expect("it was made").len(), 2);
    is_one_and_the_same(set, &mut peer);
}

#[test]
fn what_a_killed_process_held_is_given_back() {
    let key = Key::new(3);
    let set = SemaphoreSet::create(key.0, 0o600, &[1, 2]).expect("a free key");
    let mut perl = Peer::in_perl();
    assert_eq!(perl.ask(&format!("get {key}")), "ok");

    // A killed Perl program gives to a thread of ours that waits.
    assert_eq!(perl.ask("try 0,-1,undo 1,-2,undo"), "ok");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| set.apply_timeout(&[Op::wait(0), Op::wait(1).times(2)], PATIENCE));
        until("a thread waits", || set.waiters(0).expect("it is there") == 1);
        perl.kill();
        waiter.join().expect("it does not panic").expect("it was given back");
    });
    set.apply(&[Op::post(0), Op::post(1).times(2)]).expect("it is there");

    // A killed program of ours gives to a Perl program that waits. What was done without undoing stays done.
    let mut ours = Peer::in_rust();
    assert_eq!(ours.ask(&format!("hold {key}")), "held");
    assert_eq!(set.values().expect("it is there"), [0, 0]);
    let mut perl = Peer::in_perl();
    assert_eq!(perl.ask(&format!("get {key}")), "ok");
    perl.begin("op 0,-1 1,-2");
    until("the Perl program waits", || set.waiters(0).expect("it is there") == 1);
    ours.kill();
    assert_eq!(perl.hear(), "ok");
    perl.kill();
    assert_eq!(set.values().expect("it is there"), [0, 0]);
}

#[test]
fn a_waiter_that_is_killed_takes_nothing_along() {
    let key = Key::new(4);
    let set = SemaphoreSet::create(key.0, 0o600, &[0]).expect("a free key");
    let mut peer = Peer::in_rust();
    peer.ask(&format!("wait-for {key}"));
    until("it waits", || set.waiters(0).expect("it is there") == 1);
    peer.kill();
    assert_eq!(set.waiters(0).expect("it is there"), 0);
    set.apply(&[Op::post(0)]).expect("it is there");
    assert_eq!(set.value(0).expect("it is there"), 1);
}

#[test]
fn signals_do_not_end_a_wait() {
    let key = Key::new(10);
    let set = SemaphoreSet::create(key.0, 0o600, &[0]).expect("a free key");
    let mut peer = Peer::in_rust();
    let thread = peer.ask(&format!("wait-for {key}"));
    until("it waits", || set.waiters(0).expect("it is there") == 1);
    interrupt(&mut peer, &thread);
    set.apply(&[Op::post(0)]).expect("it is there");
    assert_eq!(peer.hear(), "Ok(())");
}

#[test]
fn who_waits_for_a_set_that_is_removed_is_told() {
    let key = Key::new(5);
    let set = SemaphoreSet::create(key.0, 0o600, &[0]).expect("a free key");
    let mut perl = Peer::in_perl();
    assert_eq!(perl.ask(&format!("get {key}")), "ok");
    perl.begin("op 0,-1");
    let mut ours = Peer::in_rust();
    ours.ask(&format!("wait-for {key}"));
    until("both wait", || set.waiters(0).expect("it is there") == 2);
    set.remove().expect("it is there");
    assert_eq!(perl.hear(), "EIDRM");
    let told = ours.hear();
    assert!(told.contains("has been removed") && told.contains(&key.to_string()), "{told}");
    // And so is who comes later.
    assert!(matches!(set.apply(&[Op::post(0)]), Err(OpError::Removed { .. })));
    assert!(matches!(set.values(), Err(OpError::Removed { .. })));
    assert!(matches!(set.remove(), Err(OpError::Removed { .. })));
    assert!(matches!(SemaphoreSet::open(key.0), Err(OpenError::NotFound { .. })));
    assert!(matches!(SemaphoreSet::attach(set.id().id), Err(OpenError::NotFound { .. })));
}

#[test]
fn a_set_is_not_used_before_it_has_its_counts() {
    let key = Key::new(6);
    let mut maker = Peer::in_perl();
    assert_eq!(maker.ask(&format!("begin {key} 2")), "ok");
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| SemaphoreSet::open_or_create(key.0, 0o600, &[3, 4]));
        // The opener looks again and again: it has looked, or will; either way it must not come back before the set is finished.
        assert!(!opener.is_finished());
        assert_eq!(maker.ask("finish 8 9"), "ok");
        let set = opener.join().expect("it does not panic").expect("it was finished");
        assert_eq!(set.values().expect("it is there"), [8, 9]);
    });
}

#[test]
fn a_set_whose_maker_was_killed_half_way_is_an_error() {
    let key = Key::new(7);
    let mut maker = Peer::in_perl();
    assert_eq!(maker.ask(&format!("begin {key} 1")), "ok");
    maker.kill();
    let unfinished = SemaphoreSet::open_or_create(key.0, 0o600, &[1]);
    let Err(OpenError::Unfinished { set }) = unfinished else { panic!("{unfinished:?}") };
    // Who knows better can use it, and anybody can clear it away.
    assert_eq!(SemaphoreSet::attach(set.id).expect("it is there").values().expect("it is there"), [0]);
    SemaphoreSet::remove_key(key.0).expect("it is there");
    let again = SemaphoreSet::open_or_create(key.0, 0o600, &[1]).expect("a free key");
    assert_eq!(again.value(0).expect("it is there"), 1);
}

#[test]
fn whoever_comes_first_makes_it_and_all_see_its_count() {
    let key = Key::new(8);
    let mut peers: Vec<_> = (0..4).map(|_| Peer::in_rust()).collect();
    for _ in 0..50 {
        peers.iter_mut().for_each(|peer| peer.tell(&format!("first-of {key}")));
        for peer in &mut peers {
            assert_eq!(peer.hear(), "7");
        }
        SemaphoreSet::remove_key(key.0).expect("it is there");
    }
}

#[test]
fn limits_are_errors_that_name_the_set() {
    let key = Key::new(9);
    assert!(matches!(SemaphoreSet::open(key.0), Err(OpenError::NotFound { .. })));
    assert!(matches!(SemaphoreSet::remove_key(key.0), Err(OpenError::NotFound { .. })));
    assert!(matches!(SemaphoreSet::open(0), Err(OpenError::InvalidKey)));
    assert!(matches!(SemaphoreSet::create(key.0, 0o600, &[]), Err(OpenError::TooLarge { .. })));
    assert!(matches!(SemaphoreSet::create(key.0, 0o600, &[MOST + 1]), Err(OpenError::TooHigh { .. })));
    let set = SemaphoreSet::create(key.0, 0o600, &[MOST, 0]).expect("a free key");
    assert_eq!(set.values().expect("it is there"), [MOST, 0]);
    let full = set.apply(&[Op::post(0)]).expect_err("it is at its highest");
    assert!(matches!(full, OpError::OutOfRange { .. }) && full.to_string().contains(&key.to_string()), "{full}");
    assert!(matches!(set.apply(&[Op::wait(1).times(0)]), Err(OpError::OutOfRange { .. })));
    assert!(matches!(set.apply(&[Op::wait(1).times(MOST + 1)]), Err(OpError::OutOfRange { .. })));
    assert!(matches!(set.apply(&[Op::post(2)]), Err(OpError::NoSuchIndex { index: 2, len: 2, .. })));
    assert!(matches!(set.value(2), Err(OpError::NoSuchIndex { .. })));
    let many = vec![Op::post(1); 100_000];
    assert!(matches!(set.apply(&many), Err(OpError::TooMany { steps: 100_000, .. })));
    set.apply(&[]).expect("nothing to do");
    // A step that cannot be taken takes none of the others.
    assert!(matches!(set.try_apply(&[Op::post(1), Op::post(0)]), Err(TryOpError::Op(OpError::OutOfRange { .. }))));
    assert_eq!(set.values().expect("it is there"), [MOST, 0]);
}
