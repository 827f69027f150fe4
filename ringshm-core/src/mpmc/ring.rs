//! What both sides of an MPMC ring have in common: a lane, the slots' words, and how to wait.
//!
//! # Safety
//! A slot's word lies at the start of its slot, and is only ever used as a word. The pointer to the control words leads into the memory
//! that the member keeps alive.

#![allow(unsafe_code, reason = "words inside of the data area")]

use super::recovery::HoldUp;
use super::{Claim, Claimed, MOST_CLAIMED, SlotWord};
use crate::ahead::LINE;
use crate::error::{Blocked, OpenError, Stop};
use crate::lanes::Role;
use crate::layout::Control;
use crate::member::Member;
use core::ptr::NonNull;
use ringshm_sync::atomic::AtomicU64;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::bell::OwnBell;
use ringshm_sync::cell::Bytes;
use ringshm_sync::hint;
use ringshm_sync::sleepers::Berth;
use ringshm_sync::time::{Deadline, Ration};
use ringshm_sync::wait::{Exchanged, Pace, Wait, Waiter};

/// Pauses for which a producer lets consumers go ahead: some 500 ns, or a dozen lines.
const HEAD_START: u32 = 24;

/// What both roles have in common: a lane, the slots' words, and how to wait.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(super) member: Member,
    /// Kept here to spare each call two steps.
    control: NonNull<Control>,
    data: Bytes,
    stride: u64,
    mask: u64,
    /// Slots that begin in one cache line, rounded down to a power of two, less one.
    line_mask: u64,
    pace: Pace,
    pub(super) probes: Ration,
    pub(super) hold_up: Option<HoldUp>,
}

// SAFETY: `control` leads into the member's memory, which is `Send` and `Sync`, and behind it are only atomics.
unsafe impl Send for Ring {}

impl Ring {
    pub(super) fn new(member: Member) -> Result<Self, OpenError> {
        let memory = member.memory();
        let geometry = memory.geometry();
        let control = memory.control();
        // ANNOUNCE: `head`, looked at after it, is seen no further behind than the ring is long.
        let tail = control.tail.load(Acquire);
        // Relaxed: anything in the window will do, and it may be past this `tail` by now.
        let head = control.head.load(Relaxed);
        if (geometry.capacity + 1..=u64::MAX / 2).contains(&tail.wrapping_sub(head)) {
            return Err(OpenError::Corrupt { field: "tail" });
        }
        let (data, stride, mask) = (memory.data().clone(), geometry.stride, geometry.capacity - 1);
        let (pace, probes) = (Pace::new(), Ration::default());
        let line_mask = ((1 << (LINE / stride).max(1).ilog2()) - 1).min(mask);
        let control = NonNull::from(control);
        let ring = Self { member, control, data, stride, mask, line_mask, pace, probes, hold_up: None };
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
    pub(super) fn word(&self, position: u64) -> &AtomicU64 {
        // SAFETY: masked, so inside of the data area; the stride is a multiple of eight.
        unsafe { self.data.word(self.offset(position)) }
    }

    #[inline(always)]
    pub(super) fn control(&self) -> &Control {
        // SAFETY: leads into the memory that the member keeps alive.
        unsafe { self.control.as_ref() }
    }

    /// A producer that comes to a cache line in which a consumer still works is almost a whole lap ahead. If it went on, both would
    /// write the same line in turns, message by message, for as long as neither is faster; so it lets the consumers gain some
    /// lines, which costs nothing: they are what it waits for.
    #[inline(always)]
    pub(super) fn let_consumers_go_ahead(&self, tail: u64) {
        if self.line_mask != 0 && tail & self.line_mask == 0 {
            let last = tail | self.line_mask;
            // Relaxed: whoever claims that slot looks again.
            if self.word(last).load(Relaxed) != SlotWord::free(last).word() {
                hint::pause(HEAD_START);
            }
        }
    }

    /// Says what this participant is about to claim. Everything that it claimed before is finished.
    #[inline(always)]
    pub(super) fn announce(&self, claim: Claim) {
        // FINISH: who sees this announcement sees how the claim before it ended.
        // weaken: unmodelled, because loom keeps the stores to a word in the order in which they were executed, so that a recovery's
        // compare-and-swap always finds the claim finished; a processor that makes stores visible out of order would not.
        self.member.own().intent.store(claim.word(), Release);
    }

    pub(super) fn announce_nothing(&self) {
        self.announce(Claim::nothing(self.member.memory().geometry().origin));
    }

    fn sleepers(&self) -> &ringshm_sync::sleepers::Sleepers {
        match self.member.role() {
            Role::Producer => &self.control().sleeping_producers,
            Role::Consumer => &self.control().sleeping_consumers,
        }
    }

    pub(crate) fn berth(&self) -> Berth<'_> {
        let index = self.member.lane() - self.member.memory().lanes_of(self.member.role()).start;
        self.sleepers().berth(index as u32, self.bell_of(self.member.lane()))
    }

    /// Where the owner of a lane sleeps.
    fn bell_of(&self, lane: usize) -> OwnBell<'_> {
        let memory = self.member.memory();
        memory.lane(lane).presence.bell_for(memory.geometry().wakeup)
    }

    /// Wakes up to `most` sleeping consumers.
    #[inline(always)]
    pub(super) fn call_consumers(&self, most: u64) {
        let lanes = || self.member.memory().lanes_of(Role::Consumer);
        self.control()
            .sleeping_consumers
            .call(self.member.light(), most, |index| lanes().nth(index as usize).map(|lane| self.bell_of(lane)));
    }

    /// Wakes up to `most` sleeping producers.
    #[inline(always)]
    pub(super) fn call_producers(&self, most: u64) {
        let lanes = || self.member.memory().lanes_of(Role::Producer);
        self.control()
            .sleeping_producers
            .call(self.member.light(), most, |index| lanes().nth(index as usize).map(|lane| self.bell_of(lane)));
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

impl Ring {
    /// How many slots from `first` on are as wanted, up to `most` and to what one claim may hold. The first one is.
    #[inline]
    pub(super) fn run(&self, first: u64, most: u64, wanted: fn(u64) -> SlotWord) -> u64 {
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
    fn claim_by(&mut self, most: u64, deadline: Deadline) -> Result<Claimed, Stop> {
        match self.claim_up_to(most) {
            Ok(claimed) => Ok(claimed),
            Err(Blocked::Disconnected) => Err(Stop::Disconnected),
            Err(Blocked::Fault(fault)) => Err(Stop::Fault(fault)),
            Err(Blocked::NotReady | Blocked::Stalled(_)) => self.wait_for(most, deadline),
        }
    }

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
                Err(Blocked::NotReady | Blocked::Stalled(_)) => {
                    if let Err(fault) = self.ring().member.memory().check_locks() {
                        break Err(Stop::Fault(fault));
                    }
                }
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
