//! Runs the suite: `harness --help`. `cargo xtask bench` builds and runs it.

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use ringshm_benches::measurement::{Effort, Findings, Interrupts, measure};
use ringshm_benches::suite::{self, Options};
use ringshm_benches::{plot, processes, table};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures ringshm beside its rivals and beside what the hardware allows.
#[derive(Parser)]
struct Arguments {
    /// Only groups whose title has all of these words, such as "throughput 64 B"
    #[arg(long)]
    only: Option<String>,
    /// Only those whose names contain one of these, and the limits, such as "ringshm,rtrb"
    #[arg(long, value_delimiter = ',')]
    who: Vec<String>,
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
    /// Count runs during which other programs were busy, too
    #[arg(long)]
    disturbed: bool,
    /// Write what was found to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw plots into this folder
    #[arg(long)]
    plots: Option<PathBuf>,
}

fn main() -> ExitCode {
    match processes::part().unwrap_or_else(|| run(&Arguments::parse())) {
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
        who: arguments.who.clone(),
        rivals: !arguments.no_rivals,
        capacity: arguments.capacity,
    };
    let mut groups = suite::groups(&options);
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
    for absent in suite::leave_out_absent(&mut groups) {
        println!("left out: {absent}");
    }
    processes::sweep_old();
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 7 });
    let seconds = arguments.seconds.unwrap_or(if arguments.quick { 100 } else { 840 });
    let effort = Effort { rounds, time: Duration::from_secs(seconds), undisturbed: !arguments.disturbed };
    let Findings { sections, runs, moved, disturbed } =
        measure(&groups, effort, &Interrupts::catch()?, |sections| print!("{}", table::of(sections)))?;
    println!(
        "\n{runs} runs, of which do not count: {moved} as the cores moved, {disturbed} as other programs were busy"
    );
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&sections)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(folder) = &arguments.plots {
        println!("{}: {}", folder.display(), plot::draw(&sections, folder)?.join(", "));
    }
    Ok(())
}
