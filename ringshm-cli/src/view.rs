//! What is shown of a ring. The field names are those of the JSON output: scripts depend on them.

use crate::print::Styled;
use anstyle::{AnsiColor, Style};
use ringshm::{Directory, OpenError, Peer, Side, Snapshot};
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A ring, or what is wrong with it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Entry {
    Ring(Box<Ring>),
    Damaged(Damaged),
}

/// An object that has the name of a ring and is none.
#[derive(Debug, Serialize)]
pub(crate) struct Damaged {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) error: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Ring {
    pub(crate) name: String,
    pub(crate) path: String,
    /// `spsc slots` or `spsc records`.
    pub(crate) kind: &'static str,
    #[serde(rename = "type")]
    pub(crate) carries: Carries,
    /// In units.
    pub(crate) capacity: u64,
    /// `slots`, or `bytes`.
    pub(crate) unit: &'static str,
    /// Bytes from one slot to the next.
    pub(crate) stride: u64,
    /// The longest message, in bytes.
    pub(crate) max_message: u64,
    /// Bytes of shared memory.
    pub(crate) total: u64,
    /// The process that made it.
    pub(crate) creator: u32,
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    pub(crate) age_seconds: f64,
    /// Messages sent and not yet released.
    pub(crate) queued: Option<u64>,
    /// Units sent and not yet released.
    pub(crate) used: u64,
    pub(crate) producer: Participant,
    pub(crate) consumer: Participant,
}

#[derive(Debug, Serialize)]
pub(crate) struct Carries {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) align: u32,
    pub(crate) schema: u64,
}

/// One side of a ring.
#[derive(Debug, Serialize)]
pub(crate) struct Participant {
    /// `vacant`, `live`, `detached`, `closed` or `dead`.
    pub(crate) state: &'static str,
    /// Of a live or dead one.
    pub(crate) pid: Option<u32>,
    /// When the last owner of the role joined: nanoseconds since 1970.
    pub(crate) since: Option<u64>,
    /// How many owners the role has had.
    pub(crate) generation: u32,
    /// Sent, or released, since the ring was made.
    pub(crate) messages: Option<u64>,
    /// Sent, or released, since the ring was made.
    pub(crate) units: u64,
    pub(crate) asleep: bool,
}

/// Looks at a ring.
pub(crate) fn look(directory: &Directory, name: &str) -> Result<Ring, OpenError> {
    let name = ringshm::Name::new(name)?;
    let snapshot = ringshm::inspect(directory, name.as_str())?;
    Ok(Ring::new(directory, &name, snapshot))
}

/// All rings of a folder. One that goes away meanwhile is left out.
pub(crate) fn look_at_all(directory: &Directory) -> Result<Vec<Entry>, OpenError> {
    let mut entries = Vec::new();
    for name in ringshm::names(directory)? {
        match ringshm::inspect(directory, name.as_str()) {
            Ok(snapshot) => entries.push(Entry::Ring(Box::new(Ring::new(directory, &name, snapshot)))),
            Err(OpenError::NotFound { .. }) => {}
            Err(error) => entries.push(Entry::Damaged(Damaged {
                name: name.as_str().to_owned(),
                path: directory.path_of(&name).display().to_string(),
                error: error.to_string(),
            })),
        }
    }
    Ok(entries)
}

impl Ring {
    fn new(directory: &Directory, name: &ringshm::Name, snapshot: Snapshot) -> Self {
        let (queued, used) = (snapshot.queued(), snapshot.used());
        let Snapshot { geometry, identity, creator, created, producer, consumer } = snapshot;
        Self {
            name: name.as_str().to_owned(),
            path: directory.path_of(name).display().to_string(),
            kind: geometry.kind.name(),
            carries: Carries {
                name: identity.name,
                size: identity.size,
                align: identity.align,
                schema: identity.schema,
            },
            capacity: geometry.capacity,
            unit: match geometry.kind {
                kind if kind.has_records() => "bytes",
                _ => "slots",
            },
            stride: geometry.stride,
            max_message: geometry.max_message,
            total: geometry.total,
            creator,
            created,
            age_seconds: seconds_since(created),
            queued,
            used,
            producer: Participant::new(&producer),
            consumer: Participant::new(&consumer),
        }
    }

    /// Whether neither side is there: only `rm` or a later `recv` will free its memory.
    pub(crate) fn is_left_over(&self) -> bool {
        self.producer.state != "live" && self.consumer.state != "live"
    }
}

impl Participant {
    fn new(side: &Side) -> Self {
        let (state, pid) = match side.state {
            Peer::Vacant => ("vacant", None),
            Peer::Live { pid } => ("live", Some(pid)),
            Peer::Detached => ("detached", None),
            Peer::Closed => ("closed", None),
            Peer::Dead { pid } => ("dead", Some(pid)),
        };
        Self {
            state,
            pid,
            since: (side.since != 0).then_some(side.since),
            generation: side.generation,
            messages: side.messages,
            units: side.units,
            asleep: side.asleep,
        }
    }

    /// `live 4711`, in colour.
    pub(crate) fn presence(&self) -> Styled {
        let text = match self.pid {
            Some(pid) => format!("{} {pid}", self.state),
            None => self.state.to_owned(),
        };
        let style = match self.state {
            "live" => AnsiColor::Green.on_default(),
            "dead" => AnsiColor::Red.on_default(),
            _ => Style::new(),
        };
        Styled::new(text, style)
    }
}

/// How long ago that was, in seconds; 0 if it is yet to come.
pub(crate) fn seconds_since(nanoseconds: u64) -> f64 {
    let then = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    SystemTime::now().duration_since(then).unwrap_or_default().as_secs_f64()
}
