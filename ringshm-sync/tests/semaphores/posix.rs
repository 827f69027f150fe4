//! POSIX semaphores, with and without a name, shared with programs in C.
//!
//! # Safety
//! Semaphores are attached to in mappings that live as long as they are used, at offsets inside of them.

#![allow(unsafe_code, reason = "semaphores in mappings")]

use crate::peer::{PATIENCE, Peer, interrupt, report, report_signals, until};
use memmap2::{MmapOptions, MmapRaw};
use ringshm_sync::semaphore::named::{NamedSemaphore, OpenError};
use ringshm_sync::semaphore::{MOST, PostError, Semaphore};
use ringshm_sync::wait::TimedOut;
use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::time::Duration;

/// Where in its object an unnamed semaphore lies.
const OFFSET: usize = 72;

/// A name, and nothing of that name afterwards.
struct Name(String);

impl Name {
    fn new(what: &str) -> Self {
        Self(format!("/ringshm-{what}-{}", std::process::id()))
    }

    /// Where the C library keeps it.
    fn path(&self) -> PathBuf {
        format!("/dev/shm/sem.{}", &self.0[1..]).into()
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // It may have been removed by the test.
        let _ = std::fs::remove_file(self.path());
        let _ = std::fs::remove_dir(self.path());
    }
}

/// A page of shared memory, and its name in the file system as long as it is used.
struct Object {
    path: PathBuf,
    mapping: MmapRaw,
}

