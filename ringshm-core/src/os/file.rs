//! Files that rings lie in: made whole or not at all, opened without trust.
//!
//! A file with a name is built without one (`O_TMPFILE`), given all its memory (`fallocate`), initialised, and only then linked to its name; a
//! process killed on the way leaves nothing.

use super::directory::{Directory, PREFIX};
use crate::error::OpenError;
use crate::layout::Header;
use ringshm_sync::crash;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, MemfdFlags, Mode, OFlags, SealFlags, Stat, fallocate, fcntl_add_seals,
    fstat, fstatfs, linkat, memfd_create, open, openat, statat, unlinkat,
};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

pub(super) fn os(step: &'static str) -> impl Fn(Errno) -> OpenError {
    move |errno| OpenError::Os { step, source: errno.into() }
}

/// A new, empty file that is to have the name `path`, and until then has none, or a temporary one.
pub(super) fn nameless(path: &Path) -> Result<(OwnedFd, Option<PathBuf>), OpenError> {
    let folder = folder_of(path);
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let (file, temporary) = match open(folder, flags | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR) {
        Ok(file) => (file, None),
        // A file system without O_TMPFILE: a name that nobody can guess, until the real one.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let temporary = folder.join(format!(".{PREFIX}new-{}-{:x}", std::process::id(), super::now()));
            let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let file = open(&temporary, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| refused(errno, folder))?;
            (file, Some(temporary))
        }
        Err(errno @ (Errno::NOENT | Errno::NOTDIR)) => {
            return Err(os("opening the folder for the ring (is it there? see RINGSHM_DIR)")(errno));
        }
        Err(errno) => return Err(refused(errno, folder)),
    };
    crash::point("segment.opened");
    Ok((file, temporary))
}

/// Gives a finished file its name. `false` if somebody else was faster.
pub(super) fn give_name(file: &OwnedFd, temporary: Option<&Path>, name: &Path) -> Result<bool, OpenError> {
    let result = match temporary {
        None => {
            let from = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(CWD, from, CWD, name, AtFlags::SYMLINK_FOLLOW)
        }
        Some(temporary) => linkat(CWD, temporary, CWD, name, AtFlags::empty()),
    };
    match result {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(os("giving the ring its name (linkat; needs /proc)")(errno)),
    }
}

/// Takes a temporary name back.
pub(super) fn forget(temporary: &Path) {
    let _ = unlinkat(CWD, temporary, AtFlags::empty());
}

/// Opens a named file. Returns its size, too: nothing else of it has been believed yet.
pub(super) fn open_named(path: &Path) -> Result<(OwnedFd, u64), OpenError> {
    // NONBLOCK: a FIFO of that name must not make us wait.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat(CWD, path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => OpenError::NotFound { path: path.to_owned() },
        Errno::LOOP | Errno::NXIO | Errno::ISDIR => OpenError::Corrupt { field: "file type" },
        errno => refused(errno, path),
    })?;
    let size = check_object(&file, path)?;
    check_file_system(&file, path)?;
    Ok((file, size))
}

