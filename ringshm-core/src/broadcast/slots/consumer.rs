//! The readers of a broadcast ring of fixed-size messages.

use super::Slots;
use crate::ahead::Ahead;
use crate::broadcast::seat::{Lossless, Lossy, Seat};
use crate::broadcast::view::View;
use crate::broadcast::{Halt, Start, unjoinable};
use crate::error::{Fault, OpenError, RecvError, RecvTimeoutError, TryRecvError};
use crate::lanes::Peer;
use crate::slots::Payload;
use core::time::Duration;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Exchanged;

/// The receiving side of a broadcast ring of `T`: a [`Consumer`] or a [`Reader`].
///
/// Each receives all messages from where it began ([`Start`]), in order. Dropping it concerns nobody else.
#[derive(Debug)]
pub struct Receiver<T, S> {
    view: View<S>,
    slots: Slots<T>,
    ahead: Ahead,
}

/// A lossless reader: the producer waits for it, so it receives every message, unless the producer's policy evicts it.
///
/// A message is released when the call that received it returns; those of [`iter`](Receiver::iter) somewhat later.
pub type Consumer<T> = Receiver<T, Lossless>;

/// A lossy reader: nobody waits for it, and it cannot disturb anybody. When the producer has overtaken it, a call reports
/// `Lagged`, with the exact number of messages that it missed, and the next one goes on half a ring behind the producer.
pub type Reader<T> = Receiver<T, Lossy>;

impl<T: Payload, S: Seat> Receiver<T, S> {
    pub(crate) fn join(seat: S) -> Result<Self, OpenError> {
        let slots = Slots::new(seat.memory());
        let (origin, start) = (seat.memory().geometry().origin, seat.behaviour().start);
        let mut view = View::new(seat, 1)?;
        let sight = view.sight().map_err(unjoinable)?;
        let oldest_first = |position: u64, oldest: u64| {
            let missing = oldest.wrapping_sub(position);
            if missing < u64::MAX / 2 { (oldest, missing) } else { (position, 0) }
        };
        let wanted = match start {
            Start::Newest => sight.cursor,
            Start::Oldest => sight.oldest,
            Start::At(number) => {
                let sent = sight.cursor.wrapping_sub(origin);
                origin.wrapping_add(number.min(sent))
            }
        };
        let (position, _) = oldest_first(wanted, sight.oldest);
        let sight = view.settle(position).map_err(unjoinable)?;
        let (position, missed) = oldest_first(wanted, sight.oldest);
        view.begin(position, if matches!(start, Start::At(_)) { missed } else { 0 });
        Ok(Self { view, slots, ahead: Ahead::new(Slots::<T>::STRIDE as u64) })
    }

