//! `ringshm view`, on a terminal of its own.

use super::clip::{SMALL, cut, small};
use super::crossing::wait_for_receivers;
use crate::place::{Place, Running};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal, with the program on it.
struct Terminal {
    keyboard: File,
    /// What comes on the screen; its end when nobody has the terminal open.
    screen: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    program: Running,
}

impl Terminal {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        tcsetwinsize(&terminal, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let side = || File::from(open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap());
        // In a session of its own: it must not find the terminal of whoever runs the tests.
        let mut command = Command::new("setsid");
        command.arg(env!("CARGO_BIN_EXE_ringshm")).args(arguments).env("RINGSHM_DIR", place.path());
        command.env("TERM", "xterm-256color").stdin(side()).stdout(side()).stderr(Stdio::piped());
        let program = Running::new(&mut command);
        // The command has the terminal open, too.
        drop(command);
        let mut reader = File::from(terminal.try_clone().unwrap());
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { keyboard: File::from(terminal), screen, seen: Vec::new(), program }
    }

    /// Waits until that is on the screen.
    fn wait_for(&mut self, text: &str) {
        while !self.seen.windows(text.len()).any(|window| window == text.as_bytes()) {
            let more = self.screen.recv_timeout(PATIENCE);
            self.seen.extend(more.unwrap_or_else(|_| panic!("{text:?} was to come: {}", self.seen.escape_ascii())));
        }
    }

    /// Presses a key, and waits until the program has ended and has put the terminal back.
    fn end(mut self, key: &[u8]) {
        self.keyboard.write_all(key).unwrap();
        let finished = self.program.finish();
        assert_eq!((finished.code(), finished.stderr.as_str()), (Some(0), ""));
        while let Ok(more) = self.screen.recv() {
            self.seen.extend(more);
        }
        assert!(self.seen.windows(8).any(|window| window == b"\x1b[?1049l"), "the screen as it was before");
    }
}

#[test]
fn frames_are_seen_on_a_terminal_until_a_key_is_pressed() {
    for key in [b"q", b"\x03"] {
        let place = Place::new();
        let mut terminal = Terminal::start(&place, &["view", "video"]);
        terminal.wait_for("waiting");
        let film = small();
        let parts = cut(&film, SMALL);
        let mut send = Running::new(place.command(&["send", "video", "--y4m", "--await"]).stdin(Stdio::piped()));
        let mut stdin = send.child.stdin.take().unwrap();
        stdin.write_all(&[parts.header, parts.frames[0]].concat()).unwrap();
        terminal.wait_for("▀");
        terminal.wait_for("160x90");
        wait_for_receivers(&place, 1);
        assert_eq!(place.info("video")["lanes"][1]["takes"], "newest");
        terminal.end(key);
        drop(stdin);
        assert_eq!(send.finish().code(), Some(0));
    }
}

/// A sender whose first frame is there, and which has more to send.
fn send_one(place: &Place, film: &[u8]) -> (Running, ChildStdin) {
    let parts = cut(film, SMALL);
    let mut send = Running::new(place.command(&["send", "video", "--y4m", "--await"]).stdin(Stdio::piped()));
    let mut stdin = send.child.stdin.take().unwrap();
    stdin.write_all(&[parts.header, parts.frames[0]].concat()).unwrap();
    (send, stdin)
}

#[test]
fn a_killed_sender_ends_it_unless_it_is_to_follow() {
    let film = small();
    for follows in [false, true] {
        let place = Place::new();
        let mut terminal = Terminal::start(&place, &["view", "video", "--follow"][..if follows { 3 } else { 2 }]);
        terminal.wait_for("waiting");
        let (send, _stdin) = send_one(&place, &film);
        terminal.wait_for("▀");
        send.kill();
        if follows {
            let (send, stdin) = send_one(&place, &film);
            place.wait_until("video", |ring| ring.consumer.messages == Some(2));
            drop(stdin);
            assert_eq!(send.finish().code(), Some(0));
            terminal.end(b"");
        } else {
            let finished = terminal.program.finish();
            assert_eq!(finished.code(), Some(3));
            assert!(finished.stderr.contains("use --follow to wait for the next producer"), "{}", finished.stderr);
        }
    }
}

#[test]
fn it_ends_after_so_many_seconds() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &["view", "video", "--seconds", "0.2"]);
    terminal.wait_for("waiting");
    terminal.end(b"");
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn it_ends_with_the_film() {
    let place = Place::new();
    let input = place.file("input", &small());
    let mut terminal = Terminal::start(&place, &["view", "video"]);
    terminal.wait_for("waiting");
    assert_eq!(place.run(&["send", "video", &input, "--y4m", "--await"]).code(), Some(0));
    terminal.wait_for("▀");
    terminal.end(b"");
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let place = Place::new();
    let view = place.run(&["view", "video"]);
    assert_eq!(view.code(), Some(2));
    assert!(view.stderr.contains("no terminal: use recv --png"), "{}", view.stderr);
}
