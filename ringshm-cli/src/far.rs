//! A side of a channel that is no ring, or one that its name describes.

use crate::failure::Failure;
use crate::sink::{Sink, Stopped};
use crate::source::{Ending, Outlet, Source, Step, Tally, WRITE};
use ringshm::{Awaited, Batch, Capabilities, Channel, Deadline, Directory, Receiver, RecvTimeoutError, Sender};
use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

/// Messages that are received at once, at most: what was received from such a channel is gone from it.
const MOST: usize = 64;

/// A channel's name, and what standard error was told of it.
struct Herald {
    name: String,
    /// By what it was carried last.
    carrier: String,
}

impl Herald {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), carrier: String::new() }
    }

    fn tell(&self, news: impl Display) {
        // Nobody is left to be told if this fails.
        let _ = writeln!(std::io::stderr(), "ringshm: {}: {news}", self.name);
    }

    /// Says by what an `auto` channel is carried, when that has changed.
    fn tell_carrier(&mut self, channel: &(impl Channel + ?Sized)) {
        if let Some(carrier) = channel.carried_by()
            && carrier != self.carrier
        {
            carrier.clone_into(&mut self.carrier);
            self.tell(format_args!("carried by {carrier}"));
        }
    }
}

/// Any sender.
pub(crate) struct FarSink {
    sender: Box<dyn Sender>,
    herald: Herald,
}

impl FarSink {
    pub(crate) fn new(sender: Box<dyn Sender>, name: &str) -> Self {
        Self { sender, herald: Herald::new(name) }
    }
}

impl Sink for FarSink {
    fn send_all(&mut self, batch: &[&[u8]]) -> Result<(), Stopped> {
        let sent = self.sender.send_slice(batch);
        self.herald.tell_carrier(&self.sender);
        Ok(sent?)
    }

    fn max_message(&self) -> usize {
        self.sender.capabilities().longest.bytes
    }

    fn sent(&self) -> Option<u64> {
        None
    }

    fn advice(&self, _len: u64) -> String {
        self.sender.capabilities().longest.because.to_owned()
    }

    fn leave(self: Box<Self>) {
        self.sender.detach();
    }
}

/// Any receiver.
pub(crate) struct Far {
    receiver: Box<dyn Receiver>,
    batch: Batch,
    herald: Herald,
}

impl Far {
    pub(crate) fn new(receiver: Box<dyn Receiver>, name: &str) -> Self {
        Self { receiver, batch: Batch::default(), herald: Herald::new(name) }
    }
}

/// For a wait set.
impl Channel for Far {
    fn capabilities(&self) -> Capabilities {
        self.receiver.capabilities()
    }

    fn awaited(&self) -> Awaited<'_> {
        self.receiver.awaited()
    }

    fn has_more(&mut self) -> bool {
        self.batch.owes() || self.receiver.has_more()
    }

    fn detach(self: Box<Self>) {
        self.receiver.detach();
    }
}

impl Source for Far {
    fn batch(
        &mut self,
        most: u64,
        patience: Duration,
        outlet: &mut Outlet<'_>,
        tally: &mut Tally,
    ) -> Result<Step, Failure> {
        let (mut patience, mut records) = (patience, 0);
        while records < most && outlet.buffer.len() < WRITE {
            self.batch.clear();
            let room = usize::try_from(most - records).map_or(MOST, |left| left.min(MOST));
            match self.receiver.recv_batch_by(&mut self.batch, room, Deadline::after(patience)) {
                Ok(count) => records += count as u64,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Stalled(_)) if records == 0 => return Ok(Step::Idle),
                Err(RecvTimeoutError::Disconnected) if records == 0 => return Ok(Step::Disconnected),
                Err(RecvTimeoutError::Lagged(missed)) => {
                    tally.missed += missed;
                    continue;
                }
                Err(RecvTimeoutError::Rejected(rejection)) => {
                    self.herald.tell(rejection);
                    continue;
                }
                // What is wrong is still so at the next call.
                Err(_) if records > 0 => break,
                Err(error) => return Err(Failure::new(error.to_string())),
            }
            patience = Duration::ZERO;
            self.herald.tell_carrier(&self.receiver);
            self.batch.iter().for_each(|record| outlet.put(record));
            tally.bytes += self.batch.bytes() as u64;
        }
        tally.records += records;
        outlet.flush().map_or_else(Ok, |()| Ok(Step::Written))
    }

    /// The kernel does not tell a side that was killed from one that has left.
    fn ending(&self, _directory: &Directory, _name: &str) -> Ending {
        Ending::Closed
    }

    fn passed(&self) -> Option<u64> {
        self.receiver.position()
    }

    fn leave(self) {
        self.receiver.detach();
    }
}
