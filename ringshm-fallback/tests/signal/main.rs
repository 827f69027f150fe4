//! Signals as a channel: to a child that waits for them, from processes that are listened to and others, with programs that know nothing of ringshm.

#[path = "../support/mod.rs"]
mod support;

mod foreign;

use ringshm_core::error::{OpenError, SendTimeoutError, TrySendError};
use ringshm_core::{Capabilities, Deadline, Loss, Sender};
use ringshm_fallback::{address::Address, open};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;
use support::{Folder, Process, Puppet, report, until};

const SOON: Duration = Duration::from_millis(20);

/// What children do in these tests besides what they do in all:
///
/// | command | report |
/// |---|---|
/// | `values N` | `begin`, then `N` messages in hexadecimal digits, separated by blanks, or why not |
/// | `send-values FROM TO` | `begin`, then `sent`; number `n` is `n` in 7 bytes |
/// | `idle-thread` | `ok`: there is one more thread |
/// | `limit-signals N` | `ok`: so many may wait |
fn obey(puppet: &mut Puppet, words: &[&str]) -> Option<String> {
    Some(match *words {
        ["values", count] => {
            report("begin");
            let mut message = Vec::new();
            let received =
                (0..count.parse().expect("a number")).map(|_: u32| match puppet.receiver().recv(&mut message) {
                    Ok(_) => message.iter().rev().map(|byte| format!("{byte:02x}")).collect(),
                    Err(error) => format!("{error:?}"),
                });
            received.collect::<Vec<_>>().join(" ")
        }
        ["send-values", from, to] => {
            report("begin");
            for n in from.parse().expect("a number")..to.parse().expect("a number") {
                puppet.sender().send(&seven(n)).expect("it is received");
            }
            "sent".to_owned()
        }
        ["idle-thread"] => {
            std::thread::spawn(std::thread::park);
            "ok".to_owned()
        }
        ["limit-signals", most] => {
            use rustix::process::{Resource, Rlimit, setrlimit};
            let most = most.parse().ok();
            setrlimit(Resource::Sigpending, Rlimit { current: most, maximum: most }).expect("less is allowed");
            "ok".to_owned()
        }
        _ => return None,
    })
}

fn seven(n: u64) -> [u8; 7] {
    *n.to_le_bytes().first_chunk().expect("of eight")
}

/// Not a test: what a child process does.
#[test]
fn child() {
    support::play(obey);
}

/// A child all of whose threads block a signal from their beginning.
fn start_blocking(folder: &Folder, signal: i32) -> Process {
    Process::start_with(folder, |command| block_in(command, signal))
}

#[allow(unsafe_code, reason = "what a child does between fork and exec")]
fn block_in(command: &mut Command, signal: i32) {
    let block = move || {
        let mut set = core::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: a set to be emptied.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: an empty set.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
        // SAFETY: a set that lives through the call.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), core::ptr::null_mut()) };
        Ok(())
    };
    // SAFETY: these calls may be made after a fork.
    unsafe { command.pre_exec(block) };
}

fn rt(n: i32) -> i32 {
    libc::SIGRTMIN() + n
}

/// A child that receives `RTMIN+1`.
fn receiver(folder: &Folder, options: &str) -> Process {
    let mut child = start_blocking(folder, rt(1));
    assert_eq!(child.ask(&format!("receiver signal://?signal=RTMIN+1{options}")), "open");
    child
}

fn sender(to: &Process, options: &str) -> Result<Box<dyn Sender>, OpenError> {
    Address::parse(&format!("signal://{}?signal=RTMIN+1{options}", to.pid())).and_then(open::sender)
}

fn hex(n: u64) -> String {
    format!("{n:014x}")
}

#[test]
fn messages_of_up_to_seven_bytes_arrive_in_order_each_once() {
    let folder = Folder::new();
    let mut child = receiver(&folder, "");
    let mut sender = sender(&child, "").unwrap();
    child.begin("values 3000");
    for n in 0..3000 {
        sender.send(&seven(n)).unwrap();
    }
    assert_eq!(child.hear(), (0..3000).map(hex).collect::<Vec<_>>().join(" "));
    child.begin("values 3");
    for message in [&b""[..], b"a", b"bcdefgh"] {
        sender.send(message).unwrap();
    }
    assert_eq!(child.hear(), " 61 68676665646362");
    child.finish();
}

#[test]
fn what_does_not_fit_is_too_large_and_what_has_no_such_length_is_unsupported() {
    let folder = Folder::new();
    let child = receiver(&folder, "");
    for (options, max, unsupported) in [("", 7, None), ("&framing=raw:4", 4, Some(3)), ("&framing=raw:8", 8, Some(0))] {
        let mut sender = sender(&child, options).unwrap();
        let Capabilities { longest, shortest, loss, .. } = sender.capabilities();
        assert_eq!((longest.bytes, shortest, loss), (max, unsupported.map_or(0, |_| max), Loss::WithReceiver));
        assert_eq!(sender.try_send(&vec![0; max + 1]), Err(TrySendError::TooLarge { len: max + 1, max }));
        if let Some(len) = unsupported {
            assert!(matches!(sender.try_send(&vec![0; len]), Err(TrySendError::Unsupported { .. })));
        }
    }
    child.finish();
}

