//! Waiting in tasks: see [`Async`].
//!
//! ```text
//!   task, when polled                    who calls it back
//!   try                                  a sentry of the process: sleeps on up to 127 words, wakes wakers      (any executor)
//!   register its waker                   the executor's reactor: watches a descriptor, which is               (tokio, async-io)
//!   announce, look again                     a private io_uring with a FUTEX_WAIT on the word, or
//!   have the word watched                    an eventfd that a sentry raises
//! ```
//!
//! And all look now and then, at the same moments, called by the executor's timers, or where there are none by the sentry.
//!
//! The announcement is that of every sleeper (ringshm-sync: watch), so a publisher pays for an awaiting task what it pays for a parked thread. What
//! is new is that the task does not sleep on the word: somebody does it for it (ringshm-sync: summons).

#[cfg(any(feature = "tokio", feature = "async-io"))]
mod channel;
mod descriptor;
mod handles;
mod place;
mod reactor;
mod uring;
mod watcher;

#[cfg(any(feature = "tokio", feature = "async-io"))]
pub use channel::AsyncChannel;
pub use descriptor::{Choice, Mechanism};
pub use handles::{Receives, ReceivesBytes, Sends};
pub use watcher::Watcher;

#[cfg(any(feature = "tokio", feature = "async-io"))]
use descriptor::Descriptor;
use futures_core::Stream;
use handles::Waited;
use place::Place;
use reactor::Reactor;
use ringshm_core::error::{RecvError, SendError};
use ringshm_sync::watch::{Watch, announce};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A handle whose calls are awaited: any that receives or sends, of any ring.
///
/// [`recv_async`](Self::recv_async) and [`send_async`](Self::send_async) are the blocking calls as futures; what receives is a [`Stream`] too.
/// Between them, [`get_mut`](Self::get_mut) gives the handle for everything else.
///
/// # Who wakes the task
/// * [`new`](Self::new): a thread of this process, which sleeps for up to 127 handles, and is started with the first. Works in every executor.
/// * [`in_tokio`](Self::in_tokio), with the feature `tokio`, and [`in_async_io`](Self::in_async_io), with the feature `async-io`: the executor's own
///   reactor, by a descriptor, see [`Mechanism`]. Faster where the kernel has the better one: no thread stands between.
///
/// # Cancelling
/// A future may be dropped at any time. It has then received nothing, or sent nothing: a message is taken out of its ring, or put into it, by the very
/// poll that returns it. With the future goes its announcement, so that nobody rings for it. (A stream's stays, until somebody has rung, once.)
/// In an MPMC ring a producer may have rung for this consumer just before its future was dropped, and for no other: then another sleeping consumer
/// finds the message when it looks by itself, within 5 ms if it is a parked thread.
///
/// # What is bounded
/// As every wait of this library, this one ends now and then for a look, because nobody rings for what a killed process left undone: after 20 ms, and
/// 0.9 ms more for each handle of this process that is awaited, up to 200 ms. By so much is a message delayed whose producer was killed between
/// publishing and waking, and so long does it take to notice a death. All handles of a process are looked at in the same moments.
///
/// A task that receives or sends without ever waiting gives way to others after every 128 messages.
///
/// A handle must not be used in a forked child, only dropped.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use pollster::block_on;
/// use ringshm::asynchronous::Async;
///
/// let (sender, receiver) = ringshm::spsc::<u64>("").capacity(8).threads()?;
/// let (mut sender, mut receiver) = (Async::new(sender)?, Async::new(receiver)?);
/// let sending = std::thread::spawn(move || {
///     block_on(async {
///         for n in 0..100 {
///             sender.send_async(n).await?;
///         }
///         Ok::<_, ringshm::SendError<u64>>(())
///     })
/// });
/// block_on(async {
///     for n in 0..100 {
///         assert_eq!(receiver.recv_async().await?, n);
///     }
///     assert!(receiver.recv_async().await.is_err(), "the sender is gone");
///     Ok::<_, ringshm::RecvError>(())
/// })?;
/// sending.join().expect("it does not panic")?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Async<H: ringshm_core::Waitable> {
    watch: Watch<Waited<H>>,
    via: Via,
    /// Whether a waker may be registered, or an announcement made.
    is_waiting: bool,
    /// Messages in a row for which it did not wait.
    unwaited: u8,
    /// As a stream: whether it has ended.
    has_ended: bool,
    /// The process whose lane, threads and io_uring these are.
    process: u32,
}

