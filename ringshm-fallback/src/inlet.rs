//! Messages out of a stream of bytes: cut where they lie, counted by their numbers, and what is none thrown away.
//!
//! What is thrown away is told once, as [`Rejection`]; then the stream is searched for the next thing that can be a message. A mechanism that would
//! rather close the connection does so when it is told.

use crate::framing::{Cut, Frame, Framing, HEADER};
use crate::link::{Halt, Patience, Source, Unreceived};
use crate::outlet::{is_beginning, is_sealed, seal};
use crate::stream::Stream;
use core::time::Duration;
use ringshm_core::Batch;
use ringshm_core::error::{RecvTimeoutError, Rejection};

const GARBAGE: Rejection = Rejection::new(
    "no frame of ringshm's began there: somebody else wrote, or this receiver came in the middle of a frame",
);
const HALF: Rejection = Rejection::new("half a message, whose sender died or left");
const TOO_LONG: Rejection =
    Rejection::new("a message longer than this side takes: open both sides with the same max_message");

/// Bytes that are asked for at once, unless a message has more.
const AHEAD: usize = 16 << 10;

/// How long nothing may come in the middle of a long message before it is asked whether anything will.
const STALL: Duration = Duration::from_millis(20);

/// What is being thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Discard {
    Nothing,
    /// So many bytes.
    Bytes(usize),
    /// Up to the end of a line.
    Line,
    /// Up to the next header.
    Garbage,
}

/// A message that lies at the front of the stream.
struct Found {
    len: usize,
    /// Bytes of the stream up to its end.
    span: usize,
}

/// Why there is none.
enum Step {
    /// More must be read, `len` bytes at least for a message; the first `searched` bytes of what there is need not be looked at again.
    More {
        searched: usize,
        len: usize,
    },
    /// The stream has ended.
    End,
    Stopped(Unreceived),
}

/// The receiving end of a stream.
#[derive(Debug)]
pub(crate) struct Inlet {
    stream: Stream,
    framing: Framing,
    longest: usize,
    whole_up_to: Option<usize>,
    packets: bool,
    /// The number of the next message, if the last one had one.
    next: Option<u64>,
    discard: Discard,
}

impl Inlet {
    /// One that has received nothing. Of `whole_up_to` and `packets`, see [`Form`](crate::outlet::Form).
    pub(crate) fn new(framing: Framing, longest: usize, whole_up_to: Option<usize>, packets: bool) -> Self {
        let stream = Stream::new(framing);
        Self { stream, framing, longest, whole_up_to, packets, next: None, discard: Discard::Nothing }
    }

    /// Takes up where another stream of the same sender ended: what is missing in between is counted.
    pub(crate) fn expect(&mut self, next: Option<u64>) {
        self.next = next;
    }

    /// The number of the next message: see [`Receiver::position`](ringshm_core::Receiver::position).
    pub(crate) fn position(&self) -> Option<u64> {
        self.next
    }

    /// Whether there is a message, or something to be told, that needs no reading.
    pub(crate) fn has_more(&self) -> bool {
        self.discard == Discard::Nothing && !matches!(self.stream.look(0), Cut::Part { .. } | Cut::End)
    }

    /// Receives one message, replacing what `into` held, and returns its length.
    pub(crate) fn recv(
        &mut self,
        into: &mut Vec<u8>,
        patience: Patience,
        source: &mut impl Source,
    ) -> Result<usize, Unreceived> {
        let found = self.receive(patience, source)?;
        into.clear();
        into.extend_from_slice(self.payload(&found));
        self.stream.take(found.span);
        Ok(found.len)
    }

    /// Receives what is there, up to `most` messages, with at most one reading that finds something: see
    /// [`Receiver::recv_batch_by`](ringshm_core::Receiver::recv_batch_by).
    pub(crate) fn recv_batch(
        &mut self,
        batch: &mut Batch,
        most: usize,
        patience: Patience,
        source: &mut impl Source,
    ) -> Result<usize, RecvTimeoutError> {
        batch.resume()?;
        let mut found = self.receive(patience, source)?;
        let mut count = 0;
        loop {
            batch.push(self.payload(&found));
            self.stream.take(found.span);
            count += 1;
            if count >= most {
                return Ok(count);
            }
            found = match self.step() {
                Ok(found) => found,
                Err(Step::Stopped(unreceived)) => {
                    batch.postpone(Some(unreceived.into()));
                    return Ok(count);
                }
                Err(Step::More { .. } | Step::End) => return Ok(count),
            };
        }
    }

