//! Sending into a POSIX queue.

use super::PosixMq;
use super::queue::HIGHEST_PRIORITY;
use super::seat::Seat;
use crate::backoff::{Looks, Offers};
use crate::queued::Packing;
use crate::wait::{Wake, refused, until_ready};
use ringshm_core::error::{SendError, SendTimeoutError, TrySendError};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Interest, Sender};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

const SENDING: &str = "sending into the message queue (mq_send)";

/// A sender of a POSIX message queue: made by [`PosixMq::sender`].
///
/// It is told `Disconnected` once receivers have been there and none is, when the queue is full, and at the latest 50 ms after that if it goes on
/// sending; what it sent meanwhile stays in the queue for the next receiver.
#[derive(Debug)]
pub struct PosixMqSender {
    seat: Seat,
    packing: Packing,
    priority: u32,
    numbered: bool,
    offers: Offers,
    capabilities: Capabilities,
}

impl PosixMqSender {
    pub(super) fn new(seat: Seat, builder: &PosixMq) -> Self {
        let capabilities = builder.capabilities(seat.queue().shape().bytes);
        let packing = Packing::new(builder.framing, builder.numbered);
        let (priority, numbered, offers) = (builder.priority, builder.numbered, Offers::default());
        Self { seat, packing, priority, numbered, offers, capabilities }
    }

    /// As [`send`](Sender::send), with this priority instead of the handle's.
    ///
    /// # Errors
    /// [`SendError`]; `Unsupported` if there is no such priority, or messages are numbered.
    pub fn send_with_priority(&mut self, message: &[u8], priority: u32) -> Result<(), SendError<()>> {
        Ok(self.send_with_priority_by(message, priority, Deadline::NEVER)?)
    }

    /// As [`send_by`](Sender::send_by), with this priority instead of the handle's.
    ///
    /// # Errors
    /// [`SendTimeoutError`], as for [`send_with_priority`](Self::send_with_priority).
    pub fn send_with_priority_by(
        &mut self,
        message: &[u8],
        priority: u32,
        deadline: Deadline,
    ) -> Result<(), SendTimeoutError<()>> {
        self.check_priority(priority).map_err(|reason| SendTimeoutError::Unsupported { reason })?;
        self.put_by(message, priority, deadline)
    }

    /// As [`try_send`](Sender::try_send), with this priority instead of the handle's.
    ///
    /// # Errors
    /// [`TrySendError`], as for [`send_with_priority`](Self::send_with_priority).
    pub fn try_send_with_priority(&mut self, message: &[u8], priority: u32) -> Result<(), TrySendError<()>> {
        self.check_priority(priority).map_err(|reason| TrySendError::Unsupported { reason })?;
        self.try_put(message, priority)
    }

    fn check_priority(&self, priority: u32) -> Result<(), &'static str> {
        if priority > HIGHEST_PRIORITY {
            return Err("priorities go from 0 to 32767: choose one of these");
        }
        if self.numbered && priority != self.priority {
            return Err("numbered messages arrive in their order: open the queue without numbers for priorities");
        }
        Ok(())
    }

    /// Does not look whether anybody is there, but now and then.
    #[inline]
    fn put(&mut self, message: &[u8], priority: u32) -> Result<(), TrySendError<()>> {
        let max = self.capabilities.longest.bytes;
        if message.len() > max {
            return Err(TrySendError::TooLarge { len: message.len(), max });
        }
        if self.seat.should_look() {
            self.look()?;
        }
        match self.seat.queue().send(self.packing.pack(message), priority) {
            Ok(()) => {
                self.packing.was_sent();
                Ok(())
            }
            Err(Errno::AGAIN) => Err(TrySendError::Full(())),
            Err(errno) => Err(TrySendError::Fault((), refused(SENDING)(errno))),
        }
    }

    fn look(&mut self) -> Result<(), TrySendError<()>> {
        match self.seat.is_deserted() {
            Ok(false) => Ok(()),
            Ok(true) => Err(TrySendError::Disconnected(())),
            Err(fault) => Err(TrySendError::Fault((), fault)),
        }
    }

    fn try_put(&mut self, message: &[u8], priority: u32) -> Result<(), TrySendError<()>> {
        let result = self.put(message, priority);
        if let Err(TrySendError::Full(())) = result {
            self.look()?;
        }
        result
    }

    fn put_by(&mut self, message: &[u8], priority: u32, deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        let mut made = 0;
        loop {
            match self.put(message, priority).map_err(TrySendError::into_lasting) {
                Ok(()) => {
                    self.offers.helped(made);
                    return Ok(());
                }
                Err(Some(error)) => return Err(error),
                Err(None) if !deadline.is_over() && self.offers.make(&mut made) => {}
                Err(None) => break,
            }
        }
        self.offers.were_in_vain();
        self.sleep_and_put(message, priority, deadline)
    }

    #[cold]
    fn sleep_and_put(&mut self, message: &[u8], priority: u32, deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        let mut looks = Looks::default();
        loop {
            let over = deadline.is_over();
            let slept = if over { Ok(Wake::TimedOut) } else { self.sleep(deadline.at_most(looks.next())) };
            if slept.map_err(|fault| SendTimeoutError::Fault((), fault))? == Wake::TimedOut {
                if let Some(error) = self.look().err().and_then(TrySendError::into_lasting) {
                    return Err(error);
                }
            }
            match self.put(message, priority).map_err(TrySendError::into_lasting) {
                Ok(()) => return Ok(()),
                Err(Some(error)) => return Err(error),
                Err(None) if over => return Err(SendTimeoutError::Timeout(())),
                Err(None) => {}
            }
        }
    }

    fn sleep(&self, until: Deadline) -> Result<Wake, ringshm_core::Fault> {
        until_ready(self.seat.queue(), Interest::Writable, until)
    }
}

impl Channel for PosixMqSender {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.as_fd(), Interest::Writable)
    }

    fn detach(mut self: Box<Self>) {
        self.seat.detach();
    }
}

impl Sender for PosixMqSender {
    fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        self.try_put(message, self.priority)
    }

    fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        self.put_by(message, self.priority, deadline)
    }
}

/// Ready for writing when there is room.
impl AsFd for PosixMqSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.seat.queue().as_fd()
    }
}
