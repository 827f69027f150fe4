//! Other programs at the other end: what they expect of a FIFO happens.

use super::MOMENT;
use super::support::{Folder, PATIENCE, feed, until};
use ringshm_core::error::{RecvError, SendError, TryRecvError, TrySendError};
use ringshm_core::{OnDeath, Receiver as _, Sender as _};
use ringshm_fallback::fifo::Fifo;
use ringshm_fallback::framing::Framing;
use std::fs::File;
use std::process::{Child, Command, Stdio};

fn lines(path: &str) -> Fifo {
    Fifo::new(path).framing(Framing::Lines)
}

fn shell(script: &str, path: &str) -> Child {
    Command::new("sh").args(["-c", script, path]).spawn().unwrap()
}

/// `cat` of a FIFO, into a file.
fn cat(path: &str, copy: &str) -> Child {
    Command::new("cat").arg(path).stdout(File::create(copy).unwrap()).spawn().unwrap()
}

#[test]
fn cat_reads_the_feed_and_finds_its_end_whoever_comes_first() {
    let folder = Folder::for_leftovers();
    let (path, copy) = (folder.join("fifo"), folder.join("copy"));
    let feed = feed::lines();
    let mut expected = feed.join(&b'\n');
    expected.push(b'\n');
    for sender_first in [true, false] {
        // Left there, if something was in it when its maker left.
        let _ = std::fs::remove_file(&path);
        let (mut sender, mut cat) = if sender_first {
            let mut sender = lines(&path).sender().unwrap();
            assert_eq!(sender.try_send(b"nobody reads"), Err(TrySendError::Full(())));
            assert!(sender.send_timeout(b"nobody reads", MOMENT).is_err());
            (sender, cat(&path, &copy))
        } else {
            rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
            let cat = cat(&path, &copy);
            (lines(&path).sender().unwrap(), cat)
        };
        let (one_by_one, together) = feed.split_at(feed.len() / 2);
        one_by_one.iter().for_each(|line| sender.send(line).unwrap());
        sender.send_slice(&together.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        drop(sender);
        assert!(cat.wait().unwrap().success());
        assert!(std::fs::read(&copy).unwrap() == expected);
    }
}

#[test]
fn cat_writes_the_feed_and_its_end_is_found_whoever_comes_first() {
    let folder = Folder::for_leftovers();
    let (path, original) = (folder.join("fifo"), folder.join("original"));
    let feed = feed::lines();
    std::fs::write(&original, feed.join(&b'\n')).unwrap();
    for receiver_first in [true, false] {
        let start = || shell("cat \"${0%fifo}original\" > \"$0\"", &path);
        let (mut receiver, mut cat) = if receiver_first {
            let mut receiver = lines(&path).receiver().unwrap();
            assert_eq!(receiver.try_recv(&mut Vec::new()), Err(TryRecvError::Empty));
            (receiver, start())
        } else {
            rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
            let cat = start();
            (lines(&path).receiver().unwrap(), cat)
        };
        let mut line = Vec::new();
        for expected in &feed {
            receiver.recv(&mut line).unwrap();
            assert_eq!(line, *expected);
        }
        assert_eq!(receiver.recv(&mut line), Err(RecvError::Disconnected));
        assert!(cat.wait().unwrap().success());
    }
}

#[test]
fn echo_and_tee_end_the_stream_and_who_awaits_others_goes_on() {
    let folder = Folder::new();
    let path = folder.join("fifo");
    for awaits in [false, true] {
        let on_death = if awaits { OnDeath::AwaitSuccessor } else { OnDeath::Disconnect };
        let mut receiver = lines(&path).on_death(on_death).receiver().unwrap();
        let mut line = Vec::new();
        for script in
            ["echo hello > \"$0\"", "echo hello | tee \"$0\" > /dev/null", "printf hello > \"$0\"; echo > \"$0\""]
        {
            if script.starts_with("printf") && !awaits {
                continue;
            }
            let mut echo = shell(script, &path);
            // After an end, it goes on when somebody has come, and does not wait for that.
            until("somebody comes", || receiver.recv(&mut line) != Err(RecvError::Disconnected));
            assert_eq!(line, b"hello");
            assert!(echo.wait().unwrap().success());
            let next = receiver.recv_timeout(&mut line, MOMENT);
            let end = if awaits { TryRecvError::Empty } else { TryRecvError::Disconnected };
            assert_eq!(next.err(), end.into_lasting().or(Some(ringshm_core::error::RecvTimeoutError::Timeout)));
        }
    }
}

#[test]
fn a_reader_that_is_killed_is_missed_and_another_one_is_waited_for() {
    let folder = Folder::for_leftovers();
    let path = folder.join("fifo");
    let mut sender = lines(&path).sender().unwrap();
    let mut cat = Command::new("cat").arg(&path).stdout(Stdio::null()).spawn().unwrap();
    sender.send(b"for cat").unwrap();
    cat.kill().unwrap();
    cat.wait().unwrap();
    let end = (0..).find_map(|_| sender.try_send(b"for nobody").err()).unwrap();
    assert_eq!(end, TrySendError::Disconnected(()));
    assert_eq!(sender.send(b"for nobody"), Err(SendError::Disconnected(())));
    drop(sender);
    let mut sender = lines(&path).on_death(OnDeath::AwaitSuccessor).sender().unwrap();
    let copy = folder.join("copy");
    for text in ["first", "second"] {
        std::thread::scope(|scope| {
            // Comes when the sender waits already, or not yet.
            let reading = scope.spawn(|| {
                let mut head =
                    Command::new("head").args(["-n1", &path]).stdout(File::create(&copy).unwrap()).spawn().unwrap();
                assert!(head.wait().unwrap().success());
            });
            sender.send(text.as_bytes()).unwrap();
            reading.join().unwrap();
        });
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), format!("{text}\n"));
    }
    drop(sender);
    until("nothing is left but the copy", || folder.entries() == ["copy"]);
}

#[test]
fn cat_carries_frames_from_one_fifo_to_another() {
    let folder = Folder::new();
    let (from, to) = (folder.join("from"), folder.join("to"));
    let mut sender = Fifo::new(&from).linger(PATIENCE).sender().unwrap();
    let mut receiver = Fifo::new(&to).receiver().unwrap();
    let mut cat = Command::new("sh").args(["-c", "cat \"$0\" > \"$1\"", &from, &to]).spawn().unwrap();
    let mut message = Vec::new();
    for len in [0, 10, 5000, 100_000] {
        sender.send(&vec![7; len]).unwrap();
        receiver.recv(&mut message).unwrap();
        assert_eq!(message, vec![7; len]);
    }
    drop(sender);
    assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
    assert!(cat.wait().unwrap().success());
}
