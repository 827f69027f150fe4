//! Hosts that vanish: two networks of the children's own, with a cable between them that is cut. Whoever waits is told by the kernel, which asks, or
//! repeats what was sent, in vain.
//!
//! # Safety
//! What a child does between fork and exec is a system call.

#![allow(unsafe_code, reason = "unshare in a child, before exec")]

use crate::support::{Folder, Process};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Has the process begin in a network of its own.
fn move_out(command: &mut Command) -> &mut Command {
    // SAFETY: no descriptors are unshared.
    let apart = || Ok(unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?);
    // SAFETY: nothing but a system call.
    unsafe { command.pre_exec(apart) }
}

/// Runs `ip` in the network of a process.
fn ip(process: &Process, arguments: &str) {
    let within = ["-t", &process.pid().to_string(), "-n", "ip"].map(str::to_owned);
    let status = Command::new("nsenter").args(within).args(arguments.split(' ')).status();
    assert!(status.expect("nsenter is there: apt-get install util-linux").success(), "ip {arguments}");
}

/// A child that can be reached as 10.9.8.1, and one that can be as 10.9.8.2; `None` if this machine gives them no networks, and then it says why.
fn hosts(folder: &Folder) -> Option<[Process; 2]> {
    if let Err(error) = move_out(&mut Command::new("true")).status() {
        println!("skipped: no network namespace for a child: {error}");
        return None;
    }
    let hosts = [(); 2].map(|()| Process::start_with(folder, |command| _ = move_out(command)));
    let [one, other] = &hosts;
    ip(one, &format!("link add cable type veth peer name cable netns {}", other.pid()));
    for (host, address) in [(one, "10.9.8.1/24"), (other, "10.9.8.2/24")] {
        ip(host, &format!("addr add {address} dev cable"));
        ip(host, "link set cable up");
    }
    Some(hosts)
}

#[test]
fn a_receiver_that_waits_for_a_host_that_vanished_is_told() {
    let folder = Folder::new();
    let Some([mut sink, mut source]) = hosts(&folder) else { return };
    assert_eq!(sink.ask("receiver tcp://10.9.8.1:4711?keepalive=1"), "open");
    assert_eq!(source.ask("sender tcp://10.9.8.1:4711"), "open");
    assert_eq!(source.ask("send 0 10"), "sent 10");
    assert_eq!(sink.ask("recv 0 10"), "received 10");
    sink.begin("recv 10 20");
    assert!(sink.sleeps());
    ip(&source, "link set cable down");
    assert_eq!(sink.hear(), "Disconnected at 10");
    source.kill();
    sink.finish();
}

#[test]
fn a_sender_that_sends_to_a_host_that_vanished_is_told() {
    let folder = Folder::new();
    let Some([mut sink, mut source]) = hosts(&folder) else { return };
    assert_eq!(sink.ask("receiver tcp://10.9.8.1:4711"), "open");
    assert_eq!(source.ask("sender tcp://10.9.8.1:4711?user_timeout=1"), "open");
    sink.begin("recv-all");
    // It goes on until there is no more room.
    source.begin("send 0 1000000000");
    ip(&sink, "link set cable down");
    let said = source.hear();
    assert!(said.starts_with("Disconnected(..) at "), "{said}");
    sink.kill();
    source.finish();
}
