//! Messages that travel with their cursor: what a consumer copies from there is what was published, however fast the producer is, and whoever died.
#![cfg(loom)]

use loom::thread;
use loom_tests::{SPINNING, die_at_every_step_unfenced, explore_unfenced, live_for, slots, slots_of};
use ringshm_core::Role;
use ringshm_core::message::{consumer_in, producer_in};
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// Of two words, so that halves of two would be seen.
type Pair = [u64; 2];

fn pair(number: u64) -> Pair {
    [number; 2]
}

#[test]
fn a_copy_that_a_later_message_replaces_is_not_believed() {
    explore_unfenced(|| {
        let ring = slots_of::<Pair>(4);
        let mut producer = producer_in::<Pair>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<Pair>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || (1..=3).for_each(|number| producer.try_send(pair(number)).unwrap()));
        for number in 1..=3 {
            assert_eq!(consumer.recv(), Ok(pair(number)));
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_guard_has_the_copy_or_the_slot_of_its_message() {
    explore_unfenced(|| {
        let ring = slots_of::<Pair>(4);
        let mut producer = producer_in::<Pair>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<Pair>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || (1..=3).for_each(|number| producer.try_send(pair(number)).unwrap()));
        consumer.recv_ref().unwrap().keep();
        for number in 1..=3 {
            assert_eq!(*consumer.recv_ref().unwrap(), pair(number));
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_message_that_a_batch_follows_is_read_where_it_is() {
    explore_unfenced(|| {
        let ring = slots_of::<Pair>(4);
        let mut producer = producer_in::<Pair>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<Pair>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || {
            producer.try_send(pair(1)).unwrap();
            producer.try_send_slice(&[pair(2), pair(3)]).unwrap();
            producer.try_send(pair(4)).unwrap();
        });
        for number in 1..=4 {
            assert_eq!(consumer.recv(), Ok(pair(number)));
        }
        sender.join().unwrap();
    });
}

/// The predecessor's messages are 1 and 2; the successor's, who goes on where it finds the cursor, are greater by this.
const SUCCESSOR: u64 = 100;

#[test]
fn a_producer_killed_at_any_step_and_its_successor_copy_what_they_publish() {
    die_at_every_step_unfenced(2, |steps| {
        let ring = slots(4);
        let mut consumer = consumer_in::<u64>(&ring, SPINNING).unwrap();
        let mut doomed = ManuallyDrop::new(producer_in::<u64>(&ring, SPINNING).unwrap());
        doomed.try_send(1).unwrap();
        let senders = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let died = live_for(steps, || doomed.try_send(2).unwrap()).is_none();
                ring.drop_lock_of_killed(Role::Producer.lane());
                let mut successor = ManuallyDrop::new(producer_in::<u64>(&ring, SPINNING).unwrap());
                let first = successor.sent() + 1;
                (first..=3).for_each(|number| successor.try_send(number + SUCCESSOR).unwrap());
                (first, died)
            }
        });
        let mut received = Vec::new();
        while received.len() < 3 {
            match consumer.try_recv() {
                Ok(message) => received.push(message),
                // Perhaps it is told of the death; its successor comes.
                Err(_) => thread::yield_now(),
            }
        }
        let (first, died) = senders.join().unwrap();
        let sent = (1..=3).map(|number| if number < first { number } else { number + SUCCESSOR });
        assert_eq!(received, sent.collect::<Vec<_>>());
        died
    });
}
