//! How a reader takes part: with a lane that gates the producer, or without.

use super::view::Gone;
use crate::error::Fault;
use crate::lanes::{State, state_of};
use crate::layout::Lane;
use crate::member::{Behaviour, Member};
use crate::memory::Memory;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use ringshm_sync::atomic::fence;
use ringshm_sync::crash;
use std::sync::Arc;

/// How a reader of a broadcast ring takes part: [`Lossless`] or [`Lossy`].
pub trait Seat: private::Seat {}

impl Seat for Lossless {}
impl Seat for Lossy {}

/// A reader with a lane, which the producer waits for.
#[derive(Debug)]
pub struct Lossless {
    member: Member,
    /// The state word of its lane, as long as it takes part.
    word: u32,
}

/// A reader that writes nothing, and that nobody waits for.
#[derive(Debug)]
pub struct Lossy {
    memory: Arc<Memory>,
    behaviour: Behaviour,
}

/// Comes to read `memory` without a lane.
pub(crate) fn visit(memory: Arc<Memory>, behaviour: Behaviour) -> Lossy {
    // Relaxed: read by those who leave, to know whether anybody came.
    memory.lobby().visited.store(1, Relaxed);
    Lossy { memory, behaviour }
}

pub(crate) mod private {
    use super::{Arc, Behaviour, Fault, Gone, Lane, Memory};

    /// What the two kinds of readers do differently. `feed` is the producer's lane.
    pub trait Seat: core::fmt::Debug {
        /// Whether the producer waits for it.
        const GATES: bool;

        fn memory(&self) -> &Memory;

        fn shared(&self) -> &Arc<Memory>;

        fn behaviour(&self) -> &Behaviour;

        /// Keeps everything from `position` on, or as much of it as can be kept, from being overwritten. Returns how far that
        /// is: the producer's reach, less the capacity.
        fn settle(&self, feed: &Lane, position: u64, capacity: u64) -> u64;

        /// Whether what was copied from `position` was whole. To be asked after copying, and before anything is made of it.
        fn holds(&self, feed: &Lane, position: u64, capacity: u64) -> bool;

        /// Gives up what lies before `position`.
        fn release(&self, feed: &Lane, position: u64);

        /// Whether this handle must not go on, and why.
        fn check(&self) -> Result<(), Gone>;

        /// As [`check`](Self::check), for a fork only.
        fn is_forked(&self) -> bool;

        /// What the cursor may be at most, seen from what this reader has released; `None` if it may be anywhere.
        fn bound(&self, released: u64, capacity: u64) -> Option<u64>;

        /// Counts messages that it missed.
        fn count_lost(&self, count: u64);

        /// Its own lane.
        fn lane(&self) -> Option<&Lane>;

        /// A fault, if this handle may not be used here.
        fn refuse_forked(&self) -> Result<(), Fault> {
            if self.is_forked() { Err(Fault::Forked) } else { Ok(()) }
        }
    }
}

impl Lossless {
    pub(crate) fn new(member: Member) -> Self {
        // Relaxed: own word.
        let word = member.own().presence.state.load(Relaxed);
        Self { member, word }
    }

    pub(crate) fn member_mut(&mut self) -> &mut Member {
        &mut self.member
    }

    /// The index of its lane.
    #[must_use]
    pub fn lane(&self) -> usize {
        self.member.lane()
    }

    #[cold]
    #[inline(never)]
    fn wake_producer(&self, feed: &Lane) {
        feed.presence.bell_for(self.member.memory().geometry().wakeup).ring_attentively();
    }

    #[inline(always)]
    fn is_seated(&self) -> bool {
        // Relaxed: to know of it a moment later is to be evicted a moment later; after copying, the fence in `holds` (LAP) orders it.
        self.member.own().presence.state.load(Relaxed) == self.word
    }
}

impl private::Seat for Lossless {
    const GATES: bool = true;

    #[inline(always)]
    fn memory(&self) -> &Memory {
        self.member.memory()
    }

    fn shared(&self) -> &Arc<Memory> {
        self.member.shared()
    }

    #[inline(always)]
    fn behaviour(&self) -> &Behaviour {
        &self.member.behaviour
    }

