//! Keeping a mapping in memory: what a thread needs that may not wait for a page.

use super::segment::Segment;
use crate::error::OpenError;
use crate::member::Residency;
use memmap2::{Advice, MmapRaw};
use std::io;

impl Segment {
    /// Does what was asked for.
    pub(crate) fn make_resident(&self, residency: Residency) -> Result<(), OpenError> {
        let (mapping, lobby) = self.mappings();
        if residency.prefault {
            // The mapping of a reader that has the lobby apart cannot be written.
            let advice = if lobby.is_some() { Advice::PopulateRead } else { Advice::PopulateWrite };
            let failed = failed("prefaulting the ring (madvise with MADV_POPULATE: Linux 5.14 or later has it)");
            mapping.advise(advice).map_err(&failed)?;
            lobby.map_or(Ok(()), |lobby| lobby.advise(Advice::PopulateWrite)).map_err(failed)?;
        }
        if residency.lock {
            let failed =
                failed("locking the ring in memory (mlock: raise the limit, `ulimit -l`, or grant CAP_IPC_LOCK)");
            mapping.lock().map_err(&failed)?;
            lobby.map_or(Ok(()), MmapRaw::lock).map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Os { step, source }
}
