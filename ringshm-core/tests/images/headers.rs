//! Objects of the wrong size, and headers that cannot be true.

use crate::drain;
use crate::image::{Bed, HEADER, WAYS, Way, put_word};
use crate::made;
use ringshm_core::attach::remove;
use ringshm_core::error::OpenError;
use ringshm_core::inspect::inspect;
use ringshm_core::layout::{Header, VERSION};
use zerocopy::{FromBytes, IntoBytes};

/// What opening an image says, the same by every way, in every role and for a mere look.
fn verdict<M: ringshm_core::Message + ?Sized>(image: &[u8]) -> Result<(), OpenError> {
    let bed = Bed::new(image);
    let verdict = inspect(&bed.directory(), &bed.name).map(|_| ());
    for way in WAYS {
        let consumer = bed.consumer::<M>(way, false).map(|_| ());
        assert_eq!(format!("{consumer:?}"), format!("{verdict:?}"));
        let producer = bed.producer::<M>(way, false).map(|_| ());
        assert_eq!(format!("{producer:?}"), format!("{verdict:?}"));
    }
    assert_eq!(
        remove(&bed.directory(), &bed.name, false).is_ok(),
        verdict.is_ok(),
        "only force removes what is damaged"
    );
    assert_eq!(remove(&bed.directory(), &bed.name, true).is_ok(), verdict.is_err(), "and force does");
    assert!(!bed.path().exists());
    verdict
}

#[track_caller]
pub(crate) fn assert_corrupt(outcome: Result<(), OpenError>, expected: &str) {
    assert!(matches!(&outcome, Err(OpenError::Corrupt { field }) if *field == expected), "{outcome:?}, not {expected}");
}

#[test]
fn an_object_of_another_size_is_refused() {
    let image = made::records(0, 4, 1);
    let total = image.len();
    for len in [0, 1, 8, 511] {
        assert_corrupt(verdict::<[u8]>(&image[..len]), "object size");
        drain(&image[..len]);
    }
    for len in [
        512,
        513,
        1151,
        1152,
        4095,
        4096,
        4224,
        8191,
        8192,
        8193,
        8959,
        8960,
        12287,
        12288,
        12289,
        total - 4096,
        total - 1,
    ] {
        assert_corrupt(verdict::<[u8]>(&image[..len]), "object size");
        drain(&image[..len]);
    }
    for more in [1, 4096, 1 << 20] {
        let mut longer = image.clone();
        longer.resize(total + more, 0);
        assert_corrupt(verdict::<[u8]>(&longer), "object size");
    }
    assert!(verdict::<[u8]>(&image).is_ok());
}

#[test]
fn an_object_without_a_finished_header_is_refused() {
    for image in made::all_records() {
        let mut unfinished = image.clone();
        put_word(&mut unfinished, 0, 0);
        assert_corrupt(verdict::<[u8]>(&unfinished), "magic");
        assert_corrupt(verdict::<[u8]>(&vec![0; image.len()]), "magic");
        let swapped: Vec<u8> = image[..8].iter().rev().chain(&image[8..]).copied().collect();
        assert_corrupt(verdict::<[u8]>(&swapped), "magic");
        // Written from the front by somebody who did not know that the magic comes last.
        for written in [8, 16, 64, 504, 508] {
            let mut half = image.clone();
            half[written..HEADER].fill(0);
            assert!(verdict::<[u8]>(&half).is_err(), "{written} bytes");
        }
    }
}

#[test]
fn every_flipped_bit_of_a_header_is_found() {
    let image = made::records(0, 4, 1);
    for bit in 0..HEADER * 8 {
        let mut flipped = image.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let outcome = verdict::<[u8]>(&flipped);
        match bit / 8 {
            0..8 => assert_corrupt(outcome, "magic"),
            8..12 => {
                assert!(matches!(outcome, Err(OpenError::Version { expected: VERSION, found }) if found != VERSION))
            }
            _ => assert_corrupt(outcome, "header checksum"),
        }
    }
}

/// A copy of `image` with another header, whose checksum is right.
pub(crate) fn forged(image: &[u8], change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut image = image.to_vec();
    let mut header = Header::read_from_bytes(&image[..HEADER]).expect("room for a header");
    change(&mut header);
    header.sum = header.checksum();
    image[..HEADER].copy_from_slice(header.as_bytes());
    image
}

