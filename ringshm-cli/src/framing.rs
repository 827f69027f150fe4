//! How records lie in a byte stream.

use crate::failure::Failure;
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

/// Where one record ends and the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Lines,
    Len32,
    /// Records of that many bytes.
    Raw(NonZeroUsize),
}

/// Bytes of the length before a record.
const PREFIX: usize = size_of::<u32>();

/// What a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut<'a> {
    /// A record, which takes `span` bytes of the stream.
    Record { payload: &'a [u8], span: usize },
    /// Not yet a whole record. It will have at least `len` bytes, and the first `searched` bytes of the stream need not be
    /// looked at again.
    Part { len: usize, searched: usize },
    /// The end of the stream, after a whole record.
    End,
    /// The end of the stream, in the middle of a record that was to have `len` bytes. `None`: in the middle of its length.
    Truncated { len: Option<usize>, found: usize },
}

impl Framing {
    /// Cuts the next record off `stream`, of which the first `searched` bytes were looked at in vain. `is_end`: nothing
    /// comes after it.
    pub(crate) fn cut(self, stream: &[u8], searched: usize, is_end: bool) -> Cut<'_> {
        match self {
            Self::Lines => match memchr::memchr(b'\n', &stream[searched..]) {
                Some(at) => Cut::Record { payload: &stream[..searched + at], span: searched + at + 1 },
                None if !is_end => Cut::Part { len: stream.len(), searched: stream.len() },
                None if stream.is_empty() => Cut::End,
                None => Cut::Record { payload: stream, span: stream.len() },
            },
            Self::Len32 => {
                let Some((prefix, rest)) = stream.split_first_chunk::<PREFIX>() else {
                    return match (is_end, stream.is_empty()) {
                        (true, true) => Cut::End,
                        (true, false) => Cut::Truncated { len: None, found: stream.len() },
                        (false, _) => Cut::Part { len: 0, searched: 0 },
                    };
                };
                let len = u32::from_le_bytes(*prefix) as usize;
                match rest.get(..len) {
                    Some(payload) => Cut::Record { payload, span: PREFIX + len },
                    None if is_end => Cut::Truncated { len: Some(len), found: rest.len() },
                    None => Cut::Part { len, searched: 0 },
                }
            }
            Self::Raw(size) => match stream.get(..size.get()) {
                Some(payload) => Cut::Record { payload, span: payload.len() },
                None if !is_end => Cut::Part { len: size.get(), searched: 0 },
                None if stream.is_empty() => Cut::End,
                None => Cut::Record { payload: stream, span: stream.len() },
            },
        }
    }

    /// Appends a record to a stream.
    pub(crate) fn join(self, record: &[u8], stream: &mut Vec<u8>) {
        match self {
            Self::Lines => {
                stream.extend_from_slice(record);
                stream.push(b'\n');
            }
            Self::Len32 => {
                // A ring takes no record that is longer.
                let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
                stream.extend_from_slice(&len.to_le_bytes());
                stream.extend_from_slice(record);
            }
            Self::Raw(_) => stream.extend_from_slice(record),
        }
    }

    /// Appends a record to a stream, marked: a line begins with `tag` and a tab; before a length and its record, `tag` is a record of its
    /// own. Bytes without boundaries have no place for it.
    pub(crate) fn join_tagged(self, tag: &str, record: &[u8], stream: &mut Vec<u8>) {
        match self {
            Self::Lines => {
                stream.extend_from_slice(tag.as_bytes());
                stream.push(b'\t');
            }
            Self::Len32 => self.join(tag.as_bytes(), stream),
            Self::Raw(_) => {}
        }
        self.join(record, stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_cut_again_wherever_the_stream_breaks() {
        let records: [&[u8]; 5] = [b"first", b"", b"with\rreturn", &[0xff, 0, 0x80], b""];
        for framing in [Framing::Lines, Framing::Len32] {
            let mut stream = Vec::new();
            records.iter().for_each(|record| framing.join(record, &mut stream));
            for arrived in 0..=stream.len() {
                let (mut start, mut found) = (0, Vec::new());
                while let Cut::Record { payload, span } = framing.cut(&stream[start..arrived], 0, false) {
                    found.push(payload);
                    start += span;
                }
                while let Cut::Record { payload, span } = framing.cut(&stream[start..], 0, true) {
                    found.push(payload);
                    start += span;
                }
                assert_eq!(found, records, "{framing:?}, {arrived} bytes first");
                assert_eq!(framing.cut(&stream[start..], 0, true), Cut::End);
            }
        }
    }

    #[test]
    fn the_last_line_needs_no_newline_and_the_last_raw_record_may_be_short() {
        assert_eq!(Framing::Lines.cut(b"last", 0, true), Cut::Record { payload: b"last", span: 4 });
        assert_eq!(Framing::Lines.cut(b"last", 2, false), Cut::Part { len: 4, searched: 4 });
        let raw = Framing::Raw(NonZeroUsize::new(3).unwrap());
        assert_eq!(raw.cut(b"abcd", 0, false), Cut::Record { payload: b"abc", span: 3 });
        assert_eq!(raw.cut(b"d", 0, false), Cut::Part { len: 3, searched: 0 });
        assert_eq!(raw.cut(b"d", 0, true), Cut::Record { payload: b"d", span: 1 });
        assert_eq!(raw.cut(b"", 0, true), Cut::End);
    }

    #[test]
    fn a_truncated_length_or_record_is_told() {
        let truncated = |len, found| Cut::Truncated { len, found };
        assert_eq!(Framing::Len32.cut(b"\x05\0", 0, true), truncated(None, 2));
        assert_eq!(Framing::Len32.cut(b"\x05\0\0\0abc", 0, true), truncated(Some(5), 3));
        assert_eq!(Framing::Len32.cut(b"\x05\0\0\0abc", 0, false), Cut::Part { len: 5, searched: 0 });
    }
}
