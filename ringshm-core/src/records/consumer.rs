//! The receiving side of a ring of byte records.
//!
//! # Safety
//! A guard refers to the ring's bytes only if the consumer trusts its peers.

#![allow(unsafe_code, reason = "a guard is a slice of the ring")]

use super::Records;
use crate::ahead::Ahead;
use crate::endpoint::{Endpoint, Side as _};
use crate::error::{Blocked, Fault, OpenError, RecvError, RecvTimeoutError, Stop, TryRecvError};
use crate::lanes::Peer;
use crate::ledger::Tally;
use crate::record::{self, Piece};
use crate::spsc;
use core::time::Duration;
use ringshm_sync::cell::Reading;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Exchanged;

/// The receiving side of a ring of byte records. Dropping it closes the ring, see [`Consumer`](crate::Consumer), which
/// this mirrors.
#[derive(Debug)]
pub struct RecordConsumer {
    ring: spsc::Consumer,
    records: Records,
    /// What is released.
    tally: Tally,
    /// Records handed out since then.
    handed_out: u64,
    ahead: Ahead,
    /// Where an untrusting consumer's guards refer to. Grows to the longest record received through a guard.
    scratch: Vec<u8>,
}

/// Where a published record lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Of its header.
    position: u64,
    /// Of its payload.
    len: usize,
}

impl RecordConsumer {
    pub(crate) fn resume(end: Endpoint) -> Result<Self, OpenError> {
        let records = Records::new(&end);
        let ring = spsc::Consumer::resume(end, record::HEADER)?;
        let tally = ring.tally()?;
        Ok(Self { ring, records, tally, ahead: Ahead::new(1), handed_out: 0, scratch: Vec::new() })
    }

    /// Finds the record at the head, of which at least the header is published.
    #[inline(always)]
    fn find(&mut self) -> Result<Place, Fault> {
        let records = &self.records;
        self.ahead.look(self.ring.head(), self.ring.available(), |position| records.prefetch_to_read(position));
        let position = self.ring.head();
        let len = match self.records.piece(position, self.ring.available())? {
            Piece::Record(len) => return Ok(Place { position, len: len as usize }),
            Piece::Padding(span) => {
                self.ring.advance(span);
                let position = self.ring.head();
                match self.records.piece(position, self.ring.available())? {
                    Piece::Record(len) => len,
                    Piece::Padding(_) => return Err(Fault::Corrupt { field: "padding length" }),
                }
            }
        };
        Ok(Place { position: self.ring.head(), len: len as usize })
    }

    #[inline(always)]
    fn peek(&mut self) -> Result<Place, Blocked> {
        self.ring.peek(record::HEADER)?;
        Ok(self.find()?)
    }

    #[inline(always)]
    fn peek_by(&mut self, deadline: Deadline) -> Result<Place, Stop> {
        self.ring.peek_by(record::HEADER, Exchanged::one_by_one(self.tally.count), deadline)?;
        self.find().map_err(Stop::Fault)
    }

    /// Counts a record as handed out.
    #[inline(always)]
    fn advance(&mut self, place: Place) {
        self.ring.advance(record::span(place.len as u64));
        self.handed_out += 1;
    }

    #[inline(always)]
    fn release(&mut self) {
        // Wrapping: the count it goes on from was read from shared memory.
        self.tally.count = self.tally.count.wrapping_add(self.handed_out);
        self.handed_out = 0;
        self.ring.release_counted(&mut self.tally);
    }

    fn cancel(&mut self) {
        self.ring.cancel();
        self.handed_out = 0;
    }

    #[inline(always)]
    fn copy_into(&mut self, place: Place, into: &mut Vec<u8>) -> usize {
        into.clear();
        into.reserve(place.len);
        // SAFETY: room was reserved just now.
        unsafe { self.records.take(place.position, place.len, into.as_mut_ptr()) };
        // SAFETY: all of them were written just now.
        unsafe { into.set_len(place.len) };
        self.advance(place);
        place.len
    }

