//! The choice of a framing on the command line.

use crate::failure::Failure;
pub(crate) use ringshm::framing::{Cut, Framing};
use std::num::NonZeroUsize;

/// The choice of a framing on the command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FramingArgs {
    /// A record per line, without its newline; every other byte is kept as it is (default)
    #[arg(long, group = "framing")]
    lines: bool,
    /// The length of a record before it: 32 bits, little-endian
    #[arg(long, group = "framing")]
    len32: bool,
    /// Bytes without boundaries: sent in records of --size, the last one may be shorter
    #[arg(long, group = "framing")]
    raw: bool,
    /// With --raw: bytes in a record (the receiver need not know it)
    #[arg(long, requires = "raw", value_name = "BYTES", value_parser = crate::size::parse)]
    size: Option<u64>,
}

impl FramingArgs {
    /// How the sender cuts its input.
    pub(crate) fn cutting(&self) -> Result<Framing, Failure> {
        match (self.raw, self.size) {
            (true, None) => Err(Failure::usage("--raw needs --size: the bytes in a record")),
            (true, Some(_)) => Ok(self.joining()),
            (false, _) => Ok(self.joining()),
        }
    }

    /// How the receiver puts records together.
    pub(crate) fn joining(&self) -> Framing {
        if self.len32 {
            Framing::Len32
        } else if self.raw {
            let size = self.size.and_then(|size| usize::try_from(size).ok()).and_then(NonZeroUsize::new);
            Framing::Raw(size.unwrap_or(NonZeroUsize::MAX))
        } else {
            Framing::Lines
        }
    }
}
