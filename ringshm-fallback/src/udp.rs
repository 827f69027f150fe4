//! Datagrams over UDP: to one receiver, or to all that joined a multicast group; on this machine or another.
//!
//! A network may drop a datagram, deliver it twice, or let later ones overtake it, and a receiver that is slow finds its buffer overrun: none of
//! this is silent. With [`Framing::Frames`] (default) each sender numbers its messages, and a receiver gets each at most once, in the order in which
//! they were sent; where some are missing it says `Lagged` with their number, before the next that came. One that comes after all, behind a later one, has
//! been counted as lost by then and is dropped: so received and lost are together what was sent, from the first message that was received to the last.
//!
//! | event | sender | receiver |
//! |---|---|---|
//! | nobody receives, or nobody any longer | is not told: what it sends is lost | the next one's `position` says how many |
//! | the receiver is slow | is not told | `Lagged`, exact |
//! | a sender leaves or is killed | | is not told |
//! | somebody sends what is no frame | | `Rejected`; and goes on |
//!
//! With [`Framing::Bare`] nothing is numbered: only what found no room in the receiver's socket is counted, by the kernel.
//!
//! A receiver tells senders apart by their addresses and remembers about a thousand of them. Whoever can reach it may send to it: frames keep garbage
//! from being taken for messages, not forgeries. Where that matters, use a mechanism with credentials or a protected network.

mod socket;

use crate::address::Address;
use crate::datagrams::{Incoming, Outgoing, Way, send_slice};
use crate::framing::{Framing, HEADER};
use crate::wait::{Wake, refused, until_ready};
use ringshm_core::error::{OpenError, RecvTimeoutError, SendSliceError, SendTimeoutError, TryRecvError, TrySendError};
use ringshm_core::{
    Awaited, Batch, Capabilities, Channel, Deadline, Fault, Interest, Longest, Loss, Order, Parties, Receiver, Sender,
};
use rustix::io::Errno;
use rustix::net::getsockname;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A UDP address and how to take part in what is sent there: ended by [`sender`](Self::sender) or [`receiver`](Self::receiver).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::{Receiver as _, Sender as _};
/// use ringshm_fallback::udp::Udp;
///
/// let mut receiver = Udp::new("127.0.0.1:0").receiver()?;
/// let mut sender = Udp::new(&receiver.address()?.to_string()).sender()?;
/// sender.send(b"a tick")?;
/// let mut message = Vec::new();
/// assert_eq!(receiver.recv(&mut message)?, 6);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a side is taken"]
pub struct Udp {
    place: String,
    framing: Framing,
    max_message: Option<usize>,
    receive_buffer: Option<usize>,
    interface: Option<String>,
    ttl: Option<u8>,
    loopback: Option<bool>,
}

