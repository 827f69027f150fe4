//! The handles of rings of [`Parcel`]s, and of registers of one, behind the common face.

use super::carrier::Fixed;
use super::rings::{Received, Sink, Source};
use super::{Parcel, Stop};
use ringshm::{Consumer, Producer, broadcast, latest, mpmc};
use std::time::Duration;

impl<T: Fixed> Source for Producer<T> {
    fn try_send(&mut self, parcel: Parcel) -> Result<(), Stop> {
        Ok(self.try_send(parcel.into())?)
    }

    fn send_by(&mut self, parcel: Parcel, timeout: Duration) -> Result<(), Stop> {
        Ok(self.send_timeout(parcel.into(), timeout)?)
    }

    /// In one publication, as long as the slice is no longer than a small array.
    fn try_send_slice(&mut self, parcels: &[Parcel]) -> Result<usize, Stop> {
        let mut messages = [T::new_zeroed(); 8];
        let count = parcels.len().min(messages.len());
        messages.iter_mut().zip(parcels).for_each(|(message, parcel)| *message = (*parcel).into());
        Ok(self.try_send_slice(&messages[..count])?)
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl<T: Fixed> Sink for Consumer<T> {
    fn try_recv(&mut self) -> Result<Received, Stop> {
        Ok(Received { parcel: self.try_recv()?.into(), redelivered: false })
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop> {
        Ok(Received { parcel: self.recv_timeout(timeout)?.into(), redelivered: false })
    }

    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop> {
        let guard = self.recv_ref()?;
        show(Received { parcel: (*guard).into(), redelivered: false });
        Ok(())
    }

    fn try_recv_slice(&mut self, parcels: &mut [Parcel]) -> Result<usize, Stop> {
        let drain = self.try_drain()?;
        Ok(parcels.iter_mut().zip(drain).map(|(parcel, received)| *parcel = received.into()).count())
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

/// A reader of either kind. One that dies leaves nothing to others: when its message is released does not matter.
impl<S: broadcast::Seat + Send> Sink for broadcast::Receiver<Parcel, S> {
    fn try_recv(&mut self) -> Result<Received, Stop> {
        Ok(Received { parcel: self.try_recv()?, redelivered: false })
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop> {
        Ok(Received { parcel: self.recv_timeout(timeout)?, redelivered: false })
    }

    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop> {
        show(Received { parcel: self.recv()?, redelivered: false });
        Ok(())
    }

    fn try_recv_slice(&mut self, parcels: &mut [Parcel]) -> Result<usize, Stop> {
        Ok(self.try_recv_slice(parcels)?)
    }

    fn detach(self: Box<Self>) {}
}

impl Source for latest::Writer<Parcel> {
    fn try_send(&mut self, parcel: Parcel) -> Result<(), Stop> {
        Ok(self.write(parcel)?)
    }

    fn send_by(&mut self, parcel: Parcel, _timeout: Duration) -> Result<(), Stop> {
        Ok(self.write(parcel)?)
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

/// A message of a register is a value that was not read before.
impl Sink for latest::Reader<Parcel> {
    fn try_recv(&mut self) -> Result<Received, Stop> {
        if !self.changed() {
            return Err(Stop::NotReady);
        }
        let parcel = self.read().ok_or(Stop::NotReady)?;
        Ok(Received { parcel, redelivered: false })
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<Received, Stop> {
        self.wait_for_change(timeout)?;
        let parcel = self.read().ok_or(Stop::NotReady)?;
        Ok(Received { parcel, redelivered: false })
    }

    fn recv_held(&mut self, show: &mut dyn FnMut(Received)) -> Result<(), Stop> {
        let parcel = self.next_change().ok_or(Stop::Disconnected)?;
        show(Received { parcel, redelivered: false });
        Ok(())
    }

    fn detach(self: Box<Self>) {}
}
