//! POSIX and System V message queues: what is claimed of both, over both, and what only one of them can do.

#[path = "../support/mod.rs"]
mod support;

mod actor;
mod endings;
mod feed;
mod foreign;
mod limits;
mod place;
mod posix;
mod refusals;
mod streams;
mod sysv;

/// Not a test: what a child process does. See [`actor`] and [`limits`].
#[test]
fn child() {
    support::play(|puppet, words| actor::obey(puppet, words).or_else(|| limits::obey(words)));
}
