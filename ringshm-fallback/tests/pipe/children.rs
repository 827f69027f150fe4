//! Processes that inherit an end.

#![allow(unsafe_code, reason = "a child in which SIGPIPE kills, as in a program in C")]

use super::support::{Folder, Process, Puppet, number_of, record, report, until};
use ringshm_core::error::{RecvError, SendError};
use ringshm_core::{Receiver as _, Sender as _};
use ringshm_fallback::pipe::{Pipe, PipeReceiver, PipeSender};
use std::process::Command;

/// What the children of these tests can be told besides.
///
/// | command | report |
/// |---|---|
/// | `inherit sender`, `inherit receiver` | `open` |
/// | `mortal` | `ok`: from now on, SIGPIPE kills |
/// | `send-long BYTES` | `begin`, then `sent`, or why not |
pub(super) fn play(puppet: &mut Puppet, words: &[&str]) -> Option<String> {
    Some(match *words {
        ["inherit", "sender"] => {
            puppet.sender = Some(Box::new(Pipe::from_parent().unwrap().sender().unwrap()));
            "open".to_owned()
        }
        ["inherit", "receiver"] => {
            puppet.receiver = Some(Box::new(Pipe::from_parent().unwrap().receiver().unwrap()));
            "open".to_owned()
        }
        ["mortal"] => {
            // SAFETY: the default action runs no code of this program.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            "ok".to_owned()
        }
        ["send-long", bytes] => {
            report("begin");
            let message = vec![7; bytes.parse().unwrap()];
            puppet.sender().send(&message).map_or_else(|error| format!("{error:?}"), |()| "sent".to_owned())
        }
        _ => return None,
    })
}

/// A child that has the receiving end.
fn receiving_child(folder: &Folder) -> (Process, PipeSender) {
    let mut sender = None;
    let mut child = Process::start_with(folder, |command| sender = Some(Pipe::new().give_receiver(command).unwrap()));
    assert_eq!(child.ask("inherit receiver"), "open");
    (child, sender.unwrap())
}

/// A child that has the sending end.
fn sending_child(folder: &Folder) -> (Process, PipeReceiver) {
    let mut receiver = None;
    let child = Process::start_with(folder, |command| receiver = Some(Pipe::new().give_sender(command).unwrap()));
    (child, receiver.unwrap())
}

#[test]
fn a_child_receives_what_its_parent_sends_up_to_the_end() {
    let folder = Folder::new();
    let (mut child, mut sender) = receiving_child(&folder);
    child.begin("recv-all");
    for n in 0..20_000 {
        sender.send(&record(n)).unwrap();
    }
    drop(sender);
    let sum: u64 = (0..20_000).sum();
    assert_eq!(child.hear(), format!("20000 records, 0 lost, {sum} in sum, then Disconnected"));
    child.finish();
}

#[test]
fn a_parent_receives_what_its_child_sent_before_it_was_killed() {
    let folder = Folder::new();
    let (mut child, mut receiver) = sending_child(&folder);
    assert_eq!(child.ask("inherit sender"), "open");
    assert_eq!(child.ask("send 0 500"), "sent 500");
    child.kill();
    let mut message = Vec::new();
    for n in 0..500 {
        receiver.recv(&mut message).unwrap();
        assert_eq!(number_of(&message), n);
    }
    assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
}

#[test]
fn half_a_message_of_a_killed_child_is_told_and_then_its_end() {
    let folder = Folder::new();
    let (mut child, mut receiver) = sending_child(&folder);
    assert_eq!(child.ask("inherit sender"), "open");
    assert_eq!(child.ask("send 0 3"), "sent 3");
    child.begin("send-long 1000000");
    assert!(child.sleeps());
    child.kill();
    let mut message = Vec::new();
    for n in 0..3 {
        receiver.recv(&mut message).unwrap();
        assert_eq!(number_of(&message), n);
    }
    assert!(matches!(receiver.recv(&mut message), Err(RecvError::Rejected(_))));
    assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
}

#[test]
fn a_killed_child_is_missed_by_its_sender() {
    let folder = Folder::new();
    let (mut child, mut sender) = receiving_child(&folder);
    sender.send(&record(0)).unwrap();
    child.kill();
    // A process that another test forks has everything for a moment, until it runs its program.
    assert_eq!((1..).find_map(|n| sender.send(&record(n)).err()), Some(SendError::Disconnected(())));
}

#[test]
fn a_child_that_sleeps_for_room_is_told_that_its_receiver_leaves() {
    let folder = Folder::new();
    let (mut child, receiver) = sending_child(&folder);
    assert_eq!(child.ask("inherit sender"), "open");
    child.begin("send 0 1000000");
    assert!(child.sleeps());
    drop(receiver);
    let reply = child.hear();
    assert!(reply.starts_with("Disconnected(..) at "), "{reply}");
    child.finish();
}

#[test]
fn no_signal_kills_who_does_not_ignore_it() {
    let folder = Folder::new();
    let (mut child, receiver) = sending_child(&folder);
    assert_eq!(child.ask("mortal"), "ok");
    assert_eq!(child.ask("inherit sender"), "open");
    drop(receiver);
    // A process that another test forks has it for a moment, until it runs its program.
    until("nobody has the other end", || child.ask("try-send 0") == "Disconnected(..)");
    assert_eq!(child.ask("send-by 0 1000"), "Disconnected(..)");
    assert_eq!(child.ask("send 0 1"), "Disconnected(..) at 0");
    child.finish();
}

const SENDERS: u64 = 4;
const EACH: u64 = 3000;

/// Not a test: one of many senders that a shell started.
#[test]
fn one_of_many() {
    let Ok(which) = std::env::var("RINGSHM_TEST_WHICH") else { return };
    let which: u64 = which.parse().unwrap();
    let mut sender = Pipe::from_parent().unwrap().sender().unwrap();
    let records: Vec<_> = (0..EACH).map(|n| record(n * SENDERS + which)).collect();
    let (first, rest) = records.split_at(records.len() / 2);
    first.iter().for_each(|record| sender.send(record).unwrap());
    sender.send_slice(&rest.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
}

#[test]
fn many_senders_never_mix_up_their_messages() {
    let mut command = Command::new("sh");
    let script = "for which in 0 1 2 3; do RINGSHM_TEST_WHICH=$which \"$0\" children::one_of_many --exact & done; wait";
    command.args(["-c", script]).arg(std::env::current_exe().unwrap()).stdout(std::process::Stdio::null());
    let (mut shell, mut receiver) = Pipe::new().many_senders().receive_from_child(command).unwrap();
    let (mut next, mut message) = ([0; SENDERS as usize], Vec::new());
    for _ in 0..SENDERS * EACH {
        receiver.recv(&mut message).unwrap();
        let (n, which) = (number_of(&message) / SENDERS, number_of(&message) % SENDERS);
        assert_eq!(n, next[which as usize], "of sender {which}");
        next[which as usize] += 1;
    }
    assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
    assert_eq!(receiver.position(), None);
    assert!(shell.wait().unwrap().success());
}
