//! What a child can be told to do with locks and meeting points. Of each kind there is one object, which has the kind's name.
//!
//! | command | report |
//! |---|---|
//! | `y-open KIND OPTION…` | `open`, or the error; KIND is `mutex`, `rwlock`, `condvar`, `barrier` or `once` |
//! | `y-add COUNT` | `begin`, then the value: adds 1 to the mutex's value so many times, and mends what a dead holder left |
//! | `y-hold`, `y-hold-read`, `y-hold-write` | `held`, with the lock held for ever |
//! | `y-lock`, `y-read`, `y-write` | `begin`, then `N`, or `N in doubt`: the value after a change by `y-lock`, `y-write`; they leave the doubt |
//! | `y-try` | as `y-lock`, or `WouldBlock` |
//! | `y-lock-by MS`, `y-read-by MS`, `y-write-by MS` | as without a time, or `Timeout` |
//! | `y-mend` | `ok`: marks the mutex's, or the lock's, value consistent |
//! | `y-write-many COUNT`, `y-read-many COUNT` | `begin`, then the value |
//! | `y-await N` | `begin`, then `N`: waits with the condvar until the mutex's value is N or more |
//! | `y-set N one`, `y-set N all` | `ok`: sets the mutex's value, marks it consistent, and notifies |
//! | `y-meet COUNT [MS]` | `begin`, then `met COUNT`, or `Broken N`, `Timeout N` after so many |
//! | `y-once FILE` | `begin`, then `ran`, `ran again` or `was done`; who does it adds a line to the file |
//! | `y-leave`, `y-detach` | `ok` |
//!
//! Options: `park`, `spin`, `value=N`, `parties=N`, `memfd=FD`.

use crate::support::report;
use ringshm::sync::{
    Barrier, BarrierTimeoutError, Builder, Condvar, LockError, LockTimeoutError, Mutex, Once, Primitive, RwLock,
    TryLockError, barrier, condvar, mutex, once, rwlock,
};
use ringshm::{OpenError, Payload, Wait};
use std::io::Write as _;
use std::time::Duration;

/// A value that shows whether it is torn: a number, and what follows from it.
pub(crate) type Value = [u64; 9];

pub(crate) fn value(number: u64) -> Value {
    std::array::from_fn(|index| number.wrapping_mul(index as u64 + 1))
}

#[track_caller]
fn number_of(found: &Value, is_in_doubt: bool) -> String {
    let number = found[0];
    if is_in_doubt {
        return format!("{number} in doubt");
    }
    assert_eq!(*found, value(number), "torn");
    number.to_string()
}

