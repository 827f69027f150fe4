//! What datagrams over Unix sockets and over UDP have in common.
//!
//! A receiver takes what has come, up to some dozens of packets, by one system call, and hands it out one by one: what waits in this process
//! would be lost with it in the kernel's queue, too, which is the socket's. A packet holds one frame; over Unix sockets, several that were sent together.

pub(crate) mod calls;
mod sources;

pub(crate) use sources::Way;

use crate::framing::{Frame, HEADER};
use crate::outlet::TOGETHER;
use crate::unix::{Peer, STRANGER};
use crate::wait::{Wake, refused, until_ready};
use calls::{Beside, Intake, Packet, send_many};
use ringshm_core::error::{
    RecvTimeoutError, Rejection, SendError, SendSliceError, SendTimeoutError, TryRecvError, TrySendError,
};
use ringshm_core::{Batch, Deadline, Interest};
use rustix::io::{Errno, IoSlice};
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use sources::{Sources, Verdict};
use std::os::fd::BorrowedFd;

/// Up to this length a message is copied behind its header; longer ones are gathered by the kernel, which costs it more to prepare.
pub(crate) const COPIED: usize = 4096;

/// What is sent through one socket.
#[derive(Debug)]
pub(crate) struct Outgoing {
    is_framed: bool,
    /// Bytes of the longest message.
    longest: usize,
    /// Bytes that a packet of several frames has at most. It is what makes batches cheap: one call for several packets (`sendmmsg`) saves little, because
    /// to describe a packet to the kernel costs about as much as to enter it.
    together: usize,
    /// Messages that were sent: the number of the next.
    sent: u64,
    /// Headers, and a message behind each.
    packet: Vec<u8>,
}

impl Outgoing {
    /// `room`: bytes of a packet of several frames, none if each goes alone.
    pub(crate) fn new(is_framed: bool, longest: usize, room: usize) -> Self {
        let together = if is_framed { room.min(TOGETHER) } else { 0 };
        Self { is_framed, longest, together, sent: 0, packet: Vec::new() }
    }

    pub(crate) fn is_framed(&self) -> bool {
        self.is_framed
    }

    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether a message is short enough.
    pub(crate) fn check(&self, message: &[u8]) -> Result<(), TooLong> {
        let (len, max) = (message.len(), self.longest);
        if len <= max { Ok(()) } else { Err(TooLong { len, max }) }
    }

    /// Sends a message, which is no longer than a packet can be. Without `waits`, [`Errno::AGAIN`] says that there is no room.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, message: &[u8], waits: bool) -> rustix::io::Result<()> {
        let flags = SendFlags::NOSIGNAL | if waits { SendFlags::empty() } else { SendFlags::DONTWAIT };
        let header = || Frame { len: message.len() as u32, number: Some(self.sent) }.header();
        if !self.is_framed {
            send(socket, message, flags)?;
        } else if message.len() <= COPIED {
            self.packet.clear();
            self.packet.extend_from_slice(&header());
            self.packet.extend_from_slice(message);
            send(socket, &self.packet, flags)?;
        } else {
            let header = header();
            let pieces = [IoSlice::new(&header), IoSlice::new(message)];
            sendmsg(socket, &pieces, &mut SendAncillaryBuffer::default(), flags)?;
        }
        self.sent += 1;
        Ok(())
    }

    /// Sends the first of some messages, by one call, and says how many.
    pub(crate) fn send_many(
        &mut self,
        socket: BorrowedFd<'_>,
        messages: &[&[u8]],
        waits: bool,
    ) -> rustix::io::Result<usize> {
        let together = self.stage_together(messages);
        let sent = if together > 1 {
            send(
                socket,
                &self.packet,
                SendFlags::NOSIGNAL | if waits { SendFlags::empty() } else { SendFlags::DONTWAIT },
            )?;
            together
        } else {
            let number = self.is_framed.then_some(self.sent);
            send_many(socket, messages, number, &mut self.packet, waits)?
        };
        self.sent += sent as u64;
        Ok(sent)
    }

    /// Puts the first messages into one packet, as many as go together, and says how many.
    fn stage_together(&mut self, messages: &[&[u8]]) -> usize {
        self.packet.clear();
        let mut count = 0;
        for (number, message) in (self.sent..).zip(messages) {
            if self.packet.len() + HEADER + message.len() > self.together {
                break;
            }
            self.packet.extend_from_slice(&Frame { len: message.len() as u32, number: Some(number) }.header());
            self.packet.extend_from_slice(message);
            count += 1;
        }
        count
    }
}

/// A message is longer than a packet can be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLong {
    pub(crate) len: usize,
    pub(crate) max: usize,
}

impl<T> From<TooLong> for TrySendError<T> {
    fn from(TooLong { len, max }: TooLong) -> Self {
        Self::TooLarge { len, max }
    }
}

