//! What a victim does, and the ring in which it does it.

use crate::support::{Kind, Parcel, Place, Sink, Source};
use std::path::Path;

/// Slots of every ring here.
pub(crate) const CAPACITY: u64 = 4;
/// Messages in a batch.
pub(crate) const BATCH: usize = 3;

/// The one operation that is stepped through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Send,
    SendBatch,
    Recv,
    RecvBatch,
    /// A consumer comes.
    Join,
    /// A consumer goes.
    Leave,
}

impl Deed {
    const ALL: [Self; 6] = [Self::Send, Self::SendBatch, Self::Recv, Self::RecvBatch, Self::Join, Self::Leave];

    pub(crate) fn sends(self) -> bool {
        matches!(self, Self::Send | Self::SendBatch)
    }

    /// The most messages that it transfers.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Send | Self::Recv => 1,
            Self::SendBatch | Self::RecvBatch => BATCH,
            Self::Join | Self::Leave => 0,
        }
    }
}

/// The ring when the operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    One,
    AlmostFull,
    Full,
    /// The operation is at the wrap of the slots, and of 32-bit positions.
    Wrap32,
    /// The same, and of 64-bit positions.
    Wrap64,
    /// Somebody sleeps, and the operation is what it sleeps for.
    Asleep,
    /// Of a lossy reader: everything that it has not received was overwritten.
    Overtaken,
    /// A producer died with the oldest place claimed, some time ago: the operation begins with its recovery.
    DeadProducer,
    /// A consumer died with the oldest message claimed, some time ago: the same.
    DeadConsumer,
}

impl State {
    const ALL: [Self; 10] = [
        Self::Empty,
        Self::One,
        Self::AlmostFull,
        Self::Full,
        Self::Wrap32,
        Self::Wrap64,
        Self::Asleep,
        Self::Overtaken,
        Self::DeadProducer,
        Self::DeadConsumer,
    ];

    /// Whether somebody has died before.
    pub(crate) fn has_dead(self) -> bool {
        matches!(self, Self::DeadProducer | Self::DeadConsumer)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) deed: Deed,
    pub(crate) state: State,
}

