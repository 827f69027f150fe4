//! Rings whose participants sleep on semaphores: the other side is a program in C (`peer.c`, compiled here with the system's compiler); and
//! what is left when a sleeper is killed. Rings of many: `many.rs`.

#[path = "../support/folder.rs"]
#[allow(dead_code, reason = "every test binary uses its part")]
mod folder;
#[path = "../../../ringshm-sync/tests/semaphores/peer.rs"]
#[allow(dead_code, reason = "what other tests do with their peers")]
mod peer;

mod many;

use folder::Folder;
use peer::{PATIENCE, Peer, report, until};
use ringshm::{Builder, Consumer, OnDeath, OpenError, Producer, RecvTimeoutError, Wait, Wakeup};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

const NAME: &str = "ring";
/// The lane of the consumer in a ring with one of each.
const CONSUMER: usize = 1;

/// What the semaphore of a lane counts, and how many wait for it.
fn semaphore_of(ring: &Path, lane: usize) -> (u32, u32) {
    let mut word = [0; 8];
    let file = File::open(ring).expect("the ring is there");
    file.read_exact_at(&mut word, 8192 + 384 * lane as u64 + 192).expect("it is that long");
    let word = u64::from_ne_bytes(word);
    let (low, high) = (word as u32, (word >> 32) as u32);
    if cfg!(target_endian = "big") { (high, low) } else { (low, high) }
}

/// Not a test: what a child process does. See [`peer`].
#[test]
fn child() {
    let actor = std::cell::RefCell::new(many::Actor::default());
    peer::play(|words| match *words {
        ["receive-and-sleep", path] => {
            let folder = Path::new(path);
            let mut consumer = sleepy(ringshm::spsc::<u64>(NAME).directory(folder)).consumer().expect("a free role");
            report("begin");
            Some(format!("{:?}", consumer.recv()))
        }
        _ => actor.borrow_mut().obey(words),
    });
}

fn sleepy(builder: Builder<u64>) -> Builder<u64> {
    builder.capacity(4).wake_by(Wakeup::Semaphore).wait(Wait::Park).on_death(OnDeath::AwaitSuccessor)
}

struct Ring(Folder);

impl Ring {
    fn new() -> Self {
        Self(Folder::for_leftovers())
    }

    fn named(&self, name: &str) -> Builder<u64> {
        sleepy(self.0.spsc::<u64>(name))
    }

    fn producer(&self) -> Producer<u64> {
        self.named(NAME).producer().expect("a free role")
    }

    fn consumer(&self) -> Consumer<u64> {
        self.named(NAME).consumer().expect("a free role")
    }

    /// A C program in that role.
    fn peer(&self, role: &str) -> Peer {
        let mut peer = Peer::in_c();
        let path = self.0.path_of(NAME);
        assert_eq!(peer.ask(&format!("join 0 {role} {}", path.display())), "ok");
        peer
    }

    /// What the semaphore of a role counts, and how many wait for it.
    fn semaphore(&self, role: usize) -> (u32, u32) {
        semaphore_of(&self.0.path_of(NAME), role)
    }

    fn await_sleeper(&self, role: usize, waiters: u32) {
        until("it sleeps", || self.semaphore(role).1 == waiters);
    }

    fn consumer_is_announced(&self) -> bool {
        ringshm::inspect(&self.0.directory(), NAME).expect("a whole ring").consumer.asleep
    }
}

#[test]
fn a_c_program_sleeps_until_we_send_and_we_sleep_until_it_has_room() {
    let ring = Ring::new();
    let mut producer = ring.producer();
    let mut peer = ring.peer("consumer");
    peer.begin("recv 0 0 3000");
    for number in 0..50 {
        ring.await_sleeper(CONSUMER, 1);
        producer.send_timeout(number, PATIENCE).expect("it is there");
    }
    for number in 50..3000 {
        producer.send_timeout(number, PATIENCE).expect("it goes on receiving");
    }
    assert_eq!(peer.hear(), "received 3000");
    // One that closes is told from one that dies.
    peer.begin("recv 0 3000 3001");
    ring.await_sleeper(CONSUMER, 1);
    producer.send_timeout(3000, PATIENCE).expect("it is there");
    assert_eq!(peer.hear(), "received 3001");
    assert_eq!(peer.ask("leave 0"), "ok");
    assert!(producer.send(3001).is_err());
}

