//! Taking part in a queue: who is there, what was there, and who removes it.
//!
//! The kernel tells nobody who has a queue open. So each participant holds a byte of it by a lock that the kernel drops when the participant is gone, and
//! what is to outlive the participants stands in mode bits that mean nothing for a queue:
//!
//! | bit | says |
//! |---|---|
//! | sticky, `1000` | ringshm made it, and removes it |
//! | `100` | a sender was there |
//! | `4000` | a receiver was there |
//! | `010` | the last sender has closed the stream |
//! | `001` | the last receiver has closed the stream |
//!
//! They are changed by holders of the gate only, and in no queue of another program's, which may mean something by its mode.

use super::queue::{Queue, QueueName, Shape};
use crate::side::Side;
use core::ops::Range;
use ringshm_core::attach::Existence;
use ringshm_core::error::{Fault, OpenError};
use ringshm_core::os::liveness::{Hold, holder, lock, unlock};
use ringshm_core::{Deadline, OnDeath};
use ringshm_sync::time::Ration;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Bytes of the queue's file that are locked.
const GATE: u64 = 0;
const SENDERS: u64 = 1;
const RECEIVERS: u64 = 2;

const OURS: u32 = 0o1000;
const SENDER_CAME: u32 = 0o100;
const RECEIVER_CAME: u32 = 0o4000;
const SENDERS_CLOSED: u32 = 0o010;
const RECEIVERS_CLOSED: u32 = 0o001;

const LOCKING: &str = "locking the queue (F_OFD_SETLK)";

/// How long to wait for somebody who is joining or leaving right now. That takes microseconds; only a stopped process takes longer.
const GATE_PATIENCE: Duration = Duration::from_secs(1);
/// The least time between two looks for the other side, where nothing else calls for one.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// What a participant asks of a queue.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) messages: Option<usize>,
    /// Bytes of a packet.
    pub(super) bytes: Option<usize>,
    /// Bytes that a packet must be able to have.
    pub(super) least_bytes: usize,
    pub(super) mode: u32,
    pub(super) existence: Existence,
    pub(super) on_death: OnDeath,
    /// Whether this is to be the only one on its side.
    pub(super) alone: bool,
}

/// The byte that a side holds.
fn byte(side: Side) -> u64 {
    match side {
        Side::Sender => SENDERS,
        Side::Receiver => RECEIVERS,
    }
}

/// The mark of a side on which somebody was.
fn came(side: Side) -> u32 {
    match side {
        Side::Sender => SENDER_CAME,
        Side::Receiver => RECEIVER_CAME,
    }
}

/// The mark of a side that has closed the stream.
fn closed(side: Side) -> u32 {
    match side {
        Side::Sender => SENDERS_CLOSED,
        Side::Receiver => RECEIVERS_CLOSED,
    }
}

/// A place on one side of a queue.
#[derive(Debug)]
pub(super) struct Seat {
    queue: Queue,
    name: QueueName,
    side: Side,
    on_death: OnDeath,
    /// Whether somebody of the other side has been there.
    has_seen: bool,
    probes: Ration,
    /// The process that has the seat: a forked child shares the open file, and leaves it alone.
    pid: u32,
    is_left: bool,
}

impl Seat {
    /// Opens or makes the queue, and takes a side.
    pub(super) fn take(name: QueueName, side: Side, wanted: &Wanted) -> Result<Self, OpenError> {
        loop {
            let queue = match Queue::open(&name)? {
                Some(_) if wanted.existence == Existence::MustNotExist => {
                    return Err(OpenError::Exists { path: name.path() });
                }
                Some(queue) => queue,
                None if wanted.existence == Existence::MustExist => {
                    return Err(OpenError::NotFound { path: name.path() });
                }
                None => {
                    let shape = Shape::wished(wanted.messages, wanted.bytes);
                    match Queue::create(&name, shape, wanted.mode & 0o666 | OURS)? {
                        Some(queue) => queue,
                        // Somebody was faster: that is another process's progress.
                        None => continue,
                    }
                }
            };
            if let Some(seat) = Self::take_of(queue, &name, side, wanted)? {
                return Ok(seat);
            }
        }
    }

