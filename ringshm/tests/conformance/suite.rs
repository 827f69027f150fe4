//! The tests, for any channel: what it is to do follows from its capabilities.

use crate::messages::Shape;
use crate::subject::Subject;
use ringshm::{
    Batch, Capabilities, Deadline, Loss, Parties, Receiver, RecvError, RecvTimeoutError, SendError, SendSliceError,
    SendTimeoutError, Sender, TryRecvError, TrySendError, WaitSet,
};
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what is to happen. Only a failure waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long it waits for what is not to happen.
const MOMENT: Duration = Duration::from_millis(20);

/// Receives a message, which is to come.
#[track_caller]
fn receive(receiver: &mut dyn Receiver) -> Vec<u8> {
    let mut message = Vec::new();
    match receiver.recv_timeout(&mut message, PATIENCE) {
        Ok(len) => assert_eq!(len, message.len()),
        Err(error) => panic!("no message came: {error:?}"),
    }
    message
}

/// Sends a message, for which there is room or will be.
#[track_caller]
fn send(sender: &mut dyn Sender, message: &[u8]) {
    sender.send_timeout(message, PATIENCE).expect("there is room in time");
}

/// Runs `far` in another thread, as long as `near` runs.
fn beside<F: Send + 'static>(far: impl FnOnce() -> F + Send + 'static, near: impl FnOnce()) -> F {
    let thread = thread::spawn(far);
    near();
    thread.join().expect("it does not panic")
}

/// Starts `task` in another thread, and returns when that sleeps in the kernel.
fn blocked<T: Send + 'static>(task: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        tell.send(rustix::thread::gettid()).expect("the test listens");
        task()
    });
    let tid = told.recv().expect("the thread says its number");
    let path = format!("/proc/self/task/{}/stat", tid.as_raw_nonzero());
    let begun = Instant::now();
    loop {
        let stat = std::fs::read_to_string(&path).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if state == Some('S') || thread.is_finished() {
            return thread;
        }
        assert!(begun.elapsed() < PATIENCE, "it never falls asleep");
        thread::yield_now();
    }
}

/// Sends until there is no room, and returns how many messages there was room for.
fn fill(sender: &mut dyn Sender, shape: Shape) -> u64 {
    let mut count = 0;
    let mut refused = Instant::now();
    loop {
        match sender.try_send(&shape.message(count)) {
            Ok(()) => {
                count += 1;
                refused = Instant::now();
            }
            // What was sent may still be on its way out of the room.
            Err(TrySendError::Full(())) if refused.elapsed() > MOMENT => return count,
            Err(TrySendError::Full(())) => thread::yield_now(),
            Err(error) => panic!("{error:?} after {count} messages"),
        }
    }
}

/// Whether somebody who sends is ever told that there is no room.
fn can_be_full(capabilities: &Capabilities) -> bool {
    capabilities.loss != Loss::AnyTime
}

pub(crate) fn opens_in_either_order(subject: &Subject) {
    let mut receiver = subject.receiver();
    let mut sender = subject.sender();
    let capabilities = sender.capabilities();
    let shape = Shape::of(&capabilities);
    // In another thread: it may have to wait until the receiver, in its call, has come to it.
    let sending = |mut sender: Box<dyn Sender>, number| {
        move || {
            send(&mut *sender, &shape.message(number));
            sender
        }
    };
    if capabilities.loss == Loss::AnyTime {
        // What is sent before the receiver has come is lost.
        send(&mut *sender, &shape.message(1));
        assert_eq!(receive(&mut *receiver), shape.message(1));
        return;
    }
    drop(beside(sending(sender, 1), || assert_eq!(receive(&mut *receiver), shape.message(1))));
    drop(receiver);

    let sender = subject.sender();
    drop(beside(sending(sender, 2), || assert_eq!(receive(&mut *subject.receiver()), shape.message(2))));
}

