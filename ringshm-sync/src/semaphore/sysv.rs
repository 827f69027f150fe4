//! System V semaphores: sets of counts that the kernel keeps, changed several at once or not at all, and changed back when their process dies.
//!
//! They are slower than a [`Semaphore`](super::Semaphore), because every operation is a system call, and can do what that cannot: take several
//! counts in one step, and give back what a killed process had taken ([`Op::undone_at_exit`]).
//!
//! **Making one is two steps**: `semget` makes a set, and a later call gives it its counts. Who opens it in between would find zeros. The
//! kernel notes when a set was last operated on, and nothing but an operation sets that time. So the maker ends with an operation that changes
//! nothing, and who opens a set waits until it has been operated on (R. Stevens, UNIX Network Programming 2, 11.2). Other programs that keep to
//! this, in any language, meet here without a race. One that makes a set and never operates on it is found [`Unfinished`](OpenError::Unfinished).
//!
//! A set outlives its processes. It is removed with [`remove`](SemaphoreSet::remove), by `ipcrm`, or with its IPC namespace.
//!
//! # Safety
//! The kernel is given pointers to local memory of the size that it writes or reads.

#![allow(unsafe_code, reason = "semget, semctl and semtimedop, which no library offers")]

mod error;
mod locks;

pub use error::{OpError, OpTimeoutError, OpenError, SetId, TryOpError};
pub use locks::{LockSet, Owner};

use crate::time::Deadline;
use core::time::Duration;
use libc::{c_int, c_short, c_ushort};
use std::io;

unsafe extern "C" {
    // The `libc` crate does not have it.
    fn semtimedop(
        set: c_int,
        operations: *mut libc::sembuf,
        number: libc::size_t,
        timeout: *const libc::timespec,
    ) -> c_int;
}

/// The highest count of a semaphore of a set.
pub const MOST: u16 = i16::MAX as u16;

/// How long to wait for who is making a set right now. That takes microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// One step of an operation on a set: what becomes of one of its semaphores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    index: u16,
    change: Change,
    times: u16,
    undo: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Up,
    Down,
    AwaitZero,
}

impl Op {
    const fn new(index: u16, change: Change) -> Self {
        Self { index, change, times: 1, undo: false }
    }

    /// Counts semaphore number `index` one up.
    #[must_use]
    pub const fn post(index: u16) -> Self {
        Self::new(index, Change::Up)
    }

    /// Counts semaphore number `index` one down, when it is high enough.
    #[must_use]
    pub const fn wait(index: u16) -> Self {
        Self::new(index, Change::Down)
    }

    /// Changes nothing, when semaphore number `index` is zero.
    #[must_use]
    pub const fn wait_for_zero(index: u16) -> Self {
        Self::new(index, Change::AwaitZero)
    }

    /// Counts by so many, 1 to [`MOST`], instead of by one.
    #[must_use]
    pub const fn times(mut self, times: u16) -> Self {
        self.times = times;
        self
    }

    /// Has the kernel take this step back when the calling process is gone, whether it ended or was killed. Steps of several threads
    /// add up, and are taken back when the last of them is gone. A forked child has none of its parent's.
    #[must_use]
    pub const fn undone_at_exit(mut self) -> Self {
        self.undo = true;
        self
    }

    /// As the kernel wants it. `None` if it counts by too much, or by nothing, which to the kernel means to wait for zero.
    fn encode(self, flags: c_int) -> Option<libc::sembuf> {
        let times = c_short::try_from(self.times).ok().filter(|times| *times > 0)?;
        let change = match self.change {
            Change::Up => times,
            Change::Down => -times,
            Change::AwaitZero => 0,
        };
        let flags = flags | if self.undo { libc::SEM_UNDO } else { 0 };
        Some(libc::sembuf { sem_num: self.index, sem_op: change, sem_flg: flags as c_short })
    }
}

/// A set of semaphores that the kernel keeps. The value only names it: dropping it does nothing, and any thread may use it.
///
/// ```
/// use ringshm_sync::semaphore::sysv::{Op, SemaphoreSet, TryOpError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Two printers and a scanner, for this process and whoever is told the id.
/// let devices = SemaphoreSet::private(0o600, &[2, 1])?;
/// // Both kinds at once, or none of them; given back if this process is killed.
/// devices.apply(&[Op::wait(0).undone_at_exit(), Op::wait(1).undone_at_exit()])?;
/// assert_eq!(devices.values()?, [1, 0]);
/// assert!(matches!(devices.try_apply(&[Op::wait(0), Op::wait(1)]), Err(TryOpError::WouldBlock)));
/// devices.apply(&[Op::post(0).undone_at_exit(), Op::post(1).undone_at_exit()])?;
/// devices.remove()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemaphoreSet {
    id: SetId,
    len: u16,
}

