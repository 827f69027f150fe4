//! The summary as a table for people.

use crate::plan::{Cargo, Pixels};
use crate::suite::Topic;
use crate::summary::{Row, Section};
use core::fmt::Write as _;

/// A table of all sections.
#[must_use]
pub fn of(sections: &[Section]) -> String {
    let mut table = String::new();
    for section in sections {
        let _ = writeln!(table, "\n{} [{}, {:.0} ns]", section.title, section.state, section.distance);
        let is_time = matches!(
            section.title.topic,
            Topic::RoundTrip
                | Topic::WakeUp
                | Topic::Waiting
                | Topic::Latest
                | Topic::Alone
                | Topic::Recovery
                | Topic::Borrow
                | Topic::Newest
        );
        let columns = match section.title.cargo {
            _ if is_time => "p99     p99.9       max    cpu",
            // Nobody moves them: what it would come to if somebody did.
            Cargo::Frames { pixels: Pixels::Untouched, .. } => "GB/s, if copied",
            _ => "GB/s",
        };
        let _ = writeln!(
            table,
            "  {:<26}{:>11}{:>22}{:>4}{:>10}{:>10}   {columns}",
            "", "median", "range", "n", "x rival", "x limit"
        );
        for row in &section.lines {
            let _ = writeln!(table, "{}", line(row, is_time));
        }
        if section.title.topic == Topic::HandOver {
            table.push_str(&flatness(&section.lines));
        }
    }
    table
}

fn line(row: &Row, is_time: bool) -> String {
    let value = |value: f64| if is_time { time(value) } else { rate(value) };
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    let range = format!("{} .. {}", value(row.range.0), value(row.range.1));
    let mut line = format!(
        "  {:<26}{:>11}{range:>22}{:>4}{:>10}{:>10}   ",
        row.name,
        value(row.median),
        row.rounds,
        ratio(row.to_rival),
        ratio(row.to_limit),
    );
    if let Some(spread) = &row.spread {
        let _ = write!(line, "{:<8}{:<10}{:<10}", time(spread.p99), time(spread.p999), time(spread.max));
        if let Some(cpu) = row.cpu {
            let _ = write!(line, "{:3.0} %", cpu * 100.0);
        }
        if let Some(lost) = row.lost {
            let _ = write!(line, "   {:3.0} % skipped", lost * 100.0);
        }
    } else if !is_time {
        let _ = write!(line, "{:.2}", row.median * row.bytes / 1e9);
    }
    line
}

/// How many times as long as one of the smallest frames one of each other size takes: the medians over rounds.
fn flatness(rows: &[Row]) -> String {
    let mut text = String::new();
    let sized: Vec<(&str, &str, &Row)> =
        rows.iter().filter_map(|row| row.name.rsplit_once(", ").map(|(name, size)| (name, size, row))).collect();
    for (index, (name, size, smallest)) in sized.iter().enumerate() {
        if sized[..index].iter().any(|(earlier, ..)| earlier == name) {
            continue;
        }
        let others = sized[index + 1..].iter().filter(|(other, ..)| other == name);
        let times = others.filter_map(|(_, size, row)| Some(format!("{size} {:.2}", smallest.to.get(&row.name)?)));
        let times: Vec<String> = times.collect();
        let _ = writeln!(text, "  {name}, times the time of {size}: {}", times.join(", "));
    }
    text
}

/// A rate, as people write it.
#[must_use]
pub fn rate(rate: f64) -> String {
    match rate {
        1e8.. => format!("{:.0} M/s", rate / 1e6),
        1e6.. => format!("{:.1} M/s", rate / 1e6),
        1e4.. => format!("{:.0} k/s", rate / 1e3),
        1e3.. => format!("{:.1} k/s", rate / 1e3),
        _ => format!("{rate:.0} /s"),
    }
}

/// A time in nanoseconds, as people write it.
#[must_use]
pub fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        1e7.. => format!("{:.0} ms", nanoseconds / 1e6),
        1e6.. => format!("{:.1} ms", nanoseconds / 1e6),
        1e4.. => format!("{:.0} us", nanoseconds / 1e3),
        1e3.. => format!("{:.1} us", nanoseconds / 1e3),
        _ => format!("{nanoseconds:.0} ns"),
    }
}
