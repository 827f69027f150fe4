//! The rings against models of themselves: a queue, two positions, and the rule by which messages take room.
//!
//! One thread plays both sides, so everything is determined: not only what arrives, but also which call says `Full`, `Empty`
//! or `Disconnected`, and what every count is after every step. Roles are given up and taken over in between.

#![cfg(not(loom))]

#[path = "../support/folder.rs"]
mod folder;
mod records;
mod seats;
mod slots;
#[path = "../support/watch.rs"]
mod watch;
mod wrap;

use folder::Folder;
use ringshm_core::attach::Existence;
use ringshm_core::error::OpenError;
use ringshm_core::memory::Memory;
use ringshm_core::message::{Wishes, consumer_in, producer_in};
use ringshm_core::open::Options;
use ringshm_core::os::{Directory, Name};
use ringshm_core::{Behaviour, Message, Payload, Producer, RecordProducer};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Where a ring lies, and how far its sides trust each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    Heap,
    /// A memfd; guards and loans refer to the mapping.
    Trusting,
    /// A memfd; guards and loans are copies.
    Untrusting,
    /// A named object, which is removed when it is over; guards and loans are copies.
    Named,
}

const GROUNDS: [Ground; 4] = [Ground::Heap, Ground::Trusting, Ground::Untrusting, Ground::Named];

/// First positions: the beginning, and shortly before a counter of 32 or 64 bits would wrap. All are multiples of 8.
const ORIGINS: [u64; 6] = [0, 8, (1 << 32) - 8, (1 << 32) - 56, u64::MAX - 7, u64::MAX - 103];

/// A ring whose roles can be taken again and again.
#[derive(Debug)]
enum Ring {
    Heap(Arc<Memory>),
    Memfd(OwnedFd, Options),
    Named(Name, Options, Folder),
}

impl Ring {
    fn new<M: Message + ?Sized>(ground: Ground, capacity: u64, origin: u64) -> Self
    where
        M::Producer: Leave,
    {
        let behaviour = behaviour(ground == Ground::Trusting);
        let mut options = Options {
            wishes: Wishes { capacity: Some(capacity), origin, ..Wishes::default() },
            behaviour,
            ..Options::default()
        };
        match ground {
            Ground::Heap => Self::Heap(Memory::on_heap(
                M::geometry(&Wishes { capacity: Some(capacity), origin, ..Wishes::default() }).expect("a small ring"),
            )),
            Ground::Trusting | Ground::Untrusting => {
                Self::Memfd(options.memfd::<M>("model").expect("a small ring"), options)
            }
            Ground::Named => {
                let (folder, name) = (Folder::new(), Name::new("model").expect("a valid name"));
                options.directory = Directory::new(folder.path());
                options.producer::<M>(&name).expect("a small ring").leave();
                options.existence = Existence::MustExist;
                Self::Named(name, options, folder)
            }
        }
    }

    fn producer<M: Message + ?Sized>(&self) -> Result<M::Producer, OpenError> {
        match self {
            Self::Heap(memory) => producer_in::<M>(memory, Behaviour::default()),
            Self::Memfd(memfd, options) => options.producer_of::<M>(memfd),
            Self::Named(name, options, _) => options.producer::<M>(name),
        }
    }

    fn consumer<M: Message + ?Sized>(&self) -> Result<M::Consumer, OpenError> {
        match self {
            Self::Heap(memory) => consumer_in::<M>(memory, Behaviour::default()),
            Self::Memfd(memfd, options) => options.consumer_of::<M>(memfd),
            Self::Named(name, options, _) => options.consumer::<M>(name),
        }
    }

    /// Whether a ring that is over is gone for good.
    fn retires(&self) -> bool {
        matches!(self, Self::Named(..))
    }

    /// Whether its name, if it ever had one, is in its folder.
    fn is_named(&self) -> bool {
        match self {
            Self::Named(name, _, folder) => Directory::new(folder.path()).path_of(name).exists(),
            _ => false,
        }
    }
}

/// Leaving a role to a successor.
trait Leave {
    fn leave(self);
}

impl Leave for RecordProducer {
    fn leave(self) {
        self.detach();
    }
}

impl<T: Payload> Leave for Producer<T> {
    fn leave(self) {
        self.detach();
    }
}

#[allow(unsafe_code, reason = "trusting is a promise")]
fn behaviour(trusts_peers: bool) -> Behaviour {
    if !trusts_peers {
        return Behaviour::default();
    }
    // SAFETY: nobody but this test has the ring, and whatever it writes there, no guard is alive meanwhile.
    unsafe { Behaviour::default().trusting_peers() }
}
