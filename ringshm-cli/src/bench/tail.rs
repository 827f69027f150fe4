//! `ringshm bench --rt`: how late the latest of ten thousand messages is, with each thing that a real-time program can ask of the machine, and without.

use super::{machine, measured};
use crate::failure::Failure;
use crate::print;
use ringshm_benches::measurement::{Effort, Findings};
use ringshm_benches::plan::Cargo;
use ringshm_benches::setting::Setting;
use ringshm_benches::suite;
use ringshm_benches::summary::Section;
use ringshm_benches::tail::{CAPACITY, Refusal, table};
use serde::Serialize;
use std::time::Duration;

/// Seconds, unless asked otherwise.
const SECONDS: u64 = 60;

#[derive(Debug, Serialize)]
struct Report<'a> {
    sections: &'a [Section],
    refused: &'a [Refusal],
}

pub(super) fn run(args: &super::Args, processors: u32) -> Result<(), Failure> {
    let capacity = args.capacity.map_or(CAPACITY, |capacity| capacity as usize);
    let time = Duration::from_secs(args.seconds.unwrap_or(SECONDS));
    let bytes = Cargo::Messages(64).bytes(capacity.next_power_of_two()) as u64;
    let (mut settings, mut refused) = (Vec::new(), Vec::new());
    for setting in Setting::ALL {
        match setting.refusal(bytes) {
            None => settings.push(setting),
            Some(reason) => refused.push(Refusal { setting: setting.to_string(), reason }),
        }
    }
    let (group, rounds) = suite::tail(capacity, &settings, time);
    let effort = Effort { rounds, time, undisturbed: false };
    let findings = measured(&[group], effort, &super::interrupts()?)?;
    if args.json {
        return print::json(&Report { sections: &findings.sections, refused: &refused });
    }
    let Findings { sections, runs, moved, .. } = &findings;
    print::to_stdout(|out| {
        writeln!(out, "{}", machine(processors))?;
        writeln!(out, "{}", table(sections, &refused))?;
        writeln!(out, "{runs} runs, {moved} of them discarded because the processors moved. {LEGEND}")
    })
}

const LEGEND: &str = "\
Both sides spin, each on a processor of its own, and a message counts from when it was due: whatever holds up the sender counts.
sibling, near, far: how far apart the two processors were, and how long a cache line travelled one way.
A state has the times of all its rounds together; the settings take turns, so that what happens to the machine meets all.
nothing:    the ring's pages are entered by page faults, in the first lap of each round.
huge pages: the ring was made in them; they are entered when a side joins, as by prefault.
SCHED_FIFO: both processes, priority 10. The kernel takes a spinning one off its processor for some 50 ms in each second if anybody
            else is to run there, unless /proc/sys/kernel/sched_rt_runtime_us is -1, or the processor is isolated.

What each of them is for, and what is bounded by what: docs/real-time.md, in the sources of ringshm";
