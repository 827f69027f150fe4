//! What an MPMC ring's survivors do about claims whose owners are gone.
//!
//! | found | by | meaning | done |
//! |---|---|---|---|
//! | `Free` p, tail beyond p | who needs p's message | its producer is writing it, or dead | dead: `Tombstone` p |
//! | `Tombstone` p | who comes to it | nothing to read | `head` on, then `Free` p + N |
//! | `Message` of p, head beyond p | who needs p's slot, or has nothing else to do | its consumer is reading it, or dead | dead: taken over by a consumer, or dropped |
//!
//! Each of these is one compare-and-swap from the word that was seen, so two survivors cannot both succeed, and one that is
//! killed before or after it leaves a state of this table. Who takes a message over announces it first, as with any claim; if it dies
//! with it, the next one takes it over, with one death more in the word.
//!
//! A claim is *held* while a lane that announces it has a living owner. Nobody asks for that before a position has stood still
//! for [`PATIENCE`]: the probe is a system call, and a holder that was only preempted is usually back by then. A holder that is
//! alive, however long it stands still, is reported ([`Stall`]) and never robbed: it may go on any time. Who leaves the asking
//! to others takes every holder for alive.

use super::{Claim, Claimed, Found, Ring, SlotWord, Unfinished};
use crate::error::{Blocked, Stall};
use crate::lanes::{Role, State, state_of};
use crate::layout::Counters;
use crate::member::OnDeath;
use core::time::Duration;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::crash;
use ringshm_sync::hint;
use ringshm_sync::time::Stopwatch;

/// How long a claim may stand still before it is asked whether its owner is alive.
const PATIENCE: Duration = Duration::from_millis(1);
/// Looks at a claim that stands still before the core is given away: some microseconds, most claims take a tenth of one.
const LOOKS: u32 = if cfg!(loom) { 0 } else { 128 };

/// A claim that stands still in this handle's way.
#[derive(Clone, Copy, Debug)]
pub(super) struct HoldUp {
    position: u64,
    role: Role,
    since: Stopwatch,
}

/// Who announces a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// Nobody, or only the dead, the last of whom had this lane.
    Gone(Option<usize>),
    /// A participant that is alive, or was not asked whether it is.
    Lane(usize),
}

impl Ring {
    /// The position is claimed by a producer, and its slot still `Free`, as `word`. `Ok` if that has changed.
    pub(super) fn await_producer(&mut self, position: u64, word: SlotWord) -> Result<(), Blocked> {
        match self.await_holder(position, word, Role::Producer)? {
            None => Ok(()),
            Some(_) => {
                self.bury(position);
                Ok(())
            }
        }
    }

    /// The position is claimed by a consumer, and its message still in its slot, as `word`. `Ok` if that has changed.
    pub(super) fn await_consumer(&mut self, position: u64, word: SlotWord) -> Result<(), Blocked> {
        let Some((dead, waited)) = self.await_holder(position, word, Role::Consumer)? else { return Ok(()) };
        if self.member.memory().geometry().is_at_most_once {
            self.drop_message(position, word);
            return Ok(());
        }
        if self.peers_are_gone() {
            return Err(Blocked::Disconnected);
        }
        // A consumer must take it over. One that sleeps looks when it is woken.
        self.call_consumers(u64::MAX);
        let lane = dead.unwrap_or(self.member.lane());
        Err(Blocked::Stalled(self.stall(lane, waited)))
    }

