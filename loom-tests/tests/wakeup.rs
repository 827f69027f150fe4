//! Rings of many whose participants sleep on semaphores: nobody sleeps beside a message, whoever is killed.
#![cfg(loom)]
#![allow(clippy::disallowed_types, reason = "counts deaths, outside of what loom explores")]

use loom::thread;
use loom_tests::{PARKING, explore_with, live_until};
use ringshm_core::Role;
use ringshm_core::broadcast::{Broadcast, reader_in};
use ringshm_core::latest::Latest;
use ringshm_core::layout::Wakeup;
use ringshm_core::memory::Memory;
use ringshm_core::message::{Message, Wishes, consumer_in, producer_in};
use ringshm_core::mpmc::Mpmc;
use ringshm_sync::semaphore::Semaphore;
use std::mem::ManuallyDrop;
use std::sync::Arc;

fn ring<M: Message + ?Sized>(capacity: u64) -> Arc<Memory> {
    let wakeup = Wakeup::Semaphore;
    let wishes = Wishes { capacity: Some(capacity), producers: 2, consumers: 2, wakeup, ..Wishes::default() };
    Memory::on_heap(M::geometry(&wishes).expect("a small ring"))
}

fn semaphore(ring: &Memory, lane: usize) -> &Semaphore {
    &ring.lane(lane).presence.semaphore
}

/// What the kernel does when a process is gone.
fn bury(ring: &Memory, lane: usize) {
    ring.drop_lock_of_killed(lane);
}

/// The bounds of all parks run out, as they do when somebody was killed who was to end them.
fn expire(ring: &Memory) {
    for lane in 0..ring.geometry().lanes() {
        semaphore(ring, lane).expire();
    }
}

/// Runs `model` for a participant that dies at each of these points, if it comes there; it says whether it did.
fn die_at(points: &[&'static str], model: fn(&'static str) -> bool) {
    use std::sync::atomic::{AtomicBool, Ordering};
    for &point in points {
        let has_died = Arc::new(AtomicBool::new(false));
        explore_with(2, {
            let has_died = Arc::clone(&has_died);
            move || {
                has_died.fetch_or(model(point), Ordering::Relaxed);
            }
        });
        assert!(has_died.load(Ordering::Relaxed), "nobody ever comes to {point}");
    }
}

#[test]
fn of_a_work_queue_a_consumer_asleep_on_a_semaphore_is_woken_by_a_message() {
    explore_with(2, || {
        let ring = ring::<Mpmc<u64>>(1);
        let mut producer = producer_in::<Mpmc<u64>>(&ring, PARKING).unwrap();
        let mut consumer = consumer_in::<Mpmc<u64>>(&ring, PARKING).unwrap();
        let sender = thread::spawn(move || {
            producer.try_send(1).unwrap();
            producer.detach();
        });
        assert_eq!(consumer.recv(), Ok(1));
        sender.join().unwrap();
    });
}

#[test]
fn of_a_work_queue_a_producer_asleep_on_a_semaphore_is_woken_by_a_release() {
    explore_with(2, || {
        let ring = ring::<Mpmc<u64>>(1);
        let mut producer = producer_in::<Mpmc<u64>>(&ring, PARKING).unwrap();
        let mut consumer = consumer_in::<Mpmc<u64>>(&ring, PARKING).unwrap();
        producer.try_send(1).unwrap();
        let receiver = thread::spawn(move || {
            assert_eq!(consumer.try_recv(), Ok(1));
            consumer.detach();
        });
        producer.send(2).unwrap();
        receiver.join().unwrap();
    });
}

#[test]
fn of_a_work_queue_two_consumers_asleep_on_semaphores_are_woken_by_two_messages() {
    explore_with(1, || {
        let ring = ring::<Mpmc<u64>>(2);
        let mut producer = ManuallyDrop::new(producer_in::<Mpmc<u64>>(&ring, PARKING).unwrap());
        let [first, second] = [0, 1].map(|_| {
            let mut consumer = ManuallyDrop::new(consumer_in::<Mpmc<u64>>(&ring, PARKING).unwrap());
            thread::spawn(move || consumer.recv().unwrap())
        });
        assert_eq!(producer.try_send_slice(&[1, 2]), Ok(2));
        assert_eq!(first.join().unwrap() + second.join().unwrap(), 3);
    });
}

#[test]
fn of_a_work_queue_a_message_wakes_a_live_sleeper_and_not_only_a_dead_one() {
    die_at(&["bell.drained", "sleepers.announced", "semaphore.waiting"], |point| {
        let ring = ring::<Mpmc<u64>>(1);
        let mut producer = producer_in::<Mpmc<u64>>(&ring, PARKING).unwrap();
        let mut dead = ManuallyDrop::new(consumer_in::<Mpmc<u64>>(&ring, PARKING).unwrap());
        let has_died = live_until(point, || dead.recv()).is_none();
        // A successor in its lane would begin anew: this one has another.
        let mut consumer = consumer_in::<Mpmc<u64>>(&ring, PARKING).unwrap();
        bury(&ring, dead.lane());
        let receiver = thread::spawn(move || {
            let message = consumer.recv();
            consumer.detach();
            message
        });
        producer.send(1).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(1));
        has_died
    });
}

