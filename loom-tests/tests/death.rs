//! Death at every step of either side: what the survivor and the successor see.
#![cfg(loom)]

use loom::thread;
use loom_tests::{PARKING, SPINNING, die_at_every_step, explore, explore_unfenced, live_for, records, slots};
use ringshm_core::error::{RecvError, SendError, TryRecvError};
use ringshm_core::memory::Memory;
use ringshm_core::message::{consumer_in, producer_in};
use ringshm_core::{Behaviour, Peer, Role};
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// What the kernel does when the process with `role` is gone; and time goes by, so that its peer's park runs out.
fn bury(ring: &Memory, role: Role) {
    ring.drop_lock_of_killed(role.lane());
    ring.lane(role.peer().lane()).presence.bell.expire();
}

/// A thread that sends 1, 2, … through `ring`, and dies after `steps` accesses. Its result: how many calls returned, and whether
/// it died.
fn doomed_producer(
    ring: &Arc<Memory>,
    behaviour: Behaviour,
    count: u64,
    steps: usize,
) -> thread::JoinHandle<(u64, bool)> {
    let mut producer = ManuallyDrop::new(producer_in::<u64>(ring, behaviour).unwrap());
    let ring = Arc::clone(ring);
    thread::spawn(move || {
        let mut returned = 0;
        let died = live_for(steps, || {
            for message in 1..=count {
                producer.send(message).unwrap();
                returned = message;
            }
        })
        .is_none();
        if died {
            bury(&ring, Role::Producer);
        } else {
            drop(ManuallyDrop::into_inner(producer));
        }
        (returned, died)
    })
}

#[test]
fn a_dead_producer_is_found_after_everything_it_sent() {
    explore_unfenced(|| {
        let ring = slots(2);
        let mut consumer = consumer_in::<u64>(&ring, SPINNING).unwrap();
        let mut producer = ManuallyDrop::new(producer_in::<u64>(&ring, SPINNING).unwrap());
        let dying = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                producer.try_send(7).unwrap();
                bury(&ring, Role::Producer);
            }
        });
        let mut received = Vec::new();
        loop {
            match consumer.try_recv() {
                Ok(message) => received.push(message),
                Err(TryRecvError::Empty) => thread::yield_now(),
                Err(end) => break assert_eq!(end, TryRecvError::Disconnected),
            }
        }
        assert_eq!(received, [7]);
        dying.join().unwrap();
        assert!(matches!(ring.peer_state(Role::Producer.lane()), Peer::Dead { .. }));
    });
}

#[test]
fn a_producer_that_leaves_is_never_found_dead() {
    explore_unfenced(|| {
        let ring = slots(2);
        let producer = producer_in::<u64>(&ring, SPINNING).unwrap();
        let leaver = thread::spawn(move || producer.detach());
        let seen = ring.peer_state(Role::Producer.lane());
        assert!(!matches!(seen, Peer::Dead { .. }), "{seen:?}");
        leaver.join().unwrap();
    });
}

#[test]
fn a_live_successor_is_never_found_dead() {
    explore(|| {
        let ring = slots(2);
        let _killed = ManuallyDrop::new(producer_in::<u64>(&ring, SPINNING).unwrap());
        ring.drop_lock_of_killed(Role::Producer.lane());
        let successor = thread::spawn({
            let ring = Arc::clone(&ring);
            move || ManuallyDrop::new(producer_in::<u64>(&ring, SPINNING).unwrap())
        });
        // Whatever is seen meanwhile: once the successor is in, nobody takes it for its predecessor.
        let _ = ring.peer_state(Role::Producer.lane());
        let _successor = successor.join().unwrap();
        assert!(matches!(ring.peer_state(Role::Producer.lane()), Peer::Live { .. }));
    });
}

#[test]
fn a_producer_killed_at_any_step_harms_no_spinning_consumer() {
    die_at_every_step(|steps| receive_from_doomed(SPINNING, steps));
}

#[test]
fn a_producer_killed_at_any_step_harms_no_sleeping_consumer() {
    die_at_every_step(|steps| receive_from_doomed(PARKING, steps));
}

fn receive_from_doomed(behaviour: Behaviour, steps: usize) -> bool {
    let ring = slots(1);
    let mut consumer = consumer_in::<u64>(&ring, behaviour).unwrap();
    let producer = doomed_producer(&ring, behaviour, 2, steps);
    let mut received = 0;
    let end = loop {
        match consumer.recv() {
            Ok(message) => {
                received += 1;
                assert_eq!(message, received, "out of order, torn, or twice");
            }
            Err(end) => break end,
        }
    };
    let (returned, died) = producer.join().unwrap();
    assert_eq!(end, RecvError::Disconnected);
    assert!(received == returned || (died && received == returned + 1), "{received} of {returned} received");
    died
}

