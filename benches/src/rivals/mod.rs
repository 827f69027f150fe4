//! Who is measured, as data: see [`all`].

mod channels;
mod frames;
mod gstreamer;
pub(crate) mod pausing;
mod ringshm;
mod ringshm_broadcast;
mod ringshm_latest;
mod ringshm_mpmc;
mod ringshm_waking;
mod streams;
mod vyukov;

#[cfg(feature = "rivals")]
mod bus;
#[cfg(feature = "rivals")]
mod disruptor;
#[cfg(feature = "rivals")]
mod eventfd;
#[cfg(feature = "rivals")]
mod iceoryx;
#[cfg(feature = "rivals")]
mod iceoryx_frames;
#[cfg(feature = "rivals")]
mod ipc_channel;
#[cfg(feature = "rivals")]
mod queues;
#[cfg(feature = "rivals")]
mod ringbuf;
#[cfg(feature = "rivals")]
mod ringfire;
#[cfg(feature = "rivals")]
mod ringshm_tasks;
#[cfg(feature = "rivals")]
mod rtrb;
#[cfg(feature = "rivals")]
mod shaq;
#[cfg(feature = "rivals")]
mod shmem_ipc;
#[cfg(feature = "rivals")]
mod tokio;

use crate::channel::{Across, Among, FramesAcross, RecordsAcross, RecordsWithin, Within};
use crate::limits::Bare;
use crate::message::{Line, Lines4, Lines16, Lines64, Word};
use crate::plan::{Cargo, Outcome, Plan, Test};
use crate::site;
use crate::stage::{self, Stage};
use anyhow::{Context as _, Result, bail};
use std::os::fd::OwnedFd;

/// Between whom a rival carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Threads of a process.
    Threads,
    /// Processes.
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
    /// Finds out whether it is here, where it is programs of its own that run beside those of a run. Of them only how many frames go through can
    /// be told.
    pub programs: Option<fn() -> Result<()>>,
    /// The limit that it is compared with where both sides sleep: the bare form of what it does. Else the best one.
    pub bare: Option<&'static str>,
    messages: Option<Play>,
    records: Option<Play>,
    frames: Option<Play>,
    newest: Option<Play>,
    share: Option<Play>,
    spread: Option<Play>,
    lossy: Option<Play>,
    latest: Option<Play>,
    alone: Option<Play>,
    recovery: Option<Play>,
    wake: Option<Play>,
    look: Option<Play>,
}

