//! A private folder for rings, below `/dev/shm` or on a disk; and a private System V key.

use super::NAME;
use ringshm::{Builder, Directory, Message, Name};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder that is removed with the value. Then it must be empty, unless the test said that something remains.
pub(crate) struct Folder {
    path: PathBuf,
    n: i32,
    ring: String,
    may_keep: bool,
}

impl Folder {
    /// Makes a folder, `ringshm-test-<pid>-<n>`.
    pub(crate) fn new() -> Self {
        Self::below(Path::new("/dev/shm"))
    }

    /// Makes one where temporary files are: on a disk, if this machine keeps them there.
    pub(crate) fn on_disk() -> Self {
        Self::below(&std::env::temp_dir())
    }

    fn below(parent: &Path) -> Self {
        for n in 0.. {
            let path = parent.join(format!("ringshm-test-{}-{n}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Self { path, n, ring: NAME.to_owned(), may_keep: false },
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
        unreachable!("the numbers do not end")
    }

    /// A folder in which something remains when the test is over.
    pub(crate) fn for_leftovers() -> Self {
        let mut folder = Self::new();
        folder.may_keep = true;
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the ring is called that children of this folder take part in, unless they are told.
    pub(crate) fn ring(&self) -> &str {
        &self.ring
    }

    /// It is elsewhere, and called `place`.
    pub(crate) fn is_of(&mut self, place: &str) {
        place.clone_into(&mut self.ring);
    }

    /// A System V key that no other test uses as long as the folder is there. `0x52` (R) tells those of tests from others, as `cargo xtask test` does at
    /// its end.
    pub(crate) fn key(&self) -> i32 {
        0x5200_0000 | ((std::process::id() & 0xffff) as i32) << 8 | self.n & 0xff
    }

    pub(crate) fn directory(&self) -> Directory {
        Directory::new(&self.path)
    }

    /// Where the ring of that name is, or would be.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.directory().path_of(&Name::new(name).expect("a valid name"))
    }

    /// Describes a ring in this folder.
    pub(crate) fn spsc<M: Message + ?Sized>(&self, name: &str) -> Builder<M> {
        ringshm::spsc::<M>(name).directory(&self.path)
    }

    /// Everything in it, hidden files too.
    pub(crate) fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).expect("the folder is there");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.entries(), [""; 0], "left in {}", self.path.display());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.path);
            return;
        }
        let left = self.entries();
        std::fs::remove_dir_all(&self.path).expect("the folder can be removed");
        assert!(self.may_keep || left.is_empty(), "the test left {left:?}");
    }
}
