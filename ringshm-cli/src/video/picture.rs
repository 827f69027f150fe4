//! A frame's colours, as screens want them: red, green, blue.

use super::pixels::{Part, Parts, Pixels};
use super::y4m;
use crate::failure::Failure;
use ringshm::frames::{Frame, MAX_PLANES};

/// Red, green, blue.
pub(super) type Rgb = [u8; 3];

/// A frame, of which a row at a time is looked at. Rows are copied: a sender that breaks the protocol may write the slot meanwhile.
pub(super) struct Picture<'f> {
    frame: &'f Frame,
    parts: Parts,
    light: Light,
    rows: [Vec<u8>; MAX_PLANES],
    /// Which row of each plane that is.
    loaded: [Option<u32>; MAX_PLANES],
}

impl<'f> Picture<'f> {
    pub(super) fn new(frame: &'f Frame) -> Result<Self, Failure> {
        let meta = frame.meta();
        let pixels = Pixels::of(meta.format).filter(|pixels| pixels.pieces(meta).is_some());
        let Some(pixels) = pixels else {
            let format = meta.format;
            return Err(Failure::new(format!("frames of the format {format} cannot be turned into colours here")));
        };
        let parts = pixels.parts();
        let is_gray = matches!(parts, Parts::Brightness(_));
        let light = Light {
            // Files and pipes rarely say; this is what players take for granted.
            is_high_definition: meta.width >= 1280 || meta.height > 576,
            is_full: y4m::has_full_range(meta).unwrap_or(is_gray),
        };
        let rows = [0, 1, 2, 3].map(|plane| vec![0; meta.planes().get(plane).map_or(0, |plane| plane.row_bytes)]);
        Ok(Self { frame, parts, light, rows, loaded: [None; MAX_PLANES] })
    }

    pub(super) fn width(&self) -> u32 {
        self.frame.meta().width
    }

    pub(super) fn height(&self) -> u32 {
        self.frame.meta().height
    }

    /// The row `y`, from which [`Row::pixel`] reads.
    pub(super) fn row(&mut self, y: u32) -> Row<'_> {
        let parts: &[Part] = match &self.parts {
            Parts::Differences(parts) | Parts::Rgb(parts) => parts,
            Parts::Brightness(part) => std::slice::from_ref(part),
        };
        for Part { plane, down, .. } in parts {
            let row = y / down;
            if self.loaded[*plane] != Some(row) {
                // `None` only in a forked child, of which there is none.
                let _ = self.frame.read_row(*plane, row, &mut self.rows[*plane]);
                self.loaded[*plane] = Some(row);
            }
        }
        Row { parts: self.parts, light: self.light, rows: &self.rows }
    }
}

/// A row of a frame.
pub(super) struct Row<'p> {
    parts: Parts,
    light: Light,
    rows: &'p [Vec<u8>; MAX_PLANES],
}

impl Row<'_> {
    pub(super) fn pixel(&self, x: u32) -> Rgb {
        match &self.parts {
            Parts::Rgb(parts) => parts.map(|part| self.sample(part, x)),
            Parts::Brightness(part) => [self.light.gray(self.sample(*part, x)); 3],
            Parts::Differences([brightness, blue, red]) => {
                self.light.rgb(self.sample(*brightness, x), self.sample(*blue, x), self.sample(*red, x))
            }
        }
    }

    /// A sample's upper eight bits.
    fn sample(&self, part: Part, x: u32) -> u8 {
        let Part { plane, first, step, across, bits, .. } = part;
        let at = first + (x / across) as usize * step;
        let byte = |at: usize| self.rows[plane].get(at).copied().unwrap_or(0);
        if bits <= 8 {
            return byte(at);
        }
        (u16::from_le_bytes([byte(at), byte(at + 1)]) >> (bits - 8)).min(255) as u8
    }
}

/// What samples of brightness and its differences mean.
#[derive(Clone, Copy, Debug)]
struct Light {
    /// By BT.709, and not by BT.601.
    is_high_definition: bool,
    /// From 0 to 255, and not from 16 to 235 and 240.
    is_full: bool,
}

/// Fixed point: so many bits behind it.
const POINT: u32 = 16;

const fn fixed(number: f64) -> i32 {
    (number * (1 << POINT) as f64 + if number < 0.0 { -0.5 } else { 0.5 }) as i32
}

/// How much of the differences belongs to red, green (of both) and blue.
const BT601: [i32; 4] = [fixed(1.402), fixed(-0.344_136), fixed(-0.714_136), fixed(1.772)];
const BT709: [i32; 4] = [fixed(1.5748), fixed(-0.187_324), fixed(-0.468_124), fixed(1.8556)];

impl Light {
    /// Brightness in fixed point.
    fn brightness(self, sample: u8) -> i32 {
        let sample = i32::from(sample);
        if self.is_full { sample << POINT } else { (sample - 16) * fixed(255.0 / 219.0) }
    }

