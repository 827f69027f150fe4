//! The consumer's handle, and the frames that it holds.
//!
//! # Safety
//! A slot is read only while its frame is held, and of a frame that is not finished only rows that its producer has said are ready. References to it are
//! given out only where no other process can write it, or was trusted not to.

#![allow(unsafe_code, reason = "pixels are read in place")]

use super::Delivery;
use super::known::Known;
use super::meta::Meta;
use super::seat::Seat;
use super::view::{Halt, Taken, View, When};
use super::word::Progress;
use crate::detector::Detector;
use crate::error::{Fault, OpenError, RecvError, RecvTimeoutError, TryRecvError};
use crate::lanes::{Peer, Role};
use crate::member::OnDeath;
use core::fmt;
use core::slice;
use core::time::Duration;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::{Pace, Waiter};
use std::sync::Arc;

/// The receiving side of a frame ring: a renderer, an encoder, an analyser.
///
/// It takes frames in order or the newest only, as it chose ([`Delivery`]). Each is held, in place, until the [`Frame`] is dropped: several at once, in any
/// order, in any thread, also when the consumer itself is gone. A consumer that is killed holds nothing any more.
#[derive(Debug)]
pub struct Consumer {
    view: View,
    known: Known,
}

impl Consumer {
    pub(crate) fn join(seat: Seat) -> Result<Self, OpenError> {
        let view = View::join(seat).map_err(|fault| match fault {
            Fault::Corrupt { field } => OpenError::Corrupt { field },
            Fault::Forked | Fault::Removed | Fault::Os { .. } => OpenError::Corrupt { field: "object" },
        })?;
        let known = Known::new(view.seat().table().bytes());
        Ok(Self { view, known })
    }

    /// Holds the next frame, if it is finished. Never waits; makes no system call unless the producer sleeps, except that an empty ring is asked
    /// every 50 ms whether its producer is alive.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`], [`TryRecvError::TooManyHeld`], [`TryRecvError::Disconnected`], [`TryRecvError::Fault`].
    pub fn try_recv_ref(&mut self) -> Result<Frame, TryRecvError> {
        let taken = self.view.take(When::Finished);
        self.hand_out(taken)
    }

    /// Holds the next frame, and waits until it is finished, as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::TooManyHeld`], [`RecvError::Disconnected`], [`RecvError::Fault`].
    pub fn recv_ref(&mut self) -> Result<Frame, RecvError> {
        let taken = self.view.take_by(When::Finished, Deadline::NEVER);
        self.hand_out(taken)
    }

    /// As [`recv_ref`](Self::recv_ref), for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError::Timeout`], and those of [`recv_ref`](Self::recv_ref).
    pub fn recv_ref_timeout(&mut self, timeout: Duration) -> Result<Frame, RecvTimeoutError> {
        let taken = self.view.take_by(When::Finished, Deadline::after(timeout));
        self.hand_out(taken)
    }

    /// As [`try_recv_ref`](Self::try_recv_ref), of a frame that its producer shows while it writes it, too. [`Frame::wait_rows`] waits for its
    /// rows.
    ///
    /// # Errors
    /// Those of [`try_recv_ref`](Self::try_recv_ref).
    pub fn try_recv_early(&mut self) -> Result<Frame, TryRecvError> {
        let taken = self.view.take(When::Begun);
        self.hand_out(taken)
    }

    /// As [`recv_ref`](Self::recv_ref), of a frame that its producer shows while it writes it, too.
    ///
    /// # Errors
    /// Those of [`recv_ref`](Self::recv_ref).
    pub fn recv_early(&mut self) -> Result<Frame, RecvError> {
        let taken = self.view.take_by(When::Begun, Deadline::NEVER);
        self.hand_out(taken)
    }

    /// As [`recv_early`](Self::recv_early), for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// Those of [`recv_ref_timeout`](Self::recv_ref_timeout).
    pub fn recv_early_timeout(&mut self, timeout: Duration) -> Result<Frame, RecvTimeoutError> {
        let taken = self.view.take_by(When::Begun, Deadline::after(timeout));
        self.hand_out(taken)
    }

    #[inline]
    fn hand_out<E: From<Halt>>(&mut self, taken: Result<Taken, Halt>) -> Result<Frame, E> {
        let Taken { slot, sequence, skipped } = taken?;
        let seat = self.view.seat();
        match self.known.meta(&seat.table().record(slot), sequence) {
            Ok(meta) => Ok(Frame { seat: Arc::clone(seat), slot, sequence, skipped, meta: *meta }),
            Err(fault) => {
                seat.release(slot);
                Err(Halt::Fault(fault).into())
            }
        }
    }

