//! The messages: numbered, filled to the last byte, and checked to the last byte.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Numbers from here on end a run instead of counting.
pub const END: u64 = u64::MAX - 1;

/// A message of fixed size. Its words count up from its number, so that its number tells what they must add up to.
pub trait Message:
    ringshm::Message<Producer = ringshm::Producer<Self>, Consumer = ringshm::Consumer<Self>>
    + ringshm::Payload
    + Default
    + Sync
    + core::fmt::Debug
{
    /// Words of eight bytes in it.
    const WORDS: u64;

    /// The message with this number.
    fn numbered(number: u64) -> Self;

    /// All its words.
    fn words(&self) -> &[u64];

    /// Its number.
    #[inline(always)]
    fn number(&self) -> u64 {
        self.words()[0]
    }

    /// Whether every byte of it is as it was sent.
    #[inline(always)]
    fn is_sound(&self) -> bool {
        let sum = self.words().iter().fold(0_u64, |sum, word| sum.wrapping_add(*word));
        sum == self.number().wrapping_mul(Self::WORDS).wrapping_add(Self::WORDS * (Self::WORDS - 1) / 2)
    }
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident: $words:literal words aligned to $align:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
        #[repr(C, align($align))]
        pub struct $name([u64; $words]);

        impl Default for $name {
            fn default() -> Self {
                Self([0; $words])
            }
        }

        impl Message for $name {
            const WORDS: u64 = $words;

            #[inline(always)]
            fn numbered(number: u64) -> Self {
                Self(core::array::from_fn(|index| number.wrapping_add(index as u64)))
            }

            #[inline(always)]
            fn words(&self) -> &[u64] {
                &self.0
            }
        }
    )*};
}

messages! {
    /// Eight bytes.
    Word: 1 words aligned to 8;
    /// A cache line.
    Line: 8 words aligned to 64;
    /// Four cache lines.
    Lines4: 32 words aligned to 64;
    /// Sixteen cache lines.
    Lines16: 128 words aligned to 64;
    /// As much as a page of memory.
    Lines64: 512 words aligned to 64;
}

/// A consumer's check of what it receives.
pub trait Inspect {
    /// Looks at a message, at every byte of it.
    ///
    /// # Panics
    /// If it is not one that may come now, or not sound.
    fn see<M: Message>(&mut self, message: &M);

    /// How many messages were seen.
    fn seen(&self) -> u64;

    /// Whether the message that ends the run was seen.
    fn has_ended(&self) -> bool;

    /// The share of the messages that did not come, where some may get lost.
    fn lost(&self) -> Option<f64> {
        None
    }
}

/// A consumer's check: the numbers count up, and every message is sound.
#[derive(Debug, Default)]
pub struct Check {
    /// Messages seen: the number that comes next.
    pub seen: u64,
    /// The message that ends the run was seen.
    pub ended: bool,
}

impl Inspect for Check {
    #[inline(always)]
    fn see<M: Message>(&mut self, message: &M) {
        if message.number() == self.seen && message.is_sound() {
            self.seen += 1;
        } else {
            self.end(message.number(), message.is_sound());
        }
    }

    #[inline(always)]
    fn seen(&self) -> u64 {
        self.seen
    }

    #[inline(always)]
    fn has_ended(&self) -> bool {
        self.ended
    }
}

impl Check {
    #[cold]
    fn end(&mut self, number: u64, is_sound: bool) {
        assert!(number == END && is_sound, "message {number} (sound: {is_sound}) in the place of {}", self.seen);
        self.ended = true;
    }
}

/// A consumer's check where messages may get lost: the numbers go up, and every message is sound.
#[derive(Debug, Default)]
pub struct LossyCheck {
    seen: u64,
    /// The lowest number that may come.
    next: u64,
    ended: bool,
}

impl Inspect for LossyCheck {
    #[inline(always)]
    fn see<M: Message>(&mut self, message: &M) {
        let number = message.number();
        assert!(message.is_sound() && number >= self.next, "message {number} in the place of {}, or later", self.next);
        if number == END {
            self.ended = true;
        } else {
            self.next = number + 1;
            self.seen += 1;
        }
    }

    #[inline(always)]
    fn seen(&self) -> u64 {
        self.seen
    }

    #[inline(always)]
    fn has_ended(&self) -> bool {
        self.ended
    }

    fn lost(&self) -> Option<f64> {
        Some((self.next - self.seen) as f64 / self.next.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_got_lost_is_counted_and_what_comes_twice_is_noticed() {
        let mut check = LossyCheck::default();
        for number in [1, 2, 5, 7, END, END] {
            check.see(&Line::numbered(number));
        }
        assert_eq!((check.seen(), check.has_ended(), check.lost()), (4, true, Some(0.5)));
        let again = std::panic::catch_unwind(move || check.see(&Line::numbered(7)));
        assert!(again.is_err());
    }
}
