//! The ring of a test: what it carries and where it is, and processes that take part in it.

use super::{Carrier, Folder, Parcel, Process, Short};
use ringshm::{OpenError, Snapshot};
use rustix::io::{FdFlags, fcntl_setfd};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// A ring for a few messages, named or in a memfd that children inherit.
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
    /// A ring that the first process to open it creates.
    pub(crate) fn named(carrier: Carrier) -> Self {
        Self { folder: Folder::new(), carrier, place: NAME.to_owned(), memfd: None, option: "" }
    }

    /// As [`named`](Self::named), with participants that sleep on semaphores.
    pub(crate) fn waking_by_semaphore(carrier: Carrier) -> Self {
        Self { option: "semaphore ", ..Self::named(carrier) }
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

    /// Runs a test over every kind of ring in every kind of place.
    pub(crate) fn each(test: impl Fn(&Self)) {
        for carrier in Carrier::ALL {
            for ring in [Self::named(carrier), Self::memfd(carrier)] {
                println!("{carrier:?} in {}", ring.place);
                test(&ring);
                ring.remove();
            }
        }
    }

    pub(crate) fn is_named(&self) -> bool {
        self.memfd.is_none()
    }

    /// Removes it, if it is still there. Nobody may be using it.
    #[track_caller]
    pub(crate) fn remove(&self) {
        match ringshm::remove(&self.folder.directory(), NAME, false) {
            Ok(()) | Err(OpenError::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// What it is now. Only for a named one.
    #[track_caller]
    pub(crate) fn snapshot(&self) -> Snapshot {
        ringshm::inspect(&self.folder.directory(), NAME).expect("a whole ring")
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
