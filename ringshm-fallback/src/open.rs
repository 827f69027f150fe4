//! Opening a side of a channel by its name.

use crate::address::Address;
use crate::{fifo, pipe, posix_mq, signal, sysv_mq, tcp, udp, unix};
use ringshm_core::error::OpenError;
use ringshm_core::{Receiver, Sender};

/// The schemes that this crate knows.
pub const SCHEMES: &[&str] = &["pipe", "fifo", "mq", "sysv", "unix", "tcp", "udp", "signal"];

/// Opens the sending side of a channel.
///
/// # Errors
/// [`OpenError`].
pub fn sender(mut address: Address) -> Result<Box<dyn Sender>, OpenError> {
    let address = &mut address;
    match address.scheme() {
        "fifo" => Ok(Box::new(fifo::sender(address)?)),
        "mq" => posix_mq::sender(address),
        "pipe" => Ok(Box::new(pipe::sender(address)?)),
        "signal" => signal::sender(address),
        "sysv" => sysv_mq::sender(address),
        "tcp" => tcp::sender(address),
        "udp" => udp::sender(address),
        "unix" => unix::sender(address),
        _ => Err(unknown(address)),
    }
}

/// Opens the receiving side of a channel.
///
/// # Errors
/// [`OpenError`].
pub fn receiver(mut address: Address) -> Result<Box<dyn Receiver>, OpenError> {
    let address = &mut address;
    match address.scheme() {
        "fifo" => Ok(Box::new(fifo::receiver(address)?)),
        "mq" => posix_mq::receiver(address),
        "pipe" => Ok(Box::new(pipe::receiver(address)?)),
        "signal" => signal::receiver(address),
        "sysv" => sysv_mq::receiver(address),
        "tcp" => tcp::receiver(address),
        "udp" => udp::receiver(address),
        "unix" => unix::receiver(address),
        _ => Err(unknown(address)),
    }
}

fn unknown(address: &Address) -> OpenError {
    address.invalid(format!("{} is no scheme; there are: shm, {}", address.scheme(), SCHEMES.join(", ")))
}
