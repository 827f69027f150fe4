//! Offers: sockets with a name, at which descriptors are handed over to whoever comes.
//!
//! Who comes first asks, in 16 bytes: so a connection alone, of a program that only looks whether anybody is there, gets nothing.

use super::{HandoverError, Letter, failed, give, give_memfd, give_sealed, patiently, take, take_memfd, take_sealed};
use crate::unix::place::{Bound, Place, Reached};
use crate::unix::{Peer, STRANGER, Trusted};
use core::time::Duration;
use ringshm_core::error::OpenError;
use ringshm_core::frames::Sealed;
use ringshm_core::os::SoleMemfd;
use ringshm_core::{Deadline, Interest};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, listen, recv, send, socket_with,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What whoever comes to an offer begins with.
const REQUEST: &Letter = b"ringshm: give me";
/// How long whoever comes to an offer may take to ask.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many may wait at an offer for their turn.
const BACKLOG: i32 = 64;
/// How long to wait before looking again whether there is an offer, at first and at most: the kernel does not say when one is made.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// A place where descriptors are handed over, a Unix socket with a name: ended by [`offer`](Self::offer) on the owner's side, or by [`take_by`](Self::take_by)
/// or [`take_memfd_by`](Self::take_memfd_by) on the other.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::Deadline;
/// use ringshm_fallback::handover::Handover;
///
/// let place = format!("@handover-{}", std::process::id());
/// let mut offer = Handover::new(&place).offer()?;
/// let taker = std::thread::spawn(move || Handover::new(&place).take_by(Deadline::NEVER));
/// let peer = offer.give_by(std::fs::File::open("/proc/self/comm")?, Deadline::NEVER)?;
/// assert_eq!(peer.pid, Some(std::process::id()));
/// taker.join().expect("it does not panic")?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a side is taken"]
pub struct Handover {
    place: String,
    mode: u32,
    trusted: Trusted,
}

impl Handover {
    /// At the socket of that path, or, with `@` before it, of that abstract name: up to 107 bytes.
    pub fn new(place: &str) -> Self {
        Self { place: place.to_owned(), mode: 0o600, trusted: Trusted::SameUser }
    }

    /// The rights of the offer's socket file, 0600 if not given: who may write it may come.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// With whose processes each side deals. An offer asks the kernel who came, and whoever comes asks who offers.
    pub fn trust(mut self, trusted: Trusted) -> Self {
        self.trusted = trusted;
        self
    }

    /// Takes the name, and lets others come. A file that a killed process left is replaced.
    ///
    /// # Errors
    /// `RoleTaken` if somebody offers there; `Permission`, `InvalidName`, `Busy`, `Os`.
    pub fn offer(self) -> Result<Offer, OpenError> {
        let place = Place::parse(&self.place)?;
        let socket = new_socket()?;
        let bound = place.bind(&socket, "offer", self.mode, || listen(&socket, BACKLOG))?;
        Ok(Offer { _bound: bound, socket, trusted: self.trusted })
    }

    /// Comes to the offer, and takes what it gives; waits until `deadline` for an offer to be made, and for one's turn.
    ///
    /// # Errors
    /// `Timeout`; `Disconnected` if the offer is withdrawn or does not want this process; `Rejected` if it is another user's, or not exactly one descriptor
    /// came; `Open`; `Fault`.
    pub fn take_by(self, deadline: Deadline) -> Result<OwnedFd, HandoverError> {
        take(self.come(deadline)?, deadline)
    }

    /// As [`take_by`](Self::take_by), what is given by [`Offer::give_memfd_by`].
    ///
    /// # Errors
    /// As for [`take_by`](Self::take_by), and `Open` if it is no memfd that can neither shrink nor grow.
    pub fn take_memfd_by(self, deadline: Deadline) -> Result<SoleMemfd, HandoverError> {
        take_memfd(self.come(deadline)?, deadline)
    }

    /// As [`take_by`](Self::take_by), what is given by [`Offer::give_sealed_by`].
    ///
    /// # Errors
    /// As for [`take_memfd_by`](Self::take_memfd_by).
    pub fn take_sealed_by(self, deadline: Deadline) -> Result<(SoleMemfd, OwnedFd), HandoverError> {
        take_sealed(self.come(deadline)?, deadline)
    }

    /// Comes to the offer, if there is one, and asks for what it gives; does not wait for it. For who waits for other things meanwhile.
    ///
    /// # Errors
    /// `Timeout` if there is no offer now, or too many wait at it; and those of [`take_by`](Self::take_by).
    pub fn ask(self) -> Result<Asked, HandoverError> {
        self.come(Deadline::after(Duration::ZERO)).map(|socket| Asked { socket })
    }

