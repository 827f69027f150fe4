//! `ringshm recv`: a ring to a byte stream.
//!
//! Records are released only after they were written to standard output, so a killed `recv` loses nothing: the next one, or another
//! one of an MPMC ring, gets what this one had in its hands. Of a broadcast ring each reader has its own copy, and a killed one
//! begins anew. It always leaves as one that may come back (`detach`): a sender never fails because a receiver went away.

use crate::channels::{Channels, IDLE, Place};
use crate::failure::Failure;
use crate::framing::{Framing, FramingArgs};
use crate::ring::{Kind, RingArgs};
use crate::send::summary;
use crate::size;
use crate::source::{Ending, Outlet, Step, Tally, WRITE};
use crate::video;
use clap::ValueEnum;
use ringshm::Directory;
use ringshm::broadcast::Start;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const AFTER_HELP: &str = "\
With --ring mpmc each record is released when it was written; if this process is killed before, another receiver gets it again, and \
says so at its end.

With --ring broadcast the sender waits for every receiver, unless it is --lossy: then it says at its end how many records it missed.

With --ring latest the newest record is written, as soon as there is one, and that is all; with --count N or --follow, each newer one \
that is there when it looks.

Of a ring of frames (--y4m, --raw with --ring frames, --png) each frame is written out of its slot, which is released then; the sender waits \
for every receiver that is not --newest. This waits for the sender to make the ring, as only it knows how large frames are.

Several rings, of any other kinds:
  ringshm recv --tag prices mpmc:jobs latest:status
Each ring's records come in the order in which the ring gives them, and each in one piece; rings that have something take turns of \
about 256 KiB. Each ring is over as it would be alone, and the command ends when all are. If a producer died, or something is wrong with \
a ring, standard error says so at once, with the ring's name; the others go on, and the exit code at the end is 3, or 1. If one of \
the rings cannot be joined at the beginning, nothing is received from any. Options that belong to one kind of ring are for all rings of that \
kind. With --wait spin, one thread looks at all rings in turn; with --wait park, it sleeps until one of them wakes it.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The rings, each created if there is none: NAME, or KIND:NAME, such as mpmc:jobs, if it is not what --ring says; or any other channel:
    /// fifo:///run/x, unix:///run/x.sock, tcp://host:port, …
    #[arg(required = true, value_name = "RING")]
    pub(crate) channels: Vec<String>,
    #[command(flatten)]
    pub(crate) ring: RingArgs,
    #[command(flatten)]
    pub(crate) framing: FramingArgs,
    /// Begin each line with the name of its ring and a tab; with --len32, write the name as a record of its own before each record
    #[arg(long, conflicts_with = "raw")]
    pub(crate) tag: bool,
    /// Stop after N records, of all rings together, and leave the others to a later recv
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// If the producer dies, wait for the next one; end when a producer closes the ring
    #[arg(long)]
    pub(crate) follow: bool,
    /// With --ring broadcast, and with frames: where to begin [default: oldest]
    #[arg(long, value_name = "WHERE")]
    pub(crate) from: Option<From>,
    /// With --ring broadcast: let the sender overwrite what this receiver is too slow for
    #[arg(long)]
    pub(crate) lossy: bool,
    /// Print a summary to standard error at the end
    #[arg(long)]
    pub(crate) stats: bool,
    #[command(flatten)]
    pub(crate) video: video::RecvArgs,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum From {
    /// At the oldest record that is still there
    Oldest,
    /// At the next one to be sent
    Newest,
}

impl std::convert::From<From> for Start {
    fn from(from: From) -> Self {
        match from {
            From::Oldest => Self::Oldest,
            From::Newest => Self::Newest,
        }
    }
}

impl Args {
    /// The ring, if it is one of frames, which is received from alone.
    fn of_frames(&self, directory: &Directory) -> Result<Option<String>, Failure> {
        let asked = self.framing.given_of_frames().or(self.video.given());
        match &self.channels[..] {
            [channel] => {
                let (kind, name) = Place::split(channel);
                let kind = video::kind_of(name, kind.or(self.ring.kind), asked, directory)?;
                if kind == Kind::Frames { Ok(Some(Place::parse(name, kind)?.name)) } else { Ok(None) }
            }
            channels => {
                if let Some(option) = asked {
                    return Err(Failure::usage(format!("{option} goes with one ring alone")));
                }
                for (kind, name) in channels.iter().map(|channel| Place::split(channel)) {
                    video::refuse_mere_word(name, kind.or(self.ring.kind), directory)?;
                }
                Ok(None)
            }
        }
    }
}

pub(crate) fn run(directory: &Directory, args: &Args) -> Result<ExitCode, Failure> {
    if let Some(name) = args.of_frames(directory)? {
        return video::recv::run(directory, args, &name).map(|()| ExitCode::SUCCESS);
    }
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let stdout = stdout.map_err(|error| Failure::at("opening standard output", error))?;
    let mut receiving = Receiving {
        channels: Channels::join(args, directory)?,
        directory,
        are_several: args.channels.len() > 1,
        over: Vec::new(),
        worst: None,
        stdout: File::from(stdout),
        framing: args.framing.joining(),
        is_tagged: args.tag,
        left: args.count.unwrap_or(u64::MAX),
        buffer: Vec::with_capacity(2 * WRITE),
    };
    let begun = Instant::now();
    let result = receiving.everything();
    while !receiving.channels.open.is_empty() {
        receiving.leave(0);
    }
    if args.stats && result.is_ok() {
        receiving.summary(begun);
    }
    result.map(|()| receiving.worst.map_or(ExitCode::SUCCESS, |failure| failure.code()))
}

