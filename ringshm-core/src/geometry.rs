//! The shape of a segment: what a ring carries, how much of it, and where everything lies.

use crate::layout::{LANES_AT, Lane};

/// What the data area is aligned to: a page, so that it can be mapped with other rights than the rest.
pub(crate) const DATA_ALIGN: u64 = 4096;
/// The smallest record ring, in bytes.
pub(crate) const MIN_RECORD_BYTES: u64 = 32;
/// The largest data area, in bytes: 1 PiB, so that no sum of sizes can overflow.
const MAX_DATA: u64 = 1 << 50;

/// What a ring carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// One producer, one consumer, messages of one fixed-size type.
    SpscSlots = 1,
    /// One producer, one consumer, byte records of any length.
    SpscRecords = 2,
}

impl Kind {
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        [Self::SpscSlots, Self::SpscRecords].into_iter().find(|kind| *kind as u32 == code)
    }

    /// The name that tools print.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpscSlots => "spsc slots",
            Self::SpscRecords => "spsc records",
        }
    }
}

/// Where everything of a segment lies: computed once, kept privately, and never read from shared memory again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// What the ring carries.
    pub kind: Kind,
    /// Slots, or bytes of the record ring. A power of two.
    pub capacity: u64,
    /// Whether that is the default: the creator did not ask for a capacity.
    pub is_default_capacity: bool,
    /// Bytes from one slot to the next; 1 for records.
    pub stride: u64,
    /// The largest message, in bytes.
    pub max_message: u64,
    /// The position of the first unit ever sent.
    pub origin: u64,
    /// Producer lanes.
    pub producers: u32,
    /// Consumer lanes.
    pub consumers: u32,
    /// Where the lanes begin.
    pub lanes_at: u64,
    /// Where the data area begins.
    pub data_at: u64,
    /// The size of the whole object.
    pub total: u64,
}

impl Geometry {
    /// A ring of `capacity` slots (rounded up to a power of two) of `stride` bytes. `None` if it is empty, or larger than
    /// any machine.
    #[must_use]
    pub fn slots(capacity: u64, stride: u64, origin: u64) -> Option<Self> {
        if stride == 0 {
            return None;
        }
        Self::new(Kind::SpscSlots, capacity.checked_next_power_of_two()?, stride, stride, origin)
    }

    /// A record ring of `capacity` bytes (rounded up to a power of two, at least 32). `None` if it is
    /// larger than any machine.
    ///
    /// The largest record is half the ring less its header: such a record fits wherever the wrap lies. Its length also
    /// fits the 32 bits of a record header.
    #[must_use]
    pub fn records(capacity: u64, origin: u64) -> Option<Self> {
        let capacity = capacity.max(MIN_RECORD_BYTES).checked_next_power_of_two()?;
        let max_message = (capacity / 2 - crate::record::HEADER).min(1 << 31);
        Self::new(Kind::SpscRecords, capacity, 1, max_message, origin)
    }

    fn new(kind: Kind, capacity: u64, stride: u64, max_message: u64, origin: u64) -> Option<Self> {
        let data = capacity.checked_mul(stride).filter(|size| *size <= MAX_DATA)?;
        let (producers, consumers) = (1, 1);
        let lanes = u64::from(producers + consumers) * size_of::<Lane>() as u64;
        let data_at = (LANES_AT as u64 + lanes).next_multiple_of(DATA_ALIGN);
        let total = data_at + data.next_multiple_of(DATA_ALIGN);
        let lanes_at = LANES_AT as u64;
        Some(Self {
            kind,
            capacity,
            is_default_capacity: false,
            stride,
            max_message,
            origin,
            producers,
            consumers,
            lanes_at,
            data_at,
            total,
        })
    }

    /// Lanes of both roles.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.producers as usize + self.consumers as usize
    }

    /// The size of the data area, in bytes.
    #[must_use]
    pub fn data_len(&self) -> usize {
        (self.capacity * self.stride) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_sizes_are_no_geometry() {
        assert!(Geometry::slots(1, 0, 0).is_none());
        assert!(Geometry::slots(u64::MAX, 8, 0).is_none());
        assert!(Geometry::slots(1 << 40, 1 << 30, 0).is_none());
        assert!(Geometry::records(u64::MAX, 0).is_none());
        assert_eq!(Geometry::slots(0, 8, 0).map(|geometry| geometry.capacity), Some(1));
        assert_eq!(Geometry::records(0, 0).map(|geometry| geometry.max_message), Some(8));
    }
}
