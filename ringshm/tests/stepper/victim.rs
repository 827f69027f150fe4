//! The process that is stepped through, seen from inside.

use crate::case::{BATCH, Case, Deed, Handle};
use crate::support::{PATIENCE, Parcel, die_with_parent};
use nix::sys::signal::{Signal, raise};
use std::path::Path;

/// The environment variable that makes a copy of this program a victim: the index of its case.
pub(crate) const CASE: &str = "RINGSHM_TEST_CASE";
/// The environment variable with the folder of its ring.
pub(crate) const FOLDER: &str = "RINGSHM_TEST_FOLDER";

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
    let mut handle = prepare(case, Path::new(&folder));
    nix::sys::ptrace::traceme().expect("it was started to be traced");
    let transferred = act(case, &mut handle);
    // Its handle is not dropped: whoever lives through its operation is killed all the same.
    std::process::exit(transferred as i32)
}

/// Brings the ring into its state, as far as that is this side's part.
fn prepare(case: Case, folder: &Path) -> Handle {
    let place = case.place(folder);
    if case.deed.sends() {
        let mut source = place.source().expect("the ring is there, and the role is free");
        for number in 0..case.next() {
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

/// The operation between two stops. Returns how many messages it transferred.
fn act(case: Case, handle: &mut Handle) -> usize {
    let parcels: [Parcel; BATCH] = core::array::from_fn(|index| Parcel::of(case.next() + index as u64));
    let mut room = parcels;
    let stop = || raise(Signal::SIGSTOP).expect("a process may stop itself");
    stop();
    let transferred = match (case.deed, handle) {
        (Deed::Send, Handle::Source(source)) => source.try_send(parcels[0]).map(|()| 1),
        (Deed::SendBatch, Handle::Source(source)) => source.try_send_slice(&parcels),
        (Deed::Recv, Handle::Sink(sink)) => sink.try_recv().map(|received| {
            room[0] = received.parcel;
            1
        }),
        (Deed::RecvBatch, Handle::Sink(sink)) => sink.try_recv_slice(&mut room),
        _ => unreachable!("a handle of the other side"),
    };
    stop();
    if !case.deed.sends() {
        for (parcel, number) in room.iter().zip(case.numbers()) {
            assert_eq!(parcel.number(), number);
        }
    }
    transferred.unwrap_or(0)
}
