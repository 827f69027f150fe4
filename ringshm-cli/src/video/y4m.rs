//! YUV4MPEG2: a line that says what all frames are, and before each frame a line of its own.
//!
//! What the ring has a field for goes into a frame's description. All other parameters (interlacing, the shape of a pixel, where colour was sampled, comments)
//! travel as they were in its extra bytes: so every frame can begin a stream, and a renderer that comes late has a whole header.

use super::pixels::Pixels;
use ringshm::frames::{BadMeta, MAX_EXTRA, Meta, TimeBase};

/// What a stream begins with.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2";
/// What a frame begins with.
pub(super) const FRAME: &[u8] = b"FRAME";
/// Longer lines are no headers.
pub(super) const LONGEST_LINE: usize = 1 << 10;
/// What marks extra bytes as parameters: those of the stream, a newline, those of the frame.
const MARK: &str = "Y4M ";

/// Frames in so many seconds: neither is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) frames: u32,
    pub(super) seconds: u32,
}

impl Rate {
    /// `30`, `30000/1001` or `29.97`, from the command line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "it must be frames per second, such as 30, 29.97 or 30000/1001".to_owned();
        let rate = if let Some((frames, seconds)) = text.split_once(['/', ':']) {
            Self { frames: frames.parse().map_err(|_| wrong())?, seconds: seconds.parse().map_err(|_| wrong())? }
        } else if let Ok(frames) = text.parse() {
            Self { frames, seconds: 1 }
        } else {
            let thousandths = (text.parse::<f64>().map_err(|_| wrong())? * 1000.0).round();
            Self { frames: thousandths as u32, seconds: 1000 }
        };
        if rate.frames == 0 || rate.seconds == 0 { Err(wrong()) } else { Ok(rate) }
    }

    /// That of a time base which counts frames. Clocks count faster than any film.
    pub(super) fn of(time_base: TimeBase) -> Option<Self> {
        let TimeBase { numerator: seconds, denominator: frames } = time_base;
        (frames / seconds < 1000).then_some(Self { frames, seconds })
    }

    /// The time base in which each frame is one later.
    pub(super) fn time_base(self) -> TimeBase {
        TimeBase { numerator: self.seconds, denominator: self.frames }
    }
}

/// What a stream's header says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixels: &'static Pixels,
    pub(super) rate: Option<Rate>,
    /// All parameters but the size, as they were.
    parameters: String,
}

impl Header {
    /// Of a line without its newline, which begins with [`MAGIC`].
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let text = printable(line).ok_or("its header is no text")?;
        let (mut width, mut height, mut rate, mut colour) = (None, None, None, "420");
        let mut parameters: Vec<&str> = Vec::new();
        for parameter in text.split_ascii_whitespace().skip(1) {
            let (tag, value) = parameter.split_at_checked(1).unwrap_or((parameter, ""));
            let size = || value.parse::<u32>().ok().filter(|size| *size > 0);
            match tag {
                "W" => width = Some(size().ok_or_else(|| format!("its width is {value:?}"))?),
                "H" => height = Some(size().ok_or_else(|| format!("its height is {value:?}"))?),
                _ => parameters.push(parameter),
            }
            match tag {
                // 0:0 says that it is not known.
                "F" => rate = Rate::parse(value).ok(),
                "C" => colour = value,
                _ => {}
            }
        }
        let pixels = Pixels::of_y4m(colour)
            .ok_or_else(|| format!("its pixels are C{colour}, which is not among {}", Pixels::all_y4m()))?;
        Ok(Self {
            width: width.ok_or("its header has no width")?,
            height: height.ok_or("its header has no height")?,
            pixels,
            rate,
            parameters: parameters.join(" "),
        })
    }

    /// The description of the frame `number` of the stream, whose line had those parameters.
    pub(super) fn meta(&self, number: u64, of_frame: &[u8]) -> Result<Meta, String> {
        let too_large = |_: BadMeta| format!("frames of {} by {} pixels are too large", self.width, self.height);
        let mut meta = self.pixels.packed(self.width, self.height).map_err(too_large)?;
        meta.time_base = self.rate.map_or_else(TimeBase::default, Rate::time_base);
        meta.timestamp = self.rate.map_or(0, |_| i64::try_from(number).unwrap_or(i64::MAX));
        let of_frame = printable(of_frame).ok_or("the line before a frame is no text")?.trim();
        let extra = format!("{MARK}{}\n{of_frame}", self.parameters);
        let len = extra.len();
        let too_long =
            |_: BadMeta| format!("the parameters take {len} bytes, and at most {MAX_EXTRA} travel with a frame");
        meta.set_extra(extra.as_bytes()).map_err(too_long)?;
        Ok(meta)
    }
}

/// A line without control characters.
fn printable(line: &[u8]) -> Option<&str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    std::str::from_utf8(line).ok().filter(|text| text.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
}

/// The parameters that travel with a frame: of its stream, and its own. Somebody else's extra bytes, or such as do not belong to its pixels, are none.
fn parameters_of<'m>(meta: &'m Meta, pixels: &Pixels) -> Option<(&'m str, &'m str)> {
    let (of_stream, of_frame) = std::str::from_utf8(meta.extra()).ok()?.strip_prefix(MARK)?.split_once('\n')?;
    let (of_stream, of_frame) = (printable(of_stream.as_bytes())?, printable(of_frame.as_bytes())?);
    let colour = of_stream.split(' ').rev().find_map(|parameter| parameter.strip_prefix('C')).unwrap_or("420");
    (Pixels::of_y4m(colour)? == pixels).then_some((of_stream, of_frame))
}

