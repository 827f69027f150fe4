//! What can go wrong while opening, inspecting or removing a ring.

use core::fmt;
use std::error::Error;
use std::path::PathBuf;

/// Why a ring could not be opened, created, inspected or removed.
#[derive(Debug)]
pub enum OpenError {
    /// There is no ring of that name.
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is one already.
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The ring carries something else than this program expects.
    LayoutMismatch {
        /// What this program asked for.
        expected: String,
        /// What the ring is.
        found: String,
    },
    /// The shared-memory file system cannot hold the ring.
    NoSpace {
        /// Bytes that the ring takes.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A limit of the system, on objects of the kernel's other than shared memory, leaves no room.
    Limit {
        /// What was needed, as the beginning of a sentence.
        needed: String,
        /// The limit: a file below `/proc/sys`, or a resource limit and the command that shows it.
        limit: &'static str,
        /// What it allows, if that can be read.
        allows: Option<u64>,
    },
    /// The object belongs to somebody else, or its rights forbid opening it.
    Permission {
        /// The object.
        path: PathBuf,
        /// What exactly forbids it.
        reason: String,
    },
    /// Another live process already has this role.
    RoleTaken {
        /// `producer` or `consumer`.
        role: &'static str,
        /// The process that has it (the first of many), as it knows itself (in its own PID namespace). 0 if the mechanism does not tell.
        pid: u32,
        /// How many of that role the ring has room for: all are live.
        lanes: usize,
    },
    /// The ring was made by another version of ringshm.
    Version {
        /// The layout version of this program.
        expected: u32,
        /// That of the ring.
        found: u32,
    },
    /// The object is no ring, or a damaged one.
    Corrupt {
        /// The first field that could not be true.
        field: &'static str,
    },
    /// The name is none.
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An option has an impossible value.
    InvalidOption {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process has been joining or leaving the ring for longer than that can take: it is stopped.
    Busy {
        /// The object.
        path: PathBuf,
    },
    /// Live processes still use the ring.
    InUse {
        /// One of them, as it knows itself.
        pid: u32,
    },
    /// The kernel refused a step.
    Os {
        /// The step.
        step: &'static str,
        /// Its error.
        source: std::io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { path } => {
                write!(f, "there is no ring at {}: start its other side, or let this one create it", path.display())
            }
            Self::Exists { path } => {
                write!(f, "there already is a ring at {}: open it, or remove it first", path.display())
            }
            Self::LayoutMismatch { expected, found } => write!(
                f,
                "the ring carries {found}, this program expects {expected}: use the same type and options on both sides, or remove the ring"
            ),
            Self::NoSpace { needed, free } => write!(
                f,
                "the ring needs {needed} bytes of shared memory and {free} are free: ask for a smaller capacity, remove rings that nobody uses, or enlarge the file system (mount -o remount,size=... /dev/shm; docker run --shm-size=...)"
            ),
            Self::Limit { needed, limit, allows } => {
                let allows = allows.map_or_else(|| "no more".to_owned(), |allows| allows.to_string());
                write!(f, "{needed}, and {limit} allows {allows}")?;
                f.write_str(": ask for less, remove what nobody uses, or raise the limit")
            }
            Self::Permission { path, reason } => write!(
                f,
                "{} may not be opened: {reason}; run both sides as the same user, or choose another name",
                path.display()
            ),
            Self::RoleTaken { role, pid, lanes: 2.. } => {
                write!(
                    f,
                    "the ring has as many live {role}s as it was made for, process {pid} among them: stop one, or make the ring anew for more of them"
                )
            }
            Self::RoleTaken { role, pid: 0, .. } => {
                write!(f, "there already is a live {role}: stop it first, or choose another name")
            }
            Self::RoleTaken { role, pid, .. } => {
                write!(f, "the ring already has a live {role}, process {pid}: stop it first, or choose another name")
            }
            Self::Version { expected, found } => write!(
                f,
                "the ring has layout version {found}, this program speaks version {expected}: use the same ringshm version on both sides, then remove the ring"
            ),
            Self::Corrupt { field } => {
                write!(f, "this is no usable ring ({field}): remove it and let both sides open it anew")
            }
            Self::InvalidName { name, reason } => write!(f, "{name:?} names no channel: {reason}"),
            Self::InvalidOption { option, reason } => write!(f, "the option {option} cannot be used: {reason}"),
            Self::Busy { path } => write!(
                f,
                "another process is in the middle of joining or leaving {} and does not go on: it is stopped (SIGSTOP, debugger); let it run or kill it, then try again",
                path.display()
            ),
            Self::InUse { pid } => write!(
                f,
                "a live process, {pid}, uses the ring: stop it first, or remove the name by force (the processes keep the memory until they end)"
            ),
            Self::Os { step, source } => write!(f, "{step} failed: {source}"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Os { source, .. } => Some(source),
            _ => None,
        }
    }
}