    /// What it takes.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.view.seat().delivery()
    }

    /// Frames that it holds now.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.view.seat().held()
    }

    /// How many frames it may hold at once.
    #[must_use]
    pub fn most_held(&self) -> u32 {
        self.view.seat().most()
    }

    /// Frames that it did not get although it was there: those that were newer than the last and older than the newest, where it takes that
    /// only; and any that a producer gave up, or died with. Those of earlier consumers in the same lane are counted.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.view.seat().lost()
    }

    /// The number of the next frame that it looks for, counted from the ring's first.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.view.next().wrapping_sub(self.view.seat().memory().geometry().origin)
    }

    /// Slots of the ring.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.view.seat().table().slots()
    }

    /// Bytes of a slot: the longest frame.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.view.seat().table().bytes()
    }

    /// What the producer is, now. Asks the kernel whether it is alive.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.view.producer()
    }
}

crate::waitable::waitable!([] Consumer, view);

/// A frame that is held: its slot is not written before this is dropped, in whatever thread.
///
/// What stands in the slot was written by the producer's process. Where that was not trusted (`trust_peers`), [`bytes`](Self::bytes) and
/// [`row`](Self::row) give nothing, because a reference would change if the process broke the protocol; [`read`](Self::read) and
/// [`read_row`](Self::read_row) copy, and [`as_ptr`](Self::as_ptr) says where it lies. Its description is a private copy, and was checked: whatever
/// the other process does, its planes lie inside of the slot.
#[derive(Debug)]
pub struct Frame {
    seat: Arc<Seat>,
    slot: usize,
    sequence: u64,
    skipped: u64,
    meta: Meta,
}

/// Rows were asked for that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsError {
    /// Not until the deadline, or not yet.
    Timeout {
        /// So many are there.
        ready: u32,
    },
    /// The producer has given the frame up, or died: no more will follow.
    Abandoned {
        /// So many are there.
        ready: u32,
    },
    /// The handle is unusable.
    Fault(Fault),
}

impl fmt::Display for RowsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { ready } => {
                write!(f, "only {ready} rows of the frame are there: wait longer, or ask for fewer")
            }
            Self::Abandoned { ready } => {
                write!(f, "the producer did not finish this frame, {ready} rows are there: drop it, and take the next")
            }
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for RowsError {}

