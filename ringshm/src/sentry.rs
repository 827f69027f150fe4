//! A sentry: a thread that sleeps on the words of up to 127 bells for others, and sounds an alarm for each that changes.
//!
//! What it watches is a list of posts. Whoever has a post there renews it after each alarm, if it wants another one. The sentry keeps
//! nobody's handle, only the memory that the word lies in; so a handle may go, at the price that its memory is unmapped a moment later.

use crate::reminder;
use ringshm_core::waitable::Word;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::futex::{MOST_WORDS, Words};
use ringshm_sync::signal::Signal;
use ringshm_sync::summons::Summons;
use ringshm_sync::time::Deadline;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Instant;

/// How many words one sentry watches: as many as the kernel lets a thread sleep on, but for the one that calls the sentry itself.
pub(crate) const POSTS: usize = MOST_WORDS - 1;

/// What a sentry does about a word.
#[cfg_attr(not(feature = "async"), allow(dead_code, reason = "only tasks are summoned"))]
pub(crate) enum Alarm {
    /// Wakes, once, when it has changed.
    Once(Waker),
    /// Wakes when it has changed; and if it reminds, now and then before that, for a look, while anybody waits.
    Summons { summons: Arc<Summons>, reminds: bool },
}

impl Alarm {
    fn sound(self) {
        match self {
            Self::Once(waker) => waker.wake(),
            Self::Summons { summons, .. } => summons.rung(),
        }
    }

    /// Who is to be reminded, if anybody.
    fn reminded(&self) -> Option<&Arc<Summons>> {
        match self {
            Self::Summons { summons, reminds: true } => Some(summons),
            _ => None,
        }
    }
}

/// A word that is watched until it is not `expected` any more.
pub(crate) struct Post {
    pub(crate) word: Word,
    pub(crate) expected: u32,
    pub(crate) alarm: Alarm,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("expected", &self.expected).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct List {
    posts: Vec<Option<Post>>,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    list: Mutex<List>,
    /// The list is another one.
    change: Signal,
}

impl Shared {
    fn list(&self) -> MutexGuard<'_, List> {
        // What a panic of another thread could leave here is a list in which posts are missing or not.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread, as its owner sees it. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Sentry {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// A forked child has the value and not the thread.
    process: u32,
}

impl Sentry {
    /// Starts it, with nothing to watch.
    pub(crate) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("ringshm-sentry".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || watch(&shared)
        })?;
        Ok(Self { shared, thread: Some(thread), process: std::process::id() })
    }

    /// Changes the list: `change` is given a function that puts a post, or nothing, in a place below [`POSTS`].
    pub(crate) fn change(&self, change: impl FnOnce(&mut dyn FnMut(usize, Option<Post>))) {
        let mut is_changed = false;
        let mut list = self.shared.list();
        change(&mut |place, post| {
            if list.posts.len() <= place {
                list.posts.resize_with(place + 1, || None);
            }
            is_changed |= post.is_some() || list.posts[place].is_some();
            list.posts[place] = post;
        });
        drop(list);
        if is_changed {
            self.shared.change.raise();
        }
    }
}

impl Drop for Sentry {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        self.shared.list().is_closed = true;
        self.shared.change.raise();
        if let Some(thread) = self.thread.take() {
            // It has panicked only if an alarm did, and has said so.
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared) {
    // When those who wait at posts are reminded.
    let mut reminder = None;
    loop {
        let seen = shared.change.seen();
        // The list may change while this sleeps: the words are kept alive here.
        let list = shared.list();
        if list.is_closed {
            return;
        }
        let watched: Vec<_> = list.posts.iter().flatten().map(|post| (post.word.clone(), post.expected)).collect();
        let reminds = list.posts.iter().flatten().any(|post| post.alarm.reminded().is_some());
        drop(list);
        let until = match reminds {
            false => Deadline::NEVER,
            true => reminder.unwrap_or_else(next_look),
        };
        let mut words = Words::new();
        words.push(shared.change.word(), seen);
        watched.iter().for_each(|(word, expected)| words.push(word.futex(), *expected));
        words.wait(until);
        reminder = reminds.then_some(until);
        // Relaxed: the alarm orders it.
        for alarm in shared.take_down(|post| post.word.futex().load(Relaxed) != post.expected) {
            alarm.sound();
        }
        if until.is_over() {
            shared.waiting().iter().for_each(|summons| summons.remind());
            reminder = None;
        }
    }
}

fn next_look() -> Deadline {
    let left = |at: Instant| at.saturating_duration_since(Instant::now());
    reminder::next_look().map_or(Deadline::NEVER, |at| Deadline::after(left(at)))
}

impl Shared {
    /// Takes some posts off the list. Their alarms are for the caller to sound: a waker may do anything, even change the list.
    fn take_down(&self, is_due: impl Fn(&Post) -> bool) -> Vec<Alarm> {
        let mut list = self.list();
        let due = list.posts.iter_mut().filter_map(|post| post.take_if(|post| is_due(post)));
        due.map(|post| post.alarm).collect()
    }

    /// Those that somebody waits for. The others are off the list then.
    fn waiting(&self) -> Vec<Arc<Summons>> {
        let dismissed = self.take_down(|post| post.alarm.reminded().is_some_and(|summons| summons.dismiss()));
        // Behind the lock, as for an alarm that is sounded.
        drop(dismissed);
        let list = self.list();
        list.posts.iter().flatten().filter_map(|post| post.alarm.reminded().cloned()).collect()
    }
}
