//! Messages made in the ring by an iterator, and received by one.

use ringshm_core::error::{SendError, SendSliceError, TrySendError};
use ringshm_core::layout::Geometry;
use ringshm_core::memory::Memory;
use ringshm_core::message::{consumer_in, producer_in};
use ringshm_core::{Behaviour, Consumer, Producer};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn ring(capacity: u64) -> (Producer<u64>, Consumer<u64>) {
    let memory = Memory::on_heap(Geometry::slots(capacity, 8, 0).expect("a power of two"));
    let producer = producer_in::<u64>(&memory, Behaviour::default()).expect("the role is free");
    let consumer = consumer_in::<u64>(&memory, Behaviour::default()).expect("the role is free");
    (producer, consumer)
}

#[test]
fn what_an_iterator_made_before_it_panicked_is_sent() {
    let (mut producer, mut consumer) = ring(8);
    let messages = (0..8).inspect(|number| assert!(*number < 3, "the iterator gives up"));
    catch_unwind(AssertUnwindSafe(|| producer.try_send_iter(messages))).expect_err("the panic goes on");
    assert_eq!(consumer.try_drain().expect("three").collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(producer.try_send_iter(3..100), Ok(8), "the handle works on");
    assert_eq!(consumer.try_drain().expect("eight").collect::<Vec<_>>(), (3..11).collect::<Vec<_>>());
}

#[test]
fn a_message_that_could_not_be_sent_comes_back() {
    let (mut producer, consumer) = ring(8);
    let mut messages = 0..20;
    assert_eq!(producer.try_send_iter(&mut messages), Ok(8));
    assert_eq!(producer.try_send_iter(&mut messages), Err(TrySendError::Full(())));
    drop(consumer);
    let cause = SendError::Disconnected(8);
    assert_eq!(producer.send_iter(&mut messages), Err(SendSliceError { sent: 0, cause }));
    assert_eq!(messages.next(), Some(9));
}

#[test]
fn an_iterator_releases_an_eighth_of_the_ring_at_a_time() {
    let (mut producer, mut consumer) = ring(64);
    producer.send_iter(0..64).expect("there is room");
    let mut messages = consumer.iter();
    for number in 0..8 {
        assert_eq!(producer.try_send(number), Err(TrySendError::Full(number)));
        assert_eq!(messages.next(), Some(number));
    }
    assert_eq!(messages.next(), Some(8));
    assert_eq!(producer.try_send_iter(64..100), Ok(8));
    drop(messages);
    assert_eq!(producer.try_send_iter(72..100), Ok(1), "dropping it releases what it handed out");
    assert_eq!(consumer.try_iter().collect::<Vec<_>>(), (9..73).collect::<Vec<_>>());
}

#[test]
fn an_iterator_at_each_end_carries_a_stream() {
    let (mut producer, mut consumer) = ring(64);
    std::thread::scope(|scope| {
        scope.spawn(move || assert_eq!(producer.send_iter(0..1_000_000), Ok(1_000_000)));
        assert!(consumer.iter().eq(0..1_000_000));
    });
    assert_eq!(consumer.received(), 1_000_000);
}
