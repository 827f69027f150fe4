//! The semaphore: what is counted is received, nobody sleeps beside a count, whoever is killed. And rings that wake by it.
#![cfg(loom)]

use loom::thread;
use loom_tests::{PARKING, die_at_every_step, explore, explore_with, live_for};
use ringshm_core::layout::{Geometry, Wakeup};
use ringshm_core::memory::Memory;
use ringshm_core::message::{consumer_in, producer_in};
use ringshm_sync::atomic::AtomicU32;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::barrier::Light;
use ringshm_sync::cell::Bytes;
use ringshm_sync::doorbell::Doorbell;
use ringshm_sync::semaphore::Semaphore;
use ringshm_sync::semaphore::bell::SemaphoreBell;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::{Pace, Wait, Waiter};
use std::mem::ManuallyDrop;
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

/// A doorbell whose owner sleeps on a semaphore.
#[derive(Default)]
struct Door {
    bell: Doorbell,
    semaphore: Semaphore,
    /// What the owner waits for. Relaxed on both sides, so that nothing but the bell orders anything.
    visitors: AtomicU32,
}

impl Door {
    fn bell(&self) -> SemaphoreBell<'_> {
        SemaphoreBell::new(&self.bell, &self.semaphore)
    }

    fn visit(&self, count: u32) {
        self.visitors.store(count, Relaxed);
        self.bell().ring(Light::register());
    }

    /// Sleeps until `count` have come; a lost wake-up makes this a deadlock.
    fn await_visitors(&self, count: u32) {
        let mut waiter = Waiter::new(Wait::Park, Deadline::NEVER, &Pace::new());
        while self.visitors.load(Relaxed) < count {
            assert!(waiter.pause(&self.bell()).is_ok(), "there is no deadline");
        }
        waiter.finish(&self.bell());
    }
}

#[test]
fn no_wake_up_by_a_semaphore_is_lost() {
    explore_with(2, || {
        let door = Arc::new(Door::default());
        let ringer = thread::spawn({
            let door = Arc::clone(&door);
            move || {
                door.visit(1);
                door.visit(2);
            }
        });
        door.await_visitors(1);
        door.await_visitors(2);
        ringer.join().unwrap();
        assert!(!door.bell.is_asleep(), "an announcement is left behind");
        assert!(door.semaphore.value() <= 2, "posts pile up");
    });
}

#[test]
fn a_ringer_killed_at_any_step_delays_a_sleeper_on_a_semaphore_by_one_park() {
    die_at_every_step(|steps| {
        let door = Arc::new(Door::default());
        let ringer = thread::spawn({
            let door = Arc::clone(&door);
            move || {
                let died = live_for(steps, || door.visit(1)).is_none();
                if died {
                    // The bound of the park runs out, and what was published before the death counts.
                    door.semaphore.expire();
                }
                died
            }
        });
        let mut waiter = Waiter::new(Wait::Park, Deadline::NEVER, &Pace::new());
        for _ in 0..6 {
            if door.visitors.load(Relaxed) == 1 || waiter.pause(&door.bell()).is_err() {
                break;
            }
        }
        waiter.finish(&door.bell());
        let died = ringer.join().unwrap();
        assert!(died || door.visitors.load(Relaxed) == 1);
        died
    });
}

#[test]
fn a_sleeper_on_a_semaphore_killed_at_any_step_costs_one_post_and_its_successor_is_woken() {
    die_at_every_step(|steps| {
        let door = Arc::new(Door::default());
        // Dies, or is rung out of its sleep by the first visit.
        let died = {
            let sleeper = thread::spawn({
                let door = Arc::clone(&door);
                move || live_for(steps, || door.await_visitors(1)).is_none()
            });
            door.visit(1);
            sleeper.join().unwrap()
        };
        door.visit(1);
        assert!(!door.bell.is_asleep(), "a dead sleeper's announcement outlives the next ring");
        let count = door.semaphore.value();
        // One for the last announcement, and one that was on its way when it was made.
        assert!(count <= 2, "posts for the dead pile up");
        door.visit(1);
        assert_eq!(door.semaphore.value(), count, "somebody posts for nobody");
        door.bell().install();
        assert_eq!((door.semaphore.value(), door.semaphore.waiters()), (0, 0), "the successor inherits something");
        let ringer = thread::spawn({
            let door = Arc::clone(&door);
            move || door.visit(2)
        });
        door.await_visitors(2);
        ringer.join().unwrap();
        died
    });
}

/// A ring of one slot whose participants sleep on semaphores.
fn ring() -> Arc<Memory> {
    let geometry = Geometry::slots(1, 8, 0).expect("a small ring");
    Memory::on_heap(Geometry { wakeup: Wakeup::Semaphore, ..geometry })
}

#[test]
fn a_consumer_asleep_on_a_semaphore_is_woken_by_a_message() {
    explore_with(2, || {
        let memory = ring();
        let mut producer = ManuallyDrop::new(producer_in::<u64>(&memory, PARKING).unwrap());
        let mut consumer = ManuallyDrop::new(consumer_in::<u64>(&memory, PARKING).unwrap());
        let sender = thread::spawn(move || producer.try_send(7).unwrap());
        assert_eq!(consumer.recv(), Ok(7));
        sender.join().unwrap();
    });
}

#[test]
fn a_producer_asleep_on_a_semaphore_is_woken_by_a_release() {
    explore_with(2, || {
        let memory = ring();
        let mut producer = ManuallyDrop::new(producer_in::<u64>(&memory, PARKING).unwrap());
        let mut consumer = ManuallyDrop::new(consumer_in::<u64>(&memory, PARKING).unwrap());
        producer.try_send(1).unwrap();
        let receiver = thread::spawn(move || assert_eq!(consumer.try_recv(), Ok(1)));
        producer.send(2).unwrap();
        receiver.join().unwrap();
    });
}

#[test]
fn a_consumer_asleep_on_a_semaphore_is_woken_by_a_close() {
    explore_with(2, || {
        let memory = ring();
        let producer = producer_in::<u64>(&memory, PARKING).unwrap();
        let mut consumer = ManuallyDrop::new(consumer_in::<u64>(&memory, PARKING).unwrap());
        let leaver = thread::spawn(move || drop(producer));
        assert!(consumer.recv().is_err());
        leaver.join().unwrap();
    });
}
