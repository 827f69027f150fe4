//! Message counts, read while their owner publishes.
#![cfg(loom)]

use loom::thread;
use loom_tests::{SPINNING, explore_unfenced, records};
use ringshm_core::Role;
use ringshm_core::message::{consumer_in, producer_in};

#[test]
fn a_count_belongs_to_its_cursor_however_fast_the_owner_is() {
    explore_unfenced(|| {
        let ring = records(64);
        let mut producer = producer_in::<[u8]>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || {
            for _ in 0..2 {
                producer.try_send(&[0; 8]).unwrap();
            }
            producer.detach();
        });
        let lane = ring.lane(Role::Producer.lane());
        // A reader that is too slow is told so; what it is told must be true.
        if let Some((cursor, count)) = lane.ledger.count(&lane.cursor) {
            assert_eq!(cursor, count * 16);
        }
        sender.join().unwrap();
        assert_eq!(lane.ledger.count(&lane.cursor), Some((32, 2)));
    });
}

#[test]
fn a_count_is_found_beside_a_single_publication() {
    explore_unfenced(|| {
        let ring = records(64);
        let mut producer = producer_in::<[u8]>(&ring, SPINNING).unwrap();
        let sender = thread::spawn(move || {
            producer.try_send(&[0; 8]).unwrap();
            producer.detach();
        });
        let lane = ring.lane(Role::Producer.lane());
        let (cursor, count) = lane.ledger.count(&lane.cursor).expect("one publication takes one attempt more");
        assert_eq!(cursor, count * 16);
        sender.join().unwrap();
    });
}

#[test]
fn a_released_count_is_found_beside_a_single_release() {
    explore_unfenced(|| {
        let ring = records(64);
        let mut producer = producer_in::<[u8]>(&ring, SPINNING).unwrap();
        let mut consumer = consumer_in::<[u8]>(&ring, SPINNING).unwrap();
        producer.try_send(&[0; 8]).unwrap();
        let receiver = thread::spawn(move || drop(consumer.try_recv_ref().unwrap()));
        let lane = ring.lane(Role::Consumer.lane());
        let (cursor, count) = lane.ledger.count(&lane.cursor).expect("one release takes one attempt more");
        assert_eq!(cursor, count * 16);
        receiver.join().unwrap();
    });
}
