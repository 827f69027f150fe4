//! A queue: its name, its shape, the limits of the system, sending and receiving.
//!
//! # Safety
//! The kernel is given names that end in zero, attributes that live through the call, and buffers with their lengths.

#![allow(
    unsafe_code,
    reason = "mq_open, mq_unlink, mq_getattr, mq_send, mq_receive and mq_notify, which rustix does not offer"
)]

use ringshm_core::error::OpenError;
use rustix::fs::{Mode, Stat, fchmod, fstat};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

/// The highest priority of a message, as of `sysconf(_SC_MQ_PRIO_MAX)`.
pub const HIGHEST_PRIORITY: u32 = 32767;

/// A limit of the system for queues.
const MOST_MESSAGES: &str = "/proc/sys/fs/mqueue/msg_max";
const MOST_BYTES: &str = "/proc/sys/fs/mqueue/msgsize_max";
const MOST_QUEUES: &str = "/proc/sys/fs/mqueue/queues_max";

/// How many messages a queue holds, and how long they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Shape {
    /// What is not asked for, as far as the system allows it: 10 messages of 8 KiB.
    pub(super) fn wished(messages: Option<usize>, bytes: Option<usize>) -> Self {
        let allowed = |limit, usual: usize| {
            crate::limit(limit).map_or(usual, |most| usual.min(usize::try_from(most).unwrap_or(usize::MAX)))
        };
        Self {
            messages: messages.unwrap_or_else(|| allowed(MOST_MESSAGES, 10)),
            bytes: bytes.unwrap_or_else(|| allowed(MOST_BYTES, 8192)),
        }
    }
}

impl core::fmt::Display for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} messages of up to {} bytes", self.messages, self.bytes)
    }
}

/// A name that the kernel takes: a slash, and 1 to 254 bytes without one.
#[derive(Clone, Debug)]
pub(super) struct QueueName(CString);

impl QueueName {
    pub(super) fn new(name: &str) -> Result<Self, OpenError> {
        let invalid = |reason: &str| OpenError::InvalidName { name: name.to_owned(), reason: reason.to_owned() };
        let bare = name.strip_prefix('/').ok_or_else(|| invalid("the name of a queue begins with a slash"))?;
        match bare.len() {
            0 => return Err(invalid("the name of a queue has a byte at least behind its slash")),
            1..=254 => {}
            _ => return Err(invalid("the name of a queue has at most 254 bytes behind its slash")),
        }
        if bare.contains('/') || matches!(bare, "." | "..") {
            return Err(invalid("the name of a queue has one slash, at its beginning, and is neither . nor .."));
        }
        CString::new(name).map(Self).map_err(|_| invalid("the name of a queue contains no zero byte"))
    }

    /// Where it would be if the file system of queues were mounted at its usual place: for people.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/mqueue{}", self.0.to_string_lossy()))
    }

    pub(super) fn unlink(&self) -> io::Result<()> {
        // SAFETY: a name that ends in zero.
        checked(unsafe { libc::mq_unlink(self.0.as_ptr()) }).map(drop)
    }
}

/// An open queue. Calls on it do not wait.
#[derive(Debug)]
pub(super) struct Queue {
    file: OwnedFd,
    shape: Shape,
}

