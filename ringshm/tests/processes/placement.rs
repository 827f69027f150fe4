//! Huge pages and NUMA nodes: what a ring gets is what its handles say it got, and what a machine refuses is said in words.

use super::residency::mapping_of;
use crate::support::{Folder, NAME, Parcel, Process};
use ringshm::{Builder, HugePages, OpenError, Pages, Peer, Resident, SmallPages, spsc};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What only the children of this file are told.
pub(super) fn command(words: &[&str]) -> Option<String> {
    Some(match *words {
        ["join-huge", folder] => {
            let consumer = ring(folder).huge_pages(HugePages::Try).consumer();
            consumer.map_or_else(|error| error.to_string(), |consumer| report(&pages_of(&consumer, folder)))
        }
        ["make-without-leave", folder, how] => {
            nix::sys::prctl::set_thp_disable(true).expect("a process may do without");
            let huge_pages = if how == "require" { HugePages::Require } else { HugePages::Try };
            let producer = ring(folder).huge_pages(huge_pages).producer();
            producer.map_or_else(|error| error.to_string(), |producer| report(&pages_of(&producer, folder)))
        }
        ["policy-of-joined", folder] => {
            let consumer = ring(folder).prefault().consumer().expect("a ring");
            let (policy, pages) = (policy_of(&path_in(folder)), pages_of(&consumer, folder));
            format!("{policy} {:?} of {}", pages.nodes, pages.bytes)
        }
        _ => return None,
    })
}

fn report(pages: &Pages) -> String {
    let why = pages.why_small.map_or_else(|| "as asked".to_owned(), |reason| reason.to_string());
    format!("{} of {} bytes: {why}", pages.huge, pages.bytes)
}

/// With room for two huge pages in its data, where they have 2 MiB, and a bit more.
fn ring(folder: impl AsRef<Path>) -> Builder<[u8]> {
    spsc::<[u8]>(NAME).directory(folder).capacity(4 << 20)
}

fn path_in(folder: impl AsRef<Path>) -> std::path::PathBuf {
    folder.as_ref().join(format!("ringshm.{NAME}"))
}

/// What a handle says of its pages, which is what the kernel says: so here, too.
fn pages_of(handle: &impl Resident, folder: impl AsRef<Path>) -> Pages {
    let (pages, mapped) = (handle.pages().expect("a /proc"), mapping_of(&path_in(folder)));
    let said = (pages.bytes, pages.entered, pages.huge, pages.is_locked);
    assert_eq!(said, (mapped.bytes, mapped.entered, mapped.huge, mapped.is_locked));
    pages
}

/// The bytes of a mapping that whole huge pages can take.
fn whole(bytes: u64) -> u64 {
    let size = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
    let size: u64 = size.ok().and_then(|size| size.trim().parse().ok()).unwrap_or(u64::MAX);
    bytes / size * size
}

/// Whether nothing that the kernel shows speaks against huge pages in shared memory.
fn could_be_made() -> bool {
    let settings = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled").unwrap_or_default();
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let is_new_enough = (numbers.next(), numbers.next()) >= (Some(6), Some(1));
    is_new_enough && !settings.contains("[deny]") && nix::sys::prctl::get_thp_disable() == Ok(false)
}

/// Checks what the maker of a ring has got, having asked: all, or a refusal that only the machine can have made. Returns whether it is all.
#[track_caller]
fn is_huge(pages: &Pages) -> bool {
    match pages.why_small {
        None => {
            assert!(pages.huge > 0 && pages.huge == whole(pages.bytes), "{pages:?}");
            true
        }
        Some(reason) => {
            // A machine that has none, or larger ones than this ring; an administrator who forbids them; no memory in one piece.
            let is_known = match reason {
                SmallPages::Unsupported | SmallPages::TooShort { .. } => whole(pages.bytes) == 0,
                SmallPages::Refused { errno: libc::EINVAL } => !could_be_made(),
                SmallPages::Refused { .. } => true,
                _ => false,
            };
            assert!(is_known && pages.huge == 0, "{reason}: {pages:?}");
            eprintln!("no huge pages on this machine: {reason}");
            false
        }
    }
}

