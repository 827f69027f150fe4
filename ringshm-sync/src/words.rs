//! Payload moved as words: where a reader may come too late, and finds out afterwards.
//!
//! Every word is an atomic, so a copy that was overtaken by its writer is stale or mixed, and never undefined behaviour. Written once, over
//! the words of the real cell and of the model's.
//!
//! # Safety
//! The callers keep offsets and lengths inside of the range and of their private memory.

#![allow(unsafe_code, reason = "copies between words and private bytes")]

use crate::atomic::Ordering::Relaxed;
use crate::cell::Bytes;

const WORD: usize = size_of::<u64>();

impl Bytes {
    /// Copies `len` private bytes at `from` into the words from offset `at` on. The last word is filled up with zeros.
    ///
    /// # Safety
    /// `from` must have `len` bytes; `at` must be a multiple of 8, and `at` plus `len` rounded up to one at most [`len`](Self::len);
    /// the location is only ever used as words.
    #[inline(always)]
    pub unsafe fn store_words(&self, at: usize, from: *const u8, len: usize) {
        let mut done = 0;
        while done + WORD <= len {
            // SAFETY: before the end of the caller's bytes.
            let source = unsafe { from.add(done) };
            // SAFETY: as above, eight of them, however they are aligned.
            let word = unsafe { source.cast::<u64>().read_unaligned() };
            // SAFETY: the caller's words. Relaxed: the ring publishes them.
            unsafe { self.word(at + done) }.store(word, Relaxed);
            done += WORD;
        }
        if done < len {
            let mut last = [0; WORD];
            // SAFETY: before the end of the caller's bytes.
            let source = unsafe { from.add(done) };
            // SAFETY: the rest of them, into a local array that has room.
            unsafe { last.as_mut_ptr().copy_from_nonoverlapping(source, len - done) };
            // SAFETY: the caller's words. Relaxed: as above.
            unsafe { self.word(at + done) }.store(u64::from_ne_bytes(last), Relaxed);
        }
    }

    /// Copies `len` bytes out of the words from offset `at` on, into private memory at `into`. What comes out is for the ring to
    /// judge: it may be a mixture of several writings.
    ///
    /// # Safety
    /// `into` must have room for `len` bytes; the rest is as for [`store_words`](Self::store_words).
    #[inline(always)]
    pub unsafe fn load_words(&self, at: usize, into: *mut u8, len: usize) {
        let mut done = 0;
        while done + WORD <= len {
            // SAFETY: the caller's words. Relaxed: the ring saw them published, and checks afterwards that they are still there.
            let word = unsafe { self.word(at + done) }.load(Relaxed);
            // SAFETY: before the end of the caller's room.
            let target = unsafe { into.add(done) };
            // SAFETY: as above, eight of them, however they are aligned.
            unsafe { target.cast::<u64>().write_unaligned(word) };
            done += WORD;
        }
        if done < len {
            // SAFETY: the caller's words. Relaxed: as above.
            let last = unsafe { self.word(at + done) }.load(Relaxed).to_ne_bytes();
            // SAFETY: before the end of the caller's room.
            let target = unsafe { into.add(done) };
            // SAFETY: the rest of it, from a local array.
            unsafe { target.copy_from_nonoverlapping(last.as_ptr(), len - done) };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_and_alignment_survive_the_words() {
        let mut memory = vec![0_u64; 16];
        // SAFETY: the vector lives until the end, and nobody else uses it.
        let words = unsafe { Bytes::new(memory.as_mut_ptr().cast(), 128) };
        let bytes: Vec<u8> = (1..=101).collect();
        for len in 0..100 {
            for at in [0, 8, 24] {
                let mut copy = vec![0; len + 2];
                // SAFETY: 24 + 100 rounded up are at most 128, and both vectors are long enough.
                unsafe { words.store_words(at, bytes[1..].as_ptr(), len) };
                // SAFETY: as above.
                unsafe { words.load_words(at, copy[1..].as_mut_ptr(), len) };
                assert_eq!(copy[1..=len], bytes[1..=len]);
                assert_eq!((copy[0], copy[len + 1]), (0, 0));
            }
        }
    }
}
