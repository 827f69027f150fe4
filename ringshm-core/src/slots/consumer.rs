//! The receiving side of a ring of fixed-size messages.
//!
//! # Safety
//! A guard refers to its slot only if the consumer trusts its peers.

#![allow(unsafe_code, reason = "a guard is a reference into the ring")]

use super::{Payload, Slots};
use crate::ahead::Ahead;
use crate::endpoint::{Endpoint, Side as _};
use crate::error::{OpenError, RecvError, RecvTimeoutError, TryRecvError};
use crate::express;
use crate::lanes::Peer;
use crate::spsc;
use core::time::Duration;
use ringshm_sync::cell::Reading;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::Exchanged;
use zerocopy::IntoBytes as _;

/// The receiving side of a ring of `T`.
///
/// Dropping it closes the ring: the producer is told `Disconnected`. What was not received stays in the ring.
///
/// A message is released when the call that received it returns, or with its guard; those of [`iter`](Self::iter) somewhat later. A
/// consumer killed before that leaves it to its successor, which receives it again.
#[derive(Debug)]
pub struct Consumer<T> {
    ring: spsc::Consumer,
    slots: Slots<T>,
    ahead: Ahead,
    /// What guards refer to that do not refer to a slot: nobody else can change it there.
    scratch: Box<T>,
}

impl<T: Payload> Consumer<T> {
    pub(crate) fn resume(end: Endpoint) -> Result<Self, OpenError> {
        let slots = Slots::new(&end);
        let ahead = Ahead::new(size_of::<T>() as u64);
        Ok(Self { ring: spsc::Consumer::resume(end, 1)?, slots, ahead, scratch: Box::new(T::new_zeroed()) })
    }

    /// Receives a message if there is one. Never waits; makes no system call unless the producer sleeps, except that an empty
    /// ring is asked every 50 ms whether its producer is alive. A loop over it should pause between calls that found nothing: each
    /// of them looks at a word that the producer writes, and [`recv`](Self::recv) knows when to look.
    ///
    /// # Errors
    /// [`TryRecvError`].
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let position = self.ring.peek(1)?;
        Ok(self.recv_at(position))
    }

    /// Receives a message, and waits for it as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    #[inline(always)]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        let position = self.ring.peek_by(1, Exchanged::one_by_one(self.ring.head()), Deadline::NEVER)?;
        Ok(self.recv_at(position))
    }

    /// Receives a message, and waits for it for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let position = self.ring.peek_by(1, Exchanged::one_by_one(self.ring.head()), Deadline::after(timeout))?;
        Ok(self.recv_at(position))
    }

    #[inline(always)]
    fn recv_at(&mut self, position: u64) -> T {
        self.look_ahead();
        let message = match self.copy_of(position) {
            Some(copy) => {
                let mut message = T::new_zeroed();
                fill(&mut message, &copy);
                message
            }
            None => self.slots.take(position),
        };
        self.ring.advance(1);
        self.ring.release();
        message
    }

    /// What has travelled with the cursor, if the message did and no later one has taken its place.
    #[inline(always)]
    fn copy_of(&self, position: u64) -> Option<express::Words> {
        if !express::carries(size_of::<T>()) || !self.ring.was_alone(position) {
            return None;
        }
        express::take(self.ring.end().peer(), position, size_of::<T>())
    }

    #[inline(always)]
    fn look_ahead(&mut self) {
        let slots = &self.slots;
        self.ahead.look(self.ring.head(), self.ring.available(), |position| slots.prefetch_to_read(position));
    }

    /// Hands out the next message without copying it, if there is one. It is released when the guard is dropped.
    ///
    /// A consumer that does not trust its peers gets a private copy, which no other process can change; and so does any, of a message that has
    /// come to it by itself and is so small that it lies beside the news of it (24 bytes).
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
        let position = self.ring.peek_by(1, Exchanged::one_by_one(self.ring.head()), Deadline::NEVER)?;
        Ok(self.hand_out(position))
    }

    fn hand_out(&mut self, position: u64) -> RecvRef<'_, T> {
        let mut slot = None;
        match self.copy_of(position) {
            Some(copy) => fill(&mut *self.scratch, &copy),
            None if self.ring.end().trusts_peers() => slot = Some(self.slots.reading(position)),
            None => *self.scratch = self.slots.take(position),
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
        Ok(Drain::new(self))
    }

    /// As [`try_drain`](Self::try_drain), and waits for the first message as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn drain(&mut self) -> Result<Drain<'_, T>, RecvError> {
        self.ring.peek_all_by(1, Exchanged::by_batches(self.ring.head()), Deadline::NEVER)?;
        Ok(Drain::new(self))
    }

    /// Receives until the producer is gone, waiting for messages.
    ///
    /// What it has handed out is released together: whenever it has come to the end of what was there when it last looked, at the
    /// latest after an eighth of the ring, and when it is dropped. So a busy ring is drained about as fast as by
    /// [`drain`](Self::drain). A consumer that is killed before leaves those messages to its successor, which receives them again; and
    /// one that waits for its producer while it holds such a message may find it waiting for this room. [`recv`](Self::recv)
    /// releases each message at once. An iterator that is forgotten instead of dropped hands out again what it had not released.
    pub fn iter(&mut self) -> Iter<'_, T> {
        let window = Window::new(self, 0);
        Iter { consumer: self, window }
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

