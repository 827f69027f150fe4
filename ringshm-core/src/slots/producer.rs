//! The sending side of a ring of fixed-size messages.
//!
//! # Safety
//! A loan refers to its slot only if the producer trusts its peers.

#![allow(unsafe_code, reason = "a loan is a reference into the ring")]

use super::{Payload, Slots};
use crate::ahead::Ahead;
use crate::endpoint::{Endpoint, Side as _};
use crate::error::{Blocked, OpenError, SendError, SendSliceError, SendTimeoutError, TrySendError};
use crate::lanes::Peer;
use crate::spsc;
use core::time::Duration;
use ringshm_sync::cell::Writing;
use ringshm_sync::crash;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Exchanged;

/// The sending side of a ring of `T`.
///
/// Dropping it closes the ring: the consumer receives everything sent before, then `Disconnected`. A process that is
/// killed does not close it; what its consumer sees then is for the consumer to choose ([`OnDeath`](crate::OnDeath)). Use
/// [`detach`](Self::detach) to leave the role to a successor.
///
/// While this handle runs, another process can at worst make it report [`Fault`](crate::Fault), or deliver wrong values;
/// the numbers that the handle reads from shared memory are checked before they are used.
#[derive(Debug)]
pub struct Producer<T> {
    ring: spsc::Producer,
    slots: Slots<T>,
    ahead: Ahead,
    /// Where an untrusting producer's loans are written: nobody else can change them there.
    scratch: Box<T>,
}

impl<T: Payload> Producer<T> {
    pub(crate) fn resume(end: Endpoint) -> Result<Self, OpenError> {
        let slots = Slots::new(&end);
        let ahead = Ahead::new(size_of::<T>() as u64);
        Ok(Self { ring: spsc::Producer::resume(end, 1)?, slots, ahead, scratch: Box::new(T::new_zeroed()) })
    }

    /// Sends a message if there is room. Never waits; makes no system call unless the consumer sleeps. A loop over it should pause
    /// between calls that found no room: each of them looks at a word that the consumer writes, and [`send`](Self::send) knows when
    /// to look.
    ///
    /// # Errors
    /// [`TrySendError`], with the message in it.
    #[inline(always)]
    pub fn try_send(&mut self, message: T) -> Result<(), TrySendError<T>> {
        match self.ring.claim(1) {
            Ok(position) => {
                self.send_at(position, message);
                Ok(())
            }
            Err(blocked) => Err(blocked.into_try_send(message)),
        }
    }

    /// Sends a message, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendError`], with the message in it.
    #[inline(always)]
    pub fn send(&mut self, message: T) -> Result<(), SendError<T>> {
        match self.ring.claim_by(1, Exchanged::one_by_one(self.ring.tail()), Deadline::NEVER) {
            Ok(position) => {
                self.send_at(position, message);
                Ok(())
            }
            Err(stop) => Err(stop.into_send(message)),
        }
    }

    /// Sends a message, and waits for room for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`SendTimeoutError`], with the message in it.
    pub fn send_timeout(&mut self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        match self.ring.claim_by(1, Exchanged::one_by_one(self.ring.tail()), Deadline::after(timeout)) {
            Ok(position) => {
                self.send_at(position, message);
                Ok(())
            }
            Err(stop) => Err(stop.into_send_timeout(message)),
        }
    }

    #[inline(always)]
    fn send_at(&mut self, position: u64, message: T) {
        crash::point("slots.claimed");
        self.slots.put(position, message);
        self.slots.publish(&mut self.ring, 1);
        self.look_ahead();
    }

    #[inline(always)]
    fn look_ahead(&mut self) {
        let slots = &self.slots;
        self.ahead.look(self.ring.tail(), self.ring.room(), |position| slots.prefetch_to_write(position));
    }

