//! Messages whose content follows from their number, so that a torn, lost or repeated one is noticed; and one face for the
//! rings of both kinds.

use super::in_set::InSet;
use super::numbered::{mixed, number_of, record};
use ringshm::{
    Consumer, Fault, Message, OpenError, Payload, Peer, Producer, RecordConsumer, RecordProducer, RecvError,
    RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use std::time::Duration;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A fixed-size message that does not fit into one cache line together with its neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Parcel {
    number: u64,
    body: [u64; 5],
}

impl Parcel {
    pub(crate) fn of(number: u64) -> Self {
        Self { number, body: core::array::from_fn(|index| mixed(number, index as u64)) }
    }

    /// Its number, if the content belongs to it.
    pub(crate) fn number(&self) -> u64 {
        assert_eq!(*self, Self::of(self.number), "a torn message");
        self.number
    }

    /// The length of its letter. Where numbers are small, that of all letters is nearly the same, so that a test can say how many there is
    /// room for; otherwise it is anything from a number alone to the whole parcel.
    fn letter_len(number: u64) -> usize {
        let len = if number >> 32 == 0 { 17 + number % 8 } else { 8 + mixed(number, 99) % 41 };
        len as usize
    }

    /// Bytes of a ring that the letter of a small number takes as a record.
    pub(crate) const SPAN: u64 = 32;
    pub(crate) const LONGEST_LETTER: usize = size_of::<Self>();
    pub(crate) const LONGEST_SPAN: u64 = 8 + Self::LONGEST_LETTER as u64;
    pub(crate) const SHORTEST_SPAN: u64 = 16;

    /// Its beginning, as bytes that vary in length.
    pub(crate) fn letter(&self) -> &[u8] {
        &self.as_bytes()[..Self::letter_len(self.number)]
    }

    /// The parcel of a letter: a torn one, if the letter is.
    pub(crate) fn from_letter(bytes: &[u8]) -> Self {
        let number = u64::read_from_prefix(bytes).map_or(0, |(number, _)| number);
        let parcel = Self::of(number);
        if parcel.letter() == bytes { parcel } else { parcel.torn() }
    }

    /// One that is found to be torn when it is looked at.
    pub(crate) fn torn(mut self) -> Self {
        self.body[0] ^= 1;
        self
    }
}

/// A parcel's beginning: so short that it travels with the cursor, if it is sent alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Short {
    number: u64,
    body: [u64; 2],
}

impl From<Parcel> for Short {
    fn from(parcel: Parcel) -> Self {
        Self { number: parcel.number, body: [parcel.body[0], parcel.body[1]] }
    }
}

/// A torn one, if the short one is.
impl From<Short> for Parcel {
    fn from(short: Short) -> Self {
        let parcel = Self::of(short.number);
        if Short::from(parcel) == short { parcel } else { parcel.torn() }
    }
}

/// A message of fixed size that is a parcel, or stands for one.
pub(crate) trait Fixed: Payload + From<Parcel> + Into<Parcel> {}

impl<T: Payload + From<Parcel> + Into<Parcel>> Fixed for T {}

/// What a ring carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// [`Parcel`]s.
    Fixed,
    /// [`Short`] ones.
    Short,
    /// Byte records.
    Records,
}

impl Carrier {
    pub(crate) const ALL: [Self; 3] = [Self::Fixed, Self::Short, Self::Records];

    /// Its word in commands.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Short => "short",
            Self::Records => "records",
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|carrier| carrier.word() == word).expect("fixed, short or records")
    }

    /// A capacity for a few messages: 4, or some 4.5 records.
    pub(crate) fn small(self) -> u64 {
        match self {
            Self::Fixed | Self::Short => 4,
            Self::Records => 256,
        }
    }
}

/// Why a call ended without a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    NotReady,
    Timeout,
    Disconnected,
    TooLarge,
    Corrupt,
    Forked,
    Stalled,
    Lagged(u64),
    Evicted,
    /// What only transports say, or consumers of frames.
    OfOthers,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt { .. } => Self::Corrupt,
            Fault::Forked => Self::Forked,
            Fault::Removed | Fault::Os { .. } => Self::OfOthers,
        }
    }
}

