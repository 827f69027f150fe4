//! Who is alive: zombies, forks, other closers of the same file, other PID namespaces, and roles that are taken.
//!
//! # Safety
//! `fork` is called by children whose only other thread waits for the end of the one that calls it; `fcntl` and `_exit` are
//! called with plain numbers and local values.

#![allow(unsafe_code, reason = "fork, POSIX locks and _exit have no safe form here")]

use crate::support::{Folder, PARENT, Parcel, Process, Ring, die_with_parent, record, report, until};
use ringshm::{
    Consumer, Directory, Fault, Name, OpenError, Producer, RecordConsumer, RecordProducer, RecvError, RecvTimeoutError,
    SendError, SendSliceError, SendTimeoutError, TryRecvError, TrySendError,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// What only the children of this file are told.
pub(super) fn command(words: &[&str]) -> Option<String> {
    Some(match *words {
        ["close-others", path] => close_others(Path::new(path)),
        ["fork"] => {
            forked_handles_refuse();
            "ok".to_owned()
        }
        ["leave-a-fork-behind"] => leave_a_fork_behind(),
        ["leave-a-program-behind"] => {
            #[expect(clippy::zombie_processes, reason = "it outlives this process, and ends when the parent hangs up")]
            Command::new("cat").stdout(Stdio::null()).spawn().expect("a program");
            "ok".to_owned()
        }
        ["enter-namespace"] => enter_namespace(),
        _ => return None,
    })
}

fn live(process: &Process) -> String {
    format!("Live {{ pid: {} }}", process.pid())
}

#[test]
fn a_killed_process_that_nobody_has_waited_for_is_dead() {
    Ring::each(|ring| {
        for role in ["producer", "consumer"] {
            let other = if role == "producer" { "consumer" } else { "producer" };
            let (mut victim, _) = ring.join(role, "");
            let (mut witness, _) = ring.join(other, "");
            assert_eq!(witness.ask("peer"), live(&victim));
            victim.kill_unreaped();
            let dead = format!("Dead {{ pid: {} }}", victim.pid());
            until("the zombie is found dead", || witness.ask("peer") == dead);
            let (mut successor, _) = ring.join(role, "");
            assert_eq!(victim.state(), 'Z', "the test waited for it too early");
            assert_eq!(witness.ask("peer"), live(&successor));
            assert_eq!(successor.ask("detach"), "ok");
            assert_eq!(witness.ask("detach"), "ok");
        }
    });
}

/// Opens the file that this process has a role in once more, and closes it; then the same with a POSIX lock, which any close
/// of the file by its process drops.
fn close_others(path: &Path) -> String {
    let open = || File::options().read(true).write(true).open(path).expect("one's own ring");
    drop(open());
    let file = open();
    let lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 1 << 40,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: an open descriptor, and a `flock` that lives through the call.
    let locked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) };
    assert_eq!(locked, 0, "{}", std::io::Error::last_os_error());
    drop(open());
    drop(file);
    "ok".to_owned()
}

#[test]
fn closing_the_same_file_elsewhere_in_the_process_does_not_look_like_death() {
    Ring::each(|ring| {
        let path = match ring.place.strip_prefix("memfd:") {
            Some(fd) => format!("/proc/self/fd/{fd}"),
            None => ring.path().display().to_string(),
        };
        if ring.is_system_v() {
            // It has no file.
            return;
        }
        let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
        for process in [&mut producer, &mut consumer] {
            assert_eq!(process.ask(&format!("close-others {path}")), "ok");
        }
        assert_eq!(producer.ask("peer"), live(&consumer));
        assert_eq!(consumer.ask("peer"), live(&producer));
        for role in ["producer", "consumer"] {
            assert!(Process::start(&ring.folder).ask(&ring.opening(role, "")).starts_with("RoleTaken: "));
        }
    });
}

