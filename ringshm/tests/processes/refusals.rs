//! Everything that makes opening, inspecting or removing a ring fail: the error, and that it says what to do.

use crate::support::{Folder, NAME, Parcel, Process, die_with_parent, is_root, variant};
use ringshm::{Existence, OpenError};
use ringshm_core::layout::{Header, TypeIdentity};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, chown, mknodat, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use zerocopy::{FromBytes as _, FromZeros as _, Immutable, IntoBytes};

/// What only the children of this file are told.
pub(super) fn command(words: &[&str]) -> Option<String> {
    match *words {
        ["become-user", id] => {
            become_user(id.parse().expect("a user number"));
            Some("ok".to_owned())
        }
        ["limit-files", bytes] => {
            let limit = Some(bytes.parse().expect("a number"));
            setrlimit(Resource::Fsize, Rlimit { current: limit, maximum: limit }).expect("a lower limit");
            Some("ok".to_owned())
        }
        [place @ ("memfd" | "threads"), capacity] => {
            let ring = ringshm::spsc::<u64>("test").capacity(capacity.parse().expect("a number"));
            let result = if place == "memfd" { ring.memfd().map(drop) } else { ring.threads().map(drop) };
            Some(result.map_or_else(|error| format!("{}: {error}", variant(&error)), |()| "ok".to_owned()))
        }
        _ => None,
    }
}

/// The error of a call that must fail, with its variant, and `phrase` in its text.
#[track_caller]
fn refusal<T>(result: Result<T, OpenError>, wanted: &str, phrase: &str) -> OpenError {
    let Err(error) = result else { panic!("{wanted} expected, and it worked") };
    assert_eq!(variant(&error), wanted, "{error}");
    assert!(error.to_string().contains(phrase), "{error}");
    error
}

/// A ring in the folder, with three messages in it and nobody there.
fn leave_a_ring(folder: &Folder) -> PathBuf {
    let mut producer = folder.spsc::<Parcel>(NAME).capacity(8).producer().expect("a new ring");
    for n in 0..3 {
        producer.send(Parcel::of(n)).expect("room");
    }
    folder.path_of(NAME)
}

#[test]
fn a_ring_that_must_exist_is_not_made() {
    let folder = Folder::new();
    let must = || folder.spsc::<Parcel>(NAME).existence(Existence::MustExist);
    refusal(must().producer(), "NotFound", "start its other side");
    refusal(must().consumer(), "NotFound", "start its other side");
    refusal(ringshm::inspect(&folder.directory(), NAME), "NotFound", "ringshm.ring");
    refusal(ringshm::remove(&folder.directory(), NAME, true), "NotFound", "ringshm.ring");
    folder.assert_empty();
}

#[test]
fn a_ring_that_must_not_exist_is_not_opened() {
    let folder = Folder::for_leftovers();
    leave_a_ring(&folder);
    let new = || folder.spsc::<Parcel>(NAME).existence(Existence::MustNotExist);
    refusal(new().producer(), "Exists", "remove it first");
    refusal(new().consumer(), "Exists", "remove it first");
    assert_eq!(folder.spsc::<Parcel>(NAME).consumer().expect("untouched").iter().count(), 3);
}

#[test]
fn a_folder_that_is_not_there_is_named_as_what_is_missing() {
    let folder = Folder::new();
    let elsewhere = folder.path().join("missing");
    refusal(ringshm::spsc::<Parcel>(NAME).directory(&elsewhere).producer(), "Os", "see RINGSHM_DIR");
    refusal(ringshm::spsc::<Parcel>(NAME).directory(&elsewhere).consumer(), "Os", "see RINGSHM_DIR");
    refusal(ringshm::names(&ringshm::Directory::new(&elsewhere)), "Os", "folder");
}

