//! One sleeper, many bells: it announces its sleep at all of them, looks once more, and sleeps on all their words at once.
//!
//! ```text
//!   sleeper                                     ringers, each at one of the bells
//!   look       at everything
//!   announce   where no announcement stands       publish, look at the bell, ring: see `doorbell`, `sleepers`, `eventcount`
//!              one heavy barrier for all of them
//!   look again at what was announced just now
//!   sleep      while every word is as announced
//! ```
//!
//! For each bell by itself this is its own protocol: whoever publishes after the barrier sees the announcement, whoever published before
//! it is seen by the second look (DOORBELL). Three things are different, because a sleeper with hundreds of bells could not afford
//! them:
//!
//! * **An announcement stays** until it is rung, or withdrawn. What woke the sleeper is one bell as a rule; the others stand as they did, so the
//!   next sleep costs them a load each. That holds for the end of a bounded sleep too: it looks at everything, for what a killed ringer
//!   has published, and sleeps on. While the sleeper is busy elsewhere, a ringer that finds its announcement wakes nobody, once.
//! * **What is quiet is not looked at.** While the announcement stands after whose making a look found nothing, nobody has rung; so a sleeper that was
//!   woken by one of many looks at that one. Now and then it looks at all, for what a killed ringer has published.
//! * **One barrier** orders all announcements that were made together.
//!
//! Who dies where: as for the bells. A sleeper that is killed leaves all its announcements, each of which costs one ringer one system call.

use crate::atomic::Ordering::SeqCst;
use crate::atomic::fence;
use crate::barrier;
use crate::crash;
use crate::doorbell::Doorbell;
use crate::eventcount::EventCount;
use crate::futex::Futex;
use crate::sleepers::Berth;
use crate::wait::Bell;
use core::ops::Deref;

/// A bell at which an announcement can be left standing.
pub trait Standing: Bell {
    /// As [`announce`](Bell::announce), without its barrier: the caller sees to the order.
    fn announce_quietly(&self) -> u32;

    /// Whether the announcement with that ticket still stands, and then the value of the [`futex`](Self::futex) for which one may sleep.
    fn standing(&self, ticket: u32) -> Option<u32>;

    /// The word to sleep on: it changes when the bell is rung.
    fn futex(&self) -> &Futex;

    /// Whether ringers fence before they look, so that a fence is all that an announcement needs.
    fn is_fenced(&self) -> bool;

    /// Makes them do so, where there is no `membarrier`.
    fn ask_for_fences(&self);
}

/// A bell of any kind.
#[derive(Clone, Copy, Debug)]
pub enum AnyBell<'a> {
    /// The sleeper's own.
    Own(&'a Doorbell),
    /// Its place in a group.
    OfGroup(Berth<'a>),
    /// Everybody's.
    OfAll(&'a EventCount),
}

impl<'a> AnyBell<'a> {
    /// The word to sleep on: it changes when the bell is rung.
    #[must_use]
    pub fn word(&self) -> &'a Futex {
        match self {
            Self::Own(bell) => bell.futex(),
            Self::OfGroup(berth) => berth.bell().futex(),
            Self::OfAll(count) => count.futex(),
        }
    }
}

impl<'a> Deref for AnyBell<'a> {
    type Target = dyn Standing + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Own(bell) => *bell,
            Self::OfGroup(berth) => berth,
            Self::OfAll(count) => *count,
        }
    }
}

/// What a sleeper can wait for, besides other things.
pub trait Watched {
    /// Where it is rung for.
    fn bell(&self) -> AnyBell<'_>;

    /// Whether it has come.
    fn look(&mut self) -> bool;
}

/// Something that is waited for, and where its sleeper stands with its bell.
#[derive(Debug)]
pub struct Watch<W> {
    watched: W,
    ticket: Option<u32>,
    /// How many announcements were made.
    announcements: u64,
    is_new: bool,
    /// Whether the look after the announcement found nothing.
    was_in_vain: bool,
}

impl<W: Watched> Watch<W> {
    /// Without an announcement.
    pub fn new(watched: W) -> Self {
        Self { watched, ticket: None, announcements: 0, is_new: false, was_in_vain: false }
    }

    /// What is waited for.
    pub fn get(&self) -> &W {
        &self.watched
    }

    /// What is waited for, to be changed: what was not to be seen may be now.
    pub fn get_mut(&mut self) -> &mut W {
        self.was_in_vain = false;
        &mut self.watched
    }

    /// What was waited for. The announcement, if there is one, stays.
    pub fn into_inner(self) -> W {
        self.watched
    }

    /// Whether it has come.
    pub fn look(&mut self) -> bool {
        self.watched.look()
    }

    /// Whether nobody has rung since a look found nothing. What a ringer that was killed has published may be there all the same.
    pub fn is_quiet(&self) -> bool {
        self.was_in_vain && self.standing().is_some()
    }

    /// How many announcements were made: with each, the word to sleep on may be expected to be another.
    pub fn announcements(&self) -> u64 {
        self.announcements
    }

    /// While the announcement stands: the value of the bell's word for which one may sleep.
    pub fn standing(&self) -> Option<u32> {
        self.ticket.and_then(|ticket| self.watched.bell().standing(ticket))
    }

    fn announce(&mut self) {
        self.ticket = Some(self.watched.bell().announce_quietly());
        self.announcements += 1;
        self.is_new = true;
        self.was_in_vain = false;
        crash::point("watch.announced");
    }

    /// Takes the announcement back, if there is one.
    pub fn withdraw(&mut self) {
        if self.ticket.take().is_some() {
            self.watched.bell().withdraw();
        }
    }
}

/// Announces the sleep at every bell where no announcement stands, and looks again at what was announced. Returns whether that found
/// nothing: then the caller may sleep, on the words of all bells as they are [`standing`](Watch::standing). A bell that was rung
/// meanwhile stands no more, and the caller begins again.
pub fn announce<W: Watched>(watches: &mut [Watch<W>]) -> bool {
    let (mut any, mut are_fenced) = (false, true);
    for watch in watches.iter_mut().filter(|watch| watch.standing().is_none()) {
        watch.announce();
        are_fenced &= watch.watched.bell().is_fenced();
        any = true;
    }
    if !any {
        return true;
    }
    if are_fenced {
        // DOORBELL: the announcements before the sleeper's second look.
        fence(SeqCst);
    // DOORBELL: the same, for ringers that do not fence.
    } else if !barrier::heavy() {
        watches.iter().filter(|watch| watch.is_new).for_each(|watch| watch.watched.bell().ask_for_fences());
    }
    let mut found = false;
    for watch in watches.iter_mut().filter(|watch| watch.is_new) {
        watch.is_new = false;
        watch.was_in_vain = !watch.look();
        found |= !watch.was_in_vain;
    }
    !found
}
