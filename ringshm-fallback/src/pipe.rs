//! Pipes: a stream of bytes between processes that have a common ancestor.
//!
//! ```text
//!  PipeSender: Outlet ── write ──▶ the kernel's pages, 64 KiB ── read ──▶ Inlet: PipeReceiver
//! ```
//!
//! A pipe has no name: it is inherited. [`Pipe::send_to_child`] and [`Pipe::receive_from_child`] start a program with one end; a shell does the same with
//! `producer | consumer`, where both open `pipe:`. Everything that was sent before a sender leaves or dies is received; then receivers find
//! the end. When all receivers are gone, senders find out with the next message, and no signal kills them.

mod ends;
mod handles;
mod place;

pub use handles::{PipeReceiver, PipeSender};

pub(crate) use ends::{Means, ReadEnd, Restraint, WHOLE, WriteEnd};

use crate::address::Address;
use crate::framing::Framing;
use crate::inlet::Inlet;
use crate::outlet::{Form, Outlet};
use core::time::Duration;
use place::Place;
use ringshm_core::error::OpenError;
use ringshm_core::{Capabilities, Longest, Loss, Order, Parties};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::os::fd::{OwnedFd, RawFd};
use std::process::{Child, Command};

/// The longest message of a stream of bytes unless another is asked for: more memory than that is not taken because a peer says so.
pub(crate) const LONGEST: usize = 16 << 20;

/// How long a sender that leaves waits for room for the rest of a message.
pub(crate) const REST: Duration = Duration::from_secs(1);

/// A failed step.
pub(crate) fn failed(step: &'static str) -> impl Fn(Errno) -> OpenError {
    move |errno| OpenError::Os { step, source: errno.into() }
}

/// What a side of a pipe is to be like, and where it is.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::{Receiver as _, Sender as _};
/// use ringshm_fallback::pipe::Pipe;
///
/// let (mut sender, mut receiver) = Pipe::new().pair()?;
/// sender.send(b"hello")?;
/// drop(sender);
/// let mut message = Vec::new();
/// assert_eq!(receiver.recv(&mut message)?, 5);
/// assert!(receiver.recv(&mut message).is_err(), "the sender has left");
/// # Ok(()) }
/// ```
///
/// SIGPIPE: a program is never killed because nobody reads any more. From Linux 6.18 on the kernel is asked to raise no signal; before that, a program
/// that ignores the signal when it opens the pipe, as every Rust program does unless told otherwise, is to go on ignoring it; for any other the
/// signal is blocked and taken back, in the sending thread alone.
#[derive(Clone, Debug)]
pub struct Pipe {
    place: Place,
    framing: Framing,
    max_message: Option<usize>,
    capacity: Option<usize>,
    many_senders: bool,
    packets: bool,
}

impl Default for Pipe {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipe {
    /// Standard input for a receiver, standard output for a sender: what a shell connects. They stay the process's as well, so a receiver finds the end of
    /// a sender's standard output when that process ends, and a program must not print to it besides.
    #[must_use]
    pub fn new() -> Self {
        Self {
            place: Place::Standard,
            framing: Framing::Frames,
            max_message: None,
            capacity: None,
            many_senders: false,
            packets: false,
        }
    }

    /// A descriptor that this process inherited, by its number. It is taken over, and closed with the handle; but 0, 1 and 2 are duplicated.
    #[must_use]
    pub fn inherited(number: RawFd) -> Self {
        Self { place: Place::Descriptor(number), ..Self::new() }
    }

    /// What [`send_to_child`](Self::send_to_child) or [`receive_from_child`](Self::receive_from_child) gave to this process, with the options
    /// that they had: the environment variable `RINGSHM_PIPE` has its name.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`] if there is no such variable, or it has no such name.
    pub fn from_parent() -> Result<Self, OpenError> {
        let name = std::env::var(place::VARIABLE).map_err(|_| OpenError::InvalidName {
            name: String::new(),
            reason: format!("the environment variable {} is missing: this process was to be started by a program that gives it a pipe", place::VARIABLE),
        })?;
        Self::at(&mut Address::parse(&name)?)
    }