#[test]
fn capacities_must_agree_only_where_both_sides_ask_for_one() {
    let folder = Folder::for_leftovers();
    leave_a_ring(&folder);
    assert!(folder.spsc::<Parcel>(NAME).producer().is_ok(), "whatever there is");
    assert!(folder.spsc::<Parcel>(NAME).capacity(7).producer().is_ok(), "rounded up to 8");
    refusal(folder.spsc::<Parcel>(NAME).capacity(4).consumer(), "LayoutMismatch", "with capacity 4");
    refusal(folder.spsc::<Parcel>(NAME).capacity(16).consumer(), "LayoutMismatch", "with capacity 16");
    drop(folder.spsc::<Parcel>("by-default").producer().expect("a new ring"));
    let of_default = folder.spsc::<Parcel>("by-default").producer().expect("the same").capacity() as u64;
    assert!(folder.spsc::<Parcel>("by-default").capacity(8).producer().is_ok(), "it is large enough");
    refusal(folder.spsc::<Parcel>("by-default").capacity(2 * of_default).producer(), "LayoutMismatch", "by default");
}

#[test]
fn a_ring_of_something_else_is_not_opened_and_the_refusal_says_what_it_is() {
    #[derive(Clone, Copy, zerocopy::FromBytes, IntoBytes, Immutable)]
    #[repr(C)]
    struct Other([u64; 6]);
    #[derive(Clone, Copy, zerocopy::FromBytes, IntoBytes, Immutable)]
    #[repr(C)]
    struct Aligned([u32; 12]);
    let folder = Folder::for_leftovers();
    leave_a_ring(&folder);
    let found = "the ring carries spsc slots of Parcel (48 bytes, alignment 8, schema 0)";
    let refuse = |result: Result<(), OpenError>, expected: &str| {
        let error = refusal(result, "LayoutMismatch", "use the same type and options on both sides");
        let text = error.to_string();
        assert!(text.contains(found) && text.contains(expected), "{text}");
    };
    refuse(folder.spsc::<Other>(NAME).consumer().map(drop), "expects spsc slots of Other (48 bytes, alignment 8");
    refuse(folder.spsc::<Aligned>(NAME).consumer().map(drop), "expects spsc slots of Aligned (48 bytes, alignment 4");
    refuse(folder.spsc::<u64>(NAME).producer().map(drop), "expects spsc slots of u64 (8 bytes");
    refuse(folder.spsc::<[u8]>(NAME).producer().map(drop), "expects spsc records of [u8] (1 bytes");
    refuse(folder.spsc::<Parcel>(NAME).schema(5).consumer().map(drop), "schema 5");
}

/// Changes the header of the ring at `path`, and mends its checksum.
fn forge(path: &Path, change: impl FnOnce(&mut Header)) {
    let file = File::options().read(true).write(true).open(path).expect("one's own ring");
    let mut header = Header::new_zeroed();
    file.read_exact_at(header.as_mut_bytes(), 0).expect("a header");
    change(&mut header);
    header.sum = header.checksum();
    file.write_all_at(header.as_bytes(), 0).expect("a header");
}

#[test]
fn a_ring_of_another_version_is_not_opened() {
    let folder = Folder::new();
    let path = leave_a_ring(&folder);
    forge(&path, |header| header.version += 1);
    let phrase = "use the same ringshm version on both sides";
    refusal(folder.spsc::<Parcel>(NAME).consumer(), "Version", phrase);
    refusal(folder.spsc::<Parcel>(NAME).producer(), "Version", phrase);
    refusal(ringshm::inspect(&folder.directory(), NAME), "Version", phrase);
    refusal(ringshm::remove(&folder.directory(), NAME, false), "Version", phrase);
    ringshm::remove(&folder.directory(), NAME, true).expect("by force");
}

/// Every way of coming near a damaged object fails with `Corrupt` and `field`, and by force it can be removed.
#[track_caller]
fn is_corrupt(folder: &Folder, field: &str) {
    refusal(folder.spsc::<Parcel>(NAME).producer(), "Corrupt", field);
    refusal(folder.spsc::<Parcel>(NAME).consumer(), "Corrupt", "remove it and let both sides open it anew");
    refusal(folder.spsc::<[u8]>(NAME).consumer(), "Corrupt", field);
    refusal(ringshm::inspect(&folder.directory(), NAME), "Corrupt", field);
    refusal(ringshm::remove(&folder.directory(), NAME, false), "Corrupt", field);
    ringshm::remove(&folder.directory(), NAME, true).expect("by force");
    folder.assert_empty();
}

