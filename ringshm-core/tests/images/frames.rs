//! Rings of frames whose words and descriptions were damaged before anybody opened them: a frame is corrupt, or lies inside of its slot.

use crate::drain;
use crate::image::framed::{RECORD, cursors_at, head_at, meta, meta_of, order_at, slot_at};
use crate::image::{Bed, Way, many, put_word};
use ringshm_core::error::{Fault, OpenError, TryRecvError};
use ringshm_core::frames::{Frames, RowsError};
use ringshm_core::layout::Kind;
use std::time::Duration;

fn good() -> Vec<u8> {
    let (_, image) = many::all().iter().find(|(kind, _)| *kind == Kind::Frames).expect("one of each kind");
    image.clone()
}

fn word(image: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(image[at..at + 8].try_into().expect("eight bytes"))
}

/// The slot of the frame that comes first to who takes the oldest one there is.
fn oldest(image: &[u8]) -> usize {
    let bed = Bed::new(image);
    let mut consumer = bed.consumer::<Frames>(Way::Memfd, false).expect("a free lane");
    let sequence = consumer.try_recv_ref().expect("a frame").sequence();
    (0..5).find(|slot| word(image, slot_at(image, *slot)) >> 17 == sequence).expect("it is in a slot")
}

#[test]
fn a_good_image_has_frames_that_were_not_taken_and_one_that_was_not_finished() {
    let image = good();
    let bed = Bed::new(&image);
    let mut consumer = bed.consumer::<Frames>(Way::Named, false).expect("a free lane");
    let mut taken = Vec::new();
    while let Ok(frame) = consumer.try_recv_ref() {
        assert_eq!(*frame.meta(), meta_of(frame.sequence()));
        taken.push(frame.sequence());
    }
    assert_eq!(taken, [5, 6, 7, 8]);
    let begun = consumer.try_recv_early().expect("the one that was begun");
    assert_eq!((begun.sequence(), begun.rows(), begun.is_complete()), (9, 2, false));
    assert_eq!(begun.wait_rows(3, Duration::MAX), Err(RowsError::Abandoned { ready: 2 }));
    // A successor ends it, for everybody.
    let mut producer = bed.producer::<Frames>(Way::Named, false).expect("a free lane");
    assert_eq!(begun.wait_rows(3, Duration::ZERO), Err(RowsError::Abandoned { ready: 2 }));
    assert_eq!(producer.try_loan().expect("a slot").commit(&meta()), Ok(10));
    assert_eq!(consumer.try_recv_ref().map(|frame| (frame.sequence(), frame.skipped())), Ok((10, 0)));
}

#[test]
fn a_hostile_description_is_corrupt_and_costs_one_frame() {
    let image = good();
    let head = head_at(&image, oldest(&image)) + RECORD;
    for (field, at, value) in [
        ("frame record length", 0, 600_u32),
        ("frame record length", 4, 8),
        ("frame record version", 8, 7),
        ("frame sequence", 16, 77),
        ("frame time base", 36, 0),
        ("frame width", 44, 5),
        ("frame size", 48, 0),
        ("frame planes", 52, 0),
        ("frame planes", 52, u32::MAX),
        ("frame length", 56, 25),
        ("frame plane", 64, 1),
        ("frame plane", 68, 1),
        ("frame plane", 72, u32::MAX),
        ("frame plane", 76, 5),
        ("frame plane", 80, u32::MAX),
    ] {
        let mut image = image.clone();
        image[head + at..head + at + 4].copy_from_slice(&value.to_ne_bytes());
        let bed = Bed::new(&image);
        let mut consumer = bed.consumer::<Frames>(Way::Memfd, false).expect("a free lane");
        let fault = TryRecvError::Fault(Fault::Corrupt { field });
        assert_eq!(consumer.try_recv_ref().map(|frame| frame.sequence()), Err(fault), "{field}");
        assert_eq!(consumer.held(), 0);
        assert_eq!(consumer.try_recv_ref().map(|frame| frame.sequence()), Ok(6), "{field}");
        drain(&image);
    }
}

#[test]
fn counters_that_cannot_be_are_refused_when_joining_or_reported_later() {
    let image = good();
    let cursors = cursors_at(&image);
    for (published, finished) in [(10, 8), (10, 11), (u64::MAX, 9), (10, u64::MAX / 2)] {
        let mut image = image.clone();
        put_word(&mut image, cursors, published);
        put_word(&mut image, cursors + 8, finished);
        let refused = Bed::new(&image).producer::<Frames>(Way::Memfd, false).map(drop);
        assert!(matches!(refused, Err(OpenError::Corrupt { field: "producer cursor" })), "{refused:?}");
        drain(&image);
    }
    let bed = Bed::new(&image);
    let mut consumer = bed.consumer::<Frames>(Way::Memfd, false).expect("a free lane");
    drop(consumer.try_recv_ref().expect("a frame"));
    use std::os::unix::fs::FileExt as _;
    bed.memfd.write_all_at(&3_u64.to_ne_bytes(), cursors as u64 + 8).expect("sealed against resizing only");
    let fault = TryRecvError::Fault(Fault::Corrupt { field: "producer cursor" });
    assert_eq!(consumer.try_recv_ref().map(|frame| frame.sequence()), Err(fault));
}

#[test]
fn every_flipped_bit_of_the_words_of_frames_is_harmless() {
    let image = good();
    let slots = (0..5).map(|slot| slot_at(&image, slot));
    let order = (0..5).map(|place| order_at(&image) + 8 * place);
    let heads = (0..5).map(|slot| head_at(&image, slot));
    let roster = [slot_at(&image, 0) - 128, slot_at(&image, 0) - 120];
    for at in slots.chain(order).chain(heads).chain(roster) {
        for bit in 0..64 {
            let mut image = image.clone();
            let flipped = word(&image, at) ^ 1 << bit;
            put_word(&mut image, at, flipped);
            drain(&image);
        }
    }
}
