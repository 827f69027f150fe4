//! The mutator at rings of frames: their words, what is said of frames, and the pixels themselves.

use super::{Mutator, SHORT, Tally, call_until};
use crate::support::{Folder, Stop};
use ringshm::frames::{Consumer, Delivery, FourCc, Frame, Frames, Meta, Producer};
use ringshm::{Builder, Directory, Name};
use std::time::{Duration, Instant};

const NAME: &str = "film";
const SIDE: u32 = 16;

fn ring(folder: &Folder) -> Builder<Frames> {
    ringshm::frames(NAME).directory(folder.path()).capacity(6).frame_bytes(u64::from(SIDE * SIDE))
}

/// Frames of several sorts, some of them early, some of them given up.
fn decode(producer: &mut Producer, turn: u64) -> Result<usize, Stop> {
    let meta = Meta::new(FourCc::GRAY, SIDE, SIDE).expect("a small frame");
    let mut loan = match turn % 2 {
        0 => producer.try_loan()?,
        _ => producer.loan_timeout(SHORT)?,
    };
    loan.write(0, &[turn as u8; 64])?;
    if turn % 5 < 3 {
        loan.commit(&meta).expect("it fits");
        return Ok(1);
    }
    let mut begun = loan.begin(&meta).expect("it fits");
    for row in 0..SIDE {
        begun.write_row(0, row, &[turn as u8; SIDE as usize])?;
        begun.advance(row + 1);
    }
    if turn % 5 == 3 {
        begun.finish();
    }
    Ok(1)
}

/// Reads all that a frame says there is: it must be inside of the slot, which the address sanitizer sees.
fn show(frame: &Frame) {
    let mut row = vec![0; 4 * SIDE as usize];
    assert!(frame.len() <= (SIDE * SIDE) as usize);
    let _ = frame.wait_rows(SIDE, SHORT);
    for (index, plane) in frame.meta().planes().iter().enumerate() {
        assert!(plane.end() <= frame.len());
        for at in 0..plane.rows.min(64) {
            let _ = frame.read_row(index, at, &mut row);
        }
    }
    let mut all = vec![0; frame.len()];
    let _ = (frame.read(0, &mut all), frame.rows(), frame.skipped(), frame.meta().extra().len());
}

fn render(consumer: &mut Consumer, held: &mut Vec<Frame>, turn: u64) -> Result<usize, Stop> {
    let frame = match turn % 3 {
        0 => consumer.try_recv_ref()?,
        1 => consumer.recv_ref_timeout(SHORT)?,
        _ => consumer.recv_early_timeout(SHORT)?,
    };
    show(&frame);
    held.push(frame);
    if held.len() as u64 > turn % 2 {
        held.remove(0);
    }
    Ok(1)
}

fn send(folder: &Folder, end: Instant) -> Tally {
    let Ok(mut producer) = ring(folder).producer() else { return Tally { faults: 1, ..Tally::default() } };
    call_until(end, |turn| decode(&mut producer, turn))
}

fn receive(folder: &Folder, delivery: Delivery, end: Instant) -> Tally {
    let Ok(mut consumer) = ring(folder).delivery(delivery).hold(2).consumer() else {
        return Tally { faults: 1, ..Tally::default() };
    };
    let mut held = Vec::new();
    call_until(end, |turn| match render(&mut consumer, &mut held, turn) {
        Err(stop) => {
            held.clear();
            Err(stop)
        }
        result => result,
    })
}

#[test]
fn a_ring_of_frames_survives_a_process_that_flips_its_words() {
    let seconds = std::env::var("RINGSHM_HOSTILE").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(2.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let folder = Folder::for_leftovers();
    let mut tally = Tally::default();
    let mut rings = 0;
    while Instant::now() < end {
        let (producer, consumer) = (ring(&folder).producer().expect("a new ring"), ring(&folder).consumer());
        let mutator = Mutator::start(Directory::new(folder.path()).path_of(&Name::new(NAME).expect("a name")));
        producer.detach();
        drop(consumer.expect("the ring just made"));
        let turn = end.min(Instant::now() + Duration::from_millis(250));
        std::thread::scope(|scope| {
            let folder = &folder;
            let threads = [
                scope.spawn(move || send(folder, turn)),
                scope.spawn(move || receive(folder, Delivery::EveryFrame, turn)),
                scope.spawn(move || receive(folder, Delivery::NewestOnly, turn)),
            ];
            for thread in threads {
                tally += thread.join().expect("no call panics, whatever the memory says");
            }
        });
        drop(mutator);
        let _ = ringshm::remove(&folder.directory(), NAME, true);
        rings += 1;
    }
    println!("frames: {rings} rings, {tally:?}");
    assert!(tally.messages > 0 && tally.faults > 0, "nothing was put to the test: {tally:?}");
}
