//! What rings need of this machine.

use super::Check;
use crate::size;
use crate::view::{self, Entry};
use ringshm::asynchronous::{Choice, Mechanism};
use ringshm::{Directory, HugePages, Pages, Resident as _};
use rustix::fs::{Mode, OFlags, open, statfs, statvfs};
use rustix::io::Errno;
use rustix::thread::{MembarrierCommand, membarrier_query, sched_getaffinity};
use std::path::Path;

pub(super) fn kernel() -> Check {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Check::ok("kernel", format!("{} {} {}", text(uname.sysname()), text(uname.release()), text(uname.machine())))
}

/// What `statfs` says of a tmpfs, and of a ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

pub(super) fn file_system(path: &Path) -> Check {
    const NAME: &str = "folder";
    let shown = path.display();
    match statfs(path) {
        Ok(stat) if IN_MEMORY.contains(&(stat.f_type as u64)) => Check::ok(NAME, format!("{shown} is a tmpfs")),
        Ok(_) => Check::warn(
            NAME,
            format!("{shown} is on no tmpfs: the kernel writes rings to a disk now and then"),
            "use --dir or RINGSHM_DIR with a folder on a tmpfs, such as /dev/shm",
        ),
        Err(errno) => Check::fail(
            NAME,
            format!("{shown} cannot be used: {errno}"),
            "mount a tmpfs there, or choose another folder with --dir or RINGSHM_DIR",
        ),
    }
}

/// What a ring of the default size takes.
pub(super) const DEFAULT_RING: u64 = 4 << 20;
/// What Docker gives a container unless told otherwise.
const LITTLE: u64 = 64 << 20;

pub(super) fn space(path: &Path) -> Check {
    const NAME: &str = "space";
    let next = "mount -o remount,size=50% /dev/shm, or docker run --shm-size=1g; or remove rings that nobody uses";
    let Ok(stat) = statvfs(path) else { return Check::fail(NAME, "unknown", next) };
    if stat.f_blocks == 0 {
        return Check::ok(NAME, "no limit");
    }
    let (all, free) = (stat.f_blocks.saturating_mul(stat.f_frsize), stat.f_bavail.saturating_mul(stat.f_frsize));
    let found = format!("{} free of {}", size::bytes(free), size::bytes(all));
    match free {
        0..=DEFAULT_RING => Check::fail(NAME, format!("{found}: not enough for a ring of the default size"), next),
        _ if free <= LITTLE => Check::warn(NAME, format!("{found}: large rings will not fit"), next),
        _ => Check::ok(NAME, found),
    }
}

pub(super) fn unnamed_files(path: &Path) -> Check {
    const NAME: &str = "unnamed files";
    match open(path, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Ok(_) => Check::ok(NAME, "O_TMPFILE works: a ring appears whole or not at all"),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Check::warn(
            NAME,
            "no O_TMPFILE: a process killed while it makes a ring leaves a file .ringshm.new-* behind",
            "use a folder on a tmpfs",
        ),
        Err(errno) => Check::fail(
            NAME,
            format!("no file can be made in {}: {errno}", path.display()),
            "make the folder writable for this user, or choose another one with --dir or RINGSHM_DIR",
        ),
    }
}

pub(super) fn proc() -> Check {
    const NAME: &str = "/proc";
    if Path::new("/proc/self/fd").is_dir() {
        Check::ok(NAME, "is mounted")
    } else {
        Check::fail(NAME, "is not mounted: a ring cannot be given its name", "mount -t proc proc /proc")
    }
}

/// The whole thing, once: create, join, send, receive, leave.
pub(super) fn a_ring(directory: &Directory) -> Check {
    const NAME: &str = "a ring";
    let name = format!("doctor-{}", std::process::id());
    let builder = || ringshm::spsc::<[u8]>(&name).directory(directory.path()).capacity(4096);
    let attempt = || -> Result<(), Box<dyn std::error::Error>> {
        let mut producer = builder().producer()?;
        let mut consumer = builder().consumer()?;
        producer.try_send(b"how are you?")?;
        match &*consumer.try_recv_ref()? {
            b"how are you?" => Ok(()),
            other => Err(format!("{other:?} was received").into()),
        }
    };
    let result = attempt();
    // If both could leave in order, it is gone already.
    let _ = ringshm::remove(directory, &name, true);
    match result {
        Ok(()) => Check::ok(NAME, "was created, carried a message and went away"),
        Err(error) => Check::fail(NAME, error.to_string(), "see above"),
    }
}