/// Who wakes the task.
#[derive(Debug)]
#[cfg_attr(not(any(feature = "tokio", feature = "async-io")), allow(dead_code, reason = "there is no reactor"))]
enum Via {
    Sentry(Place),
    Reactor(Box<Reactor>),
}

/// From now on no wait of a task in this process ends but by being rung for: for tests, which must not be helped.
#[doc(hidden)]
pub fn never_remind() {
    crate::reminder::never_remind();
}

/// After how many messages in a row a task gives way.
const PATIENCE_OF_OTHERS: u8 = 128;

impl<H: ringshm_core::Waitable> Async<H> {
    /// For any executor: a thread of this process wakes the task.
    ///
    /// # Errors
    /// If the system has no thread; the handle is dropped then.
    pub fn new(handle: H) -> io::Result<Self> {
        Ok(Self::via(handle, Via::Sentry(Place::take(true)?)))
    }

    /// For tasks of tokio: its reactor wakes the task.
    ///
    /// # Errors
    /// If the system has no descriptor, or no thread; the handle is dropped then.
    ///
    /// # Panics
    /// Outside of a runtime, or in one without `enable_io` and `enable_time`.
    #[cfg(feature = "tokio")]
    pub fn in_tokio(handle: H) -> io::Result<Self> {
        Self::in_tokio_with(handle, Mechanism::best().mechanism)
    }

    /// As [`in_tokio`](Self::in_tokio), by a mechanism of the caller's choice.
    ///
    /// # Errors
    /// As for `in_tokio`; and if the kernel does not have the mechanism.
    ///
    /// # Panics
    /// As `in_tokio`.
    #[cfg(feature = "tokio")]
    pub fn in_tokio_with(handle: H, mechanism: Mechanism) -> io::Result<Self> {
        Ok(Self::via(handle, Via::Reactor(Box::new(Reactor::tokio(Descriptor::open(mechanism, false)?)?))))
    }

    /// For any executor, with the reactor of async-io, whose thread waits for descriptors.
    ///
    /// # Errors
    /// If the system has no descriptor, or no thread; the handle is dropped then.
    #[cfg(feature = "async-io")]
    pub fn in_async_io(handle: H) -> io::Result<Self> {
        Self::in_async_io_with(handle, Mechanism::best().mechanism)
    }

    /// As [`in_async_io`](Self::in_async_io), by a mechanism of the caller's choice.
    ///
    /// # Errors
    /// As for `in_async_io`; and if the kernel does not have the mechanism.
    #[cfg(feature = "async-io")]
    pub fn in_async_io_with(handle: H, mechanism: Mechanism) -> io::Result<Self> {
        Ok(Self::via(handle, Via::Reactor(Box::new(Reactor::async_io(Descriptor::open(mechanism, false)?)?))))
    }

    fn via(handle: H, via: Via) -> Self {
        let process = std::process::id();
        Self { watch: Watch::new(Waited(handle)), via, is_waiting: false, unwaited: 0, has_ended: false, process }
    }

    /// The handle.
    #[must_use]
    pub fn get_ref(&self) -> &H {
        &self.watch.get().0
    }

