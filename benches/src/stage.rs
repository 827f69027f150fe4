//! A run from inside: two sides, each on a core of its own, meet, are probed, play their part, and are probed again.
//!
//! # Safety
//! The descriptors that a side inherits are open, its alone, and not used before it takes them.

#![allow(unsafe_code, reason = "takes over inherited descriptors")]

use crate::channel::{Across, Link, RecordsAcross, RecordsWithin, Within};
use crate::control::{Control, LARGEST_BLOCK, Shared};
use crate::limits::{self, Bare, BareEnd};
use crate::message::{Line, Lines4, Lines16, Message, Word};
use crate::plan::{Cargo, Outcome, Plan, Reading, Test};
use crate::records::Feed;
use crate::{offered, probe, stream, trip};
use anyhow::{Context as _, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::{FromRawFd as _, RawFd};
use std::thread;

/// Which part a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Sends, or answers.
    Producer,
    /// Receives, or asks, and takes the time.
    Consumer,
    /// Both, as two threads.
    Both,
}

/// What a process is told on its command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Casting {
    /// The run.
    pub plan: Plan,
    /// The part.
    pub role: Role,
    /// The inherited control page.
    pub control: RawFd,
    /// The inherited descriptors of the channels: there, and back.
    pub channels: Vec<Vec<RawFd>>,
    /// A name that no other run has.
    pub name: String,
}

/// A run, as a process that plays in it sees it.
#[derive(Debug)]
pub struct Stage {
    /// The run.
    pub plan: Plan,
    role: Role,
    shared: Shared,
    /// There, and back.
    links: Vec<Link>,
}

impl Stage {
    /// Takes over what was inherited.
    ///
    /// # Errors
    /// If a descriptor is not what it should be.
    pub fn enter(casting: Casting) -> Result<Self> {
        // SAFETY: see the module; the parent opened it for this process.
        let take = |fd: RawFd| unsafe { File::from_raw_fd(fd) };
        let shared = Shared::map(&take(casting.control))?;
        let links = (casting.channels.iter().enumerate())
            .map(|(index, files)| Link {
                files: files.iter().map(|fd| take(*fd)).collect(),
                name: format!("{}-{index}", casting.name),
            })
            .collect();
        Ok(Self { plan: casting.plan, role: casting.role, shared, links })
    }

    /// The producer's part.
    fn producing(&self, play: impl FnOnce(&Control)) -> Result<()> {
        let control = self.shared.control();
        pin(0)?;
        control.meet(1)?;
        probe::answer(control);
        control.meet(2)?;
        play(control);
        control.meet(3)?;
        control.meet(4)?;
        probe::answer(control);
        Ok(())
    }

    /// The consumer's part.
    fn consuming(&self, play: impl FnOnce(&Control) -> Reading) -> Result<Outcome> {
        let control = self.shared.control();
        pin(1)?;
        crate::clock::per_nanosecond();
        control.meet(1)?;
        let before = probe::measure(control);
        limits::reset(control);
        control.meet(2)?;
        let reading = play(control);
        control.meet(3)?;
        limits::reset(control);
        control.meet(4)?;
        let after = probe::measure(control);
        Ok(Outcome { before, after, reading })
    }

    /// Plays the part or parts of this process. Only a consumer has an outcome.
    fn perform(
        &self,
        producer: impl FnOnce(&Control) + Send,
        consumer: impl FnOnce(&Control) -> Reading,
    ) -> Result<Option<Outcome>> {
        match self.role {
            Role::Producer => self.producing(producer).map(|()| None),
            Role::Consumer => self.consuming(consumer).map(Some),
            Role::Both => thread::scope(|scope| {
                let producer = scope.spawn(|| self.producing(producer));
                let outcome = self.consuming(consumer)?;
                producer.join().expect("a panic ends the process")?;
                Ok(Some(outcome))
            }),
        }
    }

