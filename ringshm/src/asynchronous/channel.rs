//! Channels of any mechanism in tasks: see [`AsyncChannel`].
//!
//! A ring is awaited as rings are. Any other mechanism by its descriptor in the executor's reactor, and by a timer, because a descriptor does not show
//! everything: that the processes at the other side of a message queue have died, for example.
//!
//! # Safety
//! What a reactor is given is a descriptor of its own, which stays open, and the same, as long as it is registered.

#![allow(unsafe_code, reason = "tokio asks for a promise about descriptors")]

use super::handles::{unless_early, unless_full};
use super::reactor::Looks;
use super::{Async, PATIENCE_OF_OTHERS};
use crate::waitset::nothing_to_await;
use futures_core::Stream;
use ringshm_core::error::{RecvError, SendError};
use ringshm_core::traits::OfRing;
use ringshm_core::{Awaited, Channel, Interest, Receiver, Sender};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A channel whose calls are awaited, whatever carries it: what [`open`](crate::open) has opened, or a handle of `ringshm-fallback`. Of a ring whose
/// type is known, [`Async`] can do the same and more.
///
/// A future may be dropped at any time. It has then received nothing, or sent nothing. What the kernel does not tell, such as the death of the last process at
/// the other side of a message queue, is noticed when the task looks by itself: as often as [`Async`] does.
///
/// A task that receives or sends without ever waiting gives way to others after every 128 messages.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use ringshm::asynchronous::AsyncChannel;
///
/// # let folder = std::env::temp_dir().join(format!("ringshm-doc-{}", std::process::id()));
/// # std::fs::create_dir(&folder)?;
/// # let name = format!("unix:{}/feed.sock?type=seqpacket", folder.display());
/// // let name = "unix:/run/feed.sock?type=seqpacket";
/// let mut receiver = AsyncChannel::in_tokio(ringshm::open(&name).receiver()?)?;
/// let mut sender = AsyncChannel::in_tokio(ringshm::open(&name).sender()?)?;
/// let sending = tokio::spawn(async move { sender.send_async(b"seven").await });
/// assert_eq!(receiver.recv_async().await?, b"seven");
/// sending.await??;
/// assert!(receiver.recv_async().await.is_err(), "the sender is gone");
/// # drop(receiver);
/// # std::fs::remove_dir(&folder)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct AsyncChannel<C: Channel> {
    way: Way<C>,
    /// As a stream: whether it has ended.
    has_ended: bool,
}

/// By what it is awaited.
#[derive(Debug)]
enum Way<C: Channel> {
    Ring(Box<Async<OfRing<C>>>),
    Descriptor(Attended<C>),
}

/// A channel with a descriptor in a reactor.
#[derive(Debug)]
struct Attended<C> {
    registered: Registered,
    channel: C,
    looks: Looks,
    /// Messages in a row for which it did not wait.
    unwaited: u8,
}

/// A second descriptor of the same thing, as the reactor keeps it.
#[derive(Debug)]
enum Registered {
    #[cfg(feature = "tokio")]
    Tokio(tokio::io::unix::AsyncFd<OwnedFd>),
    #[cfg(feature = "async-io")]
    AsyncIo(async_io::Async<OwnedFd>),
}

/// A second descriptor of what the channel is awaited by.
fn descriptor_of(channel: &impl Channel) -> io::Result<OwnedFd> {
    match channel.awaited() {
        Awaited::Descriptor(fd, _) => fd.try_clone_to_owned(),
        Awaited::Bell(_) | Awaited::Nothing => Err(nothing_to_await(channel)),
    }
}

impl<C: Channel> AsyncChannel<C> {
    /// For tasks of tokio.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the channel has nothing to be awaited by: see
    /// [`Capabilities::can_be_awaited`](crate::Capabilities::can_be_awaited). Others if the system has no descriptor. The channel is dropped then.
    ///
    /// # Panics
    /// Outside of a runtime, or in one without `enable_io` and `enable_time`.
    #[cfg(feature = "tokio")]
    pub fn in_tokio(channel: C) -> io::Result<Self> {
        let way = match OfRing::new(channel) {
            Ok(ring) => Way::Ring(Box::new(Async::in_tokio(ring)?)),
            Err(channel) => {
                let fd = descriptor_of(&channel)?;
                let both = tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE;
                // SAFETY: it is moved in there, and an `OwnedFd` is always the same open descriptor.
                let fd = unsafe { tokio::io::unix::AsyncFd::register_with_interest(fd, both) }?;
                let (registered, looks) = (Registered::Tokio(fd), Looks::in_tokio());
                Way::Descriptor(Attended { registered, channel, looks, unwaited: 0 })
            }
        };
        Ok(Self { way, has_ended: false })
    }

    /// For any executor, with the reactor of async-io.
    ///
    /// # Errors
    /// As for `in_tokio`.
    #[cfg(feature = "async-io")]
    pub fn in_async_io(channel: C) -> io::Result<Self> {
        let way = match OfRing::new(channel) {
            Ok(ring) => Way::Ring(Box::new(Async::in_async_io(ring)?)),
            Err(channel) => {
                let fd = async_io::Async::new_nonblocking(descriptor_of(&channel)?)?;
                let (registered, looks) = (Registered::AsyncIo(fd), Looks::in_async_io());
                Way::Descriptor(Attended { registered, channel, looks, unwaited: 0 })
            }
        };
        Ok(Self { way, has_ended: false })
    }

