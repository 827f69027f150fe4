//! The broadcast ring: one producer, any number of readers, each message to all of them.
//!
//! ```text
//!        reach - capacity          lossless      lossy          cursor      tail    reach
//!               │                     │            │              │          │        │
//!   ────────────┼─────────────────────┼────────────┼──────────────┼──────────┼────────┼──▶ positions
//!     may be    │  there to be read   │            │              │  being   │  may be written
//!     overwritten                     ▲            ▲              │  written │  without a look
//!                                consumer lane's  private         ▲                   ▲
//!                                cursor: its gate             producer lane's     producer lane's
//!                                                             cursor              reach
//! ```
//!
//! **Roles.** The producer alone writes its lane's cursor and reach. A lossless reader ([`Consumer`]) has a lane, and its cursor there, its
//! gate, keeps what it has not released from being overwritten. A lossy reader ([`Reader`]) writes nothing at all, and maps the ring
//! read-only: nobody waits for it, and it finds out afterwards whether what it copied was still there.
//!
//! **The producer** looks at the gates a few times a lap, and not for each message. Before each look it says how far it may write until the
//! next one, its *reach*: an eighth of the ring, or the one record that is longer. Whatever lies more than the capacity before the reach is
//! to be taken for overwritten. The reach lies on a line of its own, so its readers have it in their caches most of the time.
//!
//! **A lossy reader** copies a message word by word and then loads the reach: if the message is still within the capacity before it, none of
//! the words was overwritten (LAP). Otherwise the copy is thrown away, the reader goes on half a ring behind the cursor, and is told
//! exactly how many messages it missed. Words are atomics, so a copy that comes too late is wrong, and never undefined.
//!
//! **A lossless reader** joins by setting its gate, and then loads the reach: either the producer's next look sees the gate, or the
//! reader sees how far the producer may get before that look, and begins no further back than the capacity before it (JOIN; Dekker's
//! argument). From then on nothing that it has not released is overwritten. A gate from further back than the ring is long is that of a
//! reader in the middle of joining: the producer waits for it to make up its mind.
//!
//! **Edges.** PUBLISH carries the bytes to the readers, RELEASE the room back to the producer; LAP and JOIN are explained above; DOORBELL wakes
//! who sleeps, CLOSE and DEATH say that a cursor is final, as in every ring.
//!
//! **Death.** The cursor moves in one store: what a dead producer had not published vanishes, and its successor goes on at the cursor. That
//! the dead one was in the middle of a message stands in its lane (`begun`), and is counted (`torn`). A dead lossless reader gates until
//! the producer, held up by it, finds its lock free. A dead lossy reader was never there.
//!
//! **Hostile peers.** Cursor, reach, gates and headers are loaded once and checked. A gate that no honest reader can have set
//! is not waited for; a reach that no honest producer can have set is a fault, or makes a reader lag.

pub(crate) mod feed;
mod milestones;
mod records;
pub(crate) mod seat;
mod slots;
pub(crate) mod view;

pub use records::{RecordConsumer, RecordProducer, RecordReader, RecordReceiver};
pub use seat::{Lossless, Lossy, Seat};
pub use slots::{Consumer, Iter, Producer, Reader, Receiver};

pub(crate) use milestones::{MILESTONES_LEN, initialise};
pub(crate) use seat::visit;

use crate::error::{Fault, OpenError, RecvError, RecvTimeoutError, TryRecvError};
use crate::layout::{Geometry, Kind, Shape, TypeIdentity};
use crate::member::Behaviour;
use crate::memory::Memory;
use crate::message::{DEFAULT_BYTES, Joined, Message, Wishes};
use crate::slots::Payload;
use core::marker::PhantomData;
use core::time::Duration;
use std::sync::Arc;

/// Names the kind of ring: `Broadcast<T>` carries fixed-size messages, `Broadcast<[u8]>` records of any length, from one producer to
/// all readers.
#[derive(Debug)]
pub struct Broadcast<M: ?Sized>(PhantomData<fn(&M)>);

/// Where a reader begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest message that is certainly still there: nearly a whole ring back.
    #[default]
    Oldest,
    /// At the next message to be sent.
    Newest,
    /// At the message with this number, counted from the ring's first, 0. If it is not there any more, at the oldest, and the first
    /// call reports how many are missing; if it is not sent yet, at the newest.
    At(u64),
}

/// What a producer does about a lossless reader that holds it up.
///
/// A dead one never holds it up for long, whatever is chosen here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSlowReader {
    /// Waits for it: lossless means lossless.
    #[default]
    Wait,
    /// Waits for as long as given, without the reader releasing anything, and then goes on without it: see
    /// [`RecvError::Evicted`].
    Evict {
        /// How long.
        after: Duration,
    },
}

