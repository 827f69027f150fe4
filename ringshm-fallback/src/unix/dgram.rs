//! Datagrams over a Unix socket: a receiver with a name, and any number of senders of this machine.
//!
//! Nothing is lost on the way, and nothing overtakes: who sends waits while the receiver's queue is full. It holds few datagrams
//! (`net.unix.max_dgram_qlen`, 10 unless changed), and belongs to the receiver's socket: what is in it when the receiver ends or is killed is
//! lost. The next receiver's [`position`](Receiver::position) says how many messages that were, together with those that the other has received.
//!
//! | event | sender | receiver |
//! |---|---|---|
//! | nobody receives yet | is full, and `send` waits | |
//! | the receiver leaves or is killed | `Disconnected`; with [`OnDeath::AwaitSuccessor`] it goes on to the next one | |
//! | a sender leaves or is killed | | is not told: it waits for others |
//! | somebody of another user sends, or what is no frame | | `Rejected`, with process and user; and goes on |
//!
//! A receiver is not told, because the kernel does not tell: a datagram socket has no connection that could end. A program that must know when a
//! stream ends sends a last message of its own, or uses a mechanism whose [`Capabilities::tells_receiver`].

mod receiver;
mod sender;

pub use receiver::DgramReceiver;
pub use sender::DgramSender;

use super::peers::Trusted;
use super::place::Place;
use crate::address::Address;
use crate::datagrams::{Incoming, Outgoing, Way};
use crate::framing::{Framing, HEADER};
use ringshm_core::error::OpenError;
use ringshm_core::{Capabilities, Longest, Loss, OnDeath, Order, Parties, Receiver, Sender};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_passcred, set_socket_send_buffer_size, socket_send_buffer_size};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};
use std::os::fd::OwnedFd;

/// Bytes of a socket's send buffer that no datagram can use.
const RESERVED: usize = 32;

/// A Unix datagram socket and how to take part in it: ended by [`sender`](Self::sender) or [`receiver`](Self::receiver).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::{Receiver as _, Sender as _};
/// use ringshm_fallback::unix::dgram::Dgram;
///
/// let path = std::env::temp_dir().join(format!("letters-{}.sock", std::process::id()));
/// let path = path.to_str().ok_or("a plain path")?;
/// let mut receiver = Dgram::new(path).receiver()?;
/// let mut senders = [Dgram::new(path).sender()?, Dgram::new(path).sender()?];
/// senders[0].send(b"one")?;
/// senders[1].send(b"")?;
/// let mut message = Vec::new();
/// assert_eq!(receiver.recv(&mut message)?, 3);
/// assert_eq!(receiver.recv(&mut message)?, 0);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a side is taken"]
pub struct Dgram {
    place: String,
    framing: Framing,
    mode: u32,
    max_message: Option<usize>,
    on_death: OnDeath,
    trusted: Trusted,
}

impl Dgram {
    /// Describes the socket at a path, or, with `@` before it, of an abstract name. The first 107 bytes are all that a socket's address has room for.
    ///
    /// An abstract name is open to every process of the same network namespace, and whoever comes first has it: a receiver still
    /// refuses the messages of other users, but a sender cannot know who receives. Where that matters, use a path in a folder that only
    /// the right user can write.
    pub fn new(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            framing: Framing::Frames,
            mode: 0o600,
            max_message: None,
            on_death: OnDeath::Disconnect,
            trusted: Trusted::SameUser,
        }
    }

    /// [`Framing::Frames`] (default): each message begins with a header, and what got lost is counted; messages that are sent together by `send_slice`
    /// share a datagram. [`Framing::Bare`]: the message alone, for
    /// foreign programs. Both sides must choose the same.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// The rights of the receiver's socket file, 0600 if not given. Who may write it may send; [`trust`](Self::trust) says whose messages
    /// are taken. Without effect on a sender and an abstract name.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The longest message in bytes. To be given on both sides if it is longer than usual: a sender enlarges its socket's buffer, as
    /// far as `net.core.wmem_max` lets it, and a receiver has room for it.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = Some(bytes);
        self
    }

    /// What a sender does when the receiver is gone: [`OnDeath::Disconnect`] (default), or, with either of the others, wait for the next one. It
    /// looks for it 1 to 50 ms apart. A receiver always waits for the next sender.
    pub fn on_death(mut self, on_death: OnDeath) -> Self {
        self.on_death = on_death;
        self
    }

    /// Whose messages a receiver takes, and to whose socket file a sender sends. With [`Trusted::Anyone`] the rights of the file decide alone
    /// ([`mode`](Self::mode)), which is enough where no other user may write it; then what is rejected is not named by process and user, and receiving takes
    /// less time.
    pub fn trust(mut self, trusted: Trusted) -> Self {
        self.trusted = trusted;
        self
    }

    /// Begins to send. The receiver need not be there yet.
    ///
    /// # Errors
    /// `InvalidName`; `InvalidOption` if the message may not be that long, or for another framing; `Permission` if the socket is another
    /// user's; `Os`.
    pub fn sender(self) -> Result<DgramSender, OpenError> {
        let place = Place::parse(&self.place)?;
        let is_framed = self.framing.checked(true)? == Framing::Frames;
        let socket = new_socket()?;
        let longest = longest(&socket, self.max_message, is_framed)?;
        let outgoing = Outgoing::new(is_framed, longest, room(&socket)?);
        // An address of its own, which the kernel makes up: by it the receiver tells senders apart.
        bind(&socket, &SocketAddrUnix::new_unnamed()).map_err(os("giving the sender an address (bind)"))?;
        let awaits = self.on_death != OnDeath::Disconnect;
        DgramSender::new(socket, place, self.trusted, awaits, outgoing)
    }

    /// Takes the name and begins to receive. A file that a killed receiver left is replaced.
    ///
    /// # Errors
    /// `RoleTaken` if somebody has the name; `Permission` if the file there is another user's; `InvalidName`, also if something else stands
    /// there; `InvalidOption`; `Busy`; `Os`.
    pub fn receiver(self) -> Result<DgramReceiver, OpenError> {
        let place = Place::parse(&self.place)?;
        let is_framed = self.framing.checked(true)? == Framing::Frames;
        let socket = new_socket()?;
        let user = self.trusted.user();
        // Before anybody can send: whatever comes says of whom it is. Where that does not matter nobody is asked: each answer takes time.
        set_socket_passcred(&socket, user.is_some()).map_err(os("asking for credentials (SO_PASSCRED)"))?;
        let longest = longest(&socket, self.max_message, is_framed)?;
        let bound = place.bind(&socket, "receiver", self.mode, || Ok(()))?;
        let incoming = Incoming::new(is_framed, longest, Way::Straight, user);
        Ok(DgramReceiver::new(bound, socket, incoming, longest))
    }
}

