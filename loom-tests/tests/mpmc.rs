//! The MPMC ring: each edge, death at every step, and recoverers that die too.
#![cfg(loom)]

use loom::thread;
use loom_tests::{
    PARKING, SPINNING, explore, explore_unfenced, explore_unfenced_with, explore_with, live_for, live_until,
};
use ringshm_core::error::{TryRecvError, TrySendError};
use ringshm_core::layout::Geometry;
use ringshm_core::memory::Memory;
use ringshm_core::message::{Message, Wishes, consumer_in, producer_in};
use ringshm_core::mpmc::{Consumer, Mpmc, Producer};
use ringshm_core::wait::Wait;
use ringshm_core::{Behaviour, OnDeath, Role};
use ringshm_sync::atomic::Ordering::Relaxed;
use std::mem::ManuallyDrop;
use std::sync::Arc;

type Ring = Mpmc<u64>;

/// More than enough accesses for a consumer that parks at once to announce its sleep.
const STEPS_TO_SLEEP: usize = 24;

/// Participants that wait for successors, so that a death by itself ends nothing.
const AWAITING: Behaviour = Behaviour::new(Wait::Spin, OnDeath::AwaitSuccessor);

fn ring(capacity: u64) -> Arc<Memory> {
    ring_of(Wishes { capacity: Some(capacity), producers: 2, consumers: 2, ..Wishes::default() })
}

fn ring_of(wishes: Wishes) -> Arc<Memory> {
    let geometry: Geometry = Ring::geometry(&wishes).expect("a small ring");
    Memory::on_heap(geometry)
}

fn producer(ring: &Arc<Memory>) -> Producer<u64> {
    producer_in::<Ring>(ring, SPINNING).unwrap()
}

fn consumer(ring: &Arc<Memory>) -> Consumer<u64> {
    consumer_in::<Ring>(ring, SPINNING).unwrap()
}

