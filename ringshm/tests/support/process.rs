//! A child process, seen from its parent.

use super::{Folder, PATIENCE, until};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

/// What stands before every report, so that it can be told from what the test harness prints.
pub(super) const REPORT: &str = "@ ";
/// The environment variable that makes a copy of the test binary a child.
pub(crate) const PARENT: &str = "RINGSHM_TEST_PARENT";
/// The environment variable that says what the ring is called, to children that are not told.
const RING: &str = "RINGSHM_TEST_RING";

/// In a child: what the ring is called.
pub(crate) fn ring_of_parent() -> String {
    std::env::var(RING).expect("the parent says so")
}

/// A puppet: see `puppet.rs` for what it can be told. Killed when dropped, and by the kernel when the
/// thread that started it dies.
pub(crate) struct Process {
    child: Child,
    /// The process to signal: the child, or the one that it put in its place.
    pid: Pid,
    cues: Option<ChildStdin>,
    reports: Receiver<String>,
}

impl Process {
    /// Starts a puppet that looks for rings in `folder`.
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::start_with(folder, |_| ())
    }

    /// As [`start`](Self::start), after a last change to its environment.
    pub(crate) fn start_with(folder: &Folder, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test binary knows its path"));
        command.args(["child", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(PARENT, std::process::id().to_string()).env("RINGSHM_DIR", folder.path()).env(RING, folder.ring());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("a test binary can start itself");
        let cues = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(report) = line.strip_prefix(REPORT)
                    && sender.send(report.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let pid = Pid::from_child(&child);
        Self { child, pid, cues, reports }
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// From now on, signals go to the process `pid`, which the child started and which took over its pipes.
    pub(crate) fn is_replaced_by(&mut self, pid: u32) {
        self.pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process number");
    }

    /// Gives it a command. A dead process does not mind.
    pub(crate) fn tell(&mut self, command: &str) {
        if let Some(cues) = &mut self.cues {
            let _ = writeln!(cues, "{command}");
        }
    }

    /// Its next report, or `None` if it has ended.
    #[track_caller]
    pub(crate) fn hear_or_end(&mut self) -> Option<String> {
        match self.reports.recv_timeout(PATIENCE) {
            Ok(report) => Some(report),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("process {} does not report", self.pid()),
        }
    }

    /// Its next report.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> String {
        match self.hear_or_end() {
            Some(report) => report,
            None => panic!("process {} ended ({}) and was to report", self.pid(), self.wait()),
        }
    }

    /// Gives it a command, and returns the report on it.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        let report = self.hear();
        if report == "begin" { self.hear() } else { report }
    }

    /// Gives it a command that may take long: returns when it has begun.
    #[track_caller]
    pub(crate) fn begin(&mut self, command: &str) {
        self.tell(command);
        assert_eq!(self.hear(), "begin", "{command}");
    }

    /// Waits until it sleeps in the kernel, or is dead. What it was told to do must have begun: then the only thing left
    /// to sleep for is the ring. Returns whether it is alive.
    #[track_caller]
    pub(crate) fn sleeps(&self) -> bool {
        let mut state = ' ';
        until("a process falls asleep", || {
            state = self.state();
            matches!(state, 'S' | 'Z' | 'X')
        });
        state == 'S'
    }

    /// The letter that stands for its state in `/proc`; X if it is gone. A process is as awake as its most wakeful thread: the
    /// commands are obeyed by another one than the first.
    pub(crate) fn state(&self) -> char {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid())) else { return 'X' };
        let states = threads.filter_map(|thread| {
            let stat = std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
            stat.rsplit_once(") ")?.1.chars().next()
        });
        let mut states: Vec<_> = states.collect();
        states.sort_by_key(|state| "RDSTZX".find(*state));
        states.first().copied().unwrap_or('X')
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the process is there, as nobody has waited for it");
    }

    fn wait_for(&self, what: WaitIdOptions) {
        waitid(WaitId::Pid(self.pid), what | WaitIdOptions::NOWAIT).expect("it is a child");
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        if self.pid == Pid::from_child(&self.child) {
            let status = self.wait();
            assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
        } else {
            until("a grandchild ends", || matches!(self.state(), 'Z' | 'X'));
        }
    }

    /// Kills it and leaves it a zombie.
    pub(crate) fn kill_unreaped(&mut self) {
        self.signal(Signal::KILL);
        self.wait_for(WaitIdOptions::EXITED);
        assert_eq!(self.state(), 'Z');
    }

    /// Stops it, and returns when it has stopped, or is dead.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::STOP);
        self.wait_for(WaitIdOptions::STOPPED | WaitIdOptions::EXITED);
    }

    /// Lets it go on.
    pub(crate) fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is a child")
    }

    /// Ends its commands: whoever has come to read them from the pipe finds its end.
    pub(crate) fn hang_up(&mut self) {
        self.cues = None;
    }

    /// Tells it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.hang_up();
        let status = self.wait();
        assert!(status.success(), "process {}: {status}", self.pid());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