    /// As an address has it: `pipe:`, `pipe:3` or `pipe:fd=3`.
    pub(crate) fn at(address: &mut Address) -> Result<Self, OpenError> {
        let mut pipe = Self { place: Place::parse(address)?, ..Self::new() };
        pipe.framing = address.take_framing()?.unwrap_or(pipe.framing);
        pipe.max_message = address.take_number("max_message")?;
        pipe.capacity = address.take_number("capacity")?;
        pipe.many_senders = take_senders(address)?;
        pipe.packets = address.take_flag("packets")?;
        address.finish()?;
        Ok(pipe)
    }

    /// How messages are told apart in the stream: [`Framing::Frames`] if not given. The others are for programs that do not speak with ringshm.
    /// Both sides must use the same.
    #[must_use]
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// The longest message, in bytes: 16 MiB if not given. A receiver takes no longer ones, and so takes no more memory than that for one.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = Some(bytes);
        self
    }

    /// Bytes that the kernel keeps for receivers: 65,536 if not given. The kernel rounds it up to a power of two of pages, and allows at most what
    /// stands in `/proc/sys/fs/pipe-max-size`.
    #[must_use]
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// Several processes, or threads, have the sending end: each message is then written at once or not at all, with at most 4,096 bytes
    /// (`PIPE_BUF`) including what the framing adds, so that no two are mixed up. Messages have no numbers.
    #[must_use]
    pub fn many_senders(mut self) -> Self {
        self.many_senders = true;
        self
    }

    /// Each message is a packet of its own in the pipe (`O_DIRECT`), of at most 4,096 bytes, so that several receivers of the same end each get whole
    /// messages: a queue of work for a few processes. It also lets messages go without any framing ([`Framing::Bare`]). Each packet takes a page,
    /// however short it is: a pipe of the usual capacity holds 16. Messages have no numbers.
    #[must_use]
    pub fn packets(mut self) -> Self {
        self.packets = true;
        self
    }

    /// Makes a pipe, and takes both ends.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`]; [`OpenError::Os`], for example if the process has no descriptors left.
    pub fn pair(self) -> Result<(PipeSender, PipeReceiver), OpenError> {
        let (reading, writing) = self.make()?;
        Ok((self.sending(writing)?, self.receiving(reading)?))
    }

    /// Takes the sending end: that of standard output, or of an inherited descriptor.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`] if that is no pipe's sending end; [`OpenError::InvalidOption`].
    pub fn sender(self) -> Result<PipeSender, OpenError> {
        let descriptor = self.place.take(place::Role::Sender)?;
        self.sender_on(descriptor)
    }

    /// Takes the receiving end: that of standard input, or of an inherited descriptor.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`] if that is no pipe's receiving end; [`OpenError::InvalidOption`].
    pub fn receiver(self) -> Result<PipeReceiver, OpenError> {
        let descriptor = self.place.take(place::Role::Receiver)?;
        self.receiver_on(descriptor)
    }

    /// Takes `descriptor`, the sending end of a pipe that somebody else made.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`] if it is none; [`OpenError::InvalidOption`].
    pub fn sender_on(self, descriptor: OwnedFd) -> Result<PipeSender, OpenError> {
        place::check(&descriptor, place::Role::Sender, self.packets)?;
        self.enlarge(&descriptor)?;
        self.sending(descriptor)
    }

    /// Takes `descriptor`, the receiving end of a pipe that somebody else made.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`] if it is none; [`OpenError::InvalidOption`].
    pub fn receiver_on(self, descriptor: OwnedFd) -> Result<PipeReceiver, OpenError> {
        place::check(&descriptor, place::Role::Receiver, false)?;
        self.enlarge(&descriptor)?;
        self.receiving(descriptor)
    }

