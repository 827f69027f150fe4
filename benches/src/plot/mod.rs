//! The plots: which figures of the summary belong together.

mod chart;
mod dots;

use crate::comparison::{LARGE, Line, TESTS};
use crate::plan::Cargo;
use crate::probe::State;
use crate::site;
use crate::suite::{Title, Topic};
use crate::summary::{Row, Section, Standing};
use crate::table::{rate, time};
use anyhow::{Context as _, Result};
use chart::{Chart, Label, Series};
use dots::{Dot, Dots};
use std::path::Path;

/// Draws every plot for which there are figures into a folder, which is made. Returns the names of the files.
///
/// # Errors
/// If the folder or a file cannot be written.
pub fn draw(sections: &[Section], folder: &Path) -> Result<Vec<String>> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut names = Vec::new();
    for (name, chart) in charts(sections) {
        if chart.series.iter().any(|series| series.points.len() > 1) {
            let path = folder.join(&name);
            std::fs::write(&path, chart.svg()).with_context(|| format!("writing {}", path.display()))?;
            names.push(name);
        }
    }
    Ok(names)
}

/// The panels of a comparison: what their values are in, and how they are written.
const PANELS: [(&str, f64, Label); TESTS] = [
    ("64 B, one by one", 1.0, rate),
    ("64 B, in batches of 64", 1.0, rate),
    ("4 KiB, one by one", LARGE as f64, |bytes| format!("{:.2} GB/s", bytes / 1e9)),
    ("round trip of 64 B, to p99", 1.0, time),
];

/// The picture of channels side by side, as SVG.
#[must_use]
pub fn comparison(state: State, lines: &[Line<'_>]) -> String {
    let row = |line: &Line<'_>| {
        let dots = line.figures.iter().zip(PANELS).map(|(figure, (_, unit, _))| {
            let row = (*figure)?;
            // Of times the median and the one in a hundred; of rates the range of the rounds.
            let range = row.spread.as_ref().map_or(row.range, |spread| (row.median, spread.p99));
            Some(Dot { value: row.median * unit, range: (range.0 * unit, range.1 * unit) })
        });
        let is_bare = !line.name.contains(':');
        let colour = match site::is_ring(line.name) {
            _ if is_bare => "#7f7f7f",
            true => "#d55e00",
            false => "#0072b2",
        };
        let name = if is_bare { format!("bare {}", line.name) } else { line.name.to_owned() };
        dots::Row { name, colour, dots: dots.collect() }
    };
    let title = format!("Channels between two processes{}", among(Some(state)));
    let panels = PANELS.into_iter().map(|(title, _, label)| (title.to_owned(), label)).collect();
    Dots { title, rows: lines.iter().map(row).collect(), panels }.svg()
}

fn charts(sections: &[Section]) -> Vec<(String, Chart)> {
    let mut charts = Vec::new();
    for (threads, whom) in [(true, "threads"), (false, "processes")] {
        for (batch, how) in [(1, "one by one"), (64, "in batches of 64")] {
            let is_in = |title: &Title| {
                title.topic == Topic::Throughput
                    && title.threads == threads
                    && title.batch == batch
                    && matches!(title.cargo, Cargo::Messages(_))
            };
            let (state, series) = curves(sections, is_in, |title| title.cargo.mean_size(), |row| Some(row.median));
            let suffix = if batch == 1 { "" } else { "-batches" };
            let chart = Chart {
                title: format!("Throughput between {whom}, {how}{}", among(state)),
                x: ("bytes in a message".into(), |size| format!("{size:.0}")),
                y: ("messages in a second".into(), rate),
                series,
            };
            charts.push((format!("throughput-{whom}{suffix}.svg"), chart));
        }
        charts.push((format!("latency-{whom}.svg"), latency(sections, threads, whom)));
    }
    for (batch, how) in [(1, "one by one"), (64, "in batches of 64")] {
        charts.extend([Topic::Mpmc, Topic::Broadcast].map(|topic| crowd(sections, topic, batch, how)));
    }
    let (state, series) =
        curves(sections, |title| title.topic == Topic::RingSize, |title| title.capacity as f64, |row| Some(row.median));
    let chart = Chart {
        title: format!("Throughput against the size of the ring, 64 bytes, one by one{}", among(state)),
        x: ("slots in the ring".into(), |slots| format!("{slots:.0}")),
        y: ("messages in a second".into(), rate),
        series,
    };
    charts.push(("ring-size.svg".into(), chart));
    charts.push(("frames.svg".into(), frames(sections)));
    charts.push(("waiting.svg".into(), waiting(sections, "median latency", |row| Some(row.median), time)));
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    charts.push(("waiting-cpu.svg".into(), waiting(sections, "consumer's share of its core", |row| row.cpu, percent)));
    charts
}

