//! Rings of many whose participants sleep on semaphores, among processes that were started with `exec`.
//!
//! A park ends after some milliseconds even if nobody posts, so these tests do not show that no wake-up is lost: the models of
//! `loom-tests/tests/wakeup.rs` do. They show who sleeps on what, and what the dead leave behind.

use crate::folder::Folder;
use crate::peer::{PATIENCE, Peer, report, until};
use crate::semaphore_of;
use ringshm::{Builder, Message, OnDeath, OpenError, Role, Snapshot, Wait, Wakeup, broadcast, latest, mpmc};
use std::path::{Path, PathBuf};

/// The rings of many, by name; each name begins with it.
const KINDS: [&str; 5] = ["jobs", "bytes", "feed", "lines", "status"];

/// What a child is told to do.
///
/// | command | report |
/// |---|---|
/// | `sender NAME FOLDER`, `receiver NAME FOLDER` | `open`: takes a role in a ring of the kind that the name begins with |
/// | `visitor NAME FOLDER` | `open`: reads it without a lane |
/// | `send N` | `sent` |
/// | `recv` | `begin`, then the number received, or why none was |
/// | `call COUNT`, `echo COUNT` | `begin`, then `done`: sends a number and waits for it; waits for one and sends it back |
#[derive(Default)]
pub(crate) struct Actor {
    sender: Option<Box<dyn FnMut(u64) + Send>>,
    receiver: Option<Box<dyn FnMut() -> Result<u64, String> + Send>>,
}

fn sleepy<M: Message + ?Sized>(builder: Builder<M>, folder: &Path) -> Builder<M> {
    builder.directory(folder).wake_by(Wakeup::Semaphore).wait(Wait::Park).on_death(OnDeath::AwaitSuccessor)
}

fn jobs(name: &str, folder: &Path) -> Builder<mpmc::Mpmc<u64>> {
    sleepy(ringshm::mpmc(name), folder).capacity(2).producers(4).consumers(4)
}

fn bytes(name: &str, folder: &Path) -> Builder<mpmc::Mpmc<[u8]>> {
    sleepy(ringshm::mpmc(name), folder).capacity(2).producers(4).consumers(4)
}

fn feed(name: &str, folder: &Path) -> Builder<broadcast::Broadcast<u64>> {
    sleepy(ringshm::broadcast(name), folder).capacity(2)
}

fn lines(name: &str, folder: &Path) -> Builder<broadcast::Broadcast<[u8]>> {
    sleepy(ringshm::broadcast(name), folder).capacity(64)
}

fn status(name: &str, folder: &Path) -> Builder<latest::Latest<u64>> {
    sleepy(ringshm::latest(name), folder)
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().expect("a number"))
}

fn said<T>(result: Result<T, impl std::fmt::Debug>) -> Result<T, String> {
    result.map_err(|error| format!("{error:?}"))
}

fn sender(name: &str, folder: &Path) -> Box<dyn FnMut(u64) + Send> {
    let kind = KINDS.into_iter().find(|kind| name.starts_with(kind));
    match kind.expect("a kind") {
        "jobs" => {
            let mut producer = jobs(name, folder).producer().expect("a ring");
            Box::new(move |number| producer.send(number).expect("room"))
        }
        "bytes" => {
            let mut producer = bytes(name, folder).producer().expect("a ring");
            Box::new(move |number| producer.send(&number.to_ne_bytes()).expect("room"))
        }
        "feed" => {
            let mut producer = feed(name, folder).producer().expect("a ring");
            Box::new(move |number| producer.send(number).expect("room"))
        }
        "lines" => {
            let mut producer = lines(name, folder).producer().expect("a ring");
            Box::new(move |number| producer.send(&number.to_ne_bytes()).expect("room"))
        }
        _ => {
            let mut writer = status(name, folder).producer().expect("a ring");
            Box::new(move |number| writer.write(number).expect("not forked"))
        }
    }
}

fn receiver(name: &str, folder: &Path, has_lane: bool) -> Box<dyn FnMut() -> Result<u64, String> + Send> {
    let kind = KINDS.into_iter().find(|kind| name.starts_with(kind));
    match (kind.expect("a kind"), has_lane) {
        ("jobs", _) => {
            let mut consumer = jobs(name, folder).consumer().expect("a ring");
            Box::new(move || said(consumer.recv()))
        }
        ("bytes", _) => {
            let mut consumer = bytes(name, folder).consumer().expect("a ring");
            Box::new(move || said(consumer.recv_ref().map(|message| number(&message))))
        }
        ("feed", true) => {
            let mut consumer = feed(name, folder).consumer().expect("a ring");
            Box::new(move || said(consumer.recv()))
        }
        ("feed", false) => {
            let mut reader = feed(name, folder).reader().expect("a ring");
            Box::new(move || said(reader.recv()))
        }
        ("lines", _) => {
            let mut consumer = lines(name, folder).consumer().expect("a ring");
            let mut record = Vec::new();
            Box::new(move || said(consumer.recv(&mut record).map(|_| ())).map(|()| number(&record)))
        }
        (_, has_lane) => {
            let builder = status(name, folder);
            let mut reader = if has_lane { builder.consumer() } else { builder.reader() }.expect("a ring");
            Box::new(move || reader.next_change().ok_or_else(|| "over".to_owned()))
        }
    }
}

