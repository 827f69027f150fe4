//! Rings with many participants, and registers, damaged before anybody opens them.

use crate::drain;
use crate::headers::{assert_corrupt, forged};
use crate::image::{Bed, HEADER, WAYS, Way, many, put_word, repair};
use ringshm_core::broadcast::Broadcast;
use ringshm_core::error::{Fault, OpenError, RecvTimeoutError, TryRecvError, TrySendError};
use ringshm_core::frames::Frames;
use ringshm_core::inspect::inspect;
use ringshm_core::latest::Latest;
use ringshm_core::layout::{Header, Kind, LANES_AT, Lane};
use ringshm_core::mpmc::Mpmc;
use ringshm_core::{Batch, Deadline, Message, Receiver};
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use zerocopy::FromBytes;

/// Values that numbers of all kinds are not, or hardly.
const NASTY: [u64; 9] = [0, 1, 3, 127, u32::MAX as u64, 1 << 40, 1 << 63, u64::MAX / 2, u64::MAX];

fn word(image: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(image[at..at + 8].try_into().expect("eight bytes"))
}

/// What opening an image in its own kind says, the same by every way, in every role and for a mere look.
fn opened(image: &[u8], kind: Kind) -> Result<(), OpenError> {
    match kind {
        Kind::MpmcSlots => opened_as::<Mpmc<u64>>(image),
        Kind::MpmcBytes => opened_as::<Mpmc<[u8]>>(image),
        Kind::BroadcastSlots => opened_as::<Broadcast<u64>>(image),
        Kind::BroadcastRecords => opened_as::<Broadcast<[u8]>>(image),
        Kind::Latest => opened_as::<Latest<u64>>(image),
        Kind::Frames => opened_as::<Frames>(image),
        Kind::SpscSlots | Kind::SpscRecords => unreachable!("not made here"),
        Kind::Mutex | Kind::RwLock | Kind::Condvar | Kind::Barrier | Kind::Once => unreachable!("no ring"),
    }
}

fn opened_as<M: Message + ?Sized>(image: &[u8]) -> Result<(), OpenError> {
    let bed = Bed::new(image);
    let verdict = inspect(&bed.directory(), &bed.name).map(|_| ());
    for way in WAYS {
        // Who leaves a ring in which there is nothing to be had removes it.
        bed.lay_out(image);
        let (consumer, producer) = (bed.consumer::<M>(way, false), bed.producer::<M>(way, false));
        assert_eq!(format!("{:?}", consumer.map(|_| ())), format!("{verdict:?}"));
        assert_eq!(format!("{:?}", producer.map(|_| ())), format!("{verdict:?}"));
    }
    verdict
}

#[test]
fn good_images_of_every_kind_are_drained() {
    for (kind, image) in many::all() {
        assert!(opened(image, *kind).is_ok());
        drain(image);
        let mut zeroed = image.clone();
        zeroed[HEADER..].fill(0);
        drain(&zeroed);
        zeroed[HEADER..].fill(0xff);
        drain(&zeroed);
    }
}

#[test]
fn a_forged_geometry_is_refused_by_field() {
    type Change = fn(&mut Header);
    const FRAMES: (&str, Change) = ("total size", |header| header.capacity -= 1);
    let cases: [(&str, Change); 12] = [
        ("kind", |header| header.kind = 99),
        ("capacity", |header| header.capacity = 3),
        ("capacity", |header| header.capacity = u64::MAX),
        ("stride", |header| header.stride = 0),
        ("stride", |header| header.stride += 8),
        ("producers", |header| header.producers = 0),
        ("producers", |header| header.producers = 65),
        ("consumers", |header| header.consumers = 0),
        ("consumers", |header| header.consumers = u32::MAX),
        ("lanes offset", |header| header.lanes_at += 128),
        ("data offset", |header| header.data_at -= 4096),
        ("total size", |header| header.total += 4096),
    ];
    for (kind, image) in many::all() {
        // Of frames there may be any number; then the object is too large.
        let cases = cases.map(|case| if *kind == Kind::Frames && case.0 == "capacity" { FRAMES } else { case });
        for (field, change) in cases {
            let image = forged(image, change);
            assert_corrupt(opened(&image, *kind), field);
            drain(&image);
        }
    }
}

