//! Connections over a Unix socket: streams of bytes, or sequences of packets.
//!
//! | event | sender | receiver |
//! |---|---|---|
//! | the other side is not there yet | is full, and `send` waits: it tries to connect, 1 to 250 ms apart | is empty, and `recv` waits |
//! | the other side leaves or is killed | `Disconnected` | `Disconnected`, after everything that was sent, once all senders are gone |
//! | the same, with [`OnDeath::AwaitSuccessor`] | goes on to the next one, with the message of which the last one got a part | waits for the next one |
//! | somebody of another user connects | turns him away | the same, and `Rejected`, with process and user |
//! | garbage; half a message, and then the end; a message that is too long | | `Rejected`; that connection is closed, the others go on |
//! | no descriptor is left to accept with | whoever came waits, with what he sent | the same, and `Rejected`, once |
//!
//! What the kernel keeps for a receiver that is killed is lost with it. The numbers of [`Framing::Frames`] say how many messages that are: the
//! next receiver's [`position`](ringshm_core::Receiver::position), after its first message.

use super::Trusted;
use super::place::Place;
use crate::address::Address;
use crate::framing::Framing;
use crate::socket::settings::Settings;
use crate::socket::site::{Site, Tuning};
use crate::socket::{Side, SocketReceiver, SocketSender};
use core::time::Duration;
use ringshm_core::broadcast::OnSlowReader;
use ringshm_core::error::OpenError;
use ringshm_core::{OnDeath, Receiver, Sender};
use rustix::net::SocketType;

/// A Unix socket with connections, and how to take part in it: begun by [`stream`](Self::stream) or [`seqpacket`](Self::seqpacket), ended by
/// [`sender`](Self::sender) or [`receiver`](Self::receiver).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::{Receiver as _, Sender as _};
/// use ringshm_fallback::unix::connected::Connected;
///
/// let path = std::env::temp_dir().join(format!("feed-{}.sock", std::process::id()));
/// let path = path.to_str().ok_or("a plain path")?;
/// // Either may come first.
/// let mut sender = Connected::stream(path).sender()?;
/// let mut receiver = Connected::stream(path).receiver()?;
/// sender.send(b"hello")?;
/// let mut message = Vec::new();
/// assert_eq!(receiver.recv(&mut message)?, 5);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a side is taken"]
pub struct Connected {
    place: String,
    kind: SocketType,
    options: Options,
}

#[derive(Clone, Debug)]
struct Options {
    framing: Framing,
    mode: u32,
    max_message: Option<usize>,
    listens: Side,
    on_death: OnDeath,
    on_slow_reader: OnSlowReader,
    trusted: Trusted,
}

impl Connected {
    /// Describes a stream of bytes (`SOCK_STREAM`) at a path, or, with `@` before it, of an abstract name. The first 107 bytes are all that a socket's
    /// address has room for.
    ///
    /// An abstract name is open to every process of the same network namespace. Who connects and who is connected to is asked of the kernel and has to
    /// be [trusted](Self::trust), but anybody can take the name first and so keep others from it.
    pub fn stream(place: &str) -> Self {
        Self::new(place, SocketType::STREAM)
    }

    /// Describes a sequence of packets (`SOCK_SEQPACKET`): the kernel keeps the boundaries of messages, and takes each as a whole or not at all. A
    /// message is as long as a socket's buffer allows, at most. Frames that are sent together by `send_slice` share a packet. The place is as for
    /// [`stream`](Self::stream).
    pub fn seqpacket(place: &str) -> Self {
        Self::new(place, SocketType::SEQPACKET)
    }

    fn new(place: &str, kind: SocketType) -> Self {
        let options = Options {
            framing: Framing::Frames,
            mode: 0o600,
            max_message: None,
            listens: Side::Receiver,
            on_death: OnDeath::Disconnect,
            on_slow_reader: OnSlowReader::Wait,
            trusted: Trusted::SameUser,
        };
        Self { place: place.to_owned(), kind, options }
    }

