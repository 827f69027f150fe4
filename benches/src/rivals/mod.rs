//! Who is measured, as data: see [`all`].

mod pausing;
mod ringshm;
mod streams;

#[cfg(feature = "rivals")]
mod disruptor;
#[cfg(feature = "rivals")]
mod iceoryx;
#[cfg(feature = "rivals")]
mod ipc_channel;
#[cfg(feature = "rivals")]
mod queues;
#[cfg(feature = "rivals")]
mod ringbuf;
#[cfg(feature = "rivals")]
mod ringfire;
#[cfg(feature = "rivals")]
mod rtrb;
#[cfg(feature = "rivals")]
mod shmem_ipc;

use crate::channel::{Across, RecordsAcross, RecordsWithin, Within};
use crate::limits::Bare;
use crate::message::{Line, Lines4, Lines16, Word};
use crate::plan::{Cargo, Outcome, Plan, Test};
use crate::stage::{self, Stage};
use anyhow::{Result, bail};
use std::os::fd::OwnedFd;

/// Between whom a rival carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two threads of a process.
    Threads,
    /// Two processes.
    Processes,
}

/// One of those that are measured, or a limit.
#[derive(Clone, Copy, Debug)]
pub struct Rival {
    /// Its name, with what is special about its use.
    pub name: &'static str,
    /// Between whom.
    pub kind: Kind,
    /// Whether it is ringshm, a rival, or a limit.
    pub side: Side,
    /// Whether it can send and receive many messages at once.
    pub batches: bool,
    /// Whether it can be told how to wait.
    pub waits: bool,
    /// Whether its two sides sleep in turns, so that its throughput is a mean over whole runs.
    pub takes_turns: bool,
    messages: Option<Play>,
    records: Option<Play>,
}

/// On whose side somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// ringshm itself, in one of its uses.
    Ours,
    /// Somebody else.
    Theirs,
    /// What the hardware or the kernel allows.
    Limit,
}

/// How a rival is put to use: what both ends need from their parent, and the run itself.
#[derive(Clone, Copy, Debug)]
struct Play {
    link: fn(&Plan) -> Result<Vec<OwnedFd>>,
    run: fn(&Stage) -> Result<Option<Outcome>>,
}

impl Rival {
    const fn new(name: &'static str, kind: Kind, side: Side) -> Self {
        Self { name, kind, side, batches: false, waits: false, takes_turns: false, messages: None, records: None }
    }

    const fn within<R: Within>(name: &'static str, side: Side) -> Self {
        let play = Play { link: |_| Ok(Vec::new()), run: stage::within::<R> };
        Self { messages: Some(play), ..Self::new(name, Kind::Threads, side) }
    }

    const fn across<R: Across>(name: &'static str, side: Side) -> Self {
        let play = Play { link: link_of::<R>, run: stage::across::<R> };
        Self { messages: Some(play), ..Self::new(name, Kind::Processes, side) }
    }

    const fn limit(name: &'static str, run: fn(&Stage) -> Result<Option<Outcome>>) -> Self {
        let play = Play { link: |_| Ok(Vec::new()), run };
        Self { messages: Some(play), records: Some(play), ..Self::new(name, Kind::Processes, Side::Limit) }
    }

    const fn records_within<R: RecordsWithin>(self) -> Self {
        let play = Play { link: |_| Ok(Vec::new()), run: stage::records_within::<R> };
        Self { records: Some(play), ..self }
    }

    const fn records_across<R: RecordsAcross>(self) -> Self {
        Self { records: Some(Play { link: R::link, run: stage::records_across::<R> }), ..self }
    }

    const fn with_batches(self) -> Self {
        Self { batches: true, ..self }
    }

    const fn with_waits(self) -> Self {
        Self { waits: true, ..self }
    }

    const fn taking_turns(self) -> Self {
        Self { takes_turns: true, ..self }
    }

    /// Whether it can play a run of this kind.
    #[must_use]
    pub fn carries(&self, cargo: Cargo) -> bool {
        self.play(cargo).is_some()
    }

    fn play(&self, cargo: Cargo) -> Option<Play> {
        match cargo {
            Cargo::Messages(_) => self.messages,
            Cargo::Records(_) | Cargo::Feed => self.records,
        }
    }

    /// Makes what the two ends of each channel need.
    ///
    /// # Errors
    /// Whatever the rival reports.
    pub fn links(&self, plan: &Plan) -> Result<Vec<Vec<OwnedFd>>> {
        let Some(play) = self.play(plan.cargo) else { bail!("{} does not carry {}", self.name, plan.cargo) };
        let channels = if plan.test == Test::RoundTrip { 2 } else { 1 };
        (0..channels).map(|_| (play.link)(plan)).collect()
    }

    /// Plays this process's part.
    ///
    /// # Errors
    /// Whatever the rival reports.
    pub fn run(&self, stage: &Stage) -> Result<Option<Outcome>> {
        let Some(play) = self.play(stage.plan.cargo) else { bail!("{} does not carry this", self.name) };
        (play.run)(stage)
    }
}