#[test]
fn a_role_is_taken_once_and_the_refusal_names_who_has_it() {
    Ring::each(|ring| {
        let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
        let pids = [producer.pid(), consumer.pid()];
        let mut other = Process::start(&ring.folder);
        for (role, pid) in ["producer", "consumer"].into_iter().zip(pids) {
            let refusal = format!("RoleTaken: the ring already has a live {role}, process {pid}: stop it first");
            for process in [&mut other, &mut producer, &mut consumer] {
                let reply = process.ask(&ring.opening(role, ""));
                assert!(reply.starts_with(&refusal), "{reply}");
            }
        }
        // The refused attempts have changed nothing.
        assert_eq!(producer.ask("peer"), live(&consumer));
        assert_eq!(consumer.ask("peer"), live(&producer));
        producer.begin("send 0 20");
        assert_eq!(consumer.ask("recv 0 20"), "received 20");
        assert_eq!(producer.hear(), "sent 20");
    });
}

/// Runs `child` in a forked copy of this process, and returns how it ended.
fn in_fork(child: impl FnOnce()) -> ExitStatus {
    // SAFETY: the other thread holds nothing that the copy could miss, see above.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        let _ = std::io::stderr().flush();
        // SAFETY: ends this process without running anything of its parent's.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    let mut status = 0;
    // SAFETY: `status` lives through the call.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    ExitStatus::from_raw(status)
}

type Handles = (Producer<Parcel>, Consumer<Parcel>, RecordProducer, RecordConsumer);

/// Rings of both kinds in which two messages lie, and all their handles. Those of the record ring trust each other, so that
/// guards and loans are tried both with and without a private copy.
fn handles() -> Handles {
    let mut producer = ringshm::spsc::<Parcel>("forked").capacity(4).producer().expect("a new ring");
    let consumer = ringshm::spsc::<Parcel>("forked").consumer().expect("the ring just made");
    let trusting = || {
        // SAFETY: this process and its forks are alone with their rings, and the forks do not get to write.
        unsafe { ringshm::spsc::<[u8]>("forked-records").capacity(4096).trust_peers() }
    };
    let mut records = trusting().producer().expect("a new ring");
    let record_consumer = trusting().consumer().expect("the ring just made");
    for n in 0..2 {
        producer.send(Parcel::of(n)).expect("room");
        records.send(&record(n)).expect("room");
    }
    (producer, consumer, records, record_consumer)
}

/// Guards and loans that live through a fork: their copies in the child neither release nor send.
fn forked_guards_do_nothing((producer, consumer, records, record_consumer): &mut Handles) {
    let mut guards = Some((
        consumer.recv_ref().expect("a message"),
        producer.try_loan().expect("room"),
        record_consumer.recv_ref().expect("a record"),
        records.try_loan(8).expect("room"),
    ));
    let status = in_fork(|| {
        let (held, loan, held_record, record_loan) = guards.take().expect("the child's copies");
        drop(held);
        loan.commit();
        drop(held_record);
        record_loan.commit();
    });
    assert!(status.success(), "{status}");
    let (held, loan, held_record, record_loan) = guards.expect("the parent's");
    held.keep();
    held_record.keep();
    drop((loan, record_loan));
    let mut drain = consumer.try_drain().expect("two messages");
    assert!(drain.next().is_some());
    let mut drain = Some(drain);
    let status = in_fork(|| drop(drain.take()));
    assert!(status.success(), "{status}");
    drain.expect("the parent's").keep();
    assert_eq!((producer.len(), consumer.len()), (2, 2), "as the shared memory has it");
    assert_eq!((records.len(), record_consumer.len()), (2, 2), "as the shared memory has it");
}

