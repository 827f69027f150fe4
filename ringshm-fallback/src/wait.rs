//! Waiting for a descriptor: deadlines and interruptions, handled once.

use ringshm_core::{Deadline, Fault, Interest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// What became of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There is something to read, or room; or an error or the end, which the next call on the descriptor tells.
    Ready,
    /// The deadline came first.
    TimedOut,
}

/// A fault, of a step that the kernel refused.
pub(crate) fn refused(step: &'static str) -> impl Fn(Errno) -> Fault {
    move |errno| Fault::Os { step, errno: errno.raw_os_error() }
}

/// Sleeps until a descriptor is ready, or until the deadline. Signals do not end it.
///
/// # Errors
/// [`Fault::Os`] if the kernel has no memory for it.
pub fn until_ready(fd: impl AsFd, interest: Interest, deadline: Deadline) -> Result<Wake, Fault> {
    until_either_ready(&fd, interest, None, deadline)
}

/// As [`until_ready`], or until a process ends, of which `process` is a descriptor.
///
/// # Errors
/// As [`until_ready`].
pub(crate) fn until_either_ready(
    fd: &impl AsFd,
    interest: Interest,
    process: Option<&OwnedFd>,
    deadline: Deadline,
) -> Result<Wake, Fault> {
    let flags = match interest {
        Interest::Readable => PollFlags::IN,
        Interest::Writable => PollFlags::OUT,
        Interest::Either => PollFlags::IN | PollFlags::OUT,
    };
    let watched = if process.is_some() { 2 } else { 1 };
    let both =
        &mut [PollFd::new(fd, flags), PollFd::from_borrowed_fd(process.map_or(fd.as_fd(), AsFd::as_fd), PollFlags::IN)];
    until_any_ready(&mut both[..watched], deadline)
}

/// As [`until_ready`], of several descriptors: which, they say afterwards.
///
/// # Errors
/// As of [`until_ready`].
pub(crate) fn until_any_ready(fds: &mut [PollFd<'_>], deadline: Deadline) -> Result<Wake, Fault> {
    loop {
        let left = deadline.remaining().map(|left| Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(fds, left.as_ref()) {
            Ok(0) => return Ok(Wake::TimedOut),
            Ok(_) => return Ok(Wake::Ready),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(refused("waiting for a descriptor (poll)")(errno)),
        }
    }
}
