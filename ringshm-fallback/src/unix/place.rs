//! Where a Unix socket is, a file or an abstract name: how it is taken, what becomes of what a killed process left there, how it is reached.
//!
//! A file's name is taken under a lock on its folder (`flock`), from the look at what stands there until the new socket is bound. So two
//! processes that find the same left-over never remove each other's new socket. Whether a socket file is one, the kernel says: to connect
//! to it is refused if no process has that socket. It is tried with a datagram socket, which nobody at the other end notices, whatever the
//! other end is. A process that is killed on the way leaves a file that the next one finds so, and the lock goes with it.

use super::peers::Trusted;
use ringshm_core::Deadline;
use ringshm_core::error::OpenError;
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, chmodat, fchmod, flock, open, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for somebody who is taking a name in the same folder right now. That takes microseconds; only a stopped process takes
/// longer, or somebody who locks the folder for a purpose of his own.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at the lock.
const PAUSE: Duration = Duration::from_millis(1);
/// The longest path or abstract name, in bytes.
const LONGEST: usize = 107;

/// The name of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file. Its rights say who may connect.
    File(PathBuf),
    /// A name that is no file: of the network namespace, gone with its socket, and open to everybody there.
    Abstract(String),
}

/// What came of connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// The socket is connected.
    Somebody,
    /// Nobody has a socket there: none was made yet, or its process is gone.
    Nobody,
    /// Somebody has, and as many others as it lets wait are waiting already.
    Busy,
}

fn os(step: &'static str) -> impl Fn(Errno) -> OpenError {
    move |errno| OpenError::Os { step, source: errno.into() }
}

impl Place {
    /// `/run/x.sock`, or `@name`.
    pub(crate) fn parse(place: &str) -> Result<Self, OpenError> {
        let invalid = |reason: &str| Err(OpenError::InvalidName { name: place.to_owned(), reason: reason.to_owned() });
        match place.strip_prefix('@') {
            Some(name) if name.is_empty() || name.len() > LONGEST => invalid("an abstract name has 1 to 107 bytes"),
            Some(name) => Ok(Self::Abstract(name.to_owned())),
            None if place.is_empty() => invalid("it names no socket: give a path, or @ and a name that is no file"),
            None if place.len() > LONGEST => invalid("a socket's path has at most 107 bytes: give a shorter one"),
            None if place.contains('\0') => invalid("a path contains no zero byte"),
            None if place.ends_with('/') || Path::new(place).file_name().is_none() => invalid("it names no file"),
            None => Ok(Self::File(place.into())),
        }
    }

    /// Where it is, for people.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Abstract(name) => format!("@{name}").into(),
        }
    }

    fn address(&self) -> Result<SocketAddrUnix, OpenError> {
        match self {
            Self::File(path) => SocketAddrUnix::new(path),
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        }
        .map_err(os("naming the socket"))
    }

    /// Gives the name to `socket`, with the rights `mode` if it is a file. `finish` does what has to be done before anybody may find it
    /// finished: listens.
    ///
    /// # Errors
    /// `RoleTaken` if a live process has it; `Permission`; `InvalidName` if something else stands there; `Busy`; `Os`.
    pub(crate) fn bind(
        &self,
        socket: &OwnedFd,
        role: &'static str,
        mode: u32,
        finish: impl FnOnce() -> rustix::io::Result<()>,
    ) -> Result<Bound, OpenError> {
        let address = self.address()?;
        // Who has it, the kernel does not say of every kind of socket.
        let taken = || OpenError::RoleTaken { role, pid: 0, lanes: 1 };
        let bind = || {
            rustix::net::bind(socket, &address).map_err(|errno| match errno {
                Errno::ADDRINUSE => taken(),
                Errno::ACCESS | Errno::PERM | Errno::ROFS => forbidden(errno, &self.path()),
                errno => os("giving the socket its name (bind)")(errno),
            })
        };
        let finished = |result: rustix::io::Result<()>| result.map_err(os("beginning to listen (listen)"));
        let Self::File(path) = self else {
            bind()?;
            finished(finish())?;
            return Ok(Bound(None));
        };
        let folder = Folder::of(path)?;
        let _lock = folder.lock(path)?;
        match folder.look()? {
            None => {}
            Some(stat) => {
                vet(&stat, path, Trusted::SameUser)?;
                if is_alive(&address).map_err(|errno| forbidden(errno, path))? {
                    return Err(taken());
                }
                unlinkat(&folder.fd, &folder.name, AtFlags::empty()).map_err(os("removing a dead socket's file"))?;
            }
        }
        // The file gets the rights of its socket, less the umask: it never has more than it is to have.
        let mode = Mode::from_raw_mode(mode);
        fchmod(socket, mode).map_err(os("choosing the socket's rights (fchmod)"))?;
        bind()?;
        let identity = folder.look()?.map(identity);
        let bound = Bound(Some(Named { folder, identity, process: std::process::id() }));
        if let Some(Named { folder, .. }) = &bound.0 {
            chmodat(&folder.fd, &folder.name, mode, AtFlags::empty()).map_err(os("giving the socket its rights"))?;
        }
        finished(finish())?;
        Ok(bound)
    }

    /// Connects `socket`, which does not block, to whoever has the name, provided that the file, if it is one, belongs to a `trusted` user. Who has an
    /// abstract name is for the caller to find out.
    ///
    /// # Errors
    /// `Permission`; `InvalidName` if something else stands there; `InvalidOption` if it is a socket of another type; `Os`.
    pub(crate) fn connect(&self, socket: impl AsFd, trusted: Trusted) -> Result<Reached, OpenError> {
        if let Self::File(path) = self {
            match statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => vet(&stat, path, trusted)?,
                Err(Errno::NOENT) => return Ok(Reached::Nobody),
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Err(forbidden(errno, path)),
                Err(errno) => return Err(os("looking for the socket (stat)")(errno)),
            }
        }
        let address = self.address()?;
        loop {
            return match connect(&socket, &address) {
                Ok(()) => Ok(Reached::Somebody),
                Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(Reached::Nobody),
                Err(Errno::AGAIN) => Ok(Reached::Busy),
                Err(Errno::INTR) => continue,
                Err(Errno::PROTOTYPE) => Err(OpenError::InvalidOption {
                    option: "type",
                    reason: format!("the socket at {} is of another type", self.path().display()),
                }),
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => Err(forbidden(errno, &self.path())),
                Err(errno) => Err(os("connecting to the socket (connect)")(errno)),
            };
        }
    }
}

