//! What a creator that was killed leaves behind, where there is no `O_TMPFILE`: a file with a temporary name.
//!
//! Whether its creator still works on it, the kernel says: a write lease (`F_SETLEASE`) is granted only for a file that nobody else has
//! open or mapped. No time-out, no process number.
//!
//! # Safety
//! `fcntl` is given a descriptor that is open as long as the value that holds it, and an integer.

#![allow(unsafe_code, reason = "fcntl with F_SETLEASE, which rustix does not offer")]

use super::directory::{Directory, PREFIX};
use super::file::{check_owner, os, refused};
use crate::error::OpenError;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, open, statat, unlinkat};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The temporary names in a folder, in order.
pub(crate) fn names(directory: &Directory) -> Result<Vec<PathBuf>, OpenError> {
    let failed = |source| OpenError::Os { step: "reading the shared-memory folder", source };
    let beginning = format!(".{PREFIX}new-");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory.path()).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&beginning)) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// A file with a temporary name.
#[derive(Debug)]
pub(crate) struct Leftover {
    file: OwnedFd,
    path: PathBuf,
}

impl Leftover {
    /// Opens it for reading, which is no claim to it. It must be a file of this user.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = open(path, flags, Mode::empty()).map_err(|errno| refused(errno, path))?;
        let stat = fstat(&file).map_err(os("asking what the left-over file is (fstat)"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(OpenError::Corrupt { field: "file type" });
        }
        check_owner(&stat, path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Whether no other process has it open. `None` if the file system cannot tell. If so, nobody opens it as long as this value
    /// lives without being held up.
    pub(crate) fn is_deserted(&self) -> Result<Option<bool>, OpenError> {
        // SAFETY: an open descriptor, and no pointer.
        let result = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
        if result != -1 {
            return Ok(Some(true));
        }
        let source = io::Error::last_os_error();
        match source.raw_os_error() {
            Some(libc::EAGAIN | libc::EBUSY) => Ok(Some(false)),
            Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => Ok(None),
            _ => Err(OpenError::Os { step: "asking whether anybody has the left-over file open (F_SETLEASE)", source }),
        }
    }

    /// Removes the name, if it still stands for this very file.
    pub(crate) fn unlink(&self) -> Result<(), OpenError> {
        let own = fstat(&self.file).map(|stat| (stat.st_dev, stat.st_ino));
        match statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW).map(|stat| (stat.st_dev, stat.st_ino)) {
            Ok(there) if own == Ok(there) => {
                unlinkat(CWD, &self.path, AtFlags::empty()).map_err(os("removing the left-over file's name (unlink)"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_nobody_has_open_is_deserted() {
        let folder = Directory::new(&PathBuf::from(format!("/dev/shm/ringshm-leftover-{}", std::process::id())));
        std::fs::create_dir(folder.path()).expect("a new folder");
        let path = folder.path().join(format!(".{PREFIX}new-1-2"));
        let creator = std::fs::File::create(&path).expect("a new file");
        creator.set_len(4096).expect("room");
        let verdict = || Leftover::open(&path).and_then(|leftover| leftover.is_deserted()).expect("a tmpfs has leases");
        assert_eq!(verdict(), Some(false));
        let mapping = memmap2::MmapRaw::map_raw(&creator);
        drop(creator);
        // The mapping alone keeps it.
        assert!(mapping.is_err() || verdict() == Some(false));
        drop(mapping);
        assert_eq!(verdict(), Some(true));
        assert_eq!(names(&folder).expect("a folder"), [path.as_path()]);
        Leftover::open(&path).and_then(|leftover| leftover.unlink()).expect("it is there");
        assert!(Leftover::open(&path).is_err());
        std::fs::remove_dir(folder.path()).expect("nothing is left in it");
    }
}
