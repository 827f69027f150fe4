//! The pages of a mapping: entered and locked when a handle joins, if it asks for that.

use crate::support::{Folder, NAME, Parcel, Process};
use ringshm::{Builder, Message, Peer, spsc};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What only the children of this file are told: `lock-without-leave FOLDER` may lock nothing, and tries.
pub(super) fn command(words: &[&str]) -> Option<String> {
    let ["lock-without-leave", folder] = *words else { return None };
    setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) }).expect("a lower limit");
    let mut own = capabilities(None).expect("this process's own");
    own.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, own).expect("fewer");
    let consumer = spsc::<Parcel>(NAME).directory(folder).lock_memory().consumer();
    Some(consumer.map_or_else(|error| error.to_string(), |_| "locked".to_owned()))
}

/// A mapping of a file in this process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) bytes: u64,
    /// Of these, entered in the page table.
    pub(super) entered: u64,
    /// Of these, by entries for huge pages.
    pub(super) huge: u64,
    pub(super) is_locked: bool,
}

/// The mapping of a ring in this process, as the kernel sees it: the first, if it has the lobby apart.
pub(super) fn mapping_of(ring: &Path) -> Mapped {
    let maps = fs::read_to_string("/proc/self/smaps").expect("a /proc");
    // Not by its path: who made it had mapped it before it had one.
    let inode = fs::metadata(ring).expect("it is there").ino().to_string();
    let mut lines = maps.lines().skip_while(|line| line.split_ascii_whitespace().nth(4) != Some(&inode)).skip(1);
    let mut field = |name: &str| -> String {
        let line = lines.find_map(|line| line.strip_prefix(name)).expect("a field of smaps");
        line.trim_start_matches(':').trim().to_owned()
    };
    let kilobytes = |text: String| 1024 * text.trim_end_matches(" kB").parse::<u64>().expect("a number");
    let (bytes, entered, huge) =
        (kilobytes(field("Size")), kilobytes(field("Rss")), kilobytes(field("ShmemPmdMapped")));
    Mapped { bytes, entered, huge, is_locked: field("VmFlags").split(' ').any(|flag| flag == "lo") }
}

fn asking<M: Message + ?Sized>(ring: Builder<M>, prefault: bool, lock: bool) -> Builder<M> {
    let ring = if prefault { ring.prefault() } else { ring };
    if lock { ring.lock_memory() } else { ring }
}

/// More than any other part of the segment.
const BYTES: u64 = 1 << 20;

#[test]
fn pages_are_entered_and_locked_by_who_asks_for_it() {
    for (prefault, lock) in [(false, false), (true, false), (false, true)] {
        let folder = Folder::new();
        for who in ["the creator", "who joins"] {
            let ring = asking(folder.spsc::<[u8]>(NAME).capacity(BYTES), prefault, lock);
            let producer = ring.producer().expect("room for a mebibyte, and leave to lock it");
            let mapped = mapping_of(&folder.path_of(NAME));
            assert!(mapped.bytes > BYTES, "{mapped:?}");
            assert_eq!(mapped.is_locked, lock, "{who}: {mapped:?}");
            assert_eq!(mapped.entered == mapped.bytes, prefault || lock, "{who}: {mapped:?}");
            producer.detach();
        }
        ringshm::remove(&folder.directory(), NAME, false).expect("nobody is there");
    }
}

#[test]
fn the_pages_of_a_mapping_that_cannot_be_written_are_entered_too() {
    let folder = Folder::new();
    let ring = || ringshm::broadcast::<[u8]>(NAME).directory(folder.path()).capacity(BYTES);
    let producer = ring().producer().expect("room for a mebibyte");
    let path = folder.path_of(NAME);
    // Only one mapping is left to be found.
    producer.detach();
    let _reader = ring().prefault().lock_memory().reader().expect("room for a mebibyte, and leave to lock it");
    let mapped = mapping_of(&path);
    assert_eq!(mapped, Mapped { bytes: mapped.bytes, entered: mapped.bytes, huge: 0, is_locked: true });
    ringshm::remove(&folder.directory(), NAME, false).expect("nobody is there who would be in the way");
}

#[test]
fn who_may_not_lock_is_told_what_to_do_and_has_not_joined() {
    let folder = Folder::new();
    let mut producer = folder.spsc::<Parcel>(NAME).producer().expect("a new ring");
    let mut child = Process::start(&folder);
    let answer = child.ask(&format!("lock-without-leave {}", folder.path().display()));
    assert!(answer.contains("ulimit -l"), "{answer}");
    assert_eq!(producer.peer(), Peer::Vacant);
    let mut consumer = folder.spsc::<Parcel>(NAME).consumer().expect("nobody has the role");
    producer.send(Parcel::of(1)).expect("room");
    assert_eq!(consumer.recv().map(|parcel| parcel.number()), Ok(1));
    child.finish();
}
