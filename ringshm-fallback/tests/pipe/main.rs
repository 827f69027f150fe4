//! Pipes: between threads, between processes that inherit an end, and in a shell.

mod children;
mod foreign;
mod places;
#[path = "../support/mod.rs"]
mod support;

use ringshm_core::error::{
    OpenError, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use ringshm_core::{Batch, Channel as _, Deadline, Parties, Receiver as _, Sender as _};
use ringshm_fallback::framing::Framing;
use ringshm_fallback::pipe::{Pipe, pipe};
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::time::Duration;
use support::{number_of, record};

/// Not a test: what a child process does. See [`support`] and [`children`].
#[test]
fn child() {
    support::play(children::play);
}

/// Long enough to be no accident, short enough to be borne.
const MOMENT: Duration = Duration::from_millis(30);

#[test]
fn a_pipe_is_empty_then_full_then_over() {
    let (mut sender, mut receiver) = pipe().unwrap();
    let mut message = Vec::new();
    assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
    assert_eq!(receiver.recv_timeout(&mut message, MOMENT), Err(RecvTimeoutError::Timeout));
    assert_eq!(receiver.position(), None);
    let mut sent = 0;
    while sender.try_send(&record(sent)).is_ok() {
        sent += 1;
    }
    assert_eq!(sender.try_send(&record(sent)), Err(TrySendError::Full(())));
    assert_eq!(sender.send_timeout(&record(sent), MOMENT), Err(SendTimeoutError::Timeout(())));
    for n in 0..sent {
        receiver.try_recv(&mut message).unwrap();
        assert_eq!(number_of(&message), n);
    }
    assert_eq!(receiver.position(), Some(sent));
    sender.send(b"").unwrap();
    drop(sender);
    assert_eq!(receiver.recv(&mut message), Ok(0));
    assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
    assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Disconnected));
}

#[test]
fn messages_of_any_length_go_through_while_somebody_receives() {
    for framing in [Framing::Frames, Framing::Lines, Framing::Len32] {
        let (mut sender, mut receiver) = Pipe::new().framing(framing).max_message(3_000_000).pair().unwrap();
        let lens = [0, 1, 4079, 4080, 4081, 8192, 8193, 65_536, 3_000_000];
        let too_large = sender.try_send(&vec![b'x'; 3_000_001]);
        assert_eq!(too_large, Err(TrySendError::TooLarge { len: 3_000_001, max: 3_000_000 }));
        let receiving = std::thread::spawn(move || {
            let mut message = Vec::new();
            for len in lens.into_iter().chain(lens) {
                receiver.recv(&mut message).unwrap();
                assert!(message.len() == len && message.iter().all(|byte| *byte == b'x'), "{framing:?} {len}");
            }
            assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
        });
        let messages = lens.map(|len| vec![b'x'; len]);
        messages.iter().for_each(|message| sender.send(message).unwrap());
        sender.send_slice(&messages.each_ref().map(Vec::as_slice)).unwrap();
        drop(sender);
        receiving.join().unwrap();
    }
}

#[test]
fn a_long_message_that_is_not_waited_for_goes_on_when_there_is_room() {
    let (mut sender, mut receiver) = pipe().unwrap();
    let long = vec![7; 200_000];
    sender.try_send(&long).unwrap();
    assert_eq!(sender.try_send(b"next"), Err(TrySendError::Full(())));
    assert_eq!(sender.send_timeout(b"next", MOMENT), Err(SendTimeoutError::Timeout(())));
    let receiving = std::thread::spawn(move || {
        let mut message = Vec::new();
        receiver.recv(&mut message).unwrap();
        assert_eq!(message, vec![7; 200_000]);
        assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
    });
    // The rest goes when the sender is dropped.
    drop(sender);
    receiving.join().unwrap();
}

