//! A task that a helper calls: no wake-up is lost between the waker, the announcement, the post and the ring.
#![cfg(loom)]

use loom::thread;
use loom_tests::{explore, explore_with};
use ringshm_sync::atomic::AtomicU32;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::barrier::Light;
use ringshm_sync::doorbell::Doorbell;
use ringshm_sync::futex::Words;
use ringshm_sync::lock::Lock;
use ringshm_sync::signal::Signal;
use ringshm_sync::summons::Summons;
use ringshm_sync::time::Deadline;
use ringshm_sync::watch::{AnyBell, Watch, Watched, announce};
use std::sync::Arc;
use std::task::{Wake, Waker};

/// Something to wait for. Relaxed on both sides, so that nothing but the bell orders anything.
#[derive(Default)]
struct Door {
    bell: Doorbell,
    visitors: AtomicU32,
}

impl Door {
    fn visit(&self) {
        self.visitors.fetch_add(1, Relaxed);
        self.bell.ring(Light::register());
    }
}

/// A door at which so many visitors were met.
struct Awaited {
    door: Arc<Door>,
    met: u32,
}

impl Watched for Awaited {
    fn bell(&self) -> AnyBell<'_> {
        AnyBell::Own(&self.door.bell)
    }

    fn look(&mut self) -> bool {
        self.door.visitors.load(Relaxed) > self.met
    }
}

/// What a sentry knows, with one post on its list.
struct Sentry {
    door: Arc<Door>,
    summons: Summons,
    list: Lock<List>,
    change: Signal,
}

#[derive(Default)]
struct List {
    post: Option<u32>,
    is_closed: bool,
    /// How often somebody is reminded, at moments of loom's choice.
    reminders: u32,
}

impl Sentry {
    fn new(door: &Arc<Door>, reminders: u32) -> Arc<Self> {
        let list = Lock::new(List { reminders, ..List::default() });
        Arc::new(Self { door: Arc::clone(door), summons: Summons::new(), list, change: Signal::new() })
    }

    /// As the thread in `ringshm/src/sentry.rs`.
    fn watch(&self) {
        loop {
            let seen = self.change.seen();
            let (post, is_closed, reminds) = self.list.with(|list| (list.post, list.is_closed, list.reminders > 0));
            if is_closed {
                return;
            }
            if !(reminds && post.is_some()) {
                let mut words = Words::new();
                words.push(self.change.word(), seen);
                if let Some(expected) = post {
                    words.push(self.door.bell_word(), expected);
                }
                words.wait(Deadline::NEVER);
            }
            let is_due = |expected: u32| self.door.bell_word().load(Relaxed) != expected;
            if self.list.with(|list| list.post.take_if(|expected| is_due(*expected))).is_some() {
                self.summons.rung();
            } else if reminds && post.is_some() {
                self.list.with(|list| {
                    list.reminders -= 1;
                    if self.summons.dismiss() {
                        list.post = None;
                    }
                });
                self.summons.remind();
            }
        }
    }

    fn close(&self) {
        self.list.with(|list| list.is_closed = true);
        self.change.raise();
    }

    fn put(&self, expected: u32) {
        self.list.with(|list| list.post = Some(expected));
        self.change.raise();
    }
}

impl Door {
    fn bell_word(&self) -> &ringshm_sync::futex::Futex {
        AnyBell::Own(&self.bell).word()
    }
}

/// An executor with one task, whose thread sleeps until the task is woken.
struct Executor(Signal);

impl Wake for Executor {
    fn wake(self: Arc<Self>) {
        self.0.raise();
    }
}

/// As `Async::poll_with` in `ringshm/src/asynchronous.rs`. Whether somebody new has come; else it has seen to it that the task is woken.
fn poll(watch: &mut [Watch<Awaited>; 1], sentry: &Sentry, waker: &Waker) -> bool {
    if watch[0].look() {
        return true;
    }
    sentry.summons.register(waker);
    if !announce(watch) {
        return watch[0].look() || call_again(waker);
    }
    let Some(expected) = watch[0].standing() else { return watch[0].look() || call_again(waker) };
    if sentry.summons.post() {
        sentry.put(expected);
    }
    false
}

fn call_again(waker: &Waker) -> bool {
    waker.wake_by_ref();
    false
}

/// A lost wake-up makes this a deadlock.
fn meets(visitors: u32, reminders: u32, is_dropped_between: bool) {
    let door = Arc::new(Door::default());
    let sentry = Sentry::new(&door, reminders);
    let helper = thread::spawn({
        let sentry = Arc::clone(&sentry);
        move || sentry.watch()
    });
    let visitor = thread::spawn({
        let door = Arc::clone(&door);
        move || (0..visitors).for_each(|_| door.visit())
    });
    let executor = Arc::new(Executor(Signal::new()));
    let waker = Waker::from(Arc::clone(&executor));
    let mut watch = [Watch::new(Awaited { door, met: 0 })];
    if is_dropped_between && !poll(&mut watch, &sentry, &waker) {
        // As the end of a future.
        watch[0].withdraw();
        sentry.summons.forget();
    }
    while watch[0].get().met < visitors {
        let seen = executor.0.seen();
        if poll(&mut watch, &sentry, &waker) {
            watch[0].get_mut().met += 1;
            continue;
        }
        let mut words = Words::new();
        words.push(executor.0.word(), seen);
        words.wait(Deadline::NEVER);
    }
    visitor.join().unwrap();
    sentry.close();
    helper.join().unwrap();
}

#[test]
fn a_task_is_called_for_what_comes_while_it_registers() {
    explore(|| meets(1, 0, false));
}

#[test]
fn a_task_is_called_again_and_again() {
    explore_with(2, || meets(2, 0, false));
}

#[test]
fn a_task_that_is_reminded_is_called_nevertheless() {
    explore_with(2, || meets(1, 1, false));
}

#[test]
fn a_future_after_one_that_was_dropped_is_called() {
    explore_with(2, || meets(1, 0, true));
}

#[test]
fn a_post_that_was_dismissed_is_put_up_again() {
    explore_with(1, || meets(1, 1, true));
}
