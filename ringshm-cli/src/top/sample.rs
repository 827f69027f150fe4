//! What `top` knows: two looks at each ring, and what has changed between them.
//!
//! Who is alive, the kernel's locks say. Of those who are, three kinds do not do what they should, and are told apart by what can be
//! seen from outside:
//!
//! | status | what is seen |
//! |---|---|
//! | `stopped` | its process state in `/proc` is T or t: SIGSTOP, a terminal, a debugger |
//! | `stalled` | it runs, had something in its hands or before it at both looks, and has not moved between them |
//! | `slow` | it moves, and is behind by half of the ring or more at both looks |

use crate::lane::{Counters, Lane};
use crate::view::{self, Entry, Ring};
use ringshm::{Directory, OpenError};
use serde::Serialize;
use std::collections::HashMap;
use std::time::Instant;

/// Everything that `top` shows at one moment. The field names are those of the JSON output: scripts depend on them.
#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    /// How long ago the look was that the rates are counted from; 0 if there was none.
    pub(crate) seconds: f64,
    pub(crate) rings: Vec<RingSample>,
}

/// A ring.
#[derive(Debug, Serialize)]
pub(crate) struct RingSample {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// `slots` or `bytes`.
    pub(crate) unit: &'static str,
    /// In units.
    pub(crate) capacity: u64,
    /// Units that cannot be overwritten yet.
    pub(crate) used: u64,
    /// Messages that somebody has still to receive.
    pub(crate) queued: Option<u64>,
    /// Since the ring was made.
    pub(crate) sent: Option<u64>,
    /// Messages a second.
    pub(crate) sent_per_second: Option<f64>,
    /// Messages a second: of a broadcast ring, by the consumer that is furthest behind.
    pub(crate) received_per_second: Option<f64>,
    #[serde(flatten)]
    pub(crate) counters: Counters,
    pub(crate) participants: Vec<ParticipantSample>,
}

/// A lane.
#[derive(Debug, Serialize)]
pub(crate) struct ParticipantSample {
    #[serde(flatten)]
    pub(crate) lane: Lane,
    pub(crate) status: Status,
    /// Messages a second, sent or released.
    pub(crate) per_second: Option<f64>,
}

/// What a participant is, and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It takes part, and nothing is wrong.
    Alive,
    /// It sleeps until something comes.
    Idle,
    Slow,
    Stalled,
    Stopped,
    /// The producer no longer waits for it.
    Evicted,
    Dead,
    Detached,
    Closed,
    Vacant,
}

impl Status {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Idle => "idle",
            Self::Slow => "slow",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
            Self::Evicted => "evicted",
            Self::Dead => "dead",
            Self::Detached => "detached",
            Self::Closed => "closed",
            Self::Vacant => "vacant",
        }
    }
}

/// Looks at rings again and again.
#[derive(Debug)]
pub(crate) struct Sampler {
    directory: Directory,
    /// Those to look at; all that there are, if empty.
    names: Vec<String>,
    /// The last look, and when it was.
    before: HashMap<String, Ring>,
    looked: Option<Instant>,
}

impl Sampler {
    /// Finds the rings.
    pub(crate) fn new(directory: &Directory, names: &[String]) -> Result<Self, OpenError> {
        let directory = directory.clone();
        let sampler = Self { directory, names: names.to_vec(), before: HashMap::new(), looked: None };
        let (rings, _) = sampler.look()?;
        if let Some(missing) = names.iter().find(|name| !rings.iter().any(|ring| is_named(ring, name))) {
            // It is not there, or is no ring: say which.
            view::look(&sampler.directory, missing)?;
        }
        Ok(sampler)
    }

    /// The next look. The first one has nothing to be compared with: no rates, and nobody who has not moved.
    pub(crate) fn sample(&mut self) -> Result<Sample, OpenError> {
        let (rings, looked) = self.look()?;
        let seconds = self.looked.map_or(0.0, |before| (looked - before).as_secs_f64());
        let samples = rings.iter().map(|ring| RingSample::new(ring, self.before.get(&ring.name), seconds)).collect();
        self.remember(rings, looked);
        Ok(Sample { time: view::now(), seconds, rings: samples })
    }

    fn look(&self) -> Result<(Vec<Ring>, Instant), OpenError> {
        let entries = view::look_at_all(&self.directory)?;
        let looked = Instant::now();
        let rings = entries.into_iter().filter_map(|entry| match entry {
            Entry::Ring(ring) => Some(*ring),
            Entry::Damaged(_) => None,
        });
        let is_wanted = |ring: &Ring| self.names.is_empty() || self.names.iter().any(|name| is_named(ring, name));
        Ok((rings.filter(is_wanted).collect(), looked))
    }

    fn remember(&mut self, rings: Vec<Ring>, looked: Instant) {
        self.before = rings.into_iter().map(|ring| (ring.name.clone(), ring)).collect();
        self.looked = Some(looked);
    }
}

fn is_named(ring: &Ring, name: &str) -> bool {
    ring.name == name.strip_prefix("shm://").unwrap_or(name)
}

