//! The handles of an MPMC ring of byte messages: each slot has room for the longest.
//!
//! # Safety
//! As for fixed-size messages. A length is loaded once, and checked before it is used.

#![allow(unsafe_code, reason = "copies bytes between slots and private memory")]

use super::{Claimed, Mpmc, Party as _, Receiver, Sender, message_at, stride};
use crate::Batch;
use crate::error::{
    Fault, OpenError, RecvError, RecvTimeoutError, SendError, SendSliceError, SendTimeoutError, TryRecvError,
    TrySendError,
};
use crate::identity::TypeIdentity;
use crate::layout::{Geometry, Kind, Shape};
use crate::message::{Joined, Message, Wishes};
use core::mem::ManuallyDrop;
use core::time::Duration;
use ringshm_sync::cell::{Bytes, Reading};
use ringshm_sync::time::Deadline;

/// The longest message of a ring for which none was asked: a network packet, or a line of text.
const DEFAULT_MAX_MESSAGE: u64 = 2048;

impl Message for Mpmc<[u8]> {
    type Producer = ByteProducer;
    type Consumer = ByteConsumer;

    fn geometry(wishes: &Wishes) -> Option<Geometry> {
        let kind = Kind::MpmcBytes;
        let message = wishes.max_message.unwrap_or(DEFAULT_MAX_MESSAGE);
        let capacity = wishes.slots(stride(kind, message, 1)?);
        let Wishes { producers, consumers, origin, .. } = *wishes;
        let geometry = Geometry::new(&Shape { kind, capacity, message, align: 1, producers, consumers, origin })?;
        let (is_default_capacity, is_at_most_once) = (wishes.capacity.is_none(), wishes.at_most_once);
        Some(Geometry { is_default_capacity, is_at_most_once, wakeup: wishes.wakeup, ..geometry })
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity::records(schema)
    }

    fn producer(joined: Joined) -> Result<ByteProducer, OpenError> {
        let messages = Messages::new(&joined);
        Ok(ByteProducer { ring: Sender::resume(joined.0)?, messages })
    }

    fn consumer(joined: Joined) -> Result<ByteConsumer, OpenError> {
        let messages = Messages::new(&joined);
        let ring = Receiver::resume(joined.0)?;
        Ok(ByteConsumer { ring, messages, scratch: Vec::new(), redelivered: false })
    }
}

/// The messages of the slots: a length, then the bytes.
#[derive(Debug)]
struct Messages {
    data: Bytes,
    max: usize,
}

impl Messages {
    const LEN_AT: usize = size_of::<u64>();
    const AT: usize = message_at(Kind::MpmcBytes, 1) as usize;

    fn new(joined: &Joined) -> Self {
        let memory = joined.0.memory();
        Self { data: memory.data().clone(), max: memory.geometry().max_message as usize }
    }

    /// Writes the message of the slot at `offset`, for the producer that claimed it. It is not longer than the longest.
    #[inline(always)]
    fn put(&self, offset: usize, message: &[u8]) {
        // SAFETY: the ring's offsets are those of whole slots inside of the data area, and it gave this one to the caller.
        let slot = unsafe { self.data.write(offset + Self::LEN_AT, size_of::<u64>() + message.len()) };
        let len = slot.as_mut_ptr().cast::<u64>();
        // SAFETY: room for a length, aligned because offsets are multiples of eight.
        unsafe { len.write(message.len() as u64) };
        let bytes = slot.as_mut_ptr().wrapping_add(Self::AT - Self::LEN_AT);
        // SAFETY: private memory on one side, the claimed slot on the other.
        unsafe { bytes.copy_from_nonoverlapping(message.as_ptr(), message.len()) };
    }