/// A lossless reader was too slow, and the producer has gone on without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The index of its lane.
    pub lane: usize,
    /// Its process number, as it knows itself.
    pub pid: u32,
    /// How far it was behind: slots, or bytes of records.
    pub lag: u64,
}

/// Why a reader cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Nothing there yet.
    NotReady,
    /// Nor was there by the deadline.
    TimedOut,
    /// Messages were overwritten. The next call goes on.
    Lagged(u64),
    Evicted,
    Disconnected,
    Fault(Fault),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A fault found while joining.
fn unjoinable(fault: Fault) -> OpenError {
    let field = match fault {
        Fault::Corrupt { field } => field,
        // Whoever joins was made in this process.
        Fault::Forked => "process",
        // No ring says so.
        Fault::Removed | Fault::Os { .. } => "object",
    };
    OpenError::Corrupt { field }
}

impl From<Halt> for TryRecvError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NotReady | Halt::TimedOut => Self::Empty,
            Halt::Lagged(count) => Self::Lagged(count),
            Halt::Evicted => Self::Evicted,
            Halt::Disconnected => Self::Disconnected,
            Halt::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<Halt> for RecvTimeoutError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NotReady | Halt::TimedOut => Self::Timeout,
            Halt::Lagged(count) => Self::Lagged(count),
            Halt::Evicted => Self::Evicted,
            Halt::Disconnected => Self::Disconnected,
            Halt::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// For a wait without a deadline.
impl From<Halt> for RecvError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NotReady | Halt::TimedOut | Halt::Disconnected => Self::Disconnected,
            Halt::Lagged(count) => Self::Lagged(count),
            Halt::Evicted => Self::Evicted,
            Halt::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// A ring whose readers say where they begin ([`Start`]).
pub trait Startable: Message {}

/// A ring that readers without a lane can read.
pub trait Readable: Startable {
    /// The handle of such a reader.
    type Reader;

    #[doc(hidden)]
    fn reader(visit: Lossy) -> Result<Self::Reader, OpenError>;
}

/// Reads a ring on the heap without a lane.
///
/// # Errors
/// [`OpenError::Corrupt`].
pub fn reader_in<M: Readable + ?Sized>(memory: &Arc<Memory>, behaviour: Behaviour) -> Result<M::Reader, OpenError> {
    M::reader(visit(Arc::clone(memory), behaviour))
}

/// What all broadcast rings' geometries have in common.
fn geometry(kind: Kind, capacity: u64, message: u64, align: u64, wishes: &Wishes) -> Option<Geometry> {
    let (producers, consumers, origin) = (1, wishes.consumers, wishes.origin);
    let geometry = Geometry::new(&Shape { kind, capacity, message, align, producers, consumers, origin })?;
    Some(Geometry { is_default_capacity: wishes.capacity.is_none(), wakeup: wishes.wakeup, ..geometry })
}

impl<T: Payload> Message for Broadcast<T> {
    type Producer = Producer<T>;
    type Consumer = Consumer<T>;

    fn geometry(wishes: &Wishes) -> Option<Geometry> {
        let size = size_of::<T>() as u64;
        geometry(Kind::BroadcastSlots, wishes.slots(size), size, align_of::<T>() as u64, wishes)
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity::of::<T>(schema)
    }

    fn producer(joined: Joined) -> Result<Producer<T>, OpenError> {
        Producer::resume(joined.0)
    }

    fn consumer(joined: Joined) -> Result<Consumer<T>, OpenError> {
        Receiver::join(Lossless::new(joined.0))
    }
}

impl<T: Payload> Startable for Broadcast<T> {}
impl Startable for Broadcast<[u8]> {}

impl<T: Payload> Readable for Broadcast<T> {
    type Reader = Reader<T>;

    fn reader(visit: Lossy) -> Result<Reader<T>, OpenError> {
        Receiver::join(visit)
    }
}

impl Message for Broadcast<[u8]> {
    type Producer = RecordProducer;
    type Consumer = RecordConsumer;

    fn geometry(wishes: &Wishes) -> Option<Geometry> {
        geometry(Kind::BroadcastRecords, wishes.capacity.unwrap_or(DEFAULT_BYTES), 1, 1, wishes)
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity::records(schema)
    }

    fn producer(joined: Joined) -> Result<RecordProducer, OpenError> {
        RecordProducer::resume(joined.0)
    }

    fn consumer(joined: Joined) -> Result<RecordConsumer, OpenError> {
        RecordReceiver::join(Lossless::new(joined.0))
    }
}

impl Readable for Broadcast<[u8]> {
    type Reader = RecordReader;

    fn reader(visit: Lossy) -> Result<RecordReader, OpenError> {
        RecordReceiver::join(visit)
    }
}
