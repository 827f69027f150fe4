//! The robust primitives: each edge, death at every step, and recoverers that die too.
//!
//! # Safety
//! Values are reached without guards where a participant is to die with them; loom reports whoever reaches one at the same time.
#![cfg(loom)]
#![allow(unsafe_code, reason = "reaches values without a guard, as a participant that is killed does")]

use loom::thread;
use loom_tests::{
    PARKING, SPINNING, die_at_every_step, explore_unfenced, explore_unfenced_with, explore_with, live_for, slots,
};
use ringshm_core::memory::Memory;
use ringshm_core::sync::{
    Barrier, BarrierError, BarrierTimeoutError, Condvar, LockError, Mutex, MutexGuard, Once, Primitive, RwLock,
    TryLockError, on_heap, take_part_in,
};
use ringshm_core::wait::Wait;
use ringshm_sync::cell::{Reading, Writing};
use ringshm_sync::robust::{Claimant, Data, Holder, Run};
use ringshm_sync::time::Deadline;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

fn made<P: Primitive>(participants: u32) -> Arc<Memory> {
    on_heap::<P>(participants, &[]).expect("a small one")
}

/// Leaving is no part of these models.
fn join<P: Primitive>(memory: &Arc<Memory>) -> ManuallyDrop<P> {
    ManuallyDrop::new(take_part_in::<P>(memory, PARKING).unwrap())
}

/// The first owner of a lane, without the guards that would let go when it dies.
fn bare<P: Primitive>(memory: &Arc<Memory>) -> Claimant {
    let lane = (0..).find(|lane| matches!(memory.peer_state(*lane), ringshm_core::Peer::Vacant)).expect("a free lane");
    let _ = join::<P>(memory);
    Claimant::new(Holder::new(lane, 1), Wait::Park)
}

/// What the kernel does when the owner of a lane is gone; and time goes by, so that all parks run out.
fn bury(memory: &Memory, lane: usize) {
    memory.drop_lock_of_killed(lane);
    let words = &memory.control().robust;
    words.mutex.expire();
    words.rwlock.expire();
    words.condvar.expire();
    words.barrier.expire();
    words.once.expire();
    (0..memory.geometry().lanes()).for_each(|lane| memory.lane(lane).seat.expire());
}

/// The value in the hands of one who has the lock without a guard. loom reports who reaches it at the same time.
fn add_to(memory: &Memory, more: u64) -> u64 {
    let place = cell(memory, 0);
    let value = place.as_mut_ptr().cast::<u64>();
    // SAFETY: eight bytes of the data area, which is aligned; loom sees to it that nobody else is there.
    let sum = unsafe { value.read() } + more;
    // SAFETY: as above.
    unsafe { value.write(sum) };
    sum
}

/// Eight bytes of the data area, in whose hands loom watches them.
fn cell(memory: &Memory, index: usize) -> Writing {
    // SAFETY: the data areas of these models have so many; loom sees to it that nobody else is there.
    unsafe { memory.data().write(8 * index, 8) }
}

/// The first of them, to be read.
fn read_cell(memory: &Memory) -> Reading {
    // SAFETY: as for `cell`.
    unsafe { memory.data().read(0, 8) }
}

