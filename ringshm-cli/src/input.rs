//! The file that `send` cuts into records, and what was read ahead of it.

use crate::framing::{Cut, Framing};
use ringshm::stream::Stream;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Read};

/// The stream and what was read ahead of it.
#[derive(Debug)]
pub(crate) struct Input {
    file: File,
    stream: Stream,
}

impl Input {
    pub(crate) fn new(file: File, framing: Framing) -> Self {
        Self { file, stream: Stream::new(framing) }
    }

    /// What comes `ahead` bytes after what was taken. Reads nothing.
    pub(crate) fn look(&self, ahead: usize) -> Cut<'_> {
        self.stream.look(ahead)
    }

    /// Takes `bytes`, which were looked at.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.stream.take(bytes);
    }

    /// Waits until more of the stream can be looked at, or it has ended. The first `searched` bytes that were not taken are
    /// not looked at again.
    pub(crate) fn fill(&mut self, searched: usize) -> io::Result<()> {
        let Self { file, stream } = self;
        stream.fill(searched, |room| read_some(file, room))
    }

    /// Reads the rest of a line that is too long to keep. Returns how many bytes were not taken before its end.
    pub(crate) fn rest_of_line(&mut self) -> io::Result<u64> {
        let Self { file, stream } = self;
        stream.rest_of_line(|room| read_some(file, room))
    }
}

/// Reads something, and waits for it.
pub(crate) fn read_some(file: &mut File, room: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(room) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Somebody else made this stream non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(file, PollFlags::IN)], None);
            }
            result => return result,
        }
    }
}
