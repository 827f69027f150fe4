//! What a rival must be able to do: the two ends of a channel, and how to make them.
//!
//! All calls wait, each rival in its own best way; [`Plan::wait`](crate::plan::Plan) is for those that leave the choice.
//! Anything but success ends the run with a panic.

use crate::message::{Inspect, Message};
use crate::plan::Plan;
use crate::records::RecordCheck;
use anyhow::Result;
use std::fs::File;
use std::os::fd::OwnedFd;

/// The sending end of a channel of messages of fixed size.
pub trait Sender<M> {
    /// Sends a message.
    fn send(&mut self, message: M);

    /// Sends `count` messages, numbered from `first`, together if the rival can.
    fn send_batch(&mut self, first: u64, count: usize);

    /// Whether what was sent may get lost, the end of the run as well.
    fn may_lose(&self) -> bool {
        false
    }
}

/// The receiving end of a channel of messages of fixed size.
pub trait Receiver<M> {
    /// Receives a message.
    fn recv(&mut self) -> M;

    /// Receives a message that was sent alone; or, where a rival's consumer sees all that there is by itself, all of that.
    #[inline(always)]
    fn recv_some(&mut self, check: &mut impl Inspect)
    where
        M: Message,
    {
        check.see(&self.recv());
    }

    /// Receives at least one message, and those that come with it.
    fn recv_batch(&mut self, check: &mut impl Inspect);

    /// Whether some of what was sent may not come.
    fn may_miss(&self) -> bool {
        false
    }
}

/// The sending end of a channel of records.
pub trait RecordSender {
    /// Sends a record.
    fn send(&mut self, record: &[u8]);

    /// Sends records, together if the rival can.
    fn send_batch(&mut self, records: &[&[u8]]);
}

/// The receiving end of a channel of records.
pub trait RecordReceiver {
    /// Receives a record.
    fn recv(&mut self, check: &mut RecordCheck);

    /// Receives at least one record, and those that come with it.
    fn recv_batch(&mut self, check: &mut RecordCheck);
}

/// The sending end of a channel of frames.
pub trait FrameSender {
    /// Hands a frame over that `write` makes: in the place where it stays, where there is such a place, and else in private memory from which it is
    /// sent.
    fn send(&mut self, write: impl FnOnce(&mut [u8]));
}

/// The receiving end of a channel of frames.
pub trait FrameReceiver {
    /// Takes a frame, and lets it go when it was looked at: in its place, or in private memory that it was received into.
    fn recv<T>(&mut self, see: impl FnOnce(&[u8]) -> T) -> T;
}

/// A channel between two threads.
pub trait Within {
    /// Makes both ends.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)>;
}

/// A channel among threads.
pub trait Among {
    /// Makes all ends, as many as the plan's [`Crew`](crate::plan::Crew) has members.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>>;
}

/// The sending ends and the receiving ends of a channel.
pub type Ends<S, R> = (Vec<S>, Vec<R>);

/// A channel of records between two threads.
pub trait RecordsWithin {
    /// Makes both ends.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn pair(plan: &Plan) -> Result<(impl RecordSender + Send, impl RecordReceiver + Send)>;
}

/// What a process of a channel has from the process that started them.
#[derive(Debug)]
pub struct Link {
    /// The descriptors that [`Across::link`] made.
    pub files: Vec<File>,
    /// A name that no other channel has, for rivals with names; of a channel of ringshm's that is measured by its name, that.
    pub name: String,
    /// Which of the producers, or of the consumers, this process is.
    pub member: usize,
}

impl Link {
    /// Another handle on one of the descriptors.
    ///
    /// # Errors
    /// If there are too many open files.
    pub fn file(&self, index: usize) -> Result<File> {
        Ok(self.files[index].try_clone()?)
    }
}

/// A channel between processes: two of them, or as many as the plan's [`Crew`](crate::plan::Crew) has members.
pub trait Across {
    /// Makes what all ends need, in the process that starts them.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>>;

    /// The sending end.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn sender<M: Message>(plan: &Plan, link: &Link) -> Result<impl Sender<M>>;

    /// The receiving end.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn receiver<M: Message>(plan: &Plan, link: &Link) -> Result<impl Receiver<M>>;
}

/// A channel of records between two processes.
pub trait RecordsAcross {
    /// Makes what both ends need, in the process that starts them.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn link(plan: &Plan) -> Result<Vec<OwnedFd>>;

    /// The sending end.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn sender(plan: &Plan, link: &Link) -> Result<impl RecordSender>;

    /// The receiving end.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn receiver(plan: &Plan, link: &Link) -> Result<impl RecordReceiver>;
}

/// A channel of frames between two processes.
pub trait FramesAcross {
    /// Makes what both ends need, in the process that starts them.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn link(plan: &Plan) -> Result<Vec<OwnedFd>>;

    /// The sending end.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn sender(plan: &Plan, link: &Link) -> Result<impl FrameSender>;

    /// The receiving end.
    ///
    /// # Errors
    /// Whatever the rival reports.
    fn receiver(plan: &Plan, link: &Link) -> Result<impl FrameReceiver>;
}
