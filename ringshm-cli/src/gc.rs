//! `ringshm gc`: removes what nobody will come back for, and says why.

use crate::failure::Failure;
use crate::print::{self, Format, Styled, Table};
use crate::size;
use anstyle::{AnsiColor, Style};
use ringshm::{Directory, OpenError, Sweep, Verdict};
use serde::Serialize;
use std::io;
use std::path::Path;

const AFTER_HELP: &str = "\
What goes: a ring in which nobody lives any more, whose producers have all closed it or died, and of which everything was received (the
last to leave would have removed it, had it not been killed); a ring that was given up already; the temporary file of a ring that was
never finished, if no process has it open.

Locks, condition variables, barriers and onces go when everybody has left or died.

What stays: a ring with a live participant, be it stopped; one with messages that nobody has received, or for which no consumer has ever
come; one whose producer has left to let another go on. With --force, all of these go but the first. What is no ring of this version
stays: see ringshm rm --force.

Who lives, the kernel's locks say, whatever the age of a ring.

In JSON: name, path, verdict (retired, over, never finished, undelivered, never received, unfinished, in use, unknown, unusable), pid,
undelivered, bytes, removed, why.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Only say what would be removed
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Remove every ring in which nobody takes part, with the messages in it
    #[arg(long, short)]
    force: bool,
    /// How to print
    #[arg(long, value_name = "HOW", default_value = "table")]
    format: Format,
}

/// What was found, and what became of it.
#[derive(Debug, Serialize)]
struct Find {
    /// Of a ring; the file's name of what is none.
    name: String,
    path: String,
    verdict: &'static str,
    /// Of a participant that is there.
    pid: Option<u32>,
    undelivered: Option<u64>,
    /// Of shared memory.
    bytes: u64,
    /// With `--dry-run`: whether it would be.
    removed: bool,
    why: String,
}

/// Exits with 0 whatever it found.
pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    let wanted = if args.force { Sweep::Deserted } else { Sweep::Garbage };
    let sweep = if args.dry_run { Sweep::Nothing } else { wanted };
    let mut finds = Vec::new();
    for name in ringshm::names(directory)? {
        let path = directory.path_of(&name);
        let bytes = size_of(&path);
        finds.extend(Find::new(name.as_str(), &path, bytes, ringshm::collect(directory, &name, sweep), wanted));
    }
    for path in ringshm::leftovers(directory)? {
        let bytes = size_of(&path);
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        finds.extend(Find::new(&name, &path, bytes, ringshm::collect_leftover(&path, sweep), wanted));
    }
    match args.format {
        Format::Json => print::json(&finds),
        Format::Table => table(&finds, args.dry_run),
    }
}

fn size_of(path: &Path) -> u64 {
    rustix::fs::lstat(path).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
}

impl Find {
    /// `None` if it went away by itself.
    fn new(name: &str, path: &Path, bytes: u64, result: Result<Verdict, OpenError>, wanted: Sweep) -> Option<Self> {
        let verdict = match result {
            Err(OpenError::NotFound { .. }) => return None,
            other => other,
        };
        let (pid, undelivered) = match verdict {
            Ok(Verdict::InUse { pid }) => (pid, None),
            Ok(Verdict::Undelivered { messages }) => (None, messages),
            _ => (None, None),
        };
        let removed = match (&verdict, wanted) {
            (Ok(verdict), Sweep::Garbage) => verdict.is_garbage(),
            (Ok(verdict), Sweep::Deserted) => verdict.is_deserted(),
            (Ok(_), Sweep::Nothing) | (Err(_), _) => false,
        };
        let (verdict, why) = match verdict {
            Ok(verdict) => (word(verdict), why(verdict)),
            Err(error) => ("unusable", error.to_string()),
        };
        let path = path.display().to_string();
        Some(Self { name: name.to_owned(), path, verdict, pid, undelivered, bytes, removed, why })
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Retired => "retired",
        Verdict::Over => "over",
        Verdict::NeverFinished => "never finished",
        Verdict::Undelivered { .. } => "undelivered",
        Verdict::NeverReceived => "never received",
        Verdict::Unfinished => "unfinished",
        Verdict::InUse { .. } => "in use",
        Verdict::Unknown => "unknown",
    }
}

fn why(verdict: Verdict) -> String {
    match verdict {
        Verdict::Retired => "it was given up, by a process that died before its name was gone".to_owned(),
        Verdict::Over => "everybody has left or died, and nothing is left to receive".to_owned(),
        Verdict::NeverFinished => "the process that was making it is gone".to_owned(),
        Verdict::Undelivered { messages: Some(messages) } => {
            format!("nobody takes part, and {} messages wait to be received", size::grouped(messages))
        }
        Verdict::Undelivered { messages: None } => "nobody takes part, and messages wait to be received".to_owned(),
        Verdict::NeverReceived => "nobody takes part, and no consumer has ever come".to_owned(),
        Verdict::Unfinished => "nobody takes part, and a successor is still to come".to_owned(),
        Verdict::InUse { pid: Some(pid) } => format!("process {pid} takes part"),
        Verdict::InUse { pid: None } => "a process is making it, or uses it under another name".to_owned(),
        Verdict::Unknown => "this file system cannot tell whether a process has it open".to_owned(),
    }
}

fn table(finds: &[Find], dry_run: bool) -> Result<(), Failure> {
    let colours = print::has_colours(&io::stdout());
    let mut table = Table::new(&["", "NAME", "MEMORY", "WHY"], &[2]);
    let goes = if dry_run { "would go" } else { "removed" };
    for find in finds {
        let (word, style) = if find.removed { (goes, AnsiColor::Green.on_default()) } else { ("stays", Style::new()) };
        let (name, memory) = (find.name.as_str(), size::bytes(find.bytes));
        table.push(vec![Styled::new(word, style), name.into(), memory.into(), find.why.as_str().into()]);
    }
    let removed = finds.iter().filter(|find| find.removed);
    let (count, bytes) = removed.fold((0, 0_u64), |(count, sum), find| (count + 1, sum.saturating_add(find.bytes)));
    print::to_stdout(|out| {
        if !finds.is_empty() {
            table.write(out, colours)?;
        }
        let verb = if dry_run { "would be freed" } else { "freed" };
        writeln!(out, "{count} of {}: {} {verb}", finds.len(), size::bytes(bytes))
    })
}
