//! `ringshm send`: a byte stream into a ring.
//!
//! The ring is closed only when all of the input was sent. After any error the process ends without closing it, as if it had
//! been killed: the receiver must not take a part for the whole, and a later `send` can go on.

use crate::failure::Failure;
use crate::far::FarSink;
use crate::framing::{Cut, Framing, FramingArgs};
use crate::input::Input;
use crate::ring::{Kind, RingArgs, refuse};
use crate::sink::Sink;
use crate::size;
use crate::source::Value;
use crate::video;
use ringshm::broadcast::{Eviction, OnSlowReader};
use ringshm::{Directory, OnDeath};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring, which is created if there is none; or any other channel: fifo:///run/x, unix:///run/x.sock, tcp://host:port, …
    pub(crate) name: String,
    /// What to send [default: standard input]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) ring: RingArgs,
    #[command(flatten)]
    pub(crate) framing: FramingArgs,
    /// Leave the first N records of the input out
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) skip: u64,
    /// Leave out as many records as were ever sent into this ring: go on where a killed `send` stopped
    #[arg(long, conflicts_with = "skip")]
    pub(crate) resume: bool,
    /// With --ring broadcast: go on without a receiver that has not moved for so long, instead of waiting for it
    #[arg(long, value_name = "SECONDS", value_parser = crate::every::seconds)]
    pub(crate) evict_after: Option<Duration>,
    /// Leave the ring to a later send at the end of the input, instead of closing it: a value of --ring latest stays to be read
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print a summary to standard error at the end
    #[arg(long)]
    pub(crate) stats: bool,
    #[command(flatten)]
    pub(crate) video: video::SendArgs,
}

impl Args {
    /// What the ring is.
    fn kind(&self, directory: &Directory) -> Result<Kind, Failure> {
        let asked = self.framing.given_of_frames().or(self.video.given());
        video::kind_of(&self.name, self.ring.kind, asked, directory)
    }

    fn sink(&self, kind: Kind, directory: &Directory) -> Result<Box<dyn Sink>, Failure> {
        self.ring.check(&[kind])?;
        refuse(self.resume, "--resume", &[Kind::Spsc, Kind::Broadcast], &[kind])?;
        refuse(self.evict_after.is_some(), "--evict-after", &[Kind::Broadcast], &[kind])?;
        let (name, on_death) = (self.name.as_str(), OnDeath::AwaitSuccessor);
        Ok(match kind {
            Kind::Spsc => {
                Box::new(self.ring.describe(kind, ringshm::spsc::<[u8]>(name), directory, on_death).producer()?)
            }
            Kind::Mpmc => Box::new(self.ring.mpmc(name, directory, on_death).producer()?),
            Kind::Broadcast => {
                let builder = self.ring.describe(kind, ringshm::broadcast::<[u8]>(name), directory, on_death);
                let policy = self.evict_after.map_or(OnSlowReader::Wait, |after| OnSlowReader::Evict { after });
                let mut producer = builder.on_slow_reader(policy).producer()?;
                producer.on_eviction(tell);
                Box::new(producer)
            }
            Kind::Latest => {
                Box::new(self.ring.describe(kind, ringshm::latest::<Value>(name), directory, on_death).producer()?)
            }
            Kind::Frames => return Err(Failure::usage("frames are no records: use --y4m or --raw")),
            Kind::Named => {
                let opening = ringshm::open(name).directory(directory.path()).on_death(on_death);
                Box::new(FarSink::new(opening.sender()?, name))
            }
        })
    }
}

fn tell(eviction: Eviction) {
    let Eviction { lane, pid, lag } = eviction;
    let lag = size::bytes(lag);
    // Nobody is left to be told if this fails.
    let _ = writeln!(io::stderr(), "ringshm: going on without process {pid} (lane {lane}), which is {lag} behind");
}

pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    let kind = args.kind(directory)?;
    if kind == Kind::Frames {
        return video::send::run(directory, args);
    }
    let framing = args.framing.cutting()?;
    let file = open(args.file.as_ref())?;
    let sink = args.sink(kind, directory)?;
    let skip = if args.resume { sink.sent().unwrap_or(0) } else { args.skip };
    let mut sending = Sending { sink, input: Input::new(file, framing), framing, skip, index: 0, bytes: 0 };
    let begun = Instant::now();
    match sending.everything() {
        Ok(()) => {
            let (sent, bytes) = (sending.index - skip, sending.bytes);
            if args.keep {
                sending.sink.leave();
            } else {
                drop(sending.sink);
            }
            if args.stats {
                summary("sent", sent, bytes, begun);
            }
            Ok(())
        }
        Err(failure) => {
            // Not closed: see above.
            std::mem::forget(sending.sink);
            Err(failure)
        }
    }
}

pub(crate) fn open(path: Option<&PathBuf>) -> Result<File, Failure> {
    match path {
        Some(path) if path.as_os_str() != "-" => {
            File::open(path).map_err(|error| Failure::at(format_args!("opening {}", path.display()), error))
        }
        _ => match io::stdin().as_fd().try_clone_to_owned() {
            Ok(stdin) => Ok(File::from(stdin)),
            Err(error) => Err(Failure::at("opening standard input", error)),
        },
    }
}