/// A new memfd, empty.
pub(super) fn memfd(label: &str) -> Result<OwnedFd, OpenError> {
    memfd_create(label, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(os("creating anonymous shared memory (memfd_create)"))
}

/// From now on, a memfd can neither shrink nor grow, nor what `more` says.
pub(super) fn seal(memfd: &OwnedFd, more: SealFlags) -> Result<(), OpenError> {
    fcntl_add_seals(memfd, more | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
        .map_err(os("sealing anonymous shared memory"))
}

/// Bytes that are free where a file of that name would lie.
pub(super) fn free(path: &Path) -> Result<u64, OpenError> {
    Directory::new(folder_of(path)).free()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Checks what an open object is, before a byte of it is read. Returns its size.
pub(super) fn check_object(file: &OwnedFd, path: &Path) -> Result<u64, OpenError> {
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

/// File systems whose files other machines, or programs, change and keep: two machines that map one have two memories, a lock may hold on one of them
/// only, and a store can fail long after it was made. What `statfs` calls them.
const FOREIGN: [(u64, &str); 16] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x786f_4256, "VirtualBox"),
    (0x6573_5546, "FUSE"),
];

/// Refuses a file whose file system cannot keep a ring's promises.
pub(super) fn check_file_system(file: &OwnedFd, path: &Path) -> Result<(), OpenError> {
    let kind = fstatfs(file).map_err(os("asking for the file system of the ring's file (fstatfs)"))?.f_type;
    // A number of 32 bits, which some machines keep with a sign.
    let kind = u64::from(kind as u32);
    let Some((_, name)) = FOREIGN.iter().find(|(foreign, _)| *foreign == kind) else { return Ok(()) };
    let reason = format!("{} lies on {name}, where memory is not shared: use a local file system", path.display());
    Err(OpenError::InvalidOption { option: "file", reason })
}

/// Gives a new file all its memory now, so that no later store finds the file system full (SIGBUS).
pub(super) fn allocate(file: &OwnedFd, size: u64, free: u64) -> Result<(), OpenError> {
    let no_space = || OpenError::NoSpace { needed: size, free };
    if size > free {
        return Err(no_space());
    }
    let mut done = 0;
    while done < size {
        let step = (size - done).min(ALLOCATION_STEP);
        match fallocate(file, FallocateFlags::empty(), done, step) {
            Ok(()) => done += step,
            Err(Errno::INTR) => {}
            // A file system that allocates what is written, and nothing else.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => match write_zeros(file, done, step) {
                Ok(written) => done += written,
                Err(Errno::NOSPC | Errno::FBIG | Errno::NOMEM | Errno::DQUOT) => return Err(no_space()),
                Err(errno) => return Err(os("writing a new ring's file (pwrite)")(errno)),
            },
            Err(Errno::NOSPC | Errno::FBIG | Errno::NOMEM | Errno::DQUOT) => return Err(no_space()),
            Err(errno) => return Err(os("allocating shared memory (fallocate)")(errno)),
        }
    }
    crash::point("segment.allocated");
    Ok(())
}

/// Bytes allocated by one call: an interrupted call starts from its beginning, and a timer that ticks must not keep a large ring
/// from ever being done.
const ALLOCATION_STEP: u64 = 16 << 20;

/// Writes up to `len` zeros, and says how many.
fn write_zeros(file: &OwnedFd, at: u64, len: u64) -> Result<u64, Errno> {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let zeros = &ZEROS[..ZEROS.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
    match rustix::io::pwrite(file, zeros, at) {
        Ok(written) => Ok(written as u64),
        Err(Errno::INTR) => Ok(0),
        Err(errno) => Err(errno),
    }
}

/// Removes a name, if it still stands for this very file.
pub(super) fn unlink(file: &OwnedFd, path: &Path) -> Result<(), OpenError> {
    let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
    let own = fstat(file).map(identity);
    match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map(identity) {
        Ok(there) if own == Ok(there) => {
            unlinkat(CWD, path, AtFlags::empty()).map_err(os("removing the ring's name (unlink)"))
        }
        // Gone already, or somebody else's.
        _ => Ok(()),
    }
}

/// Removes what stands where a ring should, and is none, if it belongs to this user.
pub(super) fn unlink_damaged(path: &Path) -> Result<(), OpenError> {
    let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| refused(errno, path))?;
    check_owner(&stat, path)?;
    unlinkat(CWD, path, AtFlags::empty()).map_err(os("removing the damaged ring's name (unlink)"))
}

/// Waits until a file, and its name if it has one, are where a loss of power does not reach them.
pub(super) fn sync(file: &OwnedFd, name: Option<&Path>) -> io::Result<()> {
    // What is written in a mapping is part of the file: the kernel looks for it in all mappings.
    rustix::fs::fsync(file)?;
    let Some(name) = name else { return Ok(()) };
    let folder = open(folder_of(name), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::fs::fsync(folder)?)
}

/// Bytes of a file, as one call reads them: one moment's, whatever others write meanwhile.
pub(super) fn read(file: &OwnedFd, bytes: &mut [u8]) -> Result<(), OpenError> {
    let read = rustix::io::pread(file, &mut *bytes, 0).map_err(os("reading the ring's header"))?;
    if read == bytes.len() { Ok(()) } else { Err(OpenError::Corrupt { field: "object size" }) }
}

pub(super) fn write(file: &OwnedFd, bytes: &[u8], at: u64) -> Result<(), OpenError> {
    rustix::io::pwrite(file, bytes, at).map_err(os("writing the ring's header")).map(|_| ())
}

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
