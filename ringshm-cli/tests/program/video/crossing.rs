//! Every frame arrives, whoever starts first, and whoever else looks.

use super::clip::{FRAMES, SMALL, cut, decoder, film, hashes_of, hashes_of_film, output, small};
use crate::place::{Finished, Place, Running, assert_same, read_some};
use ringshm::{Participant, Peer, Role};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

pub(super) fn wait_for_receivers(place: &Place, count: usize) {
    // What it may hold was promised to it: from then on it misses nothing.
    let is_there = |lane: &&Participant| {
        matches!(lane.state, Peer::Live { .. }) && lane.frames.is_some_and(|frames| frames.most > 0)
    };
    place.wait_until("video", |ring| ring.participants_of(Role::Consumer).filter(is_there).count() == count);
}

#[track_caller]
pub(super) fn assert_quiet(finished: &Finished) {
    assert_eq!((finished.code(), finished.stderr.as_str()), (Some(0), ""));
}

/// A sender whose input is the film, decoded meanwhile.
fn send_film(place: &Place, more: &[&str]) -> Running {
    let mut decoder = decoder();
    let decoded = decoder.stdout.take().unwrap();
    let send = Running::new(place.command(&[&["send", "video", "--y4m", "--await"], more].concat()).stdin(decoded));
    // Nobody else is to have its pipe.
    thread::spawn(move || decoder.wait());
    send
}

