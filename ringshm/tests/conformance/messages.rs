//! Messages whose content follows from their number, as long as a channel carries them.

use ringshm::Capabilities;

/// What messages may be.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    shortest: usize,
    longest: usize,
    forbidden: Option<u8>,
}

/// Longer ones than this are only sent where a test is about their length.
const USUAL: usize = 300;

impl Shape {
    pub(crate) fn of(capabilities: &Capabilities) -> Self {
        Self {
            shortest: capabilities.shortest,
            longest: capabilities.longest.bytes.min(USUAL),
            forbidden: capabilities.forbidden,
        }
    }

    /// A message of that length.
    pub(crate) fn of_len(self, number: u64, len: usize) -> Vec<u8> {
        let mut x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1);
            (x >> 56) as u8
        };
        (0..len).map(|_| next()).map(|byte| if Some(byte) == self.forbidden { byte ^ 1 } else { byte }).collect()
    }

    /// Message number `number`, of a length of its own.
    pub(crate) fn message(self, number: u64) -> Vec<u8> {
        let span = self.longest - self.shortest + 1;
        self.of_len(number, self.shortest + (number.wrapping_mul(7919) % span as u64) as usize)
    }

    /// A short message whose first two bytes say whose it is and which of theirs.
    pub(crate) fn signed(self, sender: u8, number: u8) -> Vec<u8> {
        // Neither is ever a forbidden byte.
        let mut message = vec![sender | 0x80, number | 0x80];
        message.resize(self.shortest.max(2), 0);
        message
    }
}
