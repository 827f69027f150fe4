//! A kernel that knows less, and a process that does not ignore SIGPIPE.

#![allow(unsafe_code, reason = "what a program in C has: a signal that kills")]

use super::*;
use rustix::pipe::pipe;

fn less_knowing(ignores_signal: bool) -> (WriteEnd, ReadEnd) {
    let (reading, writing) = pipe().unwrap();
    let means = Means { flags: ReadWriteFlags::empty(), never_sleeps: false, ignores_signal };
    (WriteEnd { fd: writing, means }, ReadEnd { knows_nowait: false, ..ReadEnd::new(reading) })
}

#[test]
fn without_nowait_an_attempt_does_not_sleep_either() {
    let (mut writing, mut reading) = less_knowing(true);
    let mut room = vec![0; 1 << 20];
    assert_eq!(reading.read(&mut room, Patience::None), Err(Halt::NotReady));
    let mut sent = 0;
    let long = vec![7; 3 * WHOLE];
    let halt = loop {
        match writing.write(&[IoSlice::new(&[]), IoSlice::new(&long)], Patience::None) {
            Ok(count) => sent += count,
            Err(halt) => break halt,
        }
    };
    assert_eq!((halt, sent), (Halt::NotReady, 16 * WHOLE));
    assert_eq!(reading.read(&mut room, Patience::None), Ok(sent));
    drop(writing);
    assert_eq!(reading.read(&mut room, Patience::None), Ok(0));
}

#[test]
fn what_the_kernel_does_not_know_is_found_out_by_the_first_call() {
    let (reading, writing) = pipe().unwrap();
    let mut means = Means::for_shared();
    // No kernel knows this flag.
    means.flags = means.flags.union(ReadWriteFlags::from_bits_retain(1 << 30));
    let strange = means.flags;
    means.write(&writing, &[IoSlice::new(b"x")], false).unwrap();
    assert_ne!(means.flags, strange);
    let mut end = ReadEnd::new(reading);
    assert_eq!(end.read(&mut [0; 8], Patience::None), Ok(1));
}

#[test]
fn a_write_that_nobody_reads_raises_no_signal_where_it_would_kill() {
    // SAFETY: the default action runs no code of this program. No other test of this binary writes where nobody reads, unless it asks for no signal.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert!(!sigpipe::is_ignored());
    let (masked, reading) = less_knowing(false);
    let (other, writing) = pipe().unwrap();
    drop((reading, other));
    for mut writing in [masked, WriteEnd::new(writing)] {
        assert_eq!(writing.write(&[IoSlice::new(b"x")], Patience::None), Err(Halt::Disconnected));
        assert_eq!(writing.write(&[IoSlice::new(b"x")], Patience::ENDLESS), Err(Halt::Disconnected));
    }
    // SAFETY: as before.
    unsafe { libc::signal(libc::SIGPIPE, before) };
    assert!(sigpipe::is_ignored());
}
