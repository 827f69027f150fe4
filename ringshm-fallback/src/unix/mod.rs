//! Unix sockets.

pub mod connected;
pub mod dgram;
mod peers;
pub(crate) mod place;

pub(crate) use peers::STRANGER;
pub use peers::{Peer, Trusted};

use crate::address::Address;
use ringshm_core::error::OpenError;
use ringshm_core::{Receiver, Sender};
use rustix::net::SocketType;

/// Opens the sending side of the socket that `address` names.
pub(crate) fn sender(address: &mut Address) -> Result<Box<dyn Sender>, OpenError> {
    match address.take("type").as_deref() {
        Some("stream") => connected::sender(SocketType::STREAM, address),
        Some("seqpacket") => connected::sender(SocketType::SEQPACKET, address),
        Some("dgram") => dgram::sender(address),
        other => Err(no_type(other)),
    }
}

/// Opens the receiving side of the socket that `address` names.
pub(crate) fn receiver(address: &mut Address) -> Result<Box<dyn Receiver>, OpenError> {
    match address.take("type").as_deref() {
        Some("stream") => connected::receiver(SocketType::STREAM, address),
        Some("seqpacket") => connected::receiver(SocketType::SEQPACKET, address),
        Some("dgram") => dgram::receiver(address),
        other => Err(no_type(other)),
    }
}

fn no_type(given: Option<&str>) -> OpenError {
    let given = given.map_or_else(|| "it is missing".to_owned(), |given| format!("{given:?} is none"));
    OpenError::InvalidOption { option: "type", reason: format!("{given}: it is stream, seqpacket or dgram") }
}
