//! Video, through rings of frames: what `send` and `recv` do there, and `ringshm view`.
//!
//! | file | what |
//! |---|---|
//! | `pixels` | how pixels lie in a frame |
//! | `y4m` | the lines of YUV4MPEG2, and how what they say travels with a frame |
//! | `input` | a stream that is cut into frames |
//! | `slot` | bytes between a file and a slot, without a copy in between |
//! | `send`, `recv` | the commands, where the ring is one of frames |
//! | `picture` | a frame's colours |
//! | `png` | frames as files |
//! | `preview` | `ringshm view`: frames on the terminal |

mod input;
mod picture;
mod pixels;
mod png;
pub(crate) mod preview;
pub(crate) mod recv;
pub(crate) mod send;
mod slot;
mod y4m;

use crate::every;
use crate::failure::Failure;
use crate::recv::has_hung_up;
use crate::ring::{Kind, RingArgs, refuse};
use crate::size;
use pixels::Pixels;
use ringshm::frames::{Consumer, Delivery, Frames};
use ringshm::{Builder, Directory, OnDeath, OpenError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::fcntl_setpipe_size;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use y4m::Rate;

/// What `send` may be told of frames.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Video (a ring of frames)")]
pub(crate) struct SendArgs {
    /// With --raw: the pixels, as ffmpeg calls them [default: yuv420p]
    #[arg(long, value_name = "FORMAT", value_parser = Pixels::named)]
    pix: Option<&'static Pixels>,
    /// With --raw: frames per second, such as 30, 29.97 or 30000/1001
    #[arg(long, value_name = "RATE", value_parser = Rate::parse)]
    fps: Option<Rate>,
    /// How many frames a new ring holds: one that is written, the newest, and those that receivers hold or have to take yet [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(3..=1024))]
    slots: Option<u64>,
    /// Have a new ring in huge pages, as far as there are any
    #[arg(long)]
    huge_pages: bool,
    /// Begin when a receiver is there, or N; without it, frames that come while nobody receives are only kept as far as the ring goes
    #[arg(long = "await", value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    receivers: Option<usize>,
    /// Send as many frames per second as the stream says, and not as fast as they come
    #[arg(long)]
    realtime: bool,
}

/// What `recv` may be told of frames.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Video (a ring of frames)")]
pub(crate) struct RecvArgs {
    /// Write numbered PNG files into this folder, frame-000000.png and so on
    #[arg(long, value_name = "FOLDER", group = "framing")]
    png: Option<PathBuf>,
    /// Take the newest frame each time: the sender never waits for this receiver, and what it skips is counted
    #[arg(long)]
    newest: bool,
    /// Fail if no frame comes for so long
    #[arg(long, value_name = "SECONDS", value_parser = every::seconds)]
    timeout: Option<Duration>,
}

impl SendArgs {
    /// An option that goes with frames only, if one is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.pix.is_some(), "--pix"),
            (self.fps.is_some(), "--fps"),
            (self.slots.is_some(), "--slots"),
            (self.huge_pages, "--huge-pages"),
            (self.receivers.is_some(), "--await"),
            (self.realtime, "--realtime"),
        ];
        given.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
    }
}

impl RecvArgs {
    /// An option that goes with frames only, if one is given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [(self.png.is_some(), "--png"), (self.newest, "--newest"), (self.timeout.is_some(), "--timeout")];
        given.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
    }
}

/// Refuses to make a ring of records that is called `video`, where nobody said what it is to be: its receiver would wait for ever, and its sender be refused.
pub(crate) fn refuse_mere_word(name: &str, said: Option<Kind>, directory: &Directory) -> Result<(), Failure> {
    let is_mere_word = said.is_none() && name == "video";
    if is_mere_word && matches!(ringshm::inspect(directory, name), Err(OpenError::NotFound { .. })) {
        return Err(Failure::usage(
            "`video` is the name of a ring here, of which there is none yet, and not a word for what is in it: \
             for video say --y4m behind the ring's name, as in `ringshm recv NAME --y4m`, or --ring frames; \
             for records in a ring of this name, --ring spsc",
        ));
    }
    Ok(())
}

