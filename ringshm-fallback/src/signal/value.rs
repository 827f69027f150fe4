//! Messages in the one value that a queued signal carries: a `union sigval`, as wide as a pointer.

use crate::framing::Framing;
use ringshm_core::Longest;
use ringshm_core::error::OpenError;

/// Bytes of the value.
const WORD: usize = size_of::<usize>();
/// Stands in the highest byte of a value with a message in it, above its length.
const MARK: usize = 0xa0;

/// What a signal carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// Up to 7 bytes, the first in the lowest, and `0xa0` and their number in the highest. The other bytes are zero.
    Bytes,
    /// 4 bytes: `sival_int`.
    Int,
    /// 8 bytes: `sival_ptr`.
    Word,
    /// Nothing: that it came is the message.
    Nothing,
}

/// Why a message is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    TooLarge { max: usize },
    Unsupported(&'static str),
}

impl Carried {
    pub(super) fn by(framing: Framing, is_queued: bool) -> Result<Self, OpenError> {
        let carried = match framing {
            Framing::Frames if is_queued => Some(Self::Bytes),
            Framing::Frames | Framing::Bare if !is_queued => Some(Self::Nothing),
            Framing::Raw(bytes) if is_queued && bytes.get() == size_of::<i32>() => Some(Self::Int),
            Framing::Raw(bytes) if is_queued && bytes.get() == WORD => Some(Self::Word),
            _ => None,
        };
        carried.ok_or_else(|| OpenError::InvalidOption {
            option: "framing",
            reason: "a queued signal carries messages of up to 7 bytes (frames), an int as of kill -q (raw:4), or a pointer (raw:8); one that is not queued carries nothing".to_owned(),
        })
    }

    pub(super) fn longest(self) -> Longest {
        let (bytes, because) = match self {
            Self::Bytes => {
                (WORD - 1, "a signal carries as much as a pointer, and one byte says how long the message is")
            }
            Self::Int => (size_of::<i32>(), "an int is what was chosen: raw:8 has 8 bytes, frames up to 7"),
            Self::Word => (WORD, "a signal carries as much as a pointer"),
            Self::Nothing => (0, "such a signal carries nothing: choose a real-time signal, from RTMIN to RTMAX"),
        };
        Longest { bytes, because }
    }

    pub(super) fn shortest(self) -> usize {
        if self == Self::Bytes { 0 } else { self.longest().bytes }
    }

    /// The value of a message.
    pub(super) fn pack(self, message: &[u8]) -> Result<usize, Refusal> {
        let max = self.longest().bytes;
        if message.len() > max {
            return Err(Refusal::TooLarge { max });
        }
        if message.len() < self.shortest() {
            return Err(Refusal::Unsupported(
                "this channel carries messages of one length, 4 or 8 bytes: fill it up, or use frames for shorter ones",
            ));
        }
        let mut word = [0; WORD];
        word[..message.len()].copy_from_slice(message);
        let value = match self {
            Self::Bytes => usize::from_le_bytes(word) | (MARK | message.len()) << (8 * (WORD - 1)),
            // In the order of this machine, as an int of C is.
            Self::Int => i32::from_ne_bytes([word[0], word[1], word[2], word[3]]) as u32 as usize,
            Self::Word => usize::from_ne_bytes(word),
            Self::Nothing => 0,
        };
        Ok(value)
    }

    /// The message in a value, whose int C programs may have set alone. `None`: there is none.
    pub(super) fn unpack(self, value: u64, int: i32, into: &mut Vec<u8>) -> Option<usize> {
        into.clear();
        match self {
            Self::Bytes => {
                let word = usize::try_from(value).ok()?.to_le_bytes();
                let (bytes, head) = word.split_at(WORD - 1);
                let len = usize::from(head[0]).checked_sub(MARK).filter(|len| *len < WORD)?;
                let (message, rest) = bytes.split_at(len);
                if rest.iter().any(|byte| *byte != 0) {
                    return None;
                }
                into.extend_from_slice(message);
            }
            Self::Int => into.extend_from_slice(&int.to_ne_bytes()),
            Self::Word => into.extend_from_slice(&usize::try_from(value).ok()?.to_ne_bytes()),
            Self::Nothing => {}
        }
        Some(into.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(carried: Carried, message: &[u8]) {
        let value = carried.pack(message).unwrap();
        let mut back = vec![9; 3];
        assert_eq!(carried.unpack(value as u64, value as i32, &mut back), Some(message.len()), "{message:?}");
        assert_eq!(back, message);
    }

    #[test]
    fn every_length_is_carried_and_no_longer_one() {
        for len in 0..WORD {
            there_and_back(Carried::Bytes, &vec![0xff; len]);
            there_and_back(Carried::Bytes, &vec![0; len]);
        }
        there_and_back(Carried::Int, &(-5_i32).to_ne_bytes());
        there_and_back(Carried::Word, &usize::MAX.to_ne_bytes());
        there_and_back(Carried::Nothing, b"");
        for (carried, max) in
            [(Carried::Bytes, WORD - 1), (Carried::Int, 4), (Carried::Word, WORD), (Carried::Nothing, 0)]
        {
            assert_eq!(carried.pack(&vec![1; max + 1]), Err(Refusal::TooLarge { max }));
        }
        assert!(matches!(Carried::Int.pack(b"abc"), Err(Refusal::Unsupported(_))));
    }

    #[test]
    fn what_others_send_is_no_message() {
        let mut into = Vec::new();
        for value in [0, 5, u64::MAX, 1 << 63, 0xa8 << 56, 0xa0 << 56 | 1, 0xa1 << 56 | 1 << 8] {
            assert_eq!(Carried::Bytes.unpack(value, 0, &mut into), None, "{value:#x}");
        }
    }
}
