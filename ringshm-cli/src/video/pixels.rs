//! How pixels lie in a frame, under the names that ffmpeg, YUV4MPEG2 and the ring have for it.

use ringshm::frames::{BadMeta, FourCc, Frame, MAX_PLANES, Meta, Plane};
use std::ops::Range;

/// A pixel format.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pixels {
    /// As ffmpeg calls it.
    pub(super) name: &'static str,
    /// As frames in the ring are marked.
    pub(super) fourcc: FourCc,
    /// What stands after the C in YUV4MPEG2, where that has it; of the variants of 4:2:0 with 8 bits, which say where colour was sampled, the usual one.
    pub(super) y4m: Option<&'static str>,
    layout: Layout,
}

/// How samples lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Brightness and two planes of colour, of which one sample is kept of so many across and down.
    Planar { across: u32, down: u32, bits: u32 },
    /// The same, without sampling, and a plane of opacity.
    WithOpacity,
    /// Brightness, and one plane of both colours at half the width and half the height.
    Paired { bits: u32 },
    /// Brightness alone.
    Gray { bits: u32 },
    /// One plane, two pixels in four bytes; brightness begins at that byte.
    InTurn { brightness: usize },
    /// One plane, a pixel in `bytes`, of which red, green and blue are those.
    Packed { bytes: usize, rgb: [usize; 3] },
}

/// What a plane has: bytes for each sample, of which one is kept of so many pixels across and down.
#[derive(Clone, Copy, Debug)]
struct Sampling {
    bytes: usize,
    across: u32,
    down: u32,
}

/// Where one of the three parts of a pixel's colour is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) plane: usize,
    /// Its first byte in the row, of the first pixel.
    pub(super) first: usize,
    /// Bytes from one to the next.
    pub(super) step: usize,
    pub(super) across: u32,
    pub(super) down: u32,
    /// How many bits it has, of one byte or two.
    pub(super) bits: u32,
}

/// What the three parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// Brightness and two differences of colour.
    Differences([Part; 3]),
    Brightness(Part),
    Rgb([Part; 3]),
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        (self.plane, self.first) == (other.plane, other.first)
    }
}

impl Eq for Part {}

const fn planar(name: &'static str, fourcc: &[u8; 4], y4m: &'static str, across: u32, down: u32, bits: u32) -> Pixels {
    Pixels { name, fourcc: FourCc::new(fourcc), y4m: Some(y4m), layout: Layout::Planar { across, down, bits } }
}

const fn gray(name: &'static str, fourcc: &[u8; 4], y4m: &'static str, bits: u32) -> Pixels {
    Pixels { name, fourcc: FourCc::new(fourcc), y4m: Some(y4m), layout: Layout::Gray { bits } }
}

const fn other(name: &'static str, fourcc: FourCc, layout: Layout) -> Pixels {
    Pixels { name, fourcc, y4m: None, layout }
}

/// All that `send` and `recv` know, the usual one first. Where the ring has no name of its own, those of VLC, GStreamer and the kernel.
static ALL: [Pixels; 33] = [
    planar("yuv420p", b"I420", "420jpeg", 2, 2, 8),
    planar("yuv422p", b"Y42B", "422", 2, 1, 8),
    planar("yuv444p", b"444P", "444", 1, 1, 8),
    planar("yuv411p", b"Y41B", "411", 4, 1, 8),
    planar("yuv420p9le", b"I09L", "420p9", 2, 2, 9),
    planar("yuv420p10le", b"I0AL", "420p10", 2, 2, 10),
    planar("yuv420p12le", b"I0CL", "420p12", 2, 2, 12),
    planar("yuv420p14le", b"I0EL", "420p14", 2, 2, 14),
    planar("yuv420p16le", b"I0FL", "420p16", 2, 2, 16),
    planar("yuv422p9le", b"I29L", "422p9", 2, 1, 9),
    planar("yuv422p10le", b"I2AL", "422p10", 2, 1, 10),
    planar("yuv422p12le", b"I2CL", "422p12", 2, 1, 12),
    planar("yuv422p14le", b"I2EL", "422p14", 2, 1, 14),
    planar("yuv422p16le", b"I2FL", "422p16", 2, 1, 16),
    planar("yuv444p9le", b"I49L", "444p9", 1, 1, 9),
    planar("yuv444p10le", b"I4AL", "444p10", 1, 1, 10),
    planar("yuv444p12le", b"I4CL", "444p12", 1, 1, 12),
    planar("yuv444p14le", b"I4EL", "444p14", 1, 1, 14),
    planar("yuv444p16le", b"I4FL", "444p16", 1, 1, 16),
    Pixels { name: "yuva444p", fourcc: FourCc::new(b"A444"), y4m: Some("444alpha"), layout: Layout::WithOpacity },
    gray("gray", b"Y800", "mono", 8),
    gray("gray9le", b"G09L", "mono9", 9),
    gray("gray10le", b"G0AL", "mono10", 10),
    gray("gray12le", b"G0CL", "mono12", 12),
    gray("gray16le", b"G0FL", "mono16", 16),
    other("nv12", FourCc::NV12, Layout::Paired { bits: 8 }),
    other("p010le", FourCc::P010, Layout::Paired { bits: 16 }),
    other("yuyv422", FourCc::YUY2, Layout::InTurn { brightness: 0 }),
    other("uyvy422", FourCc::new(b"UYVY"), Layout::InTurn { brightness: 1 }),
    other("rgb24", FourCc::RGB, Layout::Packed { bytes: 3, rgb: [0, 1, 2] }),
    other("bgr24", FourCc::new(b"BGR3"), Layout::Packed { bytes: 3, rgb: [2, 1, 0] }),
    other("rgba", FourCc::RGBA, Layout::Packed { bytes: 4, rgb: [0, 1, 2] }),
    other("bgra", FourCc::BGRA, Layout::Packed { bytes: 4, rgb: [2, 1, 0] }),
];

