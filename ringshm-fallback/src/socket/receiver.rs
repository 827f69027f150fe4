//! The receiving side of connected sockets: every connection in its turn.

use super::door::{Arrival, Door};
use super::settings::{Settings, Side};
use super::watch::{DOOR, EventFlags, FIRST_LINK, TIMER, Watch};
use crate::inlet::Inlet;
use crate::link::{Halt, Patience, Source, Unreceived};
use crate::pipe::Restraint;
use crate::unix::Peer;
use crate::wait::{Wake, until_any_ready, until_ready};
use core::cell::Cell;
use ringshm_core::error::{OpenError, RecvTimeoutError, Rejection, TryRecvError};
use ringshm_core::{Awaited, Batch, Capabilities, Channel, Deadline, Interest, OnDeath, Receiver};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Messages that one connection may deliver before the next one has its turn.
const TURN: usize = 64;
/// Messages after which it is asked who else has something, although there is more from those who are known to.
const LOOK_AFTER: usize = 256;
/// Connections that are accepted in one look.
const ARRIVALS: usize = 64;

/// Receives from any number of senders that connect; or, where the sender listens, from that one. Made by the builders [`Connected`](crate::unix::connected::Connected)
/// and [`Tcp`](crate::tcp::Tcp).
///
/// With [`Framing::Frames`](crate::framing::Framing::Frames) the messages of each connection are numbered, and what is missing between two of them is told as `Lagged`.
/// [`position`](Receiver::position) is that of the only connection, or of the last one while there is none, and `None` while there are several.
///
/// As a descriptor it is readable when there is something to do for a call: something came, somebody connected or left, or it is time to try to
/// connect again.
#[derive(Debug)]
pub struct SocketReceiver {
    /// It goes before the door, whose socket it watches.
    watch: Watch,
    door: Door,
    /// By their tokens, less [`FIRST_LINK`].
    links: Vec<Option<Link>>,
    connected: usize,
    /// Which links may have something, each once.
    turns: VecDeque<usize>,
    /// Which of them delivered last: it is asked first by a call that may sleep.
    recent: usize,
    restraint: Restraint,
    /// Messages that the first of them has delivered in its turn.
    delivered: usize,
    since_look: usize,
    settings: Settings,
    capabilities: Capabilities,
    /// Whether there ever was a connection.
    has_met: bool,
    /// Whether somebody else may look at the watch.
    is_awaited: Cell<bool>,
    /// Where the last connection was when it ended.
    position: Option<u64>,
}

/// A connection.
#[derive(Debug)]
struct Link {
    socket: OwnedFd,
    peer: Option<Peer>,
    inlet: Inlet,
    is_watched: Cell<bool>,
    /// Whether it has a place among the turns.
    is_in_turn: bool,
    /// Whether it may have something that was not read yet.
    may_read: bool,
}

/// A connection, as what is read from.
struct Ear<'a> {
    socket: &'a OwnedFd,
    /// Without patience, it is read once and then not until it is told to have something: as a rule there was less than there was room for, and
    /// asking again would be in vain.
    may_read: &'a mut bool,
    is_packets: bool,
    /// Of a call that may sleep, unless it was told that there is something.
    restraint: Option<&'a mut Restraint>,
}

