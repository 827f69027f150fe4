//! A victim in the tracer's hands: one instruction at a time.

use crate::case::Case;
use crate::victim::{CASE, DECOY, FAILED, FOLDER};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that stands at the beginning of its operation, or further on.
pub(crate) struct Traced {
    child: Child,
    pid: Pid,
    ended: bool,
}

impl Traced {
    /// Starts a victim. It has the ring in its state when [`arrive`](Self::arrive) returns.
    pub(crate) fn start(case: Case, folder: &Path) -> Self {
        Self::start_with(case, folder, |_| ())
    }

    /// Starts a process that is to die before the victim comes to its operation.
    pub(crate) fn start_decoy(case: Case, folder: &Path) -> Self {
        Self::start_with(case, folder, |command| _ = command.env(DECOY, ""))
    }

    fn start_with(case: Case, folder: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let index = Case::all().iter().position(|other| *other == case).expect("one of them");
        let mut command = Command::new(std::env::current_exe().expect("a program knows its path"));
        command.env(CASE, index.to_string()).env(FOLDER, folder).stdin(Stdio::null());
        command.env("LD_BIND_NOW", "1");
        change(&mut command);
        let child = command.spawn().expect("this program can start itself");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process number"));
        Self { child, pid, ended: false }
    }

    /// Waits until it stands before its operation.
    pub(crate) fn arrive(&self) {
        assert_eq!(self.stopped_by(), Some(Signal::SIGSTOP), "it stops before its operation");
        ptrace::setoptions(self.pid, ptrace::Options::PTRACE_O_EXITKILL).expect("it is stopped");
    }

    /// Lets it run to its next stop.
    pub(crate) fn go_on(&self) {
        ptrace::cont(self.pid, None).expect("it is stopped");
        self.arrive();
    }

    /// The signal that stops it next; none if it has ended.
    fn stopped_by(&self) -> Option<Signal> {
        match waitpid(self.pid, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Stopped(_, signal)) => Some(signal),
            // Or it was waited for before.
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => None,
            other => panic!("unexpected: {other:?}"),
        }
    }

    /// Executes one instruction. `false` if that has completed the operation.
    pub(crate) fn step(&self) -> bool {
        ptrace::step(self.pid, None).expect("it is stopped");
        match self.stopped_by() {
            Some(Signal::SIGTRAP) => true,
            Some(Signal::SIGSTOP) => false,
            other => panic!("a step ended by {other:?}"),
        }
    }

    /// Executes up to `most` instructions. Returns how many there were.
    pub(crate) fn steps(&self, most: usize) -> usize {
        (0..most).find(|_| !self.step()).unwrap_or(most)
    }

    /// Lets it run to its end after the operation, and returns how many messages it has transferred.
    pub(crate) fn finish(mut self) -> usize {
        ptrace::cont(self.pid, None).expect("it is stopped");
        let status = waitpid(self.pid, Some(WaitPidFlag::__WALL)).expect("it is a child");
        self.ended = true;
        match status {
            WaitStatus::Exited(_, status) if status < FAILED => status as usize,
            other => panic!("a victim that was to live: {other:?}"),
        }
    }

    /// Kills it where it stands, and waits for its end.
    pub(crate) fn end(mut self) {
        self.kill();
    }

    /// Kills it where it stands. Whoever survives it has to do with what the kernel does by itself: nobody waits for its end here.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is stopped");
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if !self.ended {
            // It may have been killed before.
            let _ = self.child.kill();
            while self.stopped_by().is_some() {}
        }
    }
}
