//! The rings that `send` can send into, behind one face.

use crate::failure::Failure;
use crate::size;
use crate::source::{LONGEST_VALUE, Value, value_of};
use ringshm::broadcast::RecordProducer as BroadcastProducer;
use ringshm::latest::Writer;
use ringshm::mpmc::ByteProducer;
use ringshm::{RecordProducer, SendError, SendSliceError};

/// Why a batch was not sent to its end.
pub(crate) struct Stopped {
    /// Records of the batch that were sent.
    pub(crate) sent: u64,
    pub(crate) cause: Failure,
}

impl From<SendSliceError> for Stopped {
    fn from(error: SendSliceError) -> Self {
        Self { sent: error.sent as u64, cause: cause_of(error.cause) }
    }
}

fn cause_of(error: SendError<()>) -> Failure {
    match error {
        SendError::Fault((), fault) => Failure::from(fault),
        other => Failure::new(other.to_string()),
    }
}

/// A ring to send into. Dropping it closes the ring; forgetting it leaves it as a death would.
pub(crate) trait Sink {
    /// Sends all records, none of which is longer than [`max_message`](Self::max_message), and waits for room as long as it takes.
    fn send_all(&mut self, batch: &[&[u8]]) -> Result<(), Stopped>;

    /// The longest record that it takes, in bytes.
    fn max_message(&self) -> usize;

    /// Records that were ever sent into it, if they are one stream.
    fn sent(&self) -> Option<u64>;

    /// What to do about a record of `len` bytes that is too long.
    fn advice(&self, len: u64) -> String;

    /// Leaves it to a successor, without closing it.
    fn leave(self: Box<Self>);
}

impl Sink for RecordProducer {
    fn send_all(&mut self, batch: &[&[u8]]) -> Result<(), Stopped> {
        Ok(self.send_slice(batch)?)
    }

    fn max_message(&self) -> usize {
        self.max_message()
    }

    fn sent(&self) -> Option<u64> {
        Some(self.sent())
    }

    fn advice(&self, len: u64) -> String {
        advice_on_capacity(len)
    }

    fn leave(self: Box<Self>) {
        self.detach();
    }
}

impl Sink for BroadcastProducer {
    fn send_all(&mut self, batch: &[&[u8]]) -> Result<(), Stopped> {
        Ok(self.send_slice(batch)?)
    }

    fn max_message(&self) -> usize {
        self.max_message()
    }

    fn sent(&self) -> Option<u64> {
        Some(self.sent())
    }

    fn advice(&self, len: u64) -> String {
        advice_on_capacity(len)
    }

    fn leave(self: Box<Self>) {
        self.detach();
    }
}

impl Sink for ByteProducer {
    fn send_all(&mut self, batch: &[&[u8]]) -> Result<(), Stopped> {
        (0..)
            .zip(batch)
            .try_for_each(|(sent, record)| self.send(record).map_err(|error| Stopped { sent, cause: cause_of(error) }))
    }

    fn max_message(&self) -> usize {
        self.max_message()
    }

    fn sent(&self) -> Option<u64> {
        None
    }

    fn advice(&self, len: u64) -> String {
        format!("remove it, and give the next one --max-message {len}")
    }

    fn leave(self: Box<Self>) {
        self.detach();
    }
}

impl Sink for Writer<Value> {
    fn send_all(&mut self, batch: &[&[u8]]) -> Result<(), Stopped> {
        (0..).zip(batch).try_for_each(|(sent, record)| {
            let stopped = |cause| Stopped { sent, cause };
            let value = value_of(record).ok_or_else(|| stopped(Failure::new("a record is too long for a register")))?;
            self.write(value).map_err(|fault| stopped(fault.into()))
        })
    }

    fn max_message(&self) -> usize {
        LONGEST_VALUE
    }

    fn sent(&self) -> Option<u64> {
        Some(self.written())
    }

    fn advice(&self, _len: u64) -> String {
        "a register takes no longer one".to_owned()
    }

    fn leave(self: Box<Self>) {
        self.detach();
    }
}

/// A record may take half a ring, its header included, and has at most 2 GiB.
fn advice_on_capacity(len: u64) -> String {
    let capacity = len.checked_add(8).and_then(|span| span.checked_mul(2)).map(u64::next_power_of_two);
    match capacity.filter(|_| len <= 1 << 31) {
        Some(capacity) => {
            format!("remove it, and give the next one --capacity {}", size::bytes(capacity).replace(' ', ""))
        }
        None => "no ring takes such a record, cut it into several".to_owned(),
    }
}
