//! Rings of byte records: the SPSC ring with a byte per unit.
//!
//! # Safety
//! Bytes are written between claiming and publishing them, and read between peeking at and releasing them; the ring gives
//! them to nobody else meanwhile. A header is loaded once, checked, and only then used.

#![allow(unsafe_code, reason = "copies bytes between the ring and private memory")]

mod consumer;
mod producer;

pub use consumer::{RecordConsumer, RecordDrain, RecordRef};
pub use producer::{RecordLoan, RecordProducer};

use crate::endpoint::Endpoint;
use crate::error::Fault;
use crate::record::{self, HEADER, Piece};
use ringshm_sync::cell::{Bytes, Reading, Writing};

/// The data area of a record ring, by position.
#[derive(Debug)]
struct Records {
    data: Bytes,
    mask: u64,
    max: u64,
}

impl Records {
    fn new(end: &Endpoint) -> Self {
        let geometry = end.memory().geometry();
        Self { data: end.memory().data().clone(), mask: geometry.capacity - 1, max: geometry.max_message }
    }

    #[inline(always)]
    fn to_wrap(&self, position: u64) -> u64 {
        self.mask + 1 - (position & self.mask)
    }

    /// The bytes that follow the header at `position`, for the producer that claimed them.
    #[inline(always)]
    fn writing(&self, position: u64, len: usize) -> Writing {
        let offset = (position & self.mask) + HEADER;
        // SAFETY: header and payload were claimed and do not reach beyond the wrap.
        unsafe { self.data.write(offset as usize, len) }
    }

    /// The bytes that follow the header at `position`, for the consumer that peeked at them.
    #[inline(always)]
    fn reading(&self, position: u64, len: usize) -> Reading {
        let offset = (position & self.mask) + HEADER;
        // SAFETY: header and payload are published and `parse` found them before the wrap.
        unsafe { self.data.read(offset as usize, len) }
    }

    /// Asks for the line at `position`, to be written.
    #[inline(always)]
    fn prefetch_to_write(&self, position: u64) {
        self.data.prefetch_to_write((position & self.mask) as usize);
    }

    /// Asks for the line at `position`, to be read.
    #[inline(always)]
    fn prefetch_to_read(&self, position: u64) {
        self.data.prefetch_to_read((position & self.mask) as usize);
    }

    #[inline(always)]
    fn put_header(&self, position: u64, header: u64) {
        // SAFETY: the caller claimed these eight bytes.
        let place = unsafe { self.data.write((position & self.mask) as usize, HEADER as usize) };
        // SAFETY: room for a `u64`, aligned because every span is a multiple of eight.
        unsafe { place.as_mut_ptr().cast::<u64>().write(header) };
    }

    /// Reads the header at `position`, of which `available` bytes are published.
    #[inline(always)]
    fn piece(&self, position: u64, available: u64) -> Result<Piece, Fault> {
        // SAFETY: the caller peeked at these eight bytes.
        let place = unsafe { self.data.read((position & self.mask) as usize, HEADER as usize) };
        // SAFETY: an aligned `u64`; volatile, so that it is loaded once, whoever else writes it.
        let header = unsafe { place.as_ptr().cast::<u64>().read_volatile() };
        record::parse(header, available, self.to_wrap(position), self.max)
    }

    #[inline(always)]
    fn put(&self, position: u64, payload: &[u8]) {
        let place = self.writing(position, payload.len());
        // SAFETY: private memory on one side, claimed bytes on the other.
        unsafe { place.as_mut_ptr().copy_from_nonoverlapping(payload.as_ptr(), payload.len()) };
    }

    /// Copies a payload out, to `len` bytes of private memory at `into`.
    ///
    /// # Safety
    /// `into` must have room for `len` bytes.
    #[inline(always)]
    unsafe fn take(&self, position: u64, len: usize, into: *mut u8) {
        let place = self.reading(position, len);
        // SAFETY: published bytes on one side, the caller's private memory on the other.
        unsafe { into.copy_from_nonoverlapping(place.as_ptr(), len) };
    }
}