#[test]
fn as_many_wait_as_the_process_may_have_and_then_it_is_full() {
    let folder = Folder::new();
    let mut child = start_blocking(&folder, rt(1));
    assert_eq!(child.ask("limit-signals 12"), "ok");
    assert_eq!(child.ask("receiver signal://?signal=RTMIN+1"), "open");
    let mut sender = sender(&child, "").unwrap();
    let mut sent = 0;
    let full = loop {
        match sender.try_send(&seven(sent)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent <= 12, "no more are allowed");
    };
    assert_eq!(full, TrySendError::Full(()));
    assert_eq!(sender.send_timeout(b"", SOON), Err(SendTimeoutError::Timeout(())));
    child.begin(&format!("values {}", sent + 1));
    // It waits for room.
    sender.send(&seven(sent)).unwrap();
    assert_eq!(child.hear(), (0..=sent).map(hex).collect::<Vec<_>>().join(" "));
    child.finish();
}

#[test]
fn the_end_of_the_process_is_noticed_even_of_a_zombie() {
    let folder = Folder::new();
    let mut child = receiver(&folder, "");
    let mut to = sender(&child, "").unwrap();
    to.send(b"lost").unwrap();
    child.kill_unreaped();
    until("the sender is told", || to.try_send(b"") == Err(TrySendError::Disconnected(())));
    child.wait();
    assert_eq!(to.send_by(b"", Deadline::NEVER), Err(SendTimeoutError::Disconnected(())));
    assert!(matches!(sender(&child, "").err(), Some(OpenError::NotFound { .. })), "its number is nobody's");
}

#[test]
fn who_listens_to_one_process_rejects_others_and_is_told_of_its_end() {
    let folder = Folder::new();
    let (mut from, mut child) = (Process::start(&folder), start_blocking(&folder, rt(1)));
    let name = format!("signal://{}?signal=RTMIN+1", child.pid());
    assert_eq!(child.ask(&format!("receiver signal://?signal=RTMIN+1&from={}", from.pid())), "open");
    assert_eq!(from.ask(&format!("sender {name}")), "open");
    let mut stranger = sender(&child, "").unwrap();
    stranger.send(b"strange").unwrap();
    let said = child.ask("values 1");
    assert!(said.starts_with("Rejected(") && said.contains(&format!("pid: Some({})", std::process::id())), "{said}");
    assert_eq!(from.ask("send-values 0 3"), "sent");
    from.kill();
    assert_eq!(child.ask("values 4"), format!("{} {} {} Disconnected", hex(0), hex(1), hex(2)));
    child.finish();

    // One that sleeps.
    let (mut from, mut child) = (Process::start(&folder), start_blocking(&folder, rt(1)));
    assert_eq!(child.ask(&format!("receiver signal://?signal=RTMIN+1&from={}", from.pid())), "open");
    child.begin("values 1");
    assert!(child.sleeps());
    from.kill();
    assert_eq!(child.hear(), "Disconnected");
    assert_eq!(child.ask("receiver signal://?signal=RTMIN+1&uid=12345"), "open");
    stranger_of(&child).send(b"").unwrap();
    assert!(child.ask("values 1").starts_with("Rejected("));
    child.finish();
}

fn stranger_of(child: &Process) -> Box<dyn Sender> {
    sender(child, "").unwrap()
}

#[test]
fn a_process_that_the_signal_would_end_is_not_sent_any() {
    let folder = Folder::new();
    let mut child = Process::start(&folder);
    let refused = sender(&child, "").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("neither waits for RTMIN+1 nor handles it"), "{refused}");
    // Nor is one received in a process whose other threads let it through.
    assert_eq!(child.ask("idle-thread"), "ok");
    let refused = child.ask("receiver signal://?signal=RTMIN+1");
    assert!(refused.starts_with("InvalidOption: ") && refused.contains("other threads"), "{refused}");
    child.finish();
}

#[test]
fn nothing_comes_until_the_deadline() {
    let folder = Folder::new();
    let mut child = receiver(&folder, "");
    assert_eq!(child.ask("recv-by 20"), "Timeout");
    assert_eq!(child.ask("next"), "Empty");
    child.finish();
}

#[test]
fn names_that_make_no_sense_are_refused() {
    let folder = Folder::new();
    let mut child = start_blocking(&folder, rt(1));
    for (command, refused) in [
        ("receiver signal://1?signal=RTMIN+1", "InvalidName"),
        ("receiver signal://?signal=KILL", "InvalidOption"),
        ("receiver signal://?signal=RTMIN+99", "InvalidOption"),
        ("receiver signal://?signal=RTMIN+1&framing=lines", "InvalidOption"),
        ("receiver signal://?signal=USR1&framing=raw:4", "InvalidOption"),
        ("receiver signal://?signal=RTMIN+1&from=0", "NotFound"),
        ("sender signal://nobody", "InvalidName"),
        ("sender signal://4194305", "NotFound"),
    ] {
        let said = child.ask(command);
        assert!(said.starts_with(&format!("{refused}: ")), "{command}: {said}");
    }
    child.finish();
}
