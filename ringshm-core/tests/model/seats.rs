//! Who sits on a role, as far as the other side is told.

use ringshm_core::Peer;

/// What became of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    Live,
    Detached,
    Closed,
}

impl Seat {
    pub(crate) fn as_peer(self) -> Peer {
        match self {
            Self::Live => Peer::Live { pid: std::process::id() },
            Self::Detached => Peer::Detached,
            Self::Closed => Peer::Closed,
        }
    }
}

/// Both roles, and the rule by which a ring is over.
#[derive(Debug)]
pub(crate) struct Seats {
    pub(crate) producer: Seat,
    pub(crate) consumer: Seat,
    pub(crate) is_retired: bool,
}

impl Seats {
    pub(crate) fn taken() -> Self {
        Self { producer: Seat::Live, consumer: Seat::Live, is_retired: false }
    }

    /// After somebody left. A ring is over when its producer is finished, its consumer has left in whatever way, and
    /// everything is received. Then its name is removed, if it has one.
    pub(crate) fn left(&mut self, is_empty: bool, retires: bool) {
        self.is_retired |= retires && self.producer == Seat::Closed && self.consumer != Seat::Live && is_empty;
    }
}