    /// Receives a record into `into`, replacing what it held, if there is one. Returns its length. Never waits; allocates
    /// only if `into` is too small.
    ///
    /// # Errors
    /// [`TryRecvError`]; `into` is unchanged then.
    #[inline]
    pub fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        let place = self.peek()?;
        let len = self.copy_into(place, into);
        self.release();
        Ok(len)
    }

    /// As [`try_recv`](Self::try_recv), and waits for the record as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`]; `into` is unchanged then.
    #[inline]
    pub fn recv(&mut self, into: &mut Vec<u8>) -> Result<usize, RecvError> {
        let place = self.peek_by(Deadline::NEVER)?;
        let len = self.copy_into(place, into);
        self.release();
        Ok(len)
    }

    /// As [`try_recv`](Self::try_recv), and waits for the record for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`]; `into` is unchanged then.
    pub fn recv_timeout(&mut self, into: &mut Vec<u8>, timeout: Duration) -> Result<usize, RecvTimeoutError> {
        self.recv_by(into, Deadline::after(timeout))
    }

    pub(crate) fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        let place = self.peek_by(deadline)?;
        let len = self.copy_into(place, into);
        self.release();
        Ok(len)
    }

    /// Hands out the next record as a slice, if there is one. It is released when the guard is dropped.
    ///
    /// A consumer that does not trust its peers gets a private copy, which no other process can change.
    ///
    /// # Errors
    /// [`TryRecvError`].
    #[inline]
    pub fn try_recv_ref(&mut self) -> Result<RecordRef<'_>, TryRecvError> {
        let place = self.peek()?;
        Ok(self.hand_out(place))
    }

    /// As [`try_recv_ref`](Self::try_recv_ref), and waits for the record as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    #[inline]
    pub fn recv_ref(&mut self) -> Result<RecordRef<'_>, RecvError> {
        let place = self.peek_by(Deadline::NEVER)?;
        Ok(self.hand_out(place))
    }

    /// As [`try_recv_ref`](Self::try_recv_ref), and waits for the record for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    pub fn recv_ref_timeout(&mut self, timeout: Duration) -> Result<RecordRef<'_>, RecvTimeoutError> {
        let place = self.peek_by(Deadline::after(timeout))?;
        Ok(self.hand_out(place))
    }

    #[inline]
    fn hand_out(&mut self, place: Place) -> RecordRef<'_> {
        let bytes = self.slice_or_copy(place);
        RecordRef { consumer: self, len: place.len, bytes }
    }

    /// The record itself if the peers are trusted, else `None` and a copy in the scratch.
    #[inline(always)]
    fn slice_or_copy(&mut self, place: Place) -> Option<Reading> {
        if self.ring.end().trusts_peers() {
            let bytes = self.records.reading(place.position, place.len);
            self.advance(place);
            return Some(bytes);
        }
        let mut scratch = core::mem::take(&mut self.scratch);
        self.copy_into(place, &mut scratch);
        self.scratch = scratch;
        None
    }

    /// Hands out everything that is in the ring now, to be released together when the guard is dropped.
    ///
    /// # Errors
    /// [`TryRecvError`] if there is nothing.
    pub fn try_drain(&mut self) -> Result<RecordDrain<'_>, TryRecvError> {
        self.ring.peek_all(record::HEADER)?;
        Ok(RecordDrain { consumer: self, taken: 0, bytes: None })
    }

    /// As [`try_drain`](Self::try_drain), and waits for the first record as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn drain(&mut self) -> Result<RecordDrain<'_>, RecvError> {
        self.ring.peek_all_by(record::HEADER, Exchanged::by_batches(self.tally.count), Deadline::NEVER)?;
        Ok(RecordDrain { consumer: self, taken: 0, bytes: None })
    }

    /// As [`try_drain`](Self::try_drain), and waits for the first record for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    pub fn drain_timeout(&mut self, timeout: Duration) -> Result<RecordDrain<'_>, RecvTimeoutError> {
        self.drain_by(Deadline::after(timeout))
    }

    pub(crate) fn drain_by(&mut self, deadline: Deadline) -> Result<RecordDrain<'_>, RecvTimeoutError> {
        self.ring.peek_all_by(record::HEADER, Exchanged::by_batches(self.tally.count), deadline)?;
        Ok(RecordDrain { consumer: self, taken: 0, bytes: None })
    }

    /// Receives copies until the producer is gone, waiting for each record. Allocates for each; see
    /// [`recv`](Self::recv) and [`drain`](Self::drain) for reading without.
    pub fn iter(&mut self) -> impl Iterator<Item = Vec<u8>> + '_ {
        core::iter::from_fn(|| self.recv_ref().ok().map(|record| record.to_vec()))
    }

    /// Receives copies until the ring is empty.
    pub fn try_iter(&mut self) -> impl Iterator<Item = Vec<u8>> + '_ {
        core::iter::from_fn(|| self.try_recv_ref().ok().map(|record| record.to_vec()))
    }

    /// Records released since the ring was made, by this consumer and those before it.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.tally.count
    }

    /// Records in the ring: sent, and not yet released. Approximate while both sides are busy.
    #[must_use]
    pub fn len(&self) -> usize {
        let peer = self.ring.end().peer();
        let sent = peer.ledger.count(&peer.cursor).map_or(self.tally.count, |(_, count)| count);
        sent.saturating_sub(self.tally.count).min(self.ring.len() / record::HEADER) as usize
    }

    /// Whether no record is in the ring.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.len() == 0
    }

    /// The size of the ring, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.end().memory().geometry().capacity as usize
    }

    /// The longest record that this ring takes, in bytes.
    #[must_use]
    pub fn max_message(&self) -> usize {
        self.records.max as usize
    }

    /// What the producer is, now. Asks the kernel whether it is alive.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.ring.end().peer_state()
    }

    /// Leaves the ring without closing it: the producer goes on, for a successor. If the producer is finished or dead and
    /// everything was received, there is nothing to go on with, and the ring is removed.
    pub fn detach(mut self) {
        self.ring.end_mut().will_detach();
    }
}

