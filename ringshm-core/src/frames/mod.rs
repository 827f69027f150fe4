//! The frame ring: video from one producer to many consumers without a copy, each frame held in place by whoever wants it.
//!
//! ```text
//!   slots            0               1               2               3               4
//!              ┌───────────────┬───────────────┬───────────────┬───────────────┬───────────────┐
//!   words      │ frame 17      │ frame 19      │ EMPTY         │ frame 18      │ frame 16      │
//!              │ held by A     │ held by B     │               │ held by B     │ held by nobody│
//!              └───────────────┴───────────────┴───────────────┴───────────────┴───────────────┘
//!                A shows it      newest: stays   on loan         B takes it      to be written
//!                                for who comes                   next            next
//! ```
//!
//! **Roles.** The producer borrows a slot that nobody holds, writes the pixels there, and publishes the slot as the next frame. A consumer that takes
//! *every frame* has a bit in the ring's roster: each frame is held for it from the moment it is published, and it has only to let it go. A
//! consumer that takes the *newest only* sets its bit in the newest frame's word itself. Who holds a frame lets it go by taking its bit
//! out, in any order.
//!
//! **One word is the whole truth** of a slot (`word.rs`): which frame, and who holds it. The producer takes a slot by one compare-and-swap from "this frame,
//! held by nobody"; a consumer holds a frame by one from "this frame, held by those". Of two that meet, one fails, and knows. So nothing has to be
//! announced before it is looked at, and no fence is needed on either side.
//!
//! **Policies.** A producer finds no slot only while consumers that take every frame have not let go: that is back-pressure. Consumers say when they
//! come how many frames they hold at once; what is promised to all of them leaves two slots, the one that is written and the newest. So those that
//! take the newest only never hold the producer up, however long they hold what they have; and whoever waits for a frame waits for one that
//! can come. One that holds as many as it may and asks for more is told so.
//!
//! **Early frames.** A producer may publish a frame before its rows are there, and say how many are while it goes on (`Progress`). Only who asks for frames
//! early sees it before it is finished.
//!
//! **Edges.** PUBLISH carries a frame to its consumers, ROWS the rows of an unfinished one; RELEASE carries the slot back to the producer; PROMISE tells who
//! waits for consumers that they have subscribed; DOORBELL wakes who sleeps; CLOSE, DEATH and TAKEOVER as in every ring.
//!
//! **Death.** A lane's bits are taken out by whoever has the lane's lock: its consumer, the next one, or the producer that they are in the way of, which takes
//! the lock for that long when the kernel says that it is free. So nobody ever lets go what a live consumer holds, and a lane is clean before
//! it is joined. To do it twice does no harm. A dead producer leaves at worst an empty slot, or a frame that was marked and not published, which its
//! successor empties; or one that consumers saw early, which its successor ends as given up.
//!
//! **Hostile peers.** What only the producer writes lies in the pool, apart from the words that all write, so in a *sealed* ring consumers can
//! map it to read it and in no other way. They can still hold slots for ever, in the words; they cannot change a pixel, a description, a number, or each
//! other's view of them. All numbers are loaded once and checked; records are copied and validated before anything is made of them; loops are bounded.

mod consumer;
mod feed;
mod format;
mod known;
mod meta;
mod producer;
mod seat;
mod table;
mod view;
mod word;

pub use consumer::{Consumer, Frame, RowsError};
pub use format::FourCc;
pub use meta::{BadMeta, MAX_EXTRA, MAX_PLANES, Meta, Plane, TimeBase};
pub use producer::{Begun, CommitError, Loan, Producer};
pub(crate) use table::{pool_len, stride, words_len};
pub(crate) use word::MAX_CONSUMERS;

use crate::broadcast::Startable;
use crate::error::OpenError;
use crate::lanes::Role;
#[cfg(not(loom))]
use crate::layout::Header;
use crate::layout::{Geometry, Kind, Shape, TypeIdentity};
use crate::memory::Memory;
use crate::message::{Joined, Message, Wishes};
use core::ops::RangeInclusive;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::watch::AnyBell;
use seat::Seat;
#[cfg(not(loom))]
use std::os::fd::OwnedFd;
use std::sync::Arc;
use table::{MAX_SLOTS, MIN_SLOTS, Table};

/// How many slots there may be.
pub(crate) const POSSIBLE_SLOTS: RangeInclusive<u64> = MIN_SLOTS..=MAX_SLOTS;
/// Slots of a ring whose maker did not say how many.
const USUAL_SLOTS: u64 = 8;

/// A sealed ring, to be handed to its consumers: made together with its producer, which alone can write pixels, as long as it lives. There is no
/// successor to it.
#[cfg(not(loom))]
#[derive(Debug)]
pub struct Sealed {
    /// The memfd in which consumers say what they hold. Each opens a file description of its own.
    pub ring: OwnedFd,
    /// The memfd of the pixels. Nobody can map it anew to write it.
    pub pixels: OwnedFd,
}

/// Names the kind of ring: frames, in place.
#[derive(Debug)]
pub enum Frames {}

/// What a consumer takes: chosen when it joins, each for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Every frame, in order, from where it begins. The producer waits for it.
    #[default]
    EveryFrame,
    /// The newest frame there is. The producer never waits for it, and what it does not take is counted.
    NewestOnly,
}

/// Before anybody else sees the memory.
pub(crate) fn initialise(memory: &Memory) {
    if let Some(table) = Table::of(memory) {
        table.initialise();
    }
}

/// The number that ties a pool to its words.
#[cfg(not(loom))]
fn pool_identity(header: &Header) -> u64 {
    header.created.rotate_left(20) ^ u64::from(header.creator)
}