impl Actor {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        Some(match *words {
            ["sender", name, folder] => {
                self.sender = Some(sender(name, Path::new(folder)));
                "open".to_owned()
            }
            ["receiver" | "visitor", name, folder] => {
                self.receiver = Some(receiver(name, Path::new(folder), words[0] == "receiver"));
                "open".to_owned()
            }
            ["send", number] => {
                self.send(number.parse().expect("a number"));
                "sent".to_owned()
            }
            ["recv"] => {
                report("begin");
                self.recv().map_or_else(|error| error, |number| number.to_string())
            }
            ["call" | "echo", count] => {
                report("begin");
                for number in 0..count.parse().expect("a number") {
                    if words[0] == "call" {
                        self.send(number);
                    }
                    assert_eq!(self.recv(), Ok(number));
                    if words[0] == "echo" {
                        self.send(number);
                    }
                }
                "done".to_owned()
            }
            _ => return None,
        })
    }

    fn send(&mut self, number: u64) {
        self.sender.as_mut().expect("a sender")(number);
    }

    fn recv(&mut self) -> Result<u64, String> {
        self.receiver.as_mut().expect("a receiver")()
    }
}

struct Ring {
    folder: Folder,
    name: &'static str,
}

impl Ring {
    fn new(name: &'static str) -> Self {
        Self { folder: Folder::for_leftovers(), name }
    }

    fn join(&self, mut peer: Peer, role: &str) -> Peer {
        assert_eq!(peer.ask(&format!("{role} {} {}", self.name, self.folder.path().display())), "open");
        peer
    }

    /// Another process in that role.
    fn peer(&self, role: &str) -> Peer {
        self.join(Peer::in_rust(), role)
    }

    fn path(&self) -> PathBuf {
        self.folder.path_of(self.name)
    }

    fn snapshot(&self) -> Snapshot {
        ringshm::inspect(&self.folder.directory(), self.name).expect("a whole ring")
    }

    /// The lane of a role's participant number `index`.
    fn lane(&self, role: Role, index: usize) -> usize {
        self.snapshot().participants_of(role).nth(index).expect("it has joined").lane
    }

    fn consumer(&self, index: usize) -> usize {
        self.lane(Role::Consumer, index)
    }

    fn semaphore(&self, lane: usize) -> (u32, u32) {
        semaphore_of(&self.path(), lane)
    }

    /// Waits until the owner of a lane sleeps on its semaphore, announced.
    fn await_sleeper(&self, lane: usize) {
        until("it sleeps", || self.semaphore(lane).1 == 1 && self.is_announced(lane));
    }

    fn is_announced(&self, lane: usize) -> bool {
        self.snapshot().participants.iter().any(|one| one.lane == lane && one.asleep)
    }
}

#[test]
fn receivers_of_all_kinds_sleep_on_the_semaphores_of_their_lanes() {
    for name in KINDS {
        let ring = Ring::new(name);
        let (mut receiver, mut sender) = (ring.peer("receiver"), ring.peer("sender"));
        let lane = ring.consumer(0);
        for number in 1..=50 {
            receiver.begin("recv");
            ring.await_sleeper(lane);
            assert_eq!(sender.ask(&format!("send {number}")), "sent");
            assert_eq!(receiver.hear(), number.to_string(), "{name}");
        }
        assert_eq!(ring.semaphore(lane).1, 0, "{name}: who is awake does not wait");
    }
}

#[test]
fn senders_that_wait_for_room_sleep_on_the_semaphores_of_their_lanes() {
    for name in ["jobs", "bytes", "feed", "lines"] {
        let ring = Ring::new(name);
        let (mut receiver, mut sender) = (ring.peer("receiver"), ring.peer("sender"));
        let lane = ring.lane(Role::Producer, 0);
        let mut sent = 0;
        // Until it does not come back.
        loop {
            sender.tell(&format!("send {sent}"));
            sent += 1;
            until("it has sent, or sleeps", || {
                ring.semaphore(lane).1 == 1 || ring.snapshot().producer.messages == Some(sent)
            });
            if ring.snapshot().producer.messages != Some(sent) {
                break;
            }
            assert_eq!(sender.hear(), "sent");
        }
        ring.await_sleeper(lane);
        receiver.begin("recv");
        assert_eq!(receiver.hear(), "0", "{name}");
        assert_eq!(sender.hear(), "sent", "{name}");
    }
}

#[test]
fn two_thousand_times_there_and_back_by_semaphores() {
    for name in ["jobs", "feed"] {
        let back = if name == "jobs" { "jobs-back" } else { "feed-back" };
        let there = Ring::new(name);
        let folder = there.folder.path().display();
        let (mut caller, mut echo) = (there.peer("sender"), there.peer("receiver"));
        assert_eq!(echo.ask(&format!("sender {back} {folder}")), "open");
        assert_eq!(caller.ask(&format!("receiver {back} {folder}")), "open");
        echo.begin("echo 2000");
        caller.begin("call 2000");
        assert_eq!((caller.hear(), echo.hear()), ("done".to_owned(), "done".to_owned()));
    }
}

