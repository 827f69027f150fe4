//! What both sides of a ring with one producer and one consumer have in common: a peer, a way to wait for it, and the question
//! whether it is still there.
//!
//! # Safety
//! The peer's lane pointer leads into the `Memory` that the member keeps alive.

#![allow(unsafe_code, reason = "a lane pointer kept beside the memory it leads into, to spare the hot path two steps")]

use crate::detector::Detector;
use crate::error::{Blocked, Stop};
use crate::lanes::{Peer, State, state_of};
use crate::layout::Lane;
use crate::member::Member;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::bell::OwnBell;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::{Exchanged, Pace, Wait, Waiter};

#[derive(Debug)]
pub(crate) struct Endpoint {
    member: Member,
    peer_lane: usize,
    peer: NonNull<Lane>,
    pace: Pace,
    detector: Detector,
}

// SAFETY: the lane pointer leads into the member's memory, which is `Send` and `Sync`, and behind it are only atomics.
unsafe impl Send for Endpoint {}

impl Deref for Endpoint {
    type Target = Member;

    #[inline(always)]
    fn deref(&self) -> &Member {
        &self.member
    }
}

impl DerefMut for Endpoint {
    fn deref_mut(&mut self) -> &mut Member {
        &mut self.member
    }
}

impl Endpoint {
    /// One of the two sides of a ring.
    pub(crate) fn new(member: Member) -> Self {
        if member.behaviour.wait == Wait::Park {
            member.own().presence.bell.ask_for_fences();
        }
        let peer_lane = member.role().peer().lane();
        let peer = NonNull::from(member.memory().lane(peer_lane));
        Self { member, peer_lane, peer, pace: Pace::new(), detector: Detector::new(peer_lane) }
    }

    #[inline(always)]
    pub(crate) fn peer(&self) -> &Lane {
        // SAFETY: leads into the memory that the member keeps alive.
        unsafe { self.peer.as_ref() }
    }

    pub(crate) fn peer_state(&self) -> Peer {
        self.memory().peer_state(self.peer_lane)
    }

    /// Wakes the peer if it sleeps: after publishing, or releasing.
    #[inline(always)]
    pub(crate) fn ring_peer(&self) {
        if self.peer().presence.bell.may_be_awaited(self.light()) {
            self.wake_peer();
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_peer(&self) {
        self.peer().presence.bell_for(self.memory().geometry().wakeup).ring_attentively();
    }

    /// Where this side sleeps.
    fn bell(&self) -> OwnBell<'_> {
        self.own().presence.bell_for(self.memory().geometry().wakeup)
    }

    /// Whether the peer has closed the ring. Says nothing of what it published before.
    #[inline(always)]
    pub(crate) fn peer_has_closed(&self) -> bool {
        // Relaxed: only a reason to look more closely.
        state_of(self.peer().presence.state.load(Relaxed)) == State::Closed
    }

    /// Whether nothing more will come from the peer. If so, everything it published or released is visible.
    pub(crate) fn peer_is_gone(&mut self) -> bool {
        self.detector.is_gone(self.member.memory(), self.member.behaviour.on_death)
    }
}

/// The side of a ring that can wait for its peer.
pub(crate) trait Side {
    fn end(&self) -> &Endpoint;

    fn end_mut(&mut self) -> &mut Endpoint;

    /// Whether `units` can be had: a look at the peer's cursor and, if it is a `thorough` one, at the peer itself.
    fn look(&mut self, units: u64, thorough: bool) -> Result<(), Blocked>;

    /// Where it writes or reads next.
    fn position(&self) -> u64;

    /// Asks for the memory that is wanted next by one who waits.
    fn expect(&self, exchanged: Exchanged);

    /// Looks, and if there is nothing waits until `units` can be had.
    #[cold]
    #[inline(never)]
    fn look_or_wait(&mut self, units: u64, exchanged: Exchanged, deadline: Deadline) -> Result<(), Stop> {
        let position = self.position();
        let end = self.end_mut();
        let capacity = end.memory().geometry().capacity;
        end.pace.begin(exchanged, position, capacity, end.behaviour.wait);
        match self.look(units, false) {
            Ok(()) => Ok(()),
            Err(Blocked::NotReady | Blocked::Stalled(_)) => self.wait_for(units, exchanged, deadline),
            Err(Blocked::Disconnected) => Err(Stop::Disconnected),
            Err(Blocked::Fault(fault)) => Err(Stop::Fault(fault)),
        }
    }

    /// Waits until `units` can be had, after a look that found less.
    fn wait_for(&mut self, units: u64, exchanged: Exchanged, deadline: Deadline) -> Result<(), Stop> {
        let end = self.end();
        let mut waiter = Waiter::new(end.behaviour.wait, deadline, &end.pace);
        let outcome = loop {
            self.expect(exchanged);
            // A wait that was over before it began still says whether the peer is gone.
            let is_over = waiter.pause(&self.end().bell()).is_err();
            match self.look(units, is_over || waiter.is_unhurried()) {
                Ok(()) => break Ok(()),
                Err(Blocked::Disconnected) => break Err(Stop::Disconnected),
                Err(Blocked::Fault(fault)) => break Err(Stop::Fault(fault)),
                Err(Blocked::NotReady | Blocked::Stalled(_)) if is_over => break Err(Stop::TimedOut),
                Err(Blocked::NotReady | Blocked::Stalled(_)) => {}
            }
        };
        waiter.finish(&self.end().bell());
        if outcome.is_ok() {
            self.end_mut().pace.end(&waiter);
        }
        outcome
    }
}
