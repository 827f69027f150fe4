//! The clock of the measurements: the time stamp counter, which costs half of what the monotonic clock does.
//!
//! # Safety
//! Reading the counter has no precondition; the intrinsic is merely declared unsafe.

#![allow(unsafe_code, reason = "the intrinsic that reads the counter is an unsafe function")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Now, in ticks. The same for all cores and processes of a machine.
#[inline(always)]
#[must_use]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the counter, and Linux lets user space read it.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }
}

/// Ticks in a nanosecond, found by comparing the two clocks for five milliseconds at the first call.
pub fn per_nanosecond() -> f64 {
    static RATE: OnceLock<f64> = OnceLock::new();
    *RATE.get_or_init(|| {
        let (start, first) = (Instant::now(), ticks());
        while start.elapsed() < Duration::from_millis(5) {
            core::hint::spin_loop();
        }
        (ticks() - first) as f64 / start.elapsed().as_nanos() as f64
    })
}

/// A span of ticks in nanoseconds.
#[must_use]
pub fn nanoseconds(ticks: u64) -> f64 {
    ticks as f64 / per_nanosecond()
}

/// A span of nanoseconds in ticks.
#[must_use]
pub fn from_nanoseconds(nanoseconds: f64) -> u64 {
    (nanoseconds * per_nanosecond()) as u64
}

/// The processor time that this thread has used, in seconds.
#[must_use]
pub fn cpu_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}
