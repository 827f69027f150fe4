//! Several packets in one system call: `recvmmsg`, `sendmmsg`.
//!
//! # Safety
//! The kernel is given pointers to memory that lives through the call: slots of one buffer, no two of which overlap, and arrays on the stack. It
//! writes what it got, and how much, into the headers; nothing is read from a slot beyond that.

#![allow(
    unsafe_code,
    reason = "recvmmsg, which rustix does not offer, and sendmmsg without a control buffer for each packet"
)]

use super::COPIED;
use crate::framing::{Frame, HEADER};
use core::mem::MaybeUninit;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The most packets that are taken or sent by one call.
pub(crate) const MOST: usize = 32;
/// Bytes for an address: a Unix one has up to 110.
pub(crate) const NAME: usize = 128;
/// Bytes for what comes beside a packet.
const CONTROL: usize = 32;
/// The most memory for packets. What no packet reached is never touched, and so costs nothing.
const BUFFER: usize = 8 << 20;

/// What the kernel is to tell beside a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing.
    Nothing,
    /// Who sent it (`SO_PASSCRED`).
    Credentials,
    /// How many packets found no room before it (`SO_RXQ_OVFL`).
    Overflows,
}

impl Beside {
    /// Exactly as many bytes as it takes: nothing else, such as descriptors that somebody sends along, finds room and has to be closed.
    fn room(self) -> usize {
        let bytes = match self {
            Self::Nothing => return 0,
            Self::Credentials => size_of::<libc::ucred>(),
            Self::Overflows => size_of::<u32>(),
        };
        // SAFETY: arithmetic.
        unsafe { libc::CMSG_SPACE(bytes as libc::c_uint) as usize }
    }
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// How much of a slot, its address and what comes beside it the kernel wrote.
#[derive(Clone, Copy, Default)]
struct Arrival {
    /// The packet's length, longer than the slot if it was cut off.
    len: usize,
    name: usize,
    control: usize,
}

/// A packet that was taken.
pub(crate) struct Packet<'a> {
    /// Its bytes, as far as there was room.
    pub(crate) bytes: &'a [u8],
    /// Whether it was longer.
    pub(crate) is_cut: bool,
    /// Its sender's address, as the kernel has it; empty if it has none.
    pub(crate) from: &'a [u8],
    control: &'a [u8],
}

impl Packet<'_> {
    /// What came beside it, of that level and type.
    fn beside<const N: usize>(&self, level: libc::c_int, kind: libc::c_int) -> Option<[u8; N]> {
        let (header, data) = self.control.split_at_checked(size_of::<libc::cmsghdr>())?;
        let word = |at: usize| header.get(at..at + 4).and_then(|word| Some(i32::from_ne_bytes(word.try_into().ok()?)));
        let is_it = word(core::mem::offset_of!(libc::cmsghdr, cmsg_level)) == Some(level)
            && word(core::mem::offset_of!(libc::cmsghdr, cmsg_type)) == Some(kind);
        data.get(..N).filter(|_| is_it)?.try_into().ok()
    }

    /// Who sent it.
    pub(crate) fn credentials(&self) -> Option<libc::ucred> {
        let bytes: [u8; size_of::<libc::ucred>()] = self.beside(libc::SOL_SOCKET, libc::SCM_CREDENTIALS)?;
        let word = |at: usize| bytes[at..at + 4].try_into().map(i32::from_ne_bytes).unwrap_or_default();
        Some(libc::ucred { pid: word(0), uid: word(4) as u32, gid: word(8) as u32 })
    }

    /// How many packets found no room in the socket, from its beginning to this packet; modulo 2^32.
    pub(crate) fn overflows(&self) -> Option<u32> {
        self.beside(libc::SOL_SOCKET, libc::SO_RXQ_OVFL).map(u32::from_ne_bytes)
    }
}

/// Packets that were taken from a socket together and are looked at one by one.
pub(crate) struct Intake {
    /// The slots, `stride` bytes each, of which `room` are used.
    buffer: Vec<u8>,
    stride: usize,
    room: usize,
    names: Box<[[u8; NAME]]>,
    controls: Box<[Control]>,
    arrivals: Box<[Arrival]>,
    beside: Beside,
    /// The packets that were not looked at yet.
    pending: core::ops::Range<usize>,
    /// How many to ask for next: as many as come. So whoever gets one at a time never asks for another in vain, twice in a row.
    ask: usize,
}

impl Intake {
    /// One for packets of up to `room` bytes.
    pub(crate) fn new(room: usize, beside: Beside) -> Self {
        // Slots that began on multiples of a large power of two would all compete for the same lines of the cache.
        let stride = room.next_multiple_of(4096) + 320;
        let slots = (BUFFER / stride).clamp(1, MOST);
        Self {
            buffer: vec![0; slots * stride],
            stride,
            room,
            names: vec![[0; NAME]; slots].into(),
            controls: vec![Control([0; CONTROL]); slots].into(),
            arrivals: vec![Arrival::default(); slots].into(),
            beside,
            pending: 0..0,
            ask: 1,
        }
    }

