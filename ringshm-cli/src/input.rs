//! A byte stream that is cut into records where it lies: they are slices of the buffer it was read into.

use crate::framing::{Cut, Framing};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Read};

/// Bytes that are asked for at once. The buffer grows only for a longer record.
const READ: usize = 1 << 20;
/// With less room than this behind what was read, the rest is moved to the front before the next read.
const ROOM: usize = 256 << 10;

/// The stream and what was read ahead of it.
#[derive(Debug)]
pub(crate) struct Input {
    file: File,
    framing: Framing,
    buffer: Vec<u8>,
    /// What was read and not taken yet is `start..end`.
    start: usize,
    end: usize,
    /// How much of that was looked at for the end of a record, in vain.
    searched: usize,
    is_end: bool,
}

impl Input {
    pub(crate) fn new(file: File, framing: Framing) -> Self {
        Self { file, framing, buffer: vec![0; READ], start: 0, end: 0, searched: 0, is_end: false }
    }

    /// What comes `ahead` bytes after what was taken. Reads nothing.
    pub(crate) fn look(&self, ahead: usize) -> Cut<'_> {
        let searched = if ahead == 0 { self.searched } else { 0 };
        self.framing.cut(&self.buffer[self.start + ahead..self.end], searched, self.is_end)
    }

    /// Takes `bytes`, which were looked at.
    pub(crate) fn take(&mut self, bytes: usize) {
        if bytes > 0 {
            self.start += bytes;
            self.searched = 0;
        }
    }

    /// Waits until more of the stream can be looked at, or it has ended. The first `searched` bytes that were not taken are
    /// not looked at again.
    pub(crate) fn fill(&mut self, searched: usize) -> io::Result<()> {
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
        let read = self.read_some()?;
        self.end += read;
        self.is_end = read == 0;
        Ok(())
    }

    /// Reads the rest of a line that is too long to keep. Returns how many bytes were not taken before its end.
    pub(crate) fn rest_of_line(&mut self) -> io::Result<u64> {
        let mut len = (self.end - self.start) as u64;
        loop {
            (self.start, self.end) = (0, 0);
            let read = self.read_some()?;
            match memchr::memchr(b'\n', &self.buffer[..read]) {
                Some(at) => return Ok(len + at as u64),
                None if read == 0 => return Ok(len),
                None => len += read as u64,
            }
        }
    }

    fn read_some(&mut self) -> io::Result<usize> {
        loop {
            match self.file.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Somebody else made this stream non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let _ = poll(&mut [PollFd::new(&self.file, PollFlags::IN)], None);
                }
                result => return result,
            }
        }
    }
}
