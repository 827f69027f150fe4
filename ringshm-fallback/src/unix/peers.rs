//! Who is at the other end of a Unix socket, and whether that is somebody to deal with.
//!
//! # Safety
//! `getsockopt` is given a descriptor that the caller holds, and a pointer to a local `ucred` with its size.

#![allow(
    unsafe_code,
    reason = "SO_PEERCRED: rustix takes a process number for one that is never 0, which it is in another PID namespace"
)]

use ringshm_core::Fault;
use ringshm_core::error::Rejection;
use rustix::io::Errno;
use rustix::process::geteuid;
use std::os::fd::{AsFd, AsRawFd};

/// With whose processes a Unix socket's peers may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trusted {
    /// Those of this process's own user, and nobody else's: not root's either.
    #[default]
    SameUser,
    /// Those of that user.
    User(u32),
    /// Anybody's who can reach the socket.
    Anyone,
}

impl Trusted {
    /// Whether a process of that user will do.
    pub(crate) fn admits(self, uid: u32) -> bool {
        self.user().is_none_or(|user| user == uid)
    }

    /// The same, the user of this process called by its number: so that it need not be asked for again and again. `None`: anyone.
    pub(crate) fn user(self) -> Option<u32> {
        match self {
            Self::SameUser => Some(geteuid().as_raw()),
            Self::User(user) => Some(user),
            Self::Anyone => None,
        }
    }

    /// `uid=1000`, `uid=any`.
    pub(crate) fn from_option(value: &str) -> Result<Self, &'static str> {
        match value {
            "any" => Ok(Self::Anyone),
            user => user.parse().map(Self::User).map_err(|_| "the number of a user, or any"),
        }
    }
}

/// A process at the other end of a Unix socket, as the kernel told when it connected or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number, as seen from here: `None` if it is in a PID namespace that cannot be seen from here.
    pub pid: Option<u32>,
    /// Its user.
    pub uid: u32,
}

impl Peer {
    pub(crate) fn new(credentials: &libc::ucred) -> Self {
        let pid = u32::try_from(credentials.pid).ok().filter(|pid| *pid != 0);
        Self { pid, uid: credentials.uid }
    }

    /// Who connected a stream or a sequence of packets, or listened where this socket connected to.
    pub(crate) fn of(socket: impl AsFd) -> Result<Self, Fault> {
        let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let mut len = size_of::<libc::ucred>() as libc::socklen_t;
        let socket = socket.as_fd().as_raw_fd();
        let into = (&raw mut credentials).cast();
        // SAFETY: an open descriptor, and a `ucred` of that size that lives through the call.
        if unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, into, &raw mut len) } == -1 {
            let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
            return Err(crate::wait::refused("asking who the peer is (SO_PEERCRED)")(errno));
        }
        Ok(Self::new(&credentials))
    }

    /// What it sent, or that it came, is no good.
    pub(crate) fn rejected(self, reason: &'static str) -> Rejection {
        Rejection { reason, pid: self.pid, uid: Some(self.uid) }
    }
}

/// Why a peer is not dealt with that is not [`Trusted`].
pub(crate) const STRANGER: &str = "it belongs to another user (option uid)";
