//! `ringshm top`: what goes on in all rings, again and again.
//!
//! | file | what |
//! |---|---|
//! | `sample` | two looks, and what has changed between them |
//! | `screen` | the terminal |

mod sample;
mod screen;

use crate::every::{Beat, EveryArgs};
use crate::failure::Failure;
use crate::info::count;
use crate::print::{self, Format, Reader, Styled, Table};
use crate::size;
use anstyle::{AnsiColor, Style};
use ringshm::Directory;
use sample::{ParticipantSample, RingSample, Sample, Sampler, Status};
use std::io::{self, IsTerminal};

const AFTER_HELP: &str = "\
A participant is alive as long as the kernel holds its lock. Of those:
  stopped  its process was stopped: SIGSTOP, a terminal, a debugger
  stalled  it has claimed a place, or messages wait for it, and it has not moved since the last look
  slow     it moves, but is behind by half of the ring or more
  idle     it sleeps until something comes
A dead one was killed, or ended without leaving. Lossy readers take no lane, and are not seen.

In JSON, each look is one line: time, seconds, and rings with name, kind, unit, capacity, used, queued, sent, sent_per_second,
received_per_second, lost, torn, redelivered, evicted, and participants with status, per_second, and all that `ringshm stat` has of
a lane.

Keys: q ends, the arrows and Page Up, Page Down scroll.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The rings [default: all]
    names: Vec<String>,
    /// Print plain text, a block for each look
    #[arg(long, short)]
    batch: bool,
    #[command(flatten)]
    every: EveryArgs,
    /// How to print with --batch
    #[arg(long, value_name = "HOW", default_value = "table", requires_if("json", "batch"))]
    format: Format,
}

pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    if !args.batch && !io::stdout().is_terminal() {
        return Err(Failure::usage("standard output is no terminal: use --batch"));
    }
    let sampler = Sampler::new(directory, &args.names)?;
    if args.batch { batch(sampler, args) } else { screen::run(sampler, &args.every) }
}

fn batch(mut sampler: Sampler, args: &Args) -> Result<(), Failure> {
    let mut beat = Beat::new(args.every.interval());
    let mut looks = 0;
    // What the first block is compared with.
    sampler.sample()?;
    loop {
        beat.wait();
        let sample = sampler.sample()?;
        let reader = match args.format {
            Format::Json => print::json_line(&sample)?,
            Format::Table => block(&sample, looks == 0)?,
        };
        looks += 1;
        if reader == Reader::Gone || Some(looks) == args.every.count {
            return Ok(());
        }
    }
}

/// The columns of [`cells`].
const HEADER: [&str; 12] = [
    "RING",
    "ROLE",
    "LANE",
    "PID",
    "STATUS",
    "MESSAGES",
    "PER SECOND",
    "LAG",
    "USED %",
    "CLAIMED",
    "LOST",
    "REDELIVERED",
];
const NUMBERS: &[usize] = &[2, 3, 5, 6, 7, 8, 9, 10, 11];

/// A block of plain text, apart from the one before it.
fn block(sample: &Sample, is_first: bool) -> Result<Reader, Failure> {
    let colours = print::has_colours(&io::stdout());
    let mut table = Table::new(&HEADER, NUMBERS);
    for ring in &sample.rings {
        let [first, others @ ..] = ring_cells(ring);
        let title = Style::new() | anstyle::Effects::BOLD;
        table.push(std::iter::once(Styled::new(first, title)).chain(others.map(Styled::from)).collect());
        for participant in &ring.participants {
            let style = style_of(participant.status);
            let cells = cells(ring, participant).into_iter().enumerate();
            table.push(
                cells.map(|(column, cell)| Styled::new(cell, if column == 4 { style } else { Style::new() })).collect(),
            );
        }
    }
    print::to_reader(|out| {
        if !is_first {
            writeln!(out)?;
        }
        table.write(out, colours)
    })
}

/// The line of a ring as a whole.
fn ring_cells(ring: &RingSample) -> [String; 12] {
    [
        ring.name.clone(),
        ring.kind.to_owned(),
        String::new(),
        String::new(),
        String::new(),
        count(ring.sent),
        per_second(ring.sent_per_second),
        count(ring.queued),
        format!("{:.1}", ring.share()),
        String::new(),
        size::grouped(ring.counters.lost),
        size::grouped(ring.counters.redelivered),
    ]
}

/// The line of a participant.
fn cells(ring: &RingSample, participant: &ParticipantSample) -> [String; 12] {
    let lane = &participant.lane;
    let share = lane.lag_units.map(|units| 100.0 * units as f64 / ring.capacity.max(1) as f64);
    [
        format!("  {}", ring.name),
        lane.role.to_owned(),
        lane.lane.to_string(),
        lane.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        participant.status.word().to_owned(),
        count(lane.messages),
        per_second(participant.per_second),
        if lane.lag_units.is_some() { count(lane.lag) } else { "-".to_owned() },
        share.map_or_else(|| "-".to_owned(), |share| format!("{share:.1}")),
        size::grouped(lane.claimed),
        size::grouped(lane.counters.lost),
        size::grouped(lane.counters.redelivered),
    ]
}

fn per_second(rate: Option<f64>) -> String {
    rate.map_or_else(|| "?".to_owned(), |rate| size::grouped(rate.round() as u64))
}

fn style_of(status: Status) -> Style {
    match status {
        Status::Alive | Status::Idle => AnsiColor::Green.on_default(),
        Status::Slow | Status::Stalled | Status::Stopped | Status::Evicted => AnsiColor::Yellow.on_default(),
        Status::Dead => AnsiColor::Red.on_default(),
        Status::Detached | Status::Closed | Status::Vacant => Style::new(),
    }
}
