//! Connections over TCP: streams of bytes between machines.
//!
//! What happens when is as for [Unix sockets](crate::unix::connected), with these differences:
//!
//! - **Nobody is known.** Whoever reaches the port is connected, sees what is sent, and is believed what he sends: the header of
//!   [`Framing::Frames`] tells garbage from messages, not friends from enemies. A stranger who speaks something else, such as HTTP, is `Rejected`
//!   and his connection closed. Where strangers can reach the port, let a tunnel see to who comes. One that connects and leaves without a word counts as a
//!   sender that has left; a receiver that is to outlive that is opened to [await](OnDeath::AwaitSuccessor) the next.
//! - **A host can vanish** without a farewell: power, cable, a firewall that forgets. Then a receiver would wait for ever. So the
//!   kernel asks a silent host whether it is there, and ends the connection when it does not answer ([`keepalive`](Tcp::keepalive)). It does
//!   not ask while something that was sent is not acknowledged, which it repeats, and gives up after about 15 minutes (`net.ipv4.tcp_retries2`),
//!   or sooner, if that is wanted ([`user_timeout`](Tcp::user_timeout)).
//! - **What was sent last may be lost** with the receiver's process or host: the sender's kernel knows of an end only when it is told. Numbers
//!   count that, as everything that is lost.

use crate::address::Address;
use crate::framing::Framing;
use crate::socket::settings::{Settings, take_on_slow_reader};
use crate::socket::site::{Site, Tuning};
use crate::socket::{Side, SocketReceiver, SocketSender};
use crate::unix::Trusted;
use core::time::Duration;
use ringshm_core::broadcast::OnSlowReader;
use ringshm_core::error::OpenError;
use ringshm_core::{OnDeath, Receiver, Sender};
use rustix::net::SocketType;

/// A TCP port and how to take part in it: ended by [`sender`](Self::sender) or [`receiver`](Self::receiver).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::{Receiver as _, Sender as _};
/// use ringshm_fallback::tcp::Tcp;
///
/// let mut receiver = Tcp::new("localhost:0").receiver()?;
/// let address = receiver.local_address().ok_or("it listens")?;
/// let mut sender = Tcp::new(&address.to_string()).sender()?;
/// sender.send(b"hello")?;
/// let mut message = Vec::new();
/// assert_eq!(receiver.recv(&mut message)?, 5);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a side is taken"]
pub struct Tcp {
    place: String,
    framing: Framing,
    max_message: Option<usize>,
    listens: Side,
    on_death: OnDeath,
    on_slow_reader: OnSlowReader,
    no_delay: bool,
    keepalive: Duration,
    user_timeout: Duration,
}

