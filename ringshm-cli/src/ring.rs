//! The choice of a ring on the command line of `send` and `recv`.

use crate::failure::Failure;
use crate::size;
use clap::ValueEnum;
use ringshm::mpmc::Mpmc;
use ringshm::{Builder, Directory, Message, OnDeath, Wait, Wakeup};

/// What a ring is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// One sender, one receiver
    #[default]
    Spsc,
    /// Up to 64 senders and 64 receivers, each record to one of them
    Mpmc,
    /// One sender, and every receiver gets every record
    Broadcast,
    /// One sender, and receivers get the newest record only, of at most 4092 bytes
    Latest,
    /// One sender, up to 16 receivers, video frames without a copy: usual with --y4m, and with other options of video
    Frames,
    /// No ring, or whatever its name says
    #[value(skip)]
    Named,
}

impl Kind {
    /// What a name on the command line stands for: a ring of the `usual` kind, unless it has a scheme.
    pub(crate) fn of(name: &str, usual: Self) -> Self {
        if name.contains(':') && !name.starts_with("shm:") { Self::Named } else { usual }
    }
}

/// How to wait for the other side.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum WaitArg {
    /// Look all the time: fastest, takes a core
    Spin,
    /// Look for a while, then let others run between looks
    Yield,
    /// Sleep at once
    Park,
}

impl WaitArg {
    /// The library's strategy; its default without an argument.
    fn strategy(argument: Option<Self>) -> Wait {
        match argument {
            Some(Self::Spin) => Wait::Spin,
            Some(Self::Yield) => Wait::SpinThenYield(Wait::BUDGET),
            Some(Self::Park) => Wait::Park,
            None => Wait::default(),
        }
    }
}

/// How a participant of a new ring is woken.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum WakeupArg {
    /// By a futex
    Futex,
    /// By a POSIX semaphore, on which a program in C can sleep, too
    Semaphore,
}

impl From<WakeupArg> for Wakeup {
    fn from(argument: WakeupArg) -> Self {
        match argument {
            WakeupArg::Futex => Self::Futex,
            WakeupArg::Semaphore => Self::Semaphore,
        }
    }
}

/// What both sides may say about the ring.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct RingArgs {
    /// What the ring is; both sides must say the same [default: spsc]
    #[arg(long = "ring", value_name = "KIND")]
    pub(crate) kind: Option<Kind>,
    /// The size of a new ring, such as 64KiB, with --ring mpmc in records; if both sides give one, it must be the same [default: 4MiB]
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    capacity: Option<u64>,
    /// With --ring mpmc: the longest record of a new ring, which each place in it has room for [default: 2048]
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    max_message: Option<u64>,
    /// With --ring mpmc: drop a record whose receiver dies with it, instead of giving it to another one
    #[arg(long)]
    at_most_once: bool,
    /// How to wait for the other side [default: look for 50 µs, then sleep]
    #[arg(long, value_name = "HOW")]
    wait: Option<WaitArg>,
    /// How those who sleep are woken in a new ring [default: futex]. Another ring stays as it is, and is refused if it has none of the
    /// semaphores asked for
    #[arg(long, value_name = "HOW")]
    wakeup: Option<WakeupArg>,
}

impl RingArgs {
    /// Refuses what goes with none of the rings.
    pub(crate) fn check(&self, rings: &[Kind]) -> Result<(), Failure> {
        refuse(self.max_message.is_some(), "--max-message", &[Kind::Mpmc], rings)?;
        refuse(self.at_most_once, "--at-most-once", &[Kind::Mpmc], rings)?;
        refuse(self.capacity.is_some(), "--capacity", &WITH_CAPACITY, rings)?;
        let counted_by = |in_records: bool| {
            rings.iter().any(|kind| WITH_CAPACITY.contains(kind) && (*kind == Kind::Mpmc) == in_records)
        };
        if self.capacity.is_some() && counted_by(true) && counted_by(false) {
            return Err(Failure::usage(
                "--capacity is in records with --ring mpmc and in bytes otherwise: leave it out, the side that creates a ring \
                 can give it, too",
            ));
        }
        Ok(())
    }

    /// What blocking calls do.
    pub(crate) fn strategy(&self) -> Wait {
        WaitArg::strategy(self.wait)
    }

    /// What all rings' builders are told.
    pub(crate) fn describe<M: Message + ?Sized>(
        &self,
        kind: Kind,
        builder: Builder<M>,
        directory: &Directory,
        on_death: OnDeath,
    ) -> Builder<M> {
        let builder = builder.directory(directory.path()).wait(self.strategy()).on_death(on_death);
        let builder = builder.wake_by(self.wakeup.map_or(Wakeup::Futex, Wakeup::from));
        match self.capacity.filter(|_| WITH_CAPACITY.contains(&kind)) {
            Some(capacity) => builder.capacity(capacity),
            None => builder,
        }
    }

    /// An MPMC ring's.
    pub(crate) fn mpmc(&self, name: &str, directory: &Directory, on_death: OnDeath) -> Builder<Mpmc<[u8]>> {
        let mut builder = self.describe(Kind::Mpmc, ringshm::mpmc::<[u8]>(name), directory, on_death);
        if let Some(bytes) = self.max_message {
            builder = builder.max_message(bytes);
        }
        if self.at_most_once { builder.at_most_once() } else { builder }
    }
}

/// The rings that have a choice of capacity.
const WITH_CAPACITY: [Kind; 3] = [Kind::Spsc, Kind::Mpmc, Kind::Broadcast];

/// Refuses an option that is given and goes with none of these `rings`, but `with` others.
pub(crate) fn refuse(is_given: bool, option: &str, with: &[Kind], rings: &[Kind]) -> Result<(), Failure> {
    if !is_given || rings.iter().any(|kind| with.contains(kind)) {
        return Ok(());
    }
    let word = |kind: &Kind| kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let with: Vec<String> = with.iter().map(word).collect();
    Err(Failure::usage(format!("{option} needs --ring {}", with.join(", or --ring "))))
}
