//! The description that was written or read last.
//!
//! The frames of a stream are described alike, but for their numbers and times: what was checked once is compared, and neither made nor checked anew. Between
//! two frames at usual rates that code leaves the caches, and would have to come back for each.

use super::meta::record::{RECORD_LEN, RecordBytes, are_alike, number_of, put_number};
use super::meta::{BadMeta, Meta};
use crate::error::Fault;

/// A description, and the record of it.
#[derive(Debug)]
pub(crate) struct Known {
    /// Bytes of the slots that its frames are in.
    room: usize,
    /// `None`: nothing yet.
    meta: Option<Meta>,
    record: RecordBytes,
}

impl Known {
    /// Nothing yet, of frames in slots of `room` bytes.
    pub(crate) fn new(room: usize) -> Self {
        Self { room, meta: None, record: [0; RECORD_LEN] }
    }

    /// Producer: the record of the frame `sequence`.
    pub(crate) fn record(&mut self, meta: &Meta, sequence: u64) -> Result<&RecordBytes, BadMeta> {
        if !self.meta.as_ref().is_some_and(|known| known.is_like(meta)) {
            meta.check(self.room)?;
            self.record = meta.record(sequence);
            self.meta = Some(*meta);
        }
        put_number(&mut self.record, sequence, meta.timestamp);
        Ok(&self.record)
    }

    /// Consumer: what a record says of the frame `sequence`, as [`Meta::of_record`].
    pub(crate) fn meta(&mut self, record: &RecordBytes, sequence: u64) -> Result<&Meta, Fault> {
        if self.meta.is_none() || !are_alike(record, &self.record) {
            self.meta = None;
            self.record = *record;
            return Ok(self.meta.insert(Meta::of_record(record, sequence, self.room)?));
        }
        let (number, timestamp) = number_of(record);
        match &mut self.meta {
            Some(known) if number == sequence => {
                known.timestamp = timestamp;
                Ok(known)
            }
            _ => Err(Fault::Corrupt { field: "frame sequence" }),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::format::FourCc;
    use super::super::meta::record::FIXED_LEN;
    use super::super::meta::{Plane, TimeBase};
    use super::*;

    const ROOM: usize = 1 << 16;

    /// Descriptions that differ from the first one in one thing each.
    fn all() -> Vec<Meta> {
        let first = Meta::new(FourCc::I420, 64, 48).expect("a known format");
        let change = |change: fn(&mut Meta)| {
            let mut meta = first;
            change(&mut meta);
            meta
        };
        let planes: Vec<Plane> =
            first.planes().iter().map(|plane| Plane { offset: plane.offset + 64, ..*plane }).collect();
        vec![
            first,
            change(|meta| meta.timestamp = -7),
            change(|meta| meta.time_base = TimeBase { numerator: 1, denominator: 25 }),
            change(|meta| meta.is_key = false),
            change(|meta| meta.set_extra(b"BT.709").expect("short")),
            change(|meta| meta.set_extra(b"BT.601").expect("short")),
            change(|meta| meta.set_extra(&[3; 200]).expect("short")),
            change(|meta| meta.width = 63),
            change(|meta| meta.format = FourCc::new(b"mine")),
            Meta::with_planes(FourCc::I420, 64, 48, &planes).expect("farther back"),
            Meta::new(FourCc::GRAY, 64, 48).expect("a known format"),
        ]
    }

    #[test]
    fn what_is_known_is_said_as_if_it_were_new() {
        let (mut producer, mut consumer) = (Known::new(ROOM), Known::new(ROOM));
        for (n, one) in all().iter().enumerate() {
            for (m, other) in all().iter().enumerate() {
                for (sequence, meta) in (n as u64 * 1000 + m as u64 * 10..).zip([one, one, other, other, one]) {
                    let record = *producer.record(meta, sequence).expect("it fits");
                    assert_eq!(record, meta.record(sequence), "{meta:?}");
                    assert_eq!(consumer.meta(&record, sequence), Ok(meta));
                    // Another frame's record in its place.
                    let wrong = Err(Fault::Corrupt { field: "frame sequence" });
                    assert_eq!(consumer.meta(&record, sequence + 1), wrong);
                }
            }
        }
    }

    #[test]
    fn what_differs_in_any_byte_is_looked_at_anew() {
        let good = all()[4].record(3);
        for at in (0..FIXED_LEN + 6).filter(|at| !(24..32).contains(at)) {
            let mut known = Known::new(ROOM);
            known.meta(&good, 3).expect("a good one");
            let mut record = good;
            record[at] ^= 0x55;
            assert_eq!(known.meta(&record, 3).copied(), Meta::of_record(&record, 3, ROOM), "byte {at}");
            assert_eq!(known.meta(&good, 3).copied(), Meta::of_record(&good, 3, ROOM));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_however_well_the_last_one_did() {
        let small = all()[0];
        let large = Meta::new(FourCc::I420, 640, 480).expect("a known format");
        let mut known = Known::new(small.bytes);
        assert!(known.record(&small, 1).is_ok());
        assert_eq!(known.record(&large, 2), Err(BadMeta { field: "length" }));
        assert_eq!(known.record(&small, 2).copied(), Ok(small.record(2)));
        assert_eq!(known.meta(&large.record(3), 3), Err(Fault::Corrupt { field: "frame length" }));
        assert_eq!(known.meta(&small.record(3), 3), Ok(&small));
    }
}
