//! Joining a ring: open it or create it, check it, take a role; and leaving it so that nothing stays behind.
//!
//! Two openers, a creator and somebody who retires the ring may meet at any point. Three facts keep them apart: a name appears
//! only with a finished object behind it, and only if it was free (`linkat`); joining and retiring happen behind the same
//! gate, one lock that the kernel drops when its holder dies; and a retired object says so, for whoever opened it before it
//! lost its name.
//!
//! # Safety
//! A segment is used only after its header was copied and validated against its real size.

#![allow(unsafe_code, reason = "hands a validated segment to Memory")]

mod removal;

pub use removal::{remove, remove_at};
pub(crate) use removal::{retire, retire_if_over};

use crate::broadcast::{Lossy, visit};
use crate::error::OpenError;
use crate::frames::{Sealed, is_pool_of, mark_pool};
use crate::lanes::{Peer, Role};
use crate::layout::{Geometry, Header, Kind, TypeIdentity, Wakeup};
use crate::member::{Behaviour, HugePages, Member, Residency};
use crate::memory::Memory;
use crate::os::liveness::Gate;
use crate::os::object::{Draft, Object};
use crate::os::segment::Segment;
use crate::os::{IntoMemfd, Place, SoleMemfd, now};
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::crash;
use ringshm_sync::time::Deadline;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for somebody who is joining or leaving right now. That takes microseconds; only a stopped process takes
/// longer.
const GATE_PATIENCE: Duration = Duration::from_secs(1);

/// Whether a name may exist, must, or must not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existence {
    /// Open the ring of that name, or create it: either side may start first.
    #[default]
    OpenOrCreate,
    /// Open it; [`OpenError::NotFound`] if there is none.
    MustExist,
    /// Create it; [`OpenError::Exists`] if there is one.
    MustNotExist,
}

/// The ring that a program wants to join.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its shape, if it is to be created.
    pub geometry: Geometry,
    /// What it carries.
    pub identity: TypeIdentity,
    /// Whether its longest message may be of any length: this participant did not ask for one.
    pub any_length: bool,
    /// Whether it may exist.
    pub existence: Existence,
    /// What its data area begins with, if it is to be created.
    pub initial: Vec<u8>,
}

/// Joins the ring at `place`.
///
/// # Errors
/// Any [`OpenError`] but `InUse`.
pub(crate) fn join_at(place: &Place, wanted: &Wanted, role: Role, behaviour: Behaviour) -> Result<Member, OpenError> {
    loop {
        match Segment::open(place, behaviour.residency.huge_pages) {
            Ok(_) if wanted.existence == Existence::MustNotExist => {
                return Err(OpenError::Exists { path: place.path() });
            }
            Ok(segment) => {
                if let Some(end) = unless_removed(join_segment(segment, wanted, role, behaviour))? {
                    return Ok(end);
                }
            }
            Err(OpenError::NotFound { .. }) if wanted.existence != Existence::MustExist => {
                if let Some(end) = create(place, wanted, role, behaviour)? {
                    return Ok(end);
                }
            }
            Err(error) => return Err(not_there(place, error)),
        }
        // Retired under our hands, or created by somebody else just now: each is another process's progress.
    }
}

/// Joins the ring in a memfd that [`create_memfd`] made, in this process or another.
pub(crate) fn join_memfd(
    file: impl IntoMemfd,
    wanted: &Wanted,
    role: Role,
    behaviour: Behaviour,
) -> Result<Member, OpenError> {
    let segment = Segment::from_memfd(file, behaviour.residency.huge_pages)?;
    join_segment(segment, wanted, role, behaviour)?.ok_or(OpenError::Corrupt { field: "file type" })
}

/// Creates a ring without a name, in a sealed memfd, with nobody in it yet.
pub(crate) fn create_memfd(label: &str, wanted: &Wanted, residency: Residency) -> Result<OwnedFd, OpenError> {
    let segment = Segment::memfd(label, wanted.geometry.total, residency)?;
    segment.make_resident(residency.of_the_memory())?;
    let object = segment.object().clone();
    drop(initialise(segment, wanted)?);
    let file = object.file().ok_or(OpenError::Corrupt { field: "file type" })?;
    let file = file.as_fd().try_clone_to_owned();
    file.map_err(|source| OpenError::Os { step: "duplicating the memfd", source })
}

