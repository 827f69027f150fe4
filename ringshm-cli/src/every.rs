//! Doing something again and again: how often, and how many times.

use std::thread;
use std::time::{Duration, Instant};

/// `--every` and `--count`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EveryArgs {
    /// Look again after so many seconds, such as 0.5; until interrupted, or --count says enough [default with --count: 1]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) every: Option<Duration>,
    /// Look so many times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// How long from one look to the next if nobody said.
pub(crate) const DEFAULT: Duration = Duration::from_secs(1);

impl EveryArgs {
    /// Whether there is more than one look.
    pub(crate) fn is_given(&self) -> bool {
        self.every.is_some() || self.count.is_some()
    }

    pub(crate) fn interval(&self) -> Duration {
        self.every.unwrap_or(DEFAULT)
    }
}

/// Moments at the same distance from each other, however long what happens between them takes.
#[derive(Debug)]
pub(crate) struct Beat {
    interval: Duration,
    next: Instant,
}

impl Beat {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, next: Instant::now() + interval }
    }

    /// How long until the next one.
    pub(crate) fn left(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// From the next one to the one after it. Those that were missed are left out.
    pub(crate) fn advance(&mut self) {
        self.next = (self.next + self.interval).max(Instant::now());
    }

    /// Sleeps until the next one.
    pub(crate) fn wait(&mut self) {
        thread::sleep(self.left());
        self.advance();
    }
}

/// Reads a number of seconds from the command line.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "it must be a number of seconds from 0.01 to 86400".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if (0.01..=86_400.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_broken_but_neither_none_nor_endless() {
        assert_eq!(seconds("2"), Ok(Duration::from_secs(2)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["0", "-1", "nan", "inf", "1e9", "", "1s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_beat_leaves_out_what_was_missed() {
        let mut beat = Beat::new(Duration::from_secs(3600));
        beat.next = Instant::now();
        assert_eq!(beat.left(), Duration::ZERO);
        beat.advance();
        assert!(beat.left() > Duration::from_secs(3000));
    }
}
