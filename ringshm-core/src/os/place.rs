//! Where a ring is: under a name in a folder, in a file at an exact path, or under a System V key.

use super::directory::{Directory, Name};
use crate::error::OpenError;
use core::fmt;
use std::path::{Path, PathBuf};

/// Where a ring is, for all who want to come there.
///
/// ```
/// use ringshm_core::os::{Directory, Name, Place};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shared = Place::named(&Directory::new("/dev/shm".as_ref()), &Name::new("ticks")?);
/// assert_eq!(shared, Place::file("/dev/shm/ringshm.ticks")?);
/// assert_eq!(Place::system_v(0x51ab)?.to_string(), "sysv-shm://0x51ab");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Location);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A file's name, absolute.
    Path(PathBuf),
    /// The key of a System V segment, and of its semaphore set. Not 0.
    Key(i32),
}

impl Place {
    /// Under a name in a folder.
    #[must_use]
    pub fn named(directory: &Directory, name: &Name) -> Self {
        let path = directory.path_of(name);
        // It fails where the working directory is gone: then nothing can be opened there either.
        Self(Location::Path(std::path::absolute(&path).unwrap_or(path)))
    }

    /// In an ordinary file at exactly this path, on a disk or in a tmpfs. A relative one begins at the directory in which the process is now.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`] if no file can have it.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let invalid = |reason: &str| OpenError::InvalidName { name: name.clone(), reason: reason.to_owned() };
        if path.file_name().is_none() || name.ends_with('/') || name.contains('\0') {
            return Err(invalid("a ring's file needs the path of a file, such as /var/lib/app/feed.ring"));
        }
        let path = std::path::absolute(path).map_err(|error| invalid(&error.to_string()))?;
        Ok(Self(Location::Path(path)))
    }

    /// In the System V segment with that key.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`] if it is 0, which stands for segments without a key.
    pub fn system_v(key: i32) -> Result<Self, OpenError> {
        if key == libc::IPC_PRIVATE {
            let reason = "0 is no key, it stands for segments without one: choose another number".to_owned();
            return Err(OpenError::InvalidName { name: Self(Location::Key(key)).to_string(), reason });
        }
        Ok(Self(Location::Key(key)))
    }

    pub(crate) fn location(&self) -> &Location {
        &self.0
    }

    /// Where it is, for people: of a System V segment, as it is written in the name of a channel.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match &self.0 {
            Location::Path(path) => path.clone(),
            Location::Key(key) => PathBuf::from(format!("sysv-shm://{key:#x}")),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_that_of_a_file_and_does_not_move_with_the_process() {
        for path in ["", "/", "..", "feeds/", "a\0b"] {
            assert!(matches!(Place::file(path), Err(OpenError::InvalidName { .. })), "{path:?}");
        }
        let relative = Place::file("feed.ring").expect("a file's name");
        assert_eq!(relative.path(), std::env::current_dir().expect("there is one").join("feed.ring"));
    }

    #[test]
    fn every_key_but_zero_is_one() {
        assert!(matches!(Place::system_v(0), Err(OpenError::InvalidName { .. })));
        assert_eq!(Place::system_v(-1).expect("a key").to_string(), "sysv-shm://0xffffffff");
    }
}
