//! The programs of other people that the tests talk with, and a Python with the modules for message queues.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace::run;

/// Each with the Debian package that has it.
const TOOLS: [(&str, &str); 9] = [
    ("cc", "gcc libc6-dev"),
    ("perl", "perl-base"),
    ("socat", "socat"),
    ("gzip", "gzip"),
    ("kill", "procps"),
    ("unshare", "util-linux"),
    ("prlimit", "util-linux"),
    ("ffmpeg", "ffmpeg"),
    ("python3", "python3 python3-venv"),
];

/// What python3 needs, from PyPI.
const MODULES: [&str; 2] = ["posix_ipc", "sysv_ipc"];

/// The environment variable that names the Python to the tests.
pub(crate) const PYTHON: &str = "RINGSHM_PYTHON";

/// Sees that all are there, and returns the Python: the one that the environment names, or one below `target`, made now if it is not there.
pub(crate) fn prepare(root: &Path) -> Result<PathBuf> {
    let missing: Vec<&str> = TOOLS.iter().filter(|(tool, _)| !is_there(tool)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        bail!(
            "the tests talk with programs that are not here: apt-get install {}, or what your system calls them",
            missing.join(" ")
        );
    }
    if let Some(python) = std::env::var_os(PYTHON) {
        return Ok(python.into());
    }
    let home = root.join("target/python");
    let python = home.join("bin/python");
    if !has_modules(&python) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home))
            .context("making a Python for the tests: apt-get install python3-venv")?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(MODULES))
        .with_context(|| {
            format!("installing {} from PyPI: or set {PYTHON} to a Python that has them", MODULES.join(" and "))
        })?;
    }
    Ok(python)
}

/// Whether a program of that name is in one of the folders for programs.
fn is_there(tool: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(tool).is_file())
}

fn has_modules(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", &format!("import {}", MODULES.join(", "))]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