    fn feed(&self) -> Feed {
        match self.plan.cargo {
            Cargo::Records(size) => Feed::of(size),
            _ => Feed::market(),
        }
    }
}

/// Binds this thread to the first or second of the cores that the process may use.
fn pin(index: usize) -> Result<()> {
    let allowed = sched_getaffinity(None)?;
    let core = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).nth(index);
    let core = core.context("a benchmark of two sides needs two cores")?;
    let mut set = CpuSet::new();
    set.set(core);
    // A thread of a process that is pinned already may use one core only: then its starter chose.
    sched_setaffinity(None, &set).context("pinning to a core")
}

/// Evaluates a call with the message type of the plan's size, if it is one of those listed.
macro_rules! by_size {
    ($plan:expr, [$($size:literal is $message:ident),*], $type:ident, $call:expr) => {
        match $plan.cargo {
            $(Cargo::Messages($size) => {
                type $type = $message;
                $call
            })*
            other => bail!("no such test with {other}"),
        }
    };
}

/// Plays a run of messages between threads.
///
/// # Errors
/// If the channel cannot be made, or the sides do not meet.
pub fn within<R: Within>(stage: &Stage) -> Result<Option<Outcome>> {
    fn stream_of<M: Message, R: Within>(stage: &Stage, batch: usize) -> Result<Option<Outcome>> {
        let Plan { capacity, seconds, .. } = stage.plan;
        let (mut to, mut from) = R::pair::<M>(&stage.plan)?;
        stage.perform(
            |control| stream::produce(&mut to, batch, control),
            |control| stream::consume(&mut from, batch, capacity, seconds, control),
        )
    }
    fn trip_of<M: Message, R: Within>(stage: &Stage) -> Result<Option<Outcome>> {
        let seconds = stage.plan.seconds;
        let (mut there, mut arriving) = R::pair::<M>(&stage.plan)?;
        let (mut back, mut returning) = R::pair::<M>(&stage.plan)?;
        stage.perform(|_| trip::answer(&mut returning, &mut there), |_| trip::ask(&mut back, &mut arriving, seconds))
    }
    match stage.plan.test {
        Test::Stream { batch } => {
            by_size!(stage.plan, [8 is Word, 64 is Line, 256 is Lines4, 1024 is Lines16], M, stream_of::<M, R>(stage, batch))
        }
        Test::RoundTrip => by_size!(stage.plan, [8 is Word, 64 is Line], M, trip_of::<M, R>(stage)),
        other => bail!("no {other:?} between threads"),
    }
}

/// Plays a part in a run of messages between processes.
///
/// # Errors
/// If the channel cannot be joined, or the sides do not meet.
pub fn across<R: Across>(stage: &Stage) -> Result<Option<Outcome>> {
    fn stream_of<M: Message, R: Across>(stage: &Stage, batch: usize) -> Result<Option<Outcome>> {
        let Plan { capacity, seconds, .. } = stage.plan;
        if stage.role == Role::Producer {
            let mut to = R::sender::<M>(&stage.plan, &stage.links[0])?;
            stage.producing(|control| stream::produce(&mut to, batch, control)).map(|()| None)
        } else {
            let mut from = R::receiver::<M>(&stage.plan, &stage.links[0])?;
            stage.consuming(|control| stream::consume(&mut from, batch, capacity, seconds, control)).map(Some)
        }
    }
    fn trip_of<M: Message, R: Across>(stage: &Stage) -> Result<Option<Outcome>> {
        let [there, back] = &stage.links[..] else { bail!("a round trip needs two channels") };
        if stage.role == Role::Producer {
            let mut to = R::sender::<M>(&stage.plan, there)?;
            let mut from = R::receiver::<M>(&stage.plan, back)?;
            stage.producing(|_| trip::answer(&mut from, &mut to)).map(|()| None)
        } else {
            // In the order of the other side: a sender may have to wait for its receiver.
            let mut from = R::receiver::<M>(&stage.plan, there)?;
            let mut to = R::sender::<M>(&stage.plan, back)?;
            stage.consuming(|_| trip::ask(&mut to, &mut from, stage.plan.seconds)).map(Some)
        }
    }
    fn offered_of<M: Message, R: Across>(stage: &Stage, rate: f64) -> Result<Option<Outcome>> {
        if stage.role == Role::Producer {
            let mut to = R::sender::<M>(&stage.plan, &stage.links[0])?;
            stage.producing(|control| offered::produce(&mut to, rate, control)).map(|()| None)
        } else {
            let mut from = R::receiver::<M>(&stage.plan, &stage.links[0])?;
            stage.consuming(|control| offered::consume(&mut from, stage.plan.seconds, control)).map(Some)
        }
    }
    match stage.plan.test {
        Test::Stream { batch } => {
            by_size!(stage.plan, [8 is Word, 64 is Line, 256 is Lines4, 1024 is Lines16], M, stream_of::<M, R>(stage, batch))
        }
        Test::RoundTrip => by_size!(stage.plan, [8 is Word, 64 is Line], M, trip_of::<M, R>(stage)),
        Test::Offered { rate } => by_size!(stage.plan, [8 is Word, 64 is Line], M, offered_of::<M, R>(stage, rate)),
        Test::Copy => bail!("a rival has no copying to itself"),
    }
}

