//! What the kernel does with signals: sending one to a process that cannot be mistaken, reading those that came, and which threads let one through.
//!
//! # Safety
//! The kernel is given structures that live through the call, and a buffer of whole ones.

#![allow(
    unsafe_code,
    reason = "pthread_sigmask, signalfd and pidfd_send_signal with a value, which rustix does not offer"
)]

use ringshm_core::Deadline;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// What comes with a signal that was sent by `sigqueue`, as it lies in `siginfo_t`.
#[repr(C)]
struct Queued {
    signal: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    sender: Sender,
}

#[repr(C)]
struct Sender {
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: usize,
}

const _: () = assert!(size_of::<Queued>() <= size_of::<libc::siginfo_t>());
const _: () = assert!(align_of::<Queued>() <= align_of::<libc::siginfo_t>());

/// Who sends, as it tells the other side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) pid: u32,
    pub(super) uid: u32,
}

/// Sends a signal with a value, as `sigqueue` does.
#[inline]
pub(super) fn queue(process: BorrowedFd<'_>, signal: i32, from: Origin, value: usize) -> Result<(), Errno> {
    let mut info = core::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let sender = Sender { pid: from.pid as libc::pid_t, uid: from.uid, value };
    let queued = Queued { signal, errno: 0, code: libc::SI_QUEUE, sender };
    // SAFETY: it is no longer than a `siginfo_t`, nor aligned to more.
    unsafe { info.as_mut_ptr().cast::<Queued>().write(queued) };
    send(process, signal, info.as_ptr())
}

/// Sends a signal that carries nothing, as `kill` does.
#[inline]
pub(super) fn notify(process: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    send(process, signal, core::ptr::null())
}

fn send(process: BorrowedFd<'_>, signal: i32, info: *const libc::siginfo_t) -> Result<(), Errno> {
    // SAFETY: a whole `siginfo_t` that lives through the call, or none.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, info, 0) };
    if result == -1 { Err(last()) } else { Ok(()) }
}

/// A descriptor from which signals are read.
#[derive(Debug)]
pub(super) struct Mailbox {
    file: OwnedFd,
    read: Box<[libc::signalfd_siginfo; AT_ONCE]>,
    /// What was read and not taken is `next..end`.
    next: usize,
    end: usize,
}

/// Signals that are read at once.
const AT_ONCE: usize = 32;

impl Mailbox {
    /// For a signal that the threads of this process block.
    pub(super) fn open(signal: i32) -> io::Result<Self> {
        let set = set_of(signal);
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        // SAFETY: a set of signals that lives through the call.
        let descriptor = match unsafe { libc::signalfd(-1, &raw const set, flags) } {
            -1 => return Err(io::Error::last_os_error()),
            descriptor => descriptor,
        };
        // SAFETY: just made, and nobody else has it.
        let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // SAFETY: numbers, for which zero is a value.
        let empty: libc::signalfd_siginfo = unsafe { core::mem::zeroed() };
        Ok(Self { file, read: Box::new([empty; AT_ONCE]), next: 0, end: 0 })
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.file
    }

    /// Whether there is one that was read and not taken.
    pub(super) fn has_more(&self) -> bool {
        self.next < self.end
    }

    /// The next signal; EAGAIN if none came.
    #[inline]
    pub(super) fn take(&mut self) -> Result<libc::signalfd_siginfo, Errno> {
        while !self.has_more() {
            (self.next, self.end) = (0, self.fill()?);
        }
        self.next += 1;
        Ok(self.read[self.next - 1])
    }

    fn fill(&mut self) -> Result<usize, Errno> {
        loop {
            let room = size_of_val(&*self.read);
            // SAFETY: room for so many bytes, of structures that consist of numbers; the kernel writes whole ones.
            let read = unsafe { libc::read(self.file.as_raw_fd(), self.read.as_mut_ptr().cast(), room) };
            match usize::try_from(read) {
                Ok(bytes) => return Ok(bytes / size_of::<libc::signalfd_siginfo>()),
                Err(_) if last() == Errno::INTR => {}
                Err(_) => return Err(last()),
            }
        }
    }
}

fn set_of(signal: i32) -> libc::sigset_t {
    // SAFETY: a set may have any content before it is emptied.
    let mut set: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: a set that lives through the call.
    unsafe { libc::sigemptyset(&raw mut set) };
    // SAFETY: as above; a number that is no signal's changes nothing.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    set
}

/// Blocks a signal in this thread, or no longer.
pub(super) fn block(signal: i32, blocked: bool) {
    let (how, set) = (if blocked { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK }, set_of(signal));
    // SAFETY: a set that lives through the call. Cannot fail for these two.
    unsafe { libc::pthread_sigmask(how, &raw const set, core::ptr::null_mut()) };
}

/// Whether this thread has the signal blocked.
pub(super) fn is_blocked(signal: i32) -> bool {
    let mut set = set_of(signal);
    // SAFETY: no set to change to, and one for the present mask.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &raw mut set) };
    // SAFETY: a set that the kernel has filled.
    unsafe { libc::sigismember(&raw const set, signal) == 1 }
}

fn last() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// The first two real-time signals of the kernel, which no program can block through the C library. That does so itself, and blocks all others with
/// them, for as long as it makes a thread or a process: then it is to be looked again.
const OF_THE_LIBRARY: u64 = 0b11 << 31;
/// How long is looked again. That takes microseconds, if the process runs.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many threads of a process a signal would reach and end: they neither block it nor wait for it, and the process does not handle it. `None` if
/// `/proc` does not say.
pub(super) fn defenceless(process: u32, signal: i32) -> Option<usize> {
    let patience = Deadline::after(PATIENCE);
    loop {
        let (count, is_passing) = look_at_threads(process, 1 << (signal - 1))?;
        if count > 0 || !is_passing || patience.is_over() {
            return Some(count);
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// The same at one moment, and whether some thread blocks the signal for this moment only.
fn look_at_threads(process: u32, signal: u64) -> Option<(usize, bool)> {
    let (mut count, mut is_passing) = (0, false);
    for thread in std::fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let path = thread.ok()?.path();
        // A thread that ends meanwhile receives nothing.
        let Ok(status) = std::fs::read_to_string(path.join("status")) else { continue };
        let mask = |field: &str| {
            let digits = status.lines().find_map(|line| line.strip_prefix(field))?;
            u64::from_str_radix(digits.trim(), 16).ok()
        };
        let blocked = mask("SigBlk:")?;
        is_passing |= blocked & OF_THE_LIBRARY == OF_THE_LIBRARY;
        if (blocked | mask("SigCgt:")?) & signal != 0 {
            continue;
        }
        // While a thread waits for signals, they are not blocked.
        let call = std::fs::read_to_string(path.join("syscall")).unwrap_or_default();
        if call.split(' ').next() != Some(&libc::SYS_rt_sigtimedwait.to_string()) {
            count += 1;
        }
    }
    Some((count, is_passing))
}
