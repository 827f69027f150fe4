//! A process that is stopped behind the gate. (One that is killed there is a matter for the scenarios.)

use crate::support::{Carrier, Folder, NAME, Process, Ring, until};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A pipe with a name, which is full: whoever writes to it is held up until somebody reads.
struct FullPipe {
    _folder: Folder,
    path: PathBuf,
    reader: std::fs::File,
}

impl FullPipe {
    fn new() -> Self {
        let folder = Folder::for_leftovers();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a free name");
        let both = open(&path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).expect("a pipe");
        for len in [4096, 1] {
            while rustix::io::write(&both, &vec![b'x'; len]).is_ok() {}
        }
        Self { _folder: folder, path, reader: both.into() }
    }

    /// Empties it, for good.
    fn empty(&self) {
        while rustix::io::read(&self.reader, &mut [0; 4096]).is_ok() {}
    }
}

/// Whether somebody holds the gate of the ring, as the kernel's table of locks says.
fn gate_is_held(ring: &Ring) -> bool {
    let inode = std::fs::metadata(ring.folder.path_of(NAME)).expect("a ring").ino();
    let locks = std::fs::read_to_string("/proc/locks").expect("the table of locks");
    locks.lines().any(|line| line.contains("OFDLCK") && line.ends_with(&format!(":{inode} 0 0")))
}

/// A process that has taken the gate of a ring and is stopped there. The crash log is what it is held up by: it writes the name
/// of the crash point behind the gate into a full pipe.
fn stopped_in_the_gate(ring: &Ring, pipe: &FullPipe, command: &str) -> Process {
    let mut process = Process::start_with(&ring.folder, |child| _ = child.env("RINGSHM_CRASH_LOG", &pipe.path));
    process.tell(command);
    until("the gate is taken", || gate_is_held(ring));
    process.stop();
    assert!(gate_is_held(ring));
    process
}

fn is_busy(reply: &str) {
    assert!(reply.starts_with("Busy: ") && reply.contains("let it run or kill it, then try again"), "{reply}");
}

#[test]
fn a_process_stopped_in_the_gate_makes_the_ring_busy_until_it_goes_on() {
    let (ring, pipe) = (Ring::named(Carrier::Fixed), FullPipe::new());
    let mut producer = ring.producer("");
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    let mut stopped = stopped_in_the_gate(&ring, &pipe, &ring.opening("consumer", ""));
    let mut other = Process::start(&ring.folder);
    is_busy(&other.ask(&ring.opening("consumer", "")));
    is_busy(&other.ask("remove ring"));
    // Looking, and working in a role that one has, need no gate.
    assert_eq!(ring.snapshot().queued(), Some(3));
    assert_eq!(producer.ask("send 3 4"), "sent 4");

    pipe.empty();
    stopped.resume();
    assert_eq!(stopped.hear(), "open 0");
    assert_eq!(stopped.ask("recv 0 4"), "received 4");
    assert!(other.ask(&ring.opening("consumer", "")).starts_with("RoleTaken: "));
    stopped.finish();
    producer.finish();
}

#[test]
fn a_process_killed_in_the_gate_opens_it() {
    let (ring, pipe) = (Ring::named(Carrier::Records), FullPipe::new());
    let mut producer = ring.producer("");
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    let mut stopped = stopped_in_the_gate(&ring, &pipe, &ring.opening("consumer", ""));
    let mut other = Process::start(&ring.folder);
    other.tell(&ring.opening("consumer", ""));
    assert!(gate_is_held(&ring));
    stopped.kill();
    assert_eq!(other.hear(), "open 0");
    assert_eq!(other.ask("recv 0 3"), "received 3");
    producer.finish();
    other.finish();
}

#[test]
fn a_ring_whose_gate_is_held_by_a_stopped_process_can_be_removed_by_force() {
    let (ring, pipe) = (Ring::named(Carrier::Fixed), FullPipe::new());
    let mut producer = ring.producer("");
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    let mut stopped = stopped_in_the_gate(&ring, &pipe, &ring.opening("consumer", ""));
    assert_eq!(Process::start(&ring.folder).ask("remove ring force"), "ok");
    ring.assert_gone();
    // The one that was about to join finds that the ring is gone, and makes a new one.
    pipe.empty();
    stopped.resume();
    assert_eq!(stopped.hear(), "open 0");
    let mut successor = ring.producer("");
    assert_eq!(successor.ask("send 0 1"), "sent 1");
    assert_eq!(stopped.ask("recv 0 1"), "received 1");
    stopped.finish();
    successor.finish();
    producer.finish();
}

#[test]
fn whoever_leaves_while_the_gate_is_held_leaves_the_ring_to_the_next() {
    let (ring, pipe) = (Ring::named(Carrier::Fixed), FullPipe::new());
    let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    producer.finish();
    assert_eq!(consumer.ask("recv 0 3"), "received 3");
    let mut stopped = stopped_in_the_gate(&ring, &pipe, &ring.opening("producer", ""));
    consumer.finish();
    assert_eq!(ring.folder.entries(), ["ringshm.ring"], "it could not be removed");
    stopped.kill();
    let mut producer = ring.producer("");
    assert_eq!(producer.ask("count"), "0", "what was over has made way for a new ring");
    assert_eq!(producer.ask("detach"), "ok");
    ring.remove();
}

#[test]
fn who_makes_the_locks_of_a_segment_and_comes_second_through_their_gate_joins_the_first() {
    let (ring, pipe) = (Ring::system_v(Carrier::Fixed), FullPipe::new());
    let mut first = Process::start_with(&ring.folder, |child| _ = child.env("RINGSHM_CRASH_LOG", &pipe.path));
    first.tell(&ring.opening("consumer", ""));
    until("the locks are made", || ring.remains() == ["sem"]);
    let mut producer = ring.producer("");
    assert_eq!(producer.ask("send 0 3"), "sent 3");
    pipe.empty();
    assert_eq!(first.hear(), "open 0");
    assert_eq!(first.ask("recv 0 3"), "received 3");
    producer.finish();
    first.finish();
    ring.assert_gone();
}
