//! Many processes that open, use, leave and remove one ring, and are killed at random: none of them may harm another.

use crate::support::{Carried, Carrier, Parcel, Process, Receives, Ring, Sends, Short, Stop, report, ring_of_parent};
use ringshm::{Directory, OpenError, Peer, Role};

/// What only the children of this file are told.
pub(super) fn command(words: &[&str]) -> Option<String> {
    match *words {
        ["storm", "fixed", seed] => weather::<Parcel>(Carrier::Fixed.small(), seed),
        ["storm", "short", seed] => weather::<Short>(Carrier::Short.small(), seed),
        ["storm", "records", seed] => weather::<[u8]>(Carrier::Records.small(), seed),
        _ => None,
    }
}

/// Numbers by chance, always the same from the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// In a child: takes part in the ring in one role or the other, again and again, until it is killed. The number of a message
/// is that of the messages sent before it, so each consumer knows what must come next.
fn weather<M: Carried + ?Sized>(capacity: u64, seed: &str) -> ! {
    let mut dice = Dice(seed.parse().expect("a number"));
    let name = ring_of_parent();
    loop {
        report("turn");
        let builder = ringshm::spsc::<M>(&name).capacity(capacity);
        match dice.below(16) {
            0 => match ringshm::remove(&Directory::default(), &name, false) {
                Ok(()) | Err(OpenError::NotFound { .. } | OpenError::InUse { .. }) => {}
                Err(error) => panic!("removing: {error}"),
            },
            1..8 => match builder.producer() {
                Ok(producer) => send(M::sends(producer), &mut dice),
                Err(OpenError::RoleTaken { .. }) => {}
                Err(error) => panic!("opening: {error}"),
            },
            _ => match builder.consumer() {
                Ok(consumer) => receive(M::receives(consumer), &mut dice),
                Err(OpenError::RoleTaken { .. }) => {}
                Err(error) => panic!("opening: {error}"),
            },
        }
    }
}

fn send(mut producer: Box<dyn Sends>, dice: &mut Dice) {
    for _ in 0..dice.below(20) {
        match producer.try_send(producer.sent()) {
            Ok(()) | Err(Stop::NotReady | Stop::Disconnected) => {}
            Err(stop) => panic!("sending: {stop:?}"),
        }
    }
    assert_still_there(Role::Producer);
    if dice.below(2) == 0 {
        producer.detach();
    }
}

fn receive(mut consumer: Box<dyn Receives>, dice: &mut Dice) {
    for _ in 0..dice.below(20) {
        let next = consumer.received();
        match consumer.try_recv() {
            Ok(number) => assert_eq!(number, next, "each message once and in order, whoever received those before"),
            Err(Stop::NotReady | Stop::Disconnected) => {}
            Err(stop) => panic!("receiving: {stop:?}"),
        }
    }
    assert_still_there(Role::Consumer);
    if dice.below(2) == 0 {
        consumer.detach();
    }
}

/// As long as this process has its role, the ring keeps its name and everybody sees who has the role.
fn assert_still_there(role: Role) {
    let ring = ringshm::inspect(&Directory::default(), &ring_of_parent());
    let ring = ring.expect("the ring that this process takes part in");
    let own = if role == Role::Producer { ring.producer } else { ring.consumer };
    assert_eq!(own.state, Peer::Live { pid: std::process::id() }, "the {} that looks", role.name());
}

/// Keeps some processes in the storm, kills one of them after each few turns, and replaces it. At the end it kills them all.
fn kill_at_random(ring: &Ring, seed: u64) {
    let mut dice = Dice(seed);
    let mut start = || {
        let mut process = Process::start(&ring.folder);
        process.tell(&format!("storm {} {}", ring.carrier.word(), dice.below(u64::MAX) | 1));
        process
    };
    let mut processes = [(); 3].map(|()| start());
    let mut dice = Dice(seed + 1);
    for _ in 0..100 {
        let victim = &mut processes[dice.below(3) as usize];
        for _ in 0..=dice.below(12) {
            assert_eq!(victim.hear(), "turn");
        }
        victim.kill();
        *victim = start();
    }
}

fn storm(ring: &Ring) {
    std::thread::scope(|scope| {
        for killer in 1..=2 {
            scope.spawn(move || kill_at_random(ring, 0x5eed << killer));
        }
    });
    // What is there now is a ring with or without messages, or no ring, and nothing else. A segment may be half made.
    assert!(ring.is_system_v() || ring.is_found() == ring.is_whole());
    let ((mut consumer, received), (mut producer, sent)) = (ring.join("consumer", ""), ring.join("producer", ""));
    let last = sent + 50;
    producer.begin(&format!("send {sent} {last}"));
    assert_eq!(consumer.ask(&format!("recv {received} {last}")), format!("received {last}"));
    assert_eq!(producer.hear(), format!("sent {last}"));
    producer.finish();
    consumer.finish();
    ring.assert_gone();
}

#[test]
fn a_storm_of_openers_and_killers_leaves_a_ring_of_messages_that_works() {
    storm(&Ring::named(Carrier::Fixed));
}

#[test]
fn a_storm_of_openers_and_killers_leaves_a_ring_of_short_messages_that_works() {
    storm(&Ring::named(Carrier::Short));
}

#[test]
fn a_storm_of_openers_and_killers_leaves_a_ring_of_records_that_works() {
    storm(&Ring::named(Carrier::Records));
}

#[test]
fn a_storm_of_openers_and_killers_leaves_a_ring_in_a_file_that_works() {
    storm(&Ring::in_file(Carrier::Fixed));
}

#[test]
fn a_storm_of_openers_and_killers_leaves_a_ring_in_a_system_v_segment_that_works() {
    storm(&Ring::system_v(Carrier::Fixed));
}