    /// Starts a program that has the receiving end of a new pipe, and takes the sending end. The child finds the pipe's name in the environment
    /// variable `RINGSHM_PIPE`, such as `pipe:fd=5?framing=frames`, and opens it with [`from_parent`](Self::from_parent).
    /// No other child of this process inherits it, even if several threads start programs at once.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use ringshm_core::Sender as _;
    /// use ringshm_fallback::framing::Framing;
    /// use ringshm_fallback::pipe::Pipe;
    /// use std::process::Command;
    ///
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "fd=${RINGSHM_PIPE#pipe:fd=}; eval \"read line <&${fd%%\\?*}\"; test \"$line\" = hello"]);
    /// let (mut child, mut sender) = Pipe::new().framing(Framing::Lines).send_to_child(command)?;
    /// sender.send(b"hello")?;
    /// assert!(child.wait()?.success());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`pair`](Self::pair); [`OpenError::Os`] if the program cannot be started.
    pub fn send_to_child(self, mut command: Command) -> Result<(Child, PipeSender), OpenError> {
        let sender = self.give_receiver(&mut command)?;
        Ok((place::spawn(&mut command)?, sender))
    }

    /// Starts a program that has the sending end of a new pipe, and takes the receiving end: as [`send_to_child`](Self::send_to_child), the
    /// other way round.
    ///
    /// # Errors
    /// As of [`send_to_child`](Self::send_to_child).
    pub fn receive_from_child(self, mut command: Command) -> Result<(Child, PipeReceiver), OpenError> {
        let receiver = self.give_sender(&mut command)?;
        Ok((place::spawn(&mut command)?, receiver))
    }

    /// Makes a pipe whose receiving end the programs have that `command` will start, and takes the sending end: as
    /// [`send_to_child`](Self::send_to_child), for who starts programs in some way of its own. The command has the end, too: as long as it is not dropped,
    /// this sender does not find out that the program is gone.
    ///
    /// # Errors
    /// As of [`pair`](Self::pair).
    pub fn give_receiver(self, command: &mut Command) -> Result<PipeSender, OpenError> {
        let (reading, writing) = self.make()?;
        place::give(command, reading, &self.options())?;
        self.sending(writing)
    }

    /// Makes a pipe whose sending end the programs have that `command` will start, and takes the receiving end: as
    /// [`give_receiver`](Self::give_receiver), the other way round.
    ///
    /// # Errors
    /// As of [`pair`](Self::pair).
    pub fn give_sender(self, command: &mut Command) -> Result<PipeReceiver, OpenError> {
        let (reading, writing) = self.make()?;
        place::give(command, writing, &self.options())?;
        self.receiving(reading)
    }

    /// The options of a name, for the other side.
    fn options(&self) -> String {
        let framing = match self.framing {
            Framing::Frames => "frames".to_owned(),
            Framing::Lines => "lines".to_owned(),
            Framing::Len32 => "len32".to_owned(),
            Framing::Raw(bytes) => format!("raw:{bytes}"),
            Framing::Bare => "bare".to_owned(),
        };
        let max_message = self.max_message.map_or(String::new(), |bytes| format!("&max_message={bytes}"));
        let senders = if self.many_senders { "&senders=many" } else { "" };
        let packets = if self.packets { "&packets" } else { "" };
        format!("framing={framing}{max_message}{senders}{packets}")
    }

    fn make(&self) -> Result<(OwnedFd, OwnedFd), OpenError> {
        // Before anything is made.
        self.form()?;
        let direct = if self.packets { PipeFlags::DIRECT } else { PipeFlags::empty() };
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | direct)
            .map_err(failed("making a pipe (pipe2): are there descriptors left?"))?;
        self.enlarge(&writing)?;
        Ok((reading, writing))
    }

    fn enlarge(&self, descriptor: &OwnedFd) -> Result<(), OpenError> {
        self.capacity.map_or(Ok(()), |bytes| set_capacity(descriptor, bytes))
    }

    fn form(&self) -> Result<Form, OpenError> {
        let numbered = !self.many_senders && !self.packets;
        form(self.framing, self.max_message, numbered, self.packets)
    }

    fn sending(&self, descriptor: OwnedFd) -> Result<PipeSender, OpenError> {
        let form = self.form()?;
        Ok(PipeSender { end: WriteEnd::new(descriptor), outlet: Outlet::new(form), can: self.capabilities(&form) })
    }

    fn receiving(&self, descriptor: OwnedFd) -> Result<PipeReceiver, OpenError> {
        let form = self.form()?;
        let inlet = Inlet::new(form.framing, form.longest, form.whole_up_to, form.packets);
        Ok(PipeReceiver { end: ReadEnd::new(descriptor), inlet, can: self.capabilities(&form) })
    }

    fn capabilities(&self, form: &Form) -> Capabilities {
        let many = |are_many| if are_many { Parties::Many } else { Parties::One };
        Capabilities {
            mechanism: "pipe",
            senders: many(self.many_senders),
            receivers: many(self.packets),
            ..capabilities(form, self.many_senders || self.packets)
        }
    }
}

