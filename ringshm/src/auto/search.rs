//! How a sender finds its receiver: all places, the best first.

use super::{Plan, Way};
use crate::handover::{Asked, Handover, HandoverError, SoleMemfd};
use crate::{RecordConsumer, RecordProducer, inspect, spsc};
use ringshm_core::error::{OpenError, TrySendError};
use ringshm_core::{Deadline, Peer, Role, Sender};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Between two looks at all places: doubled after each in vain.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// How long a receiver that is there may take to hand over a ring, before something worse is chosen.
const HANDOVER: Duration = Duration::from_secs(1);

/// What was found.
pub(super) enum Carrier {
    Ring { producer: Box<RecordProducer>, lies: Lies },
    Socket(Box<dyn Sender>),
}

/// Where a ring lies, for who wants what is left in it.
pub(super) enum Lies {
    /// At the channel's own name.
    Named,
    /// In a memfd; `None` if there was no second descriptor to be had.
    Handed(Option<OwnedFd>),
}

impl Carrier {
    pub(super) fn sender(&mut self) -> &mut dyn Sender {
        match self {
            Self::Ring { producer, .. } => &mut **producer,
            Self::Socket(sender) => &mut **sender,
        }
    }

    pub(super) fn into_sender(self) -> Box<dyn Sender> {
        match self {
            Self::Ring { producer, .. } => producer,
            Self::Socket(sender) => sender,
        }
    }
}

/// What was found, and the sentence about it.
pub(super) struct Found {
    pub(super) carrier: Carrier,
    /// By what, and why not by something better.
    pub(super) why: String,
    /// What became of the message, if the search has sent it.
    pub(super) sent: Option<Result<(), TrySendError<()>>>,
}

impl Found {
    fn ring(producer: RecordProducer, lies: Lies, why: String) -> Self {
        Self { carrier: Carrier::Ring { producer: Box::new(producer), lies }, why, sent: None }
    }
}

/// A search, and what it holds on to between two looks.
pub(super) struct Search {
    /// Sockets that have found nobody yet: they go on trying whenever they are asked.
    open: Vec<(String, Box<dyn Sender>)>,
    /// Where it waits for a ring to be handed over.
    asked: Vec<(String, Asked)>,
    /// Until when nothing worse than that is looked for.
    patience: Deadline,
    pause: Duration,
    next: Deadline,
}

impl Search {
    pub(super) fn new() -> Self {
        let now = Deadline::after(Duration::ZERO);
        Self { open: Vec::new(), asked: Vec::new(), patience: now, pause: FIRST_PAUSE, next: now }
    }

    /// How long until it is worth another look.
    pub(super) fn pause(&self) -> Duration {
        self.next.remaining().unwrap_or(Duration::ZERO)
    }

