//! A bare eventfd that a task of tokio awaits, on one thread: it carries the number itself.
//!
//! # Safety
//! What a reactor is given is a descriptor of its own, which stays open, and the same, as long as it is registered.

#![allow(unsafe_code, reason = "tokio asks for a promise about descriptors")]

use crate::channel::{Across, Link, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};

/// An eventfd.
pub(super) struct Eventfd;

struct To(File);

/// Neither 0, which is nothing, nor 2^64 - 1, which it does not hold; 0 and the last numbers are messages.
const SHIFT: u64 = 3;

impl<M: Message> Sender<M> for To {
    fn send(&mut self, message: M) {
        let word = message.number().wrapping_add(SHIFT).to_ne_bytes();
        assert_eq!(rustix::io::write(&self.0, &word), Ok(8), "the other side has read the one before");
    }

    fn send_batch(&mut self, _first: u64, _count: usize) {
        unreachable!("every message is waited for");
    }
}

struct From(AsyncFd<File>, Runtime);

impl From {
    async fn word(&self) -> u64 {
        let mut word = [0; 8];
        loop {
            let mut ready = self.0.readable().await.expect("the runtime runs");
            match rustix::io::read(self.0.get_ref(), &mut word) {
                Ok(_) => return u64::from_ne_bytes(word),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => panic!("an eventfd is read: {error}"),
            }
        }
    }
}

impl<M: Message> Receiver<M> for From {
    fn recv(&mut self) -> M {
        M::numbered(self.1.block_on(self.word()).wrapping_sub(SHIFT))
    }

    fn recv_batch(&mut self, _check: &mut impl Inspect) {
        unreachable!("every message is waited for");
    }
}

impl Across for Eventfd {
    fn link<M: Message>(_plan: &Plan) -> Result<Vec<OwnedFd>> {
        Ok(vec![eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?])
    }

    fn sender<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        Ok(To(link.file(0)?))
    }

    fn receiver<M: Message>(_plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        let tokio = Builder::new_current_thread().enable_all().build()?;
        let context = tokio.enter();
        // SAFETY: it is moved in there, and a `File` is always the same open descriptor.
        let fd = unsafe { AsyncFd::register_with_interest(link.file(0)?, Interest::READABLE) }?;
        drop(context);
        Ok(From(fd, tokio))
    }
}
