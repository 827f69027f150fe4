//! Liveness: a lock that the kernel drops when its holder is gone.
//!
//! An open-file-description lock (`F_OFD_SETLK`) belongs to an open file, not to a process: it goes when the last
//! descriptor of that open file is closed, which the kernel does for a killed process after its memory is gone. So no store of
//! the holder can come after the lock is seen free. It works across PID namespaces, a stopped process keeps it, an unrelated
//! `close` of the same file does not drop it (as it would a POSIX lock), and no number can be reused.
//!
//! Each handle opens its own file description. A forked child shares its parent's, so a parent that dies while its child lives
//! still reads as alive: the safe side.
//!
//! # Safety
//! `fcntl` is given a descriptor that is borrowed for the call, and a pointer to a local `flock`.

#![allow(unsafe_code, reason = "fcntl with F_OFD_* commands, which rustix does not offer")]

use super::segment::Segment;
use crate::error::OpenError;
use crate::layout::Lane;
use core::ops::Range;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

/// The byte that is locked while a participant joins, or the segment is retired.
const GATE: u64 = 0;

/// The lane locks of a segment file, seen from one open file description.
#[derive(Debug)]
pub struct FileLocks {
    file: Arc<OwnedFd>,
    lanes_at: u64,
}

impl FileLocks {
    pub(crate) fn new(segment: &Segment, lanes_at: u64) -> Self {
        Self { file: segment.file(), lanes_at }
    }

    fn byte(&self, lane: usize) -> u64 {
        self.lanes_at + (lane * size_of::<Lane>()) as u64
    }

    pub(crate) fn try_lock(&self, lane: usize) -> Result<bool, OpenError> {
        try_lock(&self.file, self.byte(lane))
    }

    pub(crate) fn unlock(&self, lane: usize) {
        // Cannot fail on an open descriptor; if it did, closing the descriptor drops the lock.
        let _ = unlock(&self.file, one(self.byte(lane)));
    }

    /// Whether another open file description holds the lock. If the kernel cannot say, it is held.
    pub(crate) fn is_held(&self, lane: usize) -> bool {
        holder(&self.file, one(self.byte(lane))).map_or(true, |held| held.is_some())
    }
}

/// Held while a participant joins, or the segment is retired; let go when dropped.
#[derive(Debug)]
pub(crate) struct Gate<'a>(&'a OwnedFd);

impl<'a> Gate<'a> {
    /// Takes the gate if nobody has it.
    pub(crate) fn try_enter(file: &'a OwnedFd) -> Result<Option<Self>, OpenError> {
        Ok(try_lock(file, GATE)?.then_some(Self(file)))
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        let _ = unlock(self.0, one(GATE));
    }
}

fn one(byte: u64) -> Range<u64> {
    byte..byte + 1
}

fn try_lock(file: &OwnedFd, byte: u64) -> Result<bool, OpenError> {
    lock(file, Hold::Alone, one(byte))
        .map_err(|source| OpenError::Os { step: "locking the ring's file (F_OFD_SETLK)", source })
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
