//! The doorbell, and the bells of groups: no wake-up is lost, whoever is killed.
#![cfg(loom)]

use loom::thread;
use loom_tests::{die_at_every_step, explore, live_for};
use ringshm_sync::atomic::AtomicU32;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::barrier::{Light, set_membarrier};
use ringshm_sync::doorbell::Doorbell;
use ringshm_sync::eventcount::EventCount;
use ringshm_sync::sleepers::Sleepers;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::{Bell, Pace, Wait, Waiter};
use std::sync::Arc;

/// A bell of any kind, and how to ring it.
trait Ring: Bell + Default + Send + Sync + 'static {
    fn ring(&self);
}

impl Ring for Doorbell {
    fn ring(&self) {
        self.ring(Light::register());
    }
}

impl Ring for EventCount {
    fn ring(&self) {
        self.ring(Light::register());
    }
}

/// A group with one member.
#[derive(Default)]
struct Group {
    sleepers: Sleepers,
    bell: Doorbell,
}

impl Bell for Group {
    fn announce(&self) -> u32 {
        self.sleepers.berth(0, &self.bell).announce()
    }

    fn park(&self, ticket: u32, deadline: Deadline) {
        self.sleepers.berth(0, &self.bell).park(ticket, deadline);
    }

    fn withdraw(&self) {
        self.sleepers.berth(0, &self.bell).withdraw();
    }
}

impl Ring for Group {
    fn ring(&self) {
        self.sleepers.call(Light::register(), 1, |_| Some((&self.bell).into()));
    }
}

#[derive(Default)]
struct Door<B = Doorbell> {
    bell: B,
    /// What the owner waits for. Relaxed on both sides, so that nothing but the bell orders anything.
    visitors: AtomicU32,
}

impl<B: Ring> Door<B> {
    fn visit(&self, count: u32) {
        self.visitors.store(count, Relaxed);
        self.bell.ring();
    }

    /// Sleeps until `count` have come; a lost wake-up makes this a deadlock.
    fn await_visitors(&self, count: u32) {
        let mut waiter = Waiter::new(Wait::Park, Deadline::NEVER, &Pace::new());
        while self.visitors.load(Relaxed) < count {
            assert!(waiter.pause(&self.bell).is_ok(), "there is no deadline");
        }
        waiter.finish(&self.bell);
    }
}

/// A sleeper waits for the first `visits` of a ringer, one after the other.
fn loses_no_wake_up<B: Ring>(visits: u32) -> Arc<Door<B>> {
    let door = Arc::new(Door::<B>::default());
    let ringer = thread::spawn({
        let door = Arc::clone(&door);
        move || (1..=visits).for_each(|count| door.visit(count))
    });
    (1..=visits).for_each(|count| door.await_visitors(count));
    ringer.join().unwrap();
    door
}

/// The first sleep asks for fences; rings that begin after it give them.
fn fences_for_an_owner_without_membarrier<B: Ring>() {
    explore(|| {
        set_membarrier(false);
        let door = Arc::new(Door::<B>::default());
        door.bell.announce();
        door.bell.withdraw();
        let ringer = thread::spawn({
            let door = Arc::clone(&door);
            move || door.visit(1)
        });
        door.await_visitors(1);
        ringer.join().unwrap();
        set_membarrier(true);
    });
}

#[test]
fn no_wake_up_is_lost() {
    explore(|| {
        let door = loses_no_wake_up::<Doorbell>(2);
        assert!(!door.bell.is_asleep(), "an announcement is left behind");
    });
}

#[test]
fn an_event_count_loses_no_wake_up() {
    explore(|| {
        loses_no_wake_up::<EventCount>(2);
    });
}

#[test]
fn a_group_loses_no_wake_up() {
    explore(|| {
        loses_no_wake_up::<Group>(1);
    });
}

#[test]
fn an_owner_without_membarrier_is_woken_by_ringers_that_fence_for_it() {
    fences_for_an_owner_without_membarrier::<Doorbell>();
}

#[test]
fn a_sleeper_on_an_event_count_without_membarrier_is_woken_by_ringers_that_fence_for_it() {
    fences_for_an_owner_without_membarrier::<EventCount>();
}

#[test]
fn a_member_without_membarrier_is_woken_by_ringers_that_fence_for_it() {
    fences_for_an_owner_without_membarrier::<Group>();
}

#[test]
fn of_two_ringers_one_wakes_and_none_is_lost() {
    explore(|| {
        let door = Arc::new(Door::<Doorbell>::default());
        let ringers = [1, 2].map(|_| {
            let door = Arc::clone(&door);
            thread::spawn(move || door.visit(1))
        });
        door.await_visitors(1);
        for ringer in ringers {
            ringer.join().unwrap();
        }
    });
}

#[test]
fn a_ringer_killed_at_any_step_delays_its_owner_by_one_park_and_no_more() {
    die_at_every_step(|steps| {
        let door = Arc::new(Door::<Doorbell>::default());
        let ringer = thread::spawn({
            let door = Arc::clone(&door);
            move || {
                let died = live_for(steps, || door.visit(1)).is_none();
                if died {
                    // The bound of the park runs out, and what was published before the death counts.
                    door.bell.expire();
                }
                died
            }
        });
        let mut waiter = Waiter::new(Wait::Park, Deadline::NEVER, &Pace::new());
        for _ in 0..6 {
            if door.visitors.load(Relaxed) == 1 || waiter.pause(&door.bell).is_err() {
                break;
            }
        }
        waiter.finish(&door.bell);
        let died = ringer.join().unwrap();
        assert!(died || door.visitors.load(Relaxed) == 1);
        died
    });
}

#[test]
fn a_sleeper_killed_at_any_step_costs_one_ring_and_its_successor_is_woken() {
    die_at_every_step(|steps| {
        let door = Arc::new(Door::<Doorbell>::default());
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
        door.bell.install();
        let ringer = thread::spawn({
            let door = Arc::clone(&door);
            move || door.visit(2)
        });
        door.await_visitors(2);
        ringer.join().unwrap();
        died
    });
}
