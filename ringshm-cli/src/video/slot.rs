//! Bytes between a file and a slot of the ring, without a copy in between: the kernel writes and reads the slot itself.
//!
//! # Safety
//! The slot is given to the kernel by its address alone, and no reference is formed to it: a process that writes it meanwhile against the
//! protocol makes wrong pixels and nothing worse. What lies at the address stays mapped as long as the loan, or the frame, lives.

#![allow(unsafe_code, reason = "the kernel is given the addresses of slots")]

use ringshm::frames::{Frame, Loan};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::AsRawFd;

/// How many pieces a system call takes.
const MOST_PIECES: usize = 1024;

/// Reads so many bytes to the beginning of the slot, or as many as there are before the end. Returns how many.
///
/// # Panics
/// If the slot has fewer.
pub(super) fn fill(loan: &mut Loan<'_>, len: usize, file: &File) -> io::Result<usize> {
    assert!(len <= loan.len(), "a frame fits into its slot");
    let mut filled = 0;
    while filled < len {
        // `wrapping_add` needs no promise; it stays inside: `filled` is less than the slot has.
        let target = loan.as_mut_ptr().wrapping_add(filled);
        // SAFETY: an open file, and `len - filled` bytes of the slot, which is this loan's to write.
        let read = unsafe { libc::read(file.as_raw_fd(), target.cast(), len - filled) };
        match usize::try_from(read) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(_) => again(file, PollFlags::IN)?,
        }
    }
    Ok(filled)
}

/// Writes a line, and then these pieces of a frame.
///
/// # Panics
/// If they do not lie inside of the frame.
pub(super) fn write(file: &File, line: &[u8], frame: &Frame, pieces: &[Range<usize>]) -> io::Result<()> {
    let of_line = libc::iovec { iov_base: line.as_ptr().cast_mut().cast(), iov_len: line.len() };
    let of_frame = pieces.iter().map(|piece| {
        assert!(piece.start <= piece.end && piece.end <= frame.len(), "inside of the frame");
        let begin = frame.as_ptr().wrapping_add(piece.start).cast_mut();
        libc::iovec { iov_base: begin.cast(), iov_len: piece.len() }
    });
    let mut pieces: Vec<libc::iovec> = std::iter::once(of_line).chain(of_frame).collect();
    let mut written = 0;
    while let Some(first) = pieces.iter().skip(written).position(|piece| piece.iov_len > 0) {
        written += first;
        let left = &mut pieces[written..];
        let most = left.len().min(MOST_PIECES) as libc::c_int;
        // SAFETY: an open file, and as many pieces of memory as are said, which the kernel only reads: the line and the frame outlive the call.
        let bytes = unsafe { libc::writev(file.as_raw_fd(), left.as_ptr(), most) };
        match usize::try_from(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(bytes) => pass(left, bytes),
            Err(_) => again(file, PollFlags::OUT)?,
        }
    }
    Ok(())
}

/// Goes past what was written.
fn pass(pieces: &mut [libc::iovec], mut written: usize) {
    for piece in pieces {
        let part = written.min(piece.iov_len);
        piece.iov_base = piece.iov_base.wrapping_byte_add(part);
        piece.iov_len -= part;
        written -= part;
        if written == 0 {
            break;
        }
    }
}

/// After a system call that failed: whether it is to be made again.
fn again(file: &File, wanted: PollFlags) -> io::Result<()> {
    let error = io::Error::last_os_error();
    match error.kind() {
        ErrorKind::Interrupted => Ok(()),
        // Somebody else made this stream non-blocking.
        ErrorKind::WouldBlock => {
            let _ = poll(&mut [PollFd::new(file, wanted)], None);
            Ok(())
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringshm::frames::{FourCc, Meta};
    use rustix::fs::{OFlags, fcntl_setfl};
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::thread;

    /// A pipe whose ends do not block, if so wanted: then the kernel takes and gives a part.
    fn pipe(flags: OFlags) -> (File, File) {
        let (from, to) = io::pipe().unwrap();
        let (from, to) = (File::from(OwnedFd::from(from)), File::from(OwnedFd::from(to)));
        fcntl_setfl(&from, flags).unwrap();
        fcntl_setfl(&to, flags).unwrap();
        (from, to)
    }

    #[test]
    fn frames_go_through_a_pipe_that_holds_little() {
        for flags in [OFlags::empty(), OFlags::NONBLOCK] {
            let meta = Meta::new(FourCc::GRAY, 1000, 700).unwrap();
            let (mut producer, mut consumer) = ringshm::frames("").frame_bytes(meta.bytes as u64).threads().unwrap();
            let pixels: Vec<u8> = (0..meta.bytes).map(|at| (at / 7) as u8).collect();
            let mut loan = producer.loan().unwrap();
            loan.write(0, &pixels).unwrap();
            loan.commit(&meta).unwrap();
            let frame = consumer.recv_ref().unwrap();
            // More pieces than the kernel takes at once, of them some without bytes.
            let pieces: Vec<_> = (0..2000).map(|row| row * 350..row * 350 + row % 350).collect();
            let mut expected = b"line\n".to_vec();
            pieces.iter().for_each(|piece| expected.extend_from_slice(&pixels[piece.clone()]));

            let (from, to) = pipe(flags);
            let writer = thread::spawn(move || write(&to, b"line\n", &frame, &pieces));
            let mut loan = producer.loan().unwrap();
            assert_eq!(fill(&mut loan, expected.len(), &from).unwrap(), expected.len());
            writer.join().unwrap().unwrap();
            loan.commit(&meta).unwrap();
            let frame = consumer.recv_ref().unwrap();
            let mut arrived = vec![0; expected.len()];
            assert!(frame.read(0, &mut arrived));
            assert!(arrived == expected);

            // The end comes before the frame is whole.
            let (from, mut to) = pipe(flags);
            to.write_all(b"part").unwrap();
            drop(to);
            assert_eq!(fill(&mut producer.loan().unwrap(), meta.bytes, &from).unwrap(), 4);
            let (from, to) = pipe(flags);
            drop(from);
            let error = write(&to, b"", &frame, &[0..1, 5..9]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
    }
}
