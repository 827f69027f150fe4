//! The producer's handle, and the slot that it has on loan.
//!
//! # Safety
//! A loan has its slot to itself: no consumer holds it, none can until it is shown, and the ring has one producer. Of a frame that is shown before
//! it is finished, the producer touches only rows that it has not said are ready, in planes that have no byte in common. References to the slot
//! are given out only where no other process can write it, or was trusted not to.

#![allow(unsafe_code, reason = "pixels are written in place")]

use super::feed::Feed;
use super::known::Known;
use super::meta::{BadMeta, Meta};
use super::table::Table;
use crate::error::{Fault, OpenError, SendError, SendTimeoutError, TrySendError};
use crate::member::Member;
use core::fmt;
use core::slice;
use core::time::Duration;
use ringshm_sync::time::Deadline;

/// The sending side of a frame ring: a decoder, a camera, a renderer of one's own.
///
/// It borrows a slot ([`loan`](Self::loan)), fills it in place and commits it: from then on consumers hold it, in place as well, and the slot
/// comes back when the last of them has let it go. Dropping the producer closes the ring: consumers get what was committed before, then
/// `Disconnected`. Use [`detach`](Self::detach) to leave the role to a successor.
///
/// It waits for consumers that take every frame, and never for those that take the newest only.
#[derive(Debug)]
pub struct Producer {
    feed: Feed,
    known: Known,
    /// Whether it may have references to slots.
    is_alone: bool,
}

/// Why a frame was not committed. Its slot is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// It is described as what cannot be, or as larger than its slot.
    Meta(BadMeta),
    /// The ring is unusable.
    Fault(Fault),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta(bad) => bad.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for CommitError {}

impl From<Fault> for CommitError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<BadMeta> for CommitError {
    fn from(bad: BadMeta) -> Self {
        Self::Meta(bad)
    }
}

impl Producer {
    pub(crate) fn resume(member: Member, table: Table) -> Result<Self, OpenError> {
        // Of a pool of its own, its maker alone has a mapping that can be written, and nobody can get another one.
        let is_alone = member.trusts_peers() || member.memory().pool().is_some();
        let known = Known::new(table.bytes());
        Ok(Self { feed: Feed::resume(member, table)?, known, is_alone })
    }

    /// Lends a slot, if there is one that no consumer holds. Never waits. A loan that is dropped is given back, and nobody has seen it.
    ///
    /// With consumers that take the newest frame only, there always is one. Of a consumer that died, the slots are there again at the latest
    /// with the first call that would otherwise say `Full` a few milliseconds after its death.
    ///
    /// # Errors
    /// [`TrySendError::Full`]: consumers that take every frame hold all slots, or have not taken what is in them.
    /// [`TrySendError::Fault`].
    pub fn try_loan(&mut self) -> Result<Loan<'_>, TrySendError<()>> {
        match self.feed.claim() {
            Ok(slot) => Ok(Loan { producer: self, slot }),
            Err(blocked) => Err(blocked.into_try_send(())),
        }
    }

    /// As [`try_loan`](Self::try_loan), and waits for a slot as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Fault`].
    pub fn loan(&mut self) -> Result<Loan<'_>, SendError<()>> {
        match self.feed.claim_by(Deadline::NEVER) {
            Ok(slot) => Ok(Loan { producer: self, slot }),
            Err(stop) => Err(stop.into_send(())),
        }
    }

    /// As [`try_loan`](Self::try_loan), and waits for a slot for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`SendTimeoutError::Timeout`], [`SendTimeoutError::Fault`].
    pub fn loan_timeout(&mut self, timeout: Duration) -> Result<Loan<'_>, SendTimeoutError<()>> {
        match self.feed.claim_by(Deadline::after(timeout)) {
            Ok(slot) => Ok(Loan { producer: self, slot }),
            Err(stop) => Err(stop.into_send_timeout(())),
        }
    }

    /// Frames committed since the ring was made, by this producer and those before it: the number of the next one. Those that were shown and
    /// then given up are counted.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.feed.next().wrapping_sub(self.feed.member().memory().geometry().origin)
    }

    /// Slots of the ring.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.feed.table().slots()
    }

    /// Bytes of a slot: the longest frame.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.feed.table().bytes()
    }

    /// Leaves the ring without closing it: consumers wait for a successor. Without effect where there can be none: on a ring whose pixels only
    /// this producer can write.
    pub fn detach(mut self) {
        if self.feed.member().memory().pool().is_none() {
            self.feed.member_mut().will_detach();
        }
    }

    fn origin(&self) -> u64 {
        self.feed.member().memory().geometry().origin
    }
}

