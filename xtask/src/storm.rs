//! `cargo xtask storm`: builds and runs the programs that kill.

use std::path::Path;

use anyhow::Result;

use crate::workspace::{cargo, run};

/// How many deaths, and which.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many processes are killed: half of them at crash points, if there are so many, the rest at any moment
    #[arg(long, default_value_t = 900)]
    kills: u64,
    /// In how many rounds somebody alive does not move: stopped, orphaned, in a PID namespace, or dead with a forked copy
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// Chooses rings, victims and moments; the same again with the same number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// No new round after so long
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Print each step, and the crash points
    #[arg(long)]
    verbose: bool,
    /// In rings in System V segments, whose liveness is another one
    #[arg(long)]
    system_v: bool,
    /// Instead: kill after each single instruction of each operation, in each state of each ring
    #[arg(long)]
    steps: bool,
}

pub(crate) fn storm(root: &Path, options: &Options) -> Result<()> {
    // Optimised: the storm is denser then, and the operations have a tenth of the instructions.
    let mut cargo = cargo(root);
    cargo.args(["test", "--release", "-p", "ringshm"]);
    if options.steps {
        return run(cargo.args(["--test", "stepper", "--", "--full"]));
    }
    cargo.args(["--features", "crash-points", "--test", "storm", "--"]);
    for (name, value) in
        [("kills", options.kills), ("rounds", options.rounds), ("seed", options.seed), ("seconds", options.seconds)]
    {
        cargo.arg(format!("--{name}={value}"));
    }
    cargo.args(options.system_v.then_some("--system-v"));
    run(cargo.args(options.verbose.then_some("--verbose")))
}
