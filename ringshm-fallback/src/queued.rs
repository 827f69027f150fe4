//! Messages in the kernel's queues, POSIX and System V: what is sent in one call is received in one call, by any of those who receive, so a packet holds a
//! message and nothing of another.

use crate::framing::{Frame, Framing, HEADER};
use ringshm_core::error::{Rejection, TryRecvError};

/// Puts messages into packets.
#[derive(Debug)]
pub(crate) struct Packing {
    framing: Framing,
    /// The number of the next message, if this is the only sender.
    number: Option<u64>,
    packet: Vec<u8>,
}

impl Packing {
    /// With numbers, if this is the only sender.
    pub(crate) fn new(framing: Framing, numbered: bool) -> Self {
        Self { framing, number: numbered.then_some(0), packet: Vec::new() }
    }

    /// The packet of a message.
    pub(crate) fn pack<'a>(&'a mut self, message: &'a [u8]) -> &'a [u8] {
        if self.framing != Framing::Frames {
            return message;
        }
        let header = self.header(message);
        self.packet.clear();
        self.packet.extend_from_slice(&header);
        self.packet.extend_from_slice(message);
        &self.packet
    }

    /// Writes the packet of a message to where there is room for it, and returns its length.
    pub(crate) fn pack_into(&self, message: &[u8], room: &mut [u8]) -> usize {
        let mut begin = 0;
        if self.framing == Framing::Frames {
            room[..HEADER].copy_from_slice(&self.header(message));
            begin = HEADER;
        }
        room[begin..][..message.len()].copy_from_slice(message);
        begin + message.len()
    }

    fn header(&self, message: &[u8]) -> [u8; HEADER] {
        let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
        Frame { len, number: self.number }.header()
    }

    /// The packet that was made last is on its way.
    pub(crate) fn was_sent(&mut self) {
        self.number = self.number.map(|number| number + 1);
    }
}

/// Takes messages out of packets, and counts what is missing between them.
#[derive(Debug)]
pub(crate) struct Unpacking {
    framing: Framing,
    /// Whether this receiver is the only one, and so misses what does not come.
    counts: bool,
    /// The number of the next message.
    next: Option<u64>,
    /// A message that is handed out after it was said what got lost before it.
    held: Option<Vec<u8>>,
}

impl Unpacking {
    /// For the only receiver, if it is to count.
    pub(crate) fn new(framing: Framing, counts: bool) -> Self {
        Self { framing, counts, next: None, held: None }
    }

    /// The number of the next message, if they are numbered and one came.
    pub(crate) fn position(&self) -> Option<u64> {
        // What is held was counted when it came.
        self.next.map(|next| next - u64::from(self.held.is_some()))
    }

    /// Whether [`take_held`](Self::take_held) has something.
    pub(crate) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// The message before which something got lost.
    pub(crate) fn take_held(&mut self, into: &mut Vec<u8>) -> Option<usize> {
        *into = self.held.take()?;
        Some(into.len())
    }

    /// The message in a packet.
    pub(crate) fn unpack(&mut self, packet: &[u8], into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        let (payload, number) = match self.framing {
            Framing::Frames => frame(packet).map_err(TryRecvError::Rejected)?,
            _ => (packet, None),
        };
        into.clear();
        into.extend_from_slice(payload);
        match number {
            Some(number) if self.counts => self.count(number, into)?,
            _ => {}
        }
        Ok(into.len())
    }

    fn count(&mut self, number: u64, message: &mut Vec<u8>) -> Result<(), TryRecvError> {
        // A number that was there before begins the stream of another sender.
        let missed = self.next.map_or(0, |next| number.saturating_sub(next));
        self.next = Some(number.saturating_add(1));
        if missed == 0 {
            return Ok(());
        }
        self.held = Some(core::mem::take(message));
        Err(TryRecvError::Lagged(missed))
    }
}

/// A frame that fills its packet.
fn frame(packet: &[u8]) -> Result<(&[u8], Option<u64>), Rejection> {
    let no_frame =
        Rejection::new("it is no frame of ringshm's: another program uses the queue, or this side needs framing=bare");
    let (header, payload) = packet.split_first_chunk::<HEADER>().ok_or(no_frame)?;
    let Frame { len, number } = Frame::parse(header).ok_or(no_frame)?;
    if usize::try_from(len).ok() != Some(payload.len()) {
        return Err(Rejection::new("its frame has another length than its packet"));
    }
    Ok((payload, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_once_before_the_message_behind_it() {
        let (mut packing, mut unpacking) = (Packing::new(Framing::Frames, true), Unpacking::new(Framing::Frames, true));
        let mut packets: Vec<Vec<u8>> = Vec::new();
        for n in 0..6_u8 {
            packets.push(packing.pack(&[n]).to_vec());
            packing.was_sent();
        }
        let mut message = Vec::new();
        // Who comes to a stream that others have read does not miss what they received.
        assert_eq!(unpacking.position(), None);
        assert_eq!(unpacking.unpack(&packets[1], &mut message), Ok(1));
        assert_eq!((message[0], unpacking.position()), (1, Some(2)));
        assert_eq!(unpacking.unpack(&packets[5], &mut message), Err(TryRecvError::Lagged(3)));
        assert_eq!(unpacking.position(), Some(5));
        assert_eq!(unpacking.take_held(&mut message), Some(1));
        assert_eq!((message[0], unpacking.position()), (5, Some(6)));
        // The next sender begins anew.
        assert_eq!(unpacking.unpack(&packets[0], &mut message), Ok(1));
        assert_eq!(unpacking.position(), Some(1));
    }

    #[test]
    fn what_is_no_frame_is_rejected() {
        let mut packing = Packing::new(Framing::Frames, false);
        let packet = packing.pack(b"message").to_vec();
        let mut message = Vec::new();
        let mut unpacking = Unpacking::new(Framing::Frames, false);
        for len in (0..packet.len()).chain([packet.len() + 1]) {
            let mut other = packet.clone();
            other.resize(len, 0);
            assert!(matches!(unpacking.unpack(&other, &mut message), Err(TryRecvError::Rejected(_))), "{len} bytes");
        }
        assert_eq!(unpacking.unpack(&packet, &mut message), Ok(7));
    }
}
