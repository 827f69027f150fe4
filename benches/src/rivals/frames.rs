//! Frames: ringshm's ring for them, where both sides refer to the slot; and what copies each of them, ringshm's ring of records and a pipe.
//!
//! # Safety
//! A ring of a run has one producer and one consumer, both of them this program, and nobody else can open its memfd.

#![allow(unsafe_code, reason = "promises that peers keep the protocol, as the rivals do without saying so")]

use super::streams::Make as _;
use super::streams::Pipe;
use crate::channel::{FrameReceiver, FrameSender, FramesAcross, Link};
use crate::frames::SLOTS;
use crate::plan::{Cargo, Plan, Test};
use anyhow::{Result, bail};
use ringshm::frames::{Consumer, Delivery, FourCc, Meta, Producer};
use ringshm::{Builder, RecordConsumer, RecordProducer, Wait};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

/// ringshm's rings of frames, whose producers leave so many frames to who comes late.
pub(super) struct Frames<const HISTORY: u32>;

/// ringshm's rings of records, into which frames are copied, and out of which.
pub(super) struct Records;

/// A pipe that frames go through.
pub(super) struct Pipes;

/// Width and height.
fn size(plan: &Plan) -> Result<(u32, u32)> {
    match plan.cargo {
        Cargo::Frames { width, height, .. } => Ok((width, height)),
        other => bail!("no frames of {other}"),
    }
}

/// Bytes of a frame.
pub(super) fn bytes(plan: &Plan) -> Result<usize> {
    size(plan).map(|(width, height)| crate::plan::frame_bytes(width, height))
}

/// The producer, and what it says of each frame.
struct Loans(Producer, Meta);

impl FrameSender for Loans {
    #[inline]
    fn send(&mut self, write: impl FnOnce(&mut [u8])) {
        let Self(producer, meta) = self;
        let mut loan = producer.loan().expect("the ring is sound");
        write(&mut loan.bytes_mut().expect("peers are trusted")[..meta.bytes]);
        loan.commit(meta).expect("it fits into the slot");
    }
}

impl FrameReceiver for Consumer {
    #[inline]
    fn recv<T>(&mut self, see: impl FnOnce(&[u8]) -> T) -> T {
        let frame = self.recv_ref().expect("the producer lives");
        see(frame.bytes().expect("peers are trusted"))
    }
}

/// A role of a ring that is there.
fn role() -> Builder<ringshm::frames::Frames> {
    // SAFETY: see the module.
    unsafe { ringshm::frames("").wait(Wait::Spin).trust_peers() }
}

impl<const HISTORY: u32> FramesAcross for Frames<HISTORY> {
    fn link(plan: &Plan) -> Result<Vec<OwnedFd>> {
        let ring = ringshm::frames("bench").frame_bytes(bytes(plan)? as u64).capacity(SLOTS as u64);
        Ok(vec![ring.consumers(1).memfd()?])
    }

    fn sender(plan: &Plan, link: &Link) -> Result<impl FrameSender> {
        let (width, height) = size(plan)?;
        let producer = role().history(HISTORY).producer_of(&link.files[0])?;
        Ok(Loans(producer, Meta::new(FourCc::I420, width, height)?))
    }

    fn receiver(plan: &Plan, link: &Link) -> Result<impl FrameReceiver> {
        let is_newest = matches!(plan.test, Test::Newest { .. });
        let delivery = if is_newest { Delivery::NewestOnly } else { Delivery::EveryFrame };
        Ok(role().delivery(delivery).consumer_of(&link.files[0])?)
    }
}

/// One end of something that copies, and the frame beside it.
struct Copied<E>(E, Vec<u8>);

impl FrameSender for Copied<RecordProducer> {
    fn send(&mut self, write: impl FnOnce(&mut [u8])) {
        write(&mut self.1);
        self.0.send(&self.1).expect("the consumer lives");
    }
}

impl FrameReceiver for Copied<RecordConsumer> {
    fn recv<T>(&mut self, see: impl FnOnce(&[u8]) -> T) -> T {
        self.0.recv(&mut self.1).expect("the producer lives");
        see(&self.1)
    }
}

impl FramesAcross for Records {
    fn link(plan: &Plan) -> Result<Vec<OwnedFd>> {
        let bytes = plan.cargo.bytes(SLOTS) as u64;
        Ok(vec![ringshm::spsc::<[u8]>("bench").capacity(bytes).memfd()?])
    }

    fn sender(plan: &Plan, link: &Link) -> Result<impl FrameSender> {
        let to = ringshm::spsc::<[u8]>("").wait(Wait::Spin).producer_of(&link.files[0])?;
        Ok(Copied(to, vec![0; bytes(plan)?]))
    }

    fn receiver(plan: &Plan, link: &Link) -> Result<impl FrameReceiver> {
        let from = ringshm::spsc::<[u8]>("").wait(Wait::Spin).consumer_of(&link.files[0])?;
        Ok(Copied(from, vec![0; bytes(plan)?]))
    }
}

impl FrameSender for Copied<File> {
    fn send(&mut self, write: impl FnOnce(&mut [u8])) {
        write(&mut self.1);
        self.0.write_all(&self.1).expect("the reader lives");
    }
}

impl FrameReceiver for Copied<File> {
    fn recv<T>(&mut self, see: impl FnOnce(&[u8]) -> T) -> T {
        self.0.read_exact(&mut self.1).expect("the writer lives");
        see(&self.1)
    }
}

impl FramesAcross for Pipes {
    fn link(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        let (from, to) = Pipe::make()?;
        Ok(vec![from, to])
    }

    fn sender(plan: &Plan, link: &Link) -> Result<impl FrameSender> {
        Ok(Copied(link.file(1)?, vec![0; bytes(plan)?]))
    }

    fn receiver(plan: &Plan, link: &Link) -> Result<impl FrameReceiver> {
        Ok(Copied(link.file(0)?, vec![0; bytes(plan)?]))
    }
}