#[test]
fn of_a_work_queue_a_waker_killed_anywhere_delays_a_sleeper_by_one_park() {
    die_at(&["mpmc.published", "sleepers.taken", "doorbell.answered", "semaphore.counted"], |point| {
        let ring = ring::<Mpmc<u64>>(1);
        let mut doomed = ManuallyDrop::new(producer_in::<Mpmc<u64>>(&ring, PARKING).unwrap());
        let mut consumer = consumer_in::<Mpmc<u64>>(&ring, PARKING).unwrap();
        let waker = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                // It may find nobody asleep, and so live.
                let has_died = live_until(point, || doomed.try_send(1).unwrap()).is_none();
                if has_died {
                    expire(&ring);
                }
                bury(&ring, doomed.lane());
                has_died
            }
        });
        assert_eq!(consumer.recv(), Ok(1));
        waker.join().unwrap()
    });
}

#[test]
fn of_a_work_queue_a_consumer_asleep_on_a_semaphore_is_woken_by_the_last_close() {
    explore_with(2, || {
        let ring = ring::<Mpmc<u64>>(1);
        let producer = producer_in::<Mpmc<u64>>(&ring, PARKING).unwrap();
        let mut consumer = consumer_in::<Mpmc<u64>>(&ring, PARKING).unwrap();
        let leaver = thread::spawn(move || drop(producer));
        assert!(consumer.recv().is_err());
        leaver.join().unwrap();
    });
}

#[test]
fn of_a_feed_readers_and_a_producer_asleep_on_semaphores_are_woken() {
    explore_with(2, || {
        let ring = ring::<Broadcast<u64>>(1);
        let mut producer = ManuallyDrop::new(producer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        let mut consumer = ManuallyDrop::new(consumer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        producer.try_send(1).unwrap();
        let sender = thread::spawn(move || producer.send(2).unwrap());
        for number in 1..=2 {
            assert_eq!(consumer.recv(), Ok(number));
        }
        sender.join().unwrap();
    });
}

#[test]
fn of_a_feed_a_reader_asleep_on_a_semaphore_is_woken_by_a_close() {
    explore_with(2, || {
        let ring = ring::<Broadcast<u64>>(1);
        let producer = producer_in::<Broadcast<u64>>(&ring, PARKING).unwrap();
        let mut consumer = ManuallyDrop::new(consumer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        let leaver = thread::spawn(move || drop(producer));
        assert!(consumer.recv().is_err());
        leaver.join().unwrap();
    });
}

#[test]
fn of_a_feed_one_message_wakes_two_readers_asleep_on_semaphores() {
    explore_with(2, || {
        let ring = ring::<Broadcast<u64>>(2);
        let mut producer = ManuallyDrop::new(producer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        let readers = [0, 1].map(|_| {
            let mut consumer = ManuallyDrop::new(consumer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
            thread::spawn(move || assert_eq!(consumer.recv(), Ok(7)))
        });
        producer.send(7).unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn of_a_feed_one_message_wakes_a_reader_with_a_semaphore_and_one_without() {
    explore_with(2, || {
        let ring = ring::<Broadcast<u64>>(2);
        let mut producer = ManuallyDrop::new(producer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        let mut with = ManuallyDrop::new(consumer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        let mut without = reader_in::<Broadcast<u64>>(&ring, PARKING).unwrap();
        let readers = [
            thread::spawn(move || assert_eq!(with.recv(), Ok(7))),
            thread::spawn(move || assert_eq!(without.recv(), Ok(7))),
        ];
        producer.send(7).unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn of_a_feed_a_producer_killed_anywhere_delays_a_reader_by_one_park() {
    die_at(&["broadcast.published", "eventcount.counted", "doorbell.answered", "semaphore.counted"], |point| {
        let ring = ring::<Broadcast<u64>>(2);
        let mut doomed = ManuallyDrop::new(producer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        let mut consumer = ManuallyDrop::new(consumer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        let waker = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                // As above.
                let has_died = live_until(point, || doomed.send(7).unwrap()).is_none();
                if has_died {
                    expire(&ring);
                }
                bury(&ring, ring.lanes_of(Role::Producer).start);
                has_died
            }
        });
        assert_eq!(consumer.recv(), Ok(7));
        waker.join().unwrap()
    });
}

#[test]
fn of_a_feed_a_reader_killed_in_its_sleep_costs_one_post_and_keeps_nobody_asleep() {
    die_at(&["bell.drained", "eventcount.announced", "semaphore.waiting"], |point| {
        let ring = ring::<Broadcast<u64>>(4);
        let mut producer = ManuallyDrop::new(producer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        let mut dead = ManuallyDrop::new(consumer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        let mut live = ManuallyDrop::new(consumer_in::<Broadcast<u64>>(&ring, PARKING).unwrap());
        let lane = ring.lanes_of(Role::Consumer).start;
        let has_died = live_until(point, || dead.recv()).is_none();
        bury(&ring, lane);
        let reader = thread::spawn(move || assert_eq!(live.recv(), Ok(1)));
        producer.send(1).unwrap();
        reader.join().unwrap();
        let posted = semaphore(&ring, lane).value();
        assert_eq!(posted, u32::from(point != "bell.drained"), "one for its announcement");
        producer.send(2).unwrap();
        assert_eq!(semaphore(&ring, lane).value(), posted, "somebody posts for nobody");
        has_died
    });
}

#[test]
fn of_a_register_a_reader_asleep_on_a_semaphore_is_woken_by_a_value() {
    explore_with(2, || {
        let ring = ring::<Latest<u64>>(1);
        let mut writer = ManuallyDrop::new(producer_in::<Latest<u64>>(&ring, PARKING).unwrap());
        let mut reader = ManuallyDrop::new(consumer_in::<Latest<u64>>(&ring, PARKING).unwrap());
        let thread = thread::spawn(move || writer.write(7).unwrap());
        assert_eq!(reader.next_change(), Some(7));
        thread.join().unwrap();
    });
}
