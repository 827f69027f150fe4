//! The loop over all runs: groups in interleaved rounds, for a limited time, until a signal ends it.

use crate::probe::State;
use crate::processes;
use crate::quiet::Accounts;
use crate::suite::Group;
use crate::summary::{Run, Section, sections};
use anyhow::Result;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A run in which the cores moved, or others were busy, is tried again so often.
const TRIES: usize = 3;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Findings {
    /// A section for each group and state of the cores.
    pub sections: Vec<Section>,
    /// Runs that were begun.
    pub runs: u64,
    /// Those of them that do not count because the cores moved.
    pub moved: u64,
    /// Those of them that do not count because others were busy.
    pub disturbed: u64,
}

/// How long is measured, and under which conditions.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Everybody plays so often.
    pub rounds: usize,
    /// No other round than the first begins once a group's share of this is over.
    pub time: Duration,
    /// Runs during which other programs were busy do not count.
    pub undisturbed: bool,
}

/// The error of a measurement that this signal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted(pub i32);

impl core::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("interrupted")
    }
}

impl core::error::Error for Interrupted {}

/// From when this was made, SIGINT, SIGTERM and SIGHUP end a measurement instead of the process.
#[derive(Debug)]
pub struct Interrupts {
    /// The signal that has arrived, or 0.
    signal: Arc<AtomicUsize>,
}

impl Interrupts {
    /// Catches them.
    ///
    /// # Errors
    /// If signals cannot be caught.
    pub fn catch() -> Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize)?;
        }
        Ok(Self { signal })
    }

    /// The one that has arrived.
    #[must_use]
    pub fn arrived(&self) -> Option<Interrupted> {
        // Relaxed: a number, nothing is read through it.
        match self.signal.load(Relaxed) {
            0 => None,
            signal => Some(Interrupted(signal as i32)),
        }
    }
}

/// Measures all groups, one after the other, and calls `report` with the sections of each. The first round of a group is always
/// played. Standard error shows how far it is, if it is a
/// terminal, and which runs fail: they are left out.
///
/// # Errors
/// [`Interrupted`]. No process of a run is left then.
pub fn measure(
    groups: &[Group],
    effort: Effort,
    interrupts: &Interrupts,
    mut report: impl FnMut(&[Section]),
) -> Result<Findings, Interrupted> {
    let Effort { rounds, time, undisturbed } = effort;
    let progress = progress(groups.iter().map(|group| group.plans.len() * rounds).sum());
    let mut measurement = Measurement { interrupts, progress, undisturbed, runs: 0, moved: 0, disturbed: 0 };
    let end = Instant::now() + time;
    let mut all = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        // Every group gets its share of the time that is left, by the number of those who play in it.
        let left = end.saturating_duration_since(Instant::now());
        let players: usize = groups[index..].iter().map(|group| group.plans.len()).sum();
        let until = Instant::now() + left.mul_f64(group.plans.len() as f64 / players as f64);
        let sections = measurement.group(group, rounds, until)?;
        measurement.progress.suspend(|| report(&sections));
        all.extend(sections);
    }
    measurement.progress.finish_and_clear();
    let Measurement { runs, moved, disturbed, .. } = measurement;
    Ok(Findings { sections: all, runs, moved, disturbed })
}

fn progress(runs: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} left  {msg}");
    ProgressBar::new(runs as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Measurement<'a> {
    interrupts: &'a Interrupts,
    progress: ProgressBar,
    undisturbed: bool,
    runs: u64,
    moved: u64,
    disturbed: u64,
}

impl Measurement<'_> {
    /// Measures a group: in each round everybody once, one after the other.
    fn group(&mut self, group: &Group, rounds: usize, until: Instant) -> Result<Vec<Section>, Interrupted> {
        self.progress.set_message(group.title.to_string());
        let mut runs = Vec::new();
        for round in 0..rounds {
            for plan in 0..group.plans.len() {
                runs.extend(self.run(group, plan, round, until)?);
                self.progress.inc(1);
            }
        }
        Ok(sections(group, &runs))
    }

    /// One run: again if the cores moved or others were busy, and none if it fails, or if it is too late for another round.
    fn run(&mut self, group: &Group, plan: usize, round: usize, until: Instant) -> Result<Option<Run>, Interrupted> {
        for _ in 0..TRIES {
            if round > 0 && Instant::now() >= until {
                break;
            }
            self.runs += 1;
            let accounts = if self.undisturbed { Accounts::now() } else { None };
            let outcome = processes::play(&group.plans[plan], self.runs, &|| self.interrupts.arrived().is_some());
            if let Some(interrupted) = self.interrupts.arrived() {
                return Err(interrupted);
            }
            match outcome {
                Ok(_) if accounts.is_some_and(|before| before.were_others_busy()) => self.disturbed += 1,
                Ok(outcome) if State::between(outcome.before, outcome.after).is_some() => {
                    return Ok(Some(Run::new(group, plan, round, outcome)));
                }
                Ok(_) => self.moved += 1,
                Err(error) => {
                    let name = &group.plans[plan].rival;
                    self.progress.suspend(|| eprintln!("{name}, {}: {error:#}", group.title));
                    break;
                }
            }
        }
        Ok(None)
    }
}
