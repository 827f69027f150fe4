//! Runs the suite: `harness --help`. `cargo xtask bench` builds and runs it.

#![allow(clippy::disallowed_types, reason = "a flag for signals is never modelled")]

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use ringshm_benches::probe::State;
use ringshm_benches::suite::{self, Group, Options};
use ringshm_benches::summary::{Run, Section, sections};
use ringshm_benches::{plot, processes, table};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Measures ringshm beside its rivals and beside what the hardware allows.
#[derive(Parser)]
struct Arguments {
    /// Only groups whose title has all of these words, such as "throughput 64 B"
    #[arg(long)]
    only: Option<String>,
    /// The essential groups only, in shorter runs and fewer rounds: below two minutes
    #[arg(long)]
    quick: bool,
    /// Rounds of each group [default: 7, or 3 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Slots of the channels
    #[arg(long, default_value_t = 1024)]
    capacity: usize,
    /// Leave the rivals out
    #[arg(long)]
    no_rivals: bool,
    /// Say what would be measured, and measure nothing
    #[arg(long)]
    list: bool,
    /// Begin no more rounds after so many seconds [default: 840, or 100 with --quick]
    #[arg(long)]
    seconds: Option<u64>,
    /// Write what was found to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw plots into this folder
    #[arg(long)]
    plots: Option<PathBuf>,
}

/// A run in which the cores moved is tried again so often.
const TRIES: usize = 3;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let result = match (words.next().as_deref(), words.next(), words.next()) {
        (Some(processes::VERB), Some(casting), Some(parent)) => processes::take_part(&casting, &parent),
        _ => run(&Arguments::parse()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let options = Options {
        quick: arguments.quick,
        only: arguments.only.clone(),
        rivals: !arguments.no_rivals,
        capacity: arguments.capacity,
    };
    let groups = suite::groups(&options);
    if groups.is_empty() {
        bail!("nothing has such a title: see --list");
    }
    if arguments.list {
        for group in &groups {
            let names: Vec<&str> = group.plans.iter().map(|plan| plan.rival.as_str()).collect();
            println!("{}: {}", group.title, names.join(", "));
        }
        return Ok(());
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    processes::sweep_old();
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 7 });
    let seconds = arguments.seconds.unwrap_or(if arguments.quick { 100 } else { 840 });
    let mut measurement = Measurement {
        interrupted,
        progress: progress(groups.iter().map(|group| group.plans.len() * rounds).sum()),
        end: Instant::now() + Duration::from_secs(seconds),
        count: 0,
        moved: 0,
    };
    let mut all = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        // Every group gets its share of the time that is left.
        let left = measurement.end.saturating_duration_since(Instant::now());
        let share = Instant::now() + left / (groups.len() - index) as u32;
        let sections = measurement.group(group, rounds, share)?;
        measurement.progress.suspend(|| print!("{}", table::of(&sections)));
        all.extend(sections);
    }
    measurement.progress.finish_and_clear();
    println!("\n{} runs, {} of them discarded because the cores moved", measurement.count, measurement.moved);
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&all)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(folder) = &arguments.plots {
        println!("{}: {}", folder.display(), plot::draw(&all, folder)?.join(", "));
    }
    Ok(())
}

fn progress(runs: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} left  {msg}");
    ProgressBar::new(runs as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Measurement {
    interrupted: Arc<AtomicBool>,
    progress: ProgressBar,
    end: Instant,
    count: u64,
    moved: u64,
}

impl Measurement {
    /// Measures a group: in each round everybody once, one after the other.
    fn group(&mut self, group: &Group, rounds: usize, until: Instant) -> Result<Vec<Section>> {
        self.progress.set_message(group.title.to_string());
        let mut runs = Vec::new();
        for round in 0..rounds {
            for plan in 0..group.plans.len() {
                if round == 0 || Instant::now() < until {
                    runs.extend(self.run(group, plan, round)?);
                }
                self.progress.inc(1);
            }
        }
        Ok(sections(group, &runs))
    }

    /// One run: again if the cores moved, and none if it fails.
    fn run(&mut self, group: &Group, plan: usize, round: usize) -> Result<Option<Run>> {
        for _ in 0..TRIES {
            self.count += 1;
            let interrupted = Arc::clone(&self.interrupted);
            // Relaxed: a flag, nothing is read through it.
            let is_interrupted = move || interrupted.load(Ordering::Relaxed);
            let outcome = processes::play(&group.plans[plan], self.count, &is_interrupted);
            if is_interrupted() {
                bail!("interrupted");
            }
            match outcome {
                Ok(outcome) if State::between(outcome.before, outcome.after).is_some() => {
                    return Ok(Some(Run::new(group, plan, round, outcome)));
                }
                Ok(_) => self.moved += 1,
                Err(error) => {
                    let name = &group.plans[plan].rival;
                    self.progress.suspend(|| eprintln!("{name}, {}: {error:#}", group.title));
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }
}
