//! All deaths of a case, and what they have in common.

use crate::case::Case;
use crate::support::Folder;
use crate::trial::{Fate, Scene};
use std::time::Duration;

/// How many deaths of a case are a sample; half as many where the operation asks for the dead, or has very many instructions.
const SAMPLE: usize = 10;
/// So many instructions are very many.
const VERY_MANY: usize = 30_000;
/// Instructions by which reading clocks may differ from run to run.
const CLOCKS: usize = 64;

/// Prints what the columns of the table are.
pub(crate) fn print_title() {
    println!("{:30} {:>6} {:>6} {:>9} {:>9} {:>9}", "case", "steps", "kills", "p50 us", "p99 us", "max us");
}

/// Runs the cases and prints a line for each, and one for all of them. Returns whether all went well.
pub(crate) fn run(cases: &[Case], full: bool) -> bool {
    let mut all = Vec::new();
    let mut failed = Vec::new();
    for case in cases {
        // What fails is told by the panic; the other cases have their turn all the same.
        match std::panic::catch_unwind(|| explore(*case, full)) {
            Ok((steps, mut times)) => {
                print(&case.name(), &steps.to_string(), &mut times);
                all.append(&mut times);
            }
            Err(_) => failed.push(case.name()),
        }
    }
    print("all", "", &mut all);
    failed.iter().for_each(|name| println!("FAILED: {name}"));
    failed.is_empty()
}

/// A line of the table: how long it took the survivors to go on.
fn print(name: &str, steps: &str, times: &mut [Duration]) {
    times.sort();
    let micros = |part: f64| {
        let last = times.len().saturating_sub(1);
        times.get((last as f64 * part) as usize).map_or(0, Duration::as_micros)
    };
    let (kills, p50, p99, max) = (times.len(), micros(0.5), micros(0.99), micros(1.0));
    println!("{name:30} {steps:>6} {kills:6} {p50:9} {p99:9} {max:9}");
}

/// Kills victims along the instructions of one case. Returns how many instructions there are, and how long the survivors took.
fn explore(case: Case, full: bool) -> (usize, Vec<Duration>) {
    let folder = Folder::new();
    let (steps, transferred) = count(case, &folder);
    let sample = if case.state.has_dead() || steps > VERY_MANY { SAMPLE / 2 } else { SAMPLE };
    let stride = if full { 1 } else { steps.div_ceil(sample).max(1) };
    // Where clocks are read, the same moment may come some instructions sooner or later.
    let slack = if case.state.has_dead() { CLOCKS } else { 0 };
    let mut fates: Vec<(usize, Vec<Fate>)> = Vec::new();
    let mut times = Vec::new();
    for step in (0..steps).step_by(stride).chain([steps]) {
        let _context = Context { case, step };
        let (scene, mut victim) = Scene::set(case, &folder);
        let done = victim.steps(step);
        victim.kill();
        let outcome = scene.outlive();
        // It may be shorter this time, if it found no reason to ask for the dead.
        assert!(done <= step);
        for (earlier, before) in fates.iter().filter(|(earlier, _)| earlier + slack < step) {
            let went_on = before.iter().zip(&outcome.fates).all(|(before, after)| before <= after);
            assert!(went_on, "{before:?} after {earlier} instructions, {:?} after {step}", outcome.fates);
        }
        fates.push((step, outcome.fates));
        times.push(outcome.moved);
    }
    let concerned = case.numbers();
    let last = fates.last().map_or(&[][..], |(_, fates)| fates);
    let complete = last.iter().filter(|fate| **fate == Fate::Transferred).count();
    assert!(complete == transferred || concerned.is_empty(), "the operation had returned");
    (steps, times)
}

/// Steps through the whole operation. Returns the number of instructions, and of messages transferred.
fn count(case: Case, folder: &Folder) -> (usize, usize) {
    let (scene, victim) = Scene::set(case, folder);
    let steps = victim.steps(usize::MAX);
    let transferred = victim.finish();
    assert_eq!(transferred, case.transfers(), "{}", case.name());
    scene.outlive();
    (steps, transferred)
}

/// Says what was being done when a check fails.
struct Context {
    case: Case,
    step: usize,
}

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: killed after {} instructions", self.case.name(), self.step);
        }
    }
}
