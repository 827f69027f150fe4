//! `ringshm info`: everything about one ring.

use crate::failure::Failure;
use crate::lane::{self, Side};
use crate::print::{self, Format, Styled, Table};
use crate::size;
use crate::view::{self, Ring};
use ringshm::Directory;
use std::io;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring
    name: String,
    /// How to print; in JSON, `.producer.messages` is how many messages were ever sent
    #[arg(long, value_name = "HOW", default_value = "table")]
    format: Format,
}

pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    let ring = view::look(directory, &args.name)?;
    if args.format == Format::Json {
        return print::json(&ring);
    }
    let (table, lanes) = (table(&ring), lane::table(&ring.lanes));
    let colours = print::has_colours(&io::stdout());
    print::to_stdout(|out| {
        table.write(out, colours)?;
        writeln!(out)?;
        lanes.write(out, colours)
    })
}

fn table(ring: &Ring) -> Table {
    let mut table = Table::new(&[&ring.name], &[]);
    let mut row = |title: &str, value: String| table.push(vec![title.into(), value.into()]);
    row("path", ring.path.clone());
    row("kind", ring.kind.to_owned());
    let carries = &ring.carries;
    row(
        "type",
        format!("{}, {} bytes, alignment {}, schema {}", carries.name, carries.size, carries.align, carries.schema),
    );
    if let Some(state) = &ring.state {
        row("state", state.clone());
        row("participants", format!("at most {}", ring.max_producers));
        row("shared memory", format!("{} bytes", size::grouped(ring.total)));
        row("created", format!("{} ago by process {}", size::age(ring.age_seconds), ring.creator));
        return table;
    }
    let capacity = match ring.unit {
        "bytes" => size::bytes(ring.capacity),
        _ => format!("{} slots of {} bytes", size::grouped(ring.capacity), ring.stride),
    };
    row("capacity", capacity);
    row("longest message", format!("{} bytes", size::grouped(ring.max_message)));
    if ring.at_most_once {
        row("delivery", "at most once: a message dies with its consumer".to_owned());
    }
    row("sleepers wake by", ring.wakeup.to_owned());
    row("participants", format!("at most {} producers, {} consumers", ring.max_producers, ring.max_consumers));
    row("shared memory", format!("{} bytes", size::grouped(ring.total)));
    row("created", format!("{} ago by process {}", size::age(ring.age_seconds), ring.creator));
    let share = 100.0 * ring.used as f64 / ring.capacity.max(1) as f64;
    row(
        "queued",
        format!("{} messages, {} {} ({share:.1} %)", count(ring.queued), size::grouped(ring.used), ring.unit),
    );
    side(&mut table, "producer", "sent", ring.unit, &ring.producer);
    // Of a ring whose records are everybody's, the consumer that is furthest behind has received that much.
    let verb = if ring.is_for_all() { "received by all" } else { "received" };
    side(&mut table, "consumer", verb, ring.unit, &ring.consumer);
    table
}

fn side(table: &mut Table, role: &str, verb: &str, unit: &str, side: &Side) {
    table.push(vec![Styled::from(role), side.presence()]);
    let mut row = |title: &str, value: String| table.push(vec![format!("  {title}").into(), value.into()]);
    if let Some(since) = side.since {
        row("last joined", format!("{} ago, as owner {}", size::age(view::seconds_since(since)), side.generation));
    }
    // Nobody is nobody's last.
    if side.live > 0 || verb != "received by all" {
        row(verb, format!("{} messages, {} {unit}", count(side.messages), size::grouped(side.units)));
    }
    if side.state == "live" {
        row("asleep", if side.asleep { "yes" } else { "no" }.to_owned());
        let who_pays = if side.fenced { "the other side, by a fence a message" } else { "itself, by membarrier" };
        row("sleeping costs", who_pays.to_owned());
    }
}

/// A count, if it is known.
pub(crate) fn count(messages: Option<u64>) -> String {
    messages.map_or_else(|| "?".to_owned(), size::grouped)
}
