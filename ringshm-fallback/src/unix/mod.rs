//! Unix sockets.

pub mod dgram;
#[allow(dead_code, reason = "of connected sockets, too")]
mod peers;
#[allow(dead_code, reason = "of connected sockets, too")]
pub(crate) mod place;

pub(crate) use peers::STRANGER;
pub use peers::{Peer, Trusted};

use crate::address::Address;
use ringshm_core::error::OpenError;
use ringshm_core::{Receiver, Sender};

/// Opens the sending side of the socket that `address` names.
pub(crate) fn sender(address: &mut Address) -> Result<Box<dyn Sender>, OpenError> {
    match address.take("type").as_deref() {
        Some("dgram") => dgram::sender(address),
        other => Err(no_type(other)),
    }
}

/// Opens the receiving side of the socket that `address` names.
pub(crate) fn receiver(address: &mut Address) -> Result<Box<dyn Receiver>, OpenError> {
    match address.take("type").as_deref() {
        Some("dgram") => dgram::receiver(address),
        other => Err(no_type(other)),
    }
}

fn no_type(given: Option<&str>) -> OpenError {
    OpenError::InvalidOption { option: "type", reason: format!("{given:?} is not dgram") }
}
