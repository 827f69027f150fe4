//! FIFOs: pipes with a name in the file system.
//!
//! ```text
//!  FifoSender: Outlet ── write ──▶ the kernel's pages, 64 KiB, while anybody has the file open ── read ──▶ Inlet: FifoReceiver
//! ```
//!
//! With ringshm on both sides, messages go in [`Framing::Frames`]. Then what a sender has sent survives its receiver: the next one goes on with what lies in the
//! pipe. Only what the dead one had read ahead is lost with it; the successor may begin in the middle of a message, says so
//! ([`Rejected`](ringshm_core::error::Rejection)) and goes on with the next, whose number says how many there were before.
//!
//! With any other framing, the other side can be any program, such as `cat`, `tee`, or a shell with `<` and `>`. Then a FIFO is what it
//! always is: a sender waits for somebody who reads, readers find the end when the last sender has closed it.
//!
//! What is in a FIFO is nowhere else: when nobody has it open any more, it is gone.

mod ends;
mod file;

use crate::address::Address;
use crate::framing::Framing;
use crate::inlet::{Inlet, receives_through_inlet};
use crate::link::Patience;
use crate::outlet::{Form, Outlet, sends_through_outlet};
use crate::pipe::{self, REST, form, set_capacity};
use core::time::Duration;
use ends::{ReadEnd, WriteEnd, bytes_in};
use file::{File, Role};
use ringshm_core::error::OpenError;
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Interest, OnDeath, Parties};
use rustix::fs::OFlags;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What a side of a FIFO is to be like.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ringshm_core::{Receiver as _, Sender as _};
/// use ringshm_fallback::fifo::Fifo;
///
/// let path = std::env::temp_dir().join(format!("ringshm-doc-{}", std::process::id()));
/// let mut sender = Fifo::new(&path).sender()?;
/// sender.send(b"hello")?;
/// let mut receiver = Fifo::new(&path).receiver()?;
/// let mut message = Vec::new();
/// assert_eq!(receiver.recv(&mut message)?, 5);
/// drop((sender, receiver));
/// assert!(!path.exists(), "the last one removes it");
/// # Ok(()) }
/// ```
///
/// The file is made if it is missing, by whichever side comes first, and marked as ringshm's by its sticky bit, which means nothing else there. One that is
/// another user's is refused, and so is a symbolic link, and what is no FIFO. The last participant that leaves in good order removes a file that
/// ringshm made if nothing is left in it. Killed processes leave it there: then it is used again.
///
/// SIGPIPE never kills a program: see [`Pipe`](crate::pipe::Pipe).
#[derive(Clone, Debug)]
pub struct Fifo {
    file: File,
    framing: Framing,
    max_message: Option<usize>,
    capacity: Option<usize>,
    many_senders: bool,
    on_death: OnDeath,
    linger: Duration,
}