/// What only some can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feat {
    /// Each message goes to one of many consumers.
    Share,
    /// Each message goes to all consumers.
    Spread,
    /// Readers may lose messages.
    Lossy,
    /// Only the newest value counts.
    Latest,
    /// A consumer takes the newest frame only.
    Newest,
    /// One thread has both ends.
    Alone,
    /// A message outlives the consumer that is killed with it.
    Recovery,
    /// Both sides sleep for each message.
    Wake,
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
        Self {
            name,
            kind,
            side,
            batches: false,
            waits: false,
            takes_turns: false,
            programs: None,
            bare: None,
            messages: None,
            records: None,
            frames: None,
            newest: None,
            share: None,
            spread: None,
            lossy: None,
            latest: None,
            alone: None,
            recovery: None,
            wake: None,
            look: None,
        }
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

    const fn frames_across<R: FramesAcross>(self) -> Self {
        Self { frames: Some(Play { link: R::link, run: stage::frames_across::<R> }), ..self }
    }

    /// Who hands over frames, and drops those that its consumer does not want any more.
    const fn with_newest(self) -> Self {
        Self { newest: self.frames, ..self }
    }

    const fn sharing<R: Among>(self) -> Self {
        let among = Play { link: |_| Ok(Vec::new()), run: stage::among::<R> };
        let alone = Play { link: |_| Ok(Vec::new()), run: stage::alone::<R> };
        Self { share: Some(among), alone: Some(alone), ..self }
    }

    const fn sharing_across<R: Across>(self) -> Self {
        Self { share: Some(Play { link: link_of::<R>, run: stage::across_many::<R> }), ..self }
    }

    const fn spreading<R: Among>(self) -> Self {
        let play = Play { link: |_| Ok(Vec::new()), run: stage::among::<R> };
        Self { spread: Some(play), ..self }
    }

    const fn spreading_across<R: Across>(self) -> Self {
        Self { spread: Some(Play { link: link_of::<R>, run: stage::across_many::<R> }), ..self }
    }

    const fn lossy_across<R: Across>(self) -> Self {
        Self { lossy: Some(Play { link: link_of::<R>, run: stage::across_many::<R> }), ..self }
    }

    const fn recovering<R: Across>(self, run: fn(&Stage) -> Result<Option<Outcome>>) -> Self {
        Self { recovery: Some(Play { link: link_of::<R>, run }), ..self }
    }

    const fn latest_across<R: Across>(self) -> Self {
        Self { latest: Some(Play { link: link_of::<R>, run: stage::across::<R> }), ..self }
    }

    /// Who sleeps for each message, beside the bare form of how it does so.
    const fn waking_across<R: Across>(self, bare: &'static str) -> Self {
        Self { wake: Some(Play { link: link_of::<R>, run: stage::across::<R> }), bare: Some(bare), ..self }
    }

    const fn waking_bare(self, run: fn(&Stage) -> Result<Option<Outcome>>) -> Self {
        Self { wake: Some(Play { link: |_| Ok(Vec::new()), run }), ..self }
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
        self.cargo(cargo).is_some()
    }

    /// Whether it can do this.
    #[must_use]
    pub fn can(&self, feat: Feat) -> bool {
        self.feat(feat).is_some()
    }

    fn feat(&self, feat: Feat) -> Option<Play> {
        match feat {
            Feat::Share => self.share,
            Feat::Spread => self.spread,
            Feat::Lossy => self.lossy,
            Feat::Latest => self.latest,
            Feat::Newest => self.newest,
            Feat::Alone => self.alone,
            Feat::Recovery => self.recovery,
            Feat::Wake => self.wake,
        }
    }

    fn cargo(&self, cargo: Cargo) -> Option<Play> {
        match cargo {
            Cargo::Messages(_) => self.messages,
            Cargo::Records(_) | Cargo::Feed => self.records,
            Cargo::Frames { .. } => self.frames,
        }
    }

    fn play(&self, plan: &Plan) -> Result<Play> {
        let play = match plan.test {
            Test::Share { .. } => self.share,
            Test::Spread { .. } => self.spread,
            Test::Lossy => self.lossy,
            Test::Alone => self.alone,
            Test::Recovery => self.recovery,
            Test::Newest { .. } => self.newest,
            Test::Wake | Test::WakeAt { .. } => self.wake,
            Test::Look => self.look,
            // Who has both has the latter for this.
            Test::Seen | Test::RoundTrip => self.latest.or(self.cargo(plan.cargo)),
            Test::Stream { .. } | Test::Offered { .. } | Test::Tail { .. } | Test::Copy => self.cargo(plan.cargo),
        };
        play.with_context(|| format!("{} does not play {:?} with {}", self.name, plan.test, plan.cargo))
    }

    /// Makes what the two ends of each channel need.
    ///
    /// # Errors
    /// Whatever the rival reports.
    pub fn links(&self, plan: &Plan) -> Result<Vec<Vec<OwnedFd>>> {
        let play = self.play(plan)?;
        let channels = if matches!(plan.test, Test::RoundTrip | Test::Wake) { 2 } else { 1 };
        (0..channels).map(|_| (play.link)(plan)).collect()
    }

    /// The names of the channels of a plan, each made of an `id` that no other one has.
    ///
    /// # Errors
    /// If a channel that is measured by its name can have no place here.
    pub fn names(&self, plan: &Plan, ids: impl IntoIterator<Item = String>) -> Result<Vec<String>> {
        let is_named = self.look.is_some();
        ids.into_iter().map(|id| if is_named { site::of(&plan.rival, &id) } else { Ok(id) }).collect()
    }

    /// Plays this process's part.
    ///
    /// # Errors
    /// Whatever the rival reports.
    pub fn run(&self, stage: &Stage) -> Result<Option<Outcome>> {
        if stage.plan.crew.is_crowd() {
            pausing::in_a_crowd();
        }
        (self.play(&stage.plan)?.run)(stage)
    }
}

