//! Rings of frames in one process: what consumers get, hold and miss, and what a producer is told.

#![cfg(not(loom))]

use core::time::Duration;
use ringshm_core::Waitable as _;
use ringshm_core::broadcast::Start;
use ringshm_core::error::{OpenError, RecvTimeoutError, TryRecvError, TrySendError};
use ringshm_core::frames::{
    CommitError, Consumer, Delivery, FourCc, Frames, Meta, Plane, Producer, RowsError, TimeBase,
};
use ringshm_core::memory::Memory;
use ringshm_core::message::{Message, Wishes, consumer_in, producer_in};
use ringshm_core::wait::Wait;
use ringshm_core::{Behaviour, OnDeath};
use std::sync::Arc;

const ORIGINS: [u64; 4] = [0, (1 << 32) - 3, (1 << 47) - 2, u64::MAX - 2];
const BYTES: usize = 64;

fn ring_from(slots: u64, origin: u64) -> Arc<Memory> {
    let wishes = Wishes { capacity: Some(slots), max_message: Some(BYTES as u64), origin, ..Wishes::default() };
    Memory::on_heap(Frames::geometry(&wishes).expect("a small ring"))
}

fn ring(slots: u64) -> Arc<Memory> {
    ring_from(slots, 0)
}

fn producer(ring: &Arc<Memory>) -> Producer {
    producer_in::<Frames>(ring, Behaviour::default()).expect("a free role")
}

fn try_consumer(ring: &Arc<Memory>, delivery: Delivery, hold: Option<u32>) -> Result<Consumer, OpenError> {
    let mut behaviour = Behaviour::default();
    (behaviour.delivery, behaviour.most_held) = (delivery, hold);
    consumer_in::<Frames>(ring, behaviour)
}

fn consumer(ring: &Arc<Memory>, delivery: Delivery, hold: u32) -> Consumer {
    try_consumer(ring, delivery, Some(hold)).expect("room for it")
}

fn meta() -> Meta {
    Meta::new(FourCc::GRAY, 8, 8).expect("a small frame")
}

/// Sends a frame full of its number. `false`: there is no slot.
fn send(producer: &mut Producer, number: u8) -> bool {
    match producer.try_loan() {
        Ok(mut loan) => {
            loan.bytes_mut().expect("on the heap").fill(number);
            assert_eq!(loan.commit(&meta()).expect("it fits") as u8, number);
            true
        }
        Err(error) => {
            assert_eq!(error, TrySendError::Full(()));
            false
        }
    }
}

#[test]
fn every_frame_comes_in_order_whole_and_where_it_was_written() {
    for origin in ORIGINS {
        let ring = ring_from(4, origin);
        let (mut producer, mut consumer) = (producer(&ring), consumer(&ring, Delivery::EveryFrame, 1));
        for number in 0..20 {
            let mut loan = producer.try_loan().expect("a slot");
            let place = loan.as_mut_ptr().addr();
            assert_eq!(place % 4096, 0);
            loan.bytes_mut().expect("on the heap").fill(number);
            let mut meta = meta();
            (meta.timestamp, meta.time_base) = (i64::from(number) - 5, TimeBase { numerator: 1, denominator: 25 });
            loan.commit(&meta).expect("it fits");
            let frame = consumer.try_recv_ref().expect("a frame");
            assert_eq!((frame.sequence(), frame.skipped()), (number.into(), 0));
            assert_eq!(*frame.meta(), meta);
            assert_eq!(frame.as_ptr().addr(), place, "no byte was moved");
            assert_eq!(frame.bytes().expect("on the heap"), [number; BYTES]);
            assert_eq!(frame.bytes().expect("on the heap").as_ptr().addr(), place);
        }
        assert_eq!(consumer.try_recv_ref().expect_err("nothing more"), TryRecvError::Empty);
        assert_eq!((producer.sent(), consumer.position(), consumer.skipped()), (20, 20, 0));
    }
}

