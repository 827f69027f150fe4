//! What is special to rings in ordinary files, and in System V segments: restarts, images that somebody damaged, limits, and what goes wrong
//! with them from outside.
//!
//! # Safety
//! `shmget` and `shmat` are called for segments of this test's own; `unshare` by a process with one thread beside the one that waits for it.

#![allow(unsafe_code, reason = "System V segments that are no rings; unshare")]

use crate::support::{Carrier, Folder, Parcel, Process, Ring, is_root, report, until, variant};
use ringshm::{OnDeath, OpenError, Resident as _, Snapshot, Sweep, TryRecvError, Verdict, Wait};
use ringshm_core::layout::Header;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// What only the children of this file are told.
pub(super) fn command(words: &[&str]) -> Option<String> {
    Some(match *words {
        ["be-busy", name, folder] => {
            be_busy(name, Path::new(folder));
            unreachable!("it is killed")
        }
        ["exec"] => {
            let error = Command::new("sleep").arg("1000").exec();
            format!("exec: {error}")
        }
        ["leave-ipc-namespace"] => {
            // SAFETY: no file descriptors are unshared.
            let left = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWIPC) };
            left.map_or_else(|error| format!("not allowed: {error}"), |()| "ok".to_owned())
        }
        ["shm-of-all", key] => {
            let key: i32 = key.parse().expect("a key");
            // SAFETY: numbers only.
            let id = unsafe { libc::shmget(key, 8192, libc::IPC_CREAT | libc::IPC_EXCL | 0o666) };
            // SAFETY: numbers only.
            let set = unsafe { libc::semget(key, 130, libc::IPC_CREAT | libc::IPC_EXCL | 0o666) };
            assert!(id >= 0 && set >= 0, "{}", std::io::Error::last_os_error());
            "ok".to_owned()
        }
        ["with-setting", name, value, key] => {
            let path = format!("/proc/sys/kernel/{name}");
            let before = std::fs::read_to_string(&path).expect("a setting");
            std::fs::write(&path, value.replace(',', " ")).expect("root may, in a namespace of its own");
            let ring = ringshm::spsc::<u64>("").system_v(key.parse().expect("a key")).capacity(1024).producer();
            let reply = ring.map_or_else(|error| format!("{}: {error}", variant(&error)), |_| "open".to_owned());
            std::fs::write(&path, before).expect("as it was");
            reply
        }
        _ => return None,
    })
}

/// The error of a call that must fail, with its variant, and `phrase` in its text.
#[track_caller]
fn refusal<T>(result: Result<T, OpenError>, wanted: &str, phrase: &str) {
    let Err(error) = result else { panic!("{wanted} expected, and it worked") };
    assert_eq!(variant(&error), wanted, "{error}");
    assert!(error.to_string().contains(phrase), "{error}");
}

/// In a child that will be killed: takes part in four rings at once, and has in each what a participant may leave in shared memory: announced sleeps
/// of all sorts, a message in its hands, a gate that holds a producer up.
fn be_busy(name: &str, folder: &Path) {
    let ring = |kind: &str| format!("file://{}", folder.join(format!("{name}-{kind}")).display());
    let mpmc = || ringshm::mpmc::<Parcel>(&ring("mpmc")).capacity(4).wait(Wait::Park);
    let (mut queue, mut worker) = (mpmc().producer().expect("a new ring"), mpmc().consumer().expect("the same"));
    let mut idle = mpmc().consumer().expect("the same");
    queue.send(Parcel::of(0)).expect("room");
    let _held = worker.recv_ref().expect("a message");
    let broadcast = || ringshm::broadcast::<Parcel>(&ring("broadcast")).capacity(4).wait(Wait::Park);
    let (mut feed, _reader) = (broadcast().producer().expect("a new ring"), broadcast().consumer().expect("the same"));
    for n in 0..4 {
        feed.send(Parcel::of(n)).expect("room");
    }
    let latest = || ringshm::latest::<Parcel>(&ring("latest")).wait(Wait::Park);
    let (mut register, mut watcher) =
        (latest().producer().expect("a new register"), latest().consumer().expect("the same"));
    register.write(Parcel::of(9)).expect("it is one's own");
    let spsc = || ringshm::spsc::<Parcel>(&ring("spsc")).capacity(4).wait(Wait::Park);
    let (_sender, mut stream) = (spsc().producer().expect("a new ring"), spsc().consumer().expect("the same"));
    std::thread::scope(|scope| {
        scope.spawn(|| idle.recv());
        scope.spawn(|| feed.send(Parcel::of(4)));
        scope.spawn(|| while watcher.next_change().is_some() {});
        report("begin");
        // None of this ever ends.
        stream.recv().map(drop).ok();
    });
}

