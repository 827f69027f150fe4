//! A description as it lies in the pool, beside the pixels.
//!
//! It begins with its own length and that of its fixed part, so that later versions can add fields behind those of today: a reader takes the fields that it
//! knows and steps over the others, and takes those that an older writer does not have for zero. Behind the fixed part lie bytes that are the program's own.

use super::super::format::FourCc;
use super::{BadMeta, Extra, MAX_EXTRA, MAX_PLANES, Meta, Plane, TimeBase};
use crate::error::Fault;
use core::mem::offset_of;
use core::ops::Range;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Room for a record. Models have no extra bytes.
pub(crate) const RECORD_LEN: usize = if cfg!(loom) { FIXED_LEN } else { 384 };
pub(crate) const FIXED_LEN: usize = size_of::<Fixed>();
/// The shortest fixed part that there ever was.
const LEAST_FIXED: u32 = 160;
/// Changed when fields of today change their meaning, and not when fields are added.
const VERSION: u32 = 1;
const KEY: u32 = 1;

pub(crate) type RecordBytes = [u8; RECORD_LEN];

/// The fixed part of a record. Fields are added at its end only.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Fixed {
    /// Bytes of the record.
    len: u32,
    /// Bytes of its fixed part.
    fixed_len: u32,
    version: u32,
    flags: u32,
    sequence: u64,
    timestamp: i64,
    numerator: u32,
    denominator: u32,
    format: u32,
    width: u32,
    height: u32,
    planes: u32,
    /// Bytes of the slot that the frame uses.
    bytes: u64,
    plane: [FixedPlane; MAX_PLANES],
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct FixedPlane {
    offset: u64,
    stride: u32,
    row_bytes: u32,
    rows: u32,
    reserved: u32,
}

const _: () = assert!(FIXED_LEN == LEAST_FIXED as usize);

/// How many bytes a record says it has: whatever its writer put there.
pub(crate) fn len_of_record(record: &RecordBytes) -> usize {
    let [a, b, c, d, ..] = *record;
    u32::from_ne_bytes([a, b, c, d]) as usize
}

/// Where a record says which frame it is of, and when that was.
const NUMBER: Range<usize> = offset_of!(Fixed, sequence)..offset_of!(Fixed, numerator);

/// Whether two records are of the same frame but for its number and time.
pub(crate) fn are_alike(one: &RecordBytes, other: &RecordBytes) -> bool {
    let rest = FIXED_LEN..len_of_record(one).clamp(FIXED_LEN, RECORD_LEN);
    one[..NUMBER.start] == other[..NUMBER.start]
        && one[NUMBER.end..FIXED_LEN] == other[NUMBER.end..FIXED_LEN]
        && one[rest.clone()] == other[rest]
}

/// The sequence number and the timestamp that a record has.
pub(crate) fn number_of(record: &RecordBytes) -> (u64, i64) {
    let [sequence, timestamp] = [NUMBER.start, NUMBER.start + 8].map(|at| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&record[at..at + 8]);
        bytes
    });
    (u64::from_ne_bytes(sequence), i64::from_ne_bytes(timestamp))
}

/// Gives a record another sequence number and timestamp.
pub(crate) fn put_number(record: &mut RecordBytes, sequence: u64, timestamp: i64) {
    record[NUMBER][..8].copy_from_slice(&sequence.to_ne_bytes());
    record[NUMBER][8..].copy_from_slice(&timestamp.to_ne_bytes());
}

impl Meta {
    /// The record of it, as the frame `sequence`.
    pub(crate) fn record(&self, sequence: u64) -> RecordBytes {
        let mut plane = [FixedPlane::new_zeroed(); MAX_PLANES];
        for (to, from) in plane.iter_mut().zip(self.planes()) {
            let (stride, row_bytes) = (from.stride as u32, from.row_bytes as u32);
            *to = FixedPlane { offset: from.offset as u64, stride, row_bytes, rows: from.rows, reserved: 0 };
        }
        let fixed = Fixed {
            len: (FIXED_LEN + self.extra.len) as u32,
            fixed_len: FIXED_LEN as u32,
            version: VERSION,
            flags: if self.is_key { KEY } else { 0 },
            sequence,
            timestamp: self.timestamp,
            numerator: self.time_base.numerator,
            denominator: self.time_base.denominator,
            format: u32::from_le_bytes(self.format.0),
            width: self.width,
            height: self.height,
            planes: self.count as u32,
            bytes: self.bytes as u64,
            plane,
        };
        let mut record = [0; RECORD_LEN];
        record[..FIXED_LEN].copy_from_slice(fixed.as_bytes());
        record[FIXED_LEN..FIXED_LEN + self.extra.len].copy_from_slice(self.extra());
        record
    }

    /// What a record says of the frame `sequence`, in a slot of `room` bytes. Whatever the record is, what comes out lies inside of the slot.
    pub(crate) fn of_record(record: &RecordBytes, sequence: u64, room: usize) -> Result<Self, Fault> {
        let corrupt = |field| Fault::Corrupt { field };
        let mut fixed = Fixed::new_zeroed();
        fixed.as_mut_bytes().copy_from_slice(&record[..FIXED_LEN]);
        let (len, fixed_len) = (fixed.len as usize, fixed.fixed_len as usize);
        if fixed.fixed_len < LEAST_FIXED || fixed_len > len || len > RECORD_LEN {
            return Err(corrupt("frame record length"));
        }
        if fixed.version != VERSION {
            return Err(corrupt("frame record version"));
        }
        if fixed.sequence != sequence {
            return Err(corrupt("frame sequence"));
        }
        if fixed.planes == 0 || fixed.planes as usize > MAX_PLANES {
            return Err(corrupt("frame planes"));
        }
        // Another process may have made them too large for this one's addresses: then they are outside of any slot.
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let planes = fixed.plane.map(|plane| Plane {
            offset: size(plane.offset),
            stride: plane.stride as usize,
            row_bytes: plane.row_bytes as usize,
            rows: plane.rows,
        });
        let mut meta = Self {
            format: FourCc(fixed.format.to_le_bytes()),
            width: fixed.width,
            height: fixed.height,
            bytes: size(fixed.bytes),
            timestamp: fixed.timestamp,
            time_base: TimeBase { numerator: fixed.numerator, denominator: fixed.denominator },
            is_key: fixed.flags & KEY != 0,
            planes,
            count: fixed.planes as usize,
            extra: Extra { len: 0, bytes: [0; MAX_EXTRA] },
        };
        meta.planes[meta.count..].fill(Plane::default());
        meta.check(room).map_err(|BadMeta { field }| {
            corrupt(match field {
                "size" => "frame size",
                "time base" => "frame time base",
                "length" => "frame length",
                "stride" => "frame stride",
                "width" => "frame width",
                _ => "frame plane",
            })
        })?;
        meta.set_extra(&record[fixed_len..len]).map_err(|_| corrupt("frame record length"))?;
        Ok(meta)
    }
}
