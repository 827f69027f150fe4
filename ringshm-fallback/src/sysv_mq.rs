//! System V message queues: `sysv://0x51ab`, `sysv:///path/for/ftok?id=7`.
//!
//! The kernel keeps whole messages, each with a type, by which receivers choose; and keeps them when nobody is there. There is no descriptor to wait
//! for, and no call that waits for a time. So who waits looks again and again: 64 times in about 30 µs, between which others get the processor, then after
//! naps that grow to 5 ms, and to 20 ms when nothing has come for half a second. A stream costs about what it costs with calls that block (measured:
//! 1.0 to 1.13 of its time). A message that comes after a long silence is received 10 ms later on average, which costs 0.16 % of a core; after a
//! silence of less than half a second 2.5 ms later, at 0.7 %. The only receiver of a queue, if it takes every type and
//! waits for successors ([`OnDeath::AwaitSuccessor`]) without a deadline, need not notice a death, and sleeps in the kernel: it costs nothing and
//! receives at once.
//!
//! | option | in a name | is |
//! |---|---|---|
//! | [`capacity`](SysvMq::capacity) | `capacity=BYTES` | how much the queue is to hold |
//! | [`max_message`](SysvMq::max_message) | `max_message=BYTES` | how long messages may be |
//! | [`mode`](SysvMq::mode) | `mode=600` | the rights of a queue that is made |
//! | [`message_type`](SysvMq::message_type) | `type=N` | of what this sender sends |
//! | [`receive`](SysvMq::receive) | `receive=N`, `-N`, `0` | what this receiver receives |
//! | [`framing`](SysvMq::framing) | `framing=frames`, `bare` | how messages lie in it |
//! | [`numbered`](SysvMq::numbered) | `numbered` | one sender and one receiver, who counts what it misses |
//! | [`on_death`](SysvMq::on_death) | `await` | wait for a successor |
//! | [`existence`](SysvMq::existence) | | whether the queue may exist |
//!
//! **Who is there.** Participants are counted in a set of semaphores under the same key, and the kernel counts the dead out: see `census.rs`. Other
//! programs are not seen so. With them a receiver waits for ever for messages, and a sender for room; and a queue that they made is never removed here.
//!
//! **What remains.** Messages that nobody has received stay in the queue when everybody leaves or dies, for the next receiver. The last one that leaves an
//! empty queue which ringshm made removes it, and the semaphores. What a killed process left empty is taken over by the next.

mod census;
mod queue;
mod receiver;
mod seat;
mod sender;

pub use receiver::SysvMqReceiver;
pub use sender::SysvMqSender;

use crate::address::Address;
use crate::framing::Framing;
use crate::side::Side;
use census::Census;
use queue::{Key, Queue};
use ringshm_core::attach::Existence;
use ringshm_core::error::OpenError;
use ringshm_core::{Capabilities, Longest, Loss, OnDeath, Order, Parties, Receiver, Sender};
use seat::{Seat, Wanted};

/// What leads to a queue.
#[derive(Clone, Debug)]
enum Place {
    Key(i32),
    File { path: String, id: u8 },
}

/// A queue and how to take part in it: ended by [`sender`](Self::sender) or [`receiver`](Self::receiver), any number of which there may be.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::{Deadline, Receiver as _, Sender as _};
/// use ringshm_fallback::sysv_mq::SysvMq;
///
/// let key = 0x5200_0000 | std::process::id() as i32;
/// let mut receiver = SysvMq::new(key).receiver()?;
/// let mut sender = SysvMq::new(key).sender()?;
/// sender.send_with_type(b"a trade", 2)?;
/// sender.send_with_type(b"an alarm", 1)?;
/// let mut message = Vec::new();
/// assert_eq!(receiver.recv_selected_by(&mut message, -2, Deadline::NEVER)?, (8, 1));
/// receiver.recv(&mut message)?;
/// assert_eq!(message, b"a trade");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a role is taken"]
pub struct SysvMq {
    place: Place,
    capacity: Option<u64>,
    max_message: Option<usize>,
    mode: u32,
    kind: i64,
    select: i64,
    framing: Framing,
    numbered: bool,
    on_death: OnDeath,
    existence: Existence,
}

