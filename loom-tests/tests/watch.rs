//! One sleeper on many bells, and what helpers relay to it: no wake-up is lost, whoever is killed.
#![cfg(loom)]

use loom::thread;
use loom_tests::{die_at_every_step, explore, explore_with, live_for};
use ringshm_sync::atomic::AtomicU32;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::barrier::{Light, set_membarrier};
use ringshm_sync::doorbell::Doorbell;
use ringshm_sync::eventcount::EventCount;
use ringshm_sync::futex::Words;
use ringshm_sync::semaphore::Semaphore;
use ringshm_sync::semaphore::bell::SemaphoreBell;
use ringshm_sync::signal::Signal;
use ringshm_sync::sleepers::Sleepers;
use ringshm_sync::time::Deadline;
use ringshm_sync::watch::{AnyBell, Watch, Watched, announce};
use std::sync::Arc;

/// Something to wait for, with a bell of one of the kinds.
#[derive(Default)]
struct Door<B> {
    bell: B,
    /// Relaxed on both sides, so that nothing but the bell orders anything.
    visitors: AtomicU32,
}

/// A group with one member.
#[derive(Default)]
struct Group {
    sleepers: Sleepers,
    bell: Doorbell,
}

/// A group whose member sleeps on a semaphore, when it waits for nothing else.
#[derive(Default)]
struct SemaphoreGroup {
    group: Group,
    semaphore: Semaphore,
}

impl SemaphoreGroup {
    fn own(&self) -> SemaphoreBell<'_> {
        SemaphoreBell::new(&self.group.bell, &self.semaphore)
    }
}

trait Visited: Send + Sync {
    fn ring(&self);
    fn visitors(&self) -> &AtomicU32;
    fn bell(&self) -> AnyBell<'_>;

    fn visit(&self) {
        self.visitors().store(1, Relaxed);
        self.ring();
    }
}

impl Visited for Door<Doorbell> {
    fn ring(&self) {
        self.bell.ring(Light::register());
    }

    fn visitors(&self) -> &AtomicU32 {
        &self.visitors
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::Own(&self.bell)
    }
}

impl Visited for Door<EventCount> {
    fn ring(&self) {
        self.bell.ring(Light::register());
    }

    fn visitors(&self) -> &AtomicU32 {
        &self.visitors
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::OfAll(&self.bell)
    }
}

impl Visited for Door<Group> {
    fn ring(&self) {
        self.bell.sleepers.call(Light::register(), 1, |_| Some((&self.bell.bell).into()));
    }

    fn visitors(&self) -> &AtomicU32 {
        &self.visitors
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::OfGroup(self.bell.sleepers.berth(0, &self.bell.bell))
    }
}

impl Visited for Door<SemaphoreGroup> {
    fn ring(&self) {
        self.bell.group.sleepers.call(Light::register(), 1, |_| Some(self.bell.own().into()));
    }

    fn visitors(&self) -> &AtomicU32 {
        &self.visitors
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::OfGroup(self.bell.group.sleepers.berth(0, self.bell.own()))
    }
}

/// A door that is waited at until somebody has come, once.
struct Awaited {
    door: Arc<dyn Visited>,
    is_met: bool,
}

impl Watched for Awaited {
    fn bell(&self) -> AnyBell<'_> {
        self.door.bell()
    }

    fn look(&mut self) -> bool {
        !self.is_met && self.door.visitors().load(Relaxed) == 1
    }
}

type Watches = Vec<Watch<Awaited>>;

fn watches(doors: &[Arc<dyn Visited>]) -> Watches {
    doors.iter().map(|door| Watch::new(Awaited { door: Arc::clone(door), is_met: false })).collect()
}

/// Meets whoever is there. Returns how many.
fn meet(watches: &mut Watches) -> usize {
    let mut met = 0;
    for watch in watches {
        if !watch.is_quiet() && watch.look() {
            watch.get_mut().is_met = true;
            met += 1;
        }
    }
    met
}

/// Sleeps until somebody may have come, or returns at once.
fn sleep(watches: &mut Watches) {
    if !announce(watches) {
        return;
    }
    let standing: Option<Vec<u32>> = watches.iter().map(Watch::standing).collect();
    let Some(standing) = standing else { return };
    let bells: Vec<_> = watches.iter().map(|watch| watch.get().bell()).collect();
    let mut words = Words::new();
    for (bell, word) in bells.iter().zip(standing) {
        words.push(bell.word(), word);
    }
    words.wait(Deadline::NEVER);
}

/// A lost wake-up makes this a deadlock.
fn meet_all(watches: &mut Watches) {
    let mut met = 0;
    loop {
        met += meet(watches);
        if met == watches.len() {
            return;
        }
        sleep(watches);
    }
}

fn loses_no_wake_up_of_either<A: Default, B: Default>()
where
    Door<A>: Visited + 'static,
    Door<B>: Visited + 'static,
{
    let doors: [Arc<dyn Visited>; 2] = [Arc::new(Door::<A>::default()), Arc::new(Door::<B>::default())];
    let visitor = thread::spawn({
        let doors = doors.clone();
        move || doors.iter().rev().for_each(|door| door.visit())
    });
    meet_all(&mut watches(&doors));
    visitor.join().unwrap();
}

#[test]
fn a_sleeper_on_two_bells_loses_no_wake_up_of_either() {
    explore_with(2, loses_no_wake_up_of_either::<Doorbell, EventCount>);
    // Nobody else wakes it after the last one.
    explore_with(2, loses_no_wake_up_of_either::<EventCount, Doorbell>);
}

#[test]
fn a_sleeper_on_a_bell_and_in_a_group_loses_no_wake_up_of_either() {
    explore_with(2, loses_no_wake_up_of_either::<Doorbell, Group>);
    explore_with(2, loses_no_wake_up_of_either::<Group, Doorbell>);
}

