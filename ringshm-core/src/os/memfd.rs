//! The sealed memfd of a ring that has no name, and whose file description it is opened by.
//!
//! A participant is alive as long as the kernel keeps a lock for its file description. Two that shared one would count as one: so each opens its own,
//! through `/proc`, or is handed one that was opened for it, in a sandbox that has no `/proc`.

use super::file::{os, refused};
use crate::error::OpenError;
use rustix::fs::{Mode, OFlags, SealFlags, fcntl_get_seals, open};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

/// A sealed memfd, by a file description that nobody else has: for one participant.
#[derive(Debug)]
pub struct SoleMemfd(OwnedFd);

impl SoleMemfd {
    /// Opens a file description of its own for a memfd. Needs `/proc`.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] if it is no memfd, or one that can still shrink or grow; [`OpenError::Permission`] if it is another user's;
    /// [`OpenError::Os`], also if there is no `/proc`.
    pub fn of(memfd: impl AsFd) -> Result<Self, OpenError> {
        check_seals(&memfd, SealFlags::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", memfd.as_fd().as_raw_fd()));
        open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map(Self).map_err(|errno| {
            if errno == rustix::io::Errno::NOENT {
                return os("opening the ring's memfd anew (through /proc, which is not there)")(errno);
            }
            refused(errno, &path)
        })
    }

    /// A memfd by the file description that `memfd` has. Whoever gave it away has kept no descriptor of that description, and gave it to nobody else: two
    /// participants with the same one would take each other's role.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] if it is no memfd, or one that can still shrink or grow.
    pub fn handed(memfd: OwnedFd) -> Result<Self, OpenError> {
        check_seals(&memfd, SealFlags::empty())?;
        Ok(Self(memfd))
    }

    /// The descriptor, to give it away.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

/// Nobody can take away or add memory while it is mapped, nor do what `more` says.
pub(super) fn check_seals(memfd: impl AsFd, more: SealFlags) -> Result<(), OpenError> {
    let seals = fcntl_get_seals(memfd).map_err(|_| OpenError::Corrupt { field: "file type" })?;
    if seals.contains(more | SealFlags::SHRINK | SealFlags::GROW) {
        return Ok(());
    }
    Err(OpenError::Corrupt { field: "seals" })
}

/// What a role in a ring without a name is taken of: any descriptor of its memfd, for which a file description is opened, or a [`SoleMemfd`], which
/// is used as it is.
pub trait IntoMemfd {
    /// For one participant.
    ///
    /// # Errors
    /// As for [`SoleMemfd::of`].
    fn into_memfd(self) -> Result<SoleMemfd, OpenError>;
}

impl IntoMemfd for SoleMemfd {
    fn into_memfd(self) -> Result<SoleMemfd, OpenError> {
        Ok(self)
    }
}

impl<F: AsFd> IntoMemfd for F {
    fn into_memfd(self) -> Result<SoleMemfd, OpenError> {
        SoleMemfd::of(self)
    }
}
