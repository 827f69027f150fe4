//! The sending side of connected sockets: into one connection, or into all.

mod together;

use super::door::{Arrival, Door};
use super::post::{Ask, Post, Posted};
use super::settings::{PACKET, Settings, Side};
use super::watch::{DOOR, EventFlags, FIRST_LINK, TIMER, Watch};
use crate::framing::Framing;
use crate::link::{Halt, Patience, Unsent};
use crate::outlet::{COPIED, Form, TOGETHER};
use core::cell::Cell;
use ringshm_core::broadcast::OnSlowReader;
use ringshm_core::error::{OpenError, SendSliceError, SendTimeoutError, TrySendError};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Interest, OnDeath, Sender};
use rustix::net::sockopt::socket_send_buffer_size;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Connections that are accepted in one look.
const ARRIVALS: usize = 64;
/// How long a sender that leaves waits for room for the rest of a message that it had begun to send.
const FAREWELL: Duration = Duration::from_secs(1);

/// Sends to the receiver that listens; or, where this side listens, to every receiver that connects. Made by the builders
/// [`Connected`](crate::unix::connected::Connected) and [`Tcp`](crate::tcp::Tcp).
///
/// Without a connection there is no room: [`try_send`](Sender::try_send) says `Full`, and the other calls wait for one until their deadline. Once there
/// was one and none is left, it is `Disconnected`, for good, unless it was opened to await a successor.
///
/// **What counts as sent.** A message is with the kernel as a whole when a call returns `Ok`, but for a long one of which there was room for a part when
/// the deadline came: its rest goes first in the next call, and when the sender is dropped, which waits for room for up to a second. If
/// the receiver goes away before, its successor gets the message from its first byte on. What the kernel had for a receiver that is killed is lost
/// with it; over TCP that is so, too, of what is sent without a deadline within 5 ms after it was last asked whether the receiver is still there. The
/// numbers go on, so the successor's [`position`](ringshm_core::Receiver::position) says how many messages that are.
///
/// As a descriptor it is readable when there is something to do for a call: room after there was none, somebody connected or left, or it is time to
/// try to connect again.
#[derive(Debug)]
pub struct SocketSender {
    /// It goes before the door, whose socket it watches.
    watch: Watch,
    door: Door,
    /// By their tokens, less [`FIRST_LINK`]. Who connects has one at most.
    links: Vec<Option<Link>>,
    connected: usize,
    settings: Settings,
    capabilities: Capabilities,
    form: Form,
    /// The number of the next message.
    number: u64,
    /// A message and what is added to it, or several.
    staged: Vec<u8>,
    /// Where each of several ends.
    ends: Vec<usize>,
    /// Bytes that go together at most: of packets, what fits into the smallest buffer of those who are connected.
    together: usize,
    /// Messages that count as sent, of which the one that they were sent to got a part: for its successor.
    unsent: Vec<u8>,
    has_met: bool,
    /// Whether somebody else may look at the watch: then it shows room, too, when nobody here waits for it.
    is_awaited: Cell<bool>,
}

/// A connection.
#[derive(Debug)]
struct Link {
    post: Post,
    /// Whether it had no room for the last message.
    is_full: bool,
    /// What it is watched for, if it is.
    watched: Cell<Option<EventFlags>>,
}

impl Link {
    /// Whether a message, or the rest of one, waits for its room.
    fn is_blocked(&self) -> bool {
        self.is_full || self.post.has_rest()
    }

    /// Whether the watch is ready when it has room.
    fn shows_room(&self) -> bool {
        self.watched.get().is_some_and(|flags| flags.contains(EventFlags::OUT))
    }
}

impl SocketSender {
    pub(crate) fn open(settings: Settings) -> Result<Self, OpenError> {
        let capabilities = settings.capabilities()?;
        let watch = Watch::new()?;
        let (door, arrival) = Door::open(&settings, Side::Sender, &watch)?;
        let form = settings.form(capabilities.longest.bytes);
        let mut sender = Self {
            watch,
            door,
            links: Vec::new(),
            connected: 0,
            settings,
            capabilities,
            form,
            number: 0,
            staged: Vec::new(),
            ends: Vec::new(),
            together: TOGETHER,
            unsent: Vec::new(),
            has_met: false,
            is_awaited: Cell::new(false),
        };
        if let Arrival::Connection(socket, _) = arrival {
            sender.connect(socket);
        }
        Ok(sender)
    }