/// Tries until the message is sent.
fn send(producer: &mut Producer<u64>, message: u64) {
    loop {
        match producer.try_send(message) {
            Ok(()) => return,
            Err(TrySendError::Full(_) | TrySendError::Stalled(..)) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Tries until there is a message.
fn recv(consumer: &mut Consumer<u64>) -> u64 {
    loop {
        match consumer.try_recv() {
            Ok(message) => return message,
            Err(TryRecvError::Empty | TryRecvError::Stalled(_)) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What the kernel does when a process is gone.
fn bury(ring: &Memory, lane: usize) {
    ring.drop_lock_of_killed(lane);
}

#[test]
fn publish_carries_the_message_through_its_slot() {
    explore_unfenced(|| {
        let ring = ring(2);
        let (mut producer, mut consumer) = (producer(&ring), consumer(&ring));
        let sender = thread::spawn(move || {
            send(&mut producer, 7);
            producer.detach();
        });
        assert_eq!(recv(&mut consumer), 7);
        sender.join().unwrap();
    });
}

#[test]
fn release_carries_the_slot_back_to_the_next_producer() {
    explore_unfenced_with(2, || {
        let ring = ring(1);
        let (mut producer, mut consumer) = (producer(&ring), consumer(&ring));
        producer.try_send(1).unwrap();
        let sender = thread::spawn(move || {
            send(&mut producer, 2);
            producer.detach();
        });
        assert_eq!(recv(&mut consumer), 1);
        assert_eq!(recv(&mut consumer), 2);
        sender.join().unwrap();
    });
}

#[test]
fn two_producers_claim_different_slots() {
    explore_with(2, || {
        let ring = ring(2);
        let (mut first, mut second, mut consumer) = (producer(&ring), producer(&ring), consumer(&ring));
        let sender = thread::spawn(move || {
            send(&mut first, 1);
            first.detach();
        });
        send(&mut second, 2);
        let mut received = [recv(&mut consumer), recv(&mut consumer)];
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        sender.join().unwrap();
    });
}

#[test]
fn two_consumers_never_receive_the_same_message() {
    explore_with(2, || {
        let ring = ring(2);
        let (mut producer, mut first, mut second) = (producer(&ring), consumer(&ring), consumer(&ring));
        assert_eq!(producer.try_send_slice(&[1, 2]).unwrap(), 2);
        let receiver = thread::spawn(move || {
            let message = recv(&mut first);
            first.detach();
            message
        });
        let mut received = [recv(&mut second), receiver.join().unwrap()];
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
    });
}

#[test]
fn a_batch_is_claimed_as_one() {
    explore_with(2, || {
        let ring = ring(4);
        let (mut first, mut second, mut consumer) = (producer(&ring), producer(&ring), consumer(&ring));
        let sender = thread::spawn(move || {
            assert_eq!(first.try_send_slice(&[1, 2]).unwrap(), 2);
            first.detach();
        });
        assert_eq!(second.try_send_slice(&[3, 4]).unwrap(), 2);
        sender.join().unwrap();
        let mut received = [0; 4];
        assert_eq!(consumer.try_recv_slice(&mut received).unwrap(), 4);
        assert!(received == [1, 2, 3, 4] || received == [3, 4, 1, 2], "{received:?}");
    });
}

#[test]
fn the_last_producer_closes_after_everything_that_was_sent() {
    explore_unfenced(|| {
        let ring = ring(2);
        let (mut producer, mut consumer) = (producer(&ring), consumer(&ring));
        let sender = thread::spawn(move || send(&mut producer, 7));
        let mut received = Vec::new();
        loop {
            match consumer.try_recv() {
                Ok(message) => received.push(message),
                Err(TryRecvError::Empty | TryRecvError::Stalled(_)) => thread::yield_now(),
                Err(end) => break assert_eq!(end, TryRecvError::Disconnected),
            }
        }
        assert_eq!(received, [7]);
        sender.join().unwrap();
    });
}

#[test]
fn a_sleeping_consumer_is_woken_by_a_message() {
    explore_with(2, || {
        let ring = ring(1);
        let mut producer = producer_in::<Ring>(&ring, PARKING).unwrap();
        let mut consumer = consumer_in::<Ring>(&ring, PARKING).unwrap();
        let sender = thread::spawn(move || {
            producer.try_send(1).unwrap();
            producer.detach();
        });
        assert_eq!(consumer.recv(), Ok(1));
        sender.join().unwrap();
    });
}

#[test]
fn a_sleeping_producer_is_woken_by_a_release() {
    explore_with(2, || {
        let ring = ring(1);
        let mut producer = producer_in::<Ring>(&ring, PARKING).unwrap();
        let mut consumer = consumer_in::<Ring>(&ring, PARKING).unwrap();
        producer.try_send(1).unwrap();
        let receiver = thread::spawn(move || {
            assert_eq!(consumer.try_recv(), Ok(1));
            consumer.detach();
        });
        producer.send(2).unwrap();
        receiver.join().unwrap();
    });
}

#[test]
fn a_message_wakes_a_live_sleeper_and_not_only_a_dead_one() {
    explore_with(2, || {
        let ring = ring(1);
        let mut producer = producer_in::<Ring>(&ring, PARKING).unwrap();
        let mut dead = ManuallyDrop::new(consumer_in::<Ring>(&ring, PARKING).unwrap());
        let lane = dead.lane();
        // Dies in its sleep, or so soon before that its announcement is there.
        assert!(live_for(STEPS_TO_SLEEP, || dead.recv()).is_none());
        assert_ne!(ring.control().sleeping_consumers.bits(), 0, "not asleep yet");
        bury(&ring, lane);
        let mut consumer = consumer_in::<Ring>(&ring, PARKING).unwrap();
        let receiver = thread::spawn(move || {
            let message = consumer.recv();
            consumer.detach();
            message
        });
        producer.send(1).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(1));
    });
}

/// A producer that sends 1, 2, … and dies after `steps` accesses; its result: how many calls returned, and whether it died.
fn doomed_producer(ring: &Arc<Memory>, count: u64, steps: usize) -> thread::JoinHandle<(u64, bool)> {
    let mut producer = ManuallyDrop::new(producer(ring));
    let lane = producer.lane();
    let ring = Arc::clone(ring);
    thread::spawn(move || {
        let mut returned = 0;
        let died = live_for(steps, || {
            for message in 1..=count {
                send(&mut producer, message);
                returned = message;
            }
        })
        .is_none();
        bury(&ring, lane);
        (returned, died)
    })
}

/// Receives until nothing more can come. Nobody alive may hold it up then.
fn recv_all(consumer: &mut Consumer<u64>) -> Vec<(u64, bool)> {
    let mut received = Vec::new();
    loop {
        match consumer.try_recv() {
            Ok(message) => received.push((message, consumer.redelivered())),
            Err(TryRecvError::Empty | TryRecvError::Stalled(_)) => thread::yield_now(),
            Err(end) => {
                assert_eq!(end, TryRecvError::Disconnected);
                return received;
            }
        }
    }
}

/// As [`loom_tests::die_at_every_step`], without fences in ringers that would hide a missing edge.
fn die_unfenced(preemptions: usize, model: fn(usize) -> bool) {
    loom_tests::die_at_every_step_unfenced(preemptions, model);
}

#[test]
fn a_producer_killed_at_any_step_is_stepped_over() {
    die_unfenced(1, |steps| {
        let ring = ring(1);
        let mut consumer = consumer(&ring);
        let doomed = doomed_producer(&ring, 2, steps);
        let received = recv_all(&mut consumer);
        let (returned, died) = doomed.join().unwrap();
        let expected: Vec<_> = (1..=received.len() as u64).map(|message| (message, false)).collect();
        assert_eq!(received, expected, "out of order, torn, or twice");
        let received = received.len() as u64;
        assert!(received == returned || (died && received == returned + 1), "{received} of {returned} received");
        died
    });
}

#[test]
fn a_producer_killed_at_any_step_holds_up_no_other_producer() {
    die_unfenced(2, |steps| {
        let ring = ring(2);
        let (mut survivor, mut consumer) = (producer(&ring), consumer(&ring));
        let doomed = doomed_producer(&ring, 1, steps);
        send(&mut survivor, 10);
        let first = recv(&mut consumer);
        let (returned, died) = doomed.join().unwrap();
        survivor.detach();
        let second = consumer.try_recv().ok();
        match (first, second) {
            (10, None) => assert!(died && returned == 0, "a committed message is lost"),
            (10, Some(1)) | (1, Some(10)) => {}
            other => panic!("{other:?}"),
        }
        assert!(second.is_some() || died);
        died
    });
}

#[test]
fn a_consumer_killed_at_any_step_leaves_its_message_to_another() {
    die_unfenced(1, |steps| {
        let ring = ring(2);
        let (mut producer, mut survivor) = (producer(&ring), consumer(&ring));
        let mut consumer = ManuallyDrop::new(consumer(&ring));
        let lane = consumer.lane();
        assert_eq!(producer.try_send_slice(&[1, 2]).unwrap(), 2);
        drop(producer);
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let mut received = None;
                let died = live_for(steps, || received = consumer.try_recv().ok()).is_none();
                bury(&ring, lane);
                (received, died)
            }
        });
        let received = recv_all(&mut survivor);
        let (other, died) = doomed.join().unwrap();
        let mut seen: Vec<u64> = received.iter().map(|(message, _)| *message).chain(other).collect();
        seen.sort_unstable();
        // The survivor may have been told that all is over while the doomed one still held a message: then that one is in the ring.
        let mut heir = self::consumer(&ring);
        seen.extend(recv_all(&mut heir).iter().map(|(message, _)| *message));
        seen.sort_unstable();
        let released_unseen = died && other.is_none() && seen.len() == 1;
        assert!(seen == [1, 2] || (released_unseen && (seen == [1] || seen == [2])), "{seen:?} after {steps} steps");
        died
    });
}

#[test]
fn a_consumer_that_takes_over_and_dies_leaves_the_message_to_the_next() {
    die_unfenced(1, |steps| {
        let ring = ring_of(Wishes { capacity: Some(2), producers: 1, consumers: 3, ..Wishes::default() });
        let (mut producer, mut survivor) = (producer(&ring), consumer(&ring));
        let mut recoverer = ManuallyDrop::new(consumer(&ring));
        let lane = recoverer.lane();
        {
            // Dead with the message in its hands.
            let mut dead = ManuallyDrop::new(consumer(&ring));
            producer.try_send(1).unwrap();
            dead.try_recv_ref().unwrap().keep();
            bury(&ring, dead.lane());
        }
        drop(producer);
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let mut received = None;
                let died = live_for(steps, || received = recoverer.try_recv().ok()).is_none();
                bury(&ring, lane);
                (received, died)
            }
        });
        let survived = recv_all(&mut survivor);
        let (recovered, died) = doomed.join().unwrap();
        let left = recv_all(&mut consumer(&ring));
        let seen = survived.len() + left.len() + usize::from(recovered.is_some());
        assert!(seen == 1 || (died && recovered.is_none() && seen == 0), "{survived:?} {recovered:?} {left:?}");
        assert!(survived.iter().chain(&left).all(|received| *received == (1, true)), "not flagged");
        died
    });
}