impl Frame {
    /// What it is.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its number, counted from the ring's first frame.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence.wrapping_sub(self.seat.memory().geometry().origin)
    }

    /// Frames that its consumer missed between the one before and this one.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.meta.bytes
    }

    /// Whether it has no bytes: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn progress(&self) -> Progress {
        self.seat.progress(self.slot)
    }

    /// Whether all of it is there. Always so of a frame that was not taken early.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.progress().is_complete()
    }

    /// How many of its rows are there.
    #[must_use]
    pub fn rows(&self) -> u32 {
        let progress = self.progress();
        if progress.is_complete() { self.meta.height } else { progress.ready().min(self.meta.height) }
    }

    /// Waits until at least `rows` of its rows are there, or all if there are fewer, for at most `timeout`. Returns how many are.
    ///
    /// # Errors
    /// [`RowsError`]. [`Abandoned`](RowsError::Abandoned) within a few milliseconds of the producer's death, whether or not there is to be a
    /// successor: nobody finishes another's frame.
    pub fn wait_rows(&self, rows: u32, timeout: Duration) -> Result<u32, RowsError> {
        self.wait_rows_by(rows, Deadline::after(timeout))
    }

    fn wait_rows_by(&self, rows: u32, deadline: Deadline) -> Result<u32, RowsError> {
        if let Some(result) = self.has_rows(rows) {
            return result;
        }
        let (memory, behaviour) = (self.seat.memory(), &self.seat.member().behaviour);
        let producer = memory.lanes_of(Role::Producer).start;
        let (bell, mut detector) = (&*memory.lobby().readers, Detector::new(producer));
        let mut waiter = Waiter::new(behaviour.wait, deadline, &Pace::new());
        let result = loop {
            let is_over = waiter.pause(bell).is_err();
            if let Some(result) = self.has_rows(rows) {
                break result;
            }
            let may_look = self.seat.member().may_ask() && (is_over || waiter.is_unhurried());
            if may_look && detector.is_gone(memory, OnDeath::Disconnect) {
                // What it did last, before it went: CLOSE or DEATH made it visible.
                break self.has_rows(rows).unwrap_or(Err(RowsError::Abandoned { ready: self.rows() }));
            }
            if is_over {
                break Err(RowsError::Timeout { ready: self.rows() });
            }
        };
        waiter.finish(bell);
        result
    }

    fn has_rows(&self, rows: u32) -> Option<Result<u32, RowsError>> {
        if let Err(fault) = self.seat.member().refuse_forked() {
            return Some(Err(RowsError::Fault(fault)));
        }
        let ready = self.rows();
        if ready >= rows.min(self.meta.height) && (ready < self.meta.height || self.is_complete()) {
            return Some(Ok(ready));
        }
        self.progress().is_abandoned().then_some(Err(RowsError::Abandoned { ready }))
    }

    /// Whether references to the slot may be given out.
    fn may_refer(&self) -> bool {
        self.seat.member().trusts_peers() && !self.seat.member().is_forked()
    }

    /// The frame, in place. `None` if its producer was not trusted, if not all of it is there, and in a forked child.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        if !self.may_refer() || !self.is_complete() {
            return None;
        }
        let source = self.seat.table().reading(self.slot, 0, self.len());
        // SAFETY: held and finished, so nobody writes it before this frame is dropped; peers were trusted to keep to that.
        Some(unsafe { slice::from_raw_parts(source.as_ptr(), self.len()) })
    }

    /// A row, in place. `None` where [`bytes`](Self::bytes) is, but for rows of an unfinished frame that are there; and if there is no such row.
    #[must_use]
    pub fn row(&self, plane: usize, row: u32) -> Option<&[u8]> {
        let (at, len) = self.ready_row(plane, row)?;
        if !self.may_refer() {
            return None;
        }
        let source = self.seat.table().reading(self.slot, at, len);
        // SAFETY: held, and ready, so nobody writes it before this frame is dropped; peers were trusted to keep to that.
        Some(unsafe { slice::from_raw_parts(source.as_ptr(), len) })
    }

    /// Where a row is, if it is ready.
    fn ready_row(&self, plane: usize, row: u32) -> Option<(usize, usize)> {
        let rows = self.meta.planes().get(plane)?;
        let is_ready = self.is_complete() || row < rows.ready(self.rows(), self.meta.height);
        rows.row_at(row).filter(|_| is_ready).map(|at| (at, rows.row_bytes))
    }

    /// Copies bytes out of the frame, from `at` on, into all of `into`. `false`, and nothing is copied, if they do not lie inside of the frame, or not all
    /// of the frame is there; and in a forked child.
    #[must_use]
    pub fn read(&self, at: usize, into: &mut [u8]) -> bool {
        let is_inside = at <= self.len() && into.len() <= self.len() - at;
        if !is_inside || !self.is_complete() || self.seat.member().is_forked() {
            return false;
        }
        self.copy(at, into);
        true
    }

    /// Copies a row out of the frame, or as much of it as `into` has room for. Returns how many bytes; `None` if there is no such row, or not yet, and in
    /// a forked child.
    #[must_use]
    pub fn read_row(&self, plane: usize, row: u32, into: &mut [u8]) -> Option<usize> {
        let (at, len) = self.ready_row(plane, row).filter(|_| !self.seat.member().is_forked())?;
        let len = len.min(into.len());
        self.copy(at, &mut into[..len]);
        Some(len)
    }

    fn copy(&self, at: usize, into: &mut [u8]) {
        let source = self.seat.table().reading(self.slot, at, into.len());
        // SAFETY: as many bytes of the slot on one side, private memory on the other. No reference is formed to the slot, so a process that writes it
        // meanwhile against the protocol makes wrong bytes and nothing worse.
        unsafe { into.as_mut_ptr().copy_from_nonoverlapping(source.as_ptr(), into.len()) };
    }

    /// Where the frame lies: on a page of its own, [`len`](Self::len) bytes, of which only rows that are there mean anything. For libraries that read
    /// through pointers, and to hand on what was not trusted. Valid as long as this frame; never to be written.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.seat.table().reading(self.slot, 0, 0).as_ptr()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.seat.release(self.slot);
    }
}
