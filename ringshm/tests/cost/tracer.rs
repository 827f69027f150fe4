//! Counts the instructions, and the system calls, of a thread of another process.

use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How much something took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) instructions: usize,
    pub(crate) calls: usize,
}

/// A thread that is traced by the one that made this value, until its process ends.
pub(crate) struct Tracer(Pid);

/// `syscall`
const SYSCALL: i64 = 0x050f;

impl Tracer {
    pub(crate) fn attach(thread: i32) -> Self {
        let traced = Self(Pid::from_raw(thread));
        ptrace::attach(traced.0).expect("it is of a process that this one has started");
        traced.await_stop(Signal::SIGSTOP);
        traced.go_on();
        traced
    }

    fn go_on(&self) {
        // Without the signal that has stopped it.
        ptrace::cont(self.0, None).expect("it is stopped");
    }

    fn next_stop(&self) -> Signal {
        match waitpid(self.0, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Stopped(_, signal)) => signal,
            other => panic!("unexpected: {other:?}"),
        }
    }

    fn await_stop(&self, signal: Signal) {
        assert_eq!(self.next_stop(), signal);
    }

    fn is_about_to_call(&self) -> bool {
        let at = ptrace::getregs(self.0).expect("it is stopped").rip;
        let bytes = ptrace::read(self.0, at as ptrace::AddressType).expect("instructions can be read");
        bytes & 0xffff == SYSCALL
    }

    /// From where it stops itself to where it does so again, and lets it go on.
    pub(crate) fn between_stops(&self) -> Steps {
        self.await_stop(Signal::SIGSTOP);
        let mut steps = Steps { instructions: 0, calls: 0 };
        loop {
            steps.calls += usize::from(self.is_about_to_call());
            steps.instructions += 1;
            ptrace::step(self.0, None).expect("it is stopped");
            match self.next_stop() {
                Signal::SIGTRAP => {}
                Signal::SIGSTOP => break,
                other => panic!("a step ended by {other}"),
            }
        }
        self.go_on();
        steps
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Its process cannot be waited for as long as nobody has waited for the thread.
        let _ = kill(self.0, Signal::SIGKILL);
        while let Ok(WaitStatus::Stopped(..)) = waitpid(self.0, Some(WaitPidFlag::__WALL)) {}
    }
}
