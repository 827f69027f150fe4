//! The page that the two sides of a run share beside what is measured: where they meet, and how they end.
//!
//! # Safety
//! The page is mapped shared, zeroed when it is made, larger than [`Control`], and never unmapped or truncated. All fields
//! are atomic.

#![allow(unsafe_code, reason = "maps the page and refers to it")]

use anyhow::{Context as _, Result, bail};
use core::sync::atomic::Ordering::{Acquire, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
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
    /// Counts arrivals: two for each meeting.
    arrivals: Apart<AtomicU32>,
    /// 1 once the consumer has seen enough.
    stop: Apart<AtomicU32>,
    /// A word for each direction, for the probe and the bare limits.
    pub lanes: [Apart<AtomicU64>; 2],
    /// The same for those that sleep on the words.
    pub sleepers: [Apart<AtomicU32>; 2],
}

/// Blocks of at most this size can be copied through the mapping.
pub const LARGEST_BLOCK: usize = 1 << 20;

/// Blocks of a [`Test::Copy`](crate::plan::Test::Copy) under way at a time.
pub const BLOCKS: usize = 4;

const AREA: usize = 4096;

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

    /// Where the blocks begin. They may be written by both sides, so they are given as a pointer.
    #[must_use]
    pub fn blocks(&self) -> *mut u8 {
        self.mapping.as_mut_ptr().wrapping_add(AREA)
    }
}

impl Control {
    /// Waits until both sides have come as often as this one. `nth` counts this side's meetings from 1.
    ///
    /// # Errors
    /// If the other side does not come within ten seconds.
    pub fn meet(&self, nth: u32) -> Result<()> {
        self.arrivals.0.fetch_add(1, Release);
        let start = Instant::now();
        while self.arrivals.0.load(Acquire) < 2 * nth {
            if start.elapsed() > Duration::from_secs(10) {
                bail!("the other side did not come to meeting {nth}");
            }
            core::hint::spin_loop();
        }
        Ok(())
    }

    /// Asks the producer to end.
    pub fn stop(&self) {
        self.stop.0.store(1, Release);
    }

    /// Whether the producer was asked to end.
    #[inline(always)]
    pub fn is_stopped(&self) -> bool {
        self.stop.0.load(Acquire) == 1
    }
}
