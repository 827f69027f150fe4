//! The register of the newest value: one writer that never waits, any number of readers that never see half a value.
//!
//! ```text
//!   ──┬─────────────────┬─────────────────┬─────────────────┬─────────────────┬───▶ positions, of four slots in turn
//!     │ whole 4 │ value │ whole 5 │ value │ whole 6 │ value │ writing 7 │  …  │
//!   ──┴─────────────────┴─────────────────┴─────────────────┴─────────────────┴───
//!          oldest                               newest             next
//! ```
//!
//! **Roles.** The writer goes round four slots. Each begins with a stamp: the position of the value behind it, and whether that is
//! being written. A reader looks at the slot after the value that it read last; while nothing newer stands there, there is nothing newer at all.
//! Otherwise it goes on to the newest, copies it, and looks at the stamp again: if it is the same, the copy is whole (LAP; H. Boehm,
//! "Can seqlocks get along with programming language memory models?", 2012). A reader is disturbed only if the writer begins a fourth value
//! while it copies one, and then takes a newer one; the writer is never disturbed at all. The words are atomics, so a copy that
//! comes too late is thrown away, and never undefined behaviour.
//!
//! **Speed.** A value of up to 56 bytes and its stamp share one cache line, which travels once: when the reader that waits for it sees
//! the stamp, it has the value. No other line is written by one side and read by the other.
//!
//! **Edges.** PUBLISH, LAP, CLOSE, DEATH, TAKEOVER and DOORBELL, as in the [`broadcast`](crate::broadcast) ring.
//!
//! **Death.** A dead writer leaves the last value that it finished; its successor goes on there.

mod slots;

#[cfg(not(loom))]
pub(crate) use slots::written;
pub(crate) use slots::{initialise, stride};

use crate::bell::ReaderBell;
use crate::broadcast::{Lossy, Readable, Startable};
use crate::detector::Detector;
use crate::error::{Fault, OpenError, RecvTimeoutError};
use crate::lanes::{Peer, Role};
use crate::layout::{Counters, Geometry, Kind, Shape, TypeIdentity};
use crate::member::{Behaviour, Member};
use crate::memory::Memory;
use crate::message::{Joined, Message, Wishes};
use crate::slots::Payload;
use crate::waitable::{Waitable, sealed::Sealed};
use core::marker::PhantomData;
use core::time::Duration;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::atomic::fence;
use ringshm_sync::crash;
use ringshm_sync::time::Deadline;
use ringshm_sync::wait::{Exchanged, Pace, Waiter};
use ringshm_sync::watch::AnyBell;
use slots::{Found, Slots, Stamp, left_by_writer};
use std::sync::Arc;

/// Slots of a register: the newest value, and three that the writer may begin before a reader of it is disturbed.
pub(crate) const SLOTS: u64 = 4;
/// At how many stamps a reader looks for one value: six, if the writer does not disturb it. An honest writer that is as fast as
/// that has not been built.
const LOOKS: u32 = if cfg!(loom) { 8 } else { 1 << 16 };

/// Names the kind of ring: `Latest<T>` is a register of the newest `T`.
#[derive(Debug)]
pub struct Latest<T>(PhantomData<fn(T) -> T>);

/// The writing side of a register of `T`.
///
/// Dropping it closes the register: the value stays to be read, and who waits for another one is told `Disconnected`. Use
/// [`detach`](Self::detach) to leave the role to a successor.
#[derive(Debug)]
pub struct Writer<T> {
    member: Member,
    slots: Slots<T>,
    /// The position of the next value, which is never read back.
    published: u64,
}

impl<T: Payload> Writer<T> {
    fn resume(member: Member) -> Result<Self, OpenError> {
        let slots = Slots::new(member.memory());
        let own = member.own();
        let Some((published, had_begun)) = left_by_writer(member.memory()) else {
            return Err(OpenError::Corrupt { field: "value stamp" });
        };
        if had_begun {
            Counters::add(&own.counters.torn, 1);
        }
        // Relaxed: for tools and successors.
        own.cursor.store(published, Relaxed);
        Ok(Self { member, slots, published })
    }

