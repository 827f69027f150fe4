//! The same for locks and meeting points: exclusion may break, and calls may answer anything; but each with a time-out comes back, and none panics.

use super::{LONGEST, Mutator};
use crate::support::Folder;
use ringshm::sync::{Barrier, Builder, Condvar, Mutex, Once, Primitive, RwLock, barrier, condvar, mutex, once, rwlock};
use ringshm::{Directory, Name};
use std::path::Path;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_micros(200);
/// Participants of each object.
const CROWD: u32 = 3;

type Value = [u64; 5];

/// Opens an object and calls it until time is over. Returns how many calls there were. An object that is damaged when it is opened is skipped.
fn call<P: Primitive>(builder: Builder<P>, folder: &Path, end: Instant, mut step: impl FnMut(&mut P, u64)) -> u64 {
    let Ok(mut object) = builder.directory(folder).open() else { return 0 };
    let mut turn = 0;
    while Instant::now() < end {
        let begin = Instant::now();
        step(&mut object, turn);
        assert!(begin.elapsed() < LONGEST, "a call with a time-out takes {:?}", begin.elapsed());
        turn += 1;
    }
    turn
}

fn lock(mutex: &mut Mutex<Value>, turn: u64) {
    let guard = match turn % 2 {
        0 => mutex.lock_timeout(SHORT).map_or_else(|error| error.into_guard(), Some),
        _ => mutex.try_lock().map_or_else(|error| error.into_guard(), Some),
    };
    if let Some(mut guard) = guard {
        guard[0] = guard[0].wrapping_add(1);
        if turn % 8 == 0 {
            guard.mark_consistent();
        }
    }
}

fn read_or_write(lock: &mut RwLock<Value>, turn: u64) {
    match turn % 4 {
        0 => drop(lock.read_timeout(SHORT)),
        1 => drop(lock.try_read()),
        2 => drop(lock.try_write()),
        _ => {
            if let Some(mut guard) = lock.write_timeout(SHORT).map_or_else(|error| error.into_guard(), Some) {
                guard[0] = guard[0].wrapping_add(1);
            }
        }
    }
}

fn notify(condvar: &mut Condvar, turn: u64) {
    let _ = if turn % 2 == 0 { condvar.notify_one() } else { condvar.notify_all() };
}

fn wait(condvar: &mut Condvar, _turn: u64) {
    let mut mutex = mutex::<u64>("").heap().and_then(|heap| heap.participant()).expect("a small one");
    let guard = mutex.lock().expect("a sound lock");
    drop(condvar.wait(guard));
}

fn meet(barrier: &mut Barrier, _turn: u64) {
    let _ = barrier.wait_timeout(SHORT);
}

fn do_once(once: &mut Once, _turn: u64) {
    let _ = once.call_once_timeout(|_| (), SHORT);
    let _ = once.is_completed();
}

/// Several threads work with an object, while another process flips its words.
fn survive<P: Primitive>(describe: impl Fn() -> Builder<P> + Sync, step: fn(&mut P, u64)) {
    let seconds = std::env::var("RINGSHM_HOSTILE").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(1.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let folder = Folder::for_leftovers();
    let directory = Directory::new(folder.path());
    let mut calls = 0;
    while Instant::now() < end {
        let keeper = describe().directory(folder.path()).open().expect("a new object");
        let mutator = Mutator::start(directory.path_of(&Name::new("hostile").expect("a name")));
        let turn = end.min(Instant::now() + Duration::from_millis(250));
        std::thread::scope(|scope| {
            let (describe, path) = (&describe, folder.path());
            let crowd = [(); CROWD as usize - 1].map(|()| scope.spawn(move || call(describe(), path, turn, step)));
            calls += crowd.map(|one| one.join().expect("no call panics, whatever the memory says")).iter().sum::<u64>();
        });
        drop(mutator);
        drop(keeper);
        match ringshm::remove(&directory, "hostile", true) {
            Ok(()) | Err(ringshm::OpenError::NotFound { .. }) => {}
            Err(error) => panic!("removing it: {error}"),
        }
    }
    println!("{calls} calls");
    assert!(calls > 100, "nothing was put to the test");
}

#[test]
fn a_mutex_survives_a_process_that_flips_its_words() {
    survive(|| mutex("hostile").participants(CROWD), lock);
}

#[test]
fn a_lock_of_readers_and_writers_survives_a_process_that_flips_its_words() {
    survive(|| rwlock("hostile").participants(CROWD), read_or_write);
}

#[test]
fn a_condvar_survives_a_process_that_flips_its_words() {
    survive(|| condvar("hostile"), notify);
}

#[test]
fn a_condvars_waiters_survive_a_process_that_flips_its_words() {
    survive(|| condvar("hostile"), wait);
}

#[test]
fn a_barrier_survives_a_process_that_flips_its_words() {
    survive(|| barrier("hostile", CROWD), meet);
}

#[test]
fn a_once_survives_a_process_that_flips_its_words() {
    survive(|| once("hostile"), do_once);
}
