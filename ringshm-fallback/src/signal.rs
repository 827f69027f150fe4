//! Signals: `signal://PID?signal=RTMIN+1` to send, `signal://?signal=RTMIN+1` to receive.
//!
//! Real-time signals are queued, in the order in which they were sent, and carry one value each, as wide as a pointer. So this is a channel for
//! messages of a few bytes, to a process whose number is known. Nothing has to be made, nothing remains: what a process has not received when it
//! ends is lost.
//!
//! | option | in a name | is |
//! |---|---|---|
//! | [`new`](Signals::new) | `signal=RTMIN+1` | which signal: `RTMIN+n`, `RTMAX-n`, or one that is not queued, such as `USR1`; `RTMIN` if not given |
//! | [`framing`](Signals::framing) | `framing=frames`, `raw:4`, `raw:8` | what it carries |
//! | [`from_process`](Signals::from_process) | `from=PID` | receive from this process only, and notice its end |
//! | [`from_user`](Signals::from_user) | `uid=UID` | receive from this user's processes only |
//! | [`on_death`](Signals::on_death) | `await` | go on when the process that is listened to has ended |
//!
//! | framing | messages | other programs |
//! |---|---|---|
//! | `frames` | 0 to 7 bytes, with their length in the highest byte | |
//! | `raw:4` | 4 bytes: `sival_int`, in the order of the machine | `kill -q VALUE`, `sigqueue` in C |
//! | `raw:8` | 8 bytes: `sival_ptr` | `sigqueue` in C |
//! | of a signal that is not queued | empty ones; those that come before the last was received are one | `kill`, `sigwait` |
//!
//! **Threads.** A signal goes to any thread that does not block it, and most signals end the process then. A receiver blocks the signal in the thread that
//! opens it, and threads that are started later inherit that. So it is opened before other threads are started; if there are some that let the signal
//! through, opening says so and blocks nothing. A program in which that cannot be done blocks the signal itself, at its beginning (`pthread_sigmask`).
//!
//! **The other process** must wait for the signal before anything is sent: a sender looks, when it is opened, whether it does. It is named by
//! its number only once: from then on the sender has a descriptor of it (`pidfd`), and no other process can take its place.

mod kernel;
mod receiver;
mod sender;
mod value;

pub use receiver::SignalReceiver;
pub use sender::SignalSender;

use crate::address::Address;
use crate::framing::Framing;
use ringshm_core::error::OpenError;
use ringshm_core::{Capabilities, Loss, OnDeath, Order, Parties, Receiver, Sender};
use value::Carried;

/// The signals that are not queued and can be used, because nothing else is meant by them that this would break.
const NOT_QUEUED: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("URG", libc::SIGURG),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
];

/// A process, and its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its number.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

/// A signal and how to use it: ended by [`sender`](Self::sender) or [`receiver`](Self::receiver).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::{Receiver as _, Sender as _};
/// use ringshm_fallback::signal::Signals;
///
/// // Before other threads are started.
/// match Signals::new("RTMIN+1").receiver() {
///     Ok(mut receiver) => {
///         let mut sender = Signals::new("RTMIN+1").sender(std::process::id())?;
///         sender.send(b"7 bytes")?;
///         let mut message = Vec::new();
///         receiver.recv(&mut message)?;
///         assert_eq!(message, b"7 bytes");
///         assert_eq!(receiver.origin().map(|origin| origin.pid), Some(std::process::id()));
///     }
///     Err(error) => println!("too late: {error}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a role is taken"]
pub struct Signals {
    name: String,
    framing: Framing,
    from: Option<u32>,
    user: Option<u32>,
    on_death: OnDeath,
}

impl Signals {
    /// Begins to describe a channel by the signal of that name, with or without `SIG` before it. The C library keeps the first two real-time
    /// signals of the kernel for itself: `RTMIN` is the first that it leaves.
    pub fn new(signal: &str) -> Self {
        let framing = Framing::default();
        Self { name: signal.to_owned(), framing, from: None, user: None, on_death: OnDeath::default() }
    }

    /// What the signals carry: see the table above. Both sides must choose the same.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// A receiver takes no other process's signals: they are `Rejected`. When the process has ended and everything it sent was received, it is
    /// told `Disconnected`.
    pub fn from_process(mut self, pid: u32) -> Self {
        self.from = Some(pid);
        self
    }

    /// A receiver takes no other user's signals: they are `Rejected`. The kernel lets only this user's processes and root's send any, and who may
    /// send may name another number than its own.
    pub fn from_user(mut self, uid: u32) -> Self {
        self.user = Some(uid);
        self
    }

    /// Whether a receiver is told when the process that it listens to has ended. Senders always are.
    pub fn on_death(mut self, on_death: OnDeath) -> Self {
        self.on_death = on_death;
        self
    }

