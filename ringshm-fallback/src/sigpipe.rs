//! A write into a pipe that nobody reads raises SIGPIPE, which kills a program that neither ignores nor handles it. Whoever embeds ringshm is not
//! to be killed, and is not to have its signals changed either.
//!
//! From Linux 6.18 on, a write can ask for no signal (`RWF_NOSIGNAL`). Before, a Rust program is safe because its standard library ignores the
//! signal. For one that does not, the thread that writes blocks the signal meanwhile and takes it back, which costs two more system
//! calls for each write.
//!
//! # Safety
//! The functions for signals are given sets that live through the call, and numbers of signals that there are.

#![allow(unsafe_code, reason = "signal masks, which rustix does not offer")]

use core::mem::MaybeUninit;
use core::ptr;
use rustix::io::{Errno, ReadWriteFlags};

/// No SIGPIPE for this write.
pub(crate) const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);

/// Whether this process ignores the signal.
pub(crate) fn is_ignored() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is set, and the present action is written to a place for it.
    let failed = unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) } != 0;
    // SAFETY: all of its bits may be zero, and the call fills it in.
    let action = unsafe { action.assume_init() };
    !failed && action.sa_sigaction == libc::SIG_IGN
}

/// Calls `write` so that it raises no signal.
pub(crate) fn without<T>(write: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let signal = set_of_pipe();
    // Pending already: the thread blocks it itself, and one more changes nothing.
    if is_pending() {
        return write();
    }
    let mut before = empty_set();
    // SAFETY: two sets that live through the call.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signal, &raw mut before) };
    let written = write();
    if matches!(written, Err(Errno::PIPE)) {
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a set and a time that live through the call; no report is asked for.
        while unsafe { libc::sigtimedwait(&raw const signal, ptr::null_mut(), &raw const now) } == -1
            && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
        {}
    }
    // SAFETY: a set that lives through the call; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    written
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::zeroed();
    // SAFETY: a place for a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: it was made an empty set.
    unsafe { set.assume_init() }
}

fn set_of_pipe() -> libc::sigset_t {
    let mut set = empty_set();
    // SAFETY: a set, and a signal that there is.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGPIPE) };
    set
}

fn is_pending() -> bool {
    let mut set = empty_set();
    // SAFETY: a place for a set.
    unsafe { libc::sigpending(&raw mut set) };
    // SAFETY: a set, and a signal that there is.
    unsafe { libc::sigismember(&raw const set, libc::SIGPIPE) == 1 }
}
