//! The sending side of an MPMC ring of fixed-size messages.

use super::Messages;
use crate::Payload;
use crate::error::{OpenError, SendError, SendSliceError, SendTimeoutError, TrySendError};
use crate::member::Member;
use crate::mpmc::{Claimed, Party as _, Sender};
use core::time::Duration;
use ringshm_sync::time::Deadline;

/// A sending side of an MPMC ring of `T`: one of many.
///
/// Dropping it leaves the ring; when the last producer has, consumers receive everything that was sent, then `Disconnected`.
///
/// A process that is killed in the middle of a call has sent the message whole or not at all, and holds up nobody for long: the place it
/// had claimed is skipped as soon as the kernel says that it is dead.
#[derive(Debug)]
pub struct Producer<T> {
    ring: Sender,
    messages: Messages<T>,
}

impl<T: Payload> Producer<T> {
    pub(super) fn resume(member: Member) -> Result<Self, OpenError> {
        let messages = Messages::new(&member);
        Ok(Self { ring: Sender::resume(member)?, messages })
    }

    /// Sends a message if there is room. Does not wait for room. Where a consumer is just about to release the slot, it waits for that: some
    /// nanoseconds, or a millisecond if that consumer has lost its core; then it is told `Stalled`, and at once from then on. Makes no
    /// system call unless a consumer sleeps, or somebody stands still in the way.
    ///
    /// # Errors
    /// [`TrySendError`], with the message in it. `Stalled` if the next slot is held by a consumer that does not move on.
    #[inline(always)]
    pub fn try_send(&mut self, message: T) -> Result<(), TrySendError<T>> {
        let Some(position) = self.ring.claim_at_once() else { return self.try_send_slowly(message) };
        self.send_at(position, message);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn try_send_slowly(&mut self, message: T) -> Result<(), TrySendError<T>> {
        match self.ring.claim(1) {
            Ok(claimed) => {
                self.send_at(claimed.first, message);
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
        let Some(position) = self.ring.claim_at_once() else { return self.send_slowly(message) };
        self.send_at(position, message);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn send_slowly(&mut self, message: T) -> Result<(), SendError<T>> {
        match self.ring.claim_by(1, Deadline::NEVER) {
            Ok(claimed) => {
                self.send_at(claimed.first, message);
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
        match self.ring.claim_by(1, Deadline::after(timeout)) {
            Ok(claimed) => {
                self.send_at(claimed.first, message);
                Ok(())
            }
            Err(stop) => Err(stop.into_send_timeout(message)),
        }
    }

    #[inline(always)]
    fn send_at(&mut self, position: u64, message: T) {
        self.messages.put(self.ring.0.offset(position), message);
        self.ring.publish(position);
        self.ring.finish(1);
    }

    /// Sends as many messages of a slice as there is room for, from its start, up to 64, in one claim: they stand next to each other in the
    /// ring. Returns how many.
    ///
    /// # Errors
    /// [`TrySendError`] if it could send none of a slice that is not empty.
    pub fn try_send_slice(&mut self, messages: &[T]) -> Result<usize, TrySendError<()>> {
        if messages.is_empty() {
            return Ok(0);
        }
        let claimed = self.ring.claim(messages.len() as u64).map_err(|blocked| blocked.into_try_send(()))?;
        Ok(self.send_all(claimed, messages))
    }

    /// Sends a whole slice, in claims of up to 64, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendSliceError`], with the number of messages that were sent.
    pub fn send_slice(&mut self, messages: &[T]) -> Result<(), SendSliceError> {
        let mut sent = 0;
        while sent < messages.len() {
            match self.ring.claim_by((messages.len() - sent) as u64, Deadline::NEVER) {
                Ok(claimed) => sent += self.send_all(claimed, &messages[sent..]),
                Err(stop) => return Err(SendSliceError { sent, cause: stop.into_send(()) }),
            }
        }
        Ok(())
    }

    fn send_all(&mut self, claimed: Claimed, messages: &[T]) -> usize {
        for (index, message) in (0..claimed.count).zip(messages) {
            let position = claimed.first.wrapping_add(index);
            self.messages.put(self.ring.0.offset(position), *message);
            self.ring.publish(position);
        }
        self.ring.finish(claimed.count);
        claimed.count as usize
    }

    /// Messages in the ring that no consumer has come to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.0.len() as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that fit into the ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.0.capacity() as usize
    }

    /// The index of this participant's lane, as `Stall` and tools name it.
    #[must_use]
    pub fn lane(&self) -> usize {
        self.ring.0.member().lane()
    }

    /// Leaves the ring without being finished: consumers wait for a successor.
    pub fn detach(mut self) {
        self.ring.0.member_mut().will_detach();
    }
}

crate::waitable::waitable!([T: Payload] Producer<T>, ring);
