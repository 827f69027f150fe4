//! The stream that `send` cuts into frames. What belongs to a frame is left in the file until there is a slot to read it into.

use super::pixels::Pixels;
use super::slot;
use super::y4m::{FRAME, Header, LONGEST_LINE, MAGIC, Rate};
use crate::failure::Failure;
use crate::input::read_some;
use ringshm::frames::{Loan, Meta};
use std::fs::File;
use std::io;

/// The stream.
#[derive(Debug)]
pub(super) struct Input {
    file: File,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Y4m(Header),
    /// One frame after the other. The description is that of the first one.
    Raw {
        meta: Box<Meta>,
        rate: Option<Rate>,
    },
}

fn reading(error: io::Error) -> Failure {
    Failure::at("reading the input", error)
}

impl Input {
    /// A stream of YUV4MPEG2, of which this reads the header.
    pub(super) fn y4m(mut file: File) -> Result<Self, Failure> {
        const ADVICE: &str = "`ffmpeg -i FILE -f yuv4mpegpipe -` writes such a stream";
        let mut line = vec![0; MAGIC.len() + 1];
        let read = read_all(&mut file, &mut line).map_err(reading)?;
        if read == 0 {
            return Err(Failure::new(format!("the input is empty, where YUV4MPEG2 was to come: {ADVICE}")));
        }
        line.truncate(read);
        if !line.starts_with(MAGIC) || !matches!(line.get(MAGIC.len()), Some(b' ' | b'\n')) {
            let line = line.escape_ascii();
            return Err(Failure::new(format!("the input is no YUV4MPEG2, it begins with \"{line}\": {ADVICE}")));
        }
        read_line(&mut file, &mut line)?;
        let wrong = |reason| Failure::new(format!("this YUV4MPEG2 cannot be sent: {reason}"));
        let header = Header::parse(&line[..line.len() - 1]).map_err(wrong)?;
        let input = Self { file, form: Form::Y4m(header) };
        input.meta(0, b"").map_err(wrong)?;
        Ok(input)
    }

    /// A stream of bare frames.
    pub(super) fn raw(
        file: File,
        pixels: &Pixels,
        width: u32,
        height: u32,
        rate: Option<Rate>,
    ) -> Result<Self, Failure> {
        let meta = pixels.packed(width, height);
        let mut meta = meta.map_err(|bad| Failure::usage(format!("--size {width}x{height}: {bad}")))?;
        meta.time_base = rate.map_or(meta.time_base, Rate::time_base);
        Ok(Self { file, form: Form::Raw { meta: Box::new(meta), rate } })
    }

    /// Frames per second, if the stream says.
    pub(super) fn rate(&self) -> Option<Rate> {
        match &self.form {
            Form::Y4m(header) => header.rate,
            Form::Raw { rate, .. } => *rate,
        }
    }

    fn meta(&self, number: u64, of_frame: &[u8]) -> Result<Meta, String> {
        match &self.form {
            Form::Y4m(header) => header.meta(number, of_frame),
            Form::Raw { meta, rate } => {
                let mut meta = **meta;
                meta.timestamp = rate.map_or(0, |_| i64::try_from(number).unwrap_or(i64::MAX));
                Ok(meta)
            }
        }
    }

    /// Bytes of a frame.
    pub(super) fn frame_bytes(&self) -> u64 {
        self.meta(0, b"").map_or(0, |meta| meta.bytes as u64)
    }

    /// Reads what stands before a frame, and the frame `number` into a slot. `None`: that was the end.
    pub(super) fn next(&mut self, number: u64, loan: &mut Loan<'_>) -> Result<Option<Meta>, Failure> {
        let mut of_frame = Vec::new();
        let is_raw = matches!(self.form, Form::Raw { .. });
        if !is_raw {
            match self.line_before(number)? {
                Some(line) => of_frame = line,
                None => return Ok(None),
            }
        }
        let wrong = |reason| Failure::new(format!("frame {number} cannot be sent: {reason}"));
        let meta = self.meta(number, &of_frame).map_err(wrong)?;
        let filled = slot::fill(loan, meta.bytes, &self.file).map_err(reading)?;
        if filled == 0 && is_raw {
            return Ok(None);
        }
        if filled < meta.bytes {
            let bytes = meta.bytes;
            return Err(truncated(number, &format!("{filled} of its {bytes} bytes are there")));
        }
        Ok(Some(meta))
    }

    /// The parameters of the line before a frame. `None` at the end.
    fn line_before(&mut self, number: u64) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = vec![0; FRAME.len() + 1];
        let read = read_all(&mut self.file, &mut line).map_err(reading)?;
        line.truncate(read);
        if read == 0 {
            return Ok(None);
        }
        if MAGIC.starts_with(&line) && read > FRAME.len() {
            return Err(Failure::new(format!(
                "after {number} frames a new stream begins, and frames cannot change their size midway: send it by another `ringshm send`, \
                 and this one with --keep"
            )));
        }
        if FRAME.starts_with(&line) {
            return Err(truncated(number, "the line before it is cut off"));
        }
        if !line.starts_with(FRAME) || !matches!(line[FRAME.len()], b' ' | b'\n') {
            return Err(Failure::new(format!(
                "no frame begins where number {number} should, but \"{}\": is the size in the header right? Those before it were sent",
                line.escape_ascii()
            )));
        }
        read_line(&mut self.file, &mut line)?;
        Ok(Some(line[FRAME.len()..line.len() - 1].to_vec()))
    }
}

fn truncated(number: u64, what: &str) -> Failure {
    Failure::new(format!("the input ends in the middle of frame {number}: {what}; the frames before it were sent"))
}

/// Reads until the buffer is full, or the end. Returns how much there was.
fn read_all(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_some(file, &mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Reads the rest of a line, newline included, byte by byte: what follows belongs into a slot.
fn read_line(file: &mut File, line: &mut Vec<u8>) -> Result<(), Failure> {
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        if line.len() == LONGEST_LINE {
            return Err(Failure::new(format!("a line of the YUV4MPEG2 is longer than {LONGEST_LINE} bytes")));
        }
        if read_some(file, &mut byte).map_err(reading)? == 0 {
            return Err(Failure::new("the input ends in the middle of a line of the YUV4MPEG2"));
        }
        line.push(byte[0]);
    }
    Ok(())
}