/// In a child: every call on its parent's handles is refused.
fn every_call_is_refused((producer, consumer, records, record_consumer): &mut Handles) {
    let refused = Fault::Forked;
    let parcel = Parcel::of(9);
    let moment = Duration::from_millis(1);
    assert_eq!(producer.try_send(parcel), Err(TrySendError::Fault(parcel, refused)));
    assert_eq!(producer.send(parcel), Err(SendError::Fault(parcel, refused)));
    assert_eq!(producer.send_timeout(parcel, moment), Err(SendTimeoutError::Fault(parcel, refused)));
    assert_eq!(producer.try_send_slice(&[parcel; 2]), Err(TrySendError::Fault((), refused)));
    let unsent = SendSliceError { sent: 0, cause: SendError::Fault((), refused) };
    assert_eq!(producer.send_slice(&[parcel]), Err(unsent));
    assert_eq!(producer.try_loan().err(), Some(TrySendError::Fault((), refused)));
    assert_eq!(producer.loan().err(), Some(SendError::Fault((), refused)));
    assert_eq!(consumer.try_recv(), Err(TryRecvError::Fault(refused)));
    assert_eq!(consumer.recv(), Err(RecvError::Fault(refused)));
    assert_eq!(consumer.recv_timeout(moment), Err(RecvTimeoutError::Fault(refused)));
    assert_eq!(consumer.try_recv_ref().err(), Some(TryRecvError::Fault(refused)));
    assert_eq!(consumer.recv_ref().err(), Some(RecvError::Fault(refused)));
    assert_eq!(consumer.try_drain().err(), Some(TryRecvError::Fault(refused)));
    assert_eq!(consumer.iter().next(), None);
    assert_eq!(records.try_send(b"x"), Err(TrySendError::Fault((), refused)));
    assert_eq!(records.send(b"x"), Err(SendError::Fault((), refused)));
    assert_eq!(records.try_send_slice(&[b"x"]), Err(TrySendError::Fault((), refused)));
    assert_eq!(records.send_slice(&[b"x"]), Err(unsent));
    assert_eq!(records.try_loan(1).err(), Some(TrySendError::Fault((), refused)));
    assert_eq!(record_consumer.try_recv(&mut Vec::new()), Err(TryRecvError::Fault(refused)));
    assert_eq!(record_consumer.recv(&mut Vec::new()), Err(RecvError::Fault(refused)));
    assert_eq!(record_consumer.try_recv_ref().err(), Some(TryRecvError::Fault(refused)));
    assert_eq!(record_consumer.try_drain().err(), Some(TryRecvError::Fault(refused)));
    assert!(refused.to_string().contains("open the ring again in the child"));
}

/// In a child, handles of an MPMC ring refuse to work, and do not hide what the parent's lanes announce: to its survivors a message that
/// nobody announces is that of a dead consumer.
fn forked_mpmc_handles_refuse() {
    let ring = || ringshm::mpmc::<Parcel>("forked-mpmc").capacity(4);
    let mut producer = ring().producer().expect("a new ring");
    let mut consumer = ring().consumer().expect("the ring just made");
    let mut other = ring().consumer().expect("the ring just made");
    for n in 0..2 {
        producer.send(Parcel::of(n)).expect("room");
    }
    let held = consumer.recv_ref().expect("a message");
    assert_eq!(*held, Parcel::of(0));
    held.keep();
    let mut copies = Some((producer, consumer));
    let status = in_fork(|| {
        let (mut producer, mut consumer) = copies.take().expect("the child's copies");
        let (refused, parcel) = (Fault::Forked, Parcel::of(9));
        assert_eq!(producer.try_send(parcel), Err(TrySendError::Fault(parcel, refused)));
        assert_eq!(producer.send(parcel), Err(SendError::Fault(parcel, refused)));
        assert_eq!(producer.try_send_slice(&[parcel; 2]), Err(TrySendError::Fault((), refused)));
        assert_eq!(consumer.try_recv(), Err(TryRecvError::Fault(refused)));
        assert_eq!(consumer.recv(), Err(RecvError::Fault(refused)));
        assert_eq!(consumer.try_recv_slice(&mut [parcel; 2]), Err(TryRecvError::Fault(refused)));
        assert_eq!(consumer.try_recv_ref().err(), Some(TryRecvError::Fault(refused)));
    });
    assert!(status.success(), "{status}");
    let (producer, mut consumer) = copies.expect("the parent's");
    assert_eq!(other.try_recv(), Ok(Parcel::of(1)), "the child left it");
    assert_eq!(other.try_recv(), Err(TryRecvError::Empty), "what the parent holds is not for others");
    assert_eq!(consumer.recv(), Ok(Parcel::of(0)));
    drop(producer);
    assert_eq!(other.recv(), Err(RecvError::Disconnected), "the child sent nothing");
}

