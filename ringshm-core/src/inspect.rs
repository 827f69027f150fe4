//! Looking at a ring from outside, without taking part in it.
//!
//! Everything is read as it stands in shared memory, once, while its owners go on writing: the numbers of one snapshot belong to one
//! moment, or nearly so. Nothing is believed: whatever stands there, looking at it ends, and `used() <= capacity`.

use crate::attach::validated;
use crate::error::OpenError;
pub use crate::frames::HeldFrames;
use crate::lanes::{Peer, Role, generation_of};
use crate::layout::{Geometry, Kind, TypeIdentity};
use crate::member::HugePages;
use crate::memory::Memory;
use crate::os::segment::Segment;
use crate::os::{Directory, Name, Place};
use ringshm_sync::atomic::AtomicU64;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::watch::Standing as _;

/// What a ring is, who takes part in it and how far they have come, at one moment or nearly so.
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
    /// The sending side as a whole.
    pub producer: Side,
    /// The receiving side as a whole.
    pub consumer: Side,
    /// Every lane that has ever had an owner, those of the producers first. Lossy readers have none, and are not seen.
    pub participants: Vec<Participant>,
    /// Of a ring of frames: slots that somebody holds.
    pub held_slots: Option<u64>,
    /// Of what is no ring: what its word says, in words, as `held by process 4711 (lane 2)`.
    pub state: Option<String>,
}

/// All lanes of a role together.
#[derive(Clone, Debug)]
pub struct Side {
    /// What the liveliest of its lanes is: live, dead, detached, closed or vacant, in this order.
    pub state: Peer,
    /// When the last owner of the role joined: nanoseconds since 1970, 0 if there was none.
    pub since: u64,
    /// How many owners the role has had.
    pub generation: u32,
    /// Messages sent, or released, since the ring was made; of a broadcast ring's consumers, by the one that is furthest behind.
    /// Exact if the side is not running. `None` if it was too fast to be read, or the ring is damaged.
    pub messages: Option<u64>,
    /// Units (slots, or bytes with headers and padding) sent, or released; of a broadcast ring's consumers, by the one that is
    /// furthest behind; of an MPMC ring, claimed.
    pub units: u64,
    /// Whether all of it that is live sleeps.
    pub asleep: bool,
    /// Whether the other side fences after every message before it looks for sleepers of this one: one of them cannot make other
    /// processors fence (`membarrier`), or parks so often that it would cost more. Otherwise only those that go to sleep pay.
    pub is_fenced: bool,
}

/// One lane: its last owner, and what has happened to all of its owners.
#[derive(Clone, Debug)]
pub struct Participant {
    /// What the owner does.
    pub role: Role,
    /// The index of the lane, as in [`Stall`](crate::error::Stall).
    pub lane: usize,
    /// Whether it is there.
    pub state: Peer,
    /// When it joined: nanoseconds since 1970.
    pub since: u64,
    /// How many owners the lane has had.
    pub generation: u32,
    /// Whether it sleeps.
    pub asleep: bool,
    /// Messages sent, or released; of a broadcast ring's consumer, those before its place, received or not. `None` if the owner was
    /// too fast to be read, or the ring is damaged, and for readers of a register.
    pub messages: Option<u64>,
    /// Units sent, or released: how far its cursor has come since the ring was made. 0 if it has none: in an MPMC ring, and for
    /// readers of a register.
    pub units: u64,
    /// How far a consumer with a cursor of its own is behind the producer: what it keeps from being overwritten. Not of one that has
    /// left a broadcast ring.
    pub lag: Option<Lag>,
    /// The places of an MPMC ring that the owner has claimed and not finished: a producer has not published them, a consumer not
    /// released.
    pub claim: Option<Claim>,
    /// What a consumer of frames takes and holds.
    pub frames: Option<HeldFrames>,
    /// Whether the producer of a broadcast ring has evicted it for being slow.
    pub is_evicted: bool,
    /// Messages that this consumer missed, or that this participant dropped because their consumer died.
    pub lost: u64,
    /// Messages that a dead producer left torn, and this participant found.
    pub torn: u64,
    /// Messages of dead consumers that this consumer took over.
    pub redelivered: u64,
    /// Slow readers that this producer evicted.
    pub evicted: u64,
}