/// Neither of this lap nor of the one before: nobody will ever change it, so nobody is waited for.
#[test]
fn a_slot_word_between_two_laps_is_reported_at_once() {
    let (_, image) = &many::all()[0];
    let (capacity, tail) = (4, 6);
    let data_at = Header::read_from_bytes(&image[..HEADER]).expect("a header").data_at as usize;
    for position in tail - capacity + 1..tail {
        let mut image = image.clone();
        put_word(&mut image, data_at + (tail % capacity) as usize * 16, position << 8);
        let mut producer = Bed::new(&image).producer::<Mpmc<u64>>(Way::Memfd, false).expect("a free lane");
        let fault = Fault::Corrupt { field: "slot word" };
        assert_eq!(producer.try_send(1), Err(TrySendError::Fault(1, fault)), "{position}");
    }
}

/// A cursor further on than a lossless reader lets the producer come, or one that goes back.
#[test]
fn an_impossible_cursor_of_a_broadcast_producer_is_reported() {
    let (_, image) = &many::all()[2];
    let published = word(image, LANES_AT);
    for impossible in [published + 17, published - 9, published ^ 1 << 40, u64::MAX] {
        let bed = Bed::new(image);
        let mut consumer = bed.consumer::<Broadcast<u64>>(Way::Memfd, false).expect("a free lane");
        let mut received = 0;
        while consumer.try_recv().is_ok() {
            received += 1;
        }
        assert!(received > 0);
        bed.memfd.write_all_at(&impossible.to_ne_bytes(), LANES_AT as u64).expect("sealed against resizing only");
        let fault = TryRecvError::Fault(Fault::Corrupt { field: "producer cursor" });
        assert_eq!(consumer.try_recv(), Err(fault), "{impossible}");
    }
}

#[test]
fn a_reach_a_whole_ring_before_the_cursor_is_reported_to_who_comes() {
    let (_, image) = &many::all()[2];
    let mut image = image.clone();
    let impossible = word(&image, LANES_AT) + 16 + 1;
    put_word(&mut image, LANES_AT + offset_of!(Lane, reach), impossible);
    let bed = Bed::new(&image);
    let reach = |error: Option<OpenError>| matches!(error, Some(OpenError::Corrupt { field: "producer reach" }));
    assert!(reach(bed.reader::<Broadcast<u64>>(Way::Memfd).err()));
    assert!(reach(bed.consumer::<Broadcast<u64>>(Way::Memfd, false).err()));
    assert!(reach(bed.producer::<Broadcast<u64>>(Way::Memfd, false).err()));
}

#[test]
fn a_length_beyond_the_longest_message_is_reported_and_the_message_dropped() {
    for len in [25, 40, 1 << 32, u64::MAX] {
        let (_, image) = &many::all()[1];
        let mut image = image.clone();
        let data_at = Header::read_from_bytes(&image[..HEADER]).expect("a header").data_at as usize;
        // Message 4 was in the hands of a consumer that left; message 5 was not.
        put_word(&mut image, data_at + 8, len);
        put_word(&mut image, data_at + 40 + 8, len);
        let mut consumer = Bed::new(&image).consumer::<Mpmc<[u8]>>(Way::Memfd, false).expect("a free lane");
        let fault = TryRecvError::Fault(Fault::Corrupt { field: "message length" });
        assert_eq!(consumer.try_recv(&mut Vec::new()), Err(fault), "{len}");
        assert_eq!(consumer.try_recv_ref().map(|_| ()), Err(fault), "{len}");
        assert_eq!(consumer.try_recv(&mut Vec::new()), Err(TryRecvError::Empty));
    }
}

