//! How records lie in a byte stream.

use ringshm_core::error::OpenError;
use std::num::NonZeroUsize;

/// Where one record ends and the next begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// ringshm's own: a [`Frame`]'s header before each. Garbage is told from records, and what got lost is counted.
    #[default]
    Frames,
    /// A record per line, without its newline.
    Lines,
    /// The length of a record before it: 32 bits, little-endian.
    Len32,
    /// Records of that many bytes; the last one may be shorter.
    Raw(NonZeroUsize),
    /// Nothing added: a packet is a record. Only for mechanisms that keep boundaries themselves.
    Bare,
}

/// Bytes before a record in a frame.
pub const HEADER: usize = 16;

/// What stands before a record in [`Framing::Frames`]: its length, 32 bits; a check of the other two fields, 32 bits; its number in its sender's
/// stream, 64 bits. All little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of the record.
    pub len: u32,
    /// The record's number: how many its sender sent before it. `None` where several senders share a stream.
    pub number: Option<u64>,
}

impl Frame {
    /// Stands for no number.
    const UNNUMBERED: u64 = u64::MAX;

    /// The header's bytes.
    #[must_use]
    pub fn header(self) -> [u8; HEADER] {
        let number = self.number.unwrap_or(Self::UNNUMBERED);
        let word = u64::from(self.len) | u64::from(check(self.len, number)) << 32;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&word.to_le_bytes());
        header[8..].copy_from_slice(&number.to_le_bytes());
        header
    }

    /// What a header says. `None`: that is no header.
    #[must_use]
    pub fn parse(header: &[u8; HEADER]) -> Option<Self> {
        let (word, number) = header.split_at(8);
        let word = u64::from_le_bytes(word.try_into().ok()?);
        let number = u64::from_le_bytes(number.try_into().ok()?);
        let len = word as u32;
        (check(len, number) == (word >> 32) as u32)
            .then_some(Self { len, number: (number != Self::UNNUMBERED).then_some(number) })
    }
}

/// Tells headers from anything else: not from what somebody forges. The constants are those of SplitMix64.
fn check(len: u32, number: u64) -> u32 {
    let mut x = (number ^ u64::from(len) << 32).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x >> 32) as u32
}

/// Bytes of the length before a record.
const PREFIX: usize = size_of::<u32>();

/// What a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// A record, which takes `span` bytes of the stream.
    Record {
        /// The record.
        payload: &'a [u8],
        /// Bytes of the stream up to its end.
        span: usize,
        /// Its number, if it is a [`Frame`] and has one.
        number: Option<u64>,
    },
    /// Not yet a whole record. It will have at least `len` bytes, and the first `searched` bytes of the stream need not be
    /// looked at again.
    Part {
        /// Bytes that it will have at least.
        len: usize,
        /// Bytes that need not be looked at again.
        searched: usize,
    },
    /// The end of the stream, after a whole record.
    End,
    /// The end of the stream, in the middle of a record that was to have `len` bytes. `None`: in the middle of its length.
    Truncated {
        /// Bytes that it was to have.
        len: Option<usize>,
        /// Bytes that there are.
        found: usize,
    },
    /// No frame begins here.
    Malformed,
}

fn record(payload: &[u8], span: usize) -> Cut<'_> {
    Cut::Record { payload, span, number: None }
}

impl Framing {
    /// Bytes that stand before a record.
    #[must_use]
    pub const fn prefix(self) -> usize {
        match self {
            Self::Frames => HEADER,
            Self::Len32 => PREFIX,
            Self::Lines | Self::Raw(_) | Self::Bare => 0,
        }
    }

    /// Bytes that are added to a record.
    #[must_use]
    pub const fn overhead(self) -> usize {
        match self {
            Self::Lines => 1,
            _ => self.prefix(),
        }
    }

    /// This one, if it makes sense where the kernel keeps the boundaries of messages, or where it does not.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`] for what only a stream of bytes needs, and for what only packets can do without.
    pub(crate) fn checked(self, keeps_boundaries: bool) -> Result<Self, OpenError> {
        let reason = match self {
            Self::Lines | Self::Len32 | Self::Raw(_) if keeps_boundaries => {
                "messages have boundaries already: it is frames, or bare for foreign programs"
            }
            Self::Bare if !keeps_boundaries => {
                "a stream has no boundaries: it is frames, or for foreign programs lines, len32 or raw:BYTES; bare is for packets"
            }
            _ => return Ok(self),
        };
        Err(OpenError::InvalidOption { option: "framing", reason: reason.to_owned() })
    }