/// `sent 58,325 records, 15,459,000 bytes in 0.02 s: 2,900,000 records/s, 770 MB/s`
pub(crate) fn summary(verb: &str, records: u64, bytes: u64, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64().max(1e-9);
    let per_second = size::grouped((records as f64 / seconds) as u64);
    let (records, megabytes) = (size::grouped(records), bytes as f64 / seconds / 1e6);
    let bytes = size::grouped(bytes);
    // Nobody is left to be told if this fails.
    let _ = writeln!(
        io::stderr(),
        "{verb} {records} records, {bytes} bytes in {seconds:.3} s: {per_second} records/s, {megabytes:.0} MB/s"
    );
}

/// Records that are published together, at most.
const BATCH: usize = 256;

struct Sending {
    sink: Box<dyn Sink>,
    input: Input,
    framing: Framing,
    /// Records at the beginning of the input that are left out.
    skip: u64,
    /// Records of the input that were sent or left out.
    index: u64,
    bytes: u64,
}

impl Sending {
    /// Sends what can be had before it waits for more: a slow input is not delayed, and a fast one goes in batches.
    fn everything(&mut self) -> Result<(), Failure> {
        while let Some(searched) = self.everything_read()? {
            self.input.fill(searched).map_err(|error| Failure::at("reading the input", error))?;
        }
        if self.index < self.skip {
            let index = self.index;
            return Err(Failure::new(format!("the input has only {index} records, {} were to be left out", self.skip)));
        }
        Ok(())
    }

    /// Sends all whole records that were read. `Some`: more may come, and so many bytes need not be searched again. `None`:
    /// that was the end.
    fn everything_read(&mut self) -> Result<Option<usize>, Failure> {
        let max = self.sink.max_message();
        loop {
            let mut batch: [&[u8]; BATCH] = [&[]; BATCH];
            let (mut count, mut ahead, mut bytes) = (0, 0, 0);
            let end = loop {
                if count == BATCH {
                    break None;
                }
                match self.input.look(ahead) {
                    Cut::Record { span, .. } if self.index < self.skip => {
                        self.index += 1;
                        ahead += span;
                    }
                    Cut::Record { payload, span, .. } if payload.len() <= max => {
                        batch[count] = payload;
                        count += 1;
                        ahead += span;
                        bytes += payload.len() as u64;
                    }
                    other => break Some(other),
                }
            };
            let sent = self.sink.send_all(&batch[..count]).map_err(|stopped| {
                Failure::at(format_args!("after {} records", self.index + stopped.sent), stopped.cause)
            });
            let next = match end {
                None => Next::Batch,
                Some(Cut::Record { payload, .. }) => Next::TooLong(payload.len() as u64),
                Some(Cut::Part { len, .. }) if len > max && self.index + count as u64 >= self.skip => {
                    match self.framing {
                        Framing::Lines => Next::TooLongLine,
                        _ => Next::TooLong(len as u64),
                    }
                }
                Some(Cut::Part { searched, .. }) => Next::Read(searched),
                Some(Cut::End) => Next::End,
                Some(Cut::Truncated { len, found }) => Next::Truncated { len, found },
                Some(Cut::Malformed) => Next::Malformed,
            };
            sent?;
            self.index += count as u64;
            self.bytes += bytes;
            self.input.take(ahead);
            match next {
                Next::Batch => {}
                Next::Read(searched) => return Ok(Some(searched)),
                Next::End => return Ok(None),
                Next::TooLong(len) => return Err(self.too_long(len)),
                Next::TooLongLine => {
                    let len = self.input.rest_of_line().map_err(|error| Failure::at("reading the input", error))?;
                    return Err(self.too_long(len));
                }
                Next::Truncated { len, found } => return Err(self.truncated(len, found)),
                Next::Malformed => {
                    let number = self.index + 1;
                    return Err(Failure::new(format!(
                        "no record begins where number {number} should, those before it were sent"
                    )));
                }
            }
        }
    }

    fn too_long(&self, len: u64) -> Failure {
        let (number, max) = (self.index + 1, self.sink.max_message());
        let advice = self.sink.advice(len);
        Failure::new(format!(
            "record {number} has {len} bytes and the channel takes at most {max}: {advice}; the records before it were sent"
        ))
    }

    fn truncated(&self, len: Option<usize>, found: usize) -> Failure {
        let number = self.index + 1;
        let what = match len {
            Some(len) => format!("{found} of its {len} bytes are there"),
            None => format!("{found} of the 4 bytes of its length are there"),
        };
        Failure::new(format!(
            "the input ends in the middle of record {number}: {what}; the records before it were sent"
        ))
    }
}

/// What to do after a batch.
enum Next {
    Batch,
    /// More input is needed; so many bytes need not be searched again.
    Read(usize),
    End,
    TooLong(u64),
    /// And its end was not read yet.
    TooLongLine,
    Truncated {
        len: Option<usize>,
        found: usize,
    },
    Malformed,
}