pub(crate) fn keeps_order_and_each_message_once(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let capabilities = sender.capabilities();
    assert_eq!(capabilities, receiver.capabilities().seen_from(&capabilities), "both sides say the same");
    let shape = Shape::of(&capabilities);
    if capabilities.loss == Loss::AnyTime || receiver.capabilities().loss == Loss::AnyTime {
        // Nobody waits for the receiver: the test does.
        for n in 0..2000 {
            send(&mut *sender, &shape.message(n));
            assert_eq!(receive(&mut *receiver), shape.message(n), "message {n}");
        }
        return;
    }
    const COUNT: u64 = 10_000;
    let sending = move || {
        (0..COUNT).for_each(|n| send(&mut *sender, &shape.message(n)));
        sender
    };
    let sender = beside(sending, || {
        for n in 0..COUNT {
            assert_eq!(receive(&mut *receiver), shape.message(n), "message {n}");
            if let Some(position) = receiver.position() {
                assert_eq!(position, n + 1);
            }
        }
        assert_eq!(receiver.try_recv(&mut Vec::new()), Err(TryRecvError::Empty));
    });
    drop(sender);
}

/// The receivers of one sender may differ in whether it waits for them, and the sides in whether they have something to wait with.
trait OfSide {
    fn seen_from(self, other: &Self) -> Self;
}

impl OfSide for Capabilities {
    fn seen_from(self, other: &Self) -> Self {
        Self { loss: other.loss, can_be_awaited: other.can_be_awaited, ..self }
    }
}

pub(crate) fn says_that_there_is_nothing(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let shape = Shape::of(&sender.capabilities());
    let mut message = Vec::new();
    assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
    let begun = Instant::now();
    assert_eq!(receiver.recv_timeout(&mut message, MOMENT), Err(RecvTimeoutError::Timeout));
    assert!(begun.elapsed() >= MOMENT, "it gave up after {:?}", begun.elapsed());
    assert_eq!(receiver.recv_timeout(&mut message, Duration::ZERO), Err(RecvTimeoutError::Timeout));
    send(&mut *sender, &shape.message(5));
    assert_eq!(receive(&mut *receiver), shape.message(5));
    assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Empty));
}

pub(crate) fn says_that_it_is_full(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let capabilities = receiver.capabilities();
    if !can_be_full(&capabilities) {
        return;
    }
    let shape = Shape::of(&capabilities);
    // It is connected, where there is something to connect.
    send(&mut *sender, &shape.message(0));
    assert_eq!(receive(&mut *receiver), shape.message(0));
    let mut count = fill(&mut *sender, shape);
    assert!(count > 0, "there is room for nothing");
    loop {
        let begun = Instant::now();
        match sender.send_timeout(&shape.message(count), MOMENT) {
            // The kernel has made more room meanwhile.
            Ok(()) => count += 1,
            Err(SendTimeoutError::Timeout(())) => {
                assert!(begun.elapsed() >= MOMENT, "it gave up after {:?}", begun.elapsed());
                break;
            }
            Err(error) => panic!("{error:?} after {count} messages"),
        }
    }
    for n in 0..count {
        assert_eq!(receive(&mut *receiver), shape.message(n), "message {n} of {count}");
    }
    assert_eq!(receiver.try_recv(&mut Vec::new()), Err(TryRecvError::Empty), "what was refused does not come");
    send(&mut *sender, &shape.message(count));
    assert_eq!(receive(&mut *receiver), shape.message(count), "there is room again");
}

pub(crate) fn carries_the_longest_message_and_no_longer(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let capabilities = sender.capabilities();
    let shape = Shape::of(&capabilities);
    let longest = capabilities.longest.bytes;
    let too_long = shape.of_len(1, longest + 1);
    match sender.try_send(&too_long) {
        Err(TrySendError::TooLarge { len, max }) => assert_eq!((len, max), (longest + 1, longest)),
        other => panic!("{} bytes: {other:?}", longest + 1),
    }
    let refusal = sender.send_timeout(&too_long, PATIENCE);
    assert!(matches!(refusal, Err(SendTimeoutError::TooLarge { .. })), "{refusal:?}");
    assert!(!capabilities.longest.because.is_empty());
    let message = shape.of_len(2, longest);
    let sent = message.clone();
    let sender = beside(
        move || {
            send(&mut *sender, &sent);
            sender
        },
        || assert!(receive(&mut *receiver) == message, "the longest message arrives whole"),
    );
    drop(sender);
}

