//! The channel that a test is about.

use ringshm::{Receiver, Sender};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A channel by its name, and a folder for what it has in the file system, which must be empty at the end.
pub(crate) struct Subject {
    name: String,
    folder: PathBuf,
}

impl Subject {
    pub(crate) fn named(template: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("conformance-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("ringshm-{id}"));
        std::fs::create_dir(&folder).expect("the name is new");
        let path = folder.to_str().expect("temporary files have plain names");
        let name = template.replace("{id}", &id).replace("{dir}", path);
        Self { name, folder }
    }

    pub(crate) fn sender(&self) -> Box<dyn Sender> {
        ringshm::open(&self.name)
            .directory(self.directory())
            .sender()
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    pub(crate) fn receiver(&self) -> Box<dyn Receiver> {
        ringshm::open(&self.name)
            .directory(self.directory())
            .receiver()
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Both sides.
    pub(crate) fn sides(&self) -> (Box<dyn Sender>, Box<dyn Receiver>) {
        let receiver = self.receiver();
        (self.sender(), receiver)
    }

    /// Rings are in memory, whatever the folder for temporary files is.
    fn directory(&self) -> &'static str {
        "/dev/shm"
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let left: Vec<_> = std::fs::read_dir(&self.folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        std::fs::remove_dir_all(&self.folder).expect("the folder can be removed");
        assert!(std::thread::panicking() || left.is_empty(), "{} left {left:?}", self.name);
    }
}
