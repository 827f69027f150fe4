//! A run from inside: its members, on the two cores, meet, are probed, play their part, and are probed again.
//!
//! # Safety
//! The descriptors that a process inherits are open, its alone, and not used before it takes them.

#![allow(unsafe_code, reason = "takes over inherited descriptors")]

mod many;
mod pair;

pub use many::{across_many, alone, among, recovery};
pub use pair::{across, bare, beside, copying, frames_across, looking, records_across, records_within, within};

use crate::channel::Link;
use crate::control::{Control, Shared};
use crate::plan::{Cargo, Outcome, Plan, Reading, Test};
use crate::records::Feed;
use crate::{crowd, limits, probe};
use anyhow::{Context as _, Result};
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
    /// All producers and consumers, as threads.
    Both,
    /// Receives a message, and is killed with it.
    Victim,
}

/// What a process is told on its command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Casting {
    /// The run.
    pub plan: Plan,
    /// The part.
    pub role: Role,
    /// Which of the producers, or of the consumers.
    pub member: usize,
    /// The inherited control page.
    pub control: RawFd,
    /// The inherited descriptors of the channels: there, and back.
    pub channels: Vec<Vec<RawFd>>,
    /// What the channels are called: see [`Link::name`].
    pub names: Vec<String>,
}

/// A run, as a process that plays in it sees it.
#[derive(Debug)]
pub struct Stage {
    /// The run.
    pub plan: Plan,
    role: Role,
    member: usize,
    casting: Casting,
    /// The file of the control page, which victims inherit.
    _control: File,
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
        let control = take(casting.control);
        let shared = Shared::map(&control)?;
        let links = (casting.channels.iter().zip(&casting.names))
            .map(|(files, name)| Link {
                files: files.iter().map(|fd| take(*fd)).collect(),
                name: name.clone(),
                member: casting.member,
            })
            .collect();
        let Casting { ref plan, role, member, .. } = casting;
        Ok(Self { plan: plan.clone(), role, member, casting, _control: control, shared, links })
    }

    /// The part of a producer. The first of them is probed.
    fn producing(&self, member: usize, play: impl FnOnce(&Control)) -> Result<()> {
        let (control, members) = (self.shared.control(), self.plan.crew.members());
        pin(member)?;
        crate::clock::per_nanosecond();
        control.meet(1, members)?;
        if member == 0 {
            probe::answer(control);
        }
        control.meet(2, members)?;
        play(control);
        control.meet(3, members)?;
        control.meet(4, members)?;
        if member == 0 {
            probe::answer(control);
        }
        Ok(())
    }

    /// The part of a consumer. The first of them probes, and sums up what all of them say.
    fn consuming<T>(
        &self,
        member: usize,
        play: impl FnOnce(&Control) -> T,
        sum_up: impl FnOnce(T) -> Result<Reading>,
    ) -> Result<Option<Outcome>> {
        let (control, members) = (self.shared.control(), self.plan.crew.members());
        // Round-robin, so that the first is not where the first producer is; and none is there if the producer is measured.
        pin(if self.plan.test == Test::Lossy { 1 } else { member + 1 })?;
        crate::clock::per_nanosecond();
        control.meet(1, members)?;
        let mut before = 0.0;
        if member == 0 {
            before = probe::measure(control);
            limits::reset(control);
            control.count_from(crowd::start(&self.plan));
        }
        control.meet(2, members)?;
        let played = play(control);
        control.meet(3, members)?;
        if member == 0 {
            limits::reset(control);
        }
        control.meet(4, members)?;
        if member > 0 {
            return Ok(None);
        }
        let after = probe::measure(control);
        Ok(Some(Outcome { before, after, reading: sum_up(played)? }))
    }

    /// Plays the part or parts of this process where there is one producer and one consumer. Only the latter has an outcome.
    fn perform(
        &self,
        producer: impl FnOnce(&Control) + Send,
        consumer: impl FnOnce(&Control) -> Reading,
    ) -> Result<Option<Outcome>> {
        match self.role {
            Role::Victim => unreachable!("nobody is killed here"),
            Role::Producer => self.producing(0, producer).map(|()| None),
            Role::Consumer => self.consuming(0, consumer, Ok),
            Role::Both => thread::scope(|scope| {
                let producer = scope.spawn(|| self.producing(0, producer));
                let outcome = self.consuming(0, consumer, Ok)?;
                producer.join().expect("a panic ends the process")?;
                Ok(outcome)
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

/// Binds this thread to one of the first two cores that the process may use, in turns.
fn pin(index: usize) -> Result<()> {
    let allowed = sched_getaffinity(None)?;
    let core = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).nth(index % 2);
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

use by_size;
