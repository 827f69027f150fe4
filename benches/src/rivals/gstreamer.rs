//! GStreamer's `shmsink` and `shmsrc`, as two programs of its own that run beside the two processes of a run, on their cores.
//!
//! `fakesrc` makes frames in private memory, which `shmsink` copies into shared memory, as it does with those of every source that does not allocate there; on the
//! other side nobody reads them. So it writes every byte and reads none. `fpsdisplaysink` counts.
//!
//! # Safety
//! What is called between fork and exec is a system call that takes numbers only.

#![allow(unsafe_code, reason = "a program that does not outlive its starter asks for that before it begins")]

use super::frames::bytes;
use crate::channel::Link;
use crate::control::Control;
use crate::frames::SLOTS;
use crate::plan::{Plan, Reading};
use crate::probe::median;
use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Milliseconds between two counts.
const INTERVAL: u64 = 100;
/// Counts before those that count.
const WARM: usize = 3;
/// Counts of a run.
const COUNTS: usize = 8;

/// Whether the programs are here.
///
/// # Errors
/// If they are not.
pub(super) fn look() -> Result<()> {
    let found = Command::new("gst-inspect-1.0").args(["--exists", "shmsink"]).stdin(Stdio::null()).status();
    let is_here = found.is_ok_and(|status| status.success());
    ensure!(is_here, "gst-launch-1.0 with the plugin shm is not here (GStreamer's tools, and its \"bad\" plugins)");
    Ok(())
}

/// A program, which ends with this value in good order, so that it removes its shared memory.
struct Program(Child);

impl Program {
    fn start(words: &[String], output: Stdio) -> Result<Self> {
        let mut command = Command::new("gst-launch-1.0");
        command.args(words).stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        // SAFETY: see the module.
        unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
        command.spawn().map(Self).context("starting gst-launch-1.0")
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be over.
        let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
        let end = Instant::now() + Duration::from_secs(2);
        while !self.has_ended() && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
        // What one leaves that had to be killed.
        let prefix = format!("shmpipe.{:>5}.", self.0.id());
        for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

fn socket(link: &Link) -> PathBuf {
    std::env::temp_dir().join(&link.name)
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

/// Lets frames be sent until the run is over.
///
/// # Errors
/// If the program ends before.
pub(super) fn send(plan: &Plan, link: &Link, control: &Control) -> Result<()> {
    let bytes = bytes(plan)?;
    let mut pipeline = words(["-q", "fakesrc", "sizetype=fixed", "filltype=nothing", "!", "shmsink", "sync=false"]);
    // A block more, which its allocator needs.
    let room = bytes * (SLOTS + 1);
    let socket = socket(link);
    pipeline.insert(2, format!("sizemax={bytes}"));
    pipeline.extend([format!("socket-path={}", socket.display()), format!("shm-size={room}")]);
    let mut program = Program::start(&pipeline, Stdio::null())?;
    while !control.is_stopped() {
        if program.has_ended() {
            control.stop();
            bail!("gst-launch-1.0 ended before the run was over");
        }
        thread::sleep(Duration::from_millis(5));
    }
    drop(program);
    // It may have removed it.
    let _ = std::fs::remove_file(socket);
    Ok(())
}

/// Counts what arrives, and ends the run.
///
/// # Errors
/// If nothing does.
pub(super) fn receive(link: &Link, control: &Control) -> Result<Reading> {
    let reading = count(&socket(link), control);
    control.stop();
    reading
}

fn count(socket: &Path, control: &Control) -> Result<Reading> {
    while !socket.exists() {
        ensure!(!control.is_stopped(), "there is no sender");
        thread::sleep(Duration::from_millis(1));
    }
    let mut pipeline = words(["-v", "shmsrc", "!", "fpsdisplaysink", "text-overlay=false", "sync=false"]);
    pipeline.insert(2, format!("socket-path={}", socket.display()));
    pipeline.extend(["video-sink=fakesink".to_owned(), format!("fps-update-interval={INTERVAL}")]);
    let mut program = Program::start(&pipeline, Stdio::piped())?;
    let output = program.0.stdout.take().context("it has an output")?;
    let current = |line: std::io::Result<String>| -> Option<f64> {
        let line = line.ok()?;
        let (_, rest) = line.split_once("current: ")?;
        rest.split(',').next()?.trim().parse().ok()
    };
    let mut rates: Vec<f64> = BufReader::new(output).lines().filter_map(current).skip(WARM).take(COUNTS).collect();
    ensure!(rates.len() == COUNTS, "shmsrc got no frames, or not for long");
    let rate = median(&mut rates);
    Ok(Reading { rate, sustained: rate, whole: rates.iter().sum::<f64>() / rates.len() as f64, ..Reading::default() })
}
