//! The register of the newest value: one writer that never waits, any number of readers that never see half a value.
//!
//! ```text
//!                       cursor   intent
//!                          │        │
//!   ──┬──────────┬─────────┼────────┼──────────┬───▶ positions, of four slots in turn
//!     │  older   │ newest  │ being  │  not yet │
//!     │  value   │ value   │ written│          │
//!   ──┴──────────┴─────────┴────────┴──────────┴───
//! ```
//!
//! **Roles.** The writer writes the next of four slots, and then moves the cursor on; before, it says so in `intent`, on the same line. A
//! reader copies the slot before the cursor, and then loads `intent`: if the writer has begun fewer than four values since, the
//! copy is whole (LAP, as in the [`broadcast`](crate::broadcast) ring). A reader is disturbed only if the writer writes three more values
//! while it copies one, and then takes a newer one; the writer is never disturbed at all. The words are atomics, so a copy that
//! comes too late is thrown away, and never undefined behaviour.
//!
//! **Speed.** The reader asks for all slots at once with the cursor, so they travel at the same time.
//!
//! **Edges.** PUBLISH, LAP, CLOSE, DEATH, TAKEOVER and DOORBELL, as in the broadcast ring.
//!
//! **Death.** A dead writer leaves the last value that it finished; its successor goes on there.
//!
//! # Safety
//! Slots are moved as words, from and to private memory. `T` is valid whatever bytes a slot holds.

#![allow(unsafe_code, reason = "copies values between slots and private memory")]

use crate::ahead::LINE;
use crate::broadcast::{Lossy, Readable};
use crate::error::{Fault, OpenError, RecvTimeoutError};
use crate::lanes::{Peer, Role, State, state_of};
use crate::layout::{Counters, Geometry, Kind, Lane, MAX_PAYLOAD_ALIGN, Shape, TypeIdentity};
use crate::member::{Behaviour, Member, OnDeath};
use crate::memory::Memory;
use crate::message::{Joined, Message, Wishes};
use crate::position::is_within;
use crate::slots::Payload;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::time::Duration;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed, Release};
use ringshm_sync::atomic::fence;
use ringshm_sync::cell::Bytes;
use ringshm_sync::crash;
use ringshm_sync::time::{Deadline, Ration};
use ringshm_sync::wait::{Exchanged, Pace, Waiter};

/// Slots of a register: the newest value, and three that the writer may begin before a reader of it is disturbed.
const SLOTS: u64 = 4;
/// How often a reader tries again. An honest writer that is as fast as that has not been built.
const ATTEMPTS: u32 = if cfg!(loom) { 4 } else { 1 << 16 };
/// The least time between two probes of the writer's lock by one handle.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// Names the kind of ring: `Latest<T>` is a register of the newest `T`.
#[derive(Debug)]
pub struct Latest<T>(PhantomData<fn(T) -> T>);

/// The slots of a register, by position.
#[derive(Clone, Debug)]
struct Slots<T> {
    data: Bytes,
    _type: PhantomData<fn(T) -> T>,
}

impl<T: Payload> Slots<T> {
    const STRIDE: usize = {
        assert!(
            size_of::<T>() > 0 && align_of::<T>() <= MAX_PAYLOAD_ALIGN,
            "a payload has at least one byte, and an alignment of at most 128"
        );
        size_of::<T>().next_multiple_of(LINE as usize)
    };

    fn new(memory: &Memory) -> Self {
        let Geometry { kind, stride, capacity, .. } = *memory.geometry();
        let fits = kind == Kind::Latest && stride == Self::STRIDE as u64 && capacity == SLOTS;
        assert!(fits, "this memory is no register of this type");
        Self { data: memory.data().clone(), _type: PhantomData }
    }

    #[inline(always)]
    fn offset(position: u64) -> usize {
        (position % SLOTS) as usize * Self::STRIDE
    }

    #[inline(always)]
    fn put(&self, position: u64, value: &T) {
        // SAFETY: one of the slots, on a multiple of eight; `value` has as many bytes, none of them padding.
        unsafe { self.data.store_words(Self::offset(position), (&raw const *value).cast(), size_of::<T>()) };
    }

    /// Copies a value out, which may be a mixture of several.
    #[inline(always)]
    fn take(&self, position: u64) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: as for `put`, and there is room for a `T`.
        unsafe { self.data.load_words(Self::offset(position), value.as_mut_ptr().cast(), size_of::<T>()) };
        // SAFETY: all its bytes were written just now, and every bit pattern is a `T`.
        unsafe { value.assume_init() }
    }

    /// Asks for the slots of the next values after `position`.
    #[inline(always)]
    fn prefetch_after(&self, position: u64) {
        for next in 0..SLOTS {
            let offset = Self::offset(position.wrapping_add(next));
            (0..size_of::<T>()).step_by(LINE as usize).for_each(|line| self.data.prefetch_to_read(offset + line));
        }
    }
}

/// The writing side of a register of `T`.
///
/// Dropping it closes the register: the value stays to be read, and who waits for another one is told `Disconnected`. Use
/// [`detach`](Self::detach) to leave the role to a successor.
#[derive(Debug)]
pub struct Writer<T> {
    member: Member,
    slots: Slots<T>,
    /// The cursor, which is never read back.
    published: u64,
}