impl<T> From<TrySendError<T>> for Stop {
    fn from(error: TrySendError<T>) -> Self {
        match error {
            TrySendError::Full(_) => Self::NotReady,
            TrySendError::Stalled(..) => Self::Stalled,
            TrySendError::Disconnected(_) => Self::Disconnected,
            TrySendError::TooLarge { .. } => Self::TooLarge,
            TrySendError::Unsupported { .. } => Self::OfOthers,
            TrySendError::Fault(_, fault) => fault.into(),
        }
    }
}

impl<T> From<SendError<T>> for Stop {
    fn from(error: SendError<T>) -> Self {
        match error {
            SendError::Disconnected(_) => Self::Disconnected,
            SendError::TooLarge { .. } => Self::TooLarge,
            SendError::Unsupported { .. } => Self::OfOthers,
            SendError::Fault(_, fault) => fault.into(),
        }
    }
}

impl<T> From<SendTimeoutError<T>> for Stop {
    fn from(error: SendTimeoutError<T>) -> Self {
        match error {
            SendTimeoutError::Timeout(_) => Self::Timeout,
            SendTimeoutError::Stalled(..) => Self::Stalled,
            SendTimeoutError::Disconnected(_) => Self::Disconnected,
            SendTimeoutError::TooLarge { .. } => Self::TooLarge,
            SendTimeoutError::Unsupported { .. } => Self::OfOthers,
            SendTimeoutError::Fault(_, fault) => fault.into(),
        }
    }
}

