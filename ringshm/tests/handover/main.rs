//! Rings without names, handed to processes that share nothing with their owner: how they come there, and who dies.
//!
//! # Safety
//! `unshare` of the mounts leaves descriptors and memory alone. A child borrows the socket that it was started with.

#![allow(unsafe_code, reason = "unshare, and a descriptor that was inherited")]

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "tokio")]
use ringshm::asynchronous::AsyncChannel;
use ringshm::handover::{Handover, Offer, give, give_memfd, take, take_memfd};
use ringshm::{Consumer, Deadline, OnDeath, OpenError, Receiver, RecvError, TryRecvError, WaitSet};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{chdir, chroot};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::cell::RefCell;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::{Folder, PATIENCE, Process, is_root, record, report};

/// Not a test: what a child process does. See [`command`].
#[test]
fn child() {
    support::play(command);
}

thread_local! {
    static SINK: RefCell<Option<Consumer<u64>>> = const { RefCell::new(None) };
    static FEED: RefCell<Option<Box<dyn Receiver>>> = const { RefCell::new(None) };
    static OFFER: RefCell<Option<(OwnedFd, Offer)>> = const { RefCell::new(None) };
}

/// What a child can be told.
///
/// | command | report |
/// |---|---|
/// | `enter FOLDER` | `ok`: it has mounts of its own, and sees nothing but that folder |
/// | `take FD`, `take-from PLACE` | `open`, with a consumer of the ring that came, or why not |
/// | `sum FROM TO` | `begin`, then `ok`, if the numbers came, or why not |
/// | `feed-from PLACE` | `open`, with a consumer of the ring of bytes that came, or why not |
/// | `wait FROM TO` | `begin`, then `ok`, if the records came, each of which a wait set was woken by |
/// | `await FROM TO` | the same, by a task |
/// | `own PLACE` | `open`: it has made a ring, and offers it |
/// | `give FROM TO` | `begin`, then `given`, after it has given the ring to the next who comes, and sent these numbers |
fn command(words: &[&str]) -> Option<String> {
    let soon = Deadline::after(PATIENCE);
    let ring = || ringshm::spsc::<u64>("");
    Some(match *words {
        ["enter", folder] => {
            // SAFETY: neither descriptors nor memory are unshared.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("root may");
            chroot(folder).and_then(|()| chdir("/")).expect("root may");
            assert_eq!(std::fs::read_dir("/").expect("a folder").count(), 0, "nothing is there, and no /proc");
            "ok".to_owned()
        }
        ["take", fd] => {
            let fd = fd.parse().expect("a number");
            // SAFETY: the child was started with it, and nobody closes it.
            let socket = unsafe { BorrowedFd::borrow_raw(fd) };
            let consumer = take_memfd(socket, soon).map_err(|error| error.to_string());
            open(consumer.and_then(|memfd| ring().consumer_of(memfd).map_err(|error| error.to_string())))
        }
        ["take-from", place] => {
            open(ring().consumer_from(Handover::new(place), soon).map_err(|error| error.to_string()))
        }
        ["sum", from, to] => SINK.with_borrow_mut(|sink| {
            report("begin");
            for number in numbers([from, to]) {
                match sink.as_mut().expect("it is open").recv() {
                    Ok(found) => assert_eq!(found, number),
                    Err(error) => return format!("{error:?} at {number}"),
                }
            }
            "ok".to_owned()
        }),
        ["feed-from", place] => {
            let taken = ringshm::spsc::<[u8]>("").consumer_from(Handover::new(place), soon);
            taken.map_or_else(
                |error| error.to_string(),
                |consumer| {
                    FEED.set(Some(Box::new(consumer)));
                    "open".to_owned()
                },
            )
        }
        ["wait", from, to] => {
            let mut set = WaitSet::new();
            // Nothing but being rung for wakes it.
            set.set_longest_sleep(Duration::MAX);
            let key = set.add_channel(FEED.take().expect("it is open")).expect("a ring can be waited for");
            report("begin");
            let mut message = Vec::new();
            for n in numbers([from, to]) {
                while set[key].try_recv(&mut message) == Err(TryRecvError::Empty) {
                    assert!(set.wait().expect("no helpers").contains(key));
                }
                assert_eq!(message, record(n));
            }
            FEED.set(set.remove(key));
            "ok".to_owned()
        }
        #[cfg(feature = "tokio")]
        ["await", from, to] => {
            ringshm::asynchronous::never_remind();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let feed = FEED.take().expect("it is open");
                let mut feed = AsyncChannel::in_tokio(feed).expect("a ring can be awaited");
                report("begin");
                for n in numbers([from, to]) {
                    assert_eq!(feed.recv_async().await, Ok(record(n)));
                }
                FEED.set(Some(feed.into_inner()));
            });
            "ok".to_owned()
        }
        ["own", place] => {
            let memfd = ring().capacity(64).memfd().expect("memory");
            OFFER.set(Some((memfd, Handover::new(place).offer().expect("nobody offers there"))));
            "open".to_owned()
        }
        ["give", from, to] => OFFER.with_borrow_mut(|offer| {
            let (memfd, offer) = offer.as_mut().expect("it is open");
            report("begin");
            offer.give_memfd_by(&*memfd, soon).expect("somebody comes");
            let mut producer = ring().producer_of(&*memfd).expect("the role is free");
            numbers([from, to]).for_each(|number| producer.send(number).expect("somebody receives"));
            // Killed with the role in its hands.
            std::mem::forget(producer);
            "given".to_owned()
        }),
        _ => return None,
    })
}

