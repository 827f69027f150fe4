//! A process that scribbles on a ring while both of its sides run: errors are allowed, crashes, hangs and impossible values
//! are not.

use crate::image::{Bed, HEADER, PAD, TAG, Way};
use crate::made;
use crate::words::{DATA_AT, cursor_at, ledger_at, state_at};
use ringshm_core::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use ringshm_core::layout::CONTROL_AT;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The environment variable that makes a test run the other process; its value is the seed.
const SCRIBBLER: &str = "RINGSHM_TEST_SCRIBBLER";
const RECORDS: u64 = 0x9e37_79b9_7f4a_7c15;
const SLOTS: u64 = 0xd1b5_4a32_d192_ed03;

/// A sequence of numbers that looks random and is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of(&mut self, choices: &[u64]) -> u64 {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// The body of the other process: it has the ring's memfd as its standard input. It does nothing in an ordinary test run.
#[test]
fn scribbler() {
    let Some(seed) = std::env::var(SCRIBBLER).ok().and_then(|seed| seed.parse().ok()) else { return };
    // What is in the slots is nobody's business: there, the live words are all there is to damage.
    let live_in_16 = if seed == SLOTS { 12 } else { 2 };
    let ring = File::from(std::io::stdin().as_fd().try_clone_to_owned().expect("the ring"));
    let len = ring.metadata().expect("an open file").len();
    let mut numbers = Numbers(seed);
    let words: Vec<u64> = (0..2)
        .flat_map(|lane| {
            [cursor_at(lane), state_at(lane), ledger_at(lane, 0), ledger_at(lane, 0) + 8, ledger_at(lane, 1)]
        })
        .chain([CONTROL_AT])
        .map(|at| at as u64)
        .collect();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(20) {
        for _ in 0..64 {
            let at = match numbers.below(16) {
                choice if choice < live_in_16 => numbers.of(&words),
                15 => numbers.below(HEADER as u64 / 8) * 8,
                _ => DATA_AT as u64 + numbers.below((len - DATA_AT as u64).min(1024) / 8) * 8,
            };
            let mut word = [0; 8];
            ring.read_exact_at(&mut word, at).expect("inside of the object");
            let before = u64::from_ne_bytes(word);
            let after = match numbers.below(6) {
                0 => before ^ 1 << numbers.below(64),
                1 => before.wrapping_add(numbers.below(33) * 8).wrapping_sub(128),
                2 => TAG | numbers.of(&[0, 1, 8, 9, 56, 57, 0xffff_ffff]),
                3 => PAD | numbers.of(&[0, 8, 16, 56, 120, 0xffff_ffff]),
                4 => numbers.below(4),
                _ => numbers.next(),
            };
            ring.write_all_at(&after.to_ne_bytes(), at).expect("inside of the object");
            // Mostly it comes and goes, so that whoever reads a word twice sees two values.
            if numbers.below(4) != 0 {
                ring.write_all_at(&word, at).expect("inside of the object");
            }
        }
        // A breath for the two sides, or nothing ever gets through.
        std::thread::sleep(Duration::from_micros(numbers.below(300)));
    }
}

/// The other process, killed when dropped.
struct Scribbler(Child);

impl Scribbler {
    fn start(ring: &File, seed: u64) -> Self {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "mutator::scribbler", "--nocapture"])
            .env(SCRIBBLER, seed.to_string())
            .stdin(ring.try_clone().expect("an open file"))
            .stdout(Stdio::null())
            .spawn()
            .expect("this test once more");
        Self(child)
    }
}

impl Drop for Scribbler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Debug, Default)]
struct Tally {
    messages: u64,
    faults: u64,
    refusals: u64,
    openings: u64,
}

