//! Every kind of pixels that ffmpeg writes as YUV4MPEG2, bare frames, and pictures in files.

use super::clip::{FRAMES, SMALL, cut, in_form, small};
use super::crossing::assert_quiet;
use crate::place::{Place, assert_same};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

/// Sends these bytes, and returns what arrives.
#[track_caller]
fn cross(bytes: &[u8], send: &[&str], recv: &[&str]) -> Vec<u8> {
    let place = Place::new();
    let input = place.file("input", bytes);
    let recv = place.start(&[&["recv", "video"], recv].concat());
    let send = place.start(&[&["send", "video", &input, "--await"], send].concat());
    let recv = recv.finish();
    assert_quiet(&recv);
    assert_quiet(&send.finish());
    assert_eq!(place.leftovers(), [""; 0]);
    recv.stdout
}

#[test]
fn every_kind_of_pixels_and_every_parameter_crosses() {
    for pixels in [
        "yuv420p",
        "yuv422p",
        "yuv444p",
        "yuv411p",
        "gray",
        "yuv420p9le",
        "yuv420p10le",
        "yuv420p12le",
        "yuv420p14le",
        "yuv420p16le",
        "yuv422p10le",
        "yuv444p10le",
        "gray10le",
        "gray16le",
    ] {
        // Odd sizes: half a sample of colour at the ends. (Of two bytes, ffmpeg then writes half.)
        let (width, height) = if pixels.ends_with("le") { (38, 23) } else { (37, 23) };
        let filter = format!("scale={width}:{height},setsar=12/11");
        let form = ["-pix_fmt", pixels, "-vf", &filter, "-strict", "-1", "-f", "yuv4mpegpipe", "-"];
        let film = in_form("64x48", &form);
        let header = format!("YUV4MPEG2 W{width} H23 F30:1 Ip A12:11 C");
        assert!(film.starts_with(header.as_bytes()), "{}", film[..60].escape_ascii());
        assert_same(&cross(&film, &["--y4m"], &["--y4m"]), &film);
    }
}

#[test]
fn sitings_interlacing_and_the_frames_own_parameters_cross() {
    let frames: Vec<u8> = (0..144).collect();
    let frames: Vec<&[u8]> = frames.chunks(48).collect();
    for header in ["F25:1 Im A0:0 C420paldv XYSCSS=420PALDV", "C420mpeg2 F24000:1001", "Ib F0:0", ""] {
        let mut film = format!("YUV4MPEG2 W8 H4 {header}\n").into_bytes();
        for (frame, line) in frames.iter().zip(["FRAME Itp\n", "FRAME\n", "FRAME Ib1 XABC\n"]) {
            film.extend_from_slice(line.as_bytes());
            film.extend_from_slice(frame);
        }
        assert_same(&cross(&film, &["--y4m"], &["--y4m"]), &film);
    }
}

#[test]
fn bare_frames_cross_in_every_format() {
    for pixels in ["yuv420p", "nv12", "p010le", "yuyv422", "uyvy422", "gray", "rgb24", "bgr24", "rgba", "bgra"] {
        let film = in_form("36x22", &["-pix_fmt", pixels, "-f", "rawvideo", "-"]);
        let arrived = cross(&film, &["--raw", "--size", "36x22", "--pix", pixels], &["--ring", "frames", "--raw"]);
        assert_same(&arrived, &film);
    }
}

#[test]
fn bare_frames_become_a_stream_with_a_header_and_back() {
    let film = in_form("36x22", &["-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]);
    let y4m = cross(&film, &["--raw", "--size", "36x22", "--fps", "30000/1001"], &["--y4m"]);
    let parts = cut(&y4m, 36 * 22 * 3 / 2);
    assert_eq!(parts.header, b"YUV4MPEG2 W36 H22 F30000:1001 Ip C420jpeg\n");
    assert_eq!(parts.frames.len(), FRAMES);
    assert_same(&cross(&y4m, &["--y4m"], &["--ring", "frames", "--raw"]), &film);
    // Faster than any film, but as was said.
    let fast = ["--raw", "--size", "36x22", "--fps", "2000", "--realtime"];
    let y4m = cross(&film, &fast, &["--y4m"]);
    assert_eq!(cut(&y4m, 36 * 22 * 3 / 2).frames.len(), FRAMES);
}

#[test]
fn a_sender_in_real_time_takes_as_long_as_the_film() {
    let film = small();
    let parts = cut(&film, SMALL);
    let film = [parts.header, &parts.frames[..11].concat()].concat();
    let begun = Instant::now();
    assert_same(&cross(&film, &["--y4m", "--realtime"], &["--y4m"]), &film);
    // At most 30 frames a second: the first one at once, and each other one after its time.
    assert!(begun.elapsed() >= Duration::from_millis(330), "{:?}", begun.elapsed());
}

/// The size of a picture, and its pixels.
fn picture(path: &Path) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(BufReader::new(File::open(path).unwrap())).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    (info.width, info.height, bytes)
}

/// Sends frames of that size, and compares the pictures with those that ffmpeg makes.
fn pictures(size: &str, frames: usize, pixels: &str, colours: &str) {
    let place = Place::new();
    let frames_arg = frames.to_string();
    let film =
        in_form(size, &["-frames:v", &frames_arg, "-pix_fmt", pixels, "-strict", "-1", "-f", "yuv4mpegpipe", "-"]);
    // Colour as it was sampled, as here: not made smooth.
    let filter = format!("format={pixels},scale={colours}:flags=neighbor+accurate_rnd+full_chroma_inp,format=rgb24");
    let expected = in_form(size, &["-frames:v", &frames_arg, "-vf", &filter, "-f", "rawvideo", "-"]);
    let input = place.file("input", &film);
    let folder = place.path().join("pictures");
    let recv = place.start(&["recv", "video", "--png", folder.to_str().unwrap()]);
    assert_quiet(&place.run(&["send", "video", &input, "--y4m", "--await"]));
    let recv = recv.finish();
    assert_quiet(&recv);
    assert!(recv.stdout.is_empty());
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, (0..frames).map(|number| format!("frame-{number:06}.png")).collect::<Vec<_>>());
    for (name, expected) in names.iter().zip(expected.chunks(expected.len() / frames)) {
        let (width, height, bytes) = picture(&folder.join(name));
        assert_eq!((format!("{width}x{height}"), bytes.len()), (size.to_owned(), expected.len()));
        let apart: u64 = bytes.iter().zip(expected).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = apart as f64 / bytes.len() as f64;
        assert!(mean < 1.5, "{name}, {size}, {pixels}: {mean} apart on average");
    }
}

#[test]
fn pictures_have_the_colours_that_ffmpeg_gives_them() {
    pictures("64x48", 10, "yuv420p", "in_color_matrix=bt601");
    pictures("64x48", 2, "yuv422p", "in_color_matrix=bt601");
    pictures("64x48", 2, "yuv444p10le", "in_color_matrix=bt601");
    pictures("64x48", 2, "gray", "in_color_matrix=bt601");
    pictures("1280x720", 1, "yuv420p", "in_color_matrix=bt709");
}
