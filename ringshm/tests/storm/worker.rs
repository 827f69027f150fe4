//! A participant of the storm, seen from inside: it takes part in a ring until it is killed, or told to end, and writes down
//! what it has done.
//!
//! # Safety
//! A process forks itself, and another enters a namespace, while each has a single thread.

#![allow(unsafe_code, reason = "fork and unshare")]

use crate::support::{Kind, PATIENCE, Parcel, Place, Received, Stop, die_with_parent};
use ringshm::OpenError;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The environment variable that makes a copy of this program a participant: `ROLE ID TURNS` and the words of its ring.
pub(crate) const WORKER: &str = "RINGSHM_STORM_WORKER";
/// The environment variable with the file that it writes to: a number for each message, 8 bytes.
pub(crate) const LOG: &str = "RINGSHM_STORM_LOG";
/// The environment variable with the file whose existence ends producers.
pub(crate) const END: &str = "RINGSHM_STORM_END";
/// The environment variable that makes its life a special one: a [`Life`].
pub(crate) const LIFE: &str = "RINGSHM_STORM_LIFE";
/// No process of the storm outlives this, whatever becomes of it: seconds.
const LIFETIME: u32 = 120;

/// What may make a live participant look dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is stopped.
    Stopped,
    /// It is stopped, and its parent is a zombie.
    Orphaned,
    /// It is stopped, and process 1 of a PID namespace.
    Namespaced,
    /// It was killed, and a forked copy of it lives.
    Forked,
}

impl Life {
    pub(crate) const ALL: [Self; 4] = [Self::Stopped, Self::Orphaned, Self::Namespaced, Self::Forked];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Orphaned => "orphaned",
            Self::Namespaced => "namespaced",
            Self::Forked => "forked",
        }
    }

    fn own() -> Option<Self> {
        let word = std::env::var(LIFE).ok()?;
        Self::ALL.into_iter().find(|life| life.word() == word)
    }
}

/// Writes down which process takes part.
fn note_real(pid: u32) {
    let mut path = std::env::var_os(LOG).expect("a log");
    path.push(".pid");
    std::fs::write(path, format!("{pid}\n")).expect("the folder can be written");
}

/// Starts a copy of this process that takes part in its stead.
fn send_another() -> std::process::Child {
    let mut command = std::process::Command::new(std::env::current_exe().expect("a program knows its path"));
    let child = command.env(LIFE, "another").spawn().expect("this program can start itself");
    note_real(child.id());
    child
}

/// Begins the special life that this process is to have, before it takes part.
fn begin_life() {
    match Life::own() {
        Some(Life::Stopped) => note_real(std::process::id()),
        Some(Life::Orphaned) => {
            // Nobody waits for this process before the storm is over, so it is a zombie now.
            send_another();
            std::process::exit(0)
        }
        Some(Life::Namespaced) => {
            // SAFETY: no file descriptors are unshared.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWPID) }.expect("root may");
            let status = send_another().wait().expect("it is a child");
            std::process::exit(status.code().unwrap_or(1))
        }
        Some(Life::Forked) | None => {}
    }
}

/// Leaves a copy of this process that has all its descriptors, and does nothing until it is killed.
fn fork_if_wanted() {
    if Life::own() != Some(Life::Forked) {
        return;
    }
    // SAFETY: this process has one thread.
    match unsafe { nix::unistd::fork() }.expect("a process may fork") {
        nix::unistd::ForkResult::Parent { child } => note_real(child.as_raw().unsigned_abs()),
        nix::unistd::ForkResult::Child => {
            nix::unistd::alarm::set(LIFETIME);
            loop {
                nix::unistd::pause();
            }
        }
    }
}

/// Beside the number of a message: a consumer that died may have had it.
pub(crate) const REDELIVERED: u64 = 1 << 63;
/// Instead of the number of a message: so many passed this reader by.
pub(crate) const LAGGED: u64 = 1 << 62;
/// The most messages of a producer that are sent together.
pub(crate) const BATCH: u64 = 3;

/// Whether a producer's message is one that it does not finish: of frames, one that it sends alone.
pub(crate) fn is_given_up(kind: Kind, index: u64) -> bool {
    kind.is_of_frames() && index % 10 == 9
}

/// The number of a producer's message.
pub(crate) fn number(producer: u64, index: u64) -> u64 {
    producer << 32 | index
}

