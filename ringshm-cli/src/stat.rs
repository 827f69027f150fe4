//! `ringshm stat`: the counters of one ring, once or again and again.

use crate::every::{Beat, EveryArgs};
use crate::failure::Failure;
use crate::info::count;
use crate::lane::{self, Counters, Lane};
use crate::print::{self, Format, Reader, Styled};
use crate::size;
use crate::view::{self, Ring};
use ringshm::{Directory, OpenError};
use serde::Serialize;
use std::io::{self, Write};

const AFTER_HELP: &str = "\
In JSON: time (nanoseconds since 1970), name, kind, unit, capacity, used, queued, sent, received, lost, torn, redelivered, evicted,
and lanes, one for each that ever had an owner, with role, lane, state, pid, stopped, since, generation, asleep, messages, units, lag,
lag_units, claimed, claimed_at, takes, most_held, lost, torn, redelivered, evicted. With --every or --count each look is one line.

It ends with 0 when the ring is gone after the first look.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The ring
    name: String,
    #[command(flatten)]
    every: EveryArgs,
    /// How to print
    #[arg(long, value_name = "HOW", default_value = "table")]
    format: Format,
}

/// All counters at one moment.
#[derive(Debug, Serialize)]
struct Stat {
    /// Nanoseconds since 1970.
    time: u64,
    name: String,
    kind: &'static str,
    unit: &'static str,
    capacity: u64,
    used: u64,
    queued: Option<u64>,
    sent: Option<u64>,
    /// Of a broadcast ring: by the consumer that is furthest behind.
    received: Option<u64>,
    #[serde(flatten)]
    counters: Counters,
    lanes: Vec<Lane>,
}

impl Stat {
    fn new(ring: Ring) -> Self {
        Self {
            time: view::now(),
            name: ring.name,
            kind: ring.kind,
            unit: ring.unit,
            capacity: ring.capacity,
            used: ring.used,
            queued: ring.queued,
            sent: ring.producer.messages,
            received: ring.consumer.messages,
            counters: ring.producer.counters.plus(ring.consumer.counters),
            lanes: ring.lanes,
        }
    }

    fn share(&self) -> f64 {
        100.0 * self.used as f64 / self.capacity.max(1) as f64
    }
}

pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    let mut beat = Beat::new(args.every.interval());
    let looks = if args.every.is_given() { args.every.count } else { Some(1) };
    let (mut look, mut begun) = (0, None);
    loop {
        let ring = match view::look(directory, &args.name) {
            Err(OpenError::NotFound { .. }) if look > 0 => return Ok(()),
            ring => ring?,
        };
        let stat = Stat::new(ring);
        let reader = match args.format {
            Format::Json if args.every.is_given() => print::json_line(&stat)?,
            Format::Json => return print::json(&stat),
            Format::Table if args.every.is_given() => line(&stat, *begun.get_or_insert(stat.time))?,
            Format::Table => return table(&stat),
        };
        look += 1;
        if reader == Reader::Gone || Some(look) == looks {
            return Ok(());
        }
        beat.wait();
    }
}

fn table(stat: &Stat) -> Result<(), Failure> {
    let colours = print::has_colours(&io::stdout());
    let [lost, torn, redelivered, evicted] = stat.counters.numbers().map(size::grouped);
    let mut total = vec![Styled::from(""), "all".into(), "".into(), "".into(), "".into(), "".into(), "".into()];
    total.extend([lost, torn, redelivered, evicted].map(Styled::from));
    let mut table = lane::table(&stat.lanes);
    table.push(total);
    print::to_stdout(|out| {
        writeln!(
            out,
            "{}: {}, {} sent, {} received, {} queued, {:.1} % used",
            stat.name,
            stat.kind,
            count(stat.sent),
            count(stat.received),
            count(stat.queued),
            stat.share()
        )?;
        table.write(out, colours)
    })
}

const WIDTHS: [usize; 9] = [10, 15, 15, 12, 7, 9, 6, 12, 8];
const TITLES: [&str; 9] = ["SECONDS", "SENT", "RECEIVED", "QUEUED", "USED %", "LOST", "TORN", "REDELIVERED", "EVICTED"];

/// One line, below others of its kind, of which the first one was printed at the time `begun`.
fn line(stat: &Stat, begun: u64) -> Result<Reader, Failure> {
    let mut cells = vec![
        format!("{:.2}", stat.time.saturating_sub(begun) as f64 / 1e9),
        count(stat.sent),
        count(stat.received),
        count(stat.queued),
        format!("{:.1}", stat.share()),
    ];
    cells.extend(stat.counters.numbers().map(size::grouped));
    let write = |out: &mut dyn Write, cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells.zip(WIDTHS).map(|(cell, width)| format!("{cell:>width$}")).collect();
        writeln!(out, "{}", cells.join(" "))
    };
    print::to_reader(|out| {
        if begun == stat.time {
            write(out, &mut TITLES.into_iter())?;
        }
        write(out, &mut cells.iter().map(String::as_str))
    })
}
