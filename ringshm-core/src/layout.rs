//! The bytes of a segment: the one place that says what lies where.
//!
//! ```text
//!      0 ┌──────────────────────────────┐
//!        │ Header          512 B        │  written before the object has a name, then only read
//!    512 ├──────────────────────────────┤
//!        │ Control         768 B        │  retired, tail, head, sleeping producers, sleeping consumers, primitives' words
//!   4096 ├──────────────────────────────┤
//!        │ Lobby           256 B        │  readers' event count: the only page that a read-only reader writes
//!   8192 ├──────────────────────────────┤
//!        │ Lane 0          384 B        │  producers, then consumers; each lane is three padded lines:
//!        │   +0   progress 128 B        │    how far this participant has come   (owner writes, others read: hot)
//!        │   +128 presence 128 B        │    state, doorbell, pid, since; +192 semaphore   (joining, leaving, sleeping)
//!        │   +256 accounts 128 B        │    ledger of counts, and counters      (owner writes, tools read)
//!        │ Lane 1 …                     │
//!        ├──────────────────────────────┤  up to the next multiple of 4096
//!        │ Data                         │  slots of `stride` bytes, or a ring of records
//!        └──────────────────────────────┘
//! ```
//!
//! Every field has a fixed width, every gap is explicit, and the compiler checks each offset below. A segment is local to
//! one machine, so numbers are in its byte order; a segment of the other order fails the check of its magic.
//!
//! **Locks.** The kernel's record locks of a segment need no memory, only byte numbers: byte 0 is the gate (held for
//! microseconds while a participant joins or the segment is retired), and the first byte of each lane says that the
//! lane's owner is alive.

pub use crate::geometry::{Geometry, Kind, MAX_LANES, Shape, Wakeup};
pub use crate::identity::{MAX_TYPE_NAME, TypeIdentity};

use crate::error::OpenError;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::atomic::{AtomicU32, AtomicU64};
use ringshm_sync::doorbell::Doorbell;
use ringshm_sync::eventcount::EventCount;
use ringshm_sync::pad::Padded;
use ringshm_sync::robust::{RawBarrier, RawCondvar, RawMutex, RawOnce, RawRwLock, Seat};
use ringshm_sync::semaphore::Semaphore;
use ringshm_sync::sleepers::Sleepers;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The first eight bytes of every finished segment.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"ringshm\n");
/// The version of this file. A segment of another version is refused.
pub const VERSION: u32 = 5;

/// Where the live part begins: [`Control`], then the lanes.
pub const CONTROL_AT: usize = size_of::<Header>();
/// Where the [`Lobby`] begins: a page of its own.
pub const LOBBY_AT: usize = 4096;
/// Where the lanes begin.
pub const LANES_AT: usize = 8192;
/// The largest alignment a payload type may ask for.
pub const MAX_PAYLOAD_ALIGN: usize = 128;
/// The first bytes of a segment, as they lie there.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`]; written last.
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// A [`Kind`].
    pub kind: u32,
    /// The size of the whole object, in bytes.
    pub total: u64,
    /// Slots, or bytes of the record ring. A power of two; slots of frames may be any number.
    pub capacity: u64,
    /// Bytes from one slot to the next; 1 for records.
    pub stride: u64,
    /// The largest message, in bytes.
    pub max_message: u64,
    /// Where the lanes begin.
    pub lanes_at: u64,
    /// Where the data area begins.
    pub data_at: u64,
    /// The position of the first unit ever sent.
    pub origin: u64,
    /// The author's number for the meaning of the payload.
    pub schema: u64,
    /// When the segment was made: nanoseconds since 1970.
    pub created: u64,
    /// Producer lanes.
    pub producers: u32,
    /// Consumer lanes.
    pub consumers: u32,
    /// The payload type's alignment.
    pub type_align: u32,
    /// The length of the payload type's name.
    pub type_name_len: u32,
    /// The process that made the segment, for people.
    pub creator: u32,
    /// Bit 0: the capacity is the default one, nobody asked for it. Bit 1: a message whose consumer died is dropped.
    /// Bit 2: participants sleep on the semaphores in their lanes. Bit 3: the frames' pixels are in an object of their own.
    pub options: u32,
    /// Of a System V segment: the kernel's number for the set of semaphores that has its locks. 0 elsewhere.
    pub lock_set: u32,
    /// Zero.
    pub reserved: [u8; 4],
    /// The payload type's name, UTF-8, filled up with zeros.
    pub type_name: [u8; MAX_TYPE_NAME],
    /// Zero.
    pub reserved2: [u8; 256],
    /// [`checksum`](Self::checksum) of everything before.
    pub sum: u64,
}

