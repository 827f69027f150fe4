//! `ringshm recv`: a ring to a byte stream.
//!
//! Records are released only after they were written to standard output, so a killed `recv` loses nothing: the next one, or another
//! one of an MPMC ring, gets what this one had in its hands. Of a broadcast ring each reader has its own copy, and a killed one
//! begins anew. It always leaves as one that may come back (`detach`): a sender never fails because a receiver went away.

use crate::failure::Failure;
use crate::framing::{Framing, FramingArgs};
use crate::ring::{Kind, RingArgs};
use crate::send::summary;
use crate::size;
use crate::source::{Ending, Outlet, Register, Source, Step, Tally, Value, WRITE, Worker, subscribe};
use clap::ValueEnum;
use ringshm::broadcast::Start;
use ringshm::{Directory, OnDeath};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::Instant;

const AFTER_HELP: &str = "\
With --ring mpmc each record is released when it was written; if this process is killed before, another receiver gets it again, and
says so at its end.

With --ring broadcast the sender waits for every receiver, unless it is --lossy: then it says at its end how many records it missed.

With --ring latest the newest record is written, as soon as there is one, and that is all; with --count N or --follow, each newer one
that is there when it looks.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The ring; it is created if there is none
    name: String,
    #[command(flatten)]
    ring: RingArgs,
    #[command(flatten)]
    framing: FramingArgs,
    /// Stop after N records and leave the others to a later recv
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// If the producer dies, wait for the next one; end when a producer closes the ring
    #[arg(long)]
    follow: bool,
    /// With --ring broadcast: where to begin [default: oldest]
    #[arg(long, value_name = "WHERE")]
    from: Option<From>,
    /// With --ring broadcast: let the sender overwrite what this receiver is too slow for
    #[arg(long)]
    lossy: bool,
    /// Print a summary to standard error at the end
    #[arg(long)]
    stats: bool,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    /// At the oldest record that is still there
    Oldest,
    /// At the next one to be sent
    Newest,
}

impl Args {
    fn source(&self, directory: &Directory) -> Result<Box<dyn Source>, Failure> {
        self.ring.check()?;
        self.ring.refuse(self.from.is_some(), "--from", &[Kind::Broadcast])?;
        self.ring.refuse(self.lossy, "--lossy", &[Kind::Broadcast])?;
        let on_death = if self.follow { OnDeath::AwaitSuccessor } else { OnDeath::Disconnect };
        let name = self.name.as_str();
        Ok(match self.ring.kind {
            Kind::Spsc => Box::new(self.ring.describe(ringshm::spsc::<[u8]>(name), directory, on_death).consumer()?),
            Kind::Mpmc => Box::new(Worker::join(self.ring.mpmc(name, directory, on_death), directory, name)?),
            Kind::Broadcast => {
                let builder = self.ring.describe(ringshm::broadcast::<[u8]>(name), directory, on_death);
                let start = match self.from {
                    None | Some(From::Oldest) => Start::Oldest,
                    Some(From::Newest) => Start::Newest,
                };
                subscribe(builder, start, self.lossy)?
            }
            Kind::Latest => {
                let builder = self.ring.describe(ringshm::latest::<Value>(name), directory, on_death);
                Box::new(Register::join(builder, self.wanted() > 1)?)
            }
        })
    }

    /// How many records to receive.
    fn wanted(&self) -> u64 {
        let all = if self.ring.kind == Kind::Latest && !self.follow { 1 } else { u64::MAX };
        self.count.unwrap_or(all)
    }
}

pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let stdout = stdout.map_err(|error| Failure::at("opening standard output", error))?;
    let mut receiving = Receiving {
        source: args.source(directory)?,
        stdout: File::from(stdout),
        framing: args.framing.joining(),
        wanted: args.wanted(),
        buffer: Vec::with_capacity(2 * WRITE),
        tally: Tally::default(),
    };
    let begun = Instant::now();
    let result = receiving.everything();
    let Receiving { source, tally, .. } = receiving;
    source.leave();
    if args.ring.kind != Kind::Latest {
        tell(tally);
    }
    if args.stats && result.is_ok() {
        summary("received", tally.records, tally.bytes, begun);
    }
    result
}

/// Says what was not as it should be.
fn tell(tally: Tally) {
    let mut stderr = io::stderr();
    // Nobody is left to be told if this fails.
    if tally.missed > 0 {
        let missed = size::grouped(tally.missed);
        let _ = writeln!(stderr, "ringshm: {missed} records were overwritten before they were received");
    }
    if tally.redelivered > 0 {
        let redelivered = size::grouped(tally.redelivered);
        let _ = writeln!(
            stderr,
            "ringshm: {redelivered} records were redelivered: a receiver that died may have written them, too"
        );
    }
}

struct Receiving {
    source: Box<dyn Source>,
    stdout: File,
    framing: Framing,
    /// How many records to receive.
    wanted: u64,
    buffer: Vec<u8>,
    tally: Tally,
}

impl Receiving {
    fn everything(&mut self) -> Result<(), Failure> {
        while self.tally.records < self.wanted {
            match self.batch()? {
                Step::Written => {}
                Step::NobodyReads => return Ok(()),
                Step::Idle if has_hung_up(&self.stdout) => return Ok(()),
                Step::Idle => {}
                Step::Disconnected => match self.source.ending() {
                    Ending::Open => {}
                    Ending::Closed => return Ok(()),
                    Ending::Died { pid } => return Err(self.producer_died(pid)),
                },
            }
        }
        Ok(())
    }

    fn batch(&mut self) -> Result<Step, Failure> {
        let Self { source, stdout, framing, buffer, tally, wanted } = self;
        buffer.clear();
        let mut outlet = Outlet { framing: *framing, buffer, write: &mut |bytes| write_all(stdout, bytes) };
        source.batch(*wanted - tally.records, &mut outlet, tally)
    }

    fn producer_died(&self, pid: u32) -> Failure {
        let records = self.source.passed().unwrap_or(self.tally.records);
        Failure::producer_died(format!(
            "the producer, process {pid}, died without closing the ring, after {records} records; all of them were \
             received (use --follow to wait for the next producer)"
        ))
    }
}

fn write_all(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Somebody else made this stream non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(file, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether standard output is a pipe that nobody can read any more.
fn has_hung_up(file: &File) -> bool {
    let mut fds = [PollFd::new(file, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}
