//! Builds and runs the loom suite of a copy of the workspace, binary by binary, so that a failure to compile, a failing
//! test and a test without end are told apart.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::proofs::Binary;
use crate::workspace;

/// The suite of the workspace at `root`, built into `target`.
pub(crate) struct Suite {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

/// A built test binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    name: String,
    path: PathBuf,
}

/// How a build ended.
pub(crate) enum Build {
    Done(Vec<Executable>),
    /// The compiler's last words.
    Broken(String),
}

/// How a run of a binary ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// So many tests passed.
    Passed(usize),
    /// The test that failed first, or the binary and how it died.
    Failed(String),
    TimedOut,
}

impl Suite {
    /// Builds the chosen binaries, or with an empty choice all of them.
    pub(crate) fn build(&self, choice: &[Binary]) -> Result<Build> {
        let mut cargo = workspace::cargo(&self.root);
        // Every mutant leaves something unused behind: no lint may stop it.
        cargo.env("RUSTFLAGS", workspace::rustflags("--cfg loom --cap-lints warn")).env("CARGO_INCREMENTAL", "1");
        cargo.args(["test", "--no-run", "--profile", "loom", "--package", "loom-tests"]);
        cargo.arg("--message-format=json-render-diagnostics").arg("--target-dir").arg(&self.target);
        if choice.is_empty() {
            cargo.args(["--lib", "--tests"]);
        }
        for binary in choice {
            match binary {
                Binary::Lib => cargo.arg("--lib"),
                Binary::Test(name) => cargo.args(["--test", name]),
            };
        }
        let output = cargo.stdin(Stdio::null()).output().context("starting cargo")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let errors = words.find("error").map_or(&*words, |at| &words[at..]);
            return Ok(Build::Broken(errors.lines().take(30).collect::<Vec<_>>().join("\n")));
        }
        Ok(Build::Done(executables(&String::from_utf8_lossy(&output.stdout))))
    }

    /// Runs a binary, only the tests whose names contain one of `filters` if there are any, until the first failure.
    pub(crate) fn run(&self, executable: &Executable, filters: &[String], deadline: Instant) -> Result<Outcome> {
        let home = self.root.join("loom-tests");
        let mut command = Command::new(&executable.path);
        command.args(filters).current_dir(&home).env("CARGO_MANIFEST_DIR", &home);
        command.env_remove("LOOM_LOG").env_remove("LOOM_CHECKPOINT_FILE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("starting {}", executable.path.display()))?;
        let outcome = watch(&mut child, &executable.name, deadline);
        // It may have ended by itself: then there is nothing to kill.
        let _ = child.kill();
        let _ = child.wait();
        outcome
    }

    /// Was the file at `path` (from the root, with slashes) compiled into the suite?
    pub(crate) fn compiled(&self, path: &str) -> Result<bool> {
        let folder = self.target.join("loom/deps");
        for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let file = entry.with_context(|| format!("listing {}", folder.display()))?.path();
            if file.extension().is_some_and(|extension| extension == "d") && mentions(&file, path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn mentions(dep_info: &Path, path: &str) -> Result<bool> {
    let text = std::fs::read_to_string(dep_info).with_context(|| format!("reading {}", dep_info.display()))?;
    Ok(text.split_whitespace().any(|word| word == path || word.ends_with(&format!("/{path}"))))
}

/// The test binaries in the messages that cargo printed.
fn executables(messages: &str) -> Vec<Executable> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["profile"]["test"] == true)
        .filter_map(|message| {
            let path = PathBuf::from(message["executable"].as_str()?);
            let name = message["target"]["name"].as_str()?.to_owned();
            Some(Executable { name, path })
        })
        .collect()
}

/// Reads what libtest prints until a test fails, the binary ends or the deadline passes.
fn watch(child: &mut Child, name: &str, deadline: Instant) -> Result<Outcome> {
    let Some(stdout) = child.stdout.take() else { bail!("{name} has no standard output") };
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    let mut passed = 0;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => match verdict(&line) {
                Some((test, false)) => return Ok(Outcome::Failed(test.to_owned())),
                Some((_, true)) => passed += 1,
                None => {}
            },
            Err(RecvTimeoutError::Timeout) => return Ok(Outcome::TimedOut),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().with_context(|| format!("waiting for {name}"))?;
    Ok(if status.success() { Outcome::Passed(passed) } else { Outcome::Failed(format!("{name} ({status})")) })
}

/// The test that a line of libtest's is about, and whether it passed.
fn verdict(line: &str) -> Option<(&str, bool)> {
    let (test, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let test = test.trim_end_matches(" - should panic");
    match result.trim() {
        "ok" => Some((test, true)),
        "FAILED" => Some((test, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn watched(script: &str, seconds: f64) -> Outcome {
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let outcome = watch(&mut child, "model", Instant::now() + Duration::from_secs_f64(seconds)).unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        outcome
    }

    #[test]
    fn a_run_ends_at_the_first_failure_the_deadline_or_its_end() {
        assert_eq!(watched("echo 'test a ... ok'; echo 'test b ... ok'", 20.0), Outcome::Passed(2));
        let failing = "echo 'test a ... ok'; echo 'test m::b - should panic ... FAILED'; exec sleep 30";
        assert_eq!(watched(failing, 20.0), Outcome::Failed("m::b".to_owned()));
        assert_eq!(watched("exec sleep 30", 0.1), Outcome::TimedOut);
        let aborted = watched("kill -ABRT $$", 20.0);
        assert!(matches!(&aborted, Outcome::Failed(by) if by.starts_with("model (signal: 6")), "{aborted:?}");
    }

    #[test]
    fn only_test_binaries_are_executables() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"loom_tests"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","target":{"name":"spsc"},"profile":{"test":true},"executable":"/t/spsc-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executables(messages), [Executable { name: "spsc".to_owned(), path: "/t/spsc-1".into() }]);
    }
}
