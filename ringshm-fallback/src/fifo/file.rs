//! The FIFO as a file: made if missing, who takes part, and removed by the last one.
//!
//! Who takes part is told by open-file-description locks on bytes of the FIFO, which the kernel drops when a process dies. A FIFO has no bytes: the
//! numbers are free to say who holds what.
//!
//! | bytes | held by |
//! |---|---|
//! | `GATE` | shared: who is joining; alone: who looks whether it is the last one, and removes the file |
//! | `SENDERS`, and as many bytes behind them as its process number | the only sender |
//! | one of `SENDERS`, as many bytes from the start as its process number, and some steps | one of many senders |
//! | one of `NUMBERS`, by chance | the only sender, too: it stands before its first frame |
//! | one of `RECEIVERS`, as many bytes from the start as its process number | the receiver |
//!
//! A receiver has the file open for reading alone, as long as it wants to be told that the last writer left, and such a file can only be locked shared. So
//! that there is one receiver is ensured by `flock`, which does not mind; that lock cannot be asked about, and the other can.

use crate::pipe::failed;
use core::ops::Range;
use core::time::Duration;
use ringshm_core::Deadline;
use ringshm_core::error::OpenError;
use ringshm_core::os::liveness::{Hold, holder, lock, unlock};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, mknodat, open, statat, unlinkat,
};
use rustix::io::Errno;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const GATE: Range<u64> = 0..1;
const SENDERS: Range<u64> = 1 << 32..2 << 32;
const RECEIVERS: Range<u64> = 4 << 32..5 << 32;
const NUMBERS: Range<u64> = 6 << 32..7 << 32;
/// More than any process number.
const STEP: u64 = 1 << 23;

/// The mark of a FIFO that ringshm made: the sticky bit, which means nothing else there.
const MADE_BY_RINGSHM: u32 = 0o1000;
/// How long somebody else may take to join or leave, which takes microseconds, before it is taken for stopped.
const GATE_PATIENCE: Duration = Duration::from_secs(2);

/// A role in a FIFO, taken or to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    OnlySender,
    OneOfManySenders,
    Receiver,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            _ => "sender",
        }
    }

    /// Takes the role for an open file description. `false`: somebody else has it.
    fn take(self, fd: &OwnedFd) -> io::Result<bool> {
        let pid = u64::from(std::process::id());
        match self {
            Self::OnlySender => lock(fd, Hold::Alone, SENDERS.start..SENDERS.end + pid),
            Self::OneOfManySenders => {
                // Another handle of this process may have the first.
                for byte in (SENDERS.start + pid..SENDERS.end).step_by(STEP as usize) {
                    if lock(fd, Hold::Alone, byte..byte + 1)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Receiver => match flock(fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => lock(fd, Hold::Shared, RECEIVERS.start + pid..RECEIVERS.start + pid + 1),
                Err(Errno::WOULDBLOCK) => Ok(false),
                Err(errno) => Err(errno.into()),
            },
        }
    }

    /// The process that has it, as it knows itself; 0 if nobody has it any more.
    fn pid_of_holder(self, fd: &OwnedFd) -> u32 {
        let all = if self == Self::Receiver { RECEIVERS } else { SENDERS };
        let Ok(Some(held)) = holder(fd, all.clone()) else { return 0 };
        let pid = match held.end.checked_sub(all.end) {
            Some(pid) if held.start == all.start => pid,
            _ => (held.start - all.start) % STEP,
        };
        pid as u32
    }
}

/// Whether there is a receiver. If the kernel cannot say, there is.
pub(super) fn has_receiver(fd: &OwnedFd) -> bool {
    holder(fd, RECEIVERS).map_or(true, |held| held.is_some())
}

/// Gives the only sender a number that none before it had.
pub(super) fn number(fd: &OwnedFd) -> Result<u32, OpenError> {
    let number = RandomState::new().hash_one(std::process::id()) as u32;
    let byte = NUMBERS.start + u64::from(number);
    lock(fd, Hold::Alone, byte..byte + 1).map_err(locking)?;
    Ok(number)
}

/// The number of the only sender, if there is one.
pub(super) fn number_of_sender(fd: &OwnedFd) -> io::Result<Option<u32>> {
    Ok(holder(fd, NUMBERS)?.map(|held| (held.start - NUMBERS.start) as u32))
}

fn locking(source: io::Error) -> OpenError {
    OpenError::Os { step: "locking a FIFO (F_OFD_SETLK, flock)", source }
}

/// What is asked of the file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// The rights of the file, if it is made.
    pub(super) mode: u32,
    /// Whether the file is to be left there.
    pub(super) keep: bool,
}

impl File {
    fn permission(&self, reason: String) -> OpenError {
        OpenError::Permission { path: self.path.clone(), reason }
    }

    fn refused(&self, errno: Errno) -> OpenError {
        match errno {
            Errno::ACCESS | Errno::PERM | Errno::ROFS => self.permission(io::Error::from(errno).to_string()),
            Errno::LOOP => self.permission("it is a symbolic link, which somebody else may have put there".to_owned()),
            Errno::NOENT | Errno::NOTDIR => OpenError::NotFound { path: self.path.clone() },
            errno => failed("opening a FIFO")(errno),
        }
    }

