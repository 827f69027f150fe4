//! The MPMC ring: many producers, many consumers, each message to one of them; and any of them may be killed at any instruction.
//!
//! ```text
//!                       head                                      tail
//!                         │                                        │
//!   ───┬───────┬─────────┬┼────────┬───────────┬─────────┬─────────┼───────┬──────▶ positions
//!      │ Free  │ Message │ Message │ Tombstone │ Message │ Free    │ Free  │
//!      │ p + N │ of p    │         │           │         │ of p    │       │
//!   ───┴───────┴─────────┴─────────┴───────────┴─────────┴─────────┴───────┴──────
//!       released  claimed   published, not yet claimed      claimed   not yet
//!                 by a                                      by a      claimed
//!                 consumer                                  producer
//! ```
//!
//! **Roles.** A producer claims the position `tail` by moving `tail` on, writes the slot, and publishes it in the slot's word. A
//! consumer claims the position `head` by moving `head` on, reads the slot, and releases it in the slot's word, for the next lap.
//! (D. Vyukov's bounded MPMC queue, 2010.)
//!
//! **Announced claims.** As such, that queue wedges for ever when a process dies between claiming and publishing. Therefore each
//! participant first stores the positions that it is about to claim in its own lane (`intent`), and only then moves `tail` or `head`
//! on. Whoever finds a position claimed and not finished looks at the lanes: if nobody *alive* announces it, whoever claimed it is
//! dead. Aliveness is a lock of the kernel's, see [`lanes`](crate::lanes); time only decides when it is worth asking.
//!
//! Why that is right: the announcement comes before the claim (ANNOUNCE), and every later claim of another continues its release
//! sequence, so whoever sees the position claimed sees the announcement, or a later one of the same lane; and a later one means that the
//! earlier claim was finished, visibly (FINISH). Who lost a race announces a position that it will never hold: that delays a recovery until
//! it announces another, and harms nothing. The recovery itself is one compare-and-swap of the slot's word, so it can
//! be begun by many and finished by any, and who dies in it harms nobody.
//!
//! **What becomes of the claims of the dead.** A producer's becomes a tombstone, which consumers step over. A consumer's is given to
//! another consumer, marked as redelivered, or dropped and counted where the ring was made so (`mpmc/recovery.rs`).
//!
//! **Edges.** PUBLISH and RELEASE carry the bytes there and the room back, through the slots' words; ANNOUNCE and FINISH are explained
//! above; DOORBELL wakes one sleeper for each message ([`sleepers`](ringshm_sync::sleepers)); CLOSE, DEATH and TAKEOVER as in every ring.
//!
//! **Hostile peers.** Words are loaded once and compared with private positions; offsets are masked; every loop here is bounded.

mod bytes;
mod ready;
mod recovery;
mod ring;
mod shape;
mod slots;
#[cfg(not(loom))]
mod watch;
mod word;

pub use bytes::{ByteConsumer, ByteProducer, ByteRef};
pub(crate) use ring::{Party, Ring};
#[cfg(not(loom))]
pub(crate) use shape::is_received;
pub(crate) use shape::{initialise, message_at, stride};
pub use slots::{Consumer, Iter, Producer, RecvRef, TryIter};
#[cfg(not(loom))]
pub(crate) use watch::unfinished;
pub(crate) use word::{Claim, MOST_CLAIMED, SlotWord};

use crate::error::{Blocked, Fault, OpenError};
use crate::layout::Counters;
use crate::member::Member;
use core::marker::PhantomData;
use core::time::Duration;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::crash;
use ringshm_sync::hint;
use word::Found;

/// Marks a ring with many producers and many consumers: `Mpmc<T>` is carried by an MPMC ring of the fixed-size type `T`, `Mpmc<[u8]>` by
/// one of byte messages up to a longest one.
#[derive(Debug)]
pub struct Mpmc<M: ?Sized>(PhantomData<fn(&M)>);

/// How often a claim is tried again while others succeed. Only a process that writes into the ring's words without end
/// comes near it.
const TURNS: u32 = if cfg!(loom) { 8 } else { 1 << 20 };
/// The least time between two looks of one handle for the claims of dead participants.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// The most pauses after a lost race.
const MOST_PAUSES: u32 = 64;

/// Lets some time go by after a lost race, twice as much as after the one before. Returns how much is next.
#[cold]
fn back_off(pauses: u32) -> u32 {
    hint::pause(pauses);
    (2 * pauses).clamp(1, MOST_PAUSES)
}

/// What a claim gave: positions from `first` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// How many consumers died with it.
    pub(crate) deaths: u8,
}

