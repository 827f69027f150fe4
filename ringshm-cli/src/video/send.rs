//! `ringshm send` into a ring of frames.

use super::input::Input;
use super::pixels::Pixels;
use super::{LOOK, Tally, widen};
use crate::every::Beat;
use crate::failure::Failure;
use crate::framing::Form;
use crate::ring::{Kind, refuse};
use crate::send::{Args, open};
use ringshm::frames::Producer;
use ringshm::{Directory, HugePages, OnDeath, Participant, Peer, Role};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    let (kinds, video) = ([Kind::Frames], &args.video);
    args.ring.check(&kinds)?;
    refuse(args.evict_after.is_some(), "--evict-after", &[Kind::Broadcast], &kinds)?;
    let form = args.framing.of_frames()?;
    let file = open(args.file.as_ref())?;
    widen(&file);
    let input = match form {
        Form::Y4m => {
            for (is_given, option) in [(video.pix.is_some(), "--pix"), (video.fps.is_some(), "--fps")] {
                if is_given {
                    return Err(Failure::usage(format!("{option} goes with --raw: YUV4MPEG2 says it itself")));
                }
            }
            Input::y4m(file)?
        }
        Form::Raw { size: Some((width, height)) } => {
            let pixels = video.pix.unwrap_or(Pixels::of(ringshm::frames::FourCc::I420).expect("the usual pixels"));
            Input::raw(file, pixels, width, height, video.fps)?
        }
        Form::Raw { size: None } => return Err(Failure::usage("--raw needs --size: WIDTHxHEIGHT of a frame")),
    };
    let interval = match (video.realtime, input.rate()) {
        (false, _) => None,
        (true, Some(rate)) => {
            let nanoseconds = u64::from(rate.seconds) * 1_000_000_000 / u64::from(rate.frames);
            Some(Duration::from_nanos(nanoseconds))
        }
        (true, None) => {
            return Err(Failure::usage("--realtime needs frames per second, which the stream does not say"));
        }
    };
    let builder = ringshm::frames(&args.name).frame_bytes(input.frame_bytes());
    let builder = args.ring.describe(Kind::Frames, builder, directory, OnDeath::AwaitSuccessor);
    let builder = if video.huge_pages { builder.huge_pages(HugePages::Try) } else { builder };
    let builder = if let Some(slots) = video.slots { builder.capacity(slots) } else { builder };
    let producer = builder.producer()?;
    if let Some(receivers) = video.receivers {
        wait_for(receivers, directory, &args.name)?;
    }
    let skip = if args.resume { producer.sent() } else { args.skip };
    let mut sending = Sending { producer, input, skip, tally: Tally::default() };
    let begun = Instant::now();
    match sending.everything(interval) {
        Ok(()) => {
            if args.keep {
                sending.producer.detach();
            } else {
                drop(sending.producer);
            }
            if args.stats {
                sending.tally.tell("sent", begun);
            }
            Ok(())
        }
        Err(failure) => {
            // Not closed: nobody must take a part for the whole.
            std::mem::forget(sending.producer);
            Err(failure)
        }
    }
}

/// Waits until so many receivers are there.
fn wait_for(receivers: usize, directory: &Directory, name: &str) -> Result<(), Failure> {
    // What it may hold was promised to it: from then on it misses nothing. But one that takes a dead one's place looks like that one for a moment, until it has
    // cleared that place up; a frame of this moment it may miss.
    let is_there = |consumer: &&Participant| {
        matches!(consumer.state, Peer::Live { .. }) && consumer.frames.is_some_and(|frames| frames.most > 0)
    };
    loop {
        let ring = ringshm::inspect(directory, name)?;
        if ring.participants_of(Role::Consumer).filter(is_there).count() >= receivers {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
}

struct Sending {
    producer: Producer,
    input: Input,
    /// Frames at the beginning of the input that are left out.
    skip: u64,
    tally: Tally,
}

impl Sending {
    fn everything(&mut self, interval: Option<Duration>) -> Result<(), Failure> {
        let mut beat = None;
        for number in 0.. {
            let mut loan = self.producer.loan().map_err(|error| Failure::new(error.to_string()))?;
            let meta = match self.input.next(number, &mut loan)? {
                Some(_) if number < self.skip => continue,
                Some(meta) => meta,
                None if number < self.skip => {
                    let skip = self.skip;
                    return Err(Failure::new(format!(
                        "the input has only {number} frames, {skip} were to be left out"
                    )));
                }
                None => return Ok(()),
            };
            match (interval, &mut beat) {
                (None, _) => {}
                // The first one at once.
                (Some(interval), None) => beat = Some(Beat::new(interval)),
                (Some(_), Some(beat)) => beat.wait(),
            }
            let sequence = loan.commit(&meta).map_err(|error| Failure::new(error.to_string()))?;
            self.tally.count(sequence, meta.bytes, 0);
        }
        Ok(())
    }
}
