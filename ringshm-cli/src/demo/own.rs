//! The usual ring, through handles of its own: what a program uses that knows that it has a ring, and what channels of all kinds do not
//! have, such as to read in place.

use super::child::{BATCH, ChildArgs, Part, Waiting};
use super::feed::Check;
use super::rally::Ball;
use crate::failure::Failure;
use ringshm::{Builder, Consumer, Directory, Producer, RecordConsumer, RecvError, Wait};
use ringshm_benches::site;
use std::time::Duration;

fn strategy(args: &ChildArgs) -> Wait {
    match (args.part, args.waiting, args.cpu) {
        (_, Waiting::Sleep, _) => Wait::Park,
        (_, Waiting::Spin, None) => Wait::SpinThenYield(Duration::from_micros(1)),
        (Part::Feed | Part::Check, Waiting::Spin, Some(_)) => Wait::default(),
        (Part::Serve | Part::Return, Waiting::Spin, Some(_)) => Wait::Spin,
    }
}

/// The ring that a channel's name stands for.
fn ring(name: &str) -> &str {
    let place = name.strip_prefix("shm://").unwrap_or(name);
    place.split_once('?').map_or(place, |(ring, _)| ring)
}

/// The receiver of the feed.
pub(super) fn consumer(directory: &Directory, args: &ChildArgs) -> Result<RecordConsumer, Failure> {
    let ring: Builder<[u8]> = ringshm::spsc(ring(&args.there)).directory(directory.path()).wait(strategy(args));
    match site::option(&args.there, "capacity").and_then(|capacity| capacity.parse().ok()) {
        Some(bytes) => Ok(ring.capacity(bytes).consumer()?),
        None => Ok(ring.consumer()?),
    }
}

/// Checks what it receives, in place, until the sender has finished.
pub(super) fn check(consumer: &mut RecordConsumer, check: &mut Check) -> Result<(), Failure> {
    loop {
        let mut drain = match consumer.drain() {
            Ok(drain) => drain,
            Err(RecvError::Disconnected) => return Ok(()),
            Err(error) => return Err(Failure::because(error)),
        };
        while drain.taken() < BATCH as u64 {
            match drain.next()? {
                Some(message) => check.add(message),
                None => break,
            }
        }
    }
}

/// One end of two rings of messages of one size.
pub(super) struct Balls {
    out: Producer<Ball>,
    back: Consumer<Ball>,
}

impl Balls {
    pub(super) fn open(directory: &Directory, args: &ChildArgs, out: &str, back: &str) -> Result<Self, Failure> {
        let balls = |name| -> Builder<Ball> {
            ringshm::spsc(ring(name)).directory(directory.path()).capacity(64).wait(strategy(args))
        };
        Ok(Self { out: balls(out).producer()?, back: balls(back).consumer()? })
    }

    #[inline]
    pub(super) fn send(&mut self, ball: &Ball) -> Result<(), Failure> {
        self.out.send(*ball).map_err(Failure::because)
    }

    /// The next ball, unless the other side has finished.
    #[inline]
    pub(super) fn receive(&mut self) -> Result<Option<Ball>, Failure> {
        match self.back.recv() {
            Ok(ball) => Ok(Some(ball)),
            Err(RecvError::Disconnected) => Ok(None),
            Err(error) => Err(Failure::because(error)),
        }
    }
}
