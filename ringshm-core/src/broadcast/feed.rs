//! The producer of a broadcast ring, over positions.

use super::seat::gates;
use super::{Eviction, OnSlowReader};
use crate::error::{Blocked, OpenError, Stop};
use crate::lanes::Role;
use crate::layout::{Counters, MAX_LANES};
use crate::ledger::Tally;
use crate::member::Member;
use crate::position::{is_whole, is_within};
use core::fmt;
use core::time::Duration;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use ringshm_sync::atomic::fence;
use ringshm_sync::barrier::Light;
use ringshm_sync::bell::OwnBell;
use ringshm_sync::crash;
use ringshm_sync::time::{Deadline, Ration, Stopwatch};
use ringshm_sync::wait::{Exchanged, Pace, Wait, Waiter};

/// How long a reader may hold the producer up before it is asked whether it is alive; and the least time between two such questions.
const PATIENCE: Duration = Duration::from_millis(1);
/// The producer looks at its readers as many times a lap, at least.
const LOOKS: u64 = 8;

/// The sending side. Owned by one thread at a time; every call is on `&mut self`.
pub(crate) struct Feed {
    member: Member,
    capacity: u64,
    /// Units from one look at the readers to the next.
    step: u64,
    /// Everything before it is written. Private until published.
    tail: u64,
    /// Everything before it is published: the lane's cursor, which is never read back.
    published: u64,
    /// May be written up to here without a look. At most the reach, and what the readers' gates allow.
    limit: u64,
    /// Cursors are multiples of it.
    unit: u64,
    /// Where a claim was refused last, and of how many units.
    refused: (u64, u64),
    /// Whether the last look found less room than goes by between two looks.
    is_gated: bool,
    /// The reach that the last producer left behind: it may have written up to there.
    inherited: u64,
    /// For each consumer lane, the state word of an owner that is dead. 0 is nobody's.
    dead: [u32; MAX_LANES as usize],
    hold_up: Option<HoldUp>,
    probes: Ration,
    pace: Pace,
    on_eviction: Option<Box<dyn FnMut(Eviction) + Send>>,
}

/// A reader whose gate the producer has come to.
#[derive(Clone, Copy, Debug)]
struct HoldUp {
    gate: Gate,
    since: Stopwatch,
}

/// A gate, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gate {
    /// Of the consumers' lanes, the first being 0.
    index: usize,
    /// Its state word.
    word: u32,
    position: u64,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("member", &self.member)
            .field("tail", &self.tail)
            .field("published", &self.published)
            .field("limit", &self.limit)
            .field("hold_up", &self.hold_up)
            .finish_non_exhaustive()
    }
}

impl Feed {
    /// Goes on where the last producer stopped publishing. Cursors are multiples of `unit`, a power of two.
    pub(crate) fn resume(member: Member, unit: u64) -> Result<Self, OpenError> {
        let capacity = member.memory().geometry().capacity;
        let own = member.own();
        // Relaxed: the predecessor's, whose lock was taken over (TAKEOVER).
        let published = own.cursor.load(Relaxed);
        // Relaxed: as above.
        let inherited = own.reach.load(Relaxed);
        // Relaxed: as above.
        let begun = own.counters.begun.load(Relaxed);
        let last = published.wrapping_add(capacity);
        if !is_whole(published, unit) {
            return Err(OpenError::Corrupt { field: "producer cursor" });
        }
        if !is_within(published, inherited, last) || !is_within(published, begun, last) {
            return Err(OpenError::Corrupt { field: "producer reach" });
        }
        if begun != published {
            Counters::add(&own.counters.torn, 1);
            // Relaxed: for the next owner of the lane.
            own.counters.begun.store(published, Relaxed);
        }
        if member.behaviour.wait == Wait::Park {
            own.presence.bell.ask_for_fences();
        }
        Ok(Self {
            capacity,
            step: (capacity / LOOKS).max(unit),
            tail: published,
            published,
            limit: published,
            unit,
            refused: (published, unit),
            is_gated: false,
            inherited,
            dead: [0; MAX_LANES as usize],
            hold_up: None,
            probes: Ration::default(),
            pace: Pace::new(),
            on_eviction: None,
            member,
        })
    }

    /// Gives the position from which `units` may be written, if there is room for them. The caller writes them next. Where that
    /// [must look](Self::must_look), it has published what it wrote before.
    #[inline(always)]
    pub(crate) fn claim(&mut self, units: u64) -> Result<u64, Blocked> {
        if self.must_look(units) {
            self.look(units, true).inspect_err(|_| self.refused = (self.tail, units))?;
        }
        Ok(self.begin(units))
    }

    /// Whether the claim that was refused last would not be refused again for want of room; or any claim, if something was written since.
    pub(crate) fn is_ready(&mut self) -> bool {
        let units = if self.refused.0 == self.tail { self.refused.1 } else { self.unit };
        !self.must_look(units) || self.look(units, true) != Err(Blocked::NotReady)
    }

