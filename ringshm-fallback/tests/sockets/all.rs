//! A sender that listens: every receiver gets everything from when it came.

use super::support::{Folder, Process, record, until};
use super::{names, receive, receiver, sender};
use ringshm_core::error::{SendTimeoutError, TrySendError};
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(20);

#[test]
fn each_receiver_gets_everything_from_when_it_came() {
    let folder = Folder::new();
    for name in names(&folder) {
        let name = format!("{name}&listen=sender");
        let mut source = Process::start(&folder);
        let mut sinks: Vec<_> = (0..3).map(|_| Process::start(&folder)).collect();
        assert_eq!(source.ask(&format!("sender {name}")), "open");
        assert_eq!(source.ask("try-send 0"), "Full(..)", "there is nobody");
        for (at, sink) in (0..).zip(&mut sinks) {
            assert_eq!(sink.ask(&format!("receiver {name}")), "open");
            // Whoever was there before the message gets it.
            let from = at * 40;
            assert_eq!(source.ask(&format!("send {from} {}", from + 20)), format!("sent {}", from + 20));
            let (from, to) = (from + 20, from + 40);
            assert_eq!(source.ask(&format!("send-slice {from} {to}")), format!("sent {to}"), "{name}");
        }
        for (at, sink) in (0..).zip(&mut sinks) {
            assert_eq!(sink.ask(&format!("recv {} 120", at * 40)), "received 120", "{name}");
            assert_eq!(sink.ask("position"), "Some(120)");
        }
        // One that is killed is no loss to the others; when all are gone it is over.
        sinks.pop().expect("there are three").kill();
        assert_eq!(source.ask("send 120 140"), "sent 140");
        sinks.iter_mut().for_each(|sink| assert_eq!(sink.ask("recv 120 140"), "received 140"));
        sinks.iter_mut().for_each(|sink| assert_eq!(sink.ask("close"), "ok"));
        source.begin("send 0 1000000000");
        assert!(source.hear().starts_with("Disconnected(..) at "), "{name}");
        assert_eq!(source.ask("close"), "ok");
        sinks.into_iter().chain([source]).for_each(Process::finish);
    }
}

#[test]
fn one_slow_receiver_holds_up_all_unless_it_is_dropped() {
    const ALL: u64 = 100_000;
    let folder = Folder::new();
    for name in names(&folder) {
        let waits = format!("{name}&listen=sender");
        let [mut source, mut fast, mut slow] = [(); 3].map(|()| Process::start(&folder));
        assert_eq!(source.ask(&format!("sender {waits}")), "open");
        assert_eq!(fast.ask(&format!("receiver {waits}")), "open");
        assert_eq!(slow.ask(&format!("receiver {waits}")), "open");
        fast.begin(&format!("recv 0 {ALL}"));
        source.begin(&format!("send 0 {ALL}"));
        assert!(source.sleeps());
        slow.begin(&format!("recv 0 {ALL}"));
        for process in [&mut fast, &mut slow] {
            assert_eq!(process.hear(), format!("received {ALL}"), "{name}");
        }
        assert_eq!(source.hear(), format!("sent {ALL}"));
        [&mut source, &mut fast, &mut slow].into_iter().for_each(|process| assert_eq!(process.ask("close"), "ok"));

        // One that takes nothing for so long is left behind, comes again, and knows how many it missed.
        let drops = format!("{waits}&slow=drop:300");
        assert_eq!(source.ask(&format!("sender {drops}")), "open");
        assert_eq!(fast.ask(&format!("receiver {drops}")), "open");
        assert_eq!(slow.ask(&format!("receiver {drops}&await")), "open");
        fast.begin(&format!("recv 0 {ALL}"));
        assert_eq!(source.ask(&format!("send 0 {ALL}")), format!("sent {ALL}"), "{name}");
        assert_eq!(fast.hear(), format!("received {ALL}"), "{name}");
        slow.begin(&format!("recv 0 {}", ALL + 1));
        assert!(slow.sleeps());
        assert_eq!(source.ask(&format!("send {ALL} {}", ALL + 1)), format!("sent {}", ALL + 1));
        let said = slow.hear();
        assert!(said.starts_with("lagged ") && said.ends_with(&format!(" before {ALL}")), "{name}: {said}");
        assert_eq!(slow.hear(), format!("received {}", ALL + 1), "{name}");
        [&mut source, &mut fast, &mut slow].into_iter().for_each(|process| assert_eq!(process.ask("close"), "ok"));
        [source, fast, slow].into_iter().for_each(Process::finish);
    }
}

#[test]
fn a_sender_that_listens_waits_for_a_receiver_until_the_deadline() {
    let folder = Folder::new();
    for name in names(&folder) {
        let name = format!("{name}&listen=sender");
        let mut source = sender(&name);
        assert!(matches!(source.try_send(b"x"), Err(TrySendError::Full(()))));
        assert!(matches!(source.send_timeout(b"x", MOMENT), Err(SendTimeoutError::Timeout(()))), "{name}");
        let sending = std::thread::spawn(move || source.send(&record(0)).map(|()| source));
        let mut sink = receiver(&name);
        assert_eq!(receive(&mut *sink), record(0));
        let mut source = sending.join().expect("it does not panic").expect("somebody came");
        drop(sink);
        until("it is told", || matches!(source.try_send(b"x"), Err(TrySendError::Disconnected(()))));
    }
}
