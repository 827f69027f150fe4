//! Semaphores between processes: the same objects as those of C programs (`peer.c`, compiled here with the system's compiler) and, for
//! System V, of Perl programs (`peer.pl`); and what is left when one of them is killed.
#![cfg(not(loom))]

mod peer;
mod posix;
mod sysv;

/// Not a test: what a child process does. See [`peer`].
#[test]
fn child() {
    peer::play(|words| posix::command(words).or_else(|| sysv::command(words)));
}
