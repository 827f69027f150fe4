//! Several messages by one call: staged one behind the other, as far as the stream or a packet has room for them; or, for foreign programs, as packets of
//! their own.

use super::SocketSender;
use crate::framing::{Framing, HEADER};
use crate::link::{Halt, Patience, Unsent};
use crate::outlet::TOGETHER;

impl SocketSender {
    /// Sends the first of some messages, or several together, and says how many, even if it fails behind them.
    pub(super) fn send_some(&mut self, messages: &[&[u8]], sent: &mut usize) -> Result<(), Unsent> {
        let Some(first) = messages.first() else { return Ok(()) };
        self.form.check(first)?;
        let is_bare = self.form.framing == Framing::Bare;
        if is_bare && !self.door.listens() {
            return self.send_packets(messages, sent);
        }
        if is_bare || !self.stage_together(messages) {
            self.send_one(first, Patience::ENDLESS)?;
            *sent += 1;
            return Ok(());
        }
        let staged = core::mem::take(&mut self.staged);
        let outcome = self.spread_together(&staged, sent);
        self.staged = staged;
        outcome
    }

    fn spread_together(&mut self, staged: &[u8], sent: &mut usize) -> Result<(), Unsent> {
        if self.door.listens() {
            self.spread(&[staged], Patience::ENDLESS)?;
            self.number += self.ends.len() as u64;
            *sent += self.ends.len();
            return Ok(());
        }
        self.prepare(Patience::ENDLESS)?;
        let Some(Some(link)) = self.links.first_mut() else { return Ok(()) };
        let mut taken = 0;
        let outcome = link.post.post(&[staged], Patience::ENDLESS, &mut taken);
        // Of a receiver that is gone: what it had got whole it had got, as far as anybody knows.
        let whole = self.ends.iter().take_while(|end| **end <= taken).count();
        self.number += whole as u64;
        *sent += whole;
        self.after(outcome.map(drop))
    }

    /// For foreign programs, to which a packet is a message.
    fn send_packets(&mut self, messages: &[&[u8]], sent: &mut usize) -> Result<(), Unsent> {
        self.prepare(Patience::ENDLESS)?;
        let Some(Some(link)) = self.links.first_mut() else { return Ok(()) };
        let form = &self.form;
        let sendable = messages.iter().take(TOGETHER / HEADER).take_while(|message| form.check(message).is_ok());
        let headers: Vec<_> = (self.number..)
            .zip(sendable)
            .map(|(number, message)| (form.header(message.len(), number), message))
            .collect();
        let packets = headers.iter().map(|((header, prefix), message)| [&header[..*prefix], **message]);
        let mut posted = 0;
        let outcome = link.post.post_packets(packets, &mut posted);
        self.number += posted as u64;
        *sent += posted;
        self.after(outcome)
    }

    /// What is to be said of the end of a connection: nothing if a successor is awaited.
    fn after(&mut self, outcome: Result<(), Halt>) -> Result<(), Unsent> {
        match outcome {
            Err(Halt::Disconnected) => {
                self.disconnect(0);
                if self.is_over() { Err(Halt::Disconnected.into()) } else { Ok(()) }
            }
            outcome => Ok(outcome?),
        }
    }

    /// Stages the first messages, as many as go together: in one packet, too, of which the receiver cuts them. `false`: the first goes alone.
    fn stage_together(&mut self, messages: &[&[u8]]) -> bool {
        self.staged.clear();
        self.ends.clear();
        for (number, message) in (self.number..).zip(messages) {
            let end = self.staged.len() + self.form.framing.overhead() + message.len();
            if end > self.together || self.form.check(message).is_err() {
                break;
            }
            self.form.stage(message, number, &mut self.staged);
            self.ends.push(self.staged.len());
        }
        self.ends.len() >= 2
    }
}
