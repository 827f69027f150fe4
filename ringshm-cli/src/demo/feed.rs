//! The messages of the demonstration, and the check that they arrived.

use crate::failure::Failure;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

/// Different messages of the generated feed; then they begin anew, with new numbers.
const GENERATED: usize = 1 << 15;

/// A market-data feed in memory: the same for everybody who asks.
#[derive(Debug)]
pub(crate) struct Feed {
    bytes: Vec<u8>,
    messages: Vec<Range<usize>>,
    /// Whether each message begins with its number.
    is_numbered: bool,
}

impl Feed {
    /// The lines of a file, or else a generated feed.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = file else { return Ok(Self::generated()) };
        let bytes =
            std::fs::read(path).map_err(|error| Failure::at(format_args!("reading {}", path.display()), error))?;
        let (mut messages, mut begin) = (Vec::new(), 0);
        for end in memchr::memchr_iter(b'\n', &bytes).chain((!bytes.ends_with(b"\n")).then_some(bytes.len())) {
            messages.push(begin..end);
            begin = end + 1;
        }
        if bytes.is_empty() {
            return Err(Failure::new(format!("{} has no lines: choose another file", path.display())));
        }
        Ok(Self { bytes, messages, is_numbered: false })
    }

    /// Best prices, trades and order-book changes: 265 bytes on average, from some 150 to some 4,000.
    fn generated() -> Self {
        let mut random = Random(0x5eed_0f71_c5ed);
        let mut text = String::with_capacity(GENERATED * 280);
        let mut messages = Vec::with_capacity(GENERATED);
        let mut cents = 6_168_600_u64;
        for update in 50_093_421_585_u64..50_093_421_585 + GENERATED as u64 {
            let begin = text.len();
            cents = cents + random.below(21) - 10;
            text.push_str(Number::ZERO);
            // Writing to a string cannot fail.
            let _ = match random.below(100) {
                0..50 => best_prices(&mut text, &mut random, update, cents),
                50..85 => trade(&mut text, &mut random, update, cents),
                _ => changes(&mut text, &mut random, update, cents),
            };
            messages.push(begin..text.len());
        }
        Self { bytes: text.into_bytes(), messages, is_numbered: true }
    }

    /// Bytes of a message, on average.
    pub(crate) fn average(&self) -> usize {
        self.messages.iter().map(Range::len).sum::<usize>() / self.messages.len().max(1)
    }

    /// The longest message.
    pub(crate) fn longest(&self) -> usize {
        self.messages.iter().map(Range::len).max().unwrap_or(0)
    }

    /// Begins the feed.
    pub(crate) fn start(&mut self) -> Playing<'_> {
        Playing { feed: self, next: 0, number: Number::first() }
    }
}

/// A feed that is being sent, over and over.
#[derive(Debug)]
pub(crate) struct Playing<'a> {
    feed: &'a mut Feed,
    next: usize,
    number: Number,
}

impl Playing<'_> {
    /// The next messages: at most `count`, at least one.
    #[inline]
    pub(crate) fn batch(&mut self, count: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        let Feed { bytes, messages, is_numbered } = &mut *self.feed;
        if self.next == messages.len() {
            self.next = 0;
        }
        let batch = &messages[self.next..messages.len().min(self.next + count)];
        self.next += batch.len();
        if *is_numbered {
            for message in batch {
                bytes[message.start..message.start + Number::LEN].copy_from_slice(&self.number.0);
                self.number.advance();
            }
        }
        batch.iter().map(|message| &bytes[message.clone()])
    }
}

/// The number that a message begins with, in digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number([u8; 16]);

impl Number {
    const LEN: usize = 16;
    const ZERO: &str = "0000000000000000";

    fn first() -> Self {
        Self([b'0'; Self::LEN])
    }

    #[inline]
    fn advance(&mut self) {
        for digit in self.0.iter_mut().rev() {
            if *digit != b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }
}

/// What a side has seen: how many messages, how many bytes, and 64 bits that depend on every byte and on the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Digest {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
}

impl Digest {
    /// Adds a message. After the folded multiplications of wyhash.
    #[inline]
    pub(crate) fn add(&mut self, message: &[u8]) {
        const KEYS: [u64; 4] =
            [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3];
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            product as u64 ^ (product >> 64) as u64
        };
        let (mut even, mut odd) = (self.hash, KEYS[2]);
        let mut mix = |chunk: &[u8; 32]| {
            let words: &[[u8; 8]; 4] = &[0, 8, 16, 24].map(|at| *chunk[at..].first_chunk().unwrap_or(&[0; 8]));
            let [a, b, c, d] = words.map(u64::from_le_bytes);
            even = fold(a ^ KEYS[0], b ^ even);
            odd = fold(c ^ KEYS[1], d ^ odd);
        };
        let (chunks, rest) = message.as_chunks::<32>();
        chunks.iter().for_each(&mut mix);
        let mut last = [0; 32];
        last[..rest.len()].copy_from_slice(rest);
        mix(&last);
        self.hash = fold(even ^ KEYS[3], odd ^ message.len() as u64);
        self.messages += 1;
        self.bytes += message.len() as u64;
    }
}

/// The receiver's check: of the numbers if there are some, and the digest.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) digest: Digest,
    expected: Option<Number>,
    /// Messages that did not have the number that was due, or one that may come now where some may be missing.
    pub(crate) misnumbered: u64,
    may_miss: bool,
}