    /// `None`: it was removed under our hands, or is a leftover of another shape and was removed here.
    fn take_of(queue: Queue, name: &QueueName, side: Side, wanted: &Wanted) -> Result<Option<Self>, OpenError> {
        let owner = queue.owner();
        if owner != Some(rustix::process::geteuid().as_raw()) {
            let reason = format!("it belongs to user {}", owner.map_or("unknown".to_owned(), |uid| uid.to_string()));
            return Err(OpenError::Permission { path: name.path(), reason });
        }
        let gate = Gate::enter(&queue, name)?;
        if queue.is_removed() {
            return Ok(None);
        }
        let is_deserted = !is_held(&queue, SENDERS) && !is_held(&queue, RECEIVERS);
        let is_leftover = queue.mode() & OURS != 0 && is_deserted && queue.is_empty();
        let fits = |asked: Option<usize>, found| asked.is_none_or(|asked| asked <= found);
        let Shape { messages, bytes } = queue.shape();
        if !fits(wanted.messages, messages) || !fits(wanted.bytes, bytes) || bytes < wanted.least_bytes {
            if is_leftover {
                let _ = name.unlink();
                return Ok(None);
            }
            let (expected, found) = (Shape::wished(wanted.messages, wanted.bytes), queue.shape());
            return Err(OpenError::LayoutMismatch { expected: expected.to_string(), found: found.to_string() });
        }
        // A stream that is over is followed by a new one. To the first sender of one whose receivers have all gone, they are as those that never came:
        // it waits for others, who find the messages that there are.
        let over = if is_leftover {
            SENDER_CAME | RECEIVER_CAME | SENDERS_CLOSED | RECEIVERS_CLOSED
        } else if is_deserted && side == Side::Sender {
            SENDERS_CLOSED | RECEIVER_CAME | RECEIVERS_CLOSED
        } else {
            closed(side)
        };
        let hold = if wanted.alone { Hold::Alone } else { Hold::Shared };
        let is_free = lock(&queue, hold, one(byte(side)));
        if !is_free.map_err(|source| OpenError::Os { step: LOCKING, source })? {
            return Err(OpenError::RoleTaken { role: side.name(), pid: 0, lanes: 1 });
        }
        change_mode(&queue, |mode| mode & !over | came(side));
        let has_seen = is_ours_with(&queue, came(side.other()));
        drop(gate);
        let (name, on_death) = (name.clone(), wanted.on_death);
        let pid = std::process::id();
        Ok(Some(Self { queue, name, side, on_death, has_seen, probes: Ration::default(), pid, is_left: false }))
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Something came that only somebody who takes part can have sent.
    pub(super) fn has_heard(&mut self) {
        self.has_seen = true;
    }

    /// Whether it is time to ask [`is_deserted`](Self::is_deserted) although nothing else calls for it.
    #[inline]
    pub(super) fn should_look(&mut self) -> bool {
        self.probes.is_due(PROBE_INTERVAL)
    }

    /// Whether nobody is on the other side any more and nobody is waited for.
    ///
    /// What the last of them sent or received is to be looked for once more after this: it may have come since the last look.
    #[cold]
    pub(super) fn is_deserted(&mut self) -> Result<bool, Fault> {
        if is_held(&self.queue, byte(self.side.other())) {
            self.has_seen = true;
            return Ok(false);
        }
        if is_ours_with(&self.queue, closed(self.side.other())) {
            return Ok(true);
        }
        self.has_seen |= is_ours_with(&self.queue, came(self.side.other()));
        if self.has_seen && self.on_death == OnDeath::Disconnect {
            return Ok(true);
        }
        if self.queue.is_removed() { Err(Fault::Removed) } else { Ok(false) }
    }

    /// Leaves without saying that this is the end.
    pub(super) fn detach(&mut self) {
        self.is_left = true;
        release(&self.queue, byte(self.side));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.is_left || std::process::id() != self.pid {
            return;
        }
        // Whoever is stopped inside holds up nobody who leaves: then it looks like a death.
        let Ok(gate) = Gate::enter(&self.queue, &self.name) else { return };
        if !is_held(&self.queue, byte(self.side)) {
            change_mode(&self.queue, |mode| mode | closed(self.side));
            let is_last = !is_held(&self.queue, byte(self.side.other()));
            if is_last && is_ours_with(&self.queue, 0) && self.queue.is_empty() && !self.queue.is_removed() {
                let _ = self.name.unlink();
            }
        }
        release(&self.queue, byte(self.side));
        drop(gate);
    }
}

/// Whether ringshm made it, and it has this mark.
fn is_ours_with(queue: &Queue, mark: u32) -> bool {
    queue.mode() & (OURS | mark) == OURS | mark
}

fn change_mode(queue: &Queue, change: impl FnOnce(u32) -> u32) {
    let mode = queue.mode();
    let changed = change(mode);
    if mode & OURS != 0 && changed != mode {
        // Its owner may, and nobody else is here.
        let _ = queue.set_mode(changed);
    }
}

/// Held while somebody joins or leaves; let go when dropped, or by the kernel.
struct Gate<'a>(BorrowedFd<'a>);

impl<'a> Gate<'a> {
    fn enter(queue: &'a Queue, name: &QueueName) -> Result<Self, OpenError> {
        let patience = Deadline::after(GATE_PATIENCE);
        loop {
            match lock(queue, Hold::Alone, one(GATE)) {
                Ok(true) => return Ok(Self(queue.as_fd())),
                Ok(false) if patience.is_over() => return Err(OpenError::Busy { path: name.path() }),
                Ok(false) => std::thread::sleep(Duration::from_micros(50)),
                Err(source) => return Err(OpenError::Os { step: LOCKING, source }),
            }
        }
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        release(self.0, GATE);
    }
}

fn one(byte: u64) -> Range<u64> {
    byte..byte + 1
}

/// Whether another open file holds the byte. If the kernel cannot say, it does.
fn is_held(queue: impl AsFd, byte: u64) -> bool {
    holder(queue, one(byte)).map_or(true, |held| held.is_some())
}

fn release(queue: impl AsFd, byte: u64) {
    // Cannot fail on an open descriptor; if it did, closing the descriptor drops the lock.
    let _ = unlock(queue, one(byte));
}
