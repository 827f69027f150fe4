//! Lanes: who takes part in a ring, and whether it is still alive.
//!
//! The state word of a lane holds a generation, counted up by each new owner, and a state:
//!
//! | state | meaning | set by |
//! |---|---|---|
//! | `Vacant` | nobody has ever had this role | creation |
//! | `Live` | the owner takes part, or died doing so: its lock tells which | owner, when joining |
//! | `Detached` | the owner left, and a successor is to go on | owner, in `detach` |
//! | `Closed` | the owner is finished | owner, when closing or dropped |
//!
//! ```text
//!   Vacant ──join──▶ Live ──close──▶ Closed ──join──▶ Live (next generation)
//!                     │ ╲──detach─▶ Detached ─join──▶ Live (next generation)
//!                     ╰──killed: still says Live, but the lock is free ──join──▶ Live (next generation)
//! ```
//!
//! Nothing here is decided by a time-out. A participant holds a lock that the kernel drops when the process is gone, after its
//! last store; a stopped process keeps it.

use crate::error::OpenError;
use crate::layout::{Lane, Presence};
use crate::memory::Memory;
use ringshm_sync::atomic::AtomicU32;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::crash;

/// What a participant does in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends.
    Producer,
    /// Receives.
    Consumer,
}

impl Role {
    /// The index of this role's lane in a ring with one of each.
    #[must_use]
    pub const fn lane(self) -> usize {
        match self {
            Self::Producer => 0,
            Self::Consumer => 1,
        }
    }

    /// The other role.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Producer => Self::Consumer,
            Self::Consumer => Self::Producer,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// How a participant leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Vacant = 0,
    Live = 1,
    Detached = 2,
    Closed = 3,
}

const STATE_BITS: u32 = 8;

/// Reads the state out of a state word. Nonsense counts as `Live`: then the lock decides.
pub(crate) fn state_of(word: u32) -> State {
    match word & ((1 << STATE_BITS) - 1) {
        0 => State::Vacant,
        2 => State::Detached,
        3 => State::Closed,
        _ => State::Live,
    }
}

fn with_state(word: u32, state: State) -> u32 {
    word >> STATE_BITS << STATE_BITS | state as u32
}

fn next_generation(word: u32) -> u32 {
    with_state(word.wrapping_add(1 << STATE_BITS), State::Live)
}

/// How many owners a lane has had, as its state word says.
#[cfg(not(loom))]
pub(crate) fn generation_of(word: u32) -> u32 {
    word >> STATE_BITS
}

/// What the other side of a ring is, when one looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Nobody has had that role yet.
    Vacant,
    /// It takes part. A stopped process does too.
    Live {
        /// Its process number, as it knows itself.
        pid: u32,
    },
    /// It left without closing; a successor is to go on.
    Detached,
    /// It is finished.
    Closed,
    /// It was killed, or ended without leaving.
    Dead {
        /// The process number it had.
        pid: u32,
    },
}

/// Liveness: one lock per lane, dropped when its holder is gone, after the holder's last store.
#[derive(Debug)]
pub enum Locks {
    /// For threads of one process: a word per lane, 1 while held. A thread cannot be killed alone, so its handle's drop
    /// always runs; in the model, the harness plays the kernel.
    WithinProcess(Box<[AtomicU32]>),
    /// The kernel's open-file-description locks.
    #[cfg(not(loom))]
    OfFile(crate::os::liveness::FileLocks),
}

impl Locks {
    pub(crate) fn within_process(lanes: usize) -> Self {
        Self::WithinProcess((0..lanes).map(|_| AtomicU32::new(0)).collect())
    }

    #[cfg(not(loom))]
    pub(crate) fn of_file(segment: &crate::os::segment::Segment, geometry: &crate::layout::Geometry) -> Self {
        Self::OfFile(crate::os::liveness::FileLocks::new(segment, geometry.lanes_at))
    }

    /// Takes the lock of a lane for the caller. `false` if somebody alive has it.
    fn try_lock(&self, lane: usize) -> Result<bool, OpenError> {
        match self {
            // TAKEOVER: what the previous holder wrote before its lock was dropped is visible to the next holder.
            // Relaxed: on failure nothing is read.
            Self::WithinProcess(words) => Ok(words[lane].compare_exchange(0, 1, Acquire, Relaxed).is_ok()),
            #[cfg(not(loom))]
            Self::OfFile(locks) => locks.try_lock(lane),
        }
    }

    /// Drops the lock of a lane.
    fn unlock(&self, lane: usize) {
        match self {
            // TAKEOVER, DEATH: all stores of the holder before the lock is seen free.
            Self::WithinProcess(words) => words[lane].store(0, Release),
            #[cfg(not(loom))]
            Self::OfFile(locks) => locks.unlock(lane),
        }
    }