impl Fifo {
    /// A FIFO at `path`, of this user's alone if it is made.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            file: File { path: path.as_ref().to_owned(), mode: 0o600, keep: false },
            framing: Framing::Frames,
            max_message: None,
            capacity: None,
            many_senders: false,
            on_death: OnDeath::Disconnect,
            linger: Duration::from_secs(5),
        }
    }

    fn at(address: &mut Address) -> Result<Self, OpenError> {
        if address.place().is_empty() {
            return Err(address.invalid("a FIFO has a path: fifo:///run/name"));
        }
        let mut fifo = Self::new(address.place());
        fifo.framing = address.take_framing()?.unwrap_or(fifo.framing);
        fifo.max_message = address.take_number("max_message")?;
        fifo.capacity = address.take_number("capacity")?;
        fifo.many_senders = pipe::take_senders(address)?;
        fifo.on_death = address.take_on_death()?;
        fifo.file.mode = address.take_mode()?.unwrap_or(fifo.file.mode);
        fifo.file.keep = address.take_flag("keep")?;
        fifo.linger = address.take_number("linger")?.map_or(fifo.linger, Duration::from_millis);
        address.finish()?;
        Ok(fifo)
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

    /// Several senders at once, all of which say so: each message is then written at once or not at all, with at most 4,096 bytes (`PIPE_BUF`)
    /// including what the framing adds, so that no two are mixed up. Messages have no numbers. Otherwise there is one sender, and
    /// another is refused as long as it lives.
    #[must_use]
    pub fn many_senders(mut self) -> Self {
        self.many_senders = true;
        self
    }

    /// What to do when the other side is gone: to report it, if not given. A receiver that awaits a successor never finds an end; a sender that does
    /// goes on until the pipe is full and waits.
    #[must_use]
    pub fn on_death(mut self, on_death: OnDeath) -> Self {
        self.on_death = on_death;
        self
    }

    /// The rights of the file if it is made: 0600 if not given. The process's mask takes nothing away from them. Another user can read or write it
    /// with a foreign program only: ringshm refuses other users' files.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.file.mode = mode & 0o777;
        self
    }

    /// Leaves the file there when the last participant leaves, for foreign programs that come again and again.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.file.keep = true;
        self
    }

    /// How long a sender of frames that is dropped waits for its first receiver, if there has been none and it has sent something: 5 seconds if not given.
    /// What nobody has received then is gone.
    #[must_use]
    pub fn linger(mut self, patience: Duration) -> Self {
        self.linger = patience;
        self
    }

    /// Takes the sending role. Does not wait for a receiver.
    ///
    /// With [`Framing::Frames`], messages that are sent before a receiver comes wait in the pipe as far as it has room. With any other framing nothing
    /// is sent before somebody reads: until then there is no room.
    ///
    /// # Errors
    /// [`OpenError::RoleTaken`] if there is a sender already (and not both were opened with [`many_senders`](Self::many_senders));
    /// [`OpenError::Permission`] if the file is another user's or a symbolic link, or may not be made; [`OpenError::InvalidName`] if it is no FIFO;
    /// [`OpenError::NotFound`] if its folder is missing; [`OpenError::InvalidOption`]; [`OpenError::Busy`]; [`OpenError::Os`].
    pub fn sender(self) -> Result<FifoSender, OpenError> {
        let form = self.form()?;
        let role = if self.many_senders { Role::OneOfManySenders } else { Role::OnlySender };
        let holds_both = self.framing == Framing::Frames;
        let fd = self.file.join(role, if holds_both { OFlags::RDWR } else { OFlags::WRONLY })?;
        let outlet = match role {
            Role::OnlySender if holds_both => Outlet::taking_over(form, file::number(&fd)?),
            _ => Outlet::new(form),
        };
        let end = WriteEnd::new(fd, holds_both, self.awaits());
        // What goes wrong from here on leaves in order.
        let can = Capabilities { can_be_awaited: holds_both, ..self.capabilities(&form) };
        let (capacity, linger) = (self.capacity, self.linger);
        let sender = FifoSender { end, outlet, can, file: self.file, linger };
        capacity.map_or(Ok(()), |bytes| set_capacity(&sender.end.fd, bytes))?;
        Ok(sender)
    }

    /// Takes the receiving role. Does not wait for a sender.
    ///
    /// # Errors
    /// As of [`sender`](Self::sender); [`OpenError::RoleTaken`] if there is a receiver already.
    pub fn receiver(self) -> Result<FifoReceiver, OpenError> {
        let form = self.form()?;
        let fd = self.file.join(Role::Receiver, if self.awaits() { OFlags::RDWR } else { OFlags::RDONLY })?;
        let inlet = Inlet::new(form.framing, form.longest, form.whole_up_to, form.packets);
        let (can, capacity) = (self.capabilities(&form), self.capacity);
        let receiver = FifoReceiver { end: ReadEnd::new(fd), inlet, can, file: self.file };
        capacity.map_or(Ok(()), |bytes| set_capacity(&receiver.end.fd, bytes))?;
        Ok(receiver)
    }

    fn awaits(&self) -> bool {
        self.on_death != OnDeath::Disconnect
    }

    fn form(&self) -> Result<Form, OpenError> {
        form(self.framing, self.max_message, !self.many_senders, false)
    }

    fn capabilities(&self, form: &Form) -> Capabilities {
        let senders = if self.many_senders { Parties::Many } else { Parties::One };
        Capabilities { mechanism: "fifo", senders, ..pipe::capabilities(form, self.many_senders) }
    }
}

