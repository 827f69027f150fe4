//! The side that looks for the other one.

use super::Plan;
use super::search::{Carrier, Search, successor};
use ringshm_core::error::{SendError, SendSliceError, SendTimeoutError, TrySendError};
use ringshm_core::{Awaited, Capabilities, Channel, Deadline, Peer, Sender};
use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

/// How often a sender asks whether its receiver is alive: a ring has room, whoever is there.
const LOOK: Duration = Duration::from_millis(1);

pub(crate) struct AutoSender {
    plan: Plan,
    chosen: Option<Chosen>,
    search: Search,
    /// What a receiver left in its ring when it died: it goes before anything new.
    rescued: VecDeque<Vec<u8>>,
    /// When the receiver was last asked for.
    asked: Deadline,
    is_over: bool,
}

struct Chosen {
    carrier: Carrier,
    why: String,
}

impl AutoSender {
    pub(crate) fn new(plan: Plan) -> Self {
        let (search, asked) = (Search::new(), Deadline::after(Duration::ZERO));
        Self { plan, chosen: None, search, rescued: VecDeque::new(), asked, is_over: false }
    }

    /// What carries the channel, if it was found and its receiver is alive as far as is known.
    fn carrier(&mut self) -> Option<&mut Carrier> {
        if let Some(Chosen { carrier: Carrier::Ring { producer, .. }, .. }) = &self.chosen
            && self.asked.is_over()
        {
            self.asked = Deadline::after(LOOK);
            if matches!(producer.peer(), Peer::Dead { .. }) && !self.lose() {
                return None;
            }
        }
        self.chosen.as_mut().map(|chosen| &mut chosen.carrier)
    }

    /// What carried it is over. Whether somebody else may come: then what was not received is sent again.
    fn lose(&mut self) -> bool {
        let chosen = self.chosen.take();
        self.is_over = !self.plan.awaits();
        if self.is_over {
            return false;
        }
        if let Some(Chosen { carrier: Carrier::Ring { producer, lies }, why }) = chosen {
            match successor(&self.plan, &lies) {
                Some(mut consumer) => {
                    let mut message = Vec::new();
                    let mut left = VecDeque::new();
                    while consumer.try_recv(&mut message).is_ok() {
                        left.push_back(message.clone());
                    }
                    left.append(&mut self.rescued);
                    self.rescued = left;
                }
                // Somebody has come to the same place.
                None if matches!(producer.peer(), Peer::Live { .. }) => {
                    self.chosen = Some(Chosen { carrier: Carrier::Ring { producer, lies }, why });
                }
                None => {}
            }
        }
        true
    }

    /// Sends a message that is next. `Full` after a loss, too: then something else may be next.
    fn try_one(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        let over = |sender: &Self| if sender.is_over { TrySendError::Disconnected(()) } else { TrySendError::Full(()) };
        if self.chosen.is_some() {
            let Some(carrier) = self.carrier() else { return Err(over(self)) };
            let sent = carrier.sender().try_send(message);
            if sent == Err(TrySendError::Disconnected(())) {
                self.lose();
                return Err(over(self));
            }
            return sent;
        }
        if self.is_over {
            return Err(TrySendError::Disconnected(()));
        }
        let found = self.search.look(&self.plan, message).ok_or(TrySendError::Full(()))?;
        let (mut carrier, why) = (found.carrier, found.why);
        let sent = found.sent.unwrap_or_else(|| carrier.sender().try_send(message));
        self.chosen = Some(Chosen { carrier, why });
        // It has just gone: the next call looks again.
        if sent == Err(TrySendError::Disconnected(())) { Err(TrySendError::Full(())) } else { sent }
    }

    /// Sends again what was rescued.
    fn try_rescued(&mut self) -> Result<(), TrySendError<()>> {
        while let Some(first) = self.rescued.front().cloned() {
            self.try_one(&first)?;
            // Nothing was rescued meanwhile, so it is still the first.
            self.rescued.pop_front();
        }
        Ok(())
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
            chosen.carrier.into_sender().detach();
        }
    }
}

impl Sender for AutoSender {
    fn try_send(&mut self, message: &[u8]) -> Result<(), TrySendError<()>> {
        let max = self.capabilities().longest.bytes;
        if message.len() > max {
            return Err(TrySendError::TooLarge { len: message.len(), max });
        }
        self.try_rescued()?;
        self.try_one(message)
    }

    fn send_by(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendTimeoutError<()>> {
        loop {
            match self.try_send(message).map_err(TrySendError::into_lasting) {
                Ok(()) => return Ok(()),
                Err(Some(error)) => return Err(error),
                Err(None) => {}
            }
            let is_next = self.rescued.is_empty();
            if let Some(carrier) = self.carrier().filter(|_| is_next) {
                match carrier.sender().send_by(message, deadline) {
                    Err(SendTimeoutError::Disconnected(())) if self.lose() => continue,
                    sent => return sent,
                }
            }
            if self.is_over {
                return Err(SendTimeoutError::Disconnected(()));
            }
            if deadline.is_over() {
                return Err(SendTimeoutError::Timeout(()));
            }
            let left = deadline.remaining().unwrap_or(Duration::MAX);
            thread::sleep(self.search.pause().max(LOOK).min(left));
        }
    }

    fn send_slice(&mut self, messages: &[&[u8]]) -> Result<(), SendSliceError> {
        let mut sent = 0;
        while let Some(next) = messages.get(sent) {
            let rest = &messages[sent..];
            let is_next = self.rescued.is_empty();
            let outcome = match self.carrier() {
                Some(carrier) if is_next => carrier.sender().send_slice(rest).map(|()| rest.len()),
                _ => self.send(next).map(|()| 1).map_err(|cause| SendSliceError { sent: 0, cause }),
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
