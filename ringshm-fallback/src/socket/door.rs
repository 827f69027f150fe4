//! How connections come to be: by listening, or by connecting until somebody listens.

use super::settings::{Settings, Side};
use super::site::{Bound, Refusal, Site, Tuning};
use super::watch::{DOOR, EventFlags, Watch};
use crate::unix::Peer;
use core::hash::{BuildHasher as _, Hasher as _};
use core::time::Duration;
use ringshm_core::error::{OpenError, Rejection};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{SocketFlags, accept_with, getsockname};
use std::collections::hash_map::RandomState;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// The first pause between two attempts to connect.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How long one address may take to answer, before the next is tried.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long nobody is accepted after the descriptors have run out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// What came of a look at the door.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A connection.
    Connection(OwnedFd, Option<Peer>),
    /// Somebody who was turned away, or could not be let in.
    Rejected(Rejection),
    /// Nobody, for now.
    Nobody,
}

/// Where connections come from.
#[derive(Debug)]
pub(crate) enum Door {
    Listens(Listener),
    Dials(Dialer),
}

impl Door {
    /// Begins to listen, or to connect, whatever `side` is to do.
    pub(crate) fn open(settings: &Settings, side: Side, watch: &Watch) -> Result<(Self, Arrival), OpenError> {
        let Settings { site, tuning, listens, .. } = settings;
        if *listens == side {
            let role = if side == Side::Receiver { "receiver" } else { "sender" };
            return Ok((Self::Listens(Listener::new(site, *tuning, role, watch)?), Arrival::Nobody));
        }
        let mut dialer = Dialer::new(site.clone(), *tuning);
        let arrival = dialer.begin(watch)?;
        Ok((Self::Dials(dialer), arrival))
    }

    pub(crate) fn listens(&self) -> bool {
        matches!(self, Self::Listens(_))
    }

    /// Who has come. Never waits.
    pub(crate) fn arrival(&mut self, watch: &Watch) -> Arrival {
        match self {
            Self::Listens(listener) => listener.accept(watch),
            Self::Dials(dialer) => dialer.dial(watch),
        }
    }

    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Listens(listener) => getsockname(&listener.bound.socket).ok()?.try_into().ok(),
            Self::Dials(_) => None,
        }
    }
}

/// A socket that is listened on.
#[derive(Debug)]
pub(crate) struct Listener {
    bound: Bound,
    tuning: Tuning,
    /// Nobody is accepted before, because there were no descriptors.
    closed_until: Option<Instant>,
    /// Whether that was said already, since somebody was accepted last.
    complained: bool,
}

impl Listener {
    /// `role` is what listens, for who finds that somebody does already.
    pub(crate) fn new(site: &Site, tuning: Tuning, role: &'static str, watch: &Watch) -> Result<Self, OpenError> {
        let bound = site.listen(&tuning, role)?;
        watch
            .add(&bound.socket, DOOR, EventFlags::IN)
            .map_err(|errno| OpenError::Os { step: "watching a socket (epoll_ctl)", source: errno.into() })?;
        Ok(Self { bound, tuning, closed_until: None, complained: false })
    }

    /// Accepts who has come first.
    pub(crate) fn accept(&mut self, watch: &Watch) -> Arrival {
        if let Some(until) = self.closed_until {
            if Instant::now() < until {
                return Arrival::Nobody;
            }
            self.closed_until = None;
            watch.let_sleep();
            watch.change(&self.bound.socket, DOOR, EventFlags::IN);
        }
        loop {
            let refusal = match accept_with(&self.bound.socket, SocketFlags::CLOEXEC) {
                Ok(socket) => match self.tuning.welcome(&socket) {
                    Ok(peer) => {
                        self.complained = false;
                        return Arrival::Connection(socket, peer);
                    }
                    Err(Refusal::Stranger(rejection)) => return Arrival::Rejected(rejection),
                    // It is gone already.
                    Err(Refusal::Failed | Refusal::Open(_)) => continue,
                },
                Err(refusal) => refusal,
            };
            match refusal {
                Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => return self.close_for_now(watch),
                Errno::AGAIN | Errno::INVAL | Errno::BADF | Errno::NOTSOCK | Errno::OPNOTSUPP => {
                    return Arrival::Nobody;
                }
                // Errors of the one who came, who is gone; and interruptions.
                _ => {}
            }
        }
    }

    /// Without descriptors nobody can be accepted, and the listening socket stays readable: it is looked at again after a pause, and those who
    /// came wait in the kernel, with all that they have sent.
    #[cold]
    fn close_for_now(&mut self, watch: &Watch) -> Arrival {
        self.closed_until = Some(Instant::now() + EXHAUSTED_PAUSE);
        watch.change(&self.bound.socket, DOOR, EventFlags::empty());
        watch.wake_after(EXHAUSTED_PAUSE);
        if core::mem::replace(&mut self.complained, true) {
            return Arrival::Nobody;
        }
        Arrival::Rejected(Rejection::new(
            "this process, or the machine, has no descriptor left to accept its connection with, which waits until there is one: raise the limit (ulimit -n), or close others",
        ))
    }
}

