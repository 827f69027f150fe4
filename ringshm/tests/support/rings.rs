//! Every ring of the project through one face, for proofs that are alike for all of them. What they carry is [`Parcel`]s.

use super::{Parcel, Stop};
use ringshm::{Builder, Consumer, OnDeath, OpenError, Producer, broadcast, mpmc};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Participants of each role in a ring that several may take part in: few, so that lanes are used again.
const LANES: u32 = 8;

/// The rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Spsc,
    Mpmc,
    /// MPMC, made so that messages are delivered at most once.
    MpmcOnce,
    /// Broadcast, with lossless readers.
    Broadcast,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Spsc, Self::Mpmc, Self::MpmcOnce, Self::Broadcast];

    /// Its word in commands and tables.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Spsc => "spsc",
            Self::Mpmc => "mpmc",
            Self::MpmcOnce => "mpmc-once",
            Self::Broadcast => "broadcast",
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.word() == word).unwrap_or_else(|| panic!("no ring is called {word}"))
    }

    /// Whether there may be several producers.
    pub(crate) fn has_many_sources(self) -> bool {
        matches!(self, Self::Mpmc | Self::MpmcOnce)
    }

    /// Whether there may be several consumers.
    pub(crate) fn has_many_sinks(self) -> bool {
        self != Self::Spsc
    }

    /// Whether every consumer gets every message.
    pub(crate) fn gives_all_to_all(self) -> bool {
        self == Self::Broadcast
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
    fn try_send_slice(&mut self, parcels: &[Parcel]) -> Result<usize, Stop>;
    fn detach(self: Box<Self>);
}

/// The receiving side of a ring.
pub(crate) trait Sink: Send {
    fn try_recv(&mut self) -> Result<Received, Stop>;
    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop>;
    /// Waits for a message, shows it, and releases it only then.
    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop>;
    /// Receives a batch. Whether its messages were delivered before is not asked.
    fn try_recv_slice(&mut self, parcels: &mut [Parcel]) -> Result<usize, Stop>;
    fn detach(self: Box<Self>);
}

/// A named ring, and how to take part in it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) folder: PathBuf,
    pub(crate) name: String,
    pub(crate) capacity: u64,
    pub(crate) origin: u64,
}

impl Place {
    /// The ring as words of a command; see [`from_words`](Self::from_words).
    pub(crate) fn words(&self) -> String {
        let Self { kind, folder, name, capacity, origin } = self;
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
        }
    }

    fn described<M: ringshm::Message + ?Sized>(&self, builder: Builder<M>) -> Builder<M> {
        builder.directory(&self.folder).capacity(self.capacity).origin(self.origin).on_death(OnDeath::AwaitSuccessor)
    }

    fn mpmc(&self) -> Builder<mpmc::Mpmc<Parcel>> {
        let builder = self.described(ringshm::mpmc::<Parcel>(&self.name)).producers(LANES).consumers(LANES);
        if self.kind == Kind::MpmcOnce { builder.at_most_once() } else { builder }
    }

    fn broadcast(&self) -> Builder<broadcast::Broadcast<Parcel>> {
        self.described(ringshm::broadcast::<Parcel>(&self.name)).consumers(LANES)
    }

    pub(crate) fn source(&self) -> Result<Box<dyn Source>, OpenError> {
        Ok(match self.kind {
            Kind::Spsc => Box::new(self.described(ringshm::spsc::<Parcel>(&self.name)).producer()?),
            Kind::Mpmc | Kind::MpmcOnce => Box::new(self.mpmc().producer()?),
            Kind::Broadcast => Box::new(self.broadcast().producer()?),
        })
    }

    pub(crate) fn sink(&self) -> Result<Box<dyn Sink>, OpenError> {
        Ok(match self.kind {
            Kind::Spsc => Box::new(self.described(ringshm::spsc::<Parcel>(&self.name)).consumer()?),
            Kind::Mpmc | Kind::MpmcOnce => Box::new(self.mpmc().consumer()?),
            Kind::Broadcast => Box::new(self.broadcast().consumer()?),
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

impl Source for Producer<Parcel> {
    fn try_send(&mut self, parcel: Parcel) -> Result<(), Stop> {
        Ok(self.try_send(parcel)?)
    }

    fn send_by(&mut self, parcel: Parcel, timeout: Duration) -> Result<(), Stop> {
        Ok(self.send_timeout(parcel, timeout)?)
    }

    fn try_send_slice(&mut self, parcels: &[Parcel]) -> Result<usize, Stop> {
        Ok(self.try_send_slice(parcels)?)
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl Sink for Consumer<Parcel> {
    fn try_recv(&mut self) -> Result<Received, Stop> {
        Ok(Received { parcel: self.try_recv()?, redelivered: false })
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop> {
        Ok(Received { parcel: self.recv_timeout(timeout)?, redelivered: false })
    }

    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop> {
        show(Received { parcel: *self.recv_ref()?, redelivered: false });
        Ok(())
    }

    fn try_recv_slice(&mut self, parcels: &mut [Parcel]) -> Result<usize, Stop> {
        let drain = self.try_drain()?;
        Ok(parcels.iter_mut().zip(drain).map(|(parcel, received)| *parcel = received).count())
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl Source for mpmc::Producer<Parcel> {
    fn try_send(&mut self, parcel: Parcel) -> Result<(), Stop> {
        Ok(self.try_send(parcel)?)
    }

    fn send_by(&mut self, parcel: Parcel, timeout: Duration) -> Result<(), Stop> {
        Ok(self.send_timeout(parcel, timeout)?)
    }

    fn try_send_slice(&mut self, parcels: &[Parcel]) -> Result<usize, Stop> {
        Ok(self.try_send_slice(parcels)?)
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl Sink for mpmc::Consumer<Parcel> {
    fn try_recv(&mut self) -> Result<Received, Stop> {
        let parcel = self.try_recv()?;
        Ok(Received { parcel, redelivered: self.redelivered() })
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop> {
        let parcel = self.recv_timeout(timeout)?;
        Ok(Received { parcel, redelivered: self.redelivered() })
    }

    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop> {
        let message = self.recv_ref()?;
        show(Received { parcel: *message, redelivered: message.deaths() > 0 });
        Ok(())
    }

    fn try_recv_slice(&mut self, parcels: &mut [Parcel]) -> Result<usize, Stop> {
        Ok(self.try_recv_slice(parcels)?)
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl Source for broadcast::Producer<Parcel> {
    fn try_send(&mut self, parcel: Parcel) -> Result<(), Stop> {
        Ok(self.try_send(parcel)?)
    }

    fn send_by(&mut self, parcel: Parcel, timeout: Duration) -> Result<(), Stop> {
        Ok(self.send_timeout(parcel, timeout)?)
    }

    fn try_send_slice(&mut self, parcels: &[Parcel]) -> Result<usize, Stop> {
        Ok(self.try_send_slice(parcels)?)
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl Sink for broadcast::Consumer<Parcel> {
    fn try_recv(&mut self) -> Result<Received, Stop> {
        Ok(Received { parcel: self.try_recv()?, redelivered: false })
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop> {
        Ok(Received { parcel: self.recv_timeout(timeout)?, redelivered: false })
    }

    /// A reader that dies leaves nothing to others: when its message is released does not matter.
    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop> {
        show(Received { parcel: self.recv()?, redelivered: false });
        Ok(())
    }

    fn try_recv_slice(&mut self, parcels: &mut [Parcel]) -> Result<usize, Stop> {
        Ok(self.try_recv_slice(parcels)?)
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}
