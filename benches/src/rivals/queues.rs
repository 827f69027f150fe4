//! Queues and channels of threads that send one by one: crossbeam's and heapless's queues, which do not wait, and crossbeam's and
//! kanal's channels, which wait by themselves.

use super::pausing::{Eager, Patient, until, until_sent};
use crate::channel::{Receiver, Sender, Within};
use crate::message::{Check, Message};
use crate::plan::Plan;
use anyhow::{Result, ensure};
use crossbeam_queue::ArrayQueue;
use std::sync::Arc;

/// crossbeam's `ArrayQueue`, pausing when full.
pub(super) struct Array;

/// heapless's single-producer, single-consumer queue, pausing when full.
pub(super) struct Heapless;

/// crossbeam's bounded channel.
pub(super) struct Crossbeam;

/// kanal's bounded channel.
pub(super) struct Kanal;

/// The slots of a [`Heapless`], of which one stays free.
const HEAPLESS: usize = 1024;

macro_rules! one_by_one {
    ($sender:ty, |$to:ident, $message:ident| $send:expr; $receiver:ty, |$from:ident| $recv:expr) => {
        impl<M: Message> Sender<M> for $sender {
            #[inline(always)]
            fn send(&mut self, $message: M) {
                let $to = self;
                $send
            }

            fn send_batch(&mut self, first: u64, count: usize) {
                (first..first + count as u64).for_each(|number| Sender::<M>::send(self, M::numbered(number)));
            }
        }

        impl<M: Message> Receiver<M> for $receiver {
            #[inline(always)]
            fn recv(&mut self) -> M {
                let $from = self;
                $recv
            }

            fn recv_batch(&mut self, check: &mut Check) {
                check.see(&Receiver::<M>::recv(self));
            }
        }
    };
}

struct ArrayTo<M>(Arc<ArrayQueue<M>>);
struct ArrayFrom<M>(Arc<ArrayQueue<M>>);

one_by_one! {
    ArrayTo<M>, |to, message| until_sent::<Patient, M>(message, |message| to.0.push(message));
    ArrayFrom<M>, |from| until::<Eager, _>(|| from.0.pop())
}

one_by_one! {
    heapless::spsc::Producer<'_, M>, |to, message| until_sent::<Patient, M>(message, |message| to.enqueue(message));
    heapless::spsc::Consumer<'_, M>, |from| until::<Eager, _>(|| from.dequeue())
}

one_by_one! {
    crossbeam_channel::Sender<M>, |to, message| crossbeam_channel::Sender::send(to, message).expect("it lives");
    crossbeam_channel::Receiver<M>, |from| crossbeam_channel::Receiver::recv(from).expect("it lives")
}

one_by_one! {
    kanal::Sender<M>, |to, message| kanal::Sender::send(to, message).expect("it lives");
    kanal::Receiver<M>, |from| kanal::Receiver::recv(from).expect("it lives")
}

impl Within for Array {
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)> {
        let queue = Arc::new(ArrayQueue::<M>::new(plan.capacity));
        Ok((ArrayTo(Arc::clone(&queue)), ArrayFrom(queue)))
    }
}

impl Within for Heapless {
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)> {
        ensure!(plan.capacity == HEAPLESS, "this queue has {HEAPLESS} slots");
        // It lives as long as the process of the run.
        let queue: &'static mut heapless::spsc::Queue<M, HEAPLESS> = Box::leak(Box::default());
        Ok(queue.split())
    }
}

impl Within for Crossbeam {
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)> {
        Ok(crossbeam_channel::bounded::<M>(plan.capacity))
    }
}

impl Within for Kanal {
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)> {
        Ok(kanal::bounded::<M>(plan.capacity))
    }
}
