//! Receiving from a POSIX queue.

use super::PosixMq;
use super::seat::Seat;
use crate::backoff::{Looks, Offers};
use crate::framing::Framing;
use crate::queued::Unpacking;
use crate::wait::{Wake, refused, until_ready};
use ringshm_core::error::{RecvError, RecvTimeoutError, TryRecvError};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Fault, Interest, Receiver};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

const RECEIVING: &str = "receiving from the message queue (mq_receive)";

/// A receiver of a POSIX message queue: made by [`PosixMq::receiver`].
///
/// It is told `Disconnected` when the queue is empty, senders have been there and none is: within 20 ms of its end, if it waits. If the name
/// of the queue is removed, it is told [`Fault::Removed`] as soon, once nobody is left who could send.
#[derive(Debug)]
pub struct PosixMqReceiver {
    seat: Seat,
    unpacking: Unpacking,
    framing: Framing,
    packet: Vec<u8>,
    priority: u32,
    offers: Offers,
    capabilities: Capabilities,
}

impl PosixMqReceiver {
    pub(super) fn new(seat: Seat, builder: &PosixMq) -> Self {
        let bytes = seat.queue().shape().bytes;
        Self {
            capabilities: builder.capabilities(bytes),
            unpacking: Unpacking::new(builder.framing, builder.numbered),
            framing: builder.framing,
            packet: vec![0; bytes],
            priority: 0,
            offers: Offers::default(),
            seat,
        }
    }

    /// As [`recv`](Receiver::recv); returns the length and the priority.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv_with_priority(&mut self, into: &mut Vec<u8>) -> Result<(usize, u32), RecvError> {
        Ok(self.recv_with_priority_by(into, Deadline::NEVER)?)
    }

    /// As [`recv_by`](Receiver::recv_by); returns the length and the priority.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    pub fn recv_with_priority_by(
        &mut self,
        into: &mut Vec<u8>,
        deadline: Deadline,
    ) -> Result<(usize, u32), RecvTimeoutError> {
        let len = self.recv_by(into, deadline)?;
        Ok((len, self.priority))
    }

    /// As [`try_recv`](Receiver::try_recv); returns the length and the priority.
    ///
    /// # Errors
    /// [`TryRecvError`].
    pub fn try_recv_with_priority(&mut self, into: &mut Vec<u8>) -> Result<(usize, u32), TryRecvError> {
        let len = self.try_recv(into)?;
        Ok((len, self.priority))
    }

    /// Has the kernel send `signal` to this process, once, when the next message comes while the queue is empty (`mq_notify`): for programs that are
    /// built around signals. Ask again, and then receive until the queue is empty, each time the signal came. The descriptor ([`AsFd`]) is what
    /// other programs wait for. The program must wait for the signal, or handle it, before it asks: most signals end it otherwise.
    ///
    /// # Errors
    /// [`Fault::Os`]: with `EBUSY` if another process has asked, with `EINVAL` if there is no such signal.
    pub fn notify(&self, signal: i32) -> Result<(), Fault> {
        self.seat.queue().notify(Some(signal)).map_err(refused("asking for a signal (mq_notify)"))
    }

    /// Takes back what [`notify`](Self::notify) asked for, if it was this process that asked.
    ///
    /// # Errors
    /// [`Fault::Os`].
    pub fn cancel_notify(&self) -> Result<(), Fault> {
        self.seat.queue().notify(None).map_err(refused("asking for no signal (mq_notify)"))
    }

    /// Does not look whether anybody is there.
    #[inline]
    fn take(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        if let Some(len) = self.unpacking.take_held(into) {
            return Ok(len);
        }
        match self.seat.queue().receive(&mut self.packet) {
            Ok((len, priority)) => {
                self.priority = priority;
                let message = self.unpacking.unpack(&self.packet[..len], into)?;
                if self.framing == Framing::Frames {
                    self.seat.has_heard();
                }
                Ok(message)
            }
            Err(Errno::AGAIN) => Err(TryRecvError::Empty),
            Err(errno) => Err(TryRecvError::Fault(refused(RECEIVING)(errno))),
        }
    }

    /// The queue was found empty: whether that is the end.
    #[cold]
    fn look(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        if !self.seat.is_deserted().map_err(TryRecvError::Fault)? {
            return Err(TryRecvError::Empty);
        }
        match self.take(into) {
            Err(TryRecvError::Empty) => Err(TryRecvError::Disconnected),
            last => last,
        }
    }
}

impl Channel for PosixMqReceiver {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.as_fd(), Interest::Readable)
    }

    fn has_more(&mut self) -> bool {
        self.unpacking.holds()
    }

    fn detach(mut self: Box<Self>) {
        self.seat.detach();
    }
}

impl Receiver for PosixMqReceiver {
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        match self.take(into) {
            Err(TryRecvError::Empty) => self.look(into),
            result => result,
        }
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        let mut made = 0;
        loop {
            match self.take(into).map_err(TryRecvError::into_lasting) {
                Ok(len) => {
                    self.offers.helped(made);
                    return Ok(len);
                }
                Err(Some(error)) => return Err(error),
                Err(None) if !deadline.is_over() && self.offers.make(&mut made) => {}
                Err(None) => break,
            }
        }
        self.offers.were_in_vain();
        self.sleep_and_take(into, deadline)
    }

    fn position(&self) -> Option<u64> {
        self.unpacking.position()
    }
}

impl PosixMqReceiver {
    #[cold]
    fn sleep_and_take(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        let mut looks = Looks::default();
        loop {
            let over = deadline.is_over();
            let wake = if over { Wake::TimedOut } else { self.sleep(deadline.at_most(looks.next()))? };
            let result = if wake == Wake::TimedOut { self.look(into) } else { self.take(into) };
            match result.map_err(TryRecvError::into_lasting) {
                Ok(len) => return Ok(len),
                Err(Some(error)) => return Err(error),
                Err(None) if over => return Err(RecvTimeoutError::Timeout),
                Err(None) => {}
            }
        }
    }

    fn sleep(&self, until: Deadline) -> Result<Wake, RecvTimeoutError> {
        until_ready(self.seat.queue(), Interest::Readable, until).map_err(RecvTimeoutError::Fault)
    }
}

/// Ready for reading when there is a message.
impl AsFd for PosixMqReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.seat.queue().as_fd()
    }
}
