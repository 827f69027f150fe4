//! Writing to standard output: tables, colours, closed pipes.

use crate::failure::Failure;
use anstyle::Style;
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::{self, Display};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Whether somebody still reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    There,
    /// It has closed the pipe: it has seen enough.
    Gone,
}

/// Prints with `write`, all of it now.
pub(crate) fn to_reader(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Reader, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let result = write(&mut out).and_then(|()| out.flush());
    // What a closed pipe did not take must not be tried again on drop.
    let _ = out.into_parts();
    match result {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::at("writing to standard output", error)),
    }
}

/// Prints with `write`. A reader that has closed the pipe has seen enough: that is success.
pub(crate) fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    to_reader(write).map(|_| ())
}

/// Prints `value` as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Result<Reader, Failure> {
    to_reader(|out| {
        serde_json::to_writer(&mut *out, value)?;
        writeln!(out)
    })
}

/// Prints `value` as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    to_stdout(|out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
}

/// Whether to use colours on a stream: only on a terminal that knows them, and not if `NO_COLOR` says not to.
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Text in a style, or plain.
#[derive(Clone, Debug)]
pub(crate) struct Styled {
    text: String,
    style: Style,
}

impl Styled {
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Into<String>> From<T> for Styled {
    fn from(text: T) -> Self {
        Self::new(text, Style::new())
    }
}

impl Display for Styled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

/// A header and rows, in columns as wide as they need to be.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<Styled>>,
    /// The columns with numbers.
    right: &'static [usize],
}

impl Table {
    pub(crate) fn new(header: &[&str], right: &'static [usize]) -> Self {
        let style = anstyle::Effects::BOLD;
        Self { rows: vec![header.iter().map(|&title| Styled::new(title, Style::new() | style)).collect()], right }
    }

    pub(crate) fn push(&mut self, row: Vec<Styled>) {
        self.rows.push(row);
    }

    pub(crate) fn write(&self, out: &mut dyn Write, colours: bool) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(Styled::width).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let space = widths[column] - cell.width();
                let is_right = self.right.contains(&column);
                if is_right {
                    write!(out, "{:space$}", "")?;
                }
                if colours {
                    write!(out, "{cell}")?;
                } else {
                    write!(out, "{}", cell.text)?;
                }
                if column + 1 < row.len() {
                    write!(out, "{:1$}", "", 2 + if is_right { 0 } else { space })?;
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}
