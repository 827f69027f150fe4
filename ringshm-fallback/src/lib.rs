//! Where memory cannot be shared: the senders and receivers of `ringshm-core` over the kernel's own mechanisms.
//!
//! | mechanism | file |
//! |---|---|
//! | datagrams over Unix sockets: `unix:///run/x.sock?type=dgram`, `unix:@name?type=dgram` | `unix/dgram.rs` |
//! | datagrams over UDP, to one host or a group: `udp://host:port` | `udp.rs` |
//! | no channel: a ring's descriptor is handed to a process that has no name for it | `handover.rs` |
//! | POSIX message queues | `posix_mq.rs`, `posix_mq/` |
//! | System V message queues | `sysv_mq.rs`, `sysv_mq/` |
//! | signals | `signal.rs`, `signal/` |
//! | pipes, anonymous or inherited; packets | [`pipe`] |
//! | FIFOs: pipes with a name; other programs at the other end | [`fifo`] |
//! | Unix sockets with connections: streams, packets; who is at the other end is known | [`unix::connected`] |
//! | TCP: streams to other machines | [`tcp`] |
//!
//! Each is what the kernel has, with what it can do and what it cannot ([`Capabilities`](ringshm_core::Capabilities)). Programs use the crate
//! `ringshm`, which opens any of them by name.

pub mod address;
mod backoff;
mod datagrams;
pub mod fifo;
pub mod framing;
pub mod handover;
mod inlet;
mod link;
pub mod open;
mod outlet;
pub mod pipe;
pub mod posix_mq;
mod queued;
mod side;
pub mod signal;
mod sigpipe;
pub mod socket;
pub mod stream;
pub mod sysv_mq;
pub mod tcp;
pub mod udp;
pub mod unix;
pub mod wait;

/// What a file below `/proc/sys` says, if it is a number.
pub(crate) fn limit(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
