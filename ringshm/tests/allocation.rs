//! Once a ring is open, sending and receiving allocate nothing: neither the ordinary calls, nor loans, guards, drains and
//! slices, nor waiting.
//!
//! # Safety
//! The allocator is the system's, with a counter before it.

// The crash points keep a list of what they have seen.
#![cfg(not(feature = "crash-points"))]
#![allow(unsafe_code, reason = "an allocator that counts, and the promise to trust oneself")]

use ringshm::{
    Builder, Consumer, Message, Producer, RecordConsumer, RecordProducer, RecvTimeoutError, SendTimeoutError,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;
use support::{Folder, NAME};

mod support;

/// Counts what each thread asks for.
struct Counting;

thread_local! {
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    REQUESTS.set(REQUESTS.get() + 1);
}

// SAFETY: everything is passed on to the system's allocator; the counter is plain thread-local memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `alloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: as for `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `calls` once to warm up, then `times`, and returns how often that asked the allocator for something.
fn requests_of(times: u64, mut calls: impl FnMut(u64)) -> u64 {
    calls(0);
    let before = REQUESTS.get();
    (1..=times).for_each(calls);
    REQUESTS.get() - before
}

/// Rounds of a test: each makes some ten calls on either side.
const ROUNDS: u64 = 50_000;
const MOMENT: Duration = Duration::from_millis(1);
const LONGEST: usize = 100;

/// Both handles of a ring with room for eight messages, named, in a memfd and on the heap; with a private copy for each guard,
/// and without.
fn each_ring<M: Message + ?Sized>(capacity: u64, mut test: impl FnMut(&str, M::Producer, M::Consumer)) {
    let folder = Folder::new();
    let builder = || folder.spsc::<M>(NAME).capacity(capacity);
    let trusting = || {
        // SAFETY: both sides are this thread, and nobody else knows the ring.
        unsafe { builder().trust_peers() }
    };
    for (trust, builder) in [("copying", &builder as &dyn Fn() -> Builder<M>), ("in place", &trusting)] {
        let open = "a small ring";
        test(&format!("named, {trust}"), builder().producer().expect(open), builder().consumer().expect(open));
        let memfd = builder().memfd().expect(open);
        let (producer, consumer) = (builder().producer_of(&memfd), builder().consumer_of(&memfd));
        test(&format!("memfd, {trust}"), producer.expect(open), consumer.expect(open));
        let (producer, consumer) = builder().threads().expect(open);
        test(&format!("heap, {trust}"), producer, consumer);
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(requests_of(10, |_| drop(std::hint::black_box(Box::new(1)))), 20);
    assert_eq!(requests_of(10, |_| ()), 0);
}

#[test]
fn messages_are_sent_and_received_without_allocation() {
    each_ring::<[u64; 4]>(8, |place, mut producer, mut consumer| {
        assert_eq!(requests_of(ROUNDS, |n| messages(&mut producer, &mut consumer, n)), 0, "{place}");
        assert_eq!(requests_of(20, |_| waits(&mut producer, &mut consumer)), 0, "{place}");
    });
}

fn messages(producer: &mut Producer<[u64; 4]>, consumer: &mut Consumer<[u64; 4]>, n: u64) {
    let message = [n, !n, n ^ 7, 1];
    producer.try_send(message).expect("room");
    producer.send(message).expect("room");
    producer.send_timeout(message, MOMENT).expect("room");
    assert_eq!(producer.try_send_slice(&[message; 2]), Ok(2));
    producer.send_slice(&[message; 2]).expect("room");
    let mut loan = producer.try_loan().expect("room");
    *loan = message;
    loan.commit();
    assert!(producer.try_send(message).is_err() && producer.try_loan().is_err(), "full");
    assert_eq!(consumer.try_recv(), Ok(message));
    assert_eq!(consumer.recv(), Ok(message));
    assert_eq!(consumer.recv_timeout(MOMENT), Ok(message));
    assert_eq!(*consumer.recv_ref().expect("a message"), message);
    consumer.try_recv_ref().expect("a message").keep();
    assert_eq!(consumer.try_drain().expect("messages").take(2).filter(|found| *found == message).count(), 2);
    assert_eq!(consumer.try_iter().filter(|found| *found == message).count(), 2);
    assert!(consumer.try_recv().is_err() && consumer.try_drain().is_err(), "empty");
    assert!(producer.is_empty() && consumer.is_empty() && producer.sent() == consumer.received());
}

fn waits(producer: &mut Producer<[u64; 4]>, consumer: &mut Consumer<[u64; 4]>) {
    assert_eq!(consumer.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
    while producer.try_send([0; 4]).is_ok() {}
    assert_eq!(producer.send_timeout([1; 4], MOMENT), Err(SendTimeoutError::Timeout([1; 4])));
    assert_eq!(consumer.drain().expect("messages").count(), 8);
}

#[test]
fn records_are_sent_and_received_without_allocation() {
    each_ring::<[u8]>(4096, |place, mut producer, mut consumer| {
        let mut buffer = Vec::with_capacity(LONGEST);
        let calls = |n| records(&mut producer, &mut consumer, &mut buffer, n);
        assert_eq!(requests_of(ROUNDS, calls), 0, "{place}");
        assert_eq!(requests_of(20, |_| record_waits(&mut producer, &mut consumer)), 0, "{place}");
    });
}

fn records(producer: &mut RecordProducer, consumer: &mut RecordConsumer, buffer: &mut Vec<u8>, n: u64) {
    let bytes = [n as u8; LONGEST];
    // The first round uses the longest ones, so that the handles' own buffers are warm.
    let record = &bytes[..LONGEST - n as usize % LONGEST];
    producer.try_send(record).expect("room");
    producer.send(record).expect("room");
    producer.send_timeout(record, MOMENT).expect("room");
    assert_eq!(producer.try_send_slice(&[record; 2]), Ok(2));
    producer.send_slice(&[record; 2]).expect("room");
    let mut loan = producer.try_loan(LONGEST).expect("room");
    loan[..record.len()].copy_from_slice(record);
    loan.commit_first(record.len());
    assert_eq!((consumer.try_recv(buffer), &buffer[..]), (Ok(record.len()), record));
    assert_eq!((consumer.recv(buffer), &buffer[..]), (Ok(record.len()), record));
    assert_eq!((consumer.recv_timeout(buffer, MOMENT), &buffer[..]), (Ok(record.len()), record));
    assert_eq!(*consumer.recv_ref().expect("a record"), *record);
    consumer.try_recv_ref().expect("a record").keep();
    let mut drain = consumer.drain().expect("records");
    let mut count = 0;
    while let Some(found) = drain.next().expect("a whole ring") {
        assert_eq!(found, record);
        count += 1;
    }
    drop(drain);
    assert_eq!(count, 4);
    assert!(consumer.try_recv(buffer).is_err() && consumer.try_drain().is_err(), "empty");
    assert!(producer.is_empty() && consumer.is_empty() && producer.sent() == consumer.received());
}

fn record_waits(producer: &mut RecordProducer, consumer: &mut RecordConsumer) {
    assert!(consumer.recv_ref_timeout(MOMENT).is_err(), "empty");
    while producer.try_send(&[0; LONGEST]).is_ok() {}
    assert!(producer.send_timeout(&[1; LONGEST], MOMENT).is_err(), "full");
    let mut drain = consumer.drain().expect("records");
    while drain.next().expect("a whole ring").is_some() {}
}