/// How far a consumer is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// In messages, if both counts are known.
    pub messages: Option<u64>,
    /// In units, never more than the ring holds.
    pub units: u64,
}

/// Places of an MPMC ring in somebody's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The first of them, counted from the ring's first message.
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl Snapshot {
    /// Messages that somebody has still to receive, as far as the counts are known: of a broadcast ring, the consumer that is
    /// furthest behind.
    #[must_use]
    pub fn queued(&self) -> Option<u64> {
        if self.geometry.kind.is_mpmc() {
            return Some(self.ahead());
        }
        Some(self.producer.messages?.saturating_sub(self.consumer.messages?))
    }

    /// Units in the ring that cannot be overwritten yet, never more than it holds.
    #[must_use]
    pub fn used(&self) -> u64 {
        if let Some(held) = self.held_slots {
            return held.min(self.geometry.capacity);
        }
        // What a consumer has in its hands still has its place.
        let held = self.participants_of(Role::Consumer).filter_map(|consumer| consumer.claim);
        let held = held.fold(0_u64, |sum, claim| sum.saturating_add(claim.count));
        self.ahead().saturating_add(held).min(self.geometry.capacity)
    }

    /// Units by which the sending side is ahead of the receiving one.
    fn ahead(&self) -> u64 {
        self.producer.units.saturating_sub(self.consumer.units).min(self.geometry.capacity)
    }

    /// All lanes of a role that have ever had an owner.
    pub fn participants_of(&self, role: Role) -> impl Iterator<Item = &Participant> {
        self.participants.iter().filter(move |participant| participant.role == role)
    }
}

/// Looks at the ring `name`.
///
/// # Errors
/// `NotFound`, `Permission`, `Version`, `Corrupt`, `Os`.
pub fn inspect(directory: &Directory, name: &Name) -> Result<Snapshot, OpenError> {
    inspect_at(&Place::named(directory, name))
}

/// Looks at the ring at `place`.
///
/// # Errors
/// As for [`inspect`].
pub fn inspect_at(place: &Place) -> Result<Snapshot, OpenError> {
    let segment = Segment::open(place, HugePages::Never)?;
    let header = segment.header()?;
    let (memory, identity) = validated(segment)?;
    let (producer, consumer, participants) = everybody(&memory);
    let (geometry, creator, created) = (*memory.geometry(), header.creator, header.created);
    let (held_slots, state) = (crate::frames::held_slots(&memory), crate::sync::state(&memory));
    Ok(Snapshot { geometry, identity, creator, created, producer, consumer, participants, held_slots, state })
}

/// The two sides, and every lane that has had an owner.
fn everybody(memory: &Memory) -> (Side, Side, Vec<Participant>) {
    // The consumers first: so what they have received was sent before the producers are looked at.
    let head = position(memory, &memory.control().head);
    let mut consumers = lanes(memory, Role::Consumer);
    let tail = position(memory, &memory.control().tail);
    let producers = lanes(memory, Role::Producer);
    let geometry = memory.geometry();
    let mut producer = side(memory, Role::Producer, &producers);
    if geometry.kind.is_mpmc() {
        producer.units = tail;
    }
    for consumer in &mut consumers {
        consumer.lag = lag(geometry, &producer, consumer);
    }
    let mut consumer = side(memory, Role::Consumer, &consumers);
    match geometry.kind {
        Kind::MpmcSlots | Kind::MpmcBytes => consumer.units = head,
        Kind::SpscSlots | Kind::SpscRecords => {}
        Kind::Mutex | Kind::RwLock | Kind::Condvar | Kind::Barrier | Kind::Once => {}
        Kind::BroadcastSlots | Kind::BroadcastRecords | Kind::Latest | Kind::Frames => {
            (consumer.messages, consumer.units) = furthest_behind(&producer, &consumers);
        }
    }
    let participants = producers.into_iter().chain(consumers).filter(|lane| lane.generation != 0).collect();
    (producer, consumer, participants)
}

