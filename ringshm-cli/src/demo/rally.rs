//! Round trips: one process serves a message, the other returns it.

use super::child::{ChildArgs, Part, Trips, Waiting, Word, open, tell};
use super::own::Balls;
use crate::failure::Failure;
use hdrhistogram::Histogram;
use ringshm::{Directory, Receiver, RecvError, Sender, TryRecvError};
use std::time::Instant;
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Round trips before the measurement begins.
const WARM_UP: u64 = 2_000;
/// Round trips of a measurement, at most.
const MOST: u64 = 1_000_000;
/// Round trips between two looks at the time that is left.
const STRIDE: u64 = 16;

/// What is sent to and fro: a cache line.
pub(super) type Ball = [u64; 8];
/// What ends the game over channels: no ball is so short.
const END: &[u8] = b".";

/// One end of the way to and fro.
#[expect(clippy::large_enum_variant, reason = "a process has one")]
enum Court {
    Rings(Balls),
    Channels(Channels),
}

/// Through the traits that all channels have.
struct Channels {
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
    while let Some(ball) = court.receive()? {
        court.send(&ball)?;
    }
    Ok(())
}

fn serve(mut court: Court, args: &ChildArgs) -> Result<(), Failure> {
    // Up to 10 s, to three digits.
    let histogram = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3);
    let mut histogram = histogram.map_err(Failure::because)?;
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
    court.end()?;
    let at = |quantile| histogram.value_at_quantile(quantile);
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    tell(&Word::Trips(Trips { count: histogram.len(), p50, p99, p999, max: histogram.max() }))
}

impl Court {
    fn open(directory: &Directory, args: &ChildArgs) -> Result<Self, Failure> {
        let (out, back) = match args.part {
            Part::Serve => (&args.there, &args.back),
            _ => (&args.back, &args.there),
        };
        if args.own_handles {
            return Ok(Self::Rings(Balls::open(directory, args, out, back)?));
        }
        // Receivers first: a sender may have to wait for its receiver.
        let back = open(directory, back).receiver()?;
        let out = open(directory, out).sender()?;
        let (waiting, yields) = (args.waiting, args.cpu.is_none());
        Ok(Self::Channels(Channels { out, back, message: Vec::new(), waiting, yields }))
    }

    #[inline]
    fn send(&mut self, ball: &Ball) -> Result<(), Failure> {
        match self {
            Self::Rings(balls) => balls.send(ball),
            Self::Channels(channels) => channels.out.send(ball.as_bytes()).map_err(Failure::because),
        }
    }

    /// The next ball, unless the other side has finished.
    #[inline]
    fn receive(&mut self) -> Result<Option<Ball>, Failure> {
        match self {
            Self::Rings(balls) => balls.receive(),
            Self::Channels(channels) => channels.receive(),
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        match self {
            // Their end is told.
            Self::Rings(_) => Ok(()),
            Self::Channels(channels) => channels.out.send(END).map_err(Failure::because),
        }
    }
}

impl Channels {
    fn receive(&mut self) -> Result<Option<Ball>, Failure> {
        let received = match self.waiting {
            Waiting::Sleep => self.back.recv(&mut self.message),
            Waiting::Spin => self.look_until_there(),
        };
        match received {
            Ok(_) if self.message == END => Ok(None),
            Ok(len) => match Ball::read_from_bytes(&self.message) {
                Ok(ball) => Ok(Some(ball)),
                Err(_) => Err(Failure::new(format!("a ball of {len} bytes"))),
            },
            Err(RecvError::Disconnected) => Ok(None),
            Err(error) => Err(Failure::because(error)),
        }
    }

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