    fn settle(&self, feed: &Lane, position: u64, capacity: u64) -> u64 {
        // Relaxed: the fence below orders it.
        self.member.own().cursor.store(position, Relaxed);
        let first = self.member.memory().lanes_of(crate::Role::Consumer).start;
        // Relaxed: as above.
        feed.joined.fetch_or(1 << (self.member.lane() - first), Relaxed);
        crash::point("broadcast.joined");
        // JOIN: the gate, and the lane itself, before the look at the reach.
        fence(SeqCst);
        // JOIN: how far the producer may get before a look that sees the gate. PUBLISH: the cursor from before that reach.
        feed.reach.load(Acquire).wrapping_sub(capacity)
    }

    #[inline(always)]
    fn holds(&self, _feed: &Lane, _position: u64, _capacity: u64) -> bool {
        // LAP: who has read anything that was written after its eviction sees the eviction.
        fence(Acquire);
        self.is_seated()
    }

    #[inline(always)]
    fn release(&self, feed: &Lane, position: u64) {
        crash::point("broadcast.read");
        // RELEASE: all reads before the gate are done when the producer loads it.
        // weaken: unmodelled, because in the model no load takes the value of a store that comes after it.
        self.member.own().cursor.store(position, Release);
        crash::point("broadcast.released");
        if feed.presence.bell.may_be_awaited(self.member.light()) {
            self.wake_producer(feed);
        }
    }

    fn check(&self) -> Result<(), Gone> {
        if self.member.is_forked() {
            return Err(Gone::Forked);
        }
        if self.is_seated() { Ok(()) } else { Err(Gone::Evicted) }
    }

    #[inline(always)]
    fn is_forked(&self) -> bool {
        self.member.is_forked()
    }

    fn bound(&self, released: u64, capacity: u64) -> Option<u64> {
        Some(released.wrapping_add(capacity))
    }

    fn count_lost(&self, count: u64) {
        crate::layout::Counters::add(&self.member.own().counters.lost, count);
    }

    fn lane(&self) -> Option<&Lane> {
        Some(self.member.own())
    }
}

impl private::Seat for Lossy {
    const GATES: bool = false;

    #[inline(always)]
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn shared(&self) -> &Arc<Memory> {
        &self.memory
    }

    #[inline(always)]
    fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    fn settle(&self, feed: &Lane, _position: u64, capacity: u64) -> u64 {
        // PUBLISH: the cursor from before that reach.
        feed.reach.load(Acquire).wrapping_sub(capacity)
    }

    #[inline(always)]
    fn holds(&self, feed: &Lane, position: u64, capacity: u64) -> bool {
        // LAP: who has read anything that was written after the producer announced its reach sees that reach, or a later one.
        fence(Acquire);
        // Relaxed: the fence above orders it.
        feed.reach.load(Relaxed).wrapping_sub(position) <= capacity
    }

    #[inline(always)]
    fn release(&self, _feed: &Lane, _position: u64) {}

    fn check(&self) -> Result<(), Gone> {
        Ok(())
    }

    #[inline(always)]
    fn is_forked(&self) -> bool {
        false
    }

    fn bound(&self, _released: u64, _capacity: u64) -> Option<u64> {
        None
    }

    fn count_lost(&self, _count: u64) {}

    fn lane(&self) -> Option<&Lane> {
        None
    }
}

impl Lossy {
    /// For readers of other kinds of rings.
    #[inline(always)]
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn shared(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub(crate) fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }
}

/// Whether a state word is that of a reader that gates.
pub(crate) fn gates(word: u32) -> bool {
    state_of(word) == State::Live
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::broadcast::Broadcast;
    use crate::message::{Message, Wishes, consumer_in};

    #[test]
    fn who_joins_a_lane_is_not_evicted_for_the_one_before() {
        let wishes = Wishes { capacity: Some(4), ..Wishes::default() };
        let memory = Memory::on_heap(Broadcast::<u64>::geometry(&wishes).expect("a small ring"));
        let join = || consumer_in::<Broadcast<u64>>(&memory, Behaviour::default()).expect("a free lane");
        let slow = join();
        let lane = slow.lane();
        // Relaxed: one thread.
        let word = memory.presence(lane).state.load(Relaxed);
        drop(slow);
        assert!(!memory.evict(lane, word), "it has left");
        let next = join();
        assert_eq!(next.lane(), lane);
        assert!(!memory.evict(lane, word));
        assert!(!memory.is_evicted(lane));
        // Relaxed: one thread.
        assert!(memory.evict(lane, memory.presence(lane).state.load(Relaxed)));
        assert!(memory.is_evicted(lane));
    }
}