#[test]
fn a_consumer_that_takes_every_frame_and_lets_none_go_holds_the_producer_up() {
    let ring = ring(5);
    let (mut producer, mut consumer) = (producer(&ring), consumer(&ring, Delivery::EveryFrame, 3));
    // Nobody has taken them; each is held for the consumer.
    assert_eq!((0..10).take_while(|number| send(&mut producer, *number)).count(), 5);
    let held: Vec<_> = (0..3).map(|_| consumer.try_recv_ref().expect("a frame")).collect();
    assert_eq!(consumer.try_recv_ref().expect_err("enough"), TryRecvError::TooManyHeld { most: 3 });
    assert!(!send(&mut producer, 5));
    let error = producer.loan_timeout(Duration::from_millis(1)).map(drop).expect_err("no slot");
    assert_eq!(
        error.to_string(),
        "the ring stayed full until the deadline: try again, or find out why the consumer is slow"
    );
    // In any order.
    let mut held = held.into_iter();
    let (first, second, third) = (held.next(), held.next(), held.next());
    drop(second);
    assert!(send(&mut producer, 5) && !send(&mut producer, 6));
    drop((third, first));
    assert!(send(&mut producer, 6) && send(&mut producer, 7) && !send(&mut producer, 8));
    for number in 3..8 {
        assert_eq!(consumer.try_recv_ref().expect("a frame").bytes().expect("on the heap"), [number; BYTES]);
    }
}

#[test]
fn who_takes_the_newest_only_never_holds_the_producer_up_whatever_it_holds() {
    for origin in ORIGINS {
        let ring = ring_from(7, origin);
        let mut producer = producer(&ring);
        let mut renderers = [consumer(&ring, Delivery::NewestOnly, 3), consumer(&ring, Delivery::NewestOnly, 2)];
        let mut held = Vec::new();
        for number in 0..60_u8 {
            assert!(send(&mut producer, number), "frame {number}");
            for (index, renderer) in renderers.iter_mut().enumerate() {
                match renderer.try_recv_ref() {
                    Ok(frame) => held.push(frame),
                    Err(error) => {
                        assert_eq!(error, TryRecvError::TooManyHeld { most: [3, 2][index] });
                        // The one that was taken last, as a rule.
                        held.truncate(held.len() - usize::from(number % 3 == 0));
                    }
                }
            }
            for frame in &held {
                assert!(frame.bytes().expect("on the heap").iter().all(|byte| u64::from(*byte) == frame.sequence()));
            }
        }
        drop(held);
        for renderer in &mut renderers {
            assert!(send(&mut producer, producer_next(&ring)));
            let frame = renderer.try_recv_ref().expect("the newest");
            assert_eq!(frame.sequence() + 1, u64::from(producer_next(&ring)));
            assert!(renderer.skipped() >= frame.skipped() && renderer.skipped() > 0);
        }
    }
}

fn producer_next(ring: &Memory) -> u8 {
    ring.lane(0).cursor.load(ringshm_sync::atomic::Ordering::Relaxed).wrapping_sub(ring.geometry().origin) as u8
}

#[test]
fn skipped_frames_are_counted_exactly() {
    let ring = ring(4);
    let (mut producer, mut renderer) = (producer(&ring), consumer(&ring, Delivery::NewestOnly, 1));
    let mut skipped = 0;
    for (sent, missed) in [(1, 0), (5, 4), (1, 0), (9, 8)] {
        for _ in 0..sent {
            assert!(send(&mut producer, producer_next(&ring)));
        }
        assert_eq!(renderer.try_recv_ref().expect("the newest").skipped(), missed);
        skipped += missed;
        assert_eq!(renderer.skipped(), skipped);
        assert_eq!(renderer.try_recv_ref().expect_err("nothing newer"), TryRecvError::Empty);
    }
}

#[test]
fn consumers_of_both_kinds_do_not_disturb_each_other() {
    let ring = ring(6);
    let mut producer = producer(&ring);
    let mut recorder = consumer(&ring, Delivery::EveryFrame, 2);
    let mut renderer = consumer(&ring, Delivery::NewestOnly, 2);
    let mut shown = None;
    for number in 0..50 {
        assert!(send(&mut producer, number));
        let frame = recorder.try_recv_ref().expect("every frame");
        assert_eq!((frame.sequence(), frame.skipped()), (number.into(), 0));
        if number % 3 == 0 {
            shown = Some(renderer.try_recv_ref().expect("the newest"));
        }
        assert_eq!(shown.as_ref().expect("the first one").bytes().expect("on the heap"), [number - number % 3; BYTES]);
    }
}

