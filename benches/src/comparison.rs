//! Channels side by side, by their names: what each can do here, and how fast it is.

use crate::abilities::Abilities;
use crate::measurement::{Interrupted, Interrupts};
use crate::plan::{Cargo, Crew, Plan, Test, Waiting};
use crate::probe::State;
use crate::processes;
use crate::rivals::bare_form;
use crate::suite::{Group, Title, Topic};
use crate::summary::{Row, Section};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// One channel of each mechanism. Rings are there three times over, because of who gets a message, and once more with sides that sleep whenever they
/// wait, as those of the kernel's mechanisms do.
pub const EVERY: &[&str] = &[
    "shm:",
    "shm:?wait=park",
    "shm:?ring=mpmc",
    "shm:?ring=broadcast",
    "file:",
    "sysv-shm:",
    "pipe:",
    "fifo:",
    "mq:",
    "sysv:",
    "unix:?type=stream",
    "unix:?type=seqpacket",
    "unix:?type=dgram",
    "tcp:",
    "udp:",
    "signal:?framing=raw:8",
];

/// What is measured of each channel, in the order of the groups and of a [`Line`]'s figures.
pub const TESTS: usize = 4;

/// A channel that is to be measured.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// As its user names it.
    pub name: String,
    /// What it can do here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abilities: Option<Abilities>,
    /// Or why it cannot be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Takes both sides of each channel once, in a process of its own.
///
/// # Errors
/// [`Interrupted`]. No process is left then.
pub fn look(
    names: &[String],
    directory: Option<&Path>,
    interrupts: &Interrupts,
) -> Result<Vec<Candidate>, Interrupted> {
    let mut candidates = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let title = Title::of(Cargo::Messages(8), 1);
        let plan = plan(name, Test::Look, &title, 0.0, directory);
        let found = processes::play(&plan, number as u64, &|| interrupts.arrived().is_some());
        if let Some(interrupted) = interrupts.arrived() {
            return Err(interrupted);
        }
        let (abilities, refused) = match found {
            Ok(outcome) => (outcome.reading.abilities, None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        candidates.push(Candidate { name: name.clone(), abilities, refused });
    }
    Ok(candidates)
}

/// Bytes of the messages that are sent one by one and together, and that go to and fro.
pub const MESSAGE: usize = 64;
/// Bytes of the large messages.
pub const LARGE: usize = 4096;
/// Messages that are sent together.
pub const BATCH: usize = 64;

/// The longest and the shortest run, in seconds.
const RUN: (f64, f64) = (0.15, 0.02);
/// What a run takes beside the time in which it measures.
const OVERHEAD: f64 = 0.08;

impl Title {
    /// Between two processes.
    fn of(cargo: Cargo, batch: usize) -> Self {
        let topic = Topic::Throughput;
        Self { topic, threads: false, crew: Crew::PAIR, cargo, batch, capacity: SLOTS, rate: 0.0, sleeping: false }
    }
}

/// As many as the consumers receive before they count, twice over. How much a channel holds, its name says.
const SLOTS: usize = 1024;

fn plan(name: &str, test: Test, title: &Title, seconds: f64, directory: Option<&Path>) -> Plan {
    Plan {
        rival: name.to_owned(),
        test,
        cargo: title.cargo,
        crew: title.crew,
        capacity: title.capacity,
        wait: Waiting::Park,
        seconds,
        directory: directory.map(Path::to_owned),
    }
}

/// What is measured of each: messages one by one, in batches, large ones, and the round trip. Those whose messages are shorter send shorter
/// ones, and no large ones. With the bare system calls of those that have them; and with runs of such a length that so many rounds fit into this
/// time, if they can.
#[must_use]
pub fn groups(candidates: &[Candidate], rounds: usize, time: Duration, directory: Option<&Path>) -> Vec<Group> {
    let there: Vec<(&str, usize)> = (candidates.iter())
        .filter_map(|candidate| Some((candidate.name.as_str(), candidate.abilities.as_ref()?.longest)))
        .collect();
    let mut bare: Vec<&str> = there.iter().filter_map(|(name, _)| bare_form(name)).collect();
    bare.dedup();
    let stream = |size, batch| (Test::Stream { batch }, Title::of(Cargo::Messages(size), batch));
    let trip = Title { topic: Topic::RoundTrip, sleeping: true, ..Title::of(Cargo::Messages(MESSAGE), 1) };
    let tests = [stream(MESSAGE, 1), stream(MESSAGE, BATCH), stream(LARGE, 1), (Test::RoundTrip, trip)];
    let mut groups = tests.map(|(test, title)| {
        let channels = there.iter().filter_map(|(name, longest)| {
            let plan = plan(name, test, &title, 0.0, directory);
            match title.cargo {
                Cargo::Messages(size) if size <= *longest => Some(plan),
                Cargo::Messages(LARGE) => None,
                _ => Some(Plan { cargo: Cargo::Messages(8), ..plan }),
            }
        });
        let bare = bare.iter().map(|name| plan(name, test, &title, 0.0, None));
        Group { plans: channels.chain(bare).collect(), title }
    });
    let runs = rounds * groups.iter().map(|group| group.plans.len()).sum::<usize>();
    let seconds = (time.as_secs_f64() / runs.max(1) as f64 - OVERHEAD).clamp(RUN.1, RUN.0);
    for plan in groups.iter_mut().flat_map(|group| &mut group.plans) {
        plan.seconds = seconds;
    }
    groups.into()
}

/// What was measured of a channel, or of bare system calls, in one state of the cores.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// Its name.
    pub name: &'a str,
    /// Messages one by one, in batches, large ones, the round trip.
    pub figures: [Option<&'a Row>; TESTS],
}

/// The lines of each state of the cores in which something was measured, with how long a cache line travelled one way, in nanoseconds.
#[must_use]
pub fn lines<'a>(groups: &[Group], sections: &'a [Section]) -> Vec<(State, f64, Vec<Line<'a>>)> {
    let of_state = |state: State| {
        let section =
            |group: &Group| sections.iter().find(|section| section.state == state && section.title == group.title);
        let sections: Vec<Option<&Section>> = groups.iter().map(section).collect();
        let distance = sections.iter().flatten().map(|section| section.distance).next()?;
        let mut lines: Vec<Line<'a>> = Vec::new();
        for (test, section) in sections.iter().enumerate() {
            for row in section.iter().flat_map(|section| &section.lines) {
                let at = lines.iter().position(|line| line.name == row.name).unwrap_or_else(|| {
                    lines.push(Line { name: &row.name, figures: [None; TESTS] });
                    lines.len() - 1
                });
                lines[at].figures[test] = Some(row);
            }
        }
        // In the order in which they were asked for.
        let order = |line: &Line<'_>| groups.first()?.plans.iter().position(|plan| plan.rival == line.name);
        lines.sort_by_key(order);
        Some((state, distance, lines))
    };
    [State::Sibling, State::Near, State::Far].into_iter().filter_map(of_state).collect()
}
