//! Every ring of the project through one face, for proofs that are alike for all of them. What they carry is [`Parcel`]s.

use super::letters::Letters;
use super::pictures::{self, Pictures};
use super::{Parcel, Short, Stop};
use ringshm::frames::{Delivery, Frames};
use ringshm::{Builder, OnDeath, OpenError, Payload, Wait, Wakeup, broadcast, latest, mpmc};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Participants of each role in a ring that several may take part in: few, so that lanes are used again.
const LANES: u32 = 8;

/// The rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Spsc,
    /// SPSC, whose messages are short and travel with the cursor.
    SpscShort,
    /// SPSC, whose participants sleep on semaphores.
    SpscBySemaphore,
    Mpmc,
    /// MPMC, whose participants sleep on semaphores.
    MpmcBySemaphore,
    /// MPMC, made so that messages are delivered at most once.
    MpmcOnce,
    /// MPMC, of byte messages.
    MpmcBytes,
    /// Broadcast, with lossless readers.
    Broadcast,
    /// The same, whose participants sleep on semaphores.
    BroadcastBySemaphore,
    /// The same, of byte records.
    Records,
    /// Broadcast, with lossy readers.
    Lossy,
    /// The same, of byte records.
    LossyRecords,
    /// A register, with readers that nobody knows of.
    Latest,
    /// Frames, with consumers that take each of them.
    Frames,
    /// The same, with consumers that take the newest only.
    NewestFrame,
}

impl Kind {
    pub(crate) const ALL: [Self; 15] = [
        Self::Spsc,
        Self::SpscShort,
        Self::SpscBySemaphore,
        Self::Mpmc,
        Self::MpmcBySemaphore,
        Self::MpmcOnce,
        Self::MpmcBytes,
        Self::Broadcast,
        Self::BroadcastBySemaphore,
        Self::Records,
        Self::Lossy,
        Self::LossyRecords,
        Self::Latest,
        Self::Frames,
        Self::NewestFrame,
    ];

    /// Its word in commands and tables.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Spsc => "spsc",
            Self::SpscShort => "spsc-short",
            Self::SpscBySemaphore => "spsc-by-semaphore",
            Self::Mpmc => "mpmc",
            Self::MpmcBySemaphore => "mpmc-by-semaphore",
            Self::MpmcOnce => "mpmc-once",
            Self::MpmcBytes => "mpmc-bytes",
            Self::Broadcast => "broadcast",
            Self::BroadcastBySemaphore => "broadcast-by-semaphore",
            Self::Records => "records",
            Self::Lossy => "lossy",
            Self::LossyRecords => "lossy-records",
            Self::Latest => "latest",
            Self::Frames => "frames",
            Self::NewestFrame => "newest-frame",
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.word() == word).unwrap_or_else(|| panic!("no ring is called {word}"))
    }

    /// Whether there may be several producers.
    pub(crate) fn has_many_sources(self) -> bool {
        matches!(self, Self::Mpmc | Self::MpmcBySemaphore | Self::MpmcOnce | Self::MpmcBytes)
    }

    /// Whether there may be several consumers.
    pub(crate) fn has_many_sinks(self) -> bool {
        !matches!(self, Self::Spsc | Self::SpscShort | Self::SpscBySemaphore)
    }

    /// Whether every consumer gets every message, or may get it.
    pub(crate) fn gives_all_to_all(self) -> bool {
        self.has_many_sinks() && !self.has_many_sources()
    }

    /// Whether messages may pass a consumer by, because nobody waits for it.
    pub(crate) fn is_lossy(self) -> bool {
        matches!(self, Self::Lossy | Self::LossyRecords | Self::Latest | Self::NewestFrame)
    }

    /// Whether a message that a consumer died with comes again, and is marked then.
    pub(crate) fn redelivers(self) -> bool {
        matches!(self, Self::Mpmc | Self::MpmcBySemaphore | Self::MpmcBytes)
    }

    fn wakes_by_semaphores(self) -> bool {
        matches!(self, Self::SpscBySemaphore | Self::MpmcBySemaphore | Self::BroadcastBySemaphore)
    }

    /// Whether positions count bytes of records.
    pub(crate) fn is_of_records(self) -> bool {
        matches!(self, Self::Records | Self::LossyRecords)
    }

    /// Whether messages are taken where they lie.
    pub(crate) fn is_of_frames(self) -> bool {
        matches!(self, Self::Frames | Self::NewestFrame)
    }

    /// The same ring, read by consumers that the producer waits for. A register has none.
    pub(crate) fn lossless(self) -> Self {
        match self {
            Self::Lossy => Self::Broadcast,
            Self::LossyRecords => Self::Records,
            Self::NewestFrame => Self::Frames,
            kind => kind,
        }
    }
}

