//! What both sides of a ring have in common: a lane of their own, a peer, a way to wait, and the question whether the peer
//! is still there.
//!
//! # Safety
//! The two lane pointers lead into the `Memory` that the endpoint keeps alive.

#![allow(unsafe_code, reason = "lane pointers kept beside the memory they lead into, to spare the hot path two steps")]

use crate::error::{Blocked, Fault, Stop};
use crate::lanes::{Peer, Role, State, state_of};
use crate::layout::Lane;
use crate::memory::Memory;
use core::ptr::NonNull;
use core::time::Duration;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed};
use ringshm_sync::barrier::Light;
use ringshm_sync::time::{Deadline, Ration};
use ringshm_sync::wait::{Exchanged, Pace, Wait, Waiter};
use std::sync::Arc;

#[cfg(not(loom))]
use crate::os::fork::Birthplace;

/// What a call on a ring does once the other side has died (was killed, or ended without closing).
///
/// A side that *closed* the ring is finished: its peer is told `Disconnected` whatever is chosen here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDeath {
    /// Report `Disconnected`, after everything that was sent has been delivered.
    #[default]
    Disconnect,
    /// Wait for the process that takes over.
    AwaitSuccessor,
}

/// How a participant behaves: chosen when it joins, private to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    /// How blocking calls wait.
    pub wait: Wait,
    /// What happens when the other side dies.
    pub on_death: OnDeath,
    /// Whether guards may refer to shared memory. Always so on the heap.
    trusts_peers: bool,
}

impl Behaviour {
    /// A participant that waits and bears the other side's death like this, and trusts nobody.
    #[must_use]
    pub const fn new(wait: Wait, on_death: OnDeath) -> Self {
        Self { wait, on_death, trusts_peers: false }
    }

    /// Lets guards and loans refer to shared memory.
    ///
    /// # Safety
    /// As long as the participant takes part, every process that can open the ring must keep its protocol.
    #[must_use]
    pub const unsafe fn trusting_peers(mut self) -> Self {
        self.trusts_peers = true;
        self
    }
}

/// The least time between two probes of the peer's lock by one handle.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Endpoint {
    memory: Arc<Memory>,
    role: Role,
    own: NonNull<Lane>,
    peer: NonNull<Lane>,
    light: Light,
    behaviour: Behaviour,
    pace: Pace,
    probes: Ration,
    /// The peer's state word that was proven dead: until it changes, the peer is gone.
    proven_dead: Option<u32>,
    how_to_leave: State,
    #[cfg(not(loom))]
    birthplace: Birthplace,
}

// SAFETY: the lane pointers lead into `memory`, which is `Send` and `Sync`, and behind them are only atomics.
unsafe impl Send for Endpoint {}

