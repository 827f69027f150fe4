//! Tasks within one process: what a future leaves behind when it is dropped, streams, descriptors, and many handles.

use crate::actor::{WAYS, Way, io_uring_if_possible, is_announced};
use crate::support::{Folder, Watchdog};
use futures_core::Stream;
use ringshm::asynchronous::{Async, Mechanism, Watcher};
use ringshm::broadcast::OnSlowReader;
use ringshm::{Consumer, Producer, RecvError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

fn mechanisms() -> [Mechanism; 2] {
    [io_uring_if_possible(), Mechanism::Thread]
}

fn ring(capacity: u64) -> (Producer<u64>, Consumer<u64>) {
    ringshm::spsc::<u64>("").capacity(capacity).threads().expect("memory")
}

/// For tests in which nothing but a ring wakes anybody.
fn begin() -> Watchdog {
    ringshm::asynchronous::never_remind();
    Watchdog::new()
}

/// Reports that it was woken.
struct Woken(Sender<()>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        // Late ones come when nobody listens.
        let _ = self.0.send(());
    }
}

fn waker() -> (Waker, Receiver<()>) {
    let (sender, receiver) = channel();
    (Waker::from(Arc::new(Woken(sender))), receiver)
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn next<S: Stream + Unpin>(way: &Way, stream: &mut S) -> Option<S::Item> {
    way.run(poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)))
}

#[test]
fn what_awaits_can_go_to_another_thread() {
    fn is_send<T: Send>(_: T) {}
    let way = Way::new("tokio-io_uring");
    let (producer, consumer) = ring(2);
    let (mut sender, mut receiver) = (way.take(producer), way.take(consumer));
    is_send(sender.send_async(1));
    is_send(receiver.recv_async());
    is_send(receiver);
}

#[test]
fn a_dropped_future_loses_no_message_and_leaves_no_announcement() {
    let _watchdog = begin();
    for name in WAYS {
        let (folder, way) = (Folder::for_leftovers(), Way::new(name));
        let open = || ringshm::spsc::<u64>("ring0").directory(folder.path()).capacity(8);
        let mut producer = open().producer().expect("a ring");
        let mut receiver = way.take(open().consumer().expect("a ring"));
        for n in 0..100 {
            way.run(async {
                let mut dropped = Box::pin(receiver.recv_async());
                assert!(poll_once(dropped.as_mut()).is_pending(), "{name}");
                assert!(is_announced(&folder), "{name}: nobody waits");
                // With a message that it could have had, and without.
                if n % 2 == 0 {
                    producer.try_send(n).expect("room");
                }
                drop(dropped);
                assert!(!is_announced(&folder), "{name}: the announcement stands");
                if n % 2 == 1 {
                    producer.try_send(n).expect("room");
                }
                assert_eq!(receiver.recv_async().await, Ok(n), "{name}");
            });
        }
    }
}

#[test]
fn a_handle_that_is_taken_back_waits_for_nobody() {
    let _watchdog = begin();
    for name in WAYS {
        let (folder, way) = (Folder::for_leftovers(), Way::new(name));
        let open = || ringshm::spsc::<u64>("ring0").directory(folder.path()).capacity(8);
        let mut producer = open().producer().expect("a ring");
        let mut stream = way.take(open().consumer().expect("a ring"));
        way.run(async {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut stream).poll_next(&mut cx).is_pending());
        });
        assert!(is_announced(&folder), "{name}: nobody waits");
        let mut consumer = stream.into_inner();
        assert!(!is_announced(&folder), "{name}: the announcement stands");
        producer.try_send(1).expect("room");
        assert_eq!(consumer.recv(), Ok(1));
    }
}

#[test]
fn a_dropped_future_sends_nothing() {
    let _watchdog = begin();
    for name in WAYS {
        let way = Way::new(name);
        let (producer, mut consumer) = ring(1);
        let mut sender = way.take(producer);
        way.run(async {
            sender.send_async(1).await.expect("room");
            assert!(poll_once(pin!(sender.send_async(2))).is_pending(), "{name}");
        });
        assert_eq!(consumer.try_recv(), Ok(1));
        assert!(consumer.try_recv().is_err(), "{name}: it was sent");
        thread::scope(|scope| {
            way.run(sender.send_async(3)).expect("room");
            scope.spawn(|| assert_eq!((consumer.recv(), consumer.recv()), (Ok(3), Ok(4))));
            way.run(sender.send_async(4)).expect("room, in the end");
        });
        drop(consumer);
        assert!(matches!(way.run(sender.send_async(5)), Err(ringshm::SendError::Disconnected(5))), "{name}");
    }
}

#[test]
fn a_stream_ends_with_its_producer() {
    let _watchdog = begin();
    for name in WAYS {
        let way = Way::new(name);
        let (mut producer, consumer) = ring(4);
        let mut stream = way.take(consumer);
        thread::scope(|scope| {
            scope.spawn(move || (0..1000).for_each(|n| producer.send(n).expect("somebody receives")));
            for n in 0..1000 {
                assert_eq!(next(&way, &mut stream), Some(Ok(n)), "{name}");
            }
            assert_eq!(next(&way, &mut stream), None, "{name}");
            assert_eq!(next(&way, &mut stream), None, "{name}");
        });
    }
}

