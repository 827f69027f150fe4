//! Sending datagrams to whoever has the name.

use super::capabilities;
use crate::datagrams::{Outgoing, send_slice};
use crate::unix::Trusted;
use crate::unix::place::{Place, Reached};
use crate::wait::{Wake, refused, until_ready};
use core::time::Duration;
use ringshm_core::error::{OpenError, SendSliceError, SendTimeoutError, TrySendError};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Fault, Interest, Sender};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How long a sender first waits before it looks again whether there is a receiver, and at most: the kernel does not say when one comes.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// Whether there is a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// There has never been one.
    Never,
    There,
    /// It is gone.
    Lost,
}

/// The sending side of a Unix datagram socket: made by [`Dgram::sender`](super::Dgram::sender).
#[derive(Debug)]
pub struct DgramSender {
    socket: OwnedFd,
    place: Place,
    trusted: Trusted,
    awaits: bool,
    outgoing: Outgoing,
    link: Link,
}

/// Why nothing was sent.
enum Unsent {
    /// The receiver's queue, or this socket's buffer, is full: the descriptor tells when it no longer is.
    NoRoom,
    /// There is no receiver, and may be one.
    Nobody,
    Disconnected,
    Fault(Fault),
}

impl DgramSender {
    /// Goes to the receiver, if there is one.
    pub(super) fn new(
        socket: OwnedFd,
        place: Place,
        trusted: Trusted,
        awaits: bool,
        outgoing: Outgoing,
    ) -> Result<Self, OpenError> {
        let mut sender = Self { socket, place, trusted, awaits, outgoing, link: Link::Never };
        sender.connect()?;
        Ok(sender)
    }

    /// Looks for the receiver, if there is none.
    fn connect(&mut self) -> Result<(), OpenError> {
        if self.link != Link::There && self.place.connect(&self.socket, self.trusted)? == Reached::Somebody {
            self.link = Link::There;
        }
        Ok(())
    }

    /// Has a receiver, and gives `send` to it; once more if it turns out to be gone and another one is there.
    fn attempt<T>(&mut self, send: impl Fn(&mut Self) -> rustix::io::Result<T>) -> Result<T, Unsent> {
        loop {
            if self.link != Link::There {
                self.look_for_receiver()?;
            }
            match send(self) {
                Ok(sent) => return Ok(sent),
                Err(Errno::AGAIN) => return Err(Unsent::NoRoom),
                Err(Errno::INTR) => {}
                Err(Errno::CONNREFUSED | Errno::NOTCONN | Errno::PIPE | Errno::CONNRESET | Errno::DESTADDRREQ) => {
                    self.link = Link::Lost;
                }
                Err(errno) => return Err(Unsent::Fault(refused("sending a datagram (sendmsg)")(errno))),
            }
        }
    }

    #[cold]
    fn look_for_receiver(&mut self) -> Result<(), Unsent> {
        if self.link == Link::Lost && !self.awaits {
            return Err(Unsent::Disconnected);
        }
        let step = "connecting to the receiver's socket";
        self.connect().map_err(|error| {
            let errno = match error {
                OpenError::Os { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
                OpenError::Permission { .. } => libc::EACCES,
                OpenError::InvalidOption { .. } => libc::EPROTOTYPE,
                _ => libc::ENOTSOCK,
            };
            Unsent::Fault(Fault::Os { step, errno })
        })?;
        if self.link == Link::There { Ok(()) } else { Err(Unsent::Nobody) }
    }

    /// Waits for room or for a receiver, and makes `pause` longer. `false`: the deadline came first.
    #[cold]
    fn wait(&self, unsent: Unsent, deadline: Deadline, pause: &mut Duration) -> Result<bool, SendTimeoutError<()>> {
        match unsent {
            Unsent::NoRoom => match until_ready(&self.socket, Interest::Writable, deadline) {
                Ok(wake) => Ok(wake == Wake::Ready),
                Err(fault) => Err(SendTimeoutError::Fault((), fault)),
            },
            Unsent::Nobody => {
                let left = deadline.remaining().unwrap_or(Duration::MAX);
                std::thread::sleep(left.min(*pause));
                *pause = (*pause * 2).min(LAST_PAUSE);
                Ok(!deadline.is_over())
            }
            Unsent::Disconnected => Err(SendTimeoutError::Disconnected(())),
            Unsent::Fault(fault) => Err(SendTimeoutError::Fault((), fault)),
        }
    }

    /// Sends by `send`, which may wait if it is told so, until `deadline`.
    fn send_until<T>(
        &mut self,
        deadline: Deadline,
        send: impl Fn(&mut Self, bool) -> rustix::io::Result<T>,
    ) -> Result<T, SendTimeoutError<()>> {
        let forever = deadline.remaining().is_none();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(|this| send(this, forever)) {
                Ok(sent) => return Ok(sent),
                Err(unsent) => {
                    if !self.wait(unsent, deadline, &mut pause)? {
                        return Err(SendTimeoutError::Timeout(()));
                    }
                }
            }
        }
    }
}

impl Channel for DgramSender {
    fn capabilities(&self) -> Capabilities {
        capabilities(self.outgoing.longest(), self.outgoing.is_framed())
    }

    /// While there is no receiver it counts as ready, and sending says that it is full: the kernel tells nobody when one comes.
    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.socket.as_fd(), Interest::Writable)
    }

    fn detach(self: Box<Self>) {}
}

impl Sender for DgramSender {
    fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        self.outgoing.check(message)?;
        self.attempt(|this| this.outgoing.send(this.socket.as_fd(), message, false)).map_err(|unsent| match unsent {
            Unsent::NoRoom | Unsent::Nobody => TrySendError::Full(()),
            Unsent::Disconnected => TrySendError::Disconnected(()),
            Unsent::Fault(fault) => TrySendError::Fault((), fault),
        })
    }

    fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        self.outgoing.check(message)?;
        self.send_until(deadline, |this, waits| this.outgoing.send(this.socket.as_fd(), message, waits))
    }

    fn send_slice(&mut self, messages: &[&[u8]]) -> Result<(), SendSliceError> {
        send_slice(
            self,
            |this| &this.outgoing,
            messages,
            |this, rest| {
                this.send_until(Deadline::NEVER, |this, waits| {
                    this.outgoing.send_many(this.socket.as_fd(), rest, waits)
                })
            },
        )
    }
}

impl AsFd for DgramSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
