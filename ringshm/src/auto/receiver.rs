//! The side that is found.

use super::search::place_in;
use super::{Plan, Way};
use crate::handover::{Handover, Offer};
use crate::{Interest, Ready, RecordConsumer, WaitSet, spsc};
use ringshm_core::error::{Fault, OpenError, RecvTimeoutError, TryRecvError};
use ringshm_core::{Awaited, Batch, Capabilities, Channel, Deadline, OnDeath, Peer, Receiver};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How often a receiver whose sender says nothing asks whether it is alive.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) struct AutoReceiver {
    plan: Plan,
    places: WaitSet,
    ring: Option<crate::Key<RecordConsumer>>,
    handed: Option<Handed>,
    sockets: Vec<Socket>,
    chosen: Option<Chosen>,
    is_over: bool,
}

/// A ring for whoever asks for it.
struct Handed {
    memfd: OwnedFd,
    key: crate::Key<RecordConsumer>,
    offers: Vec<(String, crate::Key<Offer>)>,
    /// Where it was handed over last.
    taken_at: String,
}

/// A socket that listens.
struct Socket {
    way: Way,
    name: String,
    key: crate::Key<Box<dyn Receiver>>,
}

struct Chosen {
    way: Way,
    /// Of a socket, which.
    index: usize,
    why: String,
}

impl AutoReceiver {
    pub(crate) fn new(plan: Plan) -> Result<Self, OpenError> {
        let mut receiver = Self {
            plan,
            places: WaitSet::new(),
            ring: None,
            handed: None,
            sockets: Vec::new(),
            chosen: None,
            is_over: false,
        };
        let ways: Vec<_> = receiver.plan.ways().collect();
        for way in ways {
            match way {
                Way::Ring => receiver.open_ring()?,
                Way::HandedRing => receiver.offer_ring()?,
                Way::Unix => {
                    for name in receiver.plan.streams() {
                        receiver.open_socket(way, name)?;
                    }
                }
                Way::Tcp => {
                    if let Some(name) = receiver.plan.tcp() {
                        receiver.open_socket(way, name)?;
                    }
                }
            }
        }
        Ok(receiver)
    }

    /// The ring. It never ends by itself: whether its sender is alive is asked for when it has been chosen.
    fn open_ring(&mut self) -> Result<(), OpenError> {
        let Plan { name, directory, capacity, .. } = &self.plan;
        let builder = spsc::<[u8]>(name.as_str()).directory(directory.path()).capacity(*capacity);
        let consumer = builder.on_death(OnDeath::AwaitSuccessor).consumer()?;
        self.ring = Some(self.places.add(consumer));
        Ok(())
    }

    /// A ring without a name, at two places for who cannot have the other one.
    fn offer_ring(&mut self) -> Result<(), OpenError> {
        let memfd = self.new_memfd()?;
        let key = self.join_memfd(&memfd)?;
        let mut offers = Vec::new();
        for place in self.plan.places("ring") {
            let offer = Handover::new(&place).offer()?;
            let waiting = |source| OpenError::Os { step: "waiting for a socket (epoll)", source };
            offers.push((place, self.places.add_fd(offer, Interest::Readable).map_err(waiting)?));
        }
        self.handed = Some(Handed { memfd, key, offers, taken_at: String::new() });
        Ok(())
    }

    fn new_memfd(&self) -> Result<OwnedFd, OpenError> {
        spsc::<[u8]>(self.plan.name.as_str()).capacity(self.plan.capacity).memfd()
    }

    fn join_memfd(&mut self, memfd: &OwnedFd) -> Result<crate::Key<RecordConsumer>, OpenError> {
        let consumer = spsc::<[u8]>("").on_death(OnDeath::AwaitSuccessor).consumer_of(memfd)?;
        Ok(self.places.add(consumer))
    }

    /// Another ring in place of one that is over, at the same places.
    fn renew_ring(&mut self) -> Result<(), OpenError> {
        let memfd = self.new_memfd()?;
        let key = self.join_memfd(&memfd)?;
        if let Some(handed) = &mut self.handed {
            drop(self.places.remove(handed.key));
            (handed.memfd, handed.key) = (memfd, key);
        }
        Ok(())
    }

    /// Hands the ring to who has come, if anybody `ready` has.
    fn hand_over(&mut self, ready: &Ready) {
        let Some(handed) = &mut self.handed else { return };
        for (place, key) in &handed.offers {
            if ready.contains(*key) {
                // Whoever came in vain comes again, or somewhere else.
                if self.places[*key].give_memfd_by(&handed.memfd, Deadline::after(LOOK)).is_ok() {
                    handed.taken_at.clone_from(place);
                }
            }
        }
    }

