//! What the child processes of the demonstration do: one end of one measurement each.
//!
//! Standard error carries the result to the parent, as a line of JSON. Where a pipe is measured, it is standard input and output.

use super::feed::{Check, Digest, Feed};
use super::{own, rally};
use crate::failure::Failure;
use clap::ValueEnum;
use ringshm::{Batch, Deadline, Directory, Loss, Opening, RecvTimeoutError};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What one process does in a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Sends the feed.
    Feed,
    /// Receives the feed and checks it.
    Check,
    /// Sends a message, waits for it to come back, measures.
    Serve,
    /// Sends each message back.
    Return,
}

/// How the two sides of a round trip wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Waiting {
    /// They look all the time.
    Spin,
    /// They sleep in the kernel.
    Sleep,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ChildArgs {
    #[arg(long)]
    pub(crate) part: Part,
    /// The name of the channel for the feed, or for the way there.
    #[arg(long)]
    pub(crate) there: String,
    /// The name of the channel for the way back.
    #[arg(long, default_value = "")]
    pub(crate) back: String,
    /// The channels are rings of the usual kind, to be used through handles of their own.
    #[arg(long)]
    pub(crate) own_handles: bool,
    #[arg(long)]
    pub(crate) parent: i32,
    /// The processor to stay on; without one, all processes share a processor.
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
    #[arg(long)]
    pub(crate) waiting: Waiting,
    #[arg(long)]
    pub(crate) messages: Option<u64>,
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
}

/// What a child tells its parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    /// The other process may start.
    Ready,
    /// What was sent, and when it began, on the monotonic clock.
    Sent { digest: Digest, begun: u64 },
    /// What was received, when it was all checked, and whether some of it may get lost on the way.
    Received { digest: Digest, misnumbered: u64, ended: u64, may_lose: bool },
    /// Round trips, in nanoseconds.
    Trips(Trips),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trips {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// Messages that are sent together, and received together.
pub(crate) const BATCH: usize = 64;
/// Where the end of a feed is not told: nothing came for so long.
const SILENCE: Duration = Duration::from_millis(500);

pub(crate) fn run(directory: &Directory, args: &ChildArgs) -> Result<(), Failure> {
    let failed = |error| Failure::at("asking to die with the parent (prctl)", error);
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    if getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(args.parent) {
        return Ok(());
    }
    if let Some(cpu) = args.cpu {
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(None, &set).map_err(|error| Failure::at("staying on a processor", error))?;
    }
    match args.part {
        Part::Feed => feed(directory, args),
        Part::Check => check(directory, args),
        Part::Serve | Part::Return => rally::run(directory, args),
    }
}

impl ChildArgs {
    fn is_over(&self, messages: u64, begun: Instant) -> bool {
        self.messages.is_some_and(|most| messages >= most)
            || self.seconds.is_some_and(|most| begun.elapsed().as_secs_f64() >= most)
    }
}

/// Tells the parent.
pub(crate) fn tell(word: &Word) -> Result<(), Failure> {
    let line = serde_json::to_string(word).map_err(|error| Failure::at("telling the parent", error))?;
    writeln!(io::stderr(), "{line}").map_err(|error| Failure::at("telling the parent", error))
}

/// The monotonic clock, which is the same for all processes.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A channel, with rings in their folder.
pub(crate) fn open(directory: &Directory, name: &str) -> Opening {
    ringshm::open(name).directory(directory.path())
}

/// Closes standard output for good: if that is the pipe, its reader sees the end.
fn close_outlet() -> Result<(), Failure> {
    let null = File::options().write(true).open("/dev/null");
    let null = null.map_err(|error| Failure::at("opening /dev/null", error))?;
    rustix::stdio::dup2_stdout(null).map_err(|error| Failure::at("closing the pipe", error))
}

fn feed(directory: &Directory, args: &ChildArgs) -> Result<(), Failure> {
    let mut feed = Feed::open(args.file.as_deref())?;
    let mut sender = open(directory, &args.there).sender()?;
    let (begun, clock) = (now(), Instant::now());
    let mut messages = 0;
    let mut playing = feed.start();
    while !args.is_over(messages, clock) {
        let left = args.messages.map_or(u64::MAX, |most| most - messages);
        let next = playing.batch(BATCH.min(usize::try_from(left).unwrap_or(BATCH)));
        let count = next.len();
        let mut batch: [&[u8]; BATCH] = [&[]; BATCH];
        batch.iter_mut().zip(next).for_each(|(slot, message)| *slot = message);
        sender.send_slice(&batch[..count]).map_err(Failure::because)?;
        messages += count as u64;
    }
    drop(sender);
    close_outlet()?;
    // What was sent, made once more and digested: the receiver must have seen just that.
    let mut digest = Digest::default();
    let mut playing = feed.start();
    while digest.messages < messages {
        let left = usize::try_from(messages - digest.messages).unwrap_or(BATCH);
        playing.batch(BATCH.min(left)).for_each(|message| digest.add(message));
    }
    tell(&Word::Sent { digest, begun })
}

fn check(directory: &Directory, args: &ChildArgs) -> Result<(), Failure> {
    if args.own_handles {
        let mut check = Check::new(args.file.is_none(), false);
        let mut consumer = own::consumer(directory, args)?;
        tell(&Word::Ready)?;
        own::check(&mut consumer, &mut check)?;
        return tell(&received(check, false, now()));
    }
    let mut receiver = open(directory, &args.there).receiver()?;
    let can = receiver.capabilities();
    let may_lose = can.loss == Loss::AnyTime;
    let mut check = Check::new(args.file.is_none(), may_lose);
    tell(&Word::Ready)?;
    let (mut batch, mut ended) = (Batch::default(), now());
    loop {
        let has_begun = check.digest.messages > 0;
        let deadline = if can.tells_receiver || !has_begun { Deadline::NEVER } else { Deadline::after(SILENCE) };
        match receiver.recv_batch_by(&mut batch, BATCH, deadline) {
            Ok(_) => batch.iter().for_each(|message| check.add(message)),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => break,
            // The check counts them.
            Err(RecvTimeoutError::Lagged(_)) => {}
            Err(error) => return Err(Failure::because(error)),
        }
        batch.clear();
        if !can.tells_receiver {
            ended = now();
        }
    }
    if can.tells_receiver {
        ended = now();
    }
    tell(&received(check, may_lose, ended))
}

fn received(Check { digest, misnumbered, .. }: Check, may_lose: bool, ended: u64) -> Word {
    Word::Received { digest, misnumbered, ended, may_lose }
}
