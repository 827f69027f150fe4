//! What can be chosen of connected sockets, and what comes of it.

use super::site::{Site, Tuning};
use crate::address::Address;
use crate::framing::{Framing, HEADER};
use crate::outlet::Form;
use core::time::Duration;
use ringshm_core::broadcast::OnSlowReader;
use ringshm_core::error::OpenError;
use ringshm_core::{Capabilities, Longest, Loss, OnDeath, Order, Parties};
use rustix::net::sockopt::{set_socket_send_buffer_size, socket_send_buffer_size};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// The longest message of a stream, if nothing else is asked for: what a receiver keeps in memory for each connection, at most.
pub(crate) const LONGEST: usize = 16 << 20;
/// What the kernel takes of a packet's room in a socket's buffer.
pub(super) const PACKET: usize = 32;
/// What is read at once: the longest packet.
const LONGEST_PACKET: usize = 1 << 20;

/// The side that listens, to which the other one connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The sender: any number of receivers connect, each of which gets every message that is sent from then on.
    Sender,
    /// The receiver: any number of senders connect.
    #[default]
    Receiver,
}

/// All that was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) mechanism: &'static str,
    pub(crate) site: Site,
    pub(crate) tuning: Tuning,
    pub(crate) framing: Framing,
    pub(crate) max_message: Option<usize>,
    pub(crate) listens: Side,
    pub(crate) on_death: OnDeath,
    pub(crate) on_slow_reader: OnSlowReader,
}

impl Settings {
    pub(crate) fn is_packets(&self) -> bool {
        self.tuning.kind == SocketType::SEQPACKET
    }

    /// How messages are sent.
    pub(crate) fn form(&self, longest: usize) -> Form {
        Form { framing: self.framing, numbered: true, longest, whole_up_to: None, packets: self.is_packets() }
    }

    /// What this can do, if it can be at all.
    pub(crate) fn capabilities(&self) -> Result<Capabilities, OpenError> {
        let packets = self.is_packets();
        let framing = self.framing.checked(packets)?;
        let invalid = |option, reason: &str| OpenError::InvalidOption { option, reason: reason.to_owned() };
        if self.listens == Side::Receiver && self.on_slow_reader != OnSlowReader::Wait {
            return Err(invalid("slow", "only a sender that listens can do without one of its receivers"));
        }
        let longest = match (self.max_message, packets) {
            (_, true) => self.longest_packet()?,
            (Some(bytes), false) => {
                Longest { bytes, because: "this side was opened for so many: open both with a larger max_message" }
            }
            (None, false) => Longest {
                bytes: LONGEST,
                because: "it is what a receiver keeps room for: open both sides with a larger max_message",
            },
        };
        let least = if let Framing::Raw(size) = framing { size.get() } else { 0 };
        let longest = Longest { bytes: longest.bytes.max(least).min(u32::MAX as usize - HEADER), ..longest };
        let (senders, receivers) = match self.listens {
            Side::Sender => (Parties::One, Parties::All),
            Side::Receiver => (Parties::Many, Parties::One),
        };
        Ok(Capabilities {
            mechanism: self.mechanism,
            longest,
            shortest: usize::from(matches!(framing, Framing::Raw(_) | Framing::Bare)),
            forbidden: (framing == Framing::Lines).then_some(b'\n'),
            keeps_boundaries: !matches!(framing, Framing::Raw(_)),
            order: Order::Sent,
            senders,
            receivers,
            priorities: 1,
            loss: Loss::WithReceiver,
            numbers: framing == Framing::Frames,
            tells_receiver: true,
            tells_sender: true,
            crosses_hosts: matches!(self.site, Site::Tcp(_)),
            can_be_awaited: true,
        })
    }

    /// A packet lies in its sender's socket buffer until it is received. So both sides ask the kernel how long that one would be.
    fn longest_packet(&self) -> Result<Longest, OpenError> {
        let os =
            |errno: rustix::io::Errno| OpenError::Os { step: "asking how long a packet may be", source: errno.into() };
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(os)?;
        if let Some(bytes) = self.tuning.buffer {
            let _ = set_socket_send_buffer_size(&socket, bytes);
        }
        let room = socket_send_buffer_size(&socket).map_err(os)?.saturating_sub(PACKET).min(LONGEST_PACKET);
        let room = room.saturating_sub(self.framing.prefix());
        Ok(match self.max_message {
            Some(bytes) if bytes <= room => {
                Longest { bytes, because: "this side was opened for so many: open both with a larger max_message" }
            }
            Some(_) => Longest {
                bytes: room,
                because: "a packet fits into its sender's socket buffer (SO_SNDBUF), and into 1 MiB: raise the kernel's limit, net.core.wmem_max",
            },
            None => Longest {
                bytes: room,
                because: "a packet fits into its sender's socket buffer (SO_SNDBUF): open both sides with a larger max_message, up to what net.core.wmem_max allows",
            },
        })
    }

    /// The buffer that messages of `max_message` need, if it is larger than usual.
    pub(crate) fn buffer_for(max_message: Option<usize>) -> Option<usize> {
        // The kernel doubles what it is asked for, for what it keeps beside the bytes.
        max_message.map(|bytes| bytes.saturating_add(HEADER + PACKET)).filter(|bytes| *bytes > (64 << 10))
    }
}

impl Side {
    /// `listen=sender`, `receiver`.
    pub(crate) fn take(address: &mut Address) -> Result<Self, OpenError> {
        let side = address.take_as("listen", |value| match value {
            "sender" => Ok(Self::Sender),
            "receiver" => Ok(Self::Receiver),
            _ => Err("sender or receiver"),
        })?;
        Ok(side.unwrap_or_default())
    }
}

/// `slow=wait`, `drop`, `drop:MILLISECONDS`.
pub(crate) fn take_on_slow_reader(address: &mut Address) -> Result<OnSlowReader, OpenError> {
    let evict = |millis| OnSlowReader::Evict { after: Duration::from_millis(millis) };
    let slow = address.take_as("slow", |value| match value.split_once(':') {
        None if value == "wait" => Ok(OnSlowReader::Wait),
        None if value == "drop" => Ok(evict(0)),
        Some(("drop", millis)) => millis.parse().map(evict).map_err(|_| SLOW),
        _ => Err(SLOW),
    })?;
    Ok(slow.unwrap_or_default())
}

const SLOW: &str = "wait, drop or drop:MILLISECONDS";