/// What the ring `name` is: as it was said, as an option asks for that goes with frames, as it is found, or the usual one.
pub(crate) fn kind_of(
    name: &str,
    said: Option<Kind>,
    asked: Option<&str>,
    directory: &Directory,
) -> Result<Kind, Failure> {
    if asked.is_none() {
        refuse_mere_word(name, said, directory)?;
    }
    let usual = said.unwrap_or_else(|| {
        let is_of_frames =
            || ringshm::inspect(directory, name).is_ok_and(|ring| ring.geometry.kind == ringshm::Kind::Frames);
        if asked.is_some() || is_of_frames() { Kind::Frames } else { Kind::default() }
    });
    let kind = Kind::of(name, usual);
    refuse(asked.is_some(), asked.unwrap_or_default(), &[Kind::Frames], &[kind])?;
    Ok(kind)
}

/// A pipe that takes more at once: a frame has megabytes, and the usual pipe holds 64 KiB. What is no pipe, or is not allowed more, stays as it is.
fn widen(file: &File) {
    const BYTES: usize = 1 << 20;
    let _ = fcntl_setpipe_size(file, BYTES);
}

/// How long to wait until a ring is looked for again.
const LOOK: Duration = Duration::from_millis(10);

/// Why there is no consumer.
enum Absent {
    /// Nobody reads what would be written.
    NobodyReads,
    Failed(Failure),
}

impl From<OpenError> for Absent {
    fn from(error: OpenError) -> Self {
        Self::Failed(error.into())
    }
}

/// Joins the ring, and waits until there is one: only the sender knows how large frames are. Gives up when `output` has no reader any more.
fn join(
    describe: impl Fn() -> Builder<Frames>,
    output: Option<&File>,
    patience: Option<Duration>,
) -> Result<Consumer, Absent> {
    let begun = Instant::now();
    loop {
        match describe().consumer() {
            Err(OpenError::NotFound { .. }) => {}
            result => return Ok(result?),
        }
        if output.is_some_and(has_hung_up) {
            return Err(Absent::NobodyReads);
        }
        if patience.is_some_and(|patience| begun.elapsed() >= patience) {
            return Err(Absent::Failed(Failure::new("nobody has made the ring: start its sender")));
        }
        // Also ends when the reader of a pipe goes away.
        let mut fds: Vec<_> = output.map(|file| PollFd::new(file, PollFlags::empty())).into_iter().collect();
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: LOOK.as_nanos() as _ }));
    }
}

/// A consumer that wants those frames.
fn describe(name: &str, ring: &RingArgs, directory: &Directory, on_death: OnDeath, newest: bool) -> Builder<Frames> {
    let delivery = if newest { Delivery::NewestOnly } else { Delivery::EveryFrame };
    ring.describe(Kind::Frames, ringshm::frames(name), directory, on_death).delivery(delivery)
}

/// What it means for whoever has received so many frames.
fn producer_died(pid: u32, received: u64) -> Failure {
    let received = size::grouped(received);
    Failure::producer_died(format!(
        "the producer, process {pid}, died without closing the ring; {received} frames were received, and there are no more \
         (use --follow to wait for the next producer)"
    ))
}

/// Frames that were sent or received.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    frames: u64,
    bytes: u64,
    skipped: u64,
    /// The first and the last of them, counted from the ring's first.
    span: Option<(u64, u64)>,
}

impl Tally {
    fn count(&mut self, sequence: u64, bytes: usize, skipped: u64) {
        self.frames += 1;
        self.bytes += bytes as u64;
        self.skipped += skipped;
        self.span = Some((self.span.map_or(sequence, |(first, _)| first), sequence));
    }

    /// `received 132 frames (0 to 131), 182,476,800 bytes in 0.310 s: 426 frames/s, 589 MB/s`
    fn tell(&self, verb: &str, begun: Instant) {
        let seconds = begun.elapsed().as_secs_f64().max(1e-9);
        let Self { frames, bytes, span, .. } = *self;
        let span = span.map_or_else(String::new, |(first, last)| format!(" ({first} to {last})"));
        let (per_second, megabytes) = (frames as f64 / seconds, bytes as f64 / seconds / 1e6);
        let (frames, bytes) = (size::grouped(frames), size::grouped(bytes));
        // Nobody is left to be told if this fails.
        let _ = writeln!(
            io::stderr(),
            "{verb} {frames} frames{span}, {bytes} bytes in {seconds:.3} s: {per_second:.0} frames/s, {megabytes:.0} MB/s"
        );
    }
}
