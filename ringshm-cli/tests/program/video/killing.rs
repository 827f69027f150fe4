//! Renderers and decoders that are killed midway: every frame is accounted for, and the others do not notice.

use super::clip::{FRAMES, SMALL, cut, hashes_of, small};
use super::crossing::{assert_quiet, wait_for_receivers};
use crate::place::{Place, Running, assert_same, read_some};
use ringshm::{Peer, Role};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::process::{ChildStdin, Stdio};
use std::thread;

fn sender(place: &Place, more: &[&str]) -> (Running, ChildStdin) {
    let mut send = Running::new(place.command(&[&["send", "video", "--y4m"], more].concat()).stdin(Stdio::piped()));
    let stdin = send.child.stdin.take().unwrap();
    (send, stdin)
}

fn wait_until_dead(place: &Place, role: Role) {
    place.wait_until("video", |ring| ring.participants_of(role).any(|lane| matches!(lane.state, Peer::Dead { .. })));
}

#[test]
fn a_renderer_that_is_restarted_goes_on_where_the_killed_one_stopped() {
    let place = Place::new();
    let film = small();
    let parts = cut(&film, SMALL);
    let (send, mut stdin) = sender(&place, &["--await"]);
    let mut first = place.start(&["recv", "video", "--y4m"]);
    let mut stdout = first.stdout();
    let begin = [parts.header, &parts.frames[..60].concat()].concat();
    stdin.write_all(&begin).unwrap();
    let received = read_some(&mut stdout, begin.len());
    first.kill();
    assert_same(&received, &begin);
    wait_until_dead(&place, Role::Consumer);

    let second = place.start(&["recv", "video", "--y4m", "--from", "newest"]);
    // It has chosen where to begin.
    place.wait_until("video", |ring| {
        let mut consumers = ring.participants_of(Role::Consumer);
        consumers.any(|lane| matches!(lane.state, Peer::Live { .. }) && lane.messages == Some(60))
    });
    let second = thread::spawn(|| second.finish());
    stdin.write_all(&parts.frames[60..].concat()).unwrap();
    drop(stdin);
    assert_quiet(&send.finish());
    let second = second.join().unwrap();
    assert_quiet(&second);
    // A header of its own, and not one frame twice or missed.
    assert_same(&second.stdout, &[parts.header, &parts.frames[60..].concat()].concat());
    // To ffmpeg, too.
    let hash = |hashes: Vec<String>| -> Vec<String> {
        hashes.into_iter().map(|line| line.rsplit(',').next().unwrap_or_default().to_owned()).collect()
    };
    let both = [hash(hashes_of(received)), hash(hashes_of(second.stdout))].concat();
    assert_eq!(both.len(), FRAMES);
    assert_eq!(both, hash(hashes_of(film)));
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn what_a_killed_renderer_held_comes_back_to_the_sender() {
    let place = Place::new();
    let film = small();
    let parts = cut(&film, SMALL);
    let (send, mut stdin) = sender(&place, &["--await", "--slots", "4"]);
    let feed = film.clone();
    let feeder = thread::spawn(move || stdin.write_all(&feed).map(|()| stdin));
    // Nobody reads what it writes: it stands still with a frame in its hands, and the sender with it.
    let mut first = place.start(&["recv", "video", "--y4m"]);
    let mut stdout = first.stdout();
    place.wait_until("video", |ring| {
        let sent_and_taken = ring.producer.messages.zip(ring.consumer.messages);
        sent_and_taken.is_some_and(|(sent, taken)| taken > 0 && sent == taken + 3)
    });
    // It may go on for a moment, when the sender stands still before it does.
    kill_process(Pid::from_child(&first.child), Signal::STOP).unwrap();
    let taken = place.info("video")["consumer"]["messages"].as_u64().unwrap() as usize;
    first.kill();
    let mut received = Vec::new();
    stdout.read_to_end(&mut received).unwrap();
    // The sender goes on by itself, to the end.
    let stdin = feeder.join().unwrap().unwrap();
    place.wait_until("video", |ring| ring.producer.messages == Some(FRAMES as u64));

    // It had written all frames but a part of the last one that it had taken.
    let whole = received.len().saturating_sub(parts.header.len()) / (SMALL + 6);
    assert!(taken - 1 <= whole && whole <= taken, "{whole} of {taken}");
    assert_same(&received, &film[..received.len()]);
    let second = place.start(&["recv", "video", "--stats"]);
    wait_for_receivers(&place, 1);
    drop(stdin);
    assert_quiet(&send.finish());
    let second = second.finish();
    let last = cut(&second.stdout, SMALL).frames.len();
    assert!((3..=4).contains(&last), "{last}: what the ring still has");
    assert_same(&second.stdout, &[parts.header, &parts.frames[FRAMES - last..].concat()].concat());
    assert!(second.stderr.starts_with(&format!("received {last} frames ({} to 131)", FRAMES - last)), "{second:?}");
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn the_death_of_a_sender_has_its_own_exit_code() {
    let place = Place::new();
    let film = small();
    let parts = cut(&film, SMALL);
    let (send, mut stdin) = sender(&place, &["--await"]);
    let recv = place.start(&["recv", "video", "--y4m"]);
    // And half of another one.
    stdin.write_all(&[parts.header, &parts.frames[..3].concat(), &parts.frames[3][..SMALL / 2]].concat()).unwrap();
    place.wait_until("video", |ring| ring.consumer.messages == Some(3));
    let pid = send.pid();
    send.kill();
    let recv = recv.finish();
    assert_same(&recv.stdout, &[parts.header, &parts.frames[..3].concat()].concat());
    let said = format!("ringshm: the producer, process {pid}, died without closing the ring; 3 frames were received");
    assert!(recv.stderr.starts_with(&said), "{}", recv.stderr);
    assert_eq!(recv.code(), Some(3));
}

#[test]
fn a_killed_sender_can_be_resumed_without_loss_or_duplicate() {
    for resume in [true, false] {
        let place = Place::new();
        let film = small();
        let input = place.file("input", &film);
        let parts = cut(&film, SMALL);
        let (send, mut stdin) = sender(&place, &["--await"]);
        let recv = place.start(&["recv", "video", "--y4m", "--follow"]);
        stdin.write_all(&[parts.header, &parts.frames[..40].concat(), &parts.frames[40][..77]].concat()).unwrap();
        place.wait_until("video", |ring| ring.consumer.messages == Some(40));
        send.kill();
        let how: &[&str] = if resume { &["--resume"] } else { &["--skip", "40"] };
        let recv = thread::spawn(|| recv.finish());
        assert_quiet(&place.run(&[&["send", "video", &input, "--y4m"], how].concat()));
        let recv = recv.join().unwrap();
        assert_quiet(&recv);
        assert_same(&recv.stdout, &film);
    }
}

#[test]
fn a_closed_pipe_is_no_error_and_stops_nobody() {
    let place = Place::new();
    let film = small();
    let (send, mut stdin) = sender(&place, &["--await=2"]);
    let feed = film.clone();
    let feeder = thread::spawn(move || stdin.write_all(&feed));
    let mut gone = place.start(&["recv", "video", "--y4m"]);
    let mut stdout = gone.stdout();
    let other = place.start(&["recv", "video", "--y4m"]);
    let other = thread::spawn(|| other.finish());
    read_some(&mut stdout, 1000);
    drop(stdout);
    assert_quiet(&gone.finish());
    feeder.join().unwrap().unwrap();
    assert_quiet(&send.finish());
    assert_same(&other.join().unwrap().stdout, &film);
}

#[test]
fn a_receiver_with_nothing_to_do_notices_that_nobody_reads() {
    let place = Place::new();
    // Of a ring that is not there yet, and of one in which nothing happens.
    let mut early = place.start(&["recv", "video", "--y4m"]);
    drop(early.stdout());
    assert_quiet(&early.finish());
    let film = small();
    let (_send, mut stdin) = sender(&place, &[]);
    stdin.write_all(cut(&film, SMALL).header).unwrap();
    place.wait_until("video", |ring| matches!(ring.producer.state, Peer::Live { .. }));
    let mut idle = place.start(&["recv", "video", "--y4m"]);
    wait_for_receivers(&place, 1);
    drop(idle.stdout());
    assert_quiet(&idle.finish());
}
