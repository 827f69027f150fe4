//! What every child process does, whatever it can be told.

use super::process::{PARENT, REPORT};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::io::Write as _;

/// In a child: obeys until the parent closes the pipe. In the test run itself: returns at once. `command` returns the report, or nothing if it
/// does not know the words.
pub(crate) fn obey(mut command: impl FnMut(&[&str]) -> Option<String>) {
    let Ok(parent) = std::env::var(PARENT) else { return };
    die_with_parent();
    // Zero: the parent is in another PID namespace.
    let there = getppid().map(Pid::as_raw_nonzero).is_none_or(|pid| pid.to_string() == parent);
    assert!(there, "the parent died first");
    for line in std::io::stdin().lines() {
        let line = line.expect("commands are text");
        let words: Vec<_> = line.split(' ').collect();
        match command(&words) {
            Some(reply) => report(&reply),
            None => panic!("unknown command: {line}"),
        }
    }
}

/// Asks the kernel to kill this process when its parent dies. To be asked anew after a change of user.
pub(crate) fn die_with_parent() {
    set_parent_process_death_signal(Some(Signal::KILL)).expect("prctl");
}

/// In one piece: a copy of this process may share the pipe, and what it writes would otherwise come between.
pub(crate) fn report(text: &str) {
    let line = format!("\n{REPORT}{text}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).expect("the parent listens");
}
