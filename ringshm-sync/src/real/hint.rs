//! What a thread tells the processor and the scheduler.
//!
//! # Safety
//! A prefetch never faults, whatever its address, and changes nothing that a program can see. On processors that lack one, it is a
//! no-operation.

#![allow(unsafe_code, reason = "prefetching for a write needs an instruction that the standard library does not offer")]

use core::hint::spin_loop;
pub use std::thread::yield_now;

/// Pauses so many times, without a look at shared memory.
#[inline]
pub fn pause(times: u32) {
    for _ in 0..times {
        spin_loop();
    }
}

/// Asks for the cache line at `address`, to be read soon.
#[inline(always)]
pub fn prefetch_to_read(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: see the module.
    unsafe {
        core::arch::asm!("prefetcht0 [{}]", in(reg) address.addr(), options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: see the module.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{}]", in(reg) address.addr(), options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// Asks for the cache line at `address`, to be written soon: takes it away from all other cores.
#[inline(always)]
pub fn prefetch_to_write(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: see the module.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) address.addr(), options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: see the module.
    unsafe {
        core::arch::asm!("prfm pstl1keep, [{}]", in(reg) address.addr(), options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
