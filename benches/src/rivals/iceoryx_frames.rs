//! iceoryx2 with frames: a sample is loaned without being initialised, written in place, sent, and read in place. The subscriber polls, and where it wants the
//! newest only, has a buffer of one that overflows.
//!
//! # Safety
//! The memory of a sample was zeroed by the kernel when it was made, and only bytes were ever written there: it is initialised.

#![allow(unsafe_code, reason = "samples that are not initialised once more, byte by byte, before they are written")]

use super::frames::bytes;
use super::iceoryx::{Iceoryx, Ipc, Port, Service, node, subscriber_of};
use super::pausing::{Eager, until};
use crate::channel::{FrameReceiver, FrameSender, FramesAcross, Link};
use crate::frames::SLOTS;
use crate::plan::{Plan, Test};
use anyhow::Result;
use core::mem::MaybeUninit;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use std::os::fd::OwnedFd;

/// The publisher, and the bytes of each frame.
struct To(Port<Publisher<Ipc, [u8], ()>>, usize);

impl FrameSender for To {
    #[inline]
    fn send(&mut self, write: impl FnOnce(&mut [u8])) {
        let mut sample = self.0.port.loan_slice_uninit(self.1).expect("a slice is free");
        let payload: *mut [MaybeUninit<u8>] = sample.payload_mut();
        // SAFETY: see the module; the sample is borrowed as long.
        write(unsafe { &mut *(payload as *mut [u8]) });
        // SAFETY: see the module.
        let sample = unsafe { sample.assume_init() };
        sample.send().expect("the subscriber lives");
    }
}

struct From(Port<Subscriber<Ipc, [u8], ()>>);

impl FrameReceiver for From {
    #[inline]
    fn recv<T>(&mut self, see: impl FnOnce(&[u8]) -> T) -> T {
        let sample = until::<Eager, _>(|| self.0.port.receive().expect("the publisher lives"));
        see(sample.payload())
    }
}

/// The service of a run.
fn service(plan: &Plan, node: &Node<Ipc>) -> Result<Service<u8>> {
    let is_newest = matches!(plan.test, Test::Newest { .. });
    let service = node
        .service_builder(&"bench-frames".try_into()?)
        .publish_subscribe::<[u8]>()
        .enable_safe_overflow(is_newest)
        .subscriber_max_buffer_size(if is_newest { 1 } else { SLOTS })
        .max_publishers(1)
        .max_subscribers(1)
        .open_or_create()?;
    Ok(service)
}

impl FramesAcross for Iceoryx {
    fn link(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    fn sender(plan: &Plan, link: &Link) -> Result<impl FrameSender> {
        let (node, bytes) = (node(link)?, bytes(plan)?);
        let service = service(plan, &node)?;
        let builder = service.publisher_builder().initial_max_slice_len(bytes);
        let port = builder.backpressure_strategy(BackpressureStrategy::RetryUntilDelivered).create()?;
        Ok(To(Port { port, _node: node }, bytes))
    }

    fn receiver(plan: &Plan, link: &Link) -> Result<impl FrameReceiver> {
        let node = node(link)?;
        let port = subscriber_of(plan, &service(plan, &node)?)?;
        Ok(From(Port { port, _node: node }))
    }
}
