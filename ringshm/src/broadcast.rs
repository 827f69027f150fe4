//! Choosing a broadcast ring, and how to read it.

use crate::{Builder, Heap};
use ringshm_core::broadcast::{Broadcast, OnSlowReader, Readable, Start, Startable, reader_in};
use ringshm_core::error::OpenError;
use ringshm_core::os::IntoMemfd;

/// Begins to describe a ring with one producer and any number of readers, each message to all of them, that carries `M`: a fixed-size type,
/// or `[u8]` for byte records of any length. Its handles are in [`broadcast`](mod@crate::broadcast). The name is as for
/// [`spsc`](crate::spsc).
///
/// A [`consumer`](Builder::consumer) is lossless: the producer waits for it. A [`reader`](Builder::reader) is lossy: nobody waits for it, it
/// cannot write into the ring, and it is told how many messages it missed.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ticks = ringshm::broadcast::<u64>("").capacity(8).heap()?;
/// let (mut producer, mut consumer, mut reader) = (ticks.producer()?, ticks.consumer()?, ticks.reader()?);
/// for tick in 0..8 {
///     producer.send(tick)?;
/// }
/// assert!(producer.try_send(8).is_err(), "the consumer has not received the first");
/// assert_eq!(consumer.recv()?, 0);
/// producer.send(8)?;
/// assert_eq!(reader.try_recv(), Err(ringshm::TryRecvError::Lagged(5)));
/// assert_eq!(reader.recv()?, 5);
/// # Ok(()) }
/// ```
pub fn broadcast<M: ?Sized>(name: &str) -> Builder<Broadcast<M>> {
    Builder::new(name)
}

impl<M: Startable + ?Sized> Builder<M> {
    /// Where a reader begins: by default at the oldest message that is certainly still there. A consumer of frames that takes the newest only begins with
    /// the newest there is, or, with [`Start::Newest`], with the next.
    pub fn start(mut self, start: Start) -> Self {
        self.options.behaviour.start = start;
        self
    }
}

impl<M: Readable + ?Sized> Builder<M> {
    /// Reads the ring without a role in it, and without being able to write into it. If there is none, it is created.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn reader(self) -> Result<M::Reader, OpenError> {
        self.options.reader_at::<M>(&self.place()?)
    }

    /// As [`reader`](Self::reader), of the ring in a memfd.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn reader_of(self, memfd: impl IntoMemfd) -> Result<M::Reader, OpenError> {
        self.options.reader_of::<M>(memfd)
    }
}

impl<M: ?Sized> Builder<Broadcast<M>> {
    /// What this producer does about a consumer that holds it up: by default it waits.
    pub fn on_slow_reader(mut self, policy: OnSlowReader) -> Self {
        self.options.behaviour.on_slow_reader = policy;
        self
    }

    /// The most consumers, lossless readers that is, of a ring that this creates, 1 to 64; 64 if not given. Each takes 384 bytes. A ring that
    /// exists has as many as it was made for. Lossy readers are not counted.
    pub fn consumers(mut self, most: u32) -> Self {
        self.options.wishes.consumers = most;
        self
    }
}

impl<M: Readable + ?Sized> Heap<M> {
    /// Comes to read without a role.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`].
    pub fn reader(&self) -> Result<M::Reader, OpenError> {
        reader_in::<M>(&self.memory, self.behaviour)
    }
}

impl<M: Startable + ?Sized> Heap<M> {
    /// The same ring, for readers that begin elsewhere.
    #[must_use]
    pub fn starting(&self, start: Start) -> Self {
        let mut behaviour = self.behaviour;
        behaviour.start = start;
        Self { memory: self.memory.clone(), behaviour, ..*self }
    }
}