    fn open_socket(&mut self, way: Way, name: String) -> Result<(), OpenError> {
        let receiver = crate::open(&name).receiver()?;
        let waiting = |source| OpenError::Os { step: "waiting for a socket (epoll)", source };
        let key = self.places.add_channel(receiver).map_err(waiting)?;
        self.sockets.push(Socket { way, name, key });
        Ok(())
    }

    /// Leaves the ring, and takes it away if it was there in vain: no sender ever came, and whoever comes is to see that nobody is here.
    fn leave_ring(&mut self, leave: impl FnOnce(RecordConsumer)) {
        let Some(consumer) = self.ring.take().and_then(|key| self.places.remove(key)) else { return };
        let was_in_vain = consumer.peer() == Peer::Vacant;
        leave(consumer);
        if was_in_vain {
            // It fails if somebody has come meanwhile: then it is theirs.
            let _ = crate::remove(&self.plan.directory, self.plan.name.as_str(), false);
        }
    }

    /// The ring of that way, if it is one.
    fn ring_of(&self, way: Way) -> Option<crate::Key<RecordConsumer>> {
        match way {
            Way::Ring => self.ring,
            Way::HandedRing => self.handed.as_ref().map(|handed| handed.key),
            Way::Unix | Way::Tcp => None,
        }
    }