/// The sending side: claims, and publishes.
#[derive(Debug)]
pub(crate) struct Sender(pub(crate) Ring);

/// The receiving side: claims, and releases.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) ring: Ring,
    unfinished: Option<Unfinished>,
}

/// A claim that this lane announces and has not finished, between two calls.
#[derive(Clone, Copy, Debug)]
struct Unfinished {
    claim: Claim,
    /// Whether a predecessor in this lane announced it, and not this participant, through a guard that was kept.
    is_inherited: bool,
}

impl Sender {
    pub(crate) fn resume(member: Member) -> Result<Self, OpenError> {
        let ring = Ring::new(member)?;
        ring.bury_predecessor();
        Ok(Self(ring))
    }

    /// Claims the next position, if it is free and nobody was faster. [`claim`](Self::claim) finds out what was in the way.
    #[inline(always)]
    pub(crate) fn claim_at_once(&self) -> Option<u64> {
        if self.0.member.is_forked() {
            return None;
        }
        let tail = self.look().ok()?;
        self.0.let_consumers_go_ahead(tail);
        self.take(tail, 1).then_some(tail)
    }

    /// Claims up to `most` positions, at least one, if there is room.
    pub(crate) fn claim(&mut self, most: u64) -> Result<Claimed, Blocked> {
        // The lane is the parent's: a child that announced anything there would hide what its parent holds.
        self.0.member.refuse_forked()?;
        let mut pauses = 0;
        for _ in 0..TURNS {
            let tail = match self.look() {
                Ok(tail) => tail,
                Err((tail, word)) => {
                    self.look_again(tail, word)?;
                    continue;
                }
            };
            let count = if most == 1 { 1 } else { self.0.run(tail, most, SlotWord::free) };
            if self.take(tail, count) {
                return Ok(Claimed { first: tail, count, deaths: 0 });
            }
            pauses = back_off(pauses);
        }
        self.0.announce_nothing();
        Err(Blocked::NotReady)
    }

    /// The next position; or that, and what stands in its slot, if that is not free.
    #[inline(always)]
    fn look(&self) -> Result<u64, (u64, SlotWord)> {
        // Relaxed: only a guess; the claim itself decides.
        let tail = self.0.control().tail.load(Relaxed);
        // RELEASE: the consumer of the last lap is done with the slot.
        let word = SlotWord::of(self.0.word(tail).load(Acquire));
        if word == SlotWord::free(tail) { Ok(tail) } else { Err((tail, word)) }
    }

    /// Announces and claims `count` positions, if `tail` is still the next one.
    #[inline(always)]
    fn take(&self, tail: u64, count: u64) -> bool {
        self.0.announce(Claim::new(tail, count));
        crash::point("mpmc.send_announced");
        let next = tail.wrapping_add(count);
        // ANNOUNCE: who sees the positions claimed sees by whom. Relaxed: a lost race tells nothing.
        if self.0.control().tail.compare_exchange(tail, next, Release, Relaxed).is_err() {
            return false;
        }
        crash::point("mpmc.send_claimed");
        true
    }

    /// Lets consumers have the message at a position that was claimed.
    #[inline(always)]
    pub(crate) fn publish(&self, position: u64) {
        crash::point("mpmc.written");
        // PUBLISH: the bytes of the slot are visible to the consumer that finds it published.
        self.0.word(position).store(SlotWord::published(position).word(), Release);
    }

    /// After publishing all of a claim: counts, and wakes consumers.
    #[inline(always)]
    pub(crate) fn finish(&mut self, count: u64) {
        crash::point("mpmc.published");
        let ring = &mut self.0;
        Counters::add(&ring.member.own().counters.messages, count);
        ring.call_consumers(count);
    }

    /// What stands in the way at `tail`, if it has not gone meanwhile.
    #[cold]
    #[inline(never)]
    fn look_again(&mut self, tail: u64, word: SlotWord) -> Result<(), Blocked> {
        let result = self.what_blocks(tail, word);
        if result.is_err() {
            self.0.announce_nothing();
        }
        result
    }

