//! How a side waits that found its channel full, or empty.
//!
//! One that looks again at once takes the cache line away from the other side for every slot: the worst case of most rings. Where a rival
//! leaves the choice, it is measured with one pause between looks and with many, and may be judged by the better.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

/// Whether more than two share the two cores of this run. Then whoever waits gives its core away after it has paused.
static CROWD: AtomicBool = AtomicBool::new(false);

/// Says that this process plays in a run of more than two.
pub(crate) fn in_a_crowd() {
    // Relaxed: the threads of the run start later.
    CROWD.store(true, Relaxed);
}

/// How often a side pauses between two looks. A pause takes some twenty nanoseconds.
pub(super) trait Pausing: Send {
    const PAUSES: u32;
}

/// Looks again at once.
pub(super) struct Eager;

impl Pausing for Eager {
    const PAUSES: u32 = 1;
}

/// Leaves the other side alone for a while: a few microseconds, in which a batch comes together.
pub(super) struct Patient;

impl Pausing for Patient {
    const PAUSES: u32 = 128;
}

/// Lets some time pass after a look in vain.
#[inline]
fn pause<P: Pausing>() {
    for _ in 0..P::PAUSES {
        core::hint::spin_loop();
    }
    // Relaxed: see `in_a_crowd`.
    if CROWD.load(Relaxed) {
        std::thread::yield_now();
    }
}

/// Tries until it works, and pauses between.
#[inline(always)]
pub(super) fn until<P: Pausing, T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        pause::<P>();
    }
}

/// Sends until it is accepted. An attempt that fails gives the message back.
#[inline(always)]
pub(super) fn until_sent<P: Pausing, M>(message: M, mut attempt: impl FnMut(M) -> Result<(), M>) {
    let mut left = Some(message);
    until::<P, ()>(|| {
        left = attempt(left.take()?).err();
        left.is_none().then_some(())
    });
}
