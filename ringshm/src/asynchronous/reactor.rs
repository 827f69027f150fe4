//! A descriptor in the reactor of an executor.
//!
//! # Safety
//! What a reactor is given is a descriptor of its own, which stays open, and the same, as long as it is registered.

#![allow(unsafe_code, reason = "tokio asks for a promise about descriptors")]
#![cfg_attr(
    not(any(feature = "tokio", feature = "async-io")),
    allow(unused_variables, dead_code, reason = "there is no reactor")
)]

use super::descriptor::{Descriptor, Mechanism};
use super::handles::Waited;
use ringshm_core::Waitable;
use ringshm_sync::watch::Watch;
use std::task::{Context, Poll};
#[cfg(any(feature = "tokio", feature = "async-io"))]
use std::{io, os::fd::AsFd as _, os::fd::OwnedFd};
#[cfg(feature = "tokio")]
use tokio::io::{Interest, unix::AsyncFd};

#[derive(Debug)]
pub(super) struct Reactor {
    /// Before the descriptor: it is deregistered while it is open.
    registered: Registered,
    descriptor: Descriptor,
}

/// A second descriptor of the same thing, as the reactor keeps it.
#[derive(Debug)]
enum Registered {
    #[cfg(feature = "tokio")]
    Tokio(AsyncFd<OwnedFd>),
    #[cfg(feature = "async-io")]
    AsyncIo(async_io::Async<OwnedFd>),
}

impl Reactor {
    #[cfg(feature = "tokio")]
    pub(super) fn tokio(descriptor: Descriptor) -> io::Result<Self> {
        let fd = descriptor.as_fd().try_clone_to_owned()?;
        // SAFETY: it is moved in there, and an `OwnedFd` is always the same open descriptor.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self { registered: Registered::Tokio(fd), descriptor })
    }

    #[cfg(feature = "async-io")]
    pub(super) fn async_io(descriptor: Descriptor) -> io::Result<Self> {
        let fd = async_io::Async::new_nonblocking(descriptor.as_fd().try_clone_to_owned()?)?;
        Ok(Self { registered: Registered::AsyncIo(fd), descriptor })
    }

    pub(super) fn mechanism(&self) -> Mechanism {
        self.descriptor.mechanism()
    }

    /// Registers the waker of the task, for the next time that the descriptor becomes readable. `false` if the reactor is at its end.
    pub(super) fn register(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match self.registered.poll(cx, &mut self.descriptor) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return false,
                Poll::Pending => break,
            }
        }
        self.descriptor.register();
        true
    }

    pub(super) fn forget(&self) {
        self.descriptor.forget();
    }

    /// As [`Descriptor::watch`]. Without memory for it, the task tries again.
    pub(super) fn watch<H: Waitable>(&mut self, watch: &Watch<Waited<H>>) -> bool {
        self.descriptor.watch(watch).unwrap_or(false)
    }

    pub(super) fn quit(&mut self) {
        self.descriptor.quit();
    }
}

impl Registered {
    /// If the descriptor was readable, clears it first and then tells the reactor: what comes in between makes it readable again. Else registers
    /// the waker.
    fn poll(&self, cx: &mut Context<'_>, descriptor: &mut Descriptor) -> Poll<bool> {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tokio(fd) => fd.poll_read_ready(cx).map(|readable| {
                descriptor.clear();
                readable.map(|mut guard| guard.clear_ready()).is_ok()
            }),
            #[cfg(feature = "async-io")]
            Self::AsyncIo(fd) => fd.poll_readable(cx).map(|readable| {
                descriptor.clear();
                readable.is_ok()
            }),
            #[cfg(not(any(feature = "tokio", feature = "async-io")))]
            _ => unreachable!("there is no reactor"),
        }
    }
}
