//! `ringshm recv` from a ring of frames.

use super::pixels::{Pixels, name_of};
use super::png::Pngs;
use super::y4m::{self, Rate};
use super::{Absent, Tally, describe, join, producer_died, slot, widen};
use crate::channels::IDLE;
use crate::failure::Failure;
use crate::framing::Form;
use crate::recv::{Args, has_hung_up};
use crate::ring::{Kind, refuse};
use crate::size;
use ringshm::broadcast::Start;
use ringshm::frames::{Consumer, FourCc, Frame};
use ringshm::{Directory, OnDeath, Peer, RecvTimeoutError};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::iter;
use std::os::fd::AsFd;
use std::time::Instant;

/// What YUV4MPEG2 says of frames whose sender did not say how many there are in a second.
const USUAL_RATE: Rate = Rate { frames: 25, seconds: 1 };

pub(crate) fn run(directory: &Directory, args: &Args, name: &str) -> Result<(), Failure> {
    let (kinds, video) = ([Kind::Frames], &args.video);
    args.ring.check(&kinds)?;
    refuse(args.lossy, "--lossy", &[Kind::Broadcast], &kinds)?;
    if args.tag {
        return Err(Failure::usage("--tag marks records: leave it out where the ring is one of frames"));
    }
    let form = args.framing.of_frames()?;
    let mut outlet = match &video.png {
        Some(folder) => Outlet::Pngs(Pngs::into(folder)?),
        None => Outlet::Stream(Stream::new(matches!(form, Form::Y4m))?),
    };
    let on_death = if args.follow { OnDeath::AwaitSuccessor } else { OnDeath::Disconnect };
    let builder = || {
        let builder = describe(name, &args.ring, directory, on_death, video.newest).hold(1);
        if let Some(from) = args.from { builder.start(Start::from(from)) } else { builder }
    };
    let mut consumer = match join(builder, outlet.file(), video.timeout) {
        Ok(consumer) => consumer,
        Err(Absent::NobodyReads) => return Ok(()),
        Err(Absent::Failed(failure)) => return Err(failure),
    };
    let (begun, mut tally) = (Instant::now(), Tally::default());
    let result = everything(&mut consumer, args, &mut outlet, &mut tally);
    // Leaves before it tells: whoever reads that can count on it.
    drop(consumer);
    if tally.skipped > 0 {
        let skipped = size::grouped(tally.skipped);
        // Nobody is left to be told if this fails.
        let _ = writeln!(io::stderr(), "ringshm: {skipped} frames were skipped");
    }
    if args.stats && result.is_ok() {
        tally.tell("received", begun);
    }
    result
}

fn everything(consumer: &mut Consumer, args: &Args, outlet: &mut Outlet, tally: &mut Tally) -> Result<(), Failure> {
    let mut last = Instant::now();
    while args.count.is_none_or(|count| tally.frames < count) {
        let patience = args.video.timeout.map_or(IDLE, |timeout| IDLE.min(timeout.saturating_sub(last.elapsed())));
        let frame = match consumer.recv_ref_timeout(patience) {
            Ok(frame) => frame,
            Err(RecvTimeoutError::Timeout) => {
                if outlet.file().is_some_and(has_hung_up) {
                    return Ok(());
                }
                match args.video.timeout {
                    Some(timeout) if last.elapsed() >= timeout => {
                        let seconds = timeout.as_secs_f64();
                        return Err(Failure::new(format!("no frame came for {seconds} s: is its sender stuck?")));
                    }
                    _ => continue,
                }
            }
            Err(RecvTimeoutError::Disconnected) => match consumer.peer() {
                Peer::Closed => return Ok(()),
                Peer::Dead { pid } => return Err(producer_died(pid, tally.frames)),
                // Another one has come meanwhile, or may.
                Peer::Live { .. } | Peer::Detached | Peer::Vacant => continue,
            },
            Err(error) => return Err(Failure::new(error.to_string())),
        };
        if let Stop::Yes = outlet.put(&frame)? {
            return Ok(());
        }
        tally.count(frame.sequence(), frame.len(), frame.skipped());
        last = Instant::now();
    }
    Ok(())
}

/// Whether to go on.
enum Stop {
    No,
    /// Standard output has no reader any more.
    Yes,
}

/// Where frames go.
enum Outlet {
    Stream(Stream),
    Pngs(Pngs),
}

impl Outlet {
    /// What may lose its reader.
    fn file(&self) -> Option<&File> {
        match self {
            Self::Stream(stream) => Some(&stream.stdout),
            Self::Pngs(_) => None,
        }
    }

    fn put(&mut self, frame: &Frame) -> Result<Stop, Failure> {
        match self {
            Self::Stream(stream) => stream.put(frame),
            Self::Pngs(pngs) => pngs.put(frame).map(|()| Stop::No),
        }
    }
}

/// Standard output.
struct Stream {
    stdout: File,
    is_y4m: bool,
    /// Of the frames so far: they are all alike.
    shape: Option<Shape>,
}

/// What a stream has one of for all frames.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    format: FourCc,
    width: u32,
    height: u32,
    /// For people.
    name: String,
}

impl Stream {
    fn new(is_y4m: bool) -> Result<Self, Failure> {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let stdout = File::from(stdout.map_err(|error| Failure::at("opening standard output", error))?);
        widen(&stdout);
        Ok(Self { stdout, is_y4m, shape: None })
    }

    /// Writes a frame out of its slot, the first one with what a stream begins with.
    fn put(&mut self, frame: &Frame) -> Result<Stop, Failure> {
        let meta = frame.meta();
        let (format, width, height) = (meta.format, meta.width, meta.height);
        let mut lines = Vec::new();
        match &self.shape {
            None => {
                let shape = Shape { format, width, height, name: name_of(frame) };
                if self.is_y4m {
                    lines = y4m::header_of(meta, USUAL_RATE).ok_or_else(|| {
                        Failure::new(format!(
                            "YUV4MPEG2 has no pixels such as these ({}), but {}: use --raw or --png",
                            shape.name,
                            Pixels::all_y4m()
                        ))
                    })?;
                }
                self.shape = Some(shape);
            }
            Some(shape) if (shape.format, shape.width, shape.height) == (format, width, height) => {}
            Some(shape) => {
                return Err(Failure::new(format!(
                    "frame {} is {width}x{height} {}, and those before were {}x{} {}: a stream has one size, start another recv for these",
                    frame.sequence(),
                    name_of(frame),
                    shape.width,
                    shape.height,
                    shape.name
                )));
            }
        }
        if self.is_y4m {
            lines.extend(y4m::line_before(meta));
        }
        let pieces = match Pixels::of(format) {
            Some(pixels) => pixels.pieces(meta),
            // Somebody's own format goes out as it lies there.
            None => Some(iter::once(0..frame.len()).collect()),
        };
        let pieces = pieces
            .ok_or_else(|| Failure::new(format!("frame {} has other planes than its format", frame.sequence())))?;
        match slot::write(&self.stdout, &lines, frame, &pieces) {
            Ok(()) => Ok(Stop::No),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Stop::Yes),
            Err(error) => Err(Failure::at("writing to standard output", error)),
        }
    }
}
