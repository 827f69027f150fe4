//! The page that the members of a run share beside what is measured: where they meet, and how they end.
//!
//! # Safety
//! The page is mapped shared, zeroed when it is made, larger than [`Control`], and never unmapped or truncated. All fields
//! are atomic.

#![allow(unsafe_code, reason = "maps the page and refers to it")]

use anyhow::{Context as _, Result, bail};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::thread::futex::{self, Timespec};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A value with two cache lines of its own, so that no neighbour travels with it.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Apart<T>(pub T);

/// The page's words.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Control {
    /// Counts arrivals: at each meeting, one for each member.
    arrivals: Apart<AtomicU32>,
    /// 1 once a consumer has seen enough.
    stop: Apart<AtomicU32>,
    /// When consumers begin to count, in ticks.
    start: Apart<AtomicU64>,
    /// Producers that have sent everything.
    done: Apart<AtomicU32>,
    /// Consumers that have seen the end.
    ended: Apart<AtomicU32>,
    /// A word for each direction, for the probe and the bare limits.
    pub lanes: [Apart<AtomicU64>; 2],
    /// The same for those that sleep on the words.
    pub sleepers: [Apart<Sleeper>; 2],
    /// Room for a semaphore for each direction.
    pub semaphores: [Apart<[AtomicU64; SEMAPHORE / 8]>; 2],
}

/// A number, and a word to sleep on that changes with it.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Sleeper {
    /// The number.
    pub number: AtomicU64,
    /// The word.
    pub word: AtomicU32,
}

/// So long is the `sem_t` of a C library at most.
pub const SEMAPHORE: usize = 32;

/// Blocks of at most this size can be copied through the mapping.
pub const LARGEST_BLOCK: usize = 1 << 20;

/// Blocks of a [`Test::Copy`](crate::plan::Test::Copy) under way at a time.
pub const BLOCKS: usize = 4;

const AREA: usize = 4096;

/// So long a member waits for the others.
const PATIENCE: Duration = Duration::from_secs(10);

/// At most so many producers, and so many consumers.
pub const MEMBERS: usize = 8;

/// At most so many spans of time in which consumers count apart.
pub const BINS: usize = 1 << 13;

/// What the members of a crew report to the one among them that sums it up. They lie where blocks lie in other runs.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Tally {
    /// Messages that this producer sent.
    pub sent: AtomicU64,
    /// Messages of this producer that were received, by whomever.
    pub received: AtomicU64,
    /// The sum of their numbers, with wrapping.
    pub sum: AtomicU64,
    /// Messages that this consumer received in each span of time.
    pub bins: [AtomicU64; BINS],
}

/// The shared mapping: [`Control`], then room for copied blocks.
#[derive(Debug)]
pub struct Shared {
    mapping: memmap2::MmapRaw,
}

impl Shared {
    /// Makes the file.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn create() -> Result<OwnedFd> {
        let file = memfd_create("ringshm-bench", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, (AREA + BLOCKS * LARGEST_BLOCK) as u64)?;
        Ok(file)
    }

    /// Maps the file that [`create`](Self::create) made.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn map(file: &File) -> Result<Self> {
        Ok(Self { mapping: memmap2::MmapOptions::new().map_raw(file).context("mapping the control page")? })
    }

    /// The words.
    #[must_use]
    pub fn control(&self) -> &Control {
        const { assert!(size_of::<Control>() <= AREA) };
        // SAFETY: see the module; the mapping lives as long as `self`.
        unsafe { &*self.mapping.as_ptr().cast::<Control>() }
    }

    /// The members' reports: one for each producer, and for each consumer.
    #[must_use]
    pub fn tallies(&self) -> &[Tally; MEMBERS] {
        const { assert!(size_of::<[Tally; MEMBERS]>() <= BLOCKS * LARGEST_BLOCK) };
        // SAFETY: see the module; the area of the blocks is aligned to a page, and nobody copies blocks in such a run.
        unsafe { &*self.blocks().cast_const().cast::<[Tally; MEMBERS]>() }
    }

    /// Where the blocks begin. They may be written by both sides, so they are given as a pointer.
    #[must_use]
    pub fn blocks(&self) -> *mut u8 {
        self.mapping.as_mut_ptr().wrapping_add(AREA)
    }
}

impl Control {
    /// Waits until all members have come as often as this one. `nth` counts this member's meetings from 1. Two members have a core each
    /// and spin; more of them sleep, so that those that have not come get a core.
    ///
    /// # Errors
    /// If the others do not come within ten seconds.
    pub fn meet(&self, nth: u32, members: usize) -> Result<()> {
        let arrivals = &self.arrivals.0;
        let all = nth * members as u32;
        if arrivals.fetch_add(1, Release) + 1 == all && members > 2 {
            futex::wake(arrivals, futex::Flags::empty(), members as u32).context("waking those that came earlier")?;
        }
        let start = Instant::now();
        loop {
            let come = arrivals.load(Acquire);
            if come >= all {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("the others did not come to meeting {nth}");
            }
            if members > 2 {
                let limit = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
                // Woken, interrupted, too late to sleep, or late: it looks again in any case.
                let _ = futex::wait(arrivals, futex::Flags::empty(), come, Some(&limit));
            } else {
                core::hint::spin_loop();
            }
        }
    }

    /// Lets all consumers begin to count at this time, in ticks.
    pub fn count_from(&self, start: u64) {
        self.start.0.store(start, Release);
    }

    /// When consumers begin to count.
    pub fn start(&self) -> u64 {
        self.start.0.load(Acquire)
    }

    /// Says that a producer has sent everything. Returns whether it is the last of so many.
    pub fn is_last_of(&self, producers: usize) -> bool {
        self.done.0.fetch_add(1, AcqRel) + 1 == producers as u32
    }

    /// Says that a consumer has seen the end.
    pub fn end(&self) {
        self.ended.0.fetch_add(1, Release);
    }

    /// Whether a consumer has seen the end.
    pub fn has_ended(&self) -> bool {
        self.ended.0.load(Acquire) > 0
    }

    /// Waits until so many consumers have seen the end.
    pub fn wait_for_ended(&self, consumers: u32) {
        while self.ended.0.load(Acquire) < consumers {
            std::thread::yield_now();
        }
    }

    /// Asks the producers to end.
    pub fn stop(&self) {
        self.stop.0.store(1, Release);
    }

    /// Whether the producers were asked to end.
    #[inline(always)]
    pub fn is_stopped(&self) -> bool {
        self.stop.0.load(Acquire) == 1
    }
}
