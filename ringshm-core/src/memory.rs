//! The seam between the rings and where they lie: control words, lanes and data, on the heap or in a mapped segment.
//!
//! # Safety
//! A `Memory` owns what its pointers point to, until it is dropped; all words are atomics, and the data area is reached
//! through [`Bytes`] only.

#![allow(unsafe_code, reason = "pointers into memory that this file owns")]

use crate::geometry::DATA_ALIGN;
use crate::lanes::Locks;
use crate::layout::{Control, Geometry, Kind, Lane, Lobby, MAX_PAYLOAD_ALIGN, Wakeup};
use core::ptr::NonNull;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::cell::Bytes;
use std::sync::Arc;

/// One participant's view of a ring's memory.
#[derive(Debug)]
pub struct Memory {
    geometry: Geometry,
    control: NonNull<Control>,
    lobby: NonNull<Lobby>,
    lanes: NonNull<Lane>,
    data: Bytes,
    /// Of frames whose pixels are in an object of their own: that object.
    pool: Option<Pool>,
    pub(crate) locks: Locks,
    backing: Backing,
}

/// An object that holds the pixels of a frame ring, and nothing else.
#[derive(Debug)]
pub(crate) struct Pool {
    bytes: Bytes,
    #[cfg(not(loom))]
    segment: crate::os::segment::Segment,
}

/// Keeps the pointers of a [`Memory`] valid.
#[derive(Debug)]
enum Backing {
    /// Allocated here, freed on drop: for participants in one process.
    Heap(NonNull<[Line]>),
    /// A mapped segment, whose drop unmaps it.
    #[cfg(not(loom))]
    Segment(crate::os::segment::Segment),
}

/// Heap memory in the largest alignment that a payload may ask for. Small, because it passes over the stack.
#[derive(Clone, Copy)]
#[repr(C, align(128))]
struct Line([u8; MAX_PAYLOAD_ALIGN]);

// SAFETY: the pointers lead to atomics and to `Bytes`, which are `Sync`, and the backing moves with them.
unsafe impl Send for Memory {}
// SAFETY: as for `Send`: nothing is reached through `&Memory` but atomics, `Bytes`, and locks that are calls.
unsafe impl Sync for Memory {}

impl Memory {
    /// A ring's memory on the heap, for participants that are threads of this process.
    #[must_use]
    pub fn on_heap(geometry: Geometry) -> Arc<Self> {
        let control = Box::leak(Box::<Control>::default()).into();
        let lobby = Box::leak(Box::<Lobby>::default()).into();
        let lanes: Box<[Lane]> = (0..geometry.lanes()).map(|_| Lane::default()).collect();
        let lanes = NonNull::from(Box::leak(lanes)).cast();
        // Pixels begin on a page, as in a segment.
        let page = if geometry.kind == Kind::Frames && !cfg!(loom) { DATA_ALIGN as usize } else { 1 };
        let lines = vec![Line([0; MAX_PAYLOAD_ALIGN]); (geometry.data_len() + page - 1).div_ceil(size_of::<Line>())];
        let lines = NonNull::from(Box::leak(lines.into_boxed_slice()));
        let base = lines.cast::<u8>().as_ptr();
        let base = base.wrapping_byte_add(base.addr().next_multiple_of(page) - base.addr());
        // SAFETY: `lines` covers the data area, is initialised, and is freed when this `Memory` is dropped.
        let data = unsafe { Bytes::new(base, geometry.data_len()) };
        let locks = Locks::within_process(geometry.lanes());
        let memory = Self { geometry, control, lobby, lanes, data, pool: None, locks, backing: Backing::Heap(lines) };
        memory.initialise();
        Arc::new(memory)
    }

    /// A ring's memory in a mapped segment.
    ///
    /// # Safety
    /// `geometry` must describe the mapped object and have been validated against its size.
    #[cfg(not(loom))]
    pub(crate) unsafe fn in_segment(geometry: Geometry, segment: crate::os::segment::Segment) -> Self {
        let base = segment.base();
        // SAFETY: the caller validated that the object has room for what `geometry` describes, control words included.
        let control = unsafe { base.add(crate::layout::CONTROL_AT) }.cast();
        let lobby = segment.lobby().cast();
        // SAFETY: as above; the lanes begin inside the object, on a multiple of their alignment in a page-aligned mapping.
        let lanes = unsafe { base.add(geometry.lanes_at as usize) }.cast();
        // SAFETY: as above; the data area lies inside the object.
        let data = unsafe { base.add(geometry.data_at as usize) };
        // SAFETY: the bytes are mapped until the segment, which this value owns, is dropped.
        let data = unsafe { Bytes::new(data.as_ptr(), geometry.data_len()) };
        let locks = Locks::of_object(&segment);
        Self { geometry, control, lobby, lanes, data, pool: None, locks, backing: Backing::Segment(segment) }
    }

    /// Of a frame ring whose pixels are in an object of their own: with that object, which has the size that the geometry asks for.
    #[cfg(not(loom))]
    pub(crate) fn with_pool(mut self, segment: crate::os::segment::Segment) -> Self {
        assert_eq!(segment.size(), self.geometry.pool_len(), "a pool of another size");
        // SAFETY: mapped until the segment, which the pool owns, is dropped.
        let bytes = unsafe { Bytes::new(segment.base().as_ptr(), self.geometry.pool_len() as usize) };
        self.pool = Some(Pool { bytes, segment });
        self
    }

