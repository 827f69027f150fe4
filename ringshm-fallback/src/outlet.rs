//! Framed records on their way into a stream of bytes.
//!
//! A message is in the stream as a whole, or not at all, or its sender is dead. So a message of which the stream took a part before patience ended
//! counts as sent: its rest waits here, and goes before anything else.
//!
//! A stream that several senders share one after the other, such as a FIFO's, may break off in the middle of a frame and go on with the next sender's
//! first. It has a length up to which the kernel takes a write as a whole or not at all. No write of several frames is longer, and a
//! frame that is longer has a seal behind it: its header once more, with all bits inverted. A receiver that finds none there knows that it
//! has read somebody else's frames for payload. So that it need not wait for as many of them as were to come, a sender says who it is before its first
//! frame: a [`beginning`] with a number that no other sender has, and that is seen elsewhere to be that of the live one.

use crate::framing::{Frame, Framing, HEADER};
use crate::link::{Halt, Patience, Sink, Unsent};
use ringshm_core::error::SendSliceError;
use std::io::IoSlice;

/// Up to this length a message is copied behind its header: that costs less than a second part of a write.
pub(crate) const COPIED: usize = 8 << 10;
/// Messages that go together take at most so many bytes, where the stream sets no limit.
pub(crate) const TOGETHER: usize = 64 << 10;

/// What stands behind a frame that is too long for the kernel to take it as a whole.
pub(crate) fn seal(header: [u8; HEADER]) -> [u8; HEADER] {
    header.map(|byte| !byte)
}

/// What a sender that takes over a stream writes before its first frame: as a seal would be, of a frame that there is not.
pub(crate) fn beginning(sender: u32) -> [u8; HEADER] {
    seal(Frame { len: sender, number: Some(u64::from(sender)) }.header())
}

/// Whether a sender begins there.
pub(crate) fn is_beginning(bytes: &[u8; HEADER]) -> bool {
    Frame::parse(&seal(*bytes)).is_some_and(|frame| frame.number == Some(u64::from(frame.len)))
}

/// Whether a frame with a record of that length has a seal.
pub(crate) fn is_sealed(framing: Framing, len: usize, whole_up_to: Option<usize>) -> bool {
    framing == Framing::Frames && whole_up_to.is_some_and(|limit| HEADER + len > limit)
}

/// How records go into a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// What is added to them.
    pub(crate) framing: Framing,
    /// Whether frames have numbers: only where one sender at a time writes into the stream.
    pub(crate) numbered: bool,
    /// The longest record.
    pub(crate) longest: usize,
    /// The longest write that the kernel takes as a whole or not at all, of a stream that one sender takes over from another. `None`: a stream
    /// has one sender, and ends with it.
    pub(crate) whole_up_to: Option<usize>,
    /// Whether each write is a packet.
    pub(crate) packets: bool,
}

impl Form {
    /// Whether a message can be sent at all.
    pub(crate) fn check(&self, message: &[u8]) -> Result<(), Unsent> {
        if message.len() > self.longest {
            return Err(Unsent::TooLarge { len: message.len(), max: self.longest });
        }
        match self.framing {
            Framing::Lines if memchr::memchr(b'\n', message).is_some() => Err(Unsent::Unsupported {
                reason: "a message with a newline in it would arrive as two lines: send it without, or open both sides with another framing",
            }),
            Framing::Raw(_) | Framing::Bare if message.is_empty() => Err(Unsent::Unsupported {
                reason: "an empty message leaves no trace where nothing is added to messages: open both sides with another framing",
            }),
            _ => Ok(()),
        }
    }

    /// What stands before a record, and how long it is.
    pub(crate) fn header(&self, len: usize, number: u64) -> ([u8; HEADER], usize) {
        // Nothing is sent that is longer than `longest`, which is a `u32` where a length is written down.
        let len = len as u32;
        let mut header = [0; HEADER];
        match self.framing {
            Framing::Frames => header = Frame { len, number: self.numbered.then_some(number) }.header(),
            Framing::Len32 => header[..4].copy_from_slice(&len.to_le_bytes()),
            Framing::Lines | Framing::Raw(_) | Framing::Bare => {}
        }
        (header, self.framing.prefix())
    }

    /// Appends a record, and what is added to it.
    pub(crate) fn stage(&self, message: &[u8], number: u64, into: &mut Vec<u8>) {
        let (header, prefix) = self.header(message.len(), number);
        into.extend_from_slice(&header[..prefix]);
        into.extend_from_slice(message);
        if self.framing == Framing::Lines {
            into.push(b'\n');
        } else if is_sealed(self.framing, message.len(), self.whole_up_to) {
            into.extend_from_slice(&seal(header));
        }
    }
}

/// The sending end of a stream.
#[derive(Debug)]
pub(crate) struct Outlet {
    form: Form,
    /// The number of the next record.
    number: u64,
    /// Frames that are being written, or the rest of one of which the stream has a part.
    staged: Vec<u8>,
    /// Where each of the frames that go together ends in `staged`.
    ends: Vec<usize>,
}

impl Outlet {
    pub(crate) fn new(form: Form) -> Self {
        Self { form, number: 0, staged: Vec::new(), ends: Vec::new() }
    }

    /// One that takes over a stream from others: `sender` is a number that none of them has.
    pub(crate) fn taking_over(form: Form, sender: u32) -> Self {
        Self { staged: beginning(sender).to_vec(), ..Self::new(form) }
    }

    /// Whether anything was sent.
    pub(crate) fn has_sent(&self) -> bool {
        self.number > 0
    }

