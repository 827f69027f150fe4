//! Broadcast rings of byte records: a byte per unit.
//!
//! Memory use follows the bytes sent: a record takes its length and at most 15 bytes more, is contiguous, and is framed as in
//! [`record`]. A reader asks whether a header was still there before it believes it, and again after copying the payload.
//!
//! # Safety
//! Bytes are moved as words, from and to private memory; what a header says is checked before it is used.

#![allow(unsafe_code, reason = "copies bytes between the ring and private memory")]

mod consumer;
mod producer;

pub use consumer::{RecordConsumer, RecordReader, RecordReceiver};
pub use producer::RecordProducer;

use super::milestones::Milestones;
use crate::layout::Kind;
use crate::memory::Memory;
use crate::record::HEADER;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::cell::Bytes;

/// The data area of a ring of records, by position.
#[derive(Clone, Debug)]
struct Records {
    data: Bytes,
    capacity: u64,
    max: u64,
    milestones: Milestones,
}

impl Records {
    fn new(memory: &Memory) -> Self {
        let geometry = memory.geometry();
        assert!(geometry.kind == Kind::BroadcastRecords, "this memory is not for records");
        let (data, milestones) = (memory.data().clone(), Milestones::new(memory));
        Self { data, capacity: geometry.capacity, max: geometry.max_message, milestones }
    }

    #[inline(always)]
    fn offset(&self, position: u64) -> usize {
        (position & (self.capacity - 1)) as usize
    }

    #[inline(always)]
    fn to_wrap(&self, position: u64) -> u64 {
        self.capacity - (position & (self.capacity - 1))
    }

    #[inline(always)]
    fn put_header(&self, position: u64, header: u64) {
        // SAFETY: inside the ring, because positions of headers are multiples of eight and so is the capacity.
        let word = unsafe { self.data.word(self.offset(position)) };
        // Relaxed: the cursor publishes it.
        word.store(header, Relaxed);
    }

    /// The header at `position`, whatever stands there now.
    #[inline(always)]
    fn header(&self, position: u64) -> u64 {
        // SAFETY: as for `put_header`.
        let word = unsafe { self.data.word(self.offset(position)) };
        // Relaxed: it was published before the cursor that was loaded, and whether it is still there is asked afterwards.
        word.load(Relaxed)
    }

    #[inline(always)]
    fn put(&self, position: u64, payload: &[u8]) {
        let at = self.offset(position) + HEADER as usize;
        // SAFETY: header and payload, rounded up to words, were claimed and do not reach beyond the wrap.
        unsafe { self.data.store_words(at, payload.as_ptr(), payload.len()) };
    }

    /// Copies `len` bytes behind the header at `position` to `into`.
    ///
    /// # Safety
    /// `into` must have room for `len` bytes, and a record of that length must fit before the wrap.
    #[inline(always)]
    unsafe fn take(&self, position: u64, len: usize, into: *mut u8) {
        let at = self.offset(position) + HEADER as usize;
        // SAFETY: the caller answers for both.
        unsafe { self.data.load_words(at, into, len) };
    }
}