    fn what_blocks(&mut self, tail: u64, word: SlotWord) -> Result<(), Blocked> {
        let ring = &mut self.0;
        let found = word.at(tail);
        // ANNOUNCE: what was seen of `head` and of the slots before `tail` came here is seen below.
        let still = ring.control().tail.load(Acquire) == tail;
        // ANNOUNCE: the consumers of what is claimed have announced themselves.
        let head = ring.control().head.load(Acquire);
        // Relaxed: it only grows; if it stands here, so it did when `head` was loaded.
        if !still || ring.control().tail.load(Relaxed) != tail {
            return Ok(());
        }
        if found != Found::Earlier {
            // Published or buried: then its claim was visible too, and `tail` must have moved on.
            return Err(Fault::Corrupt { field: "tail" }.into());
        }
        let oldest = tail.wrapping_sub(ring.capacity());
        let claimed = head.wrapping_sub(oldest);
        if claimed > ring.capacity() {
            return Err(Fault::Corrupt { field: "head" }.into());
        }
        // Relaxed: the slot is not touched before the word is loaded again.
        let again = SlotWord::of(ring.word(oldest).load(Relaxed));
        match (again.at(oldest), claimed) {
            // It was from before this lap, and is the same: from between the two laps, where nobody honest ever was.
            (Found::Later, _) if again == word => Err(Fault::Corrupt { field: "slot word" }.into()),
            (Found::Later, _) => Ok(()),
            (Found::Earlier, _) | (Found::Free, 1..) => Err(Fault::Corrupt { field: "slot word" }.into()),
            (Found::Message { .. }, 0) if ring.peers_are_gone() => Err(Blocked::Disconnected),
            (Found::Message { .. }, 0) => {
                Err(ring.member.memory().check_locks().map_or_else(Blocked::Fault, |()| Blocked::NotReady))
            }
            (Found::Message { .. }, 1..) => ring.await_consumer(oldest, again),
            (Found::Free, 0) => ring.await_producer(oldest, again),
            (Found::Tombstone, _) => {
                ring.step_over(oldest, head);
                Ok(())
            }
        }
    }
}

impl Receiver {
    pub(crate) fn resume(member: Member) -> Result<Self, OpenError> {
        let ring = Ring::new(member)?;
        let unfinished = ring.left_by_predecessor();
        if unfinished.is_none() {
            ring.announce_nothing();
        }
        Ok(Self { ring, unfinished })
    }

    /// Claims the next message, if it is there and nobody was faster. [`claim`](Self::claim) finds out what was in the way.
    #[inline(always)]
    pub(crate) fn claim_at_once(&self) -> Option<u64> {
        if self.ring.member.is_forked() || self.unfinished.is_some() {
            return None;
        }
        let head = self.look().ok()?;
        self.take(head, 1).then_some(head)
    }

    /// Claims up to `most` messages, at least one, if there is one.
    pub(crate) fn claim(&mut self, most: u64) -> Result<Claimed, Blocked> {
        // As for a sender.
        self.ring.member.refuse_forked()?;
        let mut pauses = 0;
        for _ in 0..TURNS {
            if self.unfinished.is_some() {
                if let Some(own) = self.finish_own()? {
                    return Ok(own);
                }
            }
            let head = match self.look() {
                Ok(head) => head,
                Err((head, word)) => match self.look_again(head, word)? {
                    Some(orphan) => return Ok(orphan),
                    None => continue,
                },
            };
            let count = if most == 1 { 1 } else { self.ring.run(head, most, SlotWord::published) };
            if self.take(head, count) {
                return Ok(Claimed { first: head, count, deaths: 0 });
            }
            pauses = back_off(pauses);
        }
        self.ring.announce_nothing();
        Err(Blocked::NotReady)
    }

    /// The position of the next message; or that, and what stands in its slot, if that is no fresh message.
    #[inline(always)]
    fn look(&self) -> Result<u64, (u64, SlotWord)> {
        // Relaxed: only a guess; the claim itself decides.
        let head = self.ring.control().head.load(Relaxed);
        // PUBLISH: the bytes of the slot.
        let word = SlotWord::of(self.ring.word(head).load(Acquire));
        if word == SlotWord::published(head) { Ok(head) } else { Err((head, word)) }
    }

    /// Announces and claims `count` messages, if `head` is still the next one.
    #[inline(always)]
    fn take(&self, head: u64, count: u64) -> bool {
        self.ring.announce(Claim::new(head, count));
        crash::point("mpmc.recv_announced");
        let next = head.wrapping_add(count);
        // ANNOUNCE: who sees the messages claimed sees by whom. Relaxed: a lost race tells nothing.
        if self.ring.control().head.compare_exchange(head, next, Release, Relaxed).is_err() {
            return false;
        }
        crash::point("mpmc.recv_claimed");
        true
    }

    /// Lets producers have the slot of a position that was claimed and read.
    #[inline(always)]
    pub(crate) fn release(&self, position: u64) {
        crash::point("mpmc.read");
        let next = position.wrapping_add(self.ring.capacity());
        // RELEASE: the slot has been read when the next producer finds it free.
        self.ring.word(position).store(SlotWord::free(next).word(), Release);
    }