/// A received message, and whether a consumer that died may have had it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) parcel: Parcel,
    pub(crate) redelivered: bool,
}

/// The sending side of a ring.
pub(crate) trait Source: Send {
    fn try_send(&mut self, parcel: Parcel) -> Result<(), Stop>;
    fn send_by(&mut self, parcel: Parcel, timeout: Duration) -> Result<(), Stop>;
    /// Sends a batch: one by one, where the ring knows none.
    fn try_send_slice(&mut self, parcels: &[Parcel]) -> Result<usize, Stop> {
        one_by_one(parcels.iter().map(|parcel| self.try_send(*parcel)))
    }
    /// Sends a message that nobody receives, and that consumers miss: only of frames.
    fn give_up(&mut self, _parcel: Parcel, _timeout: Duration) -> Result<(), Stop> {
        Err(Stop::OfOthers)
    }
    fn detach(self: Box<Self>);
}

/// The receiving side of a ring.
pub(crate) trait Sink: Send {
    fn try_recv(&mut self) -> Result<Received, Stop>;
    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop>;
    /// Waits for a message, shows it, and releases it only then.
    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop>;
    /// Receives a batch: one by one, where the ring knows none. Whether its messages were delivered before is not asked.
    fn try_recv_slice(&mut self, parcels: &mut [Parcel]) -> Result<usize, Stop> {
        one_by_one(parcels.iter_mut().map(|parcel| {
            *parcel = self.try_recv()?.parcel;
            Ok(())
        }))
    }
    /// Leaves, without a word if nobody would miss it.
    fn detach(self: Box<Self>);
}

