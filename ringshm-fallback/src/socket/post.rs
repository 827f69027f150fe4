//! One connection that messages are sent into: whole, or with a rest that goes first when there is room.

use crate::link::{Halt, Patience, halted};
use crate::wait::{Wake, refused, until_ready};
use ringshm_core::Interest;
use ringshm_sync::time::Ration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, send, sendmmsg, sendmsg};
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Packets that go with one system call.
const PACKETS: usize = 64;
const STEP: &str = "sending (sendmsg)";

/// How often it is asked whether the receiver has ended the connection: each time costs a message 200 ns more, of 700 (Unix) or 2,100 (TCP).
const LOOK: Duration = Duration::from_millis(5);

/// What is asked before a message, in one system call, where sending does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Nothing: the kernel takes a message of usual length as a whole or not at all, and knows at once that the receiver is gone.
    Nothing,
    /// Whether there is room for more than a part of a message. Who waits as long as it takes asks only where it was said before that there is none.
    Room,
    /// That, and whether the receiver has ended the connection, which the kernel otherwise says of the second message from then on. A
    /// foreign receiver may have ended only what it sends itself. Who sends more than one message in 5 ms asks for one of them only: what was sent since
    /// is as lost as what was on its way when the connection ended.
    RoomAndEnd,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) socket: OwnedFd,
    ask: Ask,
    ration: Ration,
    /// Whether it said last that there is no room.
    is_full: bool,
    /// Messages of which the kernel has only a part, from the first byte on.
    kept: Vec<u8>,
    /// How much of that it has.
    written: usize,
    /// Since when.
    kept_since: Option<Instant>,
}

/// What became of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// The kernel has them.
    Whole,
    /// It has a part of them; the rest is kept.
    Part,
}

impl Post {
    pub(super) fn new(socket: OwnedFd, ask: Ask) -> Self {
        let ration = Ration::default();
        Self { socket, ask, ration, is_full: false, kept: Vec::new(), written: 0, kept_since: None }
    }

    /// Whether there is a rest to be sent first.
    pub(super) fn has_rest(&self) -> bool {
        self.kept_since.is_some()
    }

    /// Since when there is a rest of which nothing could be sent.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        self.kept_since
    }

    /// What is kept, from the first byte of its messages on: for a successor, who must get them whole.
    pub(super) fn into_kept(self) -> Vec<u8> {
        self.kept
    }

    /// Keeps messages as if the kernel had taken nothing of them.
    pub(super) fn keep(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.kept.extend_from_slice(part));
        self.kept_since.get_or_insert_with(Instant::now);
    }

    /// Sends the rest, as far as there is room before patience ends.
    pub(super) fn flush(&mut self, patience: Patience) -> Result<(), Halt> {
        while self.has_rest() {
            let bytes = self.write(&[IoSlice::new(&self.kept[self.written..])], patience)?;
            self.written += bytes;
            self.kept_since = Some(Instant::now());
            if self.written == self.kept.len() {
                self.kept.clear();
                (self.written, self.kept_since) = (0, None);
            }
        }
        Ok(())
    }

    /// Sends messages, of which `parts` are the bytes. There must be no rest. An error: the kernel has taken nothing, or it does not matter any more
    /// what it has taken. `taken` is how much that is.
    pub(super) fn post(&mut self, parts: &[&[u8]], patience: Patience, taken: &mut usize) -> Result<Posted, Halt> {
        self.ask_first(patience)?;
        let mut slices = [IoSlice::new(&[]); 3];
        parts.iter().zip(&mut slices).for_each(|(part, slice)| *slice = IoSlice::new(part));
        let mut left = &mut slices[..parts.len()];
        *taken = 0;
        loop {
            match self.write(left, patience) {
                Ok(bytes) => {
                    *taken += bytes;
                    IoSlice::advance_slices(&mut left, bytes);
                    if left.is_empty() {
                        return Ok(Posted::Whole);
                    }
                }
                Err(Halt::NotReady) if *taken > 0 => {
                    self.keep(parts);
                    self.written = *taken;
                    return Ok(Posted::Part);
                }
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Sends packets, as many as possible with each system call, and waits as long as it takes. `sent` counts them.
    pub(super) fn post_packets<'a>(
        &mut self,
        packets: impl Iterator<Item = [&'a [u8]; 2]>,
        sent: &mut usize,
    ) -> Result<(), Halt> {
        let slices: Vec<_> = packets.map(|packet| packet.map(IoSlice::new)).collect();
        let mut left = &slices[..];
        while !left.is_empty() {
            let now = &left[..left.len().min(PACKETS)];
            let mut controls: Vec<_> = now.iter().map(|_| SendAncillaryBuffer::default()).collect();
            let mut headers: Vec<_> =
                now.iter().zip(&mut controls).map(|(packet, control)| MMsgHdr::new(packet, control)).collect();
            match sendmmsg(&self.socket, &mut headers, SendFlags::NOSIGNAL) {
                Ok(count) => {
                    *sent += count;
                    left = &left[count..];
                }
                Err(errno) => halted(errno, STEP)?,
            }
        }
        Ok(())
    }

    fn ask_first(&mut self, patience: Patience) -> Result<(), Halt> {
        let waits = patience == Patience::ENDLESS && !self.is_full;
        let flags = match self.ask {
            Ask::Nothing => return Ok(()),
            Ask::Room if waits => return Ok(()),
            Ask::RoomAndEnd if waits && !self.ration.is_due(LOOK) => return Ok(()),
            Ask::Room => PollFlags::OUT,
            Ask::RoomAndEnd => PollFlags::OUT | PollFlags::RDHUP,
        };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let mut fds = [PollFd::new(&self.socket, flags)];
            match poll(&mut fds, Some(&now)) {
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Halt::Fault(refused("asking whether there is room (poll)")(errno))),
                Ok(_) => {}
            }
            let ready = fds[0].revents();
            if ready.contains(PollFlags::RDHUP) {
                return Err(Halt::Disconnected);
            }
            self.is_full = !ready.intersects(PollFlags::OUT | PollFlags::HUP | PollFlags::ERR);
            if waits || !self.is_full {
                return Ok(());
            }
            let Patience::Until(deadline) = patience else { return Err(Halt::NotReady) };
            if until_ready(&self.socket, Interest::Writable, deadline).map_err(Halt::Fault)? == Wake::TimedOut {
                return Err(Halt::NotReady);
            }
        }
    }

    /// At least one byte, in one system call if that needs no waiting.
    fn write(&self, parts: &[IoSlice<'_>], patience: Patience) -> Result<usize, Halt> {
        let waits = if patience == Patience::ENDLESS { SendFlags::empty() } else { SendFlags::DONTWAIT };
        loop {
            let sent = match parts {
                [only] => send(&self.socket, only, SendFlags::NOSIGNAL | waits),
                parts => sendmsg(&self.socket, parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL | waits),
            };
            match (sent, patience) {
                (Ok(bytes), _) => return Ok(bytes),
                (Err(Errno::AGAIN), Patience::None) => return Err(Halt::NotReady),
                (Err(Errno::AGAIN), Patience::Until(deadline)) => {
                    match until_ready(&self.socket, Interest::Writable, deadline).map_err(Halt::Fault)? {
                        Wake::Ready => {}
                        Wake::TimedOut => return Err(Halt::NotReady),
                    }
                }
                // Its host does not answer any more.
                (Err(Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN), _) => {
                    return Err(Halt::Disconnected);
                }
                (Err(errno), _) => halted(errno, STEP)?,
            }
        }
    }
}
