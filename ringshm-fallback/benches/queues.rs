//! Message queues and signals beside the bare calls that carry the same bytes: `mq_send` and `mq_receive`, `msgsnd` and `msgrcv`, `sigqueue` and `read` of a
//! signalfd, all of which wait in the kernel.
//!
//! `cargo bench -p ringshm-fallback --bench queues [-- WORD]`: only what has the word in its name.
//!
//! # Safety
//! The kernel is given buffers with their lengths, and descriptors that are open.

#![allow(unsafe_code, reason = "the bare calls")]

mod support;

use ringshm_core::{OnDeath, Receiver, Sender};
use ringshm_fallback::framing::{Framing, HEADER};
use ringshm_fallback::posix_mq::PosixMq;
use ringshm_fallback::signal::Signals;
use ringshm_fallback::sysv_mq::SysvMq;
use std::num::NonZeroUsize;
use std::time::Instant;
use support::{calls, calls_of, compare, pin};

const SIZES: &[usize] = &[64, 4096];
const SIGNAL: &str = "RTMIN+1";

fn count_for(size: usize) -> usize {
    if size < 1000 { 40_000 } else { 20_000 }
}

/// Messages per second, of `send` on one core and `receive` on the other.
fn rate(count: usize, mut send: impl FnMut() + Send, mut receive: impl FnMut()) -> f64 {
    std::thread::scope(|scope| {
        let start = Instant::now();
        scope.spawn(move || {
            pin(1);
            (0..count).for_each(|_| send());
        });
        (0..count).for_each(|_| receive());
        count as f64 / start.elapsed().as_secs_f64()
    })
}

/// Turns of one thread that sends and receives.
const TURNS: usize = 3_000;

/// Who sends and receives.
#[derive(Clone, Copy)]
enum By {
    /// A thread each, on a core each.
    Two,
    /// One, which never waits.
    One,
}

/// Messages per second of bare calls.
fn drive(by: By, size: usize, send: impl FnMut() + Send, receive: impl FnMut()) -> f64 {
    match by {
        By::Two => rate(count_for(size), send, receive),
        By::One => calls(TURNS, send, receive),
    }
}

fn stream((mut sender, mut receiver): (impl Sender, impl Receiver), size: usize) -> f64 {
    let (message, mut into) = (vec![7; size], Vec::new());
    rate(
        count_for(size),
        move || sender.send(&message).expect("the receiver is there"),
        move || assert_eq!(receiver.recv(&mut into), Ok(size)),
    )
}

fn bare_posix(by: By, size: usize) -> f64 {
    let name = std::ffi::CString::new(format!("/ringshm-bench-bare-{}", std::process::id())).expect("no zero");
    // SAFETY: numbers.
    let mut shape: libc::mq_attr = unsafe { core::mem::zeroed() };
    (shape.mq_maxmsg, shape.mq_msgsize) = (10, 8192);
    // SAFETY: a name, and a shape that lives through the call.
    let queue = unsafe { libc::mq_open(name.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600, &raw const shape) };
    assert!(queue >= 0, "mq_open");
    // SAFETY: a name.
    unsafe { libc::mq_unlink(name.as_ptr()) };
    let (packet, mut into) = (vec![7_u8; HEADER + size], vec![0_u8; 8192]);
    let rate = drive(
        by,
        size,
        // SAFETY: a packet and its length.
        move || assert_eq!(unsafe { libc::mq_send(queue, packet.as_ptr().cast(), packet.len(), 0) }, 0),
        move || {
            // SAFETY: a buffer and its length.
            let len = unsafe { libc::mq_receive(queue, into.as_mut_ptr().cast(), into.len(), core::ptr::null_mut()) };
            assert_eq!(len, (HEADER + size) as isize);
        },
    );
    // SAFETY: nobody uses it any more.
    unsafe { libc::mq_close(queue) };
    rate
}

