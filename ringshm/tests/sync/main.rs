//! Locks and meeting points between processes: who is killed, stopped, or leaves; contention; opening and removal. (Death at each crash point is in
//! `../crash`.)

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod contention;
mod holders;
mod opening;

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    let actor = std::cell::RefCell::new(actor::Actor::default());
    support::play(|words| actor.borrow_mut().obey(words));
}

use support::{Folder, Process};

/// Starts a process that takes part in objects of these kinds.
#[track_caller]
fn open(folder: &Folder, kinds: &[&str]) -> Process {
    let mut process = Process::start(folder);
    for kind in kinds {
        assert_eq!(process.ask(&format!("y-open {kind}")), "open", "{kind}");
    }
    process
}