crate::waitable::waitable!([] Producer, feed);

/// A slot, to be filled: [`commit`](Self::commit) sends it. Dropping it sends nothing.
#[derive(Debug)]
#[must_use = "a loan that is not committed sends nothing"]
pub struct Loan<'a> {
    producer: &'a mut Producer,
    slot: usize,
}

impl<'a> Loan<'a> {
    /// Bytes of the slot.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producer.frame_bytes()
    }

    /// Whether the slot has no bytes: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slot itself, as it was left by an earlier frame. `None` if another process could write it, and was not trusted (`trust_peers`), or
    /// if this is a forked child. Always there on the heap, and in a ring whose pixels consumers can only read.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let len = self.len();
        // SAFETY: the slot is this loan's as long as it lives (see the module), all its bytes are initialised, and nobody else writes them.
        self.may_refer().then(|| unsafe { slice::from_raw_parts_mut(self.as_mut_ptr(), len) })
    }

    /// Whether references to the slot may be given out.
    fn may_refer(&self) -> bool {
        self.producer.is_alone && self.producer.feed.refuse_forked().is_ok()
    }

    /// Where the slot is: on a page of its own, at the same place whenever it is on loan, [`len`](Self::len) bytes. For decoders that write
    /// through pointers. What lies there may be written until the loan ends, and read: a process that breaks the protocol may change it meanwhile.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.producer.feed.table().writing(self.slot, 0, 0).as_mut_ptr()
    }

    /// Copies bytes into the slot.
    ///
    /// # Errors
    /// [`Fault::Forked`].
    ///
    /// # Panics
    /// If they do not lie inside of the slot.
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Fault> {
        self.producer.feed.refuse_forked()?;
        let target = self.producer.feed.table().writing(self.slot, at, bytes.len());
        // SAFETY: the caller's bytes on one side, as many of the slot on the other.
        unsafe { target.as_mut_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        target.finish();
        Ok(())
    }

    /// Sends what is in the slot, described by `meta`. Returns its number, counted from the ring's first frame.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn commit(self, meta: &Meta) -> Result<u64, CommitError> {
        self.producer.feed.refuse_forked()?;
        let Producer { feed, known, .. } = &mut *self.producer;
        let sequence = feed.next();
        feed.commit(known.record(meta, sequence)?, meta.height);
        Ok(sequence.wrapping_sub(self.producer.origin()))
    }

    /// Shows the frame before any of its rows is there, to those consumers that want it that early; the others get it when it is finished.
    ///
    /// # Errors
    /// [`CommitError`]; also if planes have bytes in common, so that one's rows could be ready while another's are written.
    pub fn begin(self, meta: &Meta) -> Result<Begun<'a>, CommitError> {
        self.producer.feed.refuse_forked()?;
        let Producer { feed, known, .. } = &mut *self.producer;
        let sequence = feed.next();
        let record = known.record(meta, sequence)?;
        if !meta.planes_are_apart() {
            return Err(BadMeta { field: "overlapping planes" }.into());
        }
        feed.begin(record);
        let sequence = sequence.wrapping_sub(self.producer.origin());
        Ok(Begun { loan: self, meta: *meta, sequence, ready: 0 })
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if self.producer.feed.refuse_forked().is_ok() {
            self.producer.feed.give_back();
        }
    }
}