    fn payload(&self, found: &Found) -> &[u8] {
        let prefix = self.framing.prefix();
        &self.stream.bytes()[prefix..prefix + found.len]
    }

    /// Reads until there is a message. An end is not for good: a stream that has ended is asked again by the next call.
    fn receive(&mut self, patience: Patience, source: &mut impl Source) -> Result<Found, Unreceived> {
        let mut has_read = false;
        loop {
            let (searched, len) = match self.step() {
                Ok(found) => return Ok(found),
                Err(Step::Stopped(unreceived)) => return Err(unreceived),
                Err(Step::End) if has_read => return Err(Halt::Disconnected.into()),
                Err(Step::End) => (0, 0),
                Err(Step::More { searched, len }) => (searched, len),
            };
            // The rest of a long message of a sender that died may never come.
            let may_stall = self.discard == Discard::Nothing && is_sealed(self.framing, len, self.whole_up_to);
            let patience_now = match patience {
                Patience::Until(deadline) if may_stall => Patience::Until(deadline.at_most(STALL)),
                patience => patience,
            };
            let whole = self.packets;
            let filled = self.stream.fill(searched, |room| {
                // What a packet has beyond what is asked for is lost.
                let most = if whole { room.len() } else { AHEAD.max(len).min(room.len()) };
                source.read(&mut room[..most], patience_now)
            });
            match filled {
                Err(Halt::NotReady) if may_stall => {
                    if source.has_lost(self.stream.bytes()) {
                        self.stream.take(HEADER);
                        self.discard = Discard::Garbage;
                        return Err(Unreceived::Rejected(HALF));
                    }
                    if matches!(patience, Patience::Until(deadline) if !deadline.is_over()) {
                        continue;
                    }
                    return Err(Halt::NotReady.into());
                }
                filled => filled?,
            }
            has_read = true;
        }
    }

    /// Looks at what was read.
    fn step(&mut self) -> Result<Found, Step> {
        if !self.has_discarded() {
            return Err(Step::More { searched: 0, len: 0 });
        }
        let mut cut = self.stream.look(0);
        while cut == Cut::Malformed && self.begins() {
            self.stream.take(HEADER);
            // Another sender, which counts from 0.
            self.next = self.next.map(|_| 0);
            cut = self.stream.look(0);
        }
        match cut {
            Cut::Record { payload, span, number } => {
                let len = payload.len();
                if len > self.longest {
                    self.next = number.map(|number| number + 1);
                    return self.reject(TOO_LONG, Discard::Bytes(span));
                }
                let span = span + self.seal_behind(len, span)?;
                self.count(number)?;
                Ok(Found { len, span })
            }
            Cut::Part { .. } if self.packets && !self.stream.is_empty() => {
                self.reject(HALF, Discard::Bytes(self.stream.len()))
            }
            Cut::Part { len, .. } if len > self.longest => {
                if self.framing == Framing::Lines {
                    return self.reject(TOO_LONG, Discard::Line);
                }
                let header = self.stream.bytes().first_chunk().and_then(Frame::parse);
                self.next = header.and_then(|frame| frame.number).map(|number| number + 1);
                let seal = if is_sealed(self.framing, len, self.whole_up_to) { HEADER } else { 0 };
                self.reject(TOO_LONG, Discard::Bytes(self.framing.prefix() + len + seal))
            }
            Cut::Part { searched, len } => Err(Step::More { searched, len }),
            Cut::Truncated { .. } => self.reject(HALF, Discard::Bytes(self.stream.len())),
            Cut::Malformed if self.packets => self.reject(GARBAGE, Discard::Bytes(self.stream.len())),
            Cut::Malformed => self.reject(GARBAGE, Discard::Garbage),
            Cut::End => Err(Step::End),
        }
    }