    /// Sends as many messages of a slice as there is room for, from its start, and publishes them together. Returns how many.
    ///
    /// # Errors
    /// [`TrySendError`] if it could send none of a slice that is not empty.
    pub fn try_send_slice(&mut self, messages: &[T]) -> Result<usize, TrySendError<()>> {
        if messages.is_empty() {
            return Ok(0);
        }
        let mut position = self.claim_up_to(messages.len()).map_err(|blocked| blocked.into_try_send(()))?;
        let count = messages.len().min(self.ring.room() as usize);
        let mut rest = &messages[..count];
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(self.slots.to_wrap(position)));
            self.slots.put_all(position, part);
            position = position.wrapping_add(part.len() as u64);
            rest = after;
        }
        self.slots.publish(&mut self.ring, count as u64);
        Ok(count)
    }

    /// Sends a whole slice, in as few publications as there is room for, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendSliceError`], with the number of messages that were sent.
    pub fn send_slice(&mut self, messages: &[T]) -> Result<(), SendSliceError> {
        let mut sent = 0;
        while sent < messages.len() {
            if let Err(stop) = self.ring.claim_by(1, Exchanged::by_batches(self.ring.tail()), Deadline::NEVER) {
                return Err(SendSliceError { sent, cause: stop.into_send(()) });
            }
            match self.try_send_slice(&messages[sent..]) {
                Ok(count) => sent += count,
                // The closer look of a batch may find what the claim of one could not.
                Err(error) => {
                    if let Some(cause) = error.lasting() {
                        return Err(SendSliceError { sent, cause });
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends as many messages of an iterator as there is room for, and publishes them together. Returns how many.
    ///
    /// They are made in the ring itself, without a copy. What there is no room for is not taken from the iterator: give it
    /// `&mut iterator` to go on with the rest. If the iterator panics, what it had made before is sent. In a child that the iterator
    /// forked, nothing is published; the child must not go on with the iterator, because the slots are its parent's.
    ///
    /// # Errors
    /// [`TrySendError`] if there is no room at all; nothing was taken from the iterator then.
    #[inline]
    pub fn try_send_iter(&mut self, messages: impl IntoIterator<Item = T>) -> Result<usize, TrySendError<()>> {
        let mut messages = messages.into_iter();
        let least = messages.size_hint().0.clamp(1, self.capacity());
        self.claim_up_to(least).map_err(|blocked| blocked.into_try_send(()))?;
        let (mut sent, has_ended) = self.fill(None, &mut messages);
        if !has_ended && self.ring.claim(1).is_ok() {
            // There was more room than was known, and more messages than the iterator had said.
            let (more, _) = self.fill(None, &mut messages);
            sent += more;
        }
        Ok(sent)
    }

    /// Sends all messages of an iterator, made in the ring itself, and waits for room as long as it takes. They are published
    /// whenever the ring is full, and at the end. Returns how many there were. Panics and forks: as for
    /// [`try_send_iter`](Self::try_send_iter).
    ///
    /// # Errors
    /// [`SendSliceError`], with the number of messages that were sent, and the one that was taken from the iterator after them.
    #[inline]
    pub fn send_iter(&mut self, messages: impl IntoIterator<Item = T>) -> Result<usize, SendSliceError<T>> {
        let mut messages = messages.into_iter();
        let mut sent = 0;
        while let Some(first) = messages.next() {
            if let Err(stop) = self.ring.claim_by(1, Exchanged::by_batches(self.ring.tail()), Deadline::NEVER) {
                return Err(SendSliceError { sent, cause: stop.into_send(first) });
            }
            let (written, has_ended) = self.fill(Some(first), &mut messages);
            sent += written;
            if has_ended {
                break;
            }
        }
        Ok(sent)
    }

    /// Claims one message at least, and looks how far the consumer has come if `most` is more than the known room.
    #[inline(always)]
    fn claim_up_to(&mut self, most: usize) -> Result<u64, Blocked> {
        match self.ring.claim(most as u64) {
            Err(Blocked::NotReady) if self.ring.room() > 0 => Ok(self.ring.tail()),
            result => {
                self.ring.would_take(1);
                result
            }
        }
    }

    /// Writes messages into the room that is there, `first` first, and publishes them. Says how many, and whether the iterator has
    /// ended.
    #[inline(always)]
    fn fill(&mut self, first: Option<T>, messages: &mut impl Iterator<Item = T>) -> (usize, bool) {
        crash::point("slots.claimed");
        let room = self.ring.room();
        let mut batch = Batch { ring: &mut self.ring, slots: &self.slots, written: 0 };
        let position = batch.ring.tail();
        if let Some(first) = first {
            self.slots.put(position, first);
            batch.written = 1;
        }
        let mut has_ended = false;
        while batch.written < room {
            let next = position.wrapping_add(batch.written);
            if !self.slots.put_each(next, room - batch.written, messages, &mut batch.written) {
                has_ended = true;
                break;
            }
        }
        let written = batch.written as usize;
        drop(batch);
        self.look_ahead();
        (written, has_ended)
    }

    /// Lends the next slot, to be filled in place and sent by [`Loan::commit`]. Dropping the loan sends nothing.
    ///
    /// What is in it is left over from before. A producer that does not trust its peers is lent private memory, which
    /// `commit` copies.
    ///
    /// # Errors
    /// [`TrySendError`].
    pub fn try_loan(&mut self) -> Result<Loan<'_, T>, TrySendError<()>> {
        match self.ring.claim(1) {
            Ok(position) => Ok(self.lend(position)),
            Err(blocked) => Err(blocked.into_try_send(())),
        }
    }

    /// As [`try_loan`](Self::try_loan), and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn loan(&mut self) -> Result<Loan<'_, T>, SendError<()>> {
        match self.ring.claim_by(1, Exchanged::one_by_one(self.ring.tail()), Deadline::NEVER) {
            Ok(position) => Ok(self.lend(position)),
            Err(stop) => Err(stop.into_send(())),
        }
    }

    fn lend(&mut self, position: u64) -> Loan<'_, T> {
        let slot = self.ring.end().trusts_peers().then(|| self.slots.writing(position));
        Loan { producer: self, position, slot }
    }

    /// Messages sent since the ring was made, by this producer and those before it.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.ring.published().wrapping_sub(self.ring.end().memory().geometry().origin)
    }

    /// Messages in the ring: sent, and not yet released.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len() as usize
    }

    /// Whether no message is in the ring.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that fit into the ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.end().memory().geometry().capacity as usize
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