fn link_of<R: Across>(plan: &Plan) -> Result<Vec<OwnedFd>> {
    match plan.cargo {
        Cargo::Messages(8) => R::link::<Word>(plan),
        Cargo::Messages(64) => R::link::<Line>(plan),
        Cargo::Messages(256) => R::link::<Lines4>(plan),
        Cargo::Messages(1024) => R::link::<Lines16>(plan),
        Cargo::Messages(4096) => R::link::<Lines64>(plan),
        other => bail!("no messages of {other}"),
    }
}

/// Everybody.
#[must_use]
pub fn all() -> Vec<Rival> {
    use self::frames::{Frames, Pipes};
    use self::pausing::{Eager, Patient};
    use self::ringshm::{self as spsc, Iter, Rings};
    use self::ringshm_broadcast::{self as broadcast, Broadcasts, Single, Slices};
    use self::ringshm_latest::Registers;
    use self::ringshm_mpmc::{self as mpmc, Blocking, Mpmcs, Trying};
    use self::ringshm_waking::{Semaphores, Sets};
    use self::streams::{Pipe, Stream, Unix};
    use self::vyukov::Vyukov;
    let ours = |name, kind| Rival::new(name, kind, Side::Ours);
    let mut all = vec![
        Rival::across::<Rings<spsc::Blocking>>("ringshm", Side::Ours)
            .records_across::<Rings<spsc::Blocking>>()
            .waking_across::<Rings<spsc::Blocking>>("futex")
            .with_batches()
            .with_waits(),
        Rival::across::<Rings<spsc::Trying<Eager>>>("ringshm try", Side::Ours),
        Rival::across::<Rings<spsc::Trying<Patient>>>("ringshm try, pausing", Side::Ours),
        Rival::within::<Rings<spsc::Blocking>>("ringshm threads", Side::Ours)
            .records_within::<Rings<spsc::Blocking>>()
            .with_batches(),
        Rival::within::<Rings<spsc::Trying<Eager>>>("ringshm threads try", Side::Ours),
        Rival::within::<Rings<spsc::Trying<Patient>>>("ringshm threads try, pausing", Side::Ours),
        Rival::within::<Rings<Iter>>("ringshm threads iter", Side::Ours).with_batches(),
        ours("ringshm mpmc", Kind::Processes)
            .sharing_across::<Mpmcs<Blocking>>()
            .recovering::<Mpmcs<Blocking>>(mpmc::recovery)
            .with_batches(),
        ours("ringshm mpmc try", Kind::Processes).sharing_across::<Mpmcs<Trying<Eager>>>().with_batches(),
        ours("ringshm mpmc try, pausing", Kind::Processes).sharing_across::<Mpmcs<Trying<Patient>>>().with_batches(),
        ours("ringshm mpmc threads", Kind::Threads).sharing::<Mpmcs<Blocking>>().with_batches(),
        ours("ringshm mpmc threads try", Kind::Threads).sharing::<Mpmcs<Trying<Eager>>>().with_batches(),
        ours("ringshm broadcast", Kind::Processes)
            .spreading_across::<Broadcasts<Single>>()
            .lossy_across::<Broadcasts<Single>>()
            .with_batches(),
        ours("ringshm broadcast slices", Kind::Processes).spreading_across::<Broadcasts<Slices>>(),
        ours("ringshm broadcast iter", Kind::Processes).spreading_across::<Broadcasts<broadcast::Iter>>(),
        ours("ringshm broadcast threads", Kind::Threads).spreading::<Broadcasts<Single>>().with_batches(),
        ours("ringshm broadcast threads slices", Kind::Threads).spreading::<Broadcasts<Slices>>(),
        ours("ringshm broadcast threads iter", Kind::Threads).spreading::<Broadcasts<broadcast::Iter>>(),
        ours("ringshm latest", Kind::Processes).latest_across::<Registers>(),
        ours("ringshm frames", Kind::Processes).frames_across::<Frames<{ u32::MAX }>>().with_newest(),
        // What is written and read stays in nearer caches.
        ours("ringshm frames, no history", Kind::Processes).frames_across::<Frames<0>>(),
        ours("ringshm records, copied", Kind::Processes).frames_across::<frames::Records>(),
        ours("ringshm semaphore", Kind::Processes).waking_across::<Semaphores>("semaphore"),
        ours("ringshm in a set of 64", Kind::Processes).waking_across::<Sets>("futex"),
    ];
    all.extend([
        Rival::across::<Stream<Pipe>>("pipe", Side::Theirs)
            .records_across::<Stream<Pipe>>()
            .frames_across::<Pipes>()
            .with_batches()
            .taking_turns(),
        Rival::across::<Stream<Unix>>("unix socket", Side::Theirs)
            .records_across::<Stream<Unix>>()
            .with_batches()
            .taking_turns(),
    ]);
    let gstreamer =
        Play { link: |_| Ok(Vec::new()), run: |stage| stage::beside(stage, gstreamer::send, gstreamer::receive) };
    all.push(Rival {
        frames: Some(gstreamer),
        programs: Some(gstreamer::look),
        ..Rival::new("GStreamer shm", Kind::Processes, Side::Theirs)
    });
    #[cfg(feature = "rivals")]
    all.extend(libraries());
    all.extend([
        Rival::limit("one line", |stage| stage::bare(stage, Bare::OneLine)),
        Rival::limit("two lines", |stage| stage::bare(stage, Bare::TwoLines)),
        Rival::limit("futex", |stage| stage::bare(stage, Bare::Futex))
            .waking_bare(|stage| stage::bare(stage, Bare::Futex)),
        Rival::new("semaphore", Kind::Processes, Side::Limit).waking_bare(|stage| stage::bare(stage, Bare::Semaphore)),
        Rival::limit("memcpy", stage::copying),
        Rival::new("plain Vyukov", Kind::Threads, Side::Limit).sharing::<Vyukov>(),
    ]);
    all
}