#[test]
fn batches_arrive_in_order() {
    let (mut sender, mut receiver) = pipe().unwrap();
    let records: Vec<_> = (0..10_000).map(record).collect();
    let sending = std::thread::spawn(move || {
        let slices: Vec<_> = records.iter().map(Vec::as_slice).collect();
        sender.send_slice(&slices).unwrap();
    });
    let mut batch = Batch::default();
    while batch.len() < 10_000 {
        let count = receiver.recv_batch_by(&mut batch, 100, Deadline::NEVER).unwrap();
        assert!((1..=100).contains(&count));
    }
    sending.join().unwrap();
    assert!((0..).zip(batch.iter()).all(|(n, message)| number_of(message) == n));
    assert_eq!(receiver.recv_batch_by(&mut batch, 1, Deadline::NEVER), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn who_finds_nobody_reading_is_told() {
    for framing in [Framing::Frames, Framing::Lines] {
        let (mut sender, receiver) = Pipe::new().framing(framing).pair().unwrap();
        sender.send(b"x").unwrap();
        drop(receiver);
        // A process that another test forks has it for a moment, until it runs its program.
        assert_eq!((0..).find_map(|_| sender.try_send(b"x").err()), Some(TrySendError::Disconnected(())));
        assert_eq!(sender.send(b"x"), Err(SendError::Disconnected(())));
        let refused = sender.send_slice(&[b"x", b"y"]).unwrap_err();
        assert_eq!((refused.sent, refused.cause), (0, SendError::Disconnected(())));
    }
}

#[test]
fn packets_are_received_whole_by_several_receivers() {
    for framing in [Framing::Bare, Framing::Frames] {
        let options = Pipe::new().packets().framing(framing);
        let (mut sender, receiver) = options.clone().pair().unwrap();
        let other = options.clone().receiver_on(receiver.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let can = sender.capabilities();
        assert_eq!((can.receivers, can.shortest), (Parties::Many, usize::from(framing == Framing::Bare)));
        let longest = can.longest.bytes;
        assert_eq!(longest, 4096 - framing.overhead());
        let too_large = TrySendError::TooLarge { len: longest + 1, max: longest };
        assert_eq!(sender.try_send(&vec![0; longest + 1]), Err(too_large));
        let receiving = [receiver, other].map(|mut receiver| {
            std::thread::spawn(move || {
                let (mut message, mut numbers) = (Vec::new(), Vec::new());
                loop {
                    match receiver.recv(&mut message) {
                        Ok(len) if len == longest => assert_eq!(message, vec![9; longest]),
                        Ok(_) => numbers.push(number_of(&message)),
                        Err(error) => break (numbers, error),
                    }
                }
            })
        });
        for n in 0..5000 {
            sender.send(&record(n)).unwrap();
        }
        sender.send(&vec![9; longest]).unwrap();
        drop(sender);
        let mut all = Vec::new();
        for thread in receiving {
            let (numbers, end) = thread.join().unwrap();
            assert!(numbers.is_sorted() && end == RecvError::Disconnected, "{end:?}");
            all.extend(numbers);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..5000), "each to one of them");
    }
}

#[test]
fn impossible_options_are_refused() {
    let raw = Framing::Raw(NonZeroUsize::new(5000).unwrap());
    for (pipe, option) in [
        (Pipe::new().framing(Framing::Bare), "framing"),
        (Pipe::new().framing(Framing::Lines).packets(), "framing"),
        (Pipe::new().framing(raw).max_message(4999), "framing"),
        (Pipe::new().max_message(0), "max_message"),
        (Pipe::new().max_message(1 << 32), "max_message"),
        (Pipe::new().many_senders().max_message(4081), "max_message"),
        (Pipe::new().packets().framing(Framing::Bare).max_message(4097), "max_message"),
        (Pipe::new().capacity(1 << 40), "capacity"),
    ] {
        match pipe.clone().pair() {
            Err(OpenError::InvalidOption { option: refused, .. }) => assert_eq!(refused, option, "{pipe:?}"),
            other => panic!("{pipe:?}: {other:?}"),
        }
    }
}

#[test]
fn the_capacity_is_what_was_asked_for() {
    let (mut sender, _receiver) = Pipe::new().capacity(4096).pair().unwrap();
    sender.try_send(&[0; 4000]).unwrap();
    assert_eq!(sender.try_send(&[0; 4000]), Err(TrySendError::Full(())));
}