impl SemaphoreSet {
    /// Makes a set that no key leads to, one semaphore for each of `counts`, with the rights `mode` (such as `0o600`). Others find it by
    /// its [`id`](Self::id), with [`attach`](Self::attach). Remove it: nobody who is not told the id can.
    ///
    /// # Errors
    /// Any [`OpenError`] but `NotFound`, `Exists`, `Unfinished` and `InvalidKey`.
    pub fn private(mode: u32, counts: &[u16]) -> Result<Self, OpenError> {
        make(libc::IPC_PRIVATE, mode, counts)
    }

    /// Makes the set with that key, which is any number but 0, one semaphore for each of `counts`, with the rights `mode`.
    ///
    /// # Errors
    /// [`OpenError::Exists`] if there is one, and any other but `NotFound` and `Unfinished`.
    pub fn create(key: i32, mode: u32, counts: &[u16]) -> Result<Self, OpenError> {
        make(public(key)?, mode, counts)
    }

    /// Opens the set with that key, once whoever makes it has finished: that is waited for, for up to a second.
    ///
    /// # Errors
    /// [`OpenError::NotFound`], [`OpenError::Unfinished`], [`OpenError::Permission`], [`OpenError::InvalidKey`], [`OpenError::Os`].
    pub fn open(key: i32) -> Result<Self, OpenError> {
        let key = public(key)?;
        let patience = Deadline::after(PATIENCE);
        loop {
            let id = SetId { key, id: find(key)? };
            match look(id) {
                Ok(State { set, is_finished: true, .. }) => return Ok(set),
                Ok(_) if patience.is_over() => return Err(OpenError::Unfinished { set: id }),
                Ok(_) => {}
                // Removed under our hands: there is none with this key now, or another.
                Err(error) if is_gone(&error) => {}
                Err(source) => return Err(OpenError::from_io(source, key, "looking at it (semctl IPC_STAT)")),
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Opens the set with that key, or makes it as [`create`](Self::create) does if there is none: whoever comes first. All of them see it
    /// with its counts, and never before it has them.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] if there is one of another length, and any other but `NotFound` and `Exists`.
    pub fn open_or_create(key: i32, mode: u32, counts: &[u16]) -> Result<Self, OpenError> {
        loop {
            match Self::open(key) {
                Err(OpenError::NotFound { .. }) => {}
                Ok(set) if usize::from(set.len) != counts.len() => {
                    return Err(OpenError::Mismatch { set: set.id, found: set.len.into(), expected: counts.len() });
                }
                result => return result,
            }
            match Self::create(key, mode, counts) {
                // Somebody was faster: that is another process's progress.
                Err(OpenError::Exists { .. }) => {}
                result => return result,
            }
        }
    }

    /// Takes part in the set with that id: one that has no key, or one that was made by a program that never operates on it. Whether it
    /// has its counts by now is for the caller to know.
    ///
    /// # Errors
    /// [`OpenError::NotFound`], [`OpenError::Permission`], [`OpenError::Os`].
    pub fn attach(id: i32) -> Result<Self, OpenError> {
        match look(SetId { key: libc::IPC_PRIVATE, id }) {
            Ok(state) => Ok(state.set),
            Err(error) if is_gone(&error) => Err(OpenError::NotFound { set: SetId { key: libc::IPC_PRIVATE, id } }),
            Err(source) => Err(OpenError::from_io(source, libc::IPC_PRIVATE, "looking at it (semctl IPC_STAT)")),
        }
    }

    /// Removes the set with that key, whether it was finished or not.
    ///
    /// # Errors
    /// [`OpenError::NotFound`], [`OpenError::Permission`], [`OpenError::InvalidKey`], [`OpenError::Os`].
    pub fn remove_key(key: i32) -> Result<(), OpenError> {
        let id = find(public(key)?)?;
        control(id, 0, libc::IPC_RMID)
            .map(drop)
            .map_err(|source| OpenError::from_io(source, key, "removing it (semctl IPC_RMID)"))
    }

    /// Removes the set. Whoever waits gets [`OpError::Removed`], now; whoever uses it later, too.
    ///
    /// # Errors
    /// [`OpError::Removed`] if somebody else has, [`OpError::Permission`], [`OpError::Os`].
    pub fn remove(&self) -> Result<(), OpError> {
        control(self.id.id, 0, libc::IPC_RMID).map(drop).map_err(|source| OpError::from_io(source, self.id, &[]))
    }

    /// Its key and its id.
    #[must_use]
    pub fn id(&self) -> SetId {
        self.id
    }

    /// How many semaphores it has.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "the kernel makes no empty sets")]
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// Takes all steps at once, in order, and waits until that can be done. No other process sees some of them taken and some not.
    /// Signals do not end it.
    ///
    /// # Errors
    /// [`OpError`]; then no step was taken.
    pub fn apply(&self, ops: &[Op]) -> Result<(), OpError> {
        match self.operate(ops, 0, Deadline::NEVER) {
            Ok(true) => Ok(()),
            // The kernel says that only to those who set a limit.
            Ok(false) => Err(OpError::Os { set: self.id, source: io::ErrorKind::TimedOut.into() }),
            Err(error) => Err(error),
        }
    }

    /// As [`apply`](Self::apply), if it can be done at once.
    ///
    /// # Errors
    /// [`TryOpError`]; then no step was taken.
    pub fn try_apply(&self, ops: &[Op]) -> Result<(), TryOpError> {
        match self.operate(ops, libc::IPC_NOWAIT, Deadline::NEVER) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TryOpError::WouldBlock),
            Err(error) => Err(TryOpError::Op(error)),
        }
    }

    /// As [`apply`](Self::apply), and waits for at most `timeout`, on the monotonic clock.
    ///
    /// # Errors
    /// [`OpTimeoutError`]; then no step was taken.
    pub fn apply_timeout(&self, ops: &[Op], timeout: Duration) -> Result<(), OpTimeoutError> {
        match self.operate(ops, 0, Deadline::after(timeout)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(OpTimeoutError::TimedOut),
            Err(error) => Err(OpTimeoutError::Op(error)),
        }
    }

    /// The count of semaphore number `index`: for people and tools, out of date when it returns.
    ///
    /// # Errors
    /// [`OpError`].
    pub fn value(&self, index: u16) -> Result<u16, OpError> {
        self.ask(index, libc::GETVAL).map(|count| count as u16)
    }

    /// How many wait for semaphore number `index` to be counted up: for people and tools.
    ///
    /// # Errors
    /// [`OpError`].
    pub fn waiters(&self, index: u16) -> Result<usize, OpError> {
        self.ask(index, libc::GETNCNT).map(|count| count as usize)
    }

    /// The counts of all semaphores, as they were at one moment.
    ///
    /// # Errors
    /// [`OpError`].
    pub fn values(&self) -> Result<Vec<u16>, OpError> {
        let mut counts: Vec<c_ushort> = vec![0; self.len()];
        // SAFETY: the kernel writes as many counts as the set has, which never changes.
        let result = unsafe { libc::semctl(self.id.id, 0, libc::GETALL, counts.as_mut_ptr()) };
        checked(result).map_err(|source| OpError::from_io(source, self.id, &[]))?;
        Ok(counts)
    }

    fn ask(&self, index: u16, what: c_int) -> Result<u32, OpError> {
        if usize::from(index) >= self.len() {
            return Err(OpError::NoSuchIndex { set: self.id, index, len: self.len() });
        }
        let answer = control(self.id.id, index.into(), what);
        answer.map(c_int::unsigned_abs).map_err(|source| OpError::from_io(source, self.id, &[]))
    }

    /// `false` if it cannot be done, now or until the deadline.
    fn operate(&self, ops: &[Op], flags: c_int, deadline: Deadline) -> Result<bool, OpError> {
        let too_high = |index| usize::from(index) >= self.len();
        if let Some(&Op { index, .. }) = ops.iter().find(|op| too_high(op.index)) {
            return Err(OpError::NoSuchIndex { set: self.id, index, len: self.len() });
        }
        let encoded: Option<Vec<_>> = ops.iter().map(|op| op.encode(flags)).collect();
        let mut encoded = encoded.ok_or(OpError::OutOfRange { set: self.id })?;
        // The kernel takes no empty list.
        if encoded.is_empty() {
            return Ok(true);
        }
        loop {
            match semtimed(self.id.id, &mut encoded, deadline) {
                Ok(()) => return Ok(true),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(false),
                    // A signal: what is left of the time counts.
                    Some(libc::EINTR) => {}
                    _ => return Err(OpError::from_io(error, self.id, ops)),
                },
            }
        }
    }
}

