//! Where named rings are: a folder, and what stands in it under which name.

use super::file::os;
use crate::error::OpenError;
use rustix::fs::statvfs;
use std::path::{Path, PathBuf};

/// Every ring's file name begins with it, so that rings can be told from other objects.
pub(crate) const PREFIX: &str = "ringshm.";
/// The longest name of a ring, in bytes.
const MAX_NAME: usize = 200;

/// The name of a ring: what both sides have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Checks a name: 1 to 200 letters, digits, `.`, `_` and `-`, not beginning with `.`. It may be written with `shm://`.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`].
    pub fn new(name: &str) -> Result<Self, OpenError> {
        let bare = name.strip_prefix("shm://").unwrap_or(name);
        let invalid = |reason: &str| Err(OpenError::InvalidName { name: name.to_owned(), reason: reason.to_owned() });
        if bare.contains("://") {
            return invalid("a ring has no scheme but shm://: other channels are opened with ringshm::open");
        }
        if bare.is_empty() || bare.len() > MAX_NAME {
            return invalid("a name has 1 to 200 bytes");
        }
        if bare.starts_with('.') {
            return invalid("a name does not begin with a dot");
        }
        if !bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return invalid("a name consists of letters, digits, '.', '_' and '-'");
        }
        Ok(Self(bare.to_owned()))
    }

    /// The name without a scheme.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn file_name(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }
}

/// The folder in which named rings live: a mounted tmpfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory(PathBuf);

impl Default for Directory {
    /// The folder that the environment variable `RINGSHM_DIR` names, or `/dev/shm`.
    fn default() -> Self {
        Self(std::env::var_os("RINGSHM_DIR").filter(|path| !path.is_empty()).map_or("/dev/shm".into(), PathBuf::from))
    }
}

impl Directory {
    /// Some other folder.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a ring in it.
    #[must_use]
    pub fn path_of(&self, name: &Name) -> PathBuf {
        self.0.join(name.file_name())
    }

    /// The names of all rings in it, in order.
    ///
    /// # Errors
    /// [`OpenError::Os`] if the folder cannot be read.
    pub fn names(&self) -> Result<Vec<Name>, OpenError> {
        let failed = |source| OpenError::Os { step: "reading the shared-memory folder", source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            let file_name = entry.map_err(failed)?.file_name();
            let bare = file_name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            names.extend(bare.and_then(|name| Name::new(name).ok()));
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    /// Bytes free in it.
    ///
    /// # Errors
    /// [`OpenError::Os`] if the file system does not say.
    pub fn free(&self) -> Result<u64, OpenError> {
        let stat = statvfs(&self.0).map_err(os("asking for free shared memory (statvfs)"))?;
        // A tmpfs without a limit says that it has no blocks at all.
        Ok(if stat.f_blocks == 0 { memory_free() } else { stat.f_bavail.saturating_mul(stat.f_frsize) })
    }
}

/// Bytes of memory that the system can give away. Where no file system sets a limit, the kernel would not refuse a ring that
/// is too large: it would take every page there is, and then kill somebody.
pub(crate) fn memory_free() -> u64 {
    let table = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes_of = |field: &str| -> Option<u64> {
        let kilobytes = table.lines().find_map(|line| line.strip_prefix(field)?.strip_suffix("kB"))?;
        kilobytes.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    match (bytes_of("MemAvailable:"), bytes_of("SwapFree:")) {
        (Some(memory), swap) => memory.saturating_add(swap.unwrap_or(0)),
        // Nobody says: then only the allocation itself can tell.
        (None, _) => u64::MAX,
    }
}
