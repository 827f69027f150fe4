//! Rings of frames between processes: order, policies, restarts, kills, and pixels that consumers cannot write.

#![allow(unsafe_code, reason = "the actor tries to map pixels to write them, in vain")]

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod sealed;

use actor::{Actor, SIDE, check, send};
use core::time::Duration;
use ringshm::frames::{Delivery, Producer};
use ringshm::{OpenError, Peer, Role, TryRecvError, TrySendError};
use std::time::Instant;
use support::{Folder, PATIENCE, Process, until};

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    let actor = std::cell::RefCell::new(Actor::default());
    support::play(|words| actor.borrow_mut().obey(words));
}

const NAME: &str = "film";
/// In how long a dead consumer's frames are there again.
const GRACE: Duration = Duration::from_millis(100);

fn open(folder: &Folder, command: &str) -> Process {
    let mut process = Process::start(folder);
    let reply = process.ask(command);
    assert!(reply.starts_with("open "), "{command}: {reply}");
    process
}

fn producer(folder: &Folder, slots: u64) -> Producer {
    let builder = ringshm::frames(NAME).directory(folder.path());
    builder.capacity(slots).frame_bytes(u64::from(SIDE * SIDE)).producer().expect("a free role")
}

fn consumer(folder: &Folder, delivery: Delivery, hold: u32) -> ringshm::frames::Consumer {
    ringshm::frames(NAME).directory(folder.path()).delivery(delivery).hold(hold).consumer().expect("a free lane")
}

fn finish(folder: &Folder, processes: impl IntoIterator<Item = Process>) {
    processes.into_iter().for_each(Process::finish);
    folder.assert_empty();
}

#[test]
fn every_frame_arrives_in_order_at_each_and_the_newest_at_those_who_want_that() {
    for wait in ["", " park"] {
        let folder = Folder::new();
        let mut decoder = open(&folder, &format!("f-producer {NAME} slots=8{wait}"));
        let mut recorders = [0, 1].map(|_| open(&folder, &format!("f-consumer {NAME} hold=1{wait}")));
        let mut renderer = open(&folder, &format!("f-consumer {NAME} newest hold=2{wait}"));
        for process in recorders.iter_mut().chain([&mut renderer]) {
            process.begin("f-recv 3000");
        }
        assert_eq!(decoder.ask("f-send 3000"), "sent 3000");
        for recorder in &mut recorders {
            assert_eq!(recorder.hear(), "received 3000 skipped 0");
        }
        let counts: Vec<u64> = renderer.hear().split(' ').filter_map(|word| word.parse().ok()).collect();
        assert_eq!(counts.iter().sum::<u64>(), 3000, "what was not received was counted: {counts:?}");
        finish(&folder, [decoder, renderer].into_iter().chain(recorders));
    }
}

#[test]
fn frames_are_let_go_in_any_order_and_a_producer_is_told_when_there_is_none() {
    let folder = Folder::new();
    let mut producer = producer(&folder, 5);
    let mut recorder = open(&folder, &format!("f-consumer {NAME} hold=3"));
    while send(&mut producer, Duration::ZERO).is_ok() {}
    assert_eq!(producer.sent(), 5, "each is held for it before it takes it");
    assert_eq!(recorder.ask("f-take 3"), "holds 0 1 2");
    assert_eq!(recorder.ask("f-take 1"), "TooManyHeld { most: 3 }");
    assert_eq!(producer.try_loan().map(drop), Err(TrySendError::Full(())));
    for (freed, number) in [(1, 5), (0, 6), (2, 7)] {
        assert_eq!(recorder.ask(&format!("f-let {freed}")), "ok");
        assert_eq!(send(&mut producer, PATIENCE), Ok(number));
        assert_eq!(producer.try_loan().map(drop), Err(TrySendError::Full(())));
    }
    assert_eq!(recorder.ask("f-take 3"), "holds 3 4 5");
    drop(producer);
    recorder.ask("f-close");
    finish(&folder, [recorder]);
}

