//! Where an end of a pipe comes from: standard input and output, a descriptor that was inherited, a child that inherits one.
//!
//! # Safety
//! A number says nothing of who owns the descriptor behind it. One that was inherited is not closed by `exec`; everything that a Rust program opens
//! itself is (`O_CLOEXEC`), and so is what was taken over here. So a descriptor is taken only if `exec` would leave it open, and
//! that is changed at once: nobody takes it twice, nor what belongs to somebody else in this process. A library that opens descriptors
//! without `O_CLOEXEC` can be robbed by a program that is told its number.

#![allow(unsafe_code, reason = "taking over inherited descriptors, and leaving one open in a child")]

use super::failed;
use crate::address::Address;
use ringshm_core::error::OpenError;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::Mutex;

/// The environment variable in which a child finds the name of its pipe.
pub(super) const VARIABLE: &str = "RINGSHM_PIPE";

/// The side of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Sender,
    Receiver,
}

/// Where an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Standard input, or output.
    Standard,
    /// An inherited descriptor.
    Descriptor(RawFd),
}

fn invalid(descriptor: impl core::fmt::Display, reason: String) -> OpenError {
    OpenError::InvalidName { name: format!("pipe:{descriptor}"), reason }
}

impl Place {
    pub(super) fn parse(address: &Address) -> Result<Self, OpenError> {
        let place = address.place();
        if place.is_empty() {
            return Ok(Self::Standard);
        }
        match place.strip_prefix("fd=").unwrap_or(place).parse::<RawFd>() {
            Ok(number) if number >= 0 => Ok(Self::Descriptor(number)),
            _ => Err(address.invalid("a pipe has no name but a descriptor's number: pipe:3, or pipe: for standard input and output; for a path there are FIFOs, fifo:///path")),
        }
    }

    /// The descriptor there.
    pub(super) fn take(self, role: Role) -> Result<OwnedFd, OpenError> {
        match (self, role) {
            (Self::Standard, Role::Receiver) => duplicate(0),
            (Self::Standard, Role::Sender) => duplicate(1),
            (Self::Descriptor(number @ 0..=2), _) => duplicate(number),
            (Self::Descriptor(number), _) => take_over(number),
        }
    }
}

/// A duplicate of one of the three descriptors that every program shares within itself.
fn duplicate(number: RawFd) -> Result<OwnedFd, OpenError> {
    // SAFETY: borrowed for this call only, which fails if nothing is behind the number.
    let standard = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_dupfd_cloexec(standard, 3).map_err(|errno| match errno {
        Errno::BADF => invalid(number, "it is closed: start this program with a pipe there".to_owned()),
        errno => failed("duplicating a descriptor (F_DUPFD)")(errno),
    })
}

/// A descriptor that this process inherited and nobody has taken yet.
fn take_over(number: RawFd) -> Result<OwnedFd, OpenError> {
    /// Nobody takes the same descriptor between another's two steps.
    static TAKING: Mutex<()> = Mutex::new(());
    let _alone = TAKING.lock();
    // SAFETY: borrowed until the flag is set; that fails if nothing is behind the number.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(inherited).map_err(|_| {
        invalid(number, format!("nothing is open there: start this program with a pipe as its descriptor {number}"))
    })?;
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(invalid(
            number,
            "this process opened it itself, or has taken it over already: it was not inherited".to_owned(),
        ));
    }
    fcntl_setfd(inherited, flags | FdFlags::CLOEXEC).map_err(failed("taking over a descriptor (F_SETFD)"))?;
    // SAFETY: it is open, was inherited, and nobody else in this process takes it: see the module.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether `descriptor` is that end of a pipe, for packets if they are wanted.
pub(super) fn check(descriptor: &OwnedFd, role: Role, packets: bool) -> Result<(), OpenError> {
    let number = descriptor.as_raw_fd();
    let refused = |what: &str| Err(invalid(number, what.to_owned()));
    let stat = fstat(descriptor).map_err(failed("looking at a descriptor (fstat)"))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => {}
        FileType::RegularFile => return refused("it is a file and no pipe: read or write it as one"),
        FileType::CharacterDevice => {
            return refused("it is a terminal or another device and no pipe: connect it with | in the shell");
        }
        FileType::Socket => return refused("it is a socket and no pipe"),
        _ => return refused("it is no pipe"),
    }
    let flags = fcntl_getfl(descriptor).map_err(failed("looking at a descriptor's flags (F_GETFL)"))?;
    match (flags & OFlags::RWMODE, role) {
        (OFlags::RDONLY, Role::Sender) => return refused("it is the receiving end of a pipe and not the sending one"),
        (OFlags::WRONLY, Role::Receiver) => {
            return refused("it is the sending end of a pipe and not the receiving one");
        }
        _ => {}
    }
    if packets && !flags.contains(OFlags::DIRECT) {
        let reason = "this pipe was not made for packets (O_DIRECT): make it with the same option".to_owned();
        return Err(OpenError::InvalidOption { option: "packets", reason });
    }
    Ok(())
}

/// Has the programs that `command` will start inherit `end`, and tells them so.
pub(super) fn give(command: &mut Command, end: OwnedFd, options: &str) -> Result<(), OpenError> {
    // A child's first three descriptors are set up before the others are left open.
    let end = if end.as_raw_fd() > 2 { end } else { duplicate(end.as_raw_fd())? };
    command.env(VARIABLE, format!("pipe:fd={}?{options}", end.as_raw_fd()));
    let leave_open = move || Ok(fcntl_setfd(&end, FdFlags::empty())?);
    // SAFETY: between fork and exec, the closure makes one system call and touches nothing else.
    unsafe { command.pre_exec(leave_open) };
    Ok(())
}

pub(super) fn spawn(command: &mut Command) -> Result<Child, OpenError> {
    command.spawn().map_err(|source| OpenError::Os { step: "starting a program", source })
}
