//! The model of the asymmetric barrier: a full fence on both sides, which is what the kernel makes of the two together.

use super::atomic::{Ordering, fence};
use std::cell::Cell;

std::thread_local! {
    // All threads of a model run on one thread of the system.
    static MEMBARRIER: Cell<bool> = const { Cell::new(true) };
}

/// Whether the modelled kernel has `membarrier`. Without it a ringer that believes in it fences nothing.
pub fn set_membarrier(present: bool) {
    MEMBARRIER.with(|cell| cell.set(present));
}

/// How this process runs the ringer's side of the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Light {
    registered: bool,
}

impl Light {
    /// The mode of a registered process.
    #[must_use]
    pub fn register() -> Self {
        Self { registered: true }
    }

    /// The mode of a process that could not register.
    #[must_use]
    pub const fn full() -> Self {
        Self { registered: false }
    }
}

/// The ringer's side.
pub fn light(mode: Light) {
    if !mode.registered || MEMBARRIER.with(Cell::get) {
        fence(Ordering::SeqCst);
    }
}

/// The sleeper's side. `false` if the modelled kernel has no `membarrier`.
#[must_use]
pub fn heavy() -> bool {
    fence(Ordering::SeqCst);
    MEMBARRIER.with(Cell::get)
}
