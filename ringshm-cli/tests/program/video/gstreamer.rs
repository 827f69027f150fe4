//! GStreamer on both sides, through pipes, as `docs/video.md` says.

use super::crossing::assert_quiet;
use crate::place::{Place, Running, assert_same};
use std::process::{Child, Command, Stdio};

const FRAMES: usize = 60;
const BYTES: usize = 320 * 180 * 3 / 2;
const SOURCE: &str = "videotestsrc num-buffers=60 pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! fdsink fd=1";
const SINK: &str = "fdsrc fd=0 ! rawvideoparse format=i420 width=320 height=180 framerate=30/1 ! fdsink fd=1";

fn pipeline(elements: &str, input: impl Into<Stdio>) -> std::io::Result<Child> {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(elements.split(' ')).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// What a pipeline writes; why not, where GStreamer is not installed, or not its plugins.
fn written_by(pipeline: std::io::Result<Child>) -> Result<Vec<u8>, String> {
    let output = pipeline.and_then(Child::wait_with_output).map_err(|error| format!("gst-launch-1.0: {error}"))?;
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn frames_cross_between_two_pipelines_byte_for_byte() {
    let written = written_by(pipeline(SOURCE, Stdio::null()));
    let parsed = written_by(pipeline(SINK, Stdio::null()));
    let film = match (written, parsed) {
        (Ok(film), Ok(_)) => film,
        (Err(reason), _) | (_, Err(reason)) => {
            println!("skipped: {reason}");
            return;
        }
    };
    assert_eq!(film.len(), FRAMES * BYTES);
    let place = Place::new();
    let mut source = pipeline(SOURCE, Stdio::null()).unwrap();
    let pixels = ["--raw", "--size", "320x180", "--pix", "yuv420p", "--fps", "30", "--await"];
    let mut send = place.command(&[&["send", "video"], &pixels[..]].concat());
    let send = Running::new(send.stdin(source.stdout.take().unwrap()));
    let mut recv = place.start(&["recv", "video", "--ring", "frames", "--raw"]);
    let sink = pipeline(SINK, recv.stdout());
    assert_same(&written_by(sink).unwrap(), &film);
    assert!(source.wait().unwrap().success());
    assert_quiet(&send.finish());
    assert_quiet(&recv.finish());
    assert_eq!(place.leftovers(), [""; 0]);
}