/// Makes a set, and tells those who wait for it to be finished.
fn make(key: c_int, mode: u32, counts: &[u16]) -> Result<SemaphoreSet, OpenError> {
    let Ok(len) = u16::try_from(counts.len()) else { return Err(OpenError::TooLarge { key }) };
    if let Some(&count) = counts.iter().find(|count| **count > MOST) {
        return Err(OpenError::TooHigh { key, count });
    }
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | (mode & 0o777) as c_int;
    // SAFETY: numbers only.
    let id = checked(unsafe { libc::semget(key, len.into(), flags) }).map_err(|source| error_of_making(source, key))?;
    let set = SemaphoreSet { id: SetId { key, id }, len };
    set.finish(counts).map_err(|(source, step)| {
        let _ = set.remove();
        OpenError::from_io(source, key, step)
    })?;
    Ok(set)
}

fn error_of_making(source: io::Error, key: c_int) -> OpenError {
    match source.raw_os_error() {
        Some(libc::EINVAL) => OpenError::TooLarge { key },
        _ => OpenError::from_io(source, key, "making it (semget)"),
    }
}

impl SemaphoreSet {
    fn finish(&self, counts: &[u16]) -> Result<(), (io::Error, &'static str)> {
        // SAFETY: the kernel reads as many counts as the set was made for: one for each of these.
        let result = unsafe { libc::semctl(self.id.id, 0, libc::SETALL, counts.as_ptr()) };
        checked(result).map_err(|error| (error, "giving it its counts (semctl SETALL)"))?;
        // Up and down again, or the other way round at the upper end: changes nothing, and is an operation.
        let (up, down) = (Op::post(0), Op::wait(0));
        let nothing = if counts.first() == Some(&MOST) { [down, up] } else { [up, down] };
        let mut nothing = nothing.map(|op| op.encode(libc::IPC_NOWAIT).unwrap_or_else(|| unreachable!("it is 1")));
        semtimed(self.id.id, &mut nothing, Deadline::NEVER).map_err(|error| (error, "finishing it (semop)"))
    }
}

