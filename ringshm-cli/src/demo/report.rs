//! The result of the demonstration, for people and for programs.

use super::child::{BATCH, Over, Trips, WRITE, Waiting};
use super::feed::Digest;
use crate::failure::Failure;
use crate::print;
use crate::size;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// Everything that was measured. The field names are those of the JSON output.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The file with the messages; without one they are generated.
    file: Option<String>,
    /// Bytes of a message.
    average: usize,
    /// Bytes of a message.
    longest: usize,
    /// Where the two processes ran.
    processors: Option<[usize; 2]>,
    pub(super) throughput: Vec<Throughput>,
    pub(super) round_trip: Vec<RoundTrip>,
}

/// A feed was sent, received and checked.
#[derive(Debug, Serialize)]
pub(super) struct Throughput {
    over: Over,
    /// Received.
    messages: u64,
    /// Received.
    bytes: u64,
    /// Messages that were sent and not received.
    lost: u64,
    /// Messages that did not have the number that was due.
    misnumbered: u64,
    /// Whether every byte of every message is the same, in the same order.
    identical: bool,
    /// From the first message sent to the last one checked.
    seconds: f64,
    messages_per_second: f64,
    bytes_per_second: f64,
}

impl Throughput {
    pub(super) fn new(over: Over, sent: Digest, received: Digest, misnumbered: u64, nanoseconds: u64) -> Self {
        let seconds = nanoseconds.max(1) as f64 / 1e9;
        Self {
            over,
            messages: received.messages,
            bytes: received.bytes,
            lost: sent.messages.saturating_sub(received.messages),
            misnumbered,
            identical: sent == received && misnumbered == 0,
            seconds,
            messages_per_second: received.messages as f64 / seconds,
            bytes_per_second: received.bytes as f64 / seconds,
        }
    }
}

/// A message went to and fro.
#[derive(Debug, Serialize)]
pub(super) struct RoundTrip {
    over: Over,
    waiting: Waiting,
    trips: u64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
}

impl RoundTrip {
    pub(super) fn new(over: Over, waiting: Waiting, trips: &Trips) -> Self {
        let &Trips { count, p50, p99, p999, max } = trips;
        Self { over, waiting, trips: count, p50_ns: p50, p99_ns: p99, p999_ns: p999, max_ns: max }
    }
}

impl Report {
    pub(super) fn new(file: Option<&Path>, average: usize, longest: usize, processors: Option<[usize; 2]>) -> Self {
        let file = file.map(|path| path.display().to_string());
        Self { file, average, longest, processors, throughput: Vec::new(), round_trip: Vec::new() }
    }

    /// Whether everything arrived as it was sent.
    pub(super) fn is_good(&self) -> bool {
        self.throughput.iter().all(|result| result.identical && result.lost == 0)
    }

    pub(super) fn print(&self) -> Result<(), Failure> {
        let page = Page::of_stdout();
        print::to_stdout(|out| self.write(out, &page))
    }

    fn write(&self, out: &mut dyn Write, page: &Page) -> io::Result<()> {
        let what = self
            .file
            .as_ref()
            .map_or_else(|| "a generated market-data feed".to_owned(), |file| format!("the lines of {file}"));
        writeln!(out, "Two processes, {what}: {} bytes a message on average, {} at most", self.average, self.longest)?;
        match self.processors {
            Some([first, second]) => writeln!(out, "on processors {first} and {second}, one each")?,
            None => writeln!(out, "on one processor, in turns")?,
        }
        let ring = self.throughput.iter().find(|result| result.over == Over::Ring);
        if let Some(ring) = ring {
            page.heading(out, "Through a shared-memory ring")?;
            let content = if ring.identical { "identical, every byte and the order" } else { "DIFFERENT" };
            writeln!(out, "  messages  {}", size::grouped(ring.messages))?;
            writeln!(out, "  bytes     {}", size::grouped(ring.bytes))?;
            writeln!(out, "  lost      {}", size::grouped(ring.lost))?;
            writeln!(out, "  content   {}", page.verdict(content, ring.identical))?;
        }
        page.heading(out, "Throughput: sent, received and checked (longer is better)")?;
        let most = self.throughput.iter().map(|result| result.messages_per_second).fold(0.0, f64::max);
        for result in &self.throughput {
            let share = result.messages_per_second / most;
            page.bar(out, result.over, share)?;
            let (rate, megabytes) = (result.messages_per_second / 1e6, result.bytes_per_second / 1e6);
            write!(out, " {rate:6.2} M msg/s  {megabytes:6.0} MB/s")?;
            if !result.identical {
                write!(out, "  {}", page.verdict(&format!("{} lost, content differs", result.lost), false))?;
            }
            writeln!(out)?;
        }
        for (waiting, how) in
            [(Waiting::Spin, "both sides spin while they wait"), (Waiting::Sleep, "both sides sleep while they wait")]
        {
            page.heading(out, &format!("Round trip of 64 bytes, {how} (shorter is better)"))?;
            let rows = || self.round_trip.iter().filter(|trip| trip.waiting == waiting);
            let most = rows().map(|trip| trip.p50_ns).max().unwrap_or(1).max(1);
            for trip in rows() {
                page.bar(out, trip.over, trip.p50_ns as f64 / most as f64)?;
                let [p50, p99, p999, max] =
                    [trip.p50_ns, trip.p99_ns, trip.p999_ns, trip.max_ns].map(size::nanoseconds);
                writeln!(out, " p50 {p50:>8}  p99 {p99:>8}  p99.9 {p999:>8}  max {max:>8}")?;
            }
        }
        writeln!(out)?;
        let write = size::bytes(WRITE as u64);
        writeln!(
            out,
            "The ring publishes up to {BATCH} messages at once. Pipe and socket are as large as the system makes them,"
        )?;
        writeln!(
            out,
            "carry a length before each message, are written {write} at a time, and read as much as there is."
        )?;
        writeln!(out, "To spin on them is to read without blocking, over and over.")
    }
}

