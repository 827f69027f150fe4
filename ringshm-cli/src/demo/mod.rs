//! `ringshm demo`: what this machine does.
//!
//! Two child processes stream a feed, then play a message to and fro: through rings, and for comparison through pipes and
//! through Unix sockets, or through the channels that the user names. The parent starts them, shows how far they are, and compares
//! what they say.
//!
//! | file | what |
//! |---|---|
//! | `stage` | two processes and what lies between them; whatever happens, nothing of it stays |
//! | `child` | what the processes do |
//! | `rally` | round trips |
//! | `own` | the usual ring, through handles of its own |
//! | `feed` | the messages, and the check that they arrived |
//! | `report` | the result, for people and for programs |

mod child;
mod feed;
mod own;
mod rally;
mod report;
mod stage;

pub(crate) use child::{ChildArgs, run as run_child};

use crate::failure::Failure;
use crate::print::{self, Format};
use child::{Part, Waiting, Word};
use feed::Feed;
use report::{Report, RoundTrip, Throughput};
use ringshm::Directory;
use ringshm_benches::site;
use rustix::thread::{CpuSet, sched_getaffinity};
use stage::{Ending, Stage, Theatre};
use std::path::PathBuf;
use std::process::ExitCode;

/// The hidden command of the child processes.
pub(crate) const CHILD: &str = "demo-child";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The channels to use instead of a ring, a pipe and a Unix socket, by their names, such as tcp: mq: shm:?ring=mpmc. What counts is the
    /// scheme, the options, and the folder or the host: each is a channel of its own
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Send so many messages over each transport [default: as many as --seconds allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Send over each transport for so long [default: 2, or without limit if --messages is given]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// Send the lines of a file, over and over, instead of a generated feed
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// How to print
    #[arg(long, value_name = "HOW", default_value = "table")]
    format: Format,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds.is_finite() => Ok(seconds),
        _ => Err("a number of seconds, more than 0".to_owned()),
    }
}

/// How long one kind of round trip is measured, at most.
const RALLY_SECONDS: f64 = 0.5;
/// How long the feed is sent over each transport by default.
const FEED_SECONDS: f64 = 2.0;
/// The size of the ring for the feed: small enough for a processor's own cache.
const CAPACITY: u64 = 1 << 20;

/// What messages go over.
#[derive(Clone, Debug)]
struct Over {
    /// What it is called in the report.
    label: String,
    /// The name that a channel of its own is made of.
    name: String,
    /// A ring of the usual kind, used through its own handles instead of those that all channels have.
    own_handles: bool,
}

impl Over {
    /// What is compared unless the user names channels.
    fn usual(capacity: u64) -> Vec<Self> {
        let ring = format!("shm:?capacity={capacity}");
        let usual = [("ring", ring.as_str()), ("pipe", "pipe:"), ("socket", "unix:?type=stream")];
        let over = |(label, name): (&str, &str)| Self {
            label: label.to_owned(),
            name: name.to_owned(),
            own_handles: label == "ring",
        };
        usual.map(over).into()
    }

    fn named(name: &str) -> Result<Self, Failure> {
        ringshm::open(name).check()?;
        Ok(Self { label: name.to_owned(), name: name.to_owned(), own_handles: false })
    }

    fn is_ring(&self) -> bool {
        site::is_ring(&self.name)
    }
}

/// Exits with 1 if a message was lost or changed.
pub(crate) fn run(directory: &Directory, args: &Args) -> Result<ExitCode, Failure> {
    let mut theatre = Theatre::open(directory)?;
    let report = match play(&mut theatre, args) {
        Ok(report) => report,
        Err(Ending::Failed(failure)) => return Err(failure),
        Err(Ending::Interrupted(signal)) => {
            drop(theatre);
            // Everything is cleaned up: now the signal may have its way.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            return Err(Failure::new("interrupted"));
        }
    };
    drop(theatre);
    match args.format {
        Format::Json => print::json(&report)?,
        Format::Table => report.print()?,
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn play(theatre: &mut Theatre, args: &Args) -> Result<Report, Ending> {
    let feed = Feed::open(args.file.as_deref())?;
    let capacity = CAPACITY.max(4 * feed.longest() as u64);
    let (average, longest) = (feed.average(), feed.longest());
    drop(feed);
    let seconds = args.seconds.or_else(|| args.messages.is_none().then_some(FEED_SECONDS));
    let processors = two_processors();
    let stage = |over: &Over, waiting, parts, seconds| Stage {
        over: over.clone(),
        waiting,
        parts,
        seconds,
        messages: args.messages,
        file: args.file.clone(),
        processors,
    };
    let all = match &args.names[..] {
        [] => Over::usual(capacity),
        names => names.iter().map(|name| Over::named(name)).collect::<Result<_, _>>()?,
    };
    let mut report = Report::new(args.file.as_deref(), average, longest, processors);
    for over in &all {
        let words = theatre.play(&stage(over, Waiting::Spin, [Part::Check, Part::Feed], seconds))?;
        match words {
            [
                Some(Word::Received { digest, misnumbered, ended, may_lose }),
                Some(Word::Sent { digest: sent, begun }),
            ] => {
                let time = ended.saturating_sub(begun);
                report.throughput.push(Throughput::new(over, sent, digest, misnumbered, may_lose, time));
            }
            _ => return Err(Failure::new("a child process ended without a result").into()),
        }
    }
    for waiting in [Waiting::Spin, Waiting::Sleep] {
        for over in &all {
            match theatre.play(&stage(over, waiting, [Part::Return, Part::Serve], Some(RALLY_SECONDS)))? {
                [_, Some(Word::Trips(trips))] => report.round_trip.push(RoundTrip::new(over, waiting, &trips)),
                _ => return Err(Failure::new("a child process ended without a result").into()),
            }
        }
    }
    Ok(report)
}

/// Two processors that this process may use, on different cores if possible. `None` if there is only one.
fn two_processors() -> Option<[usize; 2]> {
    let set = sched_getaffinity(None).ok()?;
    let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect();
    let (&first, others) = usable.split_first()?;
    let path = format!("/sys/devices/system/cpu/cpu{first}/topology/thread_siblings_list");
    let siblings = std::fs::read_to_string(path).unwrap_or_default();
    let is_sibling = |processor: usize| {
        siblings.trim().split(',').any(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            matches!((from.parse(), to.parse()), (Ok(from), Ok(to)) if (from..=to).contains(&processor))
        })
    };
    let second = others.iter().find(|&&processor| !is_sibling(processor)).or(others.first())?;
    Some([first, *second])
}