/// Opens and opens again, for so many operations; `act` does one with both sides and says whether they are still of use.
fn survive<M: ringshm_core::Message + ?Sized>(
    image: &[u8],
    seed: u64,
    mut act: impl FnMut(u64, &mut M::Producer, &mut M::Consumer, &mut Tally) -> bool,
) {
    const OPERATIONS: u64 = 60_000;
    let bed = Bed::new(image);
    let scribbler = Scribbler::start(&bed.memfd, seed);
    let mut tally = Tally::default();
    let mut operations = 0;
    let begin = Instant::now();
    while operations < OPERATIONS && begin.elapsed() < Duration::from_secs(4) {
        let sides = (bed.producer::<M>(Way::Memfd, false), bed.consumer::<M>(Way::Memfd, false));
        let (Ok(mut producer), Ok(mut consumer)) = sides else {
            // Damaged for good: a new ring in the same place. Nobody but the scribbler is in it.
            tally.refusals += 1;
            bed.memfd.write_all_at(image, 0).expect("a memfd sealed against resizing only");
            continue;
        };
        tally.openings += 1;
        // The scribbler cannot hold us up for longer than a time-out and a park.
        let opened = Instant::now();
        for _ in 0..1000 {
            operations += 1;
            if !act(operations, &mut producer, &mut consumer, &mut tally) {
                break;
            }
        }
        assert!(opened.elapsed() < Duration::from_secs(3), "bounded operations take a bounded time");
    }
    drop(scribbler);
    println!("{tally:?}");
    assert!(tally.messages > 100 && tally.faults > 0 && tally.refusals > 0, "nothing was put to the test: {tally:?}");
}

const WAIT: Duration = Duration::from_micros(20);

#[test]
fn a_record_ring_survives_a_scribbling_process() {
    let mut bytes = Vec::new();
    let image = made::records(0, 0, 0);
    survive::<[u8]>(&image, RECORDS, |operation, producer, consumer, tally| {
        let len = (operation % 57) as usize;
        let sent = match operation % 4 {
            0 => producer.try_send(&[1; 64][..len]),
            1 => producer.try_send_slice(&[[2; 3], [3; 3]]).map(|_| ()),
            2 => producer.try_loan(len).map(ringshm_core::RecordLoan::commit),
            _ => match producer.send_timeout(&[4; 64][..len], WAIT) {
                Err(SendTimeoutError::Fault((), fault)) => Err(TrySendError::Fault((), fault)),
                _ => Ok(()),
            },
        };
        let received = match operation % 3 {
            0 => consumer.try_recv(&mut bytes),
            1 => consumer.try_recv_ref().map(|record| record.len()),
            _ => match consumer.recv_timeout(&mut bytes, WAIT) {
                Ok(len) => Ok(len),
                Err(RecvTimeoutError::Fault(fault)) => Err(TryRecvError::Fault(fault)),
                Err(_) => Err(TryRecvError::Empty),
            },
        };
        assert!(producer.len() <= 16 && consumer.len() <= 16);
        if let Ok(len) = received {
            assert!(len <= 56);
            tally.messages += 1;
        }
        let is_faulty = matches!(sent, Err(TrySendError::Fault(..))) || matches!(received, Err(TryRecvError::Fault(_)));
        tally.faults += u64::from(is_faulty);
        !is_faulty
    });
}

#[test]
fn a_slot_ring_survives_a_scribbling_process() {
    let image = made::slots(0, 0, 0);
    survive::<u64>(&image, SLOTS, |operation, producer, consumer, tally| {
        let sent = match operation % 3 {
            0 => producer.try_send(operation),
            1 => producer.try_send_slice(&[operation; 5]).map(|_| ()).map_err(|_| TrySendError::Full(0)),
            _ => match producer.send_timeout(operation, WAIT) {
                Err(SendTimeoutError::Fault(_, fault)) => Err(TrySendError::Fault(0, fault)),
                _ => Ok(()),
            },
        };
        let received = match operation % 3 {
            0 => consumer.try_recv().map(|_| 1),
            1 => consumer.try_drain().map(|drain| drain.take(2).count() as u64),
            _ => match consumer.recv_timeout(WAIT) {
                Ok(_) => Ok(1),
                Err(RecvTimeoutError::Fault(fault)) => Err(TryRecvError::Fault(fault)),
                Err(_) => Err(TryRecvError::Empty),
            },
        };
        assert!(producer.len() <= 8 && consumer.len() <= 8);
        if let Ok(count) = received {
            assert!(count <= 8);
            tally.messages += count;
        }
        let is_faulty = matches!(sent, Err(TrySendError::Fault(..))) || matches!(received, Err(TryRecvError::Fault(_)));
        tally.faults += u64::from(is_faulty);
        !is_faulty
    });
}
