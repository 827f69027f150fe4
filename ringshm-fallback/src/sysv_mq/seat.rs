//! Taking part in a queue: joining, noticing that the other side is gone, leaving.

use super::census::{Census, Gate, Snapshot};
use super::queue::{Key, Queue, longest, too_long};
use crate::side::Side;
use ringshm_core::OnDeath;
use ringshm_core::attach::Existence;
use ringshm_core::error::{Fault, OpenError};
use ringshm_sync::time::Ration;
use std::time::Duration;

/// The least time between two looks for the other side, where nothing else calls for one.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// What a participant asks of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Bytes that the queue is to hold.
    pub(super) capacity: Option<u64>,
    /// Bytes of a packet.
    pub(super) bytes: Option<usize>,
    pub(super) mode: u32,
    pub(super) existence: Existence,
    pub(super) on_death: OnDeath,
    /// Whether this is to be the only one on its side.
    pub(super) alone: bool,
}

/// A place on one side of a queue.
#[derive(Debug)]
pub(super) struct Seat {
    queue: Queue,
    census: Census,
    longest: usize,
    side: Side,
    alone: bool,
    on_death: OnDeath,
    /// Whether somebody of the other side has been there.
    has_seen: bool,
    probes: Ration,
    /// The process that was counted in: a forked child was not.
    pid: u32,
    is_left: bool,
}

impl Seat {
    /// Opens or makes the queue, and takes a side.
    pub(super) fn take(key: Key, side: Side, wanted: &Wanted) -> Result<Self, OpenError> {
        loop {
            if wanted.existence == Existence::MustExist && Queue::find(key)?.is_none() {
                return Err(OpenError::NotFound { path: key.path() });
            }
            let census = Census::open(key, wanted.mode)?;
            let Some(gate) = census.enter()? else { continue };
            let joined = join(&gate, &census, key, side, wanted);
            if joined.is_err() {
                let now = census.look_inside();
                let is_needed = |ours: bool| ours && !matches!(Queue::find(key), Ok(None));
                if now.is_ok_and(|now| now.is_deserted() && !is_needed(now.is_ours())) {
                    gate.remove();
                }
            }
            let Some((queue, capacity, has_seen)) = joined? else { continue };
            drop(gate);
            let longest = usize::try_from(longest().min(capacity)).unwrap_or(usize::MAX);
            let (alone, on_death, pid) = (wanted.alone, wanted.on_death, std::process::id());
            let probes = Ration::default();
            return Ok(Self { queue, census, longest, side, alone, on_death, has_seen, probes, pid, is_left: false });
        }
    }

    pub(super) fn queue(&self) -> Queue {
        self.queue
    }

    /// Bytes that a packet has at most.
    pub(super) fn longest(&self) -> usize {
        self.longest
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
        let now = self.census.look()?;
        self.judge(&now)
    }

    fn judge(&mut self, now: &Snapshot) -> Result<bool, Fault> {
        if !now.is_about(self.queue.id) {
            // Another queue has taken its place.
            return if now.has_ended(self.queue.id) { Ok(true) } else { Err(Fault::Removed) };
        }
        if now.present(self.side.other()) > 0 {
            self.has_seen = true;
            return Ok(false);
        }
        if now.has_closed(self.side.other()) {
            return Ok(true);
        }
        self.has_seen |= now.has_come(self.side.other());
        Ok(self.has_seen && self.on_death == OnDeath::Disconnect)
    }

    /// The queue is not there any more: `Ok` if that was the end of its stream.
    #[cold]
    pub(super) fn is_over(&self) -> Result<(), Fault> {
        if self.census.look()?.has_ended(self.queue.id) { Ok(()) } else { Err(Fault::Removed) }
    }

    /// Whether a receiver of everything may sleep in the kernel until something comes: if a death is nothing that it is to be told, and the end is
    /// something that wakes it. Whoever ends the stream then removes the queue, which it finds empty; with several receivers it may not be empty
    /// yet, and the one who empties it may be killed.
    pub(super) fn may_sleep(&mut self) -> Result<bool, Fault> {
        if self.on_death == OnDeath::Disconnect {
            return Ok(false);
        }
        let now = self.census.look()?;
        Ok(!self.judge(&now)? && now.is_ours() && now.present(Side::Receiver) == 1)
    }

    /// Leaves without saying that this is the end.
    pub(super) fn detach(&mut self) {
        self.is_left = true;
        self.census.count_out(self.side, self.alone);
    }

