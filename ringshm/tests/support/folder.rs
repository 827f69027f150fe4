//! A private folder for rings, below `/dev/shm`.

use ringshm::{Builder, Directory, Message, Name};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder that is removed with the value. Then it must be empty, unless the test said that something remains.
pub(crate) struct Folder {
    path: PathBuf,
    may_keep: bool,
}

impl Folder {
    /// Makes a folder, `ringshm-test-<pid>-<n>`.
    pub(crate) fn new() -> Self {
        for n in 0.. {
            let path = PathBuf::from(format!("/dev/shm/ringshm-test-{}-{n}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Self { path, may_keep: false },
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