/// Messages that a later consumer would find in a ring in which nobody takes part, as far as the counts are known.
pub(crate) fn undelivered(memory: &Memory) -> Option<u64> {
    let (producer, consumer, participants) = everybody(memory);
    match memory.geometry().kind {
        Kind::MpmcSlots | Kind::MpmcBytes => {
            let held = participants.iter().filter(|participant| participant.role == Role::Consumer);
            let held: u64 = held.filter_map(|consumer| consumer.claim.map(|claim| claim.count)).sum();
            let waiting = producer.units.saturating_sub(consumer.units).min(memory.geometry().capacity);
            Some(waiting.saturating_add(held))
        }
        Kind::SpscSlots | Kind::SpscRecords => Some(producer.messages?.saturating_sub(consumer.messages?)),
        Kind::BroadcastSlots | Kind::Frames => {
            producer.messages.map(|messages| messages.min(memory.geometry().capacity))
        }
        Kind::Latest => producer.messages.map(|messages| messages.min(1)),
        Kind::BroadcastRecords => producer.messages.filter(|messages| *messages == 0),
        Kind::Mutex | Kind::RwLock | Kind::Condvar | Kind::Barrier | Kind::Once => Some(0),
    }
}

fn position(memory: &Memory, cursor: &AtomicU64) -> u64 {
    // Relaxed: a number for people.
    cursor.load(Relaxed).wrapping_sub(memory.geometry().origin)
}

/// The lanes of a role that have ever had an owner, and its first one. All are looked at: a damaged lane must not hide the others.
fn lanes(memory: &Memory, role: Role) -> Vec<Participant> {
    let all = memory.lanes_of(role);
    let first = all.start;
    // Relaxed: for people; a lane that is joined just now may be missed.
    let was_used = |lane: &usize| memory.presence(*lane).state.load(Relaxed) != 0;
    all.filter(|lane| *lane == first || was_used(lane)).map(|lane| participant(memory, role, lane)).collect()
}

fn participant(memory: &Memory, role: Role, index: usize) -> Participant {
    let lane = memory.lane(index);
    let geometry = memory.geometry();
    // Relaxed: a number for people.
    let number = |word: &AtomicU64| word.load(Relaxed);
    // Relaxed: for people.
    let generation = generation_of(lane.presence.state.load(Relaxed));
    let state = memory.peer_state(index);
    let counted = if geometry.kind.has_records() { lane.ledger.count(&lane.cursor) } else { None };
    let cursor = counted.map_or_else(|| number(&lane.cursor), |(cursor, _)| cursor).wrapping_sub(geometry.origin);
    let messages = match geometry.kind {
        // Readers of a register keep to themselves what they have read.
        Kind::Latest if role == Role::Consumer => None,
        Kind::SpscRecords | Kind::BroadcastRecords => counted.map(|(_, count)| count),
        Kind::Latest => Some(crate::latest::written(memory)),
        Kind::SpscSlots | Kind::BroadcastSlots | Kind::Frames => Some(cursor),
        Kind::MpmcSlots | Kind::MpmcBytes => Some(number(&lane.counters.messages)),
        Kind::Mutex | Kind::RwLock | Kind::Condvar | Kind::Barrier | Kind::Once => Some(0),
    };
    Participant {
        role,
        lane: index,
        state,
        since: number(&lane.presence.since),
        generation,
        asleep: lane.presence.bell.is_asleep(),
        messages,
        units: if has_cursor(geometry, role) { cursor } else { 0 },
        lag: None,
        claim: claim(memory, role, index),
        frames: crate::frames::held(memory, index),
        is_evicted: memory.is_evicted(index),
        lost: number(&lane.counters.lost),
        torn: number(&lane.counters.torn),
        redelivered: number(&lane.counters.redelivered),
        evicted: number(&lane.counters.evicted),
    }
}

