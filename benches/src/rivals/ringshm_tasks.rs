//! ringshm where the consumer is a task of tokio, on one thread.

use super::ringshm_waking::{To, ring};
use crate::channel::{Across, Link, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use core::marker::PhantomData;
use ringshm::Consumer;
use ringshm::asynchronous::{Async, Mechanism};
use std::os::fd::OwnedFd;
use tokio::runtime::{Builder, Runtime};

/// Rings that a task awaits, woken by `W`.
pub(super) struct Tasks<W>(PhantomData<W>);

/// What wakes a task.
pub(super) trait Wakes {
    const MECHANISM: Mechanism;
}

/// The kernel, by a `FUTEX_WAIT` in an io_uring.
pub(super) struct Uring;

/// A thread, by an eventfd.
pub(super) struct Thread;

impl Wakes for Uring {
    const MECHANISM: Mechanism = Mechanism::IoUring;
}

impl Wakes for Thread {
    const MECHANISM: Mechanism = Mechanism::Thread;
}

struct Task<M: Message>(Async<Consumer<M>>, Runtime);

impl<M: Message> Receiver<M> for Task<M> {
    fn recv(&mut self) -> M {
        self.1.block_on(self.0.recv_async()).expect("the producer lives")
    }

    fn recv_batch(&mut self, _check: &mut impl Inspect) {
        unreachable!("every message is waited for");
    }
}

impl<W: Wakes> Across for Tasks<W> {
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(vec![ring::<M>(plan).memfd()?])
    }

    fn sender<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        To::<M>::join(link)
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        let tokio = Builder::new_current_thread().enable_all().build()?;
        let context = tokio.enter();
        let consumer = ringshm::spsc::<M>("").consumer_of(&link.files[0])?;
        let task = Async::in_tokio_with(consumer, W::MECHANISM)?;
        drop(context);
        Ok(Task(task, tokio))
    }
}
