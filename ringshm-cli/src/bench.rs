//! `ringshm bench`: how fast rings are on this machine. The short form of the project's own benchmark.
//!
//! `ringshm-benches` measures; here are the options, and the page around its table.

mod channels;
mod tail;

use crate::failure::Failure;
use crate::print;
use ringshm_benches::measurement::{Effort, Findings, Interrupted, Interrupts, measure};
use ringshm_benches::suite::{self, Group};
use ringshm_benches::{processes, table};
use rustix::thread::sched_getaffinity;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const AFTER_HELP: &str = "\
It uses the first two processors that it may use. To choose two others: taskset -c 2,3 ringshm bench

Channels by their names, such as tcp: unix:?type=dgram shm://x?ring=mpmc: what counts of a name is the scheme, the options, and the folder or
the host. What is measured is a channel of its own, so that whoever uses the one of that name is not disturbed.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Measure channels of these names side by side instead, through any mechanism: speed, and what each can do
    #[arg(value_name = "NAME", conflicts_with_all = ["rt", "capacity"])]
    names: Vec<String>,
    /// The same for one channel of each mechanism that this machine has: about 45 seconds
    #[arg(long, conflicts_with_all = ["rt", "capacity"])]
    all: bool,
    /// Draw the comparison of channels into this file, as SVG
    #[arg(long, value_name = "FILE", conflicts_with = "rt")]
    plot: Option<PathBuf>,
    /// Measure the tail of the latency instead (p99.99, the longest), with and without what a real-time program asks of the machine: pages entered,
    /// and locked, huge pages, SCHED_FIFO
    #[arg(long)]
    rt: bool,
    /// Measure everything so many times, and print the medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    #[arg(conflicts_with = "rt")]
    rounds: u16,
    /// Begin no more rounds after so many seconds; the first round is always finished [default: 20; of channels 45; with --rt 60]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// The capacity of the rings in messages, rounded up to a power of two [default: 1024; with --rt 65536]
    #[arg(long, value_name = "SLOTS", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    capacity: Option<u32>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// Plays this process's part in a run, if a bench started it.
pub(crate) fn part() -> Option<Result<ExitCode, Failure>> {
    let result = processes::part()?;
    Some(result.map(|()| ExitCode::SUCCESS).map_err(|error| Failure::new(format!("{error:#}"))))
}

pub(crate) fn run(directory: Option<&Path>, args: &Args) -> Result<(), Failure> {
    let processors = processors()?;
    if cfg!(debug_assertions) {
        // Nobody is left to be told if this fails.
        let _ = writeln!(io::stderr(), "ringshm: this is a build without optimisation: its figures say nothing");
    }
    if args.rt {
        return tail::run(args, processors);
    }
    if args.all || !args.names.is_empty() {
        return channels::run(directory, args, processors);
    }
    if args.plot.is_some() {
        return Err(Failure::usage("--plot draws channels: name some, or say --all"));
    }
    let (rounds, time) = (usize::from(args.rounds), Duration::from_secs(args.seconds.unwrap_or(SECONDS)));
    let groups = suite::short(args.capacity.unwrap_or(CAPACITY) as usize, rounds, time);
    let effort = Effort { rounds, time, undisturbed: false };
    let findings = measured(&groups, effort, &interrupts()?)?;
    if args.json { print::json(&findings.sections) } else { page(processors, &groups, &findings) }
}

/// Unless asked otherwise.
const SECONDS: u64 = 20;
const CAPACITY: u32 = 1024;

/// From here on signals end a measurement instead of the process.
fn interrupts() -> Result<Interrupts, Failure> {
    Interrupts::catch().map_err(|error| Failure::at("catching signals", error))
}

/// A measurement was ended by a signal, and so is this process.
fn ended(interrupted: Interrupted) -> Failure {
    // Everything is cleaned up: now the signal may have its way.
    let _ = signal_hook::low_level::emulate_default_handler(interrupted.0);
    Failure::new(interrupted.to_string())
}

/// What was measured, if anything was.
fn measured(groups: &[Group], effort: Effort, interrupts: &Interrupts) -> Result<Findings, Failure> {
    let findings = measure(groups, effort, interrupts, |_| ()).map_err(ended)?;
    if findings.sections.is_empty() {
        return Err(Failure::new("nothing could be measured: every run failed, or its processors moved"));
    }
    Ok(findings)
}

/// How many processors this process may use, if these are enough.
fn processors() -> Result<u32, Failure> {
    let set = sched_getaffinity(None).map_err(|error| Failure::at("asking which processors can be used", error))?;
    match set.count() {
        count @ 2.. => Ok(count),
        _ => Err(Failure::new(
            "only one processor can be used, and the two sides of a measurement need one each: \
             give this process two (taskset, docker run --cpuset-cpus, a second virtual processor)",
        )),
    }
}

fn page(processors: u32, groups: &[Group], findings: &Findings) -> Result<(), Failure> {
    print::to_stdout(|out| {
        writeln!(out, "{}", machine(processors))?;
        writeln!(out, "{}", table::of(&findings.sections))?;
        for group in groups {
            if findings.sections.iter().all(|section| section.title != group.title) {
                writeln!(out, "not measured: {}\n", group.title)?;
            }
        }
        let Findings { runs, moved, .. } = findings;
        writeln!(out, "{runs} runs, {moved} of them discarded because the processors moved. {LEGEND}")
    })
}

const LEGEND: &str = "\
Lines have the median and the range of n rounds.
sibling, near, far: how far apart the two processors were, and how long a cache line travelled one way.
x rival: how many times as good as the better of pipe and socket. These sleep while they wait; ringshm spins, except in
         the group that says sleeping.
x limit: how many times as good as a bare copy (memcpy), a bare exchange of two cache lines, or a bare futex.

The long form, with other libraries, more sizes, and plots: cargo xtask bench, in the sources of ringshm";

/// What is measured on.
fn machine(processors: u32) -> String {
    let uname = rustix::system::uname();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let machine = model(&cpuinfo).map_or_else(|| uname.machine().to_string_lossy().into_owned(), str::to_owned);
    format!("{machine}; {processors} processors can be used; Linux {}", uname.release().to_string_lossy())
}

/// What /proc/cpuinfo calls the first processor. Not every architecture has it.
fn model(cpuinfo: &str) -> Option<&str> {
    cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_where_there_is_one() {
        let intel =
            "processor\t: 0\nmodel\t\t: 207\nmodel name\t: A Processor @ 2.10GHz\nstepping\t: 8\nmodel name\t: B\n";
        assert_eq!(model(intel), Some("A Processor @ 2.10GHz"));
        assert_eq!(model("processor\t: 0\nCPU part\t: 0xd0c\n"), None);
    }
}
