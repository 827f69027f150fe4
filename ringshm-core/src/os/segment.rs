//! The object that participants map: a file in the shared-memory file system, or a sealed memfd.
//!
//! A named object is created whole or not at all. It is built without a name (`O_TMPFILE`), given all its memory
//! (`fallocate`), initialised, and only then linked to its name; a process killed on the way leaves nothing.

use super::directory::{Directory, Name, PREFIX, memory_free};
use super::huge::{self, SmallPages};
use super::mapping::{Access, Mapping};
use super::memfd::IntoMemfd;
use super::numa;
use crate::error::OpenError;
use crate::layout::{Header, LANES_AT, LOBBY_AT};
use crate::member::{HugePages, Residency};
use core::ptr::NonNull;
use memmap2::{MmapOptions, MmapRaw};
use ringshm_sync::crash;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, MemfdFlags, Mode, OFlags, SealFlags, Stat, fallocate, fcntl_add_seals,
    fcntl_get_seals, fstat, linkat, memfd_create, open, openat, statat, unlinkat,
};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zerocopy::{FromZeros, IntoBytes};

pub(super) fn os(step: &'static str) -> impl Fn(Errno) -> OpenError {
    move |errno| OpenError::Os { step, source: errno.into() }
}

/// Where a segment's name is, if it has one.
#[derive(Clone, Debug)]
struct Place {
    directory: Directory,
    name: Name,
}

/// An open, mapped object.
#[derive(Debug)]
pub(crate) struct Segment {
    file: Arc<OwnedFd>,
    mapping: Mapping,
    access: Access,
    /// The lobby once more, writable, where the mapping is not.
    lobby: Option<MmapRaw>,
    place: Option<Place>,
    placing: Placing,
}

/// What is known of how a mapping came to its pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placing {
    /// Whether this participant asked for huge ones.
    pub(super) asked: HugePages,
    /// Whether it made the object.
    pub(super) made_here: bool,
    /// Why there are none although it asked.
    pub(super) refused: Option<SmallPages>,
}

