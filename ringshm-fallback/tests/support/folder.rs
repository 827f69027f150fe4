//! A private folder for what has a path.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder that is removed with the value. Then it must be empty, unless the test said that something remains.
pub(crate) struct Folder {
    path: PathBuf,
    may_keep: bool,
}

impl Folder {
    /// Makes a folder, in that for temporary files: its path is short enough for a socket's.
    pub(crate) fn new() -> Self {
        for n in 0.. {
            let path = std::env::temp_dir().join(format!("ringshm-test-{}-{n}", std::process::id()));
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

    /// What the ring in it is called: there is none.
    #[allow(clippy::unused_self, reason = "folders for rings have a field for it")]
    pub(crate) fn ring(&self) -> &str {
        ""
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it, as text for a name.
    pub(crate) fn join(&self, name: &str) -> String {
        self.path.join(name).to_str().expect("temporary files have plain names").to_owned()
    }

    /// Everything in it, hidden files too.
    pub(crate) fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).expect("the folder is there");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let left = self.entries();
        std::fs::remove_dir_all(&self.path).expect("the folder can be removed");
        assert!(std::thread::panicking() || self.may_keep || left.is_empty(), "the test left {left:?}");
    }
}
