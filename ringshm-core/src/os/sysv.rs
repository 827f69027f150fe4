//! System V segments: memory under a number, without a file, and so without the kernel's locks on files.
//!
//! A ring takes a segment and, under the same key, a set of locks ([`LockSet`]): the gate, one for each lane, and a note that the segment is
//! being made.
//!
//! ```text
//!   making    locks made, all free        retiring   (behind the gate)
//!             gate taken                             segment removed
//!             note written                           locks removed
//!             segment made, filled
//!             magic written
//!             note erased
//!             gate opened
//! ```
//!
//! A segment has its key from the start, so it can be found half made. Who finds the note comes to the gate: if it gets in, the maker is dead, and the
//! magic says whether it had finished. If not, the next one makes the ring anew. A segment without a magic and without a note is somebody
//! else's, and left alone. The header names the set, so that one whose locks were removed under it, with live owners perhaps, never gets
//! new ones.
//!
//! # Safety
//! The header is copied as words from a mapping that is longer.

#![allow(unsafe_code, reason = "words of a mapping")]

mod calls;

use super::liveness::{Gate, Lock};
use super::mapping::{Access, Mapping, Source};
use super::object::{Draft, Object};
use super::place::Place;
use crate::error::OpenError;
use crate::layout::{Header, MAGIC, MAX_LANES, VERSION};
use calls::{check_owner, failed, find, has_lost_its_locks, look, open_locks, path_of, refused, remove_segment};
use ringshm_sync::atomic::AtomicU32;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::cell::Bytes;
use ringshm_sync::crash;
use ringshm_sync::semaphore::sysv::{self, LockSet, OpError};
use ringshm_sync::time::Deadline;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use zerocopy::IntoBytes;

/// Index of the note.
const MAKING: u16 = 1 + LANES;
/// Locks of a set: the gate, the lanes, the note. Always as many, so that the set can be made before anybody knows the ring.
const LOCKS: u16 = MAKING + 1;
const LANES: u16 = 2 * MAX_LANES as u16;

/// How long to wait for who is making a ring right now: that takes a second for some gibibytes.
const MAKING_PATIENCE: Duration = Duration::from_secs(10);

/// A segment and its locks.
#[derive(Debug)]
pub struct Pair {
    key: i32,
    /// The kernel's number for the segment. Never given again, so it stands for this one only.
    segment: libc::c_int,
    locks: LockSet,
    /// 1 once the locks were found removed.
    lost: AtomicU32,
}

/// What a segment is, seen from behind the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// A ring, and these are its locks.
    Ring,
    /// What a dead maker left.
    HalfMade,
    /// Somebody else's, a damaged ring, or one with other locks.
    Other,
}

/// Opens the ring under that key. Returns its size, too.
pub(super) fn open(key: i32) -> Result<(Object, u64), OpenError> {
    let path = path_of(key);
    let locks = match open_locks(key) {
        Err(OpenError::NotFound { .. }) if has_lost_its_locks(key)? => {
            return Err(OpenError::Corrupt { field: "semaphore set" });
        }
        result => result?,
    };
    let segment = find(key)?.ok_or(OpenError::NotFound { path: path.clone() })?;
    let (owner, size) = look(segment, key)?;
    check_owner(owner, key)?;
    if size < size_of::<Header>() as u64 {
        return Err(OpenError::Corrupt { field: "object size" });
    }
    let pair = Arc::new(Pair::new(key, segment, locks));
    let object = Object::SystemV(Arc::clone(&pair));
    if pair.has_note()? {
        let gate = Gate::enter(&object, Deadline::after(MAKING_PATIENCE))?;
        let _gate = gate.ok_or_else(|| OpenError::Busy { path: path.clone() })?;
        if pair.judge()? == Found::HalfMade {
            return Err(OpenError::NotFound { path });
        }
    }
    Ok((object, size))
}

