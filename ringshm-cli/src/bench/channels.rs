//! `ringshm bench NAME…`: channels side by side, whatever carries them.

use super::{machine, measured};
use crate::failure::Failure;
use crate::print::{self, Styled, Table};
use crate::size;
use anstyle::{AnsiColor, Style};
use ringshm_benches::abilities::Abilities;
use ringshm_benches::comparison::{self, Candidate, EVERY, LARGE, Line};
use ringshm_benches::measurement::{Effort, Findings};
use ringshm_benches::probe::State;
use ringshm_benches::rivals::bare_form;
use ringshm_benches::summary::{Row, Section};
use ringshm_benches::{plot, table};
use serde::Serialize;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Seconds, unless asked otherwise: for three rounds of everything.
const SECONDS: u64 = 45;

#[derive(Debug, Serialize)]
struct Report<'a> {
    channels: &'a [Candidate],
    sections: &'a [Section],
}

pub(super) fn run(directory: Option<&Path>, args: &super::Args, processors: u32) -> Result<(), Failure> {
    let mut names: Vec<String> = Vec::new();
    let every = EVERY.iter().map(|&name| name.to_owned());
    for name in args.names.iter().cloned().chain(every.filter(|_| args.all)) {
        // A name without a scheme is a ring's.
        let name = if name.contains(':') { name } else { format!("shm://{name}") };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in &args.names {
        ringshm::open(name).check()?;
    }
    let interrupts = super::interrupts()?;
    let channels = comparison::look(&names, directory, &interrupts).map_err(super::ended)?;
    let (rounds, time) = (usize::from(args.rounds), Duration::from_secs(args.seconds.unwrap_or(SECONDS)));
    let groups = comparison::groups(&channels, rounds, time, directory);
    if groups.iter().all(|group| group.plans.is_empty()) {
        let reasons =
            channels.iter().filter_map(|channel| Some(format!("{}: {}", channel.name, channel.refused.as_ref()?)));
        return Err(Failure::new(format!("no channel can be opened: {}", reasons.collect::<Vec<_>>().join("; "))));
    }
    let findings = measured(&groups, Effort { rounds, time, undisturbed: false }, &interrupts)?;
    let states = comparison::lines(&groups, &findings.sections);
    if let Some(path) = &args.plot {
        // The state in which most was measured.
        let Some((state, _, lines)) = states.iter().max_by_key(|(_, _, lines)| lines.len()) else { return Ok(()) };
        std::fs::write(path, plot::comparison(*state, lines))
            .map_err(|error| Failure::at(format_args!("writing {}", path.display()), error))?;
    }
    if args.json {
        return print::json(&Report { channels: &channels, sections: &findings.sections });
    }
    page(processors, &channels, &states, &findings)
}

type States<'a> = [(State, f64, Vec<Line<'a>>)];

fn page(processors: u32, channels: &[Candidate], states: &States<'_>, findings: &Findings) -> Result<(), Failure> {
    let colours = print::has_colours(&io::stdout());
    print::to_stdout(|out| {
        writeln!(out, "{}", machine(processors))?;
        for (state, distance, lines) in states {
            writeln!(out, "\n{state}: a cache line takes {distance:.0} ns one way")?;
            figures(channels, lines).write(out, colours)?;
            if let Some(ratios) = ratios(lines) {
                writeln!(out)?;
                ratios.write(out, colours)?;
            }
        }
        writeln!(out)?;
        for channel in channels {
            if let Some(reason) = &channel.refused {
                writeln!(out, "{} cannot be had here: {reason}", channel.name)?;
            }
        }
        let Findings { runs, moved, .. } = findings;
        writeln!(out, "{runs} runs, {moved} of them discarded because the processors moved. {LEGEND}")
    })
}

const LEGEND: &str = "\
Medians of the rounds.
Both sides are used through their names alone, wait in blocking calls, and check every byte. Some spin before they sleep: a ring's for 50 us,
unless its name says wait=park. Where 64 B are too long, 8 B are sent.
LOSS: whether a message may get lost without a fault of the two programs; the share that did stands behind the rate.";

/// A row for each channel, and one for each of the bare forms beside them.
fn figures(channels: &[Candidate], lines: &[Line<'_>]) -> Table {
    const HEADER: &[&str] =
        &["CHANNEL", "64 B", "IN BATCHES", "4 KiB", "ROUND TRIP", "P99", "FROM", "TO", "LONGEST", "ORDER", "LOSS"];
    let mut table = Table::new(HEADER, &[1, 2, 3, 4, 5, 8]);
    for line in lines {
        let [single, batches, large, trip] = line.figures;
        let rate = |row: Option<&Row>| with_loss(row, |row| table::rate(row.median));
        let volume = |row: &Row| format!("{:.2} GB/s", row.median * LARGE as f64 / 1e9);
        let time = |nanoseconds: Option<f64>| nanoseconds.map_or_else(nothing, |time| Styled::from(table::time(time)));
        let p99 = trip.and_then(|row| row.spread.as_ref()).map(|spread| spread.p99);
        let abilities = channels.iter().find(|channel| channel.name == line.name);
        let mut row = vec![
            name(line),
            rate(single),
            rate(batches),
            with_loss(large, volume),
            time(trip.map(|row| row.median)),
            time(p99),
        ];
        row.extend(abilities.and_then(|channel| channel.abilities.as_ref()).into_iter().flat_map(can));
        table.push(row);
    }
    table
}

fn nothing() -> Styled {
    "-".into()
}

fn with_loss(row: Option<&Row>, value: impl Fn(&Row) -> String) -> Styled {
    let Some(row) = row else { return nothing() };
    match row.lost {
        Some(share) if share > 0.0 => format!("{} ({:.0} % lost)", value(row), (share * 100.0).max(1.0)).into(),
        _ => value(row).into(),
    }
}

fn name(line: &Line<'_>) -> Styled {
    if line.name.contains(':') {
        line.name.into()
    } else {
        Styled::new(format!("bare {}", line.name), AnsiColor::BrightBlack.on_default())
    }
}

fn can(abilities: &Abilities) -> [Styled; 5] {
    let loss = match abilities.loss.as_str() {
        "with receiver" => "if the receiver dies",
        other => other,
    };
    [
        abilities.senders.as_str().into(),
        abilities.receivers.as_str().into(),
        size::bytes(abilities.longest as u64).replace(".0 ", " ").into(),
        abilities.order.as_str().into(),
        Styled::new(loss, if loss == "never" { Style::new() } else { AnsiColor::Yellow.on_default() }),
    ]
}

/// How many times as fast as the bare system calls those are that have such a form here.
fn ratios(lines: &[Line<'_>]) -> Option<Table> {
    let mut table = Table::new(&["X BARE CALLS", "64 B", "IN BATCHES", "4 KiB", "ROUND TRIP"], &[1, 2, 3, 4]);
    let mut is_empty = true;
    for line in lines {
        let Some(bare) = bare_form(line.name) else { continue };
        let ratios = line.figures.map(|row| match row.and_then(|row| row.to.get(bare)) {
            Some(ratio) => format!("{ratio:.2}").into(),
            None => nothing(),
        });
        let mut row = vec![format!("{} beside a bare {bare}", line.name).into()];
        row.extend(ratios);
        table.push(row);
        is_empty = false;
    }
    (!is_empty).then_some(table)
}