impl Endpoint {
    /// A participant that has joined `memory` in `role`.
    pub(crate) fn new(memory: Arc<Memory>, role: Role, behaviour: Behaviour) -> Self {
        let light = Light::register();
        if behaviour.wait == Wait::Park {
            memory.presence(role).bell.ask_for_fences();
        }
        let own = NonNull::from(memory.lane_of(role));
        let peer = NonNull::from(memory.lane_of(role.peer()));
        Self {
            role,
            own,
            peer,
            light,
            behaviour,
            pace: Pace::new(),
            probes: Ration::default(),
            proven_dead: None,
            how_to_leave: State::Closed,
            #[cfg(not(loom))]
            birthplace: Birthplace::here(),
            memory,
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    #[inline(always)]
    pub(crate) fn own(&self) -> &Lane {
        // SAFETY: leads into `memory`, which this value keeps alive.
        unsafe { self.own.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn peer(&self) -> &Lane {
        // SAFETY: leads into `memory`, which this value keeps alive.
        unsafe { self.peer.as_ref() }
    }

    pub(crate) fn peer_state(&self) -> Peer {
        self.memory.peer_state(self.role.peer())
    }

    /// Whether guards may refer to the ring's own memory.
    pub(crate) fn trusts_peers(&self) -> bool {
        self.behaviour.trusts_peers || !self.memory.is_shared_with_processes()
    }

    /// Wakes the peer if it sleeps: after publishing, or releasing.
    #[inline(always)]
    pub(crate) fn ring_peer(&self) {
        self.peer().presence.bell.ring(self.light);
    }

    /// Whether this handle came here through `fork`: it must touch nothing.
    #[inline(always)]
    pub(crate) fn is_forked(&self) -> bool {
        #[cfg(not(loom))]
        return self.birthplace.is_elsewhere();
        #[cfg(loom)]
        return false;
    }

    pub(crate) fn refuse_forked(&self) -> Result<(), Fault> {
        if self.is_forked() { Err(Fault::Forked) } else { Ok(()) }
    }

    /// Whether the peer has closed the ring. Says nothing of what it published before.
    #[inline(always)]
    pub(crate) fn peer_has_closed(&self) -> bool {
        // Relaxed: only a reason to look more closely.
        state_of(self.peer().presence.state.load(Relaxed)) == State::Closed
    }

    /// Whether nothing more will come from the peer. If so, everything it published or released is visible.
    pub(crate) fn peer_is_gone(&mut self) -> bool {
        // CLOSE: everything the peer published before it closed.
        let word = self.peer().presence.state.load(Acquire);
        if state_of(word) == State::Closed || self.proven_dead == Some(word) {
            return true;
        }
        if self.behaviour.on_death == OnDeath::AwaitSuccessor || !self.probes.is_due(PROBE_INTERVAL) {
            return false;
        }
        self.proven_dead = self.memory.proven_dead(self.role.peer());
        self.proven_dead.is_some()
    }

    /// Chooses to leave the role to a successor instead of closing the ring.
    pub(crate) fn will_detach(&mut self) {
        self.how_to_leave = State::Detached;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        self.memory.leave(self.role, self.how_to_leave);
        #[cfg(not(loom))]
        crate::attach::retire_if_over(&self.memory);
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

    /// Asks for the memory that is wanted next.
    fn expect(&self);

    /// Looks, and if there is nothing waits until `units` can be had.
    #[cold]
    #[inline(never)]
    fn look_or_wait(&mut self, units: u64, exchanged: Exchanged, deadline: Deadline) -> Result<(), Stop> {
        let position = self.position();
        let end = self.end_mut();
        let capacity = end.memory.geometry().capacity;
        end.pace.begin(exchanged, position, capacity, end.behaviour.wait);
        match self.look(units, false) {
            Ok(()) => Ok(()),
            Err(Blocked::NotReady) => self.wait_for(units, deadline),
            Err(Blocked::Disconnected) => Err(Stop::Disconnected),
            Err(Blocked::Fault(fault)) => Err(Stop::Fault(fault)),
        }
    }

    /// Waits until `units` can be had, after a look that found less.
    fn wait_for(&mut self, units: u64, deadline: Deadline) -> Result<(), Stop> {
        let end = self.end();
        let mut waiter = Waiter::new(end.behaviour.wait, deadline, &end.pace);
        let outcome = loop {
            self.expect();
            // A wait that was over before it began still says whether the peer is gone.
            let is_over = waiter.pause(&self.end().own().presence.bell).is_err();
            match self.look(units, is_over || waiter.is_unhurried()) {
                Ok(()) => break Ok(()),
                Err(Blocked::Disconnected) => break Err(Stop::Disconnected),
                Err(Blocked::Fault(fault)) => break Err(Stop::Fault(fault)),
                Err(Blocked::NotReady) if is_over => break Err(Stop::TimedOut),
                Err(Blocked::NotReady) => {}
            }
        };
        waiter.finish(&self.end().own().presence.bell);
        if outcome.is_ok() {
            self.end_mut().pace.end(&waiter);
        }
        outcome
    }
}
