//! The system's limits, each run into: by a child in an IPC namespace of its own, where it may set them, and in a user namespace, where it may not go
//! beyond them, whoever runs the tests.
//!
//! # Safety
//! What the child does between fork and exec are system calls on values that were made before.

#![allow(unsafe_code, reason = "unshare in a child, before exec")]

use crate::place::{Kind, Place};
use crate::support::{Folder, Process};
use rustix::process::{getegid, geteuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What the child can be told: `limit FILE NUMBER`; it reports `ok`, or why not.
pub(crate) fn obey(words: &[&str]) -> Option<String> {
    let ["limit", path, number] = *words else { return None };
    Some(std::fs::write(path, number).map_or_else(|error| error.to_string(), |()| "ok".to_owned()))
}

/// A child whose limits are its own.
struct Confined(Process);

impl Confined {
    /// `None` if this machine gives no namespaces; then it says why.
    fn start(folder: &Folder) -> Option<Self> {
        if let Err(error) = confine(&mut Command::new("true")).status() {
            println!("skipped: no user and IPC namespace for a child: {error}");
            return None;
        }
        Some(Self(Process::start_with(folder, |command| _ = confine(command))))
    }

    /// Sets a limit. Whether it may; else it says why not.
    fn limit(&mut self, limit: &str, most: u32) -> bool {
        let said = self.0.ask(&format!("limit {limit} {most}"));
        if said != "ok" {
            println!("skipped: {limit} cannot be set in a namespace: {said}");
        }
        said == "ok"
    }

    #[track_caller]
    fn opens(&mut self, name: &str) {
        assert_eq!(self.0.ask(&format!("sender {name}")), "open", "{name}");
    }

    #[track_caller]
    fn is_refused(&mut self, name: &str, because: &str) {
        let next = "ask for less, remove what nobody uses, or raise the limit";
        assert_eq!(self.0.ask(&format!("sender {name}")), format!("Limit: {because}: {next}"), "{name}");
    }

    fn closes(&mut self) {
        assert_eq!(self.0.ask("close"), "ok");
    }
}

/// Has the process begin in namespaces of its own, in which its user is root.
fn confine(command: &mut Command) -> &mut Command {
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {} 1", geteuid())),
        ("/proc/self/gid_map", format!("0 {} 1", getegid())),
    ];
    let apart = move || {
        // SAFETY: neither descriptors nor memory are unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWIPC) }?;
        maps.iter().try_for_each(|(path, map)| std::fs::write(path, map))
    };
    // SAFETY: see the head of this file.
    unsafe { command.pre_exec(apart) }
}

#[test]
fn limits_of_posix_queues_are_named_with_what_they_allow() {
    let (folder, [place, other]) = (Folder::new(), [(); 2].map(|()| Place::new(Kind::Posix)));
    let Some(mut child) = Confined::start(&folder) else { return };
    if child.limit("/proc/sys/fs/mqueue/msg_max", 3) {
        let because = "the queue was to hold 4 messages, and /proc/sys/fs/mqueue/msg_max allows 3";
        child.is_refused(&place.name("messages=4"), because);
        child.opens(&place.name("messages=3"));
        child.closes();
        // Who does not say how many takes what is allowed.
        child.opens(&place.name(""));
        child.closes();
    }
    // The kernel takes no less for this one.
    if child.limit("/proc/sys/fs/mqueue/msgsize_max", 128) {
        let because =
            "a message of the queue was to have up to 129 bytes, and /proc/sys/fs/mqueue/msgsize_max allows 128";
        child.is_refused(&place.name("max_message=113"), because);
        child.opens(&place.name("max_message=112"));
        child.closes();
        child.opens(&place.name(""));
        child.closes();
    }
    if child.limit("/proc/sys/fs/mqueue/queues_max", 1) {
        child.opens(&place.name(""));
        let because = "one more queue was needed, and /proc/sys/fs/mqueue/queues_max allows 1";
        child.is_refused(&other.name(""), because);
        child.closes();
        child.opens(&other.name(""));
    }
    child.0.finish();
}

#[test]
fn limits_of_system_v_queues_are_named_with_what_they_allow() {
    let (folder, [place, other]) = (Folder::new(), [(); 2].map(|()| Place::new(Kind::Sysv)));
    let Some(mut child) = Confined::start(&folder) else { return };
    if child.limit("/proc/sys/kernel/msgmnb", 100) {
        let because = "the queue was to hold 101 bytes, and /proc/sys/kernel/msgmnb allows 100";
        child.is_refused(&place.name("capacity=101"), because);
        child.opens(&place.name("capacity=100"));
        child.closes();
        // A message that is allowed by itself, and that the queue cannot hold.
        let because = "a message of the queue was to have up to 101 bytes, and its own capacity allows 100";
        child.is_refused(&place.name("max_message=85"), because);
        child.opens(&place.name("max_message=84"));
        child.closes();
    }
    if child.limit("/proc/sys/kernel/msgmax", 64) {
        let because = "a message of the queue was to have up to 65 bytes, and /proc/sys/kernel/msgmax allows 64";
        child.is_refused(&place.name("max_message=49"), because);
        child.opens(&place.name("max_message=48"));
        child.closes();
    }
    if child.limit("/proc/sys/kernel/msgmni", 1) {
        child.opens(&place.name(""));
        let because = "one more queue was needed, and /proc/sys/kernel/msgmni allows 1";
        child.is_refused(&other.name(""), because);
        child.closes();
        child.opens(&other.name(""));
    }
    child.0.finish();
}
