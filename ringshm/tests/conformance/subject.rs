//! The channel that a test is about.

use ringshm::{Receiver, Sender};
use std::io::ErrorKind;
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Mutex;

/// A channel by its name, and a folder for what it has in the file system, which must be empty at the end.
pub(crate) struct Subject {
    name: String,
    folder: PathBuf,
    /// The other end of a pipe of which one was opened.
    other_end: Mutex<Option<(Side, OwnedFd)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Sender,
    Receiver,
}

/// A TCP port that nobody has. The kernel does not soon offer it to anybody else.
fn free_port() -> String {
    let listener = std::net::TcpListener::bind("localhost:0").expect("there are free ports");
    listener.local_addr().expect("it has one").port().to_string()
}

impl Subject {
    pub(crate) fn named(template: &str) -> Self {
        let (id, folder) = (0..)
            .find_map(|n| {
                let id = format!("conformance-{}-{n}", std::process::id());
                let folder = PathBuf::from(format!("/dev/shm/ringshm-{id}"));
                match std::fs::create_dir(&folder) {
                    Ok(()) => Some((id, folder)),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
                    Err(error) => panic!("{}: {error}", folder.display()),
                }
            })
            .expect("the numbers do not end");
        let path = folder.to_str().expect("it has a plain name");
        // Of the folder's own inode, which nobody else has while it is there.
        let inode = std::fs::metadata(&folder).expect("the folder is there").ino();
        let key = format!("{:#x}", 0x5200_0000 | (inode & 0xff_ffff));
        let name = template.replace("{id}", &id).replace("{dir}", path).replace("{port}", &free_port());
        let name = name.replace("{key}", &key);
        Self { name, folder, other_end: Mutex::new(None) }
    }

    /// The name of one side. `{pipe}` is the number of a descriptor, which whoever opens it takes over.
    fn name_of(&self, side: Side) -> String {
        if !self.name.contains("{pipe}") {
            return self.name.clone();
        }
        let mut other_end = self.other_end.lock().expect("nobody panics with it");
        let end = match other_end.take() {
            Some((other, end)) if other == side => end,
            _ => {
                let (from, to) = rustix::pipe::pipe().expect("there are descriptors");
                let (end, other) = match side {
                    Side::Sender => (to, (Side::Receiver, from)),
                    Side::Receiver => (from, (Side::Sender, to)),
                };
                *other_end = Some(other);
                end
            }
        };
        self.name.replace("{pipe}", &end.into_raw_fd().to_string())
    }

    pub(crate) fn sender(&self) -> Box<dyn Sender> {
        ringshm::open(&self.name_of(Side::Sender))
            .directory(&self.folder)
            .sender()
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    pub(crate) fn receiver(&self) -> Box<dyn Receiver> {
        ringshm::open(&self.name_of(Side::Receiver))
            .directory(&self.folder)
            .receiver()
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Whether a receiver is there as long as its process is: then its end is no matter for a test in one process.
    pub(crate) fn ends_with_its_process(&self) -> bool {
        self.name.starts_with("signal:")
    }

    /// Both sides, and first the one that the other connects to: so they are connected, or at the first message.
    pub(crate) fn sides(&self) -> (Box<dyn Sender>, Box<dyn Receiver>) {
        if self.name.contains("listen=sender") {
            let sender = self.sender();
            return (sender, self.receiver());
        }
        let receiver = self.receiver();
        (self.sender(), receiver)
    }

    /// Comes and receives what a test has left: then whoever leaves last takes everything away.
    fn sweep(&self) {
        let (sender, mut receiver) = self.sides();
        drop(sender);
        while receiver.try_recv(&mut Vec::new()).is_ok() {}
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.sweep();
        }
        let left: Vec<_> = std::fs::read_dir(&self.folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        std::fs::remove_dir_all(&self.folder).expect("the folder can be removed");
        assert!(std::thread::panicking() || left.is_empty(), "{} left {left:?}", self.name);
    }
}
