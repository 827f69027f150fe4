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
//! `fcntl` is given a descriptor that is open as long as the value that holds it, and a pointer to a local `flock`.

#![allow(unsafe_code, reason = "fcntl with F_OFD_* commands, which rustix does not offer")]

use super::segment::Segment;
use crate::error::OpenError;
use crate::layout::Lane;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
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
        release_byte(&self.file, self.byte(lane));
    }

    /// Whether another open file description holds the lock. If the kernel cannot say, it is held.
    pub(crate) fn is_held(&self, lane: usize) -> bool {
        is_byte_held(&self.file, self.byte(lane))
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
        release_byte(self.0, GATE);
    }
}

/// How an open file holds one of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Together with any others that share it. The file must be open for reading.
    Shared,
    /// Alone. The file must be open for writing.
    Alone,
}

/// Takes a byte of an object of the kernel's that is no ring, such as a FIFO or a message queue, for this open file: in place of the lane locks
/// of a ring, and with all that is said of them above. `false`: another open file has it, and does not share it so.
///
/// # Errors
/// Those of `fcntl`: the object has no locks, or is not open for what [`Hold`] asks.
pub fn hold_byte(file: impl AsFd, byte: u64, hold: Hold) -> io::Result<bool> {
    let kind = match hold {
        Hold::Shared => libc::F_RDLCK,
        Hold::Alone => libc::F_WRLCK,
    };
    match control(file, libc::F_OFD_SETLK, kind, byte) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lets a byte go that [`hold_byte`] took.
pub fn release_byte(file: impl AsFd, byte: u64) {
    // Cannot fail on an open descriptor; if it did, closing the descriptor drops the lock.
    let _ = control(file, libc::F_OFD_SETLK, libc::F_UNLCK, byte);
}

/// Whether another open file holds the byte, shared or alone. If the kernel cannot say, it does.
pub fn is_byte_held(file: impl AsFd, byte: u64) -> bool {
    control(file, libc::F_OFD_GETLK, libc::F_WRLCK, byte).map_or(true, |lock| i32::from(lock.l_type) != libc::F_UNLCK)
}

fn try_lock(file: &OwnedFd, byte: u64) -> Result<bool, OpenError> {
    hold_byte(file, byte, Hold::Alone)
        .map_err(|source| OpenError::Os { step: "locking the ring's file (F_OFD_SETLK)", source })
}

fn control(file: impl AsFd, command: libc::c_int, kind: libc::c_int, byte: u64) -> io::Result<libc::flock> {
    let file: BorrowedFd<'_> = file.as_fd();
    let mut lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte as libc::off_t,
        l_len: 1,
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