    /// Whether a packet is left to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The next packet.
    pub(crate) fn first(&self) -> Option<Packet<'_>> {
        let at = self.pending.clone().next()?;
        let Arrival { len, name, control } = self.arrivals[at];
        Some(Packet {
            bytes: &self.buffer[at * self.stride..][..len.min(self.room)],
            is_cut: len > self.room,
            from: &self.names[at][..name.min(NAME)],
            control: &self.controls[at].0[..control.min(CONTROL)],
        })
    }

    /// Forgets the next packet.
    pub(crate) fn advance(&mut self) {
        self.pending.next();
    }

    /// Takes packets from `socket`, at least one, by one call, when there are none left to look at. `waits`: for the first one; else
    /// [`Errno::AGAIN`] says that there is none. `many`: whoever asks will look at as many as there are.
    pub(crate) fn fill(&mut self, socket: BorrowedFd<'_>, waits: bool, many: bool) -> rustix::io::Result<()> {
        if !many && self.beside == Beside::Nothing {
            return self.fill_with_one(socket, waits);
        }
        let ask = if many { self.arrivals.len() } else { self.ask.min(self.arrivals.len()) };
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; MOST];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MOST];
        let (slots, names) = (self.buffer.chunks_exact_mut(self.stride), &mut self.names);
        let places = slots.zip(names.iter_mut()).zip(self.controls.iter_mut());
        for (((slot, name), control), (vector, header)) in places.zip(vectors.iter_mut().zip(&mut headers)).take(ask) {
            let vector = vector.write(libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: self.room });
            let header = header.write(empty());
            header.msg_hdr.msg_name = name.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = NAME as libc::socklen_t;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = self.beside.room() as _;
        }
        let flags = if waits { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // With TRUNC the whole length is told of what is cut off.
        let flags = (flags | libc::MSG_TRUNC | libc::MSG_CMSG_CLOEXEC) as _;
        let first = headers.as_mut_ptr().cast::<libc::mmsghdr>();
        // SAFETY: an open descriptor; `ask` headers, written above, which point to slots, addresses and control buffers of their own.
        let count = unsafe { libc::recvmmsg(socket.as_raw_fd(), first, ask as _, flags, core::ptr::null_mut()) };
        let count = usize::try_from(count).map_err(|_| last_error())?;
        for (header, arrival) in headers.iter().zip(&mut self.arrivals).take(count) {
            // SAFETY: as many were written, by this and then by the kernel.
            let header = unsafe { header.assume_init_ref() };
            *arrival = Arrival {
                len: header.msg_len as usize,
                name: header.msg_hdr.msg_namelen as usize,
                control: header.msg_hdr.msg_controllen as _,
            };
        }
        self.pending = 0..count;
        self.ask = if count < ask { count.max(1) } else { ask * 2 };
        Ok(())
    }

    /// The same with one packet, beside which nothing comes: the cheapest call there is, even if more packets are there.
    fn fill_with_one(&mut self, socket: BorrowedFd<'_>, waits: bool) -> rustix::io::Result<()> {
        let flags = libc::MSG_TRUNC | if waits { 0 } else { libc::MSG_DONTWAIT };
        let mut name_len = NAME as libc::socklen_t;
        let name = self.names[0].as_mut_ptr().cast();
        let slot = self.buffer.as_mut_ptr().cast();
        // SAFETY: an open descriptor; the first slot, which has so much room; its address, with its size.
        let len = unsafe { libc::recvfrom(socket.as_raw_fd(), slot, self.room, flags, name, &raw mut name_len) };
        let len = usize::try_from(len).map_err(|_| last_error())?;
        self.arrivals[0] = Arrival { len, name: name_len as usize, control: 0 };
        self.pending = 0..1;
        Ok(())
    }
}

/// Sends packets through a connected socket, by one call: the first of `messages`, with a frame's header before each if there is a number, and how
/// many they are. Without `waits`, [`Errno::AGAIN`] says that there is no room for the first. `scratch` may hold anything.
pub(crate) fn send_many(
    socket: BorrowedFd<'_>,
    messages: &[&[u8]],
    first_number: Option<u64>,
    scratch: &mut Vec<u8>,
    waits: bool,
) -> rustix::io::Result<usize> {
    let messages = &messages[..messages.len().min(MOST)];
    // What stands before each message: nothing, its header, or all of it: one piece takes the kernel less time than two.
    let copied = |message: &[u8]| if message.len() <= COPIED { message.len() } else { 0 };
    scratch.clear();
    if let Some(first) = first_number {
        for (number, message) in (first..).zip(messages) {
            scratch.extend_from_slice(&Frame { len: message.len() as u32, number: Some(number) }.header());
            scratch.extend_from_slice(&message[..copied(message)]);
        }
    }
    let mut pieces = &scratch[..];
    let mut vectors = [const { MaybeUninit::<[libc::iovec; 2]>::uninit() }; MOST];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MOST];
    for (message, (vector, header)) in messages.iter().zip(vectors.iter_mut().zip(&mut headers)) {
        let before = if first_number.is_some() { HEADER + copied(message) } else { 0 };
        let (piece, others) = pieces.split_at(before);
        pieces = others;
        let behind = if before > HEADER { &[][..] } else { message };
        let vector = vector.write([vector_of(piece), vector_of(behind)]);
        let header = header.write(empty());
        // The empty one of the two is left out.
        header.msg_hdr.msg_iov = vector[usize::from(before == 0)..].as_mut_ptr();
        header.msg_hdr.msg_iovlen = if before == 0 || behind.is_empty() { 1 } else { 2 };
    }
    let flags = libc::MSG_NOSIGNAL | if waits { 0 } else { libc::MSG_DONTWAIT };
    let first = headers.as_mut_ptr().cast::<libc::mmsghdr>();
    // SAFETY: an open descriptor; as many headers as messages, written above, which point to pieces and messages that the kernel only reads.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), first, messages.len() as _, flags as _) };
    usize::try_from(sent).map_err(|_| last_error())
}

/// Bytes that the kernel is to read.
fn vector_of(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// A header that points to nothing.
fn empty() -> libc::mmsghdr {
    // SAFETY: integers and pointers, which may be zero.
    unsafe { core::mem::zeroed() }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