/// Everything as it was when the machine was switched off: the same bytes in other files, so that no lock is on them.
fn rebooted(folder: &Folder) -> Folder {
    let after = Folder::on_disk();
    for name in folder.entries() {
        std::fs::copy(folder.path().join(&name), after.path().join(&name)).expect("room");
    }
    after
}

#[test]
fn rings_in_files_go_on_after_the_machine_was_switched_off_under_them() {
    let before = Folder::on_disk();
    let mut busy = Process::start(&before);
    busy.begin(&format!("be-busy app {}", before.path().display()));
    assert!(busy.sleeps());
    let after = rebooted(&before);
    busy.kill();
    for entry in before.entries() {
        let name = format!("file://{}", before.path().join(entry).display());
        ringshm::remove(&before.directory(), &name, false).expect("nobody lives there");
    }
    let ring = |kind: &str| format!("file://{}", after.path().join(format!("app-{kind}")).display());
    let look = |kind: &str| -> Snapshot { ringshm::inspect(&after.directory(), &ring(kind)).expect("whole") };
    for kind in ["mpmc", "broadcast", "latest", "spsc"] {
        let snapshot = look(kind);
        let states: Vec<_> = snapshot.participants.iter().map(|participant| participant.state).collect();
        let all_dead = states.iter().all(|state| matches!(state, ringshm::Peer::Dead { pid } if *pid == busy.pid()));
        assert!(all_dead && !states.is_empty(), "{kind}: {states:?}");
    }
    // A work queue: what was in a dead worker's hands comes again.
    let mut queue = ringshm::mpmc::<Parcel>(&ring("mpmc")).producer().expect("a free lane");
    let mut worker = ringshm::mpmc::<Parcel>(&ring("mpmc")).consumer().expect("a free lane");
    assert_eq!((worker.recv().expect("it was queued").number(), worker.redelivered()), (0, true));
    for n in 1..20 {
        queue.send(Parcel::of(n)).expect("room");
        assert_eq!(worker.recv().expect("just sent").number(), n);
    }
    drop((queue, worker));
    // A feed: the dead reader holds nobody up.
    let mut feed = ringshm::broadcast::<Parcel>(&ring("broadcast")).producer().expect("the role is free");
    let mut reader = ringshm::broadcast::<Parcel>(&ring("broadcast")).reader().expect("a ring");
    for n in 4..12 {
        feed.send(Parcel::of(n)).expect("the reader is dead");
    }
    let mut last = None;
    loop {
        match reader.try_recv() {
            Ok(parcel) => last = Some(parcel.number()),
            Err(TryRecvError::Lagged(_)) => {}
            Err(_) => break,
        }
    }
    assert_eq!(last, Some(11));
    drop((feed, reader));
    // A register: the value is there.
    let mut watcher = ringshm::latest::<Parcel>(&ring("latest")).consumer().expect("a free lane");
    assert_eq!(watcher.read().map(|parcel| parcel.number()), Some(9));
    let mut register = ringshm::latest::<Parcel>(&ring("latest")).producer().expect("the role is free");
    register.write(Parcel::of(10)).expect("it is one's own");
    assert_eq!(watcher.next_change().map(|parcel| parcel.number()), Some(10));
    drop((register, watcher));
    // A stream, to a consumer that sleeps where the dead one was announced.
    let mut producer = ringshm::spsc::<Parcel>(&ring("spsc")).producer().expect("the role is free");
    let mut consumer = ringshm::spsc::<Parcel>(&ring("spsc")).wait(Wait::Park).consumer().expect("the role is free");
    let receiver =
        std::thread::spawn(move || (0..50).all(|n| consumer.recv().is_ok_and(|parcel| parcel.number() == n)));
    for n in 0..50 {
        producer.send(Parcel::of(n)).expect("room, sooner or later");
    }
    assert!(receiver.join().expect("it does not panic"));
    drop(producer);
    after.assert_empty();
    before.assert_empty();
}

