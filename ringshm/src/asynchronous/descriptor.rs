//! A descriptor that becomes readable when a bell is rung.

use super::handles::Waited;
use super::place::Place;
use super::uring::{self, Uring};
use crate::reminder::Reminded;
use ringshm_core::Waitable;
use ringshm_sync::watch::Watch;
use rustix::event::{EventfdFlags, eventfd};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Wake, Waker};

/// By what a descriptor becomes readable when a bell is rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The kernel watches the bell, as a `FUTEX_WAIT` in an io_uring of the handle's own. Linux 6.7 or later, where io_uring is not forbidden.
    IoUring,
    /// A thread of this process watches it, for up to 127 handles, and raises an eventfd.
    Thread,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Thread => "thread",
        })
    }
}

/// Which mechanism is used, and why.
#[derive(Clone, Debug)]
pub struct Choice {
    /// That one.
    pub mechanism: Mechanism,
    /// A sentence for people.
    pub reason: String,
}

/// The environment variable that decides.
const VARIABLE: &str = "RINGSHM_ASYNC";

impl Mechanism {
    /// The one that is used where none is asked for: io_uring if the kernel has what it takes, which is tried once. The environment variable
    /// `RINGSHM_ASYNC` decides in its place if it is `io_uring` or `thread`.
    #[must_use]
    pub fn best() -> Choice {
        let wish = std::env::var(VARIABLE).unwrap_or_default();
        for mechanism in [Self::IoUring, Self::Thread] {
            if wish == mechanism.to_string() {
                return Choice { mechanism, reason: format!("{VARIABLE} says so") };
            }
        }
        match uring::support() {
            Ok(()) => {
                Choice { mechanism: Self::IoUring, reason: "the kernel can wait for a futex in an io_uring".to_owned() }
            }
            Err(reason) => Choice { mechanism: Self::Thread, reason: reason.to_owned() },
        }
    }

    /// Whether it can be used here.
    #[must_use]
    pub fn is_supported(self) -> bool {
        self == Self::Thread || uring::support().is_ok()
    }
}

/// The descriptor. Readable means: look.
#[derive(Debug)]
pub(super) enum Descriptor {
    IoUring(Box<Uring>),
    Thread { place: Place, event: Arc<Event>, waker: Waker },
}

/// What a sentry raises for a reactor.
#[derive(Debug)]
pub(super) struct Event(OwnedFd);

impl Wake for Event {
    fn wake(self: Arc<Self>) {
        // It fails if it was raised 2^64 times and not looked at: then it is raised.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl Descriptor {
    /// One that becomes readable now and then although nobody has rung, if it `reminds`: else somebody else has to see to it that whoever waits
    /// looks.
    pub(super) fn open(mechanism: Mechanism, reminds: bool) -> io::Result<Self> {
        match mechanism {
            Mechanism::IoUring => match uring::support() {
                Ok(()) => Ok(Self::IoUring(Box::new(Uring::new(reminds.then(Reminded::new))?))),
                Err(reason) => Err(io::Error::new(io::ErrorKind::Unsupported, reason)),
            },
            Mechanism::Thread => {
                let event = Arc::new(Event(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?));
                let waker = Waker::from(Arc::clone(&event));
                Ok(Self::Thread { place: Place::take(reminds)?, event, waker })
            }
        }
    }

    pub(super) fn mechanism(&self) -> Mechanism {
        match self {
            Self::IoUring(_) => Mechanism::IoUring,
            Self::Thread { .. } => Mechanism::Thread,
        }
    }

    /// Whatever made it readable is seen. Before the look.
    pub(super) fn clear(&mut self) {
        match self {
            Self::IoUring(ring) => ring.clear(),
            Self::Thread { event, .. } => {
                // It fails if it is not raised.
                let _ = rustix::io::read(&event.0, &mut [0; 8]);
            }
        }
    }

    /// Somebody waits for it, from now on: after [`clear`](Self::clear), which would otherwise swallow what this is for, and before the look.
    pub(super) fn register(&self) {
        if let Self::Thread { place, waker, .. } = self {
            place.register(waker);
        }
    }

    /// Nobody waits for it any more. It may become readable once more.
    pub(super) fn forget(&self) {
        if let Self::Thread { place, .. } = self {
            place.forget();
        }
    }

    /// After [`register`](Self::register), the announcement and a look: makes it readable when the bell is rung. `false` if it was rung meanwhile.
    ///
    /// # Errors
    /// If the kernel is out of memory.
    pub(super) fn watch<H: Waitable>(&mut self, watch: &Watch<Waited<H>>) -> io::Result<bool> {
        match self {
            Self::IoUring(ring) => match watch.standing() {
                Some(expected) => ring.watch(&watch.get().0.word(), expected).map(|()| true),
                None => Ok(false),
            },
            Self::Thread { place, .. } => Ok(place.post(watch)),
        }
    }

    /// Nothing is watched any more.
    pub(super) fn quit(&mut self) {
        match self {
            Self::IoUring(ring) => ring.quit(),
            Self::Thread { place, .. } => place.quit(),
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::IoUring(ring) => ring.as_fd(),
            Self::Thread { event, .. } => event.0.as_fd(),
        }
    }
}