impl Segment {
    /// An object of `size` bytes, all of them there and zero, without a name; its memory as `residency` has it.
    pub(crate) fn unnamed(
        directory: &Directory,
        size: u64,
        residency: Residency,
    ) -> Result<(Self, Option<String>), OpenError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let (file, temporary) = match open(directory.path(), flags | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR) {
            Ok(file) => (file, None),
            // A file system without O_TMPFILE: a name that nobody can guess, until the real one.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let name = format!(".{PREFIX}new-{}-{:x}", std::process::id(), super::now());
                let path = directory.path().join(&name);
                let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let file =
                    open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| refused(errno, directory.path()))?;
                (file, Some(name))
            }
            Err(errno @ (Errno::NOENT | Errno::NOTDIR)) => {
                return Err(os("opening the shared-memory folder (is it there? see RINGSHM_DIR)")(errno));
            }
            Err(errno) => return Err(refused(errno, directory.path())),
        };
        crash::point("segment.opened");
        let remove_temporary = |error| {
            Self::forget_temporary(directory, temporary.as_deref());
            error
        };
        let free = directory.free().map_err(remove_temporary)?;
        let segment = Self::furnish(file, size, free, residency).map_err(remove_temporary)?;
        Ok((segment, temporary))
    }

    /// Gives the finished object its name. `false` if somebody else was faster; then this object is to be dropped.
    pub(crate) fn link(
        &mut self,
        directory: &Directory,
        name: &Name,
        temporary: Option<String>,
    ) -> Result<bool, OpenError> {
        let to = directory.path_of(name);
        let result = match &temporary {
            None => {
                let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                linkat(CWD, from, CWD, &to, AtFlags::SYMLINK_FOLLOW)
            }
            Some(temporary) => {
                let from = directory.path().join(temporary);
                let result = linkat(CWD, &from, CWD, &to, AtFlags::empty());
                let _ = unlinkat(CWD, &from, AtFlags::empty());
                result
            }
        };
        match result {
            Ok(()) => {
                crash::point("segment.linked");
                self.place = Some(Place { directory: directory.clone(), name: name.clone() });
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(os("giving the ring its name (linkat; needs /proc)")(errno)),
        }
    }

    /// Opens and maps a named object. Nothing of its content has been believed yet but its size.
    pub(crate) fn open(directory: &Directory, name: &Name, huge_pages: HugePages) -> Result<Self, OpenError> {
        let path = directory.path_of(name);
        // NONBLOCK: a FIFO of that name must not make us wait.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = openat(CWD, &path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => OpenError::NotFound { path: path.clone() },
            Errno::LOOP | Errno::NXIO | Errno::ISDIR => OpenError::Corrupt { field: "file type" },
            errno => refused(errno, &path),
        })?;
        let size = check_object(&file, &path)?;
        let place = Place { directory: directory.clone(), name: name.clone() };
        Ok(Self { place: Some(place), ..Self::map(file, size, Access::Write, huge_pages)? })
    }

    /// A memfd of `size` bytes, all of them there and zero, that can neither shrink nor grow.
    pub(crate) fn memfd(label: &str, size: u64, residency: Residency) -> Result<Self, OpenError> {
        Self::sealed(label, size, residency, SealFlags::empty())
    }

    /// As [`memfd`](Self::memfd), of which this mapping is the only one that can be written.
    pub(crate) fn memfd_to_read(label: &str, size: u64, residency: Residency) -> Result<Self, OpenError> {
        Self::sealed(label, size, residency, SealFlags::FUTURE_WRITE)
    }

    fn sealed(label: &str, size: u64, residency: Residency, seals: SealFlags) -> Result<Self, OpenError> {
        let file = memfd_create(label, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(os("creating anonymous shared memory (memfd_create)"))?;
        let segment = Self::furnish(file, size, memory_free(), residency)?;
        fcntl_add_seals(&*segment.file, seals | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(os("sealing anonymous shared memory"))?;
        Ok(segment)
    }

    /// Gives a new object its memory, of which `free` bytes are there, and maps it.
    fn furnish(file: OwnedFd, size: u64, mut free: u64, residency: Residency) -> Result<Self, OpenError> {
        if let Some(node) = residency.numa_node {
            // Before there is a page, because none is moved.
            numa::bind(&file, size, node)?;
            free = free.min(numa::free(node));
        }
        allocate(&file, size, free)?;
        let mut segment = Self::map(file, size, Access::Write, residency.huge_pages)?;
        segment.placing.made_here = true;
        if let (HugePages::Try | HugePages::Require, Some(huge_page)) = (residency.huge_pages, huge::page_size()) {
            segment.placing.refused = huge::collapse(&segment.mapping, huge_page).err();
        }
        Ok(segment)
    }

    /// Maps a memfd that came from elsewhere.
    pub(crate) fn from_memfd(memfd: impl IntoMemfd, huge_pages: HugePages) -> Result<Self, OpenError> {
        let file = memfd.into_memfd()?.into_fd();
        let size = check_object(&file, Path::new("(memfd)"))?;
        Self::map(file, size, Access::Write, huge_pages)
    }

    /// Maps a memfd that came from elsewhere, to read it. One that its owner can still change the size of, or that this process could write, is
    /// refused.
    pub(crate) fn from_memfd_to_read(memfd: impl AsFd, huge_pages: HugePages) -> Result<Self, OpenError> {
        let seals = fcntl_get_seals(&memfd).map_err(|_| OpenError::Corrupt { field: "file type" })?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE) {
            return Err(OpenError::Corrupt { field: "seals" });
        }
        let file = memfd.as_fd().try_clone_to_owned();
        let file = file.map_err(|source| OpenError::Os { step: "duplicating the memfd", source })?;
        let size = check_object(&file, Path::new("(memfd)"))?;
        Self::map(file, size, Access::Read, huge_pages)
    }

    /// Maps an object: where huge pages fit, if they are asked for.
    fn map(file: OwnedFd, size: u64, access: Access, asked: HugePages) -> Result<Self, OpenError> {
        let len = usize::try_from(size).map_err(|_| OpenError::Corrupt { field: "object size" })?;
        let mapping = Mapping::new(&file, len, access, alignment(asked))
            .map_err(|source| OpenError::Os { step: "mapping the ring (mmap)", source })?;
        let placing = Placing { asked, made_here: false, refused: None };
        Ok(Self { file: Arc::new(file), mapping, access, lobby: None, place: None, placing })
    }

    /// The same object, mapped for a reader: nothing in it can be written but the lobby, of which it has a mapping of its own.
    pub(crate) fn read_only(&self, asked: HugePages) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Os { step: "mapping the ring to read it (mmap)", source };
        let mapping = Mapping::new(&self.file, self.mapping.len(), Access::Read, alignment(asked)).map_err(failed)?;
        let lobby = MmapOptions::new().offset(LOBBY_AT as u64).len(LANES_AT - LOBBY_AT).map_raw(&*self.file);
        let lobby = Some(lobby.map_err(failed)?);
        let placing = Placing { asked, ..self.placing };
        let access = Access::Read;
        Ok(Self { file: Arc::clone(&self.file), mapping, access, lobby, place: self.place.clone(), placing })
    }

    /// Where the lobby is mapped to be written.
    pub(crate) fn lobby(&self) -> NonNull<u8> {
        let pointer = self.lobby.as_ref().map_or(self.base().as_ptr().wrapping_add(LOBBY_AT), MmapRaw::as_mut_ptr);
        NonNull::new(pointer).unwrap_or(NonNull::dangling())
    }

    /// The mapping of the object, and that of the lobby, if it has one of its own.
    pub(super) fn mappings(&self) -> (&Mapping, Option<&MmapRaw>) {
        (&self.mapping, self.lobby.as_ref())
    }

    /// What may be done in the mapping of the object.
    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn placing(&self) -> Placing {
        self.placing
    }

    /// Takes back the temporary name of a new object that will not get its own.
    pub(crate) fn forget_temporary(directory: &Directory, temporary: Option<&str>) {
        if let Some(name) = temporary {
            let _ = unlinkat(CWD, directory.path().join(name), AtFlags::empty());
        }
    }

    pub(crate) fn file(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.file)
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.mapping.base()
    }

    pub(crate) fn size(&self) -> u64 {
        self.mapping.len() as u64
    }

    /// Whether it has, or had, a name.
    pub(crate) fn has_name(&self) -> bool {
        self.place.is_some()
    }

    /// Where the ring is, for people.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.place {
            Some(place) => place.directory.path_of(&place.name),
            None => PathBuf::from("(memfd)"),
        }
    }

    /// A private copy of the header, read through the file: one moment's bytes, whatever others write meanwhile.
    pub(crate) fn header(&self) -> Result<Header, OpenError> {
        let mut header = Header::new_zeroed();
        let read = rustix::io::pread(&*self.file, header.as_mut_bytes(), 0).map_err(os("reading the ring's header"))?;
        if read == size_of::<Header>() { Ok(header) } else { Err(OpenError::Corrupt { field: "object size" }) }
    }

    /// Writes the header of a new object, its magic last.
    pub(crate) fn write_header(&self, header: &Header) -> Result<(), OpenError> {
        let bytes = header.as_bytes();
        let (magic, rest) = bytes.split_at(size_of::<u64>());
        let write = |bytes: &[u8], at| {
            rustix::io::pwrite(&*self.file, bytes, at).map_err(os("writing the ring's header")).map(|_| ())
        };
        write(rest, size_of::<u64>() as u64)?;
        crash::point("segment.without_magic");
        write(magic, 0)
    }

    /// Removes the name, if it still stands for this very object. The caller holds the gate, without which nobody removes it.
    pub(crate) fn unlink(&self) -> Result<(), OpenError> {
        let Some(place) = &self.place else { return Ok(()) };
        let path = place.directory.path_of(&place.name);
        let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
        let own = fstat(&*self.file).map(identity);
        match statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW).map(identity) {
            Ok(there) if own == Ok(there) => {
                unlinkat(CWD, &path, AtFlags::empty()).map_err(os("removing the ring's name (unlink)"))
            }
            // Gone already, or somebody else's.
            _ => Ok(()),
        }
    }
}

