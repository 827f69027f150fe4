//! What only the kernel can do: shared objects and their names, mappings, locks that die with their holder, and noticing a
//! fork. System calls are made here and nowhere else in this crate.

mod directory;
mod file;
pub(crate) mod fork;
mod huge;
pub(crate) mod leftover;
pub mod liveness;
mod mapping;
mod memfd;
mod numa;
pub(crate) mod object;
mod pages;
mod place;
mod residency;
pub(crate) mod segment;
mod sysv;

pub(crate) use directory::memory_free;
pub use directory::{Directory, Name};
pub use huge::SmallPages;
pub use memfd::{IntoMemfd, SoleMemfd};
pub use pages::{Pages, Resident};
pub use place::Place;

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970, for people: nothing is decided by it.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