/// Makes a message of its words.
#[inline(always)]
fn fill<T: Payload>(message: &mut T, words: &express::Words) {
    message.as_mut_bytes().copy_from_slice(&words.as_bytes()[..size_of::<T>()]);
}

crate::waitable::waitable!([T: Payload] Consumer<T>, ring);

/// A message that is still in the ring. Dropping it releases it.
#[derive(Debug)]
pub struct RecvRef<'a, T: Payload> {
    consumer: &'a mut Consumer<T>,
    /// The slot itself, if the consumer trusts its peers, and has not got a copy anyway; else the message is in the consumer's scratch.
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

/// Messages that are handed out and not released yet, and those that come next.
#[derive(Debug)]
struct Window<T> {
    slots: Slots<T>,
    /// Handed out up to here. Kept apart from the ring's own head, so that a loop has nothing to store for each message.
    head: u64,
    /// Published up to here.
    end: u64,
}

impl<T: Payload> Window<T> {
    /// The next messages, `most` of them, or what is there.
    fn new(consumer: &Consumer<T>, most: u64) -> Self {
        let mut window = Self { slots: consumer.slots.clone(), head: 0, end: 0 };
        window.go_on(&consumer.ring, most);
        window
    }

    /// The next ones, after those before were released.
    fn go_on(&mut self, ring: &spsc::Consumer, most: u64) {
        self.head = ring.head();
        self.end = self.head.wrapping_add(ring.available().min(most));
    }

    /// The next one. Does not ask whether this is a forked child: to ask for each message costs a fifth at 8 bytes, and half at 256.
    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        if self.head == self.end {
            return None;
        }
        let message = self.slots.take(self.head);
        self.head = self.head.wrapping_add(1);
        Some(message)
    }

    /// Releases what was handed out.
    #[inline(always)]
    fn release(&self, consumer: &mut Consumer<T>) {
        let ring = &mut consumer.ring;
        if !ring.end().is_forked() {
            ring.advance(self.head.wrapping_sub(ring.head()));
            ring.release();
        }
    }
}

/// Messages handed out together. Dropping it releases those that were taken from it; the others stay in the ring. A drain that is
/// forgotten instead releases nothing: all of them are handed out again. A child that comes here through `fork` must not go on with
/// it, because the messages are its parent's; dropping it there releases nothing.
#[derive(Debug)]
pub struct Drain<'a, T: Payload> {
    consumer: &'a mut Consumer<T>,
    window: Window<T>,
}

impl<'a, T: Payload> Drain<'a, T> {
    fn new(consumer: &'a mut Consumer<T>) -> Self {
        let window = Window::new(consumer, u64::MAX);
        Self { consumer, window }
    }

    /// Leaves all of them in the ring, those already taken included: they are handed out again.
    pub fn keep(mut self) {
        self.consumer.ring.cancel();
        self.window.head = self.consumer.ring.head();
    }
}

impl<T: Payload> Iterator for Drain<'_, T> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.window.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.window.end.wrapping_sub(self.window.head) as usize;
        (left, Some(left))
    }
}

impl<T: Payload> ExactSizeIterator for Drain<'_, T> {}

impl<T: Payload> Drop for Drain<'_, T> {
    fn drop(&mut self) {
        self.window.release(self.consumer);
    }
}

/// See [`Consumer::iter`]. A child that comes here through `fork` must not go on with it: up to an eighth of the ring that its parent
/// is handed out may be handed out to it too, before the iterator ends.
#[derive(Debug)]
pub struct Iter<'a, T: Payload> {
    consumer: &'a mut Consumer<T>,
    window: Window<T>,
}

impl<T: Payload> Iter<'_, T> {
    #[cold]
    fn go_on(&mut self) -> Option<T> {
        self.window.release(self.consumer);
        let exchanged = Exchanged::by_batches(self.consumer.ring.head());
        self.consumer.ring.peek_by(1, exchanged, Deadline::NEVER).ok()?;
        let most = (self.consumer.capacity() as u64 / 8).max(1);
        self.window.go_on(&self.consumer.ring, most);
        self.window.next()
    }
}

impl<T: Payload> Iterator for Iter<'_, T> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.window.next().or_else(|| self.go_on())
    }
}

impl<T: Payload> Drop for Iter<'_, T> {
    fn drop(&mut self) {
        self.window.release(self.consumer);
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
