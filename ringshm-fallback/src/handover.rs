//! Passing a descriptor to another process over a Unix socket (`SCM_RIGHTS`): that of a ring without a name, for a peer with whom its owner shares no
//! file system and no name, such as one in a sandbox.
//!
//! The owner gives it through a socket that both have ([`give`], [`give_memfd`]; half of a pair that a child inherited, say), or [offers](Handover::offer)
//! it at a socket with a name. The other side takes exactly one descriptor, or says what came instead; none is ever left open that was not asked for.
//! Whatever else the two say to each other through a socket of their own, before and after, is theirs.
//!
//! A letter of 16 bytes goes with the descriptor, which says what it is. Who comes to an offer first asks for it, in 16 bytes: so a connection alone, of a
//! program that only looks whether anybody is there, gets nothing.

use crate::unix::place::{Bound, Place, Reached};
use crate::unix::{Peer, STRANGER, Trusted};
use crate::wait::{Wake, refused, until_ready};
use core::fmt;
use core::mem::MaybeUninit;
use core::time::Duration;
use ringshm_core::error::{OpenError, Rejection};
use ringshm_core::frames::Sealed;
use ringshm_core::os::SoleMemfd;
use ringshm_core::{Deadline, Fault, Interest};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, accept_with, listen, recv, recvmsg, send, sendmsg,
    socket_with, sockopt,
};
use std::error::Error;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

type Letter = [u8; 16];

/// What whoever comes to an offer begins with.
const REQUEST: &Letter = b"ringshm: give me";
/// What goes with a descriptor.
const DESCRIPTOR: &Letter = b"ringshm: take it";
/// What goes with a memfd whose file description nobody else has.
const SOLE_MEMFD: &Letter = b"ringshm: keep it";

/// Room for more descriptors than are wanted, so that more can be told from one.
const MOST: usize = 4;
/// How long whoever comes to an offer may take to ask.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many may wait at an offer for their turn.
const BACKLOG: i32 = 64;
/// How long to wait before looking again whether there is an offer, at first and at most: the kernel does not say when one is made.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// Why a descriptor did not change hands.
#[derive(Debug)]
pub enum HandoverError {
    /// Nobody came, or gave anything, until the deadline.
    Timeout,
    /// The other side closed the socket, or died, before anything was given.
    Disconnected,
    /// The other side is nobody to deal with, or what it sent is not what was to come. At an offer: only this connection is closed, and the next one may be better.
    Rejected(Rejection),
    /// The socket of an offer could not be reached; or the descriptor is no sealed memfd.
    Open(OpenError),
    /// The kernel refused a step.
    Fault(Fault),
}

impl fmt::Display for HandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no descriptor changed hands until the deadline: is the other side there?"),
            Self::Disconnected => {
                f.write_str("the other side left before it gave or took a descriptor: start it again")
            }
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl Error for HandoverError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Timeout | Self::Disconnected => None,
            Self::Rejected(rejection) => Some(rejection),
            Self::Open(error) => Some(error),
            Self::Fault(fault) => Some(fault),
        }
    }
}

impl From<OpenError> for HandoverError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<Fault> for HandoverError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Gives a descriptor to whoever has the other end of a connected Unix socket, and waits for room in it until `deadline`. The descriptor stays open here,
/// too. It arrives even if this process ends before it is taken.
///
/// # Errors
/// `Timeout`, `Disconnected`, `Fault`.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::Deadline;
/// use ringshm_fallback::handover;
///
/// let (here, there) = std::os::unix::net::UnixStream::pair()?;
/// let file = std::fs::File::open("/proc/self/comm")?;
/// handover::give(&here, &file, Deadline::NEVER)?;
/// let file = std::fs::File::from(handover::take(&there, Deadline::NEVER)?);
/// assert!(file.metadata()?.is_file());
/// # Ok(()) }
/// ```
pub fn give(socket: impl AsFd, descriptor: impl AsFd, deadline: Deadline) -> Result<(), HandoverError> {
    post(socket.as_fd(), DESCRIPTOR, descriptor.as_fd(), deadline)
}

/// Takes the descriptor that somebody [gives](give) at the other end of a connected Unix socket, and waits for it until `deadline`. It is closed on `exec`.
///
/// Of whom it comes, a socket of one's own says before: it is not asked here.
///
/// # Errors
/// `Timeout`; `Disconnected`; `Rejected` if anything else came, or not exactly one descriptor, and then all that came are closed; `Fault`.
pub fn take(socket: impl AsFd, deadline: Deadline) -> Result<OwnedFd, HandoverError> {
    fetch(socket.as_fd(), DESCRIPTOR, deadline)
}

