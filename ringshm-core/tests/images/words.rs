//! The live words and the records of an image, damaged one bit or one word at a time before anybody opens it.

use crate::drain;
use crate::image::{Bed, HEADER, PAD, TAG, WAYS, Way, put_word};
use crate::made;
use crate::watch::Watch;
use core::mem::offset_of;
use ringshm_core::Peer;
use ringshm_core::error::{Fault, OpenError, TryRecvError, TrySendError};
use ringshm_core::inspect::inspect;
use ringshm_core::layout::{CONTROL_AT, LANES_AT, Lane, Presence};
use ringshm_core::open::Options;

/// Where a lane's words lie, by role: 0 is the producer.
pub(crate) const fn cursor_at(lane: usize) -> usize {
    LANES_AT + lane * size_of::<Lane>() + offset_of!(Lane, cursor)
}

pub(crate) const fn state_at(lane: usize) -> usize {
    LANES_AT + lane * size_of::<Lane>() + offset_of!(Lane, presence) + offset_of!(Presence, state)
}

pub(crate) const fn ledger_at(lane: usize, mark: usize) -> usize {
    LANES_AT + lane * size_of::<Lane>() + offset_of!(Lane, ledger) + mark * 16
}

/// Where the data area of a ring with two lanes begins.
pub(crate) const DATA_AT: usize = 12288;

fn word(image: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(image[at..at + 8].try_into().expect("eight bytes"))
}

/// The one error that opening must report for what the cursors and ledgers of an image say, if any. `lane` is who opens.
fn expected_of(image: &[u8], lane: usize, capacity: u64, is_records: bool) -> Option<&'static str> {
    let (published, released) = (word(image, cursor_at(0)), word(image, cursor_at(1)));
    let (own, cursor, ledger) = [
        (published, "producer cursor", "producer ledger"), //
        (released, "consumer cursor", "consumer ledger"),
    ][lane];
    if published.wrapping_sub(released) > capacity || is_records && (published | released) % 8 != 0 {
        return Some(cursor);
    }
    let is_marked = (0..2).any(|mark| word(image, ledger_at(lane, mark)) == own);
    (is_records && !is_marked).then_some(ledger)
}

fn assert_opens_as_expected<M: ringshm_core::Message + ?Sized>(
    image: &[u8],
    capacity: u64,
    is_records: bool,
    what: &str,
) {
    for lane in 0..2 {
        let bed = Bed::new(image);
        let opened = if lane == 0 {
            bed.producer::<M>(Way::Memfd, false).map(|_| ())
        } else {
            bed.consumer::<M>(Way::Memfd, false).map(|_| ())
        };
        match (expected_of(image, lane, capacity, is_records), &opened) {
            (None, Ok(())) => {}
            (Some(expected), Err(OpenError::Corrupt { field })) if *field == expected => {}
            (expected, opened) => panic!("{what}, lane {lane}: {opened:?}, not {expected:?}"),
        }
    }
}

#[test]
fn every_flipped_bit_of_a_cursor_or_ledger_is_harmless_or_found() {
    let words = |lane| {
        [cursor_at(lane), ledger_at(lane, 0), ledger_at(lane, 0) + 8, ledger_at(lane, 1), ledger_at(lane, 1) + 8]
    };
    for at in [words(0), words(1)].concat() {
        for bit in 0..64 {
            for image in [made::records(0, 4, 1), made::records(64, 11, 8)] {
                let mut image = image;
                let flipped = word(&image, at) ^ 1 << bit;
                put_word(&mut image, at, flipped);
                assert_opens_as_expected::<[u8]>(&image, 128, true, &format!("bit {bit} at {at}"));
                drain(&image);
            }
            let mut image = made::slots(3, 19, 14);
            let flipped = word(&image, at) ^ 1 << bit;
            put_word(&mut image, at, flipped);
            assert_opens_as_expected::<u64>(&image, 8, false, &format!("bit {bit} at {at}"));
        }
    }
}

#[test]
fn every_flipped_bit_of_a_state_says_who_was_there() {
    for bit in 0..32 {
        let mut image = made::records(0, 4, 1);
        image[state_at(0) + bit / 8] ^= 1 << (bit % 8);
        let bed = Bed::new(&image);
        let snapshot = inspect(&bed.directory(), &bed.name).expect("a good header");
        // It said `Detached`, which is 2, in its first generation.
        let (state, generation) = match bit {
            0 => (Peer::Closed, 1),
            1 => (Peer::Vacant, 1),
            2..8 => (Peer::Dead { pid: std::process::id() }, 1),
            _ => (Peer::Detached, 1 ^ 1 << (bit - 8)),
        };
        assert_eq!((snapshot.producer.state, snapshot.producer.generation), (state, generation), "bit {bit}");
        let mut consumer = bed.consumer::<[u8]>(Way::Named, false).expect("the state is no reason to refuse");
        let received = consumer.try_iter().count();
        let end = consumer.try_recv(&mut Vec::new());
        let is_gone = matches!(state, Peer::Closed | Peer::Dead { .. });
        let expected = if is_gone { TryRecvError::Disconnected } else { TryRecvError::Empty };
        assert_eq!((received, end), (3, Err(expected)), "bit {bit}");
        drain(&image);
    }
}

