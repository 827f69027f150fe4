//! POSIX and System V message queues: what is claimed of both, over both, and what only one of them can do.

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod endings;
mod feed;
mod foreign;
mod place;
mod posix;
mod refusals;
mod streams;
mod sysv;

/// Not a test: what a child process does. See [`actor`].
#[test]
fn child() {
    support::play(actor::obey);
}