/// Handles that come through a fork refuse to work, and dropping them closes nothing.
fn forked_handles_refuse() {
    forked_mpmc_handles_refuse();
    let mut handles = handles();
    forked_guards_do_nothing(&mut handles);
    let mut handles = Some(handles);
    let status = in_fork(|| {
        let mut copies = handles.take().expect("the child's copies");
        every_call_is_refused(&mut copies);
        drop(copies);
        // The parent is alive for its children, too; and a ring of one's own works.
        let taken = ringshm::spsc::<Parcel>("forked").producer().expect_err("the parent has it");
        assert!(matches!(taken, OpenError::RoleTaken { .. }), "{taken}");
        let mut producer = ringshm::spsc::<Parcel>("of-the-child").producer().expect("a new ring");
        let mut consumer = ringshm::spsc::<Parcel>("of-the-child").consumer().expect("the ring just made");
        producer.send(Parcel::of(7)).expect("room");
        assert_eq!(consumer.recv(), Ok(Parcel::of(7)));
    });
    assert!(status.success(), "{status}");

    // For the parent nothing has happened.
    let (mut producer, mut consumer, mut records, mut record_consumer) = handles.expect("the parent's");
    assert_eq!((producer.len(), consumer.len()), (2, 2), "as the shared memory has it");
    producer.send(Parcel::of(2)).expect("the consumer has not closed");
    assert_eq!(consumer.iter().take(3).collect::<Vec<_>>(), [0, 1, 2].map(Parcel::of));
    records.send(&record(2)).expect("the consumer has not closed");
    assert_eq!(record_consumer.iter().take(3).collect::<Vec<_>>(), [0, 1, 2].map(record));
    let names = ringshm::names(&Directory::default()).expect("the folder");
    assert_eq!(names.iter().map(Name::as_str).collect::<Vec<_>>(), ["forked", "forked-records"]);
}

#[test]
fn handles_that_come_through_a_fork_refuse_to_work_and_close_nothing() {
    let folder = Folder::new();
    let mut process = Process::start(&folder);
    assert_eq!(process.ask("fork"), "ok");
    process.finish();
}

/// Leaves a copy of this process that holds its file descriptions, until the parent of both hangs up.
fn leave_a_fork_behind() -> String {
    // SAFETY: the other thread holds nothing that the copy could miss, see above.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // Not through `stdin()`, whose lock the command loop holds.
        while rustix::io::read(std::io::stdin(), &mut [0; 64]).is_ok_and(|count| count != 0) {}
        // SAFETY: ends this process without running anything of its parent's.
        unsafe { libc::_exit(0) };
    }
    assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
    "ok".to_owned()
}

#[test]
fn a_process_whose_fork_lives_is_not_taken_for_dead() {
    Ring::each(|ring| {
        let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
        assert_eq!(producer.ask("leave-a-fork-behind"), "ok");
        producer.kill();
        if ring.is_system_v() {
            // A fork has none of its parent's locks, and refuses its handles.
            assert_eq!(consumer.ask("recv 0 1"), "Disconnected at 0");
            producer.hang_up();
            return;
        }
        // The safe side: the fork could write, as far as the kernel knows.
        assert_eq!(consumer.ask("recv-by 300"), "Timeout");
        assert_eq!(consumer.ask("peer"), live(&producer));
        assert!(Process::start(&ring.folder).ask(&ring.opening("producer", "")).starts_with("RoleTaken: "));
        producer.hang_up();
        let dead = format!("Dead {{ pid: {} }}", producer.pid());
        until("the last copy is gone", || consumer.ask("peer") == dead);
        assert_eq!(consumer.ask("recv 0 1"), "Disconnected at 0");
    });
}

