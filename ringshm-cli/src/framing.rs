//! The choice of a framing on the command line.

use crate::failure::Failure;
pub(crate) use ringshm::framing::{Cut, Framing};
use std::num::NonZeroUsize;

/// The choice of a framing on the command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FramingArgs {
    /// A record per line, without its newline; every other byte is kept as it is (default)
    #[arg(long, group = "framing")]
    lines: bool,
    /// The length of a record before it: 32 bits, little-endian
    #[arg(long, group = "framing")]
    len32: bool,
    /// Bytes without boundaries: sent in records of --size, the last one may be shorter; or video, a frame after the other
    #[arg(long, group = "framing")]
    raw: bool,
    /// Video as YUV4MPEG2, such as `ffmpeg -i FILE -f yuv4mpegpipe -` writes: the usual form of a ring of frames
    #[arg(long, group = "framing")]
    y4m: bool,
    /// With --raw: bytes in a record, or WIDTHxHEIGHT of a frame (the receiver need not know it)
    #[arg(long, requires = "raw", value_name = "BYTES", value_parser = Size::parse)]
    size: Option<Size>,
}

/// How large one thing is in a stream without boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Record(u64),
    Frame { width: u32, height: u32 },
}

impl Size {
    fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
        match text.split_once('x').map(|(width, height)| (number(width), number(height))) {
            Some((Some(width), Some(height))) => Ok(Self::Frame { width, height }),
            Some(_) => Err("a frame is WIDTHxHEIGHT, such as 1280x720".to_owned()),
            None => crate::size::parse(text).map(Self::Record),
        }
    }
}

/// How frames lie in a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Y4m,
    /// One after the other.
    Raw {
        size: Option<(u32, u32)>,
    },
}

impl FramingArgs {
    /// How the sender cuts its input.
    pub(crate) fn cutting(&self) -> Result<Framing, Failure> {
        match (self.raw, self.size) {
            (true, None) => {
                Err(Failure::usage("--raw needs --size: the bytes in a record, or WIDTHxHEIGHT of frames of video"))
            }
            (true, Some(_)) => Ok(self.joining()),
            (false, _) => Ok(self.joining()),
        }
    }

    /// An option that goes with frames only, if one is given.
    pub(crate) fn given_of_frames(&self) -> Option<&'static str> {
        match self.size {
            _ if self.y4m => Some("--y4m"),
            Some(Size::Frame { .. }) => Some("--size WIDTHxHEIGHT"),
            _ => None,
        }
    }

    /// How frames lie in the stream.
    pub(crate) fn of_frames(&self) -> Result<Form, Failure> {
        match self.size {
            _ if self.lines || self.len32 => {
                Err(Failure::usage("a ring of frames goes with --y4m or --raw, or to files with --png"))
            }
            Some(Size::Record(_)) => Err(Failure::usage("the --size of a frame is WIDTHxHEIGHT, such as 1280x720")),
            Some(Size::Frame { width, height }) => Ok(Form::Raw { size: Some((width, height)) }),
            None if self.raw => Ok(Form::Raw { size: None }),
            None => Ok(Form::Y4m),
        }
    }

    /// How the receiver puts records together.
    pub(crate) fn joining(&self) -> Framing {
        if self.len32 {
            Framing::Len32
        } else if self.raw {
            let size = match self.size {
                Some(Size::Record(bytes)) => usize::try_from(bytes).ok().and_then(NonZeroUsize::new),
                Some(Size::Frame { .. }) | None => None,
            };
            Framing::Raw(size.unwrap_or(NonZeroUsize::MAX))
        } else {
            Framing::Lines
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_that_of_a_record_or_of_a_frame() {
        for (text, expected) in [
            ("512", Size::Record(512)),
            ("4KiB", Size::Record(4096)),
            ("1280x720", Size::Frame { width: 1280, height: 720 }),
        ] {
            assert_eq!(Size::parse(text), Ok(expected), "{text}");
        }
        for text in ["", "x", "0x7", "7x", "1280x-1", "1x2x3", "99999999999x1"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
    }
}