    /// The length of the message in the slot at `offset`, for the consumer that claimed it.
    #[inline(always)]
    fn len(&self, offset: usize) -> Result<usize, Fault> {
        // SAFETY: as for `put`.
        let slot = unsafe { self.data.read(offset + Self::LEN_AT, size_of::<u64>()) };
        // SAFETY: as for `put`. Volatile: one load, whatever another process does to it.
        let len = unsafe { slot.as_ptr().cast::<u64>().read_volatile() };
        if len > self.max as u64 {
            return Err(Fault::Corrupt { field: "message length" });
        }
        Ok(len as usize)
    }

    #[inline(always)]
    fn reading(&self, offset: usize, len: usize) -> Reading {
        // SAFETY: as for `put`, and `len` was checked.
        unsafe { self.data.read(offset + Self::AT, len) }
    }

    #[inline(always)]
    fn take(&self, offset: usize, len: usize, into: &mut Vec<u8>) {
        into.clear();
        self.append(offset, len, into);
    }

    /// As `take`, behind what `into` has.
    #[inline(always)]
    fn append(&self, offset: usize, len: usize, into: &mut Vec<u8>) {
        let slot = self.reading(offset, len);
        into.reserve(len);
        let room = into.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        // SAFETY: the slot on one side, private memory with room on the other.
        unsafe { room.copy_from_nonoverlapping(slot.as_ptr(), len) };
        // SAFETY: written just now.
        unsafe { into.set_len(into.len() + len) };
    }
}

/// A sending side of an MPMC ring of byte messages. As [`Producer`](super::Producer).
#[derive(Debug)]
pub struct ByteProducer {
    ring: Sender,
    messages: Messages,
}