#[test]
fn a_stream_goes_on_after_what_a_lossy_reader_missed() {
    let _watchdog = begin();
    let (folder, way) = (Folder::for_leftovers(), Way::new("neutral"));
    let open = || ringshm::broadcast::<u64>("feed").directory(folder.path()).capacity(4);
    let mut producer = open().producer().expect("a ring");
    let mut stream = way.take(open().reader().expect("a ring"));
    (0..100).for_each(|n| producer.try_send(n).expect("nobody is waited for"));
    drop(producer);
    let Some(Err(RecvError::Lagged(missed))) = next(&way, &mut stream) else { panic!("it missed nothing") };
    for n in missed..100 {
        assert_eq!(next(&way, &mut stream), Some(Ok(n)));
    }
    assert_eq!(next(&way, &mut stream), None);
}

#[test]
fn a_stream_ends_with_the_eviction_of_its_reader() {
    let _watchdog = begin();
    let (folder, way) = (Folder::for_leftovers(), Way::new("neutral"));
    let open = || ringshm::broadcast::<u64>("feed").directory(folder.path()).capacity(2);
    let at_once = OnSlowReader::Evict { after: Duration::ZERO };
    let mut producer = open().on_slow_reader(at_once).producer().expect("a ring");
    let mut stream = way.take(open().consumer().expect("a ring"));
    (0..100).for_each(|n| producer.send(n).expect("nobody is waited for"));
    while let Some(Ok(_)) = next(&way, &mut stream) {}
    assert_eq!(next(&way, &mut stream), None, "it is said once");
}

#[test]
fn a_task_that_never_waits_gives_way() {
    let _watchdog = begin();
    let (mut producer, consumer) = ring(1024);
    let mut receiver = Async::new(consumer).expect("a thread");
    (0..1000).for_each(|n| producer.try_send(n).expect("room"));
    let (waker, woken) = waker();
    let (mut received, mut gave_way) = (0, 0);
    while received < 1000 {
        match pin!(receiver.recv_async()).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(message) => {
                assert_eq!(message, Ok(received));
                received += 1;
            }
            Poll::Pending => {
                woken.try_recv().expect("it is called back at once");
                gave_way += 1;
            }
        }
    }
    assert_eq!(gave_way, 7);
}

#[test]
fn more_handles_than_one_thread_can_sleep_for() {
    let _watchdog = begin();
    let (mut producers, receivers): (Vec<_>, Vec<_>) = (0..300).map(|_| ring(2)).unzip();
    let mut receivers: Vec<_> = receivers.into_iter().map(|consumer| Async::new(consumer).expect("threads")).collect();
    let (waker, woken) = waker();
    let mut cx = Context::from_waker(&waker);
    let mut futures: Vec<_> = receivers.iter_mut().map(|receiver| Box::pin(receiver.recv_async())).collect();
    assert!(futures.iter_mut().all(|future| future.as_mut().poll(&mut cx).is_pending()));
    for n in [299, 0, 127, 126, 200] {
        producers[n].try_send(7).expect("room");
        loop {
            woken.recv().expect("it is called");
            if futures[n].as_mut().poll(&mut cx) == Poll::Ready(Ok(7)) {
                break;
            }
        }
    }
}

#[test]
fn a_thread_that_ends_takes_no_wait_with_it() {
    let _watchdog = begin();
    for name in WAYS {
        let way = Way::new(name);
        let (mut producer, consumer) = ring(2);
        let mut receiver = way.take(consumer);
        let (waker, woken) = waker();
        let mut future = Box::pin(receiver.recv_async());
        thread::scope(|scope| {
            let future = &mut future;
            let (waker, way) = (&waker, &way);
            scope.spawn(move || {
                way.run(async { assert!(future.as_mut().poll(&mut Context::from_waker(waker)).is_pending()) });
            });
        });
        let mut poll = || way.run(poll_fn(|_| Poll::Ready(future.as_mut().poll(&mut Context::from_waker(&waker)))));
        // Once more, so that what the thread has left behind may have been noticed.
        assert!(poll().is_pending());
        producer.try_send(7).expect("room");
        loop {
            woken.recv().expect("it is called");
            if poll() == Poll::Ready(Ok(7)) {
                break;
            }
        }
    }
}

fn is_readable<H: ringshm::Waitable>(watcher: &Watcher<H>) -> bool {
    poll(&mut [PollFd::new(watcher, PollFlags::IN)], Some(&Timespec::default())).expect("a descriptor") == 1
}

#[test]
fn a_descriptor_is_readable_from_a_ring_until_it_is_armed() {
    let _watchdog = begin();
    for mechanism in mechanisms() {
        let (mut producer, consumer) = ring(8);
        let mut watcher = Watcher::with(consumer, mechanism).expect("the kernel has what it takes");
        assert_eq!(watcher.mechanism(), mechanism);
        assert!(!is_readable(&watcher), "{mechanism}: before it is armed");
        for n in 0..1000 {
            while watcher.get_mut().try_recv().is_ok() {}
            assert!(watcher.arm().expect("memory"), "{mechanism}: nothing is there");
            assert!(!is_readable(&watcher), "{mechanism}: before the ring");
            producer.try_send(n).expect("room");
            poll(&mut [PollFd::new(&watcher, PollFlags::IN)], None).expect("a descriptor");
            assert!(is_readable(&watcher), "{mechanism}: it stays so");
            assert!(!watcher.arm().expect("memory"), "{mechanism}: something is there");
            assert_eq!(watcher.get_mut().try_recv(), Ok(n));
        }
    }
}