fn numbers(ends: [&str; 2]) -> Range<u64> {
    let [from, to] = ends.map(|word| word.parse().expect("a number"));
    from..to
}

fn open(consumer: Result<Consumer<u64>, String>) -> String {
    match consumer {
        Ok(consumer) => {
            SINK.set(Some(consumer));
            "open".to_owned()
        }
        Err(error) => error,
    }
}

/// A sandbox, and this side's half of the only thing that leads into it.
struct Sandbox {
    child: Process,
    socket: UnixStream,
    /// The number of the other half in the child.
    there: i32,
}

impl Sandbox {
    fn start(folder: &Folder) -> Self {
        let (socket, there) = UnixStream::pair().expect("sockets");
        fcntl_setfd(&there, FdFlags::empty()).expect("open");
        let mut child = Process::start(folder);
        assert_eq!(child.ask(&format!("enter {}", folder.path().display())), "ok");
        Self { child, socket, there: there.as_raw_fd() }
    }

    fn take(&mut self) -> String {
        self.child.ask(&format!("take {}", self.there))
    }
}

/// Needs root: to leave everything behind.
#[test]
fn a_ring_comes_into_a_sandbox_without_names_or_proc() {
    if !is_root() {
        println!("skipped: only root can change its root");
        return;
    }
    let folder = Folder::new();
    let memfd = ringshm::spsc::<u64>("").capacity(16).memfd().expect("memory");
    let mut producer =
        ringshm::spsc::<u64>("").on_death(OnDeath::AwaitSuccessor).producer_of(&memfd).expect("the role is free");
    let [mut first, mut second] = [(); 2].map(|()| Sandbox::start(&folder));
    let soon = || Deadline::after(PATIENCE);
    give_memfd(&first.socket, &memfd, soon()).expect("there is room");
    assert_eq!(first.take(), "open");
    first.child.begin("sum 0 1000");
    (0..1000).for_each(|number| producer.send(number).expect("somebody receives"));
    assert_eq!(first.child.hear(), "ok");
    // Each has a file description of its own: so the role is seen to be taken, until its owner is dead.
    give_memfd(&second.socket, &memfd, soon()).expect("there is room");
    let refusal = second.take();
    assert!(refusal.contains(&format!("already has a live consumer, process {}", first.child.pid())), "{refusal}");
    first.child.kill();
    give_memfd(&second.socket, &memfd, soon()).expect("there is room");
    assert_eq!(second.take(), "open");
    second.child.begin("sum 1000 2000");
    (1000..2000).for_each(|number| producer.send(number).expect("somebody receives"));
    assert_eq!(second.child.hear(), "ok");
    // What is given as a descriptor like any other needs /proc, and says so.
    let mut third = Sandbox::start(&folder);
    give(&third.socket, &memfd, soon()).expect("there is room");
    let refusal = third.take();
    assert!(refusal.contains("does not say that a descriptor of this kind"), "{refusal}");
    drop(producer);
    second.child.finish();
    third.child.finish();
}

