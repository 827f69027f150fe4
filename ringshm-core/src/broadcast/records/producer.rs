//! The producer of a broadcast ring of records.

use super::Records;
use crate::ahead::Ahead;
use crate::broadcast::Eviction;
use crate::broadcast::feed::Feed;
use crate::broadcast::milestones::Milestone;
use crate::error::{Blocked, OpenError, SendError, SendSliceError, SendTimeoutError, Stop, TrySendError};
use crate::ledger::Tally;
use crate::member::Member;
use crate::record::{self, HEADER};
use core::time::Duration;
use ringshm_sync::crash;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Exchanged;

/// The sending side of a broadcast ring of byte records. See [`Producer`](crate::broadcast::Producer), which this mirrors.
#[derive(Debug)]
pub struct RecordProducer {
    feed: Feed,
    records: Records,
    tally: Tally,
    /// The section whose milestone is set.
    section: Option<u64>,
    ahead: Ahead,
}

impl RecordProducer {
    pub(crate) fn resume(member: Member) -> Result<Self, OpenError> {
        let records = Records::new(member.memory());
        let feed = Feed::resume(member, HEADER)?;
        let tally = feed.tally()?;
        let section = records.milestones.section_of(feed.tail());
        // What a dead producer marked for a record that it did not publish is marked again.
        let is_set = records.milestones.get(feed.member().own(), section, feed.tail()).is_some();
        Ok(Self { feed, records, tally, section: is_set.then_some(section), ahead: Ahead::new(1) })
    }

    /// Calls `report` for each lossless reader that is evicted for being slow, from within the call that evicts it.
    pub fn on_eviction(&mut self, report: impl FnMut(Eviction) + Send + 'static) {
        self.feed.on_eviction(Box::new(report));
    }

    /// The units to claim for a payload of `len` bytes at the tail, and how many of them are padding.
    #[inline(always)]
    fn need(&self, len: usize) -> (u64, u64) {
        let span = record::span(len as u64);
        let to_wrap = self.records.to_wrap(self.feed.tail());
        if span <= to_wrap { (span, 0) } else { (to_wrap + span, to_wrap) }
    }

    #[inline(always)]
    fn is_too_large(&self, len: usize) -> bool {
        len as u64 > self.records.max
    }

    #[inline(always)]
    fn claim(&mut self, len: usize) -> Result<u64, Blocked> {
        let (units, padding) = self.need(len);
        let position = self.feed.claim(units)?;
        Ok(self.begin(position, padding))
    }

    #[inline(always)]
    fn claim_by(&mut self, len: usize, deadline: Deadline) -> Result<u64, Stop> {
        let (units, padding) = self.need(len);
        let position = self.feed.claim_by(units, Exchanged::one_by_one(self.tally.count), deadline)?;
        Ok(self.begin(position, padding))
    }

    /// Writes the padding of a claimed record, if it needs any. Returns where the record goes.
    #[inline(always)]
    fn begin(&mut self, position: u64, padding: u64) -> u64 {
        if padding == 0 {
            return position;
        }
        self.records.put_header(position, record::padding(padding));
        crash::point("broadcast.padded");
        self.feed.advance(padding);
        position.wrapping_add(padding)
    }

    #[inline(always)]
    fn write(&mut self, position: u64, payload: &[u8]) {
        let section = self.records.milestones.section_of(position);
        if self.section != Some(section) {
            self.records.milestones.set(Milestone { position, count: self.tally.count });
            self.section = Some(section);
        }
        self.records.put_header(position, record::header(payload.len() as u64));
        self.records.put(position, payload);
        self.feed.advance(record::span(payload.len() as u64));
        // Wrapping: the count it goes on from was read from shared memory.
        self.tally.count = self.tally.count.wrapping_add(1);
        let records = &self.records;
        self.ahead.look(self.feed.tail(), self.feed.room(), |position| {
            records.data.prefetch_to_write(records.offset(position));
        });
    }

    #[inline(always)]
    fn publish(&mut self) {
        self.feed.publish_counted(&mut self.tally);
    }

    /// Sends a record if every lossless reader leaves room for it. Never waits; makes no system call unless a reader sleeps or has
    /// held it up for a millisecond.
    ///
    /// # Errors
    /// [`TrySendError::Full`], [`TrySendError::TooLarge`] and [`TrySendError::Fault`].
    #[inline]
    pub fn try_send(&mut self, payload: &[u8]) -> Result<(), TrySendError<()>> {
        if self.is_too_large(payload.len()) {
            return Err(TrySendError::TooLarge { len: payload.len(), max: self.max_message() });
        }
        let position = self.claim(payload.len()).map_err(|blocked| blocked.into_try_send(()))?;
        self.write(position, payload);
        self.publish();
        Ok(())
    }

    /// Sends a record, and waits for lossless readers as long as it takes, or the policy says.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] and [`SendError::Fault`].
    #[inline]
    pub fn send(&mut self, payload: &[u8]) -> Result<(), SendError<()>> {
        if self.is_too_large(payload.len()) {
            return Err(SendError::TooLarge { len: payload.len(), max: self.max_message() });
        }
        let position = self.claim_by(payload.len(), Deadline::NEVER).map_err(|stop| stop.into_send(()))?;
        self.write(position, payload);
        self.publish();
        Ok(())
    }

    /// Sends a record, and waits for lossless readers for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`SendTimeoutError::Timeout`], [`SendTimeoutError::TooLarge`] and [`SendTimeoutError::Fault`].
    pub fn send_timeout(&mut self, payload: &[u8], timeout: Duration) -> Result<(), SendTimeoutError<()>> {
        self.send_by(payload, Deadline::after(timeout))
    }

    pub(crate) fn send_by(&mut self, payload: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        if self.is_too_large(payload.len()) {
            return Err(SendTimeoutError::TooLarge { len: payload.len(), max: self.max_message() });
        }
        let position = self.claim_by(payload.len(), deadline).map_err(|stop| stop.into_send_timeout(()))?;
        self.write(position, payload);
        self.publish();
        Ok(())
    }

    /// Sends as many records as there is room for, from the first on, in one publication for an eighth of the ring. Returns how many.
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
            if self.feed.must_look(self.need(payload.len()).0) {
                // Readers and successors count back from the reach: no reach is announced a whole ring before the cursor.
                self.publish();
            }
            match self.claim(payload.len()) {
                Ok(position) => self.write(position, payload),
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

    /// Sends all records, in one publication for an eighth of the ring where there is room, and waits for lossless readers as long as it takes, or the policy
    /// says.
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

    /// Records sent since the ring was made, by this producer and those before it: where to resume after a kill.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.tally.count
    }

    /// How far the slowest of the lossless readers is behind, in bytes. 0 without such readers.
    #[must_use]
    pub fn lag(&self) -> usize {
        self.feed.lag() as usize
    }

    /// The size of the ring, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.records.capacity as usize
    }

    /// The longest record that this ring takes, in bytes.
    #[must_use]
    pub fn max_message(&self) -> usize {
        self.records.max as usize
    }

    /// Leaves the ring without closing it: the readers wait for a successor.
    pub fn detach(mut self) {
        self.feed.member_mut().will_detach();
    }
}

crate::waitable::waitable!([] RecordProducer, feed);
