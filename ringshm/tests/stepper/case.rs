//! What a victim does, and the ring in which it does it.

use crate::support::{Kind, Place, Sink, Source};
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
}

impl Deed {
    const ALL: [Self; 4] = [Self::Send, Self::SendBatch, Self::Recv, Self::RecvBatch];

    pub(crate) fn sends(self) -> bool {
        matches!(self, Self::Send | Self::SendBatch)
    }

    /// The most messages that it transfers.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Send | Self::Recv => 1,
            Self::SendBatch | Self::RecvBatch => BATCH,
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
    /// A producer died with the oldest place claimed, some time ago: the operation begins with its recovery.
    DeadProducer,
    /// A consumer died with the oldest message claimed, some time ago: the same.
    DeadConsumer,
}

impl State {
    const ALL: [Self; 9] = [
        Self::Empty,
        Self::One,
        Self::AlmostFull,
        Self::Full,
        Self::Wrap32,
        Self::Wrap64,
        Self::Asleep,
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
                // Where nobody claims anything, a death leaves nothing to recover.
                let states = State::ALL.into_iter().filter(|state| kind.has_many_sources() || !state.has_dead());
                cases.extend(states.map(|state| Self { kind, deed, state }));
            }
        }
        cases
    }

    pub(crate) fn name(&self) -> String {
        let Self { kind, deed, state } = self;
        format!("{} {deed:?} {state:?}", kind.word())
    }

    /// The ring of this case in a folder.
    pub(crate) fn place(&self, folder: &Path) -> Place {
        let origin = match self.state {
            State::Wrap32 => (1 << 32) - 2,
            State::Wrap64 => 0_u64.wrapping_sub(2),
            _ => 0,
        };
        Place { kind: self.kind, folder: folder.to_owned(), name: "stepped".to_owned(), capacity: CAPACITY, origin }
    }

    /// Messages that have been through the ring when the operation begins.
    pub(crate) fn passed(&self) -> u64 {
        match self.state {
            State::Wrap32 | State::Wrap64 => 0,
            _ => 1,
        }
    }

    /// Messages that are in the ring when the operation begins.
    pub(crate) fn queued(&self) -> u64 {
        match self.state {
            State::Empty => 0,
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
}

/// A handle of either side.
pub(crate) enum Handle {
    Source(Box<dyn Source>),
    Sink(Box<dyn Sink>),
}