/// What tells one consumer to end: no producer has the number 0.
pub(crate) fn is_end(number: u64) -> bool {
    number >> 32 == 0
}

/// Takes a role, as soon as its dead owner is out of the way.
pub(crate) fn joined<H>(mut open: impl FnMut() -> Result<H, OpenError>) -> H {
    let start = Instant::now();
    loop {
        match open() {
            Ok(handle) => return handle,
            // Or the dead one's frames are still promised to it.
            Err(
                OpenError::RoleTaken { .. } | OpenError::Busy { .. } | OpenError::InvalidOption { option: "hold", .. },
            ) if start.elapsed() < PATIENCE => {
                std::thread::yield_now();
            }
            Err(error) => panic!("joining: {error}"),
        }
    }
}

/// Everything that one message needs to survive this process: the file is the kernel's.
struct Log(File);

impl Log {
    fn write(&mut self, numbers: impl Iterator<Item = u64>) {
        let bytes: Vec<u8> = numbers.flat_map(u64::to_ne_bytes).collect();
        self.0.write_all(&bytes).expect("the log can be written");
    }
}

pub(crate) fn run(words: &str) -> ! {
    nix::unistd::alarm::set(LIFETIME);
    // Sent to what is stopped in a group of processes that loses its leader.
    // SAFETY: no handler is installed.
    unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGHUP, nix::sys::signal::SigHandler::SigIgn) }
        .expect("a signal");
    if std::env::var_os(LIFE).is_none_or(|life| life != "another") {
        die_with_parent();
    }
    begin_life();
    let words: Vec<&str> = words.split(' ').collect();
    let [role, id, turns, place @ ..] = &words[..] else { panic!("a role, a number, turns and a ring: {words:?}") };
    let (id, turns): (u64, u64) = (id.parse().expect("a number"), turns.parse().expect("a number"));
    let place = Place::from_words(place);
    let log = std::env::var_os(LOG).expect("a log");
    let log = Log(File::options().create(true).append(true).open(log).expect("the log can be made"));
    match *role {
        "producer" => send(&place, id, turns, log),
        "consumer" => receive(&place, turns, log),
        _ => panic!("not a role: {role}"),
    }
    std::process::exit(0)
}

/// Sends one by one and in batches, waiting and not, so that every path is taken.
fn send(place: &Place, id: u64, turns: u64, mut log: Log) {
    let end = PathBuf::from(std::env::var_os(END).expect("a file to look for"));
    let mut source = joined(|| place.source());
    fork_if_wanted();
    let mut next = 0;
    while next < turns && !(next % 8 == 0 && end.exists()) {
        let sent = if next % 5 < 2 {
            let parcels: [Parcel; BATCH as usize] =
                core::array::from_fn(|index| Parcel::of(number(id, next + index as u64)));
            source.try_send_slice(&parcels).map(|count| count as u64)
        } else {
            let (parcel, timeout) = (Parcel::of(number(id, next)), Duration::from_millis(20));
            let is_given_up = is_given_up(place.kind, next);
            if is_given_up { source.give_up(parcel, timeout) } else { source.send_by(parcel, timeout) }.map(|()| 1)
        };
        match sent {
            Ok(count) => {
                log.write((next..next + count).map(|index| number(id, index)));
                next += count;
            }
            Err(Stop::NotReady | Stop::Timeout | Stop::Stalled) if end.exists() => break,
            Err(Stop::NotReady | Stop::Timeout | Stop::Stalled) => std::thread::yield_now(),
            Err(stop) => panic!("sending: {stop:?}"),
        }
    }
    source.detach();
}

/// Receives message by message, and releases each only when it is written down.
fn receive(place: &Place, turns: u64, mut log: Log) {
    let mut sink = joined(|| place.sink());
    fork_if_wanted();
    let mut is_over = false;
    for _ in 0..turns {
        let received = sink.recv_held(&mut |Received { parcel, redelivered }| {
            let number = parcel.number();
            is_over = is_end(number);
            if !is_over {
                log.write([number | if redelivered { REDELIVERED } else { 0 }].into_iter());
            }
        });
        match received {
            Ok(()) => {}
            Err(Stop::Lagged(missed)) if place.kind.is_lossy() || place.kind.is_of_frames() => {
                log.write([LAGGED | missed].into_iter())
            }
            Err(stop) => panic!("receiving: {stop:?}"),
        }
        if is_over {
            break;
        }
    }
    sink.detach();
}
