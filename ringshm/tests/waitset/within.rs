//! A wait set within one process: what can be added, removed and notified, and when it ends.

use crate::support::Watchdog;
use ringshm::{Consumer, Interest, Producer, WaitSet};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

const AT_ONCE: Duration = Duration::from_millis(1);

fn ring() -> (Producer<u64>, Consumer<u64>) {
    ringshm::spsc::<u64>("").capacity(2).threads().expect("memory")
}

/// A set that nothing wakes but what is rung for.
fn set() -> WaitSet {
    let mut set = WaitSet::new();
    set.set_longest_sleep(Duration::MAX);
    set
}

#[test]
fn a_set_can_go_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    let set = set();
    is_send(&set);
    is_send(&set.notifier());
}

#[test]
fn nothing_is_ready_before_its_time() {
    let (mut set, (_producer, consumer)) = (set(), ring());
    assert!(set.wait_timeout(AT_ONCE).expect("no helpers").is_empty());
    set.add(consumer);
    assert!(set.wait_timeout(AT_ONCE).expect("no helpers").is_empty());
    let (_far, near) = UnixStream::pair().expect("sockets");
    let socket = set.add_fd(near, Interest::Readable).expect("a socket");
    assert!(set.wait_timeout(AT_ONCE).expect("a helper").is_empty());
    assert_eq!(set.len(), 2);
    assert!(set.remove(socket).is_some() && set.remove(socket).is_none());
    assert!(set.wait_timeout(AT_ONCE).expect("a helper").is_empty());
    assert!(set.try_wait().expect("epoll").is_empty());
}

#[test]
fn what_is_not_taken_is_ready_again() {
    let _watchdog = Watchdog::new();
    let (mut set, (mut producer, consumer)) = (set(), ring());
    let key = set.add(consumer);
    producer.send(1).expect("room");
    for _ in 0..3 {
        assert!(set.wait().expect("no helpers").contains(key));
    }
    assert_eq!(set[key].try_recv(), Ok(1));
    assert!(set.try_wait().expect("no helpers").is_empty());
    drop(producer);
    for _ in 0..3 {
        assert!(set.wait().expect("no helpers").contains(key), "to say that the ring is closed");
    }
}

#[test]
fn a_producer_that_was_refused_is_ready_when_there_is_room() {
    let _watchdog = Watchdog::new();
    let (mut set, (mut producer, mut consumer)) = (set(), ring());
    while producer.try_send(1).is_ok() {}
    let key = set.add(producer);
    let receiver = thread::spawn(move || {
        assert_eq!(consumer.recv(), Ok(1));
        consumer
    });
    assert!(set.wait().expect("no helpers").contains(key));
    assert_eq!(set[key].try_send(2), Ok(()));
    assert!(receiver.join().expect("no panic").len() == 2);
}

/// A thread for each of some channels, and one that sends to them when it is told to.
fn is_woken_by_each(set: &mut WaitSet, keys: &[ringshm::Key<Consumer<u64>>], producers: &mut [Producer<u64>]) {
    for (n, producer) in producers.iter_mut().enumerate() {
        thread::scope(|scope| {
            scope.spawn(|| producer.send(n as u64).expect("room"));
            let ready = set.wait().expect("helpers");
            assert!(ready.contains(keys[n]) && ready.len() == 1, "{n}: {ready:?}");
        });
        assert_eq!(set[keys[n]].try_recv(), Ok(n as u64));
    }
}

#[test]
fn channels_come_and_go_on_both_sides_of_what_a_thread_can_sleep_on() {
    let _watchdog = Watchdog::new();
    let mut set = set();
    let (mut producers, mut keys) = (Vec::new(), Vec::new());
    for _ in 0..260 {
        let (producer, consumer) = ring();
        producers.push(producer);
        keys.push(set.add(consumer));
    }
    is_woken_by_each(&mut set, &keys, &mut producers);
    // The first, one that a sentry watches, and enough to leave the second sentry without work.
    for n in [0, 0, 200, 127, 130].into_iter().chain([60; 20]) {
        let (mut producer, key) = (producers.remove(n), keys.remove(n));
        let mut consumer = set.remove(key).expect("not removed before");
        assert!(set.get(key).is_none());
        producer.send(9).expect("room");
        assert_eq!(consumer.recv(), Ok(9));
    }
    assert_eq!(set.len(), keys.len());
    is_woken_by_each(&mut set, &keys, &mut producers);
    for _ in 0..10 {
        let (producer, consumer) = ring();
        producers.push(producer);
        keys.push(set.add(consumer));
    }
    is_woken_by_each(&mut set, &keys, &mut producers);
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let (far, near) = UnixStream::pair().expect("sockets");
        sockets.push((far, set.add_fd(near, Interest::Readable).expect("a socket")));
    }
    is_woken_by_each(&mut set, &keys, &mut producers);
    for (far, near) in &mut sockets {
        thread::scope(|scope| {
            scope.spawn(|| far.write_all(b"x").expect("room"));
            let ready = set.wait().expect("helpers");
            assert!(ready.contains(*near) && ready.len() == 1, "{ready:?}");
        });
        set[*near].read_exact(&mut [0]).expect("a byte");
    }
    is_woken_by_each(&mut set, &keys, &mut producers);
}

#[test]
fn a_set_of_descriptors_is_woken_by_any() {
    let _watchdog = Watchdog::new();
    let mut set = set();
    let mut pairs = Vec::new();
    for _ in 0..20 {
        let (far, near) = UnixStream::pair().expect("sockets");
        pairs.push((far, set.add_fd(near, Interest::Either).expect("a socket")));
    }
    assert_eq!(set.wait().expect("epoll").len(), 20, "all can be written");
    let mut sockets = Vec::new();
    for (far, key) in pairs {
        let near = set.remove(key).expect("not removed before");
        sockets.push((far, set.add_fd(near, Interest::Readable).expect("a socket")));
    }
    for (far, near) in &mut sockets {
        thread::scope(|scope| {
            scope.spawn(|| far.write_all(b"x").expect("room"));
            let ready = set.wait().expect("epoll");
            assert!(ready.contains(*near) && ready.len() == 1, "{ready:?}");
        });
        set[*near].read_exact(&mut [0]).expect("a byte");
    }
}

#[test]
fn a_notifier_ends_a_wait_of_any_set() {
    let _watchdog = Watchdog::new();
    let (_producer, consumer) = ring();
    let (_far, near) = UnixStream::pair().expect("sockets");
    let mut set = set();
    let notifier = set.notifier();
    let is_ended = |set: &mut WaitSet| {
        thread::scope(|scope| {
            scope.spawn(|| notifier.notify());
            let ready = set.wait().expect("helpers");
            assert!(ready.is_notified() && ready.is_empty(), "{ready:?}");
        });
        assert!(!set.try_wait().expect("epoll").is_notified(), "once is enough");
        // One that comes before the wait ends it too, and only it.
        notifier.notify();
        notifier.notify();
        assert!(set.wait().expect("helpers").is_notified());
        assert!(!set.wait_timeout(AT_ONCE).expect("helpers").is_notified());
    };
    is_ended(&mut set);
    let socket = set.add_fd(near, Interest::Readable).expect("a socket");
    is_ended(&mut set);
    set.add(consumer);
    is_ended(&mut set);
    set.remove(socket).expect("not removed before");
    is_ended(&mut set);
}

#[test]
fn what_cannot_be_waited_for_is_an_error() {
    let mut set = set();
    let file = std::fs::File::open("/proc/self/exe").expect("this program");
    let error = set.add_fd(file, Interest::Readable).expect_err("a regular file");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(set.is_empty());
}
