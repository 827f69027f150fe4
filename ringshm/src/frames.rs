//! Choosing a ring of frames, and which of them a consumer takes.

use crate::{Builder, Heap};
use ringshm_core::error::OpenError;
use ringshm_core::frames::{Consumer, Delivery, Frames, Producer, Sealed};
use ringshm_core::os::IntoMemfd;
use std::os::fd::AsFd;

/// Begins to describe a ring of frames: video, or other large blocks, from one producer to up to 16 consumers without a copy. Its handles are in
/// [`frames`](mod@crate::frames). The name is as for [`spsc`](crate::spsc).
///
/// The producer writes each frame in its slot ([`Producer::loan`]) and commits it with its description
/// ([`Meta`](crate::frames::Meta)); consumers hold frames where they are ([`Consumer::recv_ref`]), several at once, and let them go in any order. Each
/// consumer chooses whether it takes every frame, which the producer waits for, or the newest only, which it never does
/// ([`delivery`](Builder::delivery)).
///
/// Who makes the ring says how large a frame can be ([`frame_bytes`](Builder::frame_bytes)) and how many slots there are
/// ([`capacity`](Builder::capacity); 8 if not given, and never rounded up). The memory is there from then on, all of it.
///
/// ```
/// use ringshm::frames::{Delivery, FourCc, Meta};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let meta = Meta::new(FourCc::GRAY, 640, 480)?;
/// let ring = ringshm::frames("").frame_bytes(meta.bytes as u64).capacity(4).heap()?;
/// let mut decoder = ring.producer()?;
/// let mut renderer = ring.taking(Delivery::NewestOnly).consumer()?;
///
/// for brightness in 0..3 {
///     let mut loan = decoder.loan()?;
///     let pixels = loan.bytes_mut().expect("on the heap nobody else can write them");
///     pixels.fill(brightness);
///     loan.commit(&meta)?;
/// }
/// let frame = renderer.recv_ref()?;
/// assert_eq!((frame.sequence(), frame.skipped()), (2, 2));
/// assert_eq!(frame.row(0, 479), Some(&[2; 640][..]));
/// # Ok(()) }
/// ```
pub fn frames(name: &str) -> Builder<Frames> {
    Builder::new(name)
}

impl Builder<Frames> {
    /// Bytes of the largest frame of a ring that this creates; each slot has as many, rounded up to whole pages. Not needed to join a ring that
    /// is there; a consumer without it does not create one, and gets [`OpenError::NotFound`]. Who asks for more than an existing ring has gets
    /// [`OpenError::LayoutMismatch`]. [`Meta::bytes`](crate::frames::Meta) says how many a format takes.
    pub fn frame_bytes(mut self, bytes: u64) -> Self {
        self.options.wishes.max_message = Some(bytes);
        self
    }

    /// What this consumer takes: every frame, if not given.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.options.behaviour.delivery = delivery;
        self
    }

    /// How many frames this consumer may hold at once, 1 to 15; two if not given, as a renderer that shows one while it takes the next, or one where only
    /// one is left. All consumers together may hold two less than there are slots, so that there is always one to be written beside the newest: who
    /// would hold more is refused, with [`OpenError::InvalidOption`].
    pub fn hold(mut self, frames: u32) -> Self {
        self.options.behaviour.most_held = Some(frames);
        self
    }

    /// How many frames beside the newest this producer leaves alone, as long as it has other slots, for consumers that come late
    /// ([`Start::Oldest`](crate::broadcast::Start)): the depth of the ring's history. All, if not given: it always writes the slot whose frame is the oldest, and
    /// so goes round all of them. One more may be there, until its slot is written.
    ///
    /// With 0 or 1 it writes again what was let go last, which is in the processor's caches still: where every byte is written and read, and the ring has more
    /// slots than the caches hold, up to twice as many frames go through. Consumers that take every frame miss nothing by it. One that takes the newest
    /// only has less time to hold it before it is written again: with 0 until the next frame is published; if it is late, it looks for a newer one.
    pub fn history(mut self, frames: u32) -> Self {
        self.options.behaviour.history = Some(frames);
        self
    }

    /// The most consumers of a ring that this creates, 1 to 16; 16 if not given. A ring that exists has as many as it was made for.
    pub fn consumers(mut self, most: u32) -> Self {
        self.options.wishes.consumers = most;
        self
    }

    /// Creates the ring without a name, so that consumers cannot harm its producer: the pixels and their descriptions are in a sealed memfd that
    /// nobody but this producer can write, now or later; what consumers say they hold is in another one. The producer takes its role at once,
    /// and there can be no successor to it. Pass both on ([`Offer::give_sealed_by`](crate::handover::Offer), or by inheritance), and take part with
    /// [`consumer_of_sealed`](Self::consumer_of_sealed). The builder's name is only a label.
    ///
    /// A consumer that breaks the protocol can keep all slots for itself: then a producer gets [`Full`](crate::TrySendError::Full).
    ///
    /// # Errors
    /// [`OpenError::NoSpace`], [`OpenError::InvalidOption`], [`OpenError::Os`].
    ///
    /// ```
    /// use ringshm::frames::{FourCc, Meta};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let meta = Meta::new(FourCc::RGBA, 64, 48)?;
    /// let (mut decoder, sealed) = ringshm::frames("camera").frame_bytes(meta.bytes as u64).sealed()?;
    /// let mut renderer = ringshm::frames("").consumer_of_sealed(&sealed.ring, &sealed.pixels)?;
    ///
    /// let mut loan = decoder.loan()?;
    /// loan.bytes_mut().expect("nobody else can write them").fill(7);
    /// loan.commit(&meta)?;
    ///
    /// let frame = renderer.recv_ref()?;
    /// let mut row = [0; 64 * 4];
    /// assert_eq!(frame.read_row(0, 47, &mut row), Some(64 * 4));
    /// assert_eq!(row, [7; 64 * 4]);
    /// # Ok(()) }
    /// ```
    pub fn sealed(self) -> Result<(Producer, Sealed), OpenError> {
        self.options.sealed_frames(&self.name)
    }

    /// Takes the receiving role of a ring whose producer [sealed](Self::sealed) it: the pixels are mapped to be read only.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Corrupt`] if the two do not belong together, or the pixels are not sealed.
    pub fn consumer_of_sealed(self, ring: impl IntoMemfd, pixels: impl AsFd) -> Result<Consumer, OpenError> {
        self.options.consumer_of_sealed(ring, pixels)
    }
}

impl Heap<Frames> {
    /// The same ring, for consumers that take this.
    #[must_use]
    pub fn taking(&self, delivery: Delivery) -> Self {
        let mut behaviour = self.behaviour;
        behaviour.delivery = delivery;
        Self { memory: self.memory.clone(), behaviour, ..*self }
    }

    /// The same ring, for consumers that hold so many frames at once.
    #[must_use]
    pub fn holding(&self, frames: u32) -> Self {
        let mut behaviour = self.behaviour;
        behaviour.most_held = Some(frames);
        Self { memory: self.memory.clone(), behaviour, ..*self }
    }
}
