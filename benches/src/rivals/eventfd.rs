//! A bare eventfd that a task of tokio awaits, on one thread, beside a word with a number.
//!
//! # Safety
//! What a reactor is given is a descriptor of its own, which stays open, and the same, as long as it is registered.

#![allow(unsafe_code, reason = "tokio asks for a promise about descriptors")]

use crate::channel::{Across, Link, Receiver, Sender};
use crate::control::Shared;
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use core::sync::atomic::Ordering::{Acquire, Release};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};

/// An eventfd.
pub(super) struct Eventfd;

struct To(File, Shared);

/// 0 is nothing, and a message.
const SHIFT: u64 = 3;

impl<M: Message> Sender<M> for To {
    fn send(&mut self, message: M) {
        self.1.control().lanes[0].0.store(message.number().wrapping_add(SHIFT), Release);
        assert_eq!(rustix::io::write(&self.0, &1_u64.to_ne_bytes()), Ok(8), "the other side reads it");
    }

    fn send_batch(&mut self, _first: u64, _count: usize) {
        unreachable!("every message is waited for");
    }
}

struct From {
    fd: AsyncFd<File>,
    shared: Shared,
    last: u64,
    tokio: Runtime,
}

/// Waits until it is raised, and clears it.
async fn raised(fd: &AsyncFd<File>) {
    loop {
        let mut ready = fd.readable().await.expect("the runtime runs");
        match rustix::io::read(fd.get_ref(), &mut [0; 8]) {
            Ok(_) => return,
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(error) => panic!("an eventfd is read: {error}"),
        }
    }
}

impl<M: Message> Receiver<M> for From {
    fn recv(&mut self) -> M {
        loop {
            self.tokio.block_on(raised(&self.fd));
            let number = self.shared.control().lanes[0].0.load(Acquire);
            if number != self.last {
                self.last = number;
                return M::numbered(number.wrapping_sub(SHIFT));
            }
        }
    }

    fn recv_batch(&mut self, _check: &mut impl Inspect) {
        unreachable!("every message is waited for");
    }
}

impl Across for Eventfd {
    fn link<M: Message>(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(vec![eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?, Shared::create()?])
    }

    fn sender<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        Ok(To(link.file(0)?, Shared::map(&link.files[1])?))
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        let tokio = Builder::new_current_thread().enable_all().build()?;
        let context = tokio.enter();
        // SAFETY: it is moved in there, and a `File` is always the same open descriptor.
        let fd = unsafe { AsyncFd::register_with_interest(link.file(0)?, Interest::READABLE) }?;
        drop(context);
        Ok(From { fd, shared: Shared::map(&link.files[1])?, last: 0, tokio })
    }
}
