//! Messages that are received together.

use crate::error::RecvTimeoutError;

/// Messages that were received together, one behind the other in one piece of memory, which is used again and again.
///
/// ```
/// # use ringshm_core::Batch;
/// let mut batch = Batch::default();
/// batch.push(b"first");
/// batch.push(b"");
/// assert_eq!(batch.iter().collect::<Vec<_>>(), [&b"first"[..], b""]);
/// batch.clear();
/// assert!(batch.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where each message ends in them.
    ends: Vec<usize>,
    /// What ended the last receiving after its first message, to be said by the next.
    postponed: Option<RecvTimeoutError>,
    scratch: Vec<u8>,
}

impl Batch {
    /// Forgets all messages, and keeps their memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of all messages together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The messages, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = core::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end])
    }

    /// Adds a message: for those who implement a [`Receiver`](crate::Receiver).
    pub fn push(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
    }

    /// Adds the message that `append` appends to these bytes. If it fails, there is no such message.
    pub(crate) fn push_by<E>(&mut self, append: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let begin = self.bytes.len();
        let result = append(&mut self.bytes);
        match result {
            Ok(()) => self.ends.push(self.bytes.len()),
            Err(_) => self.bytes.truncate(begin),
        }
        result
    }

    /// What a call returns that received so many messages and then ended so.
    pub(crate) fn after(&mut self, count: usize, end: Option<RecvTimeoutError>) -> Result<usize, RecvTimeoutError> {
        match end {
            Some(error) if count == 0 => Err(error),
            end => {
                self.postpone(end);
                Ok(count)
            }
        }
    }

    /// Says what was postponed, once: for those who implement a receiver, at the beginning of each call.
    ///
    /// # Errors
    /// What was postponed.
    pub fn resume(&mut self) -> Result<(), RecvTimeoutError> {
        self.postponed.take().map_or(Ok(()), Err)
    }

    /// Whether the next call has something to say that was postponed.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.postponed.is_some()
    }

    /// Has the next call say that this one ended so, after its first message.
    pub fn postpone(&mut self, end: Option<RecvTimeoutError>) {
        self.postponed = end;
    }

    pub(super) fn take_scratch(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.scratch)
    }

    pub(super) fn put_scratch(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }
}
