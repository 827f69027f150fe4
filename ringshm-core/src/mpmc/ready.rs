//! Whether the next call of an MPMC handle would have anything but patience to ask for: looks as a claim does, and claims nothing.

use super::{Receiver, Ring, Sender, TURNS};
use crate::error::Blocked;

/// What a look that found the way blocked means. `None`: look again.
fn is_ready<R>(obstacle: &Result<R, Blocked>) -> Option<bool> {
    match obstacle {
        Ok(_) => None,
        // A live participant that does not move on rings when it does.
        Err(Blocked::NotReady | Blocked::Stalled(_)) => Some(false),
        Err(Blocked::Disconnected | Blocked::Fault(_)) => Some(true),
    }
}

impl Sender {
    /// Whether there is room, or never will be.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.0.member.is_forked() || (0..TURNS).find_map(|_| self.look_for_room()).unwrap_or(false)
    }

    fn look_for_room(&mut self) -> Option<bool> {
        match self.look() {
            Ok(_) => Some(true),
            Err((tail, word)) => is_ready(&self.what_blocks(tail, word)),
        }
    }
}

impl Receiver {
    /// Whether there is a message, or never will be another. Somebody else may be faster.
    pub(crate) fn is_ready(&mut self) -> bool {
        if self.ring.member.is_forked() {
            return true;
        }
        self.own_is_ready().or_else(|| (0..TURNS).find_map(|_| self.look_for_message())).unwrap_or(false)
    }

    fn look_for_message(&mut self) -> Option<bool> {
        match self.look() {
            Ok(_) => Some(true),
            Err((head, word)) => match self.what_blocks(head, word, Ring::has_orphan) {
                Ok(Some(())) => Some(true),
                obstacle => is_ready(&obstacle),
            },
        }
    }
}
