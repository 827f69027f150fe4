//! The readers of a broadcast ring of records.
//!
//! # Safety
//! What a header says is checked before bytes are copied by it.

#![allow(unsafe_code, reason = "copies bytes out of the ring")]

use super::Records;
use crate::Batch;
use crate::ahead::Ahead;
use crate::broadcast::milestones::Milestone;
use crate::broadcast::seat::{Lossless, Lossy, Seat};
use crate::broadcast::view::{Sight, View};
use crate::broadcast::{Halt, Start, unjoinable};
use crate::error::{Fault, OpenError, RecvError, RecvTimeoutError, TryRecvError};
use crate::lanes::Peer;
use crate::ledger::Tally;
use crate::record::{self, HEADER, Piece};
use core::time::Duration;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Exchanged;

/// The receiving side of a broadcast ring of records: a [`RecordConsumer`] or a [`RecordReader`]. See
/// [`Receiver`](crate::broadcast::Receiver), which this mirrors.
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

/// A lossless reader of records: see [`Consumer`](crate::broadcast::Consumer).
pub type RecordConsumer = RecordReceiver<Lossless>;

/// A lossy reader of records: see [`Reader`](crate::broadcast::Reader).
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
        into.clear();
        self.append(into)?;
        self.release();
        Ok(into.len())
    }

    /// Receives a record behind what `into` has, and does not release it yet.
    #[inline(always)]
    fn append(&mut self, into: &mut Vec<u8>) -> Result<(), Halt> {
        let (position, len) = self.find()?;
        into.reserve(len);
        // SAFETY: room was reserved just now, and `parse` found the record before the wrap.
        unsafe { self.records.take(position, len, into.spare_capacity_mut().as_mut_ptr().cast()) };
        if !self.view.holds(position) {
            return Err(self.fall_back());
        }
        // SAFETY: all of them were written just now.
        unsafe { into.set_len(into.len() + len) };
        self.advance(position, len);
        Ok(())
    }

    #[inline(always)]
    fn release(&mut self) {
        self.mark(self.view.head());
        self.view.release();
    }

    /// Adds as many records to a batch as were there at one look, up to `most`, waits for the first, and releases them together.
    pub(crate) fn recv_batch_by(
        &mut self,
        batch: &mut Batch,
        most: usize,
        deadline: Deadline,
    ) -> Result<usize, RecvTimeoutError> {
        self.view.peek_by(Exchanged::one_by_one(self.count), deadline)?;
        let mut count = 0;
        let end = loop {
            if let Err(halt) = batch.push_by(|bytes| self.append(bytes)) {
                break Some(halt.into());
            }
            count += 1;
            if count >= most || self.view.available() == 0 {
                break None;
            }
        };
        self.release();
        batch.after(count, end)
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
        self.recv_by(into, Deadline::after(timeout))
    }

    pub(crate) fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.view.peek_by(Exchanged::one_by_one(self.count), deadline)?;
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

    /// The index of its lane, as in [`Eviction`](crate::broadcast::Eviction).
    #[must_use]
    pub fn lane(&self) -> usize {
        self.view.seat().lane()
    }
}

crate::waitable::waitable!([S: Seat + Send] RecordReceiver<S>, view);
