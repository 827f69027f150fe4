//! Queues and channels of threads that send one by one: crossbeam's, heapless's and smol's queues, which do not wait, and crossbeam's and
//! kanal's channels, which wait by themselves.

use super::pausing::{Eager, Patient, Pausing, until, until_sent};
use crate::channel::{Among, Ends, Receiver, Sender, Within};
use crate::message::{Inspect, Message};
use crate::plan::Plan;
use anyhow::{Result, ensure};
use concurrent_queue::{ConcurrentQueue, PushError};
use core::marker::PhantomData;
use crossbeam_queue::ArrayQueue;
use std::sync::Arc;

/// crossbeam's `ArrayQueue`, pausing when full, and as told when empty.
pub(super) struct Array<P>(PhantomData<P>);

/// smol's `ConcurrentQueue`, pausing when full, and as told when empty.
pub(super) struct Concurrent<P>(PhantomData<P>);

/// heapless's single-producer, single-consumer queue, pausing when full.
pub(super) struct Heapless;

/// crossbeam's bounded channel.
pub(super) struct Crossbeam;

/// kanal's bounded channel.
pub(super) struct Kanal;

/// The slots of a [`Heapless`], of which one stays free.
const HEAPLESS: usize = 1024;

macro_rules! one_by_one {
    ($sender:ty, |$to:ident, $message:ident| $send:expr; $receiver:ty, |$from:ident| $recv:expr $(; $pausing:ident: $bound:ident)?) => {
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

        impl<M: Message $(, $pausing: $bound)?> Receiver<M> for $receiver {
            #[inline(always)]
            fn recv(&mut self) -> M {
                let $from = self;
                $recv
            }

            fn recv_batch(&mut self, check: &mut impl Inspect) {
                check.see(&Receiver::<M>::recv(self));
            }
        }
    };
}

struct ArrayTo<M>(Arc<ArrayQueue<M>>);
struct ArrayFrom<M, P>(Arc<ArrayQueue<M>>, PhantomData<P>);
struct ConcurrentTo<M>(Arc<ConcurrentQueue<M>>);
struct ConcurrentFrom<M, P>(Arc<ConcurrentQueue<M>>, PhantomData<P>);

one_by_one! {
    ArrayTo<M>, |to, message| until_sent::<Patient, M>(message, |message| to.0.push(message));
    ArrayFrom<M, P>, |from| until::<P, _>(|| from.0.pop()); P: Pausing
}

one_by_one! {
    ConcurrentTo<M>, |to, message| until_sent::<Patient, M>(message, |message| to.0.push(message).map_err(PushError::into_inner));
    ConcurrentFrom<M, P>, |from| until::<P, _>(|| from.0.pop().ok()); P: Pausing
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

impl<P: Pausing> Within for Array<P> {
    fn pair<M: Message>(plan: &Plan) -> Result<(impl Sender<M> + Send, impl Receiver<M> + Send)> {
        let queue = Arc::new(ArrayQueue::<M>::new(plan.capacity));
        Ok((ArrayTo(Arc::clone(&queue)), ArrayFrom(queue, PhantomData::<P>)))
    }
}

impl<P: Pausing> Among for Array<P> {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        let queue = Arc::new(ArrayQueue::<M>::new(plan.capacity));
        let to = (0..plan.crew.producers).map(|_| ArrayTo(Arc::clone(&queue))).collect();
        let from = (0..plan.crew.consumers).map(|_| ArrayFrom(Arc::clone(&queue), PhantomData::<P>));
        Ok((to, from.collect()))
    }
}

impl<P: Pausing> Among for Concurrent<P> {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        let queue = Arc::new(ConcurrentQueue::<M>::bounded(plan.capacity));
        let to = (0..plan.crew.producers).map(|_| ConcurrentTo(Arc::clone(&queue))).collect();
        let from = (0..plan.crew.consumers).map(|_| ConcurrentFrom(Arc::clone(&queue), PhantomData::<P>));
        Ok((to, from.collect()))
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

/// As many clones of both ends as the crew needs.
fn clones<S: Clone, R: Clone>(plan: &Plan, (to, from): (S, R)) -> Ends<S, R> {
    (vec![to; plan.crew.producers], vec![from; plan.crew.consumers])
}

impl Among for Crossbeam {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        Ok(clones(plan, crossbeam_channel::bounded::<M>(plan.capacity)))
    }
}

impl Among for Kanal {
    fn ends<M: Message>(plan: &Plan) -> Result<Ends<impl Sender<M> + Send, impl Receiver<M> + Send>> {
        Ok(clones(plan, kanal::bounded::<M>(plan.capacity)))
    }
}
