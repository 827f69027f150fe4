//! What all handles have in common for somebody who waits for several of them at once.
//!
//! # Safety
//! A [`Word`] points to a bell in the memory that it keeps alive.

#![allow(unsafe_code, reason = "a pointer to a bell kept beside the memory that it leads into")]

use crate::broadcast::feed::Feed;
use crate::broadcast::seat::private::Seat;
use crate::broadcast::view::View;
use crate::endpoint::Side as _;
use crate::memory::Memory;
use crate::{mpmc, spsc};
use core::ptr::NonNull;
use ringshm_sync::futex::Futex;
use ringshm_sync::watch::AnyBell;
use std::sync::Arc;

/// A handle that can be waited for together with others: every receiving and every sending one.
pub trait Waitable: sealed::Sealed + Send {
    /// Whether the next `try_` call would say anything but "not yet": a receiving handle is ready if there is a message, or news such as
    /// `Lagged` or `Disconnected`; a sending one if there is room, or nobody to send to. Neither sends nor receives anything; asks the
    /// kernel now and then whether the other side is alive, and in an MPMC ring waits for up to a millisecond for somebody who is in the
    /// middle of a call.
    ///
    /// A sender of records is ready when there is room for the one that was refused last, or for an empty one, if it was given up for another.
    /// A writer of a register always is. Where there are several consumers, another one may be faster: a `try_` call may say `Empty`
    /// nevertheless.
    fn is_ready(&mut self) -> bool;

    /// Where it is rung for.
    #[doc(hidden)]
    fn bell(&self) -> AnyBell<'_>;

    /// What keeps the bell in its place.
    #[doc(hidden)]
    fn memory(&self) -> &Arc<Memory>;

    /// The word that changes when the bell is rung.
    #[doc(hidden)]
    fn word(&self) -> Word {
        Word { _memory: Arc::clone(self.memory()), futex: NonNull::from(self.bell().word()) }
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// The word on which one sleeps for a handle, for another thread: it stays where it is when the handle is gone.
#[derive(Clone, Debug)]
pub struct Word {
    _memory: Arc<Memory>,
    futex: NonNull<Futex>,
}

// SAFETY: leads into memory that is `Send` and `Sync`, and there to a word of atomics.
unsafe impl Send for Word {}
// SAFETY: as for `Send`.
unsafe impl Sync for Word {}

impl Word {
    /// The word itself.
    #[must_use]
    pub fn futex(&self) -> &Futex {
        // SAFETY: leads into the memory that this value keeps alive.
        unsafe { self.futex.as_ref() }
    }
}

/// What a handle waits with.
pub(crate) trait Awaited {
    fn is_ready(&mut self) -> bool;
    fn bell(&self) -> AnyBell<'_>;
    fn memory(&self) -> &Arc<Memory>;
}

impl Awaited for spsc::Producer {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::Own(&self.end().own().presence.bell)
    }

    fn memory(&self) -> &Arc<Memory> {
        self.end().shared()
    }
}

impl Awaited for spsc::Consumer {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::Own(&self.end().own().presence.bell)
    }

    fn memory(&self) -> &Arc<Memory> {
        self.end().shared()
    }
}

impl Awaited for mpmc::Sender {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::OfGroup(self.0.berth())
    }

    fn memory(&self) -> &Arc<Memory> {
        self.0.member().shared()
    }
}

impl Awaited for mpmc::Receiver {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::OfGroup(self.ring.berth())
    }

    fn memory(&self) -> &Arc<Memory> {
        self.ring.member().shared()
    }
}

impl Awaited for Feed {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::Own(&self.member().own().presence.bell)
    }

    fn memory(&self) -> &Arc<Memory> {
        self.member().shared()
    }
}

impl<S: Seat> Awaited for View<S> {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }

    fn bell(&self) -> AnyBell<'_> {
        AnyBell::OfAll(&self.seat().memory().lobby().readers)
    }

    fn memory(&self) -> &Arc<Memory> {
        self.seat().shared()
    }
}

/// A handle is waited for as what it waits with is.
macro_rules! waitable {
    ([$($generics:tt)*] $handle:ty, $field:ident) => {
        impl<$($generics)*> $crate::waitable::sealed::Sealed for $handle {}

        impl<$($generics)*> $crate::waitable::Waitable for $handle {
            fn is_ready(&mut self) -> bool {
                $crate::waitable::Awaited::is_ready(&mut self.$field)
            }

            fn bell(&self) -> ::ringshm_sync::watch::AnyBell<'_> {
                $crate::waitable::Awaited::bell(&self.$field)
            }

            fn memory(&self) -> &::std::sync::Arc<$crate::memory::Memory> {
                $crate::waitable::Awaited::memory(&self.$field)
            }
        }
    };
}
pub(crate) use waitable;

#[cfg(all(test, not(loom)))]
mod tests;