fn sure<G>(result: Result<G, LockError<G>>) -> G {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// A lock, and whether it is in doubt.
fn any<G>(result: Result<G, LockError<G>>) -> (G, bool) {
    match result {
        Ok(guard) => (guard, false),
        Err(LockError::OwnerDied(guard)) => (guard, true),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_lock_carries_the_value_to_the_next_holder() {
    explore_unfenced(|| {
        let memory = made::<Mutex<u64>>(2);
        let (mut first, mut second) = (join::<Mutex<u64>>(&memory), join::<Mutex<u64>>(&memory));
        let other = thread::spawn(move || *sure(second.lock()) += 1);
        *sure(first.lock()) += 1;
        other.join().unwrap();
        assert_eq!(*sure(first.lock()), 2);
    });
}

#[test]
fn every_locker_gets_its_turn() {
    explore_unfenced_with(2, || {
        let memory = made::<Mutex<u64>>(3);
        let mut first = join::<Mutex<u64>>(&memory);
        let others = [(); 2].map(|()| {
            let mut other = join::<Mutex<u64>>(&memory);
            thread::spawn(move || *sure(other.lock()) += 1)
        });
        *sure(first.lock()) += 1;
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(*sure(first.lock()), 3);
    });
}

#[test]
fn a_locker_that_gives_up_leaves_no_other_asleep() {
    explore_unfenced_with(2, || {
        let memory = made::<Mutex<u64>>(3);
        let mut first = join::<Mutex<u64>>(&memory);
        let (mut second, mut third) = (join::<Mutex<u64>>(&memory), join::<Mutex<u64>>(&memory));
        let waiting = thread::spawn(move || *sure(second.lock()) += 1);
        let hasty = thread::spawn(move || drop(third.lock_timeout(Duration::ZERO)));
        *sure(first.lock()) += 1;
        waiting.join().unwrap();
        hasty.join().unwrap();
    });
}

#[test]
fn a_holder_that_has_just_joined_is_never_found_dead() {
    explore_unfenced(|| {
        let memory = made::<Mutex<u64>>(2);
        let mut asking = join::<Mutex<u64>>(&memory);
        let joining = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let mut joining = join::<Mutex<u64>>(&memory);
                *sure(joining.lock()) += 1;
            }
        });
        match asking.try_lock() {
            Ok(mut guard) => *guard += 1,
            Err(error) => assert!(matches!(error, TryLockError::WouldBlock), "{error:?}"),
        }
        joining.join().unwrap();
    });
}

#[test]
fn a_holder_that_has_just_joined_a_lock_in_doubt_is_never_found_dead() {
    explore_unfenced(|| {
        let memory = made::<Mutex<u64>>(2);
        let mut first = join::<Mutex<u64>>(&memory);
        let word = &memory.control().robust.mutex;
        assert!(word.lock_at_once(Holder::new(0, 1)));
        word.unlock(Data::InDoubt);
        let joining = thread::spawn({
            let memory = Arc::clone(&memory);
            move || *any(join::<Mutex<u64>>(&memory).lock()).0 += 1
        });
        if let Some(mut guard) = first.try_lock().map_or_else(TryLockError::into_guard, Some) {
            *guard += 1;
        }
        joining.join().unwrap();
    });
}

#[test]
fn a_holder_that_takes_over_is_never_found_dead() {
    explore_unfenced_with(2, || {
        let memory = made::<Mutex<u64>>(3);
        let mut dead = bare::<Mutex<u64>>(&memory);
        assert_eq!(memory.control().robust.mutex.lock(&mut dead, &*memory, Deadline::NEVER), Ok(Data::Consistent));
        let mut asking = join::<Mutex<u64>>(&memory);
        memory.drop_lock_of_killed(0);
        let joining = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let mut joining = join::<Mutex<u64>>(&memory);
                let (mut guard, _) = any(joining.lock());
                *guard += 1;
                guard.mark_consistent();
            }
        });
        if let Some(mut guard) = asking.try_lock().map_or_else(TryLockError::into_guard, Some) {
            *guard += 1;
            guard.mark_consistent();
        }
        joining.join().unwrap();
    });
}

#[test]
fn a_holder_killed_at_any_step_leaves_the_lock_to_the_next() {
    die_at_every_step(|steps| {
        let memory = made::<Mutex<u64>>(2);
        let mut own = bare::<Mutex<u64>>(&memory);
        let mut survivor = join::<Mutex<u64>>(&memory);
        let doomed = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let died = live_for(steps, || {
                    let word = &memory.control().robust.mutex;
                    assert_eq!(word.lock(&mut own, &*memory, Deadline::NEVER), Ok(Data::Consistent));
                    add_to(&memory, 1);
                    word.unlock(Data::Consistent);
                })
                .is_none();
                if died {
                    bury(&memory, 0);
                }
                died
            }
        });
        let (mut guard, doubt) = any(survivor.lock());
        *guard += 10;
        guard.mark_consistent();
        drop(guard);
        let died = doomed.join().unwrap();
        assert!(died || !doubt, "nobody died");
        let (guard, _) = any(survivor.lock());
        assert!(*guard == 11 || (died && *guard == 10), "{}", *guard);
        died
    });
}