impl Header {
    /// The header of a segment that is to be made.
    #[must_use]
    pub fn new(geometry: &Geometry, identity: &TypeIdentity, creator: u32, created: u64) -> Self {
        let mut type_name = [0; MAX_TYPE_NAME];
        let name = identity.name.as_bytes();
        let len = name.len().min(MAX_TYPE_NAME);
        type_name[..len].copy_from_slice(&name[..len]);
        let mut header = Self {
            magic: MAGIC,
            version: VERSION,
            kind: geometry.kind as u32,
            total: geometry.total,
            capacity: geometry.capacity,
            stride: geometry.stride,
            max_message: geometry.max_message,
            lanes_at: geometry.lanes_at,
            data_at: geometry.data_at,
            origin: geometry.origin,
            schema: identity.schema,
            created,
            producers: geometry.producers,
            consumers: geometry.consumers,
            type_align: identity.align,
            type_name_len: len as u32,
            creator,
            options: u32::from(geometry.is_default_capacity)
                | u32::from(geometry.is_at_most_once) << 1
                | u32::from(geometry.wakeup == Wakeup::Semaphore) << 2
                | u32::from(geometry.has_own_pool) << 3,
            lock_set: 0,
            reserved: [0; 4],
            type_name,
            reserved2: [0; 256],
            sum: 0,
        };
        header.sum = header.checksum();
        header
    }

    /// FNV-1a over all bytes but the last eight: finds a damaged header, not a forged one.
    #[must_use]
    pub fn checksum(&self) -> u64 {
        let bytes = self.as_bytes();
        bytes[..bytes.len() - size_of::<u64>()]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
    }

    /// Checks a private copy of a header against itself and against the real size of its object. The one validation of
    /// the project: what it returns can be trusted not to lead outside of the object.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] with the field, or [`OpenError::Version`].
    pub fn validate(&self, object_size: u64) -> Result<(Geometry, TypeIdentity), OpenError> {
        let corrupt = |field| Err(OpenError::Corrupt { field });
        if self.magic != MAGIC {
            return corrupt("magic");
        }
        if self.version != VERSION {
            return Err(OpenError::Version { expected: VERSION, found: self.version });
        }
        if self.sum != self.checksum() {
            return corrupt("header checksum");
        }
        let Some(kind) = Kind::from_code(self.kind) else { return corrupt("kind") };
        let Some(name) = self.type_name.get(..self.type_name_len as usize) else { return corrupt("type name length") };
        let Ok(name) = core::str::from_utf8(name) else { return corrupt("type name") };
        let (producers, consumers) = kind.possible_lanes();
        for (lanes, possible, field) in
            [(self.producers, producers, "producers"), (self.consumers, consumers, "consumers")]
        {
            if !possible.contains(&lanes) {
                return corrupt(field);
            }
        }
        let shape = Shape {
            kind,
            capacity: self.capacity,
            message: if kind.has_records() { 1 } else { self.max_message },
            align: self.type_align.into(),
            producers: self.producers,
            consumers: self.consumers,
            origin: self.origin,
        };
        let Some(mut geometry) = Geometry::new(&shape) else { return corrupt("capacity") };
        geometry.is_default_capacity = self.options & 1 != 0;
        geometry.is_at_most_once = self.options & 2 != 0;
        geometry.wakeup = if self.options & 4 == 0 { Wakeup::Futex } else { Wakeup::Semaphore };
        if self.options & 8 != 0 && kind == Kind::Frames {
            geometry = geometry.with_own_pool();
        }
        let is_possible = geometry.has_own_pool == (self.options & 8 != 0) && kind.can_be_woken_by(geometry.wakeup);
        if self.options >> 4 != 0 || !is_possible {
            return corrupt("options");
        }
        // Everything that follows from kind, capacity and stride must be what this version computes from them.
        let consistent = [
            (self.capacity == geometry.capacity, "capacity"),
            (self.stride == geometry.stride, "stride"),
            (self.max_message == geometry.max_message, "max message"),
            (self.lanes_at == geometry.lanes_at, "lanes offset"),
            (self.data_at == geometry.data_at, "data offset"),
            (self.total == geometry.total, "total size"),
            (object_size == geometry.total, "object size"),
        ];
        if let Some((_, field)) = consistent.into_iter().find(|(holds, _)| !holds) {
            return corrupt(field);
        }
        // Of bytes, the longest is a matter of shape and not of type.
        let size = match kind {
            Kind::SpscRecords | Kind::BroadcastRecords | Kind::MpmcBytes | Kind::Frames => 1,
            Kind::SpscSlots | Kind::MpmcSlots | Kind::BroadcastSlots | Kind::Latest => geometry.max_message,
            Kind::Mutex | Kind::RwLock | Kind::Condvar | Kind::Barrier | Kind::Once => geometry.max_message,
        };
        let identity = TypeIdentity { name: name.to_owned(), size, align: self.type_align, schema: self.schema };
        Ok((geometry, identity))
    }
}

