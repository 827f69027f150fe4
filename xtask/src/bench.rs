//! How fast is it? Builds the harness of `benches`, optimised, and runs it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::workspace::{cargo, run};

#[derive(Args)]
pub(crate) struct Options {
    /// Only groups whose title has all of these words, such as "throughput 64 B"
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Only those whose names contain one of these, and the limits, such as "ringshm,rtrb"
    #[arg(long, value_name = "NAMES")]
    who: Option<String>,
    /// The essential groups only: below two minutes
    #[arg(long)]
    quick: bool,
    /// Rounds of each group [default: 7, or 3 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Measure the rivals too; their libraries are fetched and built (default)
    #[arg(long, overrides_with = "no_rivals")]
    rivals: bool,
    /// Measure ringshm, the kernel's streams and the limits only
    #[arg(long)]
    no_rivals: bool,
    /// Write what was found to this file
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
    /// Draw plots into this folder, such as docs/plots
    #[arg(long, value_name = "DIR")]
    plots: Option<std::path::PathBuf>,
    /// Say what would be measured, and measure nothing
    #[arg(long)]
    list: bool,
}

pub(crate) fn bench(root: &Path, options: &Options) -> Result<()> {
    let with_rivals = options.rivals || !options.no_rivals;
    let mut build = cargo(root);
    build.args(["build", "--release", "--package", "ringshm-benches", "--bin", "harness"]);
    if with_rivals {
        build.args(["--features", "rivals"]);
    }
    run(&mut build)?;
    let mut harness = Command::new(target(root)?.join("release/harness"));
    // Where the user is, so that paths mean what they mean there.
    for (is_set, flag) in [(options.quick, "--quick"), (options.list, "--list")] {
        if is_set {
            harness.arg(flag);
        }
    }
    if let Some(only) = &options.only {
        harness.arg("--only").arg(only);
    }
    if let Some(who) = &options.who {
        harness.arg("--who").arg(who);
    }
    if let Some(rounds) = options.rounds {
        harness.arg("--rounds").arg(rounds.to_string());
    }
    if let Some(file) = &options.json {
        harness.arg("--json").arg(file);
    }
    if let Some(folder) = &options.plots {
        harness.arg("--plots").arg(folder);
    }
    run(&mut harness)
}

/// The folder that cargo builds into.
fn target(root: &Path) -> Result<std::path::PathBuf> {
    let output = cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata has no target directory")?;
    Ok(folder.into())
}