impl<T> From<TooLong> for SendTimeoutError<T> {
    fn from(TooLong { len, max }: TooLong) -> Self {
        Self::TooLarge { len, max }
    }
}

/// Sends all `messages` by `send`, which sends the first of those that it is given, and says how many. What stands before one that is too
/// long is sent.
pub(crate) fn send_slice<S>(
    sender: &mut S,
    outgoing: impl Fn(&S) -> &Outgoing,
    messages: &[&[u8]],
    mut send: impl FnMut(&mut S, &[&[u8]]) -> Result<usize, SendTimeoutError<()>>,
) -> Result<(), SendSliceError> {
    let check = |message: &&[u8]| outgoing(sender).check(message).err();
    let bad = messages.iter().map(check).enumerate().find_map(|(at, error)| Some((at, error?)));
    let mut sent = 0;
    let mut rest = bad.map_or(messages, |(at, _)| &messages[..at]);
    while !rest.is_empty() {
        let count = send(sender, rest).map_err(|error| SendSliceError { sent, cause: error.into() })?;
        sent += count;
        rest = &rest[count..];
    }
    match bad {
        None => Ok(()),
        Some((_, TooLong { len, max })) => Err(SendSliceError { sent, cause: SendError::TooLarge { len, max } }),
    }
}

/// What has come through one socket.
pub(crate) struct Incoming {
    intake: Intake,
    sources: Sources,
    is_framed: bool,
    /// Bytes of the longest message.
    longest: usize,
    /// Where the next frame of the first packet begins.
    begin: usize,
    /// The only user who may send, where the kernel says who did.
    user: Option<u32>,
    /// How many packets had found no room, when it was last told.
    overflows: u32,
}

/// What comes next in a packet.
enum Found {
    /// A message, from that byte of the packet on, up to where the next one begins.
    Message(usize),
    Rejected(Rejection),
    Lagged(u64),
    /// Nothing to speak of.
    Late,
}

impl Incoming {
    /// `longest`: of a message. `user`: who alone may send, if the socket has been told to say who does.
    pub(crate) fn new(is_framed: bool, longest: usize, way: Way, user: Option<u32>) -> Self {
        let beside = match user {
            None if way == Way::Straight => Beside::Nothing,
            Some(_) => Beside::Credentials,
            None if is_framed => Beside::Nothing,
            None => Beside::Overflows,
        };
        let room = match way {
            _ if !is_framed => longest,
            Way::Straight => (HEADER + longest).max(TOGETHER),
            Way::Winding => HEADER + longest,
        };
        let intake = Intake::new(room, beside);
        Self { intake, sources: Sources::new(way), is_framed, longest, begin: 0, user, overflows: 0 }
    }

    pub(crate) fn is_framed(&self) -> bool {
        self.is_framed
    }

    /// Whether something waits in this process.
    pub(crate) fn has_more(&self) -> bool {
        !self.intake.is_empty()
    }

    pub(crate) fn position(&self) -> Option<u64> {
        self.sources.position()
    }