#[derive(Default)]
pub(crate) struct Actor {
    mutex: Option<Mutex<Value>>,
    rwlock: Option<RwLock<Value>>,
    condvar: Option<Condvar>,
    barrier: Option<Barrier>,
    once: Option<Once>,
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

fn opened<P: Primitive>(builder: Builder<P>, options: &[&str]) -> Result<P, OpenError> {
    let mut memfd = None;
    let builder =
        options.iter().fold(builder, |builder, option| match option.split_once('=').unwrap_or((option, "")) {
            ("park", _) => builder.wait(Wait::Park),
            ("spin", _) => builder.wait(Wait::Spin),
            ("memfd", fd) => {
                let path = format!("/proc/self/fd/{fd}");
                memfd =
                    Some(std::fs::File::options().read(true).write(true).open(path).expect("the memfd was inherited"));
                builder
            }
            _ => builder,
        });
    match memfd {
        Some(memfd) => builder.open_of(memfd),
        None => builder.open(),
    }
}

fn with_value<P: Primitive<Value = T>, T: Payload>(
    builder: Builder<P>,
    options: &[&str],
    make: fn(u64) -> T,
) -> Builder<P> {
    match options.iter().find_map(|option| option.strip_prefix("value=")) {
        Some(n) => builder.value(make(number(n))),
        None => builder,
    }
}

impl Actor {
    pub(crate) fn obey(&mut self, words: &[&str]) -> Option<String> {
        Some(match *words {
            ["y-open", kind, ref options @ ..] => match self.open(kind, options) {
                Ok(()) => "open".to_owned(),
                Err(error) => format!("{error:?}"),
            },
            ["y-add", count] => self.add(number(count)),
            ["y-hold"] => {
                core::mem::forget(self.mutex().lock().expect("a sound lock"));
                "held".to_owned()
            }
            ["y-hold-read"] => {
                core::mem::forget(self.rwlock().read().expect("a sound lock"));
                "held".to_owned()
            }
            ["y-hold-write"] => {
                core::mem::forget(self.rwlock().write().expect("a sound lock"));
                "held".to_owned()
            }
            ["y-lock"] => {
                report("begin");
                locked(self.mutex().lock())
            }
            ["y-try"] => match self.mutex().try_lock() {
                Ok(guard) => number_of(&guard, false),
                Err(TryLockError::OwnerDied(guard)) => number_of(&guard, true),
                Err(error) => format!("{error:?}"),
            },
            ["y-lock-by", ms] => {
                report("begin");
                match self.mutex().lock_timeout(millis(ms)) {
                    Ok(guard) => number_of(&guard, false),
                    Err(LockTimeoutError::OwnerDied(guard)) => number_of(&guard, true),
                    Err(error) => format!("{error:?}"),
                }
            }
            ["y-read"] => {
                report("begin");
                locked(self.rwlock().read())
            }
            ["y-write"] => {
                report("begin");
                locked(self.rwlock().write())
            }
            ["y-read-by", ms] => {
                report("begin");
                match self.rwlock().read_timeout(millis(ms)) {
                    Ok(guard) => number_of(&guard, false),
                    Err(LockTimeoutError::OwnerDied(guard)) => number_of(&guard, true),
                    Err(error) => format!("{error:?}"),
                }
            }
            ["y-write-by", ms] => {
                report("begin");
                match self.rwlock().write_timeout(millis(ms)) {
                    Ok(guard) => number_of(&guard, false),
                    Err(LockTimeoutError::OwnerDied(guard)) => number_of(&guard, true),
                    Err(error) => format!("{error:?}"),
                }
            }
            ["y-mend"] => {
                if let Some(mutex) = &mut self.mutex
                    && let Err(LockError::OwnerDied(mut guard)) = mutex.lock()
                {
                    *guard = value(guard[0]);
                    guard.mark_consistent();
                }
                if let Some(rwlock) = &mut self.rwlock
                    && let Err(LockError::OwnerDied(mut guard)) = rwlock.write()
                {
                    *guard = value(guard[0]);
                    guard.mark_consistent();
                }
                "ok".to_owned()
            }
            ["y-write-many", count] => self.write_many(number(count)),
            ["y-read-many", count] => self.read_many(number(count)),
            ["y-await", n] => self.wait_for(number(n)),
            ["y-set", n, whom] => {
                let mut guard = match self.mutex().lock() {
                    Ok(guard) | Err(LockError::OwnerDied(guard)) => guard,
                    Err(error) => panic!("{error}"),
                };
                *guard = value(number(n));
                guard.mark_consistent();
                drop(guard);
                let condvar = self.condvar.as_mut().expect("an open condvar");
                if whom == "all" { condvar.notify_all() } else { condvar.notify_one() }.expect("not forked");
                "ok".to_owned()
            }
            ["y-meet", count] => self.meet(number(count), Duration::from_secs(3600)),
            ["y-meet", count, ms] => self.meet(number(count), millis(ms)),
            ["y-once", file] => {
                report("begin");
                let mut said = "was done";
                let work = |state: ringshm::sync::OnceState| {
                    said = if state.is_interrupted() { "ran again" } else { "ran" };
                    let mut log = std::fs::File::options().create(true).append(true).open(file).expect("a file");
                    writeln!(log, "done").expect("a line");
                };
                self.once.as_mut().expect("an open once").call_once(work).expect("not forked");
                said.to_owned()
            }
            ["y-leave"] => {
                *self = Self::default();
                "ok".to_owned()
            }
            ["y-detach"] => {
                let actor = core::mem::take(self);
                actor.mutex.into_iter().for_each(Mutex::detach);
                actor.rwlock.into_iter().for_each(RwLock::detach);
                actor.condvar.into_iter().for_each(Condvar::detach);
                actor.barrier.into_iter().for_each(Barrier::detach);
                actor.once.into_iter().for_each(Once::detach);
                "ok".to_owned()
            }
            _ => return None,
        })
    }

