//! Who takes part in a queue: counts in a set of System V semaphores that lies under the same key.
//!
//! The kernel keeps no list of a queue's users. But it takes back what a process did to semaphores when that process is gone, however it ended. So who
//! comes counts itself in, with the request to be counted out. Beside the counts lie marks, which outlive their makers.

use super::queue::Key;
use crate::side::Side;
use ringshm_core::error::{Fault, OpenError};
use ringshm_sync::semaphore::sysv::{self, Op, OpError, OpTimeoutError, SemaphoreSet, TryOpError};
use std::time::Duration;

/// One while nobody joins or leaves.
const GATE: u16 = 0;
const SENDERS: u16 = 1;
const RECEIVERS: u16 = 2;
/// One while the only sender, or the only receiver, is there.
const SENDER_ALONE: u16 = 3;
const RECEIVER_ALONE: u16 = 4;
/// The queue that all this is about: three parts of its id.
const QUEUE: [u16; 3] = [5, 6, 7];
/// One if ringshm made it.
const OURS: u16 = 8;
/// One if a sender, or a receiver, was there.
const SENDER_CAME: u16 = 9;
const RECEIVER_CAME: u16 = 15;
/// One if the last sender, or the last receiver, has closed the stream.
const SENDERS_CLOSED: u16 = 10;
const RECEIVERS_CLOSED: u16 = 11;
/// The queue that was removed last because its stream was over.
const ENDED: [u16; 3] = [12, 13, 14];
const LEN: usize = 16;

/// Bits of an id that a semaphore holds.
const BITS: u32 = 15;
/// How long to wait for somebody who is joining or leaving right now. That takes microseconds; only a stopped process takes longer.
const GATE_PATIENCE: Duration = Duration::from_secs(1);

fn count(side: Side) -> u16 {
    match side {
        Side::Sender => SENDERS,
        Side::Receiver => RECEIVERS,
    }
}

fn alone(side: Side) -> u16 {
    match side {
        Side::Sender => SENDER_ALONE,
        Side::Receiver => RECEIVER_ALONE,
    }
}

fn came(side: Side) -> u16 {
    match side {
        Side::Sender => SENDER_CAME,
        Side::Receiver => RECEIVER_CAME,
    }
}

fn closed(side: Side) -> u16 {
    match side {
        Side::Sender => SENDERS_CLOSED,
        Side::Receiver => RECEIVERS_CLOSED,
    }
}

/// All counts and marks, as they were at one moment.
#[derive(Debug)]
pub(super) struct Snapshot(Vec<u16>);

impl Snapshot {
    fn at(&self, index: u16) -> u16 {
        self.0.get(usize::from(index)).copied().unwrap_or(0)
    }

    pub(super) fn present(&self, side: Side) -> u16 {
        self.at(count(side))
    }

    pub(super) fn is_deserted(&self) -> bool {
        self.present(Side::Sender) == 0 && self.present(Side::Receiver) == 0
    }

    pub(super) fn has_closed(&self, side: Side) -> bool {
        self.at(closed(side)) != 0
    }

    pub(super) fn has_come(&self, side: Side) -> bool {
        self.at(came(side)) != 0
    }

    pub(super) fn is_ours(&self) -> bool {
        self.at(OURS) != 0
    }

    pub(super) fn is_about(&self, queue: i32) -> bool {
        self.id(QUEUE) == stored(queue)
    }

    pub(super) fn has_ended(&self, queue: i32) -> bool {
        self.id(ENDED) == stored(queue)
    }

    fn id(&self, [low, middle, high]: [u16; 3]) -> u64 {
        [high, middle, low].into_iter().fold(0, |id, part| id << BITS | u64::from(self.at(part)))
    }
}

/// How an id is stored: zero is none.
fn stored(queue: i32) -> u64 {
    u64::from(queue.unsigned_abs()) + 1
}

/// The counts and marks of one key.
#[derive(Clone, Debug)]
pub(super) struct Census {
    set: SemaphoreSet,
    key: Key,
}

/// Held while somebody joins or leaves; let go when dropped, or by the kernel.
pub(super) struct Gate<'a>(&'a Census);

impl Census {
    /// That of a key, made if there is none.
    pub(super) fn open(key: Key, mode: u32) -> Result<Self, OpenError> {
        let mut counts = [0; LEN];
        counts[usize::from(GATE)] = 1;
        loop {
            match SemaphoreSet::open_or_create(key.0, mode, &counts) {
                Ok(set) => return Ok(Self { set, key }),
                // Its maker was killed in between, or is stopped, and then finds it removed and makes another.
                Err(sysv::OpenError::Unfinished { .. }) => {
                    let _ = SemaphoreSet::remove_key(key.0);
                }
                Err(error) => return Err(refusal(error, key)),
            }
        }
    }

    /// Removes that of a key.
    pub(super) fn forget_key(key: Key) {
        let _ = SemaphoreSet::remove_key(key.0);
    }