    /// Writes a value: it is the newest from now on. Never waits, whatever readers do, and makes no system call unless one sleeps.
    ///
    /// # Errors
    /// [`Fault::Forked`].
    #[inline(always)]
    pub fn write(&mut self, value: T) -> Result<(), Fault> {
        self.member.refuse_forked()?;
        let (position, next) = (self.published, self.published.wrapping_add(1));
        // PUBLISH: the value before this one is visible to the reader that finds this one being written.
        self.slots.stamp(position).store(Stamp::writing(position).0, Release);
        // LAP: the stamp before anything that is written.
        fence(Release);
        crash::point("latest.begun");
        self.slots.put(position, &value);
        crash::point("latest.written");
        // PUBLISH: all words of the value are visible to the reader that finds it whole.
        self.slots.stamp(position).store(Stamp::whole(position).0, Release);
        crash::point("latest.published");
        self.published = next;
        // Relaxed: for tools and successors.
        self.member.own().cursor.store(next, Relaxed);
        self.member.memory().ring_readers(self.member.light());
        Ok(())
    }

    /// Values written since the register was made, by this writer and those before it.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.published.wrapping_sub(self.member.memory().geometry().origin)
    }

    /// Leaves the register without closing it: readers wait for a successor.
    pub fn detach(mut self) {
        self.member.will_detach();
    }
}

/// The reading side of a register of `T`. Writes nothing, and nobody knows of it.
#[derive(Debug)]
pub struct Reader<T> {
    stay: Stay,
    slots: Slots<T>,
    /// The position after the value that was read last: the origin, if none was.
    seen: u64,
    last: Option<T>,
    pace: Pace,
    detector: Detector,
}

/// How a reader takes part.
#[derive(Debug)]
enum Stay {
    /// In a lane, for everybody to see. Nobody waits for it there.
    Member(Member),
    /// Unseen.
    Visitor(Lossy),
}

impl Stay {
    #[inline(always)]
    fn memory(&self) -> &Memory {
        match self {
            Self::Member(member) => member.memory(),
            Self::Visitor(visitor) => visitor.memory(),
        }
    }

    fn shared(&self) -> &Arc<Memory> {
        match self {
            Self::Member(member) => member.shared(),
            Self::Visitor(visitor) => visitor.shared(),
        }
    }

    fn behaviour(&self) -> &Behaviour {
        match self {
            Self::Member(member) => &member.behaviour,
            Self::Visitor(visitor) => visitor.behaviour(),
        }
    }

    /// Where it sleeps.
    fn bell(&self) -> ReaderBell<'_> {
        match self {
            Self::Member(member) => member.memory().bell_of_reader(Some(member.own())),
            Self::Visitor(visitor) => visitor.memory().bell_of_reader(None),
        }
    }
}

impl<T: Payload> Reader<T> {
    fn new(stay: Stay) -> Self {
        let slots = Slots::new(stay.memory());
        let seen = stay.memory().geometry().origin;
        let detector = Detector::new(stay.memory().lanes_of(Role::Producer).start);
        Self { stay, slots, seen, last: None, pace: Pace::new(), detector }
    }

    /// The newest value, `None` if there has been none. Never waits, makes no system call, and disturbs nobody.
    ///
    /// A process that breaks the protocol can at worst make it return a wrong value, or the one before.
    #[inline(always)]
    pub fn read(&mut self) -> Option<T> {
        self.slots.prefetch(self.seen);
        let (mut next, mut newest) = (self.seen, None);
        for _ in 0..LOOKS {
            // PUBLISH: all words of the value.
            let stamp = Stamp(self.slots.stamp(next).load(Acquire));
            match stamp.at(next) {
                Found::Whole(position) => {
                    newest = Some((position, stamp));
                    next = position.wrapping_add(1);
                }
                // The one before it is whole.
                Found::Writing(position) if position != next => next = position.wrapping_sub(1),
                Found::Older | Found::Writing(_) => {
                    let Some((position, stamp)) = newest.take() else { break };
                    let value = self.slots.take(position);
                    // LAP: who has read anything of a later value sees the stamp of it.
                    fence(Acquire);
                    // Relaxed: the fence above orders it.
                    if self.slots.stamp(position).load(Relaxed) == stamp.0 {
                        (self.seen, self.last) = (position.wrapping_add(1), Some(value));
                        break;
                    }
                    next = position;
                }
            }
        }
        self.last
    }

    /// Whether there is a value that [`read`](Self::read) has not returned yet.
    #[must_use]
    #[inline(always)]
    pub fn changed(&self) -> bool {
        self.slots.prefetch(self.seen);
        // Relaxed: whoever goes on to read loads it again.
        let found = Stamp(self.slots.stamp(self.seen).load(Relaxed)).at(self.seen);
        !matches!(found, Found::Older) && found != Found::Writing(self.seen)
    }