#[test]
fn a_successor_in_the_lane_of_a_dead_consumer_gets_what_it_held() {
    explore_unfenced(|| {
        let ring = ring_of(Wishes { capacity: Some(2), producers: 1, consumers: 1, ..Wishes::default() });
        let mut producer = producer(&ring);
        let mut dead = ManuallyDrop::new(consumer(&ring));
        producer.try_send_slice(&[1, 2]).unwrap();
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                dead.try_recv_ref().unwrap().keep();
                bury(&ring, dead.lane());
            }
        });
        let mut successor = loop {
            match consumer_in::<Ring>(&ring, SPINNING) {
                Ok(consumer) => break consumer,
                Err(_) => thread::yield_now(),
            }
        };
        assert_eq!((recv(&mut successor), successor.redelivered()), (1, true));
        assert_eq!((recv(&mut successor), successor.redelivered()), (2, false));
        doomed.join().unwrap();
    });
}

#[test]
fn a_successor_in_the_lane_of_a_dead_producer_buries_what_it_claimed() {
    die_unfenced(2, |steps| {
        let ring = ring_of(Wishes { capacity: Some(1), producers: 1, consumers: 1, ..Wishes::default() });
        let mut consumer = consumer_in::<Ring>(&ring, AWAITING).unwrap();
        let doomed = doomed_producer(&ring, 1, steps);
        let mut successor = loop {
            match producer_in::<Ring>(&ring, AWAITING) {
                Ok(producer) => break producer,
                Err(_) => thread::yield_now(),
            }
        };
        let (_, died) = doomed.join().unwrap();
        let first = match successor.try_send(10) {
            Ok(()) => recv(&mut consumer),
            Err(TrySendError::Full(_)) => {
                let first = recv(&mut consumer);
                assert_eq!(first, 1);
                send(&mut successor, 10);
                recv(&mut consumer)
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(first, 10);
        died
    });
}

#[test]
fn two_survivors_of_a_dead_producer_do_not_hurt_each_other() {
    explore_with(1, || {
        let ring = ring(1);
        let (mut survivor, mut consumer) = (producer(&ring), consumer(&ring));
        {
            // Claims, and dies before it publishes.
            let mut dead = ManuallyDrop::new(producer(&ring));
            let lane = dead.lane();
            assert!(live_until("mpmc.send_claimed", || dead.try_send(1)).is_none());
            assert_eq!(ring.control().tail.load(Relaxed), 1, "not claimed yet");
            bury(&ring, lane);
        }
        let sender = thread::spawn(move || {
            send(&mut survivor, 10);
            survivor.detach();
        });
        assert_eq!(recv(&mut consumer), 10);
        sender.join().unwrap();
    });
}

#[test]
fn who_leaves_the_asking_to_others_goes_on_when_they_have_asked() {
    explore_unfenced_with(2, || {
        let ring = ring(2);
        let (mut live, mut dead) = (producer(&ring), ManuallyDrop::new(producer(&ring)));
        let mut asking = consumer(&ring);
        let mut silent = consumer_in::<Ring>(&ring, Behaviour::new(Wait::Spin, OnDeath::LeaveToOthers)).unwrap();
        assert!(live_until("mpmc.send_claimed", || dead.try_send(1)).is_none());
        bury(&ring, dead.lane());
        live.try_send(10).unwrap();
        assert!(matches!(silent.try_recv(), Err(TryRecvError::Stalled(_))), "it asked");
        let other = thread::spawn(move || asking.try_recv().ok());
        let early = silent.try_recv().ok();
        let other = other.join().unwrap();
        let late = silent.try_recv().ok();
        assert_eq!([early, other, late].into_iter().flatten().collect::<Vec<_>>(), [10]);
    });
}

#[test]
fn a_live_producer_is_never_buried() {
    explore(|| {
        let ring = ring(1);
        let (mut producer, mut consumer) = (producer(&ring), consumer(&ring));
        let sender = thread::spawn(move || {
            producer.try_send(1).unwrap();
            producer.detach();
        });
        // Whatever is seen meanwhile, the message is not lost.
        let first = consumer.try_recv().ok();
        sender.join().unwrap();
        assert_eq!(first.or_else(|| consumer.try_recv().ok()), Some(1));
        assert_eq!(ring.lane(Role::Producer.lane()).counters.torn.load(Relaxed), 0);
    });
}

#[test]
fn at_most_once_a_message_that_its_consumer_died_with_is_dropped() {
    explore_unfenced_with(2, || {
        let wishes = Wishes { capacity: Some(1), producers: 1, consumers: 2, at_most_once: true, ..Wishes::default() };
        let ring = ring_of(wishes);
        let (mut producer, mut survivor) = (producer(&ring), consumer(&ring));
        let mut dead = ManuallyDrop::new(consumer(&ring));
        producer.try_send(1).unwrap();
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                dead.try_recv_ref().unwrap().keep();
                bury(&ring, dead.lane());
            }
        });
        doomed.join().unwrap();
        let sender = thread::spawn(move || {
            send(&mut producer, 2);
            producer.detach();
        });
        assert_eq!((recv(&mut survivor), survivor.redelivered()), (2, false));
        sender.join().unwrap();
    });
}