impl Queue {
    /// Opens the queue if there is one.
    pub(super) fn open(name: &QueueName) -> Result<Option<Self>, OpenError> {
        // For both directions: a lock that is shared needs the right to read, one that is not the right to write.
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: a name that ends in zero.
        match checked(unsafe { libc::mq_open(name.0.as_ptr(), flags) }) {
            Ok(descriptor) => Self::from_raw(descriptor).map(Some),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => Ok(None),
                Some(libc::EACCES) => Err(OpenError::Permission {
                    path: name.path(),
                    reason: "its rights do not let this user send and receive".to_owned(),
                }),
                _ => Err(OpenError::Os { step: "opening the message queue (mq_open)", source: error }),
            },
        }
    }

    /// Makes the queue, unless there is one by now.
    pub(super) fn create(name: &QueueName, shape: Shape, mode: u32) -> Result<Option<Self>, OpenError> {
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_CREAT | libc::O_EXCL;
        let number = |wish: usize| libc::c_long::try_from(wish).unwrap_or(libc::c_long::MAX);
        // SAFETY: numbers, for which zero is a value.
        let mut attributes: libc::mq_attr = unsafe { core::mem::zeroed() };
        (attributes.mq_maxmsg, attributes.mq_msgsize) = (number(shape.messages), number(shape.bytes));
        // SAFETY: a name that ends in zero, and attributes that live through the call.
        let made = checked(unsafe { libc::mq_open(name.0.as_ptr(), flags, mode, &raw const attributes) });
        let descriptor = match made {
            Ok(descriptor) => descriptor,
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => return Ok(None),
            Err(error) => return Err(refusal(error, shape, name)),
        };
        let queue = Self::from_raw(descriptor)?;
        // What the umask of this process took away.
        if queue.mode() != mode {
            let _ = queue.set_mode(mode);
        }
        Ok(Some(queue))
    }

    fn from_raw(descriptor: libc::mqd_t) -> Result<Self, OpenError> {
        // SAFETY: just opened, and nobody else has it; on Linux it is a file descriptor.
        let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // SAFETY: numbers, for which zero is a value.
        let mut attributes: libc::mq_attr = unsafe { core::mem::zeroed() };
        // SAFETY: an open queue, and attributes for the kernel to fill.
        checked(unsafe { libc::mq_getattr(file.as_raw_fd(), &raw mut attributes) })
            .map_err(|source| OpenError::Os { step: "asking for the queue's shape (mq_getattr)", source })?;
        let number = |found: libc::c_long| usize::try_from(found).unwrap_or(0);
        let shape = Shape { messages: number(attributes.mq_maxmsg), bytes: number(attributes.mq_msgsize) };
        Ok(Self { file, shape })
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    fn stat(&self) -> Option<Stat> {
        fstat(&self.file).ok()
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> Option<u32> {
        self.stat().map(|stat| stat.st_uid)
    }

    /// Its mode bits, zero if the kernel does not say.
    pub(super) fn mode(&self) -> u32 {
        self.stat().map_or(0, |stat| stat.st_mode & 0o7777)
    }

    pub(super) fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        fchmod(&self.file, Mode::from_raw_mode(mode))
    }

    /// Whether its name leads elsewhere, or nowhere.
    pub(super) fn is_removed(&self) -> bool {
        self.stat().is_some_and(|stat| stat.st_nlink == 0)
    }

    /// Whether it holds no message. If the kernel does not say, it does.
    pub(super) fn is_empty(&self) -> bool {
        // SAFETY: numbers, for which zero is a value.
        let mut attributes: libc::mq_attr = unsafe { core::mem::zeroed() };
        // SAFETY: an open queue, and attributes for the kernel to fill.
        let asked = checked(unsafe { libc::mq_getattr(self.file.as_raw_fd(), &raw mut attributes) });
        asked.is_ok() && attributes.mq_curmsgs == 0
    }

    /// Sends a packet if there is room; EAGAIN if not.
    #[inline]
    pub(super) fn send(&self, packet: &[u8], priority: u32) -> Result<(), Errno> {
        // SAFETY: a packet and its length.
        retry(|| unsafe {
            libc::mq_send(self.file.as_raw_fd(), packet.as_ptr().cast(), packet.len(), priority) as isize
        })
        .map(drop)
    }

    /// Receives the oldest packet of the highest priority, and says how long it is; EAGAIN if there is none. `into` must have room for the queue's
    /// longest.
    #[inline]
    pub(super) fn receive(&self, into: &mut [u8]) -> Result<(usize, u32), Errno> {
        let mut priority = 0;
        let (place, room) = (into.as_mut_ptr().cast(), into.len());
        // SAFETY: a buffer and its length, and a number that lives through the call.
        let len = retry(|| unsafe { libc::mq_receive(self.file.as_raw_fd(), place, room, &raw mut priority) })?;
        Ok((len, priority))
    }

    /// Has the kernel send `signal` to this process when the next message comes to the empty queue, once. `None`: no longer.
    pub(super) fn notify(&self, signal: Option<i32>) -> Result<(), Errno> {
        // SAFETY: numbers and pointers, for which zero is a value.
        let mut event: libc::sigevent = unsafe { core::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal.unwrap_or(0);
        let event = if signal.is_some() { &raw const event } else { core::ptr::null() };
        // SAFETY: an open queue, and an event that lives through the call, or none.
        retry(|| unsafe { libc::mq_notify(self.file.as_raw_fd(), event) as isize }).map(drop)
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Why the kernel made no queue, by name of the limit that it has run into.
fn refusal(error: io::Error, shape: Shape, name: &QueueName) -> OpenError {
    let exceeds = |asked: usize, limit| crate::limit(limit).is_some_and(|most| asked as u64 > most);
    let limited = |needed: String, limit| OpenError::Limit { needed, limit, allows: crate::limit(limit) };
    match error.raw_os_error() {
        Some(libc::EINVAL) if exceeds(shape.messages, MOST_MESSAGES) || shape.messages == 0 => {
            limited(format!("the queue was to hold {} messages", shape.messages), MOST_MESSAGES)
        }
        Some(libc::EINVAL | libc::EMSGSIZE | libc::EOVERFLOW) => {
            limited(format!("a message of the queue was to have up to {} bytes", shape.bytes), MOST_BYTES)
        }
        Some(libc::ENOSPC) => limited("one more queue was needed".to_owned(), MOST_QUEUES),
        // The kernel says this of descriptors, too: then the limit of those is the smaller news.
        Some(libc::EMFILE | libc::ENOMEM) => OpenError::Limit {
            needed: format!("a queue of {shape} takes memory that this user's queues may not have together"),
            limit: "RLIMIT_MSGQUEUE (ulimit -q)",
            allows: message_memory(),
        },
        Some(libc::EACCES) => {
            OpenError::Permission { path: name.path(), reason: "this user may not make queues".to_owned() }
        }
        _ => OpenError::Os { step: "making the message queue (mq_open)", source: error },
    }
}

/// Bytes that the queues of this user may take together.
fn message_memory() -> Option<u64> {
    // rustix has no name for this limit.
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a limit for the kernel to fill.
    let asked = checked(unsafe { libc::getrlimit(libc::RLIMIT_MSGQUEUE, &raw mut limit) });
    asked.ok().map(|_| limit.rlim_cur)
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes a call again that a signal interrupted.
#[inline]
fn retry(mut call: impl FnMut() -> isize) -> Result<usize, Errno> {
    loop {
        if let Ok(result) = usize::try_from(call()) {
            return Ok(result);
        }
        let errno = Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO);
        if errno != Errno::INTR {
            return Err(errno);
        }
    }
}
