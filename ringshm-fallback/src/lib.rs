//! Where memory cannot be shared: the senders and receivers of `ringshm-core` over the kernel's own mechanisms.
//!
//! | mechanism | file |
//! |---|---|
//! | datagrams over Unix sockets: `unix:///run/x.sock?type=dgram`, `unix:@name?type=dgram` | `unix/dgram.rs` |
//! | datagrams over UDP, to one host or a group: `udp://host:port` | `udp.rs` |
//! | no channel: a ring's descriptor is handed to a process that has no name for it | `handover.rs` |
//!
//! Each is what the kernel has, with what it can do and what it cannot ([`Capabilities`](ringshm_core::Capabilities)). Programs use the crate
//! `ringshm`, which opens any of them by name.

pub mod address;
pub mod framing;
pub mod handover;
pub mod open;
mod packets;
pub mod stream;
pub mod udp;
pub mod unix;
pub mod wait;
