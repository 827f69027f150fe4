//! The side that looks for the other one.

use super::{Plan, Way};
use crate::{inspect, spsc};
use ringshm_core::error::{OpenError, SendError, SendSliceError, SendTimeoutError, TrySendError};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Peer, Role, Sender};
use std::thread;
use std::time::Duration;

/// Between two looks at all places: doubled after each in vain.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct AutoSender {
    plan: Plan,
    chosen: Option<Chosen>,
    /// Sockets that have found nobody yet: they go on trying whenever they are asked.
    open: Vec<(Way, String, Box<dyn Sender>)>,
    pause: Duration,
    next: Deadline,
    is_over: bool,
}

struct Chosen {
    sender: Box<dyn Sender>,
    /// By what, and why not by something better.
    why: String,
}

impl AutoSender {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            chosen: None,
            open: Vec::new(),
            pause: FIRST_PAUSE,
            next: Deadline::after(Duration::ZERO),
            is_over: false,
        }
    }

    /// Looks at all places, if it is time to, and sends the message to the first that has somebody. `None`: there is none.
    fn choose(&mut self, message: &[u8]) -> Option<Result<(), TrySendError<()>>> {
        if !self.next.is_over() {
            return None;
        }
        let mut worse = Vec::new();
        let ways: Vec<_> = self.plan.ways().collect();
        for way in ways {
            let found = match way {
                Way::Ring => self.ring().map(|sender| (sender, None)),
                Way::HandedRing => self.handed_ring().map(|sender| (sender, None)),
                Way::Unix | Way::Tcp => self.connected(way, message).map(|(sender, sent)| (sender, Some(sent))),
            };
            match found {
                Ok((found, sent)) => {
                    let (mut sender, carrier) = found;
                    let why = worse.iter().fold(carrier, |why, reason| format!("{why}; {reason}"));
                    let sent = sent.unwrap_or_else(|| sender.try_send(message));
                    self.chosen = Some(Chosen { sender, why });
                    self.open.clear();
                    self.pause = FIRST_PAUSE;
                    return Some(sent);
                }
                Err(reason) => worse.push(reason),
            }
        }
        self.next = Deadline::after(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        None
    }

    /// The ring of that name, if somebody alive receives from it: so it is the same memory.
    fn ring(&self) -> Result<(Box<dyn Sender>, String), String> {
        let Plan { name, directory, .. } = &self.plan;
        let place = self.plan.ring();
        let ring = match inspect(directory, name.as_str()) {
            Ok(ring) => ring,
            Err(OpenError::NotFound { .. }) => return Err(format!("no ring is at {place} here")),
            Err(error) => return Err(error.to_string()),
        };
        let receiver = ring.participants_of(Role::Consumer).find_map(|participant| match participant.state {
            Peer::Live { pid } => Some(pid),
            _ => None,
        });
        let Some(pid) = receiver else { return Err(format!("no live receiver is in {place} here")) };
        let builder = spsc::<[u8]>(name.as_str()).directory(directory.path()).capacity(self.plan.capacity);
        let producer = builder.existence(crate::Existence::MustExist).producer().map_err(|error| error.to_string())?;
        Ok((Box::new(producer), format!("shared memory: {place}, in which process {pid} receives")))
    }

    /// The ring that a receiver hands over.
    fn handed_ring(&self) -> Result<(Box<dyn Sender>, String), String> {
        Err("no socket hands over a ring".to_owned())
    }

    /// A socket on the other end of which somebody is, to whom the message was sent.
    #[expect(clippy::type_complexity, reason = "what was found, and what became of the message")]
    fn connected(
        &mut self,
        way: Way,
        message: &[u8],
    ) -> Result<((Box<dyn Sender>, String), Result<(), TrySendError<()>>), String> {
        let names = if way == Way::Tcp { self.plan.tcp().into_iter().collect() } else { self.plan.streams() };
        let mut reason = String::new();
        for name in names {
            let at = match self.open.iter().position(|(_, other, _)| *other == name) {
                Some(at) => at,
                None => match crate::open(&name).sender() {
                    Ok(sender) => {
                        self.open.push((way, name.clone(), sender));
                        self.open.len() - 1
                    }
                    Err(error) => {
                        reason = error.to_string();
                        continue;
                    }
                },
            };
            let place = name.split_once('?').map_or(name.as_str(), |(place, _)| place).to_owned();
            match self.open[at].2.try_send(message) {
                Err(TrySendError::Full(()) | TrySendError::Stalled(..)) => {
                    reason = format!("nobody accepts at {place}")
                }
                Err(TrySendError::Disconnected(())) => {
                    self.open.remove(at);
                    reason = format!("nobody stays at {place}");
                }
                sent => {
                    let (_, _, sender) = self.open.remove(at);
                    return Ok(((sender, place), sent));
                }
            }
        }
        Err(reason)
    }

    /// What carried it is over. Whether somebody else may come.
    fn lose(&mut self) -> bool {
        self.chosen = None;
        self.is_over = !self.plan.awaits();
        !self.is_over
    }
}

impl Channel for AutoSender {
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
        if let Some(chosen) = self.chosen.take() {
            chosen.sender.detach();
        }
    }
}

impl Sender for AutoSender {
    fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        let max = self.capabilities().longest.bytes;
        if message.len() > max {
            return Err(TrySendError::TooLarge { len: message.len(), max });
        }
        if self.is_over {
            return Err(TrySendError::Disconnected(()));
        }
        if let Some(chosen) = &mut self.chosen {
            match chosen.sender.try_send(message) {
                Err(TrySendError::Disconnected(())) => {
                    if !self.lose() {
                        return Err(TrySendError::Disconnected(()));
                    }
                }
                sent => return sent,
            }
        }
        match self.choose(message) {
            // It has just gone: the next call looks again.
            Some(Err(TrySendError::Disconnected(()))) if self.lose() => Err(TrySendError::Full(())),
            Some(sent) => sent,
            None => Err(TrySendError::Full(())),
        }
    }

    fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        loop {
            if let Err(error) = self.try_send(message) {
                if let Some(error) = error.into_lasting() {
                    return Err(error);
                }
            } else {
                return Ok(());
            }
            if let Some(chosen) = &mut self.chosen {
                match chosen.sender.send_by(message, deadline) {
                    Err(SendTimeoutError::Disconnected(())) if self.lose() => {}
                    sent => return sent,
                }
            } else if deadline.is_over() {
                return Err(SendTimeoutError::Timeout(()));
            } else {
                let left = deadline.remaining().unwrap_or(Duration::MAX);
                thread::sleep(self.next.remaining().unwrap_or(Duration::ZERO).min(left));
            }
        }
    }

    fn send_slice(&mut self, messages: &[&[u8]]) -> Result<(), SendSliceError> {
        let mut sent = 0;
        while let Some(next) = messages.get(sent) {
            let rest = &messages[sent..];
            let outcome = match &mut self.chosen {
                Some(chosen) => chosen.sender.send_slice(rest).map(|()| rest.len()),
                None => self.send(next).map(|()| 1).map_err(|cause| SendSliceError { sent: 0, cause }),
            };
            match outcome {
                Ok(count) => sent += count,
                Err(SendSliceError { sent: count, cause }) => {
                    sent += count;
                    if cause != SendError::Disconnected(()) || !self.lose() {
                        return Err(SendSliceError { sent, cause });
                    }
                }
            }
        }
        Ok(())
    }
}