#[test]
fn huge_pages_are_there_for_who_makes_the_ring_and_who_joins_it() {
    let folder = Folder::new();
    let producer =
        ring(folder.path()).huge_pages(HugePages::Try).lock_memory().producer().expect("room for four mebibytes");
    let pages = pages_of(&producer, folder.path());
    assert!(pages.is_locked && pages.entered == pages.bytes, "{pages:?}");
    let mut child = Process::start(&folder);
    let answer = child.ask(&format!("join-huge {}", folder.path().display()));
    if is_huge(&pages) {
        assert_eq!(answer, format!("{} of {} bytes: as asked", pages.huge, pages.bytes));
    } else {
        assert!(answer.starts_with("0 of "), "{answer}");
    }
    child.finish();
    // Who asks for nothing uses the same memory through small entries.
    assert_eq!(producer.peer(), Peer::Closed);
}

#[test]
fn a_mapping_that_cannot_be_written_is_huge_too() {
    let folder = Folder::new();
    let ring =
        || ringshm::broadcast::<[u8]>(NAME).directory(folder.path()).capacity(4 << 20).huge_pages(HugePages::Try);
    let path = folder.path_of(NAME);
    let producer = ring().producer().expect("room for four mebibytes");
    let made = producer.pages().expect("a /proc");
    // Only one mapping is left to be found.
    producer.detach();
    let reader = ring().reader().expect("it is there");
    let (read, mapped) = (reader.pages().expect("a /proc"), mapping_of(&path));
    assert_eq!((read.huge, read.entered), (mapped.huge, mapped.bytes));
    assert_eq!(read.huge, if is_huge(&made) { made.huge } else { 0 });
    ringshm::remove(&folder.directory(), NAME, false).expect("nobody is there who would be in the way");
}