#[test]
fn a_truncated_or_extended_object_is_corrupt() {
    let folder = Folder::new();
    let whole = std::fs::metadata(leave_a_ring(&folder)).expect("a ring").len();
    for (size, field) in [
        (0, "object size"),
        (1, "object size"),
        (511, "object size"),
        (512, "object size"),
        (640, "object size"),
        (4096, "object size"),
        (whole - 1, "object size"),
        (whole + 1, "object size"),
        (whole + 4096, "object size"),
    ] {
        let path = leave_a_ring(&folder);
        File::options().write(true).open(path).expect("one's own ring").set_len(size).expect("room");
        is_corrupt(&folder, field);
    }
}

#[test]
fn an_object_without_a_ring_in_it_is_corrupt() {
    let folder = Folder::new();
    let path = folder.path_of(NAME);
    for size in [512, 4096, 1 << 20] {
        let garbage: Vec<_> = (0..size).map(|n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        std::fs::write(&path, vec![0; garbage.len()]).expect("room");
        is_corrupt(&folder, "magic");
        std::fs::write(&path, garbage).expect("room");
        is_corrupt(&folder, "magic");
    }
}

#[test]
fn a_forged_header_is_corrupt() {
    let folder = Folder::new();
    for (field, change) in [
        ("", (|header| header.capacity = 0) as fn(&mut Header)),
        ("total size", |header| header.total *= 2),
        ("data offset", |header| header.data_at = u64::MAX - 7),
        ("lanes offset", |header| header.lanes_at = 1 << 40),
        ("kind", |header| header.kind = 77),
        ("type name", |header| header.type_name[0] = 0xff),
    ] {
        let path = leave_a_ring(&folder);
        forge(&path, change);
        is_corrupt(&folder, field);
    }
    // Without a new checksum, any change is found.
    let path = leave_a_ring(&folder);
    let file = File::options().write(true).open(path).expect("one's own ring");
    file.write_all_at(&[1], 200).expect("in the middle of the header");
    is_corrupt(&folder, "header checksum");
}

#[test]
fn something_that_is_no_file_is_refused_at_once() {
    let folder = Folder::new();
    let path = folder.path_of(NAME);
    let elsewhere = Folder::for_leftovers();
    let target = leave_a_ring(&elsewhere);
    for target in [target.as_path(), Path::new("missing")] {
        symlink(target, &path).expect("a free name");
        is_corrupt(&folder, "file type");
    }
    assert!(target.exists(), "the symlink was removed, not its target");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a free name");
    is_corrupt(&folder, "file type");
    drop(UnixListener::bind(&path).expect("a free name"));
    is_corrupt(&folder, "file type");
    std::fs::create_dir(&path).expect("a free name");
    refusal(folder.spsc::<Parcel>(NAME).producer(), "Corrupt", "file type");
    refusal(folder.spsc::<Parcel>(NAME).consumer(), "Corrupt", "file type");
    refusal(ringshm::remove(&folder.directory(), NAME, true), "Os", "Is a directory");
    std::fs::remove_dir(&path).expect("still there");
}

#[test]
fn a_descriptor_that_is_no_sealed_memfd_is_refused() {
    let folder = Folder::for_leftovers();
    let path = leave_a_ring(&folder);
    let open = |file: &File| ringshm::spsc::<Parcel>("").consumer_of(file);
    let file = File::options().read(true).write(true).open(path).expect("one's own ring");
    refusal(open(&file), "Corrupt", "seals");
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    refusal(ringshm::spsc::<Parcel>("").consumer_of(reader), "Corrupt", "file type");
    // A memfd that holds a ring, and cannot be made to shrink under those who have mapped it.
    let ring = ringshm::spsc::<Parcel>("test").capacity(8).memfd().expect("a small ring");
    let ring = File::from(ring);
    assert!(ring.set_len(0).is_err() && ring.set_len(1 << 20).is_err(), "sealed");
    refusal(ringshm::spsc::<u64>("").consumer_of(&ring), "LayoutMismatch", "Parcel");
    open(&ring).expect("whole");
}

#[test]
fn a_name_that_is_none_is_refused() {
    let folder = Folder::new();
    let long = "x".repeat(201);
    for (name, reason) in [
        ("", "1 to 200 bytes"),
        ("shm://", "1 to 200 bytes"),
        (long.as_str(), "1 to 200 bytes"),
        ("..", "begin with a dot"),
        (".hidden", "begin with a dot"),
        ("a/b", "letters, digits"),
        ("../up", "begin with a dot"),
        ("a b", "letters, digits"),
        ("a\0b", "letters, digits"),
        ("ticks\n", "letters, digits"),
        ("prix€", "letters, digits"),
        ("tcp://host:1", "shm://"),
    ] {
        refusal(folder.spsc::<Parcel>(name).producer(), "InvalidName", reason);
        refusal(folder.spsc::<Parcel>(name).consumer(), "InvalidName", reason);
        refusal(ringshm::inspect(&folder.directory(), name), "InvalidName", reason);
        refusal(ringshm::remove(&folder.directory(), name, true), "InvalidName", reason);
    }
    folder.assert_empty();
    let longest = "x".repeat(200);
    for name in ["a", "0", "A-b_c.d", "shm://ticks", longest.as_str()] {
        drop(folder.spsc::<Parcel>(name).producer().expect(name));
        ringshm::remove(&folder.directory(), name, false).expect(name);
    }
}

#[test]
fn a_capacity_of_nothing_is_refused() {
    let folder = Folder::new();
    refusal(folder.spsc::<Parcel>(NAME).capacity(0).producer(), "InvalidOption", "at least one slot");
    refusal(folder.spsc::<[u8]>(NAME).capacity(0).consumer(), "InvalidOption", "at least one slot");
    refusal(folder.spsc::<Parcel>(NAME).capacity(0).threads(), "InvalidOption", "capacity");
    refusal(folder.spsc::<Parcel>(NAME).capacity(0).memfd(), "InvalidOption", "capacity");
}

#[test]
fn a_ring_larger_than_its_file_system_is_not_made() {
    let folder = Folder::new();
    for capacity in [1 << 45, 1 << 60, u64::MAX] {
        let advice = "ask for a smaller capacity, remove rings that nobody uses, or enlarge the file system";
        let error = refusal(folder.spsc::<u64>(NAME).capacity(capacity).producer(), "NoSpace", advice);
        let OpenError::NoSpace { needed, free } = error else { unreachable!() };
        assert!(needed >= 1 << 48 && free < needed, "{needed} needed, {free} free");
        refusal(folder.spsc::<[u8]>(NAME).capacity(capacity).consumer(), "NoSpace", advice);
        folder.assert_empty();
    }
}

#[test]
fn a_ring_larger_than_the_machine_is_not_made() {
    let folder = Folder::new();
    let mut process = Process::start(&folder);
    // Or else the kernel would look for the memory until it had killed somebody. This way, it is the process that asks.
    assert_eq!(process.ask(&format!("limit-files {}", 1 << 30)), "ok");
    for place in ["memfd", "threads"] {
        for capacity in [1_u64 << 42, 1 << 45] {
            let reply = process.ask(&format!("{place} {capacity}"));
            assert!(reply.starts_with("NoSpace: ") && reply.contains("ask for a smaller capacity"), "{reply}");
        }
        assert_eq!(process.ask(&format!("{place} 1024")), "ok");
    }
    process.finish();
}

/// A small file system, mounted as long as the value lives.
struct SmallFileSystem(PathBuf);

impl SmallFileSystem {
    fn mounted(at: &Path) -> Self {
        mount("tmpfs", at, "tmpfs", MountFlags::empty(), c"size=256k,mode=0755").expect("root may mount");
        Self(at.to_owned())
    }
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).expect("it was mounted");
    }
}

