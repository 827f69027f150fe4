//! A storm: processes that exchange messages through small rings, and are killed and replaced all the time, while every message is
//! accounted for. Run by `cargo xtask storm`.
//!
//! First every participant of every ring dies at every crash point that it passes; then anybody dies at any moment; then
//! participants that are alive and do not move (stopped; with a dead parent; in a PID namespace; dead, but with a forked copy that
//! lives) must not be taken for dead.

#[path = "../support/mod.rs"]
mod support;

mod account;
mod crew;
mod dice;
mod killing;
mod living;
mod report;
mod worker;

use crew::Site;
use dice::Dice;
use report::Report;
use std::time::{Duration, Instant};
use support::Kind;

/// What was asked for.
struct Options {
    kills: u64,
    rounds: u64,
    seed: u64,
    seconds: u64,
    is_verbose: bool,
    site: Site,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self { kills: 900, rounds: 100, seed: 1, seconds: 600, is_verbose: false, site: Site::Named };
        for argument in arguments {
            let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
            let field = match name {
                "--verbose" => {
                    options.is_verbose = true;
                    continue;
                }
                "--system-v" => {
                    options.site = Site::SystemV;
                    continue;
                }
                "--kills" => &mut options.kills,
                "--rounds" => &mut options.rounds,
                "--seed" => &mut options.seed,
                "--seconds" => &mut options.seconds,
                // What test harnesses understand.
                _ => continue,
            };
            *field = value.parse().unwrap_or_else(|_| panic!("{name}=NUMBER"));
        }
        options
    }
}

fn main() {
    if let Ok(words) = std::env::var(worker::WORKER) {
        worker::run(&words);
    }
    let options = Options::parse(std::env::args().skip(1));
    println!("storm: {} kills, {} rounds, seed {}", options.kills, options.rounds, options.seed);
    let start = Instant::now();
    let limit = Duration::from_secs(options.seconds);
    let mut report = Report::new(options.kills, options.is_verbose);
    for kind in Kind::ALL {
        report.says(format!("{} at its crash points", kind.word()));
        killing::directed(kind, options.site, options.kills / 2 / Kind::ALL.len() as u64, &mut report);
    }
    for turn in 0.. {
        if report.kills >= options.kills || start.elapsed() > limit {
            break;
        }
        let mut dice = Dice::new(options.seed.wrapping_mul(1 << 20) + turn);
        let kind = Kind::ALL[turn as usize % Kind::ALL.len()];
        report.says(format!("{} at any moment, ring {turn}", kind.word()));
        killing::random(kind, options.site, &mut dice, options.kills - report.kills, &mut report);
    }
    living::run(options.site, options.rounds, &mut Dice::new(options.seed), start + limit, &mut report);
    report.print(start.elapsed().as_secs_f64());
}