impl From<TryRecvError> for Stop {
    fn from(error: TryRecvError) -> Self {
        match error {
            TryRecvError::Empty => Self::NotReady,
            TryRecvError::Stalled(_) => Self::Stalled,
            TryRecvError::Lagged(count) => Self::Lagged(count),
            TryRecvError::Evicted => Self::Evicted,
            TryRecvError::Rejected(_) | TryRecvError::TooManyHeld { .. } => Self::OfOthers,
            TryRecvError::Disconnected => Self::Disconnected,
            TryRecvError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RecvError> for Stop {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Lagged(count) => Self::Lagged(count),
            RecvError::Evicted => Self::Evicted,
            RecvError::Rejected(_) | RecvError::TooManyHeld { .. } => Self::OfOthers,
            RecvError::Disconnected => Self::Disconnected,
            RecvError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RecvTimeoutError> for Stop {
    fn from(error: RecvTimeoutError) -> Self {
        match error {
            RecvTimeoutError::Timeout => Self::Timeout,
            RecvTimeoutError::Stalled(_) => Self::Stalled,
            RecvTimeoutError::Lagged(count) => Self::Lagged(count),
            RecvTimeoutError::Evicted => Self::Evicted,
            RecvTimeoutError::Rejected(_) | RecvTimeoutError::TooManyHeld { .. } => Self::OfOthers,
            RecvTimeoutError::Disconnected => Self::Disconnected,
            RecvTimeoutError::Fault(fault) => fault.into(),
        }
    }
}

/// A producer of either kind, which sends messages by their numbers.
pub(crate) trait Sends {
    fn try_send(&mut self, number: u64) -> Result<(), Stop>;
    fn send(&mut self, number: u64) -> Result<(), Stop>;
    fn send_by(&mut self, number: u64, timeout: Duration) -> Result<(), Stop>;
    fn sent(&self) -> u64;
    fn peer(&self) -> Peer;
    fn detach(self: Box<Self>);
}

/// A consumer of either kind, which returns the numbers of the messages that it receives, and checks their contents.
pub(crate) trait Receives {
    fn try_recv(&mut self) -> Result<u64, Stop>;
    fn recv(&mut self) -> Result<u64, Stop>;
    fn recv_by(&mut self, timeout: Duration) -> Result<u64, Stop>;
    /// Receives through a guard, and calls `before_release` with the number while the guard lives.
    fn recv_held(&mut self, before_release: &mut dyn FnMut(u64)) -> Result<(), Stop>;
    fn received(&self) -> u64;
    fn peer(&self) -> Peer;
    fn detach(self: Box<Self>);
}

impl<T: Fixed> Sends for Producer<T> {
    fn try_send(&mut self, number: u64) -> Result<(), Stop> {
        Ok(self.try_send(Parcel::of(number).into())?)
    }

    fn send(&mut self, number: u64) -> Result<(), Stop> {
        Ok(self.send(Parcel::of(number).into())?)
    }

    fn send_by(&mut self, number: u64, timeout: Duration) -> Result<(), Stop> {
        Ok(self.send_timeout(Parcel::of(number).into(), timeout)?)
    }

    fn sent(&self) -> u64 {
        self.sent()
    }

    fn peer(&self) -> Peer {
        self.peer()
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl Sends for RecordProducer {
    fn try_send(&mut self, number: u64) -> Result<(), Stop> {
        Ok(self.try_send(&record(number))?)
    }

    fn send(&mut self, number: u64) -> Result<(), Stop> {
        Ok(self.send(&record(number))?)
    }

    fn send_by(&mut self, number: u64, timeout: Duration) -> Result<(), Stop> {
        Ok(self.send_timeout(&record(number), timeout)?)
    }

    fn sent(&self) -> u64 {
        self.sent()
    }

    fn peer(&self) -> Peer {
        self.peer()
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl<T: Fixed> Receives for Consumer<T> {
    fn try_recv(&mut self) -> Result<u64, Stop> {
        Ok(self.try_recv()?.into().number())
    }

    fn recv(&mut self) -> Result<u64, Stop> {
        Ok(self.recv()?.into().number())
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<u64, Stop> {
        Ok(self.recv_timeout(timeout)?.into().number())
    }

    fn recv_held(&mut self, before_release: &mut dyn FnMut(u64)) -> Result<(), Stop> {
        let guard = self.recv_ref()?;
        before_release((*guard).into().number());
        Ok(())
    }

    fn received(&self) -> u64 {
        self.received()
    }

    fn peer(&self) -> Peer {
        self.peer()
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

impl Receives for RecordConsumer {
    fn try_recv(&mut self) -> Result<u64, Stop> {
        let mut bytes = Vec::new();
        self.try_recv(&mut bytes)?;
        Ok(number_of(&bytes))
    }

    fn recv(&mut self) -> Result<u64, Stop> {
        let mut bytes = Vec::new();
        self.recv(&mut bytes)?;
        Ok(number_of(&bytes))
    }

    fn recv_by(&mut self, timeout: Duration) -> Result<u64, Stop> {
        let mut bytes = Vec::new();
        self.recv_timeout(&mut bytes, timeout)?;
        Ok(number_of(&bytes))
    }

    fn recv_held(&mut self, before_release: &mut dyn FnMut(u64)) -> Result<(), Stop> {
        let guard = self.recv_ref()?;
        before_release(number_of(&guard));
        Ok(())
    }

    fn received(&self) -> u64 {
        self.received()
    }

    fn peer(&self) -> Peer {
        self.peer()
    }

    fn detach(self: Box<Self>) {
        (*self).detach();
    }
}

/// A message type whose handles have these faces.
pub(crate) trait Carried: Message {
    fn sends(producer: Self::Producer) -> Box<dyn Sends>;
    fn receives(consumer: Self::Consumer) -> Box<dyn Receives>;
    fn receives_in_set(consumer: Self::Consumer) -> Box<dyn Receives>;
}

impl<T: Fixed> Carried for T {
    fn sends(producer: Producer<Self>) -> Box<dyn Sends> {
        Box::new(producer)
    }

    fn receives(consumer: Consumer<Self>) -> Box<dyn Receives> {
        Box::new(consumer)
    }

    fn receives_in_set(consumer: Consumer<Self>) -> Box<dyn Receives> {
        Box::new(InSet::new(consumer))
    }
}

impl Carried for [u8] {
    fn sends(producer: RecordProducer) -> Box<dyn Sends> {
        Box::new(producer)
    }

    fn receives(consumer: RecordConsumer) -> Box<dyn Receives> {
        Box::new(consumer)
    }

    fn receives_in_set(consumer: RecordConsumer) -> Box<dyn Receives> {
        Box::new(InSet::new(consumer))
    }
}

/// The variant's name of an error of opening.
pub(crate) fn variant(error: &OpenError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}
