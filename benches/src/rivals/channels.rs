//! Any channel of ringshm's, by its name: used as a program does that is told its transport when it starts. Both ends are boxed, send and
//! receive bytes, and do nothing that only one mechanism can do.

use crate::abilities::Abilities;
use crate::channel::{Across, Link, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::{Plan, Reading};
use crate::site;
use anyhow::{Context as _, Result, ensure};
use ringshm::{Batch, Deadline, Loss, Opening, RecvError, RecvTimeoutError};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io::{Read as _, Write as _};
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::time::Duration;

/// Channels, by the name of the plan's rival.
pub(super) struct Channels;

/// Messages that are received together, at most: as many as are sent together.
const BATCH: usize = 64;

/// How long a message may take when a channel is only looked at.
const PATIENCE: Duration = Duration::from_secs(1);

/// The descriptors that both ends inherit: those of a pipe, receiving end first. Of signals, a pipe through which the receiver says who it is.
pub(super) fn link(plan: &Plan) -> Result<Vec<OwnedFd>> {
    let flags = match site::option(&plan.rival, "packets") {
        Some(_) => PipeFlags::DIRECT,
        None => PipeFlags::empty(),
    };
    match site::scheme(&plan.rival) {
        "pipe" | "signal" => pipe_with(flags).map(|(from, to)| vec![from, to]).map_err(Into::into),
        _ => Ok(Vec::new()),
    }
}

fn opening(plan: &Plan, name: &str) -> Opening {
    let opening = ringshm::open(name);
    match &plan.directory {
        Some(directory) => opening.directory(directory),
        None => opening,
    }
}

/// The name of a pipe, by its inherited end: a duplicate, which the channel takes over and closes, because the end itself belongs to the link.
fn inherited(link: &Link, end: usize) -> Result<String> {
    Ok(site::moved(&link.name, &rustix::io::dup(&link.files[end])?.into_raw_fd().to_string()))
}

fn receiver(plan: &Plan, link: &Link) -> Result<Box<dyn ringshm::Receiver>> {
    if site::scheme(&link.name) == "pipe" {
        return Ok(opening(plan, &inherited(link, 0)?).receiver()?);
    }
    let receiver = opening(plan, &link.name).receiver()?;
    if let Some(mut to_sender) = link.files.get(1) {
        // It is there now, and signals do it no harm.
        to_sender.write_all(&std::process::id().to_le_bytes())?;
    }
    Ok(receiver)
}

fn sender(plan: &Plan, link: &Link) -> Result<Box<dyn ringshm::Sender>> {
    let name = match site::scheme(&link.name) {
        "pipe" => inherited(link, 1)?,
        "signal" => {
            let mut pid = [0; 4];
            link.file(0)?.read_exact(&mut pid)?;
            site::moved(&link.name, &u32::from_le_bytes(pid).to_string())
        }
        _ => link.name.clone(),
    };
    Ok(opening(plan, &name).sender()?)
}

struct Out<M> {
    to: Box<dyn ringshm::Sender>,
    batch: Vec<M>,
}

impl<M: Message> Sender<M> for Out<M> {
    #[inline]
    fn send(&mut self, message: M) {
        self.to.send(message.as_bytes()).expect("the receiver lives");
    }

    #[inline]
    fn send_batch(&mut self, first: u64, count: usize) {
        self.batch.clear();
        self.batch.extend((first..first + count as u64).map(M::numbered));
        let mut messages: [&[u8]; BATCH] = [&[]; BATCH];
        messages.iter_mut().zip(&self.batch).for_each(|(slot, message)| *slot = message.as_bytes());
        self.to.send_slice(&messages[..count]).expect("the receiver lives");
    }

    fn may_lose(&self) -> bool {
        self.to.capabilities().loss == Loss::AnyTime
    }
}

struct In {
    from: Box<dyn ringshm::Receiver>,
    message: Vec<u8>,
    batch: Batch,
}

fn read<M: Message>(bytes: &[u8]) -> M {
    M::read_from_bytes(bytes).expect("it has the size of a message")
}

impl<M: Message> Receiver<M> for In {
    #[inline]
    fn recv(&mut self) -> M {
        loop {
            match self.from.recv(&mut self.message) {
                Ok(_) => return read(&self.message),
                // The check counts them by their numbers.
                Err(RecvError::Lagged(_)) => {}
                Err(error) => panic!("the sender lives: {error}"),
            }
        }
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut impl Inspect) {
        self.batch.clear();
        match self.from.recv_batch_by(&mut self.batch, BATCH, Deadline::NEVER) {
            Ok(_) => self.batch.iter().for_each(|message| check.see(&read::<M>(message))),
            Err(RecvTimeoutError::Lagged(_)) => {}
            Err(error) => panic!("the sender lives: {error}"),
        }
    }

    fn may_miss(&self) -> bool {
        self.from.capabilities().loss == Loss::AnyTime
    }
}

impl Across for Channels {
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>> {
        link(plan)
    }

    fn sender<M: Message>(plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        Ok(Out { to: sender(plan, link)?, batch: Vec::with_capacity(BATCH) })
    }

    fn receiver<M: Message>(plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        Ok(In { from: receiver(plan, link)?, message: Vec::new(), batch: Batch::default() })
    }
}

/// Takes both sides, sends a message and receives it.
pub(super) fn look(plan: &Plan, link: &Link) -> Result<Reading> {
    let mut from = receiver(plan, link)?;
    let mut to = sender(plan, link)?;
    let sent = b"12345678";
    let mut message = Vec::new();
    to.send_timeout(sent, PATIENCE).context("it opens, but carries no message")?;
    from.recv_timeout(&mut message, PATIENCE).context("it opens, but brings no message")?;
    ensure!(message == sent, "what was sent is not what was received");
    Ok(Reading { abilities: Some(Abilities::from(from.capabilities())), ..Reading::default() })
}