#[test]
fn a_loan_that_is_not_committed_is_seen_by_nobody() {
    let ring = ring(3);
    let (mut producer, mut consumer) = (producer(&ring), consumer(&ring, Delivery::EveryFrame, 1));
    producer.try_loan().expect("a slot").bytes_mut().expect("on the heap").fill(9);
    core::mem::forget(producer.try_loan().expect("a slot"));
    assert_eq!(consumer.try_recv_ref().expect_err("nothing"), TryRecvError::Empty);
    let mut too_large = meta();
    too_large.bytes = BYTES + 1;
    let refused = producer.try_loan().expect("a slot").commit(&too_large);
    assert!(matches!(refused, Err(CommitError::Meta(bad)) if bad.field == "length"), "{refused:?}");
    assert_eq!((0..3).filter(|number| send(&mut producer, *number)).count(), 3, "no slot was lost");
    assert_eq!(consumer.try_recv_ref().expect("a frame").sequence(), 0);
}

#[test]
fn a_frame_outlives_its_consumer_and_goes_in_any_thread() {
    let ring = ring(4);
    let (mut producer, mut first) = (producer(&ring), consumer(&ring, Delivery::EveryFrame, 2));
    assert!(send(&mut producer, 0) && send(&mut producer, 1));
    let frame = first.try_recv_ref().expect("a frame");
    drop(first);
    for number in 2..10 {
        assert!(send(&mut producer, number), "what it had not taken is free");
    }
    assert_eq!(frame.bytes().expect("on the heap"), [0; BYTES]);
    std::thread::spawn(move || drop(frame)).join().expect("it does not panic");
    // Its lane is free again, and nothing is held in it.
    let all: Vec<_> = (0..2).map(|_| consumer(&ring, Delivery::NewestOnly, 1)).collect();
    assert_eq!(all.len(), 2);
    assert!(try_consumer(&ring, Delivery::NewestOnly, Some(1)).is_err(), "the last two slots are the producer's");
}

#[test]
fn consumers_cannot_be_promised_more_than_there_is() {
    let ring = ring(8);
    let recorder = consumer(&ring, Delivery::EveryFrame, 3);
    let renderer = try_consumer(&ring, Delivery::NewestOnly, None).expect("two if not given");
    assert_eq!((recorder.most_held(), renderer.most_held()), (3, 2));
    let last = try_consumer(&ring, Delivery::NewestOnly, None).expect("one is left");
    assert_eq!(last.most_held(), 1);
    let refused = try_consumer(&ring, Delivery::NewestOnly, None).expect_err("none is left");
    assert!(matches!(refused, OpenError::InvalidOption { option: "hold", .. }), "{refused}");
    drop(recorder);
    assert_eq!(consumer(&ring, Delivery::NewestOnly, 3).most_held(), 3);
    for wrong in [0, 16] {
        let refused = try_consumer(&ring, Delivery::EveryFrame, Some(wrong)).expect_err("impossible");
        assert!(matches!(refused, OpenError::InvalidOption { option: "hold", .. }), "{refused}");
    }
}

#[test]
fn a_late_consumer_begins_where_it_wants() {
    for origin in ORIGINS {
        let ring = ring_from(6, origin);
        let mut producer = producer(&ring);
        for number in 0..20 {
            assert!(send(&mut producer, number));
        }
        let first = |delivery, start| {
            let mut behaviour = Behaviour::default();
            (behaviour.start, behaviour.delivery, behaviour.most_held) = (start, delivery, Some(1));
            let mut consumer = consumer_in::<Frames>(&ring, behaviour).expect("room for it");
            consumer.try_recv_ref().map(|frame| frame.sequence())
        };
        let (all, newest) = (Delivery::EveryFrame, Delivery::NewestOnly);
        // Six slots: those of the last six frames.
        assert_eq!(first(all, Start::Oldest), Ok(14));
        assert_eq!(first(all, Start::At(3)), Ok(14));
        assert_eq!(first(all, Start::At(17)), Ok(17));
        assert_eq!(first(all, Start::At(99)), Err(TryRecvError::Empty));
        assert_eq!(first(all, Start::Newest), Err(TryRecvError::Empty));
        assert_eq!(first(newest, Start::Oldest), Ok(19));
        assert_eq!(first(newest, Start::At(3)), Ok(19));
        assert_eq!(first(newest, Start::At(99)), Err(TryRecvError::Empty));
        assert_eq!(first(newest, Start::Newest), Err(TryRecvError::Empty));
    }
}

