//! The SPSC ring: one producer, one consumer, wait-free on both sides.
//!
//! ```text
//!              released          head                  published        tail
//!                 │               │                        │              │
//!   ──────────────┼───────────────┼────────────────────────┼──────────────┼──────────▶ positions
//!      free       │ handed out,   │  published, not yet    │  being       │  free
//!                 │ not released  │  handed out            │  written     │
//!                 ▲                                        ▲
//!       consumer lane's cursor                   producer lane's cursor
//!                 ╰────────────── at most `capacity` apart ───────────────╯
//! ```
//!
//! **Roles.** The producer alone writes its lane's cursor, the consumer alone writes its own; each reads the other's. What
//! lies between the cursors belongs to the consumer, the rest of the ring to the producer. The algorithm knows positions
//! only: what a unit is (a slot, a byte) and where it lies is the business of [`slots`](crate::slots) and
//! [`records`](crate::records).
//!
//! **Speed.** Each side keeps a private copy of the other's cursor and looks at the real one only when the copy says that
//! it cannot go on. So in a busy ring a message costs one shared store, and the cache lines of the cursors change hands
//! once per batch and not once per message. (Lee, Bu and Chandranmenon's MCRingBuffer, IPDPS 2010; E. Rigtorp's
//! SPSCQueue.)
//!
//! **Edges.** PUBLISH carries the bytes from the producer to the consumer, RELEASE carries the room back. CLOSE and DEATH say
//! that a cursor is final; DOORBELL wakes whoever sleeps (see [`doorbell`](ringshm_sync::doorbell)).
//!
//! **Death.** A cursor moves in one store, so a participant killed at any instruction leaves a whole ring: what the
//! producer had not published vanishes, what the consumer had not released is handed out again to its successor. Nothing needs
//! repair, and nothing needs to know.
//!
//! **Hostile peers.** A shared word is loaded once, checked against the window in which an honest peer can be, and then used;
//! one's own cursor is never read back.

use crate::endpoint::{Endpoint, Side};
use crate::error::{Blocked, Fault, OpenError, Stop};
use crate::ledger::Tally;
use crate::position::{is_whole, is_within};
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::crash;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Exchanged;

/// The sending side. Owned by one thread at a time; every call is on `&mut self`.
#[derive(Debug)]
pub(crate) struct Producer {
    end: Endpoint,
    capacity: u64,
    /// Cursors are multiples of it.
    unit: u64,
    /// Everything before it is written. Private until published.
    tail: u64,
    /// Everything before it is published: the lane's cursor, which is never read back.
    published: u64,
    /// The consumer's cursor as it was last seen; the real one is here or further on.
    released: u64,
    /// Where a claim was refused last, and of how many units.
    refused: (u64, u64),
}

/// The receiving side. Owned by one thread at a time; every call is on `&mut self`.
#[derive(Debug)]
pub(crate) struct Consumer {
    end: Endpoint,
    capacity: u64,
    /// Cursors are multiples of it.
    unit: u64,
    /// Everything before it is handed out. Private until released.
    head: u64,
    /// Everything before it is released: the lane's cursor, which is never read back.
    released: u64,
    /// The producer's cursor as it was last seen; the real one is here or further on.
    published: u64,
    /// The last position from which the producer's cursor was seen to move by one.
    alone: u64,
}

/// The cursors as they stand in shared memory when a participant joins.
fn resume(end: &Endpoint) -> (u64, u64, u64) {
    // Relaxed: the predecessor's, whose lock was taken over (TAKEOVER).
    let own = end.own().cursor.load(Relaxed);
    // PUBLISH, RELEASE: as in every later look.
    let peer = end.peer().cursor.load(Acquire);
    (own, peer, end.memory().geometry().capacity)
}

impl Producer {
    /// Goes on where the last producer stopped publishing. Cursors are multiples of `unit`, a power of two.
    pub(crate) fn resume(end: Endpoint, unit: u64) -> Result<Self, OpenError> {
        let (published, released, capacity) = resume(&end);
        if !is_within(released, published, released.wrapping_add(capacity)) || !is_whole(published | released, unit) {
            return Err(OpenError::Corrupt { field: "producer cursor" });
        }
        Ok(Self { end, capacity, unit, tail: published, published, released, refused: (published, unit) })
    }

    /// Gives the position from which `units` may be written, if there is room for them.
    #[inline(always)]
    pub(crate) fn claim(&mut self, units: u64) -> Result<u64, Blocked> {
        if self.must_look(units) {
            self.look(units, true).inspect_err(|_| self.would_take(units))?;
        }
        Ok(self.tail)
    }

    /// After a refusal: that so many units would have done.
    #[inline(always)]
    pub(crate) fn would_take(&mut self, units: u64) {
        self.refused = (self.tail, units);
    }

    /// Whether the claim that was refused last would not be refused again for want of room; or any claim, if something was written since.
    pub(crate) fn is_ready(&mut self) -> bool {
        let units = if self.refused.0 == self.tail { self.refused.1 } else { self.unit };
        !self.must_look(units) || self.look(units, true) != Err(Blocked::NotReady)
    }