/// Who takes the newest only: stopped with all that it may hold, it does not even slow a producer down.
#[test]
fn a_stopped_renderer_holds_nobody_up_and_loses_nothing_that_it_holds() {
    let folder = Folder::new();
    let mut producer = producer(&folder, 5);
    let mut renderer = open(&folder, &format!("f-consumer {NAME} newest hold=3"));
    for number in 0..3 {
        send(&mut producer, Duration::ZERO).expect("a slot");
        assert!(renderer.ask("f-take 1").ends_with(&number.to_string()));
    }
    renderer.stop();
    for number in 3..200 {
        assert_eq!(send(&mut producer, Duration::ZERO), Ok(number));
    }
    renderer.resume();
    // It checks them all.
    assert_eq!(renderer.ask("f-take 0"), "holds 0 1 2");
    for number in 0..3 {
        assert_eq!(renderer.ask(&format!("f-let {number}")), "ok");
    }
    assert_eq!(renderer.ask("f-recv 200"), "received 1 skipped 196");
    drop(producer);
    renderer.ask("f-close");
    finish(&folder, [renderer]);
}

/// With so many frames in its hands, by either policy, a thousand times: all slots are there again within 100 ms.
#[test]
fn a_killed_consumer_gives_its_frames_back_within_100_ms_a_thousand_times() {
    const KILLS: u32 = 1000;
    let folder = Folder::new();
    let mut producer = producer(&folder, 8);
    let mut longest = Duration::ZERO;
    for round in 0..KILLS {
        let (count, policy) = (round % 6 + 1, if round % 2 == 0 { "" } else { " newest" });
        let mut victim = open(&folder, &format!("f-consumer {NAME} hold=6{policy} start=newest"));
        for _ in 0..count {
            send(&mut producer, PATIENCE).expect("a slot");
            if policy == " newest" {
                assert!(victim.ask("f-take 1").starts_with("holds"));
            }
        }
        if policy.is_empty() {
            // All are held for it; it has taken some of them.
            assert!(victim.ask(&format!("f-take {}", count.div_ceil(2))).starts_with("holds"));
        }
        victim.kill();
        let death = Instant::now();
        for _ in 0..8 {
            send(&mut producer, GRACE).unwrap_or_else(|error| panic!("round {round}, {count} held: {error}"));
        }
        longest = longest.max(death.elapsed());
        assert!(longest < GRACE, "round {round}: {longest:?}");
    }
    println!("at the latest after {longest:?}");
    drop(producer);
    ringshm::remove(&folder.directory(), NAME, false).or_else(gone).expect("nobody uses it");
    folder.assert_empty();
}

fn gone(error: OpenError) -> Result<(), OpenError> {
    if matches!(error, OpenError::NotFound { .. }) { Ok(()) } else { Err(error) }
}

/// A consumer that is stopped is not dead: what it holds stays held.
#[test]
fn a_stopped_consumer_keeps_its_frames() {
    let folder = Folder::new();
    let mut producer = producer(&folder, 4);
    let mut recorder = open(&folder, &format!("f-consumer {NAME} hold=2"));
    while send(&mut producer, Duration::ZERO).is_ok() {}
    assert_eq!(recorder.ask("f-take 2"), "holds 0 1");
    recorder.stop();
    assert!(producer.loan_timeout(5 * GRACE).is_err());
    recorder.resume();
    assert_eq!(recorder.ask("f-let 0"), "ok");
    assert_eq!(send(&mut producer, PATIENCE), Ok(4));
    assert_eq!(recorder.ask("f-take 0"), "holds 1");
    drop(producer);
    recorder.ask("f-close");
    finish(&folder, [recorder]);
}

#[test]
fn a_late_consumer_begins_with_what_is_there_and_misses_nothing_after() {
    let folder = Folder::new();
    let mut producer = producer(&folder, 6);
    for _ in 0..20 {
        send(&mut producer, Duration::ZERO).expect("nobody holds anything");
    }
    let mut late = consumer(&folder, Delivery::EveryFrame, 1);
    let first = check(&late.try_recv_ref().expect("what is there"));
    assert_eq!(first, 14);
    for number in 15..40 {
        send(&mut producer, Duration::ZERO).ok();
        assert_eq!(late.try_recv_ref().map(|frame| (check(&frame), frame.skipped())), Ok((number, 0)));
    }
}

