//! Films to send, and what ffmpeg makes of what arrives.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

/// Frames of every film here.
pub(super) const FRAMES: usize = 132;

/// ffmpeg, which says nothing but errors.
pub(super) fn ffmpeg(arguments: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

/// What tells ffmpeg to read the film: the one in the folder that `RINGSHM_DATA` names, or one that it makes up.
pub(super) fn film() -> Vec<String> {
    let recorded = std::env::var_os("RINGSHM_DATA").map(|folder| PathBuf::from(folder).join("bigbuckbunny.mp4"));
    let arguments = match recorded.filter(|path| path.is_file()) {
        Some(path) => {
            vec!["-i", path.to_str().expect("a path in UTF-8"), "-an"].into_iter().map(String::from).collect()
        }
        None => made_up("640x360", 25),
    };
    assert!(!arguments.is_empty());
    arguments
}

/// A film that ffmpeg makes up.
fn made_up(size: &str, rate: u32) -> Vec<String> {
    let source = format!("testsrc2=size={size}:rate={rate}");
    ["-f", "lavfi", "-i", &source, "-frames:v", &FRAMES.to_string()].map(String::from).to_vec()
}

/// Runs ffmpeg to its end, and returns what it writes.
pub(super) fn output(arguments: &[String], more: &[&str]) -> Vec<u8> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let output = ffmpeg(&arguments).stdout(Stdio::piped()).output().expect("ffmpeg is here");
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}

/// The film, small, as YUV4MPEG2.
pub(super) fn small() -> Vec<u8> {
    output(&film(), &["-vf", "scale=160:90", "-f", "yuv4mpegpipe", "-"])
}

/// A made-up film, as YUV4MPEG2 or in another form.
pub(super) fn in_form(size: &str, more: &[&str]) -> Vec<u8> {
    output(&made_up(size, 30), more)
}

/// ffmpeg, which decodes the film to its standard output.
pub(super) fn decoder() -> Child {
    let film = film();
    let arguments: Vec<&str> = film.iter().map(String::as_str).chain(["-f", "yuv4mpegpipe", "-"]).collect();
    ffmpeg(&arguments).stdout(Stdio::piped()).spawn().expect("ffmpeg is here")
}

/// What `framemd5` says of each frame: its time, and a hash of its pixels. Of the film, decoded by one ffmpeg.
pub(super) fn hashes_of_film() -> Vec<String> {
    hashes(&output(&film(), &["-f", "framemd5", "-"]))
}

/// The same, of a stream of YUV4MPEG2.
pub(super) fn hashes_of(y4m: Vec<u8>) -> Vec<String> {
    let mut command = ffmpeg(&["-f", "yuv4mpegpipe", "-i", "pipe:0", "-f", "framemd5", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ffmpeg is here");
    let mut stdin = child.stdin.take().expect("it was piped");
    let writer = thread::spawn(move || stdin.write_all(&y4m));
    let output = child.wait_with_output().expect("it is a child");
    writer.join().expect("no panic").expect("ffmpeg reads all of it");
    assert!(output.status.success());
    hashes(&output.stdout)
}

fn hashes(framemd5: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(framemd5).expect("text");
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.replace(' ', "")).collect()
}

/// A stream of YUV4MPEG2, cut into its header and its frames, each with the line before it.
pub(super) struct Cut<'s> {
    pub(super) header: &'s [u8],
    pub(super) frames: Vec<&'s [u8]>,
}

/// Cuts a stream whose frames all have as many bytes as its first one.
pub(super) fn cut(y4m: &[u8], bytes: usize) -> Cut<'_> {
    let end = y4m.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
    let (header, rest) = y4m.split_at(end);
    let frames: Vec<&[u8]> = rest.chunks(b"FRAME\n".len() + bytes).collect();
    assert!(frames.iter().all(|frame| frame.starts_with(b"FRAME\n")));
    Cut { header, frames }
}

/// The small film, and how many bytes a frame of it has.
pub(super) const SMALL: usize = 160 * 90 * 3 / 2;