#[test]
fn a_forged_header_is_refused_by_field() {
    type Change = fn(&mut Header);
    let cases: [(&str, Change); 22] = [
        ("kind", |header| header.kind = 0),
        ("kind", |header| header.kind = u32::MAX),
        ("capacity", |header| header.capacity = 100),
        ("capacity", |header| header.capacity = 65),
        ("capacity", |header| header.capacity = 127),
        ("capacity", |header| header.capacity = u64::MAX),
        ("max message", |header| header.capacity = 256),
        ("stride", |header| header.stride = 0),
        ("stride", |header| header.stride = 8),
        ("max message", |header| header.max_message += 1),
        ("max message", |header| header.max_message = u64::MAX),
        ("producers", |header| header.producers = 0),
        ("producers", |header| header.producers = u32::MAX),
        ("consumers", |header| header.consumers = 2),
        ("lanes offset", |header| header.lanes_at = 0),
        ("lanes offset", |header| header.lanes_at = u64::MAX - 127),
        ("data offset", |header| header.data_at = 0),
        ("data offset", |header| header.data_at = u64::MAX - 4095),
        ("total size", |header| header.total -= 1),
        ("total size", |header| header.total = u64::MAX),
        ("type name length", |header| header.type_name_len = 129),
        ("type name", |header| header.type_name[0] = 0xff),
    ];
    for image in made::all_records() {
        for (field, change) in cases {
            let image = forged(&image, change);
            assert_corrupt(verdict::<[u8]>(&image), field);
            drain(&image);
        }
        let other_version = forged(&image, |header| header.version = VERSION + 1);
        assert!(matches!(verdict::<[u8]>(&other_version), Err(OpenError::Version { expected: VERSION, .. })));
        // Bigger on paper than any object: the numbers agree with each other, the object does not.
        let vast = forged(&image, |header| {
            header.capacity = 1 << 40;
            header.max_message = 1 << 31;
            header.total = header.data_at + (1 << 40);
        });
        assert_corrupt(verdict::<[u8]>(&vast), "object size");
    }
    for image in made::all_slots() {
        let changes: [(&str, Change); 5] = [
            ("capacity", |header| header.capacity = 7),
            ("stride", |header| header.stride = 0),
            ("stride", |header| header.stride = 1 << 60),
            ("capacity", |header| header.max_message = 0),
            ("capacity", |header| header.max_message = 1 << 60),
        ];
        for (field, change) in changes {
            assert_corrupt(verdict::<u64>(&forged(&image, change)), field);
        }
    }
}

#[test]
fn a_ring_of_another_type_is_refused_and_can_still_be_looked_at() {
    let changes: [fn(&mut Header); 6] = [
        |header| header.schema = 1,
        |header| header.type_align = 16,
        |header| header.type_name_len = 2,
        |header| header.type_name[0] = b'i',
        |header| header.type_name_len = 0,
        |header| {
            header.stride = 16;
            header.max_message = 16;
        },
    ];
    for image in made::all_slots() {
        for change in changes {
            let bed = Bed::new(&forged(&image, change));
            assert!(inspect(&bed.directory(), &bed.name).is_ok());
            for way in WAYS {
                assert!(matches!(bed.consumer::<u64>(way, false), Err(OpenError::LayoutMismatch { .. })));
                assert!(matches!(bed.producer::<u64>(way, false), Err(OpenError::LayoutMismatch { .. })));
            }
        }
        let bed = Bed::new(&image);
        for way in WAYS {
            assert!(matches!(bed.consumer::<[u8]>(way, false), Err(OpenError::LayoutMismatch { .. })));
            assert!(matches!(bed.producer::<[u64; 2]>(way, false), Err(OpenError::LayoutMismatch { .. })));
            assert!(matches!(bed.producer::<i64>(way, false), Err(OpenError::LayoutMismatch { .. })));
        }
    }
}

#[test]
fn what_only_people_read_is_not_checked() {
    let image = forged(&made::records(0, 4, 1), |header| {
        header.creator = u32::MAX;
        header.created = u64::MAX;
    });
    let bed = Bed::new(&image);
    let snapshot = inspect(&bed.directory(), &bed.name).expect("a good ring");
    assert_eq!((snapshot.creator, snapshot.created, snapshot.queued()), (u32::MAX, u64::MAX, Some(3)));
    assert!(bed.consumer::<[u8]>(Way::Named, false).is_ok());
}

#[test]
fn an_object_that_is_no_regular_file_of_ours_is_refused() {
    let bed = Bed::new(&made::records(0, 4, 1));
    let good = bed.path().with_extension("good");
    std::fs::rename(bed.path(), &good).expect("our own folder");
    std::os::unix::fs::symlink(&good, bed.path()).expect("our own folder");
    let open = || bed.consumer::<[u8]>(Way::Named, false).map(|_| ());
    assert_corrupt(open(), "file type");
    std::fs::remove_file(bed.path()).expect("our own folder");
    std::fs::create_dir(bed.path()).expect("our own folder");
    assert_corrupt(open(), "file type");
    std::fs::remove_dir(bed.path()).expect("our own folder");
    assert!(matches!(open(), Err(OpenError::NotFound { .. })));
    std::fs::rename(&good, bed.path()).expect("our own folder");
    // Only root can give a file away.
    if std::os::unix::fs::chown(bed.path(), Some(65534), None).is_ok() {
        assert!(matches!(open(), Err(OpenError::Permission { .. })));
    }
}

#[test]
fn a_memfd_that_can_shrink_is_refused() {
    use std::os::unix::fs::FileExt;
    let image = made::records(0, 4, 1);
    let mut bed = Bed::new(&image);
    let memfd = rustix::fs::memfd_create("loose", rustix::fs::MemfdFlags::ALLOW_SEALING).expect("a memfd");
    bed.memfd = memfd.into();
    bed.memfd.write_all_at(&image, 0).expect("room for an image");
    assert_corrupt(bed.consumer::<[u8]>(Way::Memfd, false).map(|_| ()), "seals");
    rustix::fs::fcntl_add_seals(&bed.memfd, rustix::fs::SealFlags::GROW).expect("it allows seals");
    assert_corrupt(bed.consumer::<[u8]>(Way::Memfd, false).map(|_| ()), "seals");
    bed.memfd = std::fs::File::open(bed.path()).expect("the named object");
    assert_corrupt(bed.consumer::<[u8]>(Way::Memfd, false).map(|_| ()), "seals");
    bed.memfd = std::fs::File::open("/dev/null").expect("every machine has it");
    assert_corrupt(bed.consumer::<[u8]>(Way::Memfd, false).map(|_| ()), "file type");
}
