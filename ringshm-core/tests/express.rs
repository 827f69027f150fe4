//! Small messages that are published alone travel with the cursor, whatever call publishes them; all others are read where they are.
//!
//! A third party that writes into the ring tells the one from the other: nonsense in the slot, or nonsense in the copies.

#![cfg(not(loom))]

use ringshm_core::express::{Express, LONGEST};
use ringshm_core::layout::{Geometry, LANES_AT, Lane};
use ringshm_core::message::Wishes;
use ringshm_core::open::Options;
use ringshm_core::{Behaviour, Consumer, Payload, Producer};
use std::fmt::Debug;
use std::fs::File;
use std::mem::offset_of;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const CAPACITY: u64 = 4;

/// What a third party writes.
const NONSENSE: u64 = 0xa5a5_a5a5_a5a5_a5a5;

/// Both sides of a ring, and a third party's access to it.
struct Live<T> {
    memfd: File,
    options: Options,
    producer: Producer<T>,
    consumer: Consumer<T>,
}

#[allow(unsafe_code, reason = "trusting is a promise")]
fn trusting() -> Behaviour {
    // SAFETY: whatever is written into the ring here, no guard is alive meanwhile.
    unsafe { Behaviour::default().trusting_peers() }
}

impl<T: Payload> Live<T> {
    fn new(behaviour: Behaviour) -> Self {
        let wishes = Wishes { capacity: Some(CAPACITY), ..Wishes::default() };
        let options = Options { wishes, behaviour, ..Options::default() };
        let memfd = options.memfd::<T>("express").expect("a small ring");
        let producer = options.producer_of::<T>(&memfd).expect("the role is free");
        let consumer = options.consumer_of::<T>(&memfd).expect("the role is free");
        Self { memfd: memfd.into(), options, producer, consumer }
    }

    fn spoil(&self, at: u64, len: usize) {
        self.memfd.write_all_at(&vec![NONSENSE as u8; len], at).expect("a memfd sealed against resizing only");
    }

    fn spoil_slots(&self) {
        let stride = size_of::<T>() as u64;
        let data_at = Geometry::slots(CAPACITY, stride, 0).expect("a small ring").data_at;
        self.spoil(data_at, (CAPACITY * stride) as usize);
    }

    fn spoil_copies(&self) {
        self.spoil((LANES_AT + offset_of!(Lane, express)) as u64, size_of::<Express>());
    }
}

/// A payload of bytes that tell the number and the place.
fn numbered<T: Payload>(number: u8) -> T {
    let bytes: Vec<u8> = (0..size_of::<T>() as u8).map(|at| number.wrapping_mul(37).wrapping_add(at)).collect();
    T::read_from_bytes(&bytes).unwrap_or_else(|_| unreachable!("as many bytes"))
}

/// A way to publish one message, and its name.
type Way<T> = (&'static str, fn(&mut Producer<T>, T));

fn ways<T: Payload + Debug>() -> Vec<Way<T>> {
    vec![
        ("try_send", |producer, message| producer.try_send(message).expect("room")),
        ("send", |producer, message| producer.send(message).expect("room")),
        ("send_timeout", |producer, message| producer.send_timeout(message, Duration::ZERO).expect("room")),
        ("try_send_slice", |producer, message| assert_eq!(producer.try_send_slice(&[message]).expect("room"), 1)),
        ("send_slice", |producer, message| producer.send_slice(&[message]).expect("room")),
        ("try_send_iter", |producer, message| assert_eq!(producer.try_send_iter([message]).expect("room"), 1)),
        ("send_iter", |producer, message| assert_eq!(producer.send_iter([message]).expect("room"), 1)),
        ("loan", |producer, message| {
            let mut loan = producer.loan().expect("room");
            *loan = message;
            loan.commit();
        }),
        ("unwind", |producer, message| {
            let mut first = Some(message);
            let messages = std::iter::from_fn(|| Some(first.take().expect("the iterator gives up")));
            catch_unwind(AssertUnwindSafe(|| producer.try_send_iter(messages))).expect_err("the panic goes on");
        }),
    ]
}

fn is_received_without_its_slot<T: Payload + PartialEq + Debug>() {
    assert!(size_of::<T>() <= LONGEST);
    for behaviour in [Behaviour::default(), trusting()] {
        let mut ring = Live::<T>::new(behaviour);
        for lap in 0..3 {
            for (index, (way, publish)) in ways::<T>().into_iter().enumerate() {
                let message = numbered(lap * 20 + index as u8);
                publish(&mut ring.producer, message);
                ring.spoil_slots();
                match (lap + index as u8) % 3 {
                    0 => assert_eq!(ring.consumer.try_recv(), Ok(message), "{way}"),
                    1 => assert_eq!(ring.consumer.recv(), Ok(message), "{way}"),
                    _ => {
                        ring.consumer.try_recv_ref().expect("a message").keep();
                        assert_eq!(*ring.consumer.try_recv_ref().expect("the same again"), message, "{way}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_small_message_published_alone_is_received_without_its_slot() {
    is_received_without_its_slot::<u8>();
    is_received_without_its_slot::<u64>();
    is_received_without_its_slot::<[u8; 13]>();
    is_received_without_its_slot::<[u32; 5]>();
    is_received_without_its_slot::<[u64; 3]>();
}

#[test]
fn a_longer_message_is_received_from_its_slot() {
    let mut ring = Live::<[u8; LONGEST + 1]>::new(Behaviour::default());
    for (index, (way, publish)) in ways::<[u8; LONGEST + 1]>().into_iter().enumerate() {
        let message = numbered(index as u8);
        publish(&mut ring.producer, message);
        ring.spoil_copies();
        assert_eq!(ring.consumer.try_recv(), Ok(message), "{way}");
    }
}

#[test]
fn what_was_not_seen_to_come_alone_is_received_from_its_slot() {
    let mut ring = Live::<u64>::new(Behaviour::default());
    for round in 0..4_u8 {
        let at = |index: u8| numbered::<u64>(round * 20 + index);
        // A batch.
        ring.producer.try_send_slice(&[at(0), at(1)]).expect("room");
        ring.spoil_copies();
        assert_eq!([ring.consumer.try_recv(), ring.consumer.try_recv()], [Ok(at(0)), Ok(at(1))]);
        // Two, before the consumer looks.
        ring.producer.try_send(at(2)).expect("room");
        ring.producer.try_send(at(3)).expect("room");
        ring.spoil_copies();
        assert_eq!([ring.consumer.try_recv(), ring.consumer.try_recv()], [Ok(at(2)), Ok(at(3))]);
        // One that it has seen, and that is not the last any more.
        ring.producer.try_send(at(4)).expect("room");
        ring.consumer.try_recv_ref().expect("a message").keep();
        ring.producer.try_send(at(5)).expect("room");
        ring.spoil_copies();
        assert_eq!(ring.consumer.try_recv(), Ok(at(4)));
        assert_eq!(ring.consumer.try_recv(), Ok(NONSENSE), "which has come alone again");
        // One that was there when the consumer came.
        ring.producer.try_send(at(6)).expect("room");
        ring.spoil_copies();
        ring.consumer.try_recv_ref().expect("a message").keep();
        ring.consumer.detach();
        ring.consumer = ring.options.consumer_of::<u64>(&ring.memfd).expect("the role is free");
        assert_eq!(ring.consumer.try_recv(), Ok(at(6)));
    }
}
