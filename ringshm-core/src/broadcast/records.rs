//! Broadcast rings of byte records: a byte per unit.
//!
//! Memory use follows the bytes sent: a record takes its length and at most 15 bytes more, is contiguous, and is framed as in
//! [`record`]. A reader asks whether a header was still there before it believes it, and again after copying the payload.
//!
//! # Safety
//! Bytes are moved as words, from and to private memory; what a header says is checked before it is used.

#![allow(unsafe_code, reason = "copies bytes between the ring and private memory")]

use super::feed::Feed;
use super::milestones::{Milestone, Milestones};
use super::seat::{Lossless, Lossy, Seat};
use super::view::{Sight, View};
use super::{Eviction, Halt, Start, unjoinable};
use crate::ahead::Ahead;
use crate::error::{Blocked, Fault, OpenError, RecvError, RecvTimeoutError, SendError, SendSliceError};
use crate::error::{SendTimeoutError, Stop, TryRecvError, TrySendError};
use crate::lanes::Peer;
use crate::layout::Kind;
use crate::ledger::Tally;
use crate::member::Member;
use crate::memory::Memory;
use crate::record::{self, HEADER, Piece};
use core::time::Duration;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::cell::Bytes;
use ringshm_sync::crash;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Exchanged;

/// The data area of a ring of records, by position.
#[derive(Clone, Debug)]
struct Records {
    data: Bytes,
    capacity: u64,
    max: u64,
    milestones: Milestones,
}

impl Records {
    fn new(memory: &Memory) -> Self {
        let geometry = memory.geometry();
        assert!(geometry.kind == Kind::BroadcastRecords, "this memory is not for records");
        let (data, milestones) = (memory.data().clone(), Milestones::new(memory));
        Self { data, capacity: geometry.capacity, max: geometry.max_message, milestones }
    }

    #[inline(always)]
    fn offset(&self, position: u64) -> usize {
        (position & (self.capacity - 1)) as usize
    }

    #[inline(always)]
    fn to_wrap(&self, position: u64) -> u64 {
        self.capacity - (position & (self.capacity - 1))
    }

    #[inline(always)]
    fn put_header(&self, position: u64, header: u64) {
        // SAFETY: inside the ring, because positions of headers are multiples of eight and so is the capacity.
        let word = unsafe { self.data.word(self.offset(position)) };
        // Relaxed: the cursor publishes it.
        word.store(header, Relaxed);
    }

    /// The header at `position`, whatever stands there now.
    #[inline(always)]
    fn header(&self, position: u64) -> u64 {
        // SAFETY: as for `put_header`.
        let word = unsafe { self.data.word(self.offset(position)) };
        // Relaxed: it was published before the cursor that was loaded, and whether it is still there is asked afterwards.
        word.load(Relaxed)
    }

    #[inline(always)]
    fn put(&self, position: u64, payload: &[u8]) {
        let at = self.offset(position) + HEADER as usize;
        // SAFETY: header and payload, rounded up to words, were claimed and do not reach beyond the wrap.
        unsafe { self.data.store_words(at, payload.as_ptr(), payload.len()) };
    }

    /// Copies `len` bytes behind the header at `position` to `into`.
    ///
    /// # Safety
    /// `into` must have room for `len` bytes, and a record of that length must fit before the wrap.
    #[inline(always)]
    unsafe fn take(&self, position: u64, len: usize, into: *mut u8) {
        let at = self.offset(position) + HEADER as usize;
        // SAFETY: the caller answers for both.
        unsafe { self.data.load_words(at, into, len) };
    }
}

/// The sending side of a broadcast ring of byte records. See [`Producer`](super::Producer), which this mirrors.
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
        if self.is_too_large(payload.len()) {
            return Err(SendTimeoutError::TooLarge { len: payload.len(), max: self.max_message() });
        }
        let deadline = Deadline::after(timeout);
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

/// The receiving side of a broadcast ring of records: a [`RecordConsumer`] or a [`RecordReader`]. See
/// [`Receiver`](super::Receiver), which this mirrors.
#[derive(Debug)]
pub struct RecordReceiver<S> {
    view: View<S>,
    records: Records,
    /// Records before the head.
    count: u64,
    /// What is released, for a lossless reader.
    tally: Tally,
    ahead: Ahead,
}

/// A lossless reader of records: see [`Consumer`](super::Consumer).
pub type RecordConsumer = RecordReceiver<Lossless>;

/// A lossy reader of records: see [`Reader`](super::Reader).
pub type RecordReader = RecordReceiver<Lossy>;

/// How often a reader that found no milestone tries again, while the producer overtakes it.
const ATTEMPTS: u32 = if cfg!(loom) { 3 } else { 1 << 10 };

impl<S: Seat> RecordReceiver<S> {
    pub(crate) fn join(seat: S) -> Result<Self, OpenError> {
        let records = Records::new(seat.memory());
        let start = seat.behaviour().start;
        let view = View::new(seat, HEADER)?;
        let mut receiver = Self { view, records, count: 0, tally: Tally::new(0), ahead: Ahead::new(1) };
        receiver.settle(start).map_err(unjoinable)?;
        Ok(receiver)
    }