/// Makes a segment of `size` bytes under that key, all of them zero, behind its gate. `None` if somebody else was faster.
pub(super) fn make(key: i32, size: u64) -> Result<Option<(Object, Draft)>, OpenError> {
    let (locks, is_new) = match LockSet::create(key, 0o600, LOCKS) {
        Ok(locks) => (locks, true),
        Err(sysv::OpenError::Exists { .. }) => match open_locks(key) {
            Ok(locks) => (locks, false),
            Err(OpenError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        },
        Err(error) => return Err(refused(error, key)),
    };
    crash::point("sysv.locks_made");
    let nothing = Object::SystemV(Arc::new(Pair::new(key, -1, locks)));
    let mut gate = match Gate::enter(&nothing, Deadline::after(MAKING_PATIENCE)) {
        Ok(Some(gate)) => gate,
        Ok(None) => return Err(OpenError::Busy { path: path_of(key) }),
        Err(OpenError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if let Some(segment) = find(key)? {
        match Pair::new(key, segment, locks).judge()? {
            Found::HalfMade => remove_segment(segment, key)?,
            // Somebody else's, or one that has lost its locks. These were made for nothing.
            Found::Other if is_new => {
                let _ = locks.remove();
                return Err(OpenError::Corrupt { field: "semaphore set" });
            }
            // Who made the locks need not be the first to come through the gate.
            Found::Ring | Found::Other => return Ok(None),
        }
    }
    let made = make_segment(key, size, locks);
    let Ok(Some(segment)) = made else {
        // There is nothing for which they could be locks.
        let _ = locks.remove();
        return made.map(|_| None);
    };
    let object = Object::SystemV(Arc::new(Pair::new(key, segment, locks)));
    gate.stands_before(object.clone());
    Ok(Some((object, Draft::BehindGate(Some(gate)))))
}

/// The caller holds the gate, and there is no segment. `None` if another program has just made one.
fn make_segment(key: i32, size: u64, locks: LockSet) -> Result<Option<libc::c_int>, OpenError> {
    locks.note(MAKING, true).map_err(|error| failed(error, key))?;
    crash::point("sysv.noted");
    let segment = calls::make(key, size)?;
    crash::point("sysv.segment_made");
    Ok(segment)
}

/// Gives a new segment all its memory, which the kernel would otherwise do page by page, and kill who touches one that it does not have.
pub(super) fn allocate(mapping: &Mapping, size: u64) -> Result<(), OpenError> {
    match mapping.populate(Access::Write) {
        Ok(()) => {}
        // Before Linux 5.14: only what is free now is known, and that was asked.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EFAULT)) => {
            return Err(OpenError::NoSpace { needed: size, free: super::memory_free() });
        }
        Err(source) => return Err(OpenError::Os { step: "allocating the System V segment (madvise)", source }),
    }
    crash::point("segment.allocated");
    Ok(())
}

impl Pair {
    fn new(key: i32, segment: libc::c_int, locks: LockSet) -> Self {
        Self { key, segment, locks, lost: AtomicU32::new(0) }
    }

    /// Where it is, for people.
    pub(super) fn path(&self) -> PathBuf {
        path_of(self.key)
    }

    /// The kernel's number for the segment.
    pub(super) fn segment(&self) -> libc::c_int {
        self.segment
    }

    pub(super) fn try_lock(&self, lock: Lock) -> Result<bool, OpenError> {
        self.locks.try_lock(index_of(lock)).map_err(|error| failed(error, self.key))
    }

    pub(super) fn unlock(&self, lock: Lock) {
        // It fails if the set is gone, and then so is the lock.
        let _ = self.locks.unlock(index_of(lock));
    }

    /// DEATH: nothing more comes from the last holder of a free lock, as [`LockSet`] says. TAKEOVER: nor from one that gave it back.
    pub(super) fn is_held(&self, lock: Lock) -> bool {
        let answer = self.locks.is_held(index_of(lock));
        if matches!(answer, Err(OpError::Removed { .. })) {
            // Relaxed: a hint to those who wait.
            self.lost.store(1, Relaxed);
        }
        answer.unwrap_or(true)
    }

    /// Whether nobody has found the locks removed yet.
    pub(super) fn has_locks(&self) -> bool {
        // Relaxed: as above.
        self.lost.load(Relaxed) == 0
    }

    fn has_note(&self) -> Result<bool, OpenError> {
        self.locks.is_held(MAKING).map_err(|error| failed(error, self.key))
    }

    /// The segment is finished: nobody has to ask again whether it is.
    pub(super) fn is_whole(&self) -> Result<(), OpenError> {
        self.locks.note(MAKING, false).map_err(|error| failed(error, self.key))
    }

    /// What the segment is. The caller holds the gate. A ring that lacks nothing but to be called whole is so now.
    fn judge(&self) -> Result<Found, OpenError> {
        let (owner, size) = look(self.segment, self.key)?;
        check_owner(owner, self.key)?;
        // The maker asks for all of it at once, so a shorter one is another's.
        let len = usize::try_from(size).ok().filter(|len| *len >= size_of::<Header>());
        let Some(len) = len else { return Ok(Found::Other) };
        let mapping = Mapping::new(Source::Segment(self.segment), len, Access::Read, None)
            .map_err(|source| OpenError::Os { step: "looking at the ring's segment (shmat)", source })?;
        let mut header: Header = zerocopy::FromZeros::new_zeroed();
        copy_header(&mapping, &mut header);
        if header.magic != MAGIC {
            return Ok(if self.has_note()? { Found::HalfMade } else { Found::Other });
        }
        if header.lock_set != self.lock_set() {
            return Ok(Found::Other);
        }
        self.is_whole().map(|()| Found::Ring)
    }

    /// The same header, with the name of the locks that belong to it.
    pub(super) fn bind(&self, header: &Header) -> Header {
        let mut header = *header;
        header.lock_set = self.lock_set();
        header.sum = header.checksum();
        header
    }

    /// Whether these are the locks of the ring with that header: not those that were made when its own had been removed.
    pub(super) fn check_binding(&self, header: &Header) -> Result<(), OpenError> {
        // What is no ring, or not of this version, is for the validation to say.
        let is_other = header.magic != MAGIC || header.version != VERSION;
        if is_other || header.lock_set == self.lock_set() {
            return Ok(());
        }
        Err(OpenError::Corrupt { field: "semaphore set" })
    }

    fn lock_set(&self) -> u32 {
        self.locks.id().id.unsigned_abs()
    }

    /// Removes both. The caller holds the gate, or is told to remove what is in use.
    pub(super) fn remove(&self) -> Result<(), OpenError> {
        remove_segment(self.segment, self.key)?;
        crash::point("sysv.segment_removed");
        match self.locks.remove() {
            Ok(()) | Err(OpError::Removed { .. }) => Ok(()),
            Err(error) => Err(failed(error, self.key)),
        }
    }
}

/// Removes what stands where a ring should, and is none, as far as it belongs to this user.
pub(super) fn remove_damaged(key: i32) -> Result<(), OpenError> {
    let mut is_there = false;
    if let Some(segment) = find(key)? {
        check_owner(look(segment, key)?.0, key)?;
        remove_segment(segment, key)?;
        is_there = true;
    }
    match open_locks(key) {
        Ok(locks) => {
            let _ = locks.remove();
            is_there = true;
        }
        // Another program's, of which nothing is known.
        Err(OpenError::NotFound { .. } | OpenError::Corrupt { .. }) => {}
        Err(error) => return Err(error),
    }
    if is_there { Ok(()) } else { Err(OpenError::NotFound { path: path_of(key) }) }
}

/// Whether a dead maker has left something under that key that is no ring yet. If so, and if `remove` says so, it is removed.
pub(super) fn take_half_made(key: i32, remove: bool) -> Result<bool, OpenError> {
    let locks = match open_locks(key) {
        Ok(locks) => locks,
        Err(OpenError::NotFound { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let segment = find(key)?;
    let pair = Arc::new(Pair::new(key, segment.unwrap_or(-1), locks));
    let Some(_gate) = Gate::enter(&Object::SystemV(Arc::clone(&pair)), Deadline::after(MAKING_PATIENCE))? else {
        return Err(OpenError::Busy { path: path_of(key) });
    };
    // What is there now, behind the gate.
    let is_left = match find(key)? {
        None => true,
        segment if segment == Some(pair.segment) => pair.judge()? == Found::HalfMade,
        Some(_) => false,
    };
    if is_left && remove {
        if segment.is_some() {
            remove_segment(pair.segment, key)?;
        }
        let _ = locks.remove();
    }
    Ok(is_left)
}

/// A private copy of the header, word by word: whatever others write meanwhile, what is checked is what is used.
pub(super) fn copy_header(mapping: &Mapping, header: &mut Header) {
    let bytes = header.as_mut_bytes();
    // SAFETY: the mapping is at least as long as a header.
    let words = unsafe { words_of(mapping) };
    // SAFETY: the header lies at its beginning, and there is room for it.
    unsafe { words.load_words(0, bytes.as_mut_ptr(), bytes.len()) };
}

/// Writes the header of a new segment, its magic last.
pub(super) fn write_header(mapping: &Mapping, header: &Header) {
    let (magic, rest) = header.as_bytes().split_at(size_of::<u64>());
    // SAFETY: the mapping is at least as long as a header.
    let words = unsafe { words_of(mapping) };
    // SAFETY: the rest of the header, on a multiple of 8.
    unsafe { words.store_words(size_of::<u64>(), rest.as_ptr(), rest.len()) };
    crash::point("segment.without_magic");
    // SAFETY: its first word.
    unsafe { words.store_words(0, magic.as_ptr(), magic.len()) };
}

/// # Safety
/// The mapping must be at least as long as a header, and outlive the result.
unsafe fn words_of(mapping: &Mapping) -> Bytes {
    // SAFETY: the caller's promise.
    unsafe { Bytes::new(mapping.base().as_ptr(), size_of::<Header>()) }
}

fn index_of(lock: Lock) -> u16 {
    match lock {
        Lock::Gate => 0,
        // At most as many as a header may say.
        Lock::Lane(lane) => 1 + u16::try_from(lane).unwrap_or(LANES - 1).min(LANES - 1),
    }
}
