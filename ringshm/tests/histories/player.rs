//! A process that makes some calls at a given moment, and writes down when each began, ended and what it said.

use crate::calls::Deed;
use crate::support::{Kind, Parcel, Place, Stop, die_with_parent};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{Read as _, Write as _};

/// The environment variable that makes a copy of this test a player: `ROLE NUMBER CALLS` and the words of its ring.
pub(crate) const PLAYER: &str = "RINGSHM_HISTORY_PLAYER";
/// The environment variable with the file that it writes to.
pub(crate) const LOG: &str = "RINGSHM_HISTORY_LOG";

/// Now, on the clock that all processes share.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Now, and what this process has stored is seen by all. Without a fence, a store may be on its way for some hundred nanoseconds
/// after the call that made it returned, and another process may still be told that the ring is empty: no call promises more.
#[allow(clippy::disallowed_methods, reason = "a fence of the test, and not of the ring")]
fn now_visible() -> u64 {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    now()
}

/// Notes as they lie in the file: when the call began, when it ended (0: it is about to begin), a code and a number.
type Note = [u64; 4];

const SENT: u64 = 0;
const FULL: u64 = 1;
const RECEIVED: u64 = 2;
const REDELIVERED: u64 = 3;
const EMPTY: u64 = 4;
const STALLED: u64 = 5;
const LAGGED: u64 = 6;

fn note(file: &mut File, note: Note) {
    let bytes: Vec<u8> = note.into_iter().flat_map(u64::to_ne_bytes).collect();
    file.write_all(&bytes).expect("the log can be written");
}

/// A finished call: its beginning, its end, its answer.
pub(crate) type Call = (u64, u64, Deed);

/// A player's notes: finished calls, and perhaps one that it died in, by its beginning and the message that it was about to send.
pub(crate) fn read(bytes: &[u8]) -> (Vec<Call>, Option<(u64, u64)>) {
    let words: Vec<u64> = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8"))).collect();
    let (mut calls, mut pending) = (Vec::new(), None);
    for note in words.chunks_exact(4) {
        let deed = match (note[1], note[2]) {
            (0, _) => {
                pending = Some((note[0], note[3]));
                continue;
            }
            (_, SENT) => Deed::Sent(note[3]),
            (_, FULL) => Deed::Full,
            (_, RECEIVED) => Deed::Received(note[3]),
            (_, REDELIVERED) => Deed::Redelivered(note[3]),
            (_, EMPTY) => Deed::Empty,
            (_, LAGGED) => Deed::Lagged(note[3]),
            _ => Deed::Stalled,
        };
        pending = None;
        calls.push((note[0], note[1], deed));
    }
    (calls, pending)
}

/// Opens its role, says so, waits for a moment to be named, and begins at that moment.
pub(crate) fn run(words: &str) {
    die_with_parent();
    let words: Vec<&str> = words.split(' ').collect();
    let [role, player, calls, place @ ..] = &words[..] else { panic!("too few words: {words:?}") };
    let (player, calls): (u64, u64) = (player.parse().expect("a number"), calls.parse().expect("a number"));
    let place = Place::from_words(place);
    let log = std::env::var_os(LOG).expect("a log");
    let mut log = File::options().create(true).append(true).open(log).expect("the log can be made");
    if *role == "producer" {
        let mut source = place.source().expect("a free place");
        await_cue();
        for call in 0..calls {
            let number = player << 32 | call;
            let parcel = Parcel::of(number);
            note(&mut log, [now(), 0, SENT, number]);
            let begin = now();
            let answer = source.try_send(parcel);
            let end = now_visible();
            let code = match answer {
                Ok(()) => SENT,
                Err(Stop::NotReady) => FULL,
                Err(Stop::Stalled) => STALLED,
                Err(stop) => panic!("sending: {stop:?}"),
            };
            note(&mut log, [begin, end, code, number]);
        }
        source.detach();
    } else {
        let mut sink = place.sink().expect("a free place");
        await_cue();
        for _ in 0..calls {
            note(&mut log, [now(), 0, RECEIVED, 0]);
            let begin = now();
            let answer = match sink.try_recv() {
                // The frame was taken, and comes now: the newest when the call was made.
                Err(Stop::Lagged(_)) if place.kind == Kind::NewestFrame => sink.try_recv(),
                answer => answer,
            };
            let end = now_visible();
            let (code, number) = match answer {
                Ok(received) if received.redelivered => (REDELIVERED, received.parcel.number()),
                Ok(received) => (RECEIVED, received.parcel.number()),
                Err(Stop::NotReady) => (EMPTY, 0),
                Err(Stop::Stalled) => (STALLED, 0),
                Err(Stop::Lagged(missed)) => (LAGGED, missed),
                Err(stop) => panic!("receiving: {stop:?}"),
            };
            note(&mut log, [begin, end, code, number]);
        }
        // It keeps its place until the parent hangs up.
        let _ = std::io::stdin().read(&mut [0]);
        sink.detach();
    }
}

/// Says that it is ready, is told when to begin, and returns then.
fn await_cue() {
    println!("\nready");
    let mut moment = [0; 8];
    std::io::stdin().read_exact(&mut moment).expect("the parent says when");
    while now() < u64::from_ne_bytes(moment) {
        std::hint::spin_loop();
    }
}
