//! Failure detection: whether the one participant that a handle depends on will ever do anything again.

use crate::lanes::{State, state_of};
use crate::member::OnDeath;
use crate::memory::Memory;
use core::time::Duration;
use ringshm_sync::atomic::Ordering::Acquire;
use ringshm_sync::time::Ration;

/// The least time between two probes of a peer's lock by one handle.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// What a handle knows of the end of its peer.
#[derive(Debug)]
pub(crate) struct Detector {
    peer: usize,
    probes: Ration,
    /// The peer's state word that was proven dead: until it changes, the peer is gone.
    proven_dead: Option<u32>,
}

impl Detector {
    /// For the participant in the lane `peer`, whoever that is.
    pub(crate) fn new(peer: usize) -> Self {
        Self { peer, probes: Ration::default(), proven_dead: None }
    }

    /// Whether nothing more will come from the peer. If so, everything it published or released is visible.
    pub(crate) fn is_gone(&mut self, memory: &Memory, on_death: OnDeath) -> bool {
        // CLOSE: everything the peer did before it closed.
        let word = memory.lane(self.peer).presence.state.load(Acquire);
        if state_of(word) == State::Closed || self.proven_dead == Some(word) {
            return true;
        }
        if on_death != OnDeath::Disconnect || !self.probes.is_due(PROBE_INTERVAL) {
            return false;
        }
        self.proven_dead = memory.proven_dead(self.peer);
        self.proven_dead.is_some()
    }
}
