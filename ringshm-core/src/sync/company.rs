//! Who takes part in a primitive, as its words ask for it; and when nobody wants it any more.

use crate::lanes::{Peer, State, generation_of, state_of};
use crate::memory::Memory;
use ringshm_sync::atomic::Ordering::{Acquire, Relaxed};
use ringshm_sync::robust::{Company, Holder, Liveness, Place, Seat};

/// The name of a lane's owner, for that owner.
pub(super) fn holder_in(memory: &Memory, lane: usize) -> Holder {
    // Relaxed: own word.
    Holder::new(lane, generation_of(memory.presence(lane).state.load(Relaxed)))
}

impl Liveness for Memory {
    fn is_gone(&self, who: Holder) -> bool {
        let lane = who.lane();
        if lane >= self.geometry().lanes() {
            return true;
        }
        // CLOSE, DEATH: what an owner before this one stored, or this one if it has left. At least as new as the join of `who` (NAME).
        let word = self.presence(lane).state.load(Acquire);
        if !who.is_owner(generation_of(word)) {
            return true;
        }
        match state_of(word) {
            State::Live | State::Evicted => self.proven_dead(lane) == Some(word),
            // Left without letting go: its guard was forgotten.
            State::Vacant | State::Detached | State::Closed => true,
        }
    }
}

impl Company for Memory {
    fn lanes(&self) -> usize {
        self.geometry().lanes()
    }

    fn seat(&self, lane: usize) -> &Seat {
        &self.lane(lane).seat
    }

    fn place(&self, lane: usize) -> Place {
        match self.peer_state(lane) {
            Peer::Vacant | Peer::Detached => Place::Awaited,
            Peer::Live { .. } => Place::Taken,
            Peer::Closed | Peer::Dead { .. } => Place::Deserted,
        }
    }
}

/// Whether nobody can want the primitive any more: all have left it for good. One that was killed may have a successor, but not for those who
/// have just `left`: as with a ring, they take it with them.
#[cfg(not(loom))]
pub(crate) fn is_over(memory: &Memory, left: bool) -> bool {
    let mut states = (0..memory.geometry().lanes()).map(|lane| memory.peer_state(lane));
    let mut has_come = false;
    let all_gone = states.all(|state| {
        has_come |= state != Peer::Vacant;
        match state {
            Peer::Vacant | Peer::Closed => true,
            Peer::Dead { .. } => left,
            Peer::Live { .. } | Peer::Detached => false,
        }
    });
    all_gone && has_come
}

/// What a primitive's words say, for people.
#[cfg(not(loom))]
pub(crate) fn state(memory: &Memory) -> Option<String> {
    use crate::layout::Kind;
    let words = &memory.control().robust;
    let name = |who: Holder| {
        // Relaxed: for people.
        let pid = (who.lane() < memory.geometry().lanes()).then(|| memory.presence(who.lane()).pid.load(Relaxed));
        format!("process {} (lane {})", pid.unwrap_or(0), who.lane())
    };
    let doubt = |is_in_doubt| if is_in_doubt { ", in doubt: a holder died" } else { "" };
    Some(match memory.geometry().kind {
        Kind::Mutex => {
            let held = words.mutex.holder().map_or_else(|| "free".to_owned(), |who| format!("held by {}", name(who)));
            format!("{held}{}", doubt(words.mutex.is_in_doubt()))
        }
        Kind::RwLock => {
            let readers = (0..memory.geometry().lanes()).filter(|lane| memory.lane(*lane).seat.is_taken()).count();
            let held = match words.rwlock.writer() {
                Some(who) => format!("written by {}", name(who)),
                None if readers > 0 => format!("read by {readers}"),
                None => "free".to_owned(),
            };
            format!("{held}{}", doubt(words.rwlock.is_in_doubt()))
        }
        Kind::Condvar => if words.condvar.has_waiters() { "waited for" } else { "nobody waits" }.to_owned(),
        Kind::Barrier => {
            let end = if words.barrier.is_broken() { ", the last one broken off" } else { "" };
            format!("{} meetings{end}", words.barrier.meetings())
        }
        Kind::Once => match words.once.runner() {
            _ if words.once.is_done() => "done".to_owned(),
            Some(who) => format!("being done by {}", name(who)),
            None => "not done".to_owned(),
        },
        _ => return None,
    })
}
