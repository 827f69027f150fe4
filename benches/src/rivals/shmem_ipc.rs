//! shmem-ipc: its ring of words, spinning without its eventfds, which is its fastest use. A message is so many words; the ring is a
//! multiple of them, so no message wraps.
//!
//! # Safety
//! The ring lies in a mapping of its size that both processes map anew, zeroed, and nobody else has. Each side uses as many words as the
//! ring gives it.

#![allow(unsafe_code, reason = "the rival's interface is raw pointers")]

use super::pausing::{Pausing, until};
use crate::channel::{Across, Link, Receiver, Sender};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::{Result, anyhow};
use core::marker::PhantomData;
use memmap2::MmapRaw;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use shmem_ipc::ringbuf;
use std::os::fd::OwnedFd;

/// shmem-ipc.
pub(super) struct ShmemIpc<P>(PhantomData<P>);

/// The ring, and the mapping that it lies in.
struct To<P>(ringbuf::Sender<u64>, #[expect(dead_code, reason = "keeps the ring mapped")] MmapRaw, PhantomData<P>);
struct From<P>(ringbuf::Receiver<u64>, #[expect(dead_code, reason = "keeps the ring mapped")] MmapRaw, PhantomData<P>);

fn bytes<M: Message>(plan: &Plan) -> usize {
    ringbuf::channel_bufsize::<u64>(plan.capacity * M::WORDS as usize)
}

fn map<M: Message>(plan: &Plan, link: &Link) -> Result<MmapRaw> {
    Ok(memmap2::MmapOptions::new().len(bytes::<M>(plan)).map_raw(&link.files[0])?)
}

impl<P: Pausing, M: Message> Sender<M> for To<P> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        until::<P, _>(|| {
            let mut sent = None;
            let status = self.0.send(|words, room| {
                if room < M::WORDS as usize {
                    return 0;
                }
                // SAFETY: there is room for a message, aligned to words.
                unsafe { words.copy_from_nonoverlapping(message.words().as_ptr(), M::WORDS as usize) };
                sent = Some(());
                M::WORDS as usize
            });
            status.expect("the ring is sound");
            sent
        });
    }

    #[inline]
    fn send_batch(&mut self, first: u64, count: usize) {
        let mut sent = 0;
        while sent < count {
            let before = sent;
            let status = self.0.send(|words, room| {
                let some = (room / M::WORDS as usize).min(count - sent);
                for index in 0..some {
                    let message = M::numbered(first + (sent + index) as u64);
                    let place = words.wrapping_add(index * M::WORDS as usize);
                    // SAFETY: there is room for so many messages, aligned to words.
                    unsafe { place.copy_from_nonoverlapping(message.words().as_ptr(), M::WORDS as usize) };
                }
                sent += some;
                some * M::WORDS as usize
            });
            status.expect("the ring is sound");
            if sent == before {
                core::hint::spin_loop();
            }
        }
    }
}

impl<P: Pausing, M: Message> Receiver<M> for From<P> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        until::<P, _>(|| {
            let mut received = None;
            let status = self.0.recv(|words, ready| {
                if ready < M::WORDS as usize {
                    return 0;
                }
                // SAFETY: so many words are there, and every bit pattern is a message.
                received = Some(unsafe { words.cast::<M>().read_unaligned() });
                M::WORDS as usize
            });
            status.expect("the ring is sound");
            received
        })
    }

    #[inline]
    fn recv_batch(&mut self, check: &mut impl Inspect) {
        until::<P, _>(|| {
            let mut received = None;
            let status = self.0.recv(|words, ready| {
                let some = ready / M::WORDS as usize;
                for index in 0..some {
                    // SAFETY: so many messages are there, and every bit pattern is one.
                    check.see(&unsafe { words.cast::<M>().wrapping_add(index).read_unaligned() });
                }
                received = Some(());
                some * M::WORDS as usize
            });
            status.expect("the ring is sound");
            received
        });
    }
}

impl<P: Pausing> Across for ShmemIpc<P> {
    fn link<M: Message>(plan: &Plan) -> Result<Vec<OwnedFd>> {
        let file = memfd_create("shmem-ipc", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, bytes::<M>(plan) as u64)?;
        Ok(vec![file])
    }

    fn sender<M: Message>(plan: &Plan, link: &Link) -> Result<impl Sender<M>> {
        let mapping = map::<M>(plan, link)?;
        // SAFETY: the mapping has this size, is zeroed, and lives as long as the sender.
        let ring = unsafe { ringbuf::Sender::attach(mapping.as_mut_ptr(), mapping.len()) };
        Ok(To(ring.map_err(|error| anyhow!("{error}"))?, mapping, PhantomData::<P>))
    }

    fn receiver<M: Message>(plan: &Plan, link: &Link) -> Result<impl Receiver<M>> {
        let mapping = map::<M>(plan, link)?;
        // SAFETY: as for the sender.
        let ring = unsafe { ringbuf::Receiver::attach(mapping.as_mut_ptr(), mapping.len()) };
        Ok(From(ring.map_err(|error| anyhow!("{error}"))?, mapping, PhantomData::<P>))
    }
}
