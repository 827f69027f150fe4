//! A channel that `recv` receives from and that is no ring, or one that its name describes.

use crate::failure::Failure;
use crate::source::{Ending, Outlet, Source, Step, Tally, WRITE};
use ringshm::{Awaited, Batch, Capabilities, Channel, Deadline, Directory, Receiver, RecvTimeoutError, Rejection};
use std::io::Write as _;
use std::time::Duration;

/// Messages that are received at once, at most: what was received from such a channel is gone from it.
const MOST: usize = 64;

/// Any receiver.
pub(crate) struct Far {
    receiver: Box<dyn Receiver>,
    batch: Batch,
    name: String,
}

impl Far {
    pub(crate) fn new(receiver: Box<dyn Receiver>, name: &str) -> Self {
        Self { receiver, batch: Batch::default(), name: name.to_owned() }
    }

    /// Says that something was thrown away.
    fn tell(&self, rejection: Rejection) {
        // Nobody is left to be told if this fails.
        let _ = writeln!(std::io::stderr(), "ringshm: {}: {rejection}", self.name);
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
                    self.tell(rejection);
                    continue;
                }
                // What is wrong is still so at the next call.
                Err(_) if records > 0 => break,
                Err(error) => return Err(Failure::new(error.to_string())),
            }
            patience = Duration::ZERO;
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