#[test]
fn a_batch_has_the_messages_beside_a_damaged_one_and_the_next_call_reports_that() {
    let (_, image) = &many::all()[1];
    let header = Header::read_from_bytes(&image[..HEADER]).expect("a header");
    let bed = Bed::new(image);
    let mut consumer = bed.consumer::<Mpmc<[u8]>>(Way::Memfd, false).expect("a free lane");
    let mut producer = bed.producer::<Mpmc<[u8]>>(Way::Memfd, false).expect("a free lane");
    while consumer.try_recv(&mut Vec::new()).is_ok() {}
    producer.send_slice(&[&b"first"[..], b"second", b"third"]).expect("there is room");
    // Message 8 is in the third slot of four.
    let second = (0..4).map(|slot| header.data_at + slot * header.stride + 8);
    let mut len = [0; 8];
    for at in second {
        bed.memfd.read_exact_at(&mut len, at).expect("it is that long");
        if u64::from_ne_bytes(len) == b"second".len() as u64 {
            bed.memfd.write_all_at(&u64::MAX.to_ne_bytes(), at).expect("sealed against resizing only");
        }
    }
    let (mut batch, deadline) = (Batch::default(), Deadline::after(Duration::ZERO));
    assert_eq!(Receiver::recv_batch_by(&mut consumer, &mut batch, 8, deadline), Ok(2));
    assert!(batch.iter().eq([&b"first"[..], b"third"]));
    let fault = RecvTimeoutError::Fault(Fault::Corrupt { field: "message length" });
    assert_eq!(Receiver::recv_batch_by(&mut consumer, &mut batch, 8, deadline), Err(fault));
    assert_eq!(Receiver::recv_batch_by(&mut consumer, &mut batch, 8, deadline), Err(RecvTimeoutError::Timeout));
    assert_eq!(batch.len(), 2);
}

#[test]
fn a_stamp_that_no_writer_leaves_behind_is_reported_to_its_successor() {
    let (_, image) = &many::all()[4];
    let header = Header::read_from_bytes(&image[..HEADER]).expect("a header");
    // The next value is number 6, in the third slot.
    let at = (header.data_at + 2 * header.stride) as usize;
    for stamp in [10 << 1, 10 << 1 | 1, 7 << 1] {
        let mut image = image.clone();
        put_word(&mut image, at, stamp);
        let opened = Bed::new(&image).producer::<Latest<u64>>(Way::Memfd, false);
        assert!(matches!(opened, Err(OpenError::Corrupt { field: "value stamp" })), "{stamp}");
    }
}

#[test]
fn a_register_of_another_size_is_refused() {
    let (_, image) = many::all().iter().find(|(kind, _)| *kind == Kind::Latest).expect("one of each kind");
    // As many pages, and a size that whoever asks for none would take.
    let larger = forged(image, |header| {
        header.capacity = 8;
        header.options |= 1;
    });
    assert_corrupt(opened(&larger, Kind::Latest), "capacity");
}

#[test]
fn no_number_of_a_header_does_harm() {
    for (index, (_, image)) in many::all().iter().enumerate() {
        for at in (8..HEADER).step_by(8) {
            for value in NASTY.into_iter().skip((at / 8 + index) % 6).step_by(6) {
                let mut image = image.clone();
                put_word(&mut image, at, value);
                repair(&mut image);
                drain(&image);
            }
        }
    }
}

#[test]
fn no_live_word_does_harm() {
    for (index, (_, image)) in many::all().iter().enumerate() {
        // Each word in one of the three rings of its kind.
        for at in many::live_words(image).into_iter().skip(index / 5).step_by(3) {
            let before = word(image, at);
            let values =
                [before ^ 1, before ^ 1 << 8, before.wrapping_add(4), before.wrapping_sub(4), before ^ 1 << 63];
            for (turn, value) in values.into_iter().chain(NASTY).enumerate() {
                if (turn + at / 8 + index) % 14 == 0 {
                    let mut image = image.clone();
                    put_word(&mut image, at, value);
                    drain(&image);
                }
            }
        }
    }
}
