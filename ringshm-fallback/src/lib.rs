//! Where memory cannot be shared: the senders and receivers of `ringshm-core` over the kernel's own mechanisms.
//!
//! | mechanism | file |
//! |---|---|
//! | pipes, anonymous or inherited; packets | [`pipe`] |
//! | FIFOs: pipes with a name; other programs at the other end | [`fifo`] |
//!
//! Each is what the kernel has, with what it can do and what it cannot ([`Capabilities`](ringshm_core::Capabilities)). Programs use the crate
//! `ringshm`, which opens any of them by name.

pub mod address;
pub mod fifo;
pub mod framing;
mod inlet;
mod link;
pub mod open;
mod outlet;
pub mod pipe;
mod sigpipe;
pub mod stream;
pub mod wait;