    /// Before anybody else sees the memory: all cursors and their ledgers at the origin.
    pub(crate) fn initialise(&self) {
        match self.geometry.kind {
            Kind::MpmcSlots | Kind::MpmcBytes => crate::mpmc::initialise(self),
            Kind::BroadcastRecords => crate::broadcast::initialise(self),
            Kind::Latest => crate::latest::initialise(self),
            Kind::Frames => crate::frames::initialise(self),
            Kind::SpscSlots | Kind::SpscRecords | Kind::BroadcastSlots => {}
            // Their words begin at zero.
            Kind::Mutex | Kind::RwLock | Kind::Condvar | Kind::Barrier | Kind::Once => {}
        }
        for index in 0..self.geometry.lanes() {
            let lane = self.lane(index);
            // Relaxed: nobody else sees the memory yet.
            lane.cursor.store(self.geometry.origin, Relaxed);
            // Relaxed: as above.
            lane.reach.store(self.geometry.origin, Relaxed);
            // Relaxed: as above.
            lane.counters.begun.store(self.geometry.origin, Relaxed);
            lane.ledger.initialise(self.geometry.origin);
            if self.geometry.wakeup == Wakeup::Semaphore {
                lane.presence.semaphore.reset();
            }
            let intent = if self.geometry.kind.is_mpmc() {
                crate::mpmc::Claim::nothing(self.geometry.origin).word()
            } else {
                self.geometry.origin
            };
            // Relaxed: as above.
            lane.intent.store(intent, Relaxed);
        }
    }

    /// Before anybody else sees the memory: what the data area begins with.
    pub(crate) fn fill(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.data.len(), "more than the data area");
        // SAFETY: nobody else sees the memory yet, and it has room.
        let target = unsafe { self.data.write(0, bytes.len()) };
        // SAFETY: the caller's bytes on one side, as much of the data area on the other.
        unsafe { target.as_mut_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Where everything lies.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The words of the segment as a whole.
    #[must_use]
    pub fn control(&self) -> &Control {
        // SAFETY: valid as long as `self`; only atomics behind it.
        unsafe { self.control.as_ref() }
    }

    /// The page that every reader may write.
    #[must_use]
    pub fn lobby(&self) -> &Lobby {
        // SAFETY: valid as long as `self`; only atomics behind it.
        unsafe { self.lobby.as_ref() }
    }

    /// The lane with that index: producers first.
    ///
    /// # Panics
    /// If there is no such lane; indices come from the geometry, not from shared memory.
    #[must_use]
    pub fn lane(&self, index: usize) -> &Lane {
        assert!(index < self.geometry.lanes(), "lane {index} of {}", self.geometry.lanes());
        // SAFETY: checked just now.
        let lane = unsafe { self.lanes.add(index) };
        // SAFETY: valid as long as `self`; only atomics behind it.
        unsafe { lane.as_ref() }
    }

    /// The data area.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The pixels of frames, where they are an object of their own.
    pub(crate) fn pool(&self) -> Option<&Bytes> {
        self.pool.as_ref().map(|pool| &pool.bytes)
    }

    /// Where the messages are: the segment, or the object of the pixels, where they have one.
    #[cfg(not(loom))]
    pub(crate) fn data_segment(&self) -> Option<&crate::os::segment::Segment> {
        self.pool.as_ref().map(|pool| &pool.segment).or(self.segment())
    }

    /// Whether another process may map these bytes, and so may write anything into them at any time.
    #[must_use]
    pub fn is_shared_with_processes(&self) -> bool {
        !matches!(self.backing, Backing::Heap(_))
    }

    /// The segment, if this is one.
    #[cfg(not(loom))]
    pub(crate) fn segment(&self) -> Option<&crate::os::segment::Segment> {
        match &self.backing {
            Backing::Heap(_) => None,
            Backing::Segment(segment) => Some(segment),
        }
    }

    /// The segment, if this is one, to give it a name.
    #[cfg(not(loom))]
    pub(crate) fn segment_mut(&mut self) -> Option<&mut crate::os::segment::Segment> {
        match &mut self.backing {
            Backing::Heap(_) => None,
            Backing::Segment(segment) => Some(segment),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match &self.backing {
            Backing::Heap(lines) => {
                // SAFETY: leaked by `on_heap`, and nobody has a pointer to it after this.
                drop(unsafe { Box::from_raw(lines.as_ptr()) });
                // SAFETY: as above.
                drop(unsafe { Box::from_raw(self.control.as_ptr()) });
                // SAFETY: as above.
                drop(unsafe { Box::from_raw(self.lobby.as_ptr()) });
                let lanes = NonNull::slice_from_raw_parts(self.lanes, self.geometry.lanes());
                // SAFETY: as above; the slice is the one that was leaked.
                drop(unsafe { Box::from_raw(lanes.as_ptr()) });
            }
            #[cfg(not(loom))]
            Backing::Segment(_) => {}
        }
    }
}
