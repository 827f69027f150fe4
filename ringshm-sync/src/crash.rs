//! Named places where a process may be killed, for the tests that do so.
//!
//! Without the feature `crash-points` a point is nothing at all. With it, three environment variables act:
//!
//! - `RINGSHM_CRASH_AT=name` or `name:n`: the process raises SIGKILL when it comes to that point for the n-th time.
//! - `RINGSHM_STOP_AT=name` or `name:n`: the same with SIGSTOP.
//! - `RINGSHM_CRASH_LOG=path`: the name of every point is appended to that file the first time it is reached, so that a
//!   test can learn which points a scenario passes, and then kill at each of them.
//!
//! And one for tests in which nobody dies: with `RINGSHM_NEVER_LOOK` no sleeper looks by itself now and then, which would hide a wake-up that was lost.
//!
//! In a model, a participant dies at a point by `death::live_until`.

/// Marks a crash point. Names read `file.step`.
#[cfg(all(not(feature = "crash-points"), not(loom)))]
#[inline(always)]
pub fn point(_name: &'static str) {}

#[cfg(loom)]
pub use crate::death::pass as point;

#[cfg(all(feature = "crash-points", not(loom)))]
pub(crate) use armed::parks_are_bounded;
#[cfg(all(feature = "crash-points", not(loom)))]
pub use armed::point;

/// Whether sleepers look by themselves now and then.
#[cfg(any(not(feature = "crash-points"), loom))]
#[inline(always)]
pub(crate) fn parks_are_bounded() -> bool {
    true
}

#[cfg(all(feature = "crash-points", not(loom)))]
mod armed {
    use std::collections::HashMap;
    use std::io::Write as _;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use rustix::process::Signal;

    struct Plan {
        signals: Vec<(Signal, String, u64)>,
        log: Option<std::fs::File>,
        visits: HashMap<&'static str, u64>,
    }

    static PLAN: LazyLock<Mutex<Plan>> = LazyLock::new(|| {
        let plan = |signal, variable: &str| {
            let at = std::env::var(variable).ok()?;
            let (name, count) = at.split_once(':').unwrap_or((&at, "1"));
            Some((signal, name.to_owned(), count.parse().expect("the variable says name or name:n")))
        };
        let plans = [plan(Signal::KILL, "RINGSHM_CRASH_AT"), plan(Signal::STOP, "RINGSHM_STOP_AT")];
        let log = std::env::var_os("RINGSHM_CRASH_LOG").map(|path| {
            let mut options = std::fs::File::options();
            options.create(true).append(true).open(path).expect("RINGSHM_CRASH_LOG can be written")
        });
        Mutex::new(Plan { signals: plans.into_iter().flatten().collect(), log, visits: HashMap::new() })
    });

    static ARE_BOUNDED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("RINGSHM_NEVER_LOOK").is_none());

    /// Whether sleepers look by themselves now and then.
    pub(crate) fn parks_are_bounded() -> bool {
        *ARE_BOUNDED
    }

    /// Marks a crash point. Names read `file.step`.
    pub fn point(name: &'static str) {
        let mut plan = PLAN.lock().unwrap_or_else(PoisonError::into_inner);
        let visits = plan.visits.entry(name).or_insert(0);
        *visits += 1;
        let visits = *visits;
        if visits == 1
            && let Some(log) = &mut plan.log
        {
            writeln!(log, "{name}").expect("RINGSHM_CRASH_LOG can be written");
        }
        let planned = plan.signals.iter().find(|(_, at, count)| at == name && *count == visits);
        if let Some(signal) = planned.map(|(signal, ..)| *signal) {
            let me = rustix::process::getpid();
            // It is delivered on the way out of the system call: nothing after this line runs, or not before the process goes on.
            rustix::process::kill_process(me, signal).expect("a process may signal itself");
        }
    }
}