/// A ring in huge pages, once: what the settings say matters less than what comes of asking.
pub(super) fn huge_pages(directory: &Directory) -> Check {
    const NAME: &str = "huge pages";
    let name = format!("doctor-huge-{}", std::process::id());
    let builder = ringshm::spsc::<[u8]>(&name).directory(directory.path()).huge_pages(HugePages::Try);
    let attempt = || -> Result<Pages, Box<dyn std::error::Error>> { Ok(builder.producer()?.pages()?) };
    let result = attempt();
    // A ring that was never received from stays.
    let _ = ringshm::remove(directory, &name, true);
    match result {
        Ok(Pages { why_small: None, huge, bytes, .. }) => {
            let (huge, bytes) = (size::bytes(huge), size::bytes(bytes));
            Check::ok(NAME, format!("rings that ask for them get them: {huge} of {bytes}"))
        }
        Ok(Pages { why_small: Some(reason), .. }) => {
            Check::warn(NAME, "rings that ask for them get small ones", reason.to_string())
        }
        Err(error) => Check::warn(NAME, format!("not tried: {error}"), "see above"),
    }
}

pub(super) fn membarrier() -> Check {
    const NAME: &str = "membarrier";
    if membarrier_query().contains_command(MembarrierCommand::GlobalExpedited) {
        Check::ok(NAME, "available: sending costs no fence")
    } else {
        Check::warn(
            NAME,
            "not available: every message costs a fence, some 10 ns",
            "allow the system call membarrier in the container's seccomp profile; Linux 4.16 or later has it",
        )
    }
}

/// What wakes the tasks of an executor.
pub(super) fn awaiting() -> Check {
    let Choice { mechanism, reason } = Mechanism::best();
    Check::ok("async", format!("{mechanism}: {reason}"))
}

pub(super) fn processors() -> Check {
    const NAME: &str = "processors";
    match sched_getaffinity(None).map(|set| set.count()) {
        Ok(1) => Check::warn(
            NAME,
            "1: the two sides take turns, spinning only delays",
            "give this process two processors (taskset, docker run --cpuset-cpus), or use --wait park",
        ),
        Ok(count) => Check::ok(NAME, format!("{count} can be used")),
        Err(errno) => Check::warn(NAME, format!("unknown: {errno}"), "allow the system call sched_getaffinity"),
    }
}

pub(super) fn leftovers(directory: &Directory) -> Check {
    const NAME: &str = "left over";
    let entries = match view::look_at_all(directory) {
        Ok(entries) => entries,
        Err(error) => return Check::fail(NAME, error.to_string(), "make the folder readable for this user"),
    };
    let (mut unused, mut damaged, mut held) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        match entry {
            Entry::Ring(ring) if ring.is_left_over() => {
                held += ring.total;
                unused.push(ring.name);
            }
            Entry::Ring(_) => {}
            Entry::Damaged(entry) => damaged.push(entry.name),
        }
    }
    let unfinished = ringshm::leftovers(directory).map_or(0, |paths| paths.len());
    let mut next = Vec::new();
    if !unused.is_empty() {
        next.push(format!("receive what is in them, or: ringshm rm {}", unused.join(" ")));
    }
    if !damaged.is_empty() {
        next.push(format!("ringshm rm --force {}", damaged.join(" ")));
    }
    if unfinished > 0 || !unused.is_empty() {
        next.push("ringshm gc removes what nobody can want, and says why".to_owned());
    }
    if next.is_empty() {
        return Check::ok(NAME, "no ring without a process");
    }
    let mut found =
        format!("{} without a process hold {}, {} unusable", unused.len(), size::bytes(held), damaged.len());
    if unfinished > 0 {
        found.push_str(&format!(", {unfinished} unfinished"));
    }
    Check::warn(NAME, found, next.join("; "))
}