    fn settle(&mut self, start: Start) -> Result<(), Fault> {
        let guess = self.choose(start)?;
        let Sight { oldest, .. } = self.view.settle(guess.position)?;
        // From here on, nothing behind `oldest` is taken from a lossless reader.
        let is_there = guess.position.wrapping_sub(oldest) < u64::MAX / 2;
        let place = if is_there { guess } else { self.choose(start)? };
        self.count = place.count;
        self.view.begin(place.position, 0);
        let missing = match start {
            Start::At(number) => self.walk_to(number)?,
            Start::Oldest | Start::Newest => 0,
        };
        let position = self.view.head();
        self.mark(position);
        self.view.begin(position, missing);
        Ok(())
    }

    /// Where to begin, or where to begin to look for it.
    fn choose(&self, start: Start) -> Result<Milestone, Fault> {
        match start {
            Start::Newest => {
                let newest = (0..ATTEMPTS).find_map(|_| self.ledger());
                newest.ok_or(Fault::Corrupt { field: "producer ledger" })
            }
            Start::Oldest => self.oldest(|_| false),
            Start::At(number) => self.oldest(|milestone| milestone.count <= number),
        }
    }

    /// Goes on to the record with that number, or to the newest. Returns how many are missing in between.
    fn walk_to(&mut self, number: u64) -> Result<u64, Fault> {
        while self.count < number && self.view.refresh().is_ok() && self.view.available() != 0 {
            match self.find() {
                Ok((position, len)) => self.advance(position, len),
                // A lossy reader that is overtaken on its way.
                Err(Halt::Lagged(_)) => {}
                Err(Halt::Fault(fault)) => return Err(fault),
                Err(_) => break,
            }
        }
        Ok(self.count.saturating_sub(number))
    }

    /// The last milestone of those that `pick` takes, or if it takes none, the first that is there.
    fn oldest(&self, pick: impl Fn(&Milestone) -> bool) -> Result<Milestone, Fault> {
        let origin = self.view.seat().memory().geometry().origin;
        for _ in 0..ATTEMPTS {
            let Sight { cursor, oldest } = self.view.sight()?;
            let begin = (oldest == origin).then_some(Milestone { position: origin, count: 0 });
            let marks = self.records.milestones.between(self.view.feed(), oldest, cursor);
            let mut milestones = begin.into_iter().chain(marks);
            let first = milestones.next();
            let picked = first.into_iter().chain(milestones).filter(&pick).last();
            if let Some(place) = picked.or(first).or_else(|| self.ledger()) {
                return Ok(place);
            }
        }
        Err(Fault::Corrupt { field: "milestones" })
    }

    /// The cursor and its count.
    fn ledger(&self) -> Option<Milestone> {
        let feed = self.view.feed();
        let (position, count) = feed.ledger.count(&feed.cursor)?;
        Some(Milestone { position, count })
    }

    /// After a copy that did not hold: goes on at a milestone about half a ring behind the cursor.
    #[cold]
    fn fall_back(&mut self) -> Halt {
        match self.view.why_not().and_then(|()| Ok(self.half_way()?)) {
            Ok(place) => {
                let missed = place.count.wrapping_sub(self.count);
                if missed == 0 || missed > u64::MAX / 2 {
                    return Fault::Corrupt { field: "milestones" }.into();
                }
                self.count = place.count;
                self.view.miss(missed, place.position)
            }
            Err(halt) => halt,
        }
    }

    fn half_way(&self) -> Result<Milestone, Fault> {
        for _ in 0..ATTEMPTS {
            let Sight { cursor, .. } = self.view.sight()?;
            let from = cursor.wrapping_sub(self.records.capacity / 2);
            let later = |milestone: &Milestone| milestone.count.wrapping_sub(self.count).wrapping_sub(1) < u64::MAX / 2;
            let mut milestones = self.records.milestones.between(self.view.feed(), from, cursor);
            if let Some(place) = milestones.find(later).or_else(|| self.ledger().filter(later)) {
                return Ok(place);
            }
        }
        Err(Fault::Corrupt { field: "milestones" })
    }

    /// Finds the record at the head, of which at least a header was published. Returns where it is and how long.
    #[inline(always)]
    fn find(&mut self) -> Result<(u64, usize), Halt> {
        let records = &self.records;
        self.ahead.look(self.view.head(), self.view.available(), |position| {
            records.data.prefetch_to_read(records.offset(position));
        });
        let position = self.view.head();
        match self.piece(position)? {
            Piece::Record(len) => Ok((position, len as usize)),
            Piece::Padding(span) => {
                let position = position.wrapping_add(span);
                match self.piece(position)? {
                    Piece::Record(len) => Ok((position, len as usize)),
                    Piece::Padding(_) => Err(Fault::Corrupt { field: "padding length" }.into()),
                }
            }
        }
    }

