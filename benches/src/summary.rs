//! What the rounds say: medians with their spread, and ratios within a round, for each state of the cores apart.

use crate::plan::{Cargo, Outcome, Percentiles, Plan, Reading, Test, Waiting};
use crate::probe::{State, median};
use crate::rivals::{self, Side};
use crate::suite::{Group, Title, Topic};
use crate::tail::Tail;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A measured group in one state of the cores.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Section {
    /// What the lines have in common.
    pub title: Title,
    /// How far apart the cores were.
    pub state: State,
    /// How long a cache line travelled one way, in nanoseconds: the median.
    pub distance: f64,
    /// Who, how fast.
    pub lines: Vec<Row>,
}

/// What somebody reached in a section.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Who.
    pub name: String,
    /// Whether it is ringshm, a rival or a limit.
    pub side: Standing,
    /// The median of the rounds: messages in a second, or nanoseconds.
    pub median: f64,
    /// The lowest and the highest of the rounds.
    pub range: (f64, f64),
    /// Bytes of a message, on average.
    #[serde(default)]
    pub bytes: f64,
    /// How many rounds counted.
    pub rounds: usize,
    /// Messages in a second over whole runs; the median of the rounds.
    pub sustained: f64,
    /// How many times as good as the best rival: the median over rounds.
    pub to_rival: Option<f64>,
    /// How many times as good as the best limit, or as the bare form of what it does: the median over rounds.
    pub to_limit: Option<f64>,
    /// How many times as good as each of the others: the medians over rounds.
    pub to: BTreeMap<String, f64>,
    /// The distribution of times in the median round.
    pub spread: Option<Percentiles>,
    /// The share of a core that the consumer used.
    pub cpu: Option<f64>,
    /// The share of the messages that got lost, where that may be; the median of the rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<f64>,
    /// The distribution of times in all rounds together, where that was the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
}

/// [`Side`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// ringshm.
    Ours,
    /// A rival.
    Rival,
    /// A limit.
    Limit,
}

/// A run that counts, or one that does not.
#[derive(Clone, Debug)]
pub struct Run {
    /// The index of its plan in the group.
    pub plan: usize,
    /// Its round.
    pub round: usize,
    /// What it found.
    pub outcome: Outcome,
}

/// The sections of a group, one for each state in which somebody was measured.
#[must_use]
pub fn sections(group: &Group, runs: &[Run]) -> Vec<Section> {
    let state = |run: &Run| State::between(run.outcome.before, run.outcome.after);
    [State::Sibling, State::Near, State::Far]
        .into_iter()
        .filter_map(|wanted| {
            let runs: Vec<&Run> = runs.iter().filter(|run| state(run) == Some(wanted)).collect();
            (!runs.is_empty()).then(|| section(group, wanted, &runs))
        })
        .collect()
}

fn section(group: &Group, state: State, runs: &[&Run]) -> Section {
    let mut distances: Vec<f64> = runs.iter().flat_map(|run| [run.outcome.before, run.outcome.after]).collect();
    let of_plan: Vec<Vec<&Run>> =
        (0..group.plans.len()).map(|plan| runs.iter().copied().filter(|run| run.plan == plan).collect()).collect();
    // A bare copy counts in the messages of the group.
    let cargo = |plan: &Plan| if plan.test == Test::Copy { group.title.cargo } else { plan.cargo };
    let best = |standing, carried: Cargo| {
        let candidates = (0..group.plans.len())
            .filter(|plan| standing_of(&group.plans[*plan]) == standing && cargo(&group.plans[*plan]) == carried);
        let reached = candidates.filter(|plan| !of_plan[*plan].is_empty());
        reached.max_by(|a, b| goodness_of(&of_plan[*a]).total_cmp(&goodness_of(&of_plan[*b])))
    };
    let lines = (group.plans.iter().zip(&of_plan))
        .filter(|(_, runs)| !runs.is_empty())
        .map(|(plan, runs)| {
            let ratio = |other: Option<usize>| other.and_then(|other| ratio(runs, &of_plan[other]));
            let others = group.plans.iter().zip(&of_plan).filter(|(other, _)| *other != plan);
            let (rival, limit) = (best(Standing::Rival, cargo(plan)), best(Standing::Limit, cargo(plan)));
            let name = |plan: &Plan| name(&group.title, plan);
            let to = others.filter_map(|(other, theirs)| Some((name(other), self::ratio(runs, theirs)?))).collect();
            let bytes = cargo(plan).mean_size();
            let bare = bare_form_of(plan).and_then(|bare| group.plans.iter().position(|other| other.rival == bare));
            Row {
                name: name(plan),
                bytes,
                to_rival: ratio(rival),
                to_limit: ratio(bare.or(limit)),
                to,
                ..row(plan, runs)
            }
        })
        .collect();
    Section { title: group.title.clone(), state, distance: median(&mut distances), lines }
}