    /// The channel.
    #[must_use]
    pub fn get_ref(&self) -> &C {
        match &self.way {
            Way::Ring(ring) => ring.get_ref().get(),
            Way::Descriptor(attended) => &attended.channel,
        }
    }

    /// The channel, to be used: its blocking calls too, and everything that does not wait.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut C {
        match &mut self.way {
            Way::Ring(ring) => ring.get_mut().get_mut(),
            Way::Descriptor(attended) => &mut attended.channel,
        }
    }

    /// The channel, to be used without tasks, or detached.
    #[must_use]
    pub fn into_inner(self) -> C {
        match self.way {
            Way::Ring(ring) => ring.into_inner().into_inner(),
            Way::Descriptor(attended) => attended.channel,
        }
    }
}

impl<C: Channel> Attended<C> {
    /// Tries until that is not in vain, or the reactor knows whom to call.
    fn poll_with<R>(&mut self, cx: &mut Context<'_>, mut attempt: impl FnMut(&mut C) -> Option<R>) -> Poll<R> {
        if self.unwaited == PATIENCE_OF_OTHERS {
            self.unwaited = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(outcome) = attempt(&mut self.channel) {
                self.unwaited += 1;
                return Poll::Ready(outcome);
            }
            // What it was told before is forgotten, and then it looks again: what comes from then on is told once more.
            if !self.was_ready(cx) && !self.looks.are_due(cx) {
                self.unwaited = 0;
                return Poll::Pending;
            }
        }
    }

    fn was_ready(&self, cx: &mut Context<'_>) -> bool {
        let interest = match self.channel.awaited() {
            Awaited::Descriptor(_, interest) => interest,
            Awaited::Bell(_) | Awaited::Nothing => unreachable!("a channel stays what it is"),
        };
        // Both are asked, so that both are registered.
        let readable = interest != Interest::Writable && self.registered.was_readable(cx);
        let writable = interest != Interest::Readable && self.registered.was_writable(cx);
        readable || writable
    }
}

impl Registered {
    /// Whether the descriptor became readable since the last time, or the reactor is at its end. Else registers the waker.
    fn was_readable(&self, cx: &mut Context<'_>) -> bool {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tokio(fd) => match fd.poll_read_ready(cx) {
                Poll::Ready(Ok(mut guard)) => {
                    guard.clear_ready();
                    true
                }
                // Without a reactor, the timer is at its end, too, and panics.
                Poll::Ready(Err(_)) | Poll::Pending => false,
            },
            #[cfg(feature = "async-io")]
            Self::AsyncIo(fd) => fd.poll_readable(cx).is_ready(),
        }
    }

    fn was_writable(&self, cx: &mut Context<'_>) -> bool {
        match self {
            #[cfg(feature = "tokio")]
            Self::Tokio(fd) => match fd.poll_write_ready(cx) {
                Poll::Ready(Ok(mut guard)) => {
                    guard.clear_ready();
                    true
                }
                Poll::Ready(Err(_)) | Poll::Pending => false,
            },
            #[cfg(feature = "async-io")]
            Self::AsyncIo(fd) => fd.poll_writable(cx).is_ready(),
        }
    }
}

impl<C: Receiver> AsyncChannel<C> {
    /// Receives a message, and waits for it as long as it takes.
    ///
    /// # Errors
    /// [`RecvError`].
    pub async fn recv_async(&mut self) -> Result<Vec<u8>, RecvError> {
        let mut message = Vec::new();
        self.recv_into_async(&mut message).await?;
        Ok(message)
    }

    /// Receives a message into `into`, replacing what it held, and waits for it as long as it takes. Returns its length.
    ///
    /// # Errors
    /// [`RecvError`].
    pub async fn recv_into_async(&mut self, into: &mut Vec<u8>) -> Result<usize, RecvError> {
        match &mut self.way {
            Way::Ring(ring) => ring.recv_into_async(into).await,
            Way::Descriptor(attended) => {
                poll_fn(|cx| attended.poll_with(cx, |channel| unless_early(channel.try_recv(into)))).await
            }
        }
    }

    /// As a poll of [`recv_async`](Self::recv_async), for a future of one's own.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, RecvError>> {
        match &mut self.way {
            Way::Ring(ring) => ring.poll_recv(cx),
            Way::Descriptor(attended) => {
                let mut message = Vec::new();
                let received = attended.poll_with(cx, |channel| unless_early(channel.try_recv(&mut message)));
                received.map_ok(|_| message)
            }
        }
    }
}

impl<C: Sender> AsyncChannel<C> {
    /// Sends a message, and waits for room as long as it takes.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_async(&mut self, message: &[u8]) -> Result<(), SendError<()>> {
        match &mut self.way {
            Way::Ring(ring) => ring.send_async(message).await,
            Way::Descriptor(attended) => {
                let attempt = |channel: &mut C| unless_full(channel.try_send(message), |()| ());
                poll_fn(|cx| attended.poll_with(cx, attempt)).await
            }
        }
    }
}

/// The messages, until there will be no more. What is not the end is an item: `Lagged`, `Rejected`, and at the last a fault.
impl<C: Receiver + Unpin> Stream for AsyncChannel<C> {
    type Item = Result<Vec<u8>, RecvError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        this.poll_recv(cx).map(|received| {
            this.has_ended = !matches!(received, Ok(_) | Err(RecvError::Lagged(_) | RecvError::Rejected(_)));
            (!matches!(received, Err(RecvError::Disconnected))).then_some(received)
        })
    }
}