impl Object {
    fn new(what: &str) -> Self {
        let path = PathBuf::from(format!("/dev/shm/ringshm-{what}-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).expect("a new object");
        file.set_len(4096).expect("a page");
        Self { mapping: MmapOptions::new().map_raw(&file).expect("a mapping"), path }
    }

    fn place(&self) -> NonNull<u8> {
        NonNull::new(self.mapping.as_mut_ptr().wrapping_add(OFFSET)).expect("no mapping lies at zero")
    }

    fn create(&self, count: u32) -> &Semaphore {
        // SAFETY: in the mapping, which the result borrows; only C programs use it too.
        unsafe { Semaphore::create(self.place(), count) }.expect("an aligned place")
    }

    fn attach(&self) -> &Semaphore {
        // SAFETY: as above.
        unsafe { Semaphore::attach(self.place()) }.expect("a semaphore")
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What only the children of this file are told.
pub(crate) fn command(words: &[&str]) -> Option<String> {
    let open = |name| NamedSemaphore::open(name).expect("the parent has made it");
    Some(match *words {
        ["wait", name] => {
            let semaphore = open(name);
            report("begin");
            semaphore.wait();
            "ok".to_owned()
        }
        ["wait-through-signals", name] => {
            let semaphore = open(name);
            report(&report_signals());
            semaphore.wait();
            "ok".to_owned()
        }
        ["open-or-create", name] => {
            let made = NamedSemaphore::open_or_create(name, 0o600, 7).expect("one way or the other");
            format!("{}", made.value())
        }
        _ => return None,
    })
}

/// One semaphore, as `peer` and this process see it, is the same one: they count for, wake and count on each other.
fn is_one_and_the_same(semaphore: &Semaphore, peer: &mut Peer) {
    assert_eq!((semaphore.value(), peer.ask("value 0")), (2, "2".to_owned()));
    assert_eq!(peer.ask("try 0"), "ok");
    assert_eq!(semaphore.value(), 1);
    semaphore.wait();
    assert_eq!(peer.ask("try 0"), "EAGAIN");
    assert!(!semaphore.try_wait());

    // It sleeps, and is woken from here.
    peer.begin("wait 0");
    until("the C program waits", || semaphore.waiters() == 1);
    assert_eq!(semaphore.post(), Ok(()));
    assert_eq!(peer.hear(), "ok");

    // This one sleeps, and is woken from there.
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| semaphore.wait_timeout(PATIENCE));
        until("a thread waits", || semaphore.waiters() == 1);
        assert_eq!(peer.ask("post 0"), "ok");
        assert_eq!(waiter.join().expect("it does not panic"), Ok(()));
    });

    // Nobody posts: both clocks run out, and neither leaves anything behind.
    peer.begin("timed 0 10");
    assert_eq!(peer.hear(), "ETIMEDOUT");
    assert_eq!(semaphore.wait_timeout(Duration::from_millis(10)), Err(TimedOut));
    assert_eq!((semaphore.value(), semaphore.waiters()), (0, 0));
}

#[test]
fn a_named_semaphore_is_that_of_a_c_program() {
    let name = Name::new("named");
    let semaphore = NamedSemaphore::create(&name, 0o600, 2).expect("a free name");
    let mut peer = Peer::in_c();
    assert_eq!(peer.ask(&format!("name 0 {name}")), "ok");
    is_one_and_the_same(&semaphore, &mut peer);
}

#[test]
fn a_named_semaphore_that_a_c_program_made_is_ours() {
    let name = Name::new("made-in-c");
    let mut peer = Peer::in_c();
    assert_eq!(peer.ask(&format!("make 0 {name} 2")), "ok");
    let semaphore = NamedSemaphore::open(&name).expect("it was made");
    is_one_and_the_same(&semaphore, &mut peer);
    assert!(matches!(NamedSemaphore::create(&name, 0o600, 0), Err(OpenError::Exists { .. })));
    assert_eq!(peer.ask(&format!("make 1 {name} 2")), "EEXIST");
}

#[test]
fn an_unnamed_semaphore_is_that_of_a_c_program() {
    let object = Object::new("unnamed");
    let semaphore = object.create(2);
    let mut peer = Peer::in_c();
    assert_eq!(peer.ask(&format!("object 0 {} {OFFSET}", object.path.display())), "ok");
    is_one_and_the_same(semaphore, &mut peer);
}

#[test]
fn an_unnamed_semaphore_that_a_c_program_initialised_is_ours() {
    let object = Object::new("initialised-in-c");
    let mut peer = Peer::in_c();
    assert_eq!(peer.ask(&format!("init 0 {} {OFFSET} 2", object.path.display())), "ok");
    is_one_and_the_same(object.attach(), &mut peer);
}

#[test]
fn two_programs_hand_over_ten_thousand_times() {
    let (there, back) = (Name::new("there"), Name::new("back"));
    let [out, home] = [&there, &back].map(|name| NamedSemaphore::create(name, 0o600, 0).expect("a free name"));
    let mut peer = Peer::in_c();
    assert_eq!(peer.ask(&format!("name 0 {there}")), "ok");
    assert_eq!(peer.ask(&format!("name 1 {back}")), "ok");
    peer.begin("relay 0 1 10000");
    for _ in 0..10_000 {
        out.post().expect("the other one waits for it");
        assert_eq!(home.wait_timeout(PATIENCE), Ok(()));
    }
    assert_eq!(peer.hear(), "ok");
    assert_eq!((out.value(), home.value(), out.waiters(), home.waiters()), (0, 0, 0, 0));
}

#[test]
fn a_waiter_that_is_killed_takes_nothing_along() {
    let name = Name::new("killed-waiter");
    let semaphore = NamedSemaphore::create(&name, 0o600, 0).expect("a free name");
    let mut in_c = Peer::in_c();
    assert_eq!(in_c.ask(&format!("name 0 {name}")), "ok");
    in_c.begin("wait 0");
    let mut in_rust = Peer::in_rust();
    in_rust.begin(&format!("wait {name}"));
    until("both wait", || semaphore.waiters() == 2);
    in_c.kill();
    in_rust.kill();
    // What the dead leave: posts that look for them. Nothing is lost to them.
    assert_eq!(semaphore.waiters(), 2);
    let mut next = Peer::in_c();
    assert_eq!(next.ask(&format!("name 0 {name}")), "ok");
    next.begin("wait 0");
    until("the next one waits", || semaphore.waiters() == 3);
    assert_eq!(semaphore.post(), Ok(()));
    assert_eq!(next.hear(), "ok");
    assert_eq!(semaphore.post(), Ok(()));
    assert_eq!(semaphore.wait_timeout(Duration::ZERO), Ok(()));
}

#[test]
fn a_poster_killed_before_it_wakes_anybody_delays_a_waiter_and_no_more() {
    let name = Name::new("killed-poster");
    let semaphore = NamedSemaphore::create(&name, 0o600, 0).expect("a free name");
    let mut waiter = Peer::in_rust();
    waiter.begin(&format!("wait {name}"));
    let mut poster = Peer::in_c();
    assert_eq!(poster.ask(&format!("name 0 {name}")), "ok");
    until("it waits", || semaphore.waiters() == 1);
    poster.tell("count-and-die 0");
    assert_eq!(poster.end(), Some(9));
    assert_eq!(waiter.hear(), "ok");
    assert_eq!((semaphore.value(), semaphore.waiters()), (0, 0));
}

#[test]
fn signals_do_not_end_a_wait() {
    let name = Name::new("signals");
    let semaphore = NamedSemaphore::create(&name, 0o600, 0).expect("a free name");
    let mut peer = Peer::in_rust();
    let thread = peer.ask(&format!("wait-through-signals {name}"));
    until("it waits", || semaphore.waiters() == 1);
    interrupt(&mut peer, &thread);
    assert_eq!(semaphore.waiters(), 1);
    assert_eq!(semaphore.post(), Ok(()));
    assert_eq!(peer.hear(), "ok");
}

/// Why the C library's calls are not used here, and that it was worth it.
#[test]
fn what_aborts_the_c_library_does_not_touch_us() {
    let object = Object::new("abort");
    let path = object.path.display();
    let semaphore = object.create(0);
    let mut scribbler = Peer::in_c();
    assert_eq!(scribbler.ask(&format!("object 0 {path} {OFFSET}")), "ok");
    // Somebody waits, and the sharing is nonsense.
    assert_eq!(scribbler.ask("word 0 1 1"), "ok");
    assert_eq!(scribbler.ask("word 0 2 3"), "ok");
    let mut victim = Peer::in_c();
    assert_eq!(victim.ask(&format!("object 0 {path} {OFFSET}")), "ok");
    victim.tell("post 0");
    assert_eq!(victim.end(), Some(6), "the C library no longer trusts what it shares");
    assert_eq!(semaphore.value(), 1);

    assert_eq!(semaphore.post(), Ok(()));
    assert_eq!(semaphore.wait_timeout(Duration::ZERO), Ok(()));
    semaphore.wait();
    assert_eq!(semaphore.wait_timeout(Duration::from_millis(10)), Err(TimedOut));
    for (index, value) in [(0, u32::MAX), (0, MOST), (0, MOST + 1), (1, u32::MAX), (1, 0), (2, 0)] {
        assert_eq!(scribbler.ask(&format!("word 0 {index} {value}")), "ok");
        let counted = semaphore.post();
        assert!(counted.is_ok() || counted == Err(PostError::Full) && semaphore.value() >= MOST);
        let _ = semaphore.wait_timeout(Duration::from_millis(1));
    }
}

#[test]
fn a_semaphore_that_somebody_scribbles_over_harms_nobody() {
    let object = Object::new("scribble");
    let semaphore = object.create(0);
    let mut scribbler = Peer::in_c();
    assert_eq!(scribbler.ask(&format!("object 0 {} {OFFSET}", object.path.display())), "ok");
    scribbler.begin("scribble 0");
    let (mut posted, mut received) = (0, 0);
    for round in 0..3000 {
        posted += u32::from(semaphore.post().is_ok());
        received += u32::from(semaphore.wait_timeout(Duration::from_micros(100)).is_ok());
        received += u32::from(round % 2 == 0 && semaphore.try_wait());
    }
    assert!(posted > 0 && received > 0, "{posted} posted, {received} received");
    scribbler.kill();
}

#[test]
fn names_and_rights_are_checked() {
    let name = Name::new("checks");
    let not_one = |name: &Name| match NamedSemaphore::open(name) {
        Err(OpenError::NotASemaphore { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert!(matches!(NamedSemaphore::open(&name), Err(OpenError::NotFound { .. })));
    assert!(matches!(NamedSemaphore::remove(&name), Err(OpenError::NotFound { .. })));
    assert!(matches!(NamedSemaphore::create(&name, 0o600, MOST + 1), Err(OpenError::Init { .. })));
    assert!(matches!(NamedSemaphore::create("/a/b", 0o600, 0), Err(OpenError::InvalidName { .. })));

    let first = NamedSemaphore::create(&name, 0o640, 1).expect("a free name");
    let rights = std::fs::metadata(name.path()).expect("it is there").permissions().mode();
    assert_eq!(rights & 0o707, 0o600, "the umask may take from 0640, and nothing gives");
    NamedSemaphore::remove(&name).expect("it is there");
    // Who has it open keeps it, and the name is free for another.
    let second = NamedSemaphore::create(&name, 0o600, 5).expect("a free name");
    assert_eq!((first.value(), second.value()), (1, 5));
    NamedSemaphore::remove(&name).expect("it is there");

    std::fs::write(name.path(), [0; 31]).expect("a short file");
    assert_eq!(not_one(&name), "too short");
    std::fs::write(name.path(), []).expect("an empty file, at which the C library's users die of SIGBUS");
    assert_eq!(not_one(&name), "too short");
    std::fs::write(name.path(), [0; 4096]).expect("a file of zeros");
    assert_eq!(not_one(&name), "filled with something else");
    std::fs::remove_file(name.path()).expect("it is there");
    std::os::unix::fs::symlink("/dev/null", name.path()).expect("a link");
    assert_eq!(not_one(&name), "a symbolic link");
    std::fs::remove_file(name.path()).expect("it is there");
    std::fs::create_dir(name.path()).expect("a folder");
    assert_eq!(not_one(&name), "no regular file");
    std::fs::remove_dir(name.path()).expect("it is there");
    rustix::fs::mkfifoat(rustix::fs::CWD, name.path(), rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
        .expect("a FIFO that nobody reads");
    assert!(std::fs::metadata(name.path()).expect("it is there").file_type().is_fifo());
    assert_eq!(not_one(&name), "no regular file");
}

#[test]
fn whoever_comes_first_makes_it_and_all_see_its_count() {
    let name = Name::new("first");
    let mut peers: Vec<_> = (0..4).map(|_| Peer::in_rust()).collect();
    for _ in 0..50 {
        peers.iter_mut().for_each(|peer| peer.tell(&format!("open-or-create {name}")));
        for peer in &mut peers {
            assert_eq!(peer.hear(), "7");
        }
        NamedSemaphore::remove(&name).expect("it is there");
    }
}
