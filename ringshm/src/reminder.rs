//! When tasks look although nobody has rung: at the same moments throughout the process, so that one wake-up of a processor serves all of them.

#![cfg_attr(not(feature = "async"), allow(dead_code, reason = "only tasks are reminded"))]

use ringshm_sync::doorbell::LONGEST_PARK;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two looks: each costs an idle processor a wake-up, and the thread that reminds is not always the one that looks.
const SHORTEST_LULL: Duration = LONGEST_PARK.saturating_mul(4);
/// What each of those who wait adds to it.
const LULL_EACH: Duration = Duration::from_micros(900);
/// The longest.
const LONGEST_LULL: Duration = Duration::from_millis(200);

/// From when the lulls are counted.
static START: OnceLock<Instant> = OnceLock::new();

/// How many there are to be reminded.
static COUNT: Mutex<u32> = Mutex::new(0);

fn count() -> MutexGuard<'static, u32> {
    // A number is never half changed.
    COUNT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of those who are to be reminded: the more there are, the seldomer.
#[derive(Debug)]
pub(crate) struct Reminded(());

impl Reminded {
    pub(crate) fn new() -> Self {
        *count() += 1;
        Self(())
    }
}

impl Drop for Reminded {
    fn drop(&mut self) {
        *count() -= 1;
    }
}

/// For tests: see [`never_remind`].
static NEVER: OnceLock<()> = OnceLock::new();

/// From now on only a ring wakes anybody.
pub(crate) fn never_remind() {
    NEVER.get_or_init(|| ());
}

/// When to look next, if nobody rings before. `None`: then never.
pub(crate) fn next_look() -> Option<Instant> {
    if NEVER.get().is_some() {
        return None;
    }
    let lull = SHORTEST_LULL.saturating_add(LULL_EACH.saturating_mul(*count())).min(LONGEST_LULL);
    mark(*START.get_or_init(Instant::now), Instant::now(), lull)
}

/// The end of the lull that `now` lies in.
fn mark(start: Instant, now: Instant, lull: Duration) -> Option<Instant> {
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).ok();
    let lull = nanoseconds(lull)?;
    let begun = nanoseconds(now.saturating_duration_since(start))? / lull;
    start.checked_add(Duration::from_nanos((begun + 1).checked_mul(lull)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_looks_at_the_same_moments_and_in_time() {
        let start = Instant::now();
        let at = |microseconds| start + Duration::from_micros(microseconds);
        let lull = Duration::from_micros(1000);
        for (now, next) in [(0, 1000), (1, 1000), (999, 1000), (1000, 2000), (123_456, 124_000)] {
            assert_eq!(mark(start, at(now), lull), Some(at(next)), "{now}");
        }
        // In a hundred years.
        assert!(mark(start, at(100 * 365 * 86_400_000_000), SHORTEST_LULL).is_some());
    }
}