fn link_of<R: Across>(plan: &Plan) -> Result<Vec<OwnedFd>> {
    match plan.cargo {
        Cargo::Messages(8) => R::link::<Word>(plan),
        Cargo::Messages(64) => R::link::<Line>(plan),
        Cargo::Messages(256) => R::link::<Lines4>(plan),
        Cargo::Messages(1024) => R::link::<Lines16>(plan),
        other => bail!("no messages of {other}"),
    }
}

/// Everybody.
#[must_use]
pub fn all() -> Vec<Rival> {
    use self::pausing::{Eager, Patient};
    use self::ringshm::{Blocking, Iter, Rings, Trying};
    use self::streams::{Pipe, Stream, Unix};
    let mut all = vec![
        Rival::across::<Rings<Blocking>>("ringshm", Side::Ours)
            .records_across::<Rings<Blocking>>()
            .with_batches()
            .with_waits(),
        Rival::across::<Rings<Trying<Eager>>>("ringshm try", Side::Ours),
        Rival::across::<Rings<Trying<Patient>>>("ringshm try, pausing", Side::Ours),
        Rival::within::<Rings<Blocking>>("ringshm threads", Side::Ours)
            .records_within::<Rings<Blocking>>()
            .with_batches(),
        Rival::within::<Rings<Trying<Eager>>>("ringshm threads try", Side::Ours),
        Rival::within::<Rings<Trying<Patient>>>("ringshm threads try, pausing", Side::Ours),
        Rival::within::<Rings<Iter>>("ringshm threads iter", Side::Ours).with_batches(),
    ];
    all.extend([
        Rival::across::<Stream<Pipe>>("pipe", Side::Theirs)
            .records_across::<Stream<Pipe>>()
            .with_batches()
            .taking_turns(),
        Rival::across::<Stream<Unix>>("unix socket", Side::Theirs)
            .records_across::<Stream<Unix>>()
            .with_batches()
            .taking_turns(),
    ]);
    #[cfg(feature = "rivals")]
    all.extend(libraries());
    all.extend([
        Rival::limit("one line", |stage| stage::bare(stage, Bare::OneLine)),
        Rival::limit("two lines", |stage| stage::bare(stage, Bare::TwoLines)),
        Rival::limit("futex", |stage| stage::bare(stage, Bare::Futex)),
        Rival::limit("memcpy", stage::copying),
    ]);
    all
}

/// The libraries. Left out: shaq, whose versions 4.4 and 5.1 need a Rust later than 1.95, for `usize::isolate_highest_one`. Its version
/// 4.3 does without that, and was not tried.
#[cfg(feature = "rivals")]
fn libraries() -> Vec<Rival> {
    use self::disruptor::Disruptor;
    use self::iceoryx::Iceoryx;
    use self::ipc_channel::IpcChannel;
    use self::pausing::{Eager, Patient};
    use self::queues::{Array, Crossbeam, Heapless, Kanal};
    use self::ringbuf::Ringbuf;
    use self::ringfire::Ringfire;
    use self::rtrb::Rtrb;
    use self::shmem_ipc::ShmemIpc;
    vec![
        Rival::within::<Rtrb<Eager>>("rtrb", Side::Theirs).with_batches(),
        Rival::within::<Rtrb<Patient>>("rtrb, pausing", Side::Theirs).with_batches(),
        Rival::within::<Ringbuf<Eager>>("ringbuf", Side::Theirs).with_batches(),
        Rival::within::<Ringbuf<Patient>>("ringbuf, pausing", Side::Theirs).with_batches(),
        Rival::within::<Disruptor>("disruptor", Side::Theirs).with_batches(),
        Rival::within::<Array>("crossbeam ArrayQueue", Side::Theirs),
        Rival::within::<Heapless>("heapless", Side::Theirs),
        Rival::within::<Kanal>("kanal", Side::Theirs),
        Rival::within::<Crossbeam>("crossbeam-channel", Side::Theirs),
        Rival::across::<ShmemIpc<Eager>>("shmem-ipc", Side::Theirs).with_batches(),
        Rival::across::<ShmemIpc<Patient>>("shmem-ipc, pausing", Side::Theirs).with_batches(),
        Rival::across::<Ringfire<Eager>>("ringfire", Side::Theirs).with_batches(),
        Rival::across::<Ringfire<Patient>>("ringfire, pausing", Side::Theirs).with_batches(),
        Rival::across::<Iceoryx>("iceoryx2", Side::Theirs).records_across::<Iceoryx>(),
        Rival::across::<IpcChannel>("ipc-channel", Side::Theirs).records_across::<IpcChannel>().taking_turns(),
    ]
}

/// The one with this name.
///
/// # Errors
/// If there is none in this build.
pub fn named(name: &str) -> Result<Rival> {
    match all().into_iter().find(|rival| rival.name == name) {
        Some(rival) => Ok(rival),
        None => bail!("nobody is called {name:?} (is the feature `rivals` on?)"),
    }
}
