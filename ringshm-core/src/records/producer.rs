//! The sending side of a ring of byte records.
//!
//! # Safety
//! A loan refers to the ring's bytes only if the producer trusts its peers.

#![allow(unsafe_code, reason = "a loan is a slice of the ring")]

use super::Records;
use crate::ahead::Ahead;
use crate::endpoint::{Endpoint, Side as _};
use crate::error::{Blocked, OpenError, SendError, SendSliceError, SendTimeoutError, Stop, TrySendError};
use crate::lanes::Peer;
use crate::ledger::Tally;
use crate::record;
use crate::spsc;
use core::time::Duration;
use ringshm_sync::cell::Writing;
use ringshm_sync::crash;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Exchanged;

/// The sending side of a ring of byte records.
///
/// Records keep their boundaries and may be empty. Memory use follows the bytes sent: a record takes its length and at
/// most 15 bytes more.
///
/// Dropping it closes the ring, see [`Producer`](crate::Producer), which this mirrors.
#[derive(Debug)]
pub struct RecordProducer {
    ring: spsc::Producer,
    records: Records,
    tally: Tally,
    ahead: Ahead,
    /// Where an untrusting producer's loans are written. Grows to the largest loan.
    scratch: Vec<u8>,
}

/// Where a claimed record lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Of its header.
    position: u64,
    /// Of its payload.
    len: usize,
}

impl RecordProducer {
    pub(crate) fn resume(end: Endpoint) -> Result<Self, OpenError> {
        let records = Records::new(&end);
        let ring = spsc::Producer::resume(end, record::HEADER)?;
        let tally = ring.tally()?;
        Ok(Self { ring, records, tally, ahead: Ahead::new(1), scratch: Vec::new() })
    }

    /// The units to claim for a payload of `len` bytes at the tail, and how many of them are padding.
    #[inline(always)]
    fn need(&self, len: usize) -> (u64, u64) {
        let span = record::span(len as u64);
        let to_wrap = self.records.to_wrap(self.ring.tail());
        if span <= to_wrap { (span, 0) } else { (to_wrap + span, to_wrap) }
    }

    #[inline(always)]
    fn is_too_large(&self, len: usize) -> bool {
        len as u64 > self.records.max
    }

    #[inline(always)]
    fn claim(&mut self, len: usize) -> Result<Place, Blocked> {
        let (units, padding) = self.need(len);
        self.ring.claim(units)?;
        Ok(self.begin(len, padding))
    }

    #[inline(always)]
    fn claim_by(&mut self, len: usize, deadline: Deadline) -> Result<Place, Stop> {
        let (units, padding) = self.need(len);
        self.ring.claim_by(units, Exchanged::one_by_one(self.tally.count), deadline)?;
        Ok(self.begin(len, padding))
    }

    /// Writes the padding of a claimed record, if it needs any.
    #[inline(always)]
    fn begin(&mut self, len: usize, padding: u64) -> Place {
        crash::point("records.claimed");
        let mut position = self.ring.tail();
        if padding != 0 {
            self.records.put_header(position, record::padding(padding));
            crash::point("records.padded");
            position = position.wrapping_add(padding);
        }
        Place { position, len }
    }

    /// Counts a record whose payload is written as sent.
    #[inline(always)]
    fn end(&mut self, place: Place) {
        self.records.put_header(place.position, record::header(place.len as u64));
        let after = place.position.wrapping_add(record::span(place.len as u64));
        self.ring.advance(after.wrapping_sub(self.ring.tail()));
        // Wrapping: the count it goes on from was read from shared memory.
        self.tally.count = self.tally.count.wrapping_add(1);
        let records = &self.records;
        self.ahead.look(self.ring.tail(), self.ring.room(), |position| records.prefetch_to_write(position));
    }

    #[inline(always)]
    fn write(&mut self, place: Place, payload: &[u8]) {
        self.records.put(place.position, payload);
        self.end(place);
    }

    #[inline(always)]
    fn publish(&mut self) {
        self.ring.publish_counted(&mut self.tally);
    }

    /// Sends a record if there is room. Never waits; makes no system call unless the consumer sleeps.
    ///
    /// # Errors
    /// [`TrySendError`].
    #[inline]
    pub fn try_send(&mut self, payload: &[u8]) -> Result<(), TrySendError<()>> {
        if self.is_too_large(payload.len()) {
            return Err(TrySendError::TooLarge { len: payload.len(), max: self.max_message() });
        }
        let place = self.claim(payload.len()).map_err(|blocked| blocked.into_try_send(()))?;
        self.write(place, payload);
        self.publish();
        Ok(())
    }

    /// Sends a record, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendError`].
    #[inline]
    pub fn send(&mut self, payload: &[u8]) -> Result<(), SendError<()>> {
        if self.is_too_large(payload.len()) {
            return Err(SendError::TooLarge { len: payload.len(), max: self.max_message() });
        }
        let place = self.claim_by(payload.len(), Deadline::NEVER).map_err(|stop| stop.into_send(()))?;
        self.write(place, payload);
        self.publish();
        Ok(())
    }

    /// Sends a record, and waits for room for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`SendTimeoutError`].
    pub fn send_timeout(&mut self, payload: &[u8], timeout: Duration) -> Result<(), SendTimeoutError<()>> {
        self.send_by(payload, Deadline::after(timeout))
    }

    pub(crate) fn send_by(&mut self, payload: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        if self.is_too_large(payload.len()) {
            return Err(SendTimeoutError::TooLarge { len: payload.len(), max: self.max_message() });
        }
        let place = self.claim_by(payload.len(), deadline).map_err(|stop| stop.into_send_timeout(()))?;
        self.write(place, payload);
        self.publish();
        Ok(())
    }