impl Pixels {
    /// For the command line.
    pub(super) fn named(name: &str) -> Result<&'static Self, String> {
        let names = || ALL.iter().map(|pixels| pixels.name).collect::<Vec<_>>().join(", ");
        ALL.iter().find(|pixels| pixels.name == name).ok_or_else(|| format!("known are {}", names()))
    }

    /// What a frame in the ring is made of.
    pub(super) fn of(fourcc: FourCc) -> Option<&'static Self> {
        ALL.iter().find(|pixels| pixels.fourcc == fourcc)
    }

    /// What stands after a C in YUV4MPEG2.
    pub(super) fn of_y4m(name: &str) -> Option<&'static Self> {
        let name = if matches!(name, "420" | "420mpeg2" | "420paldv") { "420jpeg" } else { name };
        ALL.iter().find(|pixels| pixels.y4m == Some(name))
    }

    /// All that may stand after a C in YUV4MPEG2, for people.
    pub(super) fn all_y4m() -> String {
        let names: Vec<_> = ALL.iter().filter_map(|pixels| pixels.y4m).collect();
        format!("420, 420mpeg2, 420paldv, {}", names.join(", "))
    }

    fn samplings(&self) -> ([Sampling; MAX_PLANES], usize) {
        let wide = |bits: u32| bits.div_ceil(8) as usize;
        let full = |bytes| Sampling { bytes, across: 1, down: 1 };
        match self.layout {
            Layout::Planar { across, down, bits } => {
                let colour = Sampling { bytes: wide(bits), across, down };
                ([full(wide(bits)), colour, colour, colour], 3)
            }
            Layout::WithOpacity => ([full(1); 4], 4),
            Layout::Paired { bits } => {
                let pair = Sampling { bytes: 2 * wide(bits), across: 2, down: 2 };
                ([full(wide(bits)), pair, pair, pair], 2)
            }
            Layout::Gray { bits } => ([full(wide(bits)); 4], 1),
            Layout::InTurn { .. } => ([Sampling { bytes: 4, across: 2, down: 1 }; 4], 1),
            Layout::Packed { bytes, .. } => ([full(bytes); 4], 1),
        }
    }

    /// Bytes of a row and number of rows, of each plane.
    fn shapes(&self, width: u32, height: u32) -> impl Iterator<Item = (usize, u32)> {
        let (samplings, count) = self.samplings();
        samplings.into_iter().take(count).map(move |Sampling { bytes, across, down }| {
            ((width.div_ceil(across) as usize).saturating_mul(bytes), height.div_ceil(down))
        })
    }

    /// A frame of that size without gaps: as it is in files.
    pub(super) fn packed(&self, width: u32, height: u32) -> Result<Meta, BadMeta> {
        let mut planes = Vec::with_capacity(MAX_PLANES);
        let mut offset = 0_usize;
        for (row_bytes, rows) in self.shapes(width, height) {
            planes.push(Plane { offset, stride: row_bytes, row_bytes, rows });
            offset = offset.saturating_add(row_bytes.saturating_mul(rows as usize));
        }
        Meta::with_planes(self.fourcc, width, height, &planes)
    }

    /// The bytes of a frame that mean something, in the order in which they are in files: a piece for everything that lies together. `None` if
    /// its planes are not those of its format.
    pub(super) fn pieces(&self, meta: &Meta) -> Option<Vec<Range<usize>>> {
        let mut pieces: Vec<Range<usize>> = Vec::new();
        let shapes: Vec<_> = self.shapes(meta.width, meta.height).collect();
        if shapes.len() != meta.planes().len() {
            return None;
        }
        for ((row_bytes, rows), plane) in shapes.into_iter().zip(meta.planes()) {
            if plane.row_bytes < row_bytes || plane.rows < rows {
                return None;
            }
            for row in 0..rows {
                let begin = plane.row_at(row)?;
                match pieces.last_mut() {
                    Some(piece) if piece.end == begin => piece.end += row_bytes,
                    _ => pieces.push(begin..begin + row_bytes),
                }
            }
        }
        Some(pieces)
    }

    /// Where the parts of a pixel's colour are.
    pub(super) fn parts(&self) -> Parts {
        let part = |plane, first, step, bits| Part { plane, first, step, across: 1, down: 1, bits };
        let wide = |bits: u32| bits.div_ceil(8) as usize;
        match self.layout {
            Layout::Planar { across, down, bits } => {
                let colour = |plane| Part { across, down, ..part(plane, 0, wide(bits), bits) };
                Parts::Differences([part(0, 0, wide(bits), bits), colour(1), colour(2)])
            }
            Layout::WithOpacity => Parts::Differences([0, 1, 2].map(|plane| part(plane, 0, 1, 8))),
            Layout::Paired { bits } => {
                let colour = |index| Part { across: 2, down: 2, ..part(1, index * wide(bits), 2 * wide(bits), bits) };
                Parts::Differences([part(0, 0, wide(bits), bits), colour(0), colour(1)])
            }
            Layout::Gray { bits } => Parts::Brightness(part(0, 0, wide(bits), bits)),
            Layout::InTurn { brightness } => {
                let colour = |index: usize| Part { across: 2, ..part(0, 1 - brightness + 2 * index, 4, 8) };
                Parts::Differences([part(0, brightness, 2, 8), colour(0), colour(1)])
            }
            Layout::Packed { bytes, rgb } => Parts::Rgb(rgb.map(|first| part(0, first, bytes, 8))),
        }
    }
}