impl Udp {
    /// Describes `host:port`, such as `127.0.0.1:9000`, `[::1]:9000`, `0.0.0.0:9000` (a receiver on every interface), or a group,
    /// `239.1.2.3:9000`, `[ff02::1:3]:9000`. Of a host with several addresses the first counts. With port 0 a receiver gets a free one:
    /// [`UdpReceiver::address`] says which.
    pub fn new(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            framing: Framing::Frames,
            max_message: None,
            receive_buffer: None,
            interface: None,
            ttl: None,
            loopback: None,
        }
    }

    /// [`Framing::Frames`] (default): each datagram begins with a header. [`Framing::Bare`]: the message alone, for foreign programs. Both sides must
    /// choose the same.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// The longest message in bytes: a sender refuses longer ones, and a receiver rejects them. Without it, what a datagram can hold.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = Some(bytes);
        self
    }

    /// How much a receiver's socket holds before messages get lost, in bytes, of which the kernel uses as many again for its own needs; if not given,
    /// `net.core.rmem_default` says. A datagram takes its length and some hundred bytes.
    ///
    /// Beyond `net.core.rmem_max` only for processes with CAP_NET_ADMIN; else opening fails with [`OpenError::InvalidOption`].
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// The network interface on which a group is joined, or sent to, by its name, such as `eth0`. Without it, the routes say.
    pub fn interface(mut self, name: &str) -> Self {
        self.interface = Some(name.to_owned());
        self
    }

    /// How many routers a sender's datagrams may pass, and one more. If not given, none to a group (1), and as many as usual to one host.
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Whether what is sent to a group comes to receivers on this machine, too: yes, if not given.
    pub fn loopback(mut self, loopback: bool) -> Self {
        self.loopback = Some(loopback);
        self
    }

    /// Begins to send. Whether anybody receives is not found out, then or later.
    ///
    /// # Errors
    /// `InvalidName` if there is no such host; `InvalidOption`; `Os`, also if no route leads there.
    pub fn sender(self) -> Result<UdpSender, OpenError> {
        let is_framed = self.framing.checked(true)? == Framing::Frames;
        let address = socket::resolve(&self.place)?;
        // What is lost of a packet is lost of all that is in it.
        let outgoing = Outgoing::new(is_framed, self.longest(address, is_framed)?, 0);
        let socket = socket::sending(&self, address)?;
        Ok(UdpSender { socket, address, outgoing })
    }

    /// Begins to receive; of a group, together with others.
    ///
    /// # Errors
    /// `InvalidName`; `RoleTaken` if somebody receives there, and it is no group; `Permission` for a port that is reserved;
    /// `InvalidOption`; `Os`.
    pub fn receiver(self) -> Result<UdpReceiver, OpenError> {
        let is_framed = self.framing.checked(true)? == Framing::Frames;
        let address = socket::resolve(&self.place)?;
        let longest = self.longest(address, is_framed)?;
        let socket = socket::receiving(&self, address, !is_framed)?;
        let incoming = Incoming::new(is_framed, longest, Way::Winding, None);
        Ok(UdpReceiver { socket, address, incoming, longest })
    }

    fn longest(&self, address: SocketAddr, is_framed: bool) -> Result<usize, OpenError> {
        let most = socket::longest_datagram(address) - if is_framed { HEADER } else { 0 };
        match self.max_message {
            Some(wanted) if wanted > most => {
                let reason = format!("a UDP datagram holds at most {most} bytes: cut messages up, or use tcp");
                Err(OpenError::InvalidOption { option: "max_message", reason })
            }
            wanted => Ok(wanted.unwrap_or(most)),
        }
    }
}

/// `framing`, `max_message`, `receive_buffer`, `interface`, `ttl`, `loopback`; and `await`, which changes nothing.
fn described(address: &mut Address) -> Result<Udp, OpenError> {
    let mut udp = Udp::new(address.place());
    udp.framing = address.take_framing()?.unwrap_or(udp.framing);
    udp.max_message = address.take_number("max_message")?;
    udp.receive_buffer = address.take_number("receive_buffer")?;
    udp.interface = address.take("interface");
    udp.ttl = address.take_number("ttl")?;
    udp.loopback = address.take_as("loopback", |value| value.parse().map_err(|_| "true or false"))?;
    // Nobody is ever told that the other side is gone: so everybody awaits the next one.
    address.take_on_death()?;
    address.finish()?;
    Ok(udp)
}

pub(crate) fn sender(address: &mut Address) -> Result<Box<dyn Sender>, OpenError> {
    Ok(Box::new(described(address)?.sender()?))
}

pub(crate) fn receiver(address: &mut Address) -> Result<Box<dyn Receiver>, OpenError> {
    Ok(Box::new(described(address)?.receiver()?))
}

fn capabilities(bytes: usize, is_framed: bool, address: SocketAddr) -> Capabilities {
    let because = "a UDP datagram has at most 65535 bytes with its headers, unless max_message says less; one that does not fit into the network's packets \
                   (1500 bytes on most: messages of up to 1400 are safe) is cut up, and lost if any of its pieces is";
    Capabilities {
        mechanism: "udp",
        longest: Longest { bytes, because },
        shortest: 0,
        forbidden: None,
        keeps_boundaries: true,
        order: if is_framed { Order::Sent } else { Order::Loose },
        senders: Parties::Many,
        receivers: if address.ip().is_multicast() { Parties::All } else { Parties::One },
        priorities: 1,
        loss: Loss::AnyTime,
        numbers: is_framed,
        tells_receiver: false,
        tells_sender: false,
        crosses_hosts: true,
        can_be_awaited: true,
    }
}

