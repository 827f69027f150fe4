//! The asymmetric barrier: the side that runs for every message pays nothing, the side about to sleep pays for both.
//!
//! Both sides of a doorbell store one word and then load another, and neither load may be taken before its store: the
//! store-load order that only a full fence gives. A full fence costs about 5 ns, twice what a small message does. So the
//! ringer uses [`light`], which only stops the compiler, and the sleeper uses [`heavy`], which makes the kernel run a
//! full fence on every processor that executes a registered process (`membarrier(2)`, global expedited).
//!
//! A ringer whose process could not register runs a full fence itself ([`Light::register`] says which it is). A sleeper
//! that cannot call `membarrier` must ask its ringers to do so: [`heavy`] returns `false`, see
//! [`Doorbell`](crate::doorbell::Doorbell).

use super::atomic::{Ordering, compiler_fence, fence};
use rustix::thread::{MembarrierCommand, membarrier};

/// How this process runs the ringer's side of the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Light {
    registered: bool,
}

impl Light {
    /// Registers the process with the kernel, and says what came of it.
    ///
    /// The first call of a process may take some milliseconds (the kernel waits for a grace period); a later one finds it
    /// done. Nothing is remembered here, because a forked child would inherit the memory and perhaps not the registration. Where the kernel
    /// refuses (older than 4.16, or a seccomp filter), [`light`] runs a full fence instead.
    #[must_use]
    pub fn register() -> Self {
        Self { registered: membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok() }
    }

    /// A barrier that is a full fence, whatever the kernel offers: for a ringer that was asked to fence, or rings so seldom
    /// that it need not know.
    #[must_use]
    pub const fn full() -> Self {
        Self { registered: false }
    }
}

/// The ringer's side: orders the stores before it against the loads after it, as seen by a thread that ran [`heavy`].
#[inline(always)]
pub fn light(mode: Light) {
    if mode.registered {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The sleeper's side: a full fence here, and on every processor that now runs a registered process.
///
/// Returns `false` if the kernel could not do the second part. Then only ringers that run a full fence themselves are
/// ordered against this call.
#[cold]
#[must_use]
pub fn heavy() -> bool {
    fence(Ordering::SeqCst);
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}