#[test]
fn a_ring_in_a_memfd_has_huge_pages_too() {
    let folder = Folder::new();
    let memfd = ring(folder.path()).huge_pages(HugePages::Try).memfd().expect("room for four mebibytes");
    let producer = ring(folder.path()).huge_pages(HugePages::Try).producer_of(&memfd).expect("nobody has the role");
    let pages = producer.pages().expect("a /proc");
    match ring(folder.path()).huge_pages(HugePages::Require).memfd() {
        Ok(_) => assert!(pages.huge > 0 && pages.huge == whole(pages.bytes), "{pages:?}"),
        Err(OpenError::InvalidOption { option: "huge_pages", .. }) => assert_eq!(pages.huge, 0),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn who_gets_no_huge_pages_goes_on_without_or_is_told_why() {
    let folder = Folder::for_leftovers();
    let mut child = Process::start(&folder);
    let ask = |child: &mut Process, how| child.ask(&format!("make-without-leave {} {how}", folder.path().display()));
    let reason = "the kernel makes none here: ";
    let answer = ask(&mut child, "require");
    assert!(answer.starts_with(&format!("the option huge_pages cannot be used: {reason}")), "{answer}");
    assert!(answer.contains("PR_SET_THP_DISABLE"), "{answer}");
    assert_eq!(folder.entries(), [""; 0], "nothing was made");
    let answer = ask(&mut child, "try");
    assert!(answer.starts_with("0 of ") && answer.contains(reason), "{answer}");
    child.finish();
}

#[test]
fn a_ring_that_is_there_in_small_pages_stays_there() {
    let folder = Folder::new();
    let mut producer = ring(folder.path()).producer().expect("room for four mebibytes");
    assert_eq!(producer.pages().expect("a /proc").why_small, Some(SmallPages::NotAsked));
    let refusal = ring(folder.path()).huge_pages(HugePages::Require).consumer().expect_err("it was made without");
    assert!(refusal.to_string().contains("the ring was made without huge pages"), "{refusal}");
    assert_eq!(producer.peer(), Peer::Vacant, "who was refused has not joined");
    let mut consumer = ring(folder.path()).huge_pages(HugePages::Try).consumer().expect("small pages will do");
    assert_eq!(consumer.pages().expect("a /proc").why_small, Some(SmallPages::MadeWithout));
    producer.send(b"nevertheless").expect("room");
    assert_eq!(&*consumer.recv_ref().expect("sound"), b"nevertheless");
}

#[test]
fn a_ring_that_is_too_short_for_a_huge_page_says_so() {
    let folder = Folder::for_leftovers();
    let short = || folder.spsc::<Parcel>(NAME).capacity(8);
    let refusal = short().huge_pages(HugePages::Require).producer().expect_err("it has some kilobytes");
    assert!(refusal.to_string().contains("the ring is shorter than a huge page of "), "{refusal}");
    assert_eq!(folder.entries(), [""; 0], "nothing was made");
    let producer = short().huge_pages(HugePages::Try).producer().expect("small pages will do");
    let pages = pages_of(&producer, folder.path());
    assert!(matches!(pages.why_small, Some(SmallPages::TooShort { .. })), "{pages:?}");
}

/// How the kernel chooses the node of a ring's pages, by its own word: of the first mapping in this process.
fn policy_of(ring: &Path) -> String {
    let inode = fs::metadata(ring).expect("it is there").ino().to_string();
    let maps = fs::read_to_string("/proc/self/maps").expect("a /proc");
    let line = maps.lines().find(|line| line.split_ascii_whitespace().nth(4) == Some(&inode)).expect("it is mapped");
    let start = line.split('-').next().expect("an address");
    let policies = fs::read_to_string("/proc/self/numa_maps").expect("a kernel that knows nodes");
    let line = policies.lines().find_map(|line| line.strip_prefix(start)).expect("the same mapping");
    line.split_ascii_whitespace().next().expect("a policy").to_owned()
}

#[test]
fn the_memory_of_a_ring_comes_from_the_node_that_its_maker_chose() {
    let folder = Folder::for_leftovers();
    let mut child = Process::start(&folder);
    let command = format!("policy-of-joined {}", folder.path().display());
    match ring(folder.path()).numa_node(0).producer() {
        Ok(producer) if Path::new("/proc/self/numa_maps").exists() => {
            assert_eq!(policy_of(&folder.path_of(NAME)), "bind:0");
            // The policy is the ring's, not this process's: who joins has it, too.
            let bytes = producer.pages().expect("a /proc").bytes;
            assert_eq!(child.ask(&command), format!("bind:0 [(0, {bytes})] of {bytes}"));
            producer.detach();
            ringshm::remove(&folder.directory(), NAME, false).expect("nobody is there");
            let _producer = ring(folder.path()).producer().expect("room for four mebibytes");
            assert_eq!(policy_of(&folder.path_of(NAME)), "default");
        }
        // A kernel that knows no nodes has node 0.
        Ok(_) => {}
        Err(OpenError::Os { step, .. }) => assert!(step.contains("CAP_SYS_NICE"), "{step}"),
        Err(error) => panic!("{error}"),
    }
    child.finish();
}

#[test]
fn a_node_that_is_not_there_is_no_place() {
    let folder = Folder::new();
    for node in [1023, 1024, u32::MAX] {
        match ring(folder.path()).numa_node(node).producer() {
            Err(OpenError::InvalidOption { option: "numa_node", reason }) => {
                assert!(
                    reason.starts_with(&format!("node {node} has no memory that this process may use; ")),
                    "{reason}"
                );
            }
            Err(OpenError::Os { step, .. }) if node < 1024 => assert!(step.contains("CAP_SYS_NICE"), "{step}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(folder.entries(), [""; 0], "nothing was made");
}