/// The bare form of what wakes a task.
#[cfg(feature = "rivals")]
const EVENTFD: &str = "eventfd in tokio";

/// The libraries, and what of ringshm and of the limits needs one of them.
#[cfg(feature = "rivals")]
fn libraries() -> Vec<Rival> {
    use self::bus::Buses;
    use self::disruptor::{Disruptor, Pausing, Resting, Spinning};
    use self::eventfd::Eventfd;
    use self::iceoryx::{Iceoryx, Services};
    use self::ipc_channel::IpcChannel;
    use self::pausing::{Eager, Patient};
    use self::queues::{Array, Concurrent, Crossbeam, Heapless, Kanal};
    use self::ringbuf::Ringbuf;
    use self::ringfire::Ringfire;
    use self::ringshm_tasks::{Tasks, Thread, Uring};
    use self::rtrb::Rtrb;
    use self::shmem_ipc::ShmemIpc;
    use self::tokio::Tokio;
    let theirs = |name, kind| Rival::new(name, kind, Side::Theirs);
    let tasks = |name| Rival::new(name, Kind::Processes, Side::Ours);
    vec![
        tasks("ringshm in tokio, io_uring").waking_across::<Tasks<Uring>>(EVENTFD),
        tasks("ringshm in tokio, thread").waking_across::<Tasks<Thread>>(EVENTFD),
        Rival::new(EVENTFD, Kind::Processes, Side::Limit).waking_across::<Eventfd>(EVENTFD),
        Rival::within::<Rtrb<Eager>>("rtrb", Side::Theirs).with_batches(),
        Rival::within::<Rtrb<Patient>>("rtrb, pausing", Side::Theirs).with_batches(),
        Rival::within::<Ringbuf<Eager>>("ringbuf", Side::Theirs).with_batches(),
        Rival::within::<Ringbuf<Patient>>("ringbuf, pausing", Side::Theirs).with_batches(),
        Rival::within::<Disruptor<Spinning>>("disruptor", Side::Theirs)
            .spreading::<Disruptor<Spinning>>()
            .with_batches(),
        theirs("disruptor, pausing", Kind::Threads).spreading::<Disruptor<Pausing>>().with_batches(),
        theirs("disruptor, both pausing", Kind::Threads).spreading::<Disruptor<Resting>>().with_batches(),
        Rival::within::<Array<Eager>>("crossbeam ArrayQueue", Side::Theirs).sharing::<Array<Eager>>(),
        theirs("crossbeam ArrayQueue, pausing", Kind::Threads).sharing::<Array<Patient>>(),
        theirs("concurrent-queue", Kind::Threads).sharing::<Concurrent<Eager>>(),
        theirs("concurrent-queue, pausing", Kind::Threads).sharing::<Concurrent<Patient>>(),
        Rival::within::<Heapless>("heapless", Side::Theirs),
        Rival::within::<Kanal>("kanal", Side::Theirs).sharing::<Kanal>(),
        Rival::within::<Crossbeam>("crossbeam-channel", Side::Theirs).sharing::<Crossbeam>(),
        theirs("bus", Kind::Threads).spreading::<Buses>(),
        theirs("tokio broadcast", Kind::Threads).spreading::<Tokio>(),
        Rival::across::<ShmemIpc<Eager>>("shmem-ipc", Side::Theirs).with_batches(),
        Rival::across::<ShmemIpc<Patient>>("shmem-ipc, pausing", Side::Theirs).with_batches(),
        Rival::across::<Ringfire<Eager>>("ringfire", Side::Theirs).spreading_across::<Ringfire<Eager>>().with_batches(),
        Rival::across::<Ringfire<Patient>>("ringfire, pausing", Side::Theirs)
            .spreading_across::<Ringfire<Patient>>()
            .with_batches(),
        Rival::across::<Iceoryx>("iceoryx2", Side::Theirs)
            .records_across::<Iceoryx>()
            .frames_across::<Iceoryx>()
            .with_newest()
            .sharing_across::<Services>()
            .spreading_across::<Iceoryx>(),
        theirs("shaq", Kind::Processes)
            .sharing_across::<self::shaq::Queue>()
            .spreading_across::<self::shaq::Cast>()
            .with_batches(),
        Rival::across::<IpcChannel>("ipc-channel", Side::Theirs).records_across::<IpcChannel>().taking_turns(),
    ]
}