pub(crate) fn carries_empty_messages_and_any_byte(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let capabilities = sender.capabilities();
    for len in 0..capabilities.shortest {
        let refusal = sender.try_send(&vec![1; len]);
        assert!(matches!(refusal, Err(TrySendError::Unsupported { .. })), "{len} bytes: {refusal:?}");
    }
    if capabilities.shortest == 0 {
        send(&mut *sender, b"");
        assert_eq!(receive(&mut *receiver), b"");
    }
    for byte in 0..=u8::MAX {
        if capabilities.longest.bytes == 0 {
            return;
        }
        let message = vec![byte; capabilities.shortest.max(1)];
        if capabilities.forbidden == Some(byte) {
            let refusal = sender.try_send(&message);
            assert!(matches!(refusal, Err(TrySendError::Unsupported { .. })), "{refusal:?}");
        } else {
            send(&mut *sender, &message);
            assert_eq!(receive(&mut *receiver), message);
        }
    }
}

pub(crate) fn tells_the_receiver_of_the_end(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let capabilities = receiver.capabilities();
    let shape = Shape::of(&capabilities);
    for n in 0..3 {
        send(&mut *sender, &shape.message(n));
    }
    drop(sender);
    for n in 0..3 {
        assert_eq!(receive(&mut *receiver), shape.message(n), "what was sent before the end comes before it");
    }
    let mut message = Vec::new();
    if capabilities.tells_receiver {
        assert_eq!(receiver.recv_timeout(&mut message, PATIENCE), Err(RecvTimeoutError::Disconnected));
        assert_eq!(receiver.try_recv(&mut message), Err(TryRecvError::Disconnected), "it stays over");
        assert_eq!(receiver.recv(&mut message), Err(RecvError::Disconnected));
    } else {
        assert_eq!(receiver.recv_timeout(&mut message, MOMENT), Err(RecvTimeoutError::Timeout));
    }
}

