//! The receiving side of a ring of fixed-size messages.
//!
//! # Safety
//! A guard refers to its slot only if the consumer trusts its peers.

#![allow(unsafe_code, reason = "a guard is a reference into the ring")]

use super::{Payload, Slots};
use crate::endpoint::Endpoint;
use crate::error::{OpenError, RecvError, RecvTimeoutError, TryRecvError};
use crate::lanes::Peer;
use crate::spsc;
use core::time::Duration;
use ringshm_sync::cell::Reading;
use ringshm_sync::time::Deadline;

/// The receiving side of a ring of `T`.
///
/// Dropping it closes the ring: the producer is told `Disconnected`. What was not received stays in the ring.
///
/// A message is released when the call that received it returns, or with its guard. A consumer killed before that leaves
/// it to its successor, which receives it again.
#[derive(Debug)]
pub struct Consumer<T> {
    ring: spsc::Consumer,
    slots: Slots<T>,
    /// What an untrusting consumer's guards refer to: nobody else can change it there.
    scratch: Box<T>,
}

impl<T: Payload> Consumer<T> {
    pub(crate) fn resume(end: Endpoint) -> Result<Self, OpenError> {
        let slots = Slots::new(&end);
        Ok(Self { ring: spsc::Consumer::resume(end, 1)?, slots, scratch: Box::new(T::new_zeroed()) })
    }

    /// Receives a message if there is one. Never waits; makes no system call unless the producer sleeps, except that an empty
    /// ring is asked every 50 ms whether its producer is alive.
    ///
    /// # Errors
    /// [`TryRecvError`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let position = self.ring.peek(1)?;
        Ok(self.recv_at(position))
    }

    /// Receives a message, and waits for it as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        let position = self.ring.peek_by(1, Deadline::NEVER)?;
        Ok(self.recv_at(position))
    }

    /// Receives a message, and waits for it for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let position = self.ring.peek_by(1, Deadline::after(timeout))?;
        Ok(self.recv_at(position))
    }

    #[inline(always)]
    fn recv_at(&mut self, position: u64) -> T {
        let message = self.slots.take(position);
        self.ring.advance(1);
        self.ring.release();
        message
    }

    /// Hands out the next message without copying it, if there is one. It is released when the guard is dropped.
    ///
    /// A consumer that does not trust its peers gets a private copy, which no other process can change.
    ///
    /// # Errors
    /// [`TryRecvError`].
    pub fn try_recv_ref(&mut self) -> Result<RecvRef<'_, T>, TryRecvError> {
        let position = self.ring.peek(1)?;
        Ok(self.hand_out(position))
    }

    /// As [`try_recv_ref`](Self::try_recv_ref), and waits for the message as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv_ref(&mut self) -> Result<RecvRef<'_, T>, RecvError> {
        let position = self.ring.peek_by(1, Deadline::NEVER)?;
        Ok(self.hand_out(position))
    }

    fn hand_out(&mut self, position: u64) -> RecvRef<'_, T> {
        let slot = self.ring.end().trusts_peers().then(|| self.slots.reading(position));
        if slot.is_none() {
            *self.scratch = self.slots.take(position);
        }
        self.ring.advance(1);
        RecvRef { consumer: self, slot }
    }

    /// Hands out everything that is in the ring now, to be released together when the iterator is dropped.
    ///
    /// # Errors
    /// [`TryRecvError`] if there is nothing.
    pub fn try_drain(&mut self) -> Result<Drain<'_, T>, TryRecvError> {
        self.ring.peek_all(1)?;
        Ok(Drain { consumer: self })
    }

    /// As [`try_drain`](Self::try_drain), and waits for the first message as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn drain(&mut self) -> Result<Drain<'_, T>, RecvError> {
        self.ring.peek_all_by(1, Deadline::NEVER)?;
        Ok(Drain { consumer: self })
    }

    /// Receives until the producer is gone, waiting for each message.
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { consumer: self }
    }

    /// Receives until the ring is empty.
    pub fn try_iter(&mut self) -> TryIter<'_, T> {
        TryIter { consumer: self }
    }

    /// Messages released since the ring was made, by this consumer and those before it.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.ring.released().wrapping_sub(self.ring.end().memory().geometry().origin)
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

/// A message that is still in the ring. Dropping it releases it.
#[derive(Debug)]
pub struct RecvRef<'a, T: Payload> {
    consumer: &'a mut Consumer<T>,
    /// The slot itself, if the consumer trusts its peers; else the message is in the consumer's scratch.
    slot: Option<Reading>,
}

impl<T: Payload> RecvRef<'_, T> {
    /// Leaves the message in the ring: it is handed out again.
    pub fn keep(self) {
        self.consumer.ring.cancel();
    }
}

impl<T: Payload> core::ops::Deref for RecvRef<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.slot {
            // SAFETY: published, aligned, every bit pattern valid; the peers were trusted, at opening, not to touch it.
            Some(slot) => unsafe { &*slot.as_ptr().cast::<T>() },
            None => &self.consumer.scratch,
        }
    }
}

impl<T: Payload> Drop for RecvRef<'_, T> {
    fn drop(&mut self) {
        self.slot = None;
        if !self.consumer.ring.end().is_forked() {
            self.consumer.ring.release();
        }
    }
}

/// Messages handed out together. Dropping it releases those that were taken from it; the others stay in the ring.
#[derive(Debug)]
pub struct Drain<'a, T: Payload> {
    consumer: &'a mut Consumer<T>,
}

impl<T: Payload> Drain<'_, T> {
    /// Leaves all of them in the ring, those already taken included: they are handed out again.
    pub fn keep(self) {
        self.consumer.ring.cancel();
    }
}

impl<T: Payload> Iterator for Drain<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        if self.consumer.ring.available() == 0 {
            return None;
        }
        let position = self.consumer.ring.peek(1).ok()?;
        let message = self.consumer.slots.take(position);
        self.consumer.ring.advance(1);
        Some(message)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.consumer.ring.available() as usize;
        (left, Some(left))
    }
}

impl<T: Payload> ExactSizeIterator for Drain<'_, T> {}

impl<T: Payload> Drop for Drain<'_, T> {
    fn drop(&mut self) {
        if !self.consumer.ring.end().is_forked() {
            self.consumer.ring.release();
        }
    }
}

/// See [`Consumer::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    consumer: &'a mut Consumer<T>,
}

impl<T: Payload> Iterator for Iter<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.consumer.recv().ok()
    }
}

/// See [`Consumer::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    consumer: &'a mut Consumer<T>,
}

impl<T: Payload> Iterator for TryIter<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.consumer.try_recv().ok()
    }
}