/// How many of the calls went well, up to the first that did not.
pub(super) fn one_by_one(calls: impl Iterator<Item = Result<(), Stop>>) -> Result<usize, Stop> {
    let mut done = 0;
    for call in calls {
        match call {
            Ok(()) => done += 1,
            Err(stop) if done == 0 => return Err(stop),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// A named ring, and how to take part in it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) folder: PathBuf,
    pub(crate) name: String,
    /// Messages that it has room for, or letters of the length that all of one producer's have. Of frames, the slots.
    pub(crate) capacity: u64,
    pub(crate) origin: u64,
    /// Whether participants spin for ever, and leave it to others to ask who is alive.
    pub(crate) is_silent: bool,
}

impl Place {
    /// The ring as words of a command, which do not say that it is silent; see [`from_words`](Self::from_words).
    pub(crate) fn words(&self) -> String {
        let Self { kind, folder, name, capacity, origin, .. } = self;
        format!("{} {} {name} {capacity} {origin}", kind.word(), folder.display())
    }

    pub(crate) fn from_words(words: &[&str]) -> Self {
        let &[kind, folder, name, capacity, origin] = words else { panic!("a ring has five words: {words:?}") };
        Self {
            kind: Kind::from_word(kind),
            folder: Path::new(folder).to_owned(),
            name: name.to_owned(),
            capacity: capacity.parse().expect("a capacity"),
            origin: origin.parse().expect("a position"),
            is_silent: false,
        }
    }

    fn described<M: ringshm::Message + ?Sized>(&self, builder: Builder<M>) -> Builder<M> {
        let capacity = if self.kind.is_of_records() { self.bytes() } else { self.capacity };
        let wakeup = if self.kind.wakes_by_semaphores() { Wakeup::Semaphore } else { Wakeup::Futex };
        let builder = builder.directory(&self.folder).capacity(capacity).origin(self.origin).wake_by(wakeup);
        if self.is_silent {
            builder.wait(Wait::Spin).on_death(OnDeath::LeaveToOthers)
        } else {
            builder.on_death(OnDeath::AwaitSuccessor)
        }
    }

    /// The size of a ring of records: at least twice the longest.
    fn bytes(&self) -> u64 {
        (self.capacity * Parcel::SPAN).max(2 * Parcel::LONGEST_SPAN).next_power_of_two()
    }

    /// The most messages that it may hold.
    pub(crate) fn most(&self) -> u64 {
        match self.kind {
            Kind::Records | Kind::LossyRecords => self.bytes() / Parcel::SHORTEST_SPAN,
            Kind::Latest => 1,
            _ => self.capacity,
        }
    }

    fn spsc<T: Payload>(&self) -> Builder<T> {
        self.described(ringshm::spsc::<T>(&self.name))
    }

    fn mpmc(&self) -> Builder<mpmc::Mpmc<Parcel>> {
        let builder = self.described(ringshm::mpmc::<Parcel>(&self.name)).producers(LANES).consumers(LANES);
        if self.kind == Kind::MpmcOnce { builder.at_most_once() } else { builder }
    }

    fn mpmc_bytes(&self) -> Builder<mpmc::Mpmc<[u8]>> {
        let builder = self.described(ringshm::mpmc::<[u8]>(&self.name)).producers(LANES).consumers(LANES);
        builder.max_message(Parcel::LONGEST_LETTER as u64)
    }

    fn broadcast(&self) -> Builder<broadcast::Broadcast<Parcel>> {
        self.described(ringshm::broadcast(&self.name)).consumers(LANES)
    }

    fn records(&self) -> Builder<broadcast::Broadcast<[u8]>> {
        self.described(ringshm::broadcast(&self.name)).consumers(LANES)
    }

    fn latest(&self) -> Builder<latest::Latest<Parcel>> {
        self.described(ringshm::latest(&self.name)).consumers(LANES)
    }

    /// Consumers of a ring of frames may hold as many at once as leaves room for three of them, or one.
    pub(super) fn frames(&self) -> Builder<Frames> {
        let takes_all = self.kind == Kind::Frames;
        let delivery = if takes_all { Delivery::EveryFrame } else { Delivery::NewestOnly };
        let builder = self.described(ringshm::frames(&self.name)).consumers(LANES).frame_bytes(pictures::BYTES as u64);
        builder.delivery(delivery).hold(((self.capacity - 2) / 3).max(1) as u32)
    }

    pub(crate) fn source(&self) -> Result<Box<dyn Source>, OpenError> {
        Ok(match self.kind {
            Kind::Spsc | Kind::SpscBySemaphore => Box::new(self.spsc::<Parcel>().producer()?),
            Kind::SpscShort => Box::new(self.spsc::<Short>().producer()?),
            Kind::Mpmc | Kind::MpmcBySemaphore | Kind::MpmcOnce => Box::new(self.mpmc().producer()?),
            Kind::MpmcBytes => Box::new(self.mpmc_bytes().producer()?),
            Kind::Broadcast | Kind::BroadcastBySemaphore | Kind::Lossy => Box::new(self.broadcast().producer()?),
            Kind::Records | Kind::LossyRecords => Box::new(self.records().producer()?),
            Kind::Latest => Box::new(self.latest().producer()?),
            Kind::Frames | Kind::NewestFrame => Box::new(self.frames().producer()?),
        })
    }

    pub(crate) fn sink(&self) -> Result<Box<dyn Sink>, OpenError> {
        Ok(match self.kind {
            Kind::Spsc | Kind::SpscBySemaphore => Box::new(self.spsc::<Parcel>().consumer()?),
            Kind::SpscShort => Box::new(self.spsc::<Short>().consumer()?),
            Kind::Mpmc | Kind::MpmcBySemaphore | Kind::MpmcOnce => Box::new(self.mpmc().consumer()?),
            Kind::MpmcBytes => Box::new(Letters::of(self.mpmc_bytes().consumer()?)),
            Kind::Broadcast | Kind::BroadcastBySemaphore => Box::new(self.broadcast().consumer()?),
            Kind::Records => Box::new(Letters::of(self.records().consumer()?)),
            Kind::Lossy => Box::new(self.broadcast().reader()?),
            Kind::LossyRecords => Box::new(Letters::of(self.records().reader()?)),
            Kind::Latest => Box::new(self.latest().reader()?),
            Kind::Frames | Kind::NewestFrame => Box::new(Pictures::of(self.frames().consumer()?)),
        })
    }

    /// Removes the ring, whoever is in it.
    pub(crate) fn remove(&self) {
        match ringshm::remove(&ringshm::Directory::new(&self.folder), &self.name, true) {
            Ok(()) | Err(OpenError::NotFound { .. }) => {}
            Err(error) => panic!("removing {}: {error}", self.name),
        }
    }
}