    /// The handle, to be used: its blocking calls too, and everything that does not wait.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut H {
        self.calm();
        // Whoever else sleeps on the word could be woken in place of a caller that blocks.
        self.via.quit();
        &mut self.watch.get_mut().0
    }

    /// The handle, to be used without tasks, or detached.
    #[must_use]
    pub fn into_inner(mut self) -> H {
        self.calm();
        self.via.quit();
        self.watch.into_inner().0
    }

    /// By what the descriptor becomes readable that a reactor watches. `None`: no reactor is needed.
    #[must_use]
    pub fn mechanism(&self) -> Option<Mechanism> {
        match &self.via {
            Via::Sentry(_) => None,
            Via::Reactor(reactor) => Some(reactor.mechanism()),
        }
    }

    /// Tries, and if that is in vain, sees to it that the task is woken when it may be worth another attempt.
    fn poll_with<R>(&mut self, cx: &mut Context<'_>, mut attempt: impl FnMut(&mut H) -> Option<R>) -> Poll<R> {
        if self.unwaited == PATIENCE_OF_OTHERS {
            self.unwaited = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(outcome) = attempt(&mut self.watch.get_mut().0) {
            self.unwaited += 1;
            return Poll::Ready(outcome);
        }
        self.unwaited = 0;
        if self.wait(cx) {
            return Poll::Pending;
        }
        match attempt(&mut self.watch.get_mut().0) {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                // It was rung for, or another consumer was faster: from the beginning.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Announces that somebody waits, and has the bell watched. `false` if there is something to see.
    fn wait(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_waiting = true;
        // Before the look.
        let is_registered = match &mut self.via {
            Via::Sentry(place) => {
                place.register(cx.waker());
                true
            }
            Via::Reactor(reactor) => reactor.register(cx),
        };
        if !is_registered || !announce(std::slice::from_mut(&mut self.watch)) {
            return false;
        }
        match &mut self.via {
            Via::Sentry(place) => place.post(&self.watch),
            Via::Reactor(reactor) => reactor.watch(&self.watch),
        }
    }

    /// Nobody waits any more.
    fn calm(&mut self) {
        if core::mem::take(&mut self.is_waiting) && self.process == std::process::id() {
            self.watch.withdraw();
            match &self.via {
                Via::Sentry(place) => place.forget(),
                Via::Reactor(reactor) => reactor.forget(),
            }
        }
    }
}

impl Via {
    fn quit(&mut self) {
        match self {
            Self::Sentry(place) => place.quit(),
            Self::Reactor(reactor) => reactor.quit(),
        }
    }
}

/// A future that waits. When it goes, nobody waits any more.
struct Waiting<'a, H: ringshm_core::Waitable>(&'a mut Async<H>);

impl<H: ringshm_core::Waitable> Drop for Waiting<'_, H> {
    fn drop(&mut self) {
        self.0.calm();
    }
}

impl<C: Receives> Async<C> {
    /// Receives a message, and waits for it as long as it takes. Of a register: the newest value, once there is one that was not read yet. Of a ring
    /// of bytes: a vector of its own for each; see [`recv_into_async`](Self::recv_into_async).
    ///
    /// # Errors
    /// [`RecvError`].
    pub async fn recv_async(&mut self) -> Result<C::Message, RecvError> {
        let waiting = Waiting(self);
        poll_fn(|cx| waiting.0.poll_recv(cx)).await
    }

    /// As a poll of [`recv_async`](Self::recv_async), for a future of one's own. The announcement stays as that of a stream.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<C::Message, RecvError>> {
        self.poll_with(cx, |consumer| handles::unless_early(consumer.try_recv_message()))
    }
}

impl<C: ReceivesBytes> Async<C> {
    /// Receives a message into `into`, replacing what it held, and waits for it as long as it takes. Returns its length.
    ///
    /// # Errors
    /// [`RecvError`].
    pub async fn recv_into_async(&mut self, into: &mut Vec<u8>) -> Result<usize, RecvError> {
        let waiting = Waiting(self);
        poll_fn(|cx| waiting.0.poll_with(cx, |consumer| handles::unless_early(consumer.try_recv_into(into)))).await
    }
}

impl<P: Sends> Async<P> {
    /// Sends a message, and waits for room as long as it takes. A future that is dropped before it was ready has sent nothing; the message goes
    /// with it.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_async(&mut self, message: P::Message<'_>) -> Result<(), SendError<P::Unsent>> {
        let waiting = Waiting(self);
        let mut message = Some(message);
        poll_fn(|cx| waiting.0.poll_with(cx, |producer| producer.try_send_message(&mut message))).await
    }
}

/// The messages, until there will be no more. What is not the end is an item: a lossy reader's `Lagged`, `TooManyHeld` of who
/// keeps the frames that it was given, and at the last `Evicted` or a fault.
impl<C: Receives + Unpin> Stream for Async<C> {
    type Item = Result<C::Message, RecvError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        this.poll_recv(cx).map(|received| {
            this.has_ended = !matches!(received, Ok(_) | Err(RecvError::Lagged(_) | RecvError::TooManyHeld { .. }));
            (!matches!(received, Err(RecvError::Disconnected))).then_some(received)
        })
    }
}
