//! POSIX semaphores with a name: what `sem_open` opens in C.
//!
//! The name `/jobs` stands for the file `/dev/shm/sem.jobs`, which holds one [`Semaphore`] and nothing else. As a ring, it is made whole
//! or not at all: without a name (`O_TMPFILE`), and linked to it when it is finished. Whoever is killed on the way leaves nothing.
//! `sem_open` maps what it finds without a look at its size; here a file that holds no semaphore is an error, not a
//! `SIGBUS`. What remains is that its owner can truncate it later, which nobody does by mistake.
//!
//! # Safety
//! The mapping is as large as a semaphore, which it was checked to hold, and lives as long as the value.

#![allow(unsafe_code, reason = "the semaphore in the mapping")]

use super::{AttachError, InitError, Semaphore};
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;
use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, linkat, open, unlink};
use rustix::io::{Errno, pwrite};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Where the C library keeps its named semaphores.
const FOLDER: &str = "/dev/shm";
const PREFIX: &str = "sem.";
/// The longest file name.
const NAME_MAX: usize = 255;

/// A [`Semaphore`] that processes find by its name. Dropping it closes it; the semaphore stays until it is [`remove`](Self::remove)d.
///
/// The name has up to 251 bytes, none of them `/` but the first, which may be one: `/jobs` and `jobs` are the same.
///
/// ```
/// use ringshm_sync::semaphore::named::NamedSemaphore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("/ringshm-doc-{}", std::process::id());
/// let free = NamedSemaphore::create(&name, 0o600, 2)?; // sem_open(name, O_CREAT | O_EXCL, 0600, 2)
/// let same = NamedSemaphore::open(&name)?; // sem_open(name, 0), here or in another process
/// free.wait();
/// assert_eq!(same.value(), 1);
/// NamedSemaphore::remove(&name)?; // sem_unlink(name)
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct NamedSemaphore {
    mapping: MmapRaw,
    name: String,
}

impl NamedSemaphore {
    /// Makes a semaphore that counts `count`, with the rights `mode` (such as `0o600`) less those of the umask: who may write may
    /// use it.
    ///
    /// # Errors
    /// [`OpenError::Exists`] if the name is taken, and any other but `NotFound` and `NotASemaphore`.
    pub fn create(name: &str, mode: u32, count: u32) -> Result<Self, OpenError> {
        let path = path_of(name)?;
        let made = Semaphore::new(count).map_err(|source| OpenError::Init { name: name.to_owned(), source })?;
        let refused = |step| move |errno| OpenError::from_errno(errno, name, step);

        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
        let file = open(FOLDER, flags, Mode::from_raw_mode(mode & 0o777))
            .map_err(refused("making its file (open with O_TMPFILE in /dev/shm)"))?;
        // Written, not only truncated: the file has its memory before it has its name.
        let zeros = [0; Semaphore::footprint().size()];
        let written = pwrite(&file, &zeros, 0).map_err(refused("giving it memory (pwrite)"))?;
        if written < zeros.len() {
            return Err(OpenError::from_errno(Errno::NOSPC, name, "giving it memory (pwrite)"));
        }
        let mapping = map(&file, name)?;
        // SAFETY: mapped just now, and nobody else knows the file.
        unsafe { place(&mapping).cast().write(made) };
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        linkat(CWD, from, CWD, &path, AtFlags::SYMLINK_FOLLOW)
            .map_err(refused("giving it its name (linkat; needs /proc)"))?;
        Ok(Self { mapping, name: name.to_owned() })
    }

    /// Opens the semaphore of that name.
    ///
    /// # Errors
    /// [`OpenError::NotFound`] if there is none, and any other but `Exists`, `Init` and `NoSpace`.
    pub fn open(name: &str) -> Result<Self, OpenError> {
        // NONBLOCK: a FIFO of that name must not make us wait.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = open(path_of(name)?, flags, Mode::empty())
            .map_err(|errno| OpenError::from_errno(errno, name, "opening its file"))?;
        let not_one = |what| OpenError::NotASemaphore { name: name.to_owned(), what };
        let stat = fstat(&file).map_err(|errno| OpenError::from_errno(errno, name, "looking at its file (fstat)"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_one("no regular file"));
        }
        if usize::try_from(stat.st_size).unwrap_or(0) < Semaphore::footprint().size() {
            return Err(not_one("too short"));
        }
        let mapping = map(&file, name)?;
        // SAFETY: it is that large, and mapped; the borrow ends here.
        match unsafe { Semaphore::attach(place(&mapping)) } {
            Ok(_) => Ok(Self { mapping, name: name.to_owned() }),
            Err(AttachError::NotShared | AttachError::Misaligned) => Err(not_one("filled with something else")),
        }
    }

    /// Opens the semaphore of that name, or makes it as [`create`](Self::create) does if there is none: whoever comes first.
    ///
    /// # Errors
    /// Any [`OpenError`] but `NotFound` and `Exists`.
    pub fn open_or_create(name: &str, mode: u32, count: u32) -> Result<Self, OpenError> {
        loop {
            match Self::open(name) {
                Err(OpenError::NotFound { .. }) => {}
                result => return result,
            }
            match Self::create(name, mode, count) {
                // Somebody was faster, or removed it just now: each is another process's progress.
                Err(OpenError::Exists { .. }) => {}
                result => return result,
            }
        }
    }

