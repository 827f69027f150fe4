//! `ringshm ls`: all rings.

use crate::failure::Failure;
use crate::info::count;
use crate::print::{self, Format, Styled, Table};
use crate::size;
use crate::view::{self, Entry};
use anstyle::AnsiColor;
use ringshm::Directory;
use std::io;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to print
    #[arg(long, value_name = "HOW", default_value = "table")]
    format: Format,
}

const HEADER: [&str; 9] = ["NAME", "KIND", "TYPE", "CAPACITY", "QUEUED", "SENT", "RECEIVED", "PRODUCER", "CONSUMER"];

pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    let entries = view::look_at_all(directory)?;
    if args.format == Format::Json {
        return print::json(&entries);
    }
    let mut table = Table::new(&HEADER, &[3, 4, 5, 6]);
    let mut damaged = Vec::new();
    for entry in &entries {
        match entry {
            Entry::Ring(ring) if ring.state.is_some() => table.push(vec![
                ring.name.as_str().into(),
                ring.kind.into(),
                ring.carries.name.as_str().into(),
                "-".into(),
                "-".into(),
                "-".into(),
                "-".into(),
                ring.producer.presence(),
                "-".into(),
            ]),
            Entry::Ring(ring) => table.push(vec![
                ring.name.as_str().into(),
                ring.kind.into(),
                ring.carries.name.as_str().into(),
                if ring.unit == "bytes" { size::bytes(ring.capacity) } else { size::grouped(ring.capacity) }.into(),
                count(ring.queued).into(),
                count(ring.producer.messages).into(),
                count(ring.consumer.messages).into(),
                ring.producer.presence(),
                ring.consumer.presence(),
            ]),
            Entry::Damaged(entry) => {
                table.push(vec![entry.name.as_str().into(), Styled::new("unusable", AnsiColor::Red.on_default())]);
                damaged.push(entry);
            }
        }
    }
    let colours = print::has_colours(&io::stdout());
    print::to_stdout(|out| {
        table.write(out, colours)?;
        for entry in damaged {
            writeln!(out, "{}: {}", entry.name, entry.error)?;
        }
        Ok(())
    })
}