#[test]
fn what_was_sent_is_there_after_the_producer_has_closed() {
    let ring = ring(4);
    let mut producer = producer(&ring);
    let mut every = consumer(&ring, Delivery::EveryFrame, 1);
    let mut newest = consumer(&ring, Delivery::NewestOnly, 1);
    assert!(send(&mut producer, 0) && send(&mut producer, 1));
    drop(producer);
    assert_eq!(every.recv_ref().expect("the first").sequence(), 0);
    assert_eq!(every.recv_ref().expect("the second").sequence(), 1);
    assert_eq!(every.try_recv_ref().expect_err("no more"), TryRecvError::Disconnected);
    assert_eq!(newest.recv_ref().expect("the newest").sequence(), 1);
    assert_eq!(newest.recv_ref_timeout(Duration::ZERO).expect_err("no more"), RecvTimeoutError::Disconnected);
}

#[test]
fn a_successor_goes_on_with_the_next_number_and_spares_what_is_held() {
    for origin in ORIGINS {
        let ring = ring_from(4, origin);
        let mut first = producer(&ring);
        let mut consumer = consumer(&ring, Delivery::EveryFrame, 2);
        assert!(send(&mut first, 0) && send(&mut first, 1));
        let held = consumer.try_recv_ref().expect("a frame");
        first.detach();
        let mut next = producer(&ring);
        assert!(send(&mut next, 2) && send(&mut next, 3) && !send(&mut next, 4));
        assert_eq!(held.bytes().expect("on the heap"), [0; BYTES]);
        drop(held);
        assert!(send(&mut next, 4));
        for number in 1..5 {
            assert_eq!(consumer.try_recv_ref().expect("a frame").bytes().expect("on the heap"), [number; BYTES]);
        }
    }
}

#[test]
fn rows_are_seen_as_they_come_by_those_who_want_them_early() {
    let ring = ring(6);
    let mut producer = producer(&ring);
    let mut early = consumer(&ring, Delivery::NewestOnly, 1);
    let mut patient = consumer(&ring, Delivery::EveryFrame, 1);
    let chroma = |offset| Plane { offset, stride: 4, row_bytes: 4, rows: 2 };
    let luma = Plane { offset: 0, stride: 8, row_bytes: 8, rows: 4 };
    let meta = Meta::with_planes(FourCc::I420, 8, 4, &[luma, chroma(32), chroma(40)]).expect("it can be");
    let mut begun = producer.try_loan().expect("a slot").begin(&meta).expect("its planes are apart");
    let frame = early.try_recv_early().expect("the frame that is begun");
    assert_eq!((frame.rows(), frame.is_complete(), frame.bytes()), (0, false, None));
    assert_eq!(patient.try_recv_ref().expect_err("not finished"), TryRecvError::Empty);
    assert_eq!(frame.wait_rows(1, Duration::ZERO), Err(RowsError::Timeout { ready: 0 }));
    for row in 0..3 {
        begun.write_row(0, row, &[row as u8; 8]).expect("this process");
    }
    begun.row_mut(1, 0).expect("on the heap").fill(7);
    begun.advance(3);
    begun.advance(1);
    assert_eq!(frame.wait_rows(2, Duration::ZERO), Ok(3));
    assert_eq!((frame.row(0, 2), frame.row(0, 3)), (Some(&[2; 8][..]), None));
    assert_eq!((frame.row(1, 0), frame.row(1, 1)), (Some(&[7; 4][..]), None), "half of the rows, rounded down");
    let mut row = [0; 8];
    assert_eq!(frame.read_row(0, 1, &mut row), Some(8));
    assert!(!frame.read(0, &mut row), "not all of it is there");
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| begun.write_row(0, 2, &[9; 8])));
    assert!(refused.is_err(), "others read it");
    assert_eq!(begun.finish(), 0);
    assert_eq!(frame.wait_rows(u32::MAX, Duration::ZERO), Ok(4));
    assert_eq!(frame.bytes().map(<[u8]>::len), Some(48));
    drop(frame);
    assert_eq!(early.try_recv_ref().expect_err("it had that one"), TryRecvError::Empty);
    assert!(patient.try_recv_ref().expect("finished").is_complete());
    let side_by_side = [Plane { offset: 0, stride: 8, row_bytes: 4, rows: 4 }, Plane { offset: 4, ..luma }];
    let side_by_side = side_by_side.map(|plane| Plane { row_bytes: 4, ..plane });
    let meta = Meta::with_planes(FourCc::new(b"mine"), 4, 4, &side_by_side).expect("it can be");
    let refused = producer.try_loan().expect("a slot").begin(&meta).map(drop);
    assert!(matches!(refused, Err(CommitError::Meta(_))), "{refused:?}");
}

