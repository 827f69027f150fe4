//! Another process: in C, in Perl, or this test binary started again. It obeys commands on its standard input, a line each, and reports on
//! its standard output, in lines that begin with `@ `. So the plot of a test stands in the test.
//!
//! # Safety
//! Signals are sent to children that nobody has waited for, and the handler makes one call that handlers may make.

#![allow(unsafe_code, reason = "a signal handler, and signals for one thread")]

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a test waits for something that takes milliseconds. Only a failure waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The environment variable that makes a copy of the test binary a child.
const PARENT: &str = "RINGSHM_TEST_PARENT";

/// Looks until `found`, and fails after [`PATIENCE`].
#[track_caller]
pub(crate) fn until(what: &str, mut found: impl FnMut() -> bool) {
    let start = Instant::now();
    while !found() {
        assert!(start.elapsed() < PATIENCE, "in vain waited for: {what}");
        // To leave the processor to those who are waited for; nothing depends on its length.
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// A process that is killed when dropped, or by the kernel when this one dies.
pub(crate) struct Peer {
    child: Child,
    cues: ChildStdin,
    reports: Receiver<String>,
}

impl Peer {
    /// One in C.
    pub(crate) fn in_c() -> Self {
        let mut command = Command::new(compiled());
        // It has nothing to say there but the last words of a C library that aborts, as it is meant to.
        command.stderr(Stdio::null());
        Self::start(command)
    }

    /// One in Perl.
    pub(crate) fn in_perl() -> Self {
        let mut command = Command::new("perl");
        command.arg(source("peer.pl"));
        Self::start(command)
    }

    /// One in Rust: this binary, which runs [`play`].
    pub(crate) fn in_rust() -> Self {
        Self::in_rust_with(|_| ())
    }

    /// The same, in another environment.
    pub(crate) fn in_rust_with(prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test binary knows its path"));
        prepare(&mut command);
        command.args(["child", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(PARENT, std::process::id().to_string());
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let program = command.get_program().to_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?}: {error}; the tests need `cc` and `perl` (README.md)"));
        let cues = child.stdin.take().expect("it was piped");
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(report) = line.strip_prefix("@ ")
                    && sender.send(report.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Self { child, cues, reports }
    }

    /// Gives it a command. A dead process does not mind.
    pub(crate) fn tell(&mut self, command: &str) {
        let _ = writeln!(self.cues, "{command}");
    }

    /// Its next report, or `None` if it has ended.
    #[track_caller]
    pub(crate) fn hear_or_end(&mut self) -> Option<String> {
        match self.reports.recv_timeout(PATIENCE) {
            Ok(report) => Some(report),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("process {} does not report", self.child.id()),
        }
    }

    /// Its next report.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> String {
        self.hear_or_end().unwrap_or_else(|| panic!("process {} ended and was to report", self.child.id()))
    }

    /// Gives it a command, and returns the report on it.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.hear()
    }

    /// Gives it a command that waits for somebody: returns when it has begun.
    #[track_caller]
    pub(crate) fn begin(&mut self, command: &str) {
        assert_eq!(self.ask(command), "begin", "{command}");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills it and waits for its end.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        kill_process(self.pid(), Signal::KILL).expect("nobody has waited for it");
        assert_eq!(self.end(), Some(9), "it ended by itself");
    }

    /// Waits for its end. Returns the signal that killed it, if one did.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.child.wait().expect("it is a child").signal()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has SIGUSR1 reach one thread of a child that reports signals, often. Each time it is reported before the next.
#[track_caller]
pub(crate) fn interrupt(peer: &mut Peer, thread: &str) {
    let (process, thread) = (peer.pid().as_raw_nonzero().get(), thread.parse::<i32>().expect("a thread number"));
    for _ in 0..20 {
        // SAFETY: numbers only: a thread of a child that nobody has waited for.
        assert_eq!(unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR1) }, 0);
        assert_eq!(peer.hear(), "signal");
    }
}

/// In a child: from now on SIGUSR1 interrupts what this thread waits for, and is reported. Returns the thread's number.
pub(crate) fn report_signals() -> String {
    extern "C" fn handler(_: libc::c_int) {
        let text = b"\n@ signal\n";
        // SAFETY: `write` may be called in a handler; the text is that long.
        let _ = unsafe { libc::write(1, text.as_ptr().cast(), text.len()) };
    }
    // SAFETY: all zeros are a valid `sigaction`, without SA_RESTART.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the action lives through the call.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) }, 0);
    // SAFETY: a number.
    unsafe { libc::gettid() }.to_string()
}

/// In a child: obeys until the parent closes the pipe. In the test run itself: returns at once.
pub(crate) fn play(obey: impl Fn(&[&str]) -> Option<String>) {
    let Ok(parent) = std::env::var(PARENT) else { return };
    set_parent_process_death_signal(Some(Signal::KILL)).expect("prctl");
    assert_eq!(getppid().map(|pid| pid.as_raw_nonzero().to_string()), Some(parent), "the parent died first");
    for line in std::io::stdin().lines() {
        let line = line.expect("commands are text");
        let words: Vec<_> = line.split(' ').collect();
        report(&obey(&words).unwrap_or_else(|| panic!("unknown command: {line}")));
    }
}

pub(crate) fn report(text: &str) {
    let mut out = std::io::stdout().lock();
    write!(out, "\n@ {text}\n").and_then(|()| out.flush()).expect("the parent listens");
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/semaphores").join(name)
}

/// The C program, compiled once in a test run.
fn compiled() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Another run may be using the program: it is replaced, and not written to.
        let program = folder.join(concat!(env!("CARGO_PKG_NAME"), "-peer"));
        let new = program.with_extension(std::process::id().to_string());
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let status = Command::new(&compiler)
            .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
            .args([&new, &source("peer.c")])
            .status()
            .unwrap_or_else(|error| panic!("{compiler:?}: {error}; the tests need a C compiler (README.md)"));
        assert!(status.success(), "the C program does not compile: {status}");
        std::fs::rename(&new, &program).expect("both are in one folder");
        program
    })
}
