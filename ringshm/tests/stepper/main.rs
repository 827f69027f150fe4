//! SIGKILL after every single instruction of an operation.
//!
//! A victim, a process of its own, brings a ring into a state and stops. From there it is stepped through one operation by
//! `ptrace`, instruction by instruction: first to its end, to count them; then again and again in new rings, so many
//! instructions far, and killed there. Each time the survivors must go on at once, every message must come through whole and once
//! (or, if the victim may have had it, marked as such), and the ring must then work as on its first day. And along the
//! instructions, the fate of each message of the operation may change in one direction only: what a victim had sent, it has
//! sent one instruction later too.
//!
//! By default a sample of the instructions; `--full` for all of them (build with `--release`: there are far fewer then).
//! Words select the cases whose names contain them all; `--list` prints the names. As many processes share the cases as there are
//! cores: processes, so that none inherits what another one holds for a moment. x86-64 only: elsewhere a step may be no single instruction.

#[path = "../support/mod.rs"]
mod support;

#[cfg(target_arch = "x86_64")]
mod case;
#[cfg(target_arch = "x86_64")]
mod matrix;
#[cfg(target_arch = "x86_64")]
mod tracer;
#[cfg(target_arch = "x86_64")]
mod trial;
#[cfg(target_arch = "x86_64")]
mod victim;

#[cfg(target_arch = "x86_64")]
fn main() -> std::process::ExitCode {
    if let Ok(index) = std::env::var(victim::CASE) {
        victim::run(&index);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_set = |option| arguments.iter().any(|argument| argument == option);
    let is_wanted = |case: &case::Case| {
        let mut words = arguments.iter().filter(|argument| !argument.starts_with("--"));
        words.all(|word| case.name().contains(word.as_str()))
    };
    let cases: Vec<_> = case::Case::all().into_iter().filter(is_wanted).collect();
    if is_set("--list") {
        cases.iter().for_each(|case| println!("{}: test", case.name()));
        return std::process::ExitCode::SUCCESS;
    }
    let all_went_well = match std::env::var(SHARE) {
        Ok(share) => matrix::run(&cases_of(&share, &cases), is_set("--full")),
        Err(_) => share_out(&arguments),
    };
    if all_went_well { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}

/// The environment variable that says which of how many shares of the cases a process has.
#[cfg(target_arch = "x86_64")]
const SHARE: &str = "RINGSHM_TEST_SHARE";

/// Has this program run the cases, once for each core. Whether all went well.
#[cfg(target_arch = "x86_64")]
fn share_out(arguments: &[String]) -> bool {
    let shares = std::thread::available_parallelism().map_or(1, usize::from);
    let start = |share: usize| {
        let mut command = std::process::Command::new(std::env::current_exe().expect("a program knows its path"));
        command.args(arguments).env(SHARE, format!("{share}/{shares}"));
        command.spawn().expect("this program can start itself")
    };
    matrix::print_title();
    let mut all: Vec<_> = (0..shares).map(start).collect();
    all.iter_mut()
        .map(|share| share.wait().expect("it is a child").success())
        .fold(true, |all, went_well| all & went_well)
}

/// Neighbours are alike, and take as long: each goes to another share.
#[cfg(target_arch = "x86_64")]
fn cases_of(share: &str, cases: &[case::Case]) -> Vec<case::Case> {
    let (share, shares) = share.split_once('/').expect("a share of so many");
    let [share, shares] = [share, shares].map(|number| number.parse().expect("a number"));
    cases.iter().skip(share).step_by(shares).copied().collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("skipped: single steps are for x86-64");
}
