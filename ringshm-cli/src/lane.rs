//! What is shown of those who take part in a ring. The field names are those of the JSON output: scripts depend on them.

use crate::info::count;
use crate::print::{Styled, Table};
use crate::process::RingFile;
use crate::size;
use anstyle::{AnsiColor, Style};
use ringshm::{Kind, Participant, Peer, Role, Snapshot};
use serde::Serialize;

/// All lanes of a role together.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Side {
    /// That of the liveliest lane: `live`, `dead`, `detached`, `closed` or `vacant`, in this order.
    pub(crate) state: &'static str,
    /// Of a live or dead one, if there is only one.
    pub(crate) pid: Option<u32>,
    /// When the last owner joined: nanoseconds since 1970.
    pub(crate) since: Option<u64>,
    /// How many owners there have been.
    pub(crate) generation: u32,
    /// Sent, or released, since the ring was made; of a broadcast ring's consumers, by the one that is furthest behind.
    pub(crate) messages: Option<u64>,
    /// The same in units.
    pub(crate) units: u64,
    /// Whether all live ones sleep.
    pub(crate) asleep: bool,
    /// Whether the other side fences after every message, for sleepers of this one that cannot use `membarrier`, or sleep all the time.
    pub(crate) fenced: bool,
    /// How many are live.
    pub(crate) live: usize,
    /// How many died, and nobody has taken their lane.
    pub(crate) dead: usize,
    /// The sums of all lanes' counters.
    #[serde(flatten)]
    pub(crate) counters: Counters,
}

/// One lane: its last owner, and what has happened to all of its owners.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lane {
    /// `producer` or `consumer`; `participant` of what is no ring.
    pub(crate) role: &'static str,
    /// Its index in the segment.
    pub(crate) lane: usize,
    /// `live`, `dead`, `evicted`, `detached`, `closed` or `vacant`.
    pub(crate) state: &'static str,
    /// Of a live, evicted or dead owner, as it knew itself.
    pub(crate) pid: Option<u32>,
    /// Whether its process was stopped, if that can be seen.
    pub(crate) stopped: Option<bool>,
    /// When the owner joined: nanoseconds since 1970.
    pub(crate) since: Option<u64>,
    /// How many owners the lane has had.
    pub(crate) generation: u32,
    pub(crate) asleep: bool,
    /// Sent, or released.
    pub(crate) messages: Option<u64>,
    /// The same in units; 0 in an MPMC ring, whose positions are everybody's.
    pub(crate) units: u64,
    /// Messages by which a consumer with a position of its own is behind.
    pub(crate) lag: Option<u64>,
    /// The same in units: at most the ring's capacity.
    pub(crate) lag_units: Option<u64>,
    /// Places of an MPMC ring that the owner has claimed and not finished; frames that are held for a consumer.
    pub(crate) claimed: u64,
    /// The first of them, of an MPMC ring.
    pub(crate) claimed_at: Option<u64>,
    /// What a consumer of frames takes: `every` frame, or the `newest`.
    pub(crate) takes: Option<&'static str>,
    /// How many frames it may have in its hands at once.
    pub(crate) most_held: Option<u32>,
    #[serde(flatten)]
    pub(crate) counters: Counters,
}

/// What went wrong, and was put right or told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counters {
    /// Messages that a consumer was told it missed, or that were dropped because their consumer died.
    pub(crate) lost: u64,
    /// Messages that a dead producer left unfinished.
    pub(crate) torn: u64,
    /// Messages of dead consumers that were given to another one.
    pub(crate) redelivered: u64,
    /// Slow readers that the producer no longer waits for.
    pub(crate) evicted: u64,
}

impl Counters {
    fn of(participant: &Participant) -> Self {
        let Participant { lost, torn, redelivered, evicted, .. } = *participant;
        Self { lost, torn, redelivered, evicted }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            lost: self.lost.saturating_add(other.lost),
            torn: self.torn.saturating_add(other.torn),
            redelivered: self.redelivered.saturating_add(other.redelivered),
            evicted: self.evicted.saturating_add(other.evicted),
        }
    }

    /// In the order of the table's columns.
    pub(crate) fn numbers(self) -> [u64; 4] {
        [self.lost, self.torn, self.redelivered, self.evicted]
    }
}

