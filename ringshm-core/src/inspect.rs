//! Looking at a ring from outside, without taking part in it.

use crate::attach::validated;
use crate::error::OpenError;
use crate::lanes::{Peer, Role, generation_of};
use crate::layout::{Geometry, Kind, TypeIdentity};
use crate::memory::Memory;
use crate::os::segment::Segment;
use crate::os::{Directory, Name};
use ringshm_sync::atomic::Ordering::Relaxed;

/// What a ring is and how far its two sides have come, at one moment or nearly so.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its shape.
    pub geometry: Geometry,
    /// What it carries.
    pub identity: TypeIdentity,
    /// The process that made it.
    pub creator: u32,
    /// When: nanoseconds since 1970.
    pub created: u64,
    /// The sending side.
    pub producer: Side,
    /// The receiving side.
    pub consumer: Side,
}

/// One side of a ring.
#[derive(Clone, Debug)]
pub struct Side {
    /// Whether somebody is there.
    pub state: Peer,
    /// When the last owner of the role joined: nanoseconds since 1970, 0 if there was none.
    pub since: u64,
    /// How many owners the role has had.
    pub generation: u32,
    /// Messages sent, or released, since the ring was made. Exact if the side is not running. `None` if it was too fast
    /// to be read, or the ring is damaged.
    pub messages: Option<u64>,
    /// Units (slots, or bytes with headers and padding) sent, or released.
    pub units: u64,
    /// Whether it sleeps.
    pub asleep: bool,
}

impl Snapshot {
    /// Messages in the ring, as far as both counts are known.
    #[must_use]
    pub fn queued(&self) -> Option<u64> {
        Some(self.producer.messages?.saturating_sub(self.consumer.messages?))
    }

    /// Units in the ring, never more than it holds.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.producer.units.saturating_sub(self.consumer.units).min(self.geometry.capacity)
    }
}

/// Looks at the ring `name`.
///
/// # Errors
/// `NotFound`, `Permission`, `Version`, `Corrupt`, `Os`.
pub fn inspect(directory: &Directory, name: &Name) -> Result<Snapshot, OpenError> {
    let segment = Segment::open(directory, name)?;
    let header = segment.header()?;
    let (memory, identity) = validated(segment)?;
    // The consumer first: so what it has received was sent before the producer is looked at.
    let consumer = side(&memory, Role::Consumer);
    let producer = side(&memory, Role::Producer);
    Ok(Snapshot {
        geometry: *memory.geometry(),
        identity,
        creator: header.creator,
        created: header.created,
        producer,
        consumer,
    })
}

fn side(memory: &Memory, role: Role) -> Side {
    let index = memory.lanes_of(role).start;
    let lane = memory.lane(index);
    let geometry = memory.geometry();
    // Relaxed: for people.
    let since = lane.presence.since.load(Relaxed);
    // Relaxed: for people.
    let generation = generation_of(lane.presence.state.load(Relaxed));
    let state = memory.peer_state(index);
    let counted = match geometry.kind {
        Kind::SpscRecords | Kind::BroadcastRecords => lane.ledger.count(&lane.cursor),
        Kind::SpscSlots | Kind::BroadcastSlots | Kind::Latest | Kind::MpmcSlots | Kind::MpmcBytes => None,
    };
    // Relaxed: a number for people.
    let position = counted.map_or_else(|| lane.cursor.load(Relaxed), |(position, _)| position);
    let units = position.wrapping_sub(geometry.origin);
    let messages = match geometry.kind {
        Kind::SpscRecords | Kind::BroadcastRecords => counted.map(|(_, count)| count),
        Kind::SpscSlots | Kind::BroadcastSlots | Kind::Latest => Some(units),
        // Relaxed: a number for people.
        Kind::MpmcSlots | Kind::MpmcBytes => Some(lane.counters.messages.load(Relaxed)),
    };
    Side { state, since, generation, messages, units, asleep: lane.presence.bell.is_asleep() }
}
