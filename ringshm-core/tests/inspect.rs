//! Looking at rings of every kind from outside: what is seen of an honest one, and that nonsense in it does no harm.
#![cfg(not(loom))]

#[path = "support/folder.rs"]
mod folder;

use folder::Folder;
use ringshm_core::broadcast::Broadcast;
use ringshm_core::collect::{Sweep, Verdict, collect};
use ringshm_core::inspect::{Claim, Snapshot, inspect};
use ringshm_core::latest::Latest;
use ringshm_core::message::{Message, Wishes};
use ringshm_core::mpmc::Mpmc;
use ringshm_core::open::Options;
use ringshm_core::os::{Directory, Name};
use ringshm_core::{Peer, Role};
use std::path::PathBuf;

const HEADER: usize = 512;

struct Bed {
    folder: Folder,
    name: Name,
}

impl Bed {
    fn new() -> Self {
        Self { folder: Folder::new(), name: Name::new("ring").expect("a good name") }
    }

    fn directory(&self) -> Directory {
        Directory::new(self.folder.path())
    }

    fn path(&self) -> PathBuf {
        self.directory().path_of(&self.name)
    }

    fn options(&self) -> Options {
        let wishes = Wishes { capacity: Some(8), producers: 3, consumers: 3, ..Wishes::default() };
        Options { wishes, directory: self.directory(), ..Options::default() }
    }

    fn producer<M: Message + ?Sized>(&self) -> M::Producer {
        self.options().producer::<M>(&self.name).expect("a free role")
    }

    fn consumer<M: Message + ?Sized>(&self) -> M::Consumer {
        self.options().consumer::<M>(&self.name).expect("a free role")
    }

    fn look(&self) -> Snapshot {
        inspect(&self.directory(), &self.name).expect("a good ring")
    }
}

#[test]
fn what_mpmc_participants_hold_is_seen_until_they_let_it_go() {
    let bed = Bed::new();
    let mut producers = [bed.producer::<Mpmc<u64>>(), bed.producer::<Mpmc<u64>>()];
    let mut consumers = [bed.consumer::<Mpmc<u64>>(), bed.consumer::<Mpmc<u64>>()];
    for number in 0..6 {
        producers[number as usize % 2].try_send(number).expect("room");
    }
    let held = consumers[1].try_recv_ref().expect("a message");
    let ring = bed.look();
    assert_eq!(
        (ring.queued(), ring.used(), ring.producer.messages, ring.consumer.messages),
        (Some(5), 6, Some(6), Some(0))
    );
    let claims: Vec<_> =
        ring.participants.iter().map(|lane| (lane.role, lane.lane, lane.messages, lane.claim)).collect();
    let claim = Some(Claim { first: 0, count: 1 });
    let expected = [
        (Role::Producer, 0, Some(3), None),
        (Role::Producer, 1, Some(3), None),
        (Role::Consumer, 3, Some(0), None),
        (Role::Consumer, 4, Some(0), claim),
    ];
    assert_eq!(claims, expected);
    drop(held);
    let ring = bed.look();
    assert_eq!((ring.queued(), ring.used(), ring.consumer.messages), (Some(5), 5, Some(1)));
    assert!(ring.participants.iter().all(|lane| lane.claim.is_none()));
}

#[test]
fn a_broadcast_ring_is_as_full_as_its_last_reader_is_behind() {
    let bed = Bed::new();
    let mut producer = bed.producer::<Broadcast<u64>>();
    let mut consumers = [bed.consumer::<Broadcast<u64>>(), bed.consumer::<Broadcast<u64>>()];
    for number in 0..5 {
        producer.try_send(number).expect("room");
    }
    for _ in 0..4 {
        consumers[0].try_recv().expect("a message");
    }
    consumers[1].try_recv().expect("a message");
    let ring = bed.look();
    assert_eq!((ring.queued(), ring.used(), ring.consumer.units), (Some(4), 4, 1));
    let lags: Vec<_> = ring.participants_of(Role::Consumer).map(|lane| lane.lag.map(|lag| lag.units)).collect();
    assert_eq!(lags, [Some(1), Some(4)]);
    let [_, last] = consumers;
    drop(last);
    let ring = bed.look();
    assert_eq!((ring.queued(), ring.used()), (Some(1), 1));
    assert_eq!(ring.participants_of(Role::Consumer).map(|lane| lane.state).last(), Some(Peer::Closed));
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Makes a ring, then writes nonsense into everything but its header, and looks at it.
fn survives<M: Message + ?Sized>(send: impl Fn(&mut M::Producer)) {
    let bed = Bed::new();
    let mut producer = bed.producer::<M>();
    let consumer = bed.consumer::<M>();
    send(&mut producer);
    let image = std::fs::read(bed.path()).expect("its file");
    drop((producer, consumer));
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..2000 {
        let mut image = image.clone();
        for _ in 0..1 + round % 40 {
            let at = HEADER + dice.roll() as usize % (image.len() - HEADER - 8);
            // Where the words are, and anywhere.
            let at = if round % 2 == 0 { 8192 + at % (6 * 384) } else { at } / 8 * 8;
            let word = match dice.roll() % 4 {
                0 => dice.roll(),
                1 => u64::MAX - dice.roll() % 16,
                2 => dice.roll() % 64,
                _ => 1 << (dice.roll() % 64),
            };
            image[at..at + 8].copy_from_slice(&word.to_ne_bytes());
        }
        std::fs::write(bed.path(), &image).expect("room for an image");
        let ring = bed.look();
        assert!(ring.used() <= ring.geometry.capacity, "{ring:?}");
        assert!(ring.participants.len() <= ring.geometry.lanes());
        let _ = ring.queued();
        for lane in &ring.participants {
            assert!(lane.lag.is_none_or(|lag| lag.units <= ring.geometry.capacity), "{lane:?}");
            assert!(lane.claim.is_none_or(|claim| claim.count <= ring.geometry.capacity), "{lane:?}");
        }
        // Nobody holds a lock of this file, so nobody takes part.
        let verdict = collect(&bed.directory(), &bed.name, Sweep::Nothing).expect("a judgement");
        assert!(!matches!(verdict, Verdict::InUse { .. }), "{verdict:?}");
    }
}

#[test]
fn nonsense_in_a_ring_of_any_kind_is_looked_at_without_harm() {
    survives::<u64>(|producer| producer.try_send(1).expect("room"));
    survives::<[u8]>(|producer| producer.try_send(b"one").expect("room"));
    survives::<Mpmc<u64>>(|producer| producer.try_send(1).expect("room"));
    survives::<Mpmc<[u8]>>(|producer| producer.try_send(b"one").expect("room"));
    survives::<Broadcast<u64>>(|producer| producer.try_send(1).expect("room"));
    survives::<Broadcast<[u8]>>(|producer| producer.try_send(b"one").expect("room"));
    survives::<Latest<u64>>(|producer| producer.write(1).expect("not forked"));
}
