//! The frame ring: each edge, who holds what, and death at every step.
#![cfg(loom)]

use core::time::Duration;
use loom::thread;
use loom_tests::{
    PARKING, SPINNING, die_at_every_step_unfenced, explore, explore_unfenced, explore_unfenced_with, explore_with,
    live_for, live_until,
};
use ringshm_core::error::TryRecvError;
use ringshm_core::frames::{Consumer, Delivery, FourCc, Frame, Frames, Meta, Plane, Producer, RowsError, held};
use ringshm_core::memory::Memory;
use ringshm_core::message::{Message as _, Wishes, consumer_in, producer_in};
use ringshm_core::{Behaviour, Peer};
use ringshm_sync::atomic::Ordering::Relaxed;
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// Two rows of eight bytes.
fn meta() -> Meta {
    let rows = Plane { offset: 0, stride: 8, row_bytes: 8, rows: 2 };
    Meta::with_planes(FourCc::new(b"mine"), 1, 2, &[rows]).expect("it can be")
}

fn ring(slots: u64) -> Arc<Memory> {
    let wishes = Wishes { capacity: Some(slots), max_message: Some(16), consumers: 2, ..Wishes::default() };
    Memory::on_heap(Frames::geometry(&wishes).expect("a small ring"))
}

fn producer(ring: &Arc<Memory>, behaviour: Behaviour) -> Producer {
    producer_in::<Frames>(ring, behaviour).expect("a free role")
}

fn consumer(ring: &Arc<Memory>, mut behaviour: Behaviour, delivery: Delivery) -> Consumer {
    (behaviour.delivery, behaviour.most_held) = (delivery, Some(1));
    consumer_in::<Frames>(ring, behaviour).expect("a free lane")
}

/// Writes a frame in two rows, full of its number, and commits it.
fn fill(mut loan: ringshm_core::frames::Loan<'_>, number: u64) {
    loan.write(0, &number.to_ne_bytes()).expect("nobody forked");
    loan.write(8, &number.to_ne_bytes()).expect("nobody forked");
    assert_eq!(loan.commit(&meta()), Ok(number));
}

/// Reads a frame, which must be as it was written.
fn check(frame: &Frame) -> u64 {
    let mut bytes = [0; 16];
    assert!(frame.read(0, &mut bytes));
    let [first, second] = [0, 8].map(|at| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight")));
    assert_eq!((first, second), (frame.sequence(), frame.sequence()), "torn, or another one");
    first
}

/// Takes frames until the producer is gone. Says which.
fn follow(consumer: &mut Consumer) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        match consumer.try_recv_ref() {
            Ok(frame) => seen.push(check(&frame)),
            Err(TryRecvError::Empty) => thread::yield_now(),
            Err(end) => {
                assert_eq!(end, TryRecvError::Disconnected);
                return seen;
            }
        }
    }
}

/// The lane of the producer, and that of the first consumer.
const FEED: usize = 0;
const FIRST: usize = 1;

/// What the kernel does when the process in that lane is gone; and time goes by, so that parks run out.
fn bury(ring: &Memory, lane: usize) {
    ring.drop_lock_of_killed(lane);
    ring.lane(FEED).presence.bell.expire();
    ring.lobby().readers.expire();
}

#[test]
fn a_frame_carries_its_pixels_and_its_description() {
    for delivery in [Delivery::EveryFrame, Delivery::NewestOnly] {
        explore_unfenced(move || {
            let ring = ring(3);
            let mut producer = producer(&ring, SPINNING);
            let mut consumer = consumer(&ring, SPINNING, delivery);
            let sender = thread::spawn(move || fill(producer.try_loan().expect("a slot"), 0));
            assert_eq!(follow(&mut consumer), [0]);
            sender.join().unwrap();
        });
    }
}