crate::waitable::waitable!([] RecordConsumer, ring);

/// A record that is still in the ring. Dropping it releases it.
#[derive(Debug)]
pub struct RecordRef<'a> {
    consumer: &'a mut RecordConsumer,
    len: usize,
    /// The bytes themselves, if the consumer trusts its peers; else the record is in the consumer's scratch.
    bytes: Option<Reading>,
}

impl RecordRef<'_> {
    /// Leaves the record in the ring: it is handed out again.
    pub fn keep(self) {
        self.consumer.cancel();
    }
}

impl core::ops::Deref for RecordRef<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            // SAFETY: published and checked; the peers were trusted, at opening, not to touch them.
            Some(bytes) => unsafe { core::slice::from_raw_parts(bytes.as_ptr(), self.len) },
            None => &self.consumer.scratch,
        }
    }
}

impl Drop for RecordRef<'_> {
    #[inline]
    fn drop(&mut self) {
        self.bytes = None;
        if !self.consumer.ring.end().is_forked() {
            self.consumer.release();
        }
    }
}

/// Records handed out together. Dropping it releases those that were taken from it; the others stay in the ring.
#[derive(Debug)]
pub struct RecordDrain<'a> {
    consumer: &'a mut RecordConsumer,
    taken: u64,
    bytes: Option<Reading>,
}

impl RecordDrain<'_> {
    /// The next of the records that were there when the drain began, or were published since and seen. Valid until the
    /// next call.
    ///
    /// # Errors
    /// [`Fault`] if another process damaged the ring. What was taken before is good.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it lends: each slice borrows the drain")]
    pub fn next(&mut self) -> Result<Option<&[u8]>, Fault> {
        self.bytes = None;
        if self.consumer.ring.available() == 0 {
            return Ok(None);
        }
        let place = match self.consumer.peek() {
            Ok(place) => place,
            Err(Blocked::Fault(fault)) => return Err(fault),
            Err(Blocked::NotReady | Blocked::Stalled(_) | Blocked::Disconnected) => return Ok(None),
        };
        self.taken += 1;
        self.bytes = self.consumer.slice_or_copy(place);
        Ok(Some(match &self.bytes {
            // SAFETY: as for a `RecordRef`.
            Some(bytes) => unsafe { core::slice::from_raw_parts(bytes.as_ptr(), place.len) },
            None => &self.consumer.scratch,
        }))
    }

    /// How many records were taken from it.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Leaves all of them in the ring, those already taken included: they are handed out again.
    pub fn keep(mut self) {
        self.consumer.cancel();
        self.taken = 0;
    }
}

impl Drop for RecordDrain<'_> {
    fn drop(&mut self) {
        self.bytes = None;
        if !self.consumer.ring.end().is_forked() {
            self.consumer.release();
        }
    }
}
