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
//!
//! # Safety
//! A slot's word lies at the start of its slot, and is only ever used as a word. The pointer to the control words leads into the memory
//! that the member keeps alive.

#![allow(unsafe_code, reason = "words inside of the data area")]

mod bytes;
mod recovery;
mod slots;
#[cfg(not(loom))]
mod watch;
mod word;

pub use bytes::{ByteConsumer, ByteProducer, ByteRef};
pub use slots::{Consumer, Iter, Producer, RecvRef, TryIter};
#[cfg(not(loom))]
pub(crate) use watch::unfinished;
pub(crate) use word::{Claim, MOST_CLAIMED, SlotWord};

use crate::error::{Blocked, Fault, OpenError, Stop};
use crate::lanes::Role;
use crate::layout::{Control, Counters, Kind};
use crate::member::Member;
use crate::memory::Memory;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::time::Duration;
use recovery::HoldUp;
use ringshm_sync::atomic::AtomicU64;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::cell::Bytes;
use ringshm_sync::crash;
use ringshm_sync::hint;
use ringshm_sync::sleepers::Berth;
use ringshm_sync::time::{Deadline, Ration};
use ringshm_sync::wait::{Exchanged, Pace, Wait, Waiter};
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

/// Bytes from the start of a slot to its message.
pub(crate) const fn message_at(kind: Kind, align: u64) -> u64 {
    let word = size_of::<u64>() as u64;
    match kind {
        // The message's length is in between.
        Kind::MpmcBytes => 2 * word,
        _ if align > word => align,
        _ => word,
    }
}

/// Bytes from one slot to the next. `None` if there are too many.
pub(crate) fn stride(kind: Kind, message: u64, align: u64) -> Option<u64> {
    let unit = align.max(size_of::<u64>() as u64);
    message_at(kind, align).checked_add(message)?.checked_next_multiple_of(unit)
}

/// Before anybody else sees the memory: every slot free for the position that comes to it first.
pub(crate) fn initialise(memory: &Memory) {
    let geometry = memory.geometry();
    // Relaxed: nobody else sees the memory yet.
    memory.control().tail.store(geometry.origin, Relaxed);
    // Relaxed: as above.
    memory.control().head.store(geometry.origin, Relaxed);
    for index in 0..geometry.capacity {
        let position = geometry.origin.wrapping_add(index);
        // Relaxed: as above.
        word_in(memory, position).store(SlotWord::free(position).word(), Relaxed);
    }
}

fn word_in(memory: &Memory, position: u64) -> &AtomicU64 {
    let geometry = memory.geometry();
    let at = (position & (geometry.capacity - 1)) * geometry.stride;
    // SAFETY: masked, so inside of the data area; the stride is a multiple of eight.
    unsafe { memory.data().word(at as usize) }
}

/// Whether nothing is left to receive, in a ring in which nobody takes part any more.
#[cfg(not(loom))]
pub(crate) fn is_received(memory: &Memory) -> bool {
    let (geometry, control) = (memory.geometry(), memory.control());
    // Relaxed: final, and visible, because all lanes were seen to be given up or dead.
    let (head, tail) = (control.head.load(Relaxed), control.tail.load(Relaxed));
    let holds_message = |position: u64| {
        // Relaxed: as above.
        let word = SlotWord::of(word_in(memory, position).load(Relaxed));
        matches!(word.at(position), Found::Message { .. })
    };
    let queued = tail.wrapping_sub(head).min(geometry.capacity);
    let is_held = |lane: usize| {
        // Relaxed: as above.
        let claim = Claim::of(memory.lane(lane).intent.load(Relaxed));
        claim.positions(head, geometry.capacity).any(holds_message)
    };
    !(0..queued).any(|offset| holds_message(head.wrapping_add(offset))) && !memory.lanes_of(Role::Consumer).any(is_held)
}

/// Lets some time go by after a lost race, twice as much as after the one before. Returns how much is next.
#[cold]
fn back_off(pauses: u32) -> u32 {
    hint::pause(pauses);
    (2 * pauses).clamp(1, MOST_PAUSES)
}