/// The live words that belong to the segment as a whole.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Control {
    /// 1 once the segment has lost its name for good: whoever opened it meanwhile must open anew. Written under the gate.
    pub retired: Padded<AtomicU32>,
    /// MPMC: the position that the next producer claims.
    pub tail: Padded<AtomicU64>,
    /// MPMC: the position that the next consumer claims.
    pub head: Padded<AtomicU64>,
    /// MPMC: the producers that sleep.
    pub sleeping_producers: Padded<Sleepers>,
    /// MPMC: the consumers that sleep.
    pub sleeping_consumers: Padded<Sleepers>,
    /// Of what is no ring: its word.
    pub robust: Padded<Robust>,
}

/// The words of the robust primitives. A segment is one of them, and uses that one's.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Robust {
    /// Who has the value to itself.
    pub mutex: RawMutex,
    /// Who writes the value.
    pub rwlock: RawRwLock,
    /// How often it was notified.
    pub condvar: RawCondvar,
    /// Which meeting is on.
    pub barrier: RawBarrier,
    /// Whether it is done.
    pub once: RawOnce,
}

/// The page in which readers that write nothing else say that they sleep.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Lobby {
    /// Broadcast: all readers sleep here, those with a lane too.
    pub readers: Padded<EventCount>,
    /// Broadcast: 1 once a reader without a lane has come.
    pub visited: Padded<AtomicU32>,
}

/// One participant's part of the segment.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Lane {
    /// How far the owner has come: published (producer) or released (consumer) up to this position. Only the owner
    /// writes it; it only grows. Not used by MPMC rings.
    pub cursor: AtomicU64,
    /// MPMC: the positions that the owner has claimed, or is about to; see [`mpmc`](crate::mpmc).
    pub intent: AtomicU64,
    /// SPSC slots, in the producer's lane: copies of small messages, on the line of the cursor that announces them.
    pub express: crate::express::Express,
    /// Broadcast: the producer may write up to this position before it looks at its consumers again; what is more than the capacity
    /// before it may be overwritten. On a line of its own, because it changes a few times a lap and every reader reads it.
    pub reach: AtomicU64,
    /// Broadcast, in the producer's lane: bit `n` says that consumer lane `n` has had an owner. Set by that owner.
    pub joined: AtomicU64,
    /// Lock of readers and writers, barrier: whether the owner reads, or has arrived.
    pub seat: Seat,
    /// Zero.
    pub reserved: [u32; 11],
    /// Who the owner is, and whether it sleeps.
    pub presence: Padded<Presence>,
    /// How many messages the owner's cursor stands for.
    pub ledger: crate::ledger::Ledger,
    /// What has happened to this lane's owners, for tools.
    pub counters: Counters,
}