/// Before anybody else sees a pool of its own: whose it is.
#[cfg(not(loom))]
pub(crate) fn mark_pool(memory: &Memory, header: &Header) {
    if let Some(table) = Table::of(memory) {
        // Relaxed: nobody else sees the memory yet.
        table.identity().store(pool_identity(header), Relaxed);
    }
}

/// Whether a pool was made together with the words that have this header.
#[cfg(not(loom))]
pub(crate) fn is_pool_of(memory: &Memory, header: &Header) -> bool {
    // Relaxed: written before anybody else could have the pool, and never again.
    Table::of(memory).is_some_and(|table| table.identity().load(Relaxed) == pool_identity(header))
}

/// The slots that one of `lanes` holds, for people.
fn slots_held_by(table: &Table, lanes: u64) -> u64 {
    // Relaxed: for people.
    let is_held = |slot: &usize| word::SlotWord::of(table.word(*slot).load(Relaxed)).lanes() & lanes != 0;
    (0..table.slots()).filter(is_held).count() as u64
}

/// How many slots somebody holds, for people. `None` if this is no ring of frames.
#[cfg(not(loom))]
pub(crate) fn held_slots(memory: &Memory) -> Option<u64> {
    let is_one = memory.geometry().kind == Kind::Frames;
    is_one.then(|| Table::of(memory)).flatten().map(|table| slots_held_by(&table, u64::MAX))
}

/// What a consumer of frames takes and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldFrames {
    /// Whether it takes every frame, or the newest only.
    pub takes_all: bool,
    /// Frames that are held for it, those that it has not taken yet included: their slots are not written.
    pub held: u64,
    /// How many it may have in its hands at once. 0 while it is about to come: what is published by who has seen it otherwise is held for a consumer
    /// that takes every frame, until it lets go.
    pub most: u32,
}

/// What the consumer in a lane takes and holds: for people, and for producers that wait for their consumers. Of one that is dead, what it
/// took, until somebody takes that back. `None` if there is no consumer of frames in that lane.
///
/// # Panics
/// If there is no such lane.
#[must_use]
pub fn held(memory: &Memory, lane: usize) -> Option<HeldFrames> {
    let index = lane.checked_sub(memory.lanes_of(Role::Consumer).start)?;
    if memory.geometry().kind != Kind::Frames {
        return None;
    }
    let table = Table::of(memory)?;
    // Relaxed: for people.
    let takes_all = table.in_order().load(Relaxed) & 1 << index != 0;
    Some(HeldFrames { takes_all, held: slots_held_by(&table, 1 << index), most: table.promised_to(index) })
}

/// Before the next owner of a lane says that it is there: what its last one held, and was promised, is free. For whoever has the lane's lock.
pub(crate) fn inherit(memory: &Memory, lane: usize) {
    if let (Some(index), Some(table)) = (lane.checked_sub(memory.lanes_of(Role::Consumer).start), Table::of(memory)) {
        seat::let_go_all(&table, index);
    }
}

fn table_of(memory: &Memory) -> Result<Table, OpenError> {
    Table::of(memory).ok_or_else(|| OpenError::InvalidOption {
        option: "memfd",
        reason: "the pixels of this ring are in a memfd of their own: take part with both (consumer_of_sealed)"
            .to_owned(),
    })
}

impl Message for Frames {
    type Producer = Producer;
    type Consumer = Consumer;

    fn geometry(wishes: &Wishes) -> Option<Geometry> {
        let &Wishes { capacity, max_message, consumers, origin, .. } = wishes;
        let shape = Shape {
            kind: Kind::Frames,
            capacity: capacity.unwrap_or(USUAL_SLOTS),
            message: max_message.unwrap_or(1),
            align: 1,
            producers: 1,
            consumers: consumers.min(MAX_CONSUMERS),
            origin,
        };
        Some(Geometry { is_default_capacity: capacity.is_none(), ..Geometry::new(&shape)? })
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity { name: "frames".to_owned(), size: 1, align: 1, schema }
    }

    fn objection(wishes: &Wishes) -> Option<(&'static str, String)> {
        let slots = wishes.capacity.unwrap_or(USUAL_SLOTS);
        let reason = || {
            format!(
                "a ring has {MIN_SLOTS} to {MAX_SLOTS} slots for frames: one that is written, the newest, and those that are held"
            )
        };
        (!POSSIBLE_SLOTS.contains(&slots)).then(|| ("capacity", reason()))
    }

    fn can_be_made(wishes: &Wishes) -> Result<(), (&'static str, &'static str)> {
        let reason = "whoever makes a ring of frames says how many bytes the largest one has";
        wishes.max_message.map(drop).ok_or(("frame_bytes", reason))
    }

    fn producer(joined: Joined) -> Result<Producer, OpenError> {
        let table = table_of(joined.0.memory())?;
        Producer::resume(joined.0, table)
    }

    fn consumer(joined: Joined) -> Result<Consumer, OpenError> {
        let table = table_of(joined.0.memory())?;
        Consumer::join(Seat::new(joined.0, table)?)
    }
}

impl Startable for Frames {}

impl crate::waitable::Awaited for feed::Feed {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::Own(&self.member().own().presence.bell)
    }

    fn memory(&self) -> &Arc<Memory> {
        self.member().shared()
    }
}

impl crate::waitable::Awaited for view::View {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::OfAll(&self.seat().memory().lobby().readers)
    }

    fn memory(&self) -> &Arc<Memory> {
        self.seat().member().shared()
    }
}