/// What both roles have in common: a lane, the slots' words, and how to wait.
#[derive(Debug)]
pub(crate) struct Ring {
    member: Member,
    /// Kept here to spare each call two steps.
    control: NonNull<Control>,
    data: Bytes,
    stride: u64,
    mask: u64,
    pace: Pace,
    probes: Ration,
    hold_up: Option<HoldUp>,
}

// SAFETY: `control` leads into the member's memory, which is `Send` and `Sync`, and behind it are only atomics.
unsafe impl Send for Ring {}

impl Ring {
    fn new(member: Member) -> Result<Self, OpenError> {
        let memory = member.memory();
        let geometry = memory.geometry();
        let control = memory.control();
        // Relaxed: anything in the window will do.
        let (head, tail) = (control.head.load(Relaxed), control.tail.load(Relaxed));
        if (geometry.capacity + 1..=u64::MAX / 2).contains(&tail.wrapping_sub(head)) {
            return Err(OpenError::Corrupt { field: "tail" });
        }
        let (data, stride, mask) = (memory.data().clone(), geometry.stride, geometry.capacity - 1);
        let (pace, probes) = (Pace::new(), Ration::default());
        let control = NonNull::from(control);
        let ring = Self { member, control, data, stride, mask, pace, probes, hold_up: None };
        if ring.member.behaviour.wait == Wait::Park {
            ring.sleepers().ask_for_fences();
        }
        Ok(ring)
    }

    pub(crate) fn member(&self) -> &Member {
        &self.member
    }

    pub(crate) fn member_mut(&mut self) -> &mut Member {
        &mut self.member
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// Where the slot of a position begins.
    #[inline(always)]
    pub(crate) fn offset(&self, position: u64) -> usize {
        ((position & self.mask) * self.stride) as usize
    }

    #[inline(always)]
    fn word(&self, position: u64) -> &AtomicU64 {
        // SAFETY: masked, so inside of the data area; the stride is a multiple of eight.
        unsafe { self.data.word(self.offset(position)) }
    }

    #[inline(always)]
    fn control(&self) -> &Control {
        // SAFETY: leads into the memory that the member keeps alive.
        unsafe { self.control.as_ref() }
    }

    /// Says what this participant is about to claim. Everything that it claimed before is finished.
    #[inline(always)]
    fn announce(&self, claim: Claim) {
        // FINISH: who sees this announcement sees how the claim before it ended.
        // weaken: unmodelled, because loom keeps the stores to a word in the order in which they were executed, so that a recovery's
        // compare-and-swap always finds the claim finished; a processor that makes stores visible out of order would not.
        self.member.own().intent.store(claim.word(), Release);
    }

    fn announce_nothing(&self) {
        self.announce(Claim::nothing(self.member.memory().geometry().origin));
    }

    fn sleepers(&self) -> &ringshm_sync::sleepers::Sleepers {
        match self.member.role() {
            Role::Producer => &self.control().sleeping_producers,
            Role::Consumer => &self.control().sleeping_consumers,
        }
    }

    fn berth(&self) -> Berth<'_> {
        let index = self.member.lane() - self.member.memory().lanes_of(self.member.role()).start;
        self.sleepers().berth(index as u32, &self.member.own().presence.bell)
    }

    /// Wakes up to `most` sleeping consumers.
    #[inline(always)]
    fn call_consumers(&self, most: u64) {
        let memory = self.member.memory();
        let lanes = || memory.lanes_of(Role::Consumer);
        self.control().sleeping_consumers.call(self.member.light(), most, |index| {
            lanes().nth(index as usize).map(|lane| &memory.lane(lane).presence.bell)
        });
    }

    /// Wakes up to `most` sleeping producers.
    #[inline(always)]
    fn call_producers(&self, most: u64) {
        let memory = self.member.memory();
        let lanes = || memory.lanes_of(Role::Producer);
        self.control().sleeping_producers.call(self.member.light(), most, |index| {
            lanes().nth(index as usize).map(|lane| &memory.lane(lane).presence.bell)
        });
    }