pub(crate) fn tells_the_sender_of_the_end(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let capabilities = sender.capabilities();
    let shape = Shape::of(&capabilities);
    send(&mut *sender, &shape.message(0));
    assert_eq!(receive(&mut *receiver), shape.message(0));
    drop(receiver);
    if !capabilities.tells_sender || subject.ends_with_its_process() {
        return;
    }
    let begun = Instant::now();
    loop {
        match sender.send_timeout(&shape.message(1), MOMENT) {
            Err(SendTimeoutError::Disconnected(())) => break,
            // It may be noticed some messages later.
            Ok(()) | Err(SendTimeoutError::Timeout(())) => assert!(begun.elapsed() < PATIENCE, "it is never told"),
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(matches!(sender.try_send(&shape.message(1)), Err(TrySendError::Disconnected(()))), "it stays over");
}

pub(crate) fn lets_a_blocked_receiver_go(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let capabilities = receiver.capabilities();
    let shape = Shape::of(&capabilities);
    send(&mut *sender, &shape.message(0));
    assert_eq!(receive(&mut *receiver), shape.message(0));
    let receiving = blocked(move || {
        let mut message = Vec::new();
        let first = receiver.recv(&mut message).map(|_| message.clone());
        (first, receiver)
    });
    send(&mut *sender, &shape.message(1));
    let (first, mut receiver) = receiving.join().expect("it does not panic");
    assert_eq!(first, Ok(shape.message(1)), "a message wakes it");
    if capabilities.tells_receiver {
        let receiving = blocked(move || receiver.recv(&mut Vec::new()));
        drop(sender);
        assert_eq!(receiving.join().expect("it does not panic"), Err(RecvError::Disconnected));
    }
}

pub(crate) fn lets_a_blocked_sender_go(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let capabilities = receiver.capabilities();
    if !can_be_full(&capabilities) {
        return;
    }
    let shape = Shape::of(&capabilities);
    send(&mut *sender, &shape.message(0));
    assert_eq!(receive(&mut *receiver), shape.message(0));
    let count = fill(&mut *sender, shape);
    let last = shape.message(count);
    let sending = blocked(move || (sender.send(&last), sender));
    for n in 0..=count {
        assert_eq!(receive(&mut *receiver), shape.message(n), "room wakes it, and its message comes");
    }
    let (sent, mut sender) = sending.join().expect("it does not panic");
    assert_eq!(sent, Ok(()));
    if sender.capabilities().tells_sender && !subject.ends_with_its_process() {
        let count = fill(&mut *sender, shape);
        let last = shape.message(count);
        let sending = blocked(move || sender.send(&last));
        drop(receiver);
        assert_eq!(sending.join().expect("it does not panic"), Err(SendError::Disconnected(())));
    }
}

const CROWD: u8 = 4;
const EACH: u8 = 120;

pub(crate) fn has_many_senders(subject: &Subject) {
    let mut receiver = subject.receiver();
    let capabilities = receiver.capabilities();
    if capabilities.senders == Parties::One || capabilities.longest.bytes < 2 {
        return;
    }
    let shape = Shape::of(&capabilities);
    let mut senders: Vec<_> = (0..CROWD).map(|_| subject.sender()).collect();
    if capabilities.loss == Loss::AnyTime {
        // Nobody waits for the receiver: the test does.
        for n in 0..EACH {
            for (who, sender) in (0..).zip(&mut senders) {
                send(&mut **sender, &shape.signed(who, n));
                assert_eq!(receive(&mut *receiver), shape.signed(who, n));
            }
        }
        return;
    }
    let sending: Vec<_> = (0..)
        .zip(senders)
        .map(|(who, mut sender)| {
            thread::spawn(move || {
                (0..EACH).for_each(|n| send(&mut *sender, &shape.signed(who, n)));
                sender
            })
        })
        .collect();
    let mut next = [0; CROWD as usize];
    for _ in 0..u32::from(CROWD) * u32::from(EACH) {
        let message = receive(&mut *receiver);
        let who = usize::from(message[0] & 0x7f);
        assert_eq!(message, shape.signed(who as u8, next[who]), "in the order of their sender");
        next[who] += 1;
    }
    for sending in sending {
        drop(sending.join().expect("it does not panic"));
    }
}

pub(crate) fn has_many_receivers(subject: &Subject) {
    let mut receivers = vec![subject.receiver()];
    let capabilities = receivers[0].capabilities();
    if capabilities.receivers == Parties::One || capabilities.longest.bytes < 2 {
        return;
    }
    receivers.extend((1..CROWD).map(|_| subject.receiver()));
    let mut sender = subject.sender();
    let shape = Shape::of(&capabilities);
    let each_gets_all = capabilities.receivers == Parties::All;
    if each_gets_all {
        // Where there is something to connect, each is connected when it got something that was sent after it had come.
        connect(&mut *sender, &mut receivers, shape);
    }
    let receiving: Vec<_> = receivers
        .into_iter()
        .map(|mut receiver| {
            thread::spawn(move || {
                let mut numbers = Vec::new();
                let mut message = Vec::new();
                loop {
                    match receiver.recv_timeout(&mut message, PATIENCE) {
                        Ok(_) if message == shape.signed(1, EACH) => return numbers,
                        Ok(_) if message[0] == shape.signed(2, 0)[0] => {}
                        Ok(_) => numbers.push(message[1] & 0x7f),
                        Err(error) => panic!("{error:?} after {numbers:?}"),
                    }
                }
            })
        })
        .collect();
    for n in 0..EACH {
        send(&mut *sender, &shape.signed(0, n));
    }
    // The end, for each of them.
    for _ in 0..if each_gets_all { 1 } else { CROWD } {
        send(&mut *sender, &shape.signed(1, EACH));
    }
    let mut all: Vec<u8> = Vec::new();
    for receiving in receiving {
        let numbers = receiving.join().expect("it does not panic");
        assert!(numbers.is_sorted(), "in order: {numbers:?}");
        if each_gets_all {
            assert!(numbers.iter().copied().eq(0..EACH), "each gets all: {numbers:?}");
        }
        all.extend(numbers);
    }
    if !each_gets_all {
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..EACH), "each message goes to one: {all:?}");
    }
}

/// Sends until each receiver has got something.
fn connect(sender: &mut dyn Sender, receivers: &mut [Box<dyn Receiver>], shape: Shape) {
    let begun = Instant::now();
    let mut message = Vec::new();
    for receiver in receivers {
        loop {
            assert!(begun.elapsed() < PATIENCE, "a receiver is never connected");
            match sender.try_send(&shape.signed(2, 0)) {
                // There is nobody yet: the receivers come to it, in their calls.
                Ok(()) | Err(TrySendError::Full(())) => {}
                Err(error) => panic!("{error:?}"),
            }
            if receiver.recv_timeout(&mut message, MOMENT).is_ok() {
                break;
            }
        }
    }
}

