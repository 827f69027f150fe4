//! The result of the demonstration, for people and for programs.

use super::Over;
use super::child::{BATCH, Trips, Waiting};
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
    over: String,
    #[serde(skip)]
    is_ring: bool,
    /// Received.
    messages: u64,
    /// Received.
    bytes: u64,
    /// Messages that were sent and not received.
    lost: u64,
    /// Messages that did not have the number that was due.
    misnumbered: u64,
    /// Whether that may be, over this channel.
    may_lose: bool,
    /// Whether every byte of every message is the same, in the same order.
    identical: bool,
    /// From the first message sent to the last one checked.
    seconds: f64,
    messages_per_second: f64,
    bytes_per_second: f64,
}

impl Throughput {
    pub(super) fn new(
        over: &Over,
        sent: Digest,
        received: Digest,
        misnumbered: u64,
        may_lose: bool,
        nanoseconds: u64,
    ) -> Self {
        let seconds = nanoseconds.max(1) as f64 / 1e9;
        Self {
            over: over.label.clone(),
            is_ring: over.is_ring(),
            messages: received.messages,
            bytes: received.bytes,
            lost: sent.messages.saturating_sub(received.messages),
            misnumbered,
            may_lose,
            identical: sent == received && misnumbered == 0,
            seconds,
            messages_per_second: received.messages as f64 / seconds,
            bytes_per_second: received.bytes as f64 / seconds,
        }
    }

    /// Whether everything arrived as it was sent, or what may happen has happened.
    fn is_good(&self) -> bool {
        self.identical || (self.may_lose && self.misnumbered == 0 && self.lost > 0)
    }

    /// What is to be said of what arrived.
    fn verdict(&self) -> String {
        match (self.identical, self.is_good()) {
            (true, _) => "identical, every byte and the order".to_owned(),
            (false, true) => format!("{} lost, as may happen", size::grouped(self.lost)),
            (false, false) => format!("{} lost, content differs", size::grouped(self.lost)),
        }
    }
}

/// A message went to and fro.
#[derive(Debug, Serialize)]
pub(super) struct RoundTrip {
    over: String,
    #[serde(skip)]
    is_ring: bool,
    waiting: Waiting,
    trips: u64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
}

impl RoundTrip {
    pub(super) fn new(over: &Over, waiting: Waiting, trips: &Trips) -> Self {
        let &Trips { count, p50, p99, p999, max } = trips;
        let (over, is_ring) = (over.label.clone(), over.is_ring());
        Self { over, is_ring, waiting, trips: count, p50_ns: p50, p99_ns: p99, p999_ns: p999, max_ns: max }
    }
}

impl Report {
    pub(super) fn new(file: Option<&Path>, average: usize, longest: usize, processors: Option<[usize; 2]>) -> Self {
        let file = file.map(|path| path.display().to_string());
        Self { file, average, longest, processors, throughput: Vec::new(), round_trip: Vec::new() }
    }

    /// Whether everything arrived as it was sent.
    pub(super) fn is_good(&self) -> bool {
        self.throughput.iter().all(Throughput::is_good)
    }

    pub(super) fn print(&self) -> Result<(), Failure> {
        let names = self.throughput.iter().map(|result| result.over.chars().count()).max();
        let page = Page::of_stdout(names.unwrap_or(0));
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
        if let Some(first) = self.throughput.first() {
            let through = if first.is_ring { "a shared-memory ring" } else { &first.over };
            page.heading(out, &format!("Through {through}"))?;
            writeln!(out, "  messages  {}", size::grouped(first.messages))?;
            writeln!(out, "  bytes     {}", size::grouped(first.bytes))?;
            writeln!(out, "  lost      {}", size::grouped(first.lost))?;
            writeln!(out, "  content   {}", page.verdict(&first.verdict(), first.is_good()))?;
        }
        page.heading(out, "Throughput: sent, received and checked (longer is better)")?;
        let most = self.throughput.iter().map(|result| result.messages_per_second).fold(0.0, f64::max);
        for result in &self.throughput {
            let share = result.messages_per_second / most;
            page.bar(out, &result.over, result.is_ring, share)?;
            let (rate, megabytes) = (result.messages_per_second / 1e6, result.bytes_per_second / 1e6);
            write!(out, " {rate:6.2} M msg/s  {megabytes:6.0} MB/s")?;
            if !result.identical {
                write!(out, "  {}", page.verdict(&result.verdict(), result.is_good()))?;
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
                page.bar(out, &trip.over, trip.is_ring, trip.p50_ns as f64 / most as f64)?;
                let [p50, p99, p999, max] =
                    [trip.p50_ns, trip.p99_ns, trip.p999_ns, trip.max_ns].map(size::nanoseconds);
                writeln!(out, " p50 {p50:>8}  p99 {p99:>8}  p99.9 {p999:>8}  max {max:>8}")?;
            }
        }
        writeln!(out)?;
        writeln!(out, "Each is used through its name alone, and sends and receives up to {BATCH} messages at once.")?;
        writeln!(out, "To spin is to look without sleeping, over and over.")
    }
}

/// Where the result is printed.
struct Page {
    colours: bool,
    blocks: bool,
    /// Characters for a name.
    names: usize,
    /// Characters for a bar.
    width: usize,
}

impl Page {
    /// For names of so many characters.
    fn of_stdout(names: usize) -> Self {
        let stdout = io::stdout();
        let columns = rustix::termios::tcgetwinsize(&stdout).map_or(100, |size| usize::from(size.ws_col));
        // The longest row has some 70 characters beside its name and its bar.
        let width = columns.saturating_sub(70 + names).clamp(10, 40);
        Self { colours: print::has_colours(&stdout), blocks: stdout.is_terminal(), names, width }
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

    fn bar(&self, out: &mut dyn Write, name: &str, is_ring: bool, share: f64) -> io::Result<()> {
        let colour = if is_ring { AnsiColor::Green } else { AnsiColor::Blue };
        let (bar, width, names) = (bar(share, self.width, self.blocks), self.width, self.names);
        let padding = width - bar.chars().count().min(width);
        write!(out, "  {name:<names$} {}{:padding$}", self.styled(&bar, colour.on_default()), "")
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
        let over = Over { label: "ring".to_owned(), name: "shm:".to_owned(), own_handles: false };
        let report = |received, misnumbered, may_lose| {
            let mut report = Report::new(None, 10, 10, None);
            report.throughput.push(Throughput::new(&over, digest, received, misnumbered, may_lose, 1));
            report.is_good()
        };
        assert!(report(digest, 0, false));
        assert!(!report(digest, 1, false));
        assert!(!report(Digest { hash: 8, ..digest }, 0, false));
        assert!(!report(Digest { messages: 9, ..digest }, 0, false));
        assert!(!report(Digest { bytes: 99, ..digest }, 0, false));
        // A channel that may lose messages may do nothing else.
        assert!(report(Digest { messages: 9, ..digest }, 0, true));
        assert!(!report(Digest { messages: 9, ..digest }, 1, true));
        assert!(!report(Digest { hash: 8, ..digest }, 0, true));
    }
}
