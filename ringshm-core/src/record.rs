//! Records of any length in a ring of bytes: what lies where, and how a reader checks it.
//!
//! ```text
//!   ┌──────────┬───────────────┬─────┬──────────┬─────────┬────────────────────┐
//!   │ header   │ payload       │ 0-7 │ header   │ payload │ header  │ padding  │ wrap
//!   │ len, TAG │ len bytes     │     │          │         │ len, PAD│          │
//!   └──────────┴───────────────┴─────┴──────────┴─────────┴────────────────────┘
//!   8 bytes                    to a multiple of 8          when the next record does not fit before the wrap
//! ```
//!
//! A record is contiguous, so that it can be lent and borrowed as a slice. It takes its length and at most 15 bytes more; once
//! per lap, the padding takes what is left before the wrap. Padding is published together with the record after it.

use crate::error::Fault;

/// Bytes of a record's header, and what records are aligned to.
pub(crate) const HEADER: u64 = 8;

const TAG: u32 = 0x5265_6331;
const PAD: u32 = 0x5061_6431;

/// The bytes that a record with a payload of `len` bytes takes.
#[inline(always)]
pub(crate) fn span(len: u64) -> u64 {
    HEADER + len.next_multiple_of(HEADER)
}

/// The header of a record with a payload of `len` bytes, which is at most what 32 bits can say.
#[inline(always)]
pub(crate) fn header(len: u64) -> u64 {
    u64::from(TAG) << 32 | len
}

/// The header of padding that takes `span` bytes, itself included.
#[inline(always)]
pub(crate) fn padding(span: u64) -> u64 {
    u64::from(PAD) << 32 | (span - HEADER) & u64::from(u32::MAX)
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A payload of that many bytes follows.
    Record(u64),
    /// Nothing up to the wrap, this many bytes away.
    Padding(u64),
}

/// Reads a header that another process wrote, in front of `available` published bytes, `to_wrap` bytes before the wrap.
/// What it returns lies inside of both, and a record is no longer than `max`.
#[inline(always)]
pub(crate) fn parse(header: u64, available: u64, to_wrap: u64, max: u64) -> Result<Piece, Fault> {
    let len = header & u64::from(u32::MAX);
    match (header >> 32) as u32 {
        TAG if len <= max && span(len) <= available.min(to_wrap) => Ok(Piece::Record(len)),
        // A record must follow, so padding is never the last thing published.
        PAD if header == padding(to_wrap) && to_wrap < available => Ok(Piece::Padding(to_wrap)),
        TAG => Err(Fault::Corrupt { field: "record length" }),
        PAD => Err(Fault::Corrupt { field: "padding length" }),
        _ => Err(Fault::Corrupt { field: "record tag" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for len in 0..100 {
            assert_eq!(parse(header(len), span(len), span(len), 100), Ok(Piece::Record(len)));
        }
        for to_wrap in [8, 16, 1 << 20, 1 << 33] {
            assert_eq!(parse(padding(to_wrap), to_wrap + 8, to_wrap, 100), Ok(Piece::Padding(to_wrap)));
        }
    }

    #[test]
    fn no_header_leads_outside_of_what_is_published_or_beyond_the_wrap() {
        let corrupt = |field| Err(Fault::Corrupt { field });
        assert_eq!(parse(header(9), 16, 64, 100), corrupt("record length"));
        assert_eq!(parse(header(9), 64, 16, 100), corrupt("record length"));
        assert_eq!(parse(header(101), 1024, 1024, 100), corrupt("record length"));
        assert_eq!(parse(header(u64::from(u32::MAX)), u64::MAX, u64::MAX, 100), corrupt("record length"));
        assert_eq!(parse(padding(32), 32, 32, 100), corrupt("padding length"));
        assert_eq!(parse(padding(40), 64, 32, 100), corrupt("padding length"));
        assert_eq!(parse(0, 64, 64, 100), corrupt("record tag"));
    }
}
