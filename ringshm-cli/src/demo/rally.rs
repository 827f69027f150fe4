//! Round trips: one process serves a message, the other returns it.

use super::child::{ChildArgs, Part, Trips, Waiting, Word, open, tell};
use crate::failure::Failure;
use hdrhistogram::Histogram;
use ringshm::{Directory, Receiver, RecvError, Sender, TryRecvError};
use std::fmt::Display;
use std::time::Instant;

/// Round trips before the measurement begins.
const WARM_UP: u64 = 2_000;
/// Round trips of a measurement, at most.
const MOST: u64 = 1_000_000;
/// Round trips between two looks at the time that is left.
const STRIDE: u64 = 16;

/// What ends the game: no ball is so short.
const END: &[u8] = b".";

/// One end of the way to and fro.
struct Court {
    out: Box<dyn Sender>,
    back: Box<dyn Receiver>,
    /// What was received last.
    message: Vec<u8>,
    waiting: Waiting,
    /// Both processes share a processor.
    yields: bool,
}

pub(super) fn run(directory: &Directory, args: &ChildArgs) -> Result<(), Failure> {
    let mut court = Court::open(directory, args)?;
    if args.part == Part::Serve {
        return serve(court, args);
    }
    tell(&Word::Ready)?;
    while court.receive()? {
        court.out.send(&court.message).map_err(failed)?;
    }
    Ok(())
}

fn failed(error: impl Display) -> Failure {
    Failure::new(error.to_string())
}

fn serve(mut court: Court, args: &ChildArgs) -> Result<(), Failure> {
    // Up to 10 s, to three digits.
    let histogram = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3);
    let mut histogram = histogram.map_err(|error| Failure::new(error.to_string()))?;
    let limit = args.seconds.unwrap_or(f64::INFINITY);
    let mut trip = |number: u64| -> Result<(), Failure> {
        let ball = [number, !number, 0, 1, 2, 3, 4, 5].map(u64::to_ne_bytes);
        court.out.send(ball.as_flattened()).map_err(failed)?;
        match court.receive()? {
            true if court.message == ball.as_flattened() => Ok(()),
            true => Err(Failure::new(format!("{ball:?} came back as {:?}", court.message))),
            false => Err(Failure::new("the other process went away")),
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
    court.out.send(END).map_err(failed)?;
    let at = |quantile| histogram.value_at_quantile(quantile);
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    tell(&Word::Trips(Trips { count: histogram.len(), p50, p99, p999, max: histogram.max() }))
}

impl Court {
    /// Receivers first: a sender may have to wait for its receiver.
    fn open(directory: &Directory, args: &ChildArgs) -> Result<Self, Failure> {
        let (out, back) = match args.part {
            Part::Serve => (&args.there, &args.back),
            _ => (&args.back, &args.there),
        };
        let back = open(directory, back).receiver()?;
        let out = open(directory, out).sender()?;
        Ok(Self { out, back, message: Vec::new(), waiting: args.waiting, yields: args.cpu.is_none() })
    }

    /// Whether there is another ball: the other side may have finished.
    #[inline]
    fn receive(&mut self) -> Result<bool, Failure> {
        let received = match self.waiting {
            Waiting::Sleep => self.back.recv(&mut self.message),
            Waiting::Spin => self.look_until_there(),
        };
        match received {
            Ok(_) => Ok(self.message != END),
            Err(RecvError::Disconnected) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    #[inline]
    fn look_until_there(&mut self) -> Result<usize, RecvError> {
        loop {
            match self.back.try_recv(&mut self.message).map_err(TryRecvError::into_lasting) {
                Ok(len) => return Ok(len),
                Err(Some(error)) => return Err(error.into()),
                Err(None) if self.yields => std::thread::yield_now(),
                Err(None) => std::hint::spin_loop(),
            }
        }
    }
}
