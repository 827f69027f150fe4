//! What the tests of all mechanisms share: child processes that open a channel by its name and are told what to do with it.
//!
//! How children are started and what every one of them does is that of the rings' tests.

#![allow(dead_code, unused_imports, reason = "every test binary uses its part")]

#[path = "../../../ringshm/tests/support/child.rs"]
mod child;
pub(crate) mod feed;
mod folder;
#[path = "../../../ringshm/tests/support/numbered.rs"]
mod numbered;
#[path = "../../../ringshm/tests/support/process.rs"]
mod process;
mod puppet;

pub(crate) use child::{die_with_parent, obey, report};
pub(crate) use folder::Folder;
pub(crate) use numbered::{number_of, record};
pub(crate) use process::{PARENT, Process};
pub(crate) use puppet::{Puppet, play};

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