/// The sending side of a FIFO: made by [`Fifo`].
///
/// A message of which the pipe took a part before patience ended counts as sent; its rest goes before the next message, or when the handle is
/// dropped, which waits up to a second for room. That happens only to messages of more than 4,096 bytes, framing included, that were sent with
/// `try_send` or a deadline.
///
/// That the receiver is gone is noticed within 5 ms by who sends, and within 20 ms by who waits for room; one that was not there for so long may not be
/// noticed at all, and then another one is waited for, as for the first. An event loop that waits for room alone is not
/// told: there is none, as long as no successor comes.
#[derive(Debug)]
pub struct FifoSender {
    end: WriteEnd,
    outlet: Outlet,
    can: Capabilities,
    file: File,
    linger: Duration,
}

/// The receiving side of a FIFO: made by [`Fifo`].
///
/// After `Disconnected`, it can be asked again: if another sender has come, its messages are received.
#[derive(Debug)]
pub struct FifoReceiver {
    end: ReadEnd,
    inlet: Inlet,
    can: Capabilities,
    file: File,
}

impl FifoSender {
    /// Waits until the receiver has read everything that was sent, or until `deadline`; looks now and then, since the kernel does not tell. Returns
    /// whether nothing is left.
    pub fn drain_by(&mut self, deadline: Deadline) -> bool {
        let is_flushed = !self.outlet.has_sent() || self.outlet.flush(Patience::Until(deadline), &mut self.end).is_ok();
        is_flushed && self.end.drain(deadline)
    }
}

impl Drop for FifoSender {
    fn drop(&mut self) {
        // A receiver that does not read, or is gone, is told of half a message. Who has sent nothing leaves no trace.
        let _ =
            self.outlet.has_sent() && self.outlet.flush(Patience::Until(Deadline::after(REST)), &mut self.end).is_ok();
        self.end.linger(self.linger);
        self.file.leave(&self.end.fd, bytes_in(&self.end.fd) == 0);
    }
}

impl Drop for FifoReceiver {
    fn drop(&mut self) {
        self.file.leave(&self.end.fd, bytes_in(&self.end.fd) == 0);
    }
}

impl Channel for FifoSender {
    fn capabilities(&self) -> Capabilities {
        self.can
    }

    fn awaited(&self) -> Awaited<'_> {
        if self.can.can_be_awaited {
            Awaited::Descriptor(self.end.fd.as_fd(), Interest::Writable)
        } else {
            // As long as nobody reads, its descriptor is ready for nothing but an error.
            Awaited::Nothing
        }
    }

    fn detach(mut self: Box<Self>) {
        (self.file.keep, self.linger) = (true, Duration::ZERO);
    }
}

impl Channel for FifoReceiver {
    fn capabilities(&self) -> Capabilities {
        self.can
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.end.fd.as_fd(), Interest::Readable)
    }

    fn has_more(&mut self) -> bool {
        self.inlet.has_more()
    }

    fn detach(mut self: Box<Self>) {
        self.file.keep = true;
    }
}

sends_through_outlet!(FifoSender, end);
receives_through_inlet!(FifoReceiver, end);

impl AsFd for FifoSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.fd.as_fd()
    }
}

impl AsFd for FifoReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.fd.as_fd()
    }
}

pub(crate) fn sender(address: &mut Address) -> Result<FifoSender, OpenError> {
    Fifo::at(address)?.sender()
}

pub(crate) fn receiver(address: &mut Address) -> Result<FifoReceiver, OpenError> {
    Fifo::at(address)?.receiver()
}
