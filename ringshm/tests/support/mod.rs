//! What the tests with several processes share: a folder of their own, child processes, and what those can be told to do.
//!
//! A test binary starts copies of itself with `exec`. A copy runs the one test that is named `child`, which calls [`play`]:
//! it reads commands from standard input and reports on standard output. So the whole plot of a test stands in the test, in
//! the parent; the children are puppets. Nothing here sleeps to give somebody time: the parent waits for reports and for
//! states that it can see in `/proc`, and every wait has an end.

#![allow(dead_code, unused_imports, reason = "every test binary uses its part")]

mod carrier;
mod child;
mod folder;
mod handles;
mod in_set;
mod letters;
mod numbered;
mod pictures;
mod process;
mod puppet;
mod ring;
mod rings;
mod watchdog;

pub(crate) use carrier::{Carried, Carrier, Parcel, Receives, Sends, Short, Stop, variant};
pub(crate) use child::{die_with_parent, report};
pub(crate) use folder::Folder;
pub(crate) use numbered::record;
pub(crate) use pictures::assert_all_are_back;
pub(crate) use process::{PARENT, Process, ring_of_parent};
pub(crate) use puppet::play;
pub(crate) use ring::{NAME, Ring};
pub(crate) use rings::{Kind, Place, Received, Sink, Source};
pub(crate) use watchdog::Watchdog;

use std::time::Duration;

/// How long a test waits for something that takes milliseconds. Only a failure waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until `found`, and fails after [`PATIENCE`].
#[track_caller]
pub(crate) fn until(what: &str, mut found: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !found() {
        assert!(start.elapsed() < PATIENCE, "in vain waited for: {what}");
        // To leave the processor to those who are waited for; nothing depends on its length.
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Whether this process may do what only root may.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