/// Not all numbers of slots divide 2^64.
#[test]
fn none_is_lost_where_sequence_numbers_begin_again() {
    for capacity in 3..8 {
        let ring = ringshm::frames("").capacity(capacity).frame_bytes(u64::from(SIDE * SIDE));
        let ring = ring.origin(0_u64.wrapping_sub(5)).heap().expect("room");
        let (mut producer, consumer) = (ring.producer().expect("a free role"), ring.holding(1).consumer());
        let mut consumer = consumer.expect("a free lane");
        for first in (0..4).map(|round| round * capacity) {
            for number in first..first + capacity {
                assert_eq!(send(&mut producer, Duration::ZERO), Ok(number));
            }
            for number in first..first + capacity {
                assert_eq!(consumer.try_recv_ref().map(|frame| (check(&frame), frame.skipped())), Ok((number, 0)));
            }
        }
    }
}

#[test]
fn rows_reach_another_process_before_the_frame_is_finished_and_end_with_its_producer() {
    for option in ["", " await"] {
        let folder = Folder::new();
        let mut decoder = open(&folder, &format!("f-producer {NAME} slots=6"));
        let mut early = open(&folder, &format!("f-consumer {NAME} hold=1 park{option}"));
        let mut patient = open(&folder, &format!("f-consumer {NAME} newest hold=1 park await"));
        early.begin("f-early 10");
        patient.begin("f-recv 3");
        assert!(early.sleeps());
        assert_eq!(decoder.ask("f-begin 10"), "begun 0");
        assert_eq!(early.hear(), "rows 10 of 0");
        // The next loan gives it up.
        early.begin("f-early 20");
        assert_eq!(decoder.ask("f-begin 15"), "begun 1");
        decoder.kill();
        assert_eq!(early.hear(), "Abandoned { ready: 15 }", "no successor finishes it");
        let mut successor = open(&folder, &format!("f-producer {NAME}"));
        assert_eq!(successor.ask("f-send 3"), "sent 3");
        assert_eq!(patient.hear(), "received 1 skipped 2");
        early.begin("f-recv 3");
        assert_eq!(early.hear(), "received 1 skipped 0");
        finish(&folder, [successor, early, patient]);
    }
}

#[test]
fn either_side_starts_again_and_goes_on() {
    let folder = Folder::new();
    let mut decoder = open(&folder, &format!("f-producer {NAME} slots=6"));
    let mut recorder = open(&folder, &format!("f-consumer {NAME} hold=2 await"));
    assert_eq!(decoder.ask("f-send 4"), "sent 4");
    assert_eq!(recorder.ask("f-take 2"), "holds 0 1");
    decoder.kill();
    // It may have died with a loan, and goes on with the same numbers.
    let mut decoder = open(&folder, &format!("f-producer {NAME}"));
    assert_eq!(decoder.ask("f-send 6"), "sent 6");
    assert_eq!(recorder.ask("f-take 0"), "holds 0 1");
    recorder.kill();
    let mut recorder = Process::start(&folder);
    // Its lane is the dead one's, and clean.
    let reply = recorder.ask(&format!("f-consumer {NAME} hold=4"));
    assert_eq!(reply, "open 0");
    assert_eq!(recorder.ask("f-recv 6"), "received 6 skipped 0");
    decoder.begin("f-send 100");
    assert_eq!(recorder.ask("f-recv 100"), "received 94 skipped 0");
    assert_eq!(decoder.hear(), "sent 100");
    finish(&folder, [decoder, recorder]);
}

#[test]
fn who_joins_is_told_what_is_wrong() {
    let folder = Folder::new();
    let builder = || ringshm::frames(NAME).directory(folder.path());
    let missing = builder().consumer().map(drop);
    assert!(matches!(missing, Err(OpenError::NotFound { .. })), "a consumer without a size makes no ring: {missing:?}");
    let full = builder().frame_bytes(1 << 45).producer().map(drop);
    let Err(OpenError::NoSpace { needed, free }) = full else { panic!("{full:?}") };
    assert!(needed > free && needed > 8 << 45);
    folder.assert_empty();
    let producer = producer(&folder, 6);
    for (builder, field) in [
        (builder().frame_bytes(1 << 20), "another size"),
        (builder().capacity(7), "another number of slots"),
        (builder().schema(3), "another schema"),
    ] {
        assert!(matches!(builder.consumer(), Err(OpenError::LayoutMismatch { .. })), "{field}");
    }
    assert!(matches!(
        ringshm::spsc::<u64>(NAME).directory(folder.path()).consumer(),
        Err(OpenError::LayoutMismatch { .. })
    ));
    assert!(matches!(builder().frame_bytes(64).producer(), Err(OpenError::RoleTaken { .. })));
    let refused = builder().hold(5).consumer().map(drop);
    assert!(matches!(refused, Err(OpenError::InvalidOption { option: "hold", .. })), "{refused:?}");
    let consumer = builder().hold(4).consumer().expect("all but two");
    assert_eq!(consumer.peer(), Peer::Live { pid: std::process::id() });
    drop(producer);
}

