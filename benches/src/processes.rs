//! A run from outside: its processes are started, awaited for a limited time, and never survive.

use crate::control::Shared;
use crate::plan::{Outcome, Plan, Test};
use crate::rivals::{self, Kind};
use crate::site;
use crate::stage::{Casting, Role, Stage};
use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, Signal, getppid, pidfd_open, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The hidden verb with which a process of a run is started: the same program again, whose `main` calls [`part`] first.
pub const VERB: &str = "play";

/// A process that does not outlive this value.
#[derive(Debug)]
pub struct Player {
    child: Child,
    pidfd: OwnedFd,
    /// What it prints. Read while it runs: it may be more than a pipe holds, and it could not end.
    printed: Option<JoinHandle<io::Result<String>>>,
    is_over: bool,
}

impl Player {
    /// Starts this program again, to play a part.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(casting: &Casting) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(VERB)
            .arg(serde_json::to_string(casting)?)
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a process of a run")?;
        let pid = Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => {
                let printed = child.stdout.take().map(|output| thread::spawn(|| io::read_to_string(output)));
                Ok(Self { child, pidfd, printed, is_over: false })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error).context("opening a pidfd")
            }
        }
    }

    /// Kills it, and does not wait for its end.
    pub fn kill(&mut self) {
        // Unless it is over already.
        let _ = self.child.kill();
    }

    /// What it found, if it is over, was successful and is the one that finds something.
    fn finish(mut self) -> Result<Option<Outcome>> {
        let status = self.child.wait()?;
        self.is_over = true;
        let printed = self.printed.take().map(|printed| printed.join().expect("it does not panic"));
        let printed = printed.transpose()?.unwrap_or_default();
        if !status.success() {
            bail!("a process of the run failed ({status})");
        }
        match serde_json::from_str(&printed).context("reading what a run found")? {
            Report::Played(outcome) => Ok(outcome.map(|outcome| *outcome)),
            Report::Failed(reason) => bail!(reason),
        }
    }

    /// Whether it has ended.
    fn has_ended(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&now)) == Ok(1)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a process of a run prints.
#[derive(Serialize, Deserialize)]
enum Report {
    /// Its part is over. One process of the run has found something.
    Played(Option<Box<Outcome>>),
    /// It could not play its part, and why.
    Failed(String),
}

/// What the names of all runs begin with; then come the starter's process number, a dash, and the run's number.
const PREFIX: &str = "ringshm-bench-";

/// Removes what a rival left under the run's name, when the run is over and its processes are gone; and the channels that are measured by name.
struct Sweep<'a> {
    name: &'a str,
    channels: &'a [String],
    plan: &'a Plan,
}

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        sweep(|name| {
            name.strip_prefix(self.name).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
        });
        for channel in self.channels.iter().filter(|channel| channel.contains(':')) {
            site::clear(channel, self.plan.directory.as_deref());
        }
    }
}

/// Removes what runs left whose starter was killed.
pub fn sweep_old() {
    sweep(|name| {
        let starter =
            name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).and_then(|pid| pid.parse().ok());
        let pid = starter.and_then(Pid::from_raw);
        pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(Errno::SRCH))
    });
}

/// Removes the files and folders for which `is_old` holds, from where rivals keep theirs.
fn sweep(is_old: impl Fn(&str) -> bool) {
    for folder in [Path::new("/dev/shm"), &std::env::temp_dir()] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(&is_old) {
                // Nobody is left to tell what could not be removed.
                let _ = std::fs::remove_file(entry.path()).or_else(|_| std::fs::remove_dir_all(entry.path()));
            }
        }
    }
}