    /// Waits until there is a value that [`read`](Self::read) has not returned yet, for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError::Timeout`], and [`RecvTimeoutError::Disconnected`] once the writer has closed the register, or died, and
    /// its last value was read; [`RecvTimeoutError::Fault`] if somebody has removed the register's System V object.
    pub fn wait_for_change(&mut self, timeout: Duration) -> Result<(), RecvTimeoutError> {
        self.wait_until(Deadline::after(timeout))
    }

    /// Waits for a value that was not read yet, as long as it takes, and reads the newest. `None` once the writer has closed the register,
    /// or died, and its last value was read.
    pub fn next_change(&mut self) -> Option<T> {
        self.wait_until(Deadline::NEVER).ok()?;
        self.read()
    }

    fn wait_until(&mut self, deadline: Deadline) -> Result<(), RecvTimeoutError> {
        if self.changed() {
            return Ok(());
        }
        self.pace.begin(Exchanged::one_by_one(self.seen), self.seen, SLOTS, self.stay.behaviour().wait);
        let mut waiter = Waiter::new(self.stay.behaviour().wait, deadline, &self.pace);
        let outcome = loop {
            if self.changed() {
                break Ok(());
            }
            let is_over = waiter.pause(&self.stay.bell()).is_err();
            if self.changed() {
                break Ok(());
            }
            if (is_over || waiter.is_unhurried()) && self.writer_is_gone() {
                // What it wrote last, before it went: CLOSE or DEATH made it visible.
                break if self.changed() { Ok(()) } else { Err(RecvTimeoutError::Disconnected) };
            }
            if let Err(fault) = self.stay.memory().check_locks() {
                break Err(RecvTimeoutError::Fault(fault));
            }
            if is_over {
                break Err(RecvTimeoutError::Timeout);
            }
        };
        waiter.finish(&self.stay.bell());
        if outcome.is_ok() {
            self.pace.end(&waiter);
        }
        outcome
    }

    fn writer_is_gone(&mut self) -> bool {
        self.detector.is_gone(self.stay.memory(), self.stay.behaviour().on_death)
    }

    /// The number of values written before the one that was read last, and that one: 0 if none was read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.seen.wrapping_sub(self.stay.memory().geometry().origin)
    }

    /// What the writer is, now. Asks the kernel whether it is alive.
    #[must_use]
    pub fn peer(&self) -> Peer {
        let memory = self.stay.memory();
        memory.peer_state(memory.lanes_of(Role::Producer).start)
    }
}

impl<T: Payload> Sealed for Writer<T> {}

impl<T: Payload> Waitable for Writer<T> {
    fn is_ready(&mut self) -> bool {
        true
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::Own(&self.member.own().presence.bell)
    }

    fn memory(&self) -> &Arc<Memory> {
        self.member.shared()
    }
}

impl<T: Payload> Sealed for Reader<T> {}

impl<T: Payload> Waitable for Reader<T> {
    fn is_ready(&mut self) -> bool {
        self.changed() || self.writer_is_gone()
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::OfAll(&self.stay.memory().lobby().readers)
    }

    fn memory(&self) -> &Arc<Memory> {
        self.stay.shared()
    }
}

impl<T: Payload> Message for Latest<T> {
    type Producer = Writer<T>;
    type Consumer = Reader<T>;

    fn geometry(wishes: &Wishes) -> Option<Geometry> {
        let Wishes { consumers, origin, wakeup, .. } = *wishes;
        let (message, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
        let kind = Kind::Latest;
        let geometry =
            Geometry::new(&Shape { kind, capacity: SLOTS, message, align, producers: 1, consumers, origin })?;
        Some(Geometry { wakeup, ..geometry })
    }

    fn identity(schema: u64) -> TypeIdentity {
        TypeIdentity::of::<T>(schema)
    }

    fn producer(joined: Joined) -> Result<Writer<T>, OpenError> {
        Writer::resume(joined.0)
    }

    fn consumer(joined: Joined) -> Result<Reader<T>, OpenError> {
        Ok(Reader::new(Stay::Member(joined.0)))
    }
}

impl<T: Payload> Startable for Latest<T> {}

impl<T: Payload> Readable for Latest<T> {
    type Reader = Reader<T>;

    fn reader(visit: Lossy) -> Result<Reader<T>, OpenError> {
        Ok(Reader::new(Stay::Visitor(visit)))
    }
}