    /// Whether a part of a message waits for room.
    #[cfg(test)]
    pub(crate) fn has_rest(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Sends one record.
    pub(crate) fn send(&mut self, message: &[u8], patience: Patience, sink: &mut impl Sink) -> Result<(), Unsent> {
        self.form.check(message)?;
        self.flush(patience, sink)?;
        let written = if message.len() <= COPIED {
            self.form.stage(message, self.number, &mut self.staged);
            let staged = core::mem::take(&mut self.staged);
            let written = self.write(&mut [IoSlice::new(&staged)], patience, sink).1;
            // Its memory is used again, unless a rest has taken its place.
            if self.staged.is_empty() {
                self.staged = staged;
                self.staged.clear();
            }
            written
        } else {
            let (header, prefix) = self.form.header(message.len(), self.number);
            let mut seal = seal(header);
            let tail: &[u8] = match self.form.framing {
                Framing::Lines => {
                    seal[0] = b'\n';
                    &seal[..1]
                }
                framing if is_sealed(framing, message.len(), self.form.whole_up_to) => &seal,
                _ => &[],
            };
            let parts = &mut [IoSlice::new(&header[..prefix]), IoSlice::new(message), IoSlice::new(tail)];
            self.write(parts, patience, sink).1
        };
        written?;
        self.number += 1;
        Ok(())
    }

    /// Sends all records, many with one write, and waits as long as it takes.
    pub(crate) fn send_slice(&mut self, messages: &[&[u8]], sink: &mut impl Sink) -> Result<(), SendSliceError> {
        let mut sent = 0;
        let stopped = |sent, unsent: Unsent| SendSliceError { sent, cause: unsent.into() };
        while let Some(left) = messages.get(sent..).filter(|left| !left.is_empty()) {
            self.flush(Patience::ENDLESS, sink).map_err(|halt| stopped(sent, halt.into()))?;
            if !self.stage_together(left) {
                self.send(left[0], Patience::ENDLESS, sink).map_err(|unsent| stopped(sent, unsent))?;
                sent += 1;
                continue;
            }
            let staged = core::mem::take(&mut self.staged);
            let (bytes, written) = self.write(&mut [IoSlice::new(&staged)], Patience::ENDLESS, sink);
            self.staged = staged;
            self.staged.clear();
            let whole = self.ends.iter().take_while(|end| **end <= bytes).count();
            sent += whole;
            self.number += whole as u64;
            written.map_err(|halt| stopped(sent, halt.into()))?;
        }
        Ok(())
    }

    /// Writes the rest of a message, if there is one.
    pub(crate) fn flush(&mut self, patience: Patience, sink: &mut impl Sink) -> Result<(), Halt> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let rest = core::mem::take(&mut self.staged);
        let (bytes, written) = self.write(&mut [IoSlice::new(&rest)], patience, sink);
        match written {
            Err(Halt::NotReady) => self.staged = rest,
            // A part of the rest: what is left of it is staged, and there is no room.
            Ok(()) if bytes < rest.len() => return Err(Halt::NotReady),
            _ => {}
        }
        written
    }

    /// Writes all of `parts`. If patience ends after the first byte, the rest is staged. Returns how many bytes were written, too.
    fn write(
        &mut self,
        mut parts: &mut [IoSlice<'_>],
        patience: Patience,
        sink: &mut impl Sink,
    ) -> (usize, Result<(), Halt>) {
        let mut written = 0;
        loop {
            match sink.write(parts, patience) {
                Ok(bytes) => {
                    written += bytes;
                    IoSlice::advance_slices(&mut parts, bytes);
                    if parts.is_empty() {
                        return (written, Ok(()));
                    }
                }
                Err(Halt::NotReady) if written > 0 => {
                    parts.iter().for_each(|part| self.staged.extend_from_slice(part));
                    return (written, Ok(()));
                }
                Err(halt) => return (written, Err(halt)),
            }
        }
    }

    /// Stages the first messages, as many as may go together. `false`: the first has to go alone, or not at all.
    fn stage_together(&mut self, messages: &[&[u8]]) -> bool {
        let limit = self.form.whole_up_to.unwrap_or(TOGETHER);
        self.ends.clear();
        if self.form.packets {
            return false;
        }
        for (number, message) in (self.number..).zip(messages) {
            let end = self.staged.len() + self.form.framing.overhead() + message.len();
            if end > limit || self.form.check(message).is_err() {
                break;
            }
            self.form.stage(message, number, &mut self.staged);
            self.ends.push(self.staged.len());
        }
        if self.ends.len() < 2 {
            self.staged.clear();
        }
        self.ends.len() >= 2
    }
}

/// A [`Sender`](ringshm_core::Sender) that is an `outlet` and what it writes into.
macro_rules! sends_through_outlet {
    ($handle:ty, $sink:ident) => {
        impl ringshm_core::Sender for $handle {
            fn try_send(&mut self, message: &[u8]) -> Result<(), ringshm_core::error::TrySendError<()>> {
                Ok(self.outlet.send(message, crate::link::Patience::None, &mut self.$sink)?)
            }

            fn send_by(
                &mut self,
                message: &[u8],
                deadline: ringshm_core::Deadline,
            ) -> Result<(), ringshm_core::error::SendTimeoutError<()>> {
                Ok(self.outlet.send(message, crate::link::Patience::Until(deadline), &mut self.$sink)?)
            }

            fn send_slice(&mut self, messages: &[&[u8]]) -> Result<(), ringshm_core::error::SendSliceError> {
                self.outlet.send_slice(messages, &mut self.$sink)
            }
        }
    };
}
pub(crate) use sends_through_outlet;