    #[inline(always)]
    fn piece(&mut self, position: u64) -> Result<Piece, Halt> {
        let header = self.records.header(position);
        if !self.view.holds(position) {
            return Err(self.fall_back());
        }
        let available = self.view.published().wrapping_sub(position).min(self.records.capacity);
        Ok(record::parse(header, available, self.records.to_wrap(position), self.records.max)?)
    }

    #[inline(always)]
    fn advance(&mut self, position: u64, len: usize) {
        let after = position.wrapping_add(record::span(len as u64));
        self.view.advance(after.wrapping_sub(self.view.head()));
        self.count = self.count.wrapping_add(1);
    }

    #[inline(always)]
    fn mark(&mut self, position: u64) {
        if let Some(lane) = self.view.seat().lane() {
            self.tally.count = self.count;
            lane.ledger.mark(&mut self.tally, position);
        }
    }

    #[inline(always)]
    fn recv_here(&mut self, into: &mut Vec<u8>) -> Result<usize, Halt> {
        let (position, len) = self.find()?;
        into.clear();
        into.reserve(len);
        // SAFETY: room was reserved just now, and `parse` found the record before the wrap.
        unsafe { self.records.take(position, len, into.as_mut_ptr()) };
        if !self.view.holds(position) {
            return Err(self.fall_back());
        }
        // SAFETY: all of them were written just now.
        unsafe { into.set_len(len) };
        self.advance(position, len);
        self.mark(self.view.head());
        self.view.release();
        Ok(len)
    }

    /// Receives a record into `into`, replacing what it held, if there is one. Returns its length. Never waits; allocates
    /// only if `into` is too small.
    ///
    /// # Errors
    /// [`TryRecvError`]; `into` may be empty then.
    #[inline]
    pub fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        self.view.peek()?;
        Ok(self.recv_here(into)?)
    }

    /// As [`try_recv`](Self::try_recv), and waits for the record as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`]; `into` may be empty then.
    #[inline]
    pub fn recv(&mut self, into: &mut Vec<u8>) -> Result<usize, RecvError> {
        self.view.peek_by(Exchanged::one_by_one(self.count), Deadline::NEVER)?;
        Ok(self.recv_here(into)?)
    }

    /// As [`try_recv`](Self::try_recv), and waits for the record for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`]; `into` may be empty then.
    pub fn recv_timeout(&mut self, into: &mut Vec<u8>, timeout: Duration) -> Result<usize, RecvTimeoutError> {
        self.view.peek_by(Exchanged::one_by_one(self.count), Deadline::after(timeout))?;
        Ok(self.recv_here(into)?)
    }

    /// Receives copies until the producer is gone, waiting for each record. Ends after an error that lasts, too. Allocates for each; see
    /// [`recv`](Self::recv) for receiving without.
    pub fn iter(&mut self) -> impl Iterator<Item = Result<Vec<u8>, RecvError>> + '_ {
        let mut is_over = false;
        core::iter::from_fn(move || {
            if is_over {
                return None;
            }
            let mut record = Vec::new();
            match self.recv(&mut record) {
                Ok(_) => Some(Ok(record)),
                Err(RecvError::Disconnected) => None,
                Err(error) => {
                    is_over = !matches!(error, RecvError::Lagged(_));
                    Some(Err(error))
                }
            }
        })
    }

    /// Receives copies until the ring is empty.
    pub fn try_iter(&mut self) -> impl Iterator<Item = Result<Vec<u8>, TryRecvError>> + '_ {
        let mut is_over = false;
        core::iter::from_fn(move || {
            if is_over {
                return None;
            }
            let mut record = Vec::new();
            match self.try_recv(&mut record) {
                Ok(_) => Some(Ok(record)),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
                Err(error) => {
                    is_over = !matches!(error, TryRecvError::Lagged(_));
                    Some(Err(error))
                }
            }
        })
    }

    /// The number of the next record, counted from the ring's first, 0: where to go on later ([`Start::At`]).
    #[must_use]
    pub fn position(&self) -> u64 {
        self.count
    }

    /// Bytes sent and not yet received, headers and padding included, at most a ring full.
    #[must_use]
    pub fn lag(&self) -> usize {
        self.view.lag() as usize
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

    /// What the producer is, now. Asks the kernel whether it is alive.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.view.producer()
    }
}

impl RecordConsumer {
    /// Leaves the ring, as dropping does, but says that somebody will go on: at [`position`](RecordReceiver::position), if that is still
    /// there then. Nobody waits for it meanwhile.
    pub fn detach(mut self) {
        self.view.seat_mut().member_mut().will_detach();
    }

    /// The index of its lane, as in [`Eviction`].
    #[must_use]
    pub fn lane(&self) -> usize {
        self.view.seat().lane()
    }
}

crate::waitable::waitable!([S: Seat + Send] RecordReceiver<S>, view);