/// A name that a socket of this process has: its file is removed when this is dropped, unless this is a forked child. To be dropped before the
/// socket is closed: as long as that is open, nobody else takes the name.
#[derive(Debug)]
pub(crate) struct Bound(Option<Named>);

#[derive(Debug)]
struct Named {
    folder: Folder,
    identity: Option<(u64, u64)>,
    process: u32,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(Named { folder, identity: own, process }) = &self.0
            && *process == std::process::id()
            && let Ok(Some(there)) = folder.look()
            && Some(identity(there)) == *own
        {
            let _ = unlinkat(&folder.fd, &folder.name, AtFlags::empty());
        }
    }
}

/// The folder of a socket's file: the name is looked for in this one, wherever the process goes meanwhile.
#[derive(Debug)]
struct Folder {
    fd: Arc<OwnedFd>,
    name: OsString,
}

impl Folder {
    fn of(path: &Path) -> Result<Self, OpenError> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(parent, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ACCESS | Errno::PERM => forbidden(errno, parent),
            errno => os("opening the folder of the socket")(errno),
        })?;
        let name = path.file_name().unwrap_or(OsStr::from_bytes(b".")).to_owned();
        Ok(Self { fd: Arc::new(fd), name })
    }

    /// What stands there.
    fn look(&self) -> Result<Option<Stat>, OpenError> {
        match statat(&self.fd, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(os("looking for the socket (stat)")(errno)),
        }
    }

    /// Keeps others from taking names in it. A file system without locks goes without.
    fn lock(&self, path: &Path) -> Result<Lock, OpenError> {
        let deadline = Deadline::after(PATIENCE);
        loop {
            match flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::AGAIN) if deadline.is_over() => return Err(OpenError::Busy { path: path.to_owned() }),
                Err(Errno::AGAIN) => std::thread::sleep(PAUSE),
                Err(Errno::INTR) => {}
                _ => return Ok(Lock(Arc::clone(&self.fd))),
            }
        }
    }
}

struct Lock(Arc<OwnedFd>);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

fn identity(stat: Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn forbidden(errno: Errno, path: &Path) -> OpenError {
    OpenError::Permission { path: path.to_owned(), reason: std::io::Error::from(errno).to_string() }
}

/// Whether what stands there is a socket's file, of somebody to deal with.
fn vet(stat: &Stat, path: &Path, trusted: Trusted) -> Result<(), OpenError> {
    let invalid = |reason: &str| OpenError::InvalidName { name: path.display().to_string(), reason: reason.to_owned() };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket => {}
        FileType::Symlink => {
            return Err(invalid("a symbolic link stands there, and none is followed: name the socket itself"));
        }
        _ => return Err(invalid("something else than a socket stands there: remove it, or choose another name")),
    }
    if trusted.admits(stat.st_uid) {
        return Ok(());
    }
    let reason = format!("it belongs to user {} (option uid)", stat.st_uid);
    Err(OpenError::Permission { path: path.to_owned(), reason })
}