/// What has happened to the owners of a lane since the ring was made. Only the owner writes them, one after the other with what they
/// count: a kill may leave one of them one behind.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    /// Messages sent, or received. Of an SPSC ring, the cursor and the ledger tell, exactly.
    pub messages: AtomicU64,
    /// Messages that this consumer was told it missed, or that this participant dropped because their consumer died.
    pub lost: AtomicU64,
    /// Claims of dead producers that this participant turned into tombstones; torn messages that this producer found.
    pub torn: AtomicU64,
    /// Messages of dead consumers that this consumer took over.
    pub redelivered: AtomicU64,
    /// Slow readers that this producer evicted.
    pub evicted: AtomicU64,
    /// Broadcast: this producer has begun to write up to this position.
    pub begun: AtomicU64,
    /// Zero.
    pub reserved: [u64; 6],
}

impl Counters {
    /// Counts `more` with a counter of the caller's own lane.
    #[inline(always)]
    pub(crate) fn add(counter: &AtomicU64, more: u64) {
        // Relaxed: only the owner writes it, and tools read it.
        let count = counter.load(Relaxed);
        // Relaxed: as above.
        counter.store(count.wrapping_add(more), Relaxed);
    }
}

/// Who owns a lane. Written when joining, leaving and sleeping; its peer reads it after every publish, so it shares no
/// line with anything that changes with every message.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Presence {
    /// The state word: see [`lanes`](crate::lanes).
    pub state: AtomicU32,
    /// Where the owner sleeps.
    pub bell: Doorbell,
    /// The owner's process number in its own namespace, for people.
    pub pid: AtomicU32,
    /// Zero.
    pub reserved: AtomicU32,
    /// When the owner joined: nanoseconds since 1970, for people.
    pub since: AtomicU64,
    /// Zero.
    pub reserved2: [u64; 5],
    /// Where the owner sleeps, if the ring's participants sleep on semaphores. On a line of its own, because the peer reads the one before
    /// after every publication.
    pub semaphore: Semaphore,
}

