//! Receiving signals.

use super::kernel::{self, Mailbox};
use super::sender::{has_ended, open_process};
use super::value::Carried;
use super::{Origin, Signals};
use crate::wait::{Wake, refused, until_either_ready};
use ringshm_core::error::{OpenError, RecvTimeoutError, Rejection, TryRecvError};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Interest, OnDeath, Receiver};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A receiver of a signal: made by [`Signals::receiver`].
///
/// If it listens to one process, it is told `Disconnected` when that has ended and everything it sent was received; otherwise never.
///
/// When it is dropped, the signal stays blocked in the thread that opened it: one that comes late would end the process.
#[derive(Debug)]
pub struct SignalReceiver {
    mailbox: Mailbox,
    carried: Carried,
    from: Option<(u32, OwnedFd)>,
    user: Option<u32>,
    on_death: OnDeath,
    origin: Option<Origin>,
    capabilities: Capabilities,
}

impl SignalReceiver {
    pub(super) fn new(builder: &Signals, signal: i32, carried: Carried) -> Result<Self, OpenError> {
        let from = builder.from.map(|pid| open_process(pid).map(|process| (pid, process))).transpose()?;
        let was_blocked = kernel::is_blocked(signal);
        kernel::block(signal, true);
        let opened = Self::open(builder, signal, carried, from);
        if opened.is_err() && !was_blocked {
            kernel::block(signal, false);
        }
        opened
    }

    fn open(builder: &Signals, signal: i32, carried: Carried, from: Option<(u32, OwnedFd)>) -> Result<Self, OpenError> {
        let others = kernel::defenceless(std::process::id(), signal).unwrap_or(0);
        if others > 0 {
            let name = &builder.name;
            return Err(OpenError::InvalidOption {
                option: "signal",
                reason: format!(
                    "{others} other threads of this process do not block {name}, and one of them would get it, which ends the process: open the receiver before threads are started, or block the signal before"
                ),
            });
        }
        let mailbox = Mailbox::open(signal)
            .map_err(|source| OpenError::Os { step: "making a descriptor for the signal (signalfd)", source })?;
        let capabilities = builder.capabilities(carried, true);
        let (user, on_death) = (builder.user, builder.on_death);
        Ok(Self { mailbox, carried, from, user, on_death, origin: None, capabilities })
    }

    /// Who sent the message that was received last, as that process says: whoever may send a signal may also lie about this.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// Does not look whether anybody is there.
    fn take(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        let signal = match self.mailbox.take() {
            Ok(signal) => signal,
            Err(Errno::AGAIN) => return Err(TryRecvError::Empty),
            Err(errno) => return Err(TryRecvError::Fault(refused("reading signals (signalfd)")(errno))),
        };
        let origin = Origin { pid: signal.ssi_pid, uid: signal.ssi_uid };
        let reject =
            |reason| Err(TryRecvError::Rejected(Rejection { reason, pid: Some(origin.pid), uid: Some(origin.uid) }));
        let is_heard = self.from.as_ref().is_none_or(|(pid, _)| *pid == origin.pid)
            && self.user.is_none_or(|uid| uid == origin.uid);
        if !is_heard {
            return reject("it came from a process that is not listened to");
        }
        if self.carried != Carried::Nothing && signal.ssi_code != libc::SI_QUEUE {
            return reject("it was sent without a value (kill without -q)");
        }
        match self.carried.unpack(signal.ssi_ptr, signal.ssi_int, into) {
            Some(len) => {
                self.origin = Some(origin);
                Ok(len)
            }
            None => reject(
                "its value is no message of ringshm's: another program sent it, or this side needs framing=raw:4",
            ),
        }
    }

    /// Whom to notice the end of.
    fn peer(&self) -> Option<&OwnedFd> {
        self.from.as_ref().filter(|_| self.on_death == OnDeath::Disconnect).map(|(_, process)| process)
    }

    /// Nothing was found: whether nothing will come.
    fn look(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        if !self.peer().is_some_and(has_ended) {
            return Err(TryRecvError::Empty);
        }
        match self.take(into) {
            Err(TryRecvError::Empty) => Err(TryRecvError::Disconnected),
            last => last,
        }
    }
}

impl Channel for SignalReceiver {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.as_fd(), Interest::Readable)
    }

    fn has_more(&mut self) -> bool {
        self.mailbox.has_more()
    }

    fn detach(self: Box<Self>) {}
}

impl Receiver for SignalReceiver {
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        match self.take(into) {
            Err(TryRecvError::Empty) => self.look(into),
            result => result,
        }
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        loop {
            match self.take(into).map_err(TryRecvError::into_lasting) {
                Ok(len) => return Ok(len),
                Err(Some(error)) => return Err(error),
                Err(None) => {}
            }
            let wake = until_either_ready(self.mailbox.fd(), Interest::Readable, self.peer(), deadline);
            let wake = wake.map_err(RecvTimeoutError::Fault)?;
            match self.look(into).map_err(TryRecvError::into_lasting) {
                Ok(len) => return Ok(len),
                Err(Some(error)) => return Err(error),
                Err(None) if wake == Wake::TimedOut => return Err(RecvTimeoutError::Timeout),
                Err(None) => {}
            }
        }
    }

    fn position(&self) -> Option<u64> {
        None
    }
}

/// Ready for reading when a signal has come; the end of the process that is listened to is not told here.
impl AsFd for SignalReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mailbox.fd().as_fd()
    }
}
