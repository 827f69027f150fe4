//! The ring of a test: what it carries and where it is, and processes that take part in it.

use super::{Carrier, Folder, Parcel, Process, Short};
use ringshm::{OpenError, Snapshot};
use rustix::io::{FdFlags, fcntl_setfd};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

/// A ring for a few messages: named, in a memfd that children inherit, in a file, or in a System V segment.
pub(crate) struct Ring {
    pub(crate) folder: Folder,
    pub(crate) carrier: Carrier,
    /// What commands call it.
    pub(crate) place: String,
    /// Open as long as children may inherit it.
    memfd: Option<OwnedFd>,
    /// What everybody asks for who opens it.
    option: &'static str,
}

/// The name of named rings in tests.
pub(crate) const NAME: &str = "ring";

impl Ring {
    fn at(carrier: Carrier, mut folder: Folder, place: String) -> Self {
        folder.is_of(&place);
        Self { folder, carrier, place, memfd: None, option: "" }
    }

    /// A ring that the first process to open it creates.
    pub(crate) fn named(carrier: Carrier) -> Self {
        Self::at(carrier, Folder::new(), NAME.to_owned())
    }

    /// A ring in an ordinary file on a disk, at its path.
    pub(crate) fn in_file(carrier: Carrier) -> Self {
        let folder = Folder::on_disk();
        let place = format!("file://{}", folder.path().join("app.ring").display());
        Self::at(carrier, folder, place)
    }

    /// A ring in a System V segment.
    pub(crate) fn system_v(carrier: Carrier) -> Self {
        let folder = Folder::new();
        let place = format!("sysv-shm://{:#x}", folder.key());
        Self::at(carrier, folder, place)
    }

    /// As [`named`](Self::named), with participants that sleep on semaphores.
    pub(crate) fn waking_by_semaphore(carrier: Carrier) -> Self {
        let mut ring = Self::named(carrier);
        ring.option = "semaphore ";
        ring
    }

    /// A ring in a memfd.
    pub(crate) fn memfd(carrier: Carrier) -> Self {
        let folder = Folder::new();
        let memfd = match carrier {
            Carrier::Fixed => folder.spsc::<Parcel>("test").capacity(carrier.small()).memfd(),
            Carrier::Short => folder.spsc::<Short>("test").capacity(carrier.small()).memfd(),
            Carrier::Records => folder.spsc::<[u8]>("test").capacity(carrier.small()).memfd(),
        };
        let memfd = memfd.expect("a small ring");
        fcntl_setfd(&memfd, FdFlags::empty()).expect("an open descriptor");
        Self { folder, carrier, place: format!("memfd:{}", memfd.as_raw_fd()), memfd: Some(memfd), option: "" }
    }

    /// Runs a test over every kind of ring in every kind of place where it can be found by others.
    pub(crate) fn each_found(test: impl Fn(&Self)) {
        for carrier in Carrier::ALL {
            for ring in [Self::named(carrier), Self::in_file(carrier), Self::system_v(carrier)] {
                println!("{carrier:?} in {}", ring.place);
                test(&ring);
                ring.remove();
            }
        }
    }

    /// Runs a test over every kind of ring in every kind of place.
    pub(crate) fn each(test: impl Fn(&Self)) {
        for carrier in Carrier::ALL {
            for ring in [Self::named(carrier), Self::memfd(carrier), Self::in_file(carrier), Self::system_v(carrier)] {
                println!("{carrier:?} in {}", ring.place);
                test(&ring);
                ring.remove();
            }
        }
    }

    pub(crate) fn is_named(&self) -> bool {
        self.memfd.is_none()
    }

    pub(crate) fn is_system_v(&self) -> bool {
        self.place.starts_with("sysv-shm")
    }

    /// Where its file is, or would be.
    pub(crate) fn path(&self) -> PathBuf {
        match self.place.strip_prefix("file://") {
            Some(path) => PathBuf::from(path),
            None => self.folder.path_of(NAME),
        }
    }

    /// Whether the ring can be found, and nothing else is there that could be.
    #[track_caller]
    pub(crate) fn is_found(&self) -> bool {
        let remains = self.remains();
        let whole: &[&str] = match () {
            () if self.is_system_v() => &["shm", "sem"],
            () if self.place == NAME => &["ringshm.ring"],
            () => &["app.ring"],
        };
        assert!(remains.is_empty() || remains == whole, "{remains:?}");
        !remains.is_empty()
    }

    /// Whether it can be found whole.
    pub(crate) fn is_whole(&self) -> bool {
        ringshm::inspect(&self.folder.directory(), self.name()).is_ok()
    }

    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        assert_eq!(self.remains(), [""; 0], "left of {}", self.place);
    }

    /// What there is of it: files, or objects of the kernel.
    pub(crate) fn remains(&self) -> Vec<String> {
        let mut remains = self.folder.entries();
        if self.is_system_v() {
            let key = self.folder.key().to_string();
            for sort in ["shm", "sem"] {
                let table = std::fs::read_to_string(format!("/proc/sysvipc/{sort}")).expect("the table of the kernel");
                let is_listed = table.lines().any(|line| line.split_whitespace().next() == Some(&key));
                remains.extend(is_listed.then(|| sort.to_owned()));
            }
        }
        remains
    }

    /// Removes it, if it is still there. Nobody may be using it.
    #[track_caller]
    pub(crate) fn remove(&self) {
        match ringshm::remove(&self.folder.directory(), self.name(), false) {
            Ok(()) | Err(OpenError::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// What it is now. Only for a named one.
    #[track_caller]
    pub(crate) fn snapshot(&self) -> Snapshot {
        ringshm::inspect(&self.folder.directory(), self.name()).expect("a whole ring")
    }

    /// What functions and commands call it that take a name.
    pub(crate) fn name(&self) -> &str {
        if self.is_named() { &self.place } else { NAME }
    }

    /// The command to open it in `role`.
    pub(crate) fn opening(&self, role: &str, options: &str) -> String {
        let capacity = self.carrier.small();
        let (carrier, place, option) = (self.carrier.word(), &self.place, self.option);
        format!("{role} {carrier} {place} capacity={capacity} {option}{options}").trim_end().to_owned()
    }

    /// Starts a process that takes `role`, and returns it with the number of messages that the role has seen so far.
    #[track_caller]
    pub(crate) fn join(&self, role: &str, options: &str) -> (Process, u64) {
        let mut process = Process::start(&self.folder);
        let reply = process.ask(&self.opening(role, options));
        let count = reply.strip_prefix("open ").unwrap_or_else(|| panic!("opening as {role}: {reply}"));
        (process, count.parse().expect("a number"))
    }

    /// The messages that a role has seen so far, as its next owner finds them.
    #[track_caller]
    pub(crate) fn count(&self, role: &str) -> u64 {
        let (mut process, count) = self.join(role, "");
        assert_eq!(process.ask("detach"), "ok");
        count
    }

    #[track_caller]
    pub(crate) fn producer(&self, options: &str) -> Process {
        self.join("producer", options).0
    }

    #[track_caller]
    pub(crate) fn consumer(&self, options: &str) -> Process {
        self.join("consumer", options).0
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if !self.is_system_v() {
            return;
        }
        // Nobody else would, where a test has failed.
        let is_there = !self.remains().is_empty();
        let _ = ringshm::remove(&self.folder.directory(), self.name(), true);
        assert!(!is_there || std::thread::panicking(), "the test left {}", self.place);
    }
}
