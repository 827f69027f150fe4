//! `ringshm rm`: removes rings.

use crate::failure::Failure;
use ringshm::Directory;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The rings
    #[arg(required = true)]
    names: Vec<String>,
    /// Even if live processes use them (they keep the memory until they end), and even if they are damaged
    #[arg(long, short)]
    force: bool,
}

/// Removes all that it can; the failures are told together.
pub(crate) fn run(directory: &Directory, args: &Args) -> Result<(), Failure> {
    let remove = |name: &String| ringshm::remove(directory, name, args.force).err().map(|why| format!("{name}: {why}"));
    let failures: Vec<String> = args.names.iter().filter_map(remove).collect();
    if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\nringshm: "))) }
}