/// Tries to lock until it succeeds, and adds to the value.
fn add_when_free(mutex: &mut Mutex<u64>, more: u64) {
    loop {
        match mutex.try_lock() {
            Ok(mut guard) | Err(TryLockError::OwnerDied(mut guard)) => break *guard += more,
            Err(error) => assert!(matches!(error, TryLockError::WouldBlock), "{error:?}"),
        }
        thread::yield_now();
    }
}

#[test]
fn what_a_holder_did_is_seen_after_it_has_left_without_letting_go() {
    explore_unfenced_with(2, || {
        let memory = made::<Mutex<u64>>(2);
        let mut other = join::<Mutex<u64>>(&memory);
        let leaver = take_part_in::<Mutex<u64>>(&memory, PARKING).unwrap();
        let leaving = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                if memory.control().robust.mutex.lock_at_once(Holder::new(1, 1)) {
                    add_to(&memory, 1);
                }
                drop(leaver);
            }
        });
        add_when_free(&mut other, 1);
        leaving.join().unwrap();
    });
}

#[test]
fn what_a_dead_holder_did_is_seen_after_its_lane_has_another_owner() {
    explore_unfenced_with(2, || {
        let memory = made::<Mutex<u64>>(2);
        let mut dead = bare::<Mutex<u64>>(&memory);
        let mut other = join::<Mutex<u64>>(&memory);
        let dying = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let word = &memory.control().robust.mutex;
                assert_eq!(word.lock(&mut dead, &*memory, Deadline::NEVER), Ok(Data::Consistent));
                add_to(&memory, 1);
                bury(&memory, 0);
                let _successor = join::<Mutex<u64>>(&memory);
            }
        });
        add_when_free(&mut other, 1);
        dying.join().unwrap();
    });
}

#[test]
fn a_dead_holders_lock_goes_to_one_of_two() {
    explore_unfenced_with(2, || {
        let memory = made::<Mutex<u64>>(3);
        let mut dead = bare::<Mutex<u64>>(&memory);
        let (mut first, mut second) = (join::<Mutex<u64>>(&memory), join::<Mutex<u64>>(&memory));
        let dying = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let word = &memory.control().robust.mutex;
                assert_eq!(word.lock(&mut dead, &*memory, Deadline::NEVER), Ok(Data::Consistent));
                add_to(&memory, 1);
                bury(&memory, 0);
            }
        });
        let other = thread::spawn(move || *any(second.lock()).0 += 10);
        *any(first.lock()).0 += 10;
        other.join().unwrap();
        dying.join().unwrap();
        let (guard, doubt) = any(first.lock());
        assert_eq!((*guard, doubt), (21, true), "the doubt stays until somebody says otherwise");
    });
}

#[test]
fn who_takes_over_and_dies_leaves_the_lock_to_the_next() {
    die_at_every_step(|steps| {
        let memory = made::<Mutex<u64>>(3);
        let mut dead = bare::<Mutex<u64>>(&memory);
        assert_eq!(memory.control().robust.mutex.lock(&mut dead, &*memory, Deadline::NEVER), Ok(Data::Consistent));
        let mut own = bare::<Mutex<u64>>(&memory);
        let mut survivor = join::<Mutex<u64>>(&memory);
        bury(&memory, 0);
        let doomed = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let died = live_for(steps, || {
                    let word = &memory.control().robust.mutex;
                    let data = word.lock(&mut own, &*memory, Deadline::NEVER).unwrap();
                    assert_eq!(data, Data::InDoubt);
                    add_to(&memory, 1);
                    word.unlock(data);
                })
                .is_none();
                if died {
                    bury(&memory, 1);
                }
                died
            }
        });
        let (mut guard, doubt) = any(survivor.lock());
        assert!(doubt);
        *guard += 10;
        drop(guard);
        doomed.join().unwrap()
    });
}

