//! The rings that `recv` can receive from, behind one face.

use crate::failure::Failure;
use crate::framing::Framing;
use ringshm::broadcast::{RecordConsumer as LosslessReader, RecordReader as LossyReader};
use ringshm::latest::Reader as LatestReader;
use ringshm::mpmc::ByteConsumer;
use ringshm::{Directory, Peer, RecordConsumer, RecvTimeoutError, Role, TryRecvError};
use std::io;
use std::time::Duration;

/// Bytes that are written at once, as soon as so many are there; less if the ring has no more.
pub(crate) const WRITE: usize = 256 << 10;

/// What was received, and what was not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Records that were overwritten before this reader came to them.
    pub(crate) missed: u64,
    /// Records that a receiver had in its hands when it died.
    pub(crate) redelivered: u64,
}

/// What became of one batch.
pub(crate) enum Step {
    Written,
    /// Standard output has no reader any more. What was not written is still in the ring, if the ring keeps it for somebody.
    NobodyReads,
    /// It could not be written, for another reason.
    Unwritable(io::Error),
    /// Nothing came for a while.
    Idle,
    /// The producers have closed the ring or died, and everything was received.
    Disconnected,
}

/// How the other side has ended.
pub(crate) enum Ending {
    Closed,
    /// As process `pid`, if that is known.
    Died {
        pid: u32,
    },
    /// Not at all: somebody else has come, or something is left.
    Open,
}

/// Where a batch goes.
pub(crate) struct Outlet<'a> {
    pub(crate) framing: Framing,
    /// What each record is marked with.
    pub(crate) tag: Option<&'a str>,
    pub(crate) buffer: &'a mut Vec<u8>,
    pub(crate) write: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
}

impl Outlet<'_> {
    pub(crate) fn put(&mut self, record: &[u8]) {
        match self.tag {
            Some(tag) => self.framing.join_tagged(tag, record, self.buffer),
            None => self.framing.join(record, self.buffer),
        }
    }

    /// Writes what was put. If that fails, what was put must not be released.
    pub(crate) fn flush(&mut self) -> Result<(), Step> {
        (self.write)(self.buffer).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Step::NobodyReads,
            _ => Step::Unwritable(error),
        })
    }
}

/// A ring to receive from.
pub(crate) trait Source {
    /// Waits `patience` long for something, and writes what there is, up to about [`WRITE`] bytes and at most `most` records.
    fn batch(
        &mut self,
        most: u64,
        patience: Duration,
        outlet: &mut Outlet<'_>,
        tally: &mut Tally,
    ) -> Result<Step, Failure>;

    /// After `Disconnected`, of the ring called `name`.
    fn ending(&self, directory: &Directory, name: &str) -> Ending;

    /// Records of the stream that this receiver has passed, also those that others received, if it is one stream.
    fn passed(&self) -> Option<u64>;

    /// Leaves as one that may come back: a sender never fails because a receiver went away.
    fn leave(self);
}