    pub(crate) fn try_recv(&mut self, socket: BorrowedFd<'_>, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        loop {
            while !self.intake.is_empty() {
                if let Some(received) = self.take(|message| replace(into, message)) {
                    return received;
                }
            }
            self.fill(socket, false, false)?;
        }
    }

    pub(crate) fn recv_by(
        &mut self,
        socket: BorrowedFd<'_>,
        into: &mut Vec<u8>,
        deadline: Deadline,
    ) -> Result<usize, RecvTimeoutError> {
        loop {
            while !self.intake.is_empty() {
                if let Some(received) = self.take(|message| replace(into, message)) {
                    return received.map_err(lasting);
                }
            }
            self.fill_by(socket, deadline, false)?;
        }
    }

    pub(crate) fn recv_batch_by(
        &mut self,
        socket: BorrowedFd<'_>,
        batch: &mut Batch,
        most: usize,
        deadline: Deadline,
    ) -> Result<usize, RecvTimeoutError> {
        batch.resume()?;
        let mut count = 0;
        while count < most {
            if self.intake.is_empty() {
                if count == 0 {
                    self.fill_by(socket, deadline, true)?;
                } else if self.fill(socket, false, true).is_err() {
                    // Whatever it is, the next call finds it, too.
                    break;
                }
            }
            match self.take(|message| batch.push(message)) {
                Some(Ok(_)) => count += 1,
                None => {}
                Some(Err(error)) if count == 0 => return Err(lasting(error)),
                Some(Err(error)) => {
                    batch.postpone(error.into_lasting());
                    break;
                }
            }
        }
        Ok(count)
    }

    fn fill_by(&mut self, socket: BorrowedFd<'_>, deadline: Deadline, many: bool) -> Result<(), RecvTimeoutError> {
        let forever = deadline.remaining().is_none();
        loop {
            match self.fill(socket, forever, many) {
                Ok(()) => return Ok(()),
                Err(TryRecvError::Empty) => {}
                Err(error) => return Err(lasting(error)),
            }
            match until_ready(socket, Interest::Readable, deadline) {
                Ok(Wake::Ready) => {}
                Ok(Wake::TimedOut) => return Err(RecvTimeoutError::Timeout),
                Err(fault) => return Err(RecvTimeoutError::Fault(fault)),
            }
        }
    }

    fn fill(&mut self, socket: BorrowedFd<'_>, waits: bool, many: bool) -> Result<(), TryRecvError> {
        loop {
            match self.intake.fill(socket, waits, many) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(TryRecvError::Empty),
                Err(errno) => return Err(TryRecvError::Fault(refused("receiving a datagram (recvmmsg)")(errno))),
            }
        }
    }

    /// Hands out the next message of the packets that were taken, if there is one and it is worth it, and returns its length.
    fn take(&mut self, hand_out: impl FnOnce(&[u8])) -> Option<Result<usize, TryRecvError>> {
        let Self { intake, sources, is_framed, longest, begin, user, overflows } = self;
        let packet = intake.first()?;
        let (found, end) = examine(&packet, *begin, *is_framed, *longest, *user, sources, overflows);
        let found = match found {
            Found::Lagged(count) => return Some(Err(TryRecvError::Lagged(count))),
            Found::Rejected(rejection) => Some(Err(TryRecvError::Rejected(rejection))),
            Found::Late => None,
            Found::Message(begin) => {
                let message = &packet.bytes[begin..end];
                hand_out(message);
                Some(Ok(message.len()))
            }
        };
        if end < packet.bytes.len() {
            *begin = end;
        } else {
            *begin = 0;
            intake.advance();
        }
        found
    }
}

/// Looks at what begins there in a packet, and says where it ends.
fn examine(
    packet: &Packet<'_>,
    begin: usize,
    is_framed: bool,
    longest: usize,
    user: Option<u32>,
    sources: &mut Sources,
    overflows: &mut u32,
) -> (Found, usize) {
    let whole = packet.bytes.len();
    let peer = user.and_then(|_| packet.credentials()).map(|credentials| Peer::new(&credentials));
    let rejected = |reason| Found::Rejected(peer.map_or(Rejection::new(reason), |peer| peer.rejected(reason)));
    if user.is_some() && user != peer.map(|peer| peer.uid) {
        return (rejected(STRANGER), whole);
    }
    if !is_framed {
        let missed = packet.overflows().map_or(0, |now| now.wrapping_sub(*overflows));
        if missed > 0 {
            *overflows = overflows.wrapping_add(missed);
            return (Found::Lagged(missed.into()), whole);
        }
        return (if packet.is_cut { rejected(TOO_LONG) } else { Found::Message(0) }, whole);
    }
    let header = packet.bytes[begin..].split_first_chunk::<HEADER>();
    let Some((frame, rest)) = header.and_then(|(header, rest)| Some((Frame::parse(header)?, rest))) else {
        return (rejected("it does not begin with a frame's header: foreign programs need framing=bare"), whole);
    };
    let len = frame.len as usize;
    let end = if len <= rest.len() { begin + HEADER + len } else { whole };
    if len > rest.len() && !packet.is_cut {
        return (rejected("it is not as long as its header says"), whole);
    }
    if let Some(number) = frame.number {
        // A name may be given to another process when its process is gone.
        let pid = peer.and_then(|peer| peer.pid).unwrap_or(0).to_ne_bytes();
        let mut key = [0; size_of::<u32>() + calls::NAME];
        let verdict = if user.is_some() {
            let len = pid.len() + packet.from.len();
            key[..pid.len()].copy_from_slice(&pid);
            key[pid.len()..len].copy_from_slice(packet.from);
            sources.judge(&key[..len], number)
        } else {
            sources.judge(packet.from, number)
        };
        match verdict {
            Verdict::Next => {}
            Verdict::After(missed) => return (Found::Lagged(missed), end),
            Verdict::Late => return (Found::Late, end),
        }
    }
    let is_too_long = len > rest.len().min(longest);
    (if is_too_long { rejected(TOO_LONG) } else { Found::Message(begin + HEADER) }, end)
}

const TOO_LONG: &str = "it is longer than this receiver was opened for (option max_message)";

fn replace(into: &mut Vec<u8>, message: &[u8]) {
    into.clear();
    into.extend_from_slice(message);
}

/// Of a call that waited: that there is nothing is not said by it.
fn lasting(error: TryRecvError) -> RecvTimeoutError {
    error.into_lasting().unwrap_or(RecvTimeoutError::Timeout)
}
