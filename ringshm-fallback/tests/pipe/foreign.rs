//! Other programs at the other end, and shells that connect them.

use super::support::{Folder, feed};
use ringshm_core::error::RecvError;
use ringshm_core::{Receiver as _, Sender as _};
use ringshm_fallback::address::Address;
use ringshm_fallback::framing::Framing;
use ringshm_fallback::open;
use ringshm_fallback::pipe::Pipe;
use rustix::pipe::{PipeFlags, pipe_with};
use std::process::{Command, Stdio};

/// What a child of the shell does, if it is one: it sends the feed to, or compares it with what it receives from, the pipe of that name.
const TASK: &str = "RINGSHM_TEST_TASK";

/// Not a test: a part of a pipeline. The test harness prints to standard output before: so that is followed by an empty line, and one that says
/// that the feed begins.
#[test]
fn part_of_a_pipeline() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (task, name) = task.split_once(' ').unwrap();
    let address = Address::parse(name).unwrap();
    if task == "send" {
        let mut sender = open::sender(address).unwrap();
        sender.send(b"").unwrap();
        sender.send(b"BEGIN").unwrap();
        feed::lines().iter().for_each(|line| sender.send(line).unwrap());
        sender.send(b"END").unwrap();
    } else {
        let mut receiver = open::receiver(address).unwrap();
        let mut line = Vec::new();
        while line != b"BEGIN" {
            receiver.recv(&mut line).unwrap();
        }
        for expected in feed::lines() {
            receiver.recv(&mut line).unwrap();
            assert!(line == expected, "{:?} is not {:?}", line.escape_ascii(), expected.escape_ascii());
        }
        receiver.recv(&mut line).unwrap();
        assert_eq!(line, b"END");
    }
}

#[test]
fn a_shell_connects_standard_output_and_input() {
    let folder = Folder::for_leftovers();
    let script = "RINGSHM_TEST_TASK='send pipe:?framing=lines' \"$0\" foreign::part_of_a_pipeline --exact --nocapture | cat | tee \"$1\" \
         | RINGSHM_TEST_TASK='receive pipe:?framing=lines' \"$0\" foreign::part_of_a_pipeline --exact >&2";
    let copy = folder.path().join("copy");
    let status = Command::new("sh").args(["-c", script]).arg(std::env::current_exe().unwrap()).arg(&copy).status();
    assert!(status.unwrap().success());
    let mut expected = feed::lines().join(&b'\n');
    expected.extend(b"\nEND\n");
    let copy = std::fs::read(copy).unwrap();
    let begin = copy.windows(7).position(|window| window == b"\nBEGIN\n").unwrap() + 7;
    // What the harness prints comes behind.
    assert!(copy[begin..].starts_with(&expected));
}

#[test]
fn a_shell_connects_any_descriptor() {
    let script = "RINGSHM_TEST_TASK='send pipe:5?framing=len32' \"$0\" foreign::part_of_a_pipeline --exact 5>&1 >&2 \
         | RINGSHM_TEST_TASK='receive pipe:fd=7?framing=len32' \"$0\" foreign::part_of_a_pipeline --exact 7<&0 </dev/null >&2";
    let status = Command::new("sh").args(["-c", script]).arg(std::env::current_exe().unwrap()).status();
    assert!(status.unwrap().success());
}

#[test]
fn a_feed_goes_through_cat_unchanged() {
    let (to_cat, sending) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (receiving, from_cat) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut cat = Command::new("cat").stdin(Stdio::from(to_cat)).stdout(Stdio::from(from_cat)).spawn().unwrap();
    let lines = Pipe::new().framing(Framing::Lines);
    let (mut sender, mut receiver) = (lines.clone().sender_on(sending).unwrap(), lines.receiver_on(receiving).unwrap());
    let feed = feed::lines();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (one_by_one, together) = feed.split_at(feed.len() / 2);
            one_by_one.iter().for_each(|line| sender.send(line).unwrap());
            sender.send_slice(&together.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            drop(sender);
        });
        let mut line = Vec::new();
        for expected in &feed {
            receiver.recv(&mut line).unwrap();
            assert_eq!(line, *expected);
        }
        assert_eq!(receiver.recv(&mut line), Err(RecvError::Disconnected));
    });
    assert!(cat.wait().unwrap().success());
}

fn printed(format: &str, framing: &str) -> Vec<Result<Vec<u8>, RecvError>> {
    let (receiving, writing) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut printf = Command::new("printf").arg(format).stdout(Stdio::from(writing)).spawn().unwrap();
    let mut address = Address::parse(&format!("pipe:?framing={framing}")).unwrap();
    let framing = address.take_framing().unwrap().unwrap();
    let mut receiver = Pipe::new().framing(framing).receiver_on(receiving).unwrap();
    let (mut received, mut message) = (Vec::new(), Vec::new());
    while received.last() != Some(&Err(RecvError::Disconnected)) {
        received.push(receiver.recv(&mut message).map(|_| message.clone()));
    }
    assert!(printf.wait().unwrap().success());
    received
}

#[test]
fn what_other_programs_print_is_cut_as_asked() {
    let end = || Err(RecvError::Disconnected);
    let messages =
        |texts: &[&str]| texts.iter().map(|text| Ok(text.as_bytes().to_vec())).chain([end()]).collect::<Vec<_>>();
    assert_eq!(printed("one\\n\\nthree", "lines"), messages(&["one", "", "three"]));
    assert_eq!(printed("\\003\\000\\000\\000abc\\000\\000\\000\\000", "len32"), messages(&["abc", ""]));
    assert_eq!(printed("abcdefgh", "raw:3"), messages(&["abc", "def", "gh"]));
    assert_eq!(printed("", "lines"), messages(&[]));
    for (format, framing) in
        [("no frame of ringshm's at all", "frames"), ("\\003\\000", "len32"), ("\\003\\000\\000\\000ab", "len32")]
    {
        let received = printed(format, framing);
        assert!(matches!(received[..], [Err(RecvError::Rejected(_)), Err(RecvError::Disconnected)]), "{received:?}");
    }
}