#[test]
fn a_frame_that_is_given_up_ends_for_those_who_hold_it_and_the_others_step_over_it() {
    let ring = ring(6);
    let mut producer = producer(&ring);
    let mut early = consumer(&ring, Delivery::EveryFrame, 1);
    let mut patient = consumer(&ring, Delivery::EveryFrame, 1);
    let mut newest = consumer(&ring, Delivery::NewestOnly, 1);
    let mut begun = producer.try_loan().expect("a slot").begin(&meta()).expect("it can be");
    begun.write_row(0, 0, &[1; 8]).expect("this process");
    begun.advance(1);
    let frame = early.try_recv_early().expect("the frame that is begun");
    drop(begun);
    assert_eq!(frame.wait_rows(1, Duration::MAX), Ok(1));
    assert_eq!(frame.wait_rows(2, Duration::MAX), Err(RowsError::Abandoned { ready: 1 }));
    assert_eq!(patient.try_recv_ref().expect_err("given up"), TryRecvError::Empty);
    assert_eq!(newest.try_recv_ref().expect_err("given up"), TryRecvError::Empty);
    assert!(send(&mut producer, 1));
    let next = patient.try_recv_ref().expect("the next");
    assert_eq!((next.sequence(), next.skipped()), (1, 1));
    assert_eq!(newest.try_recv_ref().expect("the next").skipped(), 1);
    // One that was forgotten is given up by the next loan.
    core::mem::forget(producer.try_loan().expect("a slot").begin(&meta()).expect("it can be"));
    drop(producer.try_loan().expect("a slot"));
    assert!(send(&mut producer, 3));
    drop((frame, next));
    assert_eq!(early.try_recv_early().expect("finished").sequence(), 1);
    assert_eq!(early.try_recv_early().expect("finished").sequence(), 3);
}

#[test]
fn sleepers_are_woken() {
    for wait in [Wait::Park, Wait::default(), Wait::SpinThenYield(Duration::ZERO)] {
        let ring = ring(3);
        let mut behaviour = Behaviour::new(wait, OnDeath::Disconnect);
        behaviour.most_held = Some(1);
        let mut producer = producer_in::<Frames>(&ring, behaviour).expect("a free role");
        let mut consumer = consumer_in::<Frames>(&ring, behaviour).expect("a free role");
        let sending = std::thread::spawn(move || {
            for number in 0..1000_u32 {
                let mut begun = producer.loan().expect("a slot").begin(&meta()).expect("it can be");
                for row in 0..8 {
                    begun.write_row(0, row, &(u64::from(number) + u64::from(row)).to_ne_bytes()).expect("this process");
                    begun.advance(row + 1);
                }
                begun.finish();
            }
        });
        for number in 0..1000_u64 {
            let frame = consumer.recv_early().expect("a frame");
            for row in 0..8 {
                assert!(frame.wait_rows(row + 1, Duration::MAX).expect("it is finished") > row);
                let expected = (number + u64::from(row)).to_ne_bytes();
                assert_eq!(frame.row(0, row), Some(&expected[..]));
            }
        }
        sending.join().expect("it does not panic");
        assert!(consumer.recv_ref().is_err());
    }
}