impl SysvMq {
    /// Begins to describe the queue with that key, any number but 0.
    pub fn new(key: i32) -> Self {
        Self::at(Place::Key(key))
    }

    /// Begins to describe the queue with the key that `ftok` makes of a file, which must exist when a role is taken, and a number from 1 to 255.
    /// Different files may have the same key: it has 16 bits of the file's number and 8 of its device's.
    pub fn of_file(path: &str, id: u8) -> Self {
        Self::at(Place::File { path: path.to_owned(), id })
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            capacity: None,
            max_message: None,
            mode: 0o600,
            kind: 1,
            select: 0,
            framing: Framing::default(),
            numbered: false,
            on_death: OnDeath::default(),
            existence: Existence::default(),
        }
    }

    /// How many bytes the queue is to hold (`msg_qbytes`), headers of frames included. If not given, one that this makes holds what
    /// `/proc/sys/kernel/msgmnb` says, and one that exists any number. Of one that exists and holds less, opening says
    /// [`OpenError::LayoutMismatch`].
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// How many bytes a message may have, without the header of a frame. Nothing is made of it: if the limit of the system,
    /// `/proc/sys/kernel/msgmax`, or the queue's capacity does not allow it, opening says so.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = Some(bytes);
        self
    }

    /// The rights of a queue that this makes, `0o600` if not given. Only its owner's processes take part: this is for other
    /// programs.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The type of what this sender sends, 1 if not given.
    pub fn message_type(mut self, kind: i64) -> Self {
        self.kind = kind;
        self
    }

    /// What this receiver receives: messages of one type, if positive; all, in the order in which they came, if 0, or not given; those of a type up to
    /// `-select`, the lowest first, if negative.
    pub fn receive(mut self, select: i64) -> Self {
        self.select = select;
        self
    }

    /// How messages lie in the queue: [`Framing::Frames`], by which garbage is told from messages, or [`Framing::Bare`], for other programs.
    /// Both sides must choose the same.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Takes the side alone: another sender, or receiver, is [`OpenError::RoleTaken`]. A sender that is alone numbers its messages, and a
    /// receiver that is alone counts what is missing between them ([`RecvError::Lagged`](ringshm_core::error::RecvError::Lagged)), and says where it is
    /// ([`Receiver::position`]): by the successor's first position it is known what a killed receiver died with. All messages then
    /// have the same type, and are received in their order.
    pub fn numbered(mut self) -> Self {
        self.numbered = true;
        self
    }

    /// What calls do when nobody of the other side is there any more and the last one has not closed the stream.
    pub fn on_death(mut self, on_death: OnDeath) -> Self {
        self.on_death = on_death;
        self
    }

    /// Whether the queue may exist already. By default it is opened if it does and made if it does not.
    pub fn existence(mut self, existence: Existence) -> Self {
        self.existence = existence;
        self
    }

    /// Comes to send.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn sender(self) -> Result<SysvMqSender, OpenError> {
        let seat = self.seat(Side::Sender)?;
        Ok(SysvMqSender::new(seat, &self))
    }

    /// Comes to receive.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn receiver(self) -> Result<SysvMqReceiver, OpenError> {
        let seat = self.seat(Side::Receiver)?;
        Ok(SysvMqReceiver::new(seat, &self))
    }

    fn seat(&self, side: Side) -> Result<Seat, OpenError> {
        let overhead = self.framing.checked(true)?.overhead();
        let invalid = |option, reason: &str| Err(OpenError::InvalidOption { option, reason: reason.to_owned() });
        if self.kind < 1 {
            return invalid("type", "the type of a message is 1 or more");
        }
        if self.numbered && self.framing != Framing::Frames {
            return invalid("numbered", "there is no place for a number without a frame");
        }
        if self.numbered && self.select < 0 {
            return invalid("receive", "numbered messages are received in their order: choose one type, or 0 for all");
        }
        let wanted = Wanted {
            capacity: self.capacity,
            bytes: self.max_message.map(|bytes| bytes.saturating_add(overhead)),
            mode: self.mode,
            existence: self.existence,
            on_death: self.on_death,
            alone: self.numbered,
        };
        Seat::take(key(&self.place)?, side, &wanted)
    }

    /// Of a queue whose packets have up to `bytes`.
    fn capabilities(&self, bytes: usize) -> Capabilities {
        let parties = if self.numbered { Parties::One } else { Parties::Many };
        Capabilities {
            mechanism: "sysv_mq",
            longest: Longest {
                bytes: bytes.saturating_sub(self.framing.overhead()),
                because: "the system sets it, or the queue's capacity: raise /proc/sys/kernel/msgmax, and /proc/sys/kernel/msgmnb with it",
            },
            shortest: 0,
            forbidden: None,
            keeps_boundaries: true,
            order: if self.select < 0 { Order::Priority } else { Order::Sent },
            senders: parties,
            receivers: parties,
            // Types choose, and do not order, but for a receiver that asks for the lowest first.
            priorities: if self.select < 0 { self.select.unsigned_abs().try_into().unwrap_or(u32::MAX) } else { 1 },
            loss: Loss::Never,
            numbers: self.numbered,
            tells_receiver: true,
            tells_sender: true,
            crosses_hosts: false,
            can_be_awaited: false,
        }
    }
}