fn ending_of(peer: Peer, is_empty: bool) -> Ending {
    match peer {
        // Another producer came and went since.
        _ if !is_empty => Ending::Open,
        Peer::Closed => Ending::Closed,
        Peer::Dead { pid } => Ending::Died { pid },
        Peer::Live { .. } | Peer::Detached | Peer::Vacant => Ending::Open,
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

impl Source for RecordConsumer {
    fn batch(
        &mut self,
        most: u64,
        patience: Duration,
        outlet: &mut Outlet<'_>,
        tally: &mut Tally,
    ) -> Result<Step, Failure> {
        let mut drain = match self.drain_timeout(patience) {
            Ok(drain) => drain,
            Err(RecvTimeoutError::Timeout) => return Ok(Step::Idle),
            Err(RecvTimeoutError::Disconnected) => return Ok(Step::Disconnected),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = 0;
        let mut damage = Ok(());
        while outlet.buffer.len() < WRITE && drain.taken() < most {
            match drain.next() {
                Ok(Some(record)) => {
                    outlet.put(record);
                    bytes += record.len() as u64;
                }
                Ok(None) => break,
                Err(fault) => {
                    damage = Err(fault.into());
                    break;
                }
            }
        }
        if let Err(unwritten) = outlet.flush() {
            drain.keep();
            return Ok(unwritten);
        }
        tally.records += drain.taken();
        tally.bytes += bytes;
        drop(drain);
        damage.map(|()| Step::Written)
    }

    fn ending(&self, _directory: &Directory, _name: &str) -> Ending {
        ending_of(self.peer(), self.is_empty())
    }

    fn passed(&self) -> Option<u64> {
        Some(self.received())
    }

    fn leave(self) {
        self.detach();
    }
}

/// One of many consumers of an MPMC ring.
impl Source for ByteConsumer {
    /// Record by record: each is released when it was written, and not before, so that it goes to another receiver if this one dies.
    fn batch(
        &mut self,
        most: u64,
        patience: Duration,
        outlet: &mut Outlet<'_>,
        tally: &mut Tally,
    ) -> Result<Step, Failure> {
        let mut record = match self.recv_ref_timeout(patience) {
            Ok(record) => record,
            // A stalled peer is one that may go on any time.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Stalled(_)) => return Ok(Step::Idle),
            Err(RecvTimeoutError::Disconnected) => return Ok(Step::Disconnected),
            Err(error) => return Err(failed(error)),
        };
        let (mut left, mut written) = (most, 0);
        loop {
            outlet.put(&record);
            if let Err(unwritten) = outlet.flush() {
                record.keep();
                return Ok(unwritten);
            }
            tally.records += 1;
            tally.bytes += record.len() as u64;
            tally.redelivered += u64::from(record.deaths() > 0);
            drop(record);
            written += outlet.buffer.len();
            outlet.buffer.clear();
            left -= 1;
            if left == 0 || written >= WRITE {
                return Ok(Step::Written);
            }
            record = match self.try_recv_ref() {
                Ok(record) => record,
                // What is wrong is still so at the next call.
                Err(_) => return Ok(Step::Written),
            };
        }
    }

    fn ending(&self, directory: &Directory, name: &str) -> Ending {
        let Ok(ring) = ringshm::inspect(directory, name) else { return Ending::Closed };
        let mut producers = ring.participants_of(Role::Producer).map(|producer| producer.state);
        let state = producers.find(|state| !matches!(state, Peer::Closed)).unwrap_or(Peer::Closed);
        ending_of(state, self.is_empty())
    }

    fn passed(&self) -> Option<u64> {
        None
    }

    fn leave(self) {
        self.detach();
    }
}

/// A reader of a broadcast ring: what the producer waits for is given up when it is copied, because nobody else would get it again.
macro_rules! reads_broadcast {
    ($reader:ty, $leave:expr) => {
        impl Source for $reader {
            fn batch(
                &mut self,
                most: u64,
                patience: Duration,
                outlet: &mut Outlet<'_>,
                tally: &mut Tally,
            ) -> Result<Step, Failure> {
                let mut record = Vec::new();
                let mut batch = Tally::default();
                match self.recv_timeout(&mut record, patience) {
                    Ok(_) => {}
                    Err(RecvTimeoutError::Timeout) => return Ok(Step::Idle),
                    Err(RecvTimeoutError::Disconnected) => return Ok(Step::Disconnected),
                    Err(RecvTimeoutError::Lagged(missed)) => {
                        tally.missed += missed;
                        return Ok(Step::Written);
                    }
                    Err(error) => return Err(failed(error)),
                }
                loop {
                    outlet.put(&record);
                    batch.records += 1;
                    batch.bytes += record.len() as u64;
                    if outlet.buffer.len() >= WRITE || batch.records == most {
                        break;
                    }
                    match self.try_recv(&mut record) {
                        Ok(_) => {}
                        Err(TryRecvError::Lagged(missed)) => {
                            tally.missed += missed;
                            break;
                        }
                        // What is wrong is still so at the next call.
                        Err(_) => break,
                    }
                }
                if let Err(unwritten) = outlet.flush() {
                    return Ok(unwritten);
                }
                tally.records += batch.records;
                tally.bytes += batch.bytes;
                Ok(Step::Written)
            }

            fn ending(&self, _directory: &Directory, _name: &str) -> Ending {
                ending_of(self.peer(), self.lag() == 0)
            }

            fn passed(&self) -> Option<u64> {
                Some(self.position())
            }

            fn leave(self) {
                $leave(self);
            }
        }
    };
}

reads_broadcast!(LosslessReader, LosslessReader::detach);
reads_broadcast!(LossyReader, drop);

/// The bytes of a register that `send --ring latest` publishes: the length of a record, 32 bits, little-endian, then the record, then
/// zeros.
pub(crate) type Value = [u8; VALUE];

/// Bytes of a register.
pub(crate) const VALUE: usize = 4096;

/// Bytes of the length.
const LEN: usize = size_of::<u32>();

/// The longest record in a register.
pub(crate) const LONGEST_VALUE: usize = VALUE - LEN;

/// A record as a register's value. `None` if it is too long.
pub(crate) fn value_of(record: &[u8]) -> Option<Value> {
    let mut value = [0; VALUE];
    value.get_mut(LEN..LEN + record.len())?.copy_from_slice(record);
    value[..LEN].copy_from_slice(&u32::try_from(record.len()).ok()?.to_le_bytes());
    Some(value)
}

fn record_of(value: &Value) -> Option<&[u8]> {
    let (len, rest) = value.split_first_chunk::<LEN>()?;
    rest.get(..u32::from_le_bytes(*len) as usize)
}

/// A reader of a register.
impl Source for LatestReader<Value> {
    fn batch(
        &mut self,
        _most: u64,
        patience: Duration,
        outlet: &mut Outlet<'_>,
        tally: &mut Tally,
    ) -> Result<Step, Failure> {
        match self.wait_for_change(patience) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return Ok(Step::Idle),
            Err(RecvTimeoutError::Disconnected) => return Ok(Step::Disconnected),
            Err(error) => return Err(failed(error)),
        }
        let before = self.position();
        let Some(value) = self.read() else { return Ok(Step::Idle) };
        tally.missed += self.position().saturating_sub(before).saturating_sub(1);
        let record = record_of(&value).ok_or_else(|| {
            Failure::new("the register's value is no record: it was not published by ringshm send --ring latest")
        })?;
        outlet.put(record);
        if let Err(unwritten) = outlet.flush() {
            return Ok(unwritten);
        }
        tally.records += 1;
        tally.bytes += record.len() as u64;
        Ok(Step::Written)
    }

    fn ending(&self, _directory: &Directory, _name: &str) -> Ending {
        ending_of(self.peer(), !self.changed())
    }

    fn passed(&self) -> Option<u64> {
        Some(self.position())
    }

    fn leave(self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_in_a_register() {
        for record in [&b""[..], b"one", &[7; LONGEST_VALUE]] {
            let value = value_of(record).unwrap();
            assert_eq!(record_of(&value), Some(record));
        }
        assert!(value_of(&[7; LONGEST_VALUE + 1]).is_none());
        assert_eq!(record_of(&[0xff; VALUE]), None);
    }
}
