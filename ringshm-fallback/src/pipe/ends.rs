//! The two ends of a pipe: reading and writing without ever changing the descriptor's flags.
//!
//! A descriptor may be shared with other processes, as a shell's standard input is, and `O_NONBLOCK` belongs to what is shared: others would
//! find their reads failing. So a call that must not sleep says so itself (`RWF_NOWAIT`, for pipes since Linux 6.5). Where the kernel
//! does not know that, it asks with `poll` first; then it may sleep after all if another process is faster.

use crate::link::{Halt, Patience, Sink, Source, patiently};
use crate::sigpipe::{self, NOSIGNAL};
use crate::wait::{Wake, until_ready};
use core::time::Duration;
use ringshm_core::{Deadline, Interest};
use ringshm_sync::time::Stopwatch;
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2, read, writev};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest write that the kernel takes as a whole or not at all (`PIPE_BUF`), and the longest packet.
pub(crate) const WHOLE: usize = 4096;

/// Neither sleeps nor waits.
const NOWAIT: ReadWriteFlags = ReadWriteFlags::NOWAIT;
/// At the place where the file is: the only one that a pipe has.
const HERE: u64 = u64::MAX;

/// As if the kernel had said that it would have to sleep, if it says so.
fn ask(fd: impl AsFd, interest: Interest) -> Result<(), Errno> {
    match until_ready(fd, interest, Deadline::after(Duration::ZERO)) {
        Ok(Wake::Ready) => Ok(()),
        Ok(Wake::TimedOut) => Err(Errno::AGAIN),
        Err(_) => Err(Errno::NOMEM),
    }
}

/// How a receiver that may sleep asks a stream that has little for it.
///
/// One that is faster than its sender and asks at once gets one message at a time: both fight for the pipe's lock, and a message takes longer than if it
/// gave the sender a moment. And who looks again before it falls asleep need not be woken, which takes longer than all that. Measured between
/// two cores, 64 bytes a message: streams 1.5 times as long without the pause, round trips 4 times as long without looking again.
#[derive(Debug, Default)]
pub(crate) struct Restraint {
    /// Bytes of the last reading.
    last: usize,
}

impl Restraint {
    /// With less than this at a time, the sender is given a moment.
    const LITTLE: usize = 1024;
    const MOMENT: Duration = Duration::from_micros(2);
    /// How often it looks before it sleeps.
    const LOOKS: usize = 4;

    /// Calls `attempt`, which never sleeps, a few times. Nothing: it may sleep now.
    pub(crate) fn look(&mut self, mut attempt: impl FnMut() -> Result<usize, Errno>) -> Option<Result<usize, Errno>> {
        for _ in 0..Self::LOOKS {
            if self.last < Self::LITTLE {
                let moment = Stopwatch::start();
                while !moment.has_run(Self::MOMENT) {
                    core::hint::spin_loop();
                }
            }
            match attempt() {
                Err(Errno::AGAIN) => self.last = 0,
                result => {
                    self.last = *result.as_ref().unwrap_or(&0);
                    return Some(result);
                }
            }
        }
        None
    }
}

/// The end from which is read.
#[derive(Debug)]
pub(crate) struct ReadEnd {
    fd: OwnedFd,
    /// Whether the kernel knows reads of it that do not wait.
    knows_nowait: bool,
    restraint: Restraint,
}

impl ReadEnd {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, knows_nowait: true, restraint: Restraint::default() }
    }
}

impl AsFd for ReadEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Source for ReadEnd {
    fn read(&mut self, into: &mut [u8], patience: Patience) -> Result<usize, Halt> {
        let Self { fd, knows_nowait, restraint } = self;
        if patience != Patience::None && *knows_nowait {
            let attempt = || preadv2(&*fd, &mut [IoSliceMut::new(into)], HERE, NOWAIT);
            // What else it says is said again.
            if let Some(Ok(count)) = restraint.look(attempt) {
                return Ok(count);
            }
        }
        patiently(&*fd, Interest::Readable, patience, "reading from a pipe (read)", || {
            if patience == Patience::ENDLESS {
                return read(&*fd, &mut *into);
            }
            if *knows_nowait {
                match preadv2(&*fd, &mut [IoSliceMut::new(into)], HERE, NOWAIT) {
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) => *knows_nowait = false,
                    result => return result,
                }
            }
            ask(&*fd, Interest::Readable)?;
            read(&*fd, &mut *into)
        })
    }
}

/// The end into which is written.
#[derive(Debug)]
pub(crate) struct WriteEnd {
    fd: OwnedFd,
    means: Means,
}

/// How to write without sleeping and without SIGPIPE, as far as is known of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    flags: ReadWriteFlags,
    /// Whether the descriptor never sleeps anyway.
    never_sleeps: bool,
    /// Whether the process ignored SIGPIPE when the descriptor was opened.
    ignores_signal: bool,
}

impl Means {
    /// For a descriptor whose flags others may share.
    pub(crate) fn for_shared() -> Self {
        Self { flags: NOWAIT.union(NOSIGNAL), never_sleeps: false, ignores_signal: sigpipe::is_ignored() }
    }

    /// For a descriptor of its own, which never sleeps.
    pub(crate) fn for_sleepless() -> Self {
        Self { flags: NOSIGNAL, never_sleeps: true, ignores_signal: sigpipe::is_ignored() }
    }

    /// The next thing to try, after the kernel has said that it does not know what was asked for.
    fn know_less(&mut self) {
        self.flags = if self.flags == NOWAIT.union(NOSIGNAL) {
            NOSIGNAL
        } else if self.flags == NOSIGNAL && !self.never_sleeps {
            NOWAIT
        } else {
            ReadWriteFlags::empty()
        };
    }

    /// One call that writes, and does not sleep unless it may. Without what it takes, it writes no more than what fits for certain.
    pub(crate) fn write(&mut self, fd: impl AsFd, parts: &[IoSlice<'_>], may_sleep: bool) -> Result<usize, Errno> {
        loop {
            let flags = if may_sleep { self.flags.difference(NOWAIT) } else { self.flags };
            let result = if may_sleep || self.never_sleeps || flags.contains(NOWAIT) {
                self.quietly(&fd, parts, flags)
            } else {
                ask(&fd, Interest::Writable)?;
                let first = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| &part[..]);
                self.quietly(&fd, &[IoSlice::new(&first[..first.len().min(WHOLE)])], flags)
            };
            match result {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) if may_sleep && !flags.is_empty() => {
                    self.flags = self.flags.difference(NOSIGNAL);
                }
                Err(Errno::OPNOTSUPP | Errno::NOSYS) if !flags.is_empty() => self.know_less(),
                result => return result,
            }
        }
    }

    fn quietly(&self, fd: impl AsFd, parts: &[IoSlice<'_>], flags: ReadWriteFlags) -> Result<usize, Errno> {
        let write = || if flags.is_empty() { writev(&fd, parts) } else { pwritev2(&fd, parts, HERE, flags) };
        if flags.contains(NOSIGNAL) || self.ignores_signal { write() } else { sigpipe::without(write) }
    }
}

impl WriteEnd {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, means: Means::for_shared() }
    }
}

impl AsFd for WriteEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Sink for WriteEnd {
    fn write(&mut self, parts: &[IoSlice<'_>], patience: Patience) -> Result<usize, Halt> {
        let Self { fd, means } = self;
        patiently(&*fd, Interest::Writable, patience, "writing into a pipe (write)", || {
            means.write(&*fd, parts, patience == Patience::ENDLESS)
        })
    }
}

#[cfg(test)]
mod tests;