    /// Sends as many records as there is room for, from the first on, and publishes them together. Returns how many.
    ///
    /// # Errors
    /// [`TrySendError`] if it could send none, and there was one.
    pub fn try_send_slice<P: AsRef<[u8]>>(&mut self, payloads: &[P]) -> Result<usize, TrySendError<()>> {
        let mut sent = 0;
        let mut cause = None;
        for payload in payloads {
            let payload = payload.as_ref();
            if self.is_too_large(payload.len()) {
                cause = Some(TrySendError::TooLarge { len: payload.len(), max: self.max_message() });
                break;
            }
            match self.claim(payload.len()) {
                Ok(place) => self.write(place, payload),
                Err(blocked) => {
                    cause = Some(blocked.into_try_send(()));
                    break;
                }
            }
            sent += 1;
        }
        self.publish();
        match cause {
            Some(cause) if sent == 0 => Err(cause),
            _ => Ok(sent),
        }
    }

    /// Sends all records, in as few publications as there is room for, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendSliceError`], with the number of records that were sent.
    pub fn send_slice<P: AsRef<[u8]>>(&mut self, payloads: &[P]) -> Result<(), SendSliceError> {
        let mut sent = 0;
        while let Some(next) = payloads.get(sent) {
            match self.try_send_slice(&payloads[sent..]) {
                Ok(count) => sent += count,
                Err(error) => {
                    let outcome = error.lasting().map_or_else(|| self.send(next.as_ref()), Err);
                    outcome.map_err(|cause| SendSliceError { sent, cause })?;
                    sent += 1;
                }
            }
        }
        Ok(())
    }

    /// Lends `len` contiguous bytes of the ring, to be filled in place and sent by [`RecordLoan::commit`]. Dropping the
    /// loan sends nothing.
    ///
    /// What is in them is left over from before. A producer that does not trust its peers is lent private memory, which
    /// `commit` copies.
    ///
    /// # Errors
    /// [`TrySendError`].
    pub fn try_loan(&mut self, len: usize) -> Result<RecordLoan<'_>, TrySendError<()>> {
        if self.is_too_large(len) {
            return Err(TrySendError::TooLarge { len, max: self.max_message() });
        }
        let place = self.claim(len).map_err(|blocked| blocked.into_try_send(()))?;
        Ok(self.lend(place))
    }

    /// As [`try_loan`](Self::try_loan), and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn loan(&mut self, len: usize) -> Result<RecordLoan<'_>, SendError<()>> {
        if self.is_too_large(len) {
            return Err(SendError::TooLarge { len, max: self.max_message() });
        }
        let place = self.claim_by(len, Deadline::NEVER).map_err(|stop| stop.into_send(()))?;
        Ok(self.lend(place))
    }

    fn lend(&mut self, place: Place) -> RecordLoan<'_> {
        let bytes = self.ring.end().trusts_peers().then(|| self.records.writing(place.position, place.len));
        if bytes.is_none() && self.scratch.len() < place.len {
            self.scratch.resize(place.len, 0);
        }
        RecordLoan { producer: self, place, bytes }
    }

    /// Records sent since the ring was made, by this producer and those before it: where to resume after a kill.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.tally.count
    }

    /// Records in the ring: sent, and not yet released. Approximate while both sides are busy.
    #[must_use]
    pub fn len(&self) -> usize {
        let peer = self.ring.end().peer();
        let received = peer.ledger.count(&peer.cursor).map_or(self.tally.count, |(_, count)| count);
        self.tally.count.saturating_sub(received).min(self.ring.len() / record::HEADER) as usize
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

    /// What the consumer is, now. Asks the kernel whether it is alive.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.ring.end().peer_state()
    }

    /// Leaves the ring without closing it: the consumer waits for a successor.
    pub fn detach(mut self) {
        self.ring.end_mut().will_detach();
    }
}

crate::waitable::waitable!([] RecordProducer, ring);

/// Bytes of the ring that their producer fills in place. Dropping it sends nothing.
#[derive(Debug)]
#[must_use = "a loan that is not committed sends nothing"]
pub struct RecordLoan<'a> {
    producer: &'a mut RecordProducer,
    place: Place,
    /// The bytes themselves, if the producer trusts its peers; else the loan is the producer's scratch.
    bytes: Option<Writing>,
}

impl RecordLoan<'_> {
    /// Sends the loan as a record.
    pub fn commit(self) {
        let len = self.place.len;
        self.commit_first(len);
    }

    /// Sends the first `len` bytes of the loan as a record, or all if it is not that long.
    pub fn commit_first(self, len: usize) {
        let Self { producer, mut place, bytes } = self;
        if producer.ring.end().is_forked() {
            return;
        }
        place.len = len.min(place.len);
        match bytes {
            Some(bytes) => bytes.finish(),
            None => producer.records.put(place.position, &producer.scratch[..place.len]),
        }
        producer.end(place);
        producer.publish();
    }
}

impl core::ops::Deref for RecordLoan<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            // SAFETY: claimed and initialised; the peers were trusted, at opening, not to touch them.
            Some(bytes) => unsafe { core::slice::from_raw_parts(bytes.as_mut_ptr(), self.place.len) },
            None => &self.producer.scratch[..self.place.len],
        }
    }
}

impl core::ops::DerefMut for RecordLoan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &self.bytes {
            // SAFETY: as for `deref`, and `self` is borrowed exclusively.
            Some(bytes) => unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr(), self.place.len) },
            None => &mut self.producer.scratch[..self.place.len],
        }
    }
}