fn key(place: &Place) -> Result<Key, OpenError> {
    match place {
        Place::Key(key) => Key::new(*key),
        Place::File { path, id } => Key::of_file(path, *id),
    }
}

/// Removes the queue with that key and its semaphores, whoever made them. Whoever waits in it is told.
///
/// # Errors
/// [`OpenError::NotFound`], [`OpenError::Permission`], [`OpenError::InvalidName`], [`OpenError::Os`].
pub fn remove(number: i32) -> Result<(), OpenError> {
    let key = Key::new(number)?;
    let found = Queue::find(key)?;
    Census::forget_key(key);
    found.ok_or(OpenError::NotFound { path: key.path() })?.remove().map_err(|source| match source.raw_os_error() {
        Some(libc::EPERM) => {
            OpenError::Permission { path: key.path(), reason: "only its owner may remove it".to_owned() }
        }
        _ => OpenError::Os { step: "removing the message queue (msgctl IPC_RMID)", source },
    })
}

fn named(address: &mut Address) -> Result<SysvMq, OpenError> {
    let place = address.place();
    let place = if place.starts_with('/') {
        let path = place.to_owned();
        Place::File { path, id: address.take_number("id")?.unwrap_or(1) }
    } else {
        let number = match place.strip_prefix("0x") {
            // A key is a number of 32 bits, with or without a sign.
            Some(digits) => u32::from_str_radix(digits, 16).map(|key| key as i32),
            None => place.parse(),
        };
        let takes = "it leads to a key, such as 0x51ab, or to a file, such as /etc/hostname?id=7";
        Place::Key(number.map_err(|_| address.invalid(takes))?)
    };
    let builder = SysvMq {
        capacity: address.take_number("capacity")?,
        max_message: address.take_number("max_message")?,
        mode: address.take_mode()?.unwrap_or(0o600),
        kind: address.take_number("type")?.unwrap_or(1),
        select: address.take_number("receive")?.unwrap_or(0),
        framing: address.take_framing()?.unwrap_or_default(),
        numbered: address.take_flag("numbered")?,
        on_death: address.take_on_death()?,
        ..SysvMq::at(place)
    };
    address.finish()?;
    Ok(builder)
}

/// Opens `sysv://key` to send.
pub(crate) fn sender(address: &mut Address) -> Result<Box<dyn Sender>, OpenError> {
    Ok(Box::new(named(address)?.sender()?))
}

/// Opens `sysv://key` to receive.
pub(crate) fn receiver(address: &mut Address) -> Result<Box<dyn Receiver>, OpenError> {
    Ok(Box::new(named(address)?.receiver()?))
}