/// A frame that consumers see while it is written. Dropping it gives it up: who holds it is told so, and the others step over it.
///
/// ```
/// use core::time::Duration;
/// use ringshm_core::frames::{FourCc, Frames, Meta};
/// use ringshm_core::open::Options;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut options = Options::default();
/// # options.wishes.max_message = Some(4 * 4);
/// # let (mut producer, mut consumer) = options.threads::<Frames>()?;
/// let mut begun = producer.loan()?.begin(&Meta::new(FourCc::GRAY, 4, 4)?)?;
/// let frame = consumer.recv_early()?;
/// begun.write_row(0, 0, &[1; 4])?;
/// begun.write_row(0, 1, &[2; 4])?;
/// begun.advance(2);
/// assert_eq!(frame.wait_rows(2, Duration::MAX)?, 2);
/// assert_eq!(frame.row(0, 1), Some(&[2; 4][..]));
/// assert_eq!(frame.row(0, 2), None, "not there yet");
/// begun.finish();
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a frame that is not finished is given up"]
pub struct Begun<'a> {
    loan: Loan<'a>,
    meta: Meta,
    sequence: u64,
    ready: u32,
}

impl Begun<'_> {
    /// What the frame is. It cannot be changed any more.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its number, counted from the ring's first frame.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Where a row is that was not said to be ready: bytes from the beginning of the slot, and how many.
    fn row_at(&self, plane: usize, row: u32) -> (usize, usize) {
        let (height, rows) = (self.meta.height, &self.meta.planes()[plane]);
        assert!(row >= rows.ready(self.ready, height), "row {row} of plane {plane} was said to be ready");
        let at = rows.row_at(row);
        let Some(at) = at else { panic!("row {row} of plane {plane}, which has {}", rows.rows) };
        (at, rows.row_bytes)
    }

    /// A row that was not said to be ready, as it was left by an earlier frame. `None` where [`Loan::bytes_mut`] is.
    ///
    /// # Panics
    /// If there is no such row, or it was said to be ready.
    pub fn row_mut(&mut self, plane: usize, row: u32) -> Option<&mut [u8]> {
        let (at, len) = self.row_at(plane, row);
        let may_refer = self.loan.may_refer();
        let target = self.loan.producer.feed.table().writing(self.loan.slot, at, len);
        // SAFETY: a row of the slot that is this frame's, not ready, in a plane without bytes in common with others: nobody else touches it.
        may_refer.then(|| unsafe { slice::from_raw_parts_mut(target.as_mut_ptr(), len) })
    }

    /// Copies a row into the frame, or the beginning of one.
    ///
    /// # Errors
    /// [`Fault::Forked`].
    ///
    /// # Panics
    /// If there is no such row, or it was said to be ready, or is shorter.
    pub fn write_row(&mut self, plane: usize, row: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.loan.producer.feed.refuse_forked()?;
        let (at, len) = self.row_at(plane, row);
        assert!(bytes.len() <= len, "a row of {len} bytes");
        let target = self.loan.producer.feed.table().writing(self.loan.slot, at, bytes.len());
        // SAFETY: the caller's bytes on one side, as many of the row on the other.
        unsafe { target.as_mut_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        target.finish();
        Ok(())
    }

    /// Where the slot is, as [`Loan::as_mut_ptr`]. What was said to be ready must not be written any more.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.loan.as_mut_ptr()
    }

    /// Says that the first `rows` rows of the frame are there: of each plane, as many as belong to them, rounded down. Fewer than were
    /// said before changes nothing.
    pub fn advance(&mut self, rows: u32) {
        let rows = rows.min(self.meta.height);
        if rows > self.ready && self.loan.producer.feed.refuse_forked().is_ok() {
            self.ready = rows;
            self.loan.producer.feed.advance(rows);
        }
    }

    /// The frame is there as a whole. Returns its number, counted from the ring's first frame.
    pub fn finish(self) -> u64 {
        if self.loan.producer.feed.refuse_forked().is_ok() {
            self.loan.producer.feed.finish(self.meta.height);
        }
        self.sequence
    }
}