/// Whether a lane's cursor says how far its owner has come.
fn has_cursor(geometry: &Geometry, role: Role) -> bool {
    !geometry.kind.is_mpmc() && (geometry.kind != Kind::Latest || role == Role::Producer)
}

/// What the owner of a lane of an MPMC ring has in its hands.
fn claim(memory: &Memory, role: Role, lane: usize) -> Option<Claim> {
    if !memory.geometry().kind.is_mpmc() {
        return None;
    }
    let (first, count) = crate::mpmc::unfinished(memory, role, lane)?;
    Some(Claim { first: first.wrapping_sub(memory.geometry().origin), count })
}

/// How far a consumer is behind, if it has a cursor of its own.
fn lag(geometry: &Geometry, producer: &Side, consumer: &Participant) -> Option<Lag> {
    // Who has left a broadcast ring keeps nothing there.
    let keeps = !geometry.kind.is_broadcast() || is_gating(consumer);
    if !has_cursor(geometry, Role::Consumer) || !keeps {
        return None;
    }
    let messages = producer.messages.zip(consumer.messages);
    Some(Lag {
        messages: messages.map(|(sent, received)| sent.saturating_sub(received)),
        units: producer.units.saturating_sub(consumer.units).min(geometry.capacity),
    })
}

/// Whether the producer of a broadcast ring waits for it.
fn is_gating(consumer: &Participant) -> bool {
    let takes_all = consumer.frames.is_none_or(|frames| frames.takes_all);
    matches!(consumer.state, Peer::Live { .. }) && !consumer.is_evicted && takes_all
}

/// How far the consumer has come for which a broadcast ring's producer would have to wait: to the producer itself, if there is none.
fn furthest_behind(producer: &Side, consumers: &[Participant]) -> (Option<u64>, u64) {
    let slowest = consumers
        .iter()
        .filter(|consumer| is_gating(consumer))
        .max_by_key(|consumer| consumer.lag.map(|lag| lag.units));
    slowest.map_or((producer.messages, producer.units), |consumer| (consumer.messages, consumer.units))
}

/// All lanes of a role together: counts are added up, the rest is that of its liveliest.
fn side(memory: &Memory, role: Role, lanes: &[Participant]) -> Side {
    let liveliest = lanes.iter().max_by_key(|lane| match lane.state {
        Peer::Vacant => 0,
        Peer::Closed => 1,
        Peer::Detached => 2,
        Peer::Dead { .. } => 3,
        Peer::Live { .. } => 4,
    });
    let mut live = lanes.iter().filter(|lane| matches!(lane.state, Peer::Live { .. })).peekable();
    Side {
        state: liveliest.map_or(Peer::Vacant, |lane| lane.state),
        since: lanes.iter().map(|lane| lane.since).max().unwrap_or(0),
        generation: lanes.iter().fold(0, |sum, lane| sum.saturating_add(lane.generation)),
        messages: lanes.iter().try_fold(0_u64, |sum, lane| Some(sum.saturating_add(lane.messages?))),
        units: lanes.iter().fold(0, |sum, lane| sum.saturating_add(lane.units)),
        asleep: live.peek().is_some() && live.all(|lane| lane.asleep),
        is_fenced: is_fenced(memory, role),
    }
}

/// Whether ringers of a role's sleepers fence before they look.
fn is_fenced(memory: &Memory, role: Role) -> bool {
    let kind = memory.geometry().kind;
    match role {
        Role::Producer if kind.is_mpmc() => memory.control().sleeping_producers.are_fenced(),
        Role::Consumer if kind.is_mpmc() => memory.control().sleeping_consumers.are_fenced(),
        Role::Consumer if kind.is_broadcast() => memory.lobby().readers.is_fenced(),
        _ => memory.lanes_of(role).any(|lane| memory.lane(lane).presence.bell.is_fenced()),
    }
}