/// A channel of ringshm's, by its name.
fn channel(name: &str) -> Rival {
    let look = Play { link: channels::link, run: |stage| stage::looking(stage, channels::look) };
    // Over the kernel's mechanisms both sides sleep in turns, and so they do over a ring if they are told to.
    let takes_turns = !site::is_ring(name) || site::option(name, "wait").is_some();
    let rival = Rival::across::<channels::Channels>("a channel", Side::Ours).with_batches();
    Rival { look: Some(look), takes_turns, bare: bare_form(name), ..rival }
}

/// The bare system calls that a channel is compared with, if they are measured here.
#[must_use]
pub fn bare_form(name: &str) -> Option<&'static str> {
    match site::scheme(name) {
        "pipe" | "fifo" => Some("pipe"),
        "unix" if site::option(name, "type") == Some("stream") => Some("unix socket"),
        _ => None,
    }
}

/// The one with this name; or the channel, if it is the name of one: those have colons.
///
/// # Errors
/// If there is none in this build.
pub fn named(name: &str) -> Result<Rival> {
    if name.contains(':') {
        return Ok(channel(name));
    }
    match all().into_iter().find(|rival| rival.name == name) {
        Some(rival) => Ok(rival),
        None => bail!("nobody is called {name:?} (is the feature `rivals` on?)"),
    }
}
