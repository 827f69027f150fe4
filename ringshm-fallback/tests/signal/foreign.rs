//! `kill`, and a program in C.

use crate::support::{Folder, Process};
use crate::{receiver, rt, sender, start_blocking};
use ringshm_fallback::{address::Address, open};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// util-linux's, or procps's: that of the shell has no `-q`.
fn kill(arguments: &[&str], process: &Process) {
    let status = Command::new("kill").args(arguments).arg(process.pid().to_string()).status();
    assert!(status.expect("kill is missing: install util-linux or procps").success(), "kill {arguments:?}");
}

/// `peer.c`, compiled.
fn peer(folder: &Folder) -> Command {
    let (source, program) = (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signal/peer.c"), folder.join("peer"));
    let status = Command::new("cc").args(["-O1", "-Wall", "-Werror", "-o", &program, source]).status();
    assert!(status.expect("cc is missing: install a C compiler").success(), "{source} does not compile");
    Command::new(program)
}

#[test]
fn kill_sends_ints() {
    let folder = Folder::new();
    let mut child = receiver(&folder, "&framing=raw:4");
    for value in ["77", "0", "2147483647"] {
        kill(&["-s", "RTMIN+1", "-q", value], &child);
    }
    assert_eq!(child.ask("values 3"), "0000004d 00000000 7fffffff");
    child.finish();
}

#[test]
fn what_kill_sends_is_no_message_of_ours_and_the_rest_goes_on() {
    let folder = Folder::new();
    let mut child = receiver(&folder, "");
    kill(&["-s", "RTMIN+1", "-q", "77"], &child);
    kill(&["-s", "RTMIN+1"], &child);
    sender(&child, "").unwrap().send(b"ours").unwrap();
    for reason in ["another program sent it", "without a value"] {
        let said = child.ask("values 1");
        assert!(said.starts_with("Rejected(") && said.contains(reason), "{said}");
    }
    assert_eq!(child.ask("values 1"), "7372756f");
    child.finish();
}

#[test]
fn a_signal_that_is_not_queued_is_an_empty_message() {
    let folder = Folder::new();
    let mut child = start_blocking(&folder, libc::SIGUSR1);
    assert_eq!(child.ask("receiver signal://self?signal=USR1"), "open");
    let mut to = Address::parse(&format!("signal://{}?signal=USR1", child.pid())).and_then(open::sender).unwrap();
    assert_eq!(to.capabilities().loss, ringshm_core::Loss::AnyTime);
    kill(&["-s", "USR1"], &child);
    assert_eq!(child.ask("values 1"), "");
    // Those that come before it is received are one.
    for _ in 0..3 {
        to.send(b"").unwrap();
    }
    assert_eq!(child.ask("values 1"), "");
    assert_eq!(child.ask("next"), "Empty");
    assert!(to.send(b"x").is_err());
    child.finish();
}

#[test]
fn a_program_in_c_sends_and_receives() {
    let folder = Folder::for_leftovers();
    let mut child = receiver(&folder, "&framing=raw:4");
    child.begin("values 500");
    let (pid, signal) = (child.pid().to_string(), rt(1).to_string());
    let status = peer(&folder).args(["send", &pid, &signal, "0", "500"]).status().unwrap();
    assert!(status.success());
    assert_eq!(child.hear(), (0..500).map(|n| format!("{n:08x}")).collect::<Vec<_>>().join(" "));
    child.finish();

    for (signal, options, values) in [(rt(1), "signal=RTMIN+1&framing=raw:4", 100), (libc::SIGUSR1, "signal=USR1", 1)] {
        let mut waiting = peer(&folder)
            .args(["wait", &signal.to_string(), &values.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(waiting.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        let name = format!("signal://{}?{options}", waiting.id());
        let mut sender = Address::parse(&name).and_then(open::sender).unwrap();
        let max = sender.capabilities().longest.bytes;
        for n in 0..values {
            // An int, or nothing.
            sender.send(&i32::to_ne_bytes(n)[..max]).unwrap();
        }
        let expected: Vec<_> = if signal == rt(1) { (0..values).collect() } else { vec![-1] };
        let received: Vec<i32> = lines.map(|line| line.unwrap().parse().unwrap()).collect();
        assert_eq!(received, expected);
        assert!(waiting.wait().unwrap().success());
    }
}