/// Says what was not as it should be.
fn tell(name: Option<&str>, tally: Tally) {
    let mut stderr = io::stderr();
    let of = name.map_or_else(String::new, |name| format!("{name}: "));
    // Nobody is left to be told if this fails.
    if tally.missed > 0 {
        let missed = size::grouped(tally.missed);
        let _ = writeln!(stderr, "ringshm: {of}{missed} records were lost before they were received");
    }
    if tally.redelivered > 0 {
        let redelivered = size::grouped(tally.redelivered);
        let _ = writeln!(
            stderr,
            "ringshm: {of}{redelivered} records were redelivered: a receiver that died may have written them, too"
        );
    }
}

/// The most records of one turn: for rings of tiny ones.
const TURN: u64 = 1 << 16;

struct Receiving<'a> {
    channels: Channels,
    directory: &'a Directory,
    are_several: bool,
    /// What came from those that are over.
    over: Vec<(String, Tally)>,
    /// What one of several rings ended with.
    worst: Option<Failure>,
    stdout: File,
    framing: Framing,
    is_tagged: bool,
    /// How many records to receive yet.
    left: u64,
    buffer: Vec<u8>,
}

/// What a turn of a ring means for the others.
enum Next {
    GoOn,
    /// The ring is over.
    Over,
    /// Everything is: standard output takes no more.
    End(Result<(), Failure>),
}

impl Receiving<'_> {
    fn everything(&mut self) -> Result<(), Failure> {
        while self.left > 0 && !self.channels.open.is_empty() {
            let is_alone = self.channels.open.len() == 1;
            let ready = if is_alone {
                None
            } else {
                let ready = self.channels.wait().map_err(|error| Failure::at("waiting for several rings", error))?;
                if ready.is_empty() && has_hung_up(&self.stdout) {
                    return Ok(());
                }
                Some(ready)
            };
            let patience = if is_alone { IDLE } else { Duration::ZERO };
            let mut index = 0;
            while self.left > 0 && index < self.channels.open.len() {
                let token = self.channels.open[index].held.token();
                if ready.as_ref().is_some_and(|ready| !token.is_some_and(|token| ready.contains(token))) {
                    index += 1;
                    continue;
                }
                match self.turn(index, patience) {
                    Ok(Next::GoOn) => index += 1,
                    Ok(Next::Over) => self.leave(index),
                    Ok(Next::End(result)) => return result,
                    Err(failure) if self.are_several => {
                        let name = self.channels.open[index].place.name.clone();
                        self.leave(index);
                        self.end_with(failure.of(&name));
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(())
    }

    /// Receives from one of the rings what there is, and waits so long for it. Fails if something is wrong with the ring, or its producer died.
    fn turn(&mut self, index: usize, patience: Duration) -> Result<Next, Failure> {
        let Self { channels, directory, stdout, framing, is_tagged, left, buffer, .. } = self;
        let channel = &mut channels.open[index];
        buffer.clear();
        let tag = is_tagged.then_some(channel.place.name.as_str());
        let mut outlet = Outlet { framing: *framing, tag, buffer, write: &mut |bytes| write_all(stdout, bytes) };
        let source = channel.held.source(&mut channels.set);
        let before = channel.tally.records;
        let most = (*left).min(channel.most - before).min(TURN);
        let step = source.batch(most, patience, &mut outlet, &mut channel.tally);
        let records = channel.tally.records;
        *left -= records - before;
        Ok(match step? {
            Step::Written if records == channel.most => Next::Over,
            Step::Written => Next::GoOn,
            Step::NobodyReads => Next::End(Ok(())),
            Step::Unwritable(error) => Next::End(Err(Failure::at("writing to standard output", error))),
            Step::Idle if has_hung_up(stdout) => Next::End(Ok(())),
            Step::Idle => Next::GoOn,
            Step::Disconnected => match source.ending(directory, &channel.place.name) {
                Ending::Open => Next::GoOn,
                Ending::Closed => Next::Over,
                Ending::Died { pid } => return Err(producer_died(pid, source.passed().unwrap_or(records))),
            },
        })
    }

    /// Leaves a ring, and says what was not as it should be.
    fn leave(&mut self, index: usize) {
        let (place, tally) = self.channels.leave(index);
        if place.kind != Kind::Latest {
            tell(self.are_several.then_some(&place.name), tally);
        }
        self.over.push((place.name, tally));
    }

    /// Says what one of several rings ended with.
    fn end_with(&mut self, failure: Failure) {
        failure.report();
        self.worst = Some(match self.worst.take() {
            Some(worst) => worst.or_worse(failure),
            None => failure,
        });
    }

    fn summary(&self, begun: Instant) {
        let mut all = Tally::default();
        for (name, tally) in &self.over {
            all.records += tally.records;
            all.bytes += tally.bytes;
            if self.are_several {
                summary(&format!("{name}: received"), tally.records, tally.bytes, begun);
            }
        }
        summary("received", all.records, all.bytes, begun);
    }
}

fn producer_died(pid: u32, records: u64) -> Failure {
    Failure::producer_died(format!(
        "the producer, process {pid}, died without closing the ring, after {records} records; all of them were \
         received (use --follow to wait for the next producer)"
    ))
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
pub(crate) fn has_hung_up(file: &File) -> bool {
    let mut fds = [PollFd::new(file, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}