    /// Receives from the place that was chosen.
    fn recv_chosen(&mut self, recv: &mut Recv<'_>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        let Some(Chosen { way, index, .. }) = self.chosen else { return Err(RecvTimeoutError::Timeout) };
        let Some(key) = self.ring_of(way) else {
            let key = self.sockets[index].key;
            return recv(&mut *self.places[key], deadline);
        };
        let consumer = &mut self.places[key];
        loop {
            match recv(consumer, deadline.at_most(LOOK)) {
                Err(RecvTimeoutError::Timeout) => {
                    let is_gone = matches!(consumer.peer(), Peer::Dead { .. } | Peer::Closed);
                    // What it sent before it died is seen by a look after its death.
                    if is_gone && consumer.is_empty() {
                        return Err(RecvTimeoutError::Disconnected);
                    }
                    if deadline.is_over() {
                        return Err(RecvTimeoutError::Timeout);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// The place that was chosen is over: it is opened anew, if somebody else may come.
    fn lose(&mut self) -> Result<(), RecvTimeoutError> {
        let Some(Chosen { way, index, .. }) = self.chosen.take() else { return Ok(()) };
        if !self.plan.awaits() {
            self.is_over = true;
            return Err(RecvTimeoutError::Disconnected);
        }
        let reopened = match way {
            Way::Ring => {
                drop(self.ring.take().and_then(|key| self.places.remove(key)));
                self.open_ring()
            }
            Way::HandedRing => self.renew_ring(),
            Way::Unix | Way::Tcp => self.reopen_socket(index),
        };
        reopened.map_err(unusable)
    }

    fn reopen_socket(&mut self, index: usize) -> Result<(), OpenError> {
        let Socket { way, name, key } = self.sockets.remove(index);
        drop(self.places.remove(key));
        self.open_socket(way, name)
    }

    /// Looks at every place, and chooses the one from which something comes. `Timeout`: there is none.
    fn choose(&mut self, recv: &mut Recv<'_>) -> Result<usize, RecvTimeoutError> {
        let now = Deadline::after(Duration::ZERO);
        for way in [Way::Ring, Way::HandedRing] {
            let Some(key) = self.ring_of(way) else { continue };
            match recv(&mut self.places[key], now) {
                Err(RecvTimeoutError::Timeout) => {}
                // Its sender came, said nothing, and left.
                Err(RecvTimeoutError::Disconnected) => self.pass(way, 0)?,
                received => {
                    let place = match &self.handed {
                        Some(handed) if way == Way::HandedRing => {
                            format!("a ring that was handed over at {}", handed.taken_at)
                        }
                        _ => self.plan.ring(),
                    };
                    let sender = match self.places[key].peer() {
                        Peer::Live { pid } => format!(", into which process {pid} sends"),
                        _ => String::new(),
                    };
                    self.chosen = Some(Chosen { way, index: 0, why: format!("shared memory: {place}{sender}") });
                    return received;
                }
            }
        }
        for index in 0..self.sockets.len() {
            let Socket { way, name, key } = &self.sockets[index];
            match recv(&mut *self.places[*key], now) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let way = *way;
                    self.pass(way, index)?;
                    // Those behind it have moved up: they are looked at next time.
                    break;
                }
                Err(RecvTimeoutError::Rejected(rejection)) => return Err(RecvTimeoutError::Rejected(rejection)),
                received => {
                    let why = format!("{}, which the sender chose", place_in(name));
                    self.chosen = Some(Chosen { way: *way, index, why });
                    return received;
                }
            }
        }
        Err(RecvTimeoutError::Timeout)
    }

    /// A place is over before anything came through it.
    fn pass(&mut self, way: Way, index: usize) -> Result<(), RecvTimeoutError> {
        self.chosen = Some(Chosen { way, index, why: String::new() });
        self.lose()
    }

    /// Receives by `recv` from whichever place has something.
    fn recv_with(&mut self, recv: &mut Recv<'_>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        loop {
            if self.is_over {
                return Err(RecvTimeoutError::Disconnected);
            }
            if self.chosen.is_some() {
                match self.recv_chosen(recv, deadline) {
                    Err(RecvTimeoutError::Disconnected) => self.lose()?,
                    outcome => return outcome,
                }
            }
            match self.choose(recv) {
                Err(RecvTimeoutError::Timeout) => {}
                outcome => return outcome,
            }
            let is_over = deadline.is_over();
            let waited = match deadline.remaining() {
                Some(left) => self.places.wait_timeout(left),
                None => self.places.wait(),
            };
            let ready = waited.map_err(|error| {
                let errno = error.raw_os_error().unwrap_or(0);
                RecvTimeoutError::Fault(Fault::Os { step: "waiting for a sender of an auto channel", errno })
            })?;
            self.hand_over(&ready);
            if is_over {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }
}

/// What is done with the place that has something.
type Recv<'a> = dyn FnMut(&mut dyn Receiver, Deadline) -> Result<usize, RecvTimeoutError> + 'a;

/// A place could not be opened anew.
fn unusable(error: OpenError) -> RecvTimeoutError {
    let errno = match &error {
        OpenError::Os { source, .. } => source.raw_os_error(),
        // Somebody else has taken it meanwhile.
        _ => None,
    };
    let errno = errno.unwrap_or(rustix::io::Errno::BUSY.raw_os_error());
    RecvTimeoutError::Fault(Fault::Os { step: "waiting for the next sender of an auto channel", errno })
}

impl Channel for AutoReceiver {
    fn capabilities(&self) -> Capabilities {
        self.plan.capabilities()
    }

    fn awaited(&self) -> Awaited<'_> {
        Awaited::Nothing
    }

    fn carried_by(&self) -> Option<&str> {
        self.chosen.as_ref().map(|chosen| chosen.why.as_str())
    }

    fn detach(mut self: Box<Self>) {
        self.leave_ring(RecordConsumer::detach);
        for socket in self.sockets.drain(..) {
            if let Some(receiver) = self.places.remove(socket.key) {
                receiver.detach();
            }
        }
    }
}

impl Drop for AutoReceiver {
    fn drop(&mut self) {
        self.leave_ring(drop);
    }
}

impl Receiver for AutoReceiver {
    fn try_recv(&mut self, into: &mut Vec<u8>) -> Result<usize, TryRecvError> {
        match self.recv_by(into, Deadline::after(Duration::ZERO)) {
            Ok(len) => Ok(len),
            Err(RecvTimeoutError::Timeout) => Err(TryRecvError::Empty),
            Err(RecvTimeoutError::Stalled(stall)) => Err(TryRecvError::Stalled(stall)),
            Err(RecvTimeoutError::Lagged(count)) => Err(TryRecvError::Lagged(count)),
            Err(RecvTimeoutError::Evicted) => Err(TryRecvError::Evicted),
            Err(RecvTimeoutError::TooManyHeld { most }) => Err(TryRecvError::TooManyHeld { most }),
            Err(RecvTimeoutError::Disconnected) => Err(TryRecvError::Disconnected),
            Err(RecvTimeoutError::Rejected(rejection)) => Err(TryRecvError::Rejected(rejection)),
            Err(RecvTimeoutError::Fault(fault)) => Err(TryRecvError::Fault(fault)),
        }
    }

    fn recv_by(&mut self, into: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.recv_with(&mut |place, deadline| place.recv_by(into, deadline), deadline)
    }

    fn recv_batch_by(&mut self, batch: &mut Batch, most: usize, deadline: Deadline) -> Result<usize, RecvTimeoutError> {
        self.recv_with(&mut |place, deadline| place.recv_batch_by(batch, most, deadline), deadline)
    }

    fn position(&self) -> Option<u64> {
        let chosen = self.chosen.as_ref()?;
        match self.ring_of(chosen.way) {
            Some(key) => self.places.get(key).and_then(Receiver::position),
            None => self.places.get(self.sockets[chosen.index].key).and_then(|receiver| receiver.position()),
        }
    }
}