impl RingSample {
    /// `before` is the same name's ring at the last look, if there was one.
    fn new(ring: &Ring, before: Option<&Ring>, seconds: f64) -> Self {
        // A ring of the same name may be another one.
        let before = before.filter(|before| (before.created, before.creator) == (ring.created, ring.creator));
        let participants = ring.lanes.iter().map(|lane| {
            let before = before.and_then(|before| before.lanes.iter().find(|other| other.lane == lane.lane));
            ParticipantSample {
                status: status(lane, before, ring.capacity),
                per_second: before.and_then(|before| rate(before.messages, lane.messages, seconds)),
                lane: lane.clone(),
            }
        });
        Self {
            name: ring.name.clone(),
            kind: ring.kind,
            unit: ring.unit,
            capacity: ring.capacity,
            used: ring.used,
            queued: ring.queued,
            sent: ring.producer.messages,
            sent_per_second: before.and_then(|before| rate(before.producer.messages, ring.producer.messages, seconds)),
            received_per_second: before
                .and_then(|before| rate(before.consumer.messages, ring.consumer.messages, seconds)),
            counters: ring.producer.counters.plus(ring.consumer.counters),
            participants: participants.collect(),
        }
    }

    /// In percent.
    pub(crate) fn share(&self) -> f64 {
        100.0 * self.used as f64 / self.capacity.max(1) as f64
    }
}

fn rate(before: Option<u64>, now: Option<u64>, seconds: f64) -> Option<f64> {
    Some(now?.saturating_sub(before?) as f64 / seconds.max(1e-6))
}

/// What a lane's owner is and does, as seen at this look and the one `before`.
fn status(lane: &Lane, before: Option<&Lane>, capacity: u64) -> Status {
    match (lane.state, lane.stopped) {
        ("dead", _) => return Status::Dead,
        ("detached", _) => return Status::Detached,
        ("closed", _) => return Status::Closed,
        ("vacant", _) => return Status::Vacant,
        (_, Some(true)) => return Status::Stopped,
        ("evicted", _) => return Status::Evicted,
        _ => {}
    }
    let same_owner = before.filter(|before| before.is_live() && before.generation == lane.generation);
    if let Some(before) = same_owner {
        let has_moved = (lane.messages, lane.units) != (before.messages, before.units);
        let same_claim =
            lane.claimed_at.is_some() && (lane.claimed_at, lane.claimed) == (before.claimed_at, before.claimed);
        let waits_for_it = |lane: &Lane| lane.lag_units.is_some_and(|units| units > 0);
        if !has_moved && (same_claim || (waits_for_it(before) && waits_for_it(lane))) {
            return Status::Stalled;
        }
        let is_far_behind = |lane: &Lane| lane.lag_units.is_some_and(|units| units >= (capacity / 2).max(1));
        if has_moved && is_far_behind(before) && is_far_behind(lane) {
            return Status::Slow;
        }
    }
    if lane.asleep { Status::Idle } else { Status::Alive }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A consumer with a cursor of its own, in a ring of 100 slots.
    fn reader(messages: u64, lag: u64) -> Lane {
        Lane {
            role: "consumer",
            lane: 1,
            state: "live",
            pid: Some(1),
            stopped: Some(false),
            since: Some(1),
            generation: 1,
            asleep: false,
            messages: Some(messages),
            units: messages,
            lag: Some(lag),
            lag_units: Some(lag),
            claimed: 0,
            claimed_at: None,
            takes: None,
            most_held: None,
            counters: Counters::default(),
        }
    }

    /// A participant of an MPMC ring.
    fn worker(messages: u64, claimed_at: Option<u64>) -> Lane {
        let claimed = u64::from(claimed_at.is_some());
        Lane { lag: None, lag_units: None, units: 0, claimed, claimed_at, ..reader(messages, 0) }
    }

    #[track_caller]
    fn assert_status(before: Lane, now: Lane, expected: Status) {
        assert_eq!(status(&now, Some(&before), 100), expected, "{before:?}, {now:?}");
    }

    #[test]
    fn a_reader_that_moves_far_behind_is_slow_and_one_that_does_not_move_is_stalled() {
        assert_status(reader(10, 60), reader(20, 90), Status::Slow);
        assert_status(reader(10, 60), reader(10, 90), Status::Stalled);
        assert_status(reader(10, 1), reader(10, 1), Status::Stalled);
        assert_status(reader(10, 60), reader(20, 49), Status::Alive);
        // What it has to do came after the last look.
        assert_status(reader(10, 0), reader(10, 90), Status::Alive);
        assert_status(reader(10, 0), Lane { asleep: true, ..reader(10, 0) }, Status::Idle);
    }

    #[test]
    fn a_claim_that_stays_is_a_stall_and_one_that_changes_is_not() {
        assert_status(worker(5, Some(5)), worker(5, Some(5)), Status::Stalled);
        assert_status(worker(5, Some(5)), worker(6, Some(6)), Status::Alive);
        assert_status(worker(5, None), worker(5, None), Status::Alive);
        // Another owner of the same lane.
        assert_status(worker(5, Some(5)), Lane { generation: 2, ..worker(5, Some(5)) }, Status::Alive);
    }

    #[test]
    fn the_dead_are_dead_and_the_stopped_stopped_whatever_they_hold() {
        let stopped = Lane { stopped: Some(true), ..worker(5, Some(5)) };
        assert_status(worker(5, Some(5)), stopped, Status::Stopped);
        assert_status(reader(10, 60), Lane { state: "dead", stopped: None, ..reader(10, 60) }, Status::Dead);
        assert_status(reader(10, 60), Lane { state: "evicted", ..reader(10, 60) }, Status::Evicted);
        assert_eq!(status(&reader(10, 60), None, 100), Status::Alive);
    }
}
