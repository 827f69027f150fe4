//! A process that flips words of a ring in use, while producers and consumers of it run: errors are allowed, and wrong messages;
//! crashes, calls without end and accesses outside of the ring are not.
//!
//! A ring goes round in this process, with a thread for each participant, so that a crash is one of the test and the address
//! sanitizer sees every access; the mutator is another process, as it would be. `RINGSHM_HOSTILE` says for how many seconds each
//! ring is tried. Under the sanitizer:
//! `RUSTFLAGS=-Zsanitizer=address RINGSHM_HOSTILE=15 cargo +nightly test -p ringshm --target x86_64-unknown-linux-gnu --test hostile`.

#[path = "../support/mod.rs"]
mod support;

mod frames;
mod sync;

use ringshm::{Directory, Name};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, Kind, Parcel, Place, Stop, die_with_parent};

/// The environment variable that makes a copy of this test the mutator: the path of the ring.
const RING: &str = "RINGSHM_TEST_HOSTILE_RING";
/// The longest that one call may take: its time-out, a park, and the scheduler's whims.
const LONGEST: Duration = Duration::from_secs(5);
/// The time-out of calls that wait.
const SHORT: Duration = Duration::from_micros(200);
/// The header is only read when a ring is opened.
const LIVE_AT: u64 = 512;

/// Numbers by chance, always the same from the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }
}

/// Not a test: the body of the mutator.
#[test]
fn mutator() {
    let Some(path) = std::env::var_os(RING) else { return };
    die_with_parent();
    let ring = File::options().read(true).write(true).open(&path).expect("the ring is there");
    let words = ring.metadata().expect("an open file").len() / 8;
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let read = |at: u64| {
        let mut word = [0; 8];
        ring.read_exact_at(&mut word, at).map(|()| u64::from_ne_bytes(word))
    };
    let write = |at: u64, word: u64| ring.write_all_at(&word.to_ne_bytes(), at).expect("inside of the ring");
    // Most of a segment is never used: whatever differs from zero is, or was.
    let mut used = Vec::new();
    loop {
        if used.is_empty() || dice.below(64) == 0 {
            used =
                (LIVE_AT / 8..words).map(|word| word * 8).filter(|at| read(*at).is_ok_and(|word| word != 0)).collect();
        }
        for _ in 0..16 {
            let at = match dice.below(8) {
                0 => LIVE_AT + dice.below(words - LIVE_AT / 8) * 8,
                _ if !used.is_empty() => used[dice.below(used.len() as u64) as usize],
                _ => continue,
            };
            let Ok(before) = read(at) else { return };
            let after = match dice.below(6) {
                0 | 1 => before ^ 1 << dice.below(64),
                2 => before.wrapping_add(dice.below(9)).wrapping_sub(4),
                3 => before.wrapping_add((dice.below(9) << 8).wrapping_sub(4 << 8)),
                4 => dice.below(4),
                _ => dice.next(),
            };
            write(at, after);
            // Mostly it comes and goes, so that whoever reads a word twice sees two values.
            if dice.below(4) != 0 {
                write(at, before);
            }
        }
        // A breath for the others, or nothing ever gets through.
        std::thread::sleep(Duration::from_micros(dice.below(300)));
    }
}

struct Mutator(Child);

impl Mutator {
    fn start(ring: PathBuf) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test binary knows its path"));
        command.args(["mutator", "--exact", "--nocapture"]).env(RING, ring);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("this test can start itself"))
    }
}

impl Drop for Mutator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What came of all calls of a thread.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    messages: u64,
    nothing: u64,
    faults: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.nothing += other.nothing;
        self.faults += other.faults;
    }
}

/// Makes calls until one finds the ring damaged for good, or time is over.
fn call_until(end: Instant, mut call: impl FnMut(u64) -> Result<usize, Stop>) -> Tally {
    let mut tally = Tally::default();
    let mut faults_in_a_row = 0;
    for turn in 0.. {
        let begin = Instant::now();
        if begin > end || faults_in_a_row > 50 {
            break;
        }
        match call(turn) {
            Ok(count) => {
                assert!(count <= 8, "more than was asked for");
                (tally.messages, faults_in_a_row) = (tally.messages + count as u64, 0);
            }
            Err(Stop::Corrupt | Stop::Disconnected | Stop::Evicted) => {
                (tally.faults, faults_in_a_row) = (tally.faults + 1, faults_in_a_row + 1);
            }
            Err(_) => tally.nothing += 1,
        }
        assert!(begin.elapsed() < LONGEST, "a call with a time-out takes {:?}", begin.elapsed());
    }
    tally
}

fn send(place: &Place, end: Instant) -> Tally {
    let Ok(mut source) = place.source() else { return Tally { faults: 1, ..Tally::default() } };
    let batch = [Parcel::of(7); 5];
    call_until(end, |turn| match turn % 3 {
        0 => source.try_send(batch[0]).map(|()| 1),
        1 => source.send_by(batch[0], SHORT).map(|()| 1),
        _ => source.try_send_slice(&batch),
    })
}

fn receive(place: &Place, end: Instant) -> Tally {
    let Ok(mut sink) = place.sink() else { return Tally { faults: 1, ..Tally::default() } };
    let mut batch = [Parcel::of(0); 5];
    call_until(end, |turn| match turn % 3 {
        0 => sink.try_recv().map(|_| 1),
        1 => sink.recv_by(SHORT).map(|_| 1),
        _ => sink.try_recv_slice(&mut batch),
    })
}

/// Opens rings of a kind again and again, and has all participants work in each while it is damaged.
fn survive(kind: Kind) {
    let seconds = std::env::var("RINGSHM_HOSTILE").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(1.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let folder = Folder::for_leftovers();
    let place = Place {
        kind,
        folder: folder.path().to_owned(),
        name: "hostile".to_owned(),
        capacity: 8,
        origin: 0,
        is_silent: false,
    };
    let mut tally = Tally::default();
    let mut rings = 0;
    while Instant::now() < end {
        let (source, sink) = (place.source().expect("a new ring"), place.sink().expect("the ring just made"));
        let mutator = Mutator::start(Directory::new(folder.path()).path_of(&Name::new("hostile").expect("a name")));
        source.detach();
        sink.detach();
        let turn = end.min(Instant::now() + Duration::from_millis(250));
        std::thread::scope(|scope| {
            let many = |many: bool| if many { 2 } else { 1 };
            let place = &place;
            let mut threads = Vec::new();
            for _ in 0..many(kind.has_many_sources()) {
                threads.push(scope.spawn(move || send(place, turn)));
            }
            for _ in 0..many(kind.has_many_sinks()) {
                threads.push(scope.spawn(move || receive(place, turn)));
            }
            for thread in threads {
                tally += thread.join().expect("no call panics, whatever the memory says");
            }
        });
        drop(mutator);
        place.remove();
        rings += 1;
    }
    println!("{}: {rings} rings, {tally:?}", kind.word());
    // A register's words are all there is to a value: there is none that a reader could call damaged.
    let has_faults = tally.faults > 0 || kind == Kind::Latest;
    assert!(tally.messages > 0 && has_faults, "nothing was put to the test: {tally:?}");
}

#[test]
fn every_ring_survives_a_process_that_flips_its_words() {
    // For those of frames, see `frames.rs`.
    Kind::ALL.into_iter().filter(|kind| !kind.is_of_frames()).for_each(survive);
}