    /// As [`claim`](Self::claim), and waits for the room. The caller has published what it wrote before.
    #[inline(always)]
    pub(crate) fn claim_by(&mut self, units: u64, exchanged: Exchanged, deadline: Deadline) -> Result<u64, Stop> {
        if self.must_look(units) {
            self.look_or_wait(units, exchanged, deadline)?;
        }
        Ok(self.begin(units))
    }

    /// As [`claim`](Self::claim), of up to `units`, but no more than go between two looks. Returns how many.
    #[inline(always)]
    pub(crate) fn claim_up_to(&mut self, units: u64) -> Result<(u64, u64), Blocked> {
        let units = units.min(self.step);
        if self.must_look(units) {
            match self.look(units, true) {
                Err(Blocked::NotReady) if self.room() > 0 => {}
                result => result?,
            }
        }
        let units = units.min(self.room());
        Ok((self.begin(units), units))
    }

    /// Whether a claim of `units` begins with a look at the readers.
    #[inline(always)]
    pub(crate) fn must_look(&self, units: u64) -> bool {
        self.room() < units || self.member.is_forked()
    }

    /// Units that can certainly be claimed.
    #[inline(always)]
    pub(crate) fn room(&self) -> u64 {
        self.limit.wrapping_sub(self.tail)
    }

    #[inline(always)]
    fn begin(&self, units: u64) -> u64 {
        // Relaxed: for a successor, which takes it over together with the lane. On a line that nobody else reads.
        self.member.own().counters.begun.store(self.tail.wrapping_add(units), Relaxed);
        crash::point("broadcast.claimed");
        self.tail
    }

    /// Counts `units` that were claimed as written. The readers do not see them yet.
    #[inline(always)]
    pub(crate) fn advance(&mut self, units: u64) {
        self.tail = self.tail.wrapping_add(units);
    }

    /// Lets the readers see everything written, and wakes those that sleep.
    #[inline(always)]
    pub(crate) fn publish(&mut self) {
        if self.published == self.tail {
            return;
        }
        self.published = self.tail;
        crash::point("broadcast.written");
        // PUBLISH: all words before the cursor are visible to the reader that loads it.
        self.member.own().cursor.store(self.tail, Release);
        crash::point("broadcast.published");
        self.member.memory().ring_readers(self.member.light());
    }

    /// As [`publish`](Self::publish), for rings whose positions do not count messages.
    #[inline(always)]
    pub(crate) fn publish_counted(&mut self, tally: &mut Tally) {
        if self.published != self.tail {
            self.member.own().ledger.mark(tally, self.tail);
            self.publish();
        }
    }

    /// Says how far it may write until its next look, and looks how far the readers let it.
    #[cold]
    #[inline(never)]
    fn look(&mut self, units: u64, thorough: bool) -> Result<(), Blocked> {
        self.member.refuse_forked()?;
        loop {
            let slowest = self.survey(units);
            if self.room() >= units {
                self.hold_up = None;
                return Ok(());
            }
            match slowest {
                Some(gate) if thorough && self.is_rid_of(gate) => {}
                _ => {
                    self.member.memory().check_locks()?;
                    return Err(Blocked::NotReady);
                }
            }
        }
    }

    /// Sets the limit. Returns the gate that is furthest behind.
    fn survey(&mut self, units: u64) -> Option<Gate> {
        let units = units.max(self.step);
        self.announce(units);
        crash::point("broadcast.reached");
        // JOIN: a reader whose gate the look below misses sees the reach.
        // LAP: who reads anything that is written from now on sees it too, or the eviction that led to this look.
        fence(SeqCst);
        let slowest = self.furthest_behind();
        let behind = slowest.map_or(0, |gate| self.tail.wrapping_sub(gate.position));
        let room = self.capacity.saturating_sub(behind);
        self.limit = self.tail.wrapping_add(units.min(room));
        self.is_gated = room < units;
        if self.is_gated {
            // Lossy readers may read on for longer; gates hold from here on, so joining readers lose nothing by it.
            self.announce(room);
        }
        slowest
    }

    /// Says that it may write `units` beyond the tail. That is never less far than the last producer, which may have died while it was
    /// writing there: what it spoiled stays spoiled.
    fn announce(&self, units: u64) {
        let inherited = self.inherited.wrapping_sub(self.tail);
        let units = if inherited <= self.capacity { units.max(inherited) } else { units };
        // PUBLISH: the cursor, to a reader that compares the reach with it. The fence of the look does the rest.
        self.member.own().reach.store(self.tail.wrapping_add(units), Release);
    }

