//! The semaphore: what is counted is received, nobody sleeps beside a count, whoever is killed.
#![cfg(loom)]

use loom::thread;
use loom_tests::{die_at_every_step, explore, explore_with, live_for};
use ringshm_sync::cell::Bytes;
use ringshm_sync::semaphore::Semaphore;
use std::sync::Arc;

/// A semaphore, and something to hand over.
struct Counter {
    semaphore: Semaphore,
    cargo: Bytes,
}

impl Counter {
    fn new(count: u32) -> Arc<Self> {
        let memory = Box::leak(Box::new([0_u64; 1]));
        // SAFETY: leaked, and used by the counter alone.
        #[allow(unsafe_code, reason = "eight bytes that loom watches")]
        let cargo = unsafe { Bytes::new(memory.as_mut_ptr().cast(), 8) };
        Arc::new(Self { semaphore: Semaphore::new(count).expect("a low count"), cargo })
    }

    /// Loom reports a race if this may happen together with the other's.
    fn load_up(&self) {
        // SAFETY: inside of it; loom checks the rest.
        #[allow(unsafe_code, reason = "as above")]
        unsafe { self.cargo.write(0, 8) }.finish();
    }
}

#[test]
fn a_post_hands_over_what_happened_before_it() {
    explore(|| {
        let counter = Counter::new(0);
        let poster = thread::spawn({
            let counter = Arc::clone(&counter);
            move || {
                counter.load_up();
                counter.semaphore.post().unwrap();
            }
        });
        counter.semaphore.wait();
        counter.load_up();
        poster.join().unwrap();
        assert_eq!((counter.semaphore.value(), counter.semaphore.waiters()), (0, 0));
    });
}

#[test]
fn two_waiters_are_woken_by_two_posts() {
    explore_with(2, || {
        let counter = Counter::new(0);
        let waiter = thread::spawn({
            let counter = Arc::clone(&counter);
            move || counter.semaphore.wait()
        });
        let poster = thread::spawn({
            let counter = Arc::clone(&counter);
            move || {
                counter.semaphore.post().unwrap();
                counter.semaphore.post().unwrap();
            }
        });
        counter.semaphore.wait();
        waiter.join().unwrap();
        poster.join().unwrap();
        assert_eq!((counter.semaphore.value(), counter.semaphore.waiters()), (0, 0));
    });
}

#[test]
fn of_two_who_try_one_gets_the_last_count() {
    explore(|| {
        let counter = Counter::new(1);
        let other = thread::spawn({
            let counter = Arc::clone(&counter);
            move || counter.semaphore.try_wait()
        });
        let first = counter.semaphore.try_wait();
        assert!(first ^ other.join().unwrap(), "one count was given out twice, or never");
    });
}

#[test]
fn who_gives_up_takes_no_count_and_no_wake_up_along() {
    explore(|| {
        let counter = Counter::new(0);
        let impatient = thread::spawn({
            let counter = Arc::clone(&counter);
            move || counter.semaphore.wait_timeout(core::time::Duration::ZERO).is_ok()
        });
        let poster = thread::spawn({
            let counter = Arc::clone(&counter);
            move || counter.semaphore.post().unwrap()
        });
        let was_lucky = impatient.join().unwrap();
        if was_lucky {
            counter.semaphore.post().unwrap();
        }
        counter.semaphore.wait();
        poster.join().unwrap();
        assert_eq!((counter.semaphore.value(), counter.semaphore.waiters()), (0, 0));
    });
}

#[test]
fn a_poster_killed_at_any_step_delays_a_waiter_by_one_sleep_and_no_more() {
    die_at_every_step(|steps| {
        let counter = Counter::new(0);
        let poster = thread::spawn({
            let counter = Arc::clone(&counter);
            move || {
                let died = live_for(steps, || counter.semaphore.post().unwrap()).is_none();
                if died && counter.semaphore.value() == 0 {
                    // Killed before it counted: another posts.
                    counter.semaphore.post().unwrap();
                } else if died {
                    counter.semaphore.expire();
                }
                died
            }
        });
        counter.semaphore.wait();
        poster.join().unwrap()
    });
}

#[test]
fn a_waiter_killed_at_any_step_keeps_no_count_from_the_next() {
    die_at_every_step(|steps| {
        let counter = Counter::new(0);
        let waiter = thread::spawn({
            let counter = Arc::clone(&counter);
            move || live_for(steps, || counter.semaphore.wait()).is_none()
        });
        counter.semaphore.post().unwrap();
        let died = waiter.join().unwrap();
        // What it took it has; what it did not take is there.
        if counter.semaphore.value() == 0 {
            counter.semaphore.post().unwrap();
        }
        counter.semaphore.wait();
        assert!(died || counter.semaphore.waiters() == 0);
        died
    });
}