    /// How messages lie in it. [`Framing::Frames`] (default): each begins with a header, garbage is told from messages, and what got lost is counted. For
    /// foreign programs: of a stream, [`Framing::Lines`], [`Framing::Len32`] and [`Framing::Raw`]; of packets, [`Framing::Bare`], the
    /// message alone, which then cannot be empty. Both sides must choose the same.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.options.framing = framing;
        self
    }

    /// The rights of the socket's file, 0600 if not given. Who may write it may connect; [`trust`](Self::trust) says who is dealt with. Without effect on
    /// the side that connects and on an abstract name.
    pub fn mode(mut self, mode: u32) -> Self {
        self.options.mode = mode;
        self
    }

    /// The longest message in bytes, to be given on both sides: what is longer a sender does not send, and a receiver rejects, with the connection. If not
    /// given: 16 MiB of a stream; of packets, what fits into a socket's buffer as it is. For longer packets the buffer is enlarged, as far
    /// as `net.core.wmem_max` lets it: see [`Capabilities::longest`](ringshm_core::Capabilities::longest).
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.options.max_message = Some(bytes);
        self
    }

    /// The side that listens, to which the other one connects: the receiver if not given. Both sides must choose the same.
    pub fn listen(mut self, side: Side) -> Self {
        self.options.listens = side;
        self
    }

    /// What to do when the other side is gone: say `Disconnected` ([`OnDeath::Disconnect`], default), or, with either of the others, wait for
    /// the next one. Each side chooses for itself. That the other side is killed is not told from that it leaves: a connection ends.
    pub fn on_death(mut self, on_death: OnDeath) -> Self {
        self.options.on_death = on_death;
        self
    }

    /// What a sender that listens does about a receiver that holds up all others: waits for it (default), or ends its connection after it has taken
    /// nothing for so long. With `after` zero, a receiver is given up that has not taken a message when the next one is sent. It may connect again,
    /// and, with [`OnDeath::AwaitSuccessor`], does so by itself; its next message comes after `Lagged`, with the number of those that it missed.
    pub fn on_slow_reader(mut self, on_slow_reader: OnSlowReader) -> Self {
        self.options.on_slow_reader = on_slow_reader;
        self
    }

    /// With whose processes to deal: this user's if not given. Others are turned away as soon as they are connected.
    pub fn trust(mut self, trusted: Trusted) -> Self {
        self.options.trusted = trusted;
        self
    }

    /// Begins to send: connects, or, with [`Side::Sender`], listens. Does not wait for the other side. The file of a killed process that
    /// listened is replaced.
    ///
    /// # Errors
    /// `InvalidName`, also if something else than a socket stands there; `InvalidOption`, also if the socket there is of another type; `Permission` if the
    /// file, or who listens there, is another user's; `RoleTaken` if this side is to listen and somebody does already; `Busy`; `Os`.
    pub fn sender(self) -> Result<SocketSender, OpenError> {
        SocketSender::open(self.settings()?)
    }

    /// Begins to receive: listens, or, with [`Side::Sender`], connects. Does not wait for the other side. The file of a killed process
    /// that listened is replaced.
    ///
    /// # Errors
    /// As for [`sender`](Self::sender).
    pub fn receiver(self) -> Result<SocketReceiver, OpenError> {
        SocketReceiver::open(self.settings()?)
    }

    fn settings(self) -> Result<Settings, OpenError> {
        let Options { framing, mode, max_message, listens, on_death, on_slow_reader, trusted } = self.options;
        let is_packets = self.kind == SocketType::SEQPACKET;
        Ok(Settings {
            mechanism: if is_packets { "unix seqpacket" } else { "unix stream" },
            site: Site::Unix(Place::parse(&self.place)?),
            tuning: Tuning {
                kind: self.kind,
                buffer: if is_packets { Settings::buffer_for(max_message) } else { None },
                trusted,
                mode,
                no_delay: false,
                keepalive: Duration::ZERO,
                user_timeout: Duration::ZERO,
            },
            framing,
            max_message,
            listens,
            on_death,
            on_slow_reader,
        })
    }
}

/// `framing`, `mode`, `max_message`, `listen`, `slow`, `await`, `uid`.
fn settings(kind: SocketType, address: &mut Address) -> Result<Settings, OpenError> {
    let mut connected = Connected::new(address.place(), kind);
    let options = &mut connected.options;
    options.mode = address.take_mode()?.unwrap_or(options.mode);
    options.trusted = address.take_as("uid", Trusted::from_option)?.unwrap_or_default();
    options.framing = address.take_framing()?.unwrap_or(options.framing);
    options.max_message = address.take_number("max_message")?;
    options.listens = Side::take(address)?;
    options.on_slow_reader = crate::socket::settings::take_on_slow_reader(address)?;
    options.on_death = address.take_on_death()?;
    address.finish()?;
    connected.settings()
}

pub(crate) fn sender(kind: SocketType, address: &mut Address) -> Result<Box<dyn Sender>, OpenError> {
    Ok(Box::new(SocketSender::open(settings(kind, address)?)?))
}

pub(crate) fn receiver(kind: SocketType, address: &mut Address) -> Result<Box<dyn Receiver>, OpenError> {
    Ok(Box::new(SocketReceiver::open(settings(kind, address)?)?))
}
