//! A place on the list of a sentry, of which the process has as many as it needs, for all tasks together.

use super::handles::Waited;
use crate::reminder::Reminded;
use crate::sentry::{Alarm, POSTS, Post, Sentry};
use ringshm_core::Waitable;
use ringshm_sync::summons::Summons;
use ringshm_sync::watch::Watch;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The sentries of this process, which stay until it ends.
static GUARD: Mutex<Guard> = Mutex::new(Guard { process: 0, sentries: Vec::new() });

struct Guard {
    /// A forked child has the values and not the threads.
    process: u32,
    sentries: Vec<Stand>,
}

struct Stand {
    sentry: Arc<Sentry>,
    is_taken: [bool; POSTS],
}

fn guard() -> MutexGuard<'static, Guard> {
    // Nothing in here panics with the lock.
    GUARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a task is called from.
#[derive(Debug)]
pub(super) struct Place {
    sentry: Arc<Sentry>,
    number: usize,
    summons: Arc<Summons>,
    reminded: Option<Reminded>,
    process: u32,
}

impl Place {
    /// A free one, from where the task is called for a look now and then as well, if it `reminds`. Starts a sentry if there is none.
    pub(super) fn take(reminds: bool) -> io::Result<Self> {
        let mut guard = guard();
        let process = std::process::id();
        if guard.process != process {
            guard.sentries.clear();
            guard.process = process;
        }
        let free = |stand: &Stand| stand.is_taken.iter().position(|is_taken| !is_taken);
        let (index, number) = match guard.sentries.iter().enumerate().find_map(|(n, stand)| Some((n, free(stand)?))) {
            Some(place) => place,
            None => {
                guard.sentries.push(Stand { sentry: Arc::new(Sentry::start()?), is_taken: [false; POSTS] });
                (guard.sentries.len() - 1, 0)
            }
        };
        let stand = &mut guard.sentries[index];
        stand.is_taken[number] = true;
        Ok(Self {
            sentry: Arc::clone(&stand.sentry),
            number,
            summons: Arc::default(),
            reminded: reminds.then(Reminded::new),
            process,
        })
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.summons.register(waker);
    }

    pub(super) fn forget(&self) {
        self.summons.forget();
    }

    /// Has the bell watched as long as the announcement stands. `false` if it was rung meanwhile.
    pub(super) fn post<H: Waitable>(&self, watch: &Watch<Waited<H>>) -> bool {
        let Some(expected) = watch.standing() else { return false };
        if self.summons.post() {
            let alarm = Alarm::Summons { summons: Arc::clone(&self.summons), reminds: self.reminded.is_some() };
            let post = Post { word: watch.get().0.word(), expected, alarm };
            self.sentry.change(|put| put(self.number, Some(post)));
        }
        true
    }

    /// Has nothing watched.
    pub(super) fn quit(&self) {
        if self.process == std::process::id() && self.summons.is_posted() {
            self.sentry.change(|put| put(self.number, None));
            self.summons.unpost();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.quit();
        if self.process != std::process::id() {
            return;
        }
        let mut guard = guard();
        if let Some(stand) = guard.sentries.iter_mut().find(|stand| Arc::ptr_eq(&stand.sentry, &self.sentry)) {
            stand.is_taken[self.number] = false;
        }
    }
}
