//! The SPSC ring: each edge, and each way of waiting.
#![cfg(loom)]

use loom::thread;
use loom_tests::{PARKING, SPINNING, explore, explore_unfenced, explore_with, records, slots_of};
use ringshm_core::error::TryRecvError;
use ringshm_core::message::{consumer_in, producer_in};
use ringshm_core::{Behaviour, Peer, Role};
use ringshm_sync::atomic::Ordering::Relaxed;

/// Too long to travel with the cursor: these models are about slots.
type Long = [u64; 4];

const fn long(number: u64) -> Long {
    [number; 4]
}

/// Sends `count` numbers through a ring of `capacity` slots from a thread of its own.
fn transfer(capacity: u64, count: u64, behaviour: Behaviour) {
    let ring = slots_of::<Long>(capacity);
    let mut producer = producer_in::<Long>(&ring, behaviour).unwrap();
    let mut consumer = consumer_in::<Long>(&ring, behaviour).unwrap();
    let sender = thread::spawn(move || {
        for message in 1..=count {
            producer.send(long(message)).unwrap();
        }
    });
    for message in 1..=count {
        assert_eq!(consumer.recv(), Ok(long(message)));
    }
    sender.join().unwrap();
    assert_eq!(consumer.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn publish_carries_the_message_to_the_consumer() {
    explore_unfenced(|| transfer(4, 2, SPINNING));
}

#[test]
fn release_carries_the_room_back_to_the_producer() {
    explore_unfenced(|| transfer(1, 2, SPINNING));
}

#[test]
fn both_sides_sleep_and_are_woken() {
    explore_with(2, || transfer(1, 2, PARKING));
}

#[test]
fn close_is_seen_after_everything_that_was_sent() {
    explore_unfenced(|| {
        let ring = slots_of::<Long>(2);
        let mut producer = producer_in::<Long>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<Long>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || producer.try_send(long(7)).unwrap());
        let mut received = Vec::new();
        loop {
            match consumer.try_recv() {
                Ok(message) => received.push(message),
                Err(TryRecvError::Empty) => thread::yield_now(),
                Err(end) => break assert_eq!(end, TryRecvError::Disconnected),
            }
        }
        assert_eq!(received, [long(7)]);
        sender.join().unwrap();
    });
}

#[test]
fn a_closed_role_has_its_final_cursor() {
    explore_unfenced(|| {
        let ring = slots_of::<Long>(2);
        let mut producer = producer_in::<Long>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || producer.try_send(long(7)).unwrap());
        if ring.peer_state(Role::Producer.lane()) == Peer::Closed {
            assert_eq!(ring.lane(Role::Producer.lane()).cursor.load(Relaxed), 1);
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_sleeping_consumer_learns_that_the_producer_closed() {
    explore(|| {
        let ring = slots_of::<Long>(2);
        let producer = producer_in::<Long>(&ring, PARKING).unwrap();
        let mut consumer = consumer_in::<Long>(&ring, PARKING).unwrap();
        let closer = thread::spawn(move || drop(producer));
        assert!(consumer.recv().is_err());
        closer.join().unwrap();
    });
}

#[test]
fn a_producer_that_takes_over_goes_on_where_the_last_one_stopped() {
    explore_unfenced(|| {
        let ring = slots_of::<Long>(2);
        let mut first = producer_in::<Long>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<Long>(&ring, SPINNING).unwrap();
        let leaver = thread::spawn(move || {
            first.try_send(long(1)).unwrap();
            first.detach();
        });
        let mut second = loop {
            match producer_in::<Long>(&ring, SPINNING) {
                Ok(producer) => break producer,
                Err(_) => thread::yield_now(),
            }
        };
        assert_eq!(second.sent(), 1);
        second.try_send(long(2)).unwrap();
        assert_eq!(consumer.try_iter().collect::<Vec<_>>(), [1, 2].map(long));
        leaver.join().unwrap();
    });
}

#[test]
fn a_consumer_that_takes_over_goes_on_where_the_last_one_stopped() {
    explore_unfenced(|| {
        let ring = slots_of::<Long>(2);
        let mut producer = producer_in::<Long>(&ring, SPINNING).unwrap();
        let mut first = consumer_in::<Long>(&ring, SPINNING).unwrap();
        producer.try_send_slice(&[1, 2].map(long)).unwrap();
        let leaver = thread::spawn(move || {
            assert_eq!(first.try_recv(), Ok(long(1)));
            first.detach();
        });
        let mut second = loop {
            match consumer_in::<Long>(&ring, SPINNING) {
                Ok(consumer) => break consumer,
                Err(_) => thread::yield_now(),
            }
        };
        assert_eq!(second.try_recv(), Ok(long(2)));
        producer.try_send(long(3)).unwrap();
        assert_eq!(second.try_recv(), Ok(long(3)));
        leaver.join().unwrap();
    });
}

#[test]
fn a_consumer_that_joins_late_sees_what_was_published_before() {
    explore_unfenced(|| {
        let ring = slots_of::<Long>(2);
        let mut producer = producer_in::<Long>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || {
            producer.try_send(long(7)).unwrap();
            producer.detach();
        });
        let mut consumer = consumer_in::<Long>(&ring, SPINNING).unwrap();
        let seen = consumer.try_recv();
        assert!(seen == Ok(long(7)) || seen == Err(TryRecvError::Empty));
        sender.join().unwrap();
    });
}

#[test]
fn a_producer_that_joins_late_overwrites_only_what_was_released_before() {
    explore_unfenced(|| {
        let ring = slots_of::<Long>(1);
        let mut first = producer_in::<Long>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<Long>(&ring, SPINNING).unwrap();
        first.try_send(long(1)).unwrap();
        first.detach();
        let receiver = thread::spawn(move || {
            assert_eq!(consumer.try_recv(), Ok(long(1)));
            consumer.detach();
        });
        let mut second = producer_in::<Long>(&ring, SPINNING).unwrap();
        let _sent_or_full = second.try_send(long(2));
        receiver.join().unwrap();
    });
}

#[test]
fn records_and_their_padding_pass_whole() {
    explore_unfenced(|| {
        // 64 bytes: the first record takes 32, the second 16, and the third finds 16 before the wrap: it needs padding.
        let ring = records(64);
        let mut producer = producer_in::<[u8]>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<[u8]>(&ring, SPINNING).unwrap();
        let messages: [&[u8]; 3] = [&[1; 24], &[2; 8], &[3; 20]];
        let sender = thread::spawn(move || {
            for message in messages {
                producer.send(message).unwrap();
            }
        });
        for message in messages {
            assert_eq!(&*consumer.recv_ref().unwrap(), message);
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_batch_is_published_and_released_as_one() {
    explore_unfenced(|| {
        let ring = slots_of::<Long>(4);
        let mut producer = producer_in::<Long>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<Long>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || producer.send_slice(&[1, 2, 3].map(long)).unwrap());
        let first = consumer.drain().unwrap().collect::<Vec<_>>();
        assert_eq!(first, [1, 2, 3].map(long));
        sender.join().unwrap();
    });
}

#[test]
fn a_loan_and_a_borrowed_read_are_exclusive_to_their_sides() {
    explore_unfenced(|| {
        let ring = slots_of::<Long>(1);
        let mut producer = producer_in::<Long>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<Long>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || {
            for message in 1..=2 {
                let mut loan = producer.loan().unwrap();
                *loan = long(message);
                loan.commit();
            }
        });
        for message in 1..=2 {
            assert_eq!(*consumer.recv_ref().unwrap(), long(message));
        }
        sender.join().unwrap();
    });
}
