//! Messages made in the ring by an iterator, and received by one.

use ringshm_core::error::{RecvTimeoutError, SendError, SendSliceError, SendTimeoutError, TrySendError};
use ringshm_core::layout::Geometry;
use ringshm_core::memory::Memory;
use ringshm_core::message::{consumer_in, producer_in};
use ringshm_core::wait::Wait;
use ringshm_core::{Behaviour, Consumer, Fault, OnDeath, Producer};
use ringshm_sync::atomic::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

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
fn an_iterator_is_not_asked_again_after_its_end() {
    let (mut producer, mut consumer) = ring(8);
    let mut calls = 0_u64;
    let mut once_more = || {
        calls += 1;
        assert_ne!(calls, 4, "asked again after its end");
        (calls < 3).then_some(calls)
    };
    assert_eq!(producer.send_iter(std::iter::from_fn(&mut once_more)), Ok(2));
    assert_eq!(consumer.try_iter().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn an_iterator_without_a_known_length_fills_all_the_room() {
    let (mut producer, mut consumer) = ring(8);
    producer.send_iter(0..6).expect("there is room");
    assert_eq!(consumer.try_drain().expect("six").count(), 6);
    let mut next = 0;
    let endless = std::iter::from_fn(|| {
        next += 1;
        Some(next)
    });
    // The producer knows of two free slots, and of the others when it looks.
    assert_eq!(producer.try_send_iter(endless), Ok(8));
}

#[test]
fn a_slice_ends_where_its_ring_is_damaged_although_there_is_known_room() {
    let memory = Memory::on_heap(Geometry::slots(8, 8, 0).expect("a power of two"));
    let mut producer = producer_in::<u64>(&memory, Behaviour::default()).expect("the role is free");
    let _consumer = consumer_in::<u64>(&memory, Behaviour::default()).expect("the role is free");
    assert_eq!(producer.try_send_slice(&[0; 5]), Ok(5));
    memory.lane(1).cursor.store(1_000_000, Ordering::Relaxed);
    let cause = SendError::Fault((), Fault::Corrupt { field: "consumer cursor" });
    assert_eq!(producer.send_slice(&[0; 6]), Err(SendSliceError { sent: 0, cause }));
}

#[test]
fn a_wait_that_was_over_before_it_began_says_that_the_peer_is_gone() {
    let waits = [
        Wait::Spin,
        Wait::SpinThenYield(Duration::ZERO),
        Wait::SpinThenPark(Duration::ZERO),
        Wait::default(),
        Wait::Park,
    ];
    for wait in waits {
        let memory = Memory::on_heap(Geometry::slots(1, 8, 0).expect("a power of two"));
        let behaviour = Behaviour::new(wait, OnDeath::Disconnect);
        let mut producer = producer_in::<u64>(&memory, behaviour).expect("the role is free");
        let mut consumer = consumer_in::<u64>(&memory, behaviour).expect("the role is free");
        assert_eq!(consumer.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout), "{wait:?}");
        producer.send(1).expect("there is room");
        assert_eq!(producer.send_timeout(2, Duration::ZERO), Err(SendTimeoutError::Timeout(2)), "{wait:?}");
        assert_eq!(consumer.recv_timeout(Duration::ZERO), Ok(1), "{wait:?}");
        drop(producer);
        assert_eq!(consumer.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected), "{wait:?}");
    }
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
