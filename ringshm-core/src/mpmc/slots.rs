//! The handles of an MPMC ring of fixed-size messages.
//!
//! # Safety
//! A slot's message is written between claiming and publishing it, and read between claiming and releasing it; the ring gives it to
//! nobody else meanwhile. `T` is valid whatever bytes a slot holds. A guard refers to its slot only if the consumer trusts its peers.

#![allow(unsafe_code, reason = "copies values between slots and private memory")]

use super::{Claimed, MOST_CLAIMED, Mpmc, Party as _, Receiver, Sender, message_at, stride};
use crate::Payload;
use crate::error::{
    OpenError, RecvError, RecvTimeoutError, SendError, SendSliceError, SendTimeoutError, TryRecvError, TrySendError,
};
use crate::identity::TypeIdentity;
use crate::layout::{Geometry, Kind, MAX_PAYLOAD_ALIGN, Shape};
use crate::member::Member;
use crate::message::{Joined, Message, Wishes};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::time::Duration;
use ringshm_sync::cell::{Bytes, Reading};
use ringshm_sync::time::Deadline;

impl<T: Payload> Message for Mpmc<T> {
    type Producer = Producer<T>;
    type Consumer = Consumer<T>;

    fn geometry(wishes: &Wishes) -> Option<Geometry> {
        let (kind, message, align) = (Kind::MpmcSlots, size_of::<T>() as u64, align_of::<T>() as u64);
        let capacity = wishes.slots(stride(kind, message, align)?);
        let Wishes { producers, consumers, origin, .. } = *wishes;
        let geometry = Geometry::new(&Shape { kind, capacity, message, align, producers, consumers, origin })?;
        let (is_default_capacity, is_at_most_once) = (wishes.capacity.is_none(), wishes.at_most_once);
        Some(Geometry { is_default_capacity, is_at_most_once, wakeup: wishes.wakeup, ..geometry })
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity::of::<T>(schema)
    }

    fn producer(joined: Joined) -> Result<Producer<T>, OpenError> {
        let messages = Messages::new(&joined.0);
        Ok(Producer { ring: Sender::resume(joined.0)?, messages })
    }

    fn consumer(joined: Joined) -> Result<Consumer<T>, OpenError> {
        let messages = Messages::new(&joined.0);
        let scratch = Box::new(T::new_zeroed());
        Ok(Consumer { ring: Receiver::resume(joined.0)?, messages, scratch, redelivered: false })
    }
}

/// The messages of the slots.
#[derive(Debug)]
struct Messages<T> {
    data: Bytes,
    _type: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Messages<T> {
    const IS_POSSIBLE: () = assert!(
        size_of::<T>() > 0 && align_of::<T>() <= MAX_PAYLOAD_ALIGN,
        "a payload has at least one byte, and an alignment of at most 128"
    );
    const AT: usize = message_at(Kind::MpmcSlots, align_of::<T>() as u64) as usize;

    fn new(member: &Member) -> Self {
        let () = Self::IS_POSSIBLE;
        let memory = member.memory();
        assert_eq!(
            memory.geometry().max_message,
            size_of::<T>() as u64,
            "the slots of this memory are of another size"
        );
        Self { data: memory.data().clone(), _type: PhantomData }
    }

    /// Writes the message of the slot at `offset`, for the producer that claimed it.
    #[inline(always)]
    fn put(&self, offset: usize, message: T) {
        // SAFETY: the ring's offsets are those of whole slots inside of the data area, and it gave this one to the caller.
        let slot = unsafe { self.data.write(offset + Self::AT, size_of::<T>()) };
        // SAFETY: room for a `T`, aligned because the data area, the stride and `AT` are.
        unsafe { slot.as_mut_ptr().cast::<T>().write(message) };
    }

    /// The message of the slot at `offset`, for the consumer that claimed it.
    #[inline(always)]
    fn reading(&self, offset: usize) -> Reading {
        // SAFETY: as for `put`.
        unsafe { self.data.read(offset + Self::AT, size_of::<T>()) }
    }

    #[inline(always)]
    fn take(&self, offset: usize) -> T {
        let slot = self.reading(offset);
        // SAFETY: as for `put`, and every bit pattern is a `T`.
        unsafe { slot.as_ptr().cast::<T>().read() }
    }
}

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