    #[inline(always)]
    fn must_look(&self, units: u64) -> bool {
        self.room() < units || self.end.peer_has_closed() || self.end.is_forked()
    }

    /// As [`claim`](Self::claim), and waits for the room. The caller has published what it wrote before.
    #[inline(always)]
    pub(crate) fn claim_by(&mut self, units: u64, exchanged: Exchanged, deadline: Deadline) -> Result<u64, Stop> {
        if self.must_look(units) {
            self.look_or_wait(units, exchanged, deadline)?;
        }
        Ok(self.tail)
    }

    /// Units that can certainly be claimed.
    #[inline(always)]
    pub(crate) fn room(&self) -> u64 {
        self.capacity - self.tail.wrapping_sub(self.released)
    }

    /// Counts `units` that were claimed as written. The consumer does not see them yet.
    #[inline(always)]
    pub(crate) fn advance(&mut self, units: u64) {
        self.tail = self.tail.wrapping_add(units);
    }

    /// Lets the consumer see everything written, and wakes it if it sleeps.
    #[inline(always)]
    pub(crate) fn publish(&mut self) {
        if self.published == self.tail {
            return;
        }
        self.published = self.tail;
        crash::point("spsc.written");
        // PUBLISH: all bytes before the cursor are visible to the consumer that loads it.
        self.end.own().cursor.store(self.tail, Release);
        crash::point("spsc.published");
        self.end.ring_peer();
    }

    /// As [`publish`](Self::publish), for rings whose positions do not count messages.
    #[inline(always)]
    pub(crate) fn publish_counted(&mut self, tally: &mut Tally) {
        if self.published != self.tail {
            self.end.own().ledger.mark(tally, self.tail);
            self.publish();
        }
    }

    /// Takes over the message count of the last producer.
    pub(crate) fn tally(&self) -> Result<Tally, OpenError> {
        self.end.own().ledger.resume(self.published).ok_or(OpenError::Corrupt { field: "producer ledger" })
    }

    /// Units between the two real cursors, both of which may move while this looks.
    pub(crate) fn len(&self) -> u64 {
        // Relaxed: a number for people and heuristics, nothing is read through it.
        let released = self.end.peer().cursor.load(Relaxed);
        self.published.wrapping_sub(released).min(self.capacity)
    }

    /// The position that is written next.
    #[inline(always)]
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    pub(crate) fn published(&self) -> u64 {
        self.published
    }
}

impl Side for Producer {
    /// The room that it wants is still being read.
    fn expect(&self, _exchanged: Exchanged) {}

    fn position(&self) -> u64 {
        self.tail
    }

    fn end(&self) -> &Endpoint {
        &self.end
    }

    fn end_mut(&mut self) -> &mut Endpoint {
        &mut self.end
    }

    fn look(&mut self, units: u64, thorough: bool) -> Result<(), Blocked> {
        self.end.refuse_forked()?;
        // RELEASE: the consumer is done with everything before its cursor, so it may be overwritten.
        let released = self.end.peer().cursor.load(Acquire);
        if !is_within(self.released, released, self.published) || !is_whole(released, self.unit) {
            return Err(Fault::Corrupt { field: "consumer cursor" }.into());
        }
        self.released = released;
        if self.end.peer_has_closed() {
            return Err(Blocked::Disconnected);
        }
        if self.room() >= units {
            return Ok(());
        }
        if thorough && self.end.peer_is_gone() {
            return Err(Blocked::Disconnected);
        }
        self.end.memory().check_locks()?;
        Err(Blocked::NotReady)
    }
}

impl Consumer {
    /// Goes on where the last consumer stopped releasing. Cursors are multiples of `unit`, a power of two.
    pub(crate) fn resume(end: Endpoint, unit: u64) -> Result<Self, OpenError> {
        let (released, published, capacity) = resume(&end);
        if !is_within(released, published, released.wrapping_add(capacity)) || !is_whole(published | released, unit) {
            return Err(OpenError::Corrupt { field: "consumer cursor" });
        }
        Ok(Self { end, capacity, unit, head: released, released, published, alone: released.wrapping_sub(1) })
    }

    /// Gives the position from which `units` may be read, if they are published.
    #[inline(always)]
    pub(crate) fn peek(&mut self, units: u64) -> Result<u64, Blocked> {
        if self.must_look(units) {
            self.look(units, true)?;
        }
        Ok(self.head)
    }

    #[inline(always)]
    fn must_look(&self, units: u64) -> bool {
        self.available() < units || self.end.is_forked()
    }

    /// As [`peek`](Self::peek), and waits for the units. The caller has released what was handed out before.
    #[inline(always)]
    pub(crate) fn peek_by(&mut self, units: u64, exchanged: Exchanged, deadline: Deadline) -> Result<u64, Stop> {
        if self.must_look(units) {
            self.look_or_wait(units, exchanged, deadline)?;
        }
        Ok(self.head)
    }

