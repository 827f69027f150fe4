//! Sending into a System V queue.

use super::SysvMq;
use super::queue::Letter;
use super::seat::Seat;
use crate::backoff::Backoff;
use crate::queued::Packing;
use crate::wait::refused;
use ringshm_core::error::{SendError, SendTimeoutError, TrySendError};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Sender};
use rustix::io::Errno;

/// A sender of a System V message queue: made by [`SysvMq::sender`].
///
/// It is told `Disconnected` once receivers have been there and none is, when the queue is full, and at the latest 50 ms after that if it goes on
/// sending; what it sent meanwhile stays in the queue for the next receiver. If somebody removes the queue, it is told
/// [`Fault::Removed`](ringshm_core::Fault::Removed) by its next call, or within 20 ms if it waits.
#[derive(Debug)]
pub struct SysvMqSender {
    seat: Seat,
    packing: Packing,
    letter: Letter,
    kind: i64,
    numbered: bool,
    capabilities: Capabilities,
}

impl SysvMqSender {
    pub(super) fn new(seat: Seat, builder: &SysvMq) -> Self {
        Self {
            capabilities: builder.capabilities(seat.longest()),
            packing: Packing::new(builder.framing, builder.numbered),
            letter: Letter::with_room(seat.longest()),
            kind: builder.kind,
            numbered: builder.numbered,
            seat,
        }
    }

    /// As [`send`](Sender::send), with this type instead of the handle's: 1 or more.
    ///
    /// # Errors
    /// [`SendError`]; `Unsupported` if there is no such type, or messages are numbered.
    pub fn send_with_type(&mut self, message: &[u8], kind: i64) -> Result<(), SendError<()>> {
        Ok(self.send_with_type_by(message, kind, Deadline::NEVER)?)
    }

    /// As [`send_by`](Sender::send_by), with this type instead of the handle's.
    ///
    /// # Errors
    /// [`SendTimeoutError`], as for [`send_with_type`](Self::send_with_type).
    pub fn send_with_type_by(
        &mut self,
        message: &[u8],
        kind: i64,
        deadline: Deadline,
    ) -> Result<(), SendTimeoutError<()>> {
        self.check_type(kind).map_err(|reason| SendTimeoutError::Unsupported { reason })?;
        self.put_by(message, kind, deadline)
    }

    /// As [`try_send`](Sender::try_send), with this type instead of the handle's.
    ///
    /// # Errors
    /// [`TrySendError`], as for [`send_with_type`](Self::send_with_type).
    pub fn try_send_with_type(&mut self, message: &[u8], kind: i64) -> Result<(), TrySendError<()>> {
        self.check_type(kind).map_err(|reason| TrySendError::Unsupported { reason })?;
        self.try_put(message, kind)
    }

    fn check_type(&self, kind: i64) -> Result<(), &'static str> {
        if kind < 1 {
            return Err("the type of a message is 1 or more: choose such a number");
        }
        if self.numbered && kind != self.kind {
            return Err("numbered messages have one type: open the queue without numbers for several");
        }
        Ok(())
    }

    /// Does not look whether anybody is there, but now and then.
    #[inline]
    fn put(&mut self, message: &[u8], kind: i64) -> Result<(), TrySendError<()>> {
        let max = self.capabilities.longest.bytes;
        if message.len() > max {
            return Err(TrySendError::TooLarge { len: message.len(), max });
        }
        if self.seat.should_look() {
            self.look()?;
        }
        let len = self.packing.pack_into(message, self.letter.text_mut());
        match self.seat.queue().send(&mut self.letter, kind, len) {
            Ok(()) => {
                self.packing.was_sent();
                Ok(())
            }
            Err(Errno::AGAIN) => Err(TrySendError::Full(())),
            Err(Errno::IDRM | Errno::INVAL) => Err(match self.seat.is_over() {
                Ok(()) => TrySendError::Disconnected(()),
                Err(fault) => TrySendError::Fault((), fault),
            }),
            Err(errno) => Err(TrySendError::Fault((), refused("sending into the message queue (msgsnd)")(errno))),
        }
    }

    #[cold]
    fn look(&mut self) -> Result<(), TrySendError<()>> {
        match self.seat.is_deserted() {
            Ok(false) => Ok(()),
            Ok(true) => Err(TrySendError::Disconnected(())),
            Err(fault) => Err(TrySendError::Fault((), fault)),
        }
    }

    fn try_put(&mut self, message: &[u8], kind: i64) -> Result<(), TrySendError<()>> {
        let result = self.put(message, kind);
        if let Err(TrySendError::Full(())) = result {
            self.look()?;
        }
        result
    }

    fn put_by(&mut self, message: &[u8], kind: i64, deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        let mut backoff = Backoff::until(deadline);
        loop {
            let mut result = self.put(message, kind);
            let goes_on = result != Err(TrySendError::Full(())) || backoff.rest();
            if result == Err(TrySendError::Full(())) && (!goes_on || backoff.naps()) {
                result = self.look().and(result);
            }
            match result.map_err(TrySendError::into_lasting) {
                Ok(()) => return Ok(()),
                Err(Some(error)) => return Err(error),
                Err(None) if !goes_on => return Err(SendTimeoutError::Timeout(())),
                Err(None) => {}
            }
        }
    }
}

impl Channel for SysvMqSender {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Nothing
    }

    fn detach(mut self: Box<Self>) {
        self.seat.detach();
    }
}

impl Sender for SysvMqSender {
    fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        self.try_put(message, self.kind)
    }

    fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        self.put_by(message, self.kind, deadline)
    }
}