#[test]
fn a_program_that_a_dead_process_had_started_does_not_keep_it_alive() {
    Ring::each(|ring| {
        let (mut producer, mut consumer) = (ring.producer(""), ring.consumer(""));
        assert_eq!(producer.ask("leave-a-program-behind"), "ok");
        producer.kill();
        assert_eq!(consumer.ask("recv 0 1"), "Disconnected at 0");
        let dead = format!("Dead {{ pid: {} }}", producer.pid());
        until("it is found dead", || consumer.ask("peer") == dead);
    });
}

/// Puts a copy of this process into a PID namespace of its own, and steps back: the copy goes on with the parent's pipes.
fn enter_namespace() -> String {
    let enter = |flags| {
        // SAFETY: no file descriptors are unshared.
        unsafe { unshare_unsafe(flags) }
    };
    // In a fork, because a user namespace is for processes with one thread only.
    let status = in_fork(|| {
        die_with_parent();
        let entered = enter(UnshareFlags::NEWPID).or_else(|_| enter(UnshareFlags::NEWUSER | UnshareFlags::NEWPID));
        if let Err(error) = entered {
            return report(&format!("not allowed: {error}"));
        }
        let mut copy = Command::new(std::env::current_exe().expect("a test binary knows its path"));
        copy.args(std::env::args_os().skip(1)).env(PARENT, std::process::id().to_string());
        let mut copy = copy.spawn().expect("a test binary can start itself");
        report(&format!("inside {}", copy.id()));
        copy.wait().expect("it is a child");
    });
    assert!(status.success(), "{status}");
    std::process::exit(0)
}

/// A puppet in a PID namespace of its own, where it is process 1. `None` if that is not allowed here.
fn inside_namespace(ring: &Ring) -> Option<Process> {
    let mut process = Process::start(&ring.folder);
    let reply = process.ask("enter-namespace");
    let Some(pid) = reply.strip_prefix("inside ") else {
        println!("skipped: a PID namespace is {reply}");
        return None;
    };
    process.is_replaced_by(pid.parse().expect("a process number"));
    Some(process)
}

#[test]
fn life_and_death_are_seen_across_pid_namespaces() {
    Ring::each(|ring| {
        let mut consumer = ring.consumer("await");
        for sent in [0, 3] {
            let Some(mut producer) = inside_namespace(ring) else { return };
            assert_eq!(producer.ask(&ring.opening("producer", "")), format!("open {sent}"));
            assert_eq!(producer.ask("peer"), live(&consumer));
            assert_eq!(consumer.ask("peer"), "Live { pid: 1 }");
            let reply = consumer.ask(&ring.opening("producer", ""));
            assert!(reply.starts_with("RoleTaken: ") && reply.contains("process 1"), "{reply}");
            assert_eq!(producer.ask(&format!("send {sent} {}", sent + 3)), format!("sent {}", sent + 3));
            assert_eq!(consumer.ask(&format!("recv {sent} {}", sent + 3)), format!("received {}", sent + 3));
            producer.kill();
            until("the dead one is noticed", || consumer.ask("peer") == "Dead { pid: 1 }");
        }
        consumer.finish();

        let (Some(mut consumer), mut producer) = (inside_namespace(ring), ring.producer("")) else { return };
        let reply = consumer.ask(&ring.opening("consumer", ""));
        let received: u64 = reply.strip_prefix("open ").expect(&reply).parse().expect("a number");
        producer.begin(&format!("send {received} 100"));
        assert_eq!(consumer.ask(&format!("recv {received} {}", received + 2)), format!("received {}", received + 2));
        assert!(producer.sleeps());
        consumer.kill();
        let reply = producer.hear();
        assert!(reply.starts_with("Disconnected at "), "{reply}");
    });
}
