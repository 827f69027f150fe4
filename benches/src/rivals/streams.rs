//! Byte streams of the kernel: a pipe, and a pair of Unix sockets. Both sides sleep when they wait.
//!
//! A write for each message or batch, in a kernel buffer as large as allowed; the reader takes as much as there is. Records have their
//! length before them.

use crate::channel::{Across, Link, Receiver, RecordReceiver, RecordSender, RecordsAcross, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use crate::records::RecordCheck;
use anyhow::Result;
use core::marker::PhantomData;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};
use rustix::pipe::{fcntl_setpipe_size, pipe};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

/// What a kernel buffer is asked to hold: the largest that an ordinary user may have in a pipe.
const BUFFER: usize = 1 << 20;

/// A stream that `K` makes.
pub(super) struct Stream<K>(PhantomData<K>);

/// Makes the reading and the writing end.
pub(super) trait Make {
    fn make() -> Result<(OwnedFd, OwnedFd)>;
}

/// A pipe.
pub(super) struct Pipe;

/// A pair of connected Unix sockets.
pub(super) struct Unix;

impl Make for Pipe {
    fn make() -> Result<(OwnedFd, OwnedFd)> {
        let (from, to) = pipe()?;
        // A user with many pipes is refused, and keeps 64 KiB.
        let _ = fcntl_setpipe_size(&to, BUFFER);
        Ok((from, to))
    }
}

impl Make for Unix {
    fn make() -> Result<(OwnedFd, OwnedFd)> {
        let (from, to) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_send_buffer_size(&to, BUFFER)?;
        Ok((from, to))
    }
}

/// The writing end, and where a batch is put together.
struct Writer(File, Vec<u8>);

impl<M: Message> Sender<M> for Writer {
    fn send(&mut self, message: M) {
        self.0.write_all(message.as_bytes()).expect("the reader lives");
    }

    fn send_batch(&mut self, first: u64, count: usize) {
        self.1.clear();
        for number in first..first + count as u64 {
            self.1.extend_from_slice(M::numbered(number).as_bytes());
        }
        self.0.write_all(&self.1).expect("the reader lives");
    }
}

impl RecordSender for Writer {
    fn send(&mut self, record: &[u8]) {
        RecordSender::send_batch(self, &[record]);
    }

    fn send_batch(&mut self, records: &[&[u8]]) {
        self.1.clear();
        for record in records {
            self.1.extend_from_slice(&record.len().to_le_bytes());
            self.1.extend_from_slice(record);
        }
        self.0.write_all(&self.1).expect("the reader lives");
    }
}

/// The reading end, and what was read and not yet looked at. Aligned like the largest message.
struct Reader {
    file: File,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Reader {
    fn new(file: File) -> Self {
        Self { file, buffer: vec![0; BUFFER], begin: 0, end: 0 }
    }

    /// Waits until the next `len` bytes are read.
    #[inline]
    fn fill(&mut self, len: usize) {
        while self.end - self.begin < len {
            if self.begin > 0 {
                self.buffer.copy_within(self.begin..self.end, 0);
                (self.begin, self.end) = (0, self.end - self.begin);
            }
            let count = self.file.read(&mut self.buffer[self.end..]).expect("the writer lives");
            assert!(count > 0, "the writer lives");
            self.end += count;
        }
    }

    #[inline]
    fn take(&mut self, len: usize) -> &[u8] {
        self.fill(len);
        self.begin += len;
        &self.buffer[self.begin - len..self.begin]
    }

    fn record(&mut self, check: &mut RecordCheck) {
        let mut len = [0; 8];
        len.copy_from_slice(self.take(8));
        check.see(self.take(usize::from_le_bytes(len)));
    }
}

impl<M: Message> Receiver<M> for Reader {
    #[inline]
    fn recv(&mut self) -> M {
        M::read_from_bytes(self.take(size_of::<M>())).expect("it has this size")
    }

    fn recv_batch(&mut self, check: &mut impl Inspect) {
        self.fill(size_of::<M>());
        while self.end - self.begin >= size_of::<M>() {
            check.see(&Receiver::<M>::recv(self));
        }
    }
}

impl RecordReceiver for Reader {
    fn recv(&mut self, check: &mut RecordCheck) {
        self.record(check);
    }

    fn recv_batch(&mut self, check: &mut RecordCheck) {
        self.record(check);
    }
}

fn link<K: Make>() -> Result<Vec<OwnedFd>> {
    let (from, to) = K::make()?;
    Ok(vec![from, to])
}

impl<K: Make> Across for Stream<K> {
    fn link<M: Message>(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        link::<K>()
    }

    fn sender<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        Ok(Writer(link.file(1)?, Vec::new()))
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        Ok(Reader::new(link.file(0)?))
    }
}

impl<K: Make> RecordsAcross for Stream<K> {
    fn link(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        link::<K>()
    }

    fn sender(_plan: &Plan, link: &Link) -> Result<impl RecordSender> {
        Ok(Writer(link.file(1)?, Vec::new()))
    }

    fn receiver(_plan: &Plan, link: &Link) -> Result<impl RecordReceiver> {
        Ok(Reader::new(link.file(0)?))
    }
}