#[test]
fn a_full_file_system_is_an_error_at_opening_and_never_later() {
    if !is_root() {
        println!("skipped: only root may mount a small file system");
        return;
    }
    let folder = Folder::for_leftovers();
    let small = folder.path().join("small");
    std::fs::create_dir(&small).expect("an empty folder");
    let mounted = SmallFileSystem::mounted(&small);
    let open = |name: &str, bytes: u64| ringshm::spsc::<u64>(name).directory(&small).capacity(bytes / 8).producer();
    let no_space = |name: &str, bytes: u64| {
        let error = refusal(open(name, bytes), "NoSpace", "enlarge the file system");
        let OpenError::NoSpace { needed, free } = error else { unreachable!() };
        assert!(needed > bytes && free < needed && free <= 256 << 10, "{needed} needed, {free} free");
        free
    };
    assert_eq!(no_space("large", 1 << 20), 256 << 10, "nothing is used yet");
    let mut ring = open("first", 128 << 10).expect("half of the file system");
    let free = no_space("second", 128 << 10);
    assert_eq!(free, (128 << 10) - 12288, "what the first ring left");
    // Fill the file system to its last page: the ring's memory is its own.
    std::fs::write(small.join("filler"), vec![1; free as usize]).expect("as much as is free");
    assert!(std::fs::write(small.join("more"), [1]).is_err(), "the file system is full");
    no_space("third", 8);
    for n in 0..(128 << 10) / 8 {
        ring.try_send(n).expect("a slot that was paid for");
    }
    let entries = std::fs::read_dir(&small).expect("the folder");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["filler", "more", "ringshm.first"], "a failed attempt leaves nothing");
    drop((ring, mounted));
}