    /// Receives a message if there is one. Never waits; makes no system call unless the producer sleeps, except that an empty
    /// ring is asked every 50 ms whether its producer is alive.
    ///
    /// # Errors
    /// [`TryRecvError`].
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let position = self.view.peek()?;
        Ok(self.recv_at(position)?)
    }

    /// Receives a message, and waits for it as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    #[inline(always)]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        let position = self.view.peek_by(Exchanged::one_by_one(self.view.head()), Deadline::NEVER)?;
        Ok(self.recv_at(position)?)
    }

    /// Receives a message, and waits for it for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let position = self.view.peek_by(Exchanged::one_by_one(self.view.head()), Deadline::after(timeout))?;
        Ok(self.recv_at(position)?)
    }

    #[inline(always)]
    fn recv_at(&mut self, position: u64) -> Result<T, Halt> {
        let message = self.hand_out(position)?;
        self.view.release();
        Ok(message)
    }

    #[inline(always)]
    fn hand_out(&mut self, position: u64) -> Result<T, Halt> {
        self.look_ahead();
        let message = self.slots.take(position);
        if !self.view.holds(position) {
            return Err(self.fall_back());
        }
        self.view.advance(1);
        Ok(message)
    }

    #[inline(always)]
    fn look_ahead(&mut self) {
        let slots = &self.slots;
        self.ahead.look(self.view.head(), self.view.available(), |position| {
            slots.each_line(position, |offset| slots.data.prefetch_to_read(offset));
        });
    }

    /// After a copy that did not hold: goes on half a ring behind the cursor.
    #[cold]
    fn fall_back(&mut self) -> Halt {
        if let Err(halt) = self.view.why_not().and_then(|()| self.view.refresh()) {
            return halt;
        }
        let position = self.view.published().wrapping_sub(self.view.capacity() / 2);
        let missed = position.wrapping_sub(self.view.head());
        if missed == 0 || missed > u64::MAX / 2 {
            // No honest producer's reach is so far in front of its cursor.
            return Fault::Corrupt { field: "producer reach" }.into();
        }
        self.view.miss(missed, position)
    }

    /// Receives as many messages as there are, and `into` has room for, and releases them together. Returns how many. What
    /// stands in `into` after them is of no meaning.
    ///
    /// # Errors
    /// [`TryRecvError`] if there is none.
    pub fn try_recv_slice(&mut self, into: &mut [T]) -> Result<usize, TryRecvError> {
        if into.is_empty() {
            return Ok(0);
        }
        let position = self.view.peek()?;
        Ok(self.recv_all_at(position, into)?)
    }

    /// As [`try_recv_slice`](Self::try_recv_slice), and waits for the first message as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv_slice(&mut self, into: &mut [T]) -> Result<usize, RecvError> {
        if into.is_empty() {
            return Ok(0);
        }
        let position = self.view.peek_by(Exchanged::by_batches(self.view.head()), Deadline::NEVER)?;
        Ok(self.recv_all_at(position, into)?)
    }

    #[inline(always)]
    fn recv_all_at(&mut self, position: u64, into: &mut [T]) -> Result<usize, Halt> {
        let count = self.view.available().min(into.len() as u64);
        for (index, place) in (0..count).zip(into) {
            *place = self.slots.take(position.wrapping_add(index));
        }
        if !self.view.holds(position) {
            return Err(self.fall_back());
        }
        self.view.advance(count);
        self.view.release();
        Ok(count as usize)
    }

    /// Receives until the producer is gone, waiting for messages. Ends after an error that lasts, too.
    ///
    /// What it has handed out is released together: whenever it has come to the end of what was there when it last looked, at the
    /// latest after an eighth of the ring, and when it is dropped.
    pub fn iter(&mut self) -> Iter<'_, T, S> {
        Iter { end: self.view.head(), receiver: self, is_over: false }
    }

    /// Receives until the ring is empty.
    pub fn try_iter(&mut self) -> impl Iterator<Item = Result<T, TryRecvError>> + '_ {
        let mut is_over = false;
        core::iter::from_fn(move || {
            if is_over {
                return None;
            }
            match self.try_recv() {
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
                result => {
                    is_over = matches!(result, Err(TryRecvError::Evicted | TryRecvError::Fault(_)));
                    Some(result)
                }
            }
        })
    }

    /// The number of the next message, counted from the ring's first, 0: where to go on later ([`Start::At`]).
    #[must_use]
    pub fn position(&self) -> u64 {
        self.view.head().wrapping_sub(self.view.seat().memory().geometry().origin)
    }

    /// Messages sent and not yet received, at most a ring full.
    #[must_use]
    pub fn lag(&self) -> usize {
        self.view.lag() as usize
    }

    /// Messages that fit into the ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.view.capacity() as usize
    }

    /// What the producer is, now. Asks the kernel whether it is alive.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.view.producer()
    }
}

impl<T: Payload> Consumer<T> {
    /// Leaves the ring, as dropping does, but says that somebody will go on: at [`position`](Receiver::position), if that is still
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

crate::waitable::waitable!([T: Payload, S: Seat + Send] Receiver<T, S>, view);

/// See [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T: Payload, S: Seat> {
    receiver: &'a mut Receiver<T, S>,
    /// Handed out without a look up to here.
    end: u64,
    is_over: bool,
}

impl<T: Payload, S: Seat> Iter<'_, T, S> {
    #[cold]
    fn go_on(&mut self) -> Option<Result<T, RecvError>> {
        if self.is_over {
            return None;
        }
        let view = &mut self.receiver.view;
        if !view.is_forked() {
            view.release();
        }
        let result = view.peek_by(Exchanged::by_batches(view.head()), Deadline::NEVER).map_err(RecvError::from);
        match result {
            Ok(position) => {
                let most = (view.capacity() / 8).max(1);
                self.end = position.wrapping_add(view.available().min(most));
                self.hand_out()
            }
            Err(error) => self.fail(error),
        }
    }

    #[inline(always)]
    fn hand_out(&mut self) -> Option<Result<T, RecvError>> {
        match self.receiver.hand_out(self.receiver.view.head()) {
            Ok(message) => Some(Ok(message)),
            Err(halt) => self.fail(halt.into()),
        }
    }

    #[cold]
    fn fail(&mut self, error: RecvError) -> Option<Result<T, RecvError>> {
        self.end = self.receiver.view.head();
        self.is_over = !matches!(error, RecvError::Lagged(_));
        (error != RecvError::Disconnected).then_some(Err(error))
    }
}

impl<T: Payload, S: Seat> Iterator for Iter<'_, T, S> {
    type Item = Result<T, RecvError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.receiver.view.head() == self.end { self.go_on() } else { self.hand_out() }
    }
}

impl<T: Payload, S: Seat> Drop for Iter<'_, T, S> {
    fn drop(&mut self) {
        if !self.receiver.view.is_forked() {
            self.receiver.view.release();
        }
    }
}