/// What a mapping begins on a multiple of.
fn alignment(asked: HugePages) -> Option<usize> {
    if asked == HugePages::Never { None } else { huge::page_size() }
}

/// Checks what an open object is, before a byte of it is read. Returns its size.
fn check_object(file: &OwnedFd, path: &Path) -> Result<u64, OpenError> {
    let stat = fstat(file).map_err(os("asking what the ring's file is (fstat)"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(OpenError::Corrupt { field: "file type" });
    }
    check_owner(&stat, path)?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size < size_of::<Header>() as u64 {
        return Err(OpenError::Corrupt { field: "object size" });
    }
    Ok(size)
}

pub(super) fn check_owner(stat: &Stat, path: &Path) -> Result<(), OpenError> {
    let me = rustix::process::geteuid().as_raw();
    if stat.st_uid == me {
        return Ok(());
    }
    let reason = format!("it belongs to user {} and you are user {me}", stat.st_uid);
    Err(OpenError::Permission { path: path.to_owned(), reason })
}

/// Gives a new object all its memory now, so that no later store finds the file system full (SIGBUS).
fn allocate(file: &OwnedFd, size: u64, free: u64) -> Result<(), OpenError> {
    let no_space = || OpenError::NoSpace { needed: size, free };
    if size > free || i64::try_from(size).is_err() {
        return Err(no_space());
    }
    let mut done = 0;
    while done < size {
        let step = (size - done).min(ALLOCATION_STEP);
        match fallocate(file, FallocateFlags::empty(), done, step) {
            Ok(()) => done += step,
            Err(Errno::INTR) => {}
            Err(Errno::NOSPC | Errno::FBIG | Errno::NOMEM) => return Err(no_space()),
            Err(errno) => return Err(os("allocating shared memory (fallocate)")(errno)),
        }
    }
    crash::point("segment.allocated");
    Ok(())
}

/// Bytes allocated by one call: an interrupted call starts from its beginning, and a timer that ticks must not keep a large ring
/// from ever being done.
const ALLOCATION_STEP: u64 = 16 << 20;

pub(super) fn refused(errno: Errno, path: &Path) -> OpenError {
    match errno {
        Errno::ACCESS | Errno::PERM | Errno::ROFS => {
            OpenError::Permission { path: path.to_owned(), reason: io::Error::from(errno).to_string() }
        }
        Errno::NOENT | Errno::NOTDIR => OpenError::NotFound { path: path.to_owned() },
        Errno::NOSPC => OpenError::NoSpace { needed: size_of::<Header>() as u64, free: 0 },
        errno => os("opening the ring's file")(errno),
    }
}