/// Without its name in the group, and what compares it with others.
fn row(plan: &Plan, runs: &[&Run]) -> Row {
    let mut values: Vec<f64> = runs.iter().map(|run| value(&run.outcome.reading)).collect();
    let middle = median(&mut values);
    let off = |run: &&&Run| (value(&run.outcome.reading) - middle).abs();
    let typical = runs.iter().min_by(|a, b| off(a).total_cmp(&off(b)));
    let mut sustained: Vec<f64> = runs.iter().map(|run| run.outcome.reading.sustained).collect();
    let mut cpu: Vec<f64> = runs.iter().filter_map(|run| run.outcome.reading.cpu).collect();
    let mut lost: Vec<f64> = runs.iter().filter_map(|run| run.outcome.reading.lost).collect();
    Row {
        name: String::new(),
        bytes: 0.0,
        side: standing_of(plan),
        median: middle,
        range: (
            values.iter().copied().fold(f64::INFINITY, f64::min),
            values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        ),
        rounds: runs.len(),
        sustained: median(&mut sustained),
        to_rival: None,
        to_limit: None,
        to: BTreeMap::new(),
        spread: typical.and_then(|run| run.outcome.reading.spread.clone()),
        cpu: (!cpu.is_empty()).then(|| median(&mut cpu)),
        lost: (!lost.is_empty()).then(|| median(&mut lost)),
        tail: Tail::of(runs.iter().map(|run| &run.outcome.reading.counts)),
    }
}

fn name(title: &Title, plan: &Plan) -> String {
    if let (Topic::HandOver, Cargo::Frames { width, height, .. }) = (title.topic, plan.cargo) {
        return format!("{}, {width}x{height}", plan.rival);
    }
    match (plan.test, plan.wait) {
        (Test::Offered { .. }, _) if title.topic == Topic::Borrow => plan.rival.clone(),
        (Test::Offered { .. }, Waiting::Spin) => format!("{}, spin", plan.rival),
        (Test::Offered { .. }, Waiting::Park) => format!("{}, park", plan.rival),
        (Test::Offered { .. }, Waiting::SpinThenPark) => format!("{}, spin then park", plan.rival),
        (Test::Tail { setting, .. }, _) => setting.to_string(),
        (Test::Lossy, _) => match plan.crew.consumers - 1 {
            1 => format!("{}, 1 reader", plan.rival),
            readers => format!("{}, {readers} readers", plan.rival),
        },
        _ => plan.rival.clone(),
    }
}

fn standing_of(plan: &Plan) -> Standing {
    match rivals::named(&plan.rival).map(|rival| rival.side) {
        Ok(Side::Ours) => Standing::Ours,
        Ok(Side::Limit) => Standing::Limit,
        Ok(Side::Theirs) | Err(_) => Standing::Rival,
    }
}

/// The limit that it is compared with, if that is not the best.
fn bare_form_of(plan: &Plan) -> Option<&'static str> {
    let is_asked = matches!(plan.test, Test::Wake | Test::WakeAt { .. });
    is_asked.then(|| rivals::named(&plan.rival).ok()?.bare).flatten()
}

/// Messages in a second, or nanoseconds.
fn value(reading: &Reading) -> f64 {
    if reading.time > 0.0 { reading.time } else { reading.rate }
}

/// Larger is better.
fn goodness(reading: &Reading) -> f64 {
    if reading.time > 0.0 { 1.0 / reading.time } else { reading.rate }
}

impl Run {
    /// What was found, in the terms of the group: the rate of those who take turns is that of the whole run, and a bare copy
    /// counts as so many messages as its bytes would be.
    #[must_use]
    pub fn new(group: &Group, plan: usize, round: usize, mut outcome: Outcome) -> Self {
        let reading = &mut outcome.reading;
        let played = &group.plans[plan];
        if rivals::named(&played.rival).is_ok_and(|rival| rival.takes_turns) {
            reading.rate = reading.whole;
            reading.sustained = reading.whole;
        }
        if played.test == Test::Copy {
            let messages = played.cargo.mean_size() / group.title.cargo.mean_size();
            reading.rate *= messages;
            reading.sustained *= messages;
        }
        Self { plan, round, outcome }
    }
}

fn goodness_of(runs: &[&Run]) -> f64 {
    median(&mut runs.iter().map(|run| goodness(&run.outcome.reading)).collect::<Vec<_>>())
}

/// How many times as good as others one is: the median over the rounds in which both counted.
fn ratio(runs: &[&Run], others: &[&Run]) -> Option<f64> {
    let mut ratios: Vec<f64> = (runs.iter())
        .filter_map(|run| {
            let other = others.iter().find(|other| other.round == run.round)?;
            Some(goodness(&run.outcome.reading) / goodness(&other.outcome.reading))
        })
        .collect();
    (!ratios.is_empty()).then(|| median(&mut ratios))
}