    /// Takes the gate. `None`: the set was removed.
    pub(super) fn enter(&self) -> Result<Option<Gate<'_>>, OpenError> {
        match self.set.apply_timeout(&[Op::wait(GATE).undone_at_exit()], GATE_PATIENCE) {
            Ok(()) => Ok(Some(Gate(self))),
            Err(OpTimeoutError::TimedOut) => Err(OpenError::Busy { path: self.key.path() }),
            Err(OpTimeoutError::Op(OpError::Removed { .. })) => Ok(None),
            Err(OpTimeoutError::Op(error)) => Err(self.failed(error)),
        }
    }

    pub(super) fn look(&self) -> Result<Snapshot, Fault> {
        self.set.values().map(Snapshot).map_err(|error| match error {
            OpError::Removed { .. } => Fault::Removed,
            OpError::Permission { .. } => fault(libc::EACCES),
            OpError::Os { source, .. } => fault(source.raw_os_error().unwrap_or(libc::EIO)),
            _ => fault(libc::EIO),
        })
    }

    /// As [`look`](Self::look), while opening.
    pub(super) fn look_inside(&self) -> Result<Snapshot, OpenError> {
        self.set.values().map(Snapshot).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: OpError) -> OpenError {
        match error {
            OpError::Permission { .. } => OpenError::Permission { path: self.key.path(), reason: error.to_string() },
            OpError::Os { source, .. } => OpenError::Os { step: STEP, source },
            error => OpenError::Os { step: STEP, source: std::io::Error::other(error.to_string()) },
        }
    }
}

const STEP: &str = "counting this process in or out at the queue's semaphores (semop)";

fn fault(errno: i32) -> Fault {
    Fault::Os { step: "looking at the queue's semaphores (semctl)", errno }
}

fn refusal(error: sysv::OpenError, key: Key) -> OpenError {
    match error {
        sysv::OpenError::Permission { .. } => {
            OpenError::Permission { path: key.path(), reason: "its semaphores belong to another user".to_owned() }
        }
        sysv::OpenError::NoSpace { .. } => OpenError::Limit {
            needed: "a set of semaphores is needed beside the queue".to_owned(),
            limit: "/proc/sys/kernel/sem",
            allows: None,
        },
        sysv::OpenError::Mismatch { .. } => OpenError::InvalidName {
            name: format!("{:#x}", key.0),
            reason: "another program has semaphores under this key, where ringshm has its own: choose another key"
                .to_owned(),
        },
        sysv::OpenError::Os { step, source, .. } => OpenError::Os { step, source },
        error => OpenError::Os {
            step: "opening the queue's semaphores (semget)",
            source: std::io::Error::other(error.to_string()),
        },
    }
}

impl Gate<'_> {
    /// Counts this participant in. `false`: somebody has the side alone, or this one wants it alone and somebody is there.
    pub(super) fn count_in(&self, side: Side, wants_alone: bool) -> Result<bool, OpenError> {
        let come = Op::post(count(side)).undone_at_exit();
        let steps = if wants_alone {
            [Op::wait_for_zero(count(side)), come, Op::post(alone(side)).undone_at_exit()].to_vec()
        } else {
            [Op::wait_for_zero(alone(side)), come].to_vec()
        };
        match self.0.set.try_apply(&steps) {
            Ok(()) => Ok(true),
            Err(TryOpError::WouldBlock) => Ok(false),
            Err(TryOpError::Op(error)) => Err(self.0.failed(error)),
        }
    }

    /// The semaphores are about this queue from now on, of which nothing is known yet.
    pub(super) fn begin(&self, queue: i32, is_ours: bool) -> Result<(), OpenError> {
        self.set_id(QUEUE, queue)?;
        self.set(OURS, is_ours.into())?;
        self.forget(Side::Sender)?;
        self.forget(Side::Receiver)
    }

    /// Who was on this side, is as if it had never come.
    pub(super) fn forget(&self, side: Side) -> Result<(), OpenError> {
        self.set(came(side), 0)?;
        self.set(closed(side), 0)
    }

    pub(super) fn has_come(&self, side: Side) -> Result<(), OpenError> {
        self.set(closed(side), 0)?;
        self.set(came(side), 1)
    }

    pub(super) fn has_closed(&self, side: Side) -> Result<(), OpenError> {
        self.set(closed(side), 1)
    }

    pub(super) fn has_ended(&self, queue: i32) -> Result<(), OpenError> {
        self.set_id(ENDED, queue)
    }

    /// Removes all counts and marks. Whoever waits at the gate begins anew.
    pub(super) fn remove(&self) {
        let _ = self.0.set.remove();
    }

    fn set_id(&self, places: [u16; 3], id: i32) -> Result<(), OpenError> {
        let mut rest = stored(id);
        for place in places {
            self.set(place, (rest & ((1 << BITS) - 1)) as u16)?;
            rest >>= BITS;
        }
        Ok(())
    }

    /// Only who is behind the gate changes a mark.
    fn set(&self, mark: u16, value: u16) -> Result<(), OpenError> {
        let found = self.0.set.value(mark).map_err(|error| self.0.failed(error))?;
        if found == value {
            return Ok(());
        }
        let steps = [(found, Op::wait(mark)), (value, Op::post(mark))];
        let steps: Vec<_> = steps.into_iter().filter(|(times, _)| *times > 0).map(|(n, op)| op.times(n)).collect();
        self.0.set.apply(&steps).map_err(|error| self.0.failed(error))
    }
}

impl Census {
    /// Counts a participant out.
    pub(super) fn count_out(&self, side: Side, was_alone: bool) {
        let mut steps = vec![Op::wait(count(side)).undone_at_exit()];
        if was_alone {
            steps.push(Op::wait(alone(side)).undone_at_exit());
        }
        // In a forked child this process is not counted: then nothing is to be undone, and the count is its parent's.
        let _ = self.set.try_apply(&steps);
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        // Fails if the set was removed, and with it the gate.
        let _ = self.0.set.try_apply(&[Op::post(GATE).undone_at_exit()]);
    }
}