    fn gray(self, sample: u8) -> u8 {
        rounded(self.brightness(sample))
    }

    fn rgb(self, brightness: u8, blue: u8, red: u8) -> Rgb {
        let brightness = self.brightness(brightness);
        let [of_red, green_of_blue, green_of_red, of_blue] = if self.is_high_definition { BT709 } else { BT601 };
        let difference = |sample: u8, factor: i32| {
            let bare = (i32::from(sample) - 128) * factor;
            if self.is_full { bare } else { (i64::from(bare) * 255 / 224) as i32 }
        };
        [
            rounded(brightness + difference(red, of_red)),
            rounded(brightness + difference(blue, green_of_blue) + difference(red, green_of_red)),
            rounded(brightness + difference(blue, of_blue)),
        ]
    }
}

fn rounded(fixed: i32) -> u8 {
    ((fixed + (1 << (POINT - 1))) >> POINT).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringshm::frames::Meta;

    fn colours_of(name: &str, width: u32, height: u32, bytes: &[u8]) -> Vec<Rgb> {
        let meta: Meta = Pixels::named(name).unwrap().packed(width, height).unwrap();
        let ring = ringshm::frames("").frame_bytes(meta.bytes as u64);
        let (mut producer, mut consumer) = ring.threads().unwrap();
        let mut loan = producer.loan().unwrap();
        loan.write(0, bytes).unwrap();
        loan.commit(&meta).unwrap();
        let frame = consumer.recv_ref().unwrap();
        let mut picture = Picture::new(&frame).unwrap();
        let mut colours = Vec::new();
        for y in 0..height {
            let row = picture.row(y);
            colours.extend((0..width).map(|x| row.pixel(x)));
        }
        colours
    }

    const BLACK: Rgb = [0; 3];
    const WHITE: Rgb = [255; 3];
    /// As BT.601 has it, rounded to eight bits.
    const RED: [u8; 3] = [81, 90, 240];

    /// So close that the rounding of the samples explains it.
    #[track_caller]
    fn assert_red(colour: Rgb) {
        assert!(colour[0] >= 253 && colour[1] <= 2 && colour[2] <= 2, "{colour:?}");
    }

    #[test]
    fn every_layout_finds_its_samples() {
        let [y, u, v] = RED;
        // Black, white above; red, red below.
        let rows = [16, 235, y, y];
        let of_planes = colours_of("yuv444p", 2, 2, &[rows, [128, 128, u, u], [128, 128, v, v]].concat());
        assert_eq!(of_planes[..2], [BLACK, WHITE]);
        assert_red(of_planes[3]);
        for (name, bytes) in [
            ("yuv420p", vec![y, y, y, y, u, v]),
            ("yuv422p", vec![y, y, y, y, u, u, v, v]),
            ("nv12", vec![y, y, y, y, u, v]),
            ("yuyv422", [y, u, y, v].repeat(2)),
            ("uyvy422", [u, y, v, y].repeat(2)),
            ("yuva444p", [[y; 4], [u; 4], [v; 4], [7; 4]].concat()),
            ("rgb24", [255, 0, 0].repeat(4)),
            ("bgr24", [0, 0, 255].repeat(4)),
            ("rgba", [255, 0, 0, 9].repeat(4)),
            ("bgra", [0, 0, 255, 9].repeat(4)),
        ] {
            colours_of(name, 2, 2, &bytes).into_iter().for_each(assert_red);
        }
        let wide =
            |bits: u32| [y, y, y, y, u, v].map(|sample| (u16::from(sample) << (bits - 8)).to_le_bytes()).concat();
        for (name, bits) in [("yuv420p10le", 10), ("yuv420p16le", 16), ("p010le", 16)] {
            colours_of(name, 2, 2, &wide(bits)).into_iter().for_each(assert_red);
        }
        assert_eq!(colours_of("gray", 2, 1, &[0, 255]), [BLACK, WHITE]);
        assert_eq!(colours_of("gray10le", 2, 1, &[0, 0, 0xff, 3]), [BLACK, WHITE]);
    }

    #[test]
    fn odd_sizes_have_colour_at_their_ends() {
        let [y, u, v] = RED;
        let colours = colours_of("yuv420p", 3, 3, &[[y; 9].to_vec(), vec![u; 4], vec![v; 4]].concat());
        assert_eq!(colours.len(), 9);
        colours.into_iter().for_each(assert_red);
    }

    #[test]
    fn high_definition_has_other_colours() {
        let light = Light { is_high_definition: true, is_full: false };
        assert_red(light.rgb(63, 102, 240));
        let light = Light { is_high_definition: false, is_full: true };
        assert_red(light.rgb(76, 85, 255));
    }
}
