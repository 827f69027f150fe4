//! The checks of the project, one verb per question: `cargo xtask --help`.
//!
//! README.md, CONTRIBUTING.md and CI call these same verbs.

mod bench;
mod edges;
mod foreign;
mod leftovers;
mod lexer;
mod proofs;
mod remarks;
mod scratch;
mod sites;
mod storm;
mod suite;
mod weaken;
mod workspace;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::workspace::{cargo, run, rustflags};

/// The checks of the project, one verb per question.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Is the code in order? Format, lints, documentation, edges
    Check,
    /// Does it work? All tests, deaths at crash points, the loom models, nothing left in /dev/shm
    Test,
    /// Is it right in every schedule? The models of loom-tests
    Loom {
        /// Only the tests whose names contain this
        filter: Option<String>,
        /// Arguments for the test binaries, such as `-- --nocapture`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Does every memory ordering have a name, two ends, a row and a proof?
    Edges {
        /// Print each edge with its ends too
        #[arg(long)]
        list: bool,
    },
    /// Is every memory ordering needed? Takes one away at a time; the models must notice
    Weaken(weaken::Options),
    /// Does anybody notice that the others are killed? Kills participants of every ring, and accounts for every message
    Storm(storm::Options),
    /// How fast is it? Beside its rivals, and beside what the hardware allows
    Bench(bench::Options),
    /// Does hostile input do harm? Fuzzes images of segments, and of frames
    Fuzz {
        /// For how long, each target
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = workspace::root().and_then(|root| match arguments.verb {
        Verb::Check => check(&root),
        Verb::Test => test(&root),
        Verb::Loom { filter, arguments } => loom(&root, filter.as_deref(), &arguments),
        Verb::Edges { list } => edges::run(&root, list),
        Verb::Weaken(options) => weaken::run(&root, &options),
        Verb::Storm(options) => storm::storm(&root, &options),
        Verb::Bench(options) => bench::bench(&root, &options),
        Verb::Fuzz { seconds } => fuzz(&root, seconds),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The features by which tasks are woken by reactors, of the whole workspace.
const EXECUTORS: &str = "ringshm/tokio,ringshm/async-io";
/// The features of `ringshm` that its tests with executors need whose processes die.
const ASYNC: &str = "tokio,async-io,crash-points";

fn check(root: &Path) -> Result<()> {
    let warnings = ["--", "-D", "warnings"];
    run(cargo(root).args(["fmt", "--all", "--check"]))?;
    run(cargo(root).args(["clippy", "--workspace", "--all-targets"]).args(warnings))?;
    run(cargo(root).args(["clippy", "-p", "ringshm", "--all-targets", "--features", ASYNC]).args(warnings))?;
    run(cargo(root)
        .env("RUSTFLAGS", rustflags("--cfg loom"))
        .args(["clippy", "-p", "ringshm-sync", "-p", "ringshm-core", "-p", "loom-tests", "--all-targets"])
        .args(["--target-dir", "target/loom"])
        .args(warnings))?;
    run(cargo(root).env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--workspace",
        "--no-deps",
        "--features",
        EXECUTORS,
    ]))?;
    edges::run(root, false)
}

fn test(root: &Path) -> Result<()> {
    let python = foreign::prepare(root)?;
    let before = leftovers::listed()?;
    // Without crash points, whose instructions would be counted.
    run(cargo(root).env(foreign::PYTHON, python).args([
        "test",
        "--workspace",
        "--features",
        EXECUTORS,
        "--no-fail-fast",
    ]))?;
    let with_crash_points = ["--test", "crash", "--test", "asynchronous", "--test", "waking"];
    run(cargo(root).args(["test", "-p", "ringshm", "--features", ASYNC]).args(with_crash_points))?;
    loom(root, None, &[])?;
    leftovers::compare(&before)
}

fn loom(root: &Path, filter: Option<&str>, arguments: &[String]) -> Result<()> {
    let start = Instant::now();
    run(cargo(root)
        .env("RUSTFLAGS", rustflags("--cfg loom"))
        .args(["test", "--profile", "loom", "-p", "loom-tests", "--target-dir", "target/loom"])
        .args(filter)
        .arg("--")
        .args(arguments))?;
    eprintln!("loom: {:.1} s with the build", start.elapsed().as_secs_f64());
    Ok(())
}

/// The programs of `ringshm-core/fuzz`.
const FUZZ_TARGETS: [&str; 2] = ["image", "frames"];

fn fuzz(root: &Path, seconds: u64) -> Result<()> {
    // The cargo that runs us is one toolchain's own: only rustup's understands `+nightly`.
    let works = |arguments: &[&str]| {
        let quiet = Command::new("cargo").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok_and(|status| status.success())
    };
    if !works(&["+nightly", "--version"]) {
        bail!("fuzzing needs a nightly toolchain: install it with `rustup toolchain install nightly`");
    }
    if !works(&["+nightly", "fuzz", "--version"]) {
        bail!("fuzzing needs cargo-fuzz: install it with `cargo install cargo-fuzz`");
    }
    let home = root.join("ringshm-core");
    if !home.join("fuzz/Cargo.toml").exists() {
        bail!("{} does not exist: there is nothing to fuzz", home.join("fuzz").display());
    }
    for target in FUZZ_TARGETS {
        run(Command::new("cargo")
            .current_dir(&home)
            .args(["+nightly", "fuzz", "run", target, "--"])
            .arg(format!("-max_total_time={seconds}")))?;
    }
    Ok(())
}
