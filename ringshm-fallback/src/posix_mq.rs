//! POSIX message queues: `mq:///name`.
//!
//! The kernel keeps whole messages, in the order of their priorities, and keeps them when nobody is there. On Linux a queue is a descriptor, so a
//! queue can be waited for together with anything else ([`AsFd`](std::os::fd::AsFd), a wait set, an event loop); [`notify`](PosixMqReceiver::notify) is for programs that
//! want a signal instead. Calls without waiting and `poll` are all that is used: the waiting calls of POSIX count their time on a clock that is
//! set, and those here on one that is not. A side that has to wait first offers its core to others, up to 64 times while the peer streams
//! and once where messages are rare, and then sleeps.
//!
//! | option | in a name | is |
//! |---|---|---|
//! | [`messages`](PosixMq::messages) | `messages=N` | how many the queue is to hold |
//! | [`max_message`](PosixMq::max_message) | `max_message=BYTES` | how long they may be |
//! | [`mode`](PosixMq::mode) | `mode=600` | the rights of a queue that is made |
//! | [`priority`](PosixMq::priority) | `priority=N` | of what this sender sends |
//! | [`framing`](PosixMq::framing) | `framing=frames`, `bare` | how messages lie in it |
//! | [`numbered`](PosixMq::numbered) | `numbered` | one sender and one receiver, who counts what it misses |
//! | [`on_death`](PosixMq::on_death) | `await` | wait for a successor |
//! | [`existence`](PosixMq::existence) | | whether the queue may exist |
//!
//! **Who is there.** Participants lock a byte of the queue each, and the kernel drops the locks of the dead: see `seat.rs`. Other programs are not seen so.
//! With them a receiver waits for ever for messages, and a sender for room; and a queue that they made is never removed here.
//!
//! **What remains.** Messages that nobody has received stay in the queue when everybody leaves or dies, for the next receiver. The last one that leaves an
//! empty queue which ringshm made removes it. What a killed process left empty is taken over by the next.

mod queue;
mod receiver;
mod seat;
mod sender;

pub use queue::HIGHEST_PRIORITY;
pub use receiver::PosixMqReceiver;
pub use sender::PosixMqSender;

use crate::address::Address;
use crate::framing::Framing;
use crate::side::Side;
use queue::QueueName;
use ringshm_core::attach::Existence;
use ringshm_core::error::OpenError;
use ringshm_core::{Capabilities, Longest, Loss, OnDeath, Order, Parties, Receiver, Sender};
use seat::{Seat, Wanted};

/// A queue and how to take part in it: ended by [`sender`](Self::sender) or [`receiver`](Self::receiver), any number of which there may be.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::{Receiver as _, Sender as _};
/// use ringshm_fallback::posix_mq::PosixMq;
///
/// let name = format!("/example-{}", std::process::id());
/// let mut receiver = PosixMq::new(&name).receiver()?;
/// let mut sender = PosixMq::new(&name).sender()?;
/// sender.send(b"later")?;
/// sender.send_with_priority(b"first", 9)?;
/// let mut message = Vec::new();
/// receiver.recv(&mut message)?;
/// assert_eq!(message, b"first");
/// assert_eq!(receiver.recv_with_priority(&mut message)?, (5, 0));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a role is taken"]
pub struct PosixMq {
    name: String,
    messages: Option<usize>,
    max_message: Option<usize>,
    mode: u32,
    priority: u32,
    framing: Framing,
    numbered: bool,
    on_death: OnDeath,
    existence: Existence,
}

