//! What is said of a frame beside its pixels: its format, its planes, its time.
//!
//! A frame carries a *record* that begins with its own length and that of its fixed part, so that later versions can add fields behind those
//! of today: a reader takes the fields that it knows and steps over the others, and takes those that an older writer does not have for zero.
//! Behind the fixed part lie bytes that are the program's own.

use super::format::FourCc;
use crate::error::Fault;
use core::mem::offset_of;
use core::ops::Range;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// The most planes of a frame.
pub const MAX_PLANES: usize = 4;
/// The most bytes of a program's own that a frame carries beside its pixels.
pub const MAX_EXTRA: usize = RECORD_LEN - FIXED_LEN;

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

/// One plane of a frame: rows of bytes, at equal distances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plane {
    /// Where its first row begins: bytes from the beginning of the frame.
    pub offset: usize,
    /// Bytes from the beginning of one row to that of the next.
    pub stride: usize,
    /// Bytes of a row that mean anything, at most the stride.
    pub row_bytes: usize,
    /// How many rows.
    pub rows: u32,
}

impl Plane {
    /// Where a row begins: bytes from the beginning of the frame. `None` if there is no such row.
    #[must_use]
    pub fn row_at(&self, row: u32) -> Option<usize> {
        (row < self.rows).then(|| self.offset + row as usize * self.stride)
    }

    /// Where its last row ends.
    #[must_use]
    pub fn end(&self) -> usize {
        self.row_at(self.rows.saturating_sub(1)).map_or(self.offset, |last| last + self.row_bytes)
    }

    /// How many of its rows are there when so many of a frame of that height are.
    #[must_use]
    pub fn ready(&self, rows: u32, height: u32) -> u32 {
        if rows >= height {
            return self.rows;
        }
        (u64::from(rows) * u64::from(self.rows) / u64::from(height)) as u32
    }

    /// As [`end`](Self::end), of numbers that may be anything.
    fn checked_end(&self) -> Option<usize> {
        let before = self.stride.checked_mul(usize::try_from(self.rows.checked_sub(1)?).ok()?)?;
        self.offset.checked_add(before)?.checked_add(self.row_bytes)
    }
}

/// In what unit a frame's timestamp counts: `numerator / denominator` seconds. 1/1,000,000,000 if not given: nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeBase {
    /// Not 0.
    pub numerator: u32,
    /// Not 0.
    pub denominator: u32,
}

impl TimeBase {
    /// Nanoseconds.
    pub const NANOSECONDS: Self = Self { numerator: 1, denominator: 1_000_000_000 };
}

impl Default for TimeBase {
    fn default() -> Self {
        Self::NANOSECONDS
    }
}

/// What a frame is: written by its producer, beside the pixels, and read by its consumers.
///
/// ```
/// use ringshm_core::frames::{FourCc, Meta, Plane, TimeBase};
///
/// let mut meta = Meta::new(FourCc::I420, 640, 480)?;
/// assert_eq!(meta.bytes, 640 * 480 * 3 / 2);
/// (meta.timestamp, meta.time_base) = (41, TimeBase { numerator: 1, denominator: 25 });
///
/// // A format of one's own says itself how its rows lie.
/// let rows = Plane { offset: 0, stride: 2048, row_bytes: 1920, rows: 1080 };
/// let meta = Meta::with_planes(FourCc::new(b"mine"), 960, 1080, &[rows])?;
/// assert_eq!(meta.bytes, 1079 * 2048 + 1920);
/// # Ok::<(), ringshm_core::frames::BadMeta>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// How pixels are made of bytes.
    pub format: FourCc,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes of the slot that the frame uses, from its beginning. All planes lie inside.
    pub bytes: usize,
    /// When it is to be shown, or was taken, in units of `time_base`.
    pub timestamp: i64,
    /// The unit of the timestamp.
    pub time_base: TimeBase,
    /// Whether it can be understood without the frames before it. True of pixels; of compressed pictures, the decoder's entry points.
    pub is_key: bool,
    planes: [Plane; MAX_PLANES],
    count: usize,
    extra: Extra,
}

/// A program's own bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Extra {
    len: usize,
    bytes: [u8; MAX_EXTRA],
}

impl core::fmt::Debug for Extra {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.bytes[..self.len].fmt(f)
    }
}

/// A frame cannot be like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMeta {
    /// The first part of its description that cannot be.
    pub field: &'static str,
}

impl core::fmt::Display for BadMeta {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { field } = self;
        write!(
            f,
            "a frame cannot be described like that ({field}): see that all planes lie inside of the frame, the frame inside of its slot, and that rows are as long as its format and width ask for"
        )
    }
}

impl std::error::Error for BadMeta {}

