//! The two ends of a FIFO, and how each finds out that the other side is gone.
//!
//! | end | opened for | the other side is gone when |
//! |---|---|---|
//! | receiver | reading | the kernel says so: the last writer has closed |
//! | receiver that awaits successors | reading and writing | never: it is a writer itself |
//! | sender of frames | reading and writing: what lies in the pipe survives a receiver | no receiver's lock is left |
//! | sender for foreign programs | writing | the kernel says so: the last reader has closed |
//!
//! The descriptions are this process's own, so unlike those of a pipe they may be told never to sleep, which they have to be: FIFOs do not know `RWF_NOWAIT`.

use super::file::{has_receiver, number_of_sender, reopened};
use crate::link::{Halt, Patience, Sink, Source, halted};
use crate::outlet::beginning;
use crate::pipe::{Means, Restraint};
use crate::wait::{Wake, until_ready};
use core::time::Duration;
use memchr::memmem;
use ringshm_core::{Deadline, Interest};
use ringshm_sync::time::Ration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, ioctl_fionread, read};
use std::io::IoSlice;
use std::os::fd::OwnedFd;

/// How often a sender looks whether there still is a receiver, and how long it sleeps at first before it looks again.
const LOOK: Duration = Duration::from_millis(5);
/// How long it sleeps in the end.
const LONG_LOOK: Duration = Duration::from_millis(20);

/// Longer and longer sleeps.
struct Naps(Duration);

impl Naps {
    fn next(&mut self) -> Duration {
        let nap = self.0;
        self.0 = (nap * 2).min(LONG_LOOK);
        nap
    }

    /// Sleeps, but not beyond the deadline. `false`: it has come.
    fn sleep(&mut self, deadline: Deadline) -> bool {
        let nap = self.next();
        let left = deadline.remaining().unwrap_or(nap);
        std::thread::sleep(left.min(nap));
        !left.is_zero()
    }
}

/// Bytes that are in a pipe. If the kernel cannot say, there are some.
pub(super) fn bytes_in(fd: &OwnedFd) -> u64 {
    ioctl_fionread(fd).unwrap_or(1)
}

/// The end from which is read.
#[derive(Debug)]
pub(super) struct ReadEnd {
    /// Never sleeps.
    pub(super) fd: OwnedFd,
    /// The same, but sleeps: for a wait without a deadline, in one system call. Not there without `/proc`.
    sleeping: Option<OwnedFd>,
    restraint: Restraint,
    ration: Ration,
}

impl ReadEnd {
    pub(super) fn new(fd: OwnedFd) -> Self {
        let sleeping = reopened(&fd, OFlags::RDONLY | OFlags::NONBLOCK).ok();
        let sleeping = sleeping.filter(|fd| fcntl_setfl(fd, OFlags::empty()).is_ok());
        Self { fd, sleeping, restraint: Restraint::default(), ration: Ration::default() }
    }

    /// Whether the last writer has left, and not only none come. Asked when nothing was there.
    fn is_at_end(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let is_told = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok();
        let revents = fds[0].revents();
        is_told && revents.contains(PollFlags::HUP) && !revents.contains(PollFlags::IN)
    }
}