    /// Gives the holder of a claim a moment. `None` if the slot's word has changed. Otherwise the lane of the holder, who is dead, and how
    /// long that has lasted.
    #[allow(clippy::type_complexity, reason = "two answers of one question")]
    fn await_holder(
        &mut self,
        position: u64,
        word: SlotWord,
        role: Role,
    ) -> Result<Option<(Option<usize>, Duration)>, Blocked> {
        let mut looks = 0_u32;
        let waited = loop {
            // Relaxed: the caller looks again.
            if self.word(position).load(Relaxed) != word.word() {
                self.hold_up = None;
                return Ok(None);
            }
            if looks != LOOKS {
                looks += 1;
                hint::pause(1);
                continue;
            }
            let since = match self.hold_up {
                Some(known) if known.position == position && known.role == role => known.since,
                _ => Stopwatch::start(),
            };
            self.hold_up = Some(HoldUp { position, role, since });
            // Nobody who announces it: no need to ask the kernel.
            if since.has_run(PATIENCE) || matches!(self.holder(position, role, false), Holder::Gone(_)) {
                break since.elapsed();
            }
            self.member.behaviour.wait.give_way();
        };
        match self.holder(position, role, true) {
            Holder::Lane(lane) => Err(Blocked::Stalled(self.stall(lane, waited))),
            Holder::Gone(lane) => {
                // Relaxed: FINISH or DEATH made what the holder did last visible.
                let now = self.word(position).load(Relaxed);
                Ok((now == word.word()).then_some((lane, waited)))
            }
        }
    }

    fn stall(&self, lane: usize, waited: Duration) -> Stall {
        // Relaxed: for people.
        Stall { lane, pid: self.member.memory().lane(lane).presence.pid.load(Relaxed), waited }
    }

    /// Who announces a position that the caller has seen claimed (ANNOUNCE). With `probe`, the dead do not count, if this participant may ask
    /// who is. It itself does not count either: if it holds the position, it does not ask.
    fn holder(&self, position: u64, role: Role, probe: bool) -> Holder {
        let memory = self.member.memory();
        let probe = probe && self.member.may_ask();
        let mut dead = None;
        for lane in memory.used_lanes_of(role).filter(|lane| *lane != self.member.lane()) {
            // FINISH: a later announcement shows how the claim before it ended.
            // weaken: unmodelled, because loom keeps the stores to a word in the order in which they were executed; see `announce`.
            if !Claim::of(memory.lane(lane).intent.load(Acquire)).covers(position) {
                continue;
            }
            // DEATH: inside; what the dead did last is visible.
            if !probe || memory.is_owned(lane) {
                return Holder::Lane(lane);
            }
            dead = Some(lane);
        }
        Holder::Gone(dead)
    }

    /// Puts a tombstone in the place of a message that will never come.
    fn bury(&self, position: u64) {
        let (free, tombstone) = (SlotWord::free(position).word(), SlotWord::tombstone(position).word());
        crash::point("mpmc.burying");
        // RELEASE: whatever the dead producer had written into the slot comes before the next one writes. Relaxed: if it
        // fails, another was faster.
        if self.word(position).compare_exchange(free, tombstone, Release, Relaxed).is_ok() {
            crash::point("mpmc.buried");
            Counters::add(&self.member.own().counters.torn, 1);
        }
    }

    /// Steps over a tombstone: moves `head` on, if it stands there, and frees the slot. Anybody may, at any time.
    pub(super) fn step_over(&self, position: u64, head: u64) {
        if head == position {
            // ANNOUNCE: nobody needs to know by whom, but that there is a tombstone. Relaxed: a lost race tells nothing.
            let _ = self.control().head.compare_exchange(head, head.wrapping_add(1), Release, Relaxed);
            crash::point("mpmc.stepped");
        }
        let free = SlotWord::free(position.wrapping_add(self.capacity())).word();
        // RELEASE: as in `bury`, which was seen by whoever is here. Relaxed: if it fails, another was faster.
        let result = self.word(position).compare_exchange(SlotWord::tombstone(position).word(), free, Release, Relaxed);
        if result.is_ok() {
            self.call_producers(1);
        }
    }

    /// Frees the slot of a message whose consumer died with it, where messages are delivered at most once.
    fn drop_message(&self, position: u64, word: SlotWord) {
        let free = SlotWord::free(position.wrapping_add(self.capacity())).word();
        crash::point("mpmc.dropping");
        // RELEASE: whatever the dead consumer read comes before the next producer writes. Relaxed: if it fails, another was
        // faster.
        if self.word(position).compare_exchange(word.word(), free, Release, Relaxed).is_ok() {
            Counters::add(&self.member.own().counters.lost, 1);
            self.call_producers(1);
        }
    }