impl Meta {
    /// A frame of a known format, its planes one after the other without gaps, and its rows as well.
    ///
    /// # Errors
    /// [`BadMeta`] if the format is not among those of [`FourCc`], or has no such width or height.
    pub fn new(format: FourCc, width: u32, height: u32) -> Result<Self, BadMeta> {
        let shapes = format.planes(width, height).ok_or(BadMeta { field: "format" })?;
        let mut planes = [Plane::default(); MAX_PLANES];
        let mut offset = 0_usize;
        for (plane, shape) in planes.iter_mut().zip(shapes.clone()) {
            let (row_bytes, rows) = (shape.row_bytes, shape.rows);
            *plane = Plane { offset, stride: row_bytes, row_bytes, rows };
            offset = plane.checked_end().ok_or(BadMeta { field: "size" })?;
        }
        Self::with_planes(format, width, height, &planes[..shapes.count()])
    }

    /// A frame of any format, whose planes lie as given.
    ///
    /// # Errors
    /// [`BadMeta`] if that cannot be, or is shorter than a known format asks for.
    pub fn with_planes(format: FourCc, width: u32, height: u32, planes: &[Plane]) -> Result<Self, BadMeta> {
        if planes.is_empty() || planes.len() > MAX_PLANES {
            return Err(BadMeta { field: "planes" });
        }
        let ends = planes.iter().map(Plane::checked_end);
        let bytes = ends.collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().max());
        let mut meta = Self {
            format,
            width,
            height,
            bytes: bytes.ok_or(BadMeta { field: "plane" })?,
            timestamp: 0,
            time_base: TimeBase::default(),
            is_key: true,
            planes: [Plane::default(); MAX_PLANES],
            count: planes.len(),
            extra: Extra { len: 0, bytes: [0; MAX_EXTRA] },
        };
        meta.planes[..planes.len()].copy_from_slice(planes);
        meta.check(meta.bytes)?;
        Ok(meta)
    }

    /// Bytes without rows or planes, such as a compressed picture: one plane with one row, one pixel high.
    ///
    /// # Errors
    /// [`BadMeta`] if there are none, or 4 GiB and more.
    pub fn of_bytes(format: FourCc, bytes: usize) -> Result<Self, BadMeta> {
        let width = u32::try_from(bytes).map_err(|_| BadMeta { field: "size" })?;
        Self::with_planes(format, width, 1, &[Plane { offset: 0, stride: bytes, row_bytes: bytes, rows: 1 }])
    }

    /// The same, with another timestamp.
    #[must_use]
    pub fn at(&self, timestamp: i64) -> Self {
        Self { timestamp, ..*self }
    }

    /// Its planes.
    #[must_use]
    pub fn planes(&self) -> &[Plane] {
        &self.planes[..self.count]
    }

    /// What its program has to say besides.
    #[must_use]
    pub fn extra(&self) -> &[u8] {
        &self.extra.bytes[..self.extra.len]
    }

    /// Says something besides, up to [`MAX_EXTRA`] bytes: a colour space, a crop, the name of a camera.
    ///
    /// # Errors
    /// [`BadMeta`] if it is too long.
    pub fn set_extra(&mut self, extra: &[u8]) -> Result<(), BadMeta> {
        let target = self.extra.bytes.get_mut(..extra.len()).ok_or(BadMeta { field: "extra bytes" })?;
        target.copy_from_slice(extra);
        self.extra.len = extra.len();
        Ok(())
    }

    /// Whether both are the same but for their times.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let shape = |meta: &Self| (meta.format, meta.width, meta.height, meta.bytes, meta.time_base, meta.is_key);
        shape(self) == shape(other) && self.planes() == other.planes() && self.extra() == other.extra()
    }

    /// Whether no byte belongs to two planes: what a frame needs that is shown before it is finished.
    pub(crate) fn planes_are_apart(&self) -> bool {
        let planes = self.planes();
        planes.iter().enumerate().all(|(index, plane)| {
            planes[..index].iter().all(|other| other.end() <= plane.offset || plane.end() <= other.offset)
        })
    }

    /// Whether it can be, in a slot of `room` bytes.
    pub(crate) fn check(&self, room: usize) -> Result<(), BadMeta> {
        let bad = |field| Err(BadMeta { field });
        if self.width == 0 || self.height == 0 {
            return bad("size");
        }
        if self.time_base.numerator == 0 || self.time_base.denominator == 0 {
            return bad("time base");
        }
        if self.bytes > room {
            return bad("length");
        }
        for plane in self.planes() {
            let is_inside = plane.checked_end().is_some_and(|end| end <= self.bytes);
            if plane.row_bytes == 0 || plane.rows == 0 || plane.row_bytes > plane.stride || !is_inside {
                return bad("plane");
            }
            if plane.stride > u32::MAX as usize {
                return bad("stride");
            }
        }
        let Some(shapes) = self.format.planes(self.width, self.height) else {
            return if self.format.is_known() { bad("size") } else { Ok(()) };
        };
        let is_long_enough = shapes.clone().count() == self.count
            && shapes
                .zip(self.planes())
                .all(|(least, plane)| plane.row_bytes >= least.row_bytes && plane.rows >= least.rows);
        if is_long_enough { Ok(()) } else { bad("width") }
    }

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

#[cfg(all(test, not(loom)))]
mod tests;