impl Source for ReadEnd {
    fn has_lost(&mut self, part: &[u8]) -> bool {
        // An attempt that does not wait may be made again and again.
        if !self.ration.is_due(LONG_LOOK) {
            return false;
        }
        match number_of_sender(&self.fd) {
            // What it says of itself lies in what was taken for payload: that was its predecessor's.
            Ok(Some(sender)) => memmem::find(part, &beginning(sender)).is_some(),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    fn read(&mut self, into: &mut [u8], patience: Patience) -> Result<usize, Halt> {
        if patience != Patience::None {
            // What else it says is said again.
            if let Some(Ok(count @ 1..)) = self.restraint.look(|| read(&self.fd, &mut *into)) {
                return Ok(count);
            }
        }
        loop {
            let fd = match &self.sleeping {
                Some(sleeping) if patience == Patience::ENDLESS => sleeping,
                _ => &self.fd,
            };
            match read(fd, &mut *into) {
                Ok(0) if self.is_at_end() => return Ok(0),
                // Nobody has come yet, or somebody comes right now.
                Ok(0) | Err(Errno::AGAIN) => {}
                Ok(count) => return Ok(count),
                Err(errno) => {
                    halted(errno, "reading from a FIFO (read)")?;
                    continue;
                }
            }
            let Patience::Until(deadline) = patience else { return Err(Halt::NotReady) };
            match until_ready(&self.fd, Interest::Readable, deadline) {
                Ok(Wake::Ready) => {}
                Ok(Wake::TimedOut) => return Err(Halt::NotReady),
                Err(fault) => return Err(Halt::Fault(fault)),
            }
        }
    }
}

/// The end into which is written.
#[derive(Debug)]
pub(super) struct WriteEnd {
    /// Never sleeps.
    pub(super) fd: OwnedFd,
    means: Means,
    /// Whether it has the FIFO open for reading, too: then it looks for receivers' locks, else the kernel tells of readers.
    holds_both: bool,
    /// Whether it waits for another receiver when one is gone.
    awaits: bool,
    /// Whether a receiver has been there.
    has_met: bool,
    /// Whether it was gone when this last looked.
    is_alone: bool,
    ration: Ration,
}

impl WriteEnd {
    pub(super) fn new(fd: OwnedFd, holds_both: bool, awaits: bool) -> Self {
        let (means, ration) = (Means::for_sleepless(), Ration::default());
        Self { fd, means, holds_both, awaits, has_met: false, is_alone: false, ration }
    }

    /// Looks for a receiver.
    fn look(&mut self) -> Result<(), Halt> {
        let is_there = has_receiver(&self.fd);
        self.has_met |= is_there;
        self.is_alone = self.has_met && !is_there && !self.awaits;
        if self.is_alone { Err(Halt::Disconnected) } else { Ok(()) }
    }

    /// Whether it looks for receivers' locks at all.
    fn looks(&self) -> bool {
        self.holds_both && !self.awaits
    }

    /// Waits until there is room, and no longer than until the receiver is gone.
    fn wait_for_room(&mut self, naps: &mut Naps, deadline: Deadline) -> Result<(), Halt> {
        let bound = if self.looks() { deadline.at_most(naps.next()) } else { deadline };
        match until_ready(&self.fd, Interest::Writable, bound) {
            Ok(Wake::TimedOut) if deadline.is_over() => Err(Halt::NotReady),
            Ok(_) => Ok(()),
            Err(fault) => Err(Halt::Fault(fault)),
        }
    }

    /// Nobody reads. Waits for somebody who does, if that is to be.
    fn wait_for_reader(&mut self, naps: &mut Naps, patience: Patience) -> Result<(), Halt> {
        if self.has_met && !self.awaits {
            return Err(Halt::Disconnected);
        }
        let Patience::Until(deadline) = patience else { return Err(Halt::NotReady) };
        // To open for writing waits for a reader. With a deadline, there is nothing to wait for but to look again.
        if deadline == Deadline::NEVER && reopened(&self.fd, OFlags::WRONLY).is_ok() {
            return Ok(());
        }
        if naps.sleep(deadline) { Ok(()) } else { Err(Halt::NotReady) }
    }

    /// Waits until everything was read, or until the deadline. Returns whether it was.
    pub(super) fn drain(&mut self, deadline: Deadline) -> bool {
        let mut naps = Naps(Duration::from_millis(1));
        while bytes_in(&self.fd) > 0 {
            if !naps.sleep(deadline) {
                return false;
            }
        }
        true
    }

    /// What was sent and not read is gone with the last process that has the FIFO open. If no receiver has ever been there, waits for one,
    /// or until everything was read.
    pub(super) fn linger(&mut self, patience: Duration) {
        let mut naps = Naps(Duration::from_millis(1));
        let deadline = Deadline::after(patience);
        while self.holds_both && bytes_in(&self.fd) > 0 && self.look().is_ok() && !has_receiver(&self.fd) {
            if !naps.sleep(deadline) {
                return;
            }
        }
    }
}

impl Sink for WriteEnd {
    fn write(&mut self, parts: &[IoSlice<'_>], patience: Patience) -> Result<usize, Halt> {
        if self.looks() && (self.is_alone || self.ration.is_due(LOOK)) {
            self.look()?;
        }
        let mut naps = Naps(LOOK);
        loop {
            match self.means.write(&self.fd, parts, false) {
                Ok(count) => {
                    self.has_met |= !self.holds_both;
                    return Ok(count);
                }
                Err(Errno::AGAIN) => {
                    if self.looks() {
                        self.look()?;
                    }
                    let Patience::Until(deadline) = patience else { return Err(Halt::NotReady) };
                    self.wait_for_room(&mut naps, deadline)?;
                }
                Err(Errno::PIPE) => self.wait_for_reader(&mut naps, patience)?,
                Err(errno) => halted(errno, "writing into a FIFO (write)")?,
            }
        }
    }
}
