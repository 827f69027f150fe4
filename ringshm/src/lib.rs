//! Lock-free rings in shared memory: two processes exchange messages as fast as the hardware lets them talk, and either may
//! be killed at any instruction without harm to the other.
//!
//! The sending program:
//!
//! ```no_run
//! use zerocopy::{FromBytes, Immutable, IntoBytes};
//!
//! #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
//! #[repr(C)]
//! struct Tick { time: u64, price: u64, quantity: u64 }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut ticks = ringshm::spsc::<Tick>("ticks").capacity(1 << 16).producer()?;
//! for time in 0..1_000_000 {
//!     ticks.send(Tick { time, price: 61_686_00, quantity: 5 })?;
//! }
//! # Ok(()) }   // dropping the producer closes the ring
//! ```
//!
//! The receiving program:
//!
//! ```no_run
//! # use zerocopy::{FromBytes, Immutable, IntoBytes};
//! # #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
//! # #[repr(C)]
//! # struct Tick { time: u64, price: u64, quantity: u64 }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut ticks = ringshm::spsc::<Tick>("ticks").consumer()?;
//! let traded: u64 = ticks.iter().map(|tick| tick.quantity).sum();
//! println!("{traded} traded");
//! # Ok(()) }
//! ```
//!
//! Either may start first. [`spsc::<[u8]>`](spsc) makes a ring of byte records of any length instead. Both kinds have the
//! same verbs: see [`Producer`], [`Consumer`], [`RecordProducer`], [`RecordConsumer`].
//!
//! # What a message lives through
//!
//! | event | its message |
//! |---|---|
//! | producer killed before its call to send returned | is sent whole, or not at all |
//! | producer killed after | is delivered |
//! | consumer killed before it released the message | is delivered again, to the next consumer |
//! | consumer killed after | is gone: `recv` releases when it returns, a guard when it is dropped |
//! | either side stopped (`SIGSTOP`) for any time | waits: a stopped process is not taken for dead |
//! | both sides finished, everything received | the ring is removed |
//! | both sides finished, something not received | the ring stays for a later consumer, or [`remove`] |
//!
//! So a message that must not be lost between receiving and processing it is received through a guard (`recv_ref`, `drain`) that
//! is dropped when the work is done.

#[cfg(feature = "async")]
pub mod asynchronous;
mod auto;
#[path = "broadcast.rs"]
mod broadcasting;
mod builder;
#[path = "frames.rs"]
mod frame_rings;
pub mod handover;
#[path = "open.rs"]
mod opening;
mod place;
#[path = "latest.rs"]
mod registers;
mod reminder;
mod sentry;
pub mod sync;
mod waitset;

pub use broadcasting::broadcast;
pub use builder::{Builder, Heap, inspect, mpmc, names, remove, spsc};
pub use frame_rings::frames;
pub use opening::{Opening, open};

/// The handles of rings with many producers and many consumers, made by [`mpmc`](fn@mpmc).
pub mod mpmc {
    pub use ringshm_core::mpmc::{
        ByteConsumer, ByteProducer, ByteRef, Consumer, Iter, Mpmc, Producer, RecvRef, TryIter,
    };
}

pub use place::place_of;
pub use registers::latest;

/// The handles of rings with one producer and any number of readers, made by [`broadcast`](fn@broadcast).
pub mod broadcast {
    pub use ringshm_core::broadcast::{
        Broadcast, Consumer, Eviction, Iter, Lossless, Lossy, OnSlowReader, Producer, Readable, Reader, Receiver,
        RecordConsumer, RecordProducer, RecordReader, RecordReceiver, Seat, Start,
    };
}

/// The handles of registers of the newest value, made by [`latest`](fn@latest).
pub mod latest {
    pub use ringshm_core::latest::{Latest, Reader, Writer};
}

/// The handles of rings of frames, made by [`frames`](fn@frames).
pub mod frames {
    pub use ringshm_core::frames::{
        BadMeta, Begun, CommitError, Consumer, Delivery, FourCc, Frame, Frames, Loan, MAX_EXTRA, MAX_PLANES, Meta,
        Plane, Producer, RowsError, Sealed, TimeBase,
    };
}

pub use ringshm_core::attach::Existence;
pub use ringshm_core::collect::{Sweep, Verdict, collect, collect_at, collect_leftover, leftovers};
pub use ringshm_core::error::{
    Fault, OpenError, RecvError, RecvTimeoutError, Rejection, SendError, SendSliceError, SendTimeoutError, Stall,
    TryRecvError, TrySendError,
};
pub use ringshm_core::inspect::{Claim, HeldFrames, Lag, Participant, Side, Snapshot};
pub use ringshm_core::layout::{Kind, Wakeup};
pub use ringshm_core::os::{Directory, Name, Pages, Place, Resident, SmallPages};
pub use ringshm_core::semaphore;
pub use ringshm_core::wait::Wait;
pub use ringshm_core::{
    Awaited, Batch, Capabilities, Channel, Deadline, Interest, Longest, Loss, Order, Parties, Receiver, Sender,
};
pub use ringshm_core::{
    Consumer, Drain, HugePages, Iter, Loan, Message, OnDeath, Payload, Peer, Producer, RecordConsumer, RecordDrain,
    RecordLoan, RecordProducer, RecordRef, RecvRef, Role, TryIter, Waitable,
};
pub use ringshm_fallback::{framing, stream};
pub use waitset::{Key, Notifier, Ready, Token, WaitSet};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// That of the page for real-time users.
#[cfg(doctest)]
#[doc = include_str!("../../docs/real-time.md")]
struct RealTime;