#[test]
fn a_consumer_killed_at_any_step_leaves_every_unreleased_message_to_its_successor() {
    die_at_every_step(|steps| {
        let ring = slots(1);
        let mut producer = producer_in::<u64>(&ring, PARKING).unwrap();
        let mut consumer = ManuallyDrop::new(consumer_in::<u64>(&ring, PARKING).unwrap());
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let mut received = 0;
                let died = live_for(steps, || {
                    for _ in 0..2 {
                        assert_eq!(consumer.recv(), Ok(received + 1));
                        received += 1;
                    }
                })
                .is_none();
                if died {
                    bury(&ring, Role::Consumer);
                }
                (received, died)
            }
        });
        let mut sent = 0;
        for message in 1..=2 {
            match producer.send(message) {
                Ok(()) => sent = message,
                Err(end) => {
                    assert_eq!(end, SendError::Disconnected(message));
                    break;
                }
            }
        }
        let (received, died) = doomed.join().unwrap();
        assert!(died || sent == 2);
        if died {
            let mut successor = consumer_in::<u64>(&ring, PARKING).unwrap();
            let released = successor.received();
            // A message may have been released by the call that died: then it was handed out.
            assert!(released == received || released == received + 1, "{released} released, {received} received");
            assert_eq!(successor.try_iter().collect::<Vec<_>>(), (released + 1..=sent).collect::<Vec<_>>());
        }
        died
    });
}

#[test]
fn a_record_producer_killed_at_any_step_leaves_the_count_of_what_it_sent() {
    die_at_every_step(|steps| {
        let ring = records(64);
        let mut consumer = consumer_in::<[u8]>(&ring, SPINNING).unwrap();
        let mut producer = ManuallyDrop::new(producer_in::<[u8]>(&ring, SPINNING).unwrap());
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let died = live_for(steps, || {
                    for message in 1..=3u8 {
                        producer.send(&[message; 20]).unwrap();
                    }
                })
                .is_none();
                ring.drop_lock_of_killed(Role::Producer.lane());
                died
            }
        });
        let mut received = 0u8;
        while let Ok(record) = consumer.recv_ref() {
            received += 1;
            assert_eq!(&*record, &[received; 20], "torn, or out of order");
        }
        let died = doomed.join().unwrap();
        let mut successor = producer_in::<[u8]>(&ring, SPINNING).unwrap();
        assert_eq!(successor.sent(), u64::from(received), "the successor resumes at the wrong message");
        successor.try_send(&[received + 1; 20]).unwrap();
        assert_eq!(&*consumer.try_recv_ref().unwrap(), &[received + 1; 20]);
        died
    });
}

#[test]
fn a_record_consumer_killed_at_any_step_leaves_the_count_of_what_it_released() {
    die_at_every_step(|steps| {
        let ring = records(64);
        let mut producer = producer_in::<[u8]>(&ring, SPINNING).unwrap();
        let mut consumer = ManuallyDrop::new(consumer_in::<[u8]>(&ring, SPINNING).unwrap());
        producer.try_send_slice(&[[1; 8], [2; 8], [3; 8]]).unwrap();
        let doomed = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let died = live_for(steps, || while consumer.try_recv_ref().is_ok() {}).is_none();
                ring.drop_lock_of_killed(Role::Consumer.lane());
                died
            }
        });
        let died = doomed.join().unwrap();
        let mut successor = consumer_in::<[u8]>(&ring, SPINNING).unwrap();
        let released = successor.received();
        assert!(died || released == 3);
        let rest: Vec<Vec<u8>> = successor.try_iter().collect();
        assert_eq!(rest, (released as u8 + 1..=3).map(|message| vec![message; 8]).collect::<Vec<_>>());
        died
    });
}

#[test]
fn a_live_successor_is_not_taken_for_its_dead_predecessor() {
    explore_unfenced(|| {
        let ring = slots(2);
        let mut consumer = consumer_in::<u64>(&ring, SPINNING).unwrap();
        let _killed = ManuallyDrop::new(producer_in::<u64>(&ring, SPINNING).unwrap());
        ring.drop_lock_of_killed(Role::Producer.lane());
        let successor = thread::spawn({
            let ring = Arc::clone(&ring);
            move || ManuallyDrop::new(producer_in::<u64>(&ring, SPINNING).unwrap())
        });
        // It may be told of the death; but not of that of the successor.
        let _ = consumer.try_recv();
        let _successor = successor.join().unwrap();
        assert_eq!(consumer.try_recv(), Err(TryRecvError::Empty));
    });
}
