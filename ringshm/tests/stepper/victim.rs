//! The process that is stepped through, seen from inside.

use crate::case::{BATCH, Case, Deed, Handle, State};
use crate::support::{PATIENCE, Parcel, Stop, die_with_parent};
use nix::sys::signal::{Signal, raise};
use std::path::Path;
use std::time::Duration;

/// The environment variable that makes a copy of this program a victim: the index of its case.
pub(crate) const CASE: &str = "RINGSHM_TEST_CASE";
/// The environment variable with the folder of its ring.
pub(crate) const FOLDER: &str = "RINGSHM_TEST_FOLDER";

/// The environment variable that makes it the one that dies before the victim comes to its operation.
pub(crate) const DECOY: &str = "RINGSHM_TEST_DECOY";
/// The number of the message that such a producer never gets to send.
pub(crate) const UNSENT: u64 = 900;

/// The process ends with this and more when it could not even begin.
pub(crate) const FAILED: i32 = 100;

/// Does what its case says, between two stops, and ends with the number of messages transferred as its status.
pub(crate) fn run(index: &str) -> ! {
    die_with_parent();
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("victim: {panic}");
        std::process::exit(FAILED);
    }));
    let index: usize = index.parse().expect("an index");
    let case = Case::all()[index];
    let folder = std::env::var_os(FOLDER).expect("a folder");
    let folder = Path::new(&folder);
    if std::env::var_os(DECOY).is_some() {
        claim(case, folder);
    }
    let mut handle = prepare(case, folder);
    // What is looked up at its first use is looked up now: the steps are to be the same in every run.
    let _ = (rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse), std::time::Instant::now());
    nix::sys::ptrace::traceme().expect("it was started to be traced");
    if case.state.has_dead() {
        stop();
        come_across(&mut handle);
    }
    let transferred = act(case, folder, &mut handle);
    // Its handle is not dropped: whoever lives through its operation is killed all the same.
    std::process::exit(transferred as i32)
}

/// Brings the ring into its state, as far as that is this side's part.
fn prepare(case: Case, folder: &Path) -> Handle {
    let place = case.place(folder);
    if case.deed == Deed::Join {
        Handle::None
    } else if case.deed.sends() {
        let mut source = place.source().expect("the ring is there, and the role is free");
        for number in 0..if case.state.has_dead() { case.passed() } else { case.next() } {
            source.send_by(Parcel::of(number), PATIENCE).expect("the other side receives");
        }
        Handle::Source(source)
    } else {
        let mut sink = place.sink().expect("the ring is there, and the role is free");
        for _ in 0..case.passed() {
            sink.recv_by(PATIENCE).expect("the other side sends");
        }
        Handle::Sink(sink)
    }
}

fn stop() {
    raise(Signal::SIGSTOP).expect("a process may stop itself");
}

/// Claims what the case wants to be claimed by somebody dead, and is killed doing so.
fn claim(case: Case, folder: &Path) -> ! {
    let place = case.place(folder);
    nix::sys::ptrace::traceme().expect("it was started to be traced");
    if case.orphan().is_some() {
        let mut sink = place.sink().expect("a free lane");
        stop();
        let _ = sink.try_recv();
    } else {
        let mut source = place.source().expect("a free lane");
        stop();
        let _ = source.try_send(Parcel::of(UNSENT));
    }
    panic!("it was to be killed meanwhile")
}

/// Comes across a claim, whose owner still lives, and lets so much time go by that the next operation asks for it.
fn come_across(handle: &mut Handle) {
    let stop = match handle {
        Handle::Source(source) => source.try_send(Parcel::of(UNSENT)),
        Handle::Sink(sink) => sink.try_recv().map(|_| ()),
        Handle::None => unreachable!("claims are made by who is there"),
    };
    assert!(matches!(stop, Err(Stop::Stalled | Stop::NotReady)), "it is in the way: {stop:?}");
    // Patience is a millisecond; whoever finds nothing at all reads the coarse clock, which ticks.
    let is_idle = stop == Err(Stop::NotReady);
    std::thread::sleep(Duration::from_micros(if is_idle { 12_000 } else { 1_100 }));
}

/// The operation between two stops. Returns how many messages it transferred.
fn act(case: Case, folder: &Path, handle: &mut Handle) -> usize {
    let place = case.place(folder);
    let parcels: [Parcel; BATCH] = core::array::from_fn(|index| Parcel::of(case.next() + index as u64));
    let mut room = parcels;
    stop();
    let transferred = match (case.deed, handle) {
        (Deed::Send, Handle::Source(source)) => source.try_send(parcels[0]).map(|()| 1),
        (Deed::SendBatch, Handle::Source(source)) => source.try_send_slice(&parcels),
        (Deed::Recv, Handle::Sink(sink)) => sink.try_recv().map(|received| {
            room[0] = received.parcel;
            1
        }),
        (Deed::RecvBatch, Handle::Sink(sink)) => sink.try_recv_slice(&mut room),
        (Deed::Join, handle) => {
            *handle = Handle::Sink(place.sink().expect("a free lane"));
            Ok(0)
        }
        (Deed::Leave, handle) => {
            *handle = Handle::None;
            Ok(0)
        }
        _ => unreachable!("a handle of the other side"),
    };
    stop();
    let is_overtaken = matches!(transferred, Err(Stop::Lagged(_)));
    assert_eq!(is_overtaken, case.state == State::Overtaken, "{transferred:?}");
    let transferred = transferred.unwrap_or(0);
    if !case.deed.sends() {
        for (parcel, number) in room.iter().zip(case.first()..case.first() + transferred as u64) {
            assert_eq!(parcel.number(), number);
        }
    }
    transferred
}
