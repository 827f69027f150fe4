//! An image of a ring of frames, and everything that the library can be made to do with one.

use super::{CALLS, MOMENT};
use ringshm_core::frames::{Consumer, FourCc, Frame, Meta, Plane, Producer};
use ringshm_core::layout::Header;
use zerocopy::FromBytes;

/// Frames of this many rows, as long.
pub(crate) const SIDE: u32 = 4;
const LINE: usize = 128;
const HEAD: usize = 512;
/// Where the record is in a slot's head.
pub(crate) const RECORD: usize = 16;
pub(super) const PAGE: usize = 4096;

/// A description of one plane.
pub(crate) fn meta() -> Meta {
    Meta::new(FourCc::GRAY, SIDE, SIDE).expect("a small frame")
}

/// The description of a ring's frame, by its number: one plane, three, or two whose rows take turns and that has bytes of its program's own.
pub(crate) fn meta_of(number: u64) -> Meta {
    match number % 3 {
        0 => Meta::new(FourCc::I420, SIDE, SIDE).expect("a small frame"),
        1 => {
            let rows = Plane { offset: 0, stride: 8, row_bytes: 3, rows: 3 };
            let planes = [rows, Plane { offset: 4, row_bytes: 4, ..rows }];
            let mut meta = Meta::with_planes(FourCc::new(b"mine"), 3, 3, &planes).expect("a small frame");
            meta.set_extra(b"of the left eye").expect("a few bytes");
            meta
        }
        _ => meta(),
    }
}

/// Two frames that somebody has still to take, one that was skipped, and one that was begun. Those who take part have not left when the bytes are
/// read, as those that die have not: nothing is let go, and nothing given up.
pub(super) fn act(mut producer: Producer, mut consumer: Consumer) -> (Producer, Consumer) {
    for number in 0..9 {
        producer.try_loan().expect("a slot").commit(&meta_of(number)).expect("it fits");
        if number < 7 {
            drop(consumer.try_recv_ref().expect("a frame"));
        }
    }
    let mut begun = producer.try_loan().expect("a slot").begin(&meta_of(9)).expect("it fits");
    begun.advance(2);
    core::mem::forget(begun);
    (producer, consumer)
}

fn data_at(image: &[u8]) -> usize {
    Header::read_from_bytes(&image[..size_of::<Header>()]).expect("a header").data_at as usize
}

/// Where the word of a slot lies.
pub(crate) fn slot_at(image: &[u8], slot: usize) -> usize {
    data_at(image) + LINE * (1 + slot)
}

/// Where the counters of frames lie: published, and finished.
pub(crate) fn cursors_at(image: &[u8]) -> usize {
    data_at(image) + PAGE + LINE
}

/// Where the order lies.
pub(crate) fn order_at(image: &[u8]) -> usize {
    cursors_at(image) + 16
}

/// Where the progress of the frame in a slot lies, in a ring of up to 14 slots; its record lies [`RECORD`] behind.
pub(crate) fn head_at(image: &[u8], slot: usize) -> usize {
    cursors_at(image) + LINE + HEAD * slot
}

/// The words of an image that participants read, of what lies behind those of all kinds of rings.
pub(super) fn words(image: &[u8], slots: usize) -> Vec<usize> {
    let heads = (0..slots).flat_map(|slot| {
        let head = head_at(image, slot);
        [head..head + 8, head + RECORD..head + RECORD + 176]
    });
    let cursors = cursors_at(image)..cursors_at(image) + 16;
    let order = order_at(image)..order_at(image) + 8 * slots;
    heads.chain([cursors, order]).flat_map(|range| range.step_by(8)).collect()
}

pub(super) fn use_frames(mut consumers: [Option<Consumer>; 2], mut producer: Option<Producer>) {
    let mut held = Vec::new();
    for call in 0..CALLS {
        if let Some(producer) = &mut producer {
            make(producer, call);
        }
        for consumer in consumers.iter_mut().flatten() {
            let frame = match call % 4 {
                0 => consumer.try_recv_ref().ok(),
                1 => consumer.try_recv_early().ok(),
                2 => consumer.recv_ref_timeout(MOMENT).ok(),
                _ => consumer.recv_early_timeout(MOMENT).ok(),
            };
            frame.iter().for_each(look);
            held.extend(frame);
            assert!(consumer.held() <= consumer.most_held());
            let _ = (consumer.skipped(), consumer.position(), consumer.peer());
        }
        if call % 3 == 0 && !held.is_empty() {
            held.swap_remove(call % held.len());
        }
    }
}

fn make(producer: &mut Producer, call: usize) {
    let Ok(mut loan) = (if call % 2 == 0 {
        producer.try_loan()
    } else {
        producer.loan_timeout(MOMENT).map_err(|_| ringshm_core::error::TrySendError::Full(()))
    }) else {
        return;
    };
    loan.write(0, &[7; 16]).expect("nobody forked");
    match call % 3 {
        0 => drop(loan.commit(&meta())),
        1 => {
            let mut begun = loan.begin(&meta()).expect("it fits");
            begun.write_row(0, 1, &[8; 4]).expect("nobody forked");
            begun.advance(2);
            if call % 2 == 0 {
                begun.finish();
            }
        }
        _ => drop(loan),
    }
}

/// Reads whatever a frame says there is.
pub(super) fn look(frame: &Frame) {
    let mut row = [0; 64];
    assert!(frame.rows() <= frame.meta().height && !frame.meta().planes().is_empty());
    for (index, plane) in frame.meta().planes().iter().enumerate() {
        for number in [0, 1, plane.rows / 2, plane.rows - 1, plane.rows] {
            let read = frame.read_row(index, number, &mut row);
            assert!(read.is_none_or(|len| len <= plane.row_bytes && number < plane.rows));
        }
    }
    let mut all = vec![0; frame.len()];
    assert_eq!(frame.read(0, &mut all), frame.is_complete());
    assert!(!frame.read(1, &mut all), "beyond its end");
    let _ = frame.wait_rows(frame.meta().height, MOMENT);
    let _ = (frame.sequence(), frame.skipped(), frame.meta().extra());
}