#[test]
fn what_is_left_in_order_is_there_for_the_next_ones_and_its_count_goes_on() {
    Ring::each_found(|ring| {
        for (from, to, from_here, to_here) in [(0, 3, 0, 2), (3, 4, 2, 3), (4, 6, 3, 6)] {
            let (mut producer, sent) = ring.join("producer", "");
            assert_eq!((sent, producer.ask(&format!("send {from} {to}"))), (from, format!("sent {to}")));
            assert_eq!(producer.ask("detach"), "ok");
            producer.finish();
            let (mut consumer, received) = ring.join("consumer", "existing");
            let reply = consumer.ask(&format!("recv {from_here} {to_here}"));
            assert_eq!((received, reply), (from_here, format!("received {to_here}")));
            assert_eq!(consumer.ask("detach"), "ok");
            consumer.finish();
            assert!(ring.is_found());
        }
    });
}

#[test]
fn sync_writes_a_ring_in_a_file_and_says_where_there_is_none() {
    let folder = Folder::on_disk();
    let path = folder.path().join("app.ring");
    let mut producer = ringshm::spsc::<u64>("").file(&path).capacity(8).producer().expect("a new ring");
    producer.send(7).expect("room");
    producer.sync().expect("a disk");
    let consumer = ringshm::spsc::<u64>("").file(&path).consumer().expect("the same");
    consumer.sync().expect("a disk");
    let reader = ringshm::broadcast::<u64>("").file(folder.path().join("feed")).reader().expect("a new ring");
    reader.sync().expect("a disk");
    let key = folder.key();
    let segment = ringshm::spsc::<u64>("").system_v(key).capacity(8).producer().expect("a new ring");
    assert_eq!(segment.sync().expect_err("no disk").kind(), std::io::ErrorKind::Unsupported);
    drop((producer, consumer, reader, segment));
    ringshm::remove(&folder.directory(), &format!("file://{}", path.display()), true).expect("a message is left");
    ringshm::remove(&folder.directory(), &format!("file://{}/feed", folder.path().display()), true)
        .expect("no producer came");
    ringshm::remove(&folder.directory(), &format!("sysv-shm://{key}"), true).expect("no consumer came");
}

/// A small file system, mounted as long as the value lives.
struct SmallFileSystem(PathBuf);

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).expect("it was mounted");
    }
}

#[test]
fn a_file_is_allocated_whole_also_where_the_file_system_cannot_do_it_by_itself() {
    if !is_root() {
        println!("skipped: only root may mount a file system");
        return;
    }
    let folder = Folder::for_leftovers();
    for (kind, options) in [("ramfs", c"mode=0755"), ("tmpfs", c"size=256k,mode=0755")] {
        let at = folder.path().join(kind);
        std::fs::create_dir(&at).expect("a free name");
        mount(kind, &at, kind, MountFlags::empty(), options).expect("root may mount");
        let mounted = SmallFileSystem(at.clone());
        let path = at.join("app.ring");
        let mut producer = ringshm::spsc::<u64>("").file(&path).capacity(1024).producer().expect(kind);
        (0..1024).for_each(|n| producer.send(n).expect("room"));
        let received = ringshm::spsc::<u64>("").file(&path).consumer().expect(kind).try_iter().collect::<Vec<_>>();
        assert_eq!(received, (0..1024).collect::<Vec<_>>());
        drop(producer);
        if kind == "tmpfs" {
            let large = || ringshm::spsc::<u64>("").file(at.join("large")).capacity(1 << 20).producer();
            refusal(large(), "NoSpace", "ask for a smaller capacity");
            assert!(!at.join("large").exists());
        }
        drop(mounted);
    }
}