/// Plays a run in processes of its own, and returns what it found.
///
/// `is_interrupted` is asked when a signal has arrived.
///
/// # Errors
/// If a process fails or the run takes ten seconds longer than planned; nothing of it is left then.
pub fn play(plan: &Plan, number: u64, is_interrupted: &dyn Fn() -> bool) -> Result<Outcome> {
    let rival = rivals::named(&plan.rival)?;
    let name = format!("{PREFIX}{}-{number}", std::process::id());
    let control = Shared::create()?;
    let links = rival.links(plan)?;
    let names = rival.names(plan, (0..links.len()).map(|index| format!("{name}-{index}")))?;
    for file in links.iter().flatten().chain([&control]) {
        // What is started from here on inherits it.
        fcntl_setfd(file, FdFlags::empty())?;
    }
    let casting = |(role, member)| Casting {
        plan: plan.clone(),
        role,
        member,
        control: control.as_raw_fd(),
        channels: links.iter().map(|files| files.iter().map(OwnedFd::as_raw_fd).collect()).collect(),
        names: names.clone(),
    };
    let _sweep = Sweep { name: &name, channels: &names, plan };
    let parts: Vec<(Role, usize)> = match rival.kind {
        _ if plan.test == Test::Look => vec![(Role::Both, 0)],
        Kind::Threads => vec![(Role::Both, 0)],
        Kind::Processes => {
            let producers = (0..plan.crew.producers).map(|member| (Role::Producer, member));
            producers.chain((0..plan.crew.consumers).map(|member| (Role::Consumer, member))).collect()
        }
    };
    let players: Vec<Player> = parts.into_iter().map(|part| Player::start(&casting(part))).collect::<Result<_>>()?;
    // Only they have the ends of pipes and sockets now, so that a failing one is noticed by the other.
    drop(links);
    if let Err(error) = wait(&players, Duration::from_secs_f64(plan.seconds * 2.0 + 10.0), is_interrupted) {
        // One that has failed knows why. The others have waited for it.
        let mut failed = players.into_iter().filter(Player::has_ended).filter_map(|player| player.finish().err());
        return Err(failed.next().unwrap_or(error));
    }
    let mut outcome = None;
    for player in players {
        outcome = player.finish()?.or(outcome);
    }
    outcome.context("no process of the run printed what it found")
}

/// Waits until all are over, or one of them has failed for a second.
fn wait(players: &[Player], at_most: Duration, is_interrupted: &dyn Fn() -> bool) -> Result<()> {
    let mut end = Instant::now() + at_most;
    let mut running: Vec<&Player> = players.iter().collect();
    while !running.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("a run did not end in time");
        }
        let mut polled: Vec<PollFd<'_>> =
            running.iter().map(|player| PollFd::from_borrowed_fd(player.pidfd.as_fd(), PollFlags::IN)).collect();
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut polled, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for a run"),
        }
        if is_interrupted() {
            bail!("interrupted");
        }
        let over: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        if over.contains(&true) {
            // The others end with it; one that lost its partner never does.
            end = end.min(Instant::now() + Duration::from_secs(1));
        }
        let mut over = over.into_iter();
        running.retain(|_| !over.next().unwrap_or(false));
    }
    Ok(())
}

/// Plays this process's part and prints what it found, if [`play`] started it: then there is nothing else for it to do. A program
/// that measures calls this before it looks at its arguments.
#[must_use]
pub fn part() -> Option<Result<()>> {
    // The arguments of a program need not be text.
    let words: Vec<OsString> = std::env::args_os().skip(1).take(3).collect();
    match words.iter().map(|word| word.to_str()).collect::<Vec<_>>()[..] {
        [Some(VERB), Some(casting), Some(parent)] => Some(take_part(casting, parent)),
        _ => None,
    }
}

fn take_part(casting: &str, parent: &str) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid().map(|pid| pid.as_raw_nonzero().get().to_string()).as_deref() != Some(parent) {
        bail!("the process that started this one is gone");
    }
    // A thread that panics would leave the other one spinning.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(101);
    }));
    let report = match perform(casting) {
        Ok(outcome) => Report::Played(outcome.map(Box::new)),
        Err(error) => Report::Failed(format!("{error:#}")),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn perform(casting: &str) -> Result<Option<Outcome>> {
    let casting: Casting = serde_json::from_str(casting).context("reading the casting")?;
    let rival = rivals::named(&casting.plan.rival)?;
    rival.run(&Stage::enter(casting)?)
}