impl Source for Ear<'_> {
    fn read(&mut self, into: &mut [u8], patience: Patience) -> Result<usize, Halt> {
        if let Some(restraint) = self.restraint.take() {
            match restraint.look(|| recv(self.socket, &mut *into, RecvFlags::DONTWAIT).map(|(_, bytes)| bytes)) {
                Some(Ok(bytes @ 1..)) => return Ok(bytes),
                // What else it says is said again.
                Some(_) => {}
                None => *self.may_read = false,
            }
        }
        loop {
            let flags = match patience {
                Patience::None if !core::mem::take(self.may_read) => return Err(Halt::NotReady),
                Patience::ENDLESS => RecvFlags::empty(),
                _ => RecvFlags::DONTWAIT,
            };
            match (recv(self.socket, &mut *into, flags), patience) {
                // An empty packet of a foreign program, which is no message and not the end either.
                (Ok((_, 0)), _) if self.is_packets && !has_hung_up(self.socket) => *self.may_read = true,
                (Ok((_, bytes)), _) => {
                    // Of packets it is one at a time, and there may be more.
                    *self.may_read |= self.is_packets;
                    return Ok(bytes);
                }
                (Err(Errno::INTR), _) => *self.may_read = true,
                (Err(Errno::AGAIN), Patience::None) => return Err(Halt::NotReady),
                (Err(Errno::AGAIN), Patience::Until(deadline)) => {
                    match until_ready(self.socket, Interest::Readable, deadline).map_err(Halt::Fault)? {
                        Wake::Ready => {}
                        Wake::TimedOut => return Err(Halt::NotReady),
                    }
                }
                // Its host is gone, or it threw away what we sent: the end, in the middle of a message perhaps.
                (Err(_), _) => return Ok(0),
            }
        }
    }
}

