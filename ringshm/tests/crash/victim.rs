//! The process of a scenario that may be killed at any moment.

use crate::support::{Process, Ring};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

/// What is to become of a victim.
pub(crate) enum Plan<'a> {
    /// It lives, and the names of the crash points that it passes are written to a file.
    Log(&'a Path),
    /// It is killed.
    Kill {
        point: &'a str,
        /// At which of its visits to the point.
        visit: u32,
        /// Whether the point lies before the moment in which the ring gets its name.
        leaves_nothing: bool,
    },
}

/// The crash points of producers that have begun a message and not published it, where one alone may have begun.
const AMID: [&str; 7] = [
    "broadcast.claimed",
    "broadcast.padded",
    "broadcast.half_marked",
    "ledger.half_marked",
    "broadcast.written",
    "latest.begun",
    "latest.written",
];

pub(crate) struct Victim {
    process: Process,
    /// Whether no ring may be there when it is dead.
    leaves_nothing: bool,
    /// Whether the point at which it is to be killed lies between the beginning of a message and its publication.
    is_amid: bool,
    /// Messages that it has reported as sent or received, counted from the ring's first.
    done: u64,
    killed: Option<bool>,
}

impl Victim {
    pub(crate) fn start(ring: &Ring, plan: Plan<'_>) -> Self {
        let process = Process::start_with(&ring.folder, |command| match plan {
            Plan::Log(path) => _ = command.env("RINGSHM_CRASH_LOG", path),
            Plan::Kill { point, visit, .. } => _ = command.env("RINGSHM_CRASH_AT", format!("{point}:{visit}")),
        });
        let is_amid = matches!(plan, Plan::Kill { point, .. } if AMID.contains(&point));
        let leaves_nothing = matches!(plan, Plan::Kill { leaves_nothing: true, .. });
        Self { process, leaves_nothing, is_amid, done: 0, killed: None }
    }

    pub(crate) fn leaves_nothing(&self) -> bool {
        self.leaves_nothing
    }

    /// Messages that it has left torn, in a ring whose successors count them. It must have ended.
    #[track_caller]
    pub(crate) fn torn(&self) -> u64 {
        u64::from(self.is_amid && self.was_killed())
    }

    /// Messages that it has reported as sent or received.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Gives it a command, and waits until that has begun. It may die instead.
    pub(crate) fn begin(&mut self, command: &str) {
        self.process.tell(command);
        let report = self.process.hear_or_end();
        assert!(report.as_deref().is_none_or(|report| report == "begin"), "{command}: {report:?}");
    }

    /// Waits for the end of the command that it has begun, or its own.
    pub(crate) fn hear(&mut self) -> Option<String> {
        loop {
            let report = self.process.hear_or_end()?;
            match report.strip_prefix("did ") {
                Some(number) => self.done = 1 + number.parse::<u64>().expect("a number"),
                None if report == "begin" => {}
                None => return Some(report),
            }
        }
    }

    /// Gives it a command, on which it must report `wanted`, or die.
    #[track_caller]
    pub(crate) fn does(&mut self, command: &str, wanted: &str) {
        self.process.tell(command);
        self.ends_with(wanted);
    }

    /// What it has begun must end with the report `wanted`, or with its death.
    #[track_caller]
    pub(crate) fn ends_with(&mut self, wanted: &str) {
        let report = self.hear();
        assert!(report.as_deref().is_none_or(|report| report == wanted), "{wanted}: {report:?}");
    }

    /// Takes a role in the ring.
    #[track_caller]
    pub(crate) fn joins(&mut self, ring: &Ring, role: &str, options: &str) {
        self.does(&ring.opening(role, options), "open 0");
    }

    /// Waits until it sleeps, or is dead.
    pub(crate) fn sleeps(&self) {
        self.process.sleeps();
    }

    /// Stops it, if it lives.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    pub(crate) fn resume(&mut self) {
        self.process.resume();
    }

    /// Ends it, if it lives. From now on it is certain whether it was killed.
    #[track_caller]
    pub(crate) fn ends(&mut self) {
        self.process.hang_up();
        while self.hear().is_some() {}
        let status = self.process.wait();
        let killed = status.signal() == Some(9);
        assert!(killed || status.success(), "{status}");
        self.killed = Some(killed);
    }

    /// Whether it died by SIGKILL. It must have ended.
    #[track_caller]
    pub(crate) fn was_killed(&self) -> bool {
        self.killed.expect("the scenario ends its victim")
    }
}
