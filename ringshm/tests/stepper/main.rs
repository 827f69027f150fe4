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
//! Words select the cases whose names contain them all; `--list` prints the names. x86-64 only: elsewhere a step may be
//! no single instruction.

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
    if matrix::run(&cases, is_set("--full")) {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("skipped: single steps are for x86-64");
}
