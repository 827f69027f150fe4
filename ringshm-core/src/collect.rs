//! Garbage: rings that nobody will come back for, and what killed creators leave behind.
//!
//! The last participant to leave removes a ring that is over. A ring stays behind if that last one was killed, or if somebody may
//! still want what is in it. Only the former is garbage, and what it is, the kernel's locks say: a live participant, be it
//! stopped, keeps its ring; a message that nobody has received does, too.

use crate::attach::{enter_patiently, object_of, retire, validated};
use crate::error::OpenError;
use crate::inspect;
use crate::lanes::{Peer, Role};
use crate::member::HugePages;
use crate::memory::Memory;
use crate::os::leftover::{self, Leftover};
use crate::os::segment::Segment;
use crate::os::{Directory, Name, Place};
use ringshm_sync::atomic::Ordering::Relaxed;
use std::path::PathBuf;

/// What a ring, or what looks like the beginning of one, is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Garbage: it was given up, by a process that was killed before the name was gone.
    Retired,
    /// Garbage: everybody has left or died, every producer is finished, and everything was received.
    Over,
    /// Garbage: a ring that was never finished, or its second name; no process has it open.
    NeverFinished,
    /// Nobody takes part, but messages wait for a later consumer.
    Undelivered {
        /// How many, as far as that is known.
        messages: Option<u64>,
    },
    /// Nobody takes part, but no consumer has ever come: one may, be it to learn that the stream is empty.
    NeverReceived,
    /// Nobody takes part, but a producer, or the participant of what is no ring, has left its role to a successor, or none has ever come.
    Unfinished,
    /// Somebody is there.
    InUse {
        /// Its process number, as it knows itself, if that is known.
        pid: Option<u32>,
    },
    /// Nobody can tell whether a process still works on it: the file system has no leases.
    Unknown,
}

impl Verdict {
    /// Whether nobody can want it any more.
    #[must_use]
    pub const fn is_garbage(self) -> bool {
        matches!(self, Self::Retired | Self::Over | Self::NeverFinished)
    }

    /// Whether nobody takes part in it, so that no running program can miss it.
    #[must_use]
    pub const fn is_deserted(self) -> bool {
        !matches!(self, Self::InUse { .. } | Self::Unknown)
    }
}

/// What to remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sweep {
    /// Nothing: only look.
    #[default]
    Nothing,
    /// Garbage.
    Garbage,
    /// Everything in which nobody takes part, with the messages in it.
    Deserted,
}

impl Sweep {
    const fn takes(self, verdict: Verdict) -> bool {
        match self {
            Self::Nothing => false,
            Self::Garbage => verdict.is_garbage(),
            Self::Deserted => verdict.is_deserted(),
        }
    }
}

/// Judges the ring `name`, and removes it if it is what `sweep` takes. Nobody can join between the one and the other.
///
/// # Errors
/// `Busy` if a process was stopped while it joined or left; and those of opening, for an object that is no ring of this version.
pub fn collect(directory: &Directory, name: &Name, sweep: Sweep) -> Result<Verdict, OpenError> {
    collect_at(&Place::named(directory, name), sweep)
}

/// As [`collect`], wherever the ring is.
///
/// # Errors
/// As for [`collect`].
pub fn collect_at(place: &Place, sweep: Sweep) -> Result<Verdict, OpenError> {
    let segment = match Segment::open(place, HugePages::Never) {
        Err(OpenError::NotFound { .. }) if Segment::take_half_made(place, sweep.takes(Verdict::NeverFinished))? => {
            return Ok(Verdict::NeverFinished);
        }
        result => result?,
    };
    let path = segment.path();
    let (memory, _) = validated(segment)?;
    let _gate = enter_patiently(object_of(&memory)?)?.ok_or(OpenError::Busy { path })?;
    let verdict = judge(&memory);
    if sweep.takes(verdict) {
        retire(&memory)?;
    }
    Ok(verdict)
}

/// The caller holds the gate.
fn judge(memory: &Memory) -> Verdict {
    // Relaxed: written and read behind the gate only.
    if memory.control().retired.load(Relaxed) != 0 {
        return Verdict::Retired;
    }
    for lane in 0..memory.geometry().lanes() {
        if let Peer::Live { pid } = memory.peer_state(lane) {
            return Verdict::InUse { pid: Some(pid) };
        }
    }
    if memory.is_over(true) {
        return Verdict::Over;
    }
    if memory.geometry().kind.is_primitive() {
        return Verdict::Unfinished;
    }
    let has = |role, is_so: fn(Peer) -> bool| memory.lanes_of(role).any(|lane| is_so(memory.peer_state(lane)));
    if !has(Role::Consumer, |state| state != Peer::Vacant) {
        return match inspect::undelivered(memory) {
            Some(0) => Verdict::NeverReceived,
            messages => Verdict::Undelivered { messages },
        };
    }
    match inspect::undelivered(memory) {
        Some(0) if has(Role::Producer, |state| state == Peer::Detached) => Verdict::Unfinished,
        Some(0) if !has(Role::Producer, |state| state != Peer::Vacant) => Verdict::Unfinished,
        messages => Verdict::Undelivered { messages },
    }
}

/// The temporary names of rings that are being made, or were when their creator was killed: only where the file system cannot make
/// files without a name.
///
/// # Errors
/// [`OpenError::Os`] if the folder cannot be read.
pub fn leftovers(directory: &Directory) -> Result<Vec<PathBuf>, OpenError> {
    leftover::names(directory)
}

/// Judges what lies at one of these names, and removes it if it is what `sweep` takes.
///
/// # Errors
/// `NotFound`, `Permission`, `Os`; `Corrupt` if it is no file.
pub fn collect_leftover(path: &std::path::Path, sweep: Sweep) -> Result<Verdict, OpenError> {
    let leftover = Leftover::open(path)?;
    let verdict = match leftover.is_deserted()? {
        Some(true) => Verdict::NeverFinished,
        Some(false) => Verdict::InUse { pid: None },
        None => Verdict::Unknown,
    };
    if sweep.takes(verdict) {
        leftover.unlink()?;
    }
    Ok(verdict)
}
