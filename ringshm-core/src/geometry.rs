//! The shape of a segment: what a ring carries, how much of it, and where everything lies.

use crate::lanes::Role;
use crate::layout::{LANES_AT, Lane};
use core::ops::RangeInclusive;

/// What the data area is aligned to: a page, so that it can be mapped with other rights than the rest.
pub(crate) const DATA_ALIGN: u64 = 4096;
/// The smallest record ring, in bytes.
pub(crate) const MIN_RECORD_BYTES: u64 = 32;
/// The most producers, and the most consumers, of one ring.
pub const MAX_LANES: u32 = 64;
/// The largest data area, in bytes: 1 PiB, so that no sum of sizes can overflow.
const MAX_DATA: u64 = 1 << 50;

/// What a ring is, and what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// One producer, one consumer, messages of one fixed-size type.
    SpscSlots = 1,
    /// One producer, one consumer, byte records of any length.
    SpscRecords = 2,
    /// Many producers, many consumers, each message to one of them; messages of one fixed-size type.
    MpmcSlots = 3,
    /// Many producers, many consumers, each message to one of them; bytes up to a longest message.
    MpmcBytes = 4,
    /// One producer, many consumers, each message to all of them; messages of one fixed-size type.
    BroadcastSlots = 5,
    /// One producer, many consumers, each message to all of them; byte records of any length.
    BroadcastRecords = 6,
    /// One writer, any number of readers, the newest value only.
    Latest = 7,
    /// One producer, up to 16 consumers, each of which holds the frames it wants, in place.
    Frames = 8,
    /// No ring: a value that one participant at a time has to itself.
    Mutex = 16,
    /// No ring: a value that one participant writes or many read.
    RwLock = 17,
    /// No ring: where participants wait for a change of what a mutex protects.
    Condvar = 18,
    /// No ring: where a fixed number of participants meet.
    Barrier = 19,
    /// No ring: something that one participant does once.
    Once = 20,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::SpscSlots,
        Self::SpscRecords,
        Self::MpmcSlots,
        Self::MpmcBytes,
        Self::BroadcastSlots,
        Self::BroadcastRecords,
        Self::Latest,
        Self::Frames,
        Self::Mutex,
        Self::RwLock,
        Self::Condvar,
        Self::Barrier,
        Self::Once,
    ];

    pub(crate) fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == code)
    }

    /// The name that tools print.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpscSlots => "spsc slots",
            Self::SpscRecords => "spsc records",
            Self::MpmcSlots => "mpmc slots",
            Self::MpmcBytes => "mpmc bytes",
            Self::BroadcastSlots => "broadcast slots",
            Self::BroadcastRecords => "broadcast records",
            Self::Latest => "latest",
            Self::Frames => "frames",
            Self::Mutex => "mutex",
            Self::RwLock => "rwlock",
            Self::Condvar => "condvar",
            Self::Barrier => "barrier",
            Self::Once => "once",
        }
    }

    /// Whether it is no ring: its participants are all alike, and nothing is sent.
    #[must_use]
    pub const fn is_primitive(self) -> bool {
        matches!(self, Self::Mutex | Self::RwLock | Self::Condvar | Self::Barrier | Self::Once)
    }

    /// What its participants in that role are called.
    #[must_use]
    pub const fn name_of(self, role: Role) -> &'static str {
        if self.is_primitive() { "participant" } else { role.name() }
    }

    /// How many lanes for producers, and for consumers, it may have. Those of a primitive's participants are the former.
    pub(crate) const fn possible_lanes(self) -> (RangeInclusive<u32>, RangeInclusive<u32>) {
        if self.is_primitive() {
            return (1..=MAX_LANES, 0..=0);
        }
        let producers = if self.is_mpmc() { MAX_LANES } else { 1 };
        let consumers = match self {
            Self::SpscSlots | Self::SpscRecords => 1,
            Self::Frames => crate::frames::MAX_CONSUMERS,
            _ => MAX_LANES,
        };
        (1..=producers, 1..=consumers)
    }

    /// Whether its messages are byte records, and its units bytes.
    #[must_use]
    pub const fn has_records(self) -> bool {
        matches!(self, Self::SpscRecords | Self::BroadcastRecords)
    }

    /// Whether it has no more than one consumer.
    #[must_use]
    pub const fn has_one_consumer(self) -> bool {
        matches!(self, Self::SpscSlots | Self::SpscRecords)
    }

    /// Whether its participants can be woken like that.
    #[must_use]
    pub const fn can_be_woken_by(self, wakeup: Wakeup) -> bool {
        let has_semaphores = self.has_one_consumer() || self.is_mpmc() || self.is_broadcast();
        // Several threads may wait for one consumer's frames, and a lane has one semaphore.
        matches!(wakeup, Wakeup::Futex) || has_semaphores && !matches!(self, Self::Frames)
    }

    /// Whether each of its messages goes to all consumers.
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        matches!(self, Self::BroadcastSlots | Self::BroadcastRecords | Self::Latest | Self::Frames)
    }

    /// Bytes behind the ring, for what helps to find the way in it.
    const fn index_len(self) -> u64 {
        match self {
            Self::BroadcastRecords => crate::broadcast::MILESTONES_LEN,
            _ => 0,
        }
    }

    /// Whether each of its messages goes to one of many consumers.
    #[must_use]
    pub const fn is_mpmc(self) -> bool {
        matches!(self, Self::MpmcSlots | Self::MpmcBytes)
    }
}