    /// After releasing all of a claim: counts, and wakes producers.
    #[inline(always)]
    pub(crate) fn finish(&mut self, count: u64) {
        crash::point("mpmc.released");
        let ring = &mut self.ring;
        Counters::add(&ring.member.own().counters.messages, count);
        ring.call_producers(count);
    }

    /// The next claim gives this one again, if it was not released before.
    pub(crate) fn keep(&mut self, claimed: Claimed) {
        // What was left by a predecessor is kept anyway.
        let claim = Claim::new(claimed.first, claimed.count);
        self.unfinished.get_or_insert(Unfinished { claim, is_inherited: false });
    }

    /// What was kept has been released after all.
    pub(crate) fn unkeep(&mut self) {
        if self.unfinished.is_some_and(|unfinished| !unfinished.is_inherited) {
            self.unfinished = None;
        }
    }

    /// What stands in the way at `head`, if it has not gone meanwhile; or the message of a dead consumer.
    #[cold]
    #[inline(never)]
    fn look_again(&mut self, head: u64, word: SlotWord) -> Result<Option<Claimed>, Blocked> {
        let result = self.what_blocks(head, word, Ring::take_orphan);
        if result.is_err() {
            self.ring.announce_nothing();
        }
        result
    }

    /// As [`look_again`](Self::look_again), where `orphan` finds the message of a dead consumer.
    fn what_blocks<R>(
        &mut self,
        head: u64,
        word: SlotWord,
        orphan: impl Fn(&Ring, u64) -> Option<R>,
    ) -> Result<Option<R>, Blocked> {
        let ring = &mut self.ring;
        // ANNOUNCE: what was seen of `tail` and of the slots before `head` came here is seen below.
        let still = ring.control().head.load(Acquire) == head;
        // ANNOUNCE: the producers of what is claimed have announced themselves.
        let tail = ring.control().tail.load(Acquire);
        // Relaxed: it only grows; if it stands here, so it did when `tail` was loaded.
        if !still || ring.control().head.load(Relaxed) != head {
            return Ok(None);
        }
        let queued = tail.wrapping_sub(head);
        if queued > ring.capacity() {
            return Err(Fault::Corrupt { field: "tail" }.into());
        }
        match word.at(head) {
            Found::Tombstone => {
                ring.step_over(head, head);
                Ok(None)
            }
            // Claimed by another: then `head` would have moved on, visibly.
            Found::Later | Found::Message { .. } => Err(Fault::Corrupt { field: "head" }.into()),
            Found::Free | Found::Earlier if queued == 0 => self.nothing_queued(tail, orphan),
            Found::Free => ring.await_producer(head, word).map(|()| None),
            Found::Earlier => {
                // Relaxed: the word may have been older than the `tail`; by now it cannot (ANNOUNCE).
                let again = SlotWord::of(ring.word(head).load(Relaxed));
                if again == word { Err(Fault::Corrupt { field: "slot word" }.into()) } else { Ok(None) }
            }
        }
    }

    /// The ring is empty: is a message to be had from a dead consumer, or will there never be one?
    fn nothing_queued<R>(&mut self, tail: u64, orphan: impl Fn(&Ring, u64) -> Option<R>) -> Result<Option<R>, Blocked> {
        let ring = &mut self.ring;
        let all_closed = ring.peers_have_closed();
        if !all_closed && !ring.probes.is_due(LOOK_INTERVAL) {
            return Err(Blocked::NotReady);
        }
        if let Some(orphan) = orphan(ring, tail) {
            return Ok(Some(orphan));
        }
        if !ring.peers_are_gone_now() {
            ring.member.memory().check_locks()?;
            return Err(Blocked::NotReady);
        }
        // CLOSE, DEATH: what they claimed last is visible now. Relaxed: those edges order it.
        if ring.control().tail.load(Relaxed) == tail { Err(Blocked::Disconnected) } else { Ok(None) }
    }
}

impl Party for Sender {
    fn ring(&mut self) -> &mut Ring {
        &mut self.0
    }

    fn claim_up_to(&mut self, most: u64) -> Result<Claimed, Blocked> {
        self.claim(most)
    }
}

impl Party for Receiver {
    fn ring(&mut self) -> &mut Ring {
        &mut self.ring
    }

    fn claim_up_to(&mut self, most: u64) -> Result<Claimed, Blocked> {
        self.claim(most)
    }
}
