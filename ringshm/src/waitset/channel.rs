//! The handles in a set, and the sentries that watch those that its owner does not sleep on itself.

use super::{Id, Shared};
use crate::sentry::{Alarm, POSTS, Post, Sentry};
use ringshm_core::Waitable;
use ringshm_sync::watch::{AnyBell, Watch, Watched};
use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::Waker;

/// A handle in a set.
pub(super) struct Channel {
    pub(super) id: Id,
    pub(super) handle: Box<dyn Handle>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A handle of a type that its owner knows.
pub(super) trait Handle: Waitable {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<H: Waitable + 'static> Handle for H {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Channel {
    pub(super) fn new(id: Id, handle: impl Waitable + 'static) -> Self {
        Self { id, handle: Box::new(handle) }
    }
}

impl Watched for Channel {
    fn bell(&self) -> AnyBell<'_> {
        self.handle.bell()
    }

    fn look(&mut self) -> bool {
        self.handle.is_ready()
    }
}

/// A sentry, and what it was told: for each place the channel and its announcement.
#[derive(Debug)]
pub(super) struct Posted {
    sentry: Sentry,
    told: Vec<Option<(Id, u64)>>,
}

impl Posted {
    pub(super) fn start() -> io::Result<Self> {
        Ok(Self { sentry: Sentry::start()?, told: vec![None; POSTS] })
    }

    /// Has the sentry watch these channels. `false` if one of them was rung meanwhile.
    pub(super) fn watch(&mut self, channels: &[Watch<Channel>], alarm: &Arc<Shared>) -> bool {
        let wanted = |place: usize| channels.get(place).map(|watch| (watch.get().id, watch.announcements()));
        if (0..POSTS).all(|place| self.told[place] == wanted(place)) {
            return true;
        }
        let mut all_stand = true;
        self.sentry.change(|put| {
            for place in 0..POSTS {
                if self.told[place] == wanted(place) {
                    continue;
                }
                let Some(watch) = channels.get(place) else {
                    self.told[place] = None;
                    put(place, None);
                    continue;
                };
                let Some(expected) = watch.standing() else {
                    all_stand = false;
                    continue;
                };
                let alarm = Alarm::Once(Waker::from(Arc::clone(alarm)));
                put(place, Some(Post { word: watch.get().handle.word(), expected, alarm }));
                self.told[place] = wanted(place);
            }
        });
        all_stand
    }

    /// Has it forget the channel at a place.
    pub(super) fn forget(&mut self, place: usize) {
        if self.told[place].take().is_some() {
            self.sentry.change(|put| put(place, None));
        }
    }
}
