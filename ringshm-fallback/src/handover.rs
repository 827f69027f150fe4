//! Passing a descriptor to another process over a Unix socket (`SCM_RIGHTS`): that of a ring without a name, for a peer with whom its owner shares no
//! file system and no name, such as one in a sandbox.
//!
//! The owner gives it through a socket that both have ([`give`], [`give_memfd`]; half of a pair that a child inherited, say), or [offers](Handover::offer)
//! it at a socket with a name. The other side takes exactly one descriptor, or says what came instead; none is ever left open that was not asked for.
//! Whatever else the two say to each other through a socket of their own, before and after, is theirs.
//!
//! A letter of 16 bytes goes with the descriptor, which says what it is.

mod offers;

pub use offers::{Asked, Handover, Offer};

use crate::wait::{Wake, refused, until_ready};
use core::fmt;
use core::mem::MaybeUninit;
use ringshm_core::error::{OpenError, Rejection};
use ringshm_core::frames::Sealed;
use ringshm_core::os::SoleMemfd;
use ringshm_core::{Deadline, Fault, Interest};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg, sockopt,
};
use std::error::Error;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

type Letter = [u8; 16];

/// What goes with a descriptor.
const DESCRIPTOR: &Letter = b"ringshm: take it";
/// What goes with a memfd whose file description nobody else has.
const SOLE_MEMFD: &Letter = b"ringshm: keep it";

/// Room for more descriptors than are wanted, so that more can be told from one.
const MOST: usize = 4;

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