pub(crate) fn carries_batches(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let capabilities = receiver.capabilities();
    let shape = Shape::of(&capabilities);
    let too_long = vec![1; capabilities.longest.bytes + 1];
    let (first, second) = (shape.message(1), shape.message(2));
    let refusal = sender.send_slice(&[&first, &second, &too_long, &first]).expect_err("one is too long");
    assert!(matches!(refusal, SendSliceError { sent: 2, cause: SendError::TooLarge { .. } }), "{refusal:?}");
    for message in [first, second] {
        assert_eq!(receive(&mut *receiver), message, "those before it come");
    }
    assert_eq!(receiver.try_recv(&mut Vec::new()), Err(TryRecvError::Empty), "those behind it do not");
    const COUNT: u64 = 500;
    let messages: Vec<_> = (0..COUNT).map(|n| shape.message(n)).collect();
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    if capabilities.loss == Loss::AnyTime {
        for slice in slices.chunks(5) {
            sender.send_slice(slice).expect("there is room");
            let mut batch = Batch::default();
            while batch.len() < slice.len() {
                receiver.recv_batch_by(&mut batch, 5, Deadline::after(PATIENCE)).expect("they come");
            }
            assert!(batch.iter().eq(slice.iter().copied()));
        }
        return;
    }
    let sent = messages.clone();
    let sending = move || {
        let slices: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        sender.send_slice(&slices).expect("there is room");
        sender
    };
    let mut batch = Batch::default();
    let sender = beside(sending, || {
        while batch.len() < COUNT as usize {
            let before = batch.len();
            let most = (COUNT as usize - before).min(64);
            let count = receiver.recv_batch_by(&mut batch, most, Deadline::after(PATIENCE)).expect("they come");
            assert!((1..=most).contains(&count) && batch.len() == before + count, "{count} of {most}");
        }
        assert!(batch.iter().eq(slices.iter().copied()), "in order, each once");
        assert_eq!(receiver.recv_batch_by(&mut batch, 1, Deadline::after(MOMENT)), Err(RecvTimeoutError::Timeout));
    });
    drop(sender);
}

pub(crate) fn wakes_a_wait_set(subject: &Subject) {
    let (mut sender, receiver) = subject.sides();
    let capabilities = receiver.capabilities();
    let shape = Shape::of(&capabilities);
    let mut set = WaitSet::new();
    let added = set.add_channel(receiver);
    if !capabilities.can_be_awaited {
        let refusal = added.expect_err("there is nothing to wait for it by");
        assert_eq!(refusal.kind(), ErrorKind::Unsupported);
        assert!(refusal.to_string().starts_with(capabilities.mechanism), "{refusal}");
        return;
    }
    let key = added.expect("it can be awaited");
    let mut message = Vec::new();
    let sending = thread::spawn(move || {
        for n in 0..100 {
            send(&mut *sender, &shape.message(n));
        }
        sender
    });
    let mut next = 0;
    while next < 100 {
        let ready = set.wait_timeout(PATIENCE).expect("it can wait");
        assert!(ready.contains(key), "nothing came in time");
        // One for each wait: what is left makes the next one return at once.
        match set[key].try_recv(&mut message) {
            Ok(_) => {
                assert_eq!(message, shape.message(next));
                next += 1;
            }
            // It was half a message, or somebody who connected.
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Lagged(count)) if capabilities.loss == Loss::AnyTime => next += count,
            Err(error) => panic!("{error:?}"),
        }
    }
    let sender = sending.join().expect("it does not panic");
    assert_eq!(set.remove(key).map(|mut receiver| receiver.try_recv(&mut message)), Some(Err(TryRecvError::Empty)));
    drop(sender);
}

pub(crate) fn is_waited_for_by_sender_and_receiver_at_once(subject: &Subject) {
    let (mut sender, mut receiver) = subject.sides();
    let shape = Shape::of(&sender.capabilities());
    if sender.capabilities().loss == Loss::AnyTime || receiver.capabilities().loss == Loss::AnyTime {
        return;
    }
    // More than fits at once, in both directions of waiting: the receiver pauses until the sender sleeps, and the other way round.
    let count = fill(&mut *sender, shape);
    let sending = blocked(move || {
        (count..3 * count).for_each(|n| send(&mut *sender, &shape.message(n)));
        sender
    });
    (0..3 * count).for_each(|n| assert_eq!(receive(&mut *receiver), shape.message(n), "message {n}"));
    drop(sending.join().expect("it does not panic"));
}