impl PosixMq {
    /// Begins to describe the queue of that name: a slash, and up to 254 bytes without one. It is checked when a role is taken.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            messages: None,
            max_message: None,
            mode: 0o600,
            priority: 0,
            framing: Framing::default(),
            numbered: false,
            on_death: OnDeath::default(),
            existence: Existence::default(),
        }
    }

    /// How many messages the queue is to hold (`mq_maxmsg`). If not given, one that this makes holds 10, or what `/proc/sys/fs/mqueue/msg_max`
    /// allows, and one that exists any number. Of one that exists and holds fewer, opening says [`OpenError::LayoutMismatch`].
    pub fn messages(mut self, messages: usize) -> Self {
        self.messages = Some(messages);
        self
    }

    /// How many bytes a message may have (`mq_msgsize`, without the header of a frame). If not given, one that this makes takes 8192 bytes with the
    /// header, or what `/proc/sys/fs/mqueue/msgsize_max` allows, and one that exists any number. One that exists and takes fewer is a
    /// [`OpenError::LayoutMismatch`].
    ///
    /// The kernel counts all places of a queue, used or not, against the limit of its user's queues together, `ulimit -q`.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = Some(bytes);
        self
    }

    /// The rights of a queue that this makes, `0o600` if not given, whatever the umask. Only its owner's processes take part: this
    /// is for other programs.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The priority of what this sender sends, 0 if not given, up to [`HIGHEST_PRIORITY`].
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
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
    /// have the same priority, so that they arrive in their order.
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
    pub fn sender(self) -> Result<PosixMqSender, OpenError> {
        let seat = self.seat(Side::Sender)?;
        Ok(PosixMqSender::new(seat, &self))
    }

    /// Comes to receive.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn receiver(self) -> Result<PosixMqReceiver, OpenError> {
        let seat = self.seat(Side::Receiver)?;
        Ok(PosixMqReceiver::new(seat, &self))
    }

    fn seat(&self, side: Side) -> Result<Seat, OpenError> {
        let overhead = self.framing.checked(true)?.overhead();
        if self.priority > HIGHEST_PRIORITY {
            let reason = format!("priorities go from 0 to {HIGHEST_PRIORITY}");
            return Err(OpenError::InvalidOption { option: "priority", reason });
        }
        if self.numbered && self.framing != Framing::Frames {
            let reason = "there is no place for a number without a frame".to_owned();
            return Err(OpenError::InvalidOption { option: "numbered", reason });
        }
        let wanted = Wanted {
            messages: self.messages,
            bytes: self.max_message.map(|bytes| bytes.saturating_add(overhead)),
            least_bytes: overhead,
            mode: self.mode,
            existence: self.existence,
            on_death: self.on_death,
            alone: self.numbered,
        };
        Seat::take(QueueName::new(&self.name)?, side, &wanted)
    }

    /// Of a queue whose packets have up to `bytes`.
    fn capabilities(&self, bytes: usize) -> Capabilities {
        let parties = if self.numbered { Parties::One } else { Parties::Many };
        Capabilities {
            mechanism: "posix_mq",
            longest: Longest {
                bytes: bytes.saturating_sub(self.framing.overhead()),
                because: "the queue's mq_msgsize sets it: make the queue with a larger max_message, up to /proc/sys/fs/mqueue/msgsize_max",
            },
            shortest: 0,
            forbidden: None,
            keeps_boundaries: true,
            order: if self.numbered { Order::Sent } else { Order::Priority },
            senders: parties,
            receivers: parties,
            priorities: if self.numbered { 1 } else { HIGHEST_PRIORITY + 1 },
            loss: Loss::Never,
            numbers: self.numbered,
            tells_receiver: true,
            tells_sender: true,
            crosses_hosts: false,
            can_be_awaited: true,
        }
    }
}

/// Removes the name of a queue, whoever made it. Whoever has it open keeps it; who waits in it alone finds out.
///
/// # Errors
/// [`OpenError::NotFound`], [`OpenError::Permission`], [`OpenError::InvalidName`], [`OpenError::Os`].
pub fn remove(name: &str) -> Result<(), OpenError> {
    let name = QueueName::new(name)?;
    name.unlink().map_err(|source| match source.raw_os_error() {
        Some(libc::ENOENT) => OpenError::NotFound { path: name.path() },
        Some(libc::EACCES | libc::EPERM) => {
            OpenError::Permission { path: name.path(), reason: "only its owner may remove it".to_owned() }
        }
        _ => OpenError::Os { step: "removing the message queue (mq_unlink)", source },
    })
}

fn named(address: &mut Address) -> Result<PosixMq, OpenError> {
    let builder = PosixMq {
        messages: address.take_number("messages")?,
        max_message: address.take_number("max_message")?,
        mode: address.take_mode()?.unwrap_or(0o600),
        priority: address.take_number("priority")?.unwrap_or(0),
        framing: address.take_framing()?.unwrap_or_default(),
        numbered: address.take_flag("numbered")?,
        on_death: address.take_on_death()?,
        ..PosixMq::new(address.place())
    };
    address.finish()?;
    Ok(builder)
}

/// Opens `mq:///name` to send.
pub(crate) fn sender(address: &mut Address) -> Result<Box<dyn Sender>, OpenError> {
    Ok(Box::new(named(address)?.sender()?))
}

/// Opens `mq:///name` to receive.
pub(crate) fn receiver(address: &mut Address) -> Result<Box<dyn Receiver>, OpenError> {
    Ok(Box::new(named(address)?.receiver()?))
}
