//! `ringshm demo`.
use crate::failure::Failure;
use ringshm::Directory;
use std::process::ExitCode;
pub(crate) const CHILD: &str = "demo-child";
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
#[derive(Debug, clap::Args)]
pub(crate) struct ChildArgs {}
pub(crate) fn run(_: &Directory, _: &Args) -> Result<ExitCode, Failure> {
    Err(Failure::new("not yet"))
}
pub(crate) fn run_child(_: &Directory, _: &ChildArgs) -> Result<(), Failure> {
    Err(Failure::new("not yet"))
}