#[test]
fn what_a_killed_owner_has_given_and_sent_is_there() {
    let folder = Folder::new();
    let place = folder.path().join("offer.sock");
    let place = place.to_str().expect("plain");
    let [mut owner, mut sink] = [(); 2].map(|()| Process::start(&folder));
    sink.tell(&format!("take-from {place}"));
    assert_eq!(owner.ask(&format!("own {place}")), "open");
    assert_eq!(owner.ask("give 0 50"), "given");
    assert_eq!(sink.hear(), "open");
    owner.kill();
    assert_eq!(sink.ask("sum 0 51"), "Disconnected at 50");
    sink.finish();
    // Its place is free for the next one, which makes a ring of its own.
    let [mut owner, mut sink] = [(); 2].map(|()| Process::start(&folder));
    assert_eq!(owner.ask(&format!("own {place}")), "open");
    owner.begin("give 7 9");
    assert_eq!(sink.ask(&format!("take-from {place}")), "open");
    assert_eq!(owner.hear(), "given");
    assert_eq!(sink.ask("sum 7 9"), "ok");
    owner.finish();
    sink.finish();
}

#[test]
fn a_ring_that_was_handed_over_wakes_a_wait_set_and_a_task() {
    let folder = Folder::new();
    let place = folder.path().join("offer.sock");
    let place = place.to_str().expect("plain");
    let memfd = ringshm::spsc::<[u8]>("").capacity(1 << 10).memfd().expect("memory");
    let mut offer = Handover::new(place).offer().expect("nobody offers there");
    let mut sink = Process::start(&folder);
    sink.tell(&format!("feed-from {place}"));
    offer.give_memfd_by(&memfd, Deadline::after(PATIENCE)).expect("it comes");
    assert_eq!(sink.hear(), "open");
    let mut producer = ringshm::spsc::<[u8]>("").producer_of(&memfd).expect("the role is free");
    let ways: &[&str] = if cfg!(feature = "tokio") { &["wait", "await"] } else { &["wait"] };
    for (way, from) in ways.iter().zip([0, 20]) {
        sink.begin(&format!("{way} {from} {}", from + 20));
        for n in from..from + 20 {
            assert!(sink.sleeps());
            producer.send_timeout(&record(n), PATIENCE).expect("somebody receives");
        }
        assert_eq!(sink.hear(), "ok");
    }
    sink.finish();
}

#[test]
fn what_is_handed_over_is_looked_at_before_it_is_used() {
    let (here, there) = UnixStream::pair().expect("sockets");
    let soon = || Deadline::after(PATIENCE);
    let memfd = ringshm::spsc::<u64>("").capacity(16).memfd().expect("memory");
    give_memfd(&here, &memfd, soon()).expect("there is room");
    let taken = take_memfd(&there, soon()).expect("it came");
    let refusal = ringshm::spsc::<u32>("").consumer_of(taken).expect_err("another type");
    assert!(matches!(refusal, OpenError::LayoutMismatch { .. }), "{refusal}");
    // By another way it is a descriptor like any other, for which a description is opened.
    give(&here, &memfd, soon()).expect("there is room");
    let taken = take(&there, soon()).expect("it came");
    let mut consumer = ringshm::spsc::<u64>("").consumer_of(&taken).expect("the role is free");
    let mut producer = ringshm::spsc::<u64>("").producer_of(&taken).expect("the role is free");
    producer.send(5).expect("somebody receives");
    drop(producer);
    assert_eq!((consumer.recv(), consumer.recv()), (Ok(5), Err(RecvError::Disconnected)));
}