fn has_hung_up(socket: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [PollFd::new(socket, PollFlags::RDHUP)];
    poll(&mut fds, Some(&now)).is_err()
        || fds[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
}

impl SocketReceiver {
    pub(crate) fn open(settings: Settings) -> Result<Self, OpenError> {
        let capabilities = settings.capabilities()?;
        let watch = Watch::new()?;
        let (door, arrival) = Door::open(&settings, Side::Receiver, &watch)?;
        let mut receiver = Self {
            watch,
            door,
            links: Vec::new(),
            connected: 0,
            turns: VecDeque::new(),
            recent: 0,
            restraint: Restraint::default(),
            delivered: 0,
            since_look: 0,
            settings,
            capabilities,
            has_met: false,
            is_awaited: Cell::new(false),
            position: None,
        };
        if let Arrival::Connection(socket, peer) = arrival {
            receiver.connect(socket, peer);
        }
        Ok(receiver)
    }

    /// The address at which it listens, or would, of TCP: for whoever listened on port 0.
    #[must_use]
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.door.local_address()
    }

    fn connect(&mut self, socket: OwnedFd, peer: Option<Peer>) {
        let at = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        let Settings { framing, .. } = self.settings;
        let mut inlet = Inlet::new(framing, self.capabilities.longest.bytes, None, self.settings.is_packets());
        if !self.door.listens() {
            // The same sender, as far as anybody can tell: what it sent meanwhile is missing.
            inlet.expect(self.position);
        }
        let link = Link { socket, peer, inlet, is_watched: Cell::new(false), is_in_turn: true, may_read: true };
        if at == self.links.len() {
            self.links.push(Some(link));
        } else {
            self.links[at] = Some(link);
        }
        self.turns.push_back(at);
        self.connected += 1;
        self.has_met = true;
        self.keep_watch();
    }

    fn disconnect(&mut self, at: usize) {
        let Some(link) = self.links.get_mut(at).and_then(Option::take) else { return };
        if link.is_watched.get() {
            self.watch.remove(&link.socket);
        }
        self.connected -= 1;
        self.keep_watch();
        self.position = link.inlet.position();
        self.turns.retain(|other| *other != at);
        self.delivered = 0;
    }

    /// Has the watch see who has something, unless it is one alone and only this side waits for it.
    fn keep_watch(&self) {
        let wanted = self.connected > 1 || self.is_awaited.get();
        for (token, link) in (FIRST_LINK..).zip(&self.links) {
            let Some(link) = link else { continue };
            match (link.is_watched.replace(wanted), wanted) {
                (false, true) => self.watch.add_or_end(&link.socket, token, EventFlags::IN),
                (true, false) => self.watch.remove(&link.socket),
                _ => {}
            }
        }
    }

    /// What others wait for.
    fn shown(&self) -> BorrowedFd<'_> {
        if !self.is_awaited.replace(true) {
            self.keep_watch();
        }
        self.watch.as_fd()
    }

    /// Sees who has something, has come, or is to be tried again; sleeps until the deadline for it.
    fn look(&mut self, mut deadline: Deadline) -> Result<(), Unreceived> {
        self.since_look = 0;
        let mut unwatched = self.links.iter_mut().enumerate().filter_map(|(at, link)| Some((at, link.as_mut()?)));
        if let Some((at, link)) = unwatched.find(|(_, link)| !link.is_watched.get()) {
            let mut fds = [PollFd::new(&link.socket, PollFlags::IN), PollFd::new(&self.watch, PollFlags::IN)];
            until_any_ready(&mut fds, deadline).map_err(Halt::Fault)?;
            let [is_ready, are_others] = fds.map(|fd| !fd.revents().is_empty());
            if is_ready {
                link.may_read = true;
                if !core::mem::replace(&mut link.is_in_turn, true) {
                    self.turns.push_back(at);
                }
            }
            if !are_others {
                return Ok(());
            }
            deadline = Deadline::after(Duration::ZERO);
        }
        let mut at_door = false;
        for (token, _) in self.watch.look(deadline).map_err(Halt::Fault)? {
            match token {
                DOOR | TIMER => at_door = true,
                token => {
                    let at = (token - FIRST_LINK) as usize;
                    if let Some(Some(link)) = self.links.get_mut(at) {
                        link.may_read = true;
                        if !core::mem::replace(&mut link.is_in_turn, true) {
                            self.turns.push_back(at);
                        }
                    }
                }
            }
        }
        if at_door { self.open_door() } else { Ok(()) }
    }

    /// Lets in who has come.
    fn open_door(&mut self) -> Result<(), Unreceived> {
        if !self.door.listens() && self.connected > 0 {
            return Ok(());
        }
        for _ in 0..ARRIVALS {
            match self.door.arrival(&self.watch) {
                Arrival::Connection(socket, peer) => self.connect(socket, peer),
                Arrival::Rejected(rejection) => return Err(Unreceived::Rejected(rejection)),
                Arrival::Nobody => break,
            }
            if !self.door.listens() {
                break;
            }
        }
        Ok(())
    }

    /// What there is when nobody has anything.
    fn nothing(&self) -> Halt {
        let is_over = self.has_met && self.connected == 0 && self.settings.on_death == OnDeath::Disconnect;
        if is_over { Halt::Disconnected } else { Halt::NotReady }
    }

    /// Receives by `receive`, which says how many messages, from whoever's turn it is; says from whom. `deadline`: until when to sleep if nobody
    /// has anything.
    fn receive(
        &mut self,
        deadline: Option<Deadline>,
        mut receive: impl FnMut(&mut Inlet, &mut Ear<'_>, Patience) -> Result<usize, Unreceived>,
    ) -> Result<(usize, usize), Unreceived> {
        let is_packets = self.settings.is_packets();
        // Where nobody else can come, there is no need to ask who has something.
        let is_alone = !self.door.listens();
        let (mut may_guess, mut is_guess) = (deadline.is_some(), false);
        loop {
            if self.since_look >= LOOK_AFTER && !is_alone {
                self.look(Deadline::after(Duration::ZERO))?;
            }
            if is_alone && self.connected > 0 && self.turns.is_empty() {
                self.turns.extend(self.links.iter().position(Option::is_some));
            }
            let Some(&at) = self.turns.front() else {
                match self.links.get_mut(self.recent) {
                    // Who delivered last may well be about to: to look at it costs less than to be woken.
                    Some(Some(link)) if !is_packets && core::mem::take(&mut may_guess) => {
                        (link.is_in_turn, link.may_read) = (true, true);
                        self.turns.push_back(self.recent);
                        is_guess = true;
                    }
                    _ => self.wait(deadline)?,
                }
                continue;
            };
            let Some(Some(Link { socket, peer, inlet, is_in_turn, may_read, .. })) = self.links.get_mut(at) else {
                self.turns.pop_front();
                continue;
            };
            *may_read |= is_alone;
            let patience = match deadline {
                Some(deadline) if is_alone => Patience::Until(deadline),
                _ => Patience::None,
            };
            let restraint =
                (core::mem::take(&mut is_guess) || is_alone && may_guess && !is_packets).then_some(&mut self.restraint);
            match receive(inlet, &mut Ear { socket, may_read, is_packets, restraint }, patience) {
                Ok(count) => {
                    self.recent = at;
                    self.since_look += count;
                    self.delivered += count;
                    if self.delivered >= TURN {
                        self.delivered = 0;
                        self.turns.rotate_left(1);
                    }
                    return Ok((count, at));
                }
                Err(Unreceived::Halted(Halt::NotReady)) => {
                    *is_in_turn = false;
                    self.turns.pop_front();
                    self.delivered = 0;
                    if is_alone {
                        return Err(Halt::NotReady.into());
                    }
                }
                Err(Unreceived::Halted(Halt::Disconnected)) => self.disconnect(at),
                Err(Unreceived::Rejected(rejection)) => {
                    let rejection = blame(*peer, rejection);
                    self.disconnect(at);
                    return Err(Unreceived::Rejected(rejection));
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Waits until somebody may have something.
    fn wait(&mut self, deadline: Option<Deadline>) -> Result<(), Unreceived> {
        if !self.door.listens() && self.nothing() == Halt::NotReady {
            self.open_door()?;
            if !self.turns.is_empty() {
                return Ok(());
            }
        }
        match deadline {
            Some(deadline) if self.nothing() == Halt::NotReady => self.look(deadline)?,
            // Whoever has come meanwhile comes before the news that all others are gone.
            _ => self.look(Deadline::after(Duration::ZERO))?,
        }
        match (self.nothing(), deadline) {
            _ if !self.turns.is_empty() => Ok(()),
            (Halt::NotReady, Some(deadline)) if !deadline.is_over() => Ok(()),
            (halt, _) => Err(halt.into()),
        }
    }
}

/// Says who it was.
fn blame(peer: Option<Peer>, rejection: Rejection) -> Rejection {
    peer.map_or(rejection, |peer| peer.rejected(rejection.reason))
}

impl Channel for SocketReceiver {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Descriptor(self.shown(), Interest::Readable)
    }

    fn has_more(&mut self) -> bool {
        self.links.iter().flatten().any(|link| link.inlet.has_more())
    }

    /// As dropping it: to whoever is connected, a connection that ends is one like another.
    fn detach(self: Box<Self>) {}
}

impl Receiver for SocketReceiver {
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        self.receive(None, |inlet, ear, patience| inlet.recv(into, patience, ear).map(|_| 1))?;
        Ok(into.len())
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.receive(Some(deadline), |inlet, ear, patience| inlet.recv(into, patience, ear).map(|_| 1))?;
        Ok(into.len())
    }

    fn recv_batch_by(&mut self, batch: &mut Batch, most: usize, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        batch.resume()?;
        let (count, at) = self.receive(Some(deadline), |inlet, ear, patience| {
            inlet.recv_batch(batch, most, patience, ear).map_err(|error| match error {
                RecvTimeoutError::Lagged(count) => Unreceived::Lagged(count),
                RecvTimeoutError::Rejected(rejection) => Unreceived::Rejected(rejection),
                RecvTimeoutError::Fault(fault) => Halt::Fault(fault).into(),
                RecvTimeoutError::Disconnected => Halt::Disconnected.into(),
                RecvTimeoutError::Timeout
                | RecvTimeoutError::Stalled(_)
                | RecvTimeoutError::Evicted
                | RecvTimeoutError::TooManyHeld { .. } => Halt::NotReady.into(),
            })
        })?;
        match batch.resume() {
            Err(RecvTimeoutError::Rejected(rejection)) => {
                let peer = self.links.get(at).and_then(Option::as_ref).and_then(|link| link.peer);
                self.disconnect(at);
                batch.postpone(Some(RecvTimeoutError::Rejected(blame(peer, rejection))));
            }
            result => batch.postpone(result.err()),
        }
        Ok(count)
    }

    fn position(&self) -> Option<u64> {
        match self.connected {
            0 => self.position,
            1 => self.links.iter().flatten().find_map(|link| link.inlet.position()),
            _ => None,
        }
    }
}

impl AsFd for SocketReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shown()
    }
}
