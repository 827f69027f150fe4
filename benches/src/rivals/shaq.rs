//! shaq: its MPMC queue and its broadcast queue, polled, one by one and in slices.
//!
//! # Safety
//! The process that starts a run initialises the file, once, before any other has it. All of them use the same message type, which has no
//! pointers.

#![allow(unsafe_code, reason = "shaq leaves the initialisation and the types to its users")]

use super::pausing::{Eager, Patient, until, until_sent};
use crate::channel::{Across, Link, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::{Result, anyhow};
use core::num::NonZeroUsize;
use rustix::fs::{MemfdFlags, memfd_create};
use shaq::broadcast::{self, Broadcast, BroadcastConfig, ProducerId};
use shaq::mpmc;
use std::fs::File;
use std::os::fd::OwnedFd;

/// shaq's MPMC queue.
pub(super) struct Queue;

/// shaq's broadcast queue.
pub(super) struct Cast;

/// An end, and room for a batch.
struct To<E, M>(E, Vec<M>);
struct From<E>(E);

/// At most so many messages are received together.
const BATCH: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

fn file() -> Result<File> {
    Ok(File::from(memfd_create("ringshm-bench-shaq", MemfdFlags::CLOEXEC)?))
}

macro_rules! ends {
    ($producer:ty, $consumer:ty) => {
        impl<M: Message> Sender<M> for To<$producer, M> {
            #[inline(always)]
            fn send(&mut self, message: M) {
                until_sent::<Patient, M>(message, |message| self.0.try_write(message));
            }

            #[inline]
            fn send_batch(&mut self, first: u64, count: usize) {
                self.1.clear();
                self.1.extend((first..first + count as u64).map(M::numbered));
                until::<Patient, ()>(|| self.0.try_write_slice(&self.1).then_some(()));
            }
        }

        impl<M: Message> Receiver<M> for From<$consumer> {
            #[inline(always)]
            fn recv(&mut self) -> M {
                until::<Eager, _>(|| self.0.try_read())
            }

            #[inline]
            fn recv_batch(&mut self, check: &mut impl Inspect) {
                until::<Eager, ()>(|| {
                    let batch = self.0.try_reserve_read_batch(BATCH)?;
                    let (first, second) = batch.as_slices();
                    first.iter().chain(second).for_each(|message| check.see(message));
                    Some(())
                });
            }
        }
    };
}

ends!(mpmc::Producer<M>, mpmc::Consumer<M>);
ends!(broadcast::Producer<M>, broadcast::Consumer<M>);

impl Across for Queue {
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>> {
        let file = file()?;
        let size = mpmc::minimum_file_size::<M>(plan.capacity);
        // SAFETY: see the module.
        unsafe { mpmc::Producer::<M>::create(&file, size) }.map_err(|error| anyhow!("{error:?}"))?;
        Ok(vec![file.into()])
    }

    fn sender<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        // SAFETY: see the module.
        let producer = unsafe { mpmc::Producer::<M>::join(&link.files[0]) };
        Ok(To(producer.map_err(|error| anyhow!("{error:?}"))?, Vec::new()))
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        // SAFETY: see the module.
        let consumer = unsafe { mpmc::Consumer::<M>::join(&link.files[0]) };
        Ok(From(consumer.map_err(|error| anyhow!("{error:?}"))?))
    }
}

impl Across for Cast {
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>> {
        let file = file()?;
        let (capacity, crew) = (plan.capacity, plan.crew);
        let config = BroadcastConfig { capacity, producer_slots: crew.producers, consumer_slots: crew.consumers };
        // SAFETY: see the module.
        unsafe { Broadcast::<M>::create(&file, config) }.map_err(|error| anyhow!("{error:?}"))?;
        Ok(vec![file.into()])
    }

    fn sender<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        // SAFETY: see the module.
        let producer = unsafe { broadcast::Producer::<M>::join(&link.files[0], ProducerId::new(1)) };
        Ok(To(producer.map_err(|error| anyhow!("{error:?}"))?, Vec::new()))
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        // SAFETY: see the module.
        let consumer = unsafe { broadcast::Consumer::<M>::join(&link.files[0]) };
        Ok(From(consumer.map_err(|error| anyhow!("{error:?}"))?))
    }
}