    /// Whether [`peek`](Self::peek) has anything but patience to ask for.
    pub(crate) fn is_ready(&mut self) -> bool {
        !self.must_look(self.unit) || self.look(self.unit, true) != Err(Blocked::NotReady)
    }

    /// As [`peek`](Self::peek), at all that is published now and not only at what was seen before.
    pub(crate) fn peek_all(&mut self, units: u64) -> Result<(), Blocked> {
        self.look(units, true)
    }

    /// As [`peek_all`](Self::peek_all), and waits for the units.
    pub(crate) fn peek_all_by(&mut self, units: u64, exchanged: Exchanged, deadline: Deadline) -> Result<(), Stop> {
        if self.available() < units {
            return self.look_or_wait(units, exchanged, deadline);
        }
        // Something is known; perhaps there is more.
        self.end.refuse_forked().and_then(|()| self.refresh()).map_err(Stop::Fault)
    }

    /// Units that can certainly be peeked at.
    #[inline(always)]
    pub(crate) fn available(&self) -> u64 {
        self.published.wrapping_sub(self.head)
    }

    /// Counts `units` that were peeked at as handed out. The producer may not overwrite them yet.
    #[inline(always)]
    pub(crate) fn advance(&mut self, units: u64) {
        self.head = self.head.wrapping_add(units);
    }

    /// Lets the producer have the room of everything handed out, and wakes it if it sleeps.
    #[inline(always)]
    pub(crate) fn release(&mut self) {
        if self.released == self.head {
            return;
        }
        self.released = self.head;
        crash::point("spsc.read");
        // RELEASE: all reads before the cursor are done when the producer loads it.
        self.end.own().cursor.store(self.head, Release);
        crash::point("spsc.released");
        self.end.ring_peer();
    }

    /// As [`release`](Self::release), for rings whose positions do not count messages.
    #[inline(always)]
    pub(crate) fn release_counted(&mut self, tally: &mut Tally) {
        if self.released != self.head {
            self.end.own().ledger.mark(tally, self.head);
            self.release();
        }
    }

    /// Takes back what was handed out and not released: it will be handed out again.
    pub(crate) fn cancel(&mut self) {
        self.head = self.released;
    }

    /// Takes over the message count of the last consumer.
    pub(crate) fn tally(&self) -> Result<Tally, OpenError> {
        self.end.own().ledger.resume(self.released).ok_or(OpenError::Corrupt { field: "consumer ledger" })
    }

    /// Units between the two real cursors, both of which may move while this looks.
    pub(crate) fn len(&self) -> u64 {
        // Relaxed: a number for people and heuristics, nothing is read through it.
        let published = self.end.peer().cursor.load(Relaxed);
        published.wrapping_sub(self.released).min(self.capacity)
    }

    /// Whether the producer's cursor was last seen to move by one from here.
    #[inline(always)]
    pub(crate) fn was_alone(&self, position: u64) -> bool {
        self.alone == position
    }

    /// The position that is read next.
    #[inline(always)]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    pub(crate) fn released(&self) -> u64 {
        self.released
    }
}

impl Side for Consumer {
    /// Asked for at every look, the message travels together with the cursor that announces it, and not after it. Where a copy of it does so
    /// anyway, its slot stays with the producer.
    #[inline(always)]
    fn expect(&self, exchanged: Exchanged) {
        let memory = self.end.memory();
        if exchanged.is_by_batches() || !memory.geometry().has_copies() {
            let unit = self.head & (self.capacity - 1);
            memory.data().prefetch_to_read((unit * memory.geometry().stride) as usize);
        }
    }

    fn position(&self) -> u64 {
        self.head
    }

    fn end(&self) -> &Endpoint {
        &self.end
    }

    fn end_mut(&mut self) -> &mut Endpoint {
        &mut self.end
    }

    fn look(&mut self, units: u64, thorough: bool) -> Result<(), Blocked> {
        self.end.refuse_forked()?;
        self.refresh()?;
        if self.available() >= units {
            return Ok(());
        }
        if thorough && self.end.peer_is_gone() {
            // What it published last, before it went: CLOSE or DEATH made it visible.
            self.refresh()?;
            return if self.available() >= units { Ok(()) } else { Err(Blocked::Disconnected) };
        }
        self.end.memory().check_locks()?;
        Err(Blocked::NotReady)
    }
}

impl Consumer {
    #[inline(always)]
    fn refresh(&mut self) -> Result<(), Fault> {
        // PUBLISH: all bytes before the producer's cursor are visible.
        let published = self.end.peer().cursor.load(Acquire);
        let last = self.released.wrapping_add(self.capacity);
        if !is_within(self.published, published, last) || !is_whole(published, self.unit) {
            return Err(Fault::Corrupt { field: "producer cursor" });
        }
        if published.wrapping_sub(self.published) == 1 {
            self.alone = self.published;
        }
        self.published = published;
        Ok(())
    }
}