    fn open(&mut self, kind: &str, options: &[&str]) -> Result<(), OpenError> {
        let parties = options.iter().find_map(|option| option.strip_prefix("parties=")).map_or(2, number);
        match kind {
            "mutex" => self.mutex = Some(opened(with_value(mutex("mutex"), options, value), options)?),
            "rwlock" => self.rwlock = Some(opened(with_value(rwlock("rwlock"), options, value), options)?),
            "condvar" => self.condvar = Some(opened(condvar("condvar"), options)?),
            "barrier" => self.barrier = Some(opened(barrier("barrier", parties as u32), options)?),
            "once" => self.once = Some(opened(once("once"), options)?),
            _ => panic!("unknown kind: {kind}"),
        }
        Ok(())
    }

    fn mutex(&mut self) -> &mut Mutex<Value> {
        self.mutex.as_mut().expect("an open mutex")
    }

    fn rwlock(&mut self) -> &mut RwLock<Value> {
        self.rwlock.as_mut().expect("an open rwlock")
    }

    fn add(&mut self, count: u64) -> String {
        report("begin");
        let mut last = 0;
        for _ in 0..count {
            let mut guard = match self.mutex().lock() {
                Ok(guard) => {
                    assert_eq!(*guard, value(guard[0]), "torn, and nobody says so");
                    guard
                }
                Err(LockError::OwnerDied(mut guard)) => {
                    *guard = value(guard[0]);
                    guard.mark_consistent();
                    guard
                }
                Err(error) => panic!("{error}"),
            };
            *guard = value(guard[0] + 1);
            last = guard[0];
        }
        last.to_string()
    }

    fn write_many(&mut self, count: u64) -> String {
        report("begin");
        let mut last = 0;
        for _ in 0..count {
            let mut guard = match self.rwlock().write() {
                Ok(guard) => {
                    assert_eq!(*guard, value(guard[0]), "torn, and nobody says so");
                    guard
                }
                Err(LockError::OwnerDied(mut guard)) => {
                    *guard = value(guard[0]);
                    guard.mark_consistent();
                    guard
                }
                Err(error) => panic!("{error}"),
            };
            *guard = value(guard[0] + 1);
            last = guard[0];
        }
        last.to_string()
    }

    fn read_many(&mut self, count: u64) -> String {
        report("begin");
        let mut last = 0;
        for _ in 0..count {
            match self.rwlock().read() {
                Ok(guard) => {
                    assert_eq!(*guard, value(guard[0]), "torn, and nobody says so");
                    assert!(guard[0] >= last, "it goes back");
                    last = guard[0];
                }
                Err(LockError::OwnerDied(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        last.to_string()
    }

    fn wait_for(&mut self, least: u64) -> String {
        report("begin");
        let condvar = self.condvar.as_mut().expect("an open condvar");
        let mutex = self.mutex.as_mut().expect("an open mutex");
        let mut guard = match mutex.lock() {
            Ok(guard) | Err(LockError::OwnerDied(guard)) => guard,
            Err(error) => panic!("{error}"),
        };
        // A doubt ends a wait, and is none of this one's business.
        while guard[0] < least {
            guard = match condvar.wait(guard) {
                Ok(guard) | Err(LockError::OwnerDied(guard)) => guard,
                Err(error) => panic!("{error}"),
            };
        }
        guard[0].to_string()
    }

    fn meet(&mut self, count: u64, timeout: Duration) -> String {
        report("begin");
        let barrier = self.barrier.as_mut().expect("an open barrier");
        for n in 0..count {
            match barrier.wait_timeout(timeout) {
                Ok(_) => report(&format!("did {n}")),
                Err(BarrierTimeoutError::Broken) => return format!("Broken {n}"),
                Err(error) => return format!("{error:?} {n}"),
            }
        }
        format!("met {count}")
    }
}

fn locked<G: core::ops::Deref<Target = Value>>(result: Result<G, LockError<G>>) -> String {
    match result {
        Ok(guard) => number_of(&guard, false),
        Err(LockError::OwnerDied(guard)) => number_of(&guard, true),
        Err(error) => format!("{error:?}"),
    }
}

fn millis(word: &str) -> Duration {
    Duration::from_millis(number(word))
}