    /// A consumer's: a message before `head` whose consumer is dead, now this one's. The caller has seen `head` there (ANNOUNCE).
    pub(super) fn take_orphan(&self, head: u64) -> Option<Claimed> {
        self.find_orphan(head, |position, word| {
            self.announce(Claim::new(position, 1));
            let orphan = self.take_over(position, word);
            if orphan.is_none() {
                self.announce_nothing();
            }
            orphan
        })
    }

    /// Whether there is a message that [`take_orphan`](Self::take_orphan) would take.
    pub(super) fn has_orphan(&self, head: u64) -> Option<()> {
        self.find_orphan(head, |_, _| Some(()))
    }

    /// Looks for messages before `head` whose consumers are dead, until `take` is content with one. Where messages are delivered at most once,
    /// drops them.
    fn find_orphan<R>(&self, head: u64, take: impl Fn(u64, SlotWord) -> Option<R>) -> Option<R> {
        let memory = self.member.memory();
        for lane in memory.used_lanes_of(Role::Consumer).filter(|lane| *lane != self.member.lane()) {
            // Relaxed: only where to look; `holder` asks who holds what is found there.
            let claim = Claim::of(memory.lane(lane).intent.load(Relaxed));
            for position in claim.positions(head, self.capacity()) {
                // PUBLISH: the message. ANNOUNCE: who has taken it over before has announced itself.
                let word = SlotWord::of(self.word(position).load(Acquire));
                if !matches!(word.at(position), Found::Message { .. })
                    || matches!(self.holder(position, Role::Consumer, true), Holder::Lane(_))
                {
                    continue;
                }
                if memory.geometry().is_at_most_once {
                    self.drop_message(position, word);
                } else if let Some(taken) = take(position, word) {
                    return Some(taken);
                }
            }
        }
        None
    }

    /// Takes a message over that nobody alive holds and that this consumer has announced. `None` if another was faster.
    fn take_over(&self, position: u64, word: SlotWord) -> Option<Claimed> {
        crash::point("mpmc.taking_over");
        let taken = word.taken_over();
        // ANNOUNCE: who sees the message taken over sees by whom. Relaxed: a lost race tells nothing.
        self.word(position).compare_exchange(word.word(), taken.word(), Release, Relaxed).ok()?;
        crash::point("mpmc.taken_over");
        Counters::add(&self.member.own().counters.redelivered, 1);
        match taken.at(position) {
            Found::Message { deaths } => Some(Claimed { first: position, count: 1, deaths }),
            _ => None,
        }
    }

    /// A producer that joins buries what the last owner of its lane claimed and did not publish: its lane announced that, and is
    /// this one's now.
    pub(super) fn bury_predecessor(&self) {
        // ANNOUNCE: nothing beyond was ever claimed.
        let tail = self.control().tail.load(Acquire);
        // Relaxed: the predecessor's, whose lock was taken over (TAKEOVER).
        let claim = Claim::of(self.member.own().intent.load(Relaxed));
        for position in claim.positions(tail, self.capacity()) {
            // Relaxed: nothing is read through it, and the tombstone is put in the place of this very word.
            let word = SlotWord::of(self.word(position).load(Relaxed));
            if word.at(position) == Found::Free
                && matches!(self.holder(position, Role::Producer, true), Holder::Gone(_))
            {
                self.bury(position);
            }
        }
        self.announce_nothing();
    }

    /// What the last owner of a consumer's lane claimed and did not release, if it is so.
    pub(super) fn left_by_predecessor(&self) -> Option<Unfinished> {
        // Relaxed: looked at again before it is believed.
        let head = self.control().head.load(Relaxed);
        // Relaxed: the predecessor's, whose lock was taken over (TAKEOVER).
        let claim = Claim::of(self.member.own().intent.load(Relaxed));
        let is_message = |position: u64| {
            // Relaxed: looked at again before it is believed.
            let word = SlotWord::of(self.word(position).load(Relaxed));
            matches!(word.at(position), Found::Message { .. })
        };
        claim.positions(head, self.capacity()).any(is_message).then_some(Unfinished { claim, is_inherited: true })
    }