#[test]
fn we_sleep_until_a_c_program_sends_and_it_sleeps_until_there_is_room() {
    let ring = Ring::new();
    let mut consumer = ring.consumer();
    let mut peer = ring.peer("producer");
    peer.begin("send 0 0 3000");
    // It fills the ring, and sleeps.
    ring.await_sleeper(0, 1);
    for number in 0..3000 {
        assert_eq!(consumer.recv_timeout(PATIENCE), Ok(number));
    }
    assert_eq!(peer.hear(), "sent 3000");
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| consumer.recv_timeout(PATIENCE));
        until("it sleeps", || ring.consumer_is_announced());
        peer.begin("send 0 7 8");
        assert_eq!(receiver.join().expect("it does not panic"), Ok(7));
    });
    assert_eq!(peer.hear(), "sent 8");
    assert_eq!(peer.ask("leave 0"), "ok");
    assert_eq!(consumer.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn ten_thousand_times_to_a_c_program_and_back() {
    let ring = Ring::new();
    let mut there = ring.producer();
    let mut back = ring.named("back").consumer().expect("a free role");
    let mut peer = ring.peer("consumer");
    assert_eq!(peer.ask(&format!("join 1 producer {}", ring.0.path_of("back").display())), "ok");
    peer.begin("echo 0 1 10000");
    for number in 0..10_000 {
        there.send_timeout(number, PATIENCE).expect("there is room");
        assert_eq!(back.recv_timeout(PATIENCE), Ok(number));
    }
    assert_eq!(peer.hear(), "ok");
}

#[test]
fn posts_for_killed_sleepers_do_not_pile_up() {
    let ring = Ring::new();
    let mut producer = ring.producer();
    for round in 0..10 {
        let mut sleeper = if round % 2 == 0 {
            let mut peer = ring.peer("consumer");
            peer.begin(&format!("recv 0 {} 1000", 3 * round));
            peer
        } else {
            let mut peer = Peer::in_rust();
            peer.begin(&format!("receive-and-sleep {}", ring.0.path().display()));
            peer
        };
        ring.await_sleeper(CONSUMER, 1);
        until("it is announced", || ring.consumer_is_announced());
        sleeper.kill();
        producer.try_send(3 * round).expect("there is room");
        // One of ours may have died between two parks, when it was not announced.
        let after_first = ring.semaphore(CONSUMER).0;
        assert!(after_first <= 1 && !ring.consumer_is_announced());
        // Nobody sleeps: nobody posts.
        producer.try_send(3 * round + 1).expect("there is room");
        producer.try_send(3 * round + 2).expect("there is room");
        assert_eq!(ring.semaphore(CONSUMER).0, after_first);
        // The successor gets all of it, and begins anew.
        let mut successor = ring.consumer();
        assert_eq!(ring.semaphore(CONSUMER), (0, 0));
        for number in 3 * round..3 * round + 3 {
            assert_eq!(successor.try_recv(), Ok(number));
        }
        successor.detach();
    }
}

#[test]
fn who_asks_for_semaphores_gets_them_or_an_error() {
    let ring = Ring::new();
    let name = "futex";
    let plain = ring.0.spsc::<u64>(name).capacity(4).producer().expect("a free name");
    let asked = ring.named(name).consumer().expect_err("it was made with futexes");
    assert!(matches!(&asked, OpenError::LayoutMismatch { expected, .. } if expected.contains("semaphores")), "{asked}");
    drop(plain);

    // Who does not ask sleeps as the maker chose.
    let mut producer = ring.producer();
    let snapshot = ringshm::inspect(&ring.0.directory(), NAME).expect("a whole ring");
    assert_eq!(snapshot.geometry.wakeup, Wakeup::Semaphore);
    let mut consumer = ring.0.spsc::<u64>(NAME).wait(Wait::Park).consumer().expect("a free role");
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| consumer.recv_timeout(PATIENCE));
        ring.await_sleeper(CONSUMER, 1);
        producer.send_timeout(1, PATIENCE).expect("it is there");
        assert_eq!(receiver.join().expect("it does not panic"), Ok(1));
    });
    assert_eq!(consumer.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
}