    /// Whether somebody alive holds the lock of a lane. If the kernel cannot say, it is held: the safe side.
    fn is_held(&self, lane: usize) -> bool {
        match self {
            // DEATH: all stores of the holder are visible to whoever finds its lock free.
            Self::WithinProcess(words) => words[lane].load(Acquire) != 0,
            #[cfg(not(loom))]
            Self::OfFile(locks) => locks.is_held(lane),
        }
    }
}

impl Memory {
    pub(crate) fn presence(&self, role: Role) -> &Presence {
        &self.lane(role.lane()).presence
    }

    pub(crate) fn lane_of(&self, role: Role) -> &Lane {
        self.lane(role.lane())
    }

    /// Takes a role. All that its last owner published or released is visible to the caller afterwards.
    pub(crate) fn join(&self, role: Role, pid: u32, since: u64) -> Result<(), OpenError> {
        let presence = self.presence(role);
        if !self.locks.try_lock(role.lane())? {
            // Relaxed: for people.
            return Err(OpenError::RoleTaken { role: role.name(), pid: presence.pid.load(Relaxed) });
        }
        crash::point("lanes.locked");
        presence.bell.install();
        // Relaxed: for people.
        presence.pid.store(pid, Relaxed);
        // Relaxed: for people.
        presence.since.store(since, Relaxed);
        // Relaxed: only the holder of the lock writes it, and the lock was taken with TAKEOVER.
        let word = presence.state.load(Relaxed);
        // Relaxed: `Live` promises nothing; the peer asks the lock.
        presence.state.store(next_generation(word), Relaxed);
        crash::point("lanes.live");
        Ok(())
    }

    /// Gives a role up. The caller touches the ring no more.
    pub(crate) fn leave(&self, role: Role, how: State) {
        let presence = self.presence(role);
        // Relaxed: own word.
        let word = presence.state.load(Relaxed);
        crash::point("lanes.leaving");
        // CLOSE: everything published before is visible to whoever sees the role given up.
        presence.state.store(with_state(word, how), Release);
        crash::point("lanes.left");
        self.presence(role.peer()).bell.ring(ringshm_sync::barrier::Light::full());
        self.locks.unlock(role.lane());
    }

    /// Model only: what the kernel does when the process with that role is gone.
    #[cfg(loom)]
    pub fn drop_lock_of_killed(&self, role: Role) {
        self.locks.unlock(role.lane());
    }

    /// The state word of a role, if it says that the role is `Live` and its lock says that it is not.
    ///
    /// The word is read on both sides of the probe: an owner that leaves gives up its lock after it has written its new
    /// state, and a successor takes the lock before it does, so the same word twice with a free lock between is a death.
    pub(crate) fn proven_dead(&self, role: Role) -> Option<u32> {
        let presence = self.presence(role);
        // Relaxed: compared below.
        let before = presence.state.load(Relaxed);
        if state_of(before) != State::Live || self.locks.is_held(role.lane()) {
            return None;
        }
        // Relaxed: DEATH, in the probe, orders it.
        (presence.state.load(Relaxed) == before).then_some(before)
    }

    /// What the participant with that role is now.
    #[must_use]
    pub fn peer_state(&self, role: Role) -> Peer {
        let presence = self.presence(role);
        // Relaxed: for people.
        let pid = presence.pid.load(Relaxed);
        // CLOSE: whoever reads `Closed` here may go on to read the final cursor.
        match state_of(presence.state.load(Acquire)) {
            State::Vacant => Peer::Vacant,
            State::Detached => Peer::Detached,
            State::Closed => Peer::Closed,
            State::Live if self.proven_dead(role).is_some() => Peer::Dead { pid },
            State::Live => Peer::Live { pid },
        }
    }

    /// Whether the stream has ended and everything of it was received: nobody can want this ring any more.
    ///
    /// A producer that died without closing ends the stream only for those who have just `left`: a new participant may be its
    /// successor. A consumer must have been there: what nobody has come for yet, even an empty stream, stays.
    #[cfg(not(loom))]
    pub(crate) fn is_over(&self, left: bool) -> bool {
        let producer_finished = match self.peer_state(Role::Producer) {
            Peer::Closed => true,
            Peer::Dead { .. } => left,
            Peer::Vacant | Peer::Live { .. } | Peer::Detached => false,
        };
        let consumer_finished = match self.peer_state(Role::Consumer) {
            Peer::Closed | Peer::Detached | Peer::Dead { .. } => true,
            Peer::Vacant | Peer::Live { .. } => false,
        };
        // Relaxed: final by now, and visible: CLOSE or DEATH, in `peer_state`, saw to that.
        let cursor = |role| self.lane_of(role).cursor.load(Relaxed);
        producer_finished && consumer_finished && cursor(Role::Producer) == cursor(Role::Consumer)
    }
}
