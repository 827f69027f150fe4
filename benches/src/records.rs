//! Records: byte messages of one size, or of the sizes of a market-data feed, numbered and checked like [`crate::message`].

use crate::message::END;

/// The sizes of the records of a run, over and over, and what their bytes add up to. Both sides make the same.
#[derive(Debug)]
pub struct Feed {
    /// A power of two of them.
    sizes: Vec<(usize, u64)>,
    /// What records are made of: the first eight bytes are the number's.
    template: Vec<u8>,
}

const MARKET_SIZES: usize = 4096;

impl Feed {
    /// Records of one size, at least 8.
    #[must_use]
    pub fn of(size: usize) -> Self {
        Self::new(&[size])
    }

    /// Sizes as those of a market-data feed in JSON: log-normal with median 170 and mean 265 bytes, one of 28 KB among 4096.
    #[must_use]
    pub fn market() -> Self {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut uniform = move || {
            // xorshift64*, after Vigna.
            random ^= random >> 12;
            random ^= random << 25;
            random ^= random >> 27;
            ((random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
        };
        let mut sizes: Vec<usize> = (0..MARKET_SIZES)
            .map(|_| {
                let normal = (-2.0 * uniform().ln()).sqrt() * (core::f64::consts::TAU * uniform()).cos();
                (170.0 * (0.93 * normal).exp()).clamp(24.0, 12_000.0) as usize
            })
            .collect();
        sizes[MARKET_SIZES / 2] = 28_000;
        Self::new(&sizes)
    }

    fn new(sizes: &[usize]) -> Self {
        assert!(sizes.len().is_power_of_two() && sizes.iter().all(|size| *size == 8 || *size >= 16));
        let longest = sizes.iter().copied().max().unwrap_or(8);
        let mut template: Vec<u8> = (0..longest).map(|index| (index * 37 + index / 251) as u8).collect();
        template[..8].fill(0);
        let sizes = sizes.iter().map(|size| (*size, sum(&template[..*size]))).collect();
        Self { sizes, template }
    }

    /// The mean size.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sizes.iter().map(|(size, _)| *size as f64).sum::<f64>() / self.sizes.len() as f64
    }

    /// The longest size.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.template.len()
    }

    fn entry(&self, number: u64) -> (usize, u64) {
        self.sizes[number as usize & (self.sizes.len() - 1)]
    }
}

/// The words of a record and its last eight bytes (if they are not its first), added up. One loop over the whole words and no copy of the rest, so that the
/// check does not cost more than what it checks.
#[inline]
fn sum(record: &[u8]) -> u64 {
    let (words, _) = record.as_chunks::<8>();
    let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    let last = record[8..].last_chunk::<8>().map_or(0, |last| u64::from_le_bytes(*last));
    sum.wrapping_add(last)
}

/// Makes the records of a run: one, or a batch at a time, each in a buffer that is used again.
#[derive(Debug)]
pub struct Source {
    feed: Feed,
    buffers: Vec<Vec<u8>>,
}

impl Source {
    /// For batches of up to `batch`.
    #[must_use]
    pub fn new(feed: Feed, batch: usize) -> Self {
        let buffers = vec![feed.template.clone(); batch];
        Self { feed, buffers }
    }

    /// The record with this number.
    #[inline]
    pub fn one(&mut self, number: u64) -> &[u8] {
        let (size, _) = self.feed.entry(number);
        let record = &mut self.buffers[0][..size];
        record[..8].copy_from_slice(&number.to_le_bytes());
        record
    }

    /// Gives `count` records, numbered from `first`, to `send`.
    #[inline]
    pub fn batch(&mut self, first: u64, count: usize, send: impl FnOnce(&[&[u8]])) {
        const LARGEST: usize = 64;
        let mut records: [&[u8]; LARGEST] = [&[]; LARGEST];
        for (index, buffer) in self.buffers[..count].iter_mut().enumerate() {
            let number = first + index as u64;
            let (size, _) = self.feed.entry(number);
            buffer[..8].copy_from_slice(&number.to_le_bytes());
            records[index] = &buffer[..size];
        }
        send(&records[..count]);
    }
}

/// A consumer's check: the numbers count up, and every record has its size and its bytes.
#[derive(Debug)]
pub struct RecordCheck {
    feed: Feed,
    /// Records seen: the number that comes next.
    pub seen: u64,
    /// The record that ends the run was seen.
    pub ended: bool,
}

impl RecordCheck {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(feed: Feed) -> Self {
        Self { feed, seen: 0, ended: false }
    }

    /// Looks at the next record, at every byte of it.
    ///
    /// # Panics
    /// If it is not the next, or not sound.
    #[inline]
    pub fn see(&mut self, record: &[u8]) {
        let (size, expected) = self.feed.entry(self.seen);
        if record.len() == size && sum(record) == expected.wrapping_add(self.seen) {
            self.seen += 1;
        } else {
            self.end(record);
        }
    }

    #[cold]
    fn end(&mut self, record: &[u8]) {
        let (size, expected) = self.feed.entry(END);
        let is_end = record.len() == size && sum(record) == expected.wrapping_add(END);
        assert!(is_end, "record {} has {} bytes, or not its bytes", self.seen, record.len());
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_feed_has_the_sizes_of_one() {
        let feed = Feed::market();
        let mut sizes: Vec<usize> = feed.sizes.iter().map(|(size, _)| *size).collect();
        sizes.sort_unstable();
        assert!((160..180).contains(&sizes[MARKET_SIZES / 2]), "median {}", sizes[MARKET_SIZES / 2]);
        assert!((250.0..285.0).contains(&feed.mean()), "mean {}", feed.mean());
        assert_eq!(feed.longest(), 28_000);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let mut source = Source::new(Feed::of(100), 1);
        let mut check = RecordCheck::new(Feed::of(100));
        check.see(source.one(0));
        check.see(source.one(1));
        assert_eq!(check.seen, 2);
        let mut record = source.one(2).to_vec();
        record[99] ^= 1;
        assert!(std::panic::catch_unwind(move || check.see(&record)).is_err());
    }
}