/// Connects, again and again, until somebody listens.
#[derive(Debug)]
pub(crate) struct Dialer {
    site: Site,
    tuning: Tuning,
    state: Dialling,
    pause: Duration,
}

#[derive(Debug)]
enum Dialling {
    /// Nothing is under way before that moment.
    Resting(Option<Instant>),
    /// The address of that index has not answered yet.
    Calling { socket: OwnedFd, index: usize, until: Instant },
}

impl Dialer {
    pub(crate) fn new(site: Site, tuning: Tuning) -> Self {
        Self { site, tuning, state: Dialling::Resting(None), pause: SHORTEST_PAUSE }
    }

    /// The first attempt: says what no further one would cure.
    pub(crate) fn begin(&mut self, watch: &Watch) -> Result<Arrival, OpenError> {
        match self.advance(watch) {
            Ok(arrival) => Ok(arrival),
            Err(Refusal::Open(error)) => Err(error),
            Err(Refusal::Stranger(Rejection { reason, pid, .. })) => {
                let who = pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
                let reason = format!("{who} listens there, and {reason}");
                Err(OpenError::Permission { path: self.site.to_string().into(), reason })
            }
            Err(Refusal::Failed) => Ok(Arrival::Nobody),
        }
    }

    /// Goes on with connecting, as far as it goes without waiting. The watch is ready when there is something to go on with.
    pub(crate) fn dial(&mut self, watch: &Watch) -> Arrival {
        match self.advance(watch) {
            Ok(arrival) => arrival,
            Err(Refusal::Stranger(rejection)) => Arrival::Rejected(rejection),
            Err(Refusal::Failed | Refusal::Open(_)) => Arrival::Nobody,
        }
    }

    /// If there is nobody for now, the next attempt is set up.
    fn advance(&mut self, watch: &Watch) -> Result<Arrival, Refusal> {
        let (mut index, mut outcome) = match &self.state {
            Dialling::Resting(Some(until)) if Instant::now() < *until => return Ok(Arrival::Nobody),
            Dialling::Resting(_) => (0, self.call(0, watch)),
            Dialling::Calling { index, .. } => (*index, self.answer(watch)),
        };
        loop {
            let refusal = match outcome {
                Ok(None) => return Ok(Arrival::Nobody),
                Ok(Some(socket)) => match self.tuning.welcome(&socket) {
                    Ok(peer) => {
                        self.state = Dialling::Resting(None);
                        self.pause = SHORTEST_PAUSE;
                        watch.let_sleep();
                        return Ok(Arrival::Connection(socket, peer));
                    }
                    Err(refusal) => refusal,
                },
                Err(refusal) => refusal,
            };
            index += 1;
            if index >= self.site.addresses() {
                if matches!(refusal, Refusal::Stranger(_)) {
                    self.pause = LONGEST_PAUSE;
                }
                self.rest(watch);
                return Err(refusal);
            }
            outcome = self.call(index, watch);
        }
    }

    /// Begins to connect to an address. `None`: it has not answered yet.
    fn call(&mut self, index: usize, watch: &Watch) -> Result<Option<OwnedFd>, Refusal> {
        let (socket, answered) = self.site.connect(index, &self.tuning)?;
        if answered {
            return Ok(Some(socket));
        }
        watch.add(&socket, DOOR, EventFlags::OUT)?;
        watch.wake_after(ATTEMPT);
        self.state = Dialling::Calling { socket, index, until: Instant::now() + ATTEMPT };
        Ok(None)
    }

    /// Whether the address that was called has answered.
    fn answer(&mut self, watch: &Watch) -> Result<Option<OwnedFd>, Refusal> {
        let Dialling::Calling { socket, until, .. } = &self.state else { return Ok(None) };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let answered = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&now)).unwrap_or(0) > 0;
        if !answered && Instant::now() < *until {
            return Ok(None);
        }
        watch.remove(socket);
        let outcome = if answered { socket_error(socket).and_then(|outcome| outcome) } else { Err(Errno::TIMEDOUT) };
        match core::mem::replace(&mut self.state, Dialling::Resting(None)) {
            Dialling::Calling { socket, .. } => Ok(outcome.map(|()| Some(socket))?),
            Dialling::Resting(_) => Ok(None),
        }
    }

    /// Tries again after a pause: between half of it and the whole, so that those who lost the same peer do not all come back at once.
    fn rest(&mut self, watch: &Watch) {
        let half = self.pause / 2;
        let pause = half + half.mul_f64(random());
        self.state = Dialling::Resting(Some(Instant::now() + pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        watch.wake_after(pause);
    }
}

/// A number from 0 to 1. Each `RandomState` has keys of its own.
fn random() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}
