//! Taking rings away: when the last participant has left, or because somebody says so.

use super::{enter_patiently, object_of, validated};
use crate::error::OpenError;
use crate::lanes::Peer;
use crate::member::HugePages;
use crate::memory::Memory;
use crate::os::segment::Segment;
use crate::os::{Directory, Name, Place};
use ringshm_sync::atomic::Ordering::Relaxed;
use ringshm_sync::crash;

/// Takes the name away for good. The caller holds the gate.
pub(crate) fn retire(memory: &Memory) -> Result<(), OpenError> {
    // Relaxed: read behind the gate only.
    memory.control().retired.store(1, Relaxed);
    crash::point("attach.retired");
    memory.segment().map_or(Ok(()), Segment::unlink)
}

/// After a participant has left: removes the ring if it was the last one and nothing is left to receive.
pub(crate) fn retire_if_over(memory: &Memory) {
    let Some(segment) = memory.segment().filter(|segment| segment.has_name()) else { return };
    // Whoever keeps the gate this long is stopped, and the ring stays for a later opener or `rm`.
    if let Ok(Some(_gate)) = enter_patiently(segment.object()) {
        crash::point("attach.leaving");
        if memory.is_over(true) {
            // It fails if the folder forbids it; then the ring stays, too.
            let _ = retire(memory);
        }
    }
}

/// Removes the ring `name`, whatever is in it. With `force`, even while live processes use it (they keep the memory, and nobody
/// can join them any more), and even if it is damaged.
///
/// # Errors
/// [`OpenError::InUse`], [`OpenError::Busy`], and those of opening.
pub fn remove(directory: &Directory, name: &Name, force: bool) -> Result<(), OpenError> {
    remove_at(&Place::named(directory, name), force)
}

/// As [`remove`], wherever the ring is. What a killed process has left there half made goes, too.
///
/// # Errors
/// As for [`remove`].
pub fn remove_at(place: &Place, force: bool) -> Result<(), OpenError> {
    match remove_ring(place, force) {
        Err(OpenError::Corrupt { .. } | OpenError::Version { .. }) if force => Segment::remove_damaged(place),
        Err(OpenError::NotFound { .. }) if Segment::take_half_made(place, true)? => Ok(()),
        result => result,
    }
}

fn remove_ring(place: &Place, force: bool) -> Result<(), OpenError> {
    let segment = Segment::open(place, HugePages::Never)?;
    let path = segment.path();
    let (memory, _) = validated(segment)?;
    let gate = enter_patiently(object_of(&memory)?)?;
    if gate.is_none() && !force {
        return Err(OpenError::Busy { path });
    }
    for lane in 0..memory.geometry().lanes() {
        match memory.peer_state(lane) {
            Peer::Live { pid } if !force => return Err(OpenError::InUse { pid }),
            _ => {}
        }
    }
    retire(&memory)
}