#[test]
fn a_writer_and_readers_exclude_each_other() {
    explore_unfenced_with(1, || {
        let memory = made::<RwLock<u64>>(3);
        let mut writer = join::<RwLock<u64>>(&memory);
        let readers = [(); 2].map(|()| {
            let mut reader = join::<RwLock<u64>>(&memory);
            thread::spawn(move || assert!([0, 1].contains(&*sure(reader.read()))))
        });
        *sure(writer.write()) += 1;
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn a_reader_sees_what_was_written_before() {
    explore_unfenced_with(2, || {
        let memory = made::<RwLock<u64>>(2);
        let (mut reader, mut writer) = (join::<RwLock<u64>>(&memory), join::<RwLock<u64>>(&memory));
        let other = thread::spawn(move || {
            *sure(writer.write()) += 1;
            *sure(writer.write()) += 1;
        });
        let first = *sure(reader.read());
        let second = *sure(reader.read());
        assert!(first <= second);
        other.join().unwrap();
    });
}

#[test]
fn two_writers_exclude_each_other() {
    explore_unfenced(|| {
        let memory = made::<RwLock<u64>>(2);
        let (mut first, mut second) = (join::<RwLock<u64>>(&memory), join::<RwLock<u64>>(&memory));
        let other = thread::spawn(move || *sure(second.write()) += 1);
        *sure(first.write()) += 1;
        other.join().unwrap();
        assert_eq!(*sure(first.read()), 2);
    });
}

#[test]
fn who_tries_to_write_never_writes_beside_a_reader() {
    explore_unfenced(|| {
        let memory = made::<RwLock<u64>>(2);
        let (mut reader, mut writer) = (join::<RwLock<u64>>(&memory), join::<RwLock<u64>>(&memory));
        let other = thread::spawn(move || {
            if let Ok(guard) = reader.try_read() {
                assert!([0, 1].contains(&*guard));
            }
        });
        if let Ok(mut guard) = writer.try_write() {
            *guard += 1;
        }
        other.join().unwrap();
    });
}

#[test]
fn a_reader_killed_at_any_step_holds_no_writer_up() {
    die_at_every_step(|steps| {
        let memory = made::<RwLock<u64>>(2);
        let mut own = bare::<RwLock<u64>>(&memory);
        let mut writer = join::<RwLock<u64>>(&memory);
        let doomed = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let died = live_for(steps, || {
                    let word = &memory.control().robust.rwlock;
                    word.read(&mut own, &*memory, Deadline::NEVER).unwrap();
                    drop(read_cell(&memory));
                    word.unlock_read(own.me(), &*memory);
                })
                .is_none();
                if died {
                    bury(&memory, 0);
                }
                died
            }
        });
        let mut guard = sure(writer.write());
        *guard += 1;
        drop(guard);
        doomed.join().unwrap()
    });
}

#[test]
fn a_writer_killed_at_any_step_holds_no_reader_up() {
    die_at_every_step(|steps| {
        let memory = made::<RwLock<u64>>(2);
        let mut own = bare::<RwLock<u64>>(&memory);
        let mut reader = join::<RwLock<u64>>(&memory);
        let doomed = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let died = live_for(steps, || {
                    let word = &memory.control().robust.rwlock;
                    let data = word.write(&mut own, &*memory, Deadline::NEVER).unwrap();
                    add_to(&memory, 1);
                    word.unlock_write(data);
                })
                .is_none();
                if died {
                    bury(&memory, 0);
                }
                died
            }
        });
        let (guard, doubt) = any(reader.read());
        assert!([0, 1].contains(&*guard));
        drop(guard);
        let died = doomed.join().unwrap();
        assert!(died || !doubt, "nobody died");
        let (mut guard, _) = any(reader.write());
        *guard += 1;
        guard.mark_consistent();
        drop(guard);
        let _ = sure(reader.read());
        died
    });
}

#[test]
fn what_a_dead_writer_did_is_seen_by_whom_another_reader_lets_in() {
    explore_unfenced_with(2, || {
        let memory = made::<RwLock<u64>>(3);
        let mut dead = bare::<RwLock<u64>>(&memory);
        let (mut first, mut second) = (join::<RwLock<u64>>(&memory), join::<RwLock<u64>>(&memory));
        let dying = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let word = &memory.control().robust.rwlock;
                word.write(&mut dead, &*memory, Deadline::NEVER).unwrap();
                add_to(&memory, 1);
                bury(&memory, 0);
            }
        });
        let other = thread::spawn(move || {
            if let Some(guard) = first.try_read().map_or_else(TryLockError::into_guard, Some) {
                assert_eq!(*guard, u64::from(guard.is_in_doubt()));
            }
        });
        if let Some(guard) = second.try_read().map_or_else(TryLockError::into_guard, Some) {
            assert_eq!(*guard, u64::from(guard.is_in_doubt()));
        }
        other.join().unwrap();
        dying.join().unwrap();
    });
}

