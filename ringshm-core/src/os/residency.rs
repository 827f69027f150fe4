//! Keeping a mapping in memory: what a thread needs that may not wait for a page.

use super::mapping::{Access, Mapping};
use super::segment::Segment;
use crate::error::OpenError;
use crate::member::{HugePages, Residency};
use std::io;

impl Segment {
    /// Does what was asked for.
    pub(crate) fn make_resident(&self, residency: Residency) -> Result<(), OpenError> {
        let ((mapping, lobby), access) = (self.mappings(), self.access());
        if residency.prefault {
            let failed = failed("prefaulting the ring (madvise with MADV_POPULATE: Linux 5.14 or later has it)");
            mapping.populate(access).map_err(&failed)?;
            lobby.map_or(Ok(()), |lobby| lobby.populate(Access::Write)).map_err(failed)?;
        } else if residency.huge_pages != HugePages::Never {
            // Entered with their first page, so that it shows what was got. A kernel that cannot do this has none for us.
            let _ = mapping.populate(access);
        }
        if residency.lock {
            let failed =
                failed("locking the ring in memory (mlock: raise the limit, `ulimit -l`, or grant CAP_IPC_LOCK)");
            mapping.lock().map_err(&failed)?;
            lobby.map_or(Ok(()), Mapping::lock).map_err(failed)?;
        }
        if residency.huge_pages == HugePages::Require {
            let pages = self.pages().map_err(failed("asking for the ring's pages (/proc/self/smaps)"))?;
            if let Some(reason) = pages.why_small {
                return Err(OpenError::InvalidOption { option: "huge_pages", reason: reason.to_string() });
            }
        }
        Ok(())
    }
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Os { step, source }
}