    fn close(&self, gate: &Gate<'_>) -> Result<(), OpenError> {
        let now = self.census.look_inside()?;
        if !now.is_about(self.queue.id) {
            if now.is_deserted() {
                gate.remove();
            }
            return Ok(());
        }
        if now.present(self.side) > 0 {
            return Ok(());
        }
        gate.has_closed(self.side)?;
        // Of a removed queue nothing is left.
        let is_empty = self.queue.state().map_or(true, |state| state.messages == 0);
        if now.is_ours() && is_empty && (now.is_deserted() || self.side == Side::Sender) {
            gate.has_ended(self.queue.id)?;
            let _ = self.queue.remove();
        }
        if now.is_deserted() && (is_empty || !now.is_ours()) {
            gate.remove();
        }
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.is_left || std::process::id() != self.pid {
            return;
        }
        // Whoever is stopped inside holds up nobody who leaves: then it looks like a death.
        let gate = self.census.enter();
        self.census.count_out(self.side, self.alone);
        if let Ok(Some(gate)) = gate {
            let _ = self.close(&gate);
        }
    }
}

/// Behind the gate. `None`: somebody without the gate was faster, or a leftover was removed here. Otherwise the queue, its capacity, and whether
/// somebody was on the other side.
fn join(
    gate: &Gate<'_>,
    census: &Census,
    key: Key,
    side: Side,
    wanted: &Wanted,
) -> Result<Option<(Queue, u64, bool)>, OpenError> {
    let (queue, is_new) = match Queue::find(key)? {
        Some(_) if wanted.existence == Existence::MustNotExist => return Err(OpenError::Exists { path: key.path() }),
        Some(queue) => (queue, false),
        None if wanted.existence == Existence::MustExist => return Err(OpenError::NotFound { path: key.path() }),
        None => match Queue::create(key, wanted.mode)? {
            Some(queue) => (queue, true),
            None => return Ok(None),
        },
    };
    let joined = enter(gate, census, (queue, is_new), key, side, wanted);
    if is_new && joined.is_err() {
        let _ = queue.remove();
    }
    joined
}

fn enter(
    gate: &Gate<'_>,
    census: &Census,
    (queue, is_new): (Queue, bool),
    key: Key,
    side: Side,
    wanted: &Wanted,
) -> Result<Option<(Queue, u64, bool)>, OpenError> {
    let looked = |source: std::io::Error| match source.raw_os_error() {
        Some(libc::EACCES) => {
            OpenError::Permission { path: key.path(), reason: "its rights do not let this user look at it".to_owned() }
        }
        _ => OpenError::Os { step: "looking at the queue (msgctl IPC_STAT)", source },
    };
    let state = queue.state().map_err(looked)?;
    if state.owner != rustix::process::geteuid().as_raw() {
        let reason = format!("it belongs to user {}", state.owner);
        return Err(OpenError::Permission { path: key.path(), reason });
    }
    if let Some(bytes) = wanted.bytes.filter(|bytes| *bytes as u64 > longest()) {
        return Err(too_long(bytes));
    }
    let mut capacity = state.capacity;
    if let Some(bytes) = wanted.capacity.filter(|bytes| is_new && *bytes != capacity) {
        queue.set_capacity(bytes)?;
        capacity = bytes;
    }
    let before = census.look_inside()?;
    if !before.is_about(queue.id) {
        gate.begin(queue.id, is_new)?;
    }
    let asked = wanted.capacity.unwrap_or(0).max(wanted.bytes.unwrap_or(0) as u64);
    if asked > capacity {
        if is_new {
            let needed = format!("a message of the queue was to have up to {asked} bytes");
            return Err(OpenError::Limit { needed, limit: "its own capacity", allows: Some(capacity) });
        }
        if before.is_about(queue.id) && before.is_ours() && before.is_deserted() && state.messages == 0 {
            let _ = queue.remove();
            return Ok(None);
        }
        let (expected, found) = (format!("a queue of {asked} bytes"), format!("one of {capacity} bytes"));
        return Err(OpenError::LayoutMismatch { expected, found });
    }
    // A stream that is over is followed by a new one. To the first sender of one whose receivers have all gone, they are as those that never came:
    // it waits for others, who find the messages that there are.
    if before.is_deserted() {
        if state.messages == 0 {
            gate.forget(Side::Sender)?;
        }
        if state.messages == 0 || side == Side::Sender {
            gate.forget(Side::Receiver)?;
        }
    }
    if !gate.count_in(side, wanted.alone)? {
        return Err(OpenError::RoleTaken { role: side.name(), pid: 0, lanes: 1 });
    }
    gate.has_come(side)?;
    let has_seen = census.look_inside()?.has_come(side.other());
    Ok(Some((queue, capacity, has_seen)))
}
