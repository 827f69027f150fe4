//! `ringshm doctor`: would channels be slow, or fail, here?
//!
//! | file | what |
//! |---|---|
//! | `rings` | what rings need of this machine |
//! | `limits` | how much of its own mechanisms the kernel lets a user have |

mod limits;
mod rings;

use crate::failure::Failure;
use crate::print::{self, Format, Styled};
use anstyle::{AnsiColor, Style};
use ringshm::Directory;
use serde::Serialize;
use std::io;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to print
    #[arg(long, value_name = "HOW", default_value = "table")]
    format: Format,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    found: String,
    /// What to do about it.
    next: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), next: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, found: found.into(), next: Some(next.into()) }
    }

    /// Says how to have more of what is enough for most.
    fn with_more(self, next: impl Into<String>) -> Self {
        Self { next: self.next.or(Some(next.into())), ..self }
    }

    fn fail(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, found: found.into(), next: Some(next.into()) }
    }
}

/// Exits with 1 if something fails; a warning is none.
pub(crate) fn run(directory: &Directory, args: &Args) -> Result<ExitCode, Failure> {
    let path = directory.path();
    let checks = [
        rings::kernel(),
        rings::file_system(path),
        rings::space(path),
        rings::unnamed_files(path),
        rings::proc(),
        rings::a_ring(directory),
        rings::huge_pages(directory),
        rings::membarrier(),
        rings::awaiting(),
        rings::processors(),
        limits::descriptors(),
        limits::pipes(),
        limits::posix_queues(),
        limits::system_v_queues(),
        limits::system_v_memory(),
        limits::system_v_semaphores(),
        limits::socket_buffers(),
        limits::datagrams(),
        limits::signals(),
        rings::leftovers(directory),
    ];
    match args.format {
        Format::Json => print::json(&checks)?,
        Format::Table => table(&checks)?,
    }
    let has_failed = checks.iter().any(|check| check.status == Status::Fail);
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn table(checks: &[Check]) -> Result<(), Failure> {
    let colours = print::has_colours(&io::stdout());
    print::to_stdout(|out| {
        for check in checks {
            let (word, style) = match check.status {
                Status::Ok => ("ok  ", AnsiColor::Green.on_default()),
                Status::Warn => ("warn", AnsiColor::Yellow.on_default()),
                Status::Fail => ("FAIL", AnsiColor::Red.on_default()),
            };
            let word = Styled::new(word, if colours { style } else { Style::new() });
            writeln!(out, "{word}  {:<16} {}", check.name, check.found)?;
            if let Some(next) = &check.next {
                writeln!(out, "      {:<16} -> {next}", "")?;
            }
        }
        Ok(())
    })
}