/// The line of a stream that begins with a frame, newline included. `usual` is the rate of one that does not say. `None` if YUV4MPEG2 has no such pixels.
pub(super) fn header_of(meta: &Meta, usual: Rate) -> Option<Vec<u8>> {
    let pixels = Pixels::of(meta.format)?;
    let colour = pixels.y4m?;
    let parameters = match parameters_of(meta, pixels) {
        Some((of_stream, _)) => of_stream.to_owned(),
        None => {
            let Rate { frames, seconds } = Rate::of(meta.time_base).unwrap_or(usual);
            format!("F{frames}:{seconds} Ip C{colour}")
        }
    };
    Some(format!("YUV4MPEG2 W{} H{} {parameters}\n", meta.width, meta.height).into_bytes())
}

/// Whether samples use all their values, and not only those between 16 and 235 (or 240, of colours): if the stream says so.
pub(super) fn has_full_range(meta: &Meta) -> Option<bool> {
    let (of_stream, _) = parameters_of(meta, Pixels::of(meta.format)?)?;
    let range = of_stream.split(' ').rev().find_map(|parameter| parameter.strip_prefix("XCOLORRANGE="))?;
    Some(range == "FULL")
}

/// The line before a frame, newline included.
pub(super) fn line_before(meta: &Meta) -> Vec<u8> {
    match Pixels::of(meta.format).and_then(|pixels| parameters_of(meta, pixels)) {
        Some((_, of_frame)) if !of_frame.is_empty() => format!("FRAME {of_frame}\n").into_bytes(),
        _ => b"FRAME\n".to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringshm::frames::FourCc;

    const USUAL: Rate = Rate { frames: 25, seconds: 1 };

    fn header(line: &str) -> Header {
        Header::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn all_parameters_cross() {
        for line in [
            "YUV4MPEG2 W1280 H720 F25:1 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2",
            "YUV4MPEG2 W720 H576 F30000:1001 It A12:11 C422 XCOLORRANGE=FULL",
            "YUV4MPEG2 W64 H48 F0:0 Ib",
            "YUV4MPEG2 W3 H5 F24:1 C444p10 XYSCSS=444P10",
            "YUV4MPEG2 W3 H5 F24:1 Cmono",
        ] {
            let meta = header(line).meta(7, b" Ibt").unwrap();
            assert_eq!(header_of(&meta, USUAL).unwrap(), format!("{line}\n").as_bytes());
            assert_eq!(line_before(&meta), b"FRAME Ibt\n");
        }
    }

    #[test]
    fn a_header_in_any_order_says_size_pixels_and_rate() {
        let header = header("YUV4MPEG2 C420paldv H48 F30000:1001 W64");
        assert_eq!((header.width, header.height, header.pixels.name), (64, 48, "yuv420p"));
        let meta = header.meta(9, b"").unwrap();
        assert_eq!((meta.bytes, meta.timestamp), (64 * 48 * 3 / 2, 9));
        assert_eq!(meta.time_base, TimeBase { numerator: 1001, denominator: 30_000 });
        assert_eq!(line_before(&meta), b"FRAME\n");
    }

    #[test]
    fn what_is_no_header_is_refused_by_name() {
        for (line, reason) in [
            ("YUV4MPEG2", "no width"),
            ("YUV4MPEG2 W64", "no height"),
            ("YUV4MPEG2 W0 H48", "width is \"0\""),
            ("YUV4MPEG2 W64 H-1", "height is \"-1\""),
            ("YUV4MPEG2 W99999999999 H1", "width"),
            ("YUV4MPEG2 W64 H48 C410", "C410, which is not among 420, 420mpeg2"),
            ("YUV4MPEG2 W64 H48 \u{7}", "no text"),
            ("YUV4MPEG2 W64 H48 é", "no text"),
        ] {
            let error = Header::parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
        let long = format!("YUV4MPEG2 W64 H48 X{}", "x".repeat(400));
        assert!(header(&long).meta(0, b"").unwrap_err().contains("at most"));
        let large = header("YUV4MPEG2 W4294967295 H4294967295").meta(0, b"").unwrap_err();
        assert!(large.contains("too large"), "{large}");
    }

    #[test]
    fn frames_of_other_programs_get_a_header_too() {
        let mut meta = Meta::new(FourCc::I420, 64, 48).unwrap();
        assert_eq!(header_of(&meta, USUAL).unwrap(), b"YUV4MPEG2 W64 H48 F25:1 Ip C420jpeg\n");
        meta.time_base = TimeBase { numerator: 1001, denominator: 30_000 };
        assert_eq!(header_of(&meta, USUAL).unwrap(), b"YUV4MPEG2 W64 H48 F30000:1001 Ip C420jpeg\n");
        // Whatever another process put there, no line of its own comes out.
        for extra in
            [&b"Y4M F1:1 C444\n"[..], b"Y4M F1:1", b"Y4M F1:1\n\nFRAME", b"Y4M F1:1\x1b\n", b"camera 7", b"\xff\xff"]
        {
            meta.set_extra(extra).unwrap();
            let header = header_of(&meta, USUAL).unwrap();
            assert_eq!(header, b"YUV4MPEG2 W64 H48 F30000:1001 Ip C420jpeg\n", "{}", extra.escape_ascii());
            assert_eq!(line_before(&meta), b"FRAME\n");
        }
        assert_eq!(header_of(&Meta::new(FourCc::NV12, 64, 48).unwrap(), USUAL), None);
    }

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, frames, seconds) in [("30", 30, 1), ("30000/1001", 30_000, 1001), ("29.97", 29_970, 1000)] {
            assert_eq!(Rate::parse(text), Ok(Rate { frames, seconds }));
        }
        for text in ["", "0", "0:0", "1/0", "-3", "nan", "inf/1", "fast"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }
}
