//! What is no video, or not such as goes through the ring: an error that says what, and no ring that was not there before.

use super::clip::{SMALL, cut, small};
use super::crossing::assert_quiet;
use crate::place::{Finished, Place, assert_same};

#[track_caller]
fn assert_fails(finished: &Finished, code: i32, said: &str) {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

#[test]
fn what_is_no_stream_makes_no_ring() {
    let place = Place::new();
    let long = format!("YUV4MPEG2 W8 H4 X{}\n", "x".repeat(300));
    let endless = "YUV4MPEG2 ".to_owned() + &"W8 ".repeat(1000);
    for (input, said) in [
        (&b""[..], "the input is empty"),
        (b"RIFF....WEBP", "no YUV4MPEG2, it begins with \"RIFF....WE\": `ffmpeg"),
        (b"YUV4", "no YUV4MPEG2, it begins with \"YUV4\""),
        (b"YUV4MPEG2 W8 H4 F25", "ends in the middle of a line"),
        (b"YUV4MPEG2 W8\n", "no height"),
        (b"YUV4MPEG2 W0 H4\n", "width is \"0\""),
        (b"YUV4MPEG2 W8 H4 C410\n", "C410, which is not among 420, 420mpeg2, 420paldv, 420jpeg, 422"),
        (b"YUV4MPEG2 W8 H4 \xff\n", "no text"),
        (b"YUV4MPEG2 W4294967295 H4294967295\n", "too large"),
        (long.as_bytes(), "bytes, and at most"),
        (endless.as_bytes(), "longer than 1024 bytes"),
    ] {
        assert_fails(&place.run_with(&["send", "video", "--y4m"], input), 1, said);
        assert_eq!(place.leftovers(), [""; 0]);
    }
}

#[test]
fn more_than_the_memory_has_is_refused_before_it_begins() {
    let place = Place::new();
    let send = place.run_with(&["send", "video", "--y4m", "--slots", "1024"], b"YUV4MPEG2 W100000 H100000\nFRAME\n");
    assert_fails(&send, 1, "bytes of shared memory and ");
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn half_a_frame_is_not_sent_and_what_came_before_is() {
    let film = small();
    let parts = cut(&film, SMALL);
    for (rest, said) in [
        (&parts.frames[2][..SMALL / 2], "in the middle of frame 2: 10794 of its 21600 bytes are there"),
        (b"FRA", "in the middle of frame 2: the line before it is cut off"),
        (b"FRAME Ib", "in the middle of a line"),
        (b"FRAME\n", "in the middle of frame 2: 0 of its 21600 bytes"),
        (b"\0\0\0\0\0\0\0\0", "no frame begins where number 2 should, but \"\\x00"),
        (b"FRAMES\n", "no frame begins where number 2 should, but \"FRAMES\""),
        (parts.header, "after 2 frames a new stream begins"),
    ] {
        let place = Place::new();
        let input = [parts.header, &parts.frames[..2].concat(), rest].concat();
        let send = place.run_with(&["send", "video", "--y4m"], &input);
        assert_fails(&send, 1, said);
        // The ring was not closed: nobody takes a part for the whole.
        let recv = place.run(&["recv", "video"]);
        assert_fails(&recv, 3, "died without closing the ring; 2 frames were received");
        assert_same(&recv.stdout, &[parts.header, &parts.frames[..2].concat()].concat());
        assert_eq!(place.leftovers(), [""; 0]);
    }
}

#[test]
fn half_of_a_bare_frame_is_not_sent() {
    let place = Place::new();
    let send = place.run_with(&["send", "video", "--raw", "--size", "8x4", "--pix", "gray"], &[7; 70]);
    assert_fails(&send, 1, "in the middle of frame 2: 6 of its 32 bytes are there");
    let recv = place.run(&["recv", "video", "--raw"]);
    assert_same(&recv.stdout, &[7; 64]);
    assert_eq!(recv.code(), Some(3));
}

#[test]
fn a_change_of_size_midway_ends_a_stream_and_no_other() {
    let place = Place::new();
    let bare = |size, bytes: &[u8]| {
        place.run_with(&["send", "video", "--raw", "--pix", "gray", "--keep", "--size", size], bytes)
    };
    assert_quiet(&bare("8x4", &[1; 32]));
    assert_quiet(&bare("4x8", &[2; 32]));
    let recv = place.run(&["recv", "video", "--y4m", "--count", "2"]);
    assert_fails(&recv, 1, "frame 1 is 4x8 gray, and those before were 8x4 gray: a stream has one size");
    assert_same(&recv.stdout, &[&b"YUV4MPEG2 W8 H4 F25:1 Ip Cmono\nFRAME\n"[..], &[1; 32]].concat());
    // Who begins with the second one gets it; and pictures may have any size.
    let recv = place.run(&["recv", "video", "--y4m", "--newest", "--count", "1"]);
    assert_same(&recv.stdout, &[&b"YUV4MPEG2 W4 H8 F25:1 Ip Cmono\nFRAME\n"[..], &[2; 32]].concat());
    // A larger frame than the slots have room for needs another ring.
    assert_fails(&bare("9x1000", &[3; 9000]), 1, "the ring carries frames");
}

#[test]
fn pixels_that_have_no_form_there_are_named() {
    let place = Place::new();
    let send = ["send", "video", "--raw", "--size", "4x2", "--pix", "nv12"];
    assert_quiet(&place.run_with(&send, &[128; 12]));
    let recv = place.run(&["recv", "video", "--y4m"]);
    assert_fails(&recv, 1, "YUV4MPEG2 has no pixels such as these (nv12), but 420, ");
    assert!(recv.stdout.is_empty());
}

#[test]
fn a_name_of_another_kind_of_ring_is_refused() {
    let place = Place::new();
    let film = small();
    assert_quiet(&place.run_with(&["send", "lines"], b"one\n"));
    assert_fails(&place.run_with(&["send", "lines", "--y4m"], &film), 1, "the ring carries spsc records");
    for form in [&["lines", "--y4m"][..], &["lines", "--newest"], &["lines", "--ring", "frames"], &["frames:lines"]] {
        assert_fails(&place.run(&[&["recv"], form].concat()), 1, "the ring carries spsc records");
    }
    assert_eq!(place.run(&["recv", "lines"]).stdout, b"one\n");
    // And the other way round.
    assert_quiet(&place.run_with(&["send", "video", "--y4m"], &film));
    assert_fails(&place.run(&["recv", "video", "--ring", "spsc"]), 1, "the ring carries frames");
    assert_fails(&place.run_with(&["send", "video", "--ring", "mpmc"], b"one\n"), 1, "the ring carries frames");
    assert_fails(&place.run(&["recv", "video", "--lines"]), 2, "goes with --y4m or --raw");
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let place = Place::new();
    let film = small();
    for (arguments, said) in [
        (&["send", "x", "--raw", "--ring", "frames"][..], "--raw needs --size: WIDTHxHEIGHT"),
        (&["send", "x", "--raw", "--size", "64", "--ring", "frames"], "is WIDTHxHEIGHT, such as 1280x720"),
        (&["send", "x", "--raw", "--size", "0x4"], "a frame is WIDTHxHEIGHT"),
        (&["send", "x", "--raw", "--size", "8x4", "--pix", "yuv410p"], "known are yuv420p"),
        (&["send", "x", "--y4m", "--pix", "gray"], "--pix goes with --raw"),
        (&["send", "x", "--y4m", "--slots", "2"], "3..=1024"),
        (&["send", "x", "--y4m", "--capacity", "8"], "--capacity needs --ring spsc"),
        (&["send", "x", "--y4m", "--ring", "spsc"], "--y4m needs --ring frames"),
        (&["send", "x", "--realtime", "--ring", "mpmc"], "--realtime needs --ring frames"),
        (&["send", "x", "--raw", "--size", "8x4", "--realtime"], "--realtime needs frames per second"),
        (&["send", "tcp://localhost:1", "--y4m"], "--y4m needs --ring frames"),
        (&["send", "x", "--y4m", "--lines"], "cannot be used with"),
        (&["recv", "x", "--png", "pictures", "--y4m"], "cannot be used with"),
        (&["recv", "x", "y", "--newest"], "--newest goes with one ring alone"),
        (&["recv", "x", "frames:y"], "a ring of frames is received from alone"),
        (&["recv", "mpmc:x", "--y4m"], "--y4m needs --ring frames"),
        (&["recv", "x", "--y4m", "--lossy"], "--lossy needs --ring broadcast"),
        (&["recv", "x", "--y4m", "--tag"], "--tag marks records"),
    ] {
        assert_fails(&place.run_with(arguments, &film), 2, said);
    }
    assert_fails(&place.run(&["recv", "x", "--y4m", "--timeout", "0.05"]), 1, "nobody has made the ring");
    assert_eq!(place.leftovers(), [""; 0]);
    assert_quiet(&place.run_with(&["send", "x", "--keep", "--y4m"], &film));
    let recv = place.run(&["recv", "x", "--png", "/proc/no/such", "--timeout", "0.05"]);
    assert_fails(&recv, 1, "creating the folder /proc/no/such");
    let recv = place.run(&["recv", "x", "--timeout", "0.05"]);
    assert_fails(&recv, 1, "no frame came for 0.05 s");
}

/// Somebody takes `video` for a command, or forgets what says that it is video.
#[test]
fn the_mere_word_makes_no_ring_of_records() {
    let place = Place::new();
    for command in
        [&["recv", "video", "camera"][..], &["recv", "video"], &["recv", "camera", "video"], &["send", "video"]]
    {
        assert_fails(&place.run_with(command, b""), 2, "for video say --y4m behind the ring's name");
        assert_eq!(place.leftovers(), [""; 0]);
    }
    // Who says that it is one of records gets one.
    let recv = place.start(&["recv", "video", "--ring", "spsc"]);
    assert_quiet(&place.run_with(&["send", "--ring", "spsc", "video"], b"line\n"));
    let recv = recv.finish();
    assert_quiet(&recv);
    assert_same(&recv.stdout, b"line\n");
    assert_eq!(place.leftovers(), [""; 0]);
}