/// `framing`, `mode`, `max_message`, `await`, `uid`.
fn described(address: &mut Address) -> Result<Dgram, OpenError> {
    let mut dgram = Dgram::new(address.place());
    dgram.framing = address.take_framing()?.unwrap_or(dgram.framing);
    dgram.mode = address.take_mode()?.unwrap_or(dgram.mode);
    dgram.max_message = address.take_number("max_message")?;
    dgram.on_death = address.take_on_death()?;
    dgram.trusted = address.take_as("uid", Trusted::from_option)?.unwrap_or_default();
    address.finish()?;
    Ok(dgram)
}

pub(crate) fn sender(address: &mut Address) -> Result<Box<dyn Sender>, OpenError> {
    Ok(Box::new(described(address)?.sender()?))
}

pub(crate) fn receiver(address: &mut Address) -> Result<Box<dyn Receiver>, OpenError> {
    Ok(Box::new(described(address)?.receiver()?))
}

fn os(step: &'static str) -> impl Fn(Errno) -> OpenError {
    move |errno| OpenError::Os { step, source: errno.into() }
}

fn new_socket() -> Result<OwnedFd, OpenError> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).map_err(os("making a socket"))
}

/// Bytes of the longest datagram that goes through `socket` as it is.
fn room(socket: &OwnedFd) -> Result<usize, OpenError> {
    let failed = os("asking for the size of the send buffer (SO_SNDBUF)");
    Ok(socket_send_buffer_size(socket).map_err(failed)?.saturating_sub(RESERVED))
}

/// The longest message that goes through `socket`, whose buffer is enlarged if more is wanted.
fn longest(socket: &OwnedFd, wanted: Option<usize>, is_framed: bool) -> Result<usize, OpenError> {
    let header = if is_framed { HEADER } else { 0 };
    let fits = || room(socket).map(|bytes| bytes.saturating_sub(header));
    let usual = fits()?;
    let Some(wanted) = wanted else { return Ok(usual) };
    if wanted > usual {
        // The kernel doubles it, for its own needs.
        let bytes = wanted.saturating_add(RESERVED + header);
        // What it grants, it says only when asked.
        let _ = set_socket_send_buffer_size(socket, bytes.min(i32::MAX as usize / 2));
        let most = fits()?;
        if wanted > most {
            let reason = format!("a datagram holds at most {most} bytes here: raise net.core.wmem_max");
            return Err(OpenError::InvalidOption { option: "max_message", reason });
        }
    }
    Ok(wanted)
}

fn capabilities(bytes: usize, is_framed: bool) -> Capabilities {
    let because = "a datagram must fit into its sender's socket buffer: open both sides with a larger max_message, up to twice net.core.wmem_max";
    Capabilities {
        mechanism: "unix datagrams",
        longest: Longest { bytes, because },
        shortest: 0,
        forbidden: None,
        keeps_boundaries: true,
        order: Order::Sent,
        senders: Parties::Many,
        receivers: Parties::One,
        priorities: 1,
        loss: Loss::WithReceiver,
        numbers: is_framed,
        tells_receiver: false,
        tells_sender: true,
        crosses_hosts: false,
        can_be_awaited: true,
    }
}
