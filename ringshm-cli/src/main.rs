//! The `ringshm` program: rings from the shell.
//!
//! | file | what |
//! |---|---|
//! | `send`, `recv`, `ls`, `info`, `stat`, `top`, `gc`, `rm`, `doctor`, `demo`, `bench` | one command each |
//! | `ring` | the choice of a ring for `send` and `recv` |
//! | `sink`, `source` | all rings behind one face, to send into and to receive from |
//! | `channels` | the rings of one `recv`: joining, and waiting for all at once |
//! | `framing` | how records lie in a byte stream |
//! | `input` | a byte stream that is cut into records without copying |
//! | `video` | rings of frames: `send` and `recv` of them, and `ringshm view` |
//! | `view`, `lane` | what is shown of a ring, and of those who take part in it, as text and as JSON |
//! | `every` | looking again and again |
//! | `process` | what the kernel says of a participant's process |
//! | `print` | writing to standard output: tables, colours, closed pipes |
//! | `size` | sizes for people |
//! | `failure` | why a command fails, and its exit code |

mod bench;
mod channels;
mod demo;
mod doctor;
mod every;
mod failure;
mod far;
mod framing;
mod gc;
mod info;
mod input;
mod lane;
mod ls;
mod print;
mod process;
mod recv;
mod ring;
mod rm;
mod send;
mod sink;
mod size;
mod source;
mod stat;
mod top;
mod video;
mod view;

use clap::{Parser, Subcommand};
use failure::Failure;
use ringshm::Directory;
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Exit codes:
  0  success; a reader that closed the pipe early is success too
  1  an error, described on standard error
  2  wrong usage
  3  recv: the producer died without closing the ring; everything it sent was received

Try it:
  ringshm demo
  ringshm recv lines > copy.txt &  ringshm send lines < some.txt";

/// Lock-free rings in shared memory, from the shell.
#[derive(Debug, Parser)]
#[command(name = "ringshm", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    /// The folder for the names of rings, a mounted tmpfs [default: $RINGSHM_DIR, or /dev/shm]
    #[arg(long, global = true, value_name = "PATH")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what this machine does: two processes, a live feed, throughput and latency, beside a pipe and a socket
    Demo(demo::Args),
    /// Measure rings on this machine, beside pipes, sockets and the limits: about fifteen seconds; or any channels beside each other
    Bench(bench::Args),
    /// Send records from a file or standard input into a ring
    Send(send::Args),
    /// Receive records from a ring to standard output
    Recv(recv::Args),
    /// Show the newest frames of a ring of video on the terminal
    View(video::preview::Args),
    /// List all rings
    Ls(ls::Args),
    /// Show everything about one ring
    Info(info::Args),
    /// Show what goes on in all rings: rates, who lags, who is alive, slow, stalled, stopped or dead
    Top(top::Args),
    /// Show the counters of one ring, once or again and again
    Stat(stat::Args),
    /// Remove what killed processes have left behind, and say why
    Gc(gc::Args),
    /// Remove rings and what is in them
    Rm(rm::Args),
    /// Find out why rings would be slow, or fail, on this machine
    Doctor(doctor::Args),
    #[command(name = demo::CHILD, hide = true)]
    DemoChild(demo::ChildArgs),
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let directory = cli.dir.as_deref().map_or_else(Directory::default, Directory::new);
    match cli.command {
        Command::Demo(args) => demo::run(&directory, &args),
        Command::Bench(args) => bench::run(cli.dir.as_deref(), &args).map(|()| ExitCode::SUCCESS),
        Command::Send(args) => send::run(&directory, &args).map(|()| ExitCode::SUCCESS),
        Command::Recv(args) => recv::run(&directory, &args),
        Command::View(args) => video::preview::run(&directory, &args).map(|()| ExitCode::SUCCESS),
        Command::Ls(args) => ls::run(&directory, &args).map(|()| ExitCode::SUCCESS),
        Command::Info(args) => info::run(&directory, &args).map(|()| ExitCode::SUCCESS),
        Command::Top(args) => top::run(&directory, &args).map(|()| ExitCode::SUCCESS),
        Command::Stat(args) => stat::run(&directory, &args).map(|()| ExitCode::SUCCESS),
        Command::Gc(args) => gc::run(&directory, &args).map(|()| ExitCode::SUCCESS),
        Command::Rm(args) => rm::run(&directory, &args).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => doctor::run(&directory, &args),
        Command::DemoChild(args) => demo::run_child(&directory, &args).map(|()| ExitCode::SUCCESS),
    }
}

fn main() -> ExitCode {
    match bench::part().unwrap_or_else(|| run(Cli::parse())) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
