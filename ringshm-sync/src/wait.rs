//! How a participant waits: spinning, yielding, parking, or one after the other.

use crate::doorbell::end_of_park;
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
    /// Spin for ever. For a thread with a core of its own. Makes no system call; but a handle asks the kernel now and then whether its
    /// peers are alive, unless its builder was told to leave that to others (`OnDeath::LeaveToOthers`).
    Spin,
    /// Spin for as long as given, then give the core away at every look. For cores shared with other busy threads. With zero, give it away
    /// at once: the best for the readers of a broadcast ring and their producer. Many producers and consumers of one MPMC ring do better with a
    /// microsecond.
    SpinThenYield(Duration),
    /// Spin for as long as given, then sleep until the peer rings. The default, with [`Wait::BUDGET`]. After a few waits that took
    /// more than one and a half times as long, spin for a sixteenth of it only, until one did not: where messages are rare, spinning helps nobody.
    SpinThenPark(Duration),
    /// Sleep at once until the peer rings.
    Park,
}

impl Wait {
    /// How long the default strategy spins before it parks: about the cost of being woken from a park, so that waiting
    /// never costs more than twice what the better of spinning and parking would have.
    pub const BUDGET: Duration = Duration::from_micros(50);

    /// Lets somebody else go on who is in the middle of something and stands in the caller's way: gives the core away, unless the
    /// caller has one of its own.
    pub fn give_way(self) {
        match self {
            Self::Spin => hint::pause(PAUSES_PER_READING),
            Self::SpinThenYield(_) | Self::SpinThenPark(_) | Self::Park => hint::yield_now(),
        }
    }
}

impl Default for Wait {
    fn default() -> Self {
        Self::SpinThenPark(Self::BUDGET)
    }
}

/// What a participant sleeps on.
pub trait Bell {
    /// Says that the caller is about to sleep. It must look again at what it waits for before it parks. Returns a ticket for the park.
    fn announce(&self) -> u32;

    /// Sleeps until rung, or `deadline`, which is soon ([`LONGEST_PARK`](crate::doorbell::LONGEST_PARK)); returns at once if somebody rang since the
    /// ticket was given. Look again afterwards: it may have been none of them.
    fn park(&self, ticket: u32, deadline: Deadline);

    /// Takes an announcement back.
    fn withdraw(&self);
}

/// The deadline of a wait has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl core::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("nothing came within the time given: wait longer, or find out why it is late")
    }
}

impl core::error::Error for TimedOut {}

/// How many pauses go by between two readings of the clock while spinning: about a microsecond.
const PAUSES_PER_READING: u32 = 64;

/// What a participant has exchanged with its peer when a wait begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchanged {
    count: u64,
    by_batches: bool,
}

impl Exchanged {
    /// So many messages, ever, each by a call of its own.
    #[must_use]
    pub const fn one_by_one(count: u64) -> Self {
        Self { count, by_batches: false }
    }

    /// So many messages, ever, many of them by one call.
    #[must_use]
    pub const fn by_batches(count: u64) -> Self {
        Self { count, by_batches: true }
    }

    /// Whether many of them move by one call.
    #[must_use]
    pub const fn is_by_batches(self) -> bool {
        self.by_batches
    }
}

/// What a participant learned from its last waits about the pace of its peer: when to look again.
///
/// Each look at a word that the peer writes takes its cache line away from the peer, which must fetch it back before it can
/// go on. So looks are dear, and the dearer, the further apart the two cores are; and late looks are late.
///
/// * **While the peer streams**, a side that ran out is patient before it even looks: a batch comes together, for one look. Without this
///   both sides run at the pace at which a line travels to and fro for every message or two, five times as slow. A peer streams
///   while one and a half messages or more are exchanged between two waits on average: who exchanges single messages is never
///   patient. Nor is who exchanged a large batch by one call, or half the ring since its last look: it has looked seldom enough.
/// * **Before it parks**, a side spins as [`Wait::SpinThenPark`] says: hardly, where spinning has not helped lately.
/// * **Between looks** half as long goes by as the last short waits took. So an answer that always takes about the same time is found at
///   the second look, whether the peer is 50 or 300 ns away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Sixteenths of a message exchanged between two waits, on average over some eight waits.
    batch: u32,
    /// Sixteenths of a pause between two looks.
    gap: u32,
    /// Messages exchanged when the last wait began.
    count: u64,
    /// Where in the ring that was.
    position: u64,
    /// Waits in a row that took more than one and a half times their budget.
    long_waits: u32,
}

