//! Opening a side of a channel by its name.

use crate::address::Address;
use crate::{posix_mq, signal, sysv_mq};
use ringshm_core::error::OpenError;
use ringshm_core::{Receiver, Sender};

/// The schemes that this crate knows.
pub const SCHEMES: &[&str] = &["mq", "sysv", "unix", "udp", "signal"];

/// Opens the sending side of a channel.
///
/// # Errors
/// [`OpenError`].
pub fn sender(mut address: Address) -> Result<Box<dyn Sender>, OpenError> {
    let address = &mut address;
    match address.scheme() {
        "mq" => posix_mq::sender(address),
        "sysv" => sysv_mq::sender(address),
        "signal" => signal::sender(address),
        "udp" => crate::udp::sender(address),
        "unix" => crate::unix::sender(address),
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
        "mq" => posix_mq::receiver(address),
        "sysv" => sysv_mq::receiver(address),
        "signal" => signal::receiver(address),
        "udp" => crate::udp::receiver(address),
        "unix" => crate::unix::receiver(address),
        _ => Err(unknown(address)),
    }
}

fn unknown(address: &Address) -> OpenError {
    address.invalid(format!("{} is no scheme; there are: shm, {}", address.scheme(), SCHEMES.join(", ")))
}
