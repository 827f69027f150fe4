//! What the kernel says of a participant's process: whether it was stopped.
//!
//! A lane says who its owner is by the process number that the owner knows itself by. Seen from another PID namespace, that number is
//! somebody else's; so a process is believed to be the owner only if it has the ring's file open.

use rustix::fs::{Stat, stat};
use std::path::Path;

/// A ring's file, by which its participants are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingFile {
    identity: Option<(u64, u64)>,
}

impl RingFile {
    pub(crate) fn at(path: &Path) -> Self {
        Self { identity: stat(path).ok().map(identity) }
    }

    /// Whether that participant's process was stopped (by SIGSTOP, a terminal, or a debugger). `None` if that process cannot be
    /// seen from here, or is not allowed to be.
    pub(crate) fn is_stopped(self, pid: u32) -> Option<bool> {
        let expected = self.identity?;
        let mut open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        if !open.any(|entry| stat(entry.path()).is_ok_and(|found| identity(found) == expected)) {
            return None;
        }
        let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before the state is in parentheses, and may have some in it.
        let (_, rest) = line.rsplit_once(')')?;
        Some(matches!(rest.trim_start().chars().next()?, 'T' | 't'))
    }
}

fn identity(stat: Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_the_file_it_has_open() {
        let path = std::env::current_exe().unwrap();
        let file = RingFile::at(&path);
        assert_eq!(file.is_stopped(std::process::id()), None);
        let _open = std::fs::File::open(&path).unwrap();
        assert_eq!(file.is_stopped(std::process::id()), Some(false));
        assert_eq!(RingFile::at(Path::new("/no/such/file")).is_stopped(std::process::id()), None);
        assert_eq!(file.is_stopped(u32::MAX), None);
    }
}