#[test]
fn a_killed_sleeper_costs_one_post_and_the_others_are_woken() {
    for name in KINDS {
        let ring = Ring::new(name);
        let (mut dead, mut live) = (ring.peer("receiver"), ring.peer("receiver"));
        let mut sender = ring.peer("sender");
        let lanes = [ring.consumer(0), ring.consumer(1)];
        dead.begin("recv");
        ring.await_sleeper(lanes[0]);
        dead.kill();
        // It may have died between two parks, when it was not announced.
        let was_announced = ring.is_announced(lanes[0]);
        live.begin("recv");
        ring.await_sleeper(lanes[1]);
        assert_eq!(sender.ask("send 1"), "sent");
        assert_eq!(live.hear(), "1", "{name}");
        // Of an MPMC ring the live one may be found first: then the dead one is rung for later.
        let posted = ring.semaphore(lanes[0]).0;
        assert!(posted <= u32::from(was_announced), "{name}: posts for the dead pile up");
        for number in 2..5 {
            live.begin("recv");
            ring.await_sleeper(lanes[1]);
            assert_eq!(sender.ask(&format!("send {number}")), "sent");
            assert_eq!(live.hear(), number.to_string(), "{name}");
        }
        assert!(ring.semaphore(lanes[0]).0 <= 1 && !ring.is_announced(lanes[0]), "{name}");
        // Who comes in its place begins anew.
        let _successor = ring.peer("receiver");
        assert_eq!(ring.semaphore(lanes[0]), (0, 0), "{name}");
    }
}

#[cfg(feature = "crash-points")]
#[test]
fn a_waker_killed_between_counting_and_waking_delays_its_message_by_one_park() {
    for name in KINDS {
        for point in ["doorbell.answered", "semaphore.counted"] {
            let ring = Ring::new(name);
            let mut receiver = ring.peer("receiver");
            let dying = Peer::in_rust_with(|command| _ = command.env("RINGSHM_CRASH_AT", point));
            let mut sender = ring.join(dying, "sender");
            let lane = ring.consumer(0);
            receiver.begin("recv");
            ring.await_sleeper(lane);
            // It may ring in the moment between two parks, when nobody is announced.
            let mut number = 1;
            sender.tell("send 1");
            while sender.hear_or_end().is_some() {
                assert_eq!(receiver.hear(), number.to_string());
                receiver.begin("recv");
                ring.await_sleeper(lane);
                number += 1;
                sender.tell(&format!("send {number}"));
            }
            assert_eq!(sender.end(), Some(9), "{name}");
            assert_eq!(receiver.hear(), number.to_string(), "{name}, {point}");
        }
    }
}

#[test]
fn readers_without_a_lane_are_woken_by_a_futex_beside_those_that_have_one() {
    for name in ["feed", "status"] {
        let ring = Ring::new(name);
        let mut sender = ring.peer("sender");
        let (mut receiver, mut visitor) = (ring.peer("receiver"), ring.peer("visitor"));
        for number in 1..=20 {
            visitor.begin("recv");
            receiver.begin("recv");
            ring.await_sleeper(ring.consumer(0));
            assert_eq!(sender.ask(&format!("send {number}")), "sent");
            assert_eq!((receiver.hear(), visitor.hear()), (number.to_string(), number.to_string()), "{name}");
        }
    }
}

#[test]
fn who_asks_a_ring_of_many_for_semaphores_gets_them_or_an_error() {
    let folder = Folder::for_leftovers();
    let path = folder.path();
    let plain = [
        ringshm::mpmc::<u64>("jobs").directory(path).capacity(2).producer().map(drop),
        ringshm::broadcast::<u64>("feed").directory(path).capacity(2).producer().map(drop),
        ringshm::latest::<u64>("status").directory(path).producer().map(drop),
    ];
    assert!(plain.iter().all(Result::is_ok), "{plain:?}");
    let asked = [
        jobs("jobs", path).consumer().map(drop),
        feed("feed", path).consumer().map(drop),
        feed("feed", path).reader().map(drop),
        status("status", path).reader().map(drop),
    ];
    for refused in asked {
        let Err(OpenError::LayoutMismatch { expected, .. }) = &refused else { panic!("{refused:?}") };
        assert!(expected.contains("woken by semaphores"), "{expected}");
    }
    // Who does not ask sleeps as the maker chose.
    let ring = Ring { folder, name: "bytes" };
    let mut sender = ring.peer("sender");
    assert_eq!(ring.snapshot().geometry.wakeup, Wakeup::Semaphore);
    let consumer = ringshm::mpmc::<[u8]>("bytes").directory(ring.folder.path()).wait(Wait::Park).consumer();
    let mut consumer = consumer.expect("a free lane");
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| consumer.recv_ref_timeout(PATIENCE).map(|message| number(&message)));
        ring.await_sleeper(ring.consumer(0));
        assert_eq!(sender.ask("send 7"), "sent");
        assert_eq!(receiver.join().expect("it does not panic"), Ok(7));
    });
}