    /// The address at which it listens, of TCP: for whoever listens on port 0.
    #[must_use]
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.door.local_address()
    }

    fn connect(&mut self, socket: OwnedFd) {
        let at = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        if self.form.packets {
            let room = socket_send_buffer_size(&socket).map_or(0, |bytes| bytes.saturating_sub(PACKET));
            self.together = self.together.min(room);
        }
        let ask = match (self.capabilities.crosses_hosts, self.form.framing) {
            (true, Framing::Frames) => Ask::RoomAndEnd,
            (true, _) => Ask::Room,
            _ => Ask::Nothing,
        };
        let mut post = Post::new(socket, ask);
        if !self.unsent.is_empty() {
            post.keep(&[&core::mem::take(&mut self.unsent)]);
        }
        let is_awaited = self.is_awaited.get();
        let link = Link { post, is_full: false, watched: Cell::new(None) };
        // One alone says what has become of it when it is sent to.
        if is_awaited || self.door.listens() {
            self.watch_for(at, &link, is_awaited);
        }
        if at == self.links.len() {
            self.links.push(Some(link));
        } else {
            self.links[at] = Some(link);
        }
        self.connected += 1;
        self.has_met = true;
    }

    /// What a connection is watched for. A foreign receiver that has nothing to say may end what it sends, and receive on.
    fn interest(&self, room: bool) -> EventFlags {
        let end = if self.form.framing == Framing::Frames { EventFlags::RDHUP } else { EventFlags::empty() };
        if room { end | EventFlags::OUT } else { end }
    }

    fn disconnect(&mut self, at: usize) {
        let Some(link) = self.links.get_mut(at).and_then(Option::take) else { return };
        if link.watched.get().is_some() {
            self.watch.remove(&link.post.socket);
        }
        self.connected -= 1;
        if !self.door.listens() && self.settings.on_death != OnDeath::Disconnect {
            self.unsent = link.post.into_kept();
        }
        // Who waits for room, and for all that were in the way, waits no more.
        if self.is_awaited.get() && !self.links.iter().flatten().any(Link::shows_room) {
            self.watch_for_room(|_| true);
        }
    }

    /// Has the watch be ready when a connection has ended, and, if that is wanted, when it has `room`.
    fn watch_for(&self, at: usize, link: &Link, room: bool) {
        let (socket, token, wanted) = (&link.post.socket, FIRST_LINK + at as u64, self.interest(room));
        match link.watched.replace(Some(wanted)) {
            Some(watched) if watched == wanted => {}
            Some(_) => self.watch.change(socket, token, wanted),
            None => self.watch.add_or_end(socket, token, wanted),
        }
    }

    /// Has the watch be ready when one of those connections has room.
    fn watch_for_room(&self, of: impl Fn(&Link) -> bool) {
        for (at, link) in self.links.iter().enumerate() {
            let Some(link) = link else { continue };
            self.watch_for(at, link, of(link));
        }
    }

    /// What others wait for.
    fn shown(&self) -> BorrowedFd<'_> {
        if !self.is_awaited.replace(true) {
            let waits = self.links.iter().flatten().any(Link::is_blocked);
            self.watch_for_room(|link| !waits || link.is_blocked());
        }
        self.watch.as_fd()
    }

    /// Sees who has come, and who is gone; sleeps for it, or for room, until the deadline.
    fn look(&mut self, deadline: Deadline) -> Result<(), Halt> {
        let (mut at_door, mut has_room) = (false, false);
        let mut gone = Vec::new();
        for (token, flags) in self.watch.look(deadline).map_err(Halt::Fault)? {
            match token {
                DOOR | TIMER => at_door = true,
                token if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) => {
                    gone.push((token - FIRST_LINK) as usize);
                }
                _ => has_room = true,
            }
        }
        if has_room && !self.is_awaited.get() {
            self.watch_for_room(|_| false);
        }
        gone.into_iter().for_each(|at| self.disconnect(at));
        if at_door {
            self.open_door();
        }
        Ok(())
    }

    /// Lets in who has come, or connects. A stranger is turned away; senders have nobody to tell.
    fn open_door(&mut self) {
        let listens = self.door.listens();
        for _ in 0..ARRIVALS {
            if !listens && self.connected > 0 {
                return;
            }
            match self.door.arrival(&self.watch) {
                Arrival::Connection(socket, _) => self.connect(socket),
                Arrival::Rejected(_) if listens => {}
                Arrival::Rejected(_) | Arrival::Nobody => return,
            }
        }
    }

    /// Whether nobody is there, and nobody is waited for.
    fn is_over(&self) -> bool {
        self.has_met && self.connected == 0 && self.settings.on_death == OnDeath::Disconnect
    }

    /// Sees to it that somebody is connected, and has no rest of an earlier message to get first.
    fn prepare(&mut self, patience: Patience) -> Result<(), Halt> {
        loop {
            if self.door.listens() {
                // Whoever came before this message gets it.
                self.look(Deadline::after(Duration::ZERO))?;
            } else if self.connected == 0 && !self.is_over() {
                self.open_door();
            }
            if self.is_over() {
                return Err(Halt::Disconnected);
            }
            if self.connected > 0 && self.flush(patience)? {
                return Ok(());
            }
            self.sleep(patience)?;
        }
    }

    /// Sends the rests. Whether there are none any more.
    fn flush(&mut self, patience: Patience) -> Result<bool, Halt> {
        // The others are not to wait for one.
        let patience = if self.door.listens() { Patience::None } else { patience };
        let mut is_done = true;
        for at in 0..self.links.len() {
            let Some(Some(link)) = self.links.get_mut(at) else { continue };
            match link.post.flush(patience) {
                Ok(()) => {}
                Err(Halt::NotReady) if self.is_too_slow(at) => self.disconnect(at),
                Err(Halt::NotReady) => is_done = false,
                Err(Halt::Disconnected) => self.disconnect(at),
                Err(fault) => return Err(fault),
            }
        }
        Ok(is_done && self.connected > 0)
    }

    /// Whether a receiver has taken nothing for as long as it may.
    fn is_too_slow(&self, at: usize) -> bool {
        let OnSlowReader::Evict { after } = self.settings.on_slow_reader else { return false };
        let since = self.links.get(at).and_then(Option::as_ref).and_then(|link| link.post.stuck_since());
        since.is_some_and(|since| since.elapsed() >= after)
    }

    /// Sleeps until it may be worth another attempt.
    fn sleep(&mut self, patience: Patience) -> Result<(), Halt> {
        let is_watched = self.door.listens() || self.is_awaited.get();
        if is_watched && self.links.iter().flatten().any(Link::is_blocked) {
            self.watch_for_room(Link::is_blocked);
        }
        match patience {
            Patience::Until(deadline) if !deadline.is_over() => {
                let deadline = match self.settings.on_slow_reader {
                    OnSlowReader::Evict { after } if self.connected > 0 => deadline.at_most(after),
                    _ => deadline,
                };
                self.look(deadline)
            }
            _ => Err(Halt::NotReady),
        }
    }

    fn send_one(&mut self, message: &[u8], patience: Patience) -> Result<(), Unsent> {
        self.form.check(message)?;
        let mut staged = core::mem::take(&mut self.staged);
        let sent = if message.len() <= COPIED {
            staged.clear();
            self.form.stage(message, self.number, &mut staged);
            self.spread(&[&staged], patience)
        } else {
            let (header, prefix) = self.form.header(message.len(), self.number);
            let tail: &[u8] = if self.form.framing == Framing::Lines { b"\n" } else { &[] };
            self.spread(&[&header[..prefix], message, tail], patience)
        };
        self.staged = staged;
        sent?;
        self.number += 1;
        Ok(())
    }

    /// Gives bytes to all who are connected, as soon as there is somebody.
    fn spread(&mut self, parts: &[&[u8]], patience: Patience) -> Result<(), Halt> {
        loop {
            self.prepare(patience)?;
            let listens = self.door.listens();
            let mut has_taken = false;
            for at in 0..self.links.len() {
                let Some(Some(link)) = self.links.get_mut(at) else { continue };
                link.is_full = false;
                let (patience, mut taken) = (if listens { Patience::None } else { patience }, 0);
                match link.post.post(parts, patience, &mut taken) {
                    Ok(Posted::Whole | Posted::Part) => has_taken = true,
                    Err(Halt::NotReady) if has_taken || self.settings.on_slow_reader != OnSlowReader::Wait => {
                        link.post.keep(parts);
                        has_taken = true;
                    }
                    Err(Halt::NotReady) => {
                        link.is_full = true;
                        break;
                    }
                    Err(Halt::Disconnected) => self.disconnect(at),
                    Err(fault) => return Err(fault),
                }
            }
            if has_taken {
                // Who is not waited for here has until the next message.
                if listens && self.settings.on_slow_reader == OnSlowReader::Wait {
                    self.settle(patience)?;
                }
                return Ok(());
            }
            if self.connected > 0 {
                self.sleep(patience)?;
            }
        }
    }

    /// Waits, as far as patience goes, until those who had no room have what the others have.
    fn settle(&mut self, patience: Patience) -> Result<(), Halt> {
        while self.links.iter().flatten().any(|link| link.post.has_rest()) {
            if self.flush(patience)? || self.connected == 0 {
                break;
            }
            match self.sleep(patience) {
                Ok(()) => {}
                // It is sent all the same: the rest is kept.
                Err(Halt::NotReady) => break,
                Err(halt) => return Err(halt),
            }
        }
        Ok(())
    }
}

impl Channel for SocketSender {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.shown(), Interest::Readable)
    }

    /// As dropping it: to whoever is connected, a connection that ends is one like another.
    fn detach(self: Box<Self>) {}
}

impl Sender for SocketSender {
    fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        Ok(self.send_one(message, Patience::None)?)
    }

    fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        Ok(self.send_one(message, Patience::Until(deadline))?)
    }

    fn send_slice(&mut self, messages: &[&[u8]]) -> Result<(), SendSliceError> {
        let mut sent = 0;
        while let Some(left) = messages.get(sent..).filter(|left| !left.is_empty()) {
            self.send_some(left, &mut sent).map_err(|unsent| SendSliceError { sent, cause: unsent.into() })?;
        }
        Ok(())
    }
}

impl AsFd for SocketSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shown()
    }
}

impl Drop for SocketSender {
    fn drop(&mut self) {
        let deadline = Deadline::after(FAREWELL);
        let _ = self.settle(Patience::Until(deadline));
    }
}
