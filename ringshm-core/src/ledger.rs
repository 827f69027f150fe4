//! How many messages a cursor stands for.
//!
//! A cursor of a record ring counts bytes. To resume a stream after a kill one must know how many *messages* those bytes
//! were, exactly, whatever instruction the owner died at; and the cursor is one word, so the count cannot be published
//! with it. So the owner keeps the last two marks, `(position, count)`, and writes the mark of the position it is about to
//! publish before it publishes it. Wherever the cursor stands, its mark is there:
//!
//! ```text
//!   marks    (p1, n1) (p2, n2)     (p3, n3) (p2, n2)     (p3, n3) (p2, n2)
//!   cursor    p2               →    p2               →    p3
//! ```

use ringshm_sync::atomic::AtomicU64;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::crash;

/// The last two marks of a lane's owner.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Ledger {
    marks: [Mark; 2],
}

/// A position and the number of messages before it.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Mark {
    pub(crate) position: AtomicU64,
    pub(crate) count: AtomicU64,
}

/// The owner's side: which of the two marks comes next, and how many messages there have been.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    next: usize,
}

/// A position where no record can end.
const NOWHERE: u64 = u64::MAX;

/// How often a reader tries again while the owner is publishing.
const ATTEMPTS: u32 = if cfg!(loom) { 3 } else { 64 };

impl Tally {
    /// For a lane whose new owner begins anew, wherever the last one stopped.
    pub(crate) fn new(count: u64) -> Self {
        Self { count, next: 0 }
    }
}

impl Ledger {
    /// Before the ring has participants: no messages before `origin`.
    pub(crate) fn initialise(&self, origin: u64) {
        // Relaxed: nobody else sees the memory yet.
        self.marks[0].position.store(origin, Relaxed);
        // Relaxed: as above. No cursor is there: left at zero, this mark would pass for one of the origin while the first
        // publication is half marked.
        self.marks[1].position.store(NOWHERE, Relaxed);
    }

    /// Takes the ledger over: where `cursor` stands in it. `None` if nowhere, which no correct owner leaves behind.
    pub(crate) fn resume(&self, cursor: u64) -> Option<Tally> {
        let (index, count) = self.find(cursor)?;
        Some(Tally { count, next: 1 - index })
    }

    /// Owner: marks `position` with the tally's count. The caller publishes `position` next.
    #[inline(always)]
    pub(crate) fn mark(&self, tally: &mut Tally, position: u64) {
        let mark = &self.marks[tally.next];
        // MARK: a reader that sees this count also sees the cursor published before it, and so drops what it read.
        mark.count.store(tally.count, Release);
        crash::point("ledger.half_marked");
        // Relaxed: the cursor's own PUBLISH or RELEASE carries both words to whoever reads the new cursor.
        mark.position.store(position, Relaxed);
        tally.next = 1 - tally.next;
    }

    fn find(&self, cursor: u64) -> Option<(usize, u64)> {
        self.marks.iter().enumerate().find_map(|(index, mark)| {
            // Relaxed: at least as new as the cursor that was loaded before; a newer one does not match.
            let position = mark.position.load(Relaxed);
            // MARK: if it is of a later mark, the cursor read after it is later too.
            let count = mark.count.load(Acquire);
            (position == cursor).then_some((index, count))
        })
    }

    /// The number of messages before a cursor, read while its owner may be publishing. `None` if the owner was faster
    /// than the reader for many attempts, or if the ledger is damaged.
    #[must_use]
    pub fn count(&self, cursor: &AtomicU64) -> Option<(u64, u64)> {
        (0..ATTEMPTS).find_map(|_| {
            // PUBLISH, RELEASE: the marks as of this cursor, or later ones.
            let before = cursor.load(Acquire);
            let (_, count) = self.find(before)?;
            // Relaxed: the loads of the mark order it.
            (cursor.load(Relaxed) == before).then_some((before, count))
        })
    }
}
