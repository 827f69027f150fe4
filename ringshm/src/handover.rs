//! Handing a ring without a name to another process: one that shares no file system and no name with its owner, such as one in a sandbox.
//!
//! The owner makes the ring in a sealed memfd ([`Builder::memfd`]), and offers it at a Unix socket ([`Handover`]), or gives it through one that both have,
//! such as half of a pair that a child inherits ([`give_memfd`]). Each side asks the kernel whose process the other is. Whoever takes it gets a file
//! description of his own ([`SoleMemfd`]), and so needs neither a name nor `/proc` to take a role.
//!
//! The owner:
//!
//! ```no_run
//! use ringshm::Deadline;
//! use ringshm::handover::Handover;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ring = ringshm::spsc::<u64>("").capacity(1 << 16).memfd()?;
//! let mut ticks = ringshm::spsc::<u64>("").producer_of(&ring)?;
//! let mut offer = Handover::new("/run/ticks.sock").offer()?;
//! let peer = offer.give_memfd_by(&ring, Deadline::NEVER)?;
//! println!("process {:?} receives", peer.pid);
//! ticks.send(1)?;
//! # Ok(()) }
//! ```
//!
//! The other process:
//!
//! ```no_run
//! # use ringshm::Deadline;
//! # use ringshm::handover::Handover;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut ticks = ringshm::spsc::<u64>("").consumer_from(Handover::new("/run/ticks.sock"), Deadline::NEVER)?;
//! println!("{}", ticks.recv()?);
//! # Ok(()) }
//! ```
//!
//! Who dies when: a ring that was given lives as long as anybody has it, whoever made it. An offer ends with its process, and the next one takes its
//! place. Of a taker that dies, the next one takes the role.

pub use ringshm_core::os::{IntoMemfd, SoleMemfd};
pub use ringshm_fallback::handover::{
    Asked, Handover, HandoverError, Offer, give, give_memfd, give_sealed, take, take_memfd, take_sealed,
};
pub use ringshm_fallback::unix::{Peer, Trusted};

use crate::frames::{Consumer, Frames};
use crate::{Builder, Deadline, Message};

impl<M: Message + ?Sized> Builder<M> {
    /// Takes the sending role of the ring that an [`Offer`] gives; waits for it until `deadline`.
    ///
    /// # Errors
    /// Those of [`Handover::take_memfd_by`]; [`HandoverError::Open`] if it is not such a ring, or the role is taken.
    pub fn producer_from(self, handover: Handover, deadline: Deadline) -> Result<M::Producer, HandoverError> {
        Ok(self.producer_of(handover.take_memfd_by(deadline)?)?)
    }

    /// Takes the receiving role of the ring that an [`Offer`] gives; waits for it until `deadline`.
    ///
    /// # Errors
    /// As for [`producer_from`](Self::producer_from).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ringshm::Deadline;
    /// use ringshm::handover::Handover;
    ///
    /// let ring = ringshm::spsc::<u64>("").capacity(8).memfd()?;
    /// let place = format!("@ticks-{}", std::process::id());
    /// let mut offer = Handover::new(&place).offer()?;
    /// let taker = std::thread::spawn(move || {
    ///     let mut consumer = ringshm::spsc::<u64>("").consumer_from(Handover::new(&place), Deadline::NEVER)?;
    ///     Ok::<u64, Box<dyn std::error::Error + Send + Sync>>(consumer.recv()?)
    /// });
    /// offer.give_memfd_by(&ring, Deadline::NEVER)?;
    /// ringshm::spsc::<u64>("").producer_of(&ring)?.send(7)?;
    /// assert_eq!(taker.join().expect("it does not panic").map_err(|error| error.to_string())?, 7);
    /// # Ok(()) }
    /// ```
    pub fn consumer_from(self, handover: Handover, deadline: Deadline) -> Result<M::Consumer, HandoverError> {
        Ok(self.consumer_of(handover.take_memfd_by(deadline)?)?)
    }
}

impl Builder<Frames> {
    /// Takes the receiving role of the sealed ring of frames that an [`Offer`] gives ([`Offer::give_sealed_by`]); waits for it until `deadline`.
    ///
    /// # Errors
    /// As for [`producer_from`](Self::producer_from).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ringshm::Deadline;
    /// use ringshm::frames::{FourCc, Meta};
    /// use ringshm::handover::Handover;
    ///
    /// let meta = Meta::new(FourCc::NV12, 64, 48)?;
    /// let (mut decoder, sealed) = ringshm::frames("camera").frame_bytes(meta.bytes as u64).sealed()?;
    /// let place = format!("@camera-{}", std::process::id());
    /// let mut offer = Handover::new(&place).offer()?;
    /// let renderer = std::thread::spawn(move || {
    ///     let mut consumer = ringshm::frames("").consumer_from_sealed(Handover::new(&place), Deadline::NEVER)?;
    ///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(consumer.recv_ref()?.meta().width)
    /// });
    /// offer.give_sealed_by(&sealed, Deadline::NEVER)?;
    /// decoder.loan()?.commit(&meta)?;
    /// assert_eq!(renderer.join().expect("it does not panic").map_err(|error| error.to_string())?, 64);
    /// # Ok(()) }
    /// ```
    pub fn consumer_from_sealed(self, handover: Handover, deadline: Deadline) -> Result<Consumer, HandoverError> {
        let (ring, pixels) = handover.take_sealed_by(deadline)?;
        Ok(self.consumer_of_sealed(ring, pixels)?)
    }
}