#[test]
fn a_reader_that_has_just_joined_is_never_found_dead() {
    explore_unfenced(|| {
        let memory = made::<RwLock<u64>>(2);
        let mut writer = join::<RwLock<u64>>(&memory);
        let joining = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let mut reader = join::<RwLock<u64>>(&memory);
                if let Ok(guard) = reader.try_read() {
                    assert!([0, 1].contains(&*guard));
                }
            }
        });
        if let Ok(mut guard) = writer.try_write() {
            *guard += 1;
        }
        joining.join().unwrap();
    });
}

fn await_value<'a>(condvar: &mut Condvar, mutex: &'a mut Mutex<u64>, least: u64) -> MutexGuard<'a, u64> {
    let guard = sure(mutex.lock());
    sure(condvar.wait_while(guard, |value| *value < least))
}

#[test]
fn no_notification_is_lost() {
    explore_unfenced(|| {
        let (value, change) = (made::<Mutex<u64>>(2), made::<Condvar>(2));
        let (mut mutex, mut condvar) = (join::<Mutex<u64>>(&value), join::<Condvar>(&change));
        let notifier = thread::spawn({
            let (mut mutex, mut condvar) = (join::<Mutex<u64>>(&value), join::<Condvar>(&change));
            move || {
                *sure(mutex.lock()) += 1;
                condvar.notify_one().unwrap();
            }
        });
        drop(await_value(&mut condvar, &mut mutex, 1));
        notifier.join().unwrap();
    });
}