    /// Messages in the ring that no consumer has claimed, and perhaps some that their producers have only claimed.
    pub(crate) fn len(&self) -> u64 {
        // Relaxed: a number for people and heuristics.
        let head = self.control().head.load(Relaxed);
        // Relaxed: as above.
        let tail = self.control().tail.load(Relaxed);
        // A consumer may have come in between.
        let queued = tail.wrapping_sub(head);
        if queued > u64::MAX / 2 { 0 } else { queued.min(self.capacity()) }
    }
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

    /// Claims up to `most` positions, at least one, if there is room.
    #[inline(always)]
    pub(crate) fn claim(&mut self, most: u64) -> Result<Claimed, Blocked> {
        // The lane is the parent's: a child that announced anything there would hide what its parent holds.
        self.0.member.refuse_forked()?;
        let mut pauses = 0;
        for _ in 0..TURNS {
            let ring = &mut self.0;
            // Relaxed: only a guess; the claim itself decides.
            let tail = ring.control().tail.load(Relaxed);
            // RELEASE: the consumer of the last lap is done with the slot.
            let word = SlotWord::of(ring.word(tail).load(Acquire));
            if word != SlotWord::free(tail) {
                self.look_again(tail, word)?;
                continue;
            }
            let count = if most == 1 { 1 } else { ring.run(tail, most, SlotWord::free) };
            ring.announce(Claim::new(tail, count));
            crash::point("mpmc.send_announced");
            let next = tail.wrapping_add(count);
            // ANNOUNCE: who sees the positions claimed sees by whom. Relaxed: a lost race tells nothing.
            if ring.control().tail.compare_exchange(tail, next, Release, Relaxed).is_ok() {
                crash::point("mpmc.send_claimed");
                return Ok(Claimed { first: tail, count, deaths: 0 });
            }
            pauses = back_off(pauses);
        }
        self.0.announce_nothing();
        Err(Blocked::NotReady)
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
        let word = SlotWord::of(ring.word(oldest).load(Relaxed));
        match (word.at(oldest), claimed) {
            (Found::Later, _) => Ok(()),
            (Found::Earlier, _) | (Found::Free, 1..) => Err(Fault::Corrupt { field: "slot word" }.into()),
            (Found::Message { .. }, 0) if ring.peers_are_gone() => Err(Blocked::Disconnected),
            (Found::Message { .. }, 0) => Err(Blocked::NotReady),
            (Found::Message { .. }, 1..) => ring.await_consumer(oldest, word),
            (Found::Free, 0) => ring.await_producer(oldest, word),
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

    /// Claims up to `most` messages, at least one, if there is one.
    #[inline(always)]
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
            let ring = &mut self.ring;
            // Relaxed: only a guess; the claim itself decides.
            let head = ring.control().head.load(Relaxed);
            // PUBLISH: the bytes of the slot.
            let word = SlotWord::of(ring.word(head).load(Acquire));
            if word != SlotWord::published(head) {
                match self.look_again(head, word)? {
                    Some(orphan) => return Ok(orphan),
                    None => continue,
                }
            }
            let count = if most == 1 { 1 } else { ring.run(head, most, SlotWord::published) };
            ring.announce(Claim::new(head, count));
            crash::point("mpmc.recv_announced");
            let next = head.wrapping_add(count);
            // ANNOUNCE: who sees the messages claimed sees by whom. Relaxed: a lost race tells nothing.
            if ring.control().head.compare_exchange(head, next, Release, Relaxed).is_ok() {
                crash::point("mpmc.recv_claimed");
                return Ok(Claimed { first: head, count, deaths: 0 });
            }
            pauses = back_off(pauses);
        }
        self.ring.announce_nothing();
        Err(Blocked::NotReady)
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
        let result = self.what_blocks(head, word);
        if result.is_err() {
            self.ring.announce_nothing();
        }
        result
    }

