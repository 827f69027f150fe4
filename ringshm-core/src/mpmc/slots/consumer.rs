//! The receiving side of an MPMC ring of fixed-size messages.
//!
//! # Safety
//! A guard refers to its slot only if the consumer trusts its peers.

#![allow(unsafe_code, reason = "refers to a message in its slot")]

use super::Messages;
use crate::Payload;
use crate::error::{OpenError, RecvError, RecvTimeoutError, TryRecvError};
use crate::member::Member;
use crate::mpmc::{Claimed, MOST_CLAIMED, Party as _, Receiver};
use core::mem::ManuallyDrop;
use core::time::Duration;
use ringshm_sync::cell::Reading;
use ringshm_sync::time::Deadline;

/// A receiving side of an MPMC ring of `T`: one of many, each message goes to one of them.
///
/// Dropping it leaves the ring; when the last consumer has, producers are told `Disconnected` once the ring is full.
///
/// A message is released when the call that received it returns, or with its guard. A consumer that is killed before leaves it to
/// another one, which receives it as [`redelivered`](Self::redelivered), or to nobody, if the ring was made to deliver at most once.
#[derive(Debug)]
pub struct Consumer<T> {
    ring: Receiver,
    messages: Messages<T>,
    /// What an untrusting consumer's guards refer to: nobody else can change it there.
    scratch: Box<T>,
    redelivered: bool,
}

impl<T: Payload> Consumer<T> {
    pub(super) fn resume(member: Member) -> Result<Self, OpenError> {
        let messages = Messages::new(&member);
        let scratch = Box::new(T::new_zeroed());
        Ok(Self { ring: Receiver::resume(member)?, messages, scratch, redelivered: false })
    }