/// The file of a memfd.
fn file_of(memfd: &Segment) -> Result<&OwnedFd, OpenError> {
    memfd.object().file().ok_or(OpenError::Corrupt { field: "file type" })
}

/// Creates a ring of frames in two sealed memfds, one of them for the pixels, which only the caller can write; and takes its sending role.
pub(crate) fn create_sealed(label: &str, wanted: &Wanted, behaviour: Behaviour) -> Result<(Member, Sealed), OpenError> {
    let (geometry, residency) = (wanted.geometry.with_own_pool(), behaviour.residency);
    let pool = Segment::memfd_to_read(label, geometry.pool_len(), residency)?;
    pool.make_resident(residency)?;
    let pixels = file_of(&pool)?.as_fd().try_clone_to_owned();
    let pixels = pixels.map_err(|source| OpenError::Os { step: "duplicating the memfd", source })?;
    let words = Segment::memfd(label, geometry.total, residency)?;
    words.make_resident(residency)?;
    // The locks of whoever takes part go with its file description: what is handed on has another one.
    let ring = SoleMemfd::of(file_of(&words)?)?.into_fd();
    let header = Header::new(&geometry, &wanted.identity, std::process::id(), now());
    // SAFETY: the object was made just now, of the size that this geometry asks for.
    let memory = unsafe { Memory::in_segment(geometry, words) }.with_pool(pool);
    memory.initialise();
    mark_pool(&memory, &header);
    if let Some(words) = memory.segment() {
        words.write_header(&header)?;
    }
    let member = Member::join(Arc::new(memory), Role::Producer, behaviour, header.creator, header.created)?;
    Ok((member, Sealed { ring, pixels }))
}

/// Takes the receiving role of a ring of frames in two sealed memfds.
pub(crate) fn join_sealed(
    ring: impl IntoMemfd,
    pixels: impl AsFd,
    wanted: &Wanted,
    behaviour: Behaviour,
) -> Result<Member, OpenError> {
    let huge_pages = behaviour.residency.huge_pages;
    // The pixels first: whoever confuses the two is told so.
    let pool = Segment::from_memfd_to_read(pixels, huge_pages)?;
    let words = Segment::from_memfd(ring, huge_pages)?;
    let (header, path) = (words.header()?, words.path());
    let (memory, identity) = validated(words)?;
    let geometry = memory.geometry();
    if !geometry.has_own_pool || geometry.pool_len() != pool.size() {
        return Err(OpenError::Corrupt { field: "frame pool" });
    }
    pool.make_resident(behaviour.residency)?;
    let memory = memory.with_pool(pool);
    if !is_pool_of(&memory, &header) {
        return Err(OpenError::Corrupt { field: "frame pool" });
    }
    join_memory(memory, &identity, path, wanted, Role::Consumer, behaviour)?
        .ok_or(OpenError::Corrupt { field: "file type" })
}

