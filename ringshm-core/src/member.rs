//! What every participant of every ring has: a lane of its own in memory that it keeps alive, a way to behave, and a way to leave.
//!
//! # Safety
//! The lane pointer leads into the `Memory` that the member keeps alive.

#![allow(unsafe_code, reason = "a lane pointer kept beside the memory it leads into, to spare the hot path two steps")]

use crate::broadcast::{OnSlowReader, Start};
use crate::error::{Fault, OpenError};
use crate::frames::Delivery;
use crate::lanes::{Role, State};
use crate::layout::Lane;
use crate::memory::Memory;
use core::ptr::NonNull;
use ringshm_sync::barrier::Light;
use ringshm_sync::wait::Wait;
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
    /// Wait for the process that takes over, and never ask the kernel whether somebody is alive: leave that to other participants. For a
    /// thread that may make no system call. What others must do for it: bury what a dead producer of an MPMC ring had claimed, and take
    /// over what a dead consumer held; until then it is `Stalled` there. A broadcast ring's producer goes on past a
    /// dead lossless consumer only by evicting it ([`OnSlowReader::Evict`]).
    LeaveToOthers,
}

/// Whether a ring is to lie in huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// They are not asked for.
    #[default]
    Never,
    /// Where the machine gives them; otherwise small ones do. [`Resident::pages`](crate::os::Resident::pages) says what was got, and why not more.
    Try,
    /// Nothing else will do: otherwise joining fails, with the reason.
    Require,
}

/// What a participant asks of the pages of a ring, before it takes part. The memory itself is there from the start: a ring is
/// allocated whole when it is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Residency {
    /// Enter all pages into this process's page table now, and not one by one when they are first touched.
    pub prefault: bool,
    /// Keep them from being swapped out, which shared memory may be like any other. Prefaults, too.
    pub lock: bool,
    /// Whether they are to be huge, as far as whole huge ones fit into the ring. They are made with the ring, and who joins it uses what there is. Prefaults,
    /// too.
    pub huge_pages: HugePages,
    /// The NUMA node that the memory of a ring that this participant makes comes from. A ring that exists stays where it is.
    pub numa_node: Option<u32>,
}

impl Residency {
    /// Nothing in particular.
    pub const NONE: Self = Self { prefault: false, lock: false, huge_pages: HugePages::Never, numa_node: None };

    /// As much of it as concerns the memory itself, and not one participant's mapping of it.
    #[must_use]
    pub const fn of_the_memory(self) -> Self {
        Self { prefault: false, lock: false, ..self }
    }
}

/// How a participant behaves: chosen when it joins, private to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    /// How blocking calls wait.
    pub wait: Wait,
    /// What happens when the other side dies.
    pub on_death: OnDeath,
    /// Where a reader of a broadcast ring begins.
    pub start: Start,
    /// What a consumer of frames takes.
    pub delivery: Delivery,
    /// How many frames a consumer holds at once; `None`: two, or one where there is no room for two.
    pub most_held: Option<u32>,
    /// How many frames beside the newest their producer leaves to who comes late, as long as it has other slots; `None`: all.
    pub history: Option<u32>,
    /// What a broadcast ring's producer does about a consumer that holds it up.
    pub on_slow_reader: OnSlowReader,
    /// What becomes of the pages of its mapping.
    pub residency: Residency,
    /// Whether guards may refer to shared memory. Always so on the heap.
    trusts_peers: bool,
}

impl Behaviour {
    /// A participant that waits and bears the other side's death like this, and trusts nobody.
    #[must_use]
    pub const fn new(wait: Wait, on_death: OnDeath) -> Self {
        Self {
            wait,
            on_death,
            start: Start::Oldest,
            delivery: Delivery::EveryFrame,
            most_held: None,
            history: None,
            on_slow_reader: OnSlowReader::Wait,
            residency: Residency::NONE,
            trusts_peers: false,
        }
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

/// A participant, as long as it takes part. Dropping it gives the lane up.
#[derive(Debug)]
pub(crate) struct Member {
    memory: Arc<Memory>,
    role: Role,
    lane: usize,
    own: NonNull<Lane>,
    light: Light,
    pub(crate) behaviour: Behaviour,
    how_to_leave: State,
    #[cfg(not(loom))]
    birthplace: Birthplace,
}

// SAFETY: the lane pointer leads into `memory`, which is `Send` and `Sync`, and behind it are only atomics.
unsafe impl Send for Member {}
// SAFETY: through a shared reference one reaches that memory and what never changes.
unsafe impl Sync for Member {}

impl Member {
    /// A participant that has joined `memory` in `role`, in `lane`.
    pub(crate) fn new(memory: Arc<Memory>, role: Role, lane: usize, behaviour: Behaviour) -> Self {
        Self {
            role,
            lane,
            own: NonNull::from(memory.lane(lane)),
            light: Light::register(),
            behaviour,
            how_to_leave: State::Closed,
            #[cfg(not(loom))]
            birthplace: Birthplace::here(),
            memory,
        }
    }

    /// Takes a role of a ring whose memory is at hand, as process `pid` at the time `since`.
    pub(crate) fn join(
        memory: Arc<Memory>,
        role: Role,
        behaviour: Behaviour,
        pid: u32,
        since: u64,
    ) -> Result<Self, OpenError> {
        let lane = memory.join(role, pid, since)?;
        Ok(Self::new(memory, role, lane, behaviour))
    }

    #[inline(always)]
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn shared(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// The index of its lane.
    pub(crate) fn lane(&self) -> usize {
        self.lane
    }

    #[inline(always)]
    pub(crate) fn own(&self) -> &Lane {
        // SAFETY: leads into `memory`, which this value keeps alive.
        unsafe { self.own.as_ref() }
    }

    /// The mode in which it rings bells.
    #[inline(always)]
    pub(crate) fn light(&self) -> Light {
        self.light
    }

    /// Whether guards may refer to the ring's own memory.
    pub(crate) fn trusts_peers(&self) -> bool {
        self.behaviour.trusts_peers || !self.memory.is_shared_with_processes()
    }

    /// Whether this handle came here through `fork`: it must touch nothing.
    #[inline(always)]
    pub(crate) fn is_forked(&self) -> bool {
        #[cfg(not(loom))]
        return self.birthplace.is_elsewhere();
        #[cfg(loom)]
        return false;
    }

    #[inline(always)]
    pub(crate) fn refuse_forked(&self) -> Result<(), Fault> {
        if self.is_forked() { Err(Fault::Forked) } else { Ok(()) }
    }

    /// Whether it may ask the kernel who is alive, which takes a system call.
    pub(crate) fn may_ask(&self) -> bool {
        self.behaviour.on_death != OnDeath::LeaveToOthers
    }

    /// Chooses to leave the role to a successor instead of closing the ring.
    pub(crate) fn will_detach(&mut self) {
        self.how_to_leave = State::Detached;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        self.memory.leave(self.lane, self.how_to_leave);
        #[cfg(not(loom))]
        crate::attach::retire_if_over(&self.memory);
    }
}
