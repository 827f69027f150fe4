//! What every handle that receives, and every one that sends, is asked by a task.

use ringshm_core::broadcast::{self, Seat};
use ringshm_core::error::{RecvError, SendError, TryRecvError, TrySendError};
use ringshm_core::traits::OfRing;
use ringshm_core::{Consumer, Payload, Producer, RecordConsumer, RecordProducer, Waitable, frames, latest, mpmc};
use ringshm_sync::watch::{AnyBell, Watched};

/// A handle, as what is waited for.
#[derive(Debug)]
pub(super) struct Waited<H>(pub(super) H);

impl<H: Waitable> Watched for Waited<H> {
    fn bell(&self) -> AnyBell<'_> {
        self.0.bell()
    }

    fn look(&mut self) -> bool {
        self.0.is_ready()
    }
}

/// A handle that receives.
pub trait Receives: Waitable {
    /// What it receives: of a ring of bytes, a vector.
    type Message;

    /// Receives a message if there is one.
    #[doc(hidden)]
    fn try_recv_message(&mut self) -> Result<Self::Message, TryRecvError>;
}

/// A handle that receives bytes, into a vector of the caller's.
pub trait ReceivesBytes: Receives<Message = Vec<u8>> {
    /// Receives a message if there is one, replacing what `into` held, and returns its length.
    #[doc(hidden)]
    fn try_recv_into(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError>;
}

/// A handle that sends.
pub trait Sends: Waitable {
    /// What it sends: bytes are borrowed.
    type Message<'a>;
    /// What comes back if it cannot be sent.
    type Unsent;

    /// Sends the message, which is there, if there is room. `None`: not yet, and it is still there.
    #[doc(hidden)]
    fn try_send_message(
        &mut self,
        message: &mut Option<Self::Message<'_>>,
    ) -> Option<Result<(), SendError<Self::Unsent>>>;
}

/// What a call that waits returns. `None`: it goes on waiting.
pub(super) fn unless_early<R>(received: Result<R, TryRecvError>) -> Option<Result<R, RecvError>> {
    match received {
        Ok(message) => Some(Ok(message)),
        Err(error) => error.into_lasting().map(|error| Err(error.into())),
    }
}

/// As [`unless_early`]. What was not sent is given back to where it was.
pub(super) fn unless_full<T>(
    sent: Result<(), TrySendError<T>>,
    keep: impl FnOnce(T),
) -> Option<Result<(), SendError<T>>> {
    match sent {
        Ok(()) => Some(Ok(())),
        Err(TrySendError::Full(message) | TrySendError::Stalled(message, _)) => {
            keep(message);
            None
        }
        Err(error) => error.into_lasting().map(|error| Err(error.into())),
    }
}

macro_rules! receives_values {
    ($([$($generics:tt)*] $handle:ty),* $(,)?) => {$(
        impl<$($generics)*> Receives for $handle {
            type Message = T;

            fn try_recv_message(&mut self) -> Result<T, TryRecvError> {
                self.try_recv()
            }
        }
    )*};
}

receives_values! {
    [T: Payload] Consumer<T>,
    [T: Payload] mpmc::Consumer<T>,
    [T: Payload, S: Seat + Send] broadcast::Receiver<T, S>,
}

impl Receives for frames::Consumer {
    type Message = frames::Frame;

    fn try_recv_message(&mut self) -> Result<frames::Frame, TryRecvError> {
        self.try_recv_ref()
    }
}

impl<T: Payload> Receives for latest::Reader<T> {
    type Message = T;

    fn try_recv_message(&mut self) -> Result<T, TryRecvError> {
        if !self.changed() {
            // Ready without news: the writer is gone. What it wrote last is seen by now.
            let is_over = self.is_ready() && !self.changed();
            return Err(if is_over { TryRecvError::Disconnected } else { TryRecvError::Empty });
        }
        self.read().ok_or(TryRecvError::Empty)
    }
}

macro_rules! receives_bytes {
    ($([$($generics:tt)*] $handle:ty, $consumer:ident, $into:ident => $received:expr;)*) => {$(
        impl<$($generics)*> Receives for $handle {
            type Message = Vec<u8>;

            fn try_recv_message(&mut self) -> Result<Vec<u8>, TryRecvError> {
                let mut message = Vec::new();
                self.try_recv_into(&mut message).map(|_| message)
            }
        }

        impl<$($generics)*> ReceivesBytes for $handle {
            fn try_recv_into(&mut self, $into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
                let $consumer = self;
                $received
            }
        }
    )*};
}

receives_bytes! {
    [] RecordConsumer, consumer, into => consumer.try_recv(into);
    [] mpmc::ByteConsumer, consumer, into => consumer.try_recv(into).map(|()| into.len());
    [S: Seat + Send] broadcast::RecordReceiver<S>, consumer, into => consumer.try_recv(into);
}

impl<C: ringshm_core::Receiver> Receives for OfRing<C> {
    type Message = Vec<u8>;

    fn try_recv_message(&mut self) -> Result<Vec<u8>, TryRecvError> {
        let mut message = Vec::new();
        self.try_recv_into(&mut message).map(|_| message)
    }
}

impl<C: ringshm_core::Receiver> ReceivesBytes for OfRing<C> {
    fn try_recv_into(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        self.get_mut().try_recv(into)
    }
}

impl<C: ringshm_core::Sender> Sends for OfRing<C> {
    type Message<'a> = &'a [u8];
    type Unsent = ();

    fn try_send_message(&mut self, message: &mut Option<&[u8]>) -> Option<Result<(), SendError<()>>> {
        unless_full(self.get_mut().try_send((*message)?), |()| ())
    }
}

macro_rules! sends_values {
    ($($handle:ty),* $(,)?) => {$(
        impl<T: Payload> Sends for $handle {
            type Message<'a> = T;
            type Unsent = T;

            fn try_send_message(&mut self, message: &mut Option<T>) -> Option<Result<(), SendError<T>>> {
                let sent = self.try_send(message.take()?);
                unless_full(sent, |unsent| *message = Some(unsent))
            }
        }
    )*};
}

sends_values! { Producer<T>, mpmc::Producer<T>, broadcast::Producer<T> }

macro_rules! sends_bytes {
    ($($handle:ty),* $(,)?) => {$(
        impl Sends for $handle {
            type Message<'a> = &'a [u8];
            type Unsent = ();

            fn try_send_message(&mut self, message: &mut Option<&[u8]>) -> Option<Result<(), SendError<()>>> {
                unless_full(self.try_send((*message)?), |()| ())
            }
        }
    )*};
}

sends_bytes! { RecordProducer, mpmc::ByteProducer, broadcast::RecordProducer }
