//! Noticing that a handle came into this process through `fork`.
//!
//! A forked child shares the parent's open file descriptions, so it keeps the parent's locks, and it shares the mapping: two
//! processes with one role. The child's handles must therefore refuse to work. `getpid` is a system call, so a counter
//! is kept instead, which the C library raises in every child.
//!
//! # Safety
//! The registered function does one atomic addition, which is all that POSIX allows between `fork` and `exec`.

#![allow(unsafe_code, reason = "pthread_atfork")]

use ringshm_sync::atomic::AtomicU32;
use ringshm_sync::atomic::Ordering::Relaxed;
use std::sync::Once;

static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_fork() {
    // Relaxed: the child has one thread.
    let forks = FORKS.load(Relaxed);
    // Relaxed: as above.
    FORKS.store(forks.wrapping_add(1), Relaxed);
}

/// The process in which a handle was opened. A process made by a bare `clone` system call, behind the C library's back,
/// is not told apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birthplace {
    forks: u32,
}

impl Birthplace {
    pub(crate) fn here() -> Self {
        static REGISTER: Once = Once::new();
        REGISTER.call_once(|| {
            // SAFETY: the handler is async-signal-safe, see the module. If memory for it is short, forks go unnoticed.
            let _ = unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        });
        // Relaxed: only a fork changes it, and then this thread is the only one.
        Self { forks: FORKS.load(Relaxed) }
    }

    #[inline(always)]
    pub(crate) fn is_elsewhere(self) -> bool {
        // Relaxed: as above.
        FORKS.load(Relaxed) != self.forks
    }
}