/// How a participant that sleeps is woken: chosen when the ring is made, and the same for both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wakeup {
    /// By a futex.
    #[default]
    Futex,
    /// By a POSIX semaphore that lies in its lane, a `sem_t` of the C library, so that a program in C can sleep and wake without a system
    /// call of its own. Readers without a lane, of broadcast rings and registers, have none, and are woken by a futex. See
    /// [`bell`](ringshm_sync::semaphore::bell).
    Semaphore,
}

impl Wakeup {
    /// The name that tools print.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Futex => "futex",
            Self::Semaphore => "semaphore",
        }
    }
}

/// What a program wants of a ring's shape; the rest follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What the ring is.
    pub kind: Kind,
    /// Slots, or bytes of records; rounded up to a power of two.
    pub capacity: u64,
    /// The size of the fixed-size message, or of the longest one. Not used for records, whose longest follows from the capacity.
    pub message: u64,
    /// The message's alignment, a power of two.
    pub align: u64,
    /// The most producers.
    pub producers: u32,
    /// The most consumers that have a lane.
    pub consumers: u32,
    /// The first position.
    pub origin: u64,
}

/// Where everything of a segment lies: computed once, kept privately, and never read from shared memory again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// What the ring carries.
    pub kind: Kind,
    /// Slots, or bytes of the record ring. A power of two; slots of frames may be any number.
    pub capacity: u64,
    /// Whether that is the default: the creator did not ask for a capacity.
    pub is_default_capacity: bool,
    /// Whether a message whose consumer died with it is dropped, and not given to another one.
    pub is_at_most_once: bool,
    /// How its participants are woken.
    pub wakeup: Wakeup,
    /// Whether the frames' pixels are in an object of their own.
    pub has_own_pool: bool,
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
        let kind = Kind::SpscSlots;
        Self::new(&Shape { kind, capacity, message: stride, align: 1, producers: 1, consumers: 1, origin })
    }

    /// A record ring of `capacity` bytes (rounded up to a power of two, at least 32). `None` if it is
    /// larger than any machine.
    ///
    /// The largest record is half the ring less its header: such a record fits wherever the wrap lies. Its length also
    /// fits the 32 bits of a record header.
    #[must_use]
    pub fn records(capacity: u64, origin: u64) -> Option<Self> {
        let kind = Kind::SpscRecords;
        Self::new(&Shape { kind, capacity, message: 1, align: 1, producers: 1, consumers: 1, origin })
    }

    /// The geometry of a ring of that shape. `None` if it is empty, or larger than any machine.
    #[must_use]
    pub fn new(shape: &Shape) -> Option<Self> {
        let Shape { kind, capacity, message, align, producers, consumers, origin } = *shape;
        let (most_producers, most_consumers) = kind.possible_lanes();
        let lanes_are_possible = most_producers.contains(&producers) && most_consumers.contains(&consumers);
        if message == 0 || !align.is_power_of_two() || align > MAX_DATA || message > MAX_DATA || !lanes_are_possible {
            return None;
        }
        // A register of another size is nobody's: its readers know where its slots are.
        if kind == Kind::Latest && capacity != crate::latest::SLOTS {
            return None;
        }
        let least = if kind.has_records() { MIN_RECORD_BYTES } else { 1 };
        let capacity = match kind {
            // Too large to be rounded up.
            Kind::Frames => Some(capacity).filter(|slots| crate::frames::POSSIBLE_SLOTS.contains(slots))?,
            _ => capacity.max(least).checked_next_power_of_two()?,
        };
        let (stride, max_message) = match kind {
            Kind::SpscSlots => (message, message),
            // Moved as words.
            Kind::BroadcastSlots => (message.next_multiple_of(8), message),
            Kind::Latest => (crate::latest::stride(message, align), message),
            Kind::Frames => (crate::frames::stride(message), message),
            // Moved as words.
            Kind::Mutex | Kind::RwLock | Kind::Condvar | Kind::Barrier | Kind::Once => {
                (message.next_multiple_of(8), message)
            }
            Kind::SpscRecords | Kind::BroadcastRecords => (1, (capacity / 2 - crate::record::HEADER).min(1 << 31)),
            Kind::MpmcSlots | Kind::MpmcBytes => (crate::mpmc::stride(kind, message, align)?, message),
        };
        capacity.checked_mul(stride).filter(|size| *size <= MAX_DATA)?;
        let lanes = u64::from(producers + consumers) * size_of::<Lane>() as u64;
        let lanes_at = LANES_AT as u64;
        let data_at = (lanes_at + lanes).next_multiple_of(DATA_ALIGN);
        let geometry = Self {
            kind,
            capacity,
            is_default_capacity: false,
            is_at_most_once: false,
            wakeup: Wakeup::Futex,
            has_own_pool: false,
            stride,
            max_message,
            origin,
            producers,
            consumers,
            lanes_at,
            data_at,
            total: 0,
        };
        Some(geometry.sized())
    }

    /// The same ring of frames, with its pixels in an object of their own.
    pub(crate) fn with_own_pool(self) -> Self {
        Self { has_own_pool: true, ..self }.sized()
    }

    fn sized(self) -> Self {
        Self { total: self.data_at + (self.data_len() as u64).next_multiple_of(DATA_ALIGN), ..self }
    }

    /// Whether a message that is published alone travels with the cursor.
    #[inline(always)]
    pub(crate) fn has_copies(&self) -> bool {
        self.kind == Kind::SpscSlots && crate::express::carries(self.stride as usize)
    }

    /// Lanes of both roles.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.producers as usize + self.consumers as usize
    }

    /// The size of the data area, in bytes, what lies behind the ring included.
    #[must_use]
    pub fn data_len(&self) -> usize {
        let units = match self.kind {
            Kind::Frames => {
                crate::frames::words_len(self.capacity) + if self.has_own_pool { 0 } else { self.pool_len() }
            }
            _ => self.capacity * self.stride,
        };
        (units + self.kind.index_len()) as usize
    }

    /// The size of a frame ring's pool, in bytes: what only its producer writes.
    #[must_use]
    pub fn pool_len(&self) -> u64 {
        crate::frames::pool_len(self.capacity, self.stride)
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
        let shape = Shape {
            kind: Kind::MpmcBytes,
            capacity: 4,
            message: 100,
            align: 8,
            producers: MAX_LANES,
            consumers: MAX_LANES,
            origin: 0,
        };
        assert!(Geometry::new(&shape).is_some());
        for absurd in [
            Shape { producers: 0, ..shape },
            Shape { consumers: MAX_LANES + 1, ..shape },
            Shape { message: u64::MAX, ..shape },
            Shape { align: 3, ..shape },
            Shape { align: 1 << 60, ..shape },
        ] {
            assert!(Geometry::new(&absurd).is_none(), "{absurd:?}");
        }
    }
}