/// Runs a program, and says whether there is one and it was content.
fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_disk_that_fills_up_does_no_harm_to_a_ring_that_is_there() {
    let folder = Folder::for_leftovers();
    let (image, at) = (folder.path().join("image"), folder.path().join("disk"));
    std::fs::create_dir(&at).expect("a free name");
    let [image_name, at_name] = [&image, &at].map(|path| path.display().to_string());
    // With extents, and as in the days when a file system allocated what is written and nothing else.
    for format in ["ext4", "ext2"] {
        std::fs::File::create(&image).and_then(|file| file.set_len(2 << 20)).expect("room");
        if !runs("mkfs.ext4", &["-q", "-F", "-t", format, "-O", "^has_journal", &image_name])
            || !runs("mount", &["-o", "loop", &image_name, &at_name])
        {
            println!("skipped: only root may mount a disk, with mkfs.ext4 (e2fsprogs) and a loop device");
            return;
        }
        let mounted = SmallFileSystem(at.clone());
        let path = at.join("app.ring");
        let open = |path: &Path| ringshm::spsc::<u64>("").file(path).capacity((512 << 10) / 8).producer();
        let mut ring = open(&path).expect("there is room");
        let mut filler = std::fs::File::create(at.join("filler")).expect("there is room");
        while std::io::Write::write_all(&mut filler, &[1; 4096]).is_ok() {}
        refusal(open(&at.join("second")), "NoSpace", "ask for a smaller capacity");
        assert!(!at.join("second").exists());
        for n in 0..(512 << 10) / 8 {
            ring.try_send(n).expect("a slot that was paid for");
        }
        // Nor later, when all of it has to be written.
        ring.sync().expect("its blocks are its own");
        drop((ring, filler, mounted));
    }
}

#[test]
fn a_full_disk_is_an_error_at_opening() {
    let folder = Folder::on_disk();
    let path = folder.path().join("app.ring");
    let capacity = 1_u64 << 44;
    refusal(
        ringshm::spsc::<u64>("").file(&path).capacity(capacity).producer(),
        "NoSpace",
        "ask for a smaller capacity",
    );
    folder.assert_empty();
}