    fn furthest_behind(&self) -> Option<Gate> {
        let memory = self.member.memory();
        let lanes = memory.lanes_of(Role::Consumer);
        // Relaxed: JOIN's fence before it orders it.
        let mut joined = self.member.own().joined.load(Relaxed);
        let mut slowest: Option<Gate> = None;
        while joined != 0 {
            let index = joined.trailing_zeros() as usize;
            joined &= joined - 1;
            if index >= lanes.len() {
                break;
            }
            let lane = memory.lane(lanes.start + index);
            // CLOSE: a reader that has left is done with all its reads.
            // weaken: unmodelled, because in the model no load takes the value of a store that comes after it.
            let word = lane.presence.state.load(Acquire);
            if !gates(word) || self.dead[index] == word {
                continue;
            }
            // RELEASE: the reader is done with everything before its gate, so it may be overwritten.
            // weaken: unmodelled, because in the model no load takes the value of a store that comes after it.
            let position = lane.cursor.load(Acquire);
            let is_ahead = position.wrapping_sub(self.tail).wrapping_sub(1) < u64::MAX / 2;
            let is_behind_slowest = slowest
                .is_none_or(|slowest| self.tail.wrapping_sub(position) > self.tail.wrapping_sub(slowest.position));
            // A gate in front of the producer is no honest reader's: whoever set it is not waited for.
            if !is_ahead && is_behind_slowest {
                slowest = Some(Gate { index, word, position });
            }
        }
        slowest
    }

    /// After a look that found too little room because of `gate`: whether there is reason to look again at once.
    fn is_rid_of(&mut self, gate: Gate) -> bool {
        let since = match self.hold_up {
            Some(hold_up) if hold_up.gate == gate => hold_up.since,
            _ => {
                let since = Stopwatch::start();
                self.hold_up = Some(HoldUp { gate, since });
                since
            }
        };
        let memory = self.member.memory();
        let lane = memory.lanes_of(Role::Consumer).start + gate.index;
        if self.member.may_ask()
            && since.has_run(PATIENCE)
            && self.probes.is_due(PATIENCE)
            && memory.proven_dead(lane).is_some_and(|word| word == gate.word)
        {
            self.dead[gate.index] = gate.word;
            return true;
        }
        match self.member.behaviour.on_slow_reader {
            OnSlowReader::Evict { after } if since.has_run(after) => {
                if memory.evict(lane, gate.word) {
                    crash::point("broadcast.evicted");
                    self.report_eviction(lane, gate);
                }
                true
            }
            _ => false,
        }
    }

    fn report_eviction(&mut self, lane: usize, gate: Gate) {
        Counters::add(&self.member.own().counters.evicted, 1);
        // It may sleep, with nothing more to come for it.
        self.member.memory().ring_readers(Light::full());
        // Relaxed: for people.
        let pid = self.member.memory().presence(lane).pid.load(Relaxed);
        if let Some(report) = &mut self.on_eviction {
            report(Eviction { lane, pid, lag: self.tail.wrapping_sub(gate.position) });
        }
    }

    /// Where it sleeps.
    fn bell(&self) -> OwnBell<'_> {
        self.member.own().presence.bell_for(self.member.memory().geometry().wakeup)
    }

    #[cold]
    #[inline(never)]
    fn look_or_wait(&mut self, units: u64, exchanged: Exchanged, deadline: Deadline) -> Result<(), Stop> {
        if self.is_gated {
            self.pace.begin(exchanged, self.tail, self.capacity, self.member.behaviour.wait);
        }
        if self.look_for(units, false)? {
            return Ok(());
        }
        let mut waiter = Waiter::new(self.member.behaviour.wait, deadline, &self.pace);
        let outcome = loop {
            // A wait that was over before it began still says whether the reader is gone.
            let is_over = waiter.pause(&self.bell()).is_err();
            match self.look_for(units, is_over || waiter.is_unhurried()) {
                Ok(true) => break Ok(()),
                Ok(false) if is_over => break Err(Stop::TimedOut),
                Ok(false) => {}
                Err(stop) => break Err(stop),
            }
        };
        waiter.finish(&self.bell());
        if outcome.is_ok() {
            self.pace.end(&waiter);
        }
        outcome
    }

    fn look_for(&mut self, units: u64, thorough: bool) -> Result<bool, Stop> {
        match self.look(units, thorough) {
            Ok(()) => Ok(true),
            Err(Blocked::Fault(fault)) => Err(Stop::Fault(fault)),
            Err(Blocked::NotReady | Blocked::Stalled(_) | Blocked::Disconnected) => Ok(false),
        }
    }

    /// Takes over the message count of the last producer.
    pub(crate) fn tally(&self) -> Result<Tally, OpenError> {
        self.member.own().ledger.resume(self.published).ok_or(OpenError::Corrupt { field: "producer ledger" })
    }

    /// What to call for each eviction.
    pub(crate) fn on_eviction(&mut self, report: Box<dyn FnMut(Eviction) + Send>) {
        self.on_eviction = Some(report);
    }

    /// How far the furthest of the lossless readers is behind, in units.
    pub(crate) fn lag(&self) -> u64 {
        self.furthest_behind().map_or(0, |gate| self.tail.wrapping_sub(gate.position).min(self.capacity))
    }

    /// The position that is written next.
    #[inline(always)]
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    #[inline(always)]
    pub(crate) fn member(&self) -> &Member {
        &self.member
    }

    pub(crate) fn member_mut(&mut self) -> &mut Member {
        &mut self.member
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if !self.member.is_forked() && self.tail == self.published {
            // Nothing was begun, and nothing will be by this producer: readers that come now find the whole ring.
            self.announce(0);
        }
    }
}