    /// Receives a message if there is one. Does not wait for one. Where a producer is just about to publish it, it waits for that: some
    /// nanoseconds, or a millisecond if that producer has lost its core; then it is told `Stalled`, and at once from then on.
    ///
    /// # Errors
    /// [`TryRecvError`]. `Stalled` if the next message is held up by a producer that does not move on.
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let Some(position) = self.ring.claim_at_once() else { return self.try_recv_slowly() };
        Ok(self.recv_at(position, 0))
    }

    #[cold]
    #[inline(never)]
    fn try_recv_slowly(&mut self) -> Result<T, TryRecvError> {
        let claimed = self.ring.claim(1)?;
        Ok(self.recv_at(claimed.first, claimed.deaths))
    }

    /// Receives a message, and waits for one as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    #[inline(always)]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        let Some(position) = self.ring.claim_at_once() else { return self.recv_slowly() };
        Ok(self.recv_at(position, 0))
    }

    #[cold]
    #[inline(never)]
    fn recv_slowly(&mut self) -> Result<T, RecvError> {
        let claimed = self.ring.claim_by(1, Deadline::NEVER)?;
        Ok(self.recv_at(claimed.first, claimed.deaths))
    }

    /// Receives a message, and waits for one for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let claimed = self.ring.claim_by(1, Deadline::after(timeout))?;
        Ok(self.recv_at(claimed.first, claimed.deaths))
    }

    #[inline(always)]
    fn recv_at(&mut self, position: u64, deaths: u8) -> T {
        self.redelivered = deaths > 0;
        let message = self.messages.take(self.ring.ring.offset(position));
        self.ring.release(position);
        self.ring.finish(1);
        message
    }

    /// Receives as many messages as there are, up to 64 and to the length of `into`, in one claim. Returns how many: at least one, if `into`
    /// is not empty.
    ///
    /// # Errors
    /// [`TryRecvError`] if there is none.
    pub fn try_recv_slice(&mut self, into: &mut [T]) -> Result<usize, TryRecvError> {
        if into.is_empty() {
            return Ok(0);
        }
        let claimed = self.ring.claim(into.len() as u64)?;
        Ok(self.recv_all(claimed, into))
    }

    /// As [`try_recv_slice`](Self::try_recv_slice), and waits for the first message as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv_slice(&mut self, into: &mut [T]) -> Result<usize, RecvError> {
        if into.is_empty() {
            return Ok(0);
        }
        let claimed = self.ring.claim_by(into.len() as u64, Deadline::NEVER)?;
        Ok(self.recv_all(claimed, into))
    }

    fn recv_all(&mut self, claimed: Claimed, into: &mut [T]) -> usize {
        self.redelivered = claimed.deaths > 0;
        for (index, message) in (0..claimed.count).zip(into) {
            let position = claimed.first.wrapping_add(index);
            *message = self.messages.take(self.ring.ring.offset(position));
            self.ring.release(position);
        }
        self.ring.finish(claimed.count);
        claimed.count as usize
    }

    /// Receives a message if there is one, and keeps its slot until the guard is dropped: a consumer that is killed while it works on the
    /// message leaves it to another one. Producers that come round to the slot meanwhile are held up by it, however empty the rest of the
    /// ring is. A guard that is forgotten is handed out again by the next call.
    ///
    /// # Errors
    /// [`TryRecvError`].
    pub fn try_recv_ref(&mut self) -> Result<RecvRef<'_, T>, TryRecvError> {
        let claimed = self.ring.claim(1)?;
        Ok(self.lend(claimed))
    }

    /// As [`try_recv_ref`](Self::try_recv_ref), and waits for a message as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv_ref(&mut self) -> Result<RecvRef<'_, T>, RecvError> {
        let claimed = self.ring.claim_by(1, Deadline::NEVER)?;
        Ok(self.lend(claimed))
    }

    fn lend(&mut self, claimed: Claimed) -> RecvRef<'_, T> {
        self.redelivered = claimed.deaths > 0;
        self.ring.keep(claimed);
        let offset = self.ring.ring.offset(claimed.first);
        let slot = self.ring.ring.member().trusts_peers().then(|| self.messages.reading(offset));
        if slot.is_none() {
            *self.scratch = self.messages.take(offset);
        }
        RecvRef { consumer: self, claimed, slot }
    }

    /// Whether the message that was received last had been given to another consumer before, which died with it: it may have been
    /// worked on already. Also after a guard that was kept or forgotten.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        self.redelivered
    }

    /// Receives until all producers are gone, waiting for messages.
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { consumer: self }
    }

    /// Receives until the ring is empty.
    pub fn try_iter(&mut self) -> TryIter<'_, T> {
        TryIter { consumer: self }
    }

    /// Messages in the ring that no consumer has come to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.ring.len() as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that fit into the ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.ring.capacity() as usize
    }

    /// The index of this participant's lane, as `Stall` and tools name it.
    #[must_use]
    pub fn lane(&self) -> usize {
        self.ring.ring.member().lane()
    }

    /// Leaves the ring without being finished: producers wait for a successor.
    pub fn detach(mut self) {
        self.ring.ring.member_mut().will_detach();
    }
}

crate::waitable::waitable!([T: Payload] Consumer<T>, ring);

/// A message that is still in the ring. Dropping it releases it.
#[derive(Debug)]
pub struct RecvRef<'a, T: Payload> {
    consumer: &'a mut Consumer<T>,
    claimed: Claimed,
    /// The slot itself, if the consumer trusts its peers; else the message is in the consumer's scratch.
    slot: Option<Reading>,
}

impl<T: Payload> RecvRef<'_, T> {
    /// How many consumers have died with this message.
    #[must_use]
    pub fn deaths(&self) -> u8 {
        self.claimed.deaths
    }

    /// Leaves the message in the ring: the next call of this consumer gets it again, or another consumer, if this one leaves or dies.
    pub fn keep(self) {
        ManuallyDrop::new(self).slot = None;
    }
}

impl<T: Payload> core::ops::Deref for RecvRef<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.slot {
            // SAFETY: claimed, aligned, every bit pattern valid; the peers were trusted, at opening, not to touch it.
            Some(slot) => unsafe { &*slot.as_ptr().cast::<T>() },
            None => &self.consumer.scratch,
        }
    }
}

impl<T: Payload> Drop for RecvRef<'_, T> {
    fn drop(&mut self) {
        self.slot = None;
        let ring = &mut self.consumer.ring;
        if !ring.ring.member().is_forked() {
            ring.release(self.claimed.first);
            ring.finish(1);
            ring.unkeep();
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

const _: () = assert!(MOST_CLAIMED == 64, "the numbers in the docs above");