impl Tcp {
    /// Describes a port: `host:port`, `[address]:port`, or, for the side that listens, `*:port` for all addresses of this host. A host's name is
    /// looked up once, when a side is taken, for as long as the system's resolver takes. If it has several addresses, who listens takes
    /// the first that it can, and who connects tries all. Port 0 has the kernel choose one for the side that listens.
    pub fn new(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            framing: Framing::Frames,
            max_message: None,
            listens: Side::Receiver,
            on_death: OnDeath::Disconnect,
            on_slow_reader: OnSlowReader::Wait,
            no_delay: true,
            keepalive: Duration::from_secs(60),
            user_timeout: Duration::ZERO,
        }
    }

    /// How messages lie in the stream. [`Framing::Frames`] (default): each begins with a header, garbage is told from messages, and what got lost is
    /// counted. [`Framing::Lines`], [`Framing::Len32`] and [`Framing::Raw`] are for foreign programs. Both sides must choose the same.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// The longest message in bytes, 16 MiB if not given; to be given on both sides: what is longer a sender does not send, and a receiver rejects, with
    /// the connection.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = Some(bytes);
        self
    }

    /// The side that listens, to which the other one connects: the receiver if not given. Both sides must choose the same.
    pub fn listen(mut self, side: Side) -> Self {
        self.listens = side;
        self
    }

    /// What to do when the other side is gone: say `Disconnected` ([`OnDeath::Disconnect`], default), or, with either of the others, wait for the next
    /// one. Each side chooses for itself.
    pub fn on_death(mut self, on_death: OnDeath) -> Self {
        self.on_death = on_death;
        self
    }

    /// What a sender that listens does about a receiver that holds up all others: as for
    /// [Unix sockets](crate::unix::connected::Connected::on_slow_reader).
    pub fn on_slow_reader(mut self, on_slow_reader: OnSlowReader) -> Self {
        self.on_slow_reader = on_slow_reader;
        self
    }

    /// Whether each message leaves at once (`TCP_NODELAY`), which is the default; otherwise the kernel holds back a small one while an earlier one is
    /// not acknowledged. To send many together, use [`send_slice`](Sender::send_slice).
    pub fn no_delay(mut self, no_delay: bool) -> Self {
        self.no_delay = no_delay;
        self
    }

    /// After how long a silence a host that does not answer is given up, 60 seconds if not given, at least 4; zero: never. A peer that has nothing
    /// to send does answer: its kernel does. Half of the time is silence (`TCP_KEEPIDLE`); in the other half it is asked three times
    /// (`TCP_KEEPCNT`, `TCP_KEEPINTVL`), in whole seconds.
    pub fn keepalive(mut self, silence: Duration) -> Self {
        self.keepalive = silence;
        self
    }

    /// How long what was sent may go without being acknowledged, before the connection is given up (`TCP_USER_TIMEOUT`); zero, if not given: as long as
    /// the kernel repeats it, about 15 minutes. It is counted in milliseconds, and looked at when something is repeated.
    ///
    /// A receiver that lives and takes nothing for so long, once the kernels keep no more for it, is given up, too: choose a longer time than the
    /// longest pause that a receiver may make.
    pub fn user_timeout(mut self, unacknowledged: Duration) -> Self {
        self.user_timeout = unacknowledged;
        self
    }

    /// Begins to send: connects, or, with [`Side::Sender`], listens. Does not wait for the other side.
    ///
    /// # Errors
    /// `InvalidName`; `InvalidOption`; `RoleTaken` if this side is to listen and somebody does on that port; `Os`, also if the host is unknown.
    pub fn sender(self) -> Result<SocketSender, OpenError> {
        SocketSender::open(self.settings(Side::Sender)?)
    }

    /// Begins to receive: listens, or, with [`Side::Sender`], connects. Does not wait for the other side.
    ///
    /// # Errors
    /// As for [`sender`](Self::sender).
    pub fn receiver(self) -> Result<SocketReceiver, OpenError> {
        SocketReceiver::open(self.settings(Side::Receiver)?)
    }

    fn settings(self, side: Side) -> Result<Settings, OpenError> {
        let tuning = Tuning {
            kind: SocketType::STREAM,
            buffer: None,
            trusted: Trusted::Anyone,
            mode: 0,
            no_delay: self.no_delay,
            keepalive: self.keepalive,
            user_timeout: self.user_timeout,
        };
        Ok(Settings {
            mechanism: "tcp",
            site: Site::tcp(&self.place, self.listens == side)?,
            tuning,
            framing: self.framing,
            max_message: self.max_message,
            listens: self.listens,
            on_death: self.on_death,
            on_slow_reader: self.on_slow_reader,
        })
    }
}

/// `framing`, `max_message`, `listen`, `slow`, `await`, `delay`, `keepalive`, `user_timeout`.
fn described(address: &mut Address) -> Result<Tcp, OpenError> {
    let mut tcp = Tcp::new(address.place());
    tcp.framing = address.take_framing()?.unwrap_or(tcp.framing);
    tcp.max_message = address.take_number("max_message")?;
    tcp.listens = Side::take(address)?;
    tcp.on_slow_reader = take_on_slow_reader(address)?;
    tcp.on_death = address.take_on_death()?;
    tcp.no_delay = !address.take_flag("delay")?;
    tcp.keepalive = address.take_number("keepalive")?.map_or(tcp.keepalive, Duration::from_secs);
    tcp.user_timeout = address.take_number("user_timeout")?.map_or(tcp.user_timeout, Duration::from_secs);
    address.finish()?;
    Ok(tcp)
}

pub(crate) fn sender(address: &mut Address) -> Result<Box<dyn Sender>, OpenError> {
    Ok(Box::new(described(address)?.sender()?))
}

pub(crate) fn receiver(address: &mut Address) -> Result<Box<dyn Receiver>, OpenError> {
    Ok(Box::new(described(address)?.receiver()?))
}
