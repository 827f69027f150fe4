//! What the child processes of the demonstration do: one end of one measurement each.
//!
//! Standard input and output are the pipes or the socket that are measured; standard error carries the result to the parent,
//! as a line of JSON.

use super::feed::{Check, Digest, Feed};
use super::rally;
use crate::failure::Failure;
use crate::framing::{Cut, Framing};
use crate::input::Input;
use clap::ValueEnum;
use ringshm::{Builder, Directory, RecordConsumer, RecordProducer, RecvError, Wait};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Over {
    Ring,
    Pipe,
    Socket,
}

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
    #[arg(long)]
    pub(crate) over: Over,
    /// The ring, or what the names of the two rings begin with.
    #[arg(long)]
    pub(crate) ring: String,
    /// Of the ring for the feed.
    #[arg(long)]
    pub(crate) capacity: u64,
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
    /// What was received, and when it was all checked.
    Received { digest: Digest, misnumbered: u64, ended: u64 },
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

/// Messages that are published together, and released together.
pub(crate) const BATCH: usize = 64;
/// Bytes that are written together to a pipe or a socket.
pub(crate) const WRITE: usize = 64 << 10;

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
    pub(crate) fn strategy(&self) -> Wait {
        match (self.part, self.waiting, self.cpu) {
            (_, Waiting::Sleep, _) => Wait::Park,
            (_, Waiting::Spin, None) => Wait::SpinThenYield(Duration::from_micros(1)),
            (Part::Feed | Part::Check, Waiting::Spin, Some(_)) => Wait::default(),
            (Part::Serve | Part::Return, Waiting::Spin, Some(_)) => Wait::Spin,
        }
    }

    fn ring_of_records(&self, directory: &Directory) -> Builder<[u8]> {
        let ring = ringshm::spsc::<[u8]>(&self.ring).directory(directory.path());
        ring.capacity(self.capacity).wait(self.strategy())
    }

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

/// The end of the pipe or socket that is written.
pub(crate) fn outlet() -> Result<File, Failure> {
    let file = io::stdout().as_fd().try_clone_to_owned().map_err(|error| Failure::at("opening the pipe", error))?;
    Ok(File::from(file))
}

/// The end of the pipe or socket that is read.
pub(crate) fn inlet() -> Result<File, Failure> {
    let file = io::stdin().as_fd().try_clone_to_owned().map_err(|error| Failure::at("opening the pipe", error))?;
    Ok(File::from(file))
}

/// Closes the written end of the pipe or socket for good: its reader sees the end.
fn close_outlet() -> Result<(), Failure> {
    let null = File::options().write(true).open("/dev/null");
    let null = null.map_err(|error| Failure::at("opening /dev/null", error))?;
    rustix::stdio::dup2_stdout(null).map_err(|error| Failure::at("closing the pipe", error))
}

/// Where the feed goes.
#[allow(clippy::large_enum_variant, reason = "a process has one")]
enum Sink {
    Ring(RecordProducer),
    Stream { file: File, buffer: Vec<u8> },
}

impl Sink {
    /// Takes up to [`BATCH`] messages.
    #[inline]
    fn send<'a>(&mut self, messages: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<(), Failure> {
        match self {
            Self::Ring(producer) => {
                let count = messages.len();
                let mut batch: [&[u8]; BATCH] = [&[]; BATCH];
                batch.iter_mut().zip(messages).for_each(|(slot, message)| *slot = message);
                producer.send_slice(&batch[..count]).map_err(|error| Failure::new(error.to_string()))
            }
            Self::Stream { buffer, .. } => {
                messages.for_each(|message| Framing::Len32.join(message, buffer));
                if buffer.len() >= WRITE { self.write() } else { Ok(()) }
            }
        }
    }

    fn write(&mut self) -> Result<(), Failure> {
        if let Self::Stream { file, buffer } = self {
            file.write_all(buffer).map_err(|error| Failure::at("writing", error))?;
            buffer.clear();
        }
        Ok(())
    }
}

fn feed(directory: &Directory, args: &ChildArgs) -> Result<(), Failure> {
    let mut feed = Feed::open(args.file.as_deref())?;
    let mut sink = match args.over {
        Over::Ring => Sink::Ring(args.ring_of_records(directory).producer()?),
        Over::Pipe | Over::Socket => Sink::Stream { file: outlet()?, buffer: Vec::with_capacity(2 * WRITE) },
    };
    let (begun, clock) = (now(), Instant::now());
    let mut messages = 0;
    let mut playing = feed.start();
    while !args.is_over(messages, clock) {
        let left = args.messages.map_or(u64::MAX, |most| most - messages);
        let batch = playing.batch(BATCH.min(usize::try_from(left).unwrap_or(BATCH)));
        messages += batch.len() as u64;
        sink.send(batch)?;
    }
    sink.write()?;
    drop(sink);
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
    let mut check = Check::new(args.file.is_none());
    match args.over {
        Over::Ring => {
            let mut consumer = args.ring_of_records(directory).consumer()?;
            tell(&Word::Ready)?;
            check_ring(&mut consumer, &mut check)?;
        }
        Over::Pipe | Over::Socket => {
            let mut input = Input::new(inlet()?, Framing::Len32);
            tell(&Word::Ready)?;
            check_stream(&mut input, &mut check)?;
        }
    }
    tell(&Word::Received { digest: check.digest, misnumbered: check.misnumbered, ended: now() })
}

fn check_ring(consumer: &mut RecordConsumer, check: &mut Check) -> Result<(), Failure> {
    loop {
        let mut drain = match consumer.drain() {
            Ok(drain) => drain,
            Err(RecvError::Disconnected) => return Ok(()),
            Err(error) => return Err(Failure::new(error.to_string())),
        };
        while drain.taken() < BATCH as u64 {
            match drain.next()? {
                Some(message) => check.add(message),
                None => break,
            }
        }
    }
}

fn check_stream(input: &mut Input, check: &mut Check) -> Result<(), Failure> {
    loop {
        match input.look(0) {
            Cut::Record { payload, span, .. } => {
                check.add(payload);
                input.take(span);
            }
            Cut::Part { searched, .. } => input.fill(searched).map_err(|error| Failure::at("reading", error))?,
            Cut::End => return Ok(()),
            Cut::Truncated { .. } => return Err(Failure::new("the stream ended in the middle of a message")),
            Cut::Malformed => return Err(Failure::new("the stream is none of messages")),
        }
    }
}