#[test]
fn a_film_arrives_frame_for_frame_when_the_receiver_starts_first() {
    let place = Place::new();
    let recv = place.start(&["recv", "video", "--y4m"]);
    let send = send_film(&place, &[]);
    let recv = recv.finish();
    assert_quiet(&recv);
    assert_quiet(&send.finish());
    let hashes = hashes_of(recv.stdout);
    assert_eq!(hashes.len(), FRAMES);
    assert_eq!(hashes, hashes_of_film());
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_film_arrives_frame_for_frame_when_the_sender_starts_first() {
    let place = Place::new();
    let send = send_film(&place, &["--slots", "3", "--huge-pages", "--stats"]);
    place.wait_until("video", |ring| matches!(ring.producer.state, Peer::Live { .. }));
    // The ring says what it is.
    let recv = place.run(&["recv", "video", "--stats"]);
    assert!(recv.stderr.starts_with("received 132 frames (0 to 131), "), "{}", recv.stderr);
    let send = send.finish();
    assert!(send.stderr.starts_with("sent 132 frames (0 to 131), "), "{}", send.stderr);
    assert_eq!((recv.code(), send.code()), (Some(0), Some(0)));
    assert_eq!(hashes_of(recv.stdout), hashes_of_film());
    assert_eq!(place.leftovers(), [""; 0]);
}

/// Frames of a stream that are among those of another one, in the same order. Returns their numbers there.
#[track_caller]
fn numbers(received: &[u8], film: &[u8]) -> Vec<usize> {
    let (received, film) = (cut(received, SMALL), cut(film, SMALL));
    assert_same(received.header, film.header);
    let mut next = 0;
    let number = |frame: &&[u8]| {
        next += film.frames[next..].iter().position(|other| other == frame).expect("a frame of the film");
        next += 1;
        next - 1
    };
    received.frames.iter().map(number).collect()
}

/// A film whose frames all differ.
fn distinct() -> Vec<u8> {
    let mut film = small();
    let begin = film.iter().position(|byte| *byte == b'\n').unwrap() + 1 + b"FRAME\n".len();
    for (number, at) in (begin..film.len()).step_by(b"FRAME\n".len() + SMALL).enumerate() {
        film[at] = number as u8;
    }
    film
}

#[test]
fn one_that_takes_the_newest_only_holds_nobody_up_and_counts_what_it_skips() {
    let place = Place::new();
    let film = distinct();
    let mut send = Running::new(place.command(&["send", "video", "--y4m", "--await=2"]).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    let feed = film.clone();
    let feeder = thread::spawn(move || stdin.write_all(&feed));
    let mut idle = place.start(&["recv", "video", "--y4m", "--newest"]);
    // Its pipe is full after some frames, and it stands still in the middle of one.
    let every = place.run(&["recv", "video", "--y4m"]);
    assert_quiet(&every);
    assert_same(&every.stdout, &film);
    feeder.join().unwrap().unwrap();
    assert_quiet(&send.finish());
    let mut received = Vec::new();
    idle.stdout().read_to_end(&mut received).unwrap();
    let idle = idle.finish();
    let numbers = numbers(&received, &film);
    let skipped = numbers.last().unwrap() + 1 - numbers.len();
    assert_eq!(numbers.last(), Some(&(FRAMES - 1)), "the newest is there to the end");
    assert!(skipped > 0, "a pipe of a mebibyte and a ring hold less than the film: {numbers:?}");
    assert_eq!((idle.code(), idle.stderr), (Some(0), format!("ringshm: {skipped} frames were skipped\n")));
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn several_receivers_get_every_frame_each() {
    let place = Place::new();
    let film = small();
    let input = place.file("input", &film);
    let receivers: Vec<Running> = (0..3).map(|_| place.start(&["recv", "video", "--y4m"])).collect();
    let receivers: Vec<_> = receivers.into_iter().map(|recv| thread::spawn(|| recv.finish())).collect();
    assert_quiet(&place.run(&["send", "video", &input, "--y4m", "--await=3"]));
    for receiver in receivers {
        let receiver = receiver.join().unwrap();
        assert_quiet(&receiver);
        assert_same(&receiver.stdout, &film);
    }
}

#[test]
fn a_sender_waits_for_a_receiver_that_takes_every_frame() {
    let place = Place::new();
    let film = small();
    let input = place.file("input", &film);
    let mut recv = place.start(&["recv", "video", "--y4m"]);
    let mut stdout = recv.stdout();
    let send = place.start(&["send", "video", &input, "--y4m", "--slots", "4", "--await"]);
    let header = cut(&film, SMALL).header.len();
    let mut received = read_some(&mut stdout, header);
    // The pipe holds a mebibyte at most, and then some frames; the ring four; the film has more.
    place.wait_until("video", |ring| {
        let sent_and_taken = ring.producer.messages.zip(ring.consumer.messages);
        sent_and_taken.is_some_and(|(sent, taken)| sent >= taken + 3)
    });
    let sent = place.info("video")["producer"]["messages"].as_u64().unwrap();
    assert!(sent < FRAMES as u64, "{sent}");
    stdout.read_to_end(&mut received).unwrap();
    assert_same(&received, &film);
    assert_quiet(&recv.finish());
    assert_quiet(&send.finish());
}

#[test]
fn a_late_receiver_gets_a_whole_header_and_what_comes_from_then_on() {
    let place = Place::new();
    let film = distinct();
    let parts = cut(&film, SMALL);
    let mut send = Running::new(place.command(&["send", "video", "--y4m"]).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    stdin.write_all(&[parts.header, &parts.frames[..50].concat()].concat()).unwrap();
    place.wait_until("video", |ring| ring.producer.messages == Some(50));
    let newest = place.start(&["recv", "video", "--newest"]);
    let later = place.start(&["recv", "video", "--from", "newest"]);
    let oldest = place.start(&["recv", "video", "--stats"]);
    // They have chosen where to begin, and taken what was there.
    place.wait_until("video", |ring| {
        ring.participants_of(Role::Consumer).filter(|lane| lane.messages == Some(50)).count() == 3
    });
    stdin.write_all(&parts.frames[50..].concat()).unwrap();
    drop(stdin);
    let finished = [newest, later, oldest].map(|recv| thread::spawn(|| recv.finish()));
    assert_quiet(&send.finish());
    let [newest, later, oldest] = finished.map(|recv| recv.join().unwrap());
    assert!(numbers(&newest.stdout, &film).first() >= Some(&49));
    assert_eq!(numbers(&later.stdout, &film), (50..FRAMES).collect::<Vec<_>>());
    // All that was still there: one of the eight is being written.
    let oldest_ones = numbers(&oldest.stdout, &film);
    assert_eq!(oldest_ones, (oldest_ones[0]..FRAMES).collect::<Vec<_>>());
    assert!((42..=44).contains(&oldest_ones[0]), "{}", oldest_ones[0]);
    let said = format!("received {} frames ({} to 131), ", oldest_ones.len(), oldest_ones[0]);
    assert!(oldest.stderr.starts_with(&said), "{}", oldest.stderr);
}

#[test]
fn a_receiver_that_wants_only_some_leaves_the_others() {
    let place = Place::new();
    let film = small();
    let parts = cut(&film, SMALL);
    let mut send = Running::new(place.command(&["send", "video", "--y4m", "--await", "--stats"]).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    let feed = film.clone();
    let feeder = thread::spawn(move || stdin.write_all(&feed));
    let some = place.run(&["recv", "video", "--y4m", "--count", "5"]);
    assert_quiet(&some);
    assert_same(&some.stdout, &[parts.header, &parts.frames[..5].concat()].concat());
    feeder.join().unwrap().unwrap();
    let send = send.finish();
    assert!(send.stderr.starts_with("sent 132 frames (0 to 131), "), "{}", send.stderr);
    assert_eq!(send.code(), Some(0));
}

#[test]
fn tools_see_who_takes_what() {
    let place = Place::new();
    let film = small();
    let parts = cut(&film, SMALL);
    let mut send = Running::new(place.command(&["send", "video", "--y4m", "--slots", "6"]).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    stdin.write_all(parts.header).unwrap();
    place.wait_until("video", |ring| matches!(ring.producer.state, Peer::Live { .. }));
    let _every = place.start(&["recv", "video"]);
    wait_for_receivers(&place, 1);
    let _newest = place.start(&["recv", "video", "--newest"]);
    wait_for_receivers(&place, 2);
    let info = place.info("video");
    assert_eq!((&info["kind"], &info["unit"], &info["capacity"]), (&"frames".into(), &"slots".into(), &6.into()));
    let lanes = info["lanes"].as_array().unwrap();
    let takes: Vec<_> = lanes.iter().map(|lane| lane["takes"].as_str()).collect();
    assert_eq!(takes, [None, Some("every"), Some("newest")]);
    assert_eq!((&lanes[1]["most_held"], &lanes[1]["claimed"]), (&1.into(), &0.into()));
    for command in [&["ls"][..], &["stat", "video"], &["top", "--batch", "--count", "1"]] {
        let shown = String::from_utf8(place.run(command).stdout).unwrap();
        assert!(shown.contains("frames"), "{shown}");
    }
}

#[test]
fn the_lines_of_the_readme_work_as_they_are() {
    let readme = include_str!("../../../../README.md");
    let (_, section) = readme.split_once("\n### Video\n").unwrap();
    let (_, lines) = section.split_once("```sh\n").unwrap();
    let (lines, _) = lines.split_once("```").unwrap();
    let place = Place::new();
    let folder = place.path().join("home");
    std::fs::create_dir(&folder).unwrap();
    output(&film(), &["-vf", "scale=160:90", folder.join("in.mp4").to_str().unwrap()]);
    let program = Path::new(env!("CARGO_BIN_EXE_ringshm")).parent().unwrap().to_str().unwrap();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &format!("{lines}\nwait")]).current_dir(&folder).env("PATH", path);
    shell.env("RINGSHM_DIR", place.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shell = Running::new(&mut shell).finish();
    assert_eq!(shell.code(), Some(0), "{}", shell.stderr);
    let frames =
        output(&["-i".to_owned(), folder.join("out.mkv").to_str().unwrap().to_owned()], &["-f", "framemd5", "-"]);
    let frames = String::from_utf8(frames).unwrap();
    assert_eq!(frames.lines().filter(|line| !line.starts_with('#')).count(), FRAMES);
    assert!(folder.join("pictures/frame-000131.png").is_file(), "the newest is always taken");
    assert_eq!(place.leftovers(), [""; 0]);
}