#[test]
fn a_notification_for_all_wakes_all() {
    explore_unfenced_with(2, || {
        let (value, change) = (made::<Mutex<u64>>(3), made::<Condvar>(3));
        let waiters = [(); 2].map(|()| {
            let (mut mutex, mut condvar) = (join::<Mutex<u64>>(&value), join::<Condvar>(&change));
            thread::spawn(move || drop(await_value(&mut condvar, &mut mutex, 1)))
        });
        let (mut mutex, mut condvar) = (join::<Mutex<u64>>(&value), join::<Condvar>(&change));
        *sure(mutex.lock()) += 1;
        condvar.notify_all().unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn as_many_waiters_wake_as_notifications_come() {
    explore_with(2, || {
        let (value, change) = (made::<Mutex<u64>>(3), made::<Condvar>(3));
        let waiters = [(); 2].map(|()| {
            let (mut mutex, mut condvar) = (join::<Mutex<u64>>(&value), join::<Condvar>(&change));
            thread::spawn(move || drop(await_value(&mut condvar, &mut mutex, 1)))
        });
        let (mut mutex, mut condvar) = (join::<Mutex<u64>>(&value), join::<Condvar>(&change));
        *sure(mutex.lock()) += 1;
        condvar.notify_one().unwrap();
        condvar.notify_one().unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn parties_see_what_all_did_before_they_met() {
    explore_unfenced(|| {
        let (memory, table) = (made::<Barrier>(2), slots(2));
        let meet = |mut barrier: ManuallyDrop<Barrier>, me: usize, table: Arc<Memory>| {
            drop(cell(&table, me));
            let result = barrier.wait().unwrap();
            drop(cell(&table, 1 - me));
            result.is_leader()
        };
        let (first, second) = (join::<Barrier>(&memory), join::<Barrier>(&memory));
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || meet(second, 1, table)
        });
        let leads = meet(first, 0, table);
        assert_ne!(leads, other.join().unwrap(), "one party leads");
    });
}

#[test]
fn a_party_sees_what_another_did_of_whom_it_knows_by_the_third() {
    explore_unfenced_with(1, || {
        let (memory, table) = (made::<Barrier>(3), slots(2));
        let mut dead = bare::<Barrier>(&memory);
        let mut second = join::<Barrier>(&memory);
        // Who sleeps learns more than it must, from the futex of the model.
        let mut third = ManuallyDrop::new(take_part_in::<Barrier>(&memory, SPINNING).unwrap());
        let writing = thread::spawn({
            let (memory, table) = (Arc::clone(&memory), Arc::clone(&table));
            move || {
                drop(cell(&table, 0));
                // It dies when it has arrived: its fence would order more than a party's arrival does.
                let word = &memory.control().robust.barrier;
                assert!(live_for(2, || word.wait(&mut dead, &*memory, Deadline::NEVER)).is_none());
                word.expire();
            }
        });
        let other = thread::spawn(move || assert!(second.wait().is_ok()));
        third.wait().unwrap();
        drop(cell(&table, 0));
        writing.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_party_killed_at_any_step_breaks_the_meeting_or_has_come() {
    die_at_every_step(|steps| {
        let memory = made::<Barrier>(2);
        let mut own = bare::<Barrier>(&memory);
        let mut survivor = join::<Barrier>(&memory);
        let doomed = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let word = &memory.control().robust.barrier;
                let died = live_for(steps, || word.wait(&mut own, &*memory, Deadline::NEVER).unwrap()).is_none();
                if died {
                    bury(&memory, 0);
                }
                died
            }
        });
        let met = survivor.wait();
        let died = doomed.join().unwrap();
        assert!(met.is_ok() || (died && met == Err(BarrierError::Broken)), "{met:?}");
        if died {
            assert_eq!(survivor.wait(), Err(BarrierError::Broken), "whoever is dead is missed at the next meeting");
        }
        died
    });
}

#[test]
fn all_are_told_the_same_of_a_broken_meeting() {
    explore_unfenced_with(2, || {
        let memory = made::<Barrier>(3);
        let _dead = bare::<Barrier>(&memory);
        let (mut first, mut second) = (join::<Barrier>(&memory), join::<Barrier>(&memory));
        bury(&memory, 0);
        let other = thread::spawn(move || second.wait());
        assert_eq!(first.wait().unwrap_err(), BarrierError::Broken);
        assert_eq!(other.join().unwrap().unwrap_err(), BarrierError::Broken);
    });
}

#[test]
fn what_a_party_did_before_it_arrived_and_died_is_seen() {
    explore_unfenced_with(2, || {
        let (memory, table) = (made::<Barrier>(2), slots(2));
        let mut dead = bare::<Barrier>(&memory);
        let mut other = join::<Barrier>(&memory);
        let dying = thread::spawn({
            let (memory, table) = (Arc::clone(&memory), Arc::clone(&table));
            move || {
                drop(cell(&table, 0));
                // Up to and with its arrival.
                let steps = 2;
                let word = &memory.control().robust.barrier;
                assert!(live_for(steps, || word.wait(&mut dead, &*memory, Deadline::NEVER)).is_none());
                bury(&memory, 0);
            }
        });
        let waiting = thread::spawn(move || {
            if other.wait().is_ok() {
                drop(cell(&table, 0));
            }
        });
        let _successor = loop {
            match take_part_in::<Barrier>(&memory, PARKING) {
                Ok(successor) => break ManuallyDrop::new(successor),
                Err(_) => thread::yield_now(),
            }
        };
        dying.join().unwrap();
        waiting.join().unwrap();
    });
}

#[test]
fn a_successor_comes_in_a_dead_partys_place() {
    explore_unfenced_with(2, || {
        let memory = made::<Barrier>(2);
        let _dead = bare::<Barrier>(&memory);
        memory.drop_lock_of_killed(0);
        let mut successor = join::<Barrier>(&memory);
        let mut other = join::<Barrier>(&memory);
        let waiting = thread::spawn(move || successor.wait().unwrap());
        other.wait().unwrap();
        waiting.join().unwrap();
    });
}

#[test]
fn who_gives_up_waiting_and_who_comes_agree() {
    explore_unfenced(|| {
        let memory = made::<Barrier>(2);
        let (mut hasty, mut other) = (join::<Barrier>(&memory), join::<Barrier>(&memory));
        let waiting = thread::spawn(move || {
            // Alone at the next meeting, it would wait for ever.
            other.wait_timeout(Duration::ZERO)
        });
        let own = hasty.wait_timeout(Duration::ZERO);
        let others = waiting.join().unwrap();
        assert_eq!(own.is_ok(), others.is_ok(), "{own:?}, {others:?}");
        assert!(own.is_ok() || own == Err(BarrierTimeoutError::Broken) || own == Err(BarrierTimeoutError::Timeout));
    });
}

#[test]
fn what_is_done_once_is_done_once_and_seen_by_all() {
    explore_unfenced(|| {
        let (memory, table) = (made::<Once>(2), slots(2));
        let run = |mut once: ManuallyDrop<Once>, table: Arc<Memory>| {
            let mut ran = false;
            once.call_once(|_| {
                drop(cell(&table, 0));
                ran = true;
            })
            .unwrap();
            drop(read_cell(&table));
            ran
        };
        let (first, second) = (join::<Once>(&memory), join::<Once>(&memory));
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || run(second, table)
        });
        let ran = run(first, table);
        assert_ne!(ran, other.join().unwrap(), "not once");
    });
}

#[test]
fn who_is_told_that_it_is_done_sees_what_was_done() {
    explore_unfenced(|| {
        let (memory, table) = (made::<Once>(2), slots(2));
        let (mut doing, asking) = (join::<Once>(&memory), join::<Once>(&memory));
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || doing.call_once(|_| drop(cell(&table, 0))).unwrap()
        });
        if asking.is_completed() {
            drop(read_cell(&table));
        }
        other.join().unwrap();
    });
}

