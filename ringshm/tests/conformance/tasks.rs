//! Any channel, awaited in tasks of each executor.

use crate::messages::Shape;
use crate::subject::Subject;
use crate::suite::PATIENCE;
use ringshm::asynchronous::AsyncChannel;
use ringshm::{Loss, Receiver, RecvError, Sender};
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::mpsc::{self, channel};
use std::thread;

type Awaiting<C> = fn(C) -> io::Result<AsyncChannel<C>>;

/// An executor, and how a channel is awaited in it.
#[derive(Clone, Copy)]
struct Executor {
    run: fn(Pin<Box<dyn Future<Output = ()>>>),
    sender: Awaiting<Box<dyn Sender>>,
    receiver: Awaiting<Box<dyn Receiver>>,
}

#[cfg(feature = "tokio")]
pub(crate) fn is_awaited_in_tokio(subject: &Subject) {
    let run = |task| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { within(tokio::time::sleep(PATIENCE), task).await });
    };
    is_awaited(subject, Executor { run, sender: AsyncChannel::in_tokio, receiver: AsyncChannel::in_tokio });
}

#[cfg(feature = "async-io")]
pub(crate) fn is_awaited_in_async_io(subject: &Subject) {
    let run = |task| async_io::block_on(within(async_io::Timer::after(PATIENCE), task));
    is_awaited(subject, Executor { run, sender: AsyncChannel::in_async_io, receiver: AsyncChannel::in_async_io });
}

async fn within(limit: impl Future, mut task: Pin<Box<dyn Future<Output = ()>>>) {
    let mut limit = pin!(limit);
    poll_fn(|cx| {
        assert!(limit.as_mut().poll(cx).is_pending(), "a task is never woken");
        task.as_mut().poll(cx)
    })
    .await;
}

const COUNT: u64 = 3000;

fn is_awaited(subject: &Subject, executor: Executor) {
    // A look now and then would hide that a task is not woken.
    ringshm::asynchronous::never_remind();
    let (sender, receiver) = subject.sides();
    let (sends, receives) = (sender.capabilities(), receiver.capabilities());
    let shape = Shape::of(&receives);
    let is_lossy = sends.loss == Loss::AnyTime || receives.loss == Loss::AnyTime;
    if !receives.can_be_awaited {
        (executor.run)(Box::pin(async move {
            let refused = (executor.receiver)(receiver).map(drop).map_err(|error| error.kind());
            assert_eq!(refused, Err(ErrorKind::Unsupported));
        }));
        return;
    }
    // Where messages may be lost, one after the other.
    let (may_send, permission) = channel();
    let sending = thread::spawn(move || {
        if is_lossy {
            permission.recv().expect("the receiver is there");
        }
        send_all(sender, executor, shape, is_lossy.then_some(permission));
    });
    (executor.run)(Box::pin(async move {
        let mut receiver = (executor.receiver)(receiver).expect("it can be awaited");
        let mut message = Vec::new();
        for n in 0..COUNT {
            if is_lossy {
                may_send.send(()).expect("the sender is there");
            }
            assert_eq!(receiver.recv_into_async(&mut message).await, Ok(shape.message(n).len()));
            assert_eq!(message, shape.message(n), "message {n}");
        }
        // That the last sender of a queue is gone is seen only by looking now and then.
        if receives.tells_receiver && receives.mechanism != "posix_mq" {
            assert_eq!(receiver.recv_async().await, Err(RecvError::Disconnected));
        }
    }));
    sending.join().expect("it does not panic");
}

/// Sends all messages and leaves, in a thread of its own.
fn send_all(mut sender: Box<dyn Sender>, executor: Executor, shape: Shape, permission: Option<mpsc::Receiver<()>>) {
    let wait = move || permission.iter().for_each(|permission| permission.recv().expect("the receiver is there"));
    if !sender.capabilities().can_be_awaited {
        for n in 0..COUNT {
            sender.send(&shape.message(n)).expect("there will be room");
            if n + 1 < COUNT {
                wait();
            }
        }
        (executor.run)(Box::pin(async move {
            let refused = (executor.sender)(sender).map(drop).map_err(|error| error.kind());
            assert_eq!(refused, Err(ErrorKind::Unsupported));
        }));
        return;
    }
    (executor.run)(Box::pin(async move {
        let mut sender = (executor.sender)(sender).expect("it can be awaited");
        for n in 0..COUNT {
            sender.send_async(&shape.message(n)).await.expect("there will be room");
            if n + 1 < COUNT {
                wait();
            }
        }
    }));
}