/// What it costs to hand over frames, by their size; and what copying them would.
fn frames(sections: &[Section]) -> Chart {
    let lines = |section: &&Section| section.lines.len();
    let section = sections.iter().filter(|section| section.title.topic == Topic::HandOver).max_by_key(lines);
    let mut series: Vec<Series> = Vec::new();
    for row in section.into_iter().flat_map(|section| &section.lines) {
        // A bare copy is of one size. It takes time in proportion.
        let (name, points) = match row.name.rsplit_once(", ") {
            Some((name, _)) => (name, vec![(row.bytes, 1e9 / row.median)]),
            None => (row.name.as_str(), COPIED.map(|bytes| (bytes, 1e9 * bytes / (row.median * row.bytes))).to_vec()),
        };
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.extend(points),
            None => series.push(Series { name: name.to_owned(), is_ours: row.side == Standing::Ours, points }),
        }
    }
    Chart {
        title: format!("Handing over a frame against its size{}", among(section.map(|section| section.state))),
        x: ("bytes of a frame".into(), bytes),
        y: ("time of a frame".into(), time),
        series,
    }
}

/// The sizes between which the time of a copy is drawn: those of the smallest and the largest frame.
const COPIED: [f64; 2] = [4224.0, 12_441_600.0];

fn bytes(bytes: f64) -> String {
    if bytes < 1e6 { format!("{:.0} KB", bytes / 1e3) } else { format!("{:.1} MB", bytes / 1e6) }
}

/// Throughput among so many, of messages of eight bytes.
fn crowd(sections: &[Section], topic: Topic, batch: usize, how: &str) -> (String, Chart) {
    let is_in = |title: &Title| title.topic == topic && title.batch == batch && title.cargo == Cargo::Messages(8);
    let (state, series) = curves(sections, is_in, |title| title.crew.consumers as f64, |row| Some(row.median));
    let (name, what, many) = match topic {
        Topic::Mpmc => ("mpmc", "MPMC, all consumers together", "producers, and as many consumers"),
        _ => ("broadcast", "Broadcast, each consumer", "consumers of one producer"),
    };
    let chart = Chart {
        title: format!("{what}, 8 bytes, {how}{}", among(state)),
        x: (many.into(), |many| format!("{many:.0}")),
        y: ("messages in a second".into(), rate),
        series,
    };
    (format!("{name}{}.svg", if batch == 1 { "" } else { "-batches" }), chart)
}

/// The percentiles of round trips, of the smallest messages measured.
fn latency(sections: &[Section], threads: bool, whom: &str) -> Chart {
    let is_in = |section: &&Section| {
        let title = &section.title;
        title.topic == Topic::RoundTrip && title.threads == threads && !title.sleeping
    };
    let section = sections.iter().filter(is_in).max_by_key(|section| section.lines.len());
    let series = section.into_iter().flat_map(|section| &section.lines).filter_map(|row| {
        let spread = row.spread.as_ref()?;
        // One in two, ten, a hundred, a thousand.
        let points = vec![(2.0, spread.p50), (10.0, spread.p90), (100.0, spread.p99), (1000.0, spread.p999)];
        Some(Series { name: row.name.clone(), is_ours: row.side == Standing::Ours, points })
    });
    Chart {
        title: format!("Round trip between {whom}, spinning{}", among(section.map(|section| section.state))),
        x: ("one trip in so many is longer".into(), |one_in| format!("{one_in:.0}")),
        y: ("round trip".into(), time),
        series: series.collect(),
    }
}

fn waiting(sections: &[Section], what: &str, y: impl Fn(&Row) -> Option<f64>, label: fn(f64) -> String) -> Chart {
    let (state, series) = curves(sections, |title| title.topic == Topic::Waiting, |title| title.rate, y);
    Chart {
        title: format!("Waiting for messages at an offered rate: {what}{}", among(state)),
        x: ("messages offered in a second".into(), rate),
        y: (what.into(), label),
        series,
    }
}

fn among(state: Option<State>) -> String {
    state.map_or_else(String::new, |state| format!(" ({state} cores)"))
}

/// A curve for everybody, over the sections of the state in which most was measured.
fn curves(
    sections: &[Section],
    is_in: impl Fn(&Title) -> bool,
    x: impl Fn(&Title) -> f64,
    y: impl Fn(&Row) -> Option<f64>,
) -> (Option<State>, Vec<Series>) {
    let lines = |state: State| -> usize {
        let of_state = sections.iter().filter(|section| section.state == state && is_in(&section.title));
        of_state.map(|section| section.lines.len()).sum()
    };
    let states = [State::Sibling, State::Near, State::Far];
    let Some(state) = states.into_iter().filter(|state| lines(*state) > 0).max_by_key(|state| lines(*state)) else {
        return (None, Vec::new());
    };
    let mut series: Vec<Series> = Vec::new();
    for section in sections.iter().filter(|section| section.state == state && is_in(&section.title)) {
        for row in &section.lines {
            let Some(y) = y(row) else { continue };
            let index = series.iter().position(|series| series.name == row.name).unwrap_or_else(|| {
                let is_ours = row.side == Standing::Ours;
                series.push(Series { name: row.name.clone(), is_ours, points: Vec::new() });
                series.len() - 1
            });
            series[index].points.push((x(&section.title), y));
        }
    }
    for series in &mut series {
        series.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    (Some(state), series)
}
