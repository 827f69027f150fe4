//! What a mechanism can do, as data: a program that is told the name of a channel can ask what it has got.

use core::fmt;

/// How many processes may have one side of a channel, and who of the receivers gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parties {
    /// One at a time.
    One,
    /// Any number. Of senders: their messages arrive in the order of each; of receivers: each message goes to one of them.
    Many,
    /// Any number of receivers, and each message goes to all of them.
    All,
}

/// In what order messages arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As each sender sent them.
    Sent,
    /// Those of higher priority first, and as sent among equals.
    Priority,
    /// Usually as sent; the network may do otherwise.
    Loose,
}

/// When messages get lost without a fault of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Never: what is not received when a receiver dies is there for the next one.
    Never,
    /// With a receiver that dies: what the kernel had handed over or kept for it. The next one is told how many, if messages are numbered.
    WithReceiver,
    /// Any time, when the receiver is slow or the network drops: counted, if messages are numbered.
    AnyTime,
}

/// What sets the longest message, and how to have longer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Longest {
    /// Bytes.
    pub bytes: usize,
    /// What sets it, and how to raise it.
    pub because: &'static str,
}

/// What a channel can do and what it cannot. A call for what it cannot do ends in an error that says so; nothing is emulated.
///
/// It is printed as a line of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What it is: `pipe`, `tcp`, `ring`, …
    pub mechanism: &'static str,
    /// The longest message.
    pub longest: Longest,
    /// The shortest message, in bytes: 0 where empty ones are carried, as long as the longest where all have one length.
    pub shortest: usize,
    /// Bytes that no message may contain: newline, where each message is a line.
    pub forbidden: Option<u8>,
    /// Whether what was sent in one call is received in one call. Only `false` for bytes without framing.
    pub keeps_boundaries: bool,
    /// The order of arrival.
    pub order: Order,
    /// Who may send.
    pub senders: Parties,
    /// Who may receive.
    pub receivers: Parties,
    /// Different priorities there are, 1 if none.
    pub priorities: u32,
    /// When messages get lost.
    pub loss: Loss,
    /// Whether messages carry numbers, by which a receiver counts what it missed ([`Receiver::position`](crate::Receiver::position)).
    pub numbers: bool,
    /// Whether a receiver finds out that its sender is gone.
    pub tells_receiver: bool,
    /// Whether a sender finds out that its receiver is gone.
    pub tells_sender: bool,
    /// Whether the two sides may be on different machines.
    pub crosses_hosts: bool,
    /// Whether there is a descriptor to wait for it, in a wait set or an event loop, or a bell, which a wait set knows.
    pub can_be_awaited: bool,
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, longest, order, senders, receivers, loss, .. } = self;
        let parties = |parties: Parties| match parties {
            Parties::One => "one",
            Parties::Many => "many",
            Parties::All => "all",
        };
        let order = match order {
            Order::Sent => "as sent",
            Order::Priority => "by priority",
            Order::Loose => "loose",
        };
        let loss = match loss {
            Loss::Never => "nothing is lost",
            Loss::WithReceiver => "lost with a dead receiver",
            Loss::AnyTime => "lossy",
        };
        let (senders, receivers) = (parties(*senders), parties(*receivers));
        write!(f, "{mechanism}: {senders} to {receivers}, {order}, up to {} bytes, {loss}", longest.bytes)
    }
}
