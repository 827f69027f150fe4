use super::*;
use crate::error::Fault;

fn i420() -> Meta {
    let mut meta = Meta::new(FourCc::I420, 64, 48).expect("a small frame");
    (meta.timestamp, meta.time_base) = (-7, TimeBase { numerator: 1001, denominator: 30000 });
    meta.is_key = false;
    meta.set_extra(b"rec709").expect("short");
    meta
}

#[test]
fn a_record_says_what_was_written() {
    let meta = i420();
    assert_eq!(Meta::of_record(&meta.record(9), 9, 1 << 20), Ok(meta));
    assert_eq!(meta.planes().len(), 3);
    assert_eq!(meta.planes()[2].end(), meta.bytes);
    assert_eq!(meta.planes()[1].ready(24, 48), 12);
    assert_eq!(meta.planes()[1].ready(1, 48), 0);
    assert_eq!(meta.planes()[1].ready(u32::MAX, 48), 24);
}

#[test]
fn odd_sizes_have_rounded_colours() {
    let shapes = |format| {
        let meta = Meta::new(format, 7, 5);
        meta.map(|meta| meta.planes().iter().map(|plane| (plane.row_bytes, plane.rows)).collect::<Vec<_>>())
    };
    assert_eq!(shapes(FourCc::I420), Ok(vec![(7, 5), (4, 3), (4, 3)]));
    assert_eq!(shapes(FourCc::I422), Ok(vec![(7, 5), (4, 5), (4, 5)]));
    assert_eq!(shapes(FourCc::NV12), Ok(vec![(7, 5), (8, 3)]));
    assert_eq!(shapes(FourCc::YUY2), Ok(vec![(16, 5)]));
    assert_eq!(shapes(FourCc::P010), Ok(vec![(14, 5), (16, 3)]));
    assert_eq!(shapes(FourCc::new(b"????")), Err(BadMeta { field: "format" }));
    assert!(Meta::new(FourCc::RGBA, 0, 5).is_err());
}

#[test]
fn what_cannot_be_is_refused_where_it_is_made() {
    let rows = Plane { offset: 8, stride: 16, row_bytes: 16, rows: 4 };
    let made = |plane| Meta::with_planes(FourCc::new(b"mine"), 4, 4, &[plane]);
    assert_eq!(made(rows).map(|meta| meta.bytes), Ok(72));
    assert!(made(Plane { stride: 15, ..rows }).is_err());
    assert!(made(Plane { rows: 0, ..rows }).is_err());
    assert!(made(Plane { row_bytes: 0, ..rows }).is_err());
    assert!(made(Plane { offset: usize::MAX, ..rows }).is_err());
    assert!(Meta::with_planes(FourCc::new(b"mine"), 4, 4, &[]).is_err());
    assert!(Meta::with_planes(FourCc::I420, 4, 4, &[rows]).is_err(), "a plane for each");
    assert!(Meta::with_planes(FourCc::GRAY, 17, 4, &[rows]).is_err(), "rows as long as the picture is wide");
    let mut meta = made(rows).expect("checked above");
    meta.bytes = 71;
    assert_eq!(meta.check(1000), Err(BadMeta { field: "plane" }));
    meta.bytes = 1001;
    assert_eq!(meta.check(1000), Err(BadMeta { field: "length" }));
    assert!(meta.set_extra(&[0; MAX_EXTRA + 1]).is_err());
    assert_eq!(Meta::of_bytes(FourCc::new(b"H264"), 77).map(|meta| (meta.bytes, meta.height)), Ok((77, 1)));
    assert!(Meta::of_bytes(FourCc::new(b"H264"), 0).is_err());
}

#[test]
fn only_planes_without_a_byte_in_common_can_be_shown_early() {
    assert!(i420().planes_are_apart());
    let left = Plane { offset: 0, stride: 16, row_bytes: 8, rows: 4 };
    let right = Plane { offset: 8, ..left };
    let meta = Meta::with_planes(FourCc::new(b"mine"), 4, 4, &[left, right]).expect("side by side");
    assert!(!meta.planes_are_apart());
}

/// A later version writes more behind the fields of today.
#[test]
fn fields_of_later_versions_are_stepped_over() {
    let meta = i420();
    let mut record = meta.record(3);
    record.copy_within(FIXED_LEN..FIXED_LEN + 6, FIXED_LEN + 24);
    record[FIXED_LEN..FIXED_LEN + 24].fill(0xee);
    record[..4].copy_from_slice(&(FIXED_LEN as u32 + 30).to_ne_bytes());
    record[4..8].copy_from_slice(&(FIXED_LEN as u32 + 24).to_ne_bytes());
    assert_eq!(Meta::of_record(&record, 3, 1 << 20), Ok(meta));
}

#[test]
fn a_hostile_record_is_corrupt_or_lies_inside_of_its_slot() {
    const ROOM: usize = 5000;
    let good = i420().record(3);
    let interesting =
        [0, 1, 2, 63, 64, 127, 159, 160, 161, 383, 384, 4999, 5000, 5001, u32::MAX / 2, u32::MAX - 1, u32::MAX];
    let mut refused = 0;
    for at in (0..FIXED_LEN).step_by(4) {
        for other in (0..FIXED_LEN).step_by(4) {
            for value in interesting {
                let mut record = good;
                record[other..other + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
                record[at..at + 4].copy_from_slice(&value.to_ne_bytes());
                let Ok(meta) = Meta::of_record(&record, 3, ROOM) else {
                    refused += 1;
                    continue;
                };
                assert!(meta.bytes <= ROOM && meta.extra().len() <= MAX_EXTRA);
                for plane in meta.planes() {
                    let last = plane.row_at(plane.rows - 1).expect("the last row");
                    assert!(last + plane.row_bytes <= meta.bytes && plane.row_bytes <= plane.stride);
                    assert!(plane.ready(meta.height / 2, meta.height) <= plane.rows);
                }
            }
        }
    }
    assert!(refused > 10_000, "{refused}");
}

#[test]
fn each_field_that_lies_is_named() {
    let forged = |at: usize, bytes: &[u8]| {
        let mut record = i420().record(3);
        record[at..at + bytes.len()].copy_from_slice(bytes);
        Meta::of_record(&record, 3, 5000).expect_err("forged")
    };
    let number = |at, value: u32| forged(at, &value.to_ne_bytes());
    let corrupt = |field| Fault::Corrupt { field };
    assert_eq!(number(0, 385), corrupt("frame record length"));
    assert_eq!(number(4, 159), corrupt("frame record length"));
    assert_eq!(number(8, 2), corrupt("frame record version"));
    assert_eq!(forged(16, &4_u64.to_ne_bytes()), corrupt("frame sequence"));
    assert_eq!(number(32, 0), corrupt("frame time base"));
    assert_eq!(number(44, 65), corrupt("frame width"));
    assert_eq!(number(48, 0), corrupt("frame size"));
    assert_eq!(number(52, 5), corrupt("frame planes"));
    assert_eq!(forged(56, &5001_u64.to_ne_bytes()), corrupt("frame length"));
    assert_eq!(forged(64, &u64::MAX.to_ne_bytes()), corrupt("frame plane"));
    assert_eq!(number(72, u32::MAX), corrupt("frame plane"));
    assert_eq!(number(80, u32::MAX), corrupt("frame plane"));
}
