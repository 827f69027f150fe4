//! What participants that spin, and leave it to others to ask who is alive, ask of the kernel: nothing. A filter of system calls kills them
//! when they make any but those that the test needs to tell them what to do.

use crate::support::{Folder, Kind, Parcel, Place, Process, Sink, Source, Stop};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::cell::RefCell;
use std::time::Duration;

/// Longer than any interval at which the kernel would be asked something.
const A_WHILE: Duration = Duration::from_millis(120);
/// For waits that have an end.
const LONG: Duration = Duration::from_secs(10);
/// Messages that are exchanged: so many more than the ring has room for that both sides wait again and again.
const MESSAGES: u64 = 20_000;

/// The handle of a silent child.
enum Handle {
    Source(Box<dyn Source>),
    Sink(Box<dyn Sink>),
}

thread_local! {
    static HANDLE: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// What only the children of this file are told:
///
/// | command | report |
/// |---|---|
/// | `silent-source PLACE…`, `silent-sink PLACE…` | `open`; from then on, the child makes no system call but to obey |
/// | `exchange` | `begin`, then `exchanged`: has sent all [`MESSAGES`], or has received the last |
/// | `wait` | why it waited in vain for [`A_WHILE`], or `sent` |
pub(super) fn command(words: &[&str]) -> Option<String> {
    let open = |handle| {
        HANDLE.set(Some(handle));
        forbid_system_calls();
        "open".to_owned()
    };
    Some(match *words {
        ["silent-source", ref place @ ..] => open(Handle::Source(silent(place).source().expect("room"))),
        ["silent-sink", ref place @ ..] => open(Handle::Sink(silent(place).sink().expect("room"))),
        ["exchange"] => {
            crate::support::report("begin");
            with_handle(exchange);
            "exchanged".to_owned()
        }
        ["wait"] => match with_handle(wait) {
            Ok(()) => "sent".to_owned(),
            Err(stop) => format!("{stop:?}"),
        },
        _ => return None,
    })
}

fn silent(place: &[&str]) -> Place {
    Place { is_silent: true, ..Place::from_words(place) }
}

fn with_handle<R>(act: impl FnOnce(&mut Handle) -> R) -> R {
    HANDLE.with_borrow_mut(|handle| act(handle.as_mut().expect("opened")))
}

/// From now on, the kernel kills this process at any system call but those that move its commands and reports, and that of the clock,
/// where it is one.
fn forbid_system_calls() {
    let allowed = [libc::SYS_read, libc::SYS_write, libc::SYS_clock_gettime];
    let filter = SeccompFilter::new(
        allowed.map(|call| (call, Vec::new())).into(),
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into().expect("an architecture that filters are known for"),
    );
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("a small filter");
    apply_filter(&program).expect("leave to have less leave");
}

fn exchange(handle: &mut Handle) {
    match handle {
        Handle::Source(source) => {
            (0..MESSAGES).for_each(|number| source.send_by(Parcel::of(number), LONG).expect("somebody receives"));
        }
        Handle::Sink(sink) => loop {
            match sink.recv_by(LONG) {
                Ok(received) if received.parcel.number() == MESSAGES - 1 => return,
                Ok(_) | Err(Stop::Lagged(_)) => {}
                Err(stop) => panic!("somebody sends: {stop:?}"),
            }
        },
    }
}

/// Waits for a message, or for room: sends until there is none.
fn wait(handle: &mut Handle) -> Result<(), Stop> {
    match handle {
        Handle::Source(source) => (0..64).try_for_each(|number| source.send_by(Parcel::of(number), A_WHILE)),
        Handle::Sink(sink) => sink.recv_by(A_WHILE).map(|_| ()),
    }
}

fn place_in(folder: &Folder, kind: Kind) -> Place {
    let (folder, name) = (folder.path().to_owned(), "silent".to_owned());
    Place { kind, folder, name, capacity: 8, origin: 0, is_silent: false }
}

fn start(folder: &Folder, role: &str, place: &Place) -> Process {
    let mut process = Process::start(folder);
    assert_eq!(process.ask(&format!("silent-{role} {}", place.words())), "open");
    process
}

#[test]
fn who_spins_and_leaves_the_asking_to_others_makes_no_system_call() {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_of_frames()) {
        let folder = Folder::for_leftovers();
        let place = place_in(&folder, kind);
        let (mut source, mut sink) = (start(&folder, "source", &place), start(&folder, "sink", &place));
        assert_eq!(sink.ask("wait"), "Timeout", "{kind:?}: nothing was sent");
        sink.begin("exchange");
        source.begin("exchange");
        assert_eq!((source.hear(), sink.hear()), ("exchanged".to_owned(), "exchanged".to_owned()), "{kind:?}");
        let full = if kind.is_lossy() { "sent" } else { "Timeout" };
        assert_eq!(source.ask("wait"), full, "{kind:?}");
        // They could not leave without a system call.
        source.kill();
        sink.kill();
        place.remove();
    }
}

#[test]
fn who_is_held_up_by_a_claim_makes_none_either() {
    for kind in [Kind::Mpmc, Kind::MpmcOnce, Kind::MpmcBytes] {
        let folder = Folder::for_leftovers();
        let place = place_in(&folder, kind);
        let mut source = start(&folder, "source", &place);
        let mut holder = place.sink().expect("a lane");
        // Fills the ring, and meets the slot of a message that is being read.
        assert_eq!(source.ask("wait"), "Timeout");
        let mut answer = String::new();
        holder.recv_held(&mut |_| answer = source.ask("wait")).expect("a message");
        assert_eq!(answer, "Stalled", "{kind:?}");
        assert_eq!(source.ask("wait"), "Timeout", "{kind:?}: the slot is free again, and filled");
        source.kill();
        drop(holder);
        place.remove();
    }
}
