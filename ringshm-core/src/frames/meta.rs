//! What is said of a frame beside its pixels: its format, its planes, its time.

pub(crate) mod record;

use super::format::FourCc;
use record::{FIXED_LEN, RECORD_LEN};

/// The most planes of a frame.
pub const MAX_PLANES: usize = 4;
/// The most bytes of a program's own that a frame carries beside its pixels.
pub const MAX_EXTRA: usize = RECORD_LEN - FIXED_LEN;

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
}

#[cfg(all(test, not(loom)))]
mod tests;