#[test]
fn a_sleeper_on_many_bells_is_woken_by_those_who_post_semaphores_too() {
    explore_with(2, loses_no_wake_up_of_either::<Doorbell, SemaphoreGroup>);
    explore_with(2, loses_no_wake_up_of_either::<SemaphoreGroup, Doorbell>);
}

#[test]
fn a_sleeper_on_two_bells_has_two_ringers() {
    explore_with(2, || {
        let doors: [Arc<dyn Visited>; 2] =
            [Arc::new(Door::<Doorbell>::default()), Arc::new(Door::<Doorbell>::default())];
        let visitors = doors.clone().map(|door| thread::spawn(move || door.visit()));
        meet_all(&mut watches(&doors));
        visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
    });
}

/// The announcements of a first sleep stand during the second.
#[test]
fn an_announcement_that_was_left_standing_is_rung() {
    explore(|| {
        let doors: [Arc<dyn Visited>; 2] =
            [Arc::new(Door::<EventCount>::default()), Arc::new(Door::<Doorbell>::default())];
        let mut watches = watches(&doors);
        assert!(announce(&mut watches));
        doors[0].visit();
        assert_eq!(meet(&mut watches), 1);
        assert!(watches[0].standing().is_none() && watches[1].standing().is_some());
        let visitor = thread::spawn({
            let door = Arc::clone(&doors[1]);
            move || door.visit()
        });
        while meet(&mut watches) == 0 {
            sleep(&mut watches);
        }
        visitor.join().unwrap();
    });
}

fn is_woken_by_ringers_that_fence<B: Default>()
where
    Door<B>: Visited + 'static,
{
    explore(|| {
        set_membarrier(false);
        let doors: [Arc<dyn Visited>; 1] = [Arc::new(Door::<B>::default())];
        let mut watches = watches(&doors);
        // The first announcement asks for fences; rings that begin after it give them.
        assert!(announce(&mut watches));
        watches[0].withdraw();
        let visitor = thread::spawn({
            let door = Arc::clone(&doors[0]);
            move || door.visit()
        });
        meet_all(&mut watches);
        visitor.join().unwrap();
        set_membarrier(true);
    });
}

#[test]
fn a_sleeper_on_many_bells_without_membarrier_is_woken_by_ringers_that_fence_for_it() {
    is_woken_by_ringers_that_fence::<Doorbell>();
    is_woken_by_ringers_that_fence::<EventCount>();
    is_woken_by_ringers_that_fence::<Group>();
}

/// A helper sleeps on the bell's word, and the sleeper on the signal alone.
#[test]
fn what_a_helper_relays_is_not_missed() {
    explore(|| {
        let doors: [Arc<dyn Visited>; 1] = [Arc::new(Door::<Doorbell>::default())];
        let mut watches = watches(&doors);
        let (signal, control) = (Arc::new(Signal::new()), Arc::new(Signal::new()));
        assert!(announce(&mut watches));
        let expected = watches[0].standing().expect("nobody has come");
        let helper = thread::spawn({
            let (door, signal, control) = (Arc::clone(&doors[0]), Arc::clone(&signal), Arc::clone(&control));
            move || {
                let mut words = Words::new();
                words.push(door.bell().word(), expected);
                // It never asks whether the control was raised: this is told by the word.
                words.push(control.word(), 0);
                words.wait(Deadline::NEVER);
                signal.raise();
            }
        });
        let visitor = thread::spawn({
            let door = Arc::clone(&doors[0]);
            move || door.visit()
        });
        loop {
            let seen = signal.seen();
            if meet(&mut watches) == 1 {
                break;
            }
            if announce(&mut watches) && watches[0].standing().is_some() {
                let mut words = Words::new();
                words.push(signal.word(), seen);
                words.wait(Deadline::NEVER);
            }
        }
        // It may sleep still: who announces again, and finds the visitor, has ended the change that it waits for.
        control.raise();
        helper.join().unwrap();
        visitor.join().unwrap();
    });
}

#[test]
fn a_ringer_killed_at_any_step_delays_a_sleeper_on_many_bells_by_one_park() {
    die_at_every_step(|steps| {
        let bell = Arc::new(Door::<Doorbell>::default());
        let doors: [Arc<dyn Visited>; 2] = [bell.clone(), Arc::new(Door::<EventCount>::default())];
        let visitor = thread::spawn(move || {
            let died = live_for(steps, || bell.visit()).is_none();
            if died {
                // The bound of the park runs out, and what was published before the death counts.
                bell.bell.expire();
            }
            died
        });
        let mut watches = watches(&doors);
        let mut met = false;
        for _ in 0..4 {
            met = meet(&mut watches) == 1;
            if met {
                break;
            }
            sleep(&mut watches);
        }
        let died = visitor.join().unwrap();
        assert!(died || met);
        died
    });
}

#[test]
fn a_sleeper_on_many_bells_killed_at_any_step_costs_each_ringer_one_ring() {
    die_at_every_step(|steps| {
        let doors = [Arc::new(Door::<Doorbell>::default()), Arc::new(Door::<Doorbell>::default())];
        let all: [Arc<dyn Visited>; 2] = [doors[0].clone(), doors[1].clone()];
        let sleeper = thread::spawn(move || {
            live_for(steps, || {
                let mut watches = watches(&all);
                meet_all(&mut watches);
            })
            .is_none()
        });
        doors.iter().for_each(|door| door.visit());
        let died = sleeper.join().unwrap();
        doors.iter().for_each(|door| door.visit());
        assert!(doors.iter().all(|door| !door.bell.is_asleep()), "an announcement outlives the next ring");
        died
    });
}
