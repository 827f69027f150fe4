//! Small messages travel with the cursor that announces them.
//!
//! ```text
//!   the first cache line of a producer's lane
//!   ┌──────────┬──────────┬──────────────────────────────┬──────────────────────────────┐
//!   │ cursor   │ (intent) │ copies at even positions     │ copies at odd positions      │
//!   └──────────┴──────────┴──────────────────────────────┴──────────────────────────────┘
//! ```
//!
//! A consumer that waits asks for the cursor's line until it has moved. If one message moved it, that line has the message in it too, and
//! a round trip takes one line each way instead of two. The slot is written as well: from there come batches, what a consumer finds
//! too late, and what a successor is handed out.
//!
//! **The contract.** Whoever publishes exactly one message of at most [`LONGEST`] bytes writes its copy before the cursor. Copies of other
//! publications are not read.
//!
//! **Why the copy is that message.** A consumer reads the copy of position h after it saw the cursor first at h and then at h + 1. Cursors only
//! grow, and a successor begins at the cursor of its predecessor; so one publication went from the one to the other, and it was of one
//! message. It wrote its copy before, all of it, whatever a predecessor killed at this place had left there: PUBLISH brings that copy or a
//! later one. The next one in the same place is of h + 2, whose producer writes it after the cursor was stored as h + 2, by itself or by a
//! predecessor (TAKEOVER). EXPRESS brings that cursor with any word of it. So a second look at the cursor that still shows h + 1 says that all
//! words are of h; after any other, the message is read from its slot, which stays as it is until it is released. With one place instead of two,
//! the copy of h + 1 would be written while the cursor shows h + 1.
//!
//! A hostile producer can make a wrong value, as in a slot.

use crate::layout::Lane;
use ringshm_sync::atomic::AtomicU64;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::crash;

/// The longest message that has a copy, in bytes: two copies and the words before them fill a cache line.
pub const LONGEST: usize = 8 * WORDS;

const WORDS: usize = 3;

/// Copies of the last two messages that their lane's owner published alone, by the lowest bit of their positions.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Express {
    copies: [[AtomicU64; WORDS]; 2],
}

/// A message as words, the last of them filled up.
pub(crate) type Words = [u64; WORDS];

impl Express {
    /// The words of a message of so many bytes at `position`.
    #[inline(always)]
    fn words(&self, position: u64, bytes: usize) -> &[AtomicU64] {
        &self.copies[(position & 1) as usize][..bytes.div_ceil(8)]
    }
}

/// Whether messages of so many bytes have copies.
#[inline(always)]
pub(crate) const fn carries(bytes: usize) -> bool {
    bytes <= LONGEST
}

/// Producer: lets a copy of the message at `position`, which has so many bytes, travel with the cursor. The caller moves that behind it next.
#[inline(always)]
pub(crate) fn put(own: &Lane, position: u64, bytes: usize, copy: Words) {
    for (word, part) in own.express.words(position, bytes).iter().zip(copy) {
        // EXPRESS: the cursor at `position` is visible to whoever sees this word.
        word.store(part, Release);
        crash::point("express.begun");
    }
}

/// Consumer: the copy of the message at `position`, which has so many bytes, if it is still there. The caller has seen the cursor move from
/// there by one.
#[inline(always)]
pub(crate) fn take(peer: &Lane, position: u64, bytes: usize) -> Option<Words> {
    let mut copy = [0; WORDS];
    for (part, word) in copy.iter_mut().zip(peer.express.words(position, bytes)) {
        // EXPRESS: if it is of a later message, the cursor looked at below is at that one, or beyond.
        *part = word.load(Acquire);
    }
    // Relaxed: the loads of the words order it.
    (peer.cursor.load(Relaxed) == position.wrapping_add(1)).then_some(copy)
}