/// As [`give`], a sealed memfd, by a file description that is opened for the other side alone: so whoever takes a role in its ring can do so without
/// `/proc`. This side needs `/proc`.
///
/// # Errors
/// As for [`give`], and `Open` if it is no memfd that can neither shrink nor grow.
pub fn give_memfd(socket: impl AsFd, memfd: impl AsFd, deadline: Deadline) -> Result<(), HandoverError> {
    let sole = SoleMemfd::of(memfd)?;
    post(socket.as_fd(), SOLE_MEMFD, sole.into_fd().as_fd(), deadline)
}

/// As [`take`], what is given by [`give_memfd`].
///
/// # Errors
/// As for [`take`], and `Open` if it is no memfd that can neither shrink nor grow.
pub fn take_memfd(socket: impl AsFd, deadline: Deadline) -> Result<SoleMemfd, HandoverError> {
    Ok(SoleMemfd::handed(fetch(socket.as_fd(), SOLE_MEMFD, deadline)?)?)
}

/// As [`give`], a sealed ring of frames: what its consumers write, as [`give_memfd`] does, and then the pixels, which they can only read.
///
/// # Errors
/// As for [`give_memfd`].
pub fn give_sealed(socket: impl AsFd, sealed: &Sealed, deadline: Deadline) -> Result<(), HandoverError> {
    give_memfd(&socket, &sealed.ring, deadline)?;
    give(socket, &sealed.pixels, deadline)
}

/// As [`take`], what is given by [`give_sealed`]: the memfd that consumers write, and that of the pixels.
///
/// # Errors
/// As for [`take_memfd`].
pub fn take_sealed(socket: impl AsFd, deadline: Deadline) -> Result<(SoleMemfd, OwnedFd), HandoverError> {
    let ring = take_memfd(&socket, deadline)?;
    Ok((ring, take(socket, deadline)?))
}

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

fn failed(step: &'static str, errno: Errno) -> HandoverError {
    match errno {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN | Errno::CONNREFUSED => HandoverError::Disconnected,
        errno => HandoverError::Fault(refused(step)(errno)),
    }
}

/// Does what does not wait, again and again, as soon as `socket` is ready for it, until `deadline`.
fn patiently<T>(
    socket: BorrowedFd<'_>,
    interest: Interest,
    deadline: Deadline,
    step: &'static str,
    mut attempt: impl FnMut() -> rustix::io::Result<T>,
) -> Result<T, HandoverError> {
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(failed(step, errno)),
        }
        if until_ready(socket, interest, deadline)? == Wake::TimedOut {
            return Err(HandoverError::Timeout);
        }
    }
}

/// Sends a letter, and a descriptor with it.
fn post(
    socket: BorrowedFd<'_>,
    letter: &Letter,
    descriptor: BorrowedFd<'_>,
    deadline: Deadline,
) -> Result<(), HandoverError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let descriptors = [descriptor];
    let send = || {
        let mut control = SendAncillaryBuffer::new(&mut space);
        // There is room for one.
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(socket, &[IoSlice::new(letter)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    };
    patiently(socket, Interest::Writable, deadline, "passing a descriptor (sendmsg)", send).map(drop)
}

/// Receives a letter, which must be that one, and exactly one descriptor with it.
fn fetch(socket: BorrowedFd<'_>, letter: &Letter, deadline: Deadline) -> Result<OwnedFd, HandoverError> {
    let step = "taking a descriptor (recvmsg)";
    // Nothing else comes beside the letter.
    sockopt::set_socket_passcred(socket, false).map_err(refused(step))?;
    let mut bytes: [u8; 16] = [0; size_of::<Letter>()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let receive = || {
        let mut pieces = [IoSliceMut::new(&mut bytes)];
        recvmsg(socket, &mut pieces, &mut control, RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC)
    };
    let received = patiently(socket, Interest::Readable, deadline, step, receive)?;
    // Those that are not returned are closed.
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let rejected = |reason| Err(HandoverError::Rejected(Rejection::new(reason)));
    if received.bytes == 0 && descriptors.is_empty() {
        return Err(HandoverError::Disconnected);
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return rejected(
            "not all descriptors that came could be taken: there were too many, or this process may have no more (ulimit -n)",
        );
    }
    if received.flags.contains(ReturnFlags::TRUNC) || received.bytes != letter.len() || bytes != *letter {
        return rejected(
            "it does not say that a descriptor of this kind comes with it (give and take, or give_memfd and take_memfd)",
        );
    }
    match (descriptors.pop(), descriptors.is_empty()) {
        (Some(descriptor), true) => Ok(descriptor),
        (Some(_), false) => rejected("more than one descriptor came with it"),
        (None, _) => rejected("no descriptor came with it"),
    }
}
