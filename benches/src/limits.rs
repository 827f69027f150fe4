//! What the hardware and the kernel allow: a bare word that travels between two processes, a bare futex or semaphore, a bare copy.
//!
//! # Safety
//! A block belongs to the producer while its turn is even and to the consumer while it is odd. A semaphore has room of its own in the control page,
//! and is made before the sides meet.

#![allow(unsafe_code, reason = "copies blocks into and out of shared memory, and calls the C library for semaphores")]

use crate::channel::{Receiver, Sender};
use crate::control::{BLOCKS, Control, SEMAPHORE, Shared};
use crate::message::{Inspect, Message};
use crate::plan::Reading;
use crate::stream::take_time;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use rustix::thread::futex;

/// Which bare limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// A word that both sides write in turn.
    OneLine,
    /// A word for each direction.
    TwoLines,
    /// A word for each direction, and a system call to sleep on it or to wake.
    Futex,
    /// A word for each direction, and a semaphore of the C library: `sem_post`, `sem_timedwait`.
    Semaphore,
}

/// One end of a bare channel, which holds one message: a number. Bit 0 of the word tells the directions apart on one line.
#[derive(Debug)]
pub struct BareEnd<'a> {
    control: &'a Control,
    bare: Bare,
    /// 0 there, 1 back.
    direction: usize,
    /// The word as this end left it, or saw it last.
    last: u64,
}

impl<'a> BareEnd<'a> {
    /// An end of the channel in this direction.
    #[must_use]
    pub fn new(control: &'a Control, bare: Bare, direction: usize) -> Self {
        Self { control, bare, direction, last: 0 }
    }

    /// Makes its semaphore. Before the sides meet, by one of them.
    ///
    /// # Panics
    /// If the C library has no semaphores between processes.
    pub fn prepare(&self) {
        // SAFETY: see the module; nobody uses it yet.
        let outcome = unsafe { libc::sem_init(self.semaphore(), 1, 0) };
        assert_eq!(outcome, 0, "a semaphore for processes");
    }

    fn semaphore(&self) -> *mut libc::sem_t {
        const { assert!(size_of::<libc::sem_t>() <= SEMAPHORE && align_of::<libc::sem_t>() <= 8) };
        self.control.semaphores[self.direction].0.as_ptr().cast_mut().cast()
    }

    fn await_post(&self) {
        // Far away, as nobody dies here: what it costs is that there is one.
        let deadline = libc::timespec { tv_sec: i64::from(i32::MAX), tv_nsec: 0 };
        // SAFETY: see the module.
        while unsafe { libc::sem_timedwait(self.semaphore(), &raw const deadline) } != 0 {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "a semaphore waits: {error}");
        }
    }

    fn post(&self) {
        // SAFETY: see the module.
        let outcome = unsafe { libc::sem_post(self.semaphore()) };
        assert_eq!(outcome, 0, "it does not overflow");
    }

    fn word(&self) -> &AtomicU64 {
        let lane = if self.bare == Bare::OneLine { 0 } else { self.direction };
        &self.control.lanes[lane].0
    }

    /// Numbers from 1 on, and the direction.
    fn encoded(&self, number: u64) -> u64 {
        (number.wrapping_add(3) << 1) | self.direction as u64
    }
}

impl<M: Message> Sender<M> for BareEnd<'_> {
    #[inline]
    fn send(&mut self, message: M) {
        let word = self.encoded(message.number());
        if self.bare == Bare::Futex {
            let sleeper = &self.control.sleepers[self.direction].0;
            sleeper.number.store(word, Release);
            // Relaxed: the kernel compares it, and whoever sees an old number or an old word looks again.
            sleeper.word.fetch_add(1, Relaxed);
            futex::wake(&sleeper.word, futex::Flags::empty(), 1).expect("futex wakes");
            return;
        }
        self.word().store(word, Release);
        if self.bare == Bare::Semaphore {
            self.post();
        }
    }

    fn send_batch(&mut self, _first: u64, _count: usize) {
        unreachable!("a bare channel holds one message");
    }
}

impl<M: Message> Receiver<M> for BareEnd<'_> {
    #[inline]
    fn recv(&mut self) -> M {
        if self.bare == Bare::Futex {
            let sleeper = &self.control.sleepers[self.direction].0;
            loop {
                let word = sleeper.word.load(Acquire);
                let number = sleeper.number.load(Acquire);
                if number != self.last {
                    self.last = number;
                    return M::numbered((number >> 1).wrapping_sub(3));
                }
                match futex::wait(&sleeper.word, futex::Flags::empty(), word, None) {
                    Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                    Err(error) => panic!("futex waits: {error}"),
                }
            }
        }
        loop {
            if self.bare == Bare::Semaphore {
                self.await_post();
            }
            let word = self.word().load(Acquire);
            if word != self.last && word & 1 == self.direction as u64 {
                self.last = word;
                return M::numbered((word >> 1).wrapping_sub(3));
            }
            core::hint::spin_loop();
        }
    }

    fn recv_batch(&mut self, _check: &mut impl Inspect) {
        unreachable!("a bare channel holds one message");
    }
}

/// Copies a block into shared memory over and over. The two lanes of the control page count blocks written and read.
pub fn copy_in(shared: &Shared, size: usize) {
    let control = shared.control();
    let [written, read] = &control.lanes;
    let private = vec![1_u8; size];
    for number in 0_u64.. {
        while number - read.0.load(Acquire) >= BLOCKS as u64 {
            if control.is_stopped() {
                return;
            }
            core::hint::spin_loop();
        }
        let block = shared.blocks().wrapping_add(number as usize % BLOCKS * size);
        // SAFETY: the block is in the mapping, and the consumer gave it back.
        unsafe { block.copy_from_nonoverlapping(private.as_ptr(), size) };
        written.0.store(number + 1, Release);
    }
}

/// Copies the blocks out again, and takes the time.
pub fn copy_out(shared: &Shared, size: usize, seconds: f64) -> Reading {
    let control = shared.control();
    let [written, read] = &control.lanes;
    let mut private = vec![0_u8; size];
    let mut number = 0;
    take_time(BLOCKS, seconds, control, |goal| {
        while number < goal && !control.is_stopped() {
            while written.0.load(Acquire) <= number {
                core::hint::spin_loop();
            }
            let block = shared.blocks().wrapping_add(number as usize % BLOCKS * size);
            // SAFETY: the block is in the mapping, and the producer filled it and left it.
            unsafe { private.as_mut_ptr().copy_from_nonoverlapping(block, size) };
            core::hint::black_box(&mut private);
            number += 1;
            read.0.store(number, Release);
        }
        (number, control.is_stopped())
    })
}

/// Leaves the words of the page as a probe expects them.
pub fn reset(control: &Control) {
    for lane in &control.lanes {
        // Relaxed: the sides meet before either looks.
        lane.0.store(0, Relaxed);
    }
}
