//! Receiving from a System V queue.

use super::SysvMq;
use super::queue::{Letter, longest};
use super::seat::Seat;
use crate::backoff::Backoff;
use crate::framing::Framing;
use crate::queued::Unpacking;
use crate::wait::refused;
use ringshm_core::error::{RecvTimeoutError, Rejection, TryRecvError};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Receiver};
use rustix::io::Errno;

/// A receiver of a System V message queue: made by [`SysvMq::receiver`].
///
/// It is told `Disconnected` when there is no message for it, senders have been there and none is, and [`Fault::Removed`](ringshm_core::Fault::Removed)
/// if somebody removes the queue: within 20 ms of either, if it waits.
#[derive(Debug)]
pub struct SysvMqReceiver {
    seat: Seat,
    unpacking: Unpacking,
    framing: Framing,
    letter: Letter,
    /// Which messages, as `msgrcv` takes it.
    select: i64,
    capabilities: Capabilities,
}

impl SysvMqReceiver {
    pub(super) fn new(seat: Seat, builder: &SysvMq) -> Self {
        Self {
            capabilities: builder.capabilities(seat.longest()),
            unpacking: Unpacking::new(builder.framing, builder.numbered),
            framing: builder.framing,
            letter: Letter::with_room(seat.longest()),
            select: builder.select,
            seat,
        }
    }

    /// As [`recv_by`](Receiver::recv_by), of the messages that `select` stands for, instead of the handle's: those of one type, if it is positive;
    /// any, if it is 0; those of a type up to `-select`, the lowest first, if it is negative. Returns the length and the type.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    pub fn recv_selected_by(
        &mut self,
        into: &mut Vec<u8>,
        select: i64,
        deadline: Deadline,
    ) -> Result<(usize, i64), RecvTimeoutError> {
        let len = self.take_by(into, select, deadline)?;
        Ok((len, self.letter.kind()))
    }

    /// As [`recv_selected_by`](Self::recv_selected_by), and never waits.
    ///
    /// # Errors
    /// [`TryRecvError`].
    pub fn try_recv_selected(&mut self, into: &mut Vec<u8>, select: i64) -> Result<(usize, i64), TryRecvError> {
        let len = self.try_take(into, select)?;
        Ok((len, self.letter.kind()))
    }

    /// Does not look whether anybody is there.
    #[inline]
    fn take(&mut self, into: &mut Vec<u8>, select: i64, wait: bool) -> Result<usize, TryRecvError> {
        if let Some(len) = self.unpacking.take_held(into) {
            return Ok(len);
        }
        loop {
            match self.seat.queue().receive(&mut self.letter, select, wait) {
                Ok(len) => {
                    let message = self.unpacking.unpack(&self.letter.text()[..len], into)?;
                    if self.framing == Framing::Frames {
                        self.seat.has_heard();
                    }
                    return Ok(message);
                }
                Err(Errno::NOMSG) => return Err(TryRecvError::Empty),
                Err(Errno::TOOBIG) => self.make_room()?,
                Err(Errno::IDRM | Errno::INVAL) => {
                    return Err(self.seat.is_over().map_or_else(TryRecvError::Fault, |()| TryRecvError::Disconnected));
                }
                Err(errno) => {
                    return Err(TryRecvError::Fault(refused("receiving from the message queue (msgrcv)")(errno)));
                }
            }
        }
    }

    /// A message is longer than any could be when this was opened: the limit was raised, or the queue's capacity.
    #[cold]
    fn make_room(&mut self) -> Result<(), TryRecvError> {
        let room = usize::try_from(longest()).unwrap_or(usize::MAX).max(2 * self.letter.room());
        // Beyond this it cannot have been sent under any limit that a kernel takes.
        if room > i32::MAX as usize {
            return Err(TryRecvError::Rejected(Rejection::new("it is longer than any message can be")));
        }
        self.letter = Letter::with_room(room);
        Ok(())
    }

    /// The queue was found empty: whether that is the end.
    #[cold]
    fn look(&mut self, into: &mut Vec<u8>, select: i64) -> Result<usize, TryRecvError> {
        if !self.seat.is_deserted().map_err(TryRecvError::Fault)? {
            return Err(TryRecvError::Empty);
        }
        match self.take(into, select, false) {
            Err(TryRecvError::Empty) => Err(TryRecvError::Disconnected),
            last => last,
        }
    }

    fn try_take(&mut self, into: &mut Vec<u8>, select: i64) -> Result<usize, TryRecvError> {
        match self.take(into, select, false) {
            Err(TryRecvError::Empty) => self.look(into, select),
            result => result,
        }
    }

    fn take_by(&mut self, into: &mut Vec<u8>, select: i64, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        let mut backoff = Backoff::until(deadline);
        loop {
            let mut result = self.take(into, select, false);
            let goes_on = result != Err(TryRecvError::Empty) || backoff.rest();
            if result == Err(TryRecvError::Empty) && (!goes_on || backoff.naps()) {
                result = if deadline == Deadline::NEVER && select == 0 && self.may_sleep()? {
                    self.take(into, select, true)
                } else {
                    self.look(into, select)
                };
            }
            match result.map_err(TryRecvError::into_lasting) {
                Ok(len) => return Ok(len),
                Err(Some(error)) => return Err(error),
                Err(None) if !goes_on => return Err(RecvTimeoutError::Timeout),
                Err(None) => {}
            }
        }
    }

    fn may_sleep(&mut self) -> Result<bool, RecvTimeoutError> {
        self.seat.may_sleep().map_err(RecvTimeoutError::Fault)
    }
}

impl Channel for SysvMqReceiver {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Nothing
    }

    fn has_more(&mut self) -> bool {
        self.unpacking.holds()
    }

    fn detach(mut self: Box<Self>) {
        self.seat.detach();
    }
}

impl Receiver for SysvMqReceiver {
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        self.try_take(into, self.select)
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.take_by(into, self.select, deadline)
    }

    fn position(&self) -> Option<u64> {
        self.unpacking.position()
    }
}