    /// Comes to send to the process `pid`, which must be waiting for the signal.
    ///
    /// # Errors
    /// [`OpenError::NotFound`] if there is no such process; [`OpenError::InvalidOption`] if there is no such signal, or it would end the
    /// process; [`OpenError::Permission`], [`OpenError::Os`].
    pub fn sender(self, pid: u32) -> Result<SignalSender, OpenError> {
        let (signal, carried) = self.chosen()?;
        SignalSender::new(&self, signal, carried, pid)
    }

    /// Comes to receive the signals that are sent to this process.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`] if there is no such signal, or other threads let it through; [`OpenError::NotFound`] if there is no
    /// process to listen to; [`OpenError::Os`].
    pub fn receiver(self) -> Result<SignalReceiver, OpenError> {
        let (signal, carried) = self.chosen()?;
        SignalReceiver::new(&self, signal, carried)
    }

    fn chosen(&self) -> Result<(i32, Carried), OpenError> {
        let signal = number(&self.name).ok_or_else(|| {
            let names: Vec<_> = NOT_QUEUED.iter().map(|(name, _)| *name).collect();
            let most = libc::SIGRTMAX() - libc::SIGRTMIN();
            let reason = format!(
                "{:?} is none of RTMIN to RTMIN+{most}, RTMAX-{most} to RTMAX, {}",
                self.name,
                names.join(", ")
            );
            OpenError::InvalidOption { option: "signal", reason }
        })?;
        Ok((signal, Carried::by(self.framing, signal >= libc::SIGRTMIN())?))
    }

    fn capabilities(&self, carried: Carried, receives: bool) -> Capabilities {
        Capabilities {
            mechanism: "signal",
            longest: carried.longest(),
            shortest: carried.shortest(),
            forbidden: None,
            keeps_boundaries: true,
            order: Order::Sent,
            senders: Parties::Many,
            receivers: Parties::One,
            priorities: 1,
            loss: if carried == Carried::Nothing { Loss::AnyTime } else { Loss::WithReceiver },
            numbers: false,
            tells_receiver: self.from.is_some() && self.on_death == OnDeath::Disconnect,
            tells_sender: true,
            crosses_hosts: false,
            can_be_awaited: receives,
        }
    }
}

/// The number of a signal that can be used here.
fn number(name: &str) -> Option<i32> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let offset = |text: &str| if text.is_empty() { Some(0) } else { text.get(1..)?.parse::<i32>().ok() };
    let number = if let Some(above) = name.strip_prefix("RTMIN").filter(|rest| rest.is_empty() || rest.starts_with('+'))
    {
        first.checked_add(offset(above)?)?
    } else if let Some(below) = name.strip_prefix("RTMAX").filter(|rest| rest.is_empty() || rest.starts_with('-')) {
        last.checked_sub(offset(below)?)?
    } else if let Some((_, number)) = NOT_QUEUED.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    } else {
        name.parse().ok().filter(|number| NOT_QUEUED.iter().any(|(_, known)| known == number) || *number >= first)?
    };
    (number <= last && (number >= first || NOT_QUEUED.iter().any(|(_, known)| *known == number))).then_some(number)
}

fn named(address: &mut Address) -> Result<Signals, OpenError> {
    let builder = Signals {
        framing: address.take_framing()?.unwrap_or_default(),
        from: address.take_number("from")?,
        user: address.take_number("uid")?,
        on_death: address.take_on_death()?,
        ..Signals::new(&address.take("signal").unwrap_or_else(|| "RTMIN".to_owned()))
    };
    address.finish()?;
    Ok(builder)
}

/// Opens `signal://PID` to send.
pub(crate) fn sender(address: &mut Address) -> Result<Box<dyn Sender>, OpenError> {
    let pid = match address.place() {
        "self" => std::process::id(),
        place => {
            place.parse().map_err(|_| address.invalid("a signal is sent to the number of a process, or to self"))?
        }
    };
    Ok(Box::new(named(address)?.sender(pid)?))
}

/// Opens `signal://` or `signal://self` to receive.
pub(crate) fn receiver(address: &mut Address) -> Result<Box<dyn Receiver>, OpenError> {
    if !matches!(address.place(), "" | "self") {
        return Err(address.invalid("signals are received by this process only: leave its number out"));
    }
    Ok(Box::new(named(address)?.receiver()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name() {
        let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
        for (name, found) in [
            ("RTMIN", Some(first)),
            ("SIGRTMIN+3", Some(first + 3)),
            ("RTMAX-1", Some(last - 1)),
            ("RTMIN+99", None),
            ("RTMAX-99", None),
            ("RTMIN-1", None),
            ("RTMIN+-1", None),
            ("RTMIN+2147483647", None),
            ("USR1", Some(libc::SIGUSR1)),
            ("KILL", None),
            ("9", None),
            ("0", None),
            ("33", None),
            ("10", Some(libc::SIGUSR1)),
        ] {
            assert_eq!(number(name), found, "{name}");
        }
    }
}
