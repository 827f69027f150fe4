//! `ringshm recv`: a ring to a byte stream.
//!
//! Records are released only after they were written to standard output: a killed `recv` loses nothing, and the next one
//! begins with what this one had in its hands. It always leaves as one that may come back (`detach`): a sender never fails
//! because a receiver went away.

use crate::failure::Failure;
use crate::framing::{Framing, FramingArgs};
use crate::send::{WaitArg, summary};
use crate::size;
use ringshm::{Directory, OnDeath, Peer, RecordConsumer, RecvTimeoutError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring; it is created if there is none
    name: String,
    #[command(flatten)]
    framing: FramingArgs,
    /// Stop after N records and leave the others to a later recv
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// If the producer dies, wait for the next one; end when a producer closes the ring
    #[arg(long)]
    follow: bool,
    /// The size of a new ring, such as 64KiB; if both sides give one, it must be the same [default: 4MiB]
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    capacity: Option<u64>,
    /// How to wait for records [default: look for 50 µs, then sleep]
    #[arg(long, value_name = "HOW")]
    wait: Option<WaitArg>,
    /// Print a summary to standard error at the end
    #[arg(long)]
    stats: bool,
}

/// Bytes that are written at once, as soon as so many are there; less if the ring has no more.
const WRITE: usize = 256 << 10;

/// How long nothing must come before somebody asks whether standard output still has a reader.
const IDLE: Duration = Duration::from_secs(1);

pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    let framing = args.framing.joining();
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let stdout = stdout.map_err(|error| Failure::at("opening standard output", error))?;
    let mut builder = ringshm::spsc::<[u8]>(&args.name)
        .directory(directory.path())
        .wait(WaitArg::strategy(args.wait))
        .on_death(if args.follow { OnDeath::AwaitSuccessor } else { OnDeath::Disconnect });
    if let Some(capacity) = args.capacity {
        builder = builder.capacity(capacity);
    }
    let mut receiving = Receiving {
        consumer: builder.consumer()?,
        stdout: File::from(stdout),
        framing,
        wanted: args.count.unwrap_or(u64::MAX),
        buffer: Vec::with_capacity(2 * WRITE),
        records: 0,
        bytes: 0,
    };
    let begun = Instant::now();
    let result = receiving.everything();
    let Receiving { consumer, records, bytes, .. } = receiving;
    consumer.detach();
    if args.stats && result.is_ok() {
        summary("received", records, bytes, begun);
    }
    result
}

struct Receiving {
    consumer: RecordConsumer,
    stdout: File,
    framing: Framing,
    /// How many records to receive.
    wanted: u64,
    buffer: Vec<u8>,
    records: u64,
    bytes: u64,
}

/// What became of one batch.
enum Step {
    Written,
    NobodyReads,
    /// Nothing came for a while.
    Idle,
    /// The producer has closed the ring or died, and everything was received.
    Disconnected,
}

impl Receiving {
    fn everything(&mut self) -> Result<(), Failure> {
        while self.records < self.wanted {
            match self.batch()? {
                Step::Written => {}
                Step::NobodyReads => return Ok(()),
                Step::Idle if has_hung_up(&self.stdout) => return Ok(()),
                Step::Idle => {}
                Step::Disconnected => match self.consumer.peer() {
                    // Another producer came and went since.
                    _ if !self.consumer.is_empty() => {}
                    Peer::Closed => return Ok(()),
                    Peer::Dead { pid } => return Err(self.producer_died(pid)),
                    // Another producer came.
                    Peer::Live { .. } | Peer::Detached | Peer::Vacant => {}
                },
            }
        }
        Ok(())
    }

    /// Writes what is in the ring, up to about [`WRITE`] bytes, then releases it.
    fn batch(&mut self) -> Result<Step, Failure> {
        let mut drain = match self.consumer.drain_timeout(IDLE) {
            Ok(drain) => drain,
            Err(RecvTimeoutError::Timeout) => return Ok(Step::Idle),
            Err(RecvTimeoutError::Disconnected) => return Ok(Step::Disconnected),
            Err(error) => return Err(Failure::new(error.to_string())),
        };
        self.buffer.clear();
        let mut bytes = 0;
        let mut damage = Ok(());
        while self.buffer.len() < WRITE && drain.taken() < self.wanted - self.records {
            match drain.next() {
                Ok(Some(record)) => {
                    self.framing.join(record, &mut self.buffer);
                    bytes += record.len() as u64;
                }
                Ok(None) => break,
                Err(fault) => {
                    damage = Err(fault.into());
                    break;
                }
            }
        }
        match write_all(&mut self.stdout, &self.buffer) {
            Ok(()) => {
                self.records += drain.taken();
                self.bytes += bytes;
                drop(drain);
                damage.map(|()| Step::Written)
            }
            Err(error) => {
                drain.keep();
                if error.kind() == ErrorKind::BrokenPipe {
                    return Ok(Step::NobodyReads);
                }
                Err(Failure::at("writing to standard output", error))
            }
        }
    }

    fn producer_died(&self, pid: u32) -> Failure {
        let records = self.consumer.received();
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