#[test]
fn every_flipped_bit_of_the_other_live_words_is_harmless() {
    let image = made::records(0, 4, 1);
    // All but the cursors and ledgers, which have a test of their own.
    let others =
        (HEADER..LANES_AT + 2 * size_of::<Lane>()).filter(|at| (at - LANES_AT.min(*at)) % size_of::<Lane>() / 128 == 1);
    for at in others {
        for bit in 0..8 {
            let mut flipped = image.clone();
            flipped[at] ^= 1 << bit;
            let bed = Bed::new(&flipped);
            let mut consumer = bed.consumer::<[u8]>(Way::Named, false).expect("no reason to refuse");
            assert_eq!(consumer.try_iter().count(), 3, "bit {bit} at {at}");
        }
    }
}

/// Only a name can be retired: a memfd is there as long as somebody has it.
#[test]
fn a_retired_memfd_is_a_ring_like_any_other() {
    for bit in 0..32 {
        let mut image = made::records(0, 4, 1);
        image[CONTROL_AT + bit / 8] ^= 1 << (bit % 8);
        let mut consumer = Bed::new(&image).consumer::<[u8]>(Way::Memfd, false).expect("a sound ring");
        assert_eq!(consumer.try_iter().count(), 3);
        drain(&image);
    }
}

/// Whoever retires a ring may be killed before its name is gone: the next opener finishes the work.
#[test]
fn a_retired_name_is_free_for_a_new_ring() {
    let _watch = Watch::over("opening a retired name");
    let mut image = made::records(0, 4, 1);
    put_word(&mut image, CONTROL_AT, 1);
    let bed = Bed::new(&image);
    assert!(matches!(bed.producer::<[u8]>(Way::Named, false), Err(OpenError::NotFound { .. })));
    assert!(!bed.path().exists());

    bed.lay_out(&image);
    let options = Options { directory: bed.directory(), ..Options::default() };
    let consumer = options.consumer::<[u8]>(&bed.name).expect("a new ring");
    assert_eq!((consumer.received(), consumer.is_empty()), (0, true));
    let producer = options.producer::<[u8]>(&bed.name).expect("the same new ring");
    assert_eq!(producer.sent(), 0);
}

/// 128 bytes with padding between their records: 88 bytes sent, 40 to the wrap, 48 needed, and the first record released.
fn padded() -> Vec<u8> {
    made::image_of::<[u8]>(
        128,
        0,
        |producer, consumer| {
            producer.try_send(&[1; 40]).expect("room");
            producer.try_send(&[2; 32]).expect("room");
            consumer.try_recv(&mut Vec::new()).expect("a record");
            producer.try_send(&[3; 36]).expect("room");
        },
        |producer, consumer| {
            producer.detach();
            consumer.detach();
        },
    )
}

#[test]
fn every_flipped_bit_of_a_record_header_is_found() {
    let image = padded();
    let (second, padding, third) = (DATA_AT + 48, DATA_AT + 88, DATA_AT);
    assert_eq!([second, padding, third].map(|at| word(&image, at)), [TAG | 32, PAD | 32, TAG | 36]);
    for (at, before) in [(second, 0), (padding, 1), (third, 1)] {
        for bit in 0..64 {
            let mut flipped = image.clone();
            let header = word(&image, at) ^ 1 << bit;
            put_word(&mut flipped, at, header);
            for way in WAYS {
                let bed = Bed::new(&flipped);
                let mut consumer = bed.consumer::<[u8]>(way, way == Way::Memfd).expect("sound cursors");
                for _ in 0..before {
                    assert_eq!(*consumer.try_recv_ref().expect("sound"), [2; 32]);
                }
                // Shorter by some bytes is a wrong value; beyond what is published, or the longest, is an error.
                let longest = if at == second { 80 } else { 40 };
                match (header & !0xffff_ffff, header & 0xffff_ffff) {
                    (TAG, len) if at != padding && len <= longest.min(56) => {
                        assert_eq!(consumer.try_recv_ref().expect("shorter").len() as u64, len);
                    }
                    (tag, _) => {
                        let field = match tag {
                            TAG => "record length",
                            PAD => "padding length",
                            _ => "record tag",
                        };
                        let fault = TryRecvError::Fault(Fault::Corrupt { field });
                        assert_eq!(consumer.try_recv(&mut Vec::new()), Err(fault), "bit {bit} at {at}");
                        let mut bytes = vec![9];
                        assert!(consumer.try_recv(&mut bytes).is_err());
                        assert_eq!(bytes, [9], "unchanged by an error");
                        assert_eq!(consumer.received(), 1 + before);
                    }
                }
            }
            drain(&flipped);
        }
    }
}

