//! Pixel formats, by their four characters.

use super::meta::MAX_PLANES;
use core::fmt;

/// A pixel format, named by four characters as in video files and drivers. Of those that have a constant here the ring knows how long rows must
/// be, and does not hand out a frame whose rows are shorter; any other is taken as its producer describes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

/// The least that a format asks of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaneShape {
    pub(crate) row_bytes: usize,
    pub(crate) rows: u32,
}

/// How a plane of a format is made: bytes for each pixel, and of how many pixels, across and down, one is kept.
#[derive(Clone, Copy)]
struct Sampling {
    bytes: usize,
    across: u32,
    down: u32,
}

const fn full(bytes: usize) -> Sampling {
    Sampling { bytes, across: 1, down: 1 }
}

const fn sampled(bytes: usize, across: u32, down: u32) -> Sampling {
    Sampling { bytes, across, down }
}

impl FourCc {
    /// 8 bits, three planes; colour at half the width and half the height. (`YU12`)
    pub const I420: Self = Self::new(b"I420");
    /// 8 bits, three planes; colour at half the width.
    pub const I422: Self = Self::new(b"Y42B");
    /// 8 bits, three planes; colour at full size.
    pub const I444: Self = Self::new(b"444P");
    /// 8 bits, a plane of brightness and one of both colours, at half the width and half the height.
    pub const NV12: Self = Self::new(b"NV12");
    /// As [`NV12`](Self::NV12), with 16 bits of which the upper 10 count.
    pub const P010: Self = Self::new(b"P010");
    /// 8 bits, one plane: brightness and one of the two colours in turn.
    pub const YUY2: Self = Self::new(b"YUY2");
    /// 8 bits, brightness alone.
    pub const GRAY: Self = Self::new(b"Y800");
    /// One plane, four bytes: red, green, blue, opacity.
    pub const RGBA: Self = Self::new(b"RGBA");
    /// One plane, four bytes: blue, green, red, opacity.
    pub const BGRA: Self = Self::new(b"BGRA");
    /// One plane, three bytes: red, green, blue.
    pub const RGB: Self = Self::new(b"RGB ");

    /// The format of that name.
    #[must_use]
    pub const fn new(name: &[u8; 4]) -> Self {
        Self(*name)
    }

    fn samplings(self) -> &'static [Sampling] {
        match self {
            Self::I420 => const { &[full(1), sampled(1, 2, 2), sampled(1, 2, 2)] },
            Self::I422 => const { &[full(1), sampled(1, 2, 1), sampled(1, 2, 1)] },
            Self::I444 => const { &[full(1), full(1), full(1)] },
            Self::NV12 => const { &[full(1), sampled(2, 2, 2)] },
            Self::P010 => const { &[full(2), sampled(4, 2, 2)] },
            Self::YUY2 => const { &[sampled(4, 2, 1)] },
            Self::GRAY => const { &[full(1)] },
            Self::RGBA | Self::BGRA => const { &[full(4)] },
            Self::RGB => const { &[full(3)] },
            _ => &[],
        }
    }

    /// Whether the ring knows how long its rows must be.
    #[must_use]
    pub fn is_known(self) -> bool {
        !self.samplings().is_empty()
    }

    /// The least that the planes of a frame of this format have. `None` if the format is not known, or the size is too large for this machine.
    pub(crate) fn planes(self, width: u32, height: u32) -> Option<impl Iterator<Item = PlaneShape> + Clone> {
        let samplings = self.samplings();
        let shape = move |sampling: &Sampling| {
            let pixels = usize::try_from(width.div_ceil(sampling.across)).ok()?;
            let row_bytes = pixels.checked_mul(sampling.bytes)?;
            Some(PlaneShape { row_bytes, rows: height.div_ceil(sampling.down) })
        };
        let mut shapes = [PlaneShape { row_bytes: 0, rows: 0 }; MAX_PLANES];
        for (to, sampling) in shapes.iter_mut().zip(samplings) {
            *to = shape(sampling)?;
        }
        (!samplings.is_empty()).then(|| shapes.into_iter().take(samplings.len()))
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}