    /// Looks at all places, if it is time to. Who is behind a socket is found out by sending `message`.
    pub(super) fn look(&mut self, plan: &Plan, message: &[u8]) -> Option<Found> {
        if !self.next.is_over() {
            return None;
        }
        let mut reasons = Vec::new();
        for way in plan.ways() {
            let found = match way {
                Way::Ring => ring(plan),
                Way::HandedRing => self.handed_ring(plan),
                Way::Unix => self.socket(plan.streams(), message),
                Way::Tcp => self.socket(plan.tcp().into_iter().collect(), message),
            };
            match found {
                Ok(mut found) => {
                    found.why = reasons.iter().fold(found.why, |why, reason| format!("{why}; {reason}"));
                    *self = Self::new();
                    return Some(found);
                }
                Err(reason) => reasons.push(reason),
            }
            if way == Way::HandedRing && !self.asked.is_empty() && !self.patience.is_over() {
                self.next = Deadline::after(FIRST_PAUSE);
                return None;
            }
        }
        self.next = Deadline::after(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        None
    }

    /// The ring that a receiver hands over.
    fn handed_ring(&mut self, plan: &Plan) -> Result<Found, String> {
        let mut reason = String::new();
        for place in plan.places("ring") {
            match self.handed_at(&place) {
                Ok(found) => return Ok(found),
                Err(why_not) => reason = why_not,
            }
        }
        Err(reason)
    }

    fn handed_at(&mut self, place: &str) -> Result<Found, String> {
        let at = match self.asked.iter().position(|(other, _)| other == place) {
            Some(at) => at,
            None => {
                let asked = Handover::new(place).ask().map_err(|error| match error {
                    HandoverError::Timeout => format!("nobody hands over a ring at {place}"),
                    error => error.to_string(),
                })?;
                if self.asked.is_empty() {
                    self.patience = Deadline::after(HANDOVER);
                }
                self.asked.push((place.to_owned(), asked));
                self.asked.len() - 1
            }
        };
        let memfd = match self.asked[at].1.take_memfd_by(Deadline::after(Duration::ZERO)) {
            Err(HandoverError::Timeout) => return Err(format!("its receiver is busy: no turn yet at {place}")),
            taken => {
                self.asked.remove(at);
                taken.map_err(|error| error.to_string())?.into_fd()
            }
        };
        let copy = memfd.try_clone().ok();
        let producer = SoleMemfd::handed(memfd).and_then(|memfd| spsc::<[u8]>("").producer_of(memfd));
        match producer {
            // It can be mapped, and somebody receives from it.
            Ok(producer) if matches!(producer.peer(), Peer::Live { .. }) => {
                let why = format!("shared memory: a ring that was handed over at {place}");
                Ok(Found::ring(producer, Lies::Handed(copy), why))
            }
            Ok(_) => Err(format!("nobody receives from the ring that was handed over at {place}")),
            Err(error) => Err(format!("the ring that was handed over at {place} cannot be used: {error}")),
        }
    }

    /// A socket on the other end of which somebody is, to whom the message was sent.
    fn socket(&mut self, names: Vec<String>, message: &[u8]) -> Result<Found, String> {
        let mut reason = String::new();
        for name in names {
            match self.socket_at(name, message) {
                Ok(found) => return Ok(found),
                Err(why_not) => reason = why_not,
            }
        }
        Err(reason)
    }

    fn socket_at(&mut self, name: String, message: &[u8]) -> Result<Found, String> {
        let at = match self.open.iter().position(|(other, _)| *other == name) {
            Some(at) => at,
            None => {
                let sender = crate::open(&name).sender().map_err(|error| error.to_string())?;
                self.open.push((name, sender));
                self.open.len() - 1
            }
        };
        let sent = self.open[at].1.try_send(message);
        let place = place_in(&self.open[at].0);
        if matches!(sent, Err(TrySendError::Full(()) | TrySendError::Stalled(..))) {
            return Err(format!("nobody accepts at {place}"));
        }
        let (why, (_, sender)) = (place.to_owned(), self.open.remove(at));
        match sent {
            Err(TrySendError::Disconnected(())) => Err(format!("nobody stays at {why}")),
            sent => Ok(Found { carrier: Carrier::Socket(sender), why, sent: Some(sent) }),
        }
    }
}

/// The ring of the channel's name, if somebody alive receives from it: so it is the same memory.
fn ring(plan: &Plan) -> Result<Found, String> {
    let place = plan.ring();
    let ring = inspect(&plan.directory, plan.name.as_str()).map_err(|error| match error {
        OpenError::NotFound { .. } => format!("no ring is at {place} here"),
        error => error.to_string(),
    })?;
    let receiver = ring.participants_of(Role::Consumer).find_map(|participant| match participant.state {
        Peer::Live { pid } => Some(pid),
        _ => None,
    });
    let Some(pid) = receiver else { return Err(format!("no live receiver is in {place} here")) };
    let builder = spsc::<[u8]>(plan.name.as_str()).directory(plan.directory.path()).capacity(plan.capacity);
    let producer = builder.existence(crate::Existence::MustExist).producer().map_err(|error| error.to_string())?;
    Ok(Found::ring(producer, Lies::Named, format!("shared memory: {place}, in which process {pid} receives")))
}

/// The receiving side of a ring whose receiver has died. `None` if it has a successor, who gets what is left in it, or cannot be had.
pub(super) fn successor(plan: &Plan, lies: &Lies) -> Option<RecordConsumer> {
    match lies {
        Lies::Named => {
            let builder = spsc::<[u8]>(plan.name.as_str()).directory(plan.directory.path()).capacity(plan.capacity);
            builder.existence(crate::Existence::MustExist).consumer().ok()
        }
        Lies::Handed(memfd) => spsc::<[u8]>("").consumer_of(memfd.as_ref()?).ok(),
    }
}

/// A name without its options.
pub(super) fn place_in(name: &str) -> &str {
    name.split_once('?').map_or(name, |(place, _)| place)
}
