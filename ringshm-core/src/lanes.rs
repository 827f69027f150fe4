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
//! | `Evicted` | the owner was too slow for a broadcast ring's producer, and has not left yet | that producer |
//!
//! ```text
//!   Vacant ──join──▶ Live ──close──▶ Closed ──join──▶ Live (next generation)
//!                     │ ╲──detach─▶ Detached ─join──▶ Live (next generation)
//!                     ├──killed: still says Live, but the lock is free ──join──▶ Live (next generation)
//!                     ╰──evicted─▶ Evicted, and from there as from Live
//! ```
//!
//! Nothing here is decided by a time-out. A participant holds a lock that the kernel drops when the process is gone, after its
//! last store; a stopped process keeps it.

use crate::error::{Fault, OpenError};
use crate::layout::{Kind, Presence};
use crate::memory::Memory;
#[cfg(not(loom))]
use crate::os::liveness::Lock;
use core::ops::Range;
use ringshm_sync::atomic::AtomicU32;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::barrier::Light;
use ringshm_sync::crash;
use ringshm_sync::hint;

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
    Evicted = 4,
}

const STATE_BITS: u32 = 8;

/// Reads the state out of a state word. Nonsense counts as `Live`: then the lock decides.
pub(crate) fn state_of(word: u32) -> State {
    match word & ((1 << STATE_BITS) - 1) {
        0 => State::Vacant,
        2 => State::Detached,
        3 => State::Closed,
        4 => State::Evicted,
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
    /// The kernel's, of the object that the ring lies in.
    #[cfg(not(loom))]
    OfObject(crate::os::object::Object),
}

impl Locks {
    pub(crate) fn within_process(lanes: usize) -> Self {
        Self::WithinProcess((0..lanes).map(|_| AtomicU32::new(0)).collect())
    }

    #[cfg(not(loom))]
    pub(crate) fn of_object(segment: &crate::os::segment::Segment) -> Self {
        Self::OfObject(segment.object().clone())
    }

    /// Takes the lock of a lane for the caller. `false` if somebody alive has it.
    fn try_lock(&self, lane: usize) -> Result<bool, OpenError> {
        match self {
            // TAKEOVER: what the previous holder wrote before its lock was dropped is visible to the next holder.
            // Relaxed: on failure nothing is read.
            Self::WithinProcess(words) => Ok(words[lane].compare_exchange(0, 1, Acquire, Relaxed).is_ok()),
            #[cfg(not(loom))]
            Self::OfObject(object) => object.try_lock(Lock::Lane(lane)),
        }
    }

    /// Drops the lock of a lane.
    fn unlock(&self, lane: usize) {
        match self {
            // TAKEOVER, DEATH: all stores of the holder before the lock is seen free.
            Self::WithinProcess(words) => words[lane].store(0, Release),
            #[cfg(not(loom))]
            Self::OfObject(object) => object.unlock(Lock::Lane(lane)),
        }
    }

    /// Whether somebody alive holds the lock of a lane. If the kernel cannot say, it is held: the safe side.
    fn is_held(&self, lane: usize) -> bool {
        match self {
            // DEATH: all stores of the holder are visible to whoever finds its lock free.
            Self::WithinProcess(words) => words[lane].load(Acquire) != 0,
            #[cfg(not(loom))]
            Self::OfObject(object) => object.is_held(Lock::Lane(lane)),
        }
    }

    /// Whether it can still be known who is alive: not once somebody has removed the locks of a System V segment.
    fn are_there(&self) -> bool {
        match self {
            Self::WithinProcess(_) => true,
            #[cfg(not(loom))]
            Self::OfObject(object) => object.has_locks(),
        }
    }
}

impl Memory {
    pub(crate) fn presence(&self, lane: usize) -> &Presence {
        &self.lane(lane).presence
    }

    /// The lanes of a role: those of the producers come first.
    #[must_use]
    pub fn lanes_of(&self, role: Role) -> Range<usize> {
        let producers = self.geometry().producers as usize;
        match role {
            Role::Producer => 0..producers,
            Role::Consumer => producers..self.geometry().lanes(),
        }
    }

    /// The lanes of a role that have ever had an owner: they are given out in order, so no other follows.
    pub(crate) fn used_lanes_of(&self, role: Role) -> impl Iterator<Item = usize> {
        // Relaxed: a lane that is joined just now may be missed, as if it were joined a moment later.
        self.lanes_of(role).take_while(|lane| state_of(self.presence(*lane).state.load(Relaxed)) != State::Vacant)
    }

    /// Takes a role, in the first lane whose owner is gone, or that never had one. All that its last owner published or released is
    /// visible to the caller afterwards. Returns the lane.
    pub(crate) fn join(&self, role: Role, pid: u32, since: u64) -> Result<usize, OpenError> {
        for lane in self.lanes_of(role) {
            if !self.locks.try_lock(lane)? {
                self.await_owner(lane);
                continue;
            }
            crash::point("lanes.locked");
            let presence = self.presence(lane);
            presence.bell_for(self.geometry().wakeup).install();
            // Relaxed: for people.
            presence.pid.store(pid, Relaxed);
            // Relaxed: for people.
            presence.since.store(since, Relaxed);
            // Relaxed: only the holder of the lock writes it, and the lock was taken with TAKEOVER.
            let word = presence.state.load(Relaxed);
            if self.geometry().kind == Kind::Frames {
                crate::frames::inherit(self, lane);
            }
            // DEATH: whoever sees `Live` finds the lock taken. PROMISE: and nothing that was promised to the last owner.
            presence.state.store(next_generation(word), Release);
            crash::point("lanes.live");
            return Ok(lane);
        }
        // Relaxed: for people.
        let pid = self.presence(self.lanes_of(role).start).pid.load(Relaxed);
        let role_name = self.geometry().kind.name_of(role);
        Err(OpenError::RoleTaken { role: role_name, pid, lanes: self.lanes_of(role).len() })
    }

    /// Waits until the owner of a lane that is taken says so: lanes are given out in order, and who looks for those that are used stops at
    /// the first that is not. Who joins a segment has the gate, and finds nobody half joined; on the heap two threads may join at once.
    fn await_owner(&self, lane: usize) {
        // A hostile process may hold a lock and say nothing.
        const TURNS: u32 = if cfg!(loom) { 4 } else { 1000 };
        for _ in 0..TURNS {
            // Relaxed: whoever needs to know more than that it is used, asks its lock.
            if state_of(self.presence(lane).state.load(Relaxed)) != State::Vacant {
                return;
            }
            hint::yield_now();
        }
    }

    /// Gives a role up. The caller touches the ring no more.
    pub(crate) fn leave(&self, lane: usize, how: State) {
        let presence = self.presence(lane);
        // Relaxed: own word.
        let word = presence.state.load(Relaxed);
        crash::point("lanes.leaving");
        // CLOSE: everything published before is visible to whoever sees the role given up.
        presence.state.store(with_state(word, how), Release);
        crash::point("lanes.left");
        self.ring_everybody_but(lane);
        self.locks.unlock(lane);
    }

    /// Wakes all other participants: one of them may have to learn that this one is gone.
    fn ring_everybody_but(&self, own: usize) {
        for role in [Role::Producer, Role::Consumer] {
            for lane in self.used_lanes_of(role).filter(|lane| *lane != own) {
                self.presence(lane).bell_for(self.geometry().wakeup).ring(Light::full());
            }
        }
        if self.geometry().kind.is_broadcast() {
            self.lobby().readers.ring(Light::full());
        }
    }

    /// Model only: what the kernel does when the process with that role is gone.
    #[cfg(loom)]
    pub fn drop_lock_of_killed(&self, lane: usize) {
        self.locks.unlock(lane);
    }

    /// Fails once a look at somebody's lock has found that there are none any more: then nobody's death can be known.
    pub(crate) fn check_locks(&self) -> Result<(), Fault> {
        if self.locks.are_there() { Ok(()) } else { Err(Fault::Removed) }
    }

    /// Whether somebody alive has that lane. Not to be asked of one's own.
    pub(crate) fn is_owned(&self, lane: usize) -> bool {
        self.locks.is_held(lane)
    }

    /// The state word of a lane, if it says that its owner is `Live` and its lock says that it is not.
    ///
    /// The word is read on both sides of the probe: an owner that leaves gives up its lock after it has written its new
    /// state, and a successor takes the lock before it does, so the same word twice with a free lock between is a death.
    pub(crate) fn proven_dead(&self, lane: usize) -> Option<u32> {
        let presence = self.presence(lane);
        // DEATH: an owner that is seen live has its lock, as far as the probe can tell.
        let before = presence.state.load(Acquire);
        if !matches!(state_of(before), State::Live | State::Evicted) || self.locks.is_held(lane) {
            return None;
        }
        // Relaxed: DEATH, in the probe, orders it.
        (presence.state.load(Relaxed) == before).then_some(before)
    }

    /// Does something in the name of a lane that nobody alive has, and that nobody can join meanwhile, because its lock is taken for it. `false` if
    /// somebody has the lane. Whoever joins just then finds a lane that is given up, and tries again. A caller that dies meanwhile
    /// leaves the lane as it was, or given up: to begin again must do no harm.
    pub(crate) fn in_place_of(&self, lane: usize, act: impl FnOnce()) -> bool {
        // If the kernel cannot say, somebody has it: the safe side.
        if !matches!(self.locks.try_lock(lane), Ok(true)) {
            return false;
        }
        let state = &self.presence(lane).state;
        // Relaxed: only the holder of the lock writes it, and the lock was taken with TAKEOVER.
        let word = state.load(Relaxed);
        if state_of(word) == State::Live {
            // Relaxed: nothing is read through it.
            state.store(with_state(word, State::Detached), Relaxed);
        }
        crash::point("lanes.replaced");
        act();
        // Relaxed: as above. That its owner died stays to be seen.
        state.store(word, Relaxed);
        self.locks.unlock(lane);
        true
    }

    /// Tells the owner of a lane, whose state word is `word`, that it is too slow. `false` if it has left meanwhile, or was succeeded.
    pub(crate) fn evict(&self, lane: usize, word: u32) -> bool {
        let state = &self.presence(lane).state;
        // Relaxed: the fence that the producer runs before it overwrites anything orders it (LAP).
        state_of(word) == State::Live
            && state.compare_exchange(word, with_state(word, State::Evicted), Relaxed, Relaxed).is_ok()
    }

    /// Whether the owner of a lane was evicted from a broadcast ring by its producer.
    #[must_use]
    pub fn is_evicted(&self, lane: usize) -> bool {
        // Relaxed: for people.
        state_of(self.presence(lane).state.load(Relaxed)) == State::Evicted
    }

    /// What the owner of a lane is now.
    #[must_use]
    pub fn peer_state(&self, lane: usize) -> Peer {
        let presence = self.presence(lane);
        // Relaxed: for people.
        let pid = presence.pid.load(Relaxed);
        // CLOSE: whoever reads `Closed` here may go on to read the final cursor. PROMISE: who reads `Live`, what its owner was promised.
        match state_of(presence.state.load(Acquire)) {
            State::Vacant => Peer::Vacant,
            State::Detached => Peer::Detached,
            State::Closed => Peer::Closed,
            State::Live | State::Evicted if self.proven_dead(lane).is_some() => Peer::Dead { pid },
            State::Live | State::Evicted => Peer::Live { pid },
        }
    }

    /// Whether the stream has ended and everything of it was received: nobody can want this ring any more.
    ///
    /// A producer that died without closing ends the stream only for those who have just `left`: a new participant may be its
    /// successor. A consumer must have been there: what nobody has come for yet, even an empty stream, stays.
    #[cfg(not(loom))]
    pub(crate) fn is_over(&self, left: bool) -> bool {
        if self.geometry().kind.is_primitive() {
            return crate::sync::is_over(self, left);
        }
        let producers: Vec<Peer> = self.used_lanes_of(Role::Producer).map(|lane| self.peer_state(lane)).collect();
        let producers_finished = producers.iter().all(|producer| match producer {
            Peer::Closed => true,
            Peer::Dead { .. } => left,
            Peer::Vacant | Peer::Live { .. } | Peer::Detached => false,
        });
        let consumers: Vec<Peer> = self.used_lanes_of(Role::Consumer).map(|lane| self.peer_state(lane)).collect();
        let consumers_finished = consumers.iter().all(|consumer| match consumer {
            Peer::Closed | Peer::Detached | Peer::Dead { .. } => true,
            Peer::Vacant | Peer::Live { .. } => false,
        });
        // Relaxed: a reader that comes just now may be missed, as if it came a moment later.
        let somebody_came = !consumers.is_empty() || self.lobby().visited.load(Relaxed) != 0;
        !producers.is_empty() && somebody_came && producers_finished && consumers_finished && self.is_received()
    }

    /// Whether nothing is left to receive, now that nobody takes part any more.
    #[cfg(not(loom))]
    fn is_received(&self) -> bool {
        // Relaxed: final by now, and visible: CLOSE or DEATH, in `peer_state`, saw to that.
        let cursor = |role| self.lane(self.lanes_of(role).start).cursor.load(Relaxed);
        match self.geometry().kind {
            Kind::SpscSlots | Kind::SpscRecords => cursor(Role::Producer) == cursor(Role::Consumer),
            Kind::MpmcSlots | Kind::MpmcBytes => crate::mpmc::is_received(self),
            // Every reader that wanted something is gone.
            Kind::BroadcastSlots | Kind::BroadcastRecords | Kind::Latest | Kind::Frames => true,
            // Nothing is sent.
            Kind::Mutex | Kind::RwLock | Kind::Condvar | Kind::Barrier | Kind::Once => true,
        }
    }
}
