//! How a participant waits: spinning, yielding, parking, or one after the other.

use crate::doorbell::Doorbell;
use crate::hint;
use crate::time::{Deadline, Stopwatch};
use core::time::Duration;

/// What a blocking call does until it can go on.
///
/// Spinning answers within a cache-line transfer and burns a core. Parking costs nothing while it waits, and some tens of
/// microseconds to be woken on another core. A waiting participant that spins never touches what its peer writes with
/// every message except by reading it; the peer makes no system call for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Spin for ever. For a thread with a core of its own.
    Spin,
    /// Spin for as long as given, then give the core away at every look. For cores shared with other busy threads.
    SpinThenYield(Duration),
    /// Spin for as long as given, then sleep until the peer rings. The default, with [`Wait::BUDGET`].
    SpinThenPark(Duration),
    /// Sleep at once until the peer rings.
    Park,
}

impl Wait {
    /// How long the default strategy spins before it parks: about the cost of being woken from a park, so that waiting
    /// never costs more than twice what the better of spinning and parking would have.
    pub const BUDGET: Duration = Duration::from_micros(50);
}

impl Default for Wait {
    fn default() -> Self {
        Self::SpinThenPark(Self::BUDGET)
    }
}

/// The deadline of a wait has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// How many looks go by between two readings of the clock while spinning.
const LOOKS_PER_READING: u32 = 32;

/// One wait: between two looks at what it waits for, the caller calls [`pause`](Self::pause).
///
/// ```text
/// loop {
///     if ready() { break }
///     waiter.pause(bell)?;
/// }
/// waiter.finish(bell);
/// ```
#[derive(Debug)]
pub struct Waiter {
    strategy: Wait,
    deadline: Deadline,
    looks: u32,
    spinning_since: Option<Stopwatch>,
    spun_out: bool,
    announced: bool,
}

impl Waiter {
    /// Begins a wait that ends at `deadline`.
    #[must_use]
    pub fn new(strategy: Wait, deadline: Deadline) -> Self {
        let spun_out = matches!(strategy, Wait::Park);
        Self { strategy, deadline, looks: 0, spinning_since: None, spun_out, announced: false }
    }

    /// Whether this is a moment for the costlier looks too (is the peer still there?): every one of them except while
    /// spinning, then one in 32.
    #[must_use]
    pub fn is_unhurried(&self) -> bool {
        self.spun_out || self.looks % LOOKS_PER_READING == LOOKS_PER_READING - 1
    }

    /// Lets some time go by. `bell` is the waiting participant's own.
    ///
    /// The first call of the parking phase only announces the sleep and returns, so that the caller looks once more; the
    /// next one parks.
    ///
    /// # Errors
    /// [`TimedOut`] once the deadline has passed. The announcement is already withdrawn then.
    pub fn pause(&mut self, bell: &Doorbell) -> Result<(), TimedOut> {
        let unhurried = self.is_unhurried();
        self.looks = self.looks.wrapping_add(1);
        if unhurried && self.deadline.is_over() {
            self.finish(bell);
            return Err(TimedOut);
        }
        if !self.spun_out {
            hint::spin_loop();
            if unhurried {
                self.spun_out = self.budget_is_spent();
            }
            return Ok(());
        }
        match self.strategy {
            Wait::Spin | Wait::SpinThenYield(_) => hint::yield_now(),
            Wait::SpinThenPark(_) | Wait::Park if self.announced => {
                bell.park(self.deadline);
                self.announced = false;
            }
            Wait::SpinThenPark(_) | Wait::Park => {
                bell.announce();
                self.announced = true;
            }
        }
        Ok(())
    }

    fn budget_is_spent(&mut self) -> bool {
        match self.strategy {
            Wait::Spin => false,
            Wait::Park => true,
            Wait::SpinThenYield(budget) | Wait::SpinThenPark(budget) => {
                self.spinning_since.get_or_insert_with(Stopwatch::start).has_run(budget)
            }
        }
    }

    /// Ends the wait: takes back an announcement that nobody answered.
    pub fn finish(&mut self, bell: &Doorbell) {
        if self.announced {
            bell.withdraw();
            self.announced = false;
        }
    }
}
