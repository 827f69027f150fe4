//! What is claimed of two processes, tried with two processes: start and end, death, stopping, takeover, fork, other
//! namespaces, other users, and everything that makes opening a ring fail.

#[path = "../support/mod.rs"]
mod support;

mod backings;
mod endings;
mod liveness;
mod placement;
mod refusals;
mod residency;
mod silence;
mod storm;
mod streams;

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    support::play(|words| {
        backings::command(words)
            .or_else(|| liveness::command(words))
            .or_else(|| refusals::command(words))
            .or_else(|| placement::command(words))
            .or_else(|| residency::command(words))
            .or_else(|| silence::command(words))
            .or_else(|| storm::command(words))
    });
}