#[test]
fn impossible_wishes_are_refused_with_a_reason() {
    use ringshm_core::open::Options;
    let with = |capacity, frame_bytes| {
        let mut options = Options::default();
        (options.wishes.capacity, options.wishes.max_message) = (capacity, frame_bytes);
        options.heap::<Frames>().map(drop)
    };
    assert!(with(Some(3), Some(1)).is_ok());
    for slots in [0, 1, 2, 1025] {
        let refused = with(Some(slots), Some(1));
        assert!(matches!(refused, Err(OpenError::InvalidOption { option: "capacity", .. })), "{slots}: {refused:?}");
    }
    assert!(matches!(with(None, None), Err(OpenError::InvalidOption { option: "frame_bytes", .. })));
    assert!(matches!(with(None, Some(1 << 45)), Err(OpenError::NoSpace { .. })));
    assert!(matches!(with(None, Some(u64::MAX)), Err(OpenError::NoSpace { .. })));
}

/// What lies between borrowing a slot and handing the frame out, counted in bytes that the ring moves: none, whatever the size. The time of it is in
/// `benches`.
#[test]
fn handing_a_frame_over_moves_no_pixel() {
    for bytes in [4096, 12 << 20] {
        let wishes = Wishes { capacity: Some(3), max_message: Some(bytes), ..Wishes::default() };
        let ring = Memory::on_heap(Frames::geometry(&wishes).expect("a ring"));
        let (mut producer, mut consumer) = (producer(&ring), consumer(&ring, Delivery::EveryFrame, 1));
        let meta = Meta::of_bytes(FourCc::new(b"mine"), bytes as usize).expect("it can be");
        let mut places = Vec::new();
        for _ in 0..6 {
            let mut loan = producer.try_loan().expect("a slot");
            let written = loan.as_mut_ptr().addr();
            loan.commit(&meta).expect("it fits");
            assert_eq!(consumer.try_recv_ref().expect("a frame").as_ptr().addr(), written);
            places.push(written);
        }
        places.sort_unstable();
        places.dedup();
        assert!(places.len() <= 3 && places.windows(2).all(|pair| pair[1] - pair[0] >= bytes as usize));
    }
}

/// The slots that a producer with this history writes while one consumer keeps up with it, and the frames that one finds that comes then.
fn with_history(history: Option<u32>) -> (usize, Vec<u64>) {
    let ring = ring(8);
    let mut behaviour = Behaviour::default();
    behaviour.history = history;
    let mut producer = producer_in::<Frames>(&ring, behaviour).expect("a free role");
    let mut consumer = consumer(&ring, Delivery::EveryFrame, 1);
    let mut written = std::collections::HashSet::new();
    for number in 0..100 {
        // Nothing is worn out by a question, or by a loan that was not used.
        assert!(producer.is_ready());
        drop(producer.try_loan().expect("a slot"));
        let mut loan = producer.try_loan().expect("a slot");
        if number >= 50 {
            written.insert(loan.as_mut_ptr());
        }
        loan.commit(&meta()).expect("it fits");
        assert_eq!(consumer.try_recv_ref().expect("just sent").sequence(), number);
    }
    let mut late = self::consumer(&ring, Delivery::EveryFrame, 1);
    let found = core::iter::from_fn(|| late.try_recv_ref().ok().map(|frame| frame.sequence()));
    (written.len(), found.collect())
}

#[test]
fn a_producer_leaves_as_many_frames_to_who_comes_late_as_it_was_told_and_writes_few_slots() {
    assert_eq!(with_history(None), (8, (92..100).collect()));
    assert_eq!(with_history(Some(100)), with_history(None));
    // Beside the newest and the history, the one that is written next is still there.
    assert_eq!(with_history(Some(0)), (2, vec![98, 99]));
    assert_eq!(with_history(Some(3)), (5, (95..100).collect()));
}