/// Comes to read the ring at `place` without a role in it.
///
/// # Errors
/// Any [`OpenError`] but `InUse` and `RoleTaken`.
pub(crate) fn visit_at(place: &Place, wanted: &Wanted, behaviour: Behaviour) -> Result<Lossy, OpenError> {
    loop {
        match Segment::open(place, HugePages::Never) {
            Ok(_) if wanted.existence == Existence::MustNotExist => {
                return Err(OpenError::Exists { path: place.path() });
            }
            Ok(segment) => {
                if let Some(visitor) = unless_removed(visit_segment(segment, wanted, behaviour))? {
                    return Ok(visitor);
                }
            }
            Err(OpenError::NotFound { .. }) if wanted.existence != Existence::MustExist => {
                // With nobody in it yet. Whether it is this one that is found there, or another's, one is there then.
                let Some((segment, draft)) = make(place, wanted, behaviour.residency.of_the_memory())? else {
                    continue;
                };
                let mut memory = initialise(segment, wanted)?;
                if let Some(segment) = memory.segment_mut() {
                    let is_first = segment.finish(place, draft)?;
                    if is_first && wanted.existence == Existence::MustNotExist {
                        return Ok(visit(Arc::new(read_only(&memory, behaviour)?), behaviour));
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Who must find a ring and finds what is left of one takes that away.
fn not_there(place: &Place, error: OpenError) -> OpenError {
    if matches!(error, OpenError::NotFound { .. }) {
        // If it cannot, the next one who makes a ring there will.
        let _ = Segment::take_half_made(place, true);
    }
    error
}

/// What is gone by now, with its locks, was retired under our hands: then the caller looks again.
fn unless_removed<T>(result: Result<Option<T>, OpenError>) -> Result<Option<T>, OpenError> {
    match result {
        Err(OpenError::NotFound { .. }) => Ok(None),
        result => result,
    }
}

/// Comes to read the ring in a memfd, without a role in it.
pub(crate) fn visit_memfd(file: impl IntoMemfd, wanted: &Wanted, behaviour: Behaviour) -> Result<Lossy, OpenError> {
    let visitor = visit_segment(Segment::from_memfd(file, HugePages::Never)?, wanted, behaviour)?;
    visitor.ok_or(OpenError::Corrupt { field: "file type" })
}

/// `None` if the segment has been retired, or was found to be over and was retired here.
fn visit_segment(segment: Segment, wanted: &Wanted, behaviour: Behaviour) -> Result<Option<Lossy>, OpenError> {
    let path = segment.path();
    let (memory, identity) = validated(segment)?;
    let gate = enter_patiently(object_of(&memory)?)?.ok_or(OpenError::Busy { path })?;
    if retired_or_over(&memory)? {
        return Ok(None);
    }
    compare(&memory, &identity, wanted)?;
    let visitor = visit(Arc::new(read_only(&memory, behaviour)?), behaviour);
    drop(gate);
    Ok(Some(visitor))
}

/// The same ring, mapped for a reader.
fn read_only(memory: &Memory, behaviour: Behaviour) -> Result<Memory, OpenError> {
    let segment = memory.segment().ok_or(OpenError::Corrupt { field: "file type" })?;
    let segment = segment.read_only(behaviour.residency.huge_pages)?;
    segment.make_resident(behaviour.residency)?;
    // SAFETY: it was validated against the size of the mapping, or made for it, and this one has the same size.
    Ok(unsafe { Memory::in_segment(*memory.geometry(), segment) })
}

/// Behind the gate: whether the ring has ended. If so, its name is gone.
fn retired_or_over(memory: &Memory) -> Result<bool, OpenError> {
    // Relaxed: written and read behind the gate only.
    let is_retired = memory.control().retired.load(Relaxed) != 0;
    // Whoever retired it may have been killed before its name was gone: that is made up for.
    if has_name(memory) && (is_retired || memory.is_over(false)) {
        retire(memory)?;
        return Ok(true);
    }
    Ok(false)
}

/// A new object that is not to be found yet, with its memory where it is to be, and entered and locked as asked. `None` if somebody else was faster.
fn make(place: &Place, wanted: &Wanted, residency: Residency) -> Result<Option<(Segment, Draft)>, OpenError> {
    let made = Segment::make(place, wanted.geometry.total, residency)?;
    if let Some((segment, _)) = &made {
        segment.make_resident(residency)?;
    }
    Ok(made)
}

fn initialise(segment: Segment, wanted: &Wanted) -> Result<Memory, OpenError> {
    let header = Header::new(&wanted.geometry, &wanted.identity, std::process::id(), now());
    // SAFETY: the object was made just now, of the size that this geometry asks for.
    let memory = unsafe { Memory::in_segment(wanted.geometry, segment) };
    memory.initialise();
    memory.fill(&wanted.initial);
    if let Some(segment) = memory.segment() {
        segment.write_header(&header)?;
    }
    Ok(memory)
}

/// `None` if somebody else created it first.
fn create(place: &Place, wanted: &Wanted, role: Role, behaviour: Behaviour) -> Result<Option<Member>, OpenError> {
    let Some((segment, draft)) = make(place, wanted, behaviour.residency)? else { return Ok(None) };
    let mut memory = initialise(segment, wanted)?;
    // The role is taken before the ring can be found: nobody can take it first.
    let lane = memory.join(role, std::process::id(), now())?;
    crash::point("attach.unnamed");
    let linked = match memory.segment_mut() {
        Some(segment) => segment.finish(place, draft)?,
        None => false,
    };
    Ok(linked.then(|| Member::new(Arc::new(memory), role, lane, behaviour)))
}

/// `None` if the segment has been retired, or was found to be over and was retired here.
fn join_segment(
    segment: Segment,
    wanted: &Wanted,
    role: Role,
    behaviour: Behaviour,
) -> Result<Option<Member>, OpenError> {
    let path = segment.path();
    let (memory, identity) = validated(segment)?;
    join_memory(memory, &identity, path, wanted, role, behaviour)
}

/// As [`join_segment`], of a segment that was validated.
fn join_memory(
    memory: Memory,
    identity: &TypeIdentity,
    path: PathBuf,
    wanted: &Wanted,
    role: Role,
    behaviour: Behaviour,
) -> Result<Option<Member>, OpenError> {
    memory.segment().map_or(Ok(()), |segment| segment.make_resident(behaviour.residency))?;
    let object = object_of(&memory)?.clone();
    let patience = Deadline::after(GATE_PATIENCE);
    loop {
        let gate = Gate::enter(&object, patience)?.ok_or_else(|| OpenError::Busy { path: path.clone() })?;
        crash::point("attach.gate");
        if retired_or_over(&memory)? {
            return Ok(None);
        }
        compare(&memory, identity, wanted)?;
        match memory.join(role, std::process::id(), now()) {
            Ok(lane) => {
                drop(gate);
                return Ok(Some(Member::new(Arc::new(memory), role, lane, behaviour)));
            }
            // Its owner has said that it leaves, and is about to let go.
            Err(OpenError::RoleTaken { .. })
                if memory
                    .lanes_of(role)
                    .any(|lane| matches!(memory.peer_state(lane), Peer::Closed | Peer::Detached))
                    && !patience.is_over() => {}
            Err(error) => return Err(error),
        }
        drop(gate);
        std::thread::yield_now();
    }
}

/// Copies and checks the header of a segment.
pub(crate) fn validated(segment: Segment) -> Result<(Memory, TypeIdentity), OpenError> {
    let (geometry, identity) = segment.header()?.validate(segment.size())?;
    // SAFETY: validated just now against the size of the mapping.
    Ok((unsafe { Memory::in_segment(geometry, segment) }, identity))
}

/// Whether a ring is what a participant wants. Its capacity may differ where only one of the two sides asked for one, as long as
/// it is not too small for that one. How many lanes it has is for its creator to say; so is the longest message, if it is not shorter
/// than this participant's.
fn compare(memory: &Memory, identity: &TypeIdentity, wanted: &Wanted) -> Result<(), OpenError> {
    let (found, expected) = (memory.geometry(), &wanted.geometry);
    let capacity_will_do = found.capacity == expected.capacity
        || expected.is_default_capacity
        || (found.is_default_capacity && found.capacity >= expected.capacity);
    let delivery_will_do = found.is_at_most_once || !expected.is_at_most_once;
    // Who asks for nothing special sleeps as the ring's maker chose.
    let wakeup_will_do = found.wakeup == expected.wakeup || expected.wakeup == Wakeup::Futex;
    let length_will_do = wanted.any_length || found.kind.has_records() || found.max_message >= expected.max_message;
    let parties_will_do = found.kind != Kind::Barrier || found.producers == expected.producers;
    if *identity == wanted.identity
        && parties_will_do
        && found.kind == expected.kind
        && capacity_will_do
        && delivery_will_do
        && wakeup_will_do
        && length_will_do
    {
        return Ok(());
    }
    Err(OpenError::LayoutMismatch { expected: describe(expected, &wanted.identity), found: describe(found, identity) })
}

/// A ring without a name is there as long as somebody has its descriptor: nobody retires it.
fn has_name(memory: &Memory) -> bool {
    memory.segment().is_some_and(Segment::has_name)
}

fn describe(geometry: &Geometry, identity: &TypeIdentity) -> String {
    let Geometry { kind, capacity, is_default_capacity, wakeup, .. } = geometry;
    let TypeIdentity { name, size, align, schema } = identity;
    if *kind == Kind::Barrier {
        return format!("barrier of {} parties, schema {schema}", geometry.producers);
    }
    let by_default = if *is_default_capacity { " by default" } else { "" };
    let woken = if *wakeup == Wakeup::Semaphore { ", woken by semaphores" } else { "" };
    format!(
        "{} of {name} ({size} bytes, alignment {align}, schema {schema}) with capacity {capacity}{by_default}{woken}",
        kind.name()
    )
}

/// Waits for the gate as long as a running process can hold it.
pub(crate) fn enter_patiently(object: &Object) -> Result<Option<Gate>, OpenError> {
    Gate::enter(object, Deadline::after(GATE_PATIENCE))
}

/// What the locks of a ring that processes share are on.
pub(crate) fn object_of(memory: &Memory) -> Result<&Object, OpenError> {
    memory.segment().map(Segment::object).ok_or(OpenError::Corrupt { field: "file type" })
}