impl Check {
    pub(crate) fn new(is_numbered: bool, may_miss: bool) -> Self {
        Self { digest: Digest::default(), expected: is_numbered.then(Number::first), misnumbered: 0, may_miss }
    }

    #[inline]
    pub(crate) fn add(&mut self, message: &[u8]) {
        self.digest.add(message);
        if let Some(expected) = &mut self.expected {
            if message.first_chunk() != Some(&expected.0) {
                match message.first_chunk() {
                    // Digits: those of a later number are greater.
                    Some(number) if self.may_miss && *number > expected.0 => expected.0 = *number,
                    _ => self.misnumbered += 1,
                }
            }
            expected.advance();
        }
    }
}

/// xorshift64*: the same numbers everywhere, every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        ((self.next() >> 32) * limit) >> 32
    }
}

fn price(cents: u64) -> String {
    format!("{}.{:02}000000", cents / 100, cents % 100)
}

fn quantity(random: &mut Random) -> String {
    format!("{}.{:05}000", random.below(4), random.below(100_000))
}

fn best_prices(text: &mut String, random: &mut Random, update: u64, cents: u64) -> std::fmt::Result {
    let (bid, ask) = (price(cents), price(cents + 1));
    let (bids, asks) = (quantity(random), quantity(random));
    write!(
        text,
        r#" {{"stream":"btcusdt@bookTicker","data":{{"u":{update},"s":"BTCUSDT","b":"{bid}","B":"{bids}","a":"{ask}","A":"{asks}"}}}}"#
    )
}

fn trade(text: &mut String, random: &mut Random, update: u64, cents: u64) -> std::fmt::Result {
    let (time, price, quantity, is_sale) =
        (1_723_161_600_000 + update % 86_400_000, price(cents), quantity(random), random.below(2) == 0);
    write!(
        text,
        r#" {{"stream":"btcusdt@trade","data":{{"e":"trade","E":{time},"s":"BTCUSDT","t":{update},"p":"{price}","q":"{quantity}","T":{time},"m":{is_sale},"M":true}}}}"#
    )
}

fn changes(text: &mut String, random: &mut Random, update: u64, cents: u64) -> std::fmt::Result {
    let time = 1_723_161_600_000 + update % 86_400_000;
    write!(
        text,
        r#" {{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":{time},"s":"BTCUSDT","U":{update},"u":{update}"#
    )?;
    // Most updates are short, a few are long.
    let levels = match random.below(20) {
        0 => 20 + random.below(38),
        _ => 2 + random.below(14),
    };
    for (side, towards) in [("b", -1), ("a", 1)] {
        write!(text, r#","{side}":["#)?;
        for level in 0..levels {
            let comma = if level > 0 { "," } else { "" };
            let price = price(cents.saturating_add_signed(towards * (level * 37 + random.below(30)) as i64));
            write!(text, r#"{comma}["{price}","{}"]"#, quantity(random))?;
        }
        text.push(']');
    }
    text.push_str("}}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feed_looks_like_a_market_and_is_always_the_same() {
        let feed = Feed::generated();
        let lengths: Vec<usize> = feed.messages.iter().map(Range::len).collect();
        let average = lengths.iter().sum::<usize>() / lengths.len();
        assert!((250..280).contains(&average), "{average} bytes on average");
        assert!(lengths.iter().all(|len| (100..=4000).contains(len)), "{:?}", lengths.iter().max());
        assert_eq!(feed.bytes, Feed::generated().bytes);
        for message in &feed.messages[..100] {
            let json: serde_json::Value = serde_json::from_slice(&feed.bytes[message.clone()][Number::LEN..]).unwrap();
            assert_eq!(json["data"]["s"], "BTCUSDT");
        }
    }

    #[test]
    fn the_check_finds_every_change_of_content_or_order() {
        let mut feed = Feed::generated();
        let original: Vec<Vec<u8>> = feed.start().batch(50).map(<[u8]>::to_vec).collect();
        let check = |messages: &[Vec<u8>]| {
            let mut check = Check::new(true, false);
            messages.iter().for_each(|message| check.add(message));
            (check.digest, check.misnumbered)
        };
        assert_eq!(check(&original), check(&original.clone()));
        assert_eq!(check(&original).1, 0);
        for at in 0..original[7].len() {
            let mut changed = original.clone();
            changed[7][at] ^= 1;
            assert_ne!(check(&changed).0, check(&original).0, "byte {at}");
        }
        let mut swapped = original.clone();
        swapped.swap(3, 4);
        assert_ne!(check(&swapped).0, check(&original).0);
        assert_eq!(check(&swapped).1, 2);
        let mut longer = original.clone();
        longer[49].push(0);
        assert_ne!(check(&longer).0, check(&original).0);
        assert!(check(&original[1..]).1 > 0);
        let mut lossy = Check::new(true, true);
        [3, 4, 9, 11, 10].into_iter().for_each(|at: usize| lossy.add(&original[at]));
        assert_eq!(lossy.misnumbered, 1, "later ones may come, earlier ones not");
    }

    #[test]
    fn the_feed_begins_anew_with_new_numbers() {
        let mut feed = Feed::generated();
        let mut playing = feed.start();
        let mut check = Check::new(true, false);
        while check.digest.messages < 2 * GENERATED as u64 + 10 {
            playing.batch(64).for_each(|message| check.add(message));
        }
        assert_eq!(check.misnumbered, 0);
    }
}
