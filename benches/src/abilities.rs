//! What a channel can do, as it is written: [`Capabilities`] as JSON, and in the few words that a table has room for.

use ringshm::{Capabilities, Loss, Order, Parties};
use serde::{Deserialize, Serialize};

/// [`Capabilities`] as they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// What it is.
    pub mechanism: String,
    /// `one`, `many`.
    pub senders: String,
    /// `one`, `many`, `all`.
    pub receivers: String,
    /// In which order messages arrive: `sent`, `priority`, `loose`.
    pub order: String,
    /// Bytes of the longest message.
    pub longest: usize,
    /// What sets it, and how to raise it.
    pub because: String,
    /// When messages get lost: `never`, `with receiver`, `any time`.
    pub loss: String,
    /// Whether a receiver finds out that its sender is gone.
    pub tells_receiver: bool,
    /// Whether a sender finds out that its receiver is gone.
    pub tells_sender: bool,
    /// Whether the two sides may be on different machines.
    pub crosses_hosts: bool,
}

fn parties(parties: Parties) -> &'static str {
    match parties {
        Parties::One => "one",
        Parties::Many => "many",
        Parties::All => "all",
    }
}

impl From<Capabilities> for Abilities {
    fn from(capabilities: Capabilities) -> Self {
        let order = match capabilities.order {
            Order::Sent => "sent",
            Order::Priority => "priority",
            Order::Loose => "loose",
        };
        let loss = match capabilities.loss {
            Loss::Never => "never",
            Loss::WithReceiver => "with receiver",
            Loss::AnyTime => "any time",
        };
        Self {
            mechanism: capabilities.mechanism.to_owned(),
            senders: parties(capabilities.senders).to_owned(),
            receivers: parties(capabilities.receivers).to_owned(),
            order: order.to_owned(),
            longest: capabilities.longest.bytes,
            because: capabilities.longest.because.to_owned(),
            loss: loss.to_owned(),
            tells_receiver: capabilities.tells_receiver,
            tells_sender: capabilities.tells_sender,
            crosses_hosts: capabilities.crosses_hosts,
        }
    }
}