fn public(key: i32) -> Result<c_int, OpenError> {
    if key == libc::IPC_PRIVATE { Err(OpenError::InvalidKey) } else { Ok(key) }
}

/// The id that a key stands for now.
fn find(key: c_int) -> Result<c_int, OpenError> {
    // SAFETY: numbers only.
    let id = checked(unsafe { libc::semget(key, 0, 0) });
    id.map_err(|source| OpenError::from_io(source, key, "finding it (semget)"))
}

/// What the kernel says of a set.
struct State {
    set: SemaphoreSet,
    /// Whether it has ever been operated on.
    is_finished: bool,
    owner: Owner,
}

fn look(id: SetId) -> io::Result<State> {
    let mut state = core::mem::MaybeUninit::<libc::semid_ds>::zeroed();
    // SAFETY: a `semid_ds` for the kernel to fill.
    checked(unsafe { libc::semctl(id.id, 0, libc::IPC_STAT, state.as_mut_ptr()) })?;
    // SAFETY: the kernel has filled it; it consists of numbers, and was zero before.
    let state = unsafe { state.assume_init() };
    let owner = Owner { owner: state.sem_perm.uid, creator: state.sem_perm.cuid };
    Ok(State { set: SemaphoreSet { id, len: state.sem_nsems as u16 }, is_finished: state.sem_otime != 0, owner })
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIDRM | libc::EINVAL))
}

fn control(id: c_int, index: c_int, command: c_int) -> io::Result<c_int> {
    // SAFETY: these commands take no further argument.
    checked(unsafe { libc::semctl(id, index, command) })
}

fn semtimed(id: c_int, operations: &mut [libc::sembuf], deadline: Deadline) -> io::Result<()> {
    let timeout = deadline.remaining().map(|left| libc::timespec {
        tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: a list of the length that is given beside it, and no time or one that lives through the call.
    let result = unsafe { semtimedop(id, operations.as_mut_ptr(), operations.len(), timeout) };
    checked(result).map(drop)
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
