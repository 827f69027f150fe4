//! Locks that their holder cannot take to the grave: a set of semaphores, each of which is 1 while its lock is held and 0 while it is free.
//!
//! For what is shared without a file, and so cannot have the kernel's locks on files. A lock is taken with an undo, so the kernel gives
//! it back when the holder's process is gone.
//!
//! **A free lock means that no later store can come.** A task that ends gives up its memory first (`exit_mm`), and what it is to undo
//! after that (`exit_sem`; `do_exit` calls them in this order in every Linux since 2.4). The threads of a process share one list of undos (the
//! C library starts them with `CLONE_SYSVSEM`), which is worked off by the last of them that comes there: all others have given up
//! the memory by then. That happens under the set's spin lock, which a probe takes, too (`GETVAL`), so the holder's last stores are
//! visible to who finds the lock free. The counts of a set are changed back at once, not one by one.
//!
//! How this differs from a lock on a file:
//!
//! - It belongs to the process: a forked child has none of its parent's locks, and when the parent dies they are free while the child lives.
//! - It survives `exec`: a process that calls it without having given its locks up holds them until it ends.
//! - **It is given back when the process leaves its IPC namespace** (`unshare` or `setns` with `CLONE_NEWIPC`, `unshare` with `CLONE_SYSVSEM`),
//!   although the process lives. A holder must not do that.
//! - Whoever may change the set can free anybody's lock. So can who removes the set; then nobody can tell who is alive.

use super::{
    Op, OpError, OpenError, SemaphoreSet, SetId, TryOpError, checked, error_of_making, find, is_gone, look, public,
};

/// A set whose semaphores are locks, all of them free when it is made. The value only names it, as that of a [`SemaphoreSet`] does.
///
/// The kernel makes it with one call, so nobody finds one half made.
///
/// ```
/// use ringshm_sync::semaphore::sysv::LockSet;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = 0x5200_00f0 | (std::process::id() as i32 & 0xffff) << 8;
/// let locks = LockSet::create(key, 0o600, 3)?;
/// assert!(locks.try_lock(1)?);
/// assert!(!locks.try_lock(1)?, "it is held, by this process");
/// assert!(LockSet::open(key)?.is_held(1)? && !locks.is_held(2)?);
/// locks.unlock(1)?;
/// locks.remove()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockSet(SemaphoreSet);

/// Whose set it is, by their user numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Who owns it.
    pub owner: u32,
    /// Who made it, and may still do with it what the owner may.
    pub creator: u32,
}

impl LockSet {
    /// Makes a set of `len` locks with that key, which is any number but 0, and with the rights `mode`.
    ///
    /// # Errors
    /// [`OpenError::Exists`] if there is a set with that key, [`OpenError::TooLarge`], [`OpenError::NoSpace`], [`OpenError::InvalidKey`],
    /// [`OpenError::Os`].
    pub fn create(key: i32, mode: u32, len: u16) -> Result<Self, OpenError> {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | (mode & 0o777) as libc::c_int;
        // SAFETY: numbers only.
        let id = checked(unsafe { libc::semget(public(key)?, len.into(), flags) })
            .map_err(|source| error_of_making(source, key))?;
        Ok(Self(SemaphoreSet { id: SetId { key, id }, len }))
    }

    /// Opens the set with that key. Whether its semaphores are locks is for the caller to know.
    ///
    /// # Errors
    /// [`OpenError::NotFound`], [`OpenError::Permission`], [`OpenError::InvalidKey`], [`OpenError::Os`].
    pub fn open(key: i32) -> Result<Self, OpenError> {
        let id = SetId { key: public(key)?, id: find(key)? };
        match look(id) {
            Ok(state) => Ok(Self(state.set)),
            Err(error) if is_gone(&error) => Err(OpenError::NotFound { set: id }),
            Err(source) => Err(OpenError::from_io(source, key, "looking at it (semctl IPC_STAT)")),
        }
    }

    /// Takes lock number `index`, to be given back by the kernel when the calling process is gone. `false` if somebody has it, be it this
    /// process.
    ///
    /// # Errors
    /// [`OpError`]; then it was not taken.
    pub fn try_lock(&self, index: u16) -> Result<bool, OpError> {
        match self.0.try_apply(&[Op::wait_for_zero(index), Op::post(index).undone_at_exit()]) {
            Ok(()) => Ok(true),
            Err(TryOpError::WouldBlock) => Ok(false),
            Err(TryOpError::Op(error)) => Err(error),
        }
    }

    /// Gives lock number `index` back, which this process has. What it did before is visible to the next holder.
    ///
    /// # Errors
    /// [`OpError`].
    pub fn unlock(&self, index: u16) -> Result<(), OpError> {
        match self.0.try_apply(&[Op::wait(index).undone_at_exit()]) {
            // Somebody has freed it by force.
            Ok(()) | Err(TryOpError::WouldBlock) => Ok(()),
            Err(TryOpError::Op(error)) => Err(error),
        }
    }

    /// Whether somebody alive has lock number `index`. If not, everything its last holder did is visible, and nothing more will come from it.
    ///
    /// # Errors
    /// [`OpError`].
    pub fn is_held(&self, index: u16) -> Result<bool, OpError> {
        self.0.value(index).map(|count| count != 0)
    }

    /// Takes or gives back lock number `index` for good: it stays as it is when the process is gone. A note that outlives who made it.
    ///
    /// # Errors
    /// [`OpError`].
    pub fn note(&self, index: u16, is_set: bool) -> Result<(), OpError> {
        let ops = if is_set { vec![Op::wait_for_zero(index), Op::post(index)] } else { vec![Op::wait(index)] };
        match self.0.try_apply(&ops) {
            // It is so already.
            Ok(()) | Err(TryOpError::WouldBlock) => Ok(()),
            Err(TryOpError::Op(error)) => Err(error),
        }
    }

    /// Whose it is.
    ///
    /// # Errors
    /// [`OpError`].
    pub fn owner(&self) -> Result<Owner, OpError> {
        look(self.0.id).map(|state| state.owner).map_err(|source| OpError::from_io(source, self.0.id, &[]))
    }

    /// Removes the set. Whoever uses it later gets [`OpError::Removed`].
    ///
    /// # Errors
    /// As for [`SemaphoreSet::remove`].
    pub fn remove(&self) -> Result<(), OpError> {
        self.0.remove()
    }

    /// Its key and its id.
    #[must_use]
    pub fn id(&self) -> SetId {
        self.0.id()
    }

    /// How many locks it has.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "the kernel makes no empty sets")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