impl Side {
    pub(crate) fn new(snapshot: &Snapshot, role: Role) -> Self {
        let side = match role {
            Role::Producer => &snapshot.producer,
            Role::Consumer => &snapshot.consumer,
        };
        let count = |is_so: fn(&Peer) -> bool| snapshot.participants_of(role).filter(|lane| is_so(&lane.state)).count();
        let live = count(|state| matches!(state, Peer::Live { .. }));
        let dead = count(|state| matches!(state, Peer::Dead { .. }));
        let (state, pid) = words(side.state);
        let of_this_state = if state == "live" { live } else { dead };
        Self {
            state,
            pid: pid.filter(|_| of_this_state <= 1),
            since: (side.since != 0).then_some(side.since),
            generation: side.generation,
            messages: side.messages,
            units: side.units,
            asleep: side.asleep,
            fenced: side.is_fenced,
            live,
            dead,
            counters: snapshot.participants_of(role).map(Counters::of).fold(Counters::default(), Counters::plus),
        }
    }

    /// `live 4711`, or `2 live, 1 dead`, in colour.
    pub(crate) fn presence(&self) -> Styled {
        let text = match (self.pid, self.live, self.dead) {
            (_, live @ 1.., dead @ 1..) => format!("{live} live, {dead} dead"),
            (Some(pid), ..) => format!("{} {pid}", self.state),
            (None, count @ 2.., _) | (None, 0, count @ 2..) => format!("{count} {}", self.state),
            (None, ..) => self.state.to_owned(),
        };
        Styled::new(text, style_of(self.state))
    }
}

impl Lane {
    pub(crate) fn new(participant: &Participant, kind: Kind, file: RingFile) -> Self {
        let (word, pid) = words(participant.state);
        let (is_live, frames) = (word == "live", participant.frames);
        Self {
            role: kind.name_of(participant.role),
            lane: participant.lane,
            state: if participant.is_evicted && is_live { "evicted" } else { word },
            pid,
            stopped: pid.filter(|_| is_live).and_then(|pid| file.is_stopped(pid)),
            since: (participant.since != 0).then_some(participant.since),
            generation: participant.generation,
            asleep: participant.asleep,
            messages: participant.messages,
            units: participant.units,
            lag: participant.lag.and_then(|lag| lag.messages),
            lag_units: participant.lag.map(|lag| lag.units),
            claimed: participant.claim.map(|claim| claim.count).or(frames.map(|frames| frames.held)).unwrap_or(0),
            claimed_at: participant.claim.map(|claim| claim.first),
            takes: frames.map(|frames| if frames.takes_all { "every" } else { "newest" }),
            most_held: frames.map(|frames| frames.most),
            counters: Counters::of(participant),
        }
    }

    /// Whether its owner still takes part, be it evicted.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, "live" | "evicted")
    }

    /// `live 4711`, in colour.
    pub(crate) fn presence(&self) -> Styled {
        let word = if self.stopped == Some(true) { "stopped" } else { self.state };
        let text = match self.pid {
            Some(pid) => format!("{word} {pid}"),
            None => word.to_owned(),
        };
        Styled::new(text, style_of(word))
    }
}

fn words(state: Peer) -> (&'static str, Option<u32>) {
    match state {
        Peer::Vacant => ("vacant", None),
        Peer::Live { pid } => ("live", Some(pid)),
        Peer::Detached => ("detached", None),
        Peer::Closed => ("closed", None),
        Peer::Dead { pid } => ("dead", Some(pid)),
    }
}

fn style_of(word: &str) -> Style {
    match word {
        "live" => AnsiColor::Green.on_default(),
        "dead" => AnsiColor::Red.on_default(),
        "stopped" | "evicted" => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    }
}

/// The columns of [`row`].
pub(crate) const HEADER: [&str; 11] =
    ["LANE", "ROLE", "STATE", "OWNERS", "MESSAGES", "LAG", "CLAIMED", "LOST", "TORN", "REDELIVERED", "EVICTED"];

/// Those with numbers.
pub(crate) const NUMBERS: &[usize] = &[0, 3, 4, 5, 6, 7, 8, 9, 10];

/// One lane in a table.
pub(crate) fn row(lane: &Lane) -> Vec<Styled> {
    let mut row = vec![lane.lane.to_string().into(), lane.role.into(), lane.presence()];
    row.push(size::grouped(lane.generation.into()).into());
    row.push(count(lane.messages).into());
    row.push(if lane.lag_units.is_some() { count(lane.lag) } else { "-".to_owned() }.into());
    row.push(size::grouped(lane.claimed).into());
    row.extend(lane.counters.numbers().map(|number| size::grouped(number).into()));
    row
}

/// All lanes, one below the other.
pub(crate) fn table(lanes: &[Lane]) -> Table {
    let mut table = Table::new(&HEADER, NUMBERS);
    lanes.iter().for_each(|lane| table.push(row(lane)));
    table
}