impl Case {
    /// All of them, always in the same order.
    pub(crate) fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for kind in Kind::ALL {
            for deed in Deed::ALL {
                let states = State::ALL.into_iter().map(|state| Self { kind, deed, state });
                cases.extend(states.filter(Self::is_possible));
            }
        }
        cases
    }

    fn is_possible(&self) -> bool {
        let Self { kind, deed, state } = *self;
        if kind.is_of_frames() {
            return Self::is_possible_of_frames(kind, deed, state);
        }
        let deed_is_possible = match deed {
            Deed::Send => true,
            // A batch is one operation, and not several.
            Deed::SendBatch => !matches!(kind, Kind::MpmcBytes | Kind::Latest),
            Deed::Recv => true,
            Deed::RecvBatch => !matches!(kind, Kind::MpmcBytes | Kind::Latest) && !kind.is_of_records(),
            Deed::Join | Deed::Leave => false,
        };
        // Whom it sends to does not matter to the producer's code: once is enough.
        let deed_is_new = !deed.sends() || kind == kind.lossless();
        let state_is_possible = match state {
            State::Asleep => deed.sends() || !kind.is_lossy(),
            State::Overtaken => !deed.sends() && kind != kind.lossless(),
            // Where nobody claims anything, a death leaves nothing to recover.
            State::DeadProducer | State::DeadConsumer => kind.has_many_sources(),
            _ => true,
        };
        deed_is_possible && deed_is_new && state_is_possible
    }

    /// A batch is all the ways to send a frame: shown early, after a loan that was given back, at once. Who comes holds back what is there, and who goes
    /// lets go of it.
    fn is_possible_of_frames(kind: Kind, deed: Deed, state: State) -> bool {
        use State::{Asleep, Full, One, Overtaken, Wrap64};
        match (kind, deed) {
            (Kind::Frames, Deed::Send) => matches!(state, Full | Wrap64),
            (Kind::Frames, Deed::SendBatch) => state == Asleep,
            (Kind::Frames, Deed::Recv) => matches!(state, One | Wrap64 | Asleep),
            (Kind::Frames, Deed::Join | Deed::Leave) => state == Full,
            (Kind::NewestFrame, Deed::Recv) => matches!(state, One | Overtaken),
            _ => false,
        }
    }

    pub(crate) fn name(&self) -> String {
        let Self { kind, deed, state } = self;
        format!("{} {deed:?} {state:?}", kind.word())
    }

    /// The ring of this case in a folder.
    pub(crate) fn place(&self, folder: &Path) -> Place {
        // A record of which only half would fit before the wrap, with padding in its place.
        let before = if self.kind.is_of_records() { Parcel::SPAN / 2 } else { 2 };
        let origin = match self.state {
            State::Wrap32 => (1 << 32) - before,
            State::Wrap64 => 0_u64.wrapping_sub(before),
            _ => 0,
        };
        Place {
            kind: self.kind,
            folder: folder.to_owned(),
            name: "stepped".to_owned(),
            capacity: CAPACITY,
            origin,
            is_silent: false,
        }
    }

    /// Messages that have been through the ring when the operation begins.
    pub(crate) fn passed(&self) -> u64 {
        match self.state {
            State::Wrap32 | State::Wrap64 => 0,
            // There is no telling when a reader of a register has seen a value that is not the last.
            _ if self.kind == Kind::Latest => 0,
            _ => 1,
        }
    }

    /// Messages that are in the ring when the operation begins.
    pub(crate) fn queued(&self) -> u64 {
        match self.state {
            State::Empty | State::Overtaken => 0,
            // The record of the operation is the one that does not fit before the wrap.
            State::Wrap32 | State::Wrap64 if self.deed.sends() && self.kind.is_of_records() => 0,
            State::One | State::Wrap32 | State::Wrap64 => 1,
            State::AlmostFull => CAPACITY - 1,
            State::Full => CAPACITY,
            State::Asleep if self.deed.sends() => 0,
            State::Asleep => CAPACITY,
            // Together with the place of the dead, the ring is full, or has one message.
            State::DeadProducer if self.deed.sends() => CAPACITY - 1,
            State::DeadConsumer if self.deed.sends() => CAPACITY,
            State::DeadProducer | State::DeadConsumer => 1,
        }
    }

    /// The message that a consumer has died with before.
    pub(crate) fn orphan(&self) -> Option<u64> {
        (self.state == State::DeadConsumer).then_some(self.passed())
    }

    /// The number of the first message that is not in the ring when the operation begins.
    pub(crate) fn next(&self) -> u64 {
        self.passed() + self.queued()
    }

    /// The numbers of the messages that the operation transfers for good, if it can.
    pub(crate) fn numbers(&self) -> std::ops::Range<u64> {
        if self.deed.sends() && self.kind == Kind::Latest {
            // There is always room for a newer value.
            return self.next()..self.next() + 1;
        }
        let drops_orphan = self.orphan().is_some() && self.kind == Kind::MpmcOnce;
        let (first, most) = match (self.deed.sends(), self.state) {
            (true, State::DeadProducer) => (self.next(), 1),
            (true, _) => (self.next(), CAPACITY - self.queued() + u64::from(drops_orphan)),
            (false, _) if drops_orphan => (self.passed(), 0),
            // What one reader has received is there for the others all the same.
            (false, _) if self.kind.gives_all_to_all() => (self.passed(), 0),
            (false, _) => (self.passed(), self.queued()),
        };
        first..first + most.min(self.deed.len() as u64)
    }

    /// How many messages the operation transfers if nobody dies: to a reader, without taking them from the others.
    pub(crate) fn transfers(&self) -> usize {
        if self.deed.sends() || !self.kind.gives_all_to_all() {
            return self.numbers().count();
        }
        (self.queued() as usize).min(self.deed.len())
    }

    /// The number of the message that a reader gets first.
    pub(crate) fn first(&self) -> u64 {
        // Of a register, the newest.
        if self.kind == Kind::Latest { self.next().saturating_sub(1) } else { self.passed() }
    }
}

/// A handle of either side.
pub(crate) enum Handle {
    Source(Box<dyn Source>),
    Sink(Box<dyn Sink>),
    /// Of who comes: not yet. Of who goes: no longer.
    None,
}