    /// Cuts the next record off `stream`, of which the first `searched` bytes were looked at in vain. `is_end`: nothing
    /// comes after it.
    #[must_use]
    pub fn cut(self, stream: &[u8], searched: usize, is_end: bool) -> Cut<'_> {
        match self {
            Self::Frames => {
                let Some((header, rest)) = stream.split_first_chunk::<HEADER>() else {
                    return match (is_end, stream.is_empty()) {
                        (true, true) => Cut::End,
                        (true, false) => Cut::Truncated { len: None, found: stream.len() },
                        (false, _) => Cut::Part { len: 0, searched: 0 },
                    };
                };
                let Some(Frame { len, number }) = Frame::parse(header) else { return Cut::Malformed };
                let len = len as usize;
                match rest.get(..len) {
                    Some(payload) => Cut::Record { payload, span: HEADER + len, number },
                    None if is_end => Cut::Truncated { len: Some(len), found: rest.len() },
                    None => Cut::Part { len, searched: 0 },
                }
            }
            Self::Lines => match memchr::memchr(b'\n', &stream[searched..]) {
                Some(at) => record(&stream[..searched + at], searched + at + 1),
                None if !is_end => Cut::Part { len: stream.len(), searched: stream.len() },
                None if stream.is_empty() => Cut::End,
                None => record(stream, stream.len()),
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
                    Some(payload) => record(payload, PREFIX + len),
                    None if is_end => Cut::Truncated { len: Some(len), found: rest.len() },
                    None => Cut::Part { len, searched: 0 },
                }
            }
            Self::Raw(size) => match stream.get(..size.get()) {
                Some(payload) => record(payload, payload.len()),
                None if !is_end => Cut::Part { len: size.get(), searched: 0 },
                None if stream.is_empty() => Cut::End,
                None => record(stream, stream.len()),
            },
            // What is there came together.
            Self::Bare if stream.is_empty() && is_end => Cut::End,
            Self::Bare if stream.is_empty() => Cut::Part { len: 0, searched: 0 },
            Self::Bare => record(stream, stream.len()),
        }
    }

    /// Appends a record to a stream.
    pub fn join(self, record: &[u8], stream: &mut Vec<u8>) {
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
            Self::Frames => {
                let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
                stream.extend_from_slice(&Frame { len, number: None }.header());
                stream.extend_from_slice(record);
            }
            Self::Raw(_) | Self::Bare => stream.extend_from_slice(record),
        }
    }

    /// Appends a record to a stream, marked: a line begins with `tag` and a tab; before a length and its record, `tag` is a record of its
    /// own. Bytes without boundaries have no place for it.
    pub fn join_tagged(self, tag: &str, record: &[u8], stream: &mut Vec<u8>) {
        match self {
            Self::Lines => {
                stream.extend_from_slice(tag.as_bytes());
                stream.push(b'\t');
            }
            Self::Frames | Self::Len32 => self.join(tag.as_bytes(), stream),
            Self::Raw(_) | Self::Bare => {}
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
        for framing in [Framing::Frames, Framing::Lines, Framing::Len32] {
            let mut stream = Vec::new();
            records.iter().for_each(|record| framing.join(record, &mut stream));
            for arrived in 0..=stream.len() {
                let (mut start, mut found) = (0, Vec::new());
                while let Cut::Record { payload, span, .. } = framing.cut(&stream[start..arrived], 0, false) {
                    found.push(payload);
                    start += span;
                }
                while let Cut::Record { payload, span, .. } = framing.cut(&stream[start..], 0, true) {
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
        assert_eq!(Framing::Lines.cut(b"last", 0, true), record(b"last", 4));
        assert_eq!(Framing::Lines.cut(b"last", 2, false), Cut::Part { len: 4, searched: 4 });
        let raw = Framing::Raw(NonZeroUsize::new(3).unwrap());
        assert_eq!(raw.cut(b"abcd", 0, false), record(b"abc", 3));
        assert_eq!(raw.cut(b"d", 0, false), Cut::Part { len: 3, searched: 0 });
        assert_eq!(raw.cut(b"d", 0, true), record(b"d", 1));
        assert_eq!(raw.cut(b"", 0, true), Cut::End);
    }

    #[test]
    fn no_bit_of_a_header_can_change_unnoticed() {
        for frame in [
            Frame { len: 0, number: Some(0) },
            Frame { len: 265, number: None },
            Frame { len: 7, number: Some(1 << 40) },
        ] {
            let header = frame.header();
            assert_eq!(Frame::parse(&header), Some(frame));
            for bit in 0..8 * HEADER {
                let mut other = header;
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Frame::parse(&other), None, "bit {bit}");
                assert_eq!(Framing::Frames.cut(&other, 0, false), Cut::Malformed);
            }
        }
        assert_eq!(Framing::Frames.cut(&[0; 64], 0, false), Cut::Malformed);
    }

    #[test]
    fn a_truncated_length_or_record_is_told() {
        let truncated = |len, found| Cut::Truncated { len, found };
        assert_eq!(Framing::Len32.cut(b"\x05\0", 0, true), truncated(None, 2));
        assert_eq!(Framing::Len32.cut(b"\x05\0\0\0abc", 0, true), truncated(Some(5), 3));
        assert_eq!(Framing::Len32.cut(b"\x05\0\0\0abc", 0, false), Cut::Part { len: 5, searched: 0 });
    }
}