#[test]
fn a_batch_of_two_producers_is_received_whole() {
    explore_unfenced_with(2, || {
        let ring = ring(2);
        let (mut first, mut second) = (ManuallyDrop::new(producer(&ring)), ManuallyDrop::new(producer(&ring)));
        let mut consumer = consumer(&ring);
        let sender = thread::spawn(move || first.try_send(1).unwrap());
        let other = thread::spawn(move || second.try_send(2).unwrap());
        let mut received = [0; 2];
        let count = consumer.try_recv_slice(&mut received).unwrap_or(0);
        assert!(received[..count].iter().all(|message| [1, 2].contains(message)));
        sender.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_consumer_that_comes_late_finds_an_empty_ring_and_no_damage() {
    explore_unfenced_with(1, || {
        let ring = ring(2);
        let mut producer = producer(&ring);
        let (mut first, mut second) = (ManuallyDrop::new(consumer(&ring)), ManuallyDrop::new(consumer(&ring)));
        let receiver = thread::spawn(move || _ = first.try_recv());
        let late = thread::spawn(move || {
            let result = second.try_recv();
            assert!(!matches!(result, Err(TryRecvError::Fault(_))), "{result:?}");
        });
        producer.try_send(1).unwrap();
        receiver.join().unwrap();
        late.join().unwrap();
    });
}

#[test]
fn a_producer_that_comes_late_finds_a_full_ring_and_no_damage() {
    explore_unfenced_with(2, || {
        let ring = ring(1);
        let (mut first, mut consumer) = (ManuallyDrop::new(producer(&ring)), ManuallyDrop::new(consumer(&ring)));
        let mut second = producer(&ring);
        first.try_send(1).unwrap();
        let receiver = thread::spawn(move || assert_eq!(consumer.try_recv(), Ok(1)));
        let sender = thread::spawn(move || _ = first.try_send(2));
        let result = second.try_send(3);
        assert!(!matches!(result, Err(TrySendError::Fault(..))), "{result:?}");
        receiver.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn who_joins_while_others_go_on_finds_no_damage() {
    explore_unfenced_with(2, || {
        let ring = ring(1);
        let (mut producer, mut consumer) = (ManuallyDrop::new(producer(&ring)), ManuallyDrop::new(consumer(&ring)));
        let others = thread::spawn(move || {
            producer.try_send(1).unwrap();
            assert_eq!(consumer.try_recv(), Ok(1));
            producer.try_send(2).unwrap();
        });
        let late = consumer_in::<Ring>(&ring, SPINNING).map(ManuallyDrop::new);
        assert!(late.is_ok(), "{:?}", late.err());
        others.join().unwrap();
    });
}

#[test]
fn what_a_dead_producer_had_written_comes_before_what_the_next_one_writes() {
    explore_unfenced_with(2, || {
        let ring = ring(1);
        let mut dead = ManuallyDrop::new(producer(&ring));
        let (mut survivor, mut consumer) = (ManuallyDrop::new(producer(&ring)), consumer(&ring));
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                // Claims, writes, and dies before it publishes, unless the other one was faster.
                let _ = live_until("mpmc.written", || dead.try_send(1));
                bury(&ring, dead.lane());
            }
        });
        let sender = thread::spawn(move || _ = survivor.try_send(10));
        let result = consumer.try_recv();
        assert!(matches!(result, Ok(10) | Err(_)), "{result:?}");
        doomed.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn a_live_consumer_is_never_robbed_by_a_producer() {
    explore_unfenced_with(2, || {
        let wishes = Wishes { capacity: Some(1), producers: 1, consumers: 2, at_most_once: true, ..Wishes::default() };
        let ring = ring_of(wishes);
        let (mut producer, mut consumer) = (producer(&ring), consumer(&ring));
        producer.try_send(1).unwrap();
        let receiver = thread::spawn(move || {
            assert_eq!(consumer.try_recv(), Ok(1));
            consumer.detach();
        });
        // Where the message was dropped although it is being read, this writes into what is read.
        let _ = producer.try_send(2);
        receiver.join().unwrap();
        assert_eq!(ring.lane(Role::Producer.lane()).counters.lost.load(Relaxed), 0);
    });
}

#[test]
fn a_live_consumer_is_never_robbed_by_another() {
    explore_unfenced_with(2, || {
        let ring = ring_of(Wishes { capacity: Some(2), producers: 1, consumers: 3, ..Wishes::default() });
        let (mut producer, mut first, mut second) = (producer(&ring), consumer(&ring), consumer(&ring));
        {
            // Dies when it has announced the message that it will not get.
            let mut dead = ManuallyDrop::new(consumer(&ring));
            producer.try_send(1).unwrap();
            assert!(live_until("mpmc.recv_announced", || dead.try_recv()).is_none());
            assert_eq!(ring.control().head.load(Relaxed), 0, "claimed already");
            bury(&ring, dead.lane());
        }
        let receiver = thread::spawn(move || {
            let message = first.try_recv();
            first.detach();
            message
        });
        let mine = second.try_recv();
        let other = receiver.join().unwrap();
        assert!(!second.redelivered(), "nobody died with it");
        assert!(mine.is_ok() != other.is_ok(), "{mine:?} {other:?}");
    });
}

#[test]
fn who_sees_a_message_taken_over_sees_by_whom() {
    explore_unfenced_with(2, || {
        let ring = ring_of(Wishes { capacity: Some(2), producers: 1, consumers: 3, ..Wishes::default() });
        let (mut producer, mut first, mut second) = (producer(&ring), consumer(&ring), consumer(&ring));
        {
            let mut dead = ManuallyDrop::new(consumer(&ring));
            producer.try_send(1).unwrap();
            dead.try_recv_ref().unwrap().keep();
            bury(&ring, dead.lane());
        }
        let receiver = thread::spawn(move || {
            let message = first.try_recv();
            first.detach();
            message
        });
        let mine = second.try_recv();
        let other = receiver.join().unwrap();
        assert!(mine.is_err() || other.is_err(), "twice");
    });
}

#[test]
fn what_a_dead_consumer_had_read_comes_before_what_the_next_producer_writes() {
    explore_unfenced_with(2, || {
        let wishes = Wishes { capacity: Some(1), producers: 2, consumers: 2, at_most_once: true, ..Wishes::default() };
        let ring = ring_of(wishes);
        let (mut first, mut second) = (ManuallyDrop::new(producer(&ring)), producer(&ring));
        let mut dead = ManuallyDrop::new(consumer(&ring));
        second.try_send(1).unwrap();
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                // Claims, reads, and dies before it releases.
                assert!(live_until("mpmc.read", || dead.try_recv()).is_none());
                bury(&ring, dead.lane());
            }
        });
        let sender = thread::spawn(move || _ = first.try_send(2));
        let _ = second.try_send(3);
        doomed.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn a_successor_buries_nothing_that_a_live_producer_claimed() {
    explore_unfenced_with(2, || {
        let ring = ring(2);
        let mut dead = ManuallyDrop::new(producer(&ring));
        let (mut live, mut consumer) = (ManuallyDrop::new(producer(&ring)), consumer(&ring));
        // Announces the position that it will not get.
        assert!(live_until("mpmc.send_announced", || dead.try_send(7)).is_none());
        bury(&ring, dead.lane());
        let sender = thread::spawn(move || live.try_send(1).unwrap());
        let successor = ManuallyDrop::new(producer(&ring));
        assert_eq!(successor.lane(), dead.lane());
        sender.join().unwrap();
        assert_eq!(consumer.try_recv(), Ok(1));
    });
}

#[test]
fn a_successor_never_robs_a_live_consumer() {
    explore_unfenced_with(2, || {
        let ring = ring(2);
        let mut producer = producer(&ring);
        let mut dead = ManuallyDrop::new(consumer(&ring));
        let mut live = ManuallyDrop::new(consumer(&ring));
        producer.try_send(1).unwrap();
        // Announces the message that it will not get.
        assert!(live_until("mpmc.recv_announced", || dead.try_recv()).is_none());
        bury(&ring, dead.lane());
        let receiver = thread::spawn(move || live.try_recv().is_ok());
        let mut successor = consumer(&ring);
        assert_eq!(successor.lane(), dead.lane());
        let mine = successor.try_recv();
        assert!(receiver.join().unwrap() != mine.is_ok(), "twice, or lost: {mine:?}");
    });
}

#[test]
fn a_successor_sees_who_took_over_what_its_predecessor_held() {
    explore_unfenced_with(2, || {
        let ring = ring(2);
        let mut producer = producer(&ring);
        let mut dead = ManuallyDrop::new(consumer(&ring));
        let mut live = ManuallyDrop::new(consumer(&ring));
        producer.try_send(1).unwrap();
        dead.try_recv_ref().unwrap().keep();
        bury(&ring, dead.lane());
        let receiver = thread::spawn(move || live.try_recv_ref().map(|guard| guard.keep()).is_ok());
        let mut successor = consumer(&ring);
        let mine = successor.try_recv();
        assert!(!(receiver.join().unwrap() && mine.is_ok()), "taken from a live consumer");
    });
}
