//! What the kernel is asked about System V segments, and why it refuses.
//!
//! # Safety
//! The kernel is given numbers, and local memory of the size that it writes.

#![allow(unsafe_code, reason = "shmget and shmctl, which no library offers")]

use super::{LOCKS, Place};
use crate::error::OpenError;
use ringshm_sync::semaphore::sysv::{self, LockSet, OpError, Owner};
use std::io;
use std::path::PathBuf;

pub(super) fn path_of(key: i32) -> PathBuf {
    Place::system_v(key).map_or_else(|_| PathBuf::new(), |place| place.path())
}

/// The locks under that key, if they are a ring's, and this user's.
pub(super) fn open_locks(key: i32) -> Result<LockSet, OpenError> {
    let locks = LockSet::open(key).map_err(|error| refused(error, key))?;
    if locks.len() != usize::from(LOCKS) {
        return Err(OpenError::Corrupt { field: "semaphore set" });
    }
    check_owner(locks.owner().map_err(|error| failed(error, key))?, key)?;
    Ok(locks)
}

/// Makes a segment. `None` if there is one.
pub(super) fn make(key: i32, size: u64) -> Result<Option<libc::c_int>, OpenError> {
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    // SAFETY: numbers only.
    let id = unsafe { libc::shmget(key, len, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
    if id != -1 {
        return Ok(Some(id));
    }
    let source = io::Error::last_os_error();
    match source.raw_os_error() {
        Some(libc::EEXIST) => Ok(None),
        Some(libc::EINVAL) => Err(limit("kernel.shmmax", "shmmax", 0, format!("a segment of {size} bytes"))),
        Some(libc::ENOSPC) if listed("shm") >= setting("shmmni", 0) => {
            Err(limit("kernel.shmmni", "shmmni", 0, "one more segment".to_owned()))
        }
        Some(libc::ENOSPC) => {
            let pages = size.div_ceil(rustix::param::page_size() as u64);
            Err(limit("kernel.shmall", "shmall", 0, format!("a segment of {pages} pages")))
        }
        Some(libc::ENOMEM) => Err(OpenError::NoSpace { needed: size, free: crate::os::memory_free() }),
        _ => Err(OpenError::Os { step: "making the System V segment (shmget)", source }),
    }
}

/// The segment under that key now.
pub(super) fn find(key: i32) -> Result<Option<libc::c_int>, OpenError> {
    // SAFETY: numbers only.
    let id = unsafe { libc::shmget(key, 0, 0) };
    if id != -1 {
        return Ok(Some(id));
    }
    let source = io::Error::last_os_error();
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::EIDRM) => Ok(None),
        _ => Err(refused_by_kernel(source, key, "finding the System V segment (shmget)")),
    }
}

/// Whether there is a segment without locks. One that is being made, or removed, has them as long as it is there.
pub(super) fn has_lost_its_locks(key: i32) -> Result<bool, OpenError> {
    let before = find(key)?;
    let has_locks = !matches!(LockSet::open(key), Err(sysv::OpenError::NotFound { .. }));
    Ok(before.is_some() && !has_locks && find(key)? == before)
}

/// Whose a segment is, and how long.
pub(super) fn look(segment: libc::c_int, key: i32) -> Result<(Owner, u64), OpenError> {
    let mut state = core::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: a `shmid_ds` for the kernel to fill.
    let result = unsafe { libc::shmctl(segment, libc::IPC_STAT, state.as_mut_ptr()) };
    if result == -1 {
        return Err(refused_by_kernel(io::Error::last_os_error(), key, "looking at the System V segment (shmctl)"));
    }
    // SAFETY: the kernel has filled it; it consists of numbers, and was zero before.
    let state = unsafe { state.assume_init() };
    let owner = Owner { owner: state.shm_perm.uid, creator: state.shm_perm.cuid };
    Ok((owner, state.shm_segsz as u64))
}

pub(super) fn remove_segment(segment: libc::c_int, key: i32) -> Result<(), OpenError> {
    // SAFETY: this command takes no further argument.
    if unsafe { libc::shmctl(segment, libc::IPC_RMID, core::ptr::null_mut()) } == 0 {
        return Ok(());
    }
    match refused_by_kernel(io::Error::last_os_error(), key, "removing the System V segment (shmctl)") {
        // Gone already.
        OpenError::NotFound { .. } => Ok(()),
        error => Err(error),
    }
}

/// Who made something keeps its rights, so it does not become another's by being given away: unless by root, who has them anyway.
pub(super) fn check_owner(found: Owner, key: i32) -> Result<(), OpenError> {
    let me = rustix::process::geteuid().as_raw();
    let other = if found.owner == me { found.creator } else { found.owner };
    if found.owner == me && (found.creator == me || found.creator == 0) {
        return Ok(());
    }
    let reason = format!("it belongs to user {other} and you are user {me}");
    Err(OpenError::Permission { path: path_of(key), reason })
}

fn refused_by_kernel(source: io::Error, key: i32, step: &'static str) -> OpenError {
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::EIDRM | libc::EINVAL) => OpenError::NotFound { path: path_of(key) },
        Some(libc::EACCES | libc::EPERM) => OpenError::Permission { path: path_of(key), reason: source.to_string() },
        _ => OpenError::Os { step, source },
    }
}

/// Why there are no locks.
pub(super) fn refused(error: sysv::OpenError, key: i32) -> OpenError {
    match error {
        sysv::OpenError::NotFound { .. } => OpenError::NotFound { path: path_of(key) },
        sysv::OpenError::Permission { .. } => {
            OpenError::Permission { path: path_of(key), reason: "its semaphore set is another user's".to_owned() }
        }
        sysv::OpenError::TooLarge { .. } => {
            limit("SEMMSL (the first number of kernel.sem)", "sem", 0, format!("a set of {LOCKS} semaphores"))
        }
        sysv::OpenError::NoSpace { .. } if listed("sem") >= setting("sem", 3) => {
            limit("SEMMNI (the fourth number of kernel.sem)", "sem", 3, "one more set of semaphores".to_owned())
        }
        sysv::OpenError::NoSpace { .. } => {
            limit("SEMMNS (the second number of kernel.sem)", "sem", 1, format!("{LOCKS} more semaphores"))
        }
        sysv::OpenError::Os { step, source, .. } => OpenError::Os { step, source },
        other => OpenError::Os { step: "opening the ring's semaphore set", source: io::Error::other(other) },
    }
}

/// Why nothing was done with the locks.
pub(super) fn failed(error: OpError, key: i32) -> OpenError {
    match error {
        OpError::Removed { .. } => OpenError::NotFound { path: path_of(key) },
        OpError::Permission { .. } => OpenError::Permission { path: path_of(key), reason: error.to_string() },
        OpError::Os { source, .. } => OpenError::Os { step: "locking the ring (semop)", source },
        other => OpenError::Os { step: "locking the ring (semop)", source: io::Error::other(other) },
    }
}

fn limit(limit: &'static str, file: &str, field: usize, needed: String) -> OpenError {
    let allows = Some(setting(file, field)).filter(|value| *value != u64::MAX);
    OpenError::Limit { needed: format!("the ring needs {needed}"), limit, allows }
}

/// A number of a setting of the kernel.
fn setting(file: &str, field: usize) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/{file}")).unwrap_or_default();
    text.split_whitespace().nth(field).and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}

/// How many objects of a sort there are.
fn listed(sort: &str) -> u64 {
    let table = std::fs::read_to_string(format!("/proc/sysvipc/{sort}")).unwrap_or_default();
    table.lines().count().saturating_sub(1) as u64
}