    /// Whether another sender begins here, which is to be passed over.
    fn begins(&self) -> bool {
        self.whole_up_to.is_some() && self.stream.bytes().first_chunk().is_some_and(is_beginning)
    }

    /// The length of the seal behind a frame of `span` bytes, if it is to have one.
    fn seal_behind(&mut self, len: usize, span: usize) -> Result<usize, Step> {
        if !is_sealed(self.framing, len, self.whole_up_to) {
            return Ok(0);
        }
        let stream = self.stream.bytes();
        match (stream.first_chunk(), stream[span..].first_chunk::<HEADER>()) {
            (Some(header), Some(found)) if *found == seal(*header) => Ok(HEADER),
            (_, None) if !self.stream.is_at_end() => Err(Step::More { searched: 0, len: 0 }),
            // Somebody else's frames may lie in what was taken for payload.
            _ => {
                self.stream.take(HEADER);
                self.reject(HALF, Discard::Garbage)
            }
        }
    }

    /// Counts what is missing before the record `number`, once.
    fn count(&mut self, number: Option<u64>) -> Result<(), Step> {
        let lost = match (number, self.next) {
            (Some(number), Some(next)) if number >= next => number - next,
            // Another sender, which counts from 0.
            (Some(number), Some(_)) => number,
            _ => 0,
        };
        self.next = number;
        if lost > 0 {
            return Err(Step::Stopped(Unreceived::Lagged(lost)));
        }
        self.next = number.map(|number| number + 1);
        Ok(())
    }

    fn reject<T>(&mut self, rejection: Rejection, discard: Discard) -> Result<T, Step> {
        self.discard = discard;
        Err(Step::Stopped(Unreceived::Rejected(rejection)))
    }

    /// Throws away what is to be thrown away of what was read. `false`: there is more of it to come.
    fn has_discarded(&mut self) -> bool {
        let (len, is_at_end) = (self.stream.len(), self.stream.is_at_end());
        let (bytes, left) = match self.discard {
            Discard::Nothing => return true,
            Discard::Bytes(bytes) if bytes > len => (len, Discard::Bytes(bytes - len)),
            Discard::Bytes(bytes) => (bytes, Discard::Nothing),
            Discard::Line => match memchr::memchr(b'\n', self.stream.bytes()) {
                Some(at) => (at + 1, Discard::Nothing),
                None => (len, Discard::Line),
            },
            Discard::Garbage => {
                let may_begin = |window: &[u8]| {
                    window.first_chunk().and_then(Frame::parse).is_some_and(|frame| frame.len as usize <= self.longest)
                };
                match self.stream.bytes().windows(HEADER).position(may_begin) {
                    Some(at) => (at, Discard::Nothing),
                    None if is_at_end => (len, Discard::Nothing),
                    None => (len.saturating_sub(HEADER - 1), Discard::Garbage),
                }
            }
        };
        self.stream.take(bytes);
        self.discard = if is_at_end { Discard::Nothing } else { left };
        self.discard == Discard::Nothing
    }
}

/// A [`Receiver`](ringshm_core::Receiver) that is an `inlet` and what it reads from.
macro_rules! receives_through_inlet {
    ($handle:ty, $source:ident) => {
        impl ringshm_core::Receiver for $handle {
            fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, ringshm_core::error::TryRecvError> {
                Ok(self.inlet.recv(into, crate::link::Patience::None, &mut self.$source)?)
            }

            fn recv_by(
                &mut self,
                into: &mut Vec<u8>,
                deadline: ringshm_core::Deadline,
            ) -> Result<usize, ringshm_core::error::RecvTimeoutError> {
                Ok(self.inlet.recv(into, crate::link::Patience::Until(deadline), &mut self.$source)?)
            }

            fn recv_batch_by(
                &mut self,
                batch: &mut ringshm_core::Batch,
                most: usize,
                deadline: ringshm_core::Deadline,
            ) -> Result<usize, ringshm_core::error::RecvTimeoutError> {
                self.inlet.recv_batch(batch, most, crate::link::Patience::Until(deadline), &mut self.$source)
            }

            fn position(&self) -> Option<u64> {
                self.inlet.position()
            }
        }
    };
}
pub(crate) use receives_through_inlet;

#[cfg(test)]
mod tests;