/// One bound at a time: each of these would pass all the others.
#[test]
fn a_record_stays_within_its_largest_size_the_wrap_and_what_is_published() {
    let (second, padding, third) = (DATA_AT + 48, DATA_AT + 88, DATA_AT);
    for (at, before, header, field) in [
        (second, 0, TAG | 57, "record length"),
        (second, 0, TAG | 72, "record length"),
        (padding, 1, TAG | 33, "record length"),
        (padding, 1, TAG | 56, "record length"),
        (third, 1, TAG | 41, "record length"),
        (third, 1, TAG | 56, "record length"),
        (padding, 1, PAD | 24, "padding length"),
        (padding, 1, PAD | 40, "padding length"),
        (second, 0, PAD | 32, "padding length"),
        (third, 1, PAD | 120, "padding length"),
    ] {
        let mut image = padded();
        put_word(&mut image, at, header);
        let bed = Bed::new(&image);
        let mut consumer = bed.consumer::<[u8]>(Way::Named, false).expect("sound cursors");
        assert_eq!(consumer.try_iter().count(), before);
        let fault = TryRecvError::Fault(Fault::Corrupt { field });
        assert_eq!(consumer.try_recv(&mut Vec::new()), Err(fault), "{header:x} at {at}");
    }
    for (at, before, header, len) in [(second, 0, TAG | 56, 56), (third, 1, TAG | 40, 40)] {
        let mut image = padded();
        put_word(&mut image, at, header);
        let mut consumer = Bed::new(&image).consumer::<[u8]>(Way::Memfd, false).expect("sound cursors");
        for _ in 0..before {
            consumer.try_recv(&mut Vec::new()).expect("sound");
        }
        assert_eq!(consumer.try_recv(&mut Vec::new()), Ok(len), "the largest that is possible");
    }
}

#[test]
fn counts_at_the_end_of_all_numbers_go_on_from_there() {
    let mut image = made::records(0, 4, 1);
    for lane in 0..2 {
        for mark in 0..2 {
            put_word(&mut image, ledger_at(lane, mark) + 8, u64::MAX);
        }
    }
    drain(&image);
    let bed = Bed::new(&image);
    let mut consumer = bed.consumer::<[u8]>(Way::Named, false).expect("sound cursors");
    let mut producer = bed.producer::<[u8]>(Way::Named, false).expect("sound cursors");
    assert_eq!((producer.sent(), consumer.received()), (u64::MAX, u64::MAX));
    producer.try_send(&[1]).expect("room");
    consumer.try_recv_ref().expect("a record").keep();
    assert_eq!(consumer.received(), u64::MAX);
    consumer.try_recv(&mut Vec::new()).expect("a record");
    assert_eq!((producer.sent(), consumer.received()), (0, 0));
}

#[test]
fn a_peers_cursor_may_stand_between_any_two_records_of_its_window_and_nowhere_else() {
    for origin in [0, 96, u64::MAX - 7] {
        for released in 0..=200_u64 {
            let mut image = made::records(origin, 0, 0);
            put_word(&mut image, cursor_at(0), origin.wrapping_add(136));
            put_word(&mut image, ledger_at(0, 0), origin.wrapping_add(136));
            put_word(&mut image, cursor_at(1), origin.wrapping_add(released));
            let bed = Bed::new(&image);
            let producer = bed.producer::<[u8]>(Way::Memfd, false);
            if !(8..=136).contains(&released) || released % 8 != 0 {
                assert!(matches!(producer, Err(OpenError::Corrupt { field: "producer cursor" })), "{released}");
                continue;
            }
            let mut producer = producer.expect("inside its window");
            let room = 128 - (136 - released);
            let to_wrap = 128 - origin.wrapping_add(136) % 128;
            let need = if to_wrap < 16 { to_wrap + 16 } else { 16 };
            let expected = if need <= room { Ok(()) } else { Err(TrySendError::Full(())) };
            assert_eq!(producer.try_send(&[1]), expected, "{released}");
        }
    }
}
