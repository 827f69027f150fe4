//! Round trips: one process serves a message, the other returns it.

use super::child::{ChildArgs, Over, Part, Trips, Waiting, Word, inlet, outlet, tell};
use crate::failure::Failure;
use hdrhistogram::Histogram;
use ringshm::{Consumer, Directory, Producer, RecvError};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

/// What is sent to and fro: a cache line.
type Ball = [u64; 8];

/// Round trips before the measurement begins.
const WARM_UP: u64 = 2_000;
/// Round trips of a measurement, at most.
const MOST: u64 = 1_000_000;
/// Round trips between two looks at the time that is left.
const STRIDE: u64 = 16;

/// One end of the way to and fro.
#[expect(clippy::large_enum_variant, reason = "a process has one")]
enum Court {
    Rings { out: Producer<Ball>, back: Consumer<Ball> },
    Stream { out: File, back: File, yields: bool },
}

pub(super) fn run(directory: &Directory, args: &ChildArgs) -> Result<(), Failure> {
    match args.part {
        Part::Serve => serve(Court::open(directory, args)?, args),
        _ => {
            let mut court = Court::open(directory, args)?;
            tell(&Word::Ready)?;
            while let Some(ball) = court.receive()? {
                court.send(&ball)?;
            }
            Ok(())
        }
    }
}

fn serve(mut court: Court, args: &ChildArgs) -> Result<(), Failure> {
    // Up to 10 s, to three digits.
    let histogram = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3);
    let mut histogram = histogram.map_err(|error| Failure::new(error.to_string()))?;
    let limit = args.seconds.unwrap_or(f64::INFINITY);
    let mut trip = |number: u64| -> Result<(), Failure> {
        let ball = [number, !number, 0, 1, 2, 3, 4, 5];
        court.send(&ball)?;
        match court.receive()? {
            Some(returned) if returned == ball => Ok(()),
            Some(returned) => Err(Failure::new(format!("{ball:?} came back as {returned:?}"))),
            None => Err(Failure::new("the other process went away")),
        }
    };
    (0..WARM_UP).try_for_each(&mut trip)?;
    let begun = Instant::now();
    for number in 0..MOST {
        if number % STRIDE == 0 && begun.elapsed().as_secs_f64() >= limit {
            break;
        }
        let served = Instant::now();
        trip(number)?;
        histogram.saturating_record(u64::try_from(served.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    tell(&Word::Trips(Trips { count: histogram.len(), p50, p99, p999, max: histogram.max() }))
}

impl Court {
    fn open(directory: &Directory, args: &ChildArgs) -> Result<Self, Failure> {
        if args.over == Over::Ring {
            let ring = |way: &str| {
                let ring = ringshm::spsc::<Ball>(&format!("{}-{way}", args.ring)).directory(directory.path());
                ring.capacity(64).wait(args.strategy())
            };
            let (there, back) = if args.part == Part::Serve { ("there", "back") } else { ("back", "there") };
            return Ok(Self::Rings { out: ring(there).producer()?, back: ring(back).consumer()? });
        }
        let (out, back) = (outlet()?, inlet()?);
        if args.waiting == Waiting::Spin {
            let flags = fcntl_getfl(&back).and_then(|flags| fcntl_setfl(&back, flags | OFlags::NONBLOCK));
            flags.map_err(|error| Failure::at("making the pipe non-blocking", error))?;
        }
        Ok(Self::Stream { out, back, yields: args.cpu.is_none() })
    }

    #[inline]
    fn send(&mut self, ball: &Ball) -> Result<(), Failure> {
        match self {
            Self::Rings { out, .. } => out.send(*ball).map_err(|error| Failure::new(error.to_string())),
            Self::Stream { out, .. } => {
                let bytes: &[u8] = &bytes_of(ball);
                out.write_all(bytes).map_err(|error| Failure::at("writing", error))
            }
        }
    }

    /// `None`: the other side has finished.
    #[inline]
    fn receive(&mut self) -> Result<Option<Ball>, Failure> {
        match self {
            Self::Rings { back, .. } => match back.recv() {
                Ok(ball) => Ok(Some(ball)),
                Err(RecvError::Disconnected) => Ok(None),
                Err(error) => Err(Failure::new(error.to_string())),
            },
            Self::Stream { back, yields, .. } => receive_from(back, *yields),
        }
    }
}

fn receive_from(file: &mut File, yields: bool) -> Result<Option<Ball>, Failure> {
    let mut bytes = [0; size_of::<Ball>()];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => return Ok(None),
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock && yields => std::thread::yield_now(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A socket that was closed with something unread in it.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(Failure::at("reading", error)),
        }
    }
    let mut ball = [0; 8];
    for (word, bytes) in ball.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    Ok(Some(ball))
}

fn bytes_of(ball: &Ball) -> [u8; size_of::<Ball>()] {
    let mut bytes = [0; size_of::<Ball>()];
    for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(ball) {
        *chunk = word.to_ne_bytes();
    }
    bytes
}