    fn what_blocks(&mut self, head: u64, word: SlotWord) -> Result<Option<Claimed>, Blocked> {
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
            Found::Free | Found::Earlier if queued == 0 => self.nothing_queued(tail),
            Found::Free => ring.await_producer(head, word).map(|()| None),
            Found::Earlier => {
                // Relaxed: the word may have been older than the `tail`; by now it cannot (ANNOUNCE).
                let again = SlotWord::of(ring.word(head).load(Relaxed));
                if again == word { Err(Fault::Corrupt { field: "slot word" }.into()) } else { Ok(None) }
            }
        }
    }

    /// The ring is empty: is a message to be had from a dead consumer, or will there never be one?
    fn nothing_queued(&mut self, tail: u64) -> Result<Option<Claimed>, Blocked> {
        let ring = &mut self.ring;
        let all_closed = ring.peers_have_closed();
        if !all_closed && !ring.probes.is_due(LOOK_INTERVAL) {
            return Err(Blocked::NotReady);
        }
        if let Some(orphan) = ring.take_orphan(tail) {
            return Ok(Some(orphan));
        }
        if !ring.peers_are_gone_now() {
            return Err(Blocked::NotReady);
        }
        // CLOSE, DEATH: what they claimed last is visible now. Relaxed: those edges order it.
        if ring.control().tail.load(Relaxed) == tail { Err(Blocked::Disconnected) } else { Ok(None) }
    }
}

impl Ring {
    /// How many slots from `first` on are as wanted, up to `most` and to what one claim may hold. The first one is.
    #[inline]
    fn run(&self, first: u64, most: u64, wanted: fn(u64) -> SlotWord) -> u64 {
        let most = most.min(MOST_CLAIMED).min(self.capacity());
        let mut count = 1;
        while count < most {
            let position = first.wrapping_add(count);
            // PUBLISH, RELEASE: as for a single slot.
            if self.word(position).load(Acquire) != wanted(position).word() {
                break;
            }
            count += 1;
        }
        count
    }
}

/// A side that can wait for the other one.
pub(crate) trait Party {
    fn ring(&mut self) -> &mut Ring;

    fn claim_up_to(&mut self, most: u64) -> Result<Claimed, Blocked>;

    /// Claims, and waits until there is something to claim.
    #[inline(always)]
    fn claim_by(&mut self, most: u64, deadline: Deadline) -> Result<Claimed, Stop> {
        match self.claim_up_to(most) {
            Ok(claimed) => Ok(claimed),
            Err(Blocked::Disconnected) => Err(Stop::Disconnected),
            Err(Blocked::Fault(fault)) => Err(Stop::Fault(fault)),
            Err(Blocked::NotReady | Blocked::Stalled(_)) => self.wait_for(most, deadline),
        }
    }

    #[cold]
    #[inline(never)]
    fn wait_for(&mut self, most: u64, deadline: Deadline) -> Result<Claimed, Stop> {
        let ring = self.ring();
        let wait = ring.member.behaviour.wait;
        // Relaxed: own counter.
        let count = ring.member.own().counters.messages.load(Relaxed);
        let exchanged = if most == 1 { Exchanged::one_by_one(count) } else { Exchanged::by_batches(count) };
        let capacity = ring.capacity();
        ring.pace.begin(exchanged, count, capacity, wait);
        let mut waiter = Waiter::new(wait, deadline, &ring.pace);
        let outcome = loop {
            // A wait that was over before it began still says whether the others are gone.
            let is_over = waiter.pause(&self.ring().berth()).is_err();
            match self.claim_up_to(most) {
                Ok(claimed) => break Ok(claimed),
                Err(Blocked::Disconnected) => break Err(Stop::Disconnected),
                Err(Blocked::Fault(fault)) => break Err(Stop::Fault(fault)),
                Err(Blocked::NotReady) if is_over => break Err(Stop::TimedOut),
                Err(Blocked::Stalled(stall)) if is_over => break Err(Stop::Stalled(stall)),
                Err(Blocked::NotReady | Blocked::Stalled(_)) => {}
            }
        };
        let ring = self.ring();
        waiter.finish(&ring.berth());
        if outcome.is_ok() {
            ring.pace.end(&waiter);
        }
        outcome
    }
}

impl Party for Sender {
    fn ring(&mut self) -> &mut Ring {
        &mut self.0
    }

    #[inline(always)]
    fn claim_up_to(&mut self, most: u64) -> Result<Claimed, Blocked> {
        self.claim(most)
    }
}

impl Party for Receiver {
    fn ring(&mut self) -> &mut Ring {
        &mut self.ring
    }

    #[inline(always)]
    fn claim_up_to(&mut self, most: u64) -> Result<Claimed, Blocked> {
        self.claim(most)
    }
}