/// A System V segment under a key, with bytes in it, and a set of semaphores beside it if it has a length.
fn plant(key: i32, bytes: &[u8], locks: i32) {
    // SAFETY: numbers only.
    let id = unsafe { libc::shmget(key, bytes.len(), libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
    assert!(id >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: anywhere.
    let at = unsafe { libc::shmat(id, std::ptr::null(), 0) };
    assert_ne!(at.addr(), usize::MAX, "{}", std::io::Error::last_os_error());
    // SAFETY: as long as these bytes.
    unsafe { at.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    // SAFETY: attached just now.
    unsafe { libc::shmdt(at) };
    if locks > 0 {
        // SAFETY: numbers only.
        let set = unsafe { libc::semget(key, locks, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
        assert!(set >= 0, "{}", std::io::Error::last_os_error());
    }
}

/// The bytes of a segment, taken away together with it.
fn uproot(key: i32) -> Vec<u8> {
    // SAFETY: numbers only.
    let id = unsafe { libc::shmget(key, 0, 0) };
    let mut state = std::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: a `shmid_ds` for the kernel to fill.
    assert_eq!(unsafe { libc::shmctl(id, libc::IPC_STAT, state.as_mut_ptr()) }, 0);
    // SAFETY: filled, and zero before.
    let mut bytes = vec![0; unsafe { state.assume_init() }.shm_segsz];
    // SAFETY: anywhere.
    let at = unsafe { libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY) };
    // SAFETY: as long as the kernel says.
    unsafe { at.cast::<u8>().copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
    // SAFETY: attached just now.
    unsafe { libc::shmdt(at) };
    // SAFETY: no further argument.
    assert_eq!(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }, 0);
    bytes
}

fn set_of(key: i32) -> i32 {
    // SAFETY: numbers only.
    unsafe { libc::semget(key, 0, 0) }
}

fn remove_set(key: i32) {
    // SAFETY: no further argument.
    assert_eq!(unsafe { libc::semctl(set_of(key), 0, libc::IPC_RMID) }, 0);
}

/// Every way of coming near a damaged segment fails with `Corrupt` and `field`, and by force it can be removed.
#[track_caller]
fn is_corrupt(ring: &Ring, field: &str) {
    let key = ring.folder.key();
    refusal(ringshm::spsc::<Parcel>("").system_v(key).producer(), "Corrupt", field);
    refusal(ringshm::spsc::<Parcel>("").system_v(key).consumer(), "Corrupt", field);
    refusal(ringshm::inspect(&ring.folder.directory(), ring.name()), "Corrupt", field);
    refusal(ringshm::remove(&ring.folder.directory(), ring.name(), false), "Corrupt", field);
    ringshm::remove(&ring.folder.directory(), ring.name(), true).expect("by force");
}

#[test]
fn a_segment_that_is_no_ring_is_corrupt() {
    let ring = Ring::system_v(Carrier::Fixed);
    let key = ring.folder.key();
    // A whole one, which is then damaged behind its locks.
    let whole = || {
        let mut producer = ringshm::spsc::<Parcel>("").system_v(key).capacity(8).producer().expect("a new ring");
        producer.send(Parcel::of(0)).expect("room");
        drop(producer);
        uproot(key)
    };
    let forged = |change: &dyn Fn(&mut Header)| {
        let mut bytes = whole();
        let mut header = Header::new_zeroed();
        header.as_mut_bytes().copy_from_slice(&bytes[..size_of::<Header>()]);
        change(&mut header);
        header.sum = header.checksum();
        bytes[..size_of::<Header>()].copy_from_slice(header.as_bytes());
        bytes
    };
    let images: [(&dyn Fn() -> Vec<u8>, &str); 7] = [
        (&|| vec![0; whole().len()], "magic"),
        (&|| vec![0xa5; whole().len()], "magic"),
        (&|| whole()[..100].to_vec(), "object size"),
        (&|| whole()[..8192].to_vec(), "object size"),
        (&|| forged(&|header| header.total *= 2), "total size"),
        (&|| forged(&|header| header.capacity = 0), ""),
        (&|| forged(&|header| header.lock_set ^= 1), "semaphore set"),
    ];
    for (image, field) in images {
        plant(key, &image(), 0);
        is_corrupt(&ring, field);
        ring.assert_gone();
    }
    // Another version's.
    let version = forged(&|header| header.version += 1);
    plant(key, &version, 0);
    refusal(ringshm::spsc::<Parcel>("").system_v(key).producer(), "Version", "the same ringshm version");
    ringshm::remove(&ring.folder.directory(), ring.name(), true).expect("by force");
}

#[test]
fn the_segment_of_another_program_is_left_alone() {
    let ring = Ring::system_v(Carrier::Fixed);
    let key = ring.folder.key();
    let open = || ringshm::spsc::<Parcel>("").system_v(key).producer();
    // Without semaphores, with others, and with some that happen to be as many.
    for (locks, field) in [(0, "semaphore set"), (3, "semaphore set"), (130, "magic")] {
        plant(key, &[0; 30000], locks);
        refusal(open(), "Corrupt", field);
        refusal(ringshm::inspect(&ring.folder.directory(), ring.name()), "Corrupt", field);
        assert_eq!(uproot(key), [0; 30000], "untouched");
        if locks > 0 {
            remove_set(key);
        }
        ring.assert_gone();
    }
    // Semaphores only, that are no locks.
    // SAFETY: numbers only.
    assert!(unsafe { libc::semget(key, 3, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) } >= 0);
    refusal(open(), "Corrupt", "semaphore set");
    remove_set(key);
}

#[test]
fn the_segment_of_another_user_is_not_opened() {
    if !is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let ring = Ring::system_v(Carrier::Fixed);
    let mut producer = ring.producer("");
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    let mut stranger = Process::start(&ring.folder);
    assert_eq!(stranger.ask("become-user 65534"), "ok");
    for command in [ring.opening("consumer", ""), format!("remove {} force", ring.name())] {
        let reply = stranger.ask(&command);
        assert!(reply.starts_with("Permission: ") && reply.contains("run both sides as the same user"), "{reply}");
    }
    producer.finish();
    ring.remove();
    // Its rights would let root in, and this library does not.
    assert_eq!(stranger.ask(&format!("shm-of-all {}", ring.folder.key())), "ok");
    let reason = "belongs to user 65534 and you are user 0";
    let open = || ringshm::spsc::<Parcel>("").system_v(ring.folder.key());
    refusal(open().consumer(), "Permission", reason);
    refusal(ringshm::inspect(&ring.folder.directory(), ring.name()), "Permission", reason);
    refusal(ringshm::remove(&ring.folder.directory(), ring.name(), true), "Permission", reason);
    uproot(ring.folder.key());
    remove_set(ring.folder.key());
}

#[test]
fn who_waits_notices_that_the_locks_of_a_segment_were_removed() {
    let ring = Ring::system_v(Carrier::Fixed);
    let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    ringshm::remove(&ring.folder.directory(), ring.name(), true).expect("by force");
    ring.assert_gone();
    // What was sent arrives. Then nobody can say whether more will come.
    assert_eq!(consumer.ask("recv 0 4"), "OfOthers at 3");
    let mut sent = 3;
    while producer.ask(&format!("try-send {sent}")) == "ok" {
        sent += 1;
    }
    assert_eq!(producer.ask(&format!("send {sent} {}", sent + 1)), format!("OfOthers at {sent}"));
    // A queue, a feed and a register, too.
    let key = ring.folder.key();
    let gone =
        |error: Option<ringshm::RecvError>| assert_eq!(error, Some(ringshm::RecvError::Fault(ringshm::Fault::Removed)));
    let _one = ringshm::mpmc::<u64>("").system_v(key).producer().expect("a new ring");
    let mut other = ringshm::mpmc::<u64>("").system_v(key).consumer().expect("the same");
    ringshm::remove(&ring.folder.directory(), ring.name(), true).expect("by force");
    gone(other.recv().err());
    let _one = ringshm::broadcast::<u64>("").system_v(key).producer().expect("a new ring");
    let mut other = ringshm::broadcast::<u64>("").system_v(key).reader().expect("the same");
    ringshm::remove(&ring.folder.directory(), ring.name(), true).expect("by force");
    gone(other.recv().err());
    drop(other);
    let _one = ringshm::latest::<u64>("").system_v(key).producer().expect("a new register");
    let mut other = ringshm::latest::<u64>("").system_v(key).reader().expect("the same");
    ringshm::remove(&ring.folder.directory(), ring.name(), true).expect("by force");
    assert!(other.next_change().is_none());
}

#[test]
fn a_segment_whose_locks_alone_were_removed_gets_no_new_ones() {
    let ring = Ring::system_v(Carrier::Fixed);
    let (mut producer, mut consumer) = (ring.producer("await"), ring.consumer("await"));
    remove_set(ring.folder.key());
    // Its owners live, and nobody could know.
    let open = || ringshm::spsc::<Parcel>("").system_v(ring.folder.key()).on_death(OnDeath::AwaitSuccessor);
    refusal(open().producer(), "Corrupt", "semaphore set");
    refusal(open().consumer(), "Corrupt", "semaphore set");
    assert_eq!(ring.remains(), ["shm"], "and nothing was made beside it");
    producer.begin("send 0 20");
    assert_eq!(consumer.ask("recv 0 20"), "received 20");
    assert_eq!(producer.hear(), "sent 20");
    ringshm::remove(&ring.folder.directory(), ring.name(), true).expect("by force");
}

#[test]
fn a_process_that_becomes_another_program_keeps_its_role_in_a_segment_until_it_ends() {
    let ring = Ring::system_v(Carrier::Fixed);
    let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    producer.tell("exec");
    let name = format!("/proc/{}/comm", producer.pid());
    until("it is another program", || std::fs::read_to_string(&name).is_ok_and(|name| name.trim() == "sleep"));
    assert_eq!(consumer.ask("recv 0 3"), "received 3");
    assert_eq!(consumer.ask("peer"), format!("Live {{ pid: {} }}", producer.pid()));
    producer.kill();
    assert_eq!(consumer.ask("recv 3 4"), "Disconnected at 3");
    consumer.finish();
    ring.assert_gone();
}

#[test]
fn who_leaves_its_ipc_namespace_is_told_that_the_locks_are_gone() {
    if !is_root() {
        println!("skipped: only root may make an IPC namespace");
        return;
    }
    let ring = Ring::system_v(Carrier::Fixed);
    let (mut producer, consumer) = (ring.producer(""), ring.consumer(""));
    let reply = producer.ask("leave-ipc-namespace");
    assert!(reply == "ok" || reply.starts_with("not allowed"), "{reply}");
    if reply != "ok" {
        println!("skipped: {reply}");
        return;
    }
    // Where it is now, there is no such set: it cannot know who lives.
    let mut sent = 0;
    while producer.ask(&format!("try-send {sent}")) == "ok" {
        sent += 1;
    }
    assert_eq!(producer.ask(&format!("send {sent} {}", sent + 1)), format!("OfOthers at {sent}"));
    drop((producer, consumer));
    ring.remove();
}

#[test]
fn what_a_killed_maker_left_is_collected_or_removed() {
    let ring = Ring::system_v(Carrier::Fixed);
    let key = ring.folder.key();
    let place = ringshm::Place::system_v(key).expect("a key");
    // As it is between two calls of a maker: locks, and the note that something is being made.
    let half_make = || {
        drop(ringshm::spsc::<Parcel>("").system_v(key).capacity(8).producer().expect("a new ring"));
        let bytes = uproot(key);
        let mut note = [libc::sembuf { sem_num: 129, sem_op: 1, sem_flg: 0 }];
        // SAFETY: one operation.
        assert_eq!(unsafe { libc::semop(set_of(key), note.as_mut_ptr(), 1) }, 0);
        bytes.len()
    };
    for is_segment_there in [false, true] {
        let attempt = || {
            let len = half_make();
            if is_segment_there {
                plant(key, &vec![0; len], 0);
            }
        };
        attempt();
        refusal(ringshm::inspect(&ring.folder.directory(), ring.name()), "NotFound", "sysv-shm://");
        assert_eq!(ringshm::collect_at(&place, Sweep::Nothing).expect("a verdict"), Verdict::NeverFinished);
        assert!(!ring.remains().is_empty(), "only looked at");
        assert_eq!(ringshm::collect_at(&place, Sweep::Garbage).expect("a verdict"), Verdict::NeverFinished);
        ring.assert_gone();
        attempt();
        ringshm::remove(&ring.folder.directory(), ring.name(), false).expect("it was there");
        ring.assert_gone();
        attempt();
        let must_exist = ringshm::Existence::MustExist;
        refusal(ringshm::spsc::<Parcel>("").system_v(key).existence(must_exist).consumer(), "NotFound", "sysv-shm://");
        ring.assert_gone();
        // Who may make a ring makes it anew.
        attempt();
        let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
        producer.begin("send 0 9");
        assert_eq!(consumer.ask("recv 0 9"), "received 9");
        assert_eq!(producer.hear(), "sent 9");
        producer.finish();
        consumer.finish();
        ring.assert_gone();
    }
}

#[test]
fn the_limits_of_the_kernel_are_named() {
    let ring = Ring::system_v(Carrier::Fixed);
    if !is_root() {
        println!("skipped: only root may lower a limit, in an IPC namespace of its own");
        return;
    }
    let mut process = Process::start(&ring.folder);
    if process.ask("leave-ipc-namespace") != "ok" {
        println!("skipped: no IPC namespace");
        return;
    }
    for (setting, low, says) in [
        ("shmmax", "4096", "kernel.shmmax"),
        ("shmall", "1", "kernel.shmall"),
        ("shmmni", "0", "kernel.shmmni"),
        ("sem", "100 32000 500 32000", "SEMMSL"),
        ("sem", "32000 100 500 32000", "SEMMNS"),
        ("sem", "32000 32000 500 0", "SEMMNI"),
    ] {
        let reply = process.ask(&format!("with-setting {setting} {} {}", low.replace(' ', ","), ring.folder.key()));
        assert!(
            reply.starts_with("Limit: ") && reply.contains(says) && reply.contains("raise the limit"),
            "{setting}: {reply}"
        );
    }
    assert_eq!(process.ask(&ring.opening("producer", "")), "open 0", "and nothing was left in the way");
    process.finish();
}
