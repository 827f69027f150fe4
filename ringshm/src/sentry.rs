//! A sentry: a thread that sleeps on the words of up to 127 bells for others, and sounds an alarm for each that changes.
//!
//! What it watches is a list of posts. Whoever has a post there renews it after each alarm, if it wants another one. The sentry keeps
//! nobody's handle, only the memory that the word lies in; so a handle may go, at the price that its memory is unmapped a moment later.

use ringshm_core::waitable::Word;
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::futex::{MOST_WORDS, Words};
use ringshm_sync::signal::Signal;
use ringshm_sync::time::Deadline;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How many words one sentry watches: as many as the kernel lets a thread sleep on, but for the one that calls the sentry itself.
pub(crate) const POSTS: usize = MOST_WORDS - 1;

/// What a sentry does when a word has changed.
pub(crate) trait Alarm: Send + Sync {
    /// Called by the sentry's thread, with its list locked: it must return soon, and not touch the list.
    fn sound(&self);
}

/// A word that is watched until it is not `expected` any more.
pub(crate) struct Post {
    pub(crate) word: Word,
    pub(crate) expected: u32,
    pub(crate) alarm: Arc<dyn Alarm>,
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
    loop {
        let seen = shared.change.seen();
        // The list may change while this sleeps: the words are kept alive here.
        let list = shared.list();
        if list.is_closed {
            return;
        }
        let watched: Vec<_> = list.posts.iter().flatten().map(|post| (post.word.clone(), post.expected)).collect();
        drop(list);
        let mut words = Words::new();
        words.push(shared.change.word(), seen);
        watched.iter().for_each(|(word, expected)| words.push(word.futex(), *expected));
        words.wait(Deadline::NEVER);
        // Relaxed: the alarm orders it.
        sound(shared, |post| post.word.futex().load(Relaxed) != post.expected);
    }
}

/// Sounds the alarms of some posts, and takes them off the list.
fn sound(shared: &Shared, is_due: impl Fn(&Post) -> bool) {
    for post in &mut shared.list().posts {
        if post.as_ref().is_some_and(&is_due) {
            if let Some(post) = post.take() {
                post.alarm.sound();
            }
        }
    }
}
