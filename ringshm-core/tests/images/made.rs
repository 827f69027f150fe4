//! Good images, made by the library itself: what the others are damaged copies of.

use crate::drain;
use crate::image::{Bed, HEADER, WAYS};
use ringshm_core::message::Wishes;
use ringshm_core::open::Options;
use ringshm_core::{Message, Peer};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The bytes of a ring in which `act` sent and received. Both sides have left it to successors.
pub(crate) fn image_of<M: Message + ?Sized>(
    capacity: u64,
    origin: u64,
    act: impl FnOnce(&mut M::Producer, &mut M::Consumer),
    leave: impl FnOnce(M::Producer, M::Consumer),
) -> Vec<u8> {
    let options =
        Options { wishes: Wishes { capacity: Some(capacity), origin, ..Wishes::default() }, ..Options::default() };
    let memfd = options.memfd::<M>("good").expect("a small ring");
    let mut producer = options.producer_of::<M>(&memfd).expect("a vacant role");
    let mut consumer = options.consumer_of::<M>(&memfd).expect("a vacant role");
    act(&mut producer, &mut consumer);
    leave(producer, consumer);
    let file = File::from(memfd);
    let mut image = vec![0; file.metadata().expect("an open file").len() as usize];
    file.read_exact_at(&mut image, 0).expect("as long as it says");
    image
}

/// The record with that number: as long as the number says.
pub(crate) fn record(number: usize) -> Vec<u8> {
    (0..number).map(|byte| (number * 16 + byte) as u8).collect()
}

/// A ring of 128 bytes that was sent the first `sent` records, and gave out the first `received`.
pub(crate) fn records(origin: u64, sent: usize, received: usize) -> Vec<u8> {
    image_of::<[u8]>(
        128,
        origin,
        |producer, consumer| {
            for number in 0..sent {
                producer.try_send(&record(number)).expect("room");
                if number < received {
                    consumer.try_recv(&mut Vec::new()).expect("a record");
                }
            }
        },
        |producer, consumer| {
            producer.detach();
            consumer.detach();
        },
    )
}

/// A ring of 8 numbers that was sent `sent` of them, and gave out the first `received`.
pub(crate) fn slots(origin: u64, sent: u64, received: u64) -> Vec<u8> {
    image_of::<u64>(
        8,
        origin,
        |producer, consumer| {
            for number in 0..sent {
                producer.try_send(number * 10).expect("room");
                if number < received {
                    consumer.try_recv().expect("a message");
                }
            }
        },
        |producer, consumer| {
            producer.detach();
            consumer.detach();
        },
    )
}

/// Record rings: empty, half full, wrapped, wrapped with padding inside what is unreceived, and near the end of all positions.
pub(crate) fn all_records() -> Vec<Vec<u8>> {
    vec![records(0, 0, 0), records(0, 4, 1), records(0, 9, 8), records(64, 6, 3), records(u64::MAX - 63, 9, 6)]
}

/// Slot rings: empty, half full, wrapped and full, near the end of all positions.
pub(crate) fn all_slots() -> Vec<Vec<u8>> {
    vec![slots(0, 0, 0), slots(0, 5, 1), slots(3, 19, 11), slots(u64::MAX - 3, 9, 2)]
}

pub(crate) fn all() -> Vec<Vec<u8>> {
    [all_records(), all_slots()].concat()
}

#[test]
fn a_good_image_goes_on_where_it_was_left() {
    for way in WAYS {
        for trusts_peers in [false, true] {
            let bed = Bed::new(&records(64, 11, 8));
            let mut consumer = bed.consumer::<[u8]>(way, trusts_peers).expect("a good ring");
            assert_eq!((consumer.received(), consumer.len(), consumer.peer()), (8, 3, Peer::Detached));
            for number in 8..11 {
                assert_eq!(*consumer.try_recv_ref().expect("a record"), record(number));
            }
            let mut producer = bed.producer::<[u8]>(way, trusts_peers).expect("a good ring");
            assert_eq!((producer.sent(), producer.len()), (11, 0));
            producer.try_send(&record(11)).expect("an empty ring");
            assert_eq!(*consumer.try_recv_ref().expect("a record"), record(11));

            let bed = Bed::new(&slots(3, 19, 11));
            let mut producer = bed.producer::<u64>(way, trusts_peers).expect("a good ring");
            assert_eq!((producer.sent(), producer.len(), producer.try_send(0).is_err()), (19, 8, true));
            let mut consumer = bed.consumer::<u64>(way, trusts_peers).expect("a good ring");
            assert!(consumer.try_iter().eq((11..19).map(|number| number * 10)));
            assert_eq!(consumer.received(), 19);
        }
    }
}

#[test]
fn good_images_are_drained() {
    for image in all() {
        drain(&image);
        let mut zeroed = image.clone();
        zeroed[HEADER..].fill(0);
        drain(&zeroed);
        zeroed.fill(0);
        drain(&zeroed);
    }
}

#[test]
fn a_finished_image_is_removed_by_whoever_opens_it() {
    let image =
        image_of::<u64>(8, 0, |producer, _| producer.try_send(1).expect("room"), |_, consumer| consumer.detach());
    let bed = Bed::new(&image);
    let mut consumer = bed.consumer::<u64>(crate::image::Way::Named, false).expect("a message is left");
    assert_eq!(consumer.try_recv(), Ok(1));
    assert_eq!(consumer.try_recv(), Err(ringshm_core::error::TryRecvError::Disconnected));
    drop(consumer);
    assert!(!bed.path().exists());
}
