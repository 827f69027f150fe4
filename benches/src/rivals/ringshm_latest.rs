//! ringshm's register of the newest value: `write`, and `read` as soon as it has changed.

use crate::channel::{Across, Link, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use ringshm::latest::{Reader, Writer};
use std::os::fd::OwnedFd;

/// Registers of the newest value.
pub(super) struct Registers;

struct To<M>(Writer<M>);
struct From<M>(Reader<M>);

impl<M: Message> Sender<M> for To<M> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        self.0.write(message).expect("this is no forked child");
    }

    fn send_batch(&mut self, _first: u64, _count: usize) {
        unreachable!("a register holds one value");
    }
}

impl<M: Message> Receiver<M> for From<M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        while !self.0.changed() {
            core::hint::spin_loop();
        }
        self.0.read().expect("there is one")
    }

    fn recv_batch(&mut self, _check: &mut impl Inspect) {
        unreachable!("a register holds one value");
    }
}

impl Across for Registers {
    fn link<M: Message>(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(vec![ringshm::latest::<M>("bench").memfd()?])
    }

    fn sender<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        Ok(To(ringshm::latest::<M>("bench").producer_of(&link.files[0])?))
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        Ok(From(ringshm::latest::<M>("bench").reader_of(&link.files[0])?))
    }
}
