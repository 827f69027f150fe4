//! Liveness: a lock that the kernel drops when its holder is gone.
//!
//! Of a file, an open-file-description lock (`F_OFD_SETLK`). It belongs to an open file, not to a process: it goes when the last
//! descriptor of that open file is closed, which the kernel does for a killed process after its memory is gone. So no store of
//! the holder can come after the lock is seen free. It works across PID namespaces, a stopped process keeps it, an unrelated
//! `close` of the same file does not drop it (as it would a POSIX lock), and no number can be reused.
//!
//! Each handle opens its own file description. A forked child shares its parent's, so a parent that dies while its child lives
//! still reads as alive: the safe side.
//!
//! Of a System V segment, which has no descriptor, a semaphore with an undo, in a set of its own: see
//! [`LockSet`](ringshm_sync::semaphore::sysv::LockSet), which says why no later store can come there either.
//!
//! # Safety
//! `fcntl` is given a descriptor that is borrowed for the call, and a pointer to a local `flock`.

#![allow(unsafe_code, reason = "fcntl with F_OFD_* commands, which rustix does not offer")]

use super::object::Object;
use crate::error::OpenError;
use crate::layout::{LANES_AT, Lane};
use core::ops::Range;
use ringshm_sync::time::Deadline;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// The locks of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Held while a participant joins, or the segment is made or retired.
    Gate,
    /// Held by the owner of a lane as long as it lives.
    Lane(usize),
}

impl Lock {
    /// The byte of a file that stands for it.
    fn byte(self) -> Range<u64> {
        let byte = match self {
            Self::Gate => 0,
            Self::Lane(lane) => (LANES_AT + lane * size_of::<Lane>()) as u64,
        };
        byte..byte + 1
    }
}

impl Object {
    /// Takes a lock. `false` if somebody alive has it.
    pub(crate) fn try_lock(&self, lock: Lock) -> Result<bool, OpenError> {
        match self {
            Self::File(file) => self::lock(file, Hold::Alone, lock.byte())
                .map_err(|source| OpenError::Os { step: "locking the ring's file (F_OFD_SETLK)", source }),
            Self::SystemV(pair) => pair.try_lock(lock),
        }
    }

    pub(crate) fn unlock(&self, lock: Lock) {
        match self {
            // Cannot fail on an open descriptor; if it did, closing the descriptor drops the lock.
            Self::File(file) => _ = unlock(file, lock.byte()),
            Self::SystemV(pair) => pair.unlock(lock),
        }
    }

    /// Whether somebody else holds the lock: of a file another open file description, of a segment anybody. If the kernel cannot say, it is held.
    pub(crate) fn is_held(&self, lock: Lock) -> bool {
        match self {
            Self::File(file) => holder(file, lock.byte()).map_or(true, |held| held.is_some()),
            Self::SystemV(pair) => pair.is_held(lock),
        }
    }

    /// Whether the kernel can still say who is alive. It cannot once somebody has removed the semaphores of a segment.
    pub(crate) fn has_locks(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::SystemV(pair) => pair.has_locks(),
        }
    }
}

/// Held while a participant joins, or the segment is made or retired; let go when dropped.
#[derive(Debug)]
pub(crate) struct Gate(Object);

impl Gate {
    /// Takes the gate if nobody has it.
    pub(crate) fn try_enter(object: &Object) -> Result<Option<Self>, OpenError> {
        Ok(object.try_lock(Lock::Gate)?.then(|| Self(object.clone())))
    }

    /// Waits for the gate. `None` if somebody holds it for longer than a running process can.
    pub(crate) fn enter(object: &Object, deadline: Deadline) -> Result<Option<Self>, OpenError> {
        loop {
            if let Some(gate) = Self::try_enter(object)? {
                return Ok(Some(gate));
            }
            if deadline.is_over() {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// The same lock, seen from the same object once more is known of it.
    pub(super) fn stands_before(&mut self, object: Object) {
        self.0 = object;
    }

    /// Whose gate it is.
    pub(super) fn object(&self) -> &Object {
        &self.0
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.unlock(Lock::Gate);
    }
}

/// Whether others may hold the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Others who share it, too. Needs a file that is open for reading.
    Shared,
    /// Nobody else. Needs a file that is open for writing.
    Alone,
}

/// Locks bytes of a file for its open file description, until that is closed for the last time; they need not be there. `false`: another
/// description has some of them, and nothing has changed.
///
/// # Errors
/// Those of `fcntl` (`F_OFD_SETLK`).
pub fn lock(file: impl AsFd, hold: Hold, bytes: Range<u64>) -> io::Result<bool> {
    let kind = match hold {
        Hold::Shared => libc::F_RDLCK,
        Hold::Alone => libc::F_WRLCK,
    };
    match control(file, libc::F_OFD_SETLK, kind, bytes) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lets locked bytes go.
///
/// # Errors
/// Those of `fcntl` (`F_OFD_SETLK`). Closing the file lets everything go.
pub fn unlock(file: impl AsFd, bytes: Range<u64>) -> io::Result<()> {
    control(file, libc::F_OFD_SETLK, libc::F_UNLCK, bytes).map(drop)
}

/// The bytes of a lock that another open file description holds on some of `bytes`; none if they are free. Any description of the file can ask.
///
/// # Errors
/// Those of `fcntl` (`F_OFD_GETLK`).
pub fn holder(file: impl AsFd, bytes: Range<u64>) -> io::Result<Option<Range<u64>>> {
    let lock = control(file, libc::F_OFD_GETLK, libc::F_WRLCK, bytes)?;
    let (start, len) = (lock.l_start as u64, lock.l_len as u64);
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(start..start.saturating_add(len)))
}

fn control(file: impl AsFd, command: libc::c_int, kind: libc::c_int, bytes: Range<u64>) -> io::Result<libc::flock> {
    let file = file.as_fd();
    let mut lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: bytes.start as libc::off_t,
        l_len: (bytes.end - bytes.start) as libc::off_t,
        l_pid: 0,
    };
    loop {
        // SAFETY: an open descriptor, and a `flock` that lives through the call.
        if unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } != -1 {
            return Ok(lock);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