#[test]
fn who_is_killed_doing_it_leaves_it_to_another() {
    die_at_every_step(|steps| {
        let (memory, table) = (made::<Once>(2), slots(2));
        let mut own = bare::<Once>(&memory);
        let mut survivor = join::<Once>(&memory);
        let doomed = thread::spawn({
            let (memory, table) = (Arc::clone(&memory), Arc::clone(&table));
            move || {
                let died = live_for(steps, || {
                    let word = &memory.control().robust.once;
                    if word.begin(&mut own, &*memory, Deadline::NEVER).unwrap() != Run::Done {
                        drop(cell(&table, 0));
                        word.finish();
                    }
                })
                .is_none();
                if died {
                    bury(&memory, 0);
                }
                died
            }
        });
        survivor.call_once(|_| drop(cell(&table, 0))).unwrap();
        drop(read_cell(&table));
        let died = doomed.join().unwrap();
        assert!(survivor.is_completed());
        died
    });
}

#[test]
fn who_has_just_joined_and_does_it_is_never_found_dead() {
    explore_unfenced(|| {
        let (memory, table) = (made::<Once>(2), slots(2));
        let mut asking = bare::<Once>(&memory);
        let joining = thread::spawn({
            let (memory, table) = (Arc::clone(&memory), Arc::clone(&table));
            move || join::<Once>(&memory).call_once(|_| drop(cell(&table, 0))).unwrap()
        });
        let word = &memory.control().robust.once;
        if let Ok(run) = word.begin(&mut asking, &*memory, Deadline::after(Duration::ZERO)) {
            assert_ne!(run, Run::Now(Data::InDoubt), "it lives");
            if run == Run::Now(Data::Consistent) {
                word.finish();
            }
        }
        joining.join().unwrap();
    });
}

#[test]
fn who_gives_up_doing_it_leaves_what_it_did_to_the_next() {
    explore_unfenced(|| {
        let (memory, table) = (made::<Once>(2), slots(2));
        let mut own = bare::<Once>(&memory);
        let mut next = join::<Once>(&memory);
        // Given up once already: the word says the same before and after.
        memory.control().robust.once.give_up();
        let other = thread::spawn({
            let (memory, table) = (Arc::clone(&memory), Arc::clone(&table));
            move || {
                let word = &memory.control().robust.once;
                if word.begin(&mut own, &*memory, Deadline::NEVER).unwrap() != Run::Done {
                    drop(cell(&table, 0));
                    word.give_up();
                }
            }
        });
        next.call_once(|_| drop(cell(&table, 0))).unwrap();
        other.join().unwrap();
    });
}
