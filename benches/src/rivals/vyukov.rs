//! A plain queue of Vyukov's: a sequence word before each message, cursors on lines of their own, and nothing that would survive a death.
//! What ringshm's MPMC ring is without its announcements, so it is a limit, not a rival.
//!
//! # Safety
//! A slot belongs to the producer that moved `tail` past it until it stores the slot's next sequence, and then to the consumer that moves
//! `head` past it until that stores the next.

#![allow(unsafe_code, reason = "reads and writes the slots that it has claimed")]

use super::pausing::{Eager, Patient, until, until_sent};
use crate::channel::{Among, Ends, Receiver, Sender};
use crate::control::Apart;
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::Result;
use core::cell::UnsafeCell;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::Arc;

/// Vyukov's queue.
pub(super) struct Vyukov;

struct Queue<M> {
    tail: Apart<AtomicU64>,
    head: Apart<AtomicU64>,
    slots: Box<[Slot<M>]>,
}

#[repr(C)]
struct Slot<M> {
    sequence: AtomicU64,
    message: UnsafeCell<M>,
}

// SAFETY: see the module; a message is touched by one thread at a time, and the sequence's stores and loads order them.
unsafe impl<M: Send> Sync for Queue<M> {}

impl<M: Message> Queue<M> {
    fn new(capacity: usize) -> Self {
        let slots = (0..capacity.next_power_of_two() as u64)
            .map(|position| Slot { sequence: AtomicU64::new(position), message: UnsafeCell::new(M::default()) });
        Self { tail: Apart::default(), head: Apart::default(), slots: slots.collect() }
    }

    #[inline(always)]
    fn slot(&self, position: u64) -> &Slot<M> {
        &self.slots[position as usize & (self.slots.len() - 1)]
    }

    /// Moves a cursor past the slot that is `ahead` of its position, if there is one.
    #[inline(always)]
    fn claim(&self, cursor: &AtomicU64, ahead: u64) -> Option<(&Slot<M>, u64)> {
        // Relaxed: the slot's sequence says whether its message may be touched.
        let mut position = cursor.load(Relaxed);
        loop {
            let slot = self.slot(position);
            let sequence = slot.sequence.load(Acquire);
            position = match sequence.wrapping_sub(position.wrapping_add(ahead)) as i64 {
                0 => match cursor.compare_exchange_weak(position, position.wrapping_add(1), Relaxed, Relaxed) {
                    Ok(_) => return Some((slot, position)),
                    Err(moved) => moved,
                },
                ..0 => return None,
                _ => cursor.load(Relaxed),
            };
        }
    }

    #[inline(always)]
    fn push(&self, message: M) -> Result<(), M> {
        let Some((slot, position)) = self.claim(&self.tail.0, 0) else { return Err(message) };
        // SAFETY: see the module.
        unsafe { *slot.message.get() = message };
        slot.sequence.store(position.wrapping_add(1), Release);
        Ok(())
    }

    #[inline(always)]
    fn pop(&self) -> Option<M> {
        let (slot, position) = self.claim(&self.head.0, 1)?;
        // SAFETY: see the module.
        let message = unsafe { *slot.message.get() };
        slot.sequence.store(position.wrapping_add(self.slots.len() as u64), Release);
        Some(message)
    }
}

struct To<M>(Arc<Queue<M>>);
struct From<M>(Arc<Queue<M>>);

impl<M: Message> Sender<M> for To<M> {
    #[inline(always)]
    fn send(&mut self, message: M) {
        until_sent::<Patient, M>(message, |message| self.0.push(message));
    }

    fn send_batch(&mut self, first: u64, count: usize) {
        (first..first + count as u64).for_each(|number| self.send(M::numbered(number)));
    }
}

impl<M: Message> Receiver<M> for From<M> {
    #[inline(always)]
    fn recv(&mut self) -> M {
        until::<Eager, _>(|| self.0.pop())
    }

    fn recv_batch(&mut self, check: &mut impl Inspect) {
        check.see(&self.recv());
    }
}

impl Among for Vyukov {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        let queue = Arc::new(Queue::<M>::new(plan.capacity));
        let to = (0..plan.crew.producers).map(|_| To(Arc::clone(&queue))).collect();
        Ok((to, (0..plan.crew.consumers).map(|_| From(Arc::clone(&queue))).collect()))
    }
}
