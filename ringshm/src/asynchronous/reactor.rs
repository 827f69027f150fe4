//! A descriptor in the reactor of an executor, and a timer of the same, because nobody rings for what a killed process left undone. Timers that end at
//! the same moment cost an executor little more than one of them, while each descriptor that becomes readable costs a system call or two.
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
use crate::reminder::{Reminded, next_look};
use ringshm_core::Waitable;
use ringshm_sync::watch::Watch;
#[cfg(any(feature = "tokio", feature = "async-io"))]
use std::future::Future as _;
#[cfg(any(feature = "tokio", feature = "async-io"))]
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
#[cfg(any(feature = "tokio", feature = "async-io"))]
use std::{io, os::fd::AsFd as _, os::fd::OwnedFd};
#[cfg(feature = "tokio")]
use tokio::io::{Interest, unix::AsyncFd};

#[derive(Debug)]
pub(super) struct Reactor {
    /// Before the descriptor: it is deregistered while it is open.
    registered: Registered,
    descriptor: Descriptor,
    looks: Looks,
}

/// The times at which a task looks by itself, told by its executor's timer.
#[derive(Debug)]
pub(super) struct Looks {
    /// Until the next look. `None`: there is none.
    timer: Option<Timer>,
    _reminded: Reminded,
}

/// A second descriptor of the same thing, as the reactor keeps it.
#[derive(Debug)]
enum Registered {
    #[cfg(feature = "tokio")]
    Tokio(AsyncFd<OwnedFd>),
    #[cfg(feature = "async-io")]
    AsyncIo(async_io::Async<OwnedFd>),
}

#[derive(Debug)]
enum Timer {
    #[cfg(feature = "tokio")]
    Tokio(Pin<Box<tokio::time::Sleep>>),
    #[cfg(feature = "async-io")]
    AsyncIo(async_io::Timer),
}

impl Reactor {
    #[cfg(feature = "tokio")]
    pub(super) fn tokio(descriptor: Descriptor) -> io::Result<Self> {
        let fd = descriptor.as_fd().try_clone_to_owned()?;
        // SAFETY: it is moved in there, and an `OwnedFd` is always the same open descriptor.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self { registered: Registered::Tokio(fd), descriptor, looks: Looks::in_tokio() })
    }

    #[cfg(feature = "async-io")]
    pub(super) fn async_io(descriptor: Descriptor) -> io::Result<Self> {
        let fd = async_io::Async::new_nonblocking(descriptor.as_fd().try_clone_to_owned()?)?;
        Ok(Self { registered: Registered::AsyncIo(fd), descriptor, looks: Looks::in_async_io() })
    }

    pub(super) fn mechanism(&self) -> Mechanism {
        self.descriptor.mechanism()
    }

    /// Registers the waker of the task, for the next time that the descriptor becomes readable, or a look is due. `false` if the reactor is at its end.
    pub(super) fn register(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match self.registered.poll(cx, &mut self.descriptor) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return false,
                Poll::Pending => break,
            }
        }
        self.descriptor.register();
        // One that was due was of an earlier wait, or has led to this one: which looks.
        self.looks.are_due(cx);
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

impl Looks {
    #[cfg(feature = "tokio")]
    pub(super) fn in_tokio() -> Self {
        Self::told_by(|at| Timer::Tokio(Box::pin(tokio::time::sleep_until(at.into()))))
    }

    #[cfg(feature = "async-io")]
    pub(super) fn in_async_io() -> Self {
        Self::told_by(|at| Timer::AsyncIo(async_io::Timer::at(at)))
    }

    fn told_by(timer: impl FnOnce(Instant) -> Timer) -> Self {
        // Before the first look is asked for.
        let reminded = Reminded::new();
        Self { timer: next_look().map(timer), _reminded: reminded }
    }

    /// Whether it was time for a look. Registers the waker for the next.
    pub(super) fn are_due(&mut self, cx: &mut Context<'_>) -> bool {
        let mut are_due = false;
        while self.timer.as_mut().is_some_and(|timer| timer.poll(cx).is_ready()) {
            are_due = true;
            match (next_look(), &mut self.timer) {
                (Some(at), Some(timer)) => timer.set(at),
                (_, timer) => *timer = None,
            }
        }
        are_due
    }
}

impl Timer {
    /// Whether it has run out; else registers the waker.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tokio(timer) => timer.as_mut().poll(cx),
            #[cfg(feature = "async-io")]
            Self::AsyncIo(timer) => Pin::new(timer).poll(cx).map(|_| ()),
            #[cfg(not(any(feature = "tokio", feature = "async-io")))]
            _ => unreachable!("there is no executor"),
        }
    }

    fn set(&mut self, at: Instant) {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tokio(timer) => timer.as_mut().reset(at.into()),
            #[cfg(feature = "async-io")]
            Self::AsyncIo(timer) => timer.set_at(at),
            #[cfg(not(any(feature = "tokio", feature = "async-io")))]
            _ => unreachable!("there is no executor"),
        }
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