impl Pace {
    /// Pauses before the first look at a peer that streams: some 500 ns. With 8, the two sides do not get apart; with 64, the ring
    /// fills, and the peer waits too.
    const PATIENCE: u32 = 24;
    /// Messages after which a side that moves them by batches is not patient.
    const LARGE_BATCH: u64 = 48;
    /// The average batch of a stream.
    const STREAM: u32 = 24;
    /// More messages between two waits count as this many, so that the end of a stream is noticed after a dozen waits.
    const MOST_COUNTED: u64 = 4;
    /// The longest gap between two looks, in pauses.
    const LONGEST_GAP: u32 = 10;
    /// Waits longer than this many pauses say nothing of how far away the peer is.
    const SHORT_WAIT: u32 = 64;

    /// Long waits after which spinning is cut short.
    const LONG_WAITS: u32 = 3;
    /// What is left of the budget then.
    const SHARE_LEFT: u32 = 16;

    /// Before the first wait.
    #[must_use]
    pub const fn new() -> Self {
        Self { batch: 16, gap: 2 * 16, count: 0, position: 0, long_waits: 0 }
    }

    /// A wait begins, at a position of a ring that has `capacity` of them. Lets some time go by if the peer streams.
    pub fn begin(&mut self, exchanged: Exchanged, position: u64, capacity: u64, strategy: Wait) {
        if self.is_worth_patience(exchanged, position, capacity) && strategy != Wait::Park {
            hint::pause(Self::PATIENCE);
        }
    }

    fn is_worth_patience(&mut self, exchanged: Exchanged, position: u64, capacity: u64) -> bool {
        let since = exchanged.count.wrapping_sub(self.count);
        let went = position.wrapping_sub(self.position);
        (self.count, self.position) = (exchanged.count, position);
        self.batch += 2 * since.min(Self::MOST_COUNTED) as u32;
        self.batch -= self.batch / 8;
        let has_looked_seldom = went >= capacity / 2 || exchanged.by_batches && since >= Self::LARGE_BATCH;
        self.is_stream() && !has_looked_seldom
    }

    fn is_stream(&self) -> bool {
        self.batch >= Self::STREAM
    }

    /// How long to spin of a budget.
    fn spin(&self, budget: Duration) -> Duration {
        if self.long_waits < Self::LONG_WAITS { budget } else { budget / Self::SHARE_LEFT }
    }

    /// A wait with this budget took so long.
    fn took(&mut self, budget: Duration, time: Duration) {
        let is_long = time > budget.saturating_add(budget / 2);
        self.long_waits = if is_long { (self.long_waits + 1).min(Self::LONG_WAITS) } else { 0 };
    }