    /// Takes the name away. Those who have the semaphore open keep it; who opens the name from now on does not find it.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`], [`OpenError::NotFound`], [`OpenError::Permission`], [`OpenError::Os`].
    pub fn remove(name: &str) -> Result<(), OpenError> {
        unlink(path_of(name)?).map_err(|errno| OpenError::from_errno(errno, name, "removing its file (unlink)"))
    }

    /// The name it was opened by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Deref for NamedSemaphore {
    type Target = Semaphore;

    fn deref(&self) -> &Semaphore {
        // SAFETY: mapped as long as `self`; all fields are atomics, or never looked at.
        unsafe { place(&self.mapping).cast().as_ref() }
    }
}

fn place(mapping: &MmapRaw) -> NonNull<u8> {
    // A mapping begins at a page, and none at zero.
    NonNull::new(mapping.as_mut_ptr()).unwrap_or(NonNull::dangling())
}

fn map(file: &OwnedFd, name: &str) -> Result<MmapRaw, OpenError> {
    MmapOptions::new().len(Semaphore::footprint().size()).map_raw(file).map_err(|source| OpenError::Os {
        name: name.to_owned(),
        step: "mapping its file (mmap)",
        source,
    })
}

fn path_of(name: &str) -> Result<String, OpenError> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let invalid = |reason| Err(OpenError::InvalidName { name: name.to_owned(), reason });
    if bare.is_empty() || bare.len() > NAME_MAX - PREFIX.len() {
        return invalid("it has 1 to 251 bytes behind the first '/'");
    }
    if bare.contains(['/', '\0']) {
        return invalid("'/' stands at its beginning or not at all, and zero bytes nowhere");
    }
    Ok(format!("{FOLDER}/{PREFIX}{bare}"))
}

/// Why a named semaphore could not be made, opened or removed.
#[derive(Debug)]
pub enum OpenError {
    /// There is no semaphore of that name.
    NotFound {
        /// The name.
        name: String,
    },
    /// There is one already.
    Exists {
        /// The name.
        name: String,
    },
    /// Its rights forbid it.
    Permission {
        /// The name.
        name: String,
    },
    /// There is a file, which is none.
    NotASemaphore {
        /// The name.
        name: String,
        /// What the file is instead.
        what: &'static str,
    },
    /// The name is none.
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It cannot begin with that count.
    Init {
        /// The name.
        name: String,
        /// Why not.
        source: InitError,
    },
    /// The shared-memory file system is full.
    NoSpace {
        /// The name.
        name: String,
    },
    /// The kernel refused a step.
    Os {
        /// The name.
        name: String,
        /// The step.
        step: &'static str,
        /// Its error.
        source: io::Error,
    },
}

impl OpenError {
    fn from_errno(errno: Errno, name: &str, step: &'static str) -> Self {
        let name = name.to_owned();
        match errno {
            Errno::NOENT => Self::NotFound { name },
            Errno::EXIST => Self::Exists { name },
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::Permission { name },
            Errno::LOOP => Self::NotASemaphore { name, what: "a symbolic link" },
            Errno::NXIO | Errno::ISDIR => Self::NotASemaphore { name, what: "no regular file" },
            Errno::NOSPC => Self::NoSpace { name },
            errno => Self::Os { name, step, source: errno.into() },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { name } => {
                write!(f, "there is no semaphore {name:?}: start the program that makes it, or make it here")
            }
            Self::Exists { name } => write!(f, "there already is a semaphore {name:?}: open it, or remove it first"),
            Self::Permission { name } => write!(
                f,
                "the semaphore {name:?} may not be used by this user: have it made with rights that include writing, or run as its owner"
            ),
            Self::NotASemaphore { name, what } => write!(
                f,
                "what stands for the semaphore {name:?} in {FOLDER} is {what}: remove it, or choose another name"
            ),
            Self::InvalidName { name, reason } => write!(f, "{name:?} is no name for a semaphore: {reason}"),
            Self::Init { name, source } => write!(f, "the semaphore {name:?} was not made: {source}"),
            Self::NoSpace { name } => write!(
                f,
                "there is no shared memory left for the semaphore {name:?}: remove from {FOLDER} what nobody uses, or enlarge it"
            ),
            Self::Os { name, step, source } => write!(f, "the semaphore {name:?}: {step} failed: {source}"),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Os { source, .. } => Some(source),
            Self::Init { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_sem_open() {
        assert_eq!(path_of("/jobs").expect("a name"), "/dev/shm/sem.jobs");
        assert_eq!(path_of("jobs").expect("a name"), "/dev/shm/sem.jobs");
        assert!(path_of(&"j".repeat(251)).is_ok());
        for name in ["", "/", "a/b", "//a", "/../passwd", "a\0", &"j".repeat(252)] {
            assert!(matches!(path_of(name), Err(OpenError::InvalidName { .. })), "{name:?}");
        }
    }
}