/// Gives up being root, for good.
fn become_user(id: u32) {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    set_thread_groups(&[]).expect("root may");
    set_thread_res_gid(group, group, group).expect("root may");
    set_thread_res_uid(user, user, user).expect("root may");
    die_with_parent();
}

#[test]
fn the_ring_of_another_user_is_not_opened() {
    if !is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let folder = Folder::for_leftovers();
    let path = leave_a_ring(&folder);
    assert_eq!(std::fs::metadata(&path).expect("a ring").mode() & 0o7777, 0o600);
    let mut stranger = Process::start(&folder);
    assert_eq!(stranger.ask("become-user 65534"), "ok");
    let forbidden = |reply: String, reason: &str| {
        assert!(reply.starts_with("Permission: ") && reply.contains(reason), "{reply}");
        assert!(reply.contains("run both sides as the same user"), "{reply}");
    };
    // The kernel forbids it.
    forbidden(stranger.ask("consumer fixed ring"), "Permission denied");
    forbidden(stranger.ask("remove ring force"), "Permission denied");
    forbidden(stranger.ask("producer fixed another"), "Permission denied");
    // The kernel would allow it, and this library does not.
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("root may");
    forbidden(stranger.ask("consumer fixed ring"), "belongs to user 0 and you are user 65534");
    chown(&path, Some(Uid::from_raw(65534)), None).expect("root may");
    let reason = "belongs to user 65534 and you are user 0";
    refusal(folder.spsc::<Parcel>(NAME).consumer(), "Permission", reason);
    refusal(ringshm::inspect(&folder.directory(), NAME), "Permission", reason);
    // It is the stranger's now.
    assert_eq!(stranger.ask("consumer fixed ring"), "open 0");
}

#[test]
fn the_identity_in_a_header_is_that_of_the_type() {
    let folder = Folder::for_leftovers();
    let path = leave_a_ring(&folder);
    let file = openat(CWD, &path, OFlags::RDONLY, Mode::empty()).expect("one's own ring");
    let mut bytes = [0; size_of::<Header>()];
    rustix::io::read(file, &mut bytes).expect("a header");
    let header = Header::read_from_bytes(&bytes).expect("as many bytes");
    let size = std::fs::metadata(&path).expect("a ring").len();
    let (geometry, identity) = header.validate(size).expect("a whole ring");
    assert_eq!(identity, TypeIdentity::of::<Parcel>(0));
    assert_eq!((geometry.capacity, header.creator), (8, std::process::id()));
}
