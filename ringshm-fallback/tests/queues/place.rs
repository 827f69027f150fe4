//! Names of queues that nobody else has, and that lead to nothing when the test is over.

use ringshm_core::attach::Existence;
use ringshm_core::error::OpenError;
use ringshm_core::{Receiver, Sender};
use ringshm_fallback::address::Address;
use ringshm_fallback::{open, posix_mq, sysv_mq};
use ringshm_sync::semaphore::sysv::{self, SemaphoreSet};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Posix,
    Sysv,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Posix, Kind::Sysv];

/// A place for a queue. When it goes, nothing may be there.
pub(crate) struct Place {
    kind: Kind,
    number: i32,
    may_keep: bool,
}

#[allow(clippy::disallowed_types, reason = "counts the places of this process: nothing of the rings")]
static PLACES: AtomicI32 = AtomicI32::new(0);

impl Place {
    pub(crate) fn new(kind: Kind) -> Self {
        let number = (std::process::id() as i32 & 0xffff) << 8 | PLACES.fetch_add(1, Relaxed);
        Self { kind, number, may_keep: false }
    }

    /// One where something remains when the test is over: it is removed then.
    pub(crate) fn for_leftovers(kind: Kind) -> Self {
        Self { may_keep: true, ..Self::new(kind) }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Those of tests begin with R: what is left of them is told by `cargo xtask test`.
    pub(crate) fn key(&self) -> i32 {
        0x5200_0000 | self.number
    }

    pub(crate) fn path(&self) -> String {
        format!("/ringshm-test-{:x}", self.number)
    }

    /// The name of the channel, with options.
    pub(crate) fn name(&self, options: &str) -> String {
        match self.kind {
            Kind::Posix => format!("mq://{}?{options}", self.path()),
            Kind::Sysv => format!("sysv://{:#x}?{options}", self.key()),
        }
    }

    pub(crate) fn sender(&self, options: &str) -> Result<Box<dyn Sender>, OpenError> {
        Address::parse(&self.name(options)).and_then(open::sender)
    }

    pub(crate) fn receiver(&self, options: &str) -> Result<Box<dyn Receiver>, OpenError> {
        Address::parse(&self.name(options)).and_then(open::receiver)
    }

    pub(crate) fn remove(&self) -> Result<(), OpenError> {
        match self.kind {
            Kind::Posix => posix_mq::remove(&self.path()),
            Kind::Sysv => sysv_mq::remove(self.key()),
        }
    }

    /// Whether nothing is there: neither a queue nor what lies beside it.
    pub(crate) fn is_clean(&self) -> bool {
        match self.kind {
            Kind::Posix => {
                let found = posix_mq::PosixMq::new(&self.path()).existence(Existence::MustExist).receiver();
                matches!(found, Err(OpenError::NotFound { .. }))
            }
            Kind::Sysv => {
                let found = sysv_mq::SysvMq::new(self.key()).existence(Existence::MustExist).receiver();
                matches!(found, Err(OpenError::NotFound { .. }))
                    && matches!(SemaphoreSet::open(self.key()), Err(sysv::OpenError::NotFound { .. }))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let clean = std::thread::panicking() || self.may_keep || self.is_clean();
        let _ = self.remove();
        let _ = SemaphoreSet::remove_key(self.key());
        assert!(clean, "the test left {}", self.name(""));
    }
}