    /// Whether what stands at the path is a FIFO of this user. `false`: nothing is there.
    fn check(&self) -> Result<bool, OpenError> {
        let stat = match statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            result => result.map_err(|errno| self.refused(errno))?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo => {}
            FileType::Symlink => return Err(self.refused(Errno::LOOP)),
            _ => {
                return Err(OpenError::InvalidName {
                    name: self.path.display().to_string(),
                    reason: "something else than a FIFO is there: remove it, or choose another path".to_owned(),
                });
            }
        }
        let me = rustix::process::geteuid().as_raw();
        if stat.st_uid != me {
            return Err(self.permission(format!("it belongs to user {} and you are user {me}", stat.st_uid)));
        }
        Ok(true)
    }

    /// Opens the FIFO so that no call on it sleeps, and makes it if nothing is there.
    fn open(&self, access: OFlags) -> Result<OwnedFd, OpenError> {
        loop {
            let mode = Mode::from_raw_mode(self.mode | MADE_BY_RINGSHM);
            // What is no FIFO is not opened: that alone can have effects.
            let is_made_here = !self.check()?
                && match mknodat(CWD, &self.path, FileType::Fifo, mode, 0) {
                    Ok(()) => true,
                    Err(Errno::EXIST) => continue,
                    Err(errno) => return Err(self.refused(errno)),
                };
            let flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = match open(&self.path, flags, Mode::empty()) {
                Ok(fd) => fd,
                // The last one left meanwhile.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(self.refused(errno)),
            };
            let stat = self.stat(&fd)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
                continue;
            }
            if is_made_here {
                // The process's mask may have taken something away.
                fchmod(&fd, mode).map_err(|errno| self.refused(errno))?;
            }
            return Ok(fd);
        }
    }

    fn stat(&self, fd: &OwnedFd) -> Result<Stat, OpenError> {
        fstat(fd).map_err(|errno| self.refused(errno))
    }

    /// Opens the FIFO and takes a role in it.
    pub(super) fn join(&self, role: Role, access: OFlags) -> Result<OwnedFd, OpenError> {
        let deadline = Deadline::after(GATE_PATIENCE);
        while !deadline.is_over() {
            // A FIFO is opened for writing alone only while somebody has it open for reading; and only who reads can be at the gate.
            let both = if access == OFlags::WRONLY { Some(self.open(OFlags::RDWR)?) } else { None };
            let fd = self.open(access)?;
            let gate = both.as_ref().unwrap_or(&fd);
            if self.stat(gate)?.st_ino != self.stat(&fd)?.st_ino {
                continue;
            }
            if !lock(gate, Hold::Shared, GATE).map_err(locking)? {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            if self.stat(&fd)?.st_nlink == 0 {
                continue;
            }
            if !role.take(&fd).map_err(locking)? {
                return Err(OpenError::RoleTaken { role: role.name(), pid: role.pid_of_holder(&fd), lanes: 1 });
            }
            unlock(gate, GATE).map_err(locking)?;
            return Ok(fd);
        }
        Err(OpenError::Busy { path: self.path.clone() })
    }

    /// Gives up the role, and removes the file if ringshm made it, nobody else is there and `is_empty` says that nothing is left in it. What goes wrong
    /// leaves the file there: then it is used again.
    pub(super) fn leave(&self, fd: &OwnedFd, is_empty: bool) {
        let _ = unlock(fd, SENDERS.start..NUMBERS.end);
        let _ = flock(fd, FlockOperation::NonBlockingUnlock);
        if !self.keep && is_empty {
            let _ = self.remove(fd);
        }
    }

    fn remove(&self, fd: &OwnedFd) -> Result<(), OpenError> {
        let ours = self.stat(fd)?;
        if ours.st_mode & MADE_BY_RINGSHM == 0 {
            return Ok(());
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let gate = open(&self.path, flags, Mode::empty()).map_err(|errno| self.refused(errno))?;
        let deadline = Deadline::after(GATE_PATIENCE);
        while !lock(&gate, Hold::Alone, GATE).map_err(locking)? {
            // Who joins, or leaves at the same time, is through in microseconds.
            if deadline.is_over() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // Only now: somebody else may have removed it and another one made a new file, at whose gate this is not.
        let there = statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| self.refused(errno))?;
        let is_at = |stat: &Stat| (stat.st_dev, stat.st_ino) == (ours.st_dev, ours.st_ino);
        let nobody = |bytes| holder(fd, bytes).is_ok_and(|held| held.is_none());
        if is_at(&there) && is_at(&self.stat(&gate)?) && nobody(SENDERS) && nobody(RECEIVERS) {
            unlinkat(CWD, &self.path, AtFlags::empty()).map_err(|errno| self.refused(errno))?;
        }
        Ok(())
    }
}

/// The same object once more, with another open file description.
pub(super) fn reopened(fd: &OwnedFd, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd));
    open(Path::new(&path), flags | OFlags::CLOEXEC, Mode::empty())
}
