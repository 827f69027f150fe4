//! A queue: its key, the limits of the system, sending and receiving.
//!
//! # Safety
//! The kernel is given messages with room for as many bytes as it is told, and structures that live through the call.

#![allow(unsafe_code, reason = "ftok, msgget, msgctl, msgsnd and msgrcv, which no library offers")]

use ringshm_core::error::OpenError;
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::path::PathBuf;
use zerocopy::IntoBytes;

const MOST_QUEUES: &str = "/proc/sys/kernel/msgmni";
const MOST_BYTES: &str = "/proc/sys/kernel/msgmnb";
const LONGEST: &str = "/proc/sys/kernel/msgmax";

/// The number that leads to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) libc::key_t);

impl Key {
    pub(super) fn new(key: i32) -> Result<Self, OpenError> {
        if key == libc::IPC_PRIVATE {
            let reason = "0 stands for queues without a key: choose another number".to_owned();
            return Err(OpenError::InvalidName { name: key.to_string(), reason });
        }
        Ok(Self(key))
    }

    /// As `ftok` makes it, of a file that exists and a number from 1 to 255.
    pub(super) fn of_file(path: &str, id: u8) -> Result<Self, OpenError> {
        let invalid = |reason: &str| OpenError::InvalidName { name: path.to_owned(), reason: reason.to_owned() };
        if id == 0 {
            return Err(OpenError::InvalidOption { option: "id", reason: "it is a number from 1 to 255".to_owned() });
        }
        let name = CString::new(path).map_err(|_| invalid("a path contains no zero byte"))?;
        // SAFETY: a name that ends in zero.
        match unsafe { libc::ftok(name.as_ptr(), id.into()) } {
            -1 => Err(OpenError::NotFound { path: path.into() }),
            key => Self::new(key),
        }
    }

    /// What it is called where a path is expected.
    pub(super) fn path(self) -> PathBuf {
        PathBuf::from(format!("the System V message queue with the key {:#x}", self.0))
    }
}

/// What the kernel says of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) owner: u32,
    pub(super) messages: u64,
    /// Bytes that it holds at most.
    pub(super) capacity: u64,
}

/// A queue that there was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    pub(super) id: i32,
}

/// A message as the kernel takes it: its type, and its text behind that.
#[derive(Debug)]
pub(super) struct Letter {
    words: Vec<libc::c_long>,
}

const WORD: usize = size_of::<libc::c_long>();

impl Letter {
    /// With room for so many bytes of text.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self { words: vec![0; 1 + bytes.div_ceil(WORD)] }
    }

    pub(super) fn room(&self) -> usize {
        (self.words.len() - 1) * WORD
    }

    pub(super) fn text(&self) -> &[u8] {
        self.words[1..].as_bytes()
    }

    pub(super) fn text_mut(&mut self) -> &mut [u8] {
        self.words[1..].as_mut_bytes()
    }

    pub(super) fn kind(&self) -> i64 {
        self.words[0]
    }
}

impl Queue {
    /// The queue that a key leads to.
    pub(super) fn find(key: Key) -> Result<Option<Self>, OpenError> {
        // SAFETY: numbers only.
        match checked(unsafe { libc::msgget(key.0, 0) }) {
            Ok(id) => Ok(Some(Self { id })),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(refusal(error, key)),
        }
    }

    /// Makes one, unless there is one by now.
    pub(super) fn create(key: Key, mode: u32) -> Result<Option<Self>, OpenError> {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | (mode & 0o777) as libc::c_int;
        // SAFETY: numbers only.
        match checked(unsafe { libc::msgget(key.0, flags) }) {
            Ok(id) => Ok(Some(Self { id })),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(None),
            Err(error) => Err(refusal(error, key)),
        }
    }

    pub(super) fn state(self) -> io::Result<State> {
        let found = self.stat()?;
        Ok(State { owner: found.msg_perm.uid, messages: found.msg_qnum, capacity: found.msg_qbytes })
    }

    fn stat(self) -> io::Result<libc::msqid_ds> {
        let mut found = core::mem::MaybeUninit::<libc::msqid_ds>::zeroed();
        // SAFETY: a `msqid_ds` for the kernel to fill.
        checked(unsafe { libc::msgctl(self.id, libc::IPC_STAT, found.as_mut_ptr()) })?;
        // SAFETY: it consists of numbers, was zero, and the kernel has filled it.
        Ok(unsafe { found.assume_init() })
    }

    /// Lets it hold so many bytes.
    pub(super) fn set_capacity(self, bytes: u64) -> Result<(), OpenError> {
        let refused = |source: io::Error| match source.raw_os_error() {
            Some(libc::EPERM) => OpenError::Limit {
                needed: format!("the queue was to hold {bytes} bytes"),
                limit: MOST_BYTES,
                allows: crate::limit(MOST_BYTES),
            },
            _ => OpenError::Os { step: "setting the queue's capacity (msgctl IPC_SET)", source },
        };
        let mut found = self.stat().map_err(refused)?;
        found.msg_qbytes = bytes;
        // SAFETY: a `msqid_ds` that lives through the call.
        checked(unsafe { libc::msgctl(self.id, libc::IPC_SET, &raw mut found) }).map(drop).map_err(refused)
    }

    /// Whoever waits in it is told, now.
    pub(super) fn remove(self) -> io::Result<()> {
        // SAFETY: this command takes no structure.
        checked(unsafe { libc::msgctl(self.id, libc::IPC_RMID, core::ptr::null_mut()) }).map(drop)
    }

    /// Sends the first `len` bytes of a letter; EAGAIN if there is no room.
    #[inline]
    pub(super) fn send(self, letter: &mut Letter, kind: i64, len: usize) -> Result<(), Errno> {
        debug_assert!(len <= letter.room());
        letter.words[0] = kind;
        // SAFETY: a type, and behind it the room that `len` was checked against.
        retry(|| unsafe { libc::msgsnd(self.id, letter.words.as_ptr().cast(), len, libc::IPC_NOWAIT) as isize })
            .map(drop)
    }

    /// Receives the message that `select` stands for into a letter, and says how long it is; ENOMSG if there is none and this does not `wait`.
    #[inline]
    pub(super) fn receive(self, letter: &mut Letter, select: i64, wait: bool) -> Result<usize, Errno> {
        let flags = if wait { 0 } else { libc::IPC_NOWAIT };
        let room = letter.room();
        // SAFETY: room for a type, and behind it for as many bytes as is said.
        retry(|| unsafe { libc::msgrcv(self.id, letter.words.as_mut_ptr().cast(), room, select, flags) })
    }
}

/// The longest message that the system lets anybody send.
pub(super) fn longest() -> u64 {
    crate::limit(LONGEST).unwrap_or(8192)
}

/// Why no message can be as long as that.
pub(super) fn too_long(bytes: usize) -> OpenError {
    let needed = format!("a message of the queue was to have up to {bytes} bytes");
    OpenError::Limit { needed, limit: LONGEST, allows: crate::limit(LONGEST) }
}

fn refusal(error: io::Error, key: Key) -> OpenError {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            OpenError::Permission { path: key.path(), reason: "its rights do not let this user in".to_owned() }
        }
        Some(libc::ENOSPC) => OpenError::Limit {
            needed: "one more queue was needed".to_owned(),
            limit: MOST_QUEUES,
            allows: crate::limit(MOST_QUEUES),
        },
        _ => OpenError::Os { step: "opening the message queue (msgget)", source: error },
    }
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
