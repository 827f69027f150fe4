//! The tail of the latency at an offered rate, over all rounds together, depending on what a real-time program asks of the machine.
//!
//! The one message in ten thousand is what such a program is built for, so no round's own percentiles will do: the counts of all rounds in one state
//! of the cores are added up, and nothing is left out but the first millisecond of a run.

use crate::channel::{Receiver, Sender};
use crate::control::Control;
use crate::message::Message;
use crate::offered;
use crate::plan::{Percentiles, Reading};
use crate::setting::Setting;
use crate::suite::Topic;
use crate::summary::{Row, Section};
use crate::table::time;
use crate::trip::{histogram, percentiles};
use core::fmt::Write as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Messages offered in a second: a ring of the default size has gone round after a third of one.
pub const RATE: f64 = 2e5;

/// Slots, unless asked otherwise: 4 MiB of messages of 64 bytes, which is more than one huge page.
pub const CAPACITY: usize = 1 << 16;

/// Before a run counts, in nanoseconds: the program's own pages are touched in it, and few of the ring's.
const WARM: f64 = 1e6;

/// Times, and how often each was seen, as a [`histogram`] has them.
pub type Counts = Vec<(u64, u64)>;

/// A distribution of times down to one in ten thousand, in nanoseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tail {
    /// What most look at.
    #[serde(flatten)]
    pub percentiles: Percentiles,
    /// One in ten thousand is longer.
    pub p9999: f64,
}

/// A setting that a machine does not give.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// What was asked for.
    pub setting: String,
    /// Why it is not there.
    pub reason: String,
}

/// The producer.
///
/// # Panics
/// If the scheduling class is refused, which has been tried before.
pub fn produce<M: Message>(to: &mut impl Sender<M>, rate: f64, setting: Setting, control: &Control) {
    setting.while_scheduled(|| offered::produce(to, rate, control)).expect("it was tried before");
}

/// The consumer.
///
/// # Panics
/// As for [`produce`].
pub fn consume<M: Message>(from: &mut impl Receiver<M>, seconds: f64, setting: Setting, control: &Control) -> Reading {
    let consumed = setting.while_scheduled(|| offered::times(from, WARM, seconds, control));
    let (histogram, cpu) = consumed.expect("it was tried before");
    let counts = histogram.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect();
    let spread = percentiles(&histogram);
    Reading { time: spread.p50, spread: Some(spread), counts, cpu: Some(cpu), ..Reading::default() }
}

impl Tail {
    /// Of all runs together, if they counted.
    #[must_use]
    pub fn of<'a>(runs: impl Iterator<Item = &'a Counts>) -> Option<Self> {
        let mut all: Histogram<u64> = histogram();
        for (value, count) in runs.flatten() {
            all.saturating_record_n(*value, *count);
        }
        let p9999 = all.value_at_quantile(0.9999) as f64 / 10.0;
        (!all.is_empty()).then(|| Self { percentiles: percentiles(&all), p9999 })
    }
}

/// A table of the sections that have tails.
#[must_use]
pub fn table(sections: &[Section], refusals: &[Refusal]) -> String {
    let mut table = String::new();
    for section in sections.iter().filter(|section| section.title.topic == Topic::Tail) {
        let _ = writeln!(table, "\n{} [{}, {:.0} ns]", section.title, section.state, section.distance);
        let _ = writeln!(
            table,
            "  {:<40}{:>9}{:>9}{:>9}{:>9}{:>9}{:>12}{:>8}",
            "", "p50", "p99", "p99.9", "p99.99", "max", "messages", "rounds"
        );
        for row in &section.lines {
            let _ = writeln!(table, "{}", line(row));
        }
    }
    for Refusal { setting, reason } in refusals {
        let _ = writeln!(table, "\n  {setting}: refused\n    {reason}");
    }
    table
}

fn line(row: &Row) -> String {
    let mut line = format!("  {:<40}", row.name);
    if let Some(Tail { percentiles: Percentiles { p50, p99, p999, max, count, .. }, p9999 }) = &row.tail {
        for value in [p50, p99, p999, p9999, max] {
            let _ = write!(line, "{:>9}", time(*value));
        }
        let _ = write!(line, "{count:>12}{:>8}", row.rounds);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_all_runs_together() {
        // Nine thousand and nine hundred fast ones in one run; in another, ninety-nine slow ones and one that took a millisecond.
        let (fast, slow): (Counts, Counts) = (vec![(1_000, 9_900)], vec![(50_000, 99), (10_000_000, 1)]);
        let tail = Tail::of([&fast, &slow].into_iter()).expect("there are runs");
        let about = |found: f64, nanoseconds: f64| (found / nanoseconds - 1.0).abs() < 0.002;
        let Percentiles { p50, p99, p999, max, count, .. } = tail.percentiles;
        assert!(about(p50, 100.0) && about(p99, 100.0) && about(p999, 5_000.0), "{tail:?}");
        assert!(about(tail.p9999, 5_000.0) && about(max, 1e6) && count == 10_000, "{tail:?}");
        assert!(Tail::of([].into_iter()).is_none());
    }

    #[test]
    fn a_setting_is_named_by_what_it_asks_for() {
        let names = Setting::ALL.map(|setting| setting.to_string());
        let all = "prefault, lock, huge pages, SCHED_FIFO";
        assert_eq!(names, ["nothing", "prefault", "prefault, lock", "huge pages", "SCHED_FIFO", all]);
    }
}