#[test]
fn rows_of_a_frame_are_there_when_it_says_so() {
    explore_unfenced(|| {
        let ring = ring(3);
        let mut producer = producer(&ring, SPINNING);
        let mut consumer = consumer(&ring, SPINNING, Delivery::EveryFrame);
        let sender = thread::spawn(move || {
            let mut begun = producer.try_loan().expect("a slot").begin(&meta()).expect("it fits");
            begun.write_row(0, 0, &7_u64.to_ne_bytes()).expect("nobody forked");
            begun.advance(1);
            begun.write_row(0, 1, &8_u64.to_ne_bytes()).expect("nobody forked");
            begun.finish();
        });
        let frame = loop {
            match consumer.try_recv_early() {
                Ok(frame) => break frame,
                Err(error) => assert_eq!(error, TryRecvError::Empty),
            }
            thread::yield_now();
        };
        let mut row = [0; 8];
        for (index, expected) in [(0, 7), (1, 8)] {
            while frame.read_row(0, index, &mut row).is_none() {
                thread::yield_now();
            }
            assert_eq!(u64::from_ne_bytes(row), expected);
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_slot_comes_back_after_everybody_has_read_it() {
    explore_unfenced_with(2, || {
        let ring = ring(4);
        let mut producer = producer(&ring, SPINNING);
        let mut every = consumer(&ring, SPINNING, Delivery::EveryFrame);
        let mut newest = consumer(&ring, SPINNING, Delivery::NewestOnly);
        fill(producer.try_loan().expect("a slot"), 0);
        let both = [every.try_recv_ref().expect("held for it"), newest.try_recv_ref().expect("the newest")];
        for number in 1..4 {
            fill(producer.try_loan().expect("a slot"), number);
        }
        let readers = both.map(|frame| thread::spawn(move || check(&frame)));
        let was_early = producer.try_loan().map(|loan| fill(loan, 4)).is_ok();
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(producer.try_loan().is_ok(), !was_early, "there is one such slot");
    });
}

/// With the frame 0 held, the frame 1 the newest, and the last slot on loan: the producer commits that, and must find one that nobody holds, although
/// `newest` lets go of the one and may, being late, hold the other.
fn find_a_slot(act: impl FnOnce(&Arc<Memory>, Consumer, Frame) -> Vec<thread::JoinHandle<()>>) {
    let ring = ring(3);
    let mut producer = producer(&ring, SPINNING);
    let mut newest = consumer(&ring, SPINNING, Delivery::NewestOnly);
    fill(producer.try_loan().expect("a slot"), 0);
    let frame = newest.try_recv_ref().expect("the newest");
    fill(producer.try_loan().expect("a slot"), 1);
    let loan = producer.try_loan().expect("the last slot");
    let others = act(&ring, newest, frame);
    fill(loan, 2);
    assert!(producer.try_loan().is_ok(), "there always is one that nobody holds");
    others.into_iter().for_each(|other| other.join().unwrap());
}

/// The promise of the policies: while it holds what it may, and takes another one whenever it can.
#[test]
fn who_takes_the_newest_only_never_holds_the_producer_up() {
    explore_unfenced(|| {
        find_a_slot(|_, mut newest, frame| {
            vec![thread::spawn(move || {
                drop(frame);
                let _held = ManuallyDrop::new((newest.try_recv_ref().ok(), newest));
            })]
        });
    });
}

/// The same where it lets go in another thread, and takes again when it may.
#[test]
fn what_is_let_go_elsewhere_is_free_before_another_one_is_held() {
    explore_unfenced_with(2, || {
        find_a_slot(|_, mut newest, frame| {
            let dropper = thread::spawn(move || drop(frame));
            let taker = thread::spawn(move || {
                let _held = ManuallyDrop::new((newest.try_recv_ref().ok(), newest));
            });
            vec![dropper, taker]
        });
    });
}

/// The same where one leaves, and another one is promised what it had.
#[test]
fn what_one_let_go_is_free_before_another_one_is_promised_it() {
    // What is seen late shows without a preemption.
    explore_unfenced_with(0, || {
        find_a_slot(|ring, newest, frame| {
            let leaver = thread::spawn(move || drop((frame, newest)));
            let ring = Arc::clone(ring);
            let joiner = thread::spawn(move || {
                let mut behaviour = SPINNING;
                (behaviour.delivery, behaviour.most_held) = (Delivery::NewestOnly, Some(1));
                if let Ok(mut next) = consumer_in::<Frames>(&ring, behaviour) {
                    let _held = ManuallyDrop::new((next.try_recv_ref().ok(), next));
                }
            });
            vec![leaver, joiner]
        });
    });
}

/// The word of its slot is as it was when it is over.
#[test]
fn a_frame_that_is_held_for_a_moment_is_read_before_its_slot_is_written() {
    explore_unfenced_with(1, || {
        let ring = ring(3);
        let mut producer = producer(&ring, SPINNING);
        let mut newest = consumer(&ring, SPINNING, Delivery::NewestOnly);
        for number in 0..2 {
            fill(producer.try_loan().expect("a slot"), number);
        }
        let loan = producer.try_loan().expect("the last slot");
        let reader = thread::spawn(move || newest.try_recv_ref().map(|frame| check(&frame)).is_ok());
        fill(loan, 2);
        for number in 3..5 {
            fill(producer.try_loan().expect("always one that nobody holds"), number);
        }
        reader.join().unwrap();
    });
}

#[test]
fn who_takes_every_frame_misses_none_and_holds_the_producer_up() {
    explore_unfenced_with(2, || {
        let ring = ring(3);
        let mut producer = producer(&ring, SPINNING);
        let mut consumer = consumer(&ring, SPINNING, Delivery::EveryFrame);
        let sender = thread::spawn(move || {
            for number in 0..4 {
                fill(producer.loan().expect("sooner or later"), number);
            }
        });
        assert_eq!(follow(&mut consumer), [0, 1, 2, 3]);
        assert_eq!(consumer.skipped(), 0);
        sender.join().unwrap();
    });
}

#[test]
fn a_consumer_that_joins_late_begins_with_what_is_there() {
    explore_unfenced(|| {
        let ring = ring(3);
        let mut producer = producer(&ring, SPINNING);
        let sender = thread::spawn(move || {
            fill(producer.try_loan().expect("a slot"), 0);
            producer
        });
        let mut consumer = consumer(&ring, SPINNING, Delivery::EveryFrame);
        assert_eq!(consumer.position(), 0, "nobody has taken the slot of the first frame");
        let _producer = sender.join().unwrap();
        assert_eq!(check(&consumer.try_recv_ref().expect("the first")), 0);
    });
}

#[test]
fn a_consumer_that_joins_while_frames_come_misses_none_from_there_on() {
    explore_unfenced_with(2, || {
        let ring = ring(3);
        let mut producer = producer(&ring, SPINNING);
        let sender = thread::spawn(move || {
            for number in 0..3 {
                let Ok(loan) = producer.try_loan() else { break };
                fill(loan, number);
            }
            producer
        });
        let mut consumer = consumer(&ring, SPINNING, Delivery::EveryFrame);
        let first = consumer.position();
        let mut producer = sender.join().unwrap();
        if let Ok(loan) = producer.try_loan() {
            fill(loan, 3);
        }
        let sent = producer.sent();
        // Of what was published while it joined, some may be gone: it is counted. After that, none.
        let mut next = first;
        while let Ok(frame) = consumer.try_recv_ref() {
            assert_eq!(check(&frame), next + frame.skipped());
            next = frame.sequence() + 1;
        }
        assert_eq!(next, sent, "the last one was published when it had joined");
        assert!(consumer.skipped() <= sent - 1 - first);
        assert_eq!(consumer.position(), sent);
    });
}

/// Sends a frame when the consumer that joins in the first lane has been promised one: it is held for it from the moment it is published.
fn send_when_promised(ring: &Arc<Memory>, has_come: impl Fn(&Memory) -> bool + Send + 'static) {
    let mut producer = producer(ring, SPINNING);
    let sender = thread::spawn({
        let ring = Arc::clone(ring);
        move || {
            while !has_come(&ring) || held(&ring, FIRST).is_none_or(|frames| frames.most == 0) {
                thread::yield_now();
            }
            fill(producer.try_loan().expect("a slot"), 0);
            assert_eq!(held(&ring, FIRST).map(|frames| frames.held), Some(1), "whatever it has done by now");
            ManuallyDrop::new(producer)
        }
    });
    let mut consumer = consumer(ring, SPINNING, Delivery::EveryFrame);
    let _producer = sender.join().unwrap();
    assert_eq!(check(&consumer.try_recv_ref().expect("held for it")), 0);
}

#[test]
fn what_is_sent_after_a_promise_was_seen_is_held() {
    explore_unfenced_with(2, || send_when_promised(&ring(3), |_| true));
}

#[test]
fn what_a_dead_consumer_was_promised_is_no_promise_to_the_next() {
    explore_unfenced_with(2, || {
        let ring = ring(3);
        let _dead = ManuallyDrop::new(consumer(&ring, SPINNING, Delivery::EveryFrame));
        ring.drop_lock_of_killed(FIRST);
        let state = |ring: &Memory| ring.lane(FIRST).presence.state.load(Relaxed);
        let of_the_dead = state(&ring);
        send_when_promised(&ring, move |ring| {
            state(ring) != of_the_dead && matches!(ring.peer_state(FIRST), Peer::Live { .. })
        });
    });
}

/// The producer had looked for whom to hold a frame before the one in that lane left: the next one there lets it go.
#[test]
fn nothing_stays_held_for_who_left_while_a_frame_was_published() {
    for delivery in [Delivery::EveryFrame, Delivery::NewestOnly] {
        explore_unfenced_with(2, move || {
            let ring = ring(3);
            let mut producer = producer(&ring, SPINNING);
            let leaver = consumer(&ring, SPINNING, Delivery::EveryFrame);
            let sender = thread::spawn(move || {
                fill(producer.try_loan().expect("a slot"), 0);
                producer
            });
            drop(leaver);
            let mut next = consumer(&ring, SPINNING, delivery);
            let mut producer = sender.join().unwrap();
            for number in 1..6 {
                fill(producer.try_loan().expect("it lets everything go"), number);
                let frame = next.try_recv_ref();
                assert!(frame.is_ok_and(|frame| check(&frame) <= number));
                while next.try_recv_ref().is_ok() {}
            }
            if delivery == Delivery::NewestOnly {
                // With the newest and one that is held, there is no slot for one that is held for nobody.
                fill(producer.try_loan().expect("a slot"), 6);
                let _held = next.try_recv_ref().expect("the newest");
                (7..9).for_each(|number| fill(producer.try_loan().expect("it holds but one"), number));
            }
        });
    }
}

#[test]
fn a_sleeping_consumer_is_woken_by_a_frame() {
    explore(|| {
        let ring = ring(3);
        let mut producer = producer(&ring, PARKING);
        let mut consumer = consumer(&ring, PARKING, Delivery::NewestOnly);
        let sender = thread::spawn(move || {
            fill(producer.try_loan().expect("a slot"), 0);
            ManuallyDrop::new(producer)
        });
        assert_eq!(check(&consumer.recv_ref().expect("the first")), 0);
        let _producer = sender.join().unwrap();
    });
}

#[test]
fn a_producer_that_waits_for_a_slot_is_woken_by_who_lets_one_go() {
    explore(|| {
        let ring = ring(3);
        let mut producer = producer(&ring, PARKING);
        let mut consumer = consumer(&ring, PARKING, Delivery::EveryFrame);
        for number in 0..3 {
            fill(producer.try_loan().expect("a slot"), number);
        }
        let renderer = thread::spawn(move || {
            drop(consumer.try_recv_ref().expect("held for it"));
            ManuallyDrop::new(consumer)
        });
        fill(producer.loan().expect("the first one's"), 3);
        let _consumer = renderer.join().unwrap();
    });
}

#[test]
fn who_waits_for_rows_is_woken_by_them() {
    explore_with(2, || {
        let ring = ring(3);
        let mut producer = producer(&ring, PARKING);
        let mut consumer = consumer(&ring, PARKING, Delivery::EveryFrame);
        let sender = thread::spawn(move || {
            let mut begun = producer.try_loan().expect("a slot").begin(&meta()).expect("it fits");
            begun.advance(1);
            begun.finish();
            ManuallyDrop::new(producer)
        });
        let frame = consumer.recv_early().expect("the first");
        assert!(frame.wait_rows(1, Duration::MAX).is_ok_and(|rows| rows >= 1));
        assert_eq!(frame.wait_rows(2, Duration::MAX), Ok(2));
        let _producer = sender.join().unwrap();
    });
}

/// A consumer that takes what it can until it dies, with a frame in its hands. Whether it died.
fn doomed_consumer(
    ring: &Arc<Memory>,
    delivery: Delivery,
    life: impl FnOnce(&mut dyn FnMut()) -> bool + Send + 'static,
) -> thread::JoinHandle<bool> {
    let ring = Arc::clone(ring);
    thread::spawn(move || {
        let mut consumer = ManuallyDrop::new(consumer(&ring, SPINNING, delivery));
        let mut held = ManuallyDrop::new(None);
        let died = life(&mut || {
            *held = consumer.try_recv_ref().ok();
            if let Some(frame) = held.take() {
                check(&frame);
                drop(frame);
            }
            *held = consumer.try_recv_ref().ok();
        });
        bury(&ring, FIRST);
        died
    })
}

/// The producer gets every slot back.
fn send_past(producer: &mut Producer, from: u64) {
    for number in from..from + 3 {
        fill(producer.loan().expect("the dead hold nothing"), number);
    }
}

/// Whoever comes in its place finds a clean lane.
fn succeed(ring: &Arc<Memory>, newest: u64) {
    let mut next = consumer(ring, SPINNING, Delivery::NewestOnly);
    assert_eq!(check(&next.try_recv_ref().expect("the newest")), newest);
}

fn consumer_dies(delivery: Delivery, steps: usize) -> bool {
    let ring = ring(3);
    let mut producer = producer(&ring, SPINNING);
    fill(producer.try_loan().expect("a slot"), 0);
    let dying = doomed_consumer(&ring, delivery, move |act| live_for(steps, act).is_none());
    fill(producer.try_loan().expect("a slot"), 1);
    let died = dying.join().unwrap();
    send_past(&mut producer, 2);
    succeed(&ring, 4);
    died
}

#[test]
fn a_consumer_of_every_frame_killed_at_any_step_gives_all_slots_back() {
    die_at_every_step_unfenced(1, |steps| consumer_dies(Delivery::EveryFrame, steps));
}

#[test]
fn a_consumer_of_the_newest_killed_at_any_step_gives_all_slots_back() {
    die_at_every_step_unfenced(1, |steps| consumer_dies(Delivery::NewestOnly, steps));
}

#[test]
fn a_consumer_killed_while_it_joins_or_leaves_gives_all_slots_back() {
    for point in ["lanes.live", "frames.seated", "frames.subscribed", "frames.unsubscribed", "frames.all_let_go"] {
        explore_unfenced_with(2, move || {
            let ring = ring(3);
            let mut producer = producer(&ring, SPINNING);
            let dying = thread::spawn({
                let ring = Arc::clone(&ring);
                move || {
                    let died = live_until(point, || {
                        let mut consumer = consumer(&ring, SPINNING, Delivery::EveryFrame);
                        drop(consumer.try_recv_ref());
                        drop(consumer);
                    });
                    if died.is_none() {
                        bury(&ring, FIRST);
                    }
                }
            });
            fill(producer.try_loan().expect("a slot"), 0);
            dying.join().unwrap();
            send_past(&mut producer, 1);
            succeed(&ring, 3);
        });
    }
}

/// A producer that sends frames of both sorts until it dies. Its result: how many calls returned, and whether it died.
fn doomed_producer(ring: &Arc<Memory>, steps: usize) -> thread::JoinHandle<(u64, bool)> {
    let mut producer = ManuallyDrop::new(producer(ring, SPINNING));
    let ring = Arc::clone(ring);
    thread::spawn(move || {
        let mut returned = 0;
        let died = live_for(steps, || {
            let mut begun = producer.loan().expect("a slot").begin(&meta()).expect("it fits");
            begun.write_row(0, 0, &0_u64.to_ne_bytes()).expect("nobody forked");
            begun.advance(1);
            begun.write_row(0, 1, &0_u64.to_ne_bytes()).expect("nobody forked");
            returned += begun.finish() + 1;
            fill(producer.loan().expect("a slot"), 1);
            returned += 1;
        })
        .is_none();
        bury(&ring, FEED);
        (returned, died)
    })
}

#[test]
fn a_producer_killed_at_any_step_leaves_whole_frames_and_a_ring_to_go_on_with() {
    die_at_every_step_unfenced(1, |steps| {
        let ring = ring(4);
        let mut consumer = consumer(&ring, SPINNING, Delivery::EveryFrame);
        let dying = doomed_producer(&ring, steps);
        let seen = follow(&mut consumer);
        let (returned, died) = dying.join().unwrap();
        assert!(seen.len() as u64 >= returned && seen.len() as u64 <= returned + 1, "{seen:?}, {returned} returned");
        let mut next = producer(&ring, SPINNING);
        // One that was begun has had its number: it is given up, or there, if only its end was not said.
        let first = next.sent();
        assert!(first - seen.len() as u64 <= 1);
        if let Ok(frame) = consumer.try_recv_ref() {
            assert_eq!(check(&frame), seen.len() as u64);
        }
        for number in first..first + 2 {
            fill(next.try_loan().expect("a slot"), number);
            assert_eq!(check(&consumer.try_recv_ref().expect("the successor's")), number);
        }
        for number in first + 2..first + 6 {
            fill(next.try_loan().expect("no slot was lost"), number);
        }
        died
    });
}

#[test]
fn a_frame_that_a_dead_producer_had_begun_ends_for_who_holds_it() {
    die_at_every_step_unfenced(1, |steps| {
        let ring = ring(4);
        let mut consumer = consumer(&ring, SPINNING, Delivery::EveryFrame);
        let dying = doomed_producer(&ring, steps);
        let mut given_up = 0;
        while let Ok(frame) = consumer.recv_early() {
            match frame.wait_rows(2, Duration::MAX) {
                Ok(_) => _ = check(&frame),
                Err(error) => {
                    assert!(matches!(error, RowsError::Abandoned { ready: 0 | 1 }), "{error:?}");
                    given_up += 1;
                }
            }
        }
        let (_, died) = dying.join().unwrap();
        assert!(given_up <= u64::from(died));
        died
    });
}

#[test]
fn two_who_replace_a_dead_consumer_do_not_hurt_each_other() {
    // The producer lets go for the dead one while the next one joins in its lane.
    explore_unfenced_with(2, || {
        let ring = ring(3);
        let mut producer = producer(&ring, SPINNING);
        let _dead = ManuallyDrop::new(consumer(&ring, SPINNING, Delivery::EveryFrame));
        for number in 0..3 {
            fill(producer.try_loan().expect("a slot"), number);
        }
        ring.drop_lock_of_killed(FIRST);
        let sender = thread::spawn(move || {
            let loan = loop {
                match producer.try_loan() {
                    Ok(loan) => break loan,
                    Err(_) => thread::yield_now(),
                }
            };
            fill(loan, 3);
            ManuallyDrop::new(producer)
        });
        let mut next = consumer(&ring, SPINNING, Delivery::NewestOnly);
        let frame = loop {
            match next.try_recv_ref() {
                Ok(frame) => break frame,
                Err(error) => assert_eq!(error, TryRecvError::Empty),
            }
            thread::yield_now();
        };
        let number = check(&frame);
        let _producer = sender.join().unwrap();
        assert_eq!(check(&frame), number, "nobody let it go for its holder");
    });
}

#[test]
fn a_producer_killed_while_it_replaces_a_dead_consumer_harms_nobody() {
    for point in ["lanes.replaced", "frames.unsubscribed", "frames.all_let_go"] {
        explore_unfenced_with(2, move || {
            let ring = ring(3);
            let mut first = ManuallyDrop::new(producer(&ring, SPINNING));
            let _dead = ManuallyDrop::new(consumer(&ring, SPINNING, Delivery::EveryFrame));
            for number in 0..3 {
                fill(first.try_loan().expect("a slot"), number);
            }
            ring.drop_lock_of_killed(FIRST);
            let dying = thread::spawn({
                let ring = Arc::clone(&ring);
                move || {
                    let died = live_until(point, || drop(first.try_loan()));
                    // The kernel drops both locks that it had.
                    ring.drop_lock_of_killed(FIRST);
                    ring.drop_lock_of_killed(FEED);
                    assert!(died.is_none());
                }
            });
            dying.join().unwrap();
            let mut next = producer(&ring, SPINNING);
            for number in 3..6 {
                fill(next.try_loan().expect("it goes on with that"), number);
            }
        });
    }
}