/// The sending side of a UDP address: made by [`Udp::sender`].
#[derive(Debug)]
pub struct UdpSender {
    socket: OwnedFd,
    address: SocketAddr,
    outgoing: Outgoing,
}

impl UdpSender {
    /// Sends by `send`. `None`: there is no room.
    fn attempt<T>(&mut self, send: impl Fn(&mut Self) -> rustix::io::Result<T>) -> Result<Option<T>, Fault> {
        loop {
            match send(self) {
                Ok(sent) => return Ok(Some(sent)),
                Err(Errno::AGAIN) => return Ok(None),
                // That nobody had the port when an earlier datagram came there, which says nothing about this one, and it was not sent. Each such
                // answer ends one attempt, and an attempt that ends so asks for none.
                Err(Errno::CONNREFUSED | Errno::INTR) => {}
                Err(errno) => return Err(refused("sending a datagram (sendmsg)")(errno)),
            }
        }
    }

    /// Sends by `send`, which may wait if it is told so, until `deadline`.
    fn send_until<T>(
        &mut self,
        deadline: Deadline,
        send: impl Fn(&mut Self, bool) -> rustix::io::Result<T>,
    ) -> Result<T, SendTimeoutError<()>> {
        let forever = deadline.remaining().is_none();
        loop {
            match self.attempt(|this| send(this, forever)) {
                Ok(Some(sent)) => return Ok(sent),
                Ok(None) => match until_ready(&self.socket, Interest::Writable, deadline) {
                    Ok(Wake::Ready) => {}
                    Ok(Wake::TimedOut) => return Err(SendTimeoutError::Timeout(())),
                    Err(fault) => return Err(SendTimeoutError::Fault((), fault)),
                },
                Err(fault) => return Err(SendTimeoutError::Fault((), fault)),
            }
        }
    }
}

impl Channel for UdpSender {
    fn capabilities(&self) -> Capabilities {
        capabilities(self.outgoing.longest(), self.outgoing.is_framed(), self.address)
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.socket.as_fd(), Interest::Writable)
    }

    fn detach(self: Box<Self>) {}
}

/// What a fault says, such as that no route leads there, may be over at the next call.
impl Sender for UdpSender {
    fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        self.outgoing.check(message)?;
        match self.attempt(|this| this.outgoing.send(this.socket.as_fd(), message, false)) {
            Ok(Some(())) => Ok(()),
            Ok(None) => Err(TrySendError::Full(())),
            Err(fault) => Err(TrySendError::Fault((), fault)),
        }
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

impl AsFd for UdpSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The receiving side of a UDP address: made by [`Udp::receiver`].
pub struct UdpReceiver {
    socket: OwnedFd,
    address: SocketAddr,
    incoming: Incoming,
    longest: usize,
}

impl UdpReceiver {
    /// Where it receives, with the port that it got.
    ///
    /// # Errors
    /// [`Fault::Os`] if the kernel does not say.
    pub fn address(&self) -> Result<SocketAddr, Fault> {
        let step = "asking for the socket's address (getsockname)";
        getsockname(&self.socket).and_then(SocketAddr::try_from).map_err(refused(step))
    }
}

impl Channel for UdpReceiver {
    fn capabilities(&self) -> Capabilities {
        capabilities(self.longest, self.incoming.is_framed(), self.address)
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.socket.as_fd(), Interest::Readable)
    }

    fn has_more(&mut self) -> bool {
        self.incoming.has_more()
    }

    fn detach(self: Box<Self>) {}
}

impl Receiver for UdpReceiver {
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        self.incoming.try_recv(self.socket.as_fd(), into)
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.incoming.recv_by(self.socket.as_fd(), into, deadline)
    }

    fn recv_batch_by(&mut self, batch: &mut Batch, most: usize, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.incoming.recv_batch_by(self.socket.as_fd(), batch, most, deadline)
    }

    /// Of the sender of the last message.
    fn position(&self) -> Option<u64> {
        self.incoming.position()
    }
}

impl AsFd for UdpReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl core::fmt::Debug for UdpReceiver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("UdpReceiver")
            .field("socket", &self.socket)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