/// `senders=one`, `senders=many`: whether there are several.
pub(crate) fn take_senders(address: &mut Address) -> Result<bool, OpenError> {
    let read = |value: &str| match value {
        "one" => Ok(false),
        "many" => Ok(true),
        _ => Err("one or many"),
    };
    Ok(address.take_as("senders", read)?.unwrap_or(false))
}

/// How records go into the stream of a pipe or FIFO. Where several senders share it (`!numbered`), each write has to be taken as a whole.
pub(crate) fn form(
    framing: Framing,
    max_message: Option<usize>,
    numbered: bool,
    packets: bool,
) -> Result<Form, OpenError> {
    let framing = framing.checked(packets)?;
    let impossible = |option, reason| Err(OpenError::InvalidOption { option, reason });
    // A length is written down in 32 bits.
    let most = if numbered { u32::MAX as usize } else { WHOLE - framing.overhead() };
    let longest = max_message.unwrap_or(LONGEST.min(most));
    if longest > most || longest == 0 {
        let reason = format!(
            "a message has 1 to {most} bytes here{}",
            if numbered {
                ""
            } else {
                ", since the kernel keeps no longer writes of several senders apart, nor longer packets"
            }
        );
        return impossible("max_message", reason);
    }
    if matches!(framing, Framing::Raw(bytes) if bytes.get() > longest) {
        return impossible("framing", format!("raw records have at most as many bytes as max_message, {longest}"));
    }
    let numbered = numbered && framing == Framing::Frames;
    Ok(Form { framing, numbered, longest, whole_up_to: Some(WHOLE), packets })
}

/// What pipes and FIFOs have in common.
pub(crate) fn capabilities(form: &Form, is_bound_by_kernel: bool) -> Capabilities {
    let because = if is_bound_by_kernel {
        "the kernel keeps writes of several senders apart, and packets together, only up to 4096 bytes (PIPE_BUF): open it for one sender and without packets, or use another mechanism"
    } else {
        "no more memory is taken for a message: open both sides with a larger max_message"
    };
    Capabilities {
        mechanism: "",
        longest: Longest { bytes: form.longest, because },
        shortest: usize::from(matches!(form.framing, Framing::Raw(_) | Framing::Bare)),
        forbidden: (form.framing == Framing::Lines).then_some(b'\n'),
        keeps_boundaries: !matches!(form.framing, Framing::Raw(_)),
        order: Order::Sent,
        senders: Parties::One,
        receivers: Parties::One,
        priorities: 1,
        loss: Loss::WithReceiver,
        numbers: form.numbered,
        tells_receiver: true,
        tells_sender: true,
        crosses_hosts: false,
        can_be_awaited: true,
    }
}

/// Has the kernel keep `bytes` for receivers.
pub(crate) fn set_capacity(descriptor: &OwnedFd, bytes: usize) -> Result<(), OpenError> {
    let limit = || crate::limit("/proc/sys/fs/pipe-max-size").map_or("unknown".to_owned(), |bytes| bytes.to_string());
    let reason = match fcntl_setpipe_size(descriptor, bytes) {
        Ok(_) => return Ok(()),
        Err(Errno::PERM) => format!(
            "a pipe has at most {} bytes (/proc/sys/fs/pipe-max-size; or this user's pipes have too many together, see pipe-user-pages-soft there): ask for less, or raise the limit",
            limit()
        ),
        Err(Errno::BUSY) => "more than that is in the pipe already".to_owned(),
        Err(Errno::INVAL) => "no pipe has so many bytes".to_owned(),
        Err(errno) => return Err(failed("setting a pipe's capacity (F_SETPIPE_SZ)")(errno)),
    };
    Err(OpenError::InvalidOption { option: "capacity", reason })
}

/// A pipe with both ends in this process, for threads, or to be handed on.
///
/// # Errors
/// [`OpenError::Os`] if the process has no descriptors left.
pub fn pipe() -> Result<(PipeSender, PipeReceiver), OpenError> {
    Pipe::new().pair()
}

pub(crate) fn sender(address: &mut Address) -> Result<PipeSender, OpenError> {
    Pipe::at(address)?.sender()
}

pub(crate) fn receiver(address: &mut Address) -> Result<PipeReceiver, OpenError> {
    Pipe::at(address)?.receiver()
}