/// Sixteen lanes, all of them dead: whoever comes gets one.
#[test]
fn lanes_and_promises_of_the_dead_are_there_for_others() {
    let folder = Folder::new();
    let mut producer = producer(&folder, 5);
    for _ in 0..20 {
        let mut victim = open(&folder, &format!("f-consumer {NAME} hold=3 start=newest"));
        send(&mut producer, PATIENCE).expect("a slot");
        assert!(victim.ask("f-take 1").starts_with("holds"));
        victim.kill();
    }
    drop(producer);
    ringshm::remove(&folder.directory(), NAME, false).or_else(gone).expect("nobody uses it");
}

#[test]
fn a_look_from_outside_says_who_holds_what() {
    let folder = Folder::new();
    let mut producer = producer(&folder, 8);
    let mut recorder = consumer(&folder, Delivery::EveryFrame, 2);
    let mut renderer = consumer(&folder, Delivery::NewestOnly, 1);
    for _ in 0..4 {
        send(&mut producer, Duration::ZERO).expect("a slot");
    }
    let held = [recorder.try_recv_ref(), renderer.try_recv_ref()].map(|frame| frame.expect("a frame"));
    let snapshot = ringshm::inspect(&folder.directory(), NAME).expect("it is there");
    assert_eq!((snapshot.geometry.kind.name(), snapshot.producer.messages), ("frames", Some(4)));
    let seen: Vec<_> =
        snapshot.participants_of(Role::Consumer).map(|consumer| consumer.frames.expect("of frames")).collect();
    assert_eq!(
        seen.iter().map(|frames| (frames.takes_all, frames.held, frames.most)).collect::<Vec<_>>(),
        [(true, 4, 2), (false, 1, 1)]
    );
    let lags: Vec<_> =
        snapshot.participants_of(Role::Consumer).map(|consumer| consumer.lag.map(|lag| lag.units)).collect();
    assert_eq!(lags, [Some(3), None]);
    assert_eq!(snapshot.queued(), Some(3));
    drop(held);
    assert!(matches!(renderer.try_recv_ref(), Err(TryRecvError::Empty)));
    drop((producer, recorder, renderer));
    until("the ring is removed", || folder.entries().is_empty());
}

/// One thread waits for frames of two rings, and a task for those of one.
#[test]
fn frames_are_waited_for_in_a_set_and_in_a_task() {
    let ring =
        |capacity| ringshm::frames("").capacity(capacity).frame_bytes(u64::from(SIDE * SIDE)).heap().expect("room");
    let rings = [ring(3), ring(4)];
    let mut decoders = rings.each_ref().map(|ring| ring.producer().expect("a free role"));
    let mut set = ringshm::WaitSet::new();
    let keys = rings.each_ref().map(|ring| set.add(ring.holding(1).consumer().expect("a free lane")));
    let [first, second] = &mut decoders;
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|_| assert!(send(first, PATIENCE).is_ok())));
        scope.spawn(|| (0..100).for_each(|_| assert!(send(second, PATIENCE).is_ok())));
        let mut next = [0, 0];
        while next != [100, 100] {
            let ready = set.wait_timeout(PATIENCE).expect("a set of rings");
            assert!(!ready.is_empty());
            for index in [0, 1].into_iter().filter(|index| ready.contains(keys[*index])) {
                while let Ok(frame) = set[keys[index]].try_recv_ref() {
                    assert_eq!(check(&frame), next[index]);
                    next[index] += 1;
                }
            }
        }
    });
    #[cfg(feature = "async")]
    {
        use ringshm::asynchronous::Async;
        let consumer = rings[0].taking(Delivery::NewestOnly).holding(1);
        drop(set);
        let mut task = Async::new(consumer.consumer().expect("a free lane")).expect("a thread");
        let sent = decoders[0].sent();
        std::thread::scope(|scope| {
            scope.spawn(|| send(&mut decoders[0], PATIENCE));
            loop {
                let frame = pollster::block_on(task.recv_async()).expect("the newest");
                if check(&frame) == sent {
                    break;
                }
            }
        });
    }
}
