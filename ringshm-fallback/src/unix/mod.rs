//! Unix sockets.

#[allow(dead_code, reason = "of connected sockets, too")]
mod peers;
#[allow(dead_code, reason = "of connected sockets, too")]
pub(crate) mod place;

pub use peers::{Peer, Trusted};