    /// Comes to the offer and asks.
    fn come(self, deadline: Deadline) -> Result<OwnedFd, HandoverError> {
        let place = Place::parse(&self.place)?;
        let mut pause = FIRST_PAUSE;
        loop {
            let socket = new_socket()?;
            if place.connect(&socket, self.trusted)? == Reached::Somebody {
                let owner = Peer::of(&socket)?;
                if !self.trusted.admits(owner.uid) {
                    return Err(HandoverError::Rejected(owner.rejected(STRANGER)));
                }
                return match send(&socket, REQUEST, SendFlags::NOSIGNAL) {
                    Ok(_) => Ok(socket),
                    Err(errno) => Err(failed("asking for the descriptor (send)", errno)),
                };
            }
            if deadline.is_over() {
                return Err(HandoverError::Timeout);
            }
            std::thread::sleep(deadline.remaining().unwrap_or(Duration::MAX).min(pause));
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// One's place at an [`Offer`], until it is one's turn.
#[derive(Debug)]
pub struct Asked {
    socket: OwnedFd,
}

impl Asked {
    /// Takes what is given by [`Offer::give_memfd_by`], and waits for it until `deadline`. After `Timeout` it can be tried again.
    ///
    /// # Errors
    /// As for [`Handover::take_memfd_by`].
    pub fn take_memfd_by(&mut self, deadline: Deadline) -> Result<SoleMemfd, HandoverError> {
        take_memfd(&self.socket, deadline)
    }
}

impl AsFd for Asked {
    /// Readable when something was given, or will not be.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An owner's side of a [`Handover`], to which others come. Dropping it gives the name back, and sends away who still waits.
#[derive(Debug)]
pub struct Offer {
    /// Goes before the socket: as long as that is open, nobody else takes the name.
    _bound: Bound,
    socket: OwnedFd,
    trusted: Trusted,
}

impl Offer {
    /// Gives a descriptor to the next who comes, waits for that until `deadline`, and says who it was. They come one after the other; one that does not say
    /// what it wants holds up the next by at most a second.
    ///
    /// # Errors
    /// `Timeout`; `Rejected` if it was another user's process, or asked for nothing, and then the next may be better: call again; `Disconnected` if it left
    /// before it was given anything; `Fault`, also if this process has no descriptors left: whoever came is still there then.
    pub fn give_by(&mut self, descriptor: impl AsFd, deadline: Deadline) -> Result<Peer, HandoverError> {
        let (socket, peer) = self.next(deadline)?;
        give(socket, descriptor, deadline)?;
        Ok(peer)
    }

    /// As [`give_by`](Self::give_by), a sealed memfd, as [`give_memfd`] does.
    ///
    /// # Errors
    /// As for [`give_by`](Self::give_by), and `Open` if it is no memfd that can neither shrink nor grow.
    pub fn give_memfd_by(&mut self, memfd: impl AsFd, deadline: Deadline) -> Result<Peer, HandoverError> {
        let (socket, peer) = self.next(deadline)?;
        give_memfd(socket, memfd, deadline)?;
        Ok(peer)
    }

    /// As [`give_by`](Self::give_by), a sealed ring of frames, as [`give_sealed`] does.
    ///
    /// # Errors
    /// As for [`give_memfd_by`](Self::give_memfd_by).
    pub fn give_sealed_by(&mut self, sealed: &Sealed, deadline: Deadline) -> Result<Peer, HandoverError> {
        let (socket, peer) = self.next(deadline)?;
        give_sealed(socket, sealed, deadline)?;
        Ok(peer)
    }

    /// The next who comes and asks.
    fn next(&mut self, deadline: Deadline) -> Result<(OwnedFd, Peer), HandoverError> {
        let step = "accepting a connection (accept)";
        let accept = || accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        let socket = patiently(self.socket.as_fd(), Interest::Readable, deadline, step, accept)?;
        let peer = Peer::of(&socket)?;
        if !self.trusted.admits(peer.uid) {
            return Err(HandoverError::Rejected(peer.rejected(STRANGER)));
        }
        let mut request = [0; REQUEST.len() + 1];
        let ask = || recv(&socket, &mut request[..], RecvFlags::DONTWAIT).map(|(len, _)| len);
        let patience = deadline.at_most(PATIENCE);
        let result = patiently(socket.as_fd(), Interest::Readable, patience, "hearing what is wanted (recv)", ask);
        match result {
            Ok(len) if request[..len] == REQUEST[..] => Ok((socket, peer)),
            Ok(0) | Err(HandoverError::Disconnected) => {
                Err(HandoverError::Rejected(peer.rejected("it came, asked for nothing, and left")))
            }
            Ok(_) => Err(HandoverError::Rejected(peer.rejected("it did not ask for a descriptor"))),
            Err(HandoverError::Timeout) if !deadline.is_over() => {
                Err(HandoverError::Rejected(peer.rejected("it came, and did not say for a second what it wants")))
            }
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Offer {
    /// Readable when somebody has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn new_socket() -> Result<OwnedFd, OpenError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|errno| OpenError::Os { step: "making a socket", source: errno.into() })
}
