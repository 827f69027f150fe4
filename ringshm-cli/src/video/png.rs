//! Frames as files.

use super::picture::Picture;
use crate::failure::Failure;
use ringshm::frames::Frame;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A folder of pictures, which have the numbers of their frames in the ring.
pub(super) struct Pngs {
    folder: PathBuf,
    /// The pixels of one.
    bytes: Vec<u8>,
}

impl Pngs {
    pub(super) fn into(folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder)
            .map_err(|error| Failure::at(format_args!("creating the folder {}", folder.display()), error))?;
        Ok(Self { folder: folder.to_owned(), bytes: Vec::new() })
    }

    /// Writes a frame. Its file is there when it is whole.
    pub(super) fn put(&mut self, frame: &Frame) -> Result<(), Failure> {
        let mut picture = Picture::new(frame)?;
        let (width, height) = (picture.width(), picture.height());
        self.bytes.clear();
        for y in 0..height {
            let row = picture.row(y);
            self.bytes.extend((0..width).flat_map(|x| row.pixel(x)));
        }
        let path = self.folder.join(format!("frame-{:06}.png", frame.sequence()));
        let part = path.with_extension("png.part");
        let written = self.write(&part, width, height).and_then(|()| fs::rename(&part, &path));
        written.map_err(|error| {
            // What is left of it is of no use; it may not even be there.
            let _ = fs::remove_file(&part);
            Failure::at(format_args!("writing {}", path.display()), error)
        })
    }

    fn write(&self, path: &Path, width: u32, height: u32) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fastest);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.bytes)?;
        writer.finish()?;
        file.flush()
    }
}