    /// Whether all participants of the other role have said that they are finished, and there was one.
    pub(super) fn peers_have_closed(&self) -> bool {
        let memory = self.member.memory();
        // Relaxed: only a reason to look more closely.
        let state = |lane: usize| state_of(memory.presence(lane).state.load(Relaxed));
        let mut lanes = memory.used_lanes_of(self.member.role().peer()).peekable();
        lanes.peek().is_some() && lanes.all(|lane| state(lane) == State::Closed)
    }

    /// As [`peers_are_gone_now`](Self::peers_are_gone_now), asked of the kernel at most once in a while.
    pub(super) fn peers_are_gone(&mut self) -> bool {
        (self.peers_have_closed() || self.probes.is_due(super::LOOK_INTERVAL)) && self.peers_are_gone_now()
    }

    /// Whether nothing more will come from the other role: there was somebody, and all are finished, or dead if that counts. If so,
    /// everything they did is visible.
    pub(super) fn peers_are_gone_now(&self) -> bool {
        let memory = self.member.memory();
        let death_counts = self.member.behaviour.on_death == OnDeath::Disconnect;
        let is_gone = |lane: usize| {
            // CLOSE: everything it did before it closed.
            let state = state_of(memory.presence(lane).state.load(Acquire));
            state == State::Closed || death_counts && memory.proven_dead(lane).is_some()
        };
        let mut lanes = memory.used_lanes_of(self.member.role().peer()).peekable();
        lanes.peek().is_some() && lanes.all(is_gone)
    }
}

impl super::Receiver {
    /// The next message of a claim that was not finished: one's own, through a guard that was kept, or one that a predecessor in this
    /// lane announced, and perhaps died with. Until it is finished, the lane announces nothing else.
    #[cold]
    pub(super) fn finish_own(&mut self) -> Result<Option<Claimed>, Blocked> {
        let Some(Unfinished { claim, is_inherited }) = self.unfinished else { return Ok(None) };
        let ring = &self.ring;
        // ANNOUNCE: others that have claimed these positions have announced themselves.
        let head = ring.control().head.load(Acquire);
        for position in claim.positions(head, ring.capacity()) {
            // PUBLISH: the message. ANNOUNCE: who has taken it over before has announced itself.
            let word = SlotWord::of(ring.word(position).load(Acquire));
            if !matches!(word.at(position), Found::Message { .. }) {
                continue;
            }
            if is_inherited {
                // The predecessor may have lost the race for it to somebody who still reads it.
                if let Holder::Lane(lane) = ring.holder(position, Role::Consumer, true) {
                    return Err(Blocked::Stalled(ring.stall(lane, Duration::ZERO)));
                }
                if ring.member.memory().geometry().is_at_most_once {
                    ring.drop_message(position, word);
                    continue;
                }
            }
            if let Some(own) = ring.take_over(position, word) {
                return Ok(Some(own));
            }
        }
        self.unfinished = None;
        Ok(None)
    }

    /// What [`finish_own`](Self::finish_own) would come to: `Some(true)` if a message, `Some(false)` if it is held by somebody alive, `None`
    /// if nothing is left of the claim.
    pub(super) fn own_is_ready(&self) -> Option<bool> {
        let Unfinished { claim, is_inherited } = self.unfinished?;
        let ring = &self.ring;
        let is_at_most_once = ring.member.memory().geometry().is_at_most_once;
        // Relaxed: who takes over what seems ready looks again.
        let head = ring.control().head.load(Relaxed);
        claim.positions(head, ring.capacity()).find_map(|position| {
            // Relaxed: nothing is read through it.
            let word = SlotWord::of(ring.word(position).load(Relaxed));
            let is_message = matches!(word.at(position), Found::Message { .. });
            let is_held = || is_inherited && matches!(ring.holder(position, Role::Consumer, true), Holder::Lane(_));
            match () {
                () if !is_message => None,
                () if is_held() => Some(false),
                () if is_inherited && is_at_most_once => None,
                () => Some(true),
            }
        })
    }
}