/// Plays a run of records between threads.
///
/// # Errors
/// If the channel cannot be made, or the sides do not meet.
pub fn records_within<R: RecordsWithin>(stage: &Stage) -> Result<Option<Outcome>> {
    let Test::Stream { batch } = stage.plan.test else { bail!("records are only streamed") };
    let Plan { capacity, seconds, .. } = stage.plan;
    let (mut to, mut from) = R::pair(&stage.plan)?;
    stage.perform(
        |control| stream::produce_records(&mut to, stage.feed(), batch, control),
        |control| stream::consume_records(&mut from, stage.feed(), batch, capacity, seconds, control),
    )
}

/// Plays a part in a run of records between processes.
///
/// # Errors
/// If the channel cannot be joined, or the sides do not meet.
pub fn records_across<R: RecordsAcross>(stage: &Stage) -> Result<Option<Outcome>> {
    let Test::Stream { batch } = stage.plan.test else { bail!("records are only streamed") };
    let Plan { capacity, seconds, .. } = stage.plan;
    if stage.role == Role::Producer {
        let mut to = R::sender(&stage.plan, &stage.links[0])?;
        stage.producing(|control| stream::produce_records(&mut to, stage.feed(), batch, control)).map(|()| None)
    } else {
        let mut from = R::receiver(&stage.plan, &stage.links[0])?;
        let play =
            |control: &Control| stream::consume_records(&mut from, stage.feed(), batch, capacity, seconds, control);
        stage.consuming(play).map(Some)
    }
}

/// Plays a part in the round trips of a bare limit.
///
/// # Errors
/// If the sides do not meet.
pub fn bare(stage: &Stage, bare: Bare) -> Result<Option<Outcome>> {
    let end = |direction| BareEnd::new(stage.shared.control(), bare, direction);
    let (mut producing, mut consuming) = ((end(0), end(1)), (end(1), end(0)));
    let seconds = stage.plan.seconds;
    stage.perform(
        |_| trip::answer::<Word>(&mut producing.1, &mut producing.0),
        |_| trip::ask::<Word>(&mut consuming.0, &mut consuming.1, seconds),
    )
}

/// Plays a part in the copying.
///
/// # Errors
/// If the sides do not meet.
pub fn copying(stage: &Stage) -> Result<Option<Outcome>> {
    let Cargo::Records(size @ ..=LARGEST_BLOCK) = stage.plan.cargo else { bail!("only blocks of up to a mebibyte") };
    stage.perform(
        |_| limits::copy_in(&stage.shared, size),
        |_| limits::copy_out(&stage.shared, size, stage.plan.seconds),
    )
}
