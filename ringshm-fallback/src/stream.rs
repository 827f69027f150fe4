//! A byte stream that is cut into records where it lies: they are slices of the buffer it was read into.

use crate::framing::{Cut, Framing};
use std::io;

/// Bytes that are asked for at once. The buffer grows only for a longer record.
const READ: usize = 1 << 20;
/// With less room than this behind what was read, the rest is moved to the front before the next read.
const ROOM: usize = 256 << 10;

/// What was read ahead of a stream.
#[derive(Debug)]
pub struct Stream {
    framing: Framing,
    buffer: Vec<u8>,
    /// What was read and not taken yet is `start..end`.
    start: usize,
    end: usize,
    /// How much of that was looked at for the end of a record, in vain.
    searched: usize,
    is_end: bool,
}

impl Stream {
    /// One of which nothing was read.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { framing, buffer: vec![0; READ], start: 0, end: 0, searched: 0, is_end: false }
    }

    /// What comes `ahead` bytes after what was taken. Reads nothing.
    #[must_use]
    pub fn look(&self, ahead: usize) -> Cut<'_> {
        let searched = if ahead == 0 { self.searched } else { 0 };
        self.framing.cut(&self.buffer[self.start + ahead..self.end], searched, self.is_end)
    }

    /// What was read and not taken.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether the last read found the end. It may be read on all the same, where something can come after an end.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.is_end
    }

    /// Takes `bytes`, which were looked at.
    pub fn take(&mut self, bytes: usize) {
        if bytes > 0 {
            self.start += bytes;
            self.searched = 0;
        }
    }

    /// Bytes that were read and not taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing was read that is not taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Reads more, by one call of `read`, which says how many bytes it read: none is the end. The first `searched` bytes that were not taken are
    /// not looked at again.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn fill<E>(&mut self, searched: usize, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        self.searched = searched;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < ROOM {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.buffer.len() - self.end < ROOM {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        let count = read(&mut self.buffer[self.end..])?;
        self.end += count;
        self.is_end = count == 0;
        Ok(())
    }

    /// Forgets everything that was read.
    pub fn clear(&mut self) {
        (self.start, self.end, self.searched, self.is_end) = (0, 0, 0, false);
    }

    /// Forgets everything that was read, and reads by `read` up to the end of a line. Returns how many bytes of that line were forgotten.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn rest_of_line(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<u64> {
        let mut len = self.len() as u64;
        loop {
            (self.start, self.end) = (0, 0);
            let count = read(&mut self.buffer)?;
            match memchr::memchr(b'\n', &self.buffer[..count]) {
                Some(at) => return Ok(len + at as u64),
                None if count == 0 => return Ok(len),
                None => len += count as u64,
            }
        }
    }
}