#[cfg(not(loom))]
const _: () = {
    use crate::ledger::{Ledger, Mark};
    use core::mem::offset_of;
    assert!(size_of::<Header>() == 512 && align_of::<Header>() == 8);
    assert!(offset_of!(Header, magic) == 0);
    assert!(offset_of!(Header, version) == 8);
    assert!(offset_of!(Header, kind) == 12);
    assert!(offset_of!(Header, total) == 16);
    assert!(offset_of!(Header, capacity) == 24);
    assert!(offset_of!(Header, stride) == 32);
    assert!(offset_of!(Header, max_message) == 40);
    assert!(offset_of!(Header, lanes_at) == 48);
    assert!(offset_of!(Header, data_at) == 56);
    assert!(offset_of!(Header, origin) == 64);
    assert!(offset_of!(Header, schema) == 72);
    assert!(offset_of!(Header, created) == 80);
    assert!(offset_of!(Header, producers) == 88);
    assert!(offset_of!(Header, consumers) == 92);
    assert!(offset_of!(Header, type_align) == 96);
    assert!(offset_of!(Header, type_name_len) == 100);
    assert!(offset_of!(Header, creator) == 104);
    assert!(offset_of!(Header, options) == 108);
    assert!(offset_of!(Header, lock_set) == 112);
    assert!(offset_of!(Header, reserved) == 116);
    assert!(offset_of!(Header, type_name) == 120);
    assert!(offset_of!(Header, reserved2) == 248);
    assert!(offset_of!(Header, sum) == 504);
    assert!(CONTROL_AT == 512 && size_of::<Control>() == 768 && align_of::<Control>() == 128);
    assert!(offset_of!(Control, tail) == 128);
    assert!(offset_of!(Control, head) == 256);
    assert!(offset_of!(Control, sleeping_producers) == 384);
    assert!(offset_of!(Control, sleeping_consumers) == 512);
    assert!(offset_of!(Control, robust) == 640 && size_of::<Robust>() == 20);
    assert!(offset_of!(Robust, rwlock) == 4 && offset_of!(Robust, condvar) == 8);
    assert!(offset_of!(Robust, barrier) == 12 && offset_of!(Robust, once) == 16);
    assert!(LOBBY_AT == 4096 && size_of::<Lobby>() == 256);
    assert!(LANES_AT == 8192 && size_of::<Lane>() == 384 && align_of::<Lane>() == 128);
    assert!(offset_of!(Lane, intent) == 8);
    assert!(offset_of!(Lane, express) == 16 && size_of::<crate::express::Express>() == 48);
    assert!(offset_of!(Lane, seat) == 80 && size_of::<Seat>() == 4);
    assert!(offset_of!(Lane, reach) == 64);
    assert!(offset_of!(Lane, joined) == 72);
    assert!(offset_of!(Lane, counters) == 288 && size_of::<Counters>() == 96);
    assert!(size_of::<Sleepers>() == 16 && size_of::<EventCount>() == 4);
    assert!(offset_of!(Lane, cursor) == 0);
    assert!(offset_of!(Lane, presence) == 128);
    assert!(offset_of!(Lane, ledger) == 256);
    assert!(offset_of!(Presence, state) == 0);
    assert!(offset_of!(Presence, bell) == 4);
    assert!(offset_of!(Presence, pid) == 8);
    assert!(offset_of!(Presence, since) == 16);
    assert!(offset_of!(Presence, semaphore) == 64 && size_of::<Semaphore>() == 32);
    assert!(size_of::<Ledger>() == 32 && size_of::<Mark>() == 16);
    assert!(offset_of!(Mark, position) == 0 && offset_of!(Mark, count) == 8);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_validation_and_no_flipped_bit_does() {
        let geometry = Geometry::slots(1000, 24, 7).expect("a small ring");
        let identity = TypeIdentity { name: "Tick".to_owned(), size: 24, align: 8, schema: 3 };
        let header = Header::new(&geometry, &identity, 42, 1);
        assert_eq!(header.validate(geometry.total).expect("unchanged"), (geometry, identity));
        for bit in 0..size_of::<Header>() * 8 {
            let mut damaged = header;
            damaged.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
            assert!(damaged.validate(geometry.total).is_err(), "bit {bit}");
        }
        assert!(matches!(header.validate(geometry.total - 1), Err(OpenError::Corrupt { field: "object size" })));
    }

    #[test]
    fn a_forged_header_cannot_lead_outside_of_its_object() {
        let geometry = Geometry::records(1 << 12, 0).expect("a small ring");
        let identity = TypeIdentity::records(0);
        let forge = |change: &dyn Fn(&mut Header)| {
            let mut header = Header::new(&geometry, &identity, 1, 1);
            change(&mut header);
            header.sum = header.checksum();
            header.validate(geometry.total)
        };
        assert!(forge(&|_| ()).is_ok());
        for (field, change) in [
            ("kind", (&|header: &mut Header| header.kind = 9) as &dyn Fn(&mut Header)),
            ("capacity", &|header| header.capacity = u64::MAX),
            ("data offset", &|header| header.data_at += 4096),
            ("lanes offset", &|header| header.lanes_at = 0),
            ("stride", &|header| header.stride = 64),
            ("max message", &|header| header.max_message = u64::MAX),
            ("producers", &|header| header.producers = 65),
            ("total size", &|header| header.total *= 2),
            ("type name length", &|header| header.type_name_len = 129),
            ("producers", &|header| header.producers = 64),
            ("consumers", &|header| header.consumers = 64),
            ("options", &|header| header.options = 8),
            // Of objects, only rings wake by semaphores.
            ("options", &|header| {
                let lock = Shape {
                    kind: Kind::Mutex,
                    capacity: 1,
                    message: 8,
                    align: 8,
                    producers: 1,
                    consumers: 0,
                    origin: 0,
                };
                *header = Header::new(&Geometry::new(&lock).expect("a lock"), &identity, 1, 1);
                header.options = 4;
            }),
        ] {
            assert!(matches!(forge(change), Err(OpenError::Corrupt { field: found }) if found == field), "{field}");
        }
        assert!(matches!(forge(&|header| header.capacity = 1 << 13), Err(OpenError::Corrupt { .. })));
        assert!(matches!(forge(&|header| header.version += 1), Err(OpenError::Version { expected: VERSION, .. })));
    }
}