impl<T: Payload> Writer<T> {
    fn resume(member: Member) -> Result<Self, OpenError> {
        let slots = Slots::new(member.memory());
        let own = member.own();
        // Relaxed: the predecessor's, whose lock was taken over (TAKEOVER).
        let published = own.cursor.load(Relaxed);
        // Relaxed: as above.
        let intent = own.intent.load(Relaxed);
        if !is_within(published, intent, published.wrapping_add(1)) {
            return Err(OpenError::Corrupt { field: "writer intent" });
        }
        if intent != published {
            Counters::add(&own.counters.torn, 1);
        }
        Ok(Self { member, slots, published })
    }

    /// Writes a value: it is the newest from now on. Never waits, whatever readers do, and makes no system call unless one sleeps.
    ///
    /// # Errors
    /// [`Fault::Forked`].
    #[inline(always)]
    pub fn write(&mut self, value: T) -> Result<(), Fault> {
        self.member.refuse_forked()?;
        let own = self.member.own();
        let next = self.published.wrapping_add(1);
        // Relaxed: the fence below orders it.
        own.intent.store(next, Relaxed);
        // LAP: the intent before anything that is written.
        fence(Release);
        crash::point("latest.announced");
        self.slots.put(self.published, &value);
        crash::point("latest.written");
        // PUBLISH: all words of the value are visible to the reader that loads the cursor.
        own.cursor.store(next, Release);
        self.published = next;
        crash::point("latest.published");
        self.member.memory().lobby().readers.ring(self.member.light());
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
    /// The cursor before the value that was read last: the origin, if none was.
    seen: u64,
    last: Option<T>,
    pace: Pace,
    probes: Ration,
    /// The writer's state word that was proven dead: until it changes, the writer is gone.
    proven_dead: Option<u32>,
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

    fn behaviour(&self) -> &Behaviour {
        match self {
            Self::Member(member) => &member.behaviour,
            Self::Visitor(visitor) => visitor.behaviour(),
        }
    }

    #[inline(always)]
    fn writer(&self) -> &Lane {
        let memory = self.memory();
        memory.lane(memory.lanes_of(Role::Producer).start)
    }
}

impl<T: Payload> Reader<T> {
    fn new(stay: Stay) -> Self {
        let slots = Slots::new(stay.memory());
        let seen = stay.memory().geometry().origin;
        let (pace, probes) = (Pace::new(), Ration::default());
        Self { stay, slots, seen, last: None, pace, probes, proven_dead: None }
    }

    /// The newest value, `None` if there has been none. Never waits, makes no system call, and disturbs nobody.
    ///
    /// A process that breaks the protocol can at worst make it return a wrong value, or the one before.
    #[inline(always)]
    pub fn read(&mut self) -> Option<T> {
        self.slots.prefetch_after(self.seen);
        for _ in 0..ATTEMPTS {
            let writer = self.stay.writer();
            // PUBLISH: all words of the values before the cursor are visible.
            let cursor = writer.cursor.load(Acquire);
            if cursor == self.seen {
                return self.last;
            }
            let value = self.slots.take(cursor.wrapping_sub(1));
            // LAP: who has read anything of a later value sees the intent to write it.
            fence(Acquire);
            // Relaxed: the fence above orders it.
            if writer.intent.load(Relaxed).wrapping_sub(cursor) < SLOTS {
                (self.seen, self.last) = (cursor, Some(value));
                return self.last;
            }
        }
        self.last
    }

    /// Whether there is a value that [`read`](Self::read) has not returned yet.
    #[must_use]
    #[inline(always)]
    pub fn changed(&self) -> bool {
        // Relaxed: whoever goes on to read loads it again.
        self.stay.writer().cursor.load(Relaxed) != self.seen
    }

    /// Waits until there is a value that [`read`](Self::read) has not returned yet, for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`RecvTimeoutError::Timeout`], and [`RecvTimeoutError::Disconnected`] once the writer has closed the register, or died, and
    /// its last value was read.
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
            self.slots.prefetch_after(self.seen);
            let is_over = waiter.pause(&*self.stay.memory().lobby().readers).is_err();
            if self.changed() {
                break Ok(());
            }
            if (is_over || waiter.is_unhurried()) && self.writer_is_gone() {
                // What it wrote last, before it went: CLOSE or DEATH made it visible.
                break if self.changed() { Ok(()) } else { Err(RecvTimeoutError::Disconnected) };
            }
            if is_over {
                break Err(RecvTimeoutError::Timeout);
            }
        };
        waiter.finish(&*self.stay.memory().lobby().readers);
        if outcome.is_ok() {
            self.pace.end(&waiter);
        }
        outcome
    }

    fn writer_is_gone(&mut self) -> bool {
        let memory = self.stay.memory();
        // CLOSE: everything the writer wrote before it closed.
        let word = self.stay.writer().presence.state.load(Acquire);
        if state_of(word) == State::Closed || self.proven_dead == Some(word) {
            return true;
        }
        if self.stay.behaviour().on_death == OnDeath::AwaitSuccessor || !self.probes.is_due(PROBE_INTERVAL) {
            return false;
        }
        self.proven_dead = memory.proven_dead(memory.lanes_of(Role::Producer).start);
        self.proven_dead.is_some()
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

impl<T: Payload> Message for Latest<T> {
    type Producer = Writer<T>;
    type Consumer = Reader<T>;

    fn geometry(wishes: &Wishes) -> Option<Geometry> {
        let Wishes { consumers, origin, .. } = *wishes;
        let (message, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
        Geometry::new(&Shape { kind: Kind::Latest, capacity: SLOTS, message, align, producers: 1, consumers, origin })
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

impl<T: Payload> Readable for Latest<T> {
    type Reader = Reader<T>;

    fn reader(visit: Lossy) -> Result<Reader<T>, OpenError> {
        Ok(Reader::new(Stay::Visitor(visit)))
    }
}
