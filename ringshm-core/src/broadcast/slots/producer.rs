//! The producer of a broadcast ring of fixed-size messages.

use super::Slots;
use crate::ahead::Ahead;
use crate::broadcast::Eviction;
use crate::broadcast::feed::Feed;
use crate::error::{Blocked, OpenError, SendError, SendSliceError, SendTimeoutError, TrySendError};
use crate::member::Member;
use crate::slots::Payload;
use core::time::Duration;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Exchanged;

/// The sending side of a broadcast ring of `T`.
///
/// Messages go to all readers. It waits for the lossless ones ([`Consumer`](super::Consumer)), as its policy says
/// ([`OnSlowReader`](crate::broadcast::OnSlowReader)), and never for the lossy ones ([`Reader`](super::Reader)); without readers it sends into
/// the void. Dropping it closes the ring: the readers receive everything sent before, then `Disconnected`. Use
/// [`detach`](Self::detach) to leave the role to a successor.
#[derive(Debug)]
pub struct Producer<T> {
    feed: Feed,
    slots: Slots<T>,
    ahead: Ahead,
}

impl<T: Payload> Producer<T> {
    pub(crate) fn resume(member: Member) -> Result<Self, OpenError> {
        let slots = Slots::new(member.memory());
        Ok(Self { feed: Feed::resume(member, 1)?, slots, ahead: Ahead::new(Slots::<T>::STRIDE as u64) })
    }

    /// Calls `report` for each lossless reader that is evicted for being slow, from within the call that evicts it.
    pub fn on_eviction(&mut self, report: impl FnMut(Eviction) + Send + 'static) {
        self.feed.on_eviction(Box::new(report));
    }

    /// Sends a message if every lossless reader leaves room for it. Never waits; makes no system call unless a reader sleeps or has
    /// held it up for a millisecond.
    ///
    /// # Errors
    /// [`TrySendError::Full`] and [`TrySendError::Fault`], with the message in it.
    #[inline(always)]
    pub fn try_send(&mut self, message: T) -> Result<(), TrySendError<T>> {
        match self.feed.claim(1) {
            Ok(position) => {
                self.send_at(position, &message);
                Ok(())
            }
            Err(blocked) => Err(blocked.into_try_send(message)),
        }
    }

    /// Sends a message, and waits for lossless readers as long as it takes, or the policy says.
    ///
    /// # Errors
    /// [`SendError::Fault`], with the message in it.
    #[inline(always)]
    pub fn send(&mut self, message: T) -> Result<(), SendError<T>> {
        match self.feed.claim_by(1, Exchanged::one_by_one(self.feed.tail()), Deadline::NEVER) {
            Ok(position) => {
                self.send_at(position, &message);
                Ok(())
            }
            Err(stop) => Err(stop.into_send(message)),
        }
    }

    /// Sends a message, and waits for lossless readers for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`SendTimeoutError::Timeout`] and [`SendTimeoutError::Fault`], with the message in it.
    pub fn send_timeout(&mut self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        match self.feed.claim_by(1, Exchanged::one_by_one(self.feed.tail()), Deadline::after(timeout)) {
            Ok(position) => {
                self.send_at(position, &message);
                Ok(())
            }
            Err(stop) => Err(stop.into_send_timeout(message)),
        }
    }

    #[inline(always)]
    fn send_at(&mut self, position: u64, message: &T) {
        self.slots.put(position, message);
        self.feed.advance(1);
        self.feed.publish();
        self.look_ahead();
    }

    #[inline(always)]
    fn look_ahead(&mut self) {
        let slots = &self.slots;
        self.ahead.look(self.feed.tail(), self.feed.room(), |position| {
            slots.each_line(position, |offset| slots.data.prefetch_to_write(offset));
        });
    }

    /// Sends as many messages of a slice as there is room for, from its start, in one publication for an eighth of the ring. Returns how
    /// many.
    ///
    /// # Errors
    /// [`TrySendError`] if it could send none of a slice that is not empty.
    pub fn try_send_slice(&mut self, messages: &[T]) -> Result<usize, TrySendError<()>> {
        let mut rest = messages;
        while !rest.is_empty() {
            match self.feed.claim_up_to(rest.len() as u64) {
                Ok((position, count)) => {
                    let (part, after) = rest.split_at(count as usize);
                    self.send_all_at(position, part);
                    rest = after;
                }
                Err(Blocked::NotReady) if rest.len() < messages.len() => break,
                Err(blocked) => return Err(blocked.into_try_send(())),
            }
        }
        Ok(messages.len() - rest.len())
    }

    #[inline(always)]
    fn send_all_at(&mut self, position: u64, messages: &[T]) {
        for (index, message) in (0..).zip(messages) {
            self.slots.put(position.wrapping_add(index), message);
        }
        self.feed.advance(messages.len() as u64);
        self.feed.publish();
        self.look_ahead();
    }

    /// Sends a whole slice, and waits for lossless readers as long as it takes, or the policy says.
    ///
    /// # Errors
    /// [`SendSliceError`], with the number of messages that were sent.
    pub fn send_slice(&mut self, messages: &[T]) -> Result<(), SendSliceError> {
        let mut sent = 0;
        while let Some(next) = messages.get(sent) {
            match self.feed.claim_up_to((messages.len() - sent) as u64) {
                Ok((position, count)) => {
                    let part = &messages[sent..sent + count as usize];
                    self.send_all_at(position, part);
                    sent += part.len();
                }
                Err(blocked) => {
                    let error = blocked.into_try_send(());
                    let waited = error.lasting().map_or(Ok(()), Err);
                    let by_batches = Exchanged::by_batches(self.feed.tail());
                    let position = waited.and_then(|()| {
                        self.feed.claim_by(1, by_batches, Deadline::NEVER).map_err(|stop| stop.into_send(()))
                    });
                    let position = position.map_err(|cause| SendSliceError { sent, cause })?;
                    self.send_at(position, next);
                    sent += 1;
                }
            }
        }
        Ok(())
    }

    /// Messages sent since the ring was made, by this producer and those before it.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.feed.published().wrapping_sub(self.feed.member().memory().geometry().origin)
    }

    /// How far the slowest of the lossless readers is behind, in messages. 0 without such readers.
    #[must_use]
    pub fn lag(&self) -> usize {
        self.feed.lag() as usize
    }

    /// Messages that fit into the ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.feed.member().memory().geometry().capacity as usize
    }

    /// Leaves the ring without closing it: the readers wait for a successor.
    pub fn detach(mut self) {
        self.feed.member_mut().will_detach();
    }
}

crate::waitable::waitable!([T: Payload] Producer<T>, feed);