impl ByteProducer {
    /// Sends a message if there is room. As [`Producer::try_send`](super::Producer::try_send).
    ///
    /// # Errors
    /// [`TrySendError`]; `TooLarge` if it is longer than [`max_message`](Self::max_message).
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        if message.len() > self.messages.max {
            return Err(TrySendError::TooLarge { len: message.len(), max: self.messages.max });
        }
        let claimed = self.ring.claim(1).map_err(|blocked| blocked.into_try_send(()))?;
        self.send_at(claimed.first, message);
        Ok(())
    }

    /// Sends a message, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendError`]; `TooLarge` if it is longer than [`max_message`](Self::max_message).
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError<()>> {
        if message.len() > self.messages.max {
            return Err(SendError::TooLarge { len: message.len(), max: self.messages.max });
        }
        let claimed = self.ring.claim_by(1, Deadline::NEVER).map_err(|stop| stop.into_send(()))?;
        self.send_at(claimed.first, message);
        Ok(())
    }

    /// Sends a message, and waits for room for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`SendTimeoutError`]; `TooLarge` if it is longer than [`max_message`](Self::max_message).
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), SendTimeoutError<()>> {
        self.send_by(message, Deadline::after(timeout))
    }

    pub(crate) fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        if message.len() > self.messages.max {
            return Err(SendTimeoutError::TooLarge { len: message.len(), max: self.messages.max });
        }
        let claimed = self.ring.claim_by(1, deadline).map_err(|stop| stop.into_send_timeout(()))?;
        self.send_at(claimed.first, message);
        Ok(())
    }

    fn send_at(&mut self, position: u64, message: &[u8]) {
        self.messages.put(self.ring.0.offset(position), message);
        self.ring.publish(position);
        self.ring.finish(1);
    }

    /// Sends as many messages of a slice as there is room for, from its start, up to 64, in one claim. As
    /// [`Producer::try_send_slice`](super::Producer::try_send_slice).
    ///
    /// # Errors
    /// [`TrySendError`] if it could send none of a slice that is not empty.
    pub fn try_send_slice<P: AsRef<[u8]>>(&mut self, messages: &[P]) -> Result<usize, TrySendError<()>> {
        let Some(first) = messages.first() else { return Ok(0) };
        match self.fitting(messages) {
            0 => Err(TrySendError::TooLarge { len: first.as_ref().len(), max: self.messages.max }),
            count => {
                let claimed = self.ring.claim(count).map_err(|blocked| blocked.into_try_send(()))?;
                Ok(self.send_all(claimed, messages))
            }
        }
    }

    /// Sends a whole slice, in claims of up to 64, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendSliceError`], with the number of messages that were sent.
    pub fn send_slice<P: AsRef<[u8]>>(&mut self, messages: &[P]) -> Result<(), SendSliceError> {
        let mut sent = 0;
        while let Some(first) = messages.get(sent) {
            let claimed = match self.fitting(&messages[sent..]) {
                0 => Err(SendError::TooLarge { len: first.as_ref().len(), max: self.messages.max }),
                count => self.ring.claim_by(count, Deadline::NEVER).map_err(|stop| stop.into_send(())),
            };
            let claimed = claimed.map_err(|cause| SendSliceError { sent, cause })?;
            sent += self.send_all(claimed, &messages[sent..]);
        }
        Ok(())
    }

    /// How many messages there are before the first that is too long.
    fn fitting<P: AsRef<[u8]>>(&self, messages: &[P]) -> u64 {
        messages.iter().take_while(|message| message.as_ref().len() <= self.messages.max).count() as u64
    }

    fn send_all<P: AsRef<[u8]>>(&mut self, claimed: Claimed, messages: &[P]) -> usize {
        for (index, message) in (0..claimed.count).zip(messages) {
            let position = claimed.first.wrapping_add(index);
            self.messages.put(self.ring.0.offset(position), message.as_ref());
            self.ring.publish(position);
        }
        self.ring.finish(claimed.count);
        claimed.count as usize
    }

    /// The longest message that this ring takes, in bytes.
    #[must_use]
    pub fn max_message(&self) -> usize {
        self.messages.max
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

crate::waitable::waitable!([] ByteProducer, ring);

/// A receiving side of an MPMC ring of byte messages. As [`Consumer`](super::Consumer).
#[derive(Debug)]
pub struct ByteConsumer {
    ring: Receiver,
    messages: Messages,
    /// What an untrusting consumer's guards refer to: nobody else can change it there.
    scratch: Vec<u8>,
    redelivered: bool,
}

impl ByteConsumer {
    /// Receives a message into `into`, which it replaces, if there is one. As [`Consumer::try_recv`](super::Consumer::try_recv).
    ///
    /// # Errors
    /// [`TryRecvError`]. A damaged message is dropped: the next call goes on with the next.
    pub fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<(), TryRecvError> {
        let claimed = self.ring.claim(1)?;
        self.recv_at(claimed, into).map_err(TryRecvError::Fault)
    }

    /// Receives a message into `into`, and waits for one as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv(&mut self, into: &mut Vec<u8>) -> Result<(), RecvError> {
        let claimed = self.ring.claim_by(1, Deadline::NEVER)?;
        self.recv_at(claimed, into).map_err(RecvError::Fault)
    }

    /// Receives a message into `into`, and waits for one for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    pub fn recv_timeout(&mut self, into: &mut Vec<u8>, timeout: Duration) -> Result<(), RecvTimeoutError> {
        self.recv_by(into, Deadline::after(timeout))
    }

    pub(crate) fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<(), RecvTimeoutError> {
        let claimed = self.ring.claim_by(1, deadline)?;
        self.recv_at(claimed, into).map_err(RecvTimeoutError::Fault)
    }

    fn recv_at(&mut self, claimed: Claimed, into: &mut Vec<u8>) -> Result<(), Fault> {
        self.redelivered = claimed.deaths > 0;
        let offset = self.ring.ring.offset(claimed.first);
        let result = self.messages.len(offset).map(|len| self.messages.take(offset, len, into));
        self.ring.release(claimed.first);
        self.ring.finish(1);
        result
    }

    /// Adds as many messages to a batch as there are, up to 64 and to `most`, in one claim, and waits for the first. What it lacks is damaged
    /// ones: see [`Receiver::recv_batch_by`](crate::Receiver::recv_batch_by).
    pub(crate) fn recv_batch_by(
        &mut self,
        batch: &mut Batch,
        most: usize,
        deadline: Deadline,
    ) -> Result<usize, RecvTimeoutError> {
        let claimed = self.ring.claim_by(most.max(1) as u64, deadline)?;
        self.redelivered = claimed.deaths > 0;
        let (mut count, mut damage) = (0, None);
        for index in 0..claimed.count {
            let position = claimed.first.wrapping_add(index);
            let offset = self.ring.ring.offset(position);
            let len = self.messages.len(offset);
            let taken = batch.push_by(|bytes| len.map(|len| self.messages.append(offset, len, bytes)));
            self.ring.release(position);
            match taken {
                Ok(()) => count += 1,
                Err(fault) => damage = Some(RecvTimeoutError::Fault(fault)),
            }
        }
        self.ring.finish(claimed.count);
        batch.after(count, damage)
    }

    /// Receives a message if there is one, and keeps its slot until the guard is dropped. As
    /// [`Consumer::try_recv_ref`](super::Consumer::try_recv_ref).
    ///
    /// # Errors
    /// [`TryRecvError`].
    pub fn try_recv_ref(&mut self) -> Result<ByteRef<'_>, TryRecvError> {
        let claimed = self.ring.claim(1)?;
        self.lend(claimed).map_err(TryRecvError::Fault)
    }

    /// As [`try_recv_ref`](Self::try_recv_ref), and waits for a message as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv_ref(&mut self) -> Result<ByteRef<'_>, RecvError> {
        let claimed = self.ring.claim_by(1, Deadline::NEVER)?;
        self.lend(claimed).map_err(RecvError::Fault)
    }

    /// As [`recv_ref`](Self::recv_ref), but waits for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError`].
    pub fn recv_ref_timeout(&mut self, timeout: Duration) -> Result<ByteRef<'_>, RecvTimeoutError> {
        let claimed = self.ring.claim_by(1, Deadline::after(timeout))?;
        self.lend(claimed).map_err(RecvTimeoutError::Fault)
    }

    fn lend(&mut self, claimed: Claimed) -> Result<ByteRef<'_>, Fault> {
        self.redelivered = claimed.deaths > 0;
        let offset = self.ring.ring.offset(claimed.first);
        let len = match self.messages.len(offset) {
            Ok(len) => len,
            Err(fault) => {
                self.ring.release(claimed.first);
                self.ring.finish(1);
                return Err(fault);
            }
        };
        self.ring.keep(claimed);
        let slot = self.ring.ring.member().trusts_peers().then(|| self.messages.reading(offset, len));
        if slot.is_none() {
            self.messages.take(offset, len, &mut self.scratch);
        }
        Ok(ByteRef { consumer: self, claimed, len, slot })
    }

    /// Whether the message that was received last had been given to another consumer before, which died with it.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        self.redelivered
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

    /// The longest message that this ring takes, in bytes.
    #[must_use]
    pub fn max_message(&self) -> usize {
        self.messages.max
    }

    /// Leaves the ring without being finished: producers wait for a successor.
    pub fn detach(mut self) {
        self.ring.ring.member_mut().will_detach();
    }
}

crate::waitable::waitable!([] ByteConsumer, ring);

/// A byte message that is still in the ring. Dropping it releases it.
#[derive(Debug)]
pub struct ByteRef<'a> {
    consumer: &'a mut ByteConsumer,
    claimed: Claimed,
    len: usize,
    /// The slot itself, if the consumer trusts its peers; else the message is in the consumer's scratch.
    slot: Option<Reading>,
}

impl ByteRef<'_> {
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

impl core::ops::Deref for ByteRef<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.slot {
            // SAFETY: claimed, `len` bytes; the peers were trusted, at opening, not to touch it.
            Some(slot) => unsafe { core::slice::from_raw_parts(slot.as_ptr(), self.len) },
            None => &self.consumer.scratch,
        }
    }
}

impl Drop for ByteRef<'_> {
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