    /// The wait is over, and was not in vain.
    pub fn end(&mut self, waiter: &Waiter) {
        if let Wait::SpinThenPark(budget) = waiter.strategy {
            // The clock is not read again for a wait that spinning answered: that would be late for its message.
            let start = waiter.spinning_since.filter(|_| waiter.spun_out);
            self.took(budget, start.map_or(Duration::ZERO, |start| start.elapsed()));
        }
        let pauses = waiter.pauses;
        if !self.is_stream() && !waiter.spun_out && (1..Self::SHORT_WAIT).contains(&pauses) {
            let half = (pauses * 16 / 2).clamp(16, Self::LONGEST_GAP * 16);
            self.gap = (3 * self.gap + half) / 4;
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

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
    /// How long it spins before it does something else.
    spin: Duration,
    /// Pauses between two looks.
    gap: u32,
    /// Pauses so far, while spinning.
    pauses: u32,
    /// Of these, those since the clock was read.
    unread: u32,
    spinning_since: Option<Stopwatch>,
    spun_out: bool,
    /// The ticket of an announced sleep.
    announced: Option<u32>,
    /// How often it has slept.
    parks: u32,
}

impl Waiter {
    /// Begins a wait that ends at `deadline`.
    #[must_use]
    pub fn new(strategy: Wait, deadline: Deadline, pace: &Pace) -> Self {
        let spin = match strategy {
            Wait::Spin => Duration::MAX,
            Wait::SpinThenYield(budget) => budget,
            Wait::SpinThenPark(budget) => pace.spin(budget),
            Wait::Park => Duration::ZERO,
        };
        Self {
            strategy,
            deadline,
            spin,
            gap: (pace.gap + 8) / 16,
            pauses: 0,
            unread: 0,
            spinning_since: None,
            spun_out: spin.is_zero(),
            announced: None,
            parks: 0,
        }
    }

    /// Whether this is a moment for the costlier looks too (is the peer still there?): every one of them except while
    /// spinning, then about one in a microsecond.
    #[must_use]
    pub fn is_unhurried(&self) -> bool {
        self.spun_out || self.unread >= PAUSES_PER_READING
    }

    /// Lets some time go by. `bell` is the waiting participant's own.
    ///
    /// The first call of the parking phase only announces the sleep and returns, so that the caller looks once more; the
    /// next one parks.
    ///
    /// # Errors
    /// [`TimedOut`] once the deadline has passed. The announcement is already withdrawn then.
    pub fn pause(&mut self, bell: &impl Bell) -> Result<(), TimedOut> {
        let unhurried = self.is_unhurried();
        if unhurried && self.deadline.is_over() {
            self.finish(bell);
            return Err(TimedOut);
        }
        if !self.spun_out {
            hint::pause(self.gap);
            self.pauses = self.pauses.saturating_add(self.gap);
            self.unread += self.gap;
            if unhurried {
                self.unread = 0;
                self.spun_out = self.budget_is_spent();
            }
            return Ok(());
        }
        match self.strategy {
            Wait::Spin | Wait::SpinThenYield(_) => hint::yield_now(),
            Wait::SpinThenPark(_) | Wait::Park => match self.announced.take() {
                Some(ticket) => {
                    bell.park(ticket, end_of_park(self.parks, self.deadline));
                    self.parks = self.parks.saturating_add(1);
                }
                None => self.announced = Some(bell.announce()),
            },
        }
        Ok(())
    }

    fn budget_is_spent(&mut self) -> bool {
        self.strategy != Wait::Spin && self.spinning_since.get_or_insert_with(Stopwatch::start).has_run(self.spin)
    }

    /// Ends the wait: takes back an announcement that nobody answered.
    pub fn finish(&mut self, bell: &impl Bell) {
        if self.announced.take().is_some() {
            bell.withdraw();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::doorbell::{Doorbell, LONGEST_IDLE_PARK, LONGEST_PARK, SHORT_PARKS};

    fn after(batches: impl IntoIterator<Item = u64>) -> Pace {
        let mut pace = Pace::new();
        let mut count = 0;
        for batch in batches {
            count += batch;
            pace.is_worth_patience(Exchanged::one_by_one(count), count, 1024);
        }
        pace
    }

    #[test]
    fn who_has_looked_seldom_is_not_patient() {
        let singles =
            |since: u64| after([4; 20]).is_worth_patience(Exchanged::one_by_one(80 + since), 80 + since, 1024);
        assert!(singles(511));
        assert!(!singles(512));
        let batches =
            |since: u64| after([4; 20]).is_worth_patience(Exchanged::by_batches(80 + since), 80 + since, 1024);
        assert!(batches(47));
        assert!(!batches(48));
    }

    #[test]
    fn single_messages_are_no_stream_and_bursts_are_one() {
        assert!(!after([1; 1000]).is_stream());
        assert!(after([2; 20]).is_stream());
        assert!(after([1, 3, 1, 2].repeat(10)).is_stream());
        assert!(!after([1, 1, 1, 2].repeat(100)).is_stream());
    }

    #[test]
    fn the_end_of_a_stream_is_noticed_after_a_dozen_waits() {
        let ends = (1..).find(|singles| !after([100; 50].into_iter().chain([1].repeat(*singles))).is_stream());
        assert!(ends.is_some_and(|singles| (4..20).contains(&singles)), "{ends:?}");
    }

    #[test]
    fn where_messages_are_rare_spinning_is_cut_short_until_one_comes_soon() {
        let (mut pace, budget) = (Pace::new(), Wait::BUDGET);
        pace.took(budget, 3 * budget);
        pace.took(budget, 3 * budget);
        assert_eq!(pace.spin(budget), budget);
        pace.took(budget, 3 * budget);
        assert_eq!(pace.spin(budget), budget / 16);
        pace.took(budget, budget);
        assert_eq!(pace.spin(budget), budget);
        // No budget is too long to reckon with.
        pace.took(Duration::MAX, Duration::MAX);
        assert_eq!(pace.spin(Duration::MAX), Duration::MAX);
    }

    /// A pace that has seen many waits of so many pauses, looked at with its own gaps.
    fn accustomed_to(pauses: u32) -> Waiter {
        let mut pace = Pace::new();
        let bell = Doorbell::new();
        for count in 0..100 {
            pace.begin(Exchanged::one_by_one(count), count, 1024, Wait::Spin);
            let mut waiter = Waiter::new(Wait::Spin, Deadline::NEVER, &pace);
            while waiter.pauses < pauses {
                waiter.pause(&bell).expect("no deadline");
            }
            pace.end(&waiter);
        }
        Waiter::new(Wait::Spin, Deadline::NEVER, &pace)
    }

    /// A bell that notes how long its owner would sleep.
    #[derive(Default)]
    struct Sleepless(core::cell::RefCell<Vec<Option<Duration>>>);

    impl Bell for Sleepless {
        fn announce(&self) -> u32 {
            0
        }

        fn park(&self, _ticket: u32, deadline: Deadline) {
            self.0.borrow_mut().push(deadline.remaining());
        }

        fn withdraw(&self) {}
    }

    #[test]
    fn parks_get_longer_when_nothing_comes_and_are_bounded_always() {
        let bell = Sleepless::default();
        let mut waiter = Waiter::new(Wait::Park, Deadline::NEVER, &Pace::new());
        for _ in 0..2 * 1000 {
            waiter.pause(&bell).expect("no deadline");
        }
        let parks: Vec<Duration> = bell.0.take().into_iter().map(|left| left.expect("it is bounded")).collect();
        assert_eq!(parks.len(), 1000);
        let (short, long) = parks.split_at(SHORT_PARKS as usize);
        assert!(short.iter().all(|park| *park <= LONGEST_PARK));
        assert!(long.iter().all(|park| *park <= LONGEST_IDLE_PARK));
        assert!(long.iter().any(|park| *park > LONGEST_PARK));
    }

    #[test]
    fn who_has_no_time_to_spin_does_not() {
        let (pace, bell) = (Pace::new(), Doorbell::new());
        for strategy in [Wait::Park, Wait::SpinThenPark(Duration::ZERO), Wait::SpinThenYield(Duration::ZERO)] {
            let mut waiter = Waiter::new(strategy, Deadline::NEVER, &pace);
            assert!(waiter.is_unhurried());
            waiter.pause(&bell).expect("no deadline");
            assert_eq!((waiter.pauses, waiter.announced.is_some()), (0, !matches!(strategy, Wait::SpinThenYield(_))));
            waiter.finish(&bell);
        }
    }

    #[test]
    fn the_gap_between_looks_follows_the_distance_of_the_peer() {
        assert_eq!(accustomed_to(1).gap, 1);
        assert!((2..=4).contains(&accustomed_to(6).gap), "{}", accustomed_to(6).gap);
        assert_eq!(accustomed_to(20).gap, 10);
        // Too long a wait to say anything.
        assert_eq!(accustomed_to(1000).gap, Waiter::new(Wait::Spin, Deadline::NEVER, &Pace::new()).gap);
    }
}