/// Whether any process has the socket of that name, of whatever type.
fn is_alive(address: &SocketAddrUnix) -> rustix::io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    match connect(&probe, address) {
        // Refused, or removed meanwhile by itself.
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(errno @ (Errno::ACCESS | Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => Err(errno),
        // Connected; of another type (EPROTOTYPE); with a peer of its own (EPERM).
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::listen;
    use std::os::unix::fs::PermissionsExt as _;

    fn socket(kind: SocketType) -> OwnedFd {
        socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None).expect("a socket")
    }

    /// A folder of its own, and a place in it.
    fn place(name: &str) -> (PathBuf, Place) {
        let folder = std::env::temp_dir().join(format!("ringshm-place-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a new folder");
        let path = folder.join("x.sock");
        (folder, Place::parse(path.to_str().expect("plain")).expect("a name"))
    }

    #[test]
    fn a_live_socket_keeps_its_name_and_a_dead_one_does_not() {
        let (folder, place) = place("dead");
        for kind in [SocketType::DGRAM, SocketType::STREAM, SocketType::SEQPACKET] {
            let take = || {
                let new = socket(kind);
                let finish = || if kind == SocketType::DGRAM { Ok(()) } else { listen(&new, 1) };
                place.bind(&new, "receiver", 0o620, finish).map(|bound| (bound, new))
            };
            let (bound, first) = take().expect("nobody has it");
            let mode = std::fs::metadata(place.path()).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o620);
            assert_eq!(place.connect(socket(kind), Trusted::SameUser).expect("it is ours"), Reached::Somebody);
            assert!(matches!(take(), Err(OpenError::RoleTaken { .. })), "{kind:?}");
            // Killed: closed without more ado.
            std::mem::forget(bound);
            drop(first);
            assert_eq!(place.connect(socket(kind), Trusted::SameUser).expect("it is ours"), Reached::Nobody);
            let (bound, second) = take().expect("it is dead");
            drop((bound, second));
            assert_eq!(place.connect(socket(kind), Trusted::SameUser).expect("nothing is there"), Reached::Nobody);
            assert!(!place.path().exists());
        }
        std::fs::remove_dir(folder).expect("nothing is left in it");
    }

    #[test]
    fn what_is_no_socket_of_ours_stays() {
        let (folder, place) = place("other");
        let path = place.path();
        let bind = || place.bind(&socket(SocketType::DGRAM), "receiver", 0o600, || Ok(()));
        let refusals = || (bind().expect_err("no socket"), place.connect(socket(SocketType::DGRAM), Trusted::SameUser));
        std::fs::write(&path, b"a letter").expect("a file");
        assert!(matches!(refusals(), (OpenError::InvalidName { .. }, Err(OpenError::InvalidName { .. }))));
        std::fs::remove_file(&path).expect("it stayed");
        std::os::unix::fs::symlink("/nowhere", &path).expect("a link");
        assert!(matches!(refusals(), (OpenError::InvalidName { .. }, Err(OpenError::InvalidName { .. }))));
        std::fs::remove_file(&path).expect("it stayed");
        let there = bind().expect("nothing is there");
        let other = Trusted::User(rustix::process::geteuid().as_raw() + 1);
        assert!(matches!(place.connect(socket(SocketType::DGRAM), other), Err(OpenError::Permission { .. })));
        drop(there);
        std::fs::remove_dir(folder).expect("nothing is left in it");
    }

    #[test]
    fn of_many_who_find_the_same_dead_socket_one_gets_its_name() {
        let (folder, place) = place("many");
        for _ in 0..300 {
            let dead = socket(SocketType::DGRAM);
            std::mem::forget(place.bind(&dead, "receiver", 0o600, || Ok(())).expect("the last one left"));
            drop(dead);
            let start = std::sync::Barrier::new(4);
            let heirs = std::thread::scope(|scope| {
                let heirs: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            let new = socket(SocketType::DGRAM);
                            start.wait();
                            place.bind(&new, "receiver", 0o600, || Ok(())).ok().map(|bound| (bound, new))
                        })
                    })
                    .collect();
                heirs.into_iter().filter_map(|heir| heir.join().expect("no panic")).collect::<Vec<_>>()
            });
            assert_eq!(heirs.len(), 1);
            assert_eq!(place.connect(socket(SocketType::DGRAM), Trusted::SameUser).expect("ours"), Reached::Somebody);
        }
        std::fs::remove_dir(folder).expect("nothing is left in it");
    }

    #[test]
    fn a_mistake_in_a_place_is_explained() {
        for place in ["", "@", "/run/", "..", &"x".repeat(108), &format!("@{}", "x".repeat(108)), "a\0b"] {
            assert!(matches!(Place::parse(place), Err(OpenError::InvalidName { .. })), "{place:?}");
        }
        assert_eq!(Place::parse("@x").unwrap(), Place::Abstract("x".to_owned()));
        assert!(Place::parse(&"x".repeat(107)).is_ok());
    }
}