/// Where the result is printed.
struct Page {
    colours: bool,
    blocks: bool,
    /// Characters for a bar.
    width: usize,
}

impl Page {
    fn of_stdout() -> Self {
        let stdout = io::stdout();
        let columns = rustix::termios::tcgetwinsize(&stdout).map_or(100, |size| usize::from(size.ws_col));
        // The longest row has some 75 characters beside its bar.
        let width = columns.saturating_sub(75).clamp(10, 40);
        Self { colours: print::has_colours(&stdout), blocks: stdout.is_terminal(), width }
    }

    fn styled(&self, text: &str, style: Style) -> String {
        if self.colours { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn heading(&self, out: &mut dyn Write, text: &str) -> io::Result<()> {
        writeln!(out, "\n{}", self.styled(text, Style::new().bold()))
    }

    fn verdict(&self, text: &str, is_good: bool) -> String {
        let colour = if is_good { AnsiColor::Green } else { AnsiColor::Red };
        self.styled(text, colour.on_default())
    }

    fn bar(&self, out: &mut dyn Write, over: Over, share: f64) -> io::Result<()> {
        let (name, colour) = match over {
            Over::Ring => ("ring", AnsiColor::Green),
            Over::Pipe => ("pipe", AnsiColor::Blue),
            Over::Socket => ("socket", AnsiColor::Blue),
        };
        let (bar, width) = (bar(share, self.width, self.blocks), self.width);
        let padding = width - bar.chars().count().min(width);
        write!(out, "  {name:<6} {}{:padding$}", self.styled(&bar, colour.on_default()), "")
    }
}

/// A horizontal bar of at most `width` characters, and at least a trace of one.
fn bar(share: f64, width: usize, blocks: bool) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if !blocks {
        return "#".repeat(((share * width as f64).round() as usize).clamp(1, width));
    }
    let eighths = ((share * 8.0 * width as f64).round() as usize).clamp(1, 8 * width);
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(1.0, 10, false), "##########");
        assert_eq!(bar(0.0, 10, false), "#");
        assert_eq!(bar(1.0, 4, true), "████");
        assert_eq!(bar(0.5, 4, true), "██");
        assert_eq!(bar(0.001, 4, true), "▏");
        assert_eq!(bar(0.28, 4, true), "█▏");
    }

    #[test]
    fn a_difference_is_never_good() {
        let digest = Digest { messages: 10, bytes: 100, hash: 7 };
        let report = |sent, received, misnumbered| {
            let mut report = Report::new(None, 10, 10, None);
            report.throughput.push(Throughput::new(Over::Ring, sent, received, misnumbered, 1));
            report.is_good()
        };
        assert!(report(digest, digest, 0));
        assert!(!report(digest, digest, 1));
        assert!(!report(digest, Digest { hash: 8, ..digest }, 0));
        assert!(!report(digest, Digest { messages: 9, ..digest }, 0));
        assert!(!report(digest, Digest { bytes: 99, ..digest }, 0));
    }
}