/// The name of a frame's format, for people.
pub(super) fn name_of(frame: &Frame) -> String {
    let fourcc = frame.meta().format;
    Pixels::of(fourcc).map_or_else(|| fourcc.to_string(), |pixels| pixels.name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_ring_knows_has_the_same_planes_there() {
        let known: Vec<_> = ALL.iter().filter(|pixels| pixels.fourcc.is_known()).collect();
        assert_eq!(known.len(), 10);
        for pixels in known {
            for (width, height) in [(1, 1), (7, 5), (64, 48)] {
                let meta = pixels.packed(width, height).unwrap();
                assert_eq!(meta, Meta::new(pixels.fourcc, width, height).unwrap(), "{}", pixels.name);
                assert_eq!(
                    pixels.pieces(&meta).as_deref(),
                    Some(std::slice::from_ref(&(0..meta.bytes))),
                    "{}",
                    pixels.name
                );
            }
        }
    }

    #[test]
    fn every_name_means_one_format() {
        for (index, pixels) in ALL.iter().enumerate() {
            assert_eq!(Pixels::named(pixels.name), Ok(pixels));
            assert_eq!(Pixels::of(pixels.fourcc), Some(pixels));
            assert!(pixels.y4m.is_none_or(|name| Pixels::of_y4m(name) == Some(pixels)), "{index}");
        }
        assert_eq!(Pixels::of_y4m("420paldv"), Pixels::of_y4m("420"));
        assert_eq!((Pixels::of_y4m("410"), Pixels::of_y4m("")), (None, None));
        assert!(Pixels::named("yuv410p").unwrap_err().contains("yuv420p10le"));
    }

    #[test]
    fn gaps_between_rows_are_left_out() {
        let gray = Pixels::named("gray").unwrap();
        let rows = Plane { offset: 3, stride: 16, row_bytes: 12, rows: 2 };
        let meta = Meta::with_planes(gray.fourcc, 10, 2, &[rows]).unwrap();
        assert_eq!(gray.pieces(&meta), Some(vec![3..13, 19..29]));
        let short = Meta::with_planes(FourCc::new(b"G0AL"), 10, 2, &[rows]).unwrap();
        assert_eq!(Pixels::of(short.format).unwrap().pieces(&short), None);
    }

    #[test]
    fn a_size_beyond_all_memory_is_refused() {
        for pixels in &ALL {
            // One plane of bytes fits into 64 bits, but into no memory.
            let is_beyond = |meta: Meta| meta.bytes > usize::MAX / 2;
            assert!(pixels.packed(u32::MAX, u32::MAX).map_or(true, is_beyond), "{}", pixels.name);
            assert!(pixels.packed(0, 4).is_err());
        }
    }
}
