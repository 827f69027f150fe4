//! What is shown of a ring. The field names are those of the JSON output: scripts depend on them.

use crate::lane::{Lane, Side};
use crate::process::RingFile;
use ringshm::{Directory, OpenError, Place, Role, Snapshot};
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
    /// `spsc slots`, `spsc records`, `mpmc slots`, `mpmc bytes`, `broadcast slots`, `broadcast records` or `latest`; or of what is no ring, `mutex`,
    /// `rwlock`, `condvar`, `barrier` or `once`.
    pub(crate) kind: &'static str,
    /// Of what is no ring: who holds it, or how it stands. Its participants are among the producers then.
    pub(crate) state: Option<String>,
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
    /// Whether a message whose consumer dies with it is dropped.
    pub(crate) at_most_once: bool,
    /// `futex`, or `semaphore`.
    pub(crate) wakeup: &'static str,
    /// How many producers, and how many consumers with a lane, it can have.
    pub(crate) max_producers: u32,
    pub(crate) max_consumers: u32,
    /// Messages that somebody has still to receive.
    pub(crate) queued: Option<u64>,
    /// Units that cannot be overwritten yet.
    pub(crate) used: u64,
    pub(crate) producer: Side,
    pub(crate) consumer: Side,
    /// Every lane that has ever had an owner, producers first.
    pub(crate) lanes: Vec<Lane>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Carries {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) align: u32,
    pub(crate) schema: u64,
}

/// Looks at a ring.
pub(crate) fn look(directory: &Directory, name: &str) -> Result<Ring, OpenError> {
    let snapshot = ringshm::inspect(directory, name)?;
    Ok(Ring::new(name, &ringshm::place_of(directory, name)?, snapshot))
}

/// All rings of a folder. One that goes away meanwhile is left out.
pub(crate) fn look_at_all(directory: &Directory) -> Result<Vec<Entry>, OpenError> {
    let mut entries = Vec::new();
    for name in ringshm::names(directory)? {
        match ringshm::inspect(directory, name.as_str()) {
            Ok(snapshot) => {
                let place = Place::named(directory, &name);
                entries.push(Entry::Ring(Box::new(Ring::new(name.as_str(), &place, snapshot))));
            }
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
    fn new(name: &str, place: &Place, snapshot: Snapshot) -> Self {
        let (queued, used) = (snapshot.queued(), snapshot.used());
        let (producer, consumer) = (Side::new(&snapshot, Role::Producer), Side::new(&snapshot, Role::Consumer));
        let Snapshot { geometry, identity, creator, created, participants, state, .. } = snapshot;
        let path = place.path();
        let file = RingFile::at(&path);
        Self {
            name: name.strip_prefix("shm://").unwrap_or(name).to_owned(),
            path: path.display().to_string(),
            kind: geometry.kind.name(),
            state,
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
            at_most_once: geometry.is_at_most_once,
            wakeup: geometry.wakeup.name(),
            max_producers: geometry.producers,
            max_consumers: geometry.consumers,
            producer,
            consumer,
            lanes: participants.iter().map(|participant| Lane::new(participant, geometry.kind, file)).collect(),
        }
    }

    /// Whether every consumer gets every record.
    pub(crate) fn is_for_all(&self) -> bool {
        self.kind.starts_with("broadcast") || matches!(self.kind, "latest" | "frames")
    }

    /// Whether nobody is there: only `rm`, `gc` or a later participant will free its memory.
    pub(crate) fn is_left_over(&self) -> bool {
        self.producer.live == 0 && self.consumer.live == 0
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// How long ago that was, in seconds; 0 if it is yet to come.
pub(crate) fn seconds_since(nanoseconds: u64) -> f64 {
    let then = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    SystemTime::now().duration_since(then).unwrap_or_default().as_secs_f64()
}