/// Messages that are written one after the other and published together, even if what makes them panics.
struct Batch<'a, T: Payload> {
    ring: &'a mut spsc::Producer,
    slots: &'a Slots<T>,
    written: u64,
}

impl<T: Payload> Drop for Batch<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.ring.end().is_forked() {
            self.slots.publish(self.ring, self.written);
        }
    }
}

crate::waitable::waitable!([T: Payload] Producer<T>, ring);

/// A slot that its producer fills in place. Dropping it sends nothing.
#[derive(Debug)]
#[must_use = "a loan that is not committed sends nothing"]
pub struct Loan<'a, T: Payload> {
    producer: &'a mut Producer<T>,
    position: u64,
    /// The slot itself, if the producer trusts its peers; else the loan is the producer's scratch.
    slot: Option<Writing>,
}

impl<T: Payload> Loan<'_, T> {
    /// Sends what the loan holds.
    pub fn commit(self) {
        let Self { producer, position, slot } = self;
        if producer.ring.end().is_forked() {
            return;
        }
        match slot {
            Some(slot) => slot.finish(),
            None => producer.slots.put(position, *producer.scratch),
        }
        producer.slots.publish(&mut producer.ring, 1);
    }
}

impl<T: Payload> core::ops::Deref for Loan<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.slot {
            // SAFETY: claimed, aligned, initialised; the peers were trusted, at opening, not to touch it.
            Some(slot) => unsafe { &*slot.as_mut_ptr().cast::<T>() },
            None => &self.producer.scratch,
        }
    }
}

impl<T: Payload> core::ops::DerefMut for Loan<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &self.slot {
            // SAFETY: as for `deref`, and `self` is borrowed exclusively.
            Some(slot) => unsafe { &mut *slot.as_mut_ptr().cast::<T>() },
            None => &mut self.producer.scratch,
        }
    }
}