fn bare_sysv(by: By, size: usize) -> f64 {
    // SAFETY: numbers.
    let queue = unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) };
    assert!(queue >= 0, "msgget");
    let (packet, mut into) = (vec![1_i64; 1 + (HEADER + size) / 8], vec![0_i64; 1 + 8192 / 8]);
    let rate = drive(
        by,
        size,
        // SAFETY: a type and as many bytes as are said.
        move || assert_eq!(unsafe { libc::msgsnd(queue, packet.as_ptr().cast(), HEADER + size, 0) }, 0),
        move || {
            // SAFETY: room for a type and as many bytes as are said.
            let len = unsafe { libc::msgrcv(queue, into.as_mut_ptr().cast(), 8192, 0, 0) };
            assert_eq!(len, (HEADER + size) as isize);
        },
    );
    // SAFETY: takes no structure.
    unsafe { libc::msgctl(queue, libc::IPC_RMID, core::ptr::null_mut()) };
    rate
}

fn bare_signals(by: By, size: usize) -> f64 {
    let signal = libc::SIGRTMIN() + 1;
    // SAFETY: a set to be emptied.
    let mut set: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: a set that lives through the call.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    // SAFETY: as above.
    let mailbox = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC) };
    let pid = std::process::id() as libc::pid_t;
    let rate = drive(
        by,
        size,
        move || {
            let value = libc::sigval { sival_ptr: 7 as *mut libc::c_void };
            // SAFETY: numbers.
            assert_eq!(unsafe { libc::sigqueue(pid, signal, value) }, 0);
        },
        move || {
            // SAFETY: numbers.
            let mut came: libc::signalfd_siginfo = unsafe { core::mem::zeroed() };
            let room = size_of_val(&came);
            // SAFETY: a structure and its length.
            assert_eq!(unsafe { libc::read(mailbox, (&raw mut came).cast(), room) }, room as isize);
        },
    );
    // SAFETY: nobody uses it any more.
    unsafe { libc::close(mailbox) };
    rate
}

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let name = format!("/ringshm-bench-{}", std::process::id());
    let key = 0x6000_0000 | std::process::id() as i32;
    let posix = || {
        let receiver = PosixMq::new(&name).receiver().expect("queues are allowed");
        (PosixMq::new(&name).sender().expect("it is there"), receiver)
    };
    let sysv = |on_death| {
        let receiver = SysvMq::new(key).on_death(on_death).receiver().expect("queues are allowed");
        (SysvMq::new(key).on_death(on_death).sender().expect("it is there"), receiver)
    };
    // First, so that the threads that send inherit the mask.
    let eight = || Signals::new(SIGNAL).framing(Framing::Raw(NonZeroUsize::MIN.saturating_add(7)));
    let _blocked = eight().receiver().expect("this is the only thread");
    let signals = || {
        let receiver = eight().receiver().expect("all threads block it");
        (eight().sender(std::process::id()).expect("it waits"), receiver)
    };
    pin(0);
    let measure = |name: &str, sizes, wrapped: &mut dyn FnMut(usize) -> f64, bare: &mut dyn FnMut(usize) -> f64| {
        if name.contains(&wanted) {
            compare(name, sizes, wrapped, bare);
        }
    };
    let both = |name: &str,
                sizes,
                bare: fn(By, usize) -> f64,
                two: &mut dyn FnMut(usize) -> f64,
                one: &mut dyn FnMut(usize) -> f64| {
        measure(name, sizes, two, &mut |size| bare(By::Two, size));
        measure(&format!("{name}, calls"), sizes, one, &mut |size| bare(By::One, size));
    };
    both("posix_mq", SIZES, bare_posix, &mut |size| stream(posix(), size), &mut |size| calls_of(TURNS, posix(), size));
    for (name, on_death) in [("sysv_mq", OnDeath::Disconnect), ("sysv_mq, await", OnDeath::AwaitSuccessor)] {
        let [two, one] = [|pair, size| stream(pair, size), |pair, size| calls_of(TURNS, pair, size)];
        both(name, SIZES, bare_sysv, &mut |size| two(sysv(on_death), size), &mut |size| one(sysv(on_death), size));
    }
    both("signal", &[8], bare_signals, &mut |size| stream(signals(), size), &mut |size| {
        calls_of(TURNS, signals(), size)
    });
}
