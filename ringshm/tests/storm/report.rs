//! What the storm has seen, while it goes on and at its end.

use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) struct Report {
    bar: ProgressBar,
    /// Whether every step and every crash point is printed.
    is_verbose: bool,
    /// Processes that were killed.
    pub(crate) kills: u64,
    /// Rounds in which a live participant looked dead to those who do not ask the kernel.
    pub(crate) lives: u64,
    /// Messages sent.
    pub(crate) messages: u64,
    /// Ring, role and crash point of directed deaths.
    points: BTreeSet<String>,
    /// How long the survivors took to go on.
    moves: Vec<Duration>,
}

impl Report {
    pub(crate) fn new(kills: u64, is_verbose: bool) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} kills, {elapsed}, {eta} left: {msg}");
        let bar = ProgressBar::new(kills).with_style(style.expect("a valid template"));
        Self { bar, is_verbose, kills: 0, lives: 0, messages: 0, points: BTreeSet::new(), moves: Vec::new() }
    }

    pub(crate) fn says(&self, what: impl Into<String>) {
        let what = what.into();
        if self.is_verbose {
            println!("{what}");
        }
        self.bar.set_message(what);
    }

    pub(crate) fn killed(&mut self) {
        self.kills += 1;
        self.bar.set_position(self.kills);
    }

    pub(crate) fn killed_at(&mut self, kind: &str, role: &str, point: &str) {
        self.killed();
        self.points.insert(format!("{kind} {role} {point}"));
    }

    pub(crate) fn moved(&mut self, time: Duration) {
        self.moves.push(time);
    }

    /// Prints everything.
    pub(crate) fn print(mut self, seconds: f64) {
        self.bar.finish_and_clear();
        self.moves.sort();
        let last = self.moves.len().saturating_sub(1);
        let millis =
            |part: f64| self.moves.get((last as f64 * part) as usize).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        println!(
            "{} kills, {} of them at {} crash points of the rings; {} rounds with live peers that seemed dead",
            self.kills,
            self.points.len(),
            self.points.len(),
            self.lives
        );
        println!(
            "{} messages sent, each of them received once, marked as redelivered or counted as missed; 0 failures",
            self.messages
        );
        println!(
            "survivors moved on within: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            millis(0.5),
            millis(0.99),
            millis(1.0)
        );
        println!("{seconds:.1} s");
        if self.is_verbose {
            self.points.iter().for_each(|point| println!("{point}"));
        }
    }
}
