//! The handles of rings of bytes behind the common face. A [`Parcel`] goes through them as a letter: its first bytes, more or fewer of
//! them from message to message.

use super::rings::{Received, Sink, Source};
use super::{Parcel, Stop};
use ringshm::{broadcast, mpmc};
use std::time::Duration;

/// A receiving handle, and the room that it receives into: allocated once.
pub(crate) struct Letters<C> {
    consumer: C,
    bytes: Vec<u8>,
}

impl<C> Letters<C> {
    pub(crate) fn of(consumer: C) -> Self {
        Self { consumer, bytes: Vec::with_capacity(Parcel::LONGEST_LETTER) }
    }

    fn received(&self, redelivered: bool) -> Received {
        Received { parcel: Parcel::from_letter(&self.bytes), redelivered }
    }
}

impl Source for mpmc::ByteProducer {
    fn try_send(&mut self, parcel: Parcel) -> Result<(), Stop> {
        Ok(self.try_send(parcel.letter())?)
    }

    fn send_by(&mut self, parcel: Parcel, timeout: Duration) -> Result<(), Stop> {
        Ok(self.send_timeout(parcel.letter(), timeout)?)
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl Sink for Letters<mpmc::ByteConsumer> {
    fn try_recv(&mut self) -> Result<Received, Stop> {
        self.consumer.try_recv(&mut self.bytes)?;
        Ok(self.received(self.consumer.redelivered()))
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop> {
        self.consumer.recv_timeout(&mut self.bytes, timeout)?;
        Ok(self.received(self.consumer.redelivered()))
    }

    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop> {
        let letter = self.consumer.recv_ref()?;
        show(Received { parcel: Parcel::from_letter(&letter), redelivered: letter.deaths() > 0 });
        Ok(())
    }

    fn detach(self: Box<Self>) {
        self.consumer.detach();
    }
}

impl Source for broadcast::RecordProducer {
    fn try_send(&mut self, parcel: Parcel) -> Result<(), Stop> {
        Ok(self.try_send(parcel.letter())?)
    }

    fn send_by(&mut self, parcel: Parcel, timeout: Duration) -> Result<(), Stop> {
        Ok(self.send_timeout(parcel.letter(), timeout)?)
    }

    /// In one publication, as long as the slice is no longer than a small array.
    fn try_send_slice(&mut self, parcels: &[Parcel]) -> Result<usize, Stop> {
        let mut letters: [&[u8]; 8] = [&[]; 8];
        let count = parcels.len().min(letters.len());
        letters.iter_mut().zip(parcels).for_each(|(letter, parcel)| *letter = parcel.letter());
        Ok(self.try_send_slice(&letters[..count])?)
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl<S: broadcast::Seat + Send> Sink for Letters<broadcast::RecordReceiver<S>> {
    fn try_recv(&mut self) -> Result<Received, Stop> {
        self.consumer.try_recv(&mut self.bytes)?;
        Ok(self.received(false))
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop> {
        self.consumer.recv_timeout(&mut self.bytes, timeout)?;
        Ok(self.received(false))
    }

    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop> {
        self.consumer.recv(&mut self.bytes)?;
        show(self.received(false));
        Ok(())
    }

    fn detach(self: Box<Self>) {}
}
