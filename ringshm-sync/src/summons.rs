//! A summons: how a task that does not run is called to a bell that it cannot sleep on.
//!
//! ```text
//!   task, when polled                             helper, a thread that sleeps on the bell's word
//!   look         nothing
//!   register     its waker                        the word changes
//!   announce     look again: see `watch`          take the post down, rung: wake
//!   post         unless the post stands            it is time for a look
//!   return                                        remind: wake; the post stays. Nobody there: dismiss it
//! ```
//!
//! The waker is registered before the announcement is looked at, so whoever rings an announcement that stands finds the waker (SUMMONS): either
//! the helper takes it after that, or it had seen the ring before, and then the task finds its announcement gone.
//!
//! A post outlives the future that made it: the next one finds it in its place, and the helper is not disturbed. One that nobody has waited for
//! since the last reminder is dismissed.
//!
//! Not in shared memory. Who dies where: the process, with task and helper.

use crate::lock::Lock;
use core::task::Waker;

/// What a task and its helper tell each other.
#[derive(Debug, Default)]
pub struct Summons {
    state: Lock<State>,
}

/// | waker | posted | |
/// |---|---|---|
/// | none | no | nobody waits |
/// | some | no | a task is about to post, or about to find what it waits for |
/// | some | yes | a task waits |
/// | none | yes | the task has been woken and has not come back, or waits no longer |
#[derive(Debug, Default)]
struct State {
    waker: Option<Waker>,
    is_posted: bool,
}

impl Summons {
    /// With nobody to call.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Task: whom to wake. To be called before the look that decides whether to wait.
    pub fn register(&self, waker: &Waker) {
        // Dropped behind the lock: what a waker does when it goes is its own business.
        let _old = self.state.with(|state| match &mut state.waker {
            Some(known) if known.will_wake(waker) => None,
            // SUMMONS: the waker, for the helper that sees what rings the announcement that is looked at next.
            known => known.replace(waker.clone()),
        });
    }

    /// Task: it waits no longer. The post stays.
    pub fn forget(&self) {
        let _old = self.state.with(|state| state.waker.take());
    }

    /// Task: from now on there is a post. Says whether there was none: then the caller puts it up.
    #[must_use]
    pub fn post(&self) -> bool {
        self.state.with(|state| !core::mem::replace(&mut state.is_posted, true))
    }

    /// Whether there is a post.
    #[must_use]
    pub fn is_posted(&self) -> bool {
        self.state.with(|state| state.is_posted)
    }

    /// Task: it has taken the post down.
    pub fn unpost(&self) {
        self.state.with(|state| state.is_posted = false);
    }

    /// Helper: it has seen the word changed, and has taken the post down.
    pub fn rung(&self) {
        // SUMMONS: finds the waker of a task that did not see the ring.
        let waker = self.state.with(|state| {
            state.is_posted = false;
            state.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Helper: it is time for a look, because nobody rings for what a killed process left undone. The post stays.
    pub fn remind(&self) {
        let waker = self.state.with(|state| state.waker.take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Helper: whether nobody waits; then it takes the post down, before anybody can put another one up.
    #[must_use]
    pub fn dismiss(&self) -> bool {
        self.state.with(|state| {
            let is_alone = state.waker.is_none();
            state.is_posted &= !is_alone;
            is_alone
        })
    }
}
